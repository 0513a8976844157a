"""Funding rates and mark prices, CSV or Parquet, to the catalog's `funding` and `marks`.

Read are Binance's public files (`BTCUSDT-fundingRate-2023-01.zip`, and the zips of
`markPriceKlines`), its REST answers saved as CSV, and candles whose columns have the usual names;
`options.NAME` names others. What a file holds its columns tell, and candles of zeros with an open
hold rates; `options.kind` decides otherwise. For the shapes see `engine.importers.funding_rows`.

Rows are taken as they come: one that cannot be used, or that goes back in time, is a broken row
with its reason; the same row twice counts as a duplicate and is left out. Nothing is sorted and
nothing is filled in. Rates and prices finer than 1e-8 are taken to the nearest and counted. The
files have no receive times: each is the venue's time plus `base_latency_ns`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.catalog import BAR_INTERVALS, Catalog
from engine.config import ConfigError, did_you_mean
from engine.importers.candle_rows import PRICES
from engine.importers.columns import TIME_UNITS
from engine.importers.delimited import Tally
from engine.importers.funding_rows import FIELDS, USUAL, RateReader, is_rates_as_candles
from engine.importers.report import ImportFailed, ImportReport
from engine.importers.sources import identified
from engine.importers.table_rows import columns_of, utc
from engine.importers.tables import open_table
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from engine.catalog import FileEntry, Manifest
    from engine.catalog_writer import CatalogWriter
    from engine.importers.funding_rows import RateRows
    from engine.importers.report import ImportRequest
    from engine.importers.tables import Batch, Table
    from engine.instruments import Instrument

__all__ = ["OPTIONS", "run"]

OPTIONS = ("kind", "interval", "ts_unit", "columns", *FIELDS)
"""The names that `options.NAME` can have."""

_KINDS = {"rates": "funding", "marks": "marks"}
_SHOWN_CHARS = 200
_OF_BINANCE = re.compile(r"(?P<symbol>[A-Z0-9_]+)-(fundingRate|[0-9]+[smhd])-[0-9]{4}-")
_NOUNS = {"funding": "fundings", "marks": "mark prices"}


def run(request: ImportRequest) -> ImportReport:
    """Imports funding rates and mark prices; see `engine.importers.run_import`."""
    started = time.perf_counter()
    request.check_options(OPTIONS)
    for name, known in (
        ("kind", tuple(_KINDS)),
        ("interval", tuple(BAR_INTERVALS)),
        ("ts_unit", (*TIME_UNITS, "iso", "auto")),
    ):
        value = request.options.get(name, known[0])
        if value not in known:
            hint = did_you_mean(value, known, show_all=0)
            raise ConfigError(
                f"options.{name}: expected one of {', '.join(known)}, found '{value}'{hint}"
            )
    instrument = load_instrument(request.instrument)
    if instrument.kind == "spot":
        raise ImportFailed(f"{instrument.id}: spot has neither funding nor a mark price")
    if instrument.market == "testnet":
        raise ImportFailed(f"{instrument.id}: its market is testnet, of which no vendor has data")
    catalog = Catalog(request.catalog)
    old = catalog.manifest(instrument.id) if catalog.has(instrument.id) else None
    files = identified(request, old)
    if not files.new:
        return files.unchanged(instrument.id)
    job = _Import(catalog, instrument, request, old)
    sources = [source for _, source in files.new]
    with catalog.writer(instrument, provenance="recorded", source=sources) as writer:
        job.read([path for path, _ in files.new], writer)
        job.refuse_unusable()
        # What another importer of this instrument left for its next run stays.
        resume = old.resume if old else None
        manifest = writer.commit(details=job.details(), resume=resume)
    return files.completed(job.report(manifest), time.perf_counter() - started)


@dataclass(frozen=True)
class _File:
    """A file as a first look shows it: what it holds, in which columns, from when on."""

    path: Path
    kind: str
    fields: dict[str, str]
    first_ns: int
    interval: str | None


class _Import:
    """One import on its way: counts, and the last row of each kind."""

    def __init__(
        self,
        catalog: Catalog,
        instrument: Instrument,
        request: ImportRequest,
        old: Manifest | None,
    ) -> None:
        self._catalog = catalog
        self._instrument = instrument
        self._request = request
        self._old = old
        self._tally = Tally()
        self._before: dict[str, tuple[int, ...]] = {}
        self._steps_min: list[npt.NDArray[np.int64]] = []
        self._files: list[dict[str, Any]] = []
        self._span: dict[str, tuple[int, int]] = {}
        self._written: Counter[str] = Counter()
        self._sound = 0

    def read(self, paths: list[Path], writer: CatalogWriter) -> None:
        """Reads the files in the order of their first rows and writes what is sound."""
        total = sum(path.stat().st_size for path in paths)
        done = 0
        looks = [self._look(path) for path in paths]
        for look in sorted(looks, key=lambda look: (look.kind, look.first_ns, look.path.name)):
            lines, broken = self._tally.lines, self._tally.broken
            with contextlib.closing(self._open(look.path)) as table:
                reader = self._reader(look)
                for batch in table.batches:
                    self._take(look, reader, batch, writer)
                    self._request.progress("import", done + table.bytes_done(), total)
            self._tally.counts["rounded"] += reader.rounded
            self._take_damage(look.path, table)
            done += look.path.stat().st_size
            self._files.append(
                {
                    "name": look.path.name,
                    "bytes": look.path.stat().st_size,
                    "kind": look.kind,
                    "interval": look.interval,
                    "lines": self._tally.lines - lines,
                    "broken": self._tally.broken - broken,
                    "columns": look.fields,
                    "ts_unit": reader.ts_unit,
                }
            )
        self._tally.sort([file["name"] for file in self._files])

    def _open(self, path: Path) -> Table:
        names = self._request.options.get("columns")
        return open_table(path, names=names.strip("[]").split(",") if names else None)

    def _reader(self, look: _File) -> RateReader:
        interval_ns = 0 if look.interval is None else BAR_INTERVALS[look.interval]
        ts_unit = self._request.options.get("ts_unit", "auto")
        return RateReader(look.path, look.fields, self._instrument.symbol, interval_ns, ts_unit)

    def _look(self, path: Path) -> _File:
        """What a file holds, by its name, its columns and its first batch."""
        named = _OF_BINANCE.match(path.name)
        if named is not None and named["symbol"] != self._instrument.symbol:
            raise ImportFailed(
                f"{path}: by its name it is of {named['symbol']}, instrument {self._instrument.id}"
                f" expects {self._instrument.symbol}"
            )
        with contextlib.closing(self._open(path)) as table:
            options = self._request.options
            given = {name: options[name] for name in FIELDS if name in options}
            fields = columns_of(path, table.names, given, USUAL)
            batch = next(table.batches, None)
            kind, fields = _told(path, table.names, fields, batch, self._request.options)
            look = _File(path, kind, fields, 0, None)
            if batch is None:
                return look
            times, ok = self._reader(look).times(batch)
        times = times[ok]
        interval = self._interval(path, times) if "open" in fields else None
        return dataclasses.replace(
            look, first_ns=int(times[0]) if len(times) else 0, interval=interval
        )

    def _interval(self, path: Path, times: Any) -> str:
        """The interval of candles: as told, else the least distance of two of them."""
        told = self._request.options.get("interval")
        if told is not None:
            return told
        apart = np.diff(times)
        least = int(apart[apart > 0].min()) if (apart > 0).any() else 0
        for name, interval_ns in BAR_INTERVALS.items():
            if interval_ns == least:
                return name
        raise ImportFailed(
            f"{path}: the interval of its candles cannot be told from their times; name it with"
            f" options.interval=8h ({', '.join(BAR_INTERVALS)})"
        )

    def _take(self, look: _File, reader: RateReader, batch: Batch, writer: CatalogWriter) -> None:
        self._tally.lines += batch.rows
        rows, reasons = reader.read(batch)
        self._break(look.path, batch, batch.rows - len(rows), reasons)
        rows = self._in_order(look, batch, rows)
        if not len(rows):
            return
        self._sound += len(rows)
        interval_ns = 0 if look.interval is None else BAR_INTERVALS[look.interval]
        table = rows.table(interval_ns, self._request.base_latency_ns)
        table = self._not_there(look, table)
        if not table.num_rows:
            return
        writer.append_rates(look.kind, table)
        times = table.column("ts_event_ns")
        first, last = times[0].as_py(), times[-1].as_py()
        self._span[look.kind] = (self._span.get(look.kind, (first, last))[0], last)
        self._written[look.kind] += table.num_rows

    def _break(self, path: Path, batch: Batch, count: int, reasons: dict[int, str]) -> None:
        for at in sorted(reasons)[:count]:
            cells = [column[at].as_py() for column in batch.columns.values()]
            text = ",".join(
                cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
                for cell in cells
            )
            self._tally.break_line(path.name, batch.line(at), reasons[at], text[:_SHOWN_CHARS])
        self._tally.broken += count - min(count, len(reasons))

    def _in_order(self, look: _File, batch: Batch, rows: RateRows) -> RateRows:
        """Leaves out what is not later than all before it."""
        before = self._before.get(look.kind)
        last = rows.ts_ns[0] - 1 if before is None and len(rows) else (before or (0,))[0]
        latest = np.maximum.accumulate(np.concatenate([[last], rows.ts_ns]))[:-1]
        late = rows.ts_ns <= latest
        repeats = rows.repeats(before)
        self._tally.counts["duplicates"] += int(repeats.sum())
        reasons: dict[int, str] = {}
        for at in np.flatnonzero(late & ~repeats).tolist():
            same = rows.ts_ns[at] == latest[at]
            reasons[int(rows.row[at])] = (
                f"another row of {utc(rows.ts_ns[at])}"
                if same
                else f"time goes back to {utc(rows.ts_ns[at])} from {utc(latest[at])}"
            )
        self._break(look.path, batch, len(reasons), reasons)
        kept = rows.only(~late)
        if len(kept):
            if look.kind == "funding":
                times = kept.ts_ns if before is None else np.concatenate([[last], kept.ts_ns])
                # Payments come some milliseconds late: distances are told to the minute.
                minutes = np.rint(np.diff(times) / 60e9).astype(np.int64)
                self._steps_min.append(minutes)
            self._before[look.kind] = kept.last()
        return kept

    def _not_there(self, look: _File, table: Any) -> Any:
        """Leaves out rows that the catalog has; others within its files cannot be added."""
        import polars as pl

        there = [] if self._old is None else self._old.of_kind(look.kind)
        for entry in there:
            times = table.column("ts_recv_ns").to_numpy()
            inside = (times >= entry.ts_recv_first_ns) & (times <= entry.ts_recv_last_ns)
            if not inside.any():
                continue
            mine = pl.from_arrow(table.filter(inside))
            assert isinstance(mine, pl.DataFrame)
            self._check_equal(look, entry, mine)
            self._tally.counts["already_there"] += int(inside.sum())
            table = table.filter(~inside)
        return table

    def _check_equal(self, look: _File, entry: FileEntry, mine: Any) -> None:
        import polars as pl

        theirs = pl.concat(
            self._catalog.rate_batches(
                self._instrument.id,
                look.kind,
                start_ns=entry.ts_recv_first_ns,
                end_ns=entry.ts_recv_last_ns + 1,
            )
        )
        new = mine.join(
            theirs, on=mine.columns, how="anti", nulls_equal=True, maintain_order="left"
        )
        if len(new):
            row = new.row(0, named=True)
            same = theirs.filter(pl.col("ts_event_ns") == row["ts_event_ns"])
            what = "differs from the catalog's" if len(same) else "lies between rows of the catalog"
            raise ImportFailed(
                f"{look.path}: the row of {utc(row['ts_event_ns'])} {what}, which holds"
                f" {_NOUNS[look.kind]} up to {utc(entry.ts_recv_last_ns)}; import all files"
                " together into another catalog"
            )

    def _take_damage(self, path: Path, table: Table) -> None:
        tally = self._tally
        tally.lines += table.broken_count
        for line, reason, text in table.broken:
            tally.break_line(path.name, line, reason, text)
        tally.broken += table.broken_count - len(table.broken)
        if table.damage is not None:
            tally.lines += 1
            tally.broken += 1
            tally.notes.append(f"{path.name}: {table.damage}; the rows before that were taken.")

    def refuse_unusable(self) -> None:
        """Raises `ImportFailed` where too much is broken or nothing is of use."""
        tally = self._tally
        if tally.broken > self._request.max_broken_share * tally.lines or self._sound == 0:
            names = ", ".join(file["name"] for file in self._files)
            shown = "".join(f"\n  {line}" for line in tally.broken_first[:5])
            raise ImportFailed(
                f"{names}: {tally.broken:,} of {tally.lines:,} rows are broken, more than"
                f" max_broken_share={self._request.max_broken_share:g} allows; nothing was"
                f" imported{shown}"
            )

    def details(self) -> dict[str, Any]:
        """What the manifest says of the import beside its sources."""
        tally = self._tally
        tally.notes[:0] = self._said()
        return {
            "format": "funding",
            "options": dict(sorted(self._request.options.items())),
            "files": self._files,
            "lines": tally.lines,
            "broken": tally.broken,
            "broken_first": [dataclasses.asdict(line) for line in tally.broken_first],
            "counts": _above_zero(tally.counts),
            "base_latency_ns": self._request.base_latency_ns,
            "notes": tally.notes,
        }

    def _said(self) -> list[str]:
        notes = [
            f"{self._written[kind]:,} {_NOUNS[kind]} from {utc(first)} to {utc(last)}."
            for kind, (first, last) in self._span.items()
        ]
        steps = np.concatenate([np.empty(0, np.int64), *self._steps_min])
        if len(steps):
            usual, longer = _intervals(steps)
            self._tally.counts["gaps"] = longer
            told = f"; {longer:,} gaps are longer" if longer else ", without a gap"
            hours = " and ".join(f"{step / 60:g}" for step in usual)
            notes.append(f"Fundings are {hours} hours apart{told}.")
        counted = {
            "already_there": "Rows that the catalog has already, and equal: {}; left out.",
            "duplicates": "Rows that stand in the files twice: {}; left out.",
            "rounded": "Numbers finer than 1e-8: {}; taken to the nearest.",
        }
        counts = self._tally.counts
        notes += [
            text.format(f"{counts[name]:,}") for name, text in counted.items() if counts[name]
        ]
        if not self._written:
            notes.append("Every row is in the catalog already: no row was added.")
        return notes

    def report(self, manifest: Manifest) -> ImportReport:
        """What the import did."""
        tally = self._tally
        spans = self._span.values()
        return ImportReport(
            instrument=manifest.instrument,
            changed=True,
            files=[file["name"] for file in self._files],
            lines=tally.lines,
            broken=tally.broken,
            broken_first=tally.broken_first,
            rows=dict(self._written),
            counts=_above_zero(tally.counts),
            ts_recv_first_ns=min((first for first, _ in spans), default=None),
            ts_recv_last_ns=max((last for _, last in spans), default=None),
            bytes_written=sum(entry.bytes for entry in manifest.newest_files),
            notes=tally.notes,
        )


def _told(
    path: Path,
    names: Sequence[str],
    fields: dict[str, str],
    batch: Batch | None,
    options: Any,
) -> tuple[str, dict[str, str]]:
    """The kind of data that a file holds, and those of its columns that it is read from."""
    has_candles = all(name in fields for name in PRICES)
    wanted = options.get("kind")
    common: dict[str, str] = {name: fields[name] for name in ("ts", "symbol") if name in fields}
    if "ts" not in fields:
        found = f"found {', '.join(names)}; name it with options.ts=..."
        raise ImportFailed(f"{path}: expected a column of times, {found}")
    if wanted != "marks":
        rate = fields.get("rate")
        if rate is None and has_candles and batch is not None:
            rates = wanted == "rates" or is_rates_as_candles(batch, fields)
            rate = fields["open"] if rates else None
        if rate is not None:
            mark = {"mark": fields["mark"]} if "mark" in fields else {}
            return "funding", {**common, "rate": rate, **mark}
    if wanted != "rates":
        if has_candles:
            return "marks", {**common, **{name: fields[name] for name in PRICES}}
        if "mark" in fields:
            return "marks", {**common, "mark": fields["mark"]}
    needed = {"rates": "a column of rates", "marks": "open, high, low and close, or a mark price"}
    expected = needed.get(wanted or "", " or ".join(needed.values()))
    raise ImportFailed(
        f"{path}: expected {expected}, found {', '.join(names)}; name it with options.rate=... or"
        " options.mark=..."
    )


def _intervals(steps: npt.NDArray[np.int64]) -> tuple[list[int], int]:
    """The distances of fundings in use, and how many steps are longer than the most common one and
    none of these: venues change them, so three equal steps in a row are an interval.
    """
    values, counts = np.unique(steps, return_counts=True)
    most_common = int(values[np.argmax(counts)])
    begins = np.flatnonzero(np.diff(steps, prepend=-1))
    lengths = np.diff(begins, append=len(steps))
    kept = np.repeat(lengths >= 3, lengths)
    usual = sorted({most_common, *steps[kept].tolist()})
    return usual, int((~kept & (steps > most_common)).sum())


def _above_zero(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}
