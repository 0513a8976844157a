"""What a run writes: Parquet tables as it goes.

Tables are written in chunks, so memory does not grow with the length of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MemorySink", "ParquetSink"]

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


class Charges:
    """What was paid and received beside trading, by currency, from the tables as they pass."""

    def __init__(self) -> None:
        self._fees: dict[str, float] = {}
        # By instrument: its currency, and what was charged up to its last sample.
        self._charged: dict[str, tuple[str, dict[str, float]]] = {}

    def add(self, tables: Tables) -> None:
        """Adds the rows of one chunk."""
        equity = tables["equity"]
        last = dict(zip(equity["instrument"], range(len(equity["instrument"])), strict=True))
        for instrument, row in last.items():
            charges = {name: float(equity[name][row]) for name in CHARGES}
            self._charged[instrument] = (equity["currency"][row], charges)
        fills = tables["fills"]
        for currency, fee in zip(fills["currency"], fills["fee"].tolist(), strict=True):
            self._fees[currency] = self._fees.get(currency, 0.0) + fee

    @property
    def by_currency(self) -> dict[str, dict[str, float]]:
        """`fees`, `funding` (received), `liquidation_fees` and `insurance` of each currency that an
        instrument of the run settles in.
        """
        found: dict[str, dict[str, float]] = {}
        for currency, charges in self._charged.values():
            fees = {"fees": self._fees.get(currency, 0.0)}
            sums = found.setdefault(currency, fees | dict.fromkeys(CHARGES, 0.0))
            for name, amount in charges.items():
                sums[name] += amount
        return found


class MemorySink:
    """Keeps the tables in memory, as pyarrow tables by name."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[pa.Table]] = {name: [] for name in SCHEMAS}

    def __call__(self, tables: Tables) -> None:
        """Takes one chunk of the recorded tables."""
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

    def __init__(self, folder: Path) -> None:
        self.charges = Charges()
        self._writers = {
            name: pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
            for name, schema in SCHEMAS.items()
        }

    def __call__(self, tables: Tables) -> None:
        """Takes one chunk of the recorded tables."""
        self.charges.add(tables)
        for name, columns in tables.items():
            table = _table(name, columns)
            if table.num_rows:
                self._writers[name].write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for writer in self._writers.values():
            writer.close()
