"""What the benchmark runs on: a recording, or testnet data where there is none."""

from __future__ import annotations

import dataclasses
import gzip
import json
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.instruments import Instrument, load_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BenchData", "BenchError", "recorded", "recorded_rows", "testnet", "testnet_group"]

_SNAPSHOT = 2
_BID, _ASK = 1, 2
_FIRST, _LAST = 1, 2
_NS_PER_MS = 1_000_000
# Orders of about this worth, above every minimum that we know of.
_ORDER_QUOTE = Decimal(600)

Events = np.ndarray[Any, np.dtype[np.void]]


class BenchError(ValueError):
    """A benchmark that must not be quoted: a debug build, or a result that is not right."""


@dataclass(frozen=True)
class BenchData:
    """Rows of one instrument in memory, and the same messages as raw text.

    `depth` and `trades` are arrays of `EVENT_DTYPE`, depth from its first snapshot on. `text` is a
    raw recording in the format of `market`. `qty_lots` is a fitting size for an order. `source`
    says in a word where the data is from, `provenance` is `recorded` or `testnet`.
    """

    instrument: Instrument
    depth: Events
    trades: Events
    text: bytes
    market: str
    source: str
    provenance: str

    @property
    def qty_lots(self) -> int:
        """An order's size in lots."""
        instrument = self.instrument
        value = Decimal(instrument.lot) * Decimal(instrument.contract_size)
        if instrument.kind != "inverse":
            value *= int(self.trades["px_ticks"][0]) * Decimal(instrument.tick)
        return max(1, int(_ORDER_QUOTE / value))

    def check_decoded(self, rows: Events) -> None:
        """Raises BenchError unless these rows hold every depth row and trade, and no other.

        Receive times and order are left out: the decoder neither joins nor corrects clocks. So are
        rows without a level, which say nothing.
        """
        for name, held, kinds in (
            ("depth", self.depth, (1, 2)),
            ("trades", self.trades, (3,)),
        ):
            found = rows[np.isin(rows["kind"], kinds) & (rows["side"] != 0)]
            expected = held[held["side"] != 0]
            if name == "depth":
                # Rows that came before the snapshot were cut off from the data.
                newest = expected["seq"][expected["kind"] == _SNAPSHOT].max()
                found = found[(found["kind"] == _SNAPSHOT) | (found["seq"] > newest)]
            if _content(found) != _content(expected):
                raise BenchError(f"decode: {name} differ from those of the data")

    def check_book(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        """Raises BenchError unless these levels, the best of each side, are those of a plain
        book.
        """
        plain = plain_book(self.depth)
        for name, found, expected in (("bids", bids, plain[0]), ("asks", asks, plain[1])):
            best = sorted(expected, reverse=name == "bids")[: len(found)]
            if found != {px: expected[px] for px in best} or not found:
                raise BenchError(f"book: {name} differ from those of a plain book")


def plain_book(depth: Events) -> tuple[dict[int, int], dict[int, int]]:
    """Bids and asks after these rows, kept in dictionaries: quantity in lots by price in ticks."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    columns = ("kind", "flags", "side", "px_ticks", "qty_lots", "seq")
    book_seq, fresh = -1, False
    for kind, flags, side, px, qty, seq in zip(*(depth[c].tolist() for c in columns), strict=True):
        if flags & _FIRST:
            fresh = kind == _SNAPSHOT or 0 <= book_seq < seq
            if kind == _SNAPSHOT:
                bids.clear()
                asks.clear()
        if not fresh:
            continue
        book_seq = seq
        if side:
            levels = bids if side == _BID else asks
            if qty:
                levels[px] = qty
            else:
                levels.pop(px, None)
    return bids, asks


def recorded(folder: Path, instrument_id: str) -> BenchData:
    """One instrument of a folder of raw recordings, imported into a passing catalog.

    Raises FileNotFoundError where it is not there.
    """
    instrument, depth, trades, paths = recorded_rows(folder, instrument_id)
    text = b"".join(gzip.decompress(path.read_bytes()) for path in paths)
    source = f"{instrument_id}, {', '.join(path.name for path in paths)}"
    return BenchData(instrument, depth, trades, text, instrument.market, source, "recorded")


def recorded_rows(
    folder: Path, instrument_id: str
) -> tuple[Instrument, Events, Events, list[Path]]:
    """An instrument of the recordings: its definition, depth from the first snapshot on, trades,
    and the files. Raises FileNotFoundError where they are not there.
    """
    from engine.catalog import Catalog
    from engine.importers import run_import

    instrument = load_instrument(instrument_id)
    name = instrument.symbol.lower()
    paths = sorted(folder.glob(f"{instrument.market}/{name}_*.gz"))
    if not paths:
        raise FileNotFoundError(f"recordings: no {instrument.market}/{name}_*.gz in {folder}")
    with tempfile.TemporaryDirectory(prefix="cobalt-bench-") as scratch:
        run_import("binance", [str(path) for path in paths], instrument_id, scratch)
        catalog = Catalog(scratch)
        depth, trades = (
            np.concatenate(list(catalog.batches(instrument_id, kind)))
            for kind in ("depth", "trades")
        )
    return instrument, _from_snapshot(depth), trades, paths


def testnet_group(seconds: float, seed: int = 7) -> list[tuple[Instrument, Events, Events]]:
    """Testnet data of this length of all default venues."""
    from engine import testnet as made

    parts: dict[str, dict[str, list[Events]]] = {}
    for name, kind, rows in made.batches(
        seed=seed, duration_s=seconds, venues=list(made.DEFAULT_VENUES)
    ):
        parts.setdefault(name, {}).setdefault(kind, []).append(rows)
    return [
        (load_instrument(name), np.concatenate(of["depth"]), np.concatenate(of["trades"]))
        for name, of in parts.items()
    ]


def testnet(seconds: float, seed: int = 7) -> BenchData:
    """Testnet data of this length of the first default venue, at its busiest depth interval."""
    from engine import testnet as made

    venue = dataclasses.replace(made.DEFAULT_VENUES[0], depth_every_ns=10 * _NS_PER_MS)
    parts: dict[str, list[Events]] = {"depth": [], "trades": [], "quotes": []}
    for _, kind, rows in made.batches(seed=seed, duration_s=seconds, venues=[venue]):
        parts[kind].append(rows)
    depth, trades = np.concatenate(parts["depth"]), np.concatenate(parts["trades"])
    instrument = load_instrument(venue.instrument)
    text = "".join(raw_lines(depth, trades, instrument)).encode()
    source = f"{instrument.id}, {seconds:g} s, seed {seed}"
    return BenchData(instrument, depth, trades, text, "binance_usdm", source, "testnet")


def raw_lines(depth: Events, trades: Events, instrument: Instrument) -> Iterator[str]:
    """The rows as lines of a raw recording of Binance USD-M, depth first, then trades.

    For the decoder's benchmark: the venue's clock is cut to milliseconds, as that format has it.
    """
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    head = {"s": instrument.symbol}
    starts = np.flatnonzero(depth["flags"] & _FIRST)
    ends = np.flatnonzero(depth["flags"] & _LAST) + 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        rows = depth[start:end]
        first = rows[0]
        # The testnet also publishes that nothing has changed; Binance would send no message.
        if first["seq"] == first["prev_seq"]:
            continue
        ms, recv, seq = (
            int(first["ts_event_ns"]) // _NS_PER_MS,
            int(first["ts_recv_ns"]),
            int(first["seq"]),
        )
        bids, asks = (
            [
                [_text(row["px_ticks"], tick), _text(row["qty_lots"], lot)]
                for row in rows[rows["side"] == side]
            ]
            for side in (_BID, _ASK)
        )
        if first["kind"] == _SNAPSHOT:
            message = {"lastUpdateId": seq, "E": ms, "T": ms, "bids": bids, "asks": asks}
        else:
            data = {"e": "depthUpdate", "E": ms, "T": ms, **head}
            data |= {"U": int(first["prev_seq"]) + 1, "u": seq, "pu": int(first["prev_seq"])}
            data |= {"b": bids, "a": asks}
            message = {"stream": f"{instrument.symbol.lower()}@depth@0ms", "data": data}
        yield f"{recv} {json.dumps(message, separators=(',', ':'))}\n"
    for row in trades:
        ms = int(row["ts_event_ns"]) // _NS_PER_MS
        data = {"e": "trade", "E": ms, "T": ms, **head, "t": int(row["seq"])}
        data |= {"p": _text(row["px_ticks"], tick), "q": _text(row["qty_lots"], lot)}
        data |= {"X": "MARKET", "m": bool(row["side"] == _ASK)}
        message = {"stream": f"{instrument.symbol.lower()}@trade", "data": data}
        yield f"{int(row['ts_recv_ns'])} {json.dumps(message, separators=(',', ':'))}\n"


def _text(steps: Any, step: Decimal) -> str:
    """Whole steps as decimal text."""
    return format(int(steps) * step, "f")


def _from_snapshot(depth: Events) -> Events:
    """Depth from the first snapshot on, as one array of its own."""
    first = int(np.argmax(depth["kind"] == _SNAPSHOT))
    return np.ascontiguousarray(depth[first:])


def _content(rows: Events) -> list[tuple[int, ...]]:
    """What the rows say apart from when they came, in an order of its own."""
    columns = ("kind", "seq", "px_ticks", "qty_lots", "side", "prev_seq")
    return sorted(zip(*(rows[name].tolist() for name in columns), strict=True))
