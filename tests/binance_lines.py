"""Small Binance recordings, written by hand for tests: every message in the venue's own shape."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PERP = "BTCUSDT-PERP.BINANCE"
SPOT = "BTCUSDT.BINANCE"
T0_MS = 1_723_161_600_000
"""2024-08-09 00:00:00 UTC."""
MS = 1_000_000


def recv(ms: float) -> int:
    """A receive time `ms` milliseconds after `T0_MS`, in ns."""
    return T0_MS * MS + round(ms * MS)


def line(ms: float, message: Any) -> bytes:
    """One line of a recording."""
    return f"{recv(ms)} {json.dumps(message, separators=(',', ':'))}".encode()


def depth(ms: float, u: int, pu: int, /, **over: Any) -> bytes:
    """A USD-M delta `pu` -> `u`, received `ms` after T0; its venue time is 1 ms earlier."""
    data = {
        "e": "depthUpdate",
        "E": T0_MS + int(ms) - 1,
        "T": T0_MS + int(ms) - 1,
        "s": "BTCUSDT",
        "U": pu + 1,
        "u": u,
        "pu": pu,
        "b": [["100.0", "1.000"]],
        "a": [["100.5", "2.000"]],
    }
    return line(ms, {"stream": "btcusdt@depth@0ms", "data": cleaned({**data, **over})})


def snapshot(ms: float, last: int, /, **over: Any) -> bytes:
    """A USD-M REST snapshot."""
    data = {
        "lastUpdateId": last,
        "E": T0_MS + int(ms) - 1,
        "T": T0_MS + int(ms) - 1,
        "bids": [["100.0", "5.000"], ["99.9", "6.000"]],
        "asks": [["100.5", "7.000"], ["100.6", "8.000"]],
    }
    return line(ms, cleaned({**data, **over}))


def trade(ms: float, t: int, /, **over: Any) -> bytes:
    """A USD-M trade."""
    data = {
        "e": "trade",
        "E": T0_MS + int(ms) - 1,
        "T": T0_MS + int(ms) - 1,
        "s": "BTCUSDT",
        "t": t,
        "p": "100.5",
        "q": "0.010",
        "X": "MARKET",
        "m": False,
    }
    return line(ms, {"stream": "btcusdt@trade", "data": cleaned({**data, **over})})


def quote(ms: float, u: int, /, **over: Any) -> bytes:
    """A USD-M bookTicker."""
    data = {
        "e": "bookTicker",
        "u": u,
        "s": "BTCUSDT",
        "b": "100.0",
        "B": "1.000",
        "a": "100.5",
        "A": "2.000",
        "T": T0_MS + int(ms) - 1,
        "E": T0_MS + int(ms) - 1,
    }
    return line(ms, {"stream": "btcusdt@bookTicker", "data": cleaned({**data, **over})})


def spot_depth(ms: float, first: int, u: int, /, **over: Any) -> bytes:
    """A spot delta."""
    data = {
        "e": "depthUpdate",
        "E": T0_MS + int(ms) - 1,
        "s": "BTCUSDT",
        "U": first,
        "u": u,
        "b": [["100.00000000", "1.00000000"]],
        "a": [["100.50000000", "2.00000000"]],
    }
    return line(ms, {"stream": "btcusdt@depth@100ms", "data": cleaned({**data, **over})})


def spot_snapshot(ms: float, last: int) -> bytes:
    """A spot REST snapshot, which carries no time."""
    bids, asks = [["100.00000000", "5.00000000"]], [["100.50000000", "7.00000000"]]
    return line(ms, {"lastUpdateId": last, "bids": bids, "asks": asks})


def spot_quote(ms: float, u: int) -> bytes:
    """A spot bookTicker, which carries neither an event type nor a time."""
    data = {"u": u, "s": "BTCUSDT", "b": "100.0", "B": "1.0", "a": "100.5", "A": "2.0"}
    return line(ms, {"stream": "btcusdt@bookTicker", "data": data})


def cleaned(message: dict[str, Any]) -> dict[str, Any]:
    """Without the fields set to `...`: a test leaves a field out that way."""
    return {name: value for name, value in message.items() if value is not ...}


def sound(count: int = 200, *, start: int = 0, seq: int = 1000) -> list[bytes]:
    """A sound USD-M recording: snapshot after the first delta, then deltas, quotes, trades."""
    lines = [depth(start + 10, seq, seq - 10), snapshot(start + 15, seq - 5)]
    for i in range(1, count + 1):
        at = start + 10 + 10 * i
        last = seq + 10 * i
        lines += [depth(at, last, last - 10), quote(at + 1, last), trade(at + 2, seq + i)]
    return lines


def write(path: Path, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
    """Writes a recording, gzip where the name ends in `.gz`."""
    content = b"".join(text + end for text in lines)
    # No time and no name in the header, so that equal content is an equal file.
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path
