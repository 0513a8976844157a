"""Columns of vendor files to integers, exactly and a batch at a time.

A decimal text denotes itself. A float denotes the shortest decimal that prints it, which is what
its writer meant: 963.66, not 963.65999999999996817.

Why most floats need no text: a decimal of at most 15 digits is told from every other such decimal
by its nearest float64. So if k × 10^-places, correctly rounded, is the float, and k has at most 15
digits, then k × 10^-places is the shortest decimal that prints it. Dividend and divisor are exact
floats, so their quotient is correctly rounded. What this does not settle goes the long way: text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["TIME_UNITS", "Steps", "steps", "times_ns", "whole_steps"]

TIME_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_EXACT_FLOAT_MAX = 10**15
_NUMBER = rb"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"
# Longer texts hold more than 15 digits: they are read as decimals, one by one.
_SHORT_TEXT = 15
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Steps:
    """A column as whole steps: `values` where `ok`, `rounded` where taken to the nearest one."""

    values: Integers
    ok: Mask
    rounded: Mask


def steps(column: Any, step: str, *, nearest: bool = False) -> Steps:
    """A pyarrow array of numbers or decimal texts as counts of `step`.

    Not ok are nulls, what is no number, what does not fit 64 bits and, unless `nearest`, what is no
    whole number of steps; with `nearest` a number above zero counts at least one step. Raises
    `TypeError`, with the type found, for a column that holds neither numbers nor texts.
    """
    import pyarrow as pa

    if pa.types.is_float64(column.type):
        floats = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        return _from_floats(floats, step, lambda at: repr(float(floats[at])), nearest=nearest)
    texts = _texts(column)
    floats, short = _parsed(texts)
    return _from_floats(
        np.where(short, floats, np.nan),
        step,
        lambda at: (texts[at].as_py() or b"").decode(errors="replace"),
        nearest=nearest,
    )


def whole_steps(text: str, step: str) -> int | None:
    """A decimal text as a count of `step`; None where it is no whole number of 64 bits of them."""
    mantissa, places = _parts(step)
    found = _long_way(text, Decimal(mantissa).scaleb(-places), nearest=False)
    return None if found is None else found[0]


def _texts(column: Any) -> Any:
    """A column as trimmed binary texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    elif not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        raise TypeError(str(kind))
    return pc.replace_substring_regex(column.cast(pa.binary()), rb"^[ \t]+|[ \t\r]+$", b"")


def _parsed(texts: Any) -> tuple[npt.NDArray[np.float64], Mask]:
    """The nearest float of each text, and which texts are numbers short enough for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    short = pc.and_(
        pc.match_substring_regex(texts, _NUMBER),
        pc.less_equal(pc.binary_length(texts), _SHORT_TEXT + 1),
    ).fill_null(False)
    numbers = pc.if_else(short, texts, pa.scalar(b"0", texts.type))
    floats = numbers.cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    # Sixteen characters may be sixteen digits.
    digits = np.abs(floats) < _EXACT_FLOAT_MAX
    return floats, short.to_numpy(zero_copy_only=False) & digits


def _from_floats(
    floats: npt.NDArray[np.float64], step: str, text: Callable[[int], str], *, nearest: bool
) -> Steps:
    mantissa, places = _parts(step)
    scale = 10.0**places
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(floats * scale)
        exact = (np.abs(scaled) < _EXACT_FLOAT_MAX) & (scaled / scale == floats)
    count = np.where(exact, scaled, 0).astype(np.int64)
    ok = exact & (count % mantissa == 0)
    values = np.where(ok, count // mantissa, 0)
    rounded = np.zeros(len(values), np.bool_)
    unit = Decimal(mantissa).scaleb(-places)
    for at in np.flatnonzero(~ok).tolist():
        found = _long_way(text(at), unit, nearest=nearest)
        if found is not None:
            values[at], rounded[at] = found
            ok[at] = True
    return Steps(values, ok, rounded)


def _long_way(text: str, unit: Decimal, *, nearest: bool) -> tuple[int, bool] | None:
    """The count of steps of a decimal text and whether it was rounded; None where there is none."""
    # `Decimal` by itself also takes underscores, infinities and the digits of other scripts.
    if re.fullmatch(_NUMBER, text.encode()) is None:
        return None
    try:
        number = Decimal(text)
        # Decimals of more digits than the context keeps would be rounded without a word.
        if len(number.as_tuple().digits) > 27:
            return None
        count = (number / unit).quantize(Decimal(1), ROUND_HALF_UP)
    except InvalidOperation:
        return None
    if abs(count) > _INT64_MAX:
        return None
    if count * unit == number:
        return int(count), False
    if not nearest:
        return None
    return max(int(count), 1) if number > 0 else int(count), True


def _parts(step: str) -> tuple[int, int]:
    """A step as mantissa × 10^-places with a mantissa above 0 and places of at least 0."""
    _, digits, exponent = Decimal(step).normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    assert isinstance(exponent, int)
    return (mantissa, -exponent) if exponent <= 0 else (mantissa * 10**exponent, 0)


def times_ns(column: Any, unit: str) -> tuple[Integers, Mask]:
    """A pyarrow array of times as ns since the epoch, and which of them are times.

    `unit` is one of `TIME_UNITS` for numbers or `iso` for texts such as `2017-01-01 00:00:00` or
    `2017-01-01T00:00:00Z` (UTC where they name no zone); a Parquet timestamp has its own. Raises
    `TypeError` for a column of another type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        values = column.cast(pa.timestamp("ns", column.type.tz), safe=False).cast(pa.int64())
        ok = column.is_valid().to_numpy(zero_copy_only=False)
        # A time that does not fit 64 bits of ns wraps: the way back shows it.
        back = values.cast(pa.timestamp("ns", column.type.tz)).cast(column.type, safe=False)
        ok &= pc.equal(back, column).fill_null(False).to_numpy(zero_copy_only=False)
        return values.fill_null(0).to_numpy(zero_copy_only=False), ok
    if unit == "iso":
        return _iso(_texts(column))
    counted = steps(column, "1")
    factor = TIME_UNITS[unit]
    ok = counted.ok & (np.abs(counted.values) <= _INT64_MAX // factor)
    return np.where(ok, counted.values, 0) * factor, ok


def _iso(texts: Any) -> tuple[Integers, Mask]:
    values = np.zeros(len(texts), np.int64)
    ok = np.zeros(len(texts), np.bool_)
    for at, text in enumerate(texts.to_pylist()):
        try:
            found = datetime.fromisoformat((text or b"").decode("ascii"))
        except ValueError:
            continue
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        seconds = int((found.replace(microsecond=0) - _EPOCH).total_seconds())
        values[at] = seconds * 1_000_000_000 + found.microsecond * 1000
        ok[at] = True
    return values, ok


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
