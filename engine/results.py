"""What a run writes: Parquet tables as it goes, and the statistics of its equity curve.

Tables are written in chunks, so memory does not grow with the length of the run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from engine.statistics.curve import NS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["EquityStatistics", "MemorySink", "ParquetSink"]

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMAS = {
    "fills": pa.schema(
        [
            ("ts_event_ns", pa.int64()),
            ("ts_recv_ns", pa.int64()),
            ("instrument", _TEXT),
            ("order_id", pa.int64()),
            ("side", _TEXT),
            ("px", pa.float64()),
            ("qty", pa.float64()),
            ("px_ticks", pa.int64()),
            ("qty_lots", pa.int64()),
            ("liquidity", _TEXT),
            ("fee", pa.float64()),
            ("currency", _TEXT),
            ("position", pa.float64()),
            ("realized_pnl", pa.float64()),
            ("mid", pa.float64()),
            ("mid_100ms", pa.float64()),
            ("mid_1s", pa.float64()),
            ("mid_10s", pa.float64()),
            ("mid_60s", pa.float64()),
        ]
    ),
    "orders": pa.schema(
        [
            ("order_id", pa.int64()),
            ("instrument", _TEXT),
            ("side", _TEXT),
            ("type", _TEXT),
            ("tif", _TEXT),
            ("post_only", pa.bool_()),
            ("reduce_only", pa.bool_()),
            ("list_id", pa.int64()),
            ("client_id", pa.string()),
            ("stop_px", pa.float64()),
            ("px", pa.float64()),
            ("qty", pa.float64()),
            ("filled_qty", pa.float64()),
            ("avg_px", pa.float64()),
            ("status", _TEXT),
            ("reject_code", _TEXT),
            ("ts_submit_ns", pa.int64()),
            ("arrival_mid", pa.float64()),
            ("ts_accept_ns", pa.int64()),
            ("ts_exchange_ns", pa.int64()),
            ("ts_done_ns", pa.int64()),
        ]
    ),
    "placements": pa.schema(
        [
            ("order_id", pa.int64()),
            ("instrument", _TEXT),
            ("ts_event_ns", pa.int64()),
            ("px", pa.float64()),
            ("qty", pa.float64()),
        ]
    ),
    "equity": pa.schema(
        [
            ("ts_ns", pa.int64()),
            ("instrument", _TEXT),
            ("currency", _TEXT),
            ("mid", pa.float64()),
            ("mark", pa.float64()),
            ("position", pa.float64()),
            ("realized_pnl", pa.float64()),
            ("unrealized_pnl", pa.float64()),
            ("fees", pa.float64()),
            ("funding", pa.float64()),
            ("liquidation_fees", pa.float64()),
            ("insurance", pa.float64()),
            ("equity", pa.float64()),
        ]
    ),
    "funding": pa.schema(
        [
            ("ts_event_ns", pa.int64()),
            ("ts_recv_ns", pa.int64()),
            ("instrument", _TEXT),
            ("position", pa.float64()),
            ("mark", pa.float64()),
            ("rate", pa.float64()),
            ("amount", pa.float64()),
            ("currency", _TEXT),
        ]
    ),
}

CHARGES = ("funding", "liquidation_fees", "insurance")
Tables = dict[str, dict[str, Any]]


def _table(name: str, columns: Mapping[str, Any]) -> pa.Table:
    schema = SCHEMAS[name]
    # A dictionary type is built from plain text first: pyarrow does not encode lists directly.
    arrays = [
        pa.array(columns[field.name], pa.string()).dictionary_encode().cast(field.type)
        if field.type == _TEXT
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


class EquityStatistics:
    """Profit, drawdown and Sharpe ratio of one currency's equity, sample by sample.

    The drawdown is the largest fall from a peak, in the currency. The Sharpe ratio is the mean
    change of equity between samples over its standard deviation (n − 1), times the square root of
    samples a year of 365 days, with no risk-free rate (Sharpe 1994); None below three samples or
    without any change.
    """

    def __init__(self, initial: float, every_ns: int) -> None:
        self.initial = initial
        self.last: float | None = initial
        self.max_drawdown = 0.0
        self._every_ns = every_ns
        self._peak = initial
        self._previous = initial
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, equity: float | None) -> None:
        """Adds a sample; None where a position could not be valued, which is no sample."""
        self.last = equity
        if equity is None:
            return
        self._peak = max(self._peak, equity)
        self.max_drawdown = max(self.max_drawdown, self._peak - equity)
        change = equity - self._previous
        self._previous = equity
        # Welford's running mean and sum of squared deviations.
        self._count += 1
        delta = change - self._mean
        self._mean += delta / self._count
        self._squares += delta * (change - self._mean)

    @property
    def pnl(self) -> float | None:
        """Equity less what the run began with; None where the last sample has no value."""
        return None if self.last is None else self.last - self.initial

    @property
    def sharpe(self) -> float | None:
        """The annualized Sharpe ratio of the samples; see the class."""
        if self._count < 3 or self._squares <= 0:
            return None
        deviation = math.sqrt(self._squares / (self._count - 1))
        return self._mean / deviation * math.sqrt(NS_PER_YEAR / self._every_ns)


class _Statistics:
    """Equity statistics by currency, fees and what the venue charged, from the tables as they
    pass.
    """

    def __init__(self, initial: Mapping[str, float], every_ns: int) -> None:
        self._initial = initial
        self._every_ns = every_ns
        self.currencies: dict[str, EquityStatistics] = {}
        self.fees: dict[str, float] = {}
        self._sampled: dict[str, int] = {}
        # By instrument: its currency, and what was charged up to its last sample.
        self._charged: dict[str, tuple[str, dict[str, float]]] = {}

    def add(self, tables: Tables) -> None:
        """Adds the rows of one chunk."""
        equity = tables["equity"]
        rows = zip(equity["ts_ns"].tolist(), equity["currency"], equity["equity"], strict=True)
        for ts_ns, currency, value in rows:
            if currency not in self.currencies:
                begin = self._initial.get(currency, 0.0)
                self.currencies[currency] = EquityStatistics(begin, self._every_ns)
            # Several instruments of one currency repeat its equity at each instant.
            if self._sampled.get(currency) != ts_ns:
                self._sampled[currency] = ts_ns
                self.currencies[currency].add(value)
        last = dict(zip(equity["instrument"], range(len(equity["instrument"])), strict=True))
        for instrument, row in last.items():
            charges = {name: float(equity[name][row]) for name in CHARGES}
            self._charged[instrument] = (equity["currency"][row], charges)
        fills = tables["fills"]
        for currency, fee in zip(fills["currency"], fills["fee"].tolist(), strict=True):
            self.fees[currency] = self.fees.get(currency, 0.0) + fee

    def charged(self, currency: str, name: str) -> float:
        """The sum of `funding` (received), `liquidation_fees` or `insurance` in a currency."""
        parts = self._charged.values()
        return sum((charges[name] for known, charges in parts if known == currency), 0.0)


class MemorySink:
    """Keeps the tables in memory, as pyarrow tables by name."""

    def __init__(self, initial: Mapping[str, float], every_ns: int) -> None:
        self.statistics = _Statistics(initial, every_ns)
        self._chunks: dict[str, list[pa.Table]] = {name: [] for name in SCHEMAS}

    def __call__(self, tables: Tables) -> None:
        """Takes one chunk of the recorded tables."""
        self.statistics.add(tables)
        for name, columns in tables.items():
            self._chunks[name].append(_table(name, columns))

    @property
    def tables(self) -> dict[str, pa.Table]:
        """`fills`, `orders`, `placements`, `equity` and `funding`."""
        return {
            name: pa.concat_tables(chunks) if chunks else SCHEMAS[name].empty_table()
            for name, chunks in self._chunks.items()
        }


class ParquetSink:
    """Writes the tables to a folder: `fills.parquet`, `orders.parquet`, `placements.parquet`,
    `equity.parquet` and `funding.parquet`.

    The files are complete when its `with` block is left, also by an exception of the strategy.
    """

    def __init__(self, folder: Path, initial: Mapping[str, float], every_ns: int) -> None:
        self.statistics = _Statistics(initial, every_ns)
        self._writers = {
            name: pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
            for name, schema in SCHEMAS.items()
        }

    def __call__(self, tables: Tables) -> None:
        """Takes one chunk of the recorded tables."""
        self.statistics.add(tables)
        for name, columns in tables.items():
            table = _table(name, columns)
            if table.num_rows:
                self._writers[name].write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for writer in self._writers.values():
            writer.close()
