"""Numbers, amounts and times as a reader expects to see them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

__all__ = ["amount", "bps", "duration", "number", "percent", "span", "utc"]

_TWO_DIGITS = {"USD", "USDT", "USDC", "FDUSD", "EUR"}
_NOTHING = "–"


def number(value: Any, *, digits: int = 0, signed: bool = False) -> str:
    """A number with thousands separators and at most `digits` decimals; a dash for none."""
    if value is None or math.isnan(value):
        return _NOTHING
    if digits == 0 or isinstance(value, int):
        text = f"{value:+,.0f}" if signed else f"{value:,.0f}"
    else:
        text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
        if digits > 2:
            text = text.rstrip("0").rstrip(".")
    # A value that rounds to nothing has no sign.
    return text.lstrip("+-") if not text.strip("+-0.,") else text


def amount(value: Any, currency: Any, *, signed: bool = False) -> str:
    """An amount of money with its currency; a mapping gives one amount for each currency."""
    if isinstance(value, dict):
        parts = [amount(part, name, signed=signed) for name, part in value.items()]
        return ", ".join(parts) if parts else _NOTHING
    digits = 2 if currency in _TWO_DIGITS else 8
    text = number(None if value is None else float(value), digits=digits, signed=signed)
    return text if text == _NOTHING or not currency else f"{text} {currency}"


def percent(value: float | None, *, digits: int = 1) -> str:
    """A share as a percentage."""
    return _NOTHING if value is None else f"{value * 100:,.{digits}f} %"


def bps(value: float | None) -> str:
    """A signed number of basis points."""
    text = number(value, digits=2, signed=True)
    return text if text == _NOTHING else f"{text} bps"


def span(seconds: float | None) -> str:
    """A time of so many seconds, in the largest unit that fits twice."""
    if seconds is None:
        return _NOTHING
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1e3:,.1f} ms"


def utc(time: Any) -> str:
    """A time (ISO-8601 text or nanoseconds since the epoch) as `2024-08-09 00:00:00`."""
    return f"{_moment(time):%Y-%m-%d %H:%M:%S}"


def duration(start: Any, end: Any) -> str:
    """The time between two times, in the largest unit that fits."""
    seconds = (_moment(end) - _moment(start)).total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _moment(time: Any) -> datetime:
    if isinstance(time, int):
        return datetime.fromtimestamp(time / 1e9, tz=UTC)
    # Python's parser takes six decimals of a second; the rest is below what is shown.
    parsed = datetime.fromisoformat(str(time))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
