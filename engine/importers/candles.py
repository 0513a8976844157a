"""Candles of any source, CSV or Parquet, to the catalog's `bars`.

The user names the columns (`options.open=…`), or they go by the usual names. Rows are taken as
they come: one that cannot be a candle, or that goes back in time, is a broken row with its reason;
the same candle twice in a row counts as a duplicate and is left out. Nothing is sorted and nothing
is filled in: a candle that the file lacks is missing in the catalog, which counts it.

Prices are exact multiples of the tick. Volumes are often sums of floats in their source; what is
off the lot is taken to the nearest lot and counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.catalog import BAR_INTERVALS, Catalog
from engine.config import ConfigError, did_you_mean
from engine.importers.candle_rows import OPTIONAL, PRICES, CandleReader, Candles
from engine.importers.columns import TIME_UNITS
from engine.importers.report import BrokenLine, ImportFailed, ImportReport
from engine.importers.sources import identified
from engine.importers.table_rows import columns_of, shown, utc
from engine.importers.tables import open_table
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.catalog import Manifest
    from engine.catalog_writer import CatalogWriter
    from engine.importers.report import ImportRequest
    from engine.importers.tables import Batch, Table
    from engine.instruments import Instrument

__all__ = ["BINANCE_KLINES", "OPTIONS", "CandleLayout", "import_candles", "layout_of", "run"]

_NEEDED = ("ts", *PRICES, "volume")
_FIELDS = (*_NEEDED, *OPTIONAL)
OPTIONS = ("interval", "preset", "ts_unit", "columns", "skip_lines", *_FIELDS)
"""The names that `options.NAME` can have."""

_USUAL = {
    **{name: (name,) for name in _FIELDS},
    "ts": ("ts_ms", "ts_us", "ts_ns", "ts_s", "ts", "time", "timestamp", "open_time", "date"),
    "volume": ("volume", "vol"),
}
_BROKEN_KEPT = 100
_NEVER = -(2**63)
# From this many candles on, a step that all of them share is no accident.
_COMMON_STEP_ROWS = 30


@dataclass(frozen=True)
class CandleLayout:
    """How candles lie in a file: their interval, the unit of their times (`s`, `ms`, `us`, `ns`,
    `iso`, or `auto`: by the name of the column or the size of the number), and the columns of
    fields that do not have the usual name. `names` are the columns of a CSV without a line of them.
    """

    interval: str
    ts_unit: str = "auto"
    columns: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    skip_lines: int = 0

    def __post_init__(self) -> None:
        _one_of("options.interval", self.interval, tuple(BAR_INTERVALS))
        _one_of("options.ts_unit", self.ts_unit, (*TIME_UNITS, "iso", "auto"))

    @property
    def interval_ns(self) -> int:
        """The interval in ns."""
        return BAR_INTERVALS[self.interval]


def BINANCE_KLINES(interval: str) -> CandleLayout:  # noqa: N802  a layout, but for its interval
    """The kline files of Binance's public archive, spot (no first line of names) and futures."""
    return CandleLayout(
        interval,
        columns={
            "ts": "open_time",
            **{name: name for name in (*PRICES, "volume")},
            "buy_volume": "taker_buy_volume",
            "trades": "count",
            "value": "quote_volume",
        },
        names=(
            "open_time",
            *PRICES,
            "volume",
            "close_time",
            "quote_volume",
            "count",
            "taker_buy_volume",
            "taker_buy_quote_volume",
            "ignore",
        ),
    )


_PRESETS = {"binance_klines": BINANCE_KLINES}


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        hint = did_you_mean(value, known, show_all=0)
        raise ConfigError(f"{name}: expected one of {', '.join(known)}, found '{value}'{hint}")


def layout_of(request: ImportRequest) -> CandleLayout:
    """The layout that the options of a request describe; raises `ConfigError` for a bad one."""
    request.check_options(OPTIONS)
    options = dict(request.options)
    interval = options.get("interval")
    if not interval:
        raise ConfigError(
            "options.interval: a value is needed; write options.interval=1m"
            f" ({', '.join(BAR_INTERVALS)})"
        )
    layout = CandleLayout(interval)
    if "preset" in options:
        _one_of("options.preset", options["preset"], tuple(_PRESETS))
        layout = _PRESETS[options["preset"]](interval)
    names = options.get("columns")
    skip_lines = options.get("skip_lines", "0")
    if not skip_lines.isdecimal() or int(skip_lines) > 1000:
        raise ConfigError(f"options.skip_lines: expected 0 to 1000, found '{skip_lines}'")
    return dataclasses.replace(
        layout,
        ts_unit=options.get("ts_unit", layout.ts_unit),
        columns={**layout.columns, **{name: options[name] for name in _FIELDS if name in options}},
        names=tuple(names.strip("[]").split(",")) if names else layout.names,
        skip_lines=int(skip_lines),
    )


def run(request: ImportRequest) -> ImportReport:
    """Imports candles; see `engine.importers.run_import`."""
    return import_candles(request, layout_of(request), format="candles")


def import_candles(request: ImportRequest, layout: CandleLayout, *, format: str) -> ImportReport:
    """Imports the files of a request as candles of `layout`, all or nothing. `format` is the name
    that the manifest gives the source. Raises as `engine.importers.run_import` does.
    """
    started = time.perf_counter()
    instrument = load_instrument(request.instrument)
    catalog = Catalog(request.catalog)
    old = catalog.manifest(instrument.id) if catalog.has(instrument.id) else None
    files = identified(request, old)
    if not files.new:
        return files.unchanged(instrument.id)
    job = _Import(catalog, instrument, layout, request, old)
    sources = [source for _, source in files.new]
    with catalog.writer(instrument, provenance="recorded", source=sources) as writer:
        job.read([path for path, _ in files.new], writer)
        job.refuse_unusable()
        details = {"format": format, **job.details()}
        if job.written == 0 and old is not None:
            # All candles are there already: the import is remembered, the data stays as it is.
            job.notes.append("Every candle is in the catalog already: no candle was added.")
        # What another importer of this instrument left for its next run stays.
        resume = old.resume if old else None
        manifest = writer.commit(details=details, resume=resume)
    return files.completed(job.report(manifest), time.perf_counter() - started)


class _Import:
    """One import on its way: counts, the last candle seen, and what is there already."""

    def __init__(
        self,
        catalog: Catalog,
        instrument: Instrument,
        layout: CandleLayout,
        request: ImportRequest,
        old: Manifest | None,
    ) -> None:
        self._catalog = catalog
        self._instrument = instrument
        self._layout = layout
        self._request = request
        self._there = [] if old is None else old.of_interval(layout.interval)
        self._before: Candles | None = None
        self._step_ns = 0
        self._rates = self._without_volume = self._moved_without_volume = 0
        self.files: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.rows = self.broken = self.written = self.sound = 0
        self.broken_first: list[BrokenLine] = []
        self.counts = {"already_there": 0, "duplicates": 0, "volumes_rounded": 0}
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def read(self, paths: list[Path], writer: CatalogWriter) -> None:
        """Reads the files in the order of their first candles and writes what is sound."""
        total = sum(path.stat().st_size for path in paths)
        done = 0
        for path in sorted(paths, key=self._first_time):
            rows, broken = self.rows, self.broken
            with contextlib.closing(self._open(path)) as table:
                reader, fields = self._reader(path, table)
                for batch in table.batches:
                    self._take(reader, path, batch, writer)
                    self._request.progress("import", done + table.bytes_done(), total)
            self._rates += reader.rates
            self._without_volume += reader.without_volume
            self._moved_without_volume += reader.moved_without_volume
            self._take_damage(path, table)
            done += path.stat().st_size
            self.files.append(
                {
                    "name": path.name,
                    "bytes": path.stat().st_size,
                    "lines": self.rows - rows,
                    "broken": self.broken - broken,
                    "columns": fields,
                    "ts_unit": reader.ts_unit,
                }
            )

    def _open(self, path: Path) -> Table:
        return open_table(path, names=self._layout.names, skip_lines=self._layout.skip_lines)

    def _first_time(self, path: Path) -> tuple[int, str]:
        """Where a file stands among others: a look at its first batch."""
        with contextlib.closing(self._open(path)) as table:
            reader, _ = self._reader(path, table)
            for batch in table.batches:
                times, ok = reader.times(batch)
                if ok.any():
                    return int(times[ok][0]), path.name
        return 0, path.name

    def _reader(self, path: Path, table: Table) -> tuple[CandleReader, dict[str, str]]:
        layout = self._layout
        fields = columns_of(path, table.names, layout.columns, _USUAL, _NEEDED)
        reader = CandleReader(path, fields, self._instrument, layout.interval_ns, layout.ts_unit)
        return reader, fields

    def _take(self, reader: CandleReader, path: Path, batch: Batch, writer: CatalogWriter) -> None:
        self.rows += batch.rows
        candles, reasons = reader.candles(batch)
        self._break(path, batch, batch.rows - len(candles), reasons)
        candles = self._in_order(path, batch, candles)
        if not len(candles):
            return
        self.sound += len(candles)
        self.counts["volumes_rounded"] += int(candles.rounded.sum())
        self._step_ns = int(np.gcd(self._step_ns, np.gcd.reduce(candles.ts_ns)))
        candles = self._not_there(path, candles)
        if len(candles):
            writer.append_bars(self._layout.interval, candles.table())
            self.written += len(candles)
            self.first_ns = int(candles.ts_ns[0]) if self.first_ns is None else self.first_ns
            self.last_ns = int(candles.ts_ns[-1])

    def _break(self, path: Path, batch: Batch, count: int, reasons: dict[int, str]) -> None:
        self.broken += count
        for at in sorted(reasons)[: _BROKEN_KEPT - len(self.broken_first)]:
            text = ",".join(str(shown(column[at])) for column in batch.columns.values())
            line = BrokenLine(path.name, batch.line(at), reasons[at], text[:200])
            self.broken_first.append(line)

    def _in_order(self, path: Path, batch: Batch, candles: Candles) -> Candles:
        """Leaves out what is not later than all before it."""
        before = self._before
        last = _NEVER if before is None else int(before.ts_ns[0])
        latest = np.maximum.accumulate(np.concatenate([[last], candles.ts_ns]))[:-1]
        late = candles.ts_ns <= latest
        repeats = candles.repeats(before)
        self.counts["duplicates"] += int(repeats.sum())
        wrong = np.flatnonzero(late & ~repeats)
        reasons: dict[int, str] = {}
        for at in wrong[:_BROKEN_KEPT].tolist():
            same = candles.ts_ns[at] == latest[at]
            what = "another candle of" if same else "time goes back to"
            reasons[int(candles.row[at])] = f"{what} {utc(candles.ts_ns[at])}" + (
                "" if same else f" from {utc(latest[at])}"
            )
        self._break(path, batch, len(wrong), reasons)
        kept = candles.only(~late)
        if len(kept):
            self._before = kept.only(np.array([len(kept) - 1]))
        return kept

    def _not_there(self, path: Path, candles: Candles) -> Candles:
        """Leaves out candles that the catalog has; others within its files cannot be added."""
        for entry in self._there:
            inside = (candles.ts_ns >= entry.ts_recv_first_ns) & (
                candles.ts_ns <= entry.ts_recv_last_ns
            )
            if not inside.any():
                continue
            span = candles.ts_ns[inside]
            there = self._catalog.bars(
                self._instrument.id,
                self._layout.interval,
                start_ns=int(span[0]),
                end_ns=int(span[-1]) + 1,
            ).to_arrow()
            self._check_equal(path, candles.only(inside), there)
            self.counts["already_there"] += int(inside.sum())
            candles = candles.only(~inside)
        return candles

    def _check_equal(self, path: Path, candles: Candles, there: Any) -> None:
        table = candles.table()
        times = there.column("ts_start_ns").to_numpy()
        at = np.searchsorted(times, candles.ts_ns)
        found = at < len(times)
        found[found] = times[at[found]] == candles.ts_ns[found]
        if not found.all():
            first = utc(candles.ts_ns[~found][0])
            raise ImportFailed(
                f"{path}: the candle of {first} lies between candles that the catalog has, to which"
                " none is added; import all files together into an empty catalog"
            )
        for name in table.schema.names:
            mine, theirs = table.column(name).to_pylist(), there.column(name).take(at).to_pylist()
            for row, (new, old) in enumerate(zip(mine, theirs, strict=True)):
                if new != old:
                    raise ImportFailed(
                        f"{path}: the candle of {utc(candles.ts_ns[row])} differs from the"
                        f" catalog's: {name} {new}, there {old}; import into another catalog"
                    )

    def _take_damage(self, path: Path, table: Table) -> None:
        self.rows += table.broken_count
        self.broken += table.broken_count
        for line, reason, text in table.broken[: _BROKEN_KEPT - len(self.broken_first)]:
            self.broken_first.append(BrokenLine(path.name, line, reason, text))
        self.broken_first.sort(key=lambda item: (item.file != path.name, item.line))
        if table.damage is not None:
            self.rows += 1
            self.broken += 1
            self.notes.append(f"{path.name}: {table.damage}; the rows before that were taken.")

    def refuse_unusable(self) -> None:
        """Raises `ImportFailed` for what is not candles, or not those that the options say."""
        names = ", ".join(file["name"] for file in self.files)
        if self._rates * 2 > self.rows:
            raise ImportFailed(
                f"{names}: high, low, close and volume are 0 beside an open that is not in"
                f" {self._rates:,} of {self.rows:,} rows: these are rates (such as funding), not"
                " candles; nothing was imported (see format=funding)"
            )
        if self._without_volume == self.rows and self._moved_without_volume:
            raise ImportFailed(
                f"{names}: the volume is 0 in all {self.rows:,} rows while the price moves in"
                f" {self._moved_without_volume:,} of them: these are mark or index prices, not"
                " candles of trades; nothing was imported (see format=funding)"
            )
        if self.broken > self._request.max_broken_share * self.rows or self.sound == 0:
            shown = "".join(f"\n  {line}" for line in self.broken_first[:5])
            share = f"max_broken_share={self._request.max_broken_share:g}"
            raise ImportFailed(
                f"{names}: {self.broken:,} of {self.rows:,} rows are broken, more than {share}"
                f" allows; nothing was imported{self._hint()}{shown}"
            )
        step = self._common_step()
        if step is not None:
            raise ImportFailed(
                f"{names}: options.interval says {self._layout.interval}, but all"
                f" {self.sound:,} candles lie {step} apart; nothing was imported"
            )

    def _common_step(self) -> str | None:
        """The interval that the candles really have, where it is a longer one."""
        if self.sound < _COMMON_STEP_ROWS:
            return None
        longer = [
            name
            for name, step_ns in BAR_INTERVALS.items()
            if step_ns > self._layout.interval_ns and self._step_ns % step_ns == 0
        ]
        return longer[-1] if longer else None

    def _hint(self) -> str:
        reasons = [line.reason for line in self.broken_first]
        back = sum(reason.startswith("time goes back") for reason in reasons)
        if back * 2 > len(reasons):
            return "; candles are needed in the order of time, the earliest first"
        return ""

    def details(self) -> dict[str, Any]:
        """What the manifest says of the import beside its sources."""
        self._say_counts()
        return {
            "interval": self._layout.interval,
            "files": self.files,
            "lines": self.rows,
            "broken": self.broken,
            "broken_first": [dataclasses.asdict(line) for line in self.broken_first],
            "counts": self.counts,
            "notes": list(self.notes),
        }

    def _say_counts(self) -> None:
        said = {
            "already_there": "Candles that the catalog has already, and equal: {}; left out.",
            "duplicates": "Candles that stand in the file twice: {}; left out.",
            "volumes_rounded": (
                f"Volumes off the lot {self._instrument.lot}: {{}}; taken to the nearest lot."
            ),
        }
        self.notes.extend(
            text.format(f"{self.counts[name]:,}")
            for name, text in said.items()
            if self.counts[name]
        )
        if self.first_ns is None or self.last_ns is None:
            return
        interval_ns = self._layout.interval_ns
        missing = (self.last_ns - self.first_ns) // interval_ns + 1 - self.written
        self.notes.insert(
            0,
            f"{self.written:,} candles of {self._layout.interval} from {utc(self.first_ns)} to"
            f" {utc(self.last_ns)}; {missing:,} between them are missing.",
        )

    def report(self, manifest: Manifest) -> ImportReport:
        """What the import did."""
        entries = manifest.newest_files
        return ImportReport(
            instrument=manifest.instrument,
            changed=True,
            files=[file["name"] for file in self.files],
            lines=self.rows,
            broken=self.broken,
            broken_first=self.broken_first,
            messages={"candle": self.rows - self.broken},
            rows={"bars": self.written},
            counts=self.counts,
            ts_recv_first_ns=self.first_ns,
            ts_recv_last_ns=self.last_ns,
            bytes_written=sum(entry.bytes for entry in entries),
            notes=self.notes,
        )
