"""The product's book against one of dictionaries, level by level."""

from __future__ import annotations

import numpy as np
import pytest

from engine import _core
from tests.oracles.binance_reader import SNAPSHOT, DictBook, groups
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


def test_levels_far_apart() -> None:
    depth, _ = random_feed(300, seed=1)
    depth["px_ticks"][::7] += 1_000_000
    depth["px_ticks"][::11] -= 9_000
    moved = depth[depth["side"] == 1]
    moved["px_ticks"] -= 2_000_000
    keep = np.concatenate([depth[depth["side"] == 2], moved])
    one_each = np.sort(keep, order=["ts_event_ns", "seq"])
    one_each["flags"] |= 3
    first = one_each["kind"] == SNAPSHOT
    one_each["flags"][first] = 0
    one_each["flags"][np.flatnonzero(first)[0]] = 1
    one_each["flags"][np.flatnonzero(first)[-1]] = 2
    one_each["seq"] = np.where(first, 0, np.arange(1, len(one_each) + 1))
    one_each["prev_seq"] = np.where(first, one_each["prev_seq"], one_each["seq"] - 1)
    assert_same_book(one_each)


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recordings(case: Case) -> None:
    assert_same_book(oracle(case).depth)
