"""NautilusTrader's fixed-point integers, held against Python's own."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np
import pytest

from engine.exporters.fixed_point import FixedPoint, decimals


@pytest.mark.parametrize("width", [16, 8])
@pytest.mark.parametrize("step", ["0.1", "0.001", "1", "0.5", "0.00000001", "25"])
def test_fixed_point_integers_are_exact(width: int, step: str) -> None:
    most = 2**62 if width == 16 else int(9 * 10**9 / Decimal(step))
    rng = random.Random(3)
    values = [rng.randrange(-(2 ** rng.randrange(1, 63)), most) for _ in range(500)]
    steps = np.array([0, 1, -1, most, *(max(-most, value) for value in values)], np.int64)
    column = FixedPoint(step, width)
    words = column.encode(steps)
    exact = [
        int(count * Decimal(step).scaleb(16 if width == 16 else 9)) for count in steps.tolist()
    ]
    assert words.tobytes() == b"".join(
        value.to_bytes(width, "little", signed=True) for value in exact
    )
    back, whole = column.decode(words)
    assert whole.all()
    assert np.array_equal(back, steps)
    beside = words.copy()
    beside[:, 0] += np.uint64(1)
    assert not column.decode(beside)[1].any()


def test_fixed_point_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(ValueError, match=r"at most 9 decimals .* found 0.0000000001"):
        FixedPoint("0.0000000001", 8)
    with pytest.raises(OverflowError, match="beyond 8 bytes"):
        FixedPoint("1", 8).encode(np.array([10**10]))
    huge = np.array([[0, 1 << 62], [2**64 - 1, 2**63 - 1]], np.uint64)
    assert not FixedPoint("0.0000000001", 16).decode(huge)[1].any()


def test_step_decimals() -> None:
    given = {"0.1": 1, "1": 0, "10": 0, "0.00100": 3, "0.5": 1}
    assert {step: decimals(step) for step in given} == given
