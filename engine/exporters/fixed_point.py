"""Whole steps to NautilusTrader's fixed-point integers and back, exactly.

A price or quantity is an integer of 16 bytes (little-endian) in units of 10^-16, or, where
NautilusTrader was built with standard precision, of 8 bytes in units of 10^-9. Numpy has no
integers of 128 bits: here they are two columns of 64, low and high.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCALES", "FixedPoint", "decimals"]

SCALES = {16: 16, 8: 9}
"""Decimal places of the integers, by their bytes."""

_LOW = np.uint64(0xFFFF_FFFF)
_SHIFT = np.uint64(32)
# Below this many steps a quotient of floats, rounded, cannot be off by one.
_FLOAT_STEPS = float(1 << 49)


def decimals(step: str) -> int:
    """Decimal places of a step: 1 for `0.1`, 0 for `10`."""
    exponent = Decimal(step).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


class FixedPoint:
    """The integers of one column. `step` is the tick or lot, `width` 16 or 8 bytes.

    Raises `ValueError` for a step finer than the integers can tell, or too large for them.
    """

    def __init__(self, step: str, width: int) -> None:
        factor = Decimal(step).scaleb(SCALES[width])
        if factor != int(factor) or not 0 < factor < 2**63:
            raise ValueError(
                f"expected a step of at most {SCALES[width]} decimals below {2**63}e-"
                f"{SCALES[width]}, found {step}"
            )
        self.width = width
        self._factor = int(factor)

    def encode(self, steps: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The integers of these steps, shape `(rows, width / 8)`, low words first.

        Raises `OverflowError` where the integers are too narrow.
        """
        if self.width == 16:
            return _product(steps, self._factor)
        largest = max(abs(int(steps.max(initial=0))), abs(int(steps.min(initial=0))))
        if largest * self._factor >= 2**63:
            raise OverflowError(f"{largest} steps are beyond 8 bytes")
        return (steps * self._factor).astype(np.int64).view(np.uint64).reshape(-1, 1)

    def decode(self, words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The steps of integers as `encode` gives them, and which of them are whole steps of 63
        bits; the others' steps mean nothing.
        """
        if self.width == 8:
            steps, rest = np.divmod(words[:, 0].view(np.int64), self._factor)
            return steps, rest == 0
        # The high word is signed; what the low word adds to it is a float all the same.
        value = words[:, 1].view(np.int64).astype(np.float64) * 2.0**64 + words[:, 0]
        near = np.rint(value / self._factor)
        is_small = np.abs(near) < _FLOAT_STEPS
        steps = np.where(is_small, near, 0).astype(np.int64)
        exact = is_small & (_product(steps, self._factor) == words).all(axis=1)
        for at in np.flatnonzero(~is_small).tolist():
            low, high = words[at].tolist()
            whole = high << 64 | low
            whole -= (whole >> 127) << 128
            quotient, rest = divmod(whole, self._factor)
            exact[at] = rest == 0 and -(2**63) <= quotient < 2**63
            steps[at] = quotient if exact[at] else 0
        return steps, exact


def _product(steps: NDArray[np.int64], factor: int) -> NDArray[np.uint64]:
    """Products of 128 bits by way of 32-bit halves; `factor` is positive and below 2^63."""
    is_negative = steps < 0
    size = steps.astype(np.uint64)
    size[is_negative] = np.uint64(0) - size[is_negative]
    low, high = size & _LOW, size >> _SHIFT
    factor_low, factor_high = np.uint64(factor & 0xFFFF_FFFF), np.uint64(factor >> 32)
    first, second, third = low * factor_low, low * factor_high, high * factor_low
    middle = (first >> _SHIFT) + (second & _LOW) + (third & _LOW)
    out = np.empty((len(steps), 2), np.uint64)
    out[:, 0] = (first & _LOW) | (middle << _SHIFT)
    out[:, 1] = high * factor_high + (second >> _SHIFT) + (third >> _SHIFT) + (middle >> _SHIFT)
    out[is_negative] = ~out[is_negative]
    out[is_negative, 0] += np.uint64(1)
    out[is_negative, 1] += (out[is_negative, 0] == 0).astype(np.uint64)
    return out
