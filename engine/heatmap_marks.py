"""Trades and pivots to lay over a heatmap, few enough to be seen.

Trades are summed by column, bucket and aggressor; of those sums the largest are drawn. Pivots are
drawn from the lowest level that leaves few enough. What is left out is counted, to be told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import polars as pl

    from engine.catalog import Catalog

    Bools = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["INTERVALS", "Pivots", "Trades", "pivots_of", "trades_of"]

TRADES_MAX = 700
PIVOTS_MAX = 90
_BARS_MAX = 1_500
INTERVALS = ("1s", "1m", "5m", "15m", "1h", "4h", "1d")
# Sums are made whole between chunks, so that memory follows the picture, not the trades.
_ROWS_KEPT = 200_000
# Codes of a trade's aggressor in the event record.
_NO_SIDE, _BUY = 0, 1


def _floats() -> Floats:
    return np.zeros(0)


def _ints() -> Ints:
    return np.zeros(0, np.int64)


def _bools() -> Bools:
    return np.zeros(0, np.bool_)


@dataclass(frozen=True)
class Trades:
    """Sums of trades with one aggressor in one column and bucket, largest last.

    `ts_ns` and `px` are their means weighted by size, `qty` base units; `count` and `qty_all` are
    of all trades in the range with an aggressor, drawn or not; `by_member` is the volume of each
    member, `bought` and `sold` that of each column, float64 (columns,).
    """

    ts_ns: Ints = field(default_factory=_ints)
    px: Floats = field(default_factory=_floats)
    qty: Floats = field(default_factory=_floats)
    is_buy: Bools = field(default_factory=_bools)
    count: int = 0
    qty_all: float = 0.0
    by_member: dict[str, float] = field(default_factory=dict)
    bought: Floats = field(default_factory=_floats)
    sold: Floats = field(default_factory=_floats)

    @property
    def qty_share(self) -> float:
        """Share of all volume that is drawn."""
        return float(self.qty.sum() / self.qty_all) if self.qty_all else 1.0


@dataclass(frozen=True)
class Pivots:
    """Pivots of `instrument` on bars of `interval`, of level `level_min` and above, out of `count`
    confirmed in the range: `px`, the start of their bar, when they were known, high or low.
    """

    instrument: str = ""
    interval: str = ""
    ts_pivot_ns: Ints = field(default_factory=_ints)
    ts_confirmed_ns: Ints = field(default_factory=_ints)
    px: Floats = field(default_factory=_floats)
    level: Ints = field(default_factory=_ints)
    is_high: Bools = field(default_factory=_bools)
    level_min: int = 1
    count: int = 0


def trades_of(
    catalog: Catalog,
    ids: Sequence[str],
    span: tuple[int, int],
    ts_edges_ns: Ints,
    bucket_size: float,
) -> Trades:
    """The trades of all members within `span`, summed for the columns and buckets of a heatmap.

    They come from the catalog a batch at a time, in units of the base asset.
    """
    import polars as pl

    first_ns, columns = int(ts_edges_ns[0]), len(ts_edges_ns) - 1
    width_ns = int(ts_edges_ns[1]) - first_ns
    parts: list[pl.DataFrame] = []
    by_member = dict.fromkeys(ids, 0.0)
    for name in ids:
        definition = catalog.manifest(name).definition
        tick = float(definition["tick"])
        for rows in catalog.batches(name, "trades", start_ns=span[0], end_ns=span[1]):
            sided = rows[rows["side"] != _NO_SIDE]
            px = sided["px_ticks"] * tick
            qty = _base_qty(sided["qty_lots"], px, definition)
            since = sided["ts_recv_ns"] - first_ns
            parts.append(
                pl.DataFrame(
                    {
                        "column": since // width_ns,
                        "bucket": np.floor(px / bucket_size).astype(np.int64),
                        "is_buy": sided["side"] == _BUY,
                        "count": np.ones(len(sided), np.int64),
                        "qty": qty,
                        "px_qty": px * qty,
                        "since_qty": since * qty,
                    }
                )
            )
            by_member[name] += float(qty.sum())
            if sum(map(len, parts)) > _ROWS_KEPT:
                parts = [_summed(pl.concat(parts))]
    if not parts:
        return Trades()
    sums = _summed(pl.concat(parts)).sort("qty", "column", "bucket", "is_buy")
    drawn = sums.filter(pl.col("qty") > 0).tail(TRADES_MAX)
    sizes = drawn["qty"].to_numpy()
    return Trades(
        ts_ns=first_ns + (drawn["since_qty"].to_numpy() / sizes).astype(np.int64),
        px=drawn["px_qty"].to_numpy() / sizes,
        qty=sizes,
        is_buy=drawn["is_buy"].to_numpy(),
        count=int(sums["count"].sum()),
        qty_all=float(sums["qty"].sum()),
        by_member=by_member,
        bought=_by_column(sums.filter("is_buy"), columns),
        sold=_by_column(sums.filter(~pl.col("is_buy")), columns),
    )


def _by_column(sums: pl.DataFrame, columns: int) -> Floats:
    found = np.bincount(sums["column"].to_numpy(), sums["qty"].to_numpy(), columns)
    return found.astype(np.float64)


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    keys = ("column", "bucket", "is_buy")
    return rows.group_by(keys, maintain_order=True).agg(pl.exclude(keys).sum())


def _base_qty(qty_lots: Ints, px: Floats, definition: dict[str, str]) -> Floats:
    """Base units of trades: an inverse contract is worth its size in the quote asset."""
    contracts = qty_lots * (float(definition["lot"]) * float(definition["contract_size"]))
    inverse = definition["kind"] == "inverse"
    return np.asarray(contracts / px if inverse else contracts, dtype=np.float64)


def pivots_of(
    catalog: Catalog, instrument: str, span: tuple[int, int], interval: str | None
) -> Pivots:
    """The pivots of an instrument's trades within `span`, on bars of `interval`."""
    import polars as pl

    from engine import research

    if not catalog.manifest(instrument).of_kind("trades"):
        return Pivots()
    interval = interval or _interval(span[1] - span[0])
    level_min, count = 1, 0
    found: pl.DataFrame | None = None
    for frame in research.pivots(catalog, instrument, interval, start=span[0], end=span[1]):
        count += len(frame)
        found = frame if found is None else pl.concat([found, frame])
        while len(found := found.filter(pl.col("level") >= level_min)) > PIVOTS_MAX:
            level_min += 1
    if found is None:
        return Pivots(instrument=instrument, interval=interval)
    # A pivot of a level is one of all levels below: the highest one tells it all.
    found = found.sort("level").unique(["ts_pivot_ns", "is_high"], keep="last").sort("ts_pivot_ns")
    return Pivots(
        instrument=instrument,
        interval=interval,
        ts_pivot_ns=found["ts_pivot_ns"].to_numpy(),
        ts_confirmed_ns=found["ts_confirmed_ns"].to_numpy(),
        px=found["px"].to_numpy(),
        level=found["level"].cast(pl.Int64).to_numpy(),
        is_high=found["is_high"].to_numpy(),
        level_min=level_min,
        count=count,
    )


def _interval(span_ns: int) -> str:
    """The shortest bars of which the range holds no more than can be told apart."""
    for interval in INTERVALS:
        if span_ns <= _BARS_MAX * duration_ns(interval):
            return interval
    return INTERVALS[-1]
