"""The catalog to a NautilusTrader Parquet catalog, written for 1.221.0.

The instrument's definition is written by NautilusTrader itself; rows go straight into its Arrow
schema (`nautilus_trader.serialization.arrow.schema`), ten times as fast as through an object each:
prices and quantities are its fixed-point integers, exact, with the precisions of tick and lot;
`ts_event` is the venue's clock and `ts_init` ours. Memory is bounded by a batch of rows.

A snapshot is a CLEAR, then an ADD for each level, flagged F_SNAPSHOT; a delta is an UPDATE, or a
DELETE at size zero. The last row of a message is flagged F_LAST and nothing else, also in a
snapshot: NautilusTrader's engine and `OrderBookDeltas.batch` compare for equality, and a row with
both flags would end no message. Depth rows that our book does not apply are left out, because
NautilusTrader's would apply them.
"""

from __future__ import annotations

import importlib.util
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.exporters.fixed_point import FixedPoint, decimals
from engine.exporters.report import ExportFailed, ExportReport
from engine.exporters.staging import staged_parts
from engine.peers.hftbacktest import AppliedRows
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.catalog import Events
    from engine.exporters.report import ExportRequest
    from engine.instruments import Instrument

__all__ = ["METADATA_KEY", "nautilus_instrument", "run"]

METADATA_KEY = "cobalt"
"""The key in the files' schema metadata, and in the instrument's `info`, that says where the rows
come from.
"""

_SNAPSHOT = 2
_BID, _ASK = 1, 2
_ADD, _UPDATE, _DELETE, _CLEAR = 1, 2, 3, 4
_F_LAST, _F_SNAPSHOT = 128, 32
_GROUP_ROWS = 65_536
# The folders of the format: of its definitions, and of its streams with the kinds of ours.
_DEFINITIONS = ("currency_pair", "crypto_perpetual")
_STREAMS = {"order_book_delta": "depth", "trade_tick": "trades", "quote_tick": "quotes"}


def run(request: ExportRequest) -> ExportReport:
    """Writes or adds to a catalog folder; see `engine.exporters.run_export`."""
    if importlib.util.find_spec("nautilus_trader") is None:
        raise ExportFailed(
            "format=nautilus needs nautilus_trader, which is not installed:"
            " pip install 'cobalt[nautilus]'"
        )
    root, name = request.path, request.instrument.id
    if root.is_dir() and any(root.iterdir()) and not (root / "data").is_dir():
        raise ExportFailed(
            f"path: {root} is no NautilusTrader catalog (it has no folder data); name a new or"
            " empty folder, or a catalog to add to"
        )
    definition = _definition(request)
    encoder = _Encoder(request)
    parts = [f"data/{kind}/{name}" for kind in (*_DEFINITIONS, *_STREAMS)]
    with staged_parts(root, parts, replace=request.replace) as folder:
        for kind in _STREAMS:
            encoder.write(kind, folder / "data" / kind / name)
        request.refuse_empty(_STREAMS.values())
        _write_definition(definition, folder)
        files = {
            str(path.relative_to(folder)): path.stat().st_size
            for path in sorted(folder.rglob("*.parquet"))
        }
        return _report(request, encoder, files)


def _definition(request: ExportRequest) -> Any:
    """The instrument as NautilusTrader defines it: a currency pair or a perpetual."""
    try:
        return nautilus_instrument(
            request.instrument,
            request.about(),
            min(entry.ts_recv_first_ns for entry in request.manifest.files),
        )
    except (ValueError, OverflowError) as error:
        raise ExportFailed(
            f"{request.instrument.id}: NautilusTrader does not take the definition: {error}"
        ) from error


def nautilus_instrument(instrument: Instrument, about: dict[str, Any], ts_ns: int) -> Any:
    """Their definition of an instrument, with `about` in its `info`. Raises ValueError or
    OverflowError for what it cannot hold.
    """
    from nautilus_trader.model.identifiers import InstrumentId, Symbol
    from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair
    from nautilus_trader.model.objects import Currency, Money, Price, Quantity

    def currency(code: str) -> Any:
        return Currency.from_str(code, strict=False)

    def least(value: str | None, unit: Any) -> Any:
        return None if value is None else Money(Decimal(value), unit)

    base, quote = currency(instrument.base), currency(instrument.quote)
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    digits = decimals(instrument.lot)

    def quantity(value: str) -> Any:
        return Quantity(Decimal(value), digits)

    common: dict[str, Any] = {
        "instrument_id": InstrumentId.from_str(instrument.id),
        "raw_symbol": Symbol(instrument.symbol),
        "base_currency": base,
        "quote_currency": quote,
        "price_precision": decimals(instrument.tick),
        "size_precision": digits,
        "price_increment": Price(tick, decimals(instrument.tick)),
        "size_increment": Quantity(lot, digits),
        "max_quantity": quantity(instrument.qty_max),
        "min_quantity": quantity(instrument.qty_min),
        "min_notional": least(instrument.notional_min, quote),
        "maker_fee": Decimal(instrument.maker_fee),
        "taker_fee": Decimal(instrument.taker_fee),
        "ts_event": ts_ns,
        "ts_init": ts_ns,
        "info": {METADATA_KEY: about},
    }
    if instrument.kind == "spot":
        return CurrencyPair(lot_size=Quantity(lot, digits), **common)
    is_inverse = instrument.kind == "inverse"
    return CryptoPerpetual(
        settlement_currency=base if is_inverse else quote,
        is_inverse=is_inverse,
        multiplier=Quantity.from_str(instrument.contract_size),
        **common,
    )


def _write_definition(definition: Any, folder: Path) -> None:
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    ParquetDataCatalog(str(folder.resolve())).write_data([definition])


class _Encoder:
    """Writes the streams, and counts what was written and what was not."""

    def __init__(self, request: ExportRequest) -> None:
        from nautilus_trader.core import nautilus_pyo3
        from nautilus_trader.model.objects import PRICE_MAX, QUANTITY_MAX

        instrument = request.instrument
        width = int(nautilus_pyo3.PRECISION_BYTES)
        self._request = request
        try:
            self._price = FixedPoint(instrument.tick, width)
            self._quantity = FixedPoint(instrument.lot, width)
        except ValueError as error:
            raise ExportFailed(
                f"{instrument.id}: tick {instrument.tick}, lot {instrument.lot}: {error}"
            ) from error
        self._px_limit = int(Decimal(str(PRICE_MAX)) / Decimal(instrument.tick))
        self._qty_limit = int(Decimal(str(QUANTITY_MAX)) / Decimal(instrument.lot))
        self._applied = AppliedRows()
        self.rows: dict[str, int] = {}
        self.left_out: dict[str, int] = {}
        self.without_venue_time = 0
        self.without_id = 0
        self.times: list[int] = []

    @property
    def has_book(self) -> bool:
        """Whether a snapshot was written."""
        return self._applied.has_book

    def write(self, name: str, folder: Path) -> None:
        """Writes one stream into one file of `folder`, which is made where there is a row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind, columns_of = _STREAMS[name], getattr(self, f"_{name}")
        schema = self._schema(name)
        writer: Any = None
        times: list[int] = []
        path = folder / "part.parquet"
        try:
            for rows in self._request.batches(kind):
                self.without_venue_time += _fill_venue_time(rows)
                self._check(rows)
                columns = columns_of(rows)
                ts_init = columns["ts_init"]
                if not len(ts_init):
                    continue
                if writer is None:
                    folder.mkdir(parents=True)
                    writer = pq.ParquetWriter(path, schema, compression="zstd")
                arrays = [_arrow(columns[field.name], field.type) for field in schema]
                writer.write_table(
                    pa.Table.from_arrays(arrays, schema=schema), row_group_size=_GROUP_ROWS
                )
                times = [*times[:1], int(ts_init[0]), int(ts_init[-1])]
                self.rows[name] = self.rows.get(name, 0) + len(ts_init)
        finally:
            if writer is not None:
                writer.close()
        if times:
            path.rename(folder / f"{_file_time(times[0])}_{_file_time(times[-1])}.parquet")
            self.times += [times[0], times[-1]]

    def _schema(self, name: str) -> Any:
        """NautilusTrader's own, with what its reader and ours want to know beside it."""
        from nautilus_trader.model.data import OrderBookDelta, QuoteTick, TradeTick
        from nautilus_trader.serialization.arrow.schema import NAUTILUS_ARROW_SCHEMA

        types = {"order_book_delta": OrderBookDelta, "trade_tick": TradeTick}
        instrument = self._request.instrument
        return NAUTILUS_ARROW_SCHEMA[types.get(name, QuoteTick)].with_metadata(
            {
                "instrument_id": instrument.id,
                "price_precision": str(decimals(instrument.tick)),
                "size_precision": str(decimals(instrument.lot)),
                METADATA_KEY: json.dumps(self._request.about(), ensure_ascii=False),
            }
        )

    def _check(self, rows: Events) -> None:
        """Raises `ExportFailed` for values that the format cannot hold."""
        for name, values, least, most in (
            ("ts_event_ns", rows["ts_event_ns"], 0, None),
            ("ts_recv_ns", rows["ts_recv_ns"], 0, None),
            ("px_ticks", rows["px_ticks"], -self._px_limit, self._px_limit),
            ("qty_lots", rows["qty_lots"], 0, self._qty_limit),
        ):
            found = [int(values.min()), int(values.max())]
            if found[0] < least or (most is not None and found[1] > most):
                raise ExportFailed(
                    f"{self._request.instrument.id}, {name}: NautilusTrader holds {least} to"
                    f" {'2^63' if most is None else most}, found {found[0]} to {found[1]}"
                )

    def leave_out(self, reason: str, count: int) -> None:
        """Counts rows that are not written."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def _order_book_delta(self, rows: Events) -> dict[str, NDArray[Any]]:
        """Snapshots and deltas; a CLEAR takes the place before each snapshot."""
        applied = self._applied.mask(rows)
        self.leave_out("depth rows that the book does not apply", int((~applied).sum()))
        rows = rows[applied]
        is_snapshot = rows["kind"] == _SNAPSHOT
        is_first = rows["flags"] & _core.FLAG_FIRST != 0
        no_level = rows["side"] == 0
        self.leave_out("messages without a level", int((no_level & ~is_snapshot).sum()))
        starts = np.flatnonzero(is_snapshot & is_first)
        source = np.insert(np.arange(len(rows)), starts, starts)
        is_clear = np.zeros(len(source), np.bool_)
        is_clear[starts + np.arange(len(starts))] = True
        message = np.cumsum(is_first)[source]
        # Rows without a level go, but an empty snapshot keeps its CLEAR.
        kept = is_clear | ~no_level[source]
        source, is_clear, message = source[kept], is_clear[kept], message[kept]
        rows, is_snapshot = rows[source], is_snapshot[source]
        qty = np.where(is_clear, 0, rows["qty_lots"])
        delta = np.where(qty > 0, _UPDATE, _DELETE)
        action = np.where(is_clear, _CLEAR, np.where(is_snapshot, _ADD, delta))
        is_last = np.append(message[1:] != message[:-1], True)[: len(message)]
        flags = np.where(is_last, _F_LAST, np.where(is_snapshot, _F_SNAPSHOT, 0))
        known = rows["seq"] != _core.SEQ_NONE
        return {
            "action": action.astype(np.uint8),
            "side": np.where(is_clear, 0, rows["side"]).astype(np.uint8),
            "price": self._price.encode(np.where(is_clear, 0, rows["px_ticks"])),
            "size": self._quantity.encode(qty),
            "order_id": np.zeros(len(rows), np.uint64),
            "flags": flags.astype(np.uint8),
            "sequence": np.where(known, rows["seq"], np.uint64(0)),
            **_times(rows),
        }

    def _trade_tick(self, rows: Events) -> dict[str, NDArray[Any]]:
        """Trades; one without an id gets `none-N`, as NautilusTrader wants one."""
        self.leave_out("trades of no size", int((rows["qty_lots"] == 0).sum()))
        rows = rows[rows["qty_lots"] > 0]
        ids = rows["seq"].astype(str).astype(object)
        unknown = np.flatnonzero(rows["seq"] == _core.SEQ_NONE)
        for at in unknown.tolist():
            self.without_id += 1
            ids[at] = f"none-{self.without_id}"
        return {
            "price": self._price.encode(rows["px_ticks"]),
            "size": self._quantity.encode(rows["qty_lots"]),
            "aggressor_side": rows["side"].astype(np.uint8),
            "trade_id": ids,
            **_times(rows),
        }

    def _quote_tick(self, rows: Events) -> dict[str, NDArray[Any]]:
        """Best bid and ask of one message; one that has not just these two is left out."""
        first = np.flatnonzero(rows["flags"] & _core.FLAG_FIRST)
        first = first[np.diff(first, append=len(rows)) == 2]
        sides = rows["side"][first] + rows["side"][first + 1]
        first = first[(sides == _BID + _ASK) & (rows["side"][first] != 0)]
        self.leave_out("quote rows without their other side", len(rows) - 2 * len(first))
        is_bid = rows["side"][first] == _BID
        bids, asks = (rows[np.where(is_bid == want, first, first + 1)] for want in (True, False))
        return {
            "bid_price": self._price.encode(bids["px_ticks"]),
            "ask_price": self._price.encode(asks["px_ticks"]),
            "bid_size": self._quantity.encode(bids["qty_lots"]),
            "ask_size": self._quantity.encode(asks["qty_lots"]),
            **_times(bids),
        }


def _times(rows: Events) -> dict[str, NDArray[Any]]:
    return {
        "ts_event": rows["ts_event_ns"].astype(np.uint64),
        "ts_init": rows["ts_recv_ns"].astype(np.uint64),
    }


def _fill_venue_time(rows: Events) -> int:
    """Gives rows without a venue time ours, as everywhere in Cobalt; how many there were."""
    missing = rows["ts_event_ns"] == _core.TS_NONE
    rows["ts_event_ns"][missing] = rows["ts_recv_ns"][missing]
    return int(missing.sum())


def _arrow(values: NDArray[Any], type: Any) -> Any:
    """A column; fixed-point integers come as rows of words."""
    import pyarrow as pa

    if values.ndim == 2:
        buffer = pa.py_buffer(np.ascontiguousarray(values))
        return pa.FixedSizeBinaryArray.from_buffers(type, len(values), [None, buffer])
    return pa.array(values, type)


def _file_time(ts_ns: int) -> str:
    """A time as it stands in the names of the catalog's files."""
    return utc_text(ts_ns).replace(":", "-").replace(".", "-")


def _report(request: ExportRequest, encoder: _Encoder, files: dict[str, int]) -> ExportReport:
    encoder.leave_out("off-book trades", request.count("offbook"))
    return ExportReport(
        instrument=request.instrument.id,
        format="nautilus",
        path=str(request.path),
        provenance=request.manifest.provenance,
        files=files,
        rows=encoder.rows,
        left_out=encoder.left_out,
        ts_recv_first_ns=min(encoder.times, default=None),
        ts_recv_last_ns=max(encoder.times, default=None),
        notes=list(_notes(request, encoder)),
    )


def _notes(request: ExportRequest, encoder: _Encoder) -> Iterator[str]:
    if "order_book_delta" in encoder.rows:
        yield (
            "The format has no place for the update id that a delta continues from, so a reader"
            " cannot find gaps; quotes lose their update ids."
        )
    lost = [f"{count:,} {name}" for name, count in encoder.left_out.items()]
    if lost:
        yield f"Left out: {', '.join(lost)}."
    if encoder.without_venue_time:
        yield (
            f"{encoder.without_venue_time:,} rows have no venue time and were given our receive"
            " time in its place."
        )
    if encoder.without_id:
        yield f"{encoder.without_id:,} trades have no id and were given one: none-1, none-2, …"
    if not encoder.has_book:
        yield "There is no depth snapshot in the range: the catalog holds no book."
    instrument = request.instrument
    if instrument.kind != "spot" and not instrument.id.rpartition(".")[0].endswith("-PERP"):
        yield f"{instrument.id} is defined as a perpetual, for want of an expiry date."
    if request.run_up_ns is not None:
        yield (
            f"Depth begins with the snapshot of {utc_text(request.run_up_ns)}, before start, so"
            " that a book stands at start."
        )
