"""Times and durations as users write them, as integers of nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["duration_ns", "timestamp_ns", "utc_text"]

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_DURATION = re.compile(r"([0-9]+)\s*(ns|us|ms|s|m|h|d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration_ns(value: str | int, name: str = "duration") -> int:
    """A positive duration in ns, from text such as `100ms`, `1s` or `5m`, or an int of ns.

    Raises ValueError naming `name` for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(
            f"{name}: expected a positive time such as 100ms, 1s or 5m, found {value!r}"
        )
    return int(match[1]) * _UNITS[match[2]]


def timestamp_ns(value: str | int, name: str = "time") -> int:
    """Nanoseconds since the Unix epoch, from ISO-8601 text (UTC where no zone is given) or ns.

    Raises ValueError naming `name` for anything else.
    """
    text = str(value).strip()
    if re.fullmatch(r"-?[0-9]{9,19}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name}: expected a time such as 2024-08-08T23:55:00 (UTC) or ns since the epoch,"
            f" found {value!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def utc_text(ts_ns: int) -> str:
    """ISO-8601 in UTC with all nine decimals: `2024-08-08T23:54:15.030314667Z`."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
