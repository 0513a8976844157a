"""Bitstamp's orders one by one (`format=bitstamp_l3`): recordings to depth, trades, quotes, orders.

A line is `<receive time, ms> <kind> <JSON>`. The venue's clock is not in it (the `datetime` of an
order is the second in which it was made, also in later messages of it), so rows have receive times
only. How orders become a book is told in `engine.importers.bitstamp_book`.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog import Catalog
from engine.catalog_tables import orders_schema
from engine.importers.bitstamp_book import ASK, BID, BookBuilder
from engine.importers.columns import whole_steps
from engine.importers.report import BrokenLine, ImportFailed, ImportReport
from engine.importers.sources import identified
from engine.importers.tables import Unpacked
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.catalog import Manifest
    from engine.catalog_writer import CatalogWriter
    from engine.importers.report import ImportRequest
    from engine.instruments import Instrument

__all__ = ["KINDS", "Decoder", "Message", "lines", "run"]

KINDS = ("order_created", "order_changed", "order_deleted", "trade", "order_book")
"""The kinds of messages."""

_LINE_BYTES_MAX = 1 << 20
_BATCH_ROWS = 65_536
_BROKEN_KEPT = 100
_ID_MAX = 2**63 - 1
_TS_MIN_MS = 1_230_768_000_000  # 2009.
_TS_MAX_MS = 4_102_444_800_000  # 2100.
_NS_PER_MS = 1_000_000

Message = tuple[int, str, tuple[Any, ...]]
"""Receive time in ns, kind, and the arguments of the method of `BookBuilder` after the time."""


class _Broken(ValueError):
    """A line that cannot be used; the message says why."""


class Decoder:
    """Lines to messages with prices in ticks and sizes in lots of `instrument`."""

    def __init__(self, instrument: Instrument) -> None:
        tick, lot = instrument.tick, instrument.lot

        # Published books repeat their levels again and again.
        @functools.lru_cache(maxsize=1 << 16)
        def price(value: str | float) -> int:
            steps = whole_steps(str(value), tick)
            if steps is None or steps <= 0:
                raise _Broken(
                    f"price: expected a positive multiple of the tick {tick}, found {value!r}"
                )
            return steps

        @functools.lru_cache(maxsize=1 << 16)
        def amount(value: str | float) -> int:
            steps = whole_steps(str(value), lot)
            if steps is None or steps < 0:
                raise _Broken(
                    f"amount: expected a multiple of the lot {lot}, not negative, found {value!r}"
                )
            return steps

        self._price: Callable[[Any], int] = price
        self._amount: Callable[[Any], int] = amount

    def decode(self, line: bytes) -> Message:
        """The message of a line; raises `ValueError` with what was expected and found."""
        parts = line.split(b" ", 2)
        if len(parts) != 3 or not parts[0].isdigit() or len(parts[0]) > 15:
            found = line[:40].decode(errors="replace")
            raise _Broken(f"line: expected '<receive time in ms> <kind> <JSON>', found '{found}'")
        ts_ms = int(parts[0])
        if not _TS_MIN_MS <= ts_ms <= _TS_MAX_MS:
            raise _Broken(f"receive time: expected ms from 2009 to 2100, found {ts_ms}")
        kind = parts[1].decode(errors="replace")
        if kind not in KINDS:
            raise _Broken(f"kind: expected one of {', '.join(KINDS)}, found '{kind[:40]}'")
        try:
            fields = json.loads(parts[2], parse_float=_Float, parse_constant=_Float)
        except (ValueError, RecursionError) as error:
            raise _Broken(f"not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise _Broken(f"not JSON: expected an object, found {type(fields).__name__}")
        if kind == "order_book":
            arguments: tuple[Any, ...] = self._book(fields)
        elif kind == "trade":
            arguments = self._trade(fields)
        else:
            arguments = self._order(fields, kind)
        return ts_ms * _NS_PER_MS, kind, arguments

    def _order(self, fields: dict[str, Any], kind: str) -> tuple[int, int, int, int]:
        side = fields.get("order_type")
        if isinstance(side, bool) or side not in (0, 1):
            raise _Broken(f"order_type: expected 0 (bid) or 1 (ask), found {_shown(side)}")
        px, qty = self._level(fields.get("price"), fields.get("amount"))
        if qty == 0 and kind != "order_deleted":
            raise _Broken("amount: expected a size above 0, found 0")
        return _id(fields), ASK if side else BID, px, qty

    def _trade(self, fields: dict[str, Any]) -> tuple[int, int, int]:
        px, qty = self._level(fields.get("price"), fields.get("amount"))
        if qty == 0:
            raise _Broken("amount: expected a size above 0, found 0")
        return _id(fields), px, qty

    def _book(self, fields: dict[str, Any]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids, asks = (self._side(fields, name) for name in ("bids", "asks"))
        bids.sort(reverse=True)
        asks.sort()
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise _Broken(f"bids: expected a best bid below the best ask, found {bids[0][0]} ticks")
        return bids, asks

    def _side(self, fields: dict[str, Any], name: str) -> list[tuple[int, int]]:
        levels = fields.get(name)
        if not isinstance(levels, list):
            raise _Broken(f"{name}: expected an array of [price, amount], found {_shown(levels)}")
        found = {}
        for level in levels:
            if not isinstance(level, list) or len(level) != 2:
                raise _Broken(f"{name}: expected [price, amount], found {_shown(level)}")
            px, qty = self._level(*level)
            if qty == 0 or px in found:
                raise _Broken(f"{name}: expected each price once with a size, found {level}")
            found[px] = qty
        return list(found.items())

    def _level(self, price: Any, amount: Any) -> tuple[int, int]:
        for name, value in (("price", price), ("amount", amount)):
            if not isinstance(value, str | _Float | int) or isinstance(value, bool):
                raise _Broken(f"{name}: expected a decimal, found {_shown(value)}")
        return self._price(price), self._amount(amount)


class _Float(float):
    """A JSON number with a point. It denotes the shortest decimal that prints it: the venue writes
    236.61 as 236.61000000000001 here and there.
    """

    __slots__ = ()


def _id(fields: dict[str, Any]) -> int:
    value = fields.get("id")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _ID_MAX:
        raise _Broken(f"id: expected a whole number of 63 bits, found {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]


def lines(stream: io.RawIOBase) -> Iterator[bytes]:
    """The lines of a stream without their ends; one beyond 1 MiB comes as its first part, alone."""
    reader = io.BufferedReader(stream, 1 << 18)
    while line := reader.readline(_LINE_BYTES_MAX):
        yield line.rstrip(b"\r\n")
        while len(line) == _LINE_BYTES_MAX and not line.endswith(b"\n"):
            line = reader.readline(_LINE_BYTES_MAX)


def run(request: ImportRequest) -> ImportReport:
    """Imports recordings; see `engine.importers.run_import`."""
    request.check_options(())
    started = time.perf_counter()
    instrument = load_instrument(request.instrument)
    if instrument.market != "bitstamp":
        raise ImportFailed(
            f"{instrument.id}: its market is {instrument.market}, which has no Bitstamp recordings"
        )
    catalog = Catalog(request.catalog)
    old = catalog.manifest(instrument.id) if catalog.has(instrument.id) else None
    files = identified(request, old)
    if not files.new:
        return files.unchanged(instrument.id)
    offset_ns = request.clock_offset_ns or 0
    job = _Import(instrument, request, offset_ns)
    sources = [source for _, source in files.new]
    with catalog.writer(
        instrument, provenance="recorded", source=sources, clock_offset_ns=offset_ns
    ) as writer:
        job.read([path for path, _ in files.new], writer)
        job.refuse_unusable()
        manifest = writer.commit(details=job.details(), resume=old.resume if old else None)
    return files.completed(job.report(manifest), time.perf_counter() - started)


class _Import:
    """One import on its way."""

    def __init__(self, instrument: Instrument, request: ImportRequest, offset_ns: int) -> None:
        self._decoder = Decoder(instrument)
        self._request = request
        self._offset_ns = offset_ns
        self._builder = BookBuilder()
        self._ts_ns = 0
        self.files: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.messages = dict.fromkeys(KINDS, 0)
        self.rows = dict.fromkeys(("depth", "trades", "quotes", "orders"), 0)
        self.lines = self.broken = self.text_bytes = self.backwards = 0
        self.broken_first: list[BrokenLine] = []

    def read(self, paths: list[Path], writer: CatalogWriter) -> None:
        """Reads the files in the order of their first messages."""
        total = sum(path.stat().st_size for path in paths)
        done = 0
        for path in sorted(paths, key=self._first_time):
            before = self.lines, self.broken
            if path.stat().st_size == 0:
                raise ImportFailed(f"{path}: the file is empty; nothing was imported")
            with Unpacked(path) as stream:
                for number, line in enumerate(lines(stream), 1):
                    self._take(path, number, line)
                    if len(self._builder.rows) >= _BATCH_ROWS:
                        self._write(writer)
                        self._request.progress("import", done + stream.bytes_done(), total)
                if stream.damage is not None:
                    self._break(path, self.lines - before[0] + 1, stream.damage, b"")
            done += path.stat().st_size
            self._request.progress("import", done, total)
            self.files.append(
                {
                    "name": path.name,
                    "bytes": path.stat().st_size,
                    "lines": self.lines - before[0],
                    "broken": self.broken - before[1],
                }
            )
        self._write(writer)

    def _first_time(self, path: Path) -> tuple[int, str]:
        with Unpacked(path) as stream:
            for line in lines(stream):
                try:
                    return self._decoder.decode(line)[0], path.name
                except ValueError:
                    continue
        return 0, path.name

    def _take(self, path: Path, number: int, line: bytes) -> None:
        if not line:
            return
        self.lines += 1
        self.text_bytes += len(line) + 1
        try:
            ts_ns, kind, arguments = self._decoder.decode(line)
        except ValueError as error:
            self._break(path, number, str(error), line)
            return
        ts_ns += self._offset_ns
        builder = self._builder
        if not self._ts_ns:
            builder.begin(ts_ns)
        self.backwards += ts_ns < self._ts_ns
        self._ts_ns = ts_ns = max(ts_ns, self._ts_ns)
        self.messages[kind] += 1
        if kind == "order_created":
            builder.created(ts_ns, *arguments)
        elif kind == "order_deleted":
            builder.deleted(ts_ns, *arguments)
        elif kind == "order_changed":
            builder.changed(ts_ns, *arguments)
        elif kind == "order_book":
            builder.published(ts_ns, *arguments)
        else:
            builder.trade(ts_ns, *arguments)

    def _break(self, path: Path, number: int, reason: str, line: bytes) -> None:
        self.broken += 1
        if len(self.broken_first) < _BROKEN_KEPT:
            text = line[:200].decode(errors="replace")
            self.broken_first.append(BrokenLine(path.name, number, reason, text))

    def _write(self, writer: CatalogWriter) -> None:
        import pyarrow as pa

        rows = self._builder.take()
        for kind in ("depth", "trades", "quotes"):
            events = getattr(rows, kind)
            self.rows[kind] += len(events)
            if events:
                writer.append(kind, np.array(events, _core.EVENT_DTYPE))
        if rows.orders:
            self.rows["orders"] += len(rows.orders)
            schema = orders_schema()
            columns = zip(*rows.orders, strict=True)
            arrays = [
                pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)
            ]
            writer.append_orders(pa.table(arrays, schema=schema))

    def refuse_unusable(self) -> None:
        """Raises `ImportFailed` where too much is broken or nothing was found."""
        names = ", ".join(file["name"] for file in self.files)
        shown = "".join(f"\n  {line}" for line in self.broken_first[:5])
        if self.broken > self._request.max_broken_share * max(self.lines, 1):
            raise ImportFailed(
                f"{names}: {self.broken:,} of {self.lines:,} lines are broken, more than"
                f" max_broken_share={self._request.max_broken_share:g} allows; nothing was imported"
                f"{shown}"
            )
        if not any(self.messages.values()):
            raise ImportFailed(
                f"{names}: expected messages, found none; nothing was imported{shown}"
            )

    def counts(self) -> dict[str, int]:
        """How often what happened, by name."""
        book = self._builder.book.counts()
        return {
            **self._builder.counts,
            **{f"orders_{name}": value for name, value in book.items()},
            "recv_backwards": self.backwards,
        }

    def details(self) -> dict[str, Any]:
        """What the manifest says of the import beside its sources."""
        counts = self.counts()
        self.notes = list(_notes(counts, self.rows))
        return {
            "format": "bitstamp_l3",
            "files": self.files,
            "lines": self.lines,
            "broken": self.broken,
            "broken_first": [dataclasses.asdict(line) for line in self.broken_first],
            "messages": self.messages,
            "counts": counts,
            "clock_offset_given": self._request.clock_offset_ns is not None,
            "notes": self.notes,
        }

    def report(self, manifest: Manifest) -> ImportReport:
        """What the import did."""
        entries = manifest.newest_files
        return ImportReport(
            instrument=manifest.instrument,
            changed=True,
            files=[file["name"] for file in self.files],
            lines=self.lines,
            broken=self.broken,
            broken_first=self.broken_first,
            messages={name: count for name, count in self.messages.items() if count},
            rows=self.rows,
            counts=self.counts(),
            clock_offset_ns=self._offset_ns,
            ts_recv_first_ns=min((entry.ts_recv_first_ns for entry in entries), default=None),
            ts_recv_last_ns=max((entry.ts_recv_last_ns for entry in entries), default=None),
            text_bytes=self.text_bytes,
            bytes_written=sum(entry.bytes for entry in entries),
            notes=self.notes,
        )


_COUNTED = {
    "orders_unknown": "Changes or ends of orders that were not created before, here: {}.",
    "orders_deleted_twice": "Orders deleted twice: {}; the second time changes nothing.",
    "orders_added_after_delete": "Orders created after their deletion: {}; left out.",
    "orders_changed_after_delete": "Orders changed after their deletion: {}; left out.",
    "orders_added_twice": "Orders created twice: {}; the second is taken as a change.",
    "orders_impossible": "Sizes or prices that cannot be: {}; left out.",
    "remains_removed": "Orders that others rested over, removed as remains: {}.",
    "trade_duplicates": "Trades seen before: {}; left out.",
    "trades_without_aggressor": "Trades whose aggressor the orders do not tell: {}.",
    "recv_backwards": "Receive times that went back: {}; raised to the line before.",
}


def _notes(counts: dict[str, int], rows: dict[str, int]) -> Iterator[str]:
    yield "The feed has no venue times: rows have receive times only, and clocks were not compared."
    if not counts["books_published"]:
        yield "No book was published, so that there is none to begin with: no depth comes of this."
    elif counts["books_compared"]:
        compared = counts["books_compared"]
        best, top = counts["books_equal_best"], counts["books_equal_top_10"]
        yield (
            f"Of {compared:,} books that the venue published after the first, {best:,}"
            f" ({best / compared:.2%}) equal the rebuilt one at the best prices and {top:,}"
            f" ({top / compared:.2%}) in the top ten levels, prices and sizes, as they arrive."
        )
    for name, text in _COUNTED.items():
        if counts[name]:
            yield text.format(f"{counts[name]:,}")
    if not rows["trades"]:
        yield "These recordings hold no trade."
