"""Files in the formats of tardis.dev, written by the tests: from the vendor's published columns, by
hand or from the rows of a catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.catalog import Events

PERP = "BTCUSDT-PERP.BINANCE"
T0_US = 1_723_161_600_000_000
"""2024-08-09 00:00:00 UTC."""

BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
QUOTES = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
_WHO = "binance-futures,BTCUSDT"


def file(header: str, lines: Iterable[str]) -> bytes:
    """A file as the vendor writes it: LF behind each line."""
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


def line(ms: float, *cells: Any, who: str = _WHO, event_ms: float | None = None) -> str:
    """A line received `ms` after T0 and sent by the venue 5 ms earlier."""
    event_us = round((ms - 5 if event_ms is None else event_ms) * 1000)
    times = f"{T0_US + event_us},{T0_US + round(ms * 1000)}"
    return ",".join([who, times, *map(str, cells)])


def level(ms: float, side: str, px: Any, qty: Any, *, snapshot: bool = False, **over: Any) -> str:
    """A line of `incremental_book_L2`."""
    return line(ms, str(snapshot).lower(), side, px, qty, **over)


def trade(ms: float, id: Any, side: str = "buy", px: Any = "100.0", qty: Any = "0.5") -> str:
    """A line of `trades`."""
    return line(ms, id, side, px, qty)


def quote(ms: float, bid: tuple[Any, Any], ask: tuple[Any, Any], **over: Any) -> str:
    """A line of `quotes`; bid and ask are price and amount."""
    return line(ms, ask[1], ask[0], bid[0], bid[1], **over)


def books(ms: float, bids: Sequence[Any], asks: Sequence[Any], count: int) -> str:
    """A line of `book_snapshot_<count>`; levels are price and amount, missing ones are empty."""
    cells: list[Any] = []
    for at in range(count):
        for side in (asks, bids):
            cells.extend(side[at] if at < len(side) else ("", ""))
    return line(ms, *cells)


def books_header(count: int) -> str:
    """The first line of `book_snapshot_<count>`."""
    levels = (
        f"{side}[{at}].{what}"
        for at in range(count)
        for side in ("asks", "bids")
        for what in ("price", "amount")
    )
    return ",".join(["exchange,symbol,timestamp,local_timestamp", *levels])


def sound_book(count: int = 100) -> list[str]:
    """A snapshot and then `count` messages of two levels, 10 ms apart."""
    lines = [
        level(0, "bid", "100.0", "1", snapshot=True),
        level(0, "ask", "100.5", "2", snapshot=True),
    ]
    for at in range(1, count + 1):
        lines.append(level(10 * at, "bid", "99.9", f"0.{at:03d}"))
        lines.append(level(10 * at, "ask", "100.6", f"1.{at:03d}"))
    return lines


def decimal(count: int, places: int) -> str:
    """A number of steps of 10^-places as text, as the vendor prints it."""
    text = f"{count:0{places + 1}d}"
    whole, fraction = text[: len(text) - places], text[len(text) - places :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def book_file(depth: Events, who: str, places: tuple[int, int]) -> bytes:
    """Depth rows as a file of `incremental_book_L2`; `places` are those of tick and lot."""
    snapshot = np.where(depth["kind"] == 2, "true", "false")
    side = np.where(depth["side"] == 1, "bid", "ask")
    return _file(BOOK, depth, who, places, [snapshot.tolist(), side.tolist()])


def trades_file(trades: Events, who: str, places: tuple[int, int]) -> bytes:
    """Trades as a file of `trades`."""
    side = np.where(trades["side"] == 1, "buy", "sell")
    return _file(TRADES, trades, who, places, [trades["seq"].tolist(), side.tolist()])


def _file(
    header: str, rows: Events, who: str, places: tuple[int, int], cells: list[list[Any]]
) -> bytes:
    event_ns = np.where(
        rows["ts_event_ns"] == _core.TS_NONE, rows["ts_recv_ns"], rows["ts_event_ns"]
    )
    columns = [
        (event_ns // 1000).tolist(),
        (rows["ts_recv_ns"] // 1000).tolist(),
        *cells,
        [decimal(count, places[0]) for count in rows["px_ticks"].tolist()],
        [decimal(count, places[1]) for count in rows["qty_lots"].tolist()],
    ]
    lines = (f"{who}," + ",".join(map(str, row)) for row in zip(*columns, strict=True))
    return file(header, lines)
