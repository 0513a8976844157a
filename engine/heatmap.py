"""What a heatmap shows: resting size by time and price, with trades and pivots to lay over it.

`heatmap` reads the catalog through `engine.research`, so a column holds what a strategy saw at its
time. Memory is that of the picture, however long the range: time is cut into at most `COLUMNS`
columns, and a range whose prices need more than `ROWS_MAX` buckets is refused.

Times are ns since the epoch on our receive clock; pivots lie at the venue's time of their bar.
"""

from __future__ import annotations

import dataclasses
import os
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.catalog import Catalog, CatalogError
from engine.config import ConfigError, did_you_mean
from engine.heatmap_marks import INTERVALS, Pivots, Trades, pivots_of, trades_of
from engine.strategy import StrategyError
from engine.units import timestamp_ns, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Members = str | Sequence[str] | Mapping[str, float]

__all__ = [
    "AGGREGATES",
    "COLUMNS",
    "KINDS",
    "ROWS_MAX",
    "HeatmapData",
    "check_path",
    "heatmap",
    "write_heatmap",
]

KINDS = ("total", "bid", "ask", "imbalance")
"""What is drawn: both sides' size, one side's, or (bid − ask) / (bid + ask) of each bucket."""
AGGREGATES = ("last", "mean")
"""What a column holds: the last book when it begins, or the mean of up to ten books within it."""
SUFFIXES = (".png", ".html")
COLUMNS = 1_600
ROWS_MAX = 2_000
# The COB's own step: between two samples there is none to ask for.
STEP_NS = 100_000_000
_BOOKS_A_COLUMN = 10


@dataclass(frozen=True)
class HeatmapData:
    """Everything that is drawn, in plain arrays; `columns` and `rows` are counts of the matrix.

    `matrix` is float64 (rows, columns): base units, or a ratio where `kind` is imbalance; NaN where
    the size is not known: outside the window of buckets around the mid, and where no book was
    trusted. Row r is the bucket `bucket_first + r`, from `px_edges[r]` to `px_edges[r + 1]` in
    quote units. Column c is the time from `ts_edges_ns[c]` to `ts_edges_ns[c + 1]`; what it shows
    was known when it began (`aggregate` last) or is a mean over it. `mid`, `best_bid`, `best_ask`
    and `imbalance` (of the whole window) are float64 (columns,), NaN where there was no mid;
    `present` is how many members had size in the window then, int64 (columns,).
    `end_bid` and `end_ask` are the last book's buckets, float64 (rows,), NaN outside its window.
    """

    name: str
    members: tuple[str, ...]
    provenance: str
    kind: str
    aggregate: str
    base: str
    quote: str
    bucket_size: float
    bucket_first: int
    ts_edges_ns: Ints
    matrix: Floats
    mid: Floats
    best_bid: Floats
    best_ask: Floats
    imbalance: Floats
    present: Ints
    end_bid: Floats
    end_ask: Floats
    trades: Trades = field(default_factory=Trades)
    pivots: Pivots = field(default_factory=Pivots)

    @property
    def rows(self) -> int:
        """Number of price buckets."""
        return int(self.matrix.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns in time."""
        return int(self.matrix.shape[1])

    @property
    def px_edges(self) -> Floats:
        """Lower edge of each row, and the upper edge of the last, in quote units."""
        numbers = np.arange(self.bucket_first, self.bucket_first + self.rows + 1, dtype=np.float64)
        return np.asarray(numbers * self.bucket_size, dtype=np.float64)

    @property
    def column_ns(self) -> int:
        """Width of a column."""
        return int(self.ts_edges_ns[1] - self.ts_edges_ns[0])


def heatmap(
    catalog: Catalog | str | Path,
    members: Members,
    *,
    kind: str = "total",
    bucket: str | float | None = None,
    start: str | int | None = None,
    end: str | int | None = None,
    interval: str | None = None,
    columns: int = COLUMNS,
    aggregate: str = "last",
    marks: bool = True,
) -> HeatmapData:
    """Reads a heatmap of an instrument or a group (a name, ids, or ids with weights).

    `start` (inclusive) and `end` (exclusive) are receive times, by default all that the catalog
    holds of any member; `bucket` is a size in quote units, by default the group's own. `marks` adds
    trades of all members, and the pivots of that which traded most, on bars of `interval` (by
    default the shortest that suits the range).

    Raises `ConfigError` for an argument that cannot be used, `CatalogError` where there is no data,
    no depth or no trusted book in the range, or too wide a range of prices.
    """
    _check_choice("kind", kind, KINDS)
    _check_choice("aggregate", aggregate, AGGREGATES)
    if interval is not None:
        _check_choice("interval", interval, INTERVALS)
    if columns < 1:
        raise ConfigError(f"columns: expected at least 1, found {columns}")
    from engine import research

    size = _bucket(bucket)
    catalog = catalog if isinstance(catalog, Catalog) else Catalog(catalog)
    ids = _ids(catalog, members)
    span = _range(catalog, ids, start, end)
    grid = _TimeGrid.over(*span, columns)
    step_ns = grid.width_ns
    if aggregate == "mean":
        step_ns = -(-grid.width_ns // (_BOOKS_A_COLUMN * STEP_NS)) * STEP_NS
    frames = research.cob(catalog, members, bucket=size, every=step_ns, start=span[0], end=span[1])
    name = members if isinstance(members, str) else " + ".join(ids)
    try:
        data = _drawn(frames, grid, kind, aggregate, name)
    except StrategyError as error:
        # The one that records the book does nothing else that could be refused.
        raise ConfigError(str(error.__cause__ or error)) from error
    definitions = [catalog.manifest(item).definition for item in ids]
    data = dataclasses.replace(
        data,
        members=tuple(ids),
        provenance=_provenance(catalog, ids),
        base=definitions[0]["base"],
        quote="/".join(dict.fromkeys(definition["quote"] for definition in definitions)),
    )
    if not marks:
        return data
    trades = trades_of(catalog, ids, span, data.ts_edges_ns, data.bucket_size)
    busiest = max(ids, key=lambda item: trades.by_member.get(item, 0.0))
    pivots = pivots_of(catalog, busiest, span, interval)
    return dataclasses.replace(data, trades=trades, pivots=pivots)


def check_path(path: str | Path) -> Path:
    """The path of a picture; raises `ConfigError` where its suffix names no format."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"path: expected a name that ends in {' or '.join(SUFFIXES)}, found '{path}'"
        )
    return target


def write_heatmap(data: HeatmapData, path: str | Path) -> Path:
    """Draws into a file, PNG or HTML by its suffix, which replaces an earlier one in one step.

    Raises `ConfigError` for another suffix, `OSError` where the file cannot be written.
    """
    target = check_path(path)
    if target.suffix.lower() == ".png":
        from engine.heatmap_png import png

        content = png(data)
    else:
        from engine.heatmap_html import page

        content = page(data).encode()
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, target)
    except OSError as error:
        raise OSError(f"path {target}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class _TimeGrid:
    """Columns of equal width, on multiples of it since the epoch."""

    first_ns: int
    width_ns: int
    columns: int

    @classmethod
    def over(cls, start_ns: int, end_ns: int, columns_max: int) -> _TimeGrid:
        steps = max(-(-(end_ns - start_ns) // STEP_NS), 1)
        width_ns = -(-steps // columns_max) * STEP_NS
        while True:
            first = start_ns // width_ns
            columns = -(-end_ns // width_ns) - first
            if columns <= columns_max or columns_max == 1:
                return cls(first * width_ns, width_ns, min(columns, columns_max))
            # Where the range begins within a column, it can need one more.
            width_ns += STEP_NS

    def index(self, ts_ns: Ints) -> Ints:
        return np.clip((ts_ns - self.first_ns) // self.width_ns, 0, self.columns - 1)

    def edges_ns(self) -> Ints:
        return self.first_ns + self.width_ns * np.arange(self.columns + 1, dtype=np.int64)


class _Buckets:
    """Sizes by absolute bucket and column, summed; it grows with the prices that it meets."""

    def __init__(self, columns: int) -> None:
        self.first = 0
        self.bid: Floats = np.zeros((0, columns))
        self.ask: Floats = np.zeros((0, columns))
        self.count: Ints = np.zeros((0, columns), np.int64)

    def add(self, column: Ints, first: Ints, bid: Floats, ask: Floats) -> None:
        """Adds snapshots: (n,) columns and lowest buckets, (n, width) sizes."""
        width = bid.shape[1]
        self._make_room(int(first.min()), int(first.max()) + width)
        row = (first - self.first)[:, None] + np.arange(width)
        at = (row, np.broadcast_to(column[:, None], row.shape))
        np.add.at(self.bid, at, bid)
        np.add.at(self.ask, at, ask)
        np.add.at(self.count, at, 1)

    def _make_room(self, low: int, high: int) -> None:
        if not len(self.count):
            self.first = low
        before = max(self.first - low, 0)
        after = max(high - self.first - len(self.count), 0)
        if before + len(self.count) + after > ROWS_MAX:
            raise _TooManyRowsError(before + len(self.count) + after)
        if before or after:
            room = ((before, after), (0, 0))
            self.bid, self.ask = np.pad(self.bid, room), np.pad(self.ask, room)
            self.count = np.pad(self.count, room)
            self.first -= before

    def known(self, values: Floats) -> Floats:
        """The means of what was added, NaN where nothing was."""
        means: Floats = np.full(values.shape, np.nan)
        np.divide(values, self.count, out=means, where=self.count > 0)
        return means


class _TooManyRowsError(Exception):
    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


def _drawn(
    frames: Iterable[pl.DataFrame], grid: _TimeGrid, kind: str, aggregate: str, name: str
) -> HeatmapData:
    """The matrix and the lines of snapshots that come in the order of time."""
    import polars as pl

    buckets = _Buckets(grid.columns)
    lines = np.full((4, grid.columns), np.nan)
    present = np.zeros(grid.columns, np.int64)
    size, final = 0.0, None
    for frame in frames:
        # Without a mid there is no window, and so nothing that is known.
        known = frame.drop_nulls("mid")
        if not len(known):
            continue
        size = float(known["bucket_size"][0])
        column = grid.index(known["ts_ns"].to_numpy())
        first = known["bucket_first"].to_numpy()
        bid, ask = known["bid"].to_numpy(), known["ask"].to_numpy()
        try:
            buckets.add(column, first, bid, ask)
        except _TooManyRowsError as error:
            raise CatalogError(
                f"bucket: prices of {name} need {error.rows:,} buckets of {size:g} in this range,"
                f" and at most {ROWS_MAX:,} can be drawn; choose a larger bucket or a shorter range"
            ) from None
        for line, label in zip(lines, ("mid", "best_bid", "best_ask", "imbalance"), strict=True):
            line[column] = known[label].to_numpy()
        shares = known["shares"].list.eval(pl.element() > 0).list.sum()
        present[column] = shares.cast(pl.Int64).to_numpy()
        final = (int(first[-1]), bid[-1], ask[-1])
    if final is None:
        raise CatalogError(
            f"{name}: no trusted book from {utc_text(grid.first_ns)} to"
            f" {utc_text(int(grid.edges_ns()[-1]))}, so there is nothing to draw"
        )
    mid, best_bid, best_ask, imbalance = lines
    return HeatmapData(
        name=name,
        members=(),
        provenance="",
        kind=kind,
        aggregate=aggregate,
        base="",
        quote="",
        bucket_size=size,
        bucket_first=buckets.first,
        ts_edges_ns=grid.edges_ns(),
        matrix=_matrix(buckets, kind),
        mid=mid,
        best_bid=best_bid,
        best_ask=best_ask,
        imbalance=imbalance,
        present=present,
        end_bid=_placed(final[0], final[1], buckets),
        end_ask=_placed(final[0], final[2], buckets),
    )


def _matrix(buckets: _Buckets, kind: str) -> Floats:
    bid, ask = buckets.known(buckets.bid), buckets.known(buckets.ask)
    if kind == "bid":
        return bid
    if kind == "ask":
        return ask
    total = bid + ask
    if kind == "total":
        return total
    # An empty bucket leans to neither side.
    return np.where(total == 0, 0.0, (bid - ask) / np.where(total == 0, 1.0, total))


def _placed(first: int, values: Floats, buckets: _Buckets) -> Floats:
    """One window's values at their rows."""
    placed = np.full(len(buckets.count), np.nan)
    placed[first - buckets.first :][: len(values)] = values
    return placed


def _check_choice(name: str, found: str, known: Sequence[str]) -> None:
    if found not in known:
        raise ConfigError(
            f"{name}: expected one of {', '.join(known)}, found '{found}'"
            f"{did_you_mean(found, known, show_all=0)}"
        )


def _ids(catalog: Catalog, members: Members) -> list[str]:
    """The members' ids: given, an instrument's, or all of a base asset that there is depth of."""
    present = catalog.instruments()
    if not isinstance(members, str):
        ids = list(dict.fromkeys(members))
        if not ids:
            raise ConfigError("members: expected at least one instrument, found none")
        return ids
    if members in present:
        return [members]
    manifests = [catalog.manifest(item) for item in present]
    ids = [
        manifest.instrument
        for manifest in manifests
        if manifest.definition["base"] == members and manifest.of_kind("depth")
    ]
    if not ids:
        known = {*present, *(manifest.definition["base"] for manifest in manifests)}
        raise CatalogError(
            f"catalog {catalog.root}: no depth of {members}{did_you_mean(members, known)}"
        )
    return ids


def _bucket(bucket: str | float | None) -> str | None:
    """The size as decimal text."""
    text = None if bucket is None else format(Decimal(str(bucket)), "f") if _is_size(bucket) else ""
    if text == "":
        raise ConfigError(f"bucket: expected a size above 0 such as 10 or 0.5, found '{bucket}'")
    return text


def _is_size(bucket: str | float) -> bool:
    try:
        size = Decimal(str(bucket))
    except InvalidOperation:
        return False
    return size.is_finite() and size > 0 and abs(size.adjusted()) <= 12


def _range(
    catalog: Catalog, ids: Sequence[str], start: str | int | None, end: str | int | None
) -> tuple[int, int]:
    """The range asked for, cut to the depth that the members have."""
    start_ns = None if start is None else _time("start", start)
    end_ns = None if end is None else _time("end", end)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise ConfigError(f"end: expected a time after start, found {end}")
    files = [entry for item in ids for entry in catalog.manifest(item).of_kind("depth")]
    names = ", ".join(ids)
    if not files:
        raise CatalogError(
            f"catalog {catalog.root}: no depth for {names}, and a heatmap is made of depth"
        )
    first = min(entry.ts_recv_first_ns for entry in files)
    last = max(entry.ts_recv_last_ns for entry in files) + 1
    low = first if start_ns is None else max(first, start_ns)
    high = last if end_ns is None else min(last, end_ns)
    if low >= high:
        raise CatalogError(
            f"catalog {catalog.root}: no depth of {names} in the range asked for; it has"
            f" {utc_text(first)} to {utc_text(last)}"
        )
    return low, high


def _time(name: str, value: str | int) -> int:
    try:
        return timestamp_ns(value, name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _provenance(catalog: Catalog, ids: Sequence[str]) -> str:
    """`recorded`, `testnet`, or `mixed` where members differ."""
    found = {catalog.manifest(item).provenance for item in ids}
    return found.pop() if len(found) == 1 else "mixed"
