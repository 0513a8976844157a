"""The product's book against one of dictionaries, level by level."""

from __future__ import annotations

import random

import numpy as np
import pytest

from engine import EVENT_DTYPE, SEQ_NONE, _core
from tests.oracles.binance_reader import DELTA, SNAPSHOT, DictBook, groups
from tests.parity.feed import random_feed
from tests.recordings import CASES, Case, needs_recordings, oracle


def plain_book(depth: np.ndarray) -> DictBook:
    """All messages but those that came before the snapshot or that it already contains."""
    book, seq = DictBook(), -1
    for group in groups(depth):
        is_snapshot = group[0]["kind"] == SNAPSHOT
        if is_snapshot or 0 <= seq < group[0]["seq"]:
            book.apply(group)
            seq = int(group[0]["seq"])
    return book


def assert_same_book(depth: np.ndarray) -> None:
    bids, asks = _core.replay_book(depth)
    plain = plain_book(depth)
    assert bids.tolist() == [list(level) for level in sorted(plain.bids.items(), reverse=True)]
    assert asks.tolist() == [list(level) for level in sorted(plain.asks.items())]


@pytest.mark.parametrize("seed", range(6))
def test_made_up_feed(seed: int) -> None:
    depth, _ = random_feed(600, seed)
    assert_same_book(depth)


def far_levels(seed: int) -> np.ndarray:
    """One level a message, most near 100,000 ticks, some millions of ticks away, many removed."""
    rng = random.Random(seed)
    rows = [(0, 0, 99_999, 5, 1, SEQ_NONE, 0, SNAPSHOT, 1, 1, 0)]
    rows += [(0, 0, 100_001, 5, 1, SEQ_NONE, 0, SNAPSHOT, 2, 2, 0)]
    for seq in range(2, 3000):
        side = rng.choice((1, 2))
        away = rng.choice((1, 2, 3, 50, 700, 9_000, 99_998))
        px = 100_000 - away if side == 1 else 100_000 + away * rng.choice((1, 1, 40))
        qty = rng.choice((0, 0, 1, 7))
        rows.append((seq, seq, px, qty, seq, seq - 1, 0, DELTA, side, 3, 0))
    return np.array(rows, EVENT_DTYPE)


@pytest.mark.parametrize("seed", range(4))
def test_levels_far_apart(seed: int) -> None:
    assert_same_book(far_levels(seed))


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recordings(case: Case) -> None:
    assert_same_book(oracle(case).depth)
