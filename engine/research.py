"""Market state as tables, outside a run: what a strategy would have seen, at those times.

Every table comes of the same kernel that runs strategies, over the catalog, as an iterator of
polars frames in order of time, so that memory stays bounded however long the range. `start`
(inclusive) and `end` (exclusive) are receive times: ISO-8601, taken as UTC where no zone is given,
or ns since the epoch.

    import polars as pl
    from engine import research
    frame = pl.concat(research.cob("data_catalog", "BTC", every="1s"))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backtest import Backtest
from engine.catalog import Catalog, CatalogError
from engine.config import CobConfig, LatencyConfig
from engine.feed import pulled, read_ahead
from engine.instruments import load_instruments
from engine.strategy import Strategy
from engine.units import duration_ns, timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from engine._core import Bar, Chart, Cob, Flow, Pivot, Sweep, Trade
    from engine.instruments import Instrument
    from engine.strategy import Timer

    Put = Callable[[pl.DataFrame], None]
    Time = str | int | None

__all__ = ["bars", "cob", "flow", "pivots", "sweeps", "trades"]

CHUNK_ROWS = 4_096
"""Rows of a frame; the last may have fewer."""
BUCKETS = 40
_NO_LATENCY = LatencyConfig(order_entry_ns=0, response_ns=0)


def cob(
    catalog: Catalog | str | Path,
    group: str | Sequence[str] | Mapping[str, float],
    *,
    bucket: str | float | None = None,
    every: str | int = "100ms",
    start: Time = None,
    end: Time = None,
    config: CobConfig | None = None,
) -> Iterator[pl.DataFrame]:
    """Samples of a consolidated book on the multiples of `every`, where there is a mid.

    `group` is a configured group, an instrument's id, a base asset (all instruments of it that the
    catalog has depth of), or the members themselves: ids, or weights by id.

    Columns: `ts_ns` (our clock), `mid`, `best_bid`, `best_ask`, `spread_bps`, `bid_depth`,
    `ask_depth`, `imbalance`, `bucket_size`, `bucket_first` (absolute number of the lowest bucket),
    `bid`, `ask`, `bucket_imbalance`, `vwap` (arrays of 40), `venues` (uint8, 40), `imbalance_ma`
    (array of 4 × 10), `shares` (list by member, in the order of the group), `crossed` (pairs of
    members that are locked or crossed), `crossed_qty` (the most that one of them could trade, base
    units). See `engine.Cob`.

    Raises `CatalogError` or ValueError for what is not there or cannot be.
    """
    source = _as_catalog(catalog)
    config = CobConfig() if config is None else config
    name, members, ids = _members(source, group, config)
    every_ns = duration_ns(every, "every")

    def recorder(put: Put) -> _Recorder:
        return _CobRecorder(put, name, every_ns, bucket, members)

    return _run(source, ids, ("depth",), recorder, start, end, config)


def flow(
    catalog: Catalog | str | Path,
    target: str | Sequence[str] | Mapping[str, float],
    *,
    every: str | int = "1s",
    start: Time = None,
    end: Time = None,
    config: CobConfig | None = None,
) -> Iterator[pl.DataFrame]:
    """Order flow on the multiples of `every`, from the first row on.

    `target` is an instrument's id (its own units) or a group as in `cob` (base units). Columns:
    `ts_ns` (our clock), `buy_volume`, `sell_volume`, `ratio` (arrays of the windows 1, 5, 15 and
    60 s), `buy_trades`, `sell_trades` (uint64, 4), `cvd`, `session_cvd`. See `engine.Flow`.
    """
    source = _as_catalog(catalog)
    config = CobConfig() if config is None else config
    name, members, ids = _members(source, target, config)
    every_ns = duration_ns(every, "every")

    def recorder(put: Put) -> _Recorder:
        return _FlowRecorder(put, name, every_ns, members)

    return _run(source, ids, ("trades",), recorder, start, end, config)


def sweeps(
    catalog: Catalog | str | Path,
    instrument: str,
    *,
    levels: int = 2,
    start: Time = None,
    end: Time = None,
) -> Iterator[pl.DataFrame]:
    """Aggressors' orders that traded at `levels` prices or more, when they were over.

    Columns: `ts_known_ns` (our clock when it was over), `ts_event_ns`, `ts_recv_ns` (of the last
    trade), `side`, `px_first`, `px_last`, `vwap`, `qty`, `trades`, `levels`. See `engine.Sweep`.
    """

    def recorder(put: Put) -> _Recorder:
        return _SweepRecorder(put, levels)

    source = _as_catalog(catalog)
    return _run(source, [instrument], ("trades",), recorder, start, end, CobConfig())


def bars(
    catalog: Catalog | str | Path,
    instrument: str,
    interval: str,
    *,
    indicators: Sequence[str] = (),
    start: Time = None,
    end: Time = None,
) -> Iterator[pl.DataFrame]:
    """Complete bars from trades, with indicators on them.

    Columns: `ts_start_ns`, `ts_end_ns` (the venue's clock), `ts_known_ns` (ours, when the bar was
    complete), `open`, `high`, `low`, `close`, `bar_vwap` (quote units), `volume`, `buy_volume`,
    `trades`, `is_empty`, and a column for each result of an indicator, null before it has seen
    enough bars. The names of indicators are those of `engine.Strategy.chart`.
    """

    def recorder(put: Put) -> _Recorder:
        return _BarRecorder(put, interval, indicators)

    source = _as_catalog(catalog)
    return _run(source, [instrument], ("trades",), recorder, start, end, CobConfig())


def pivots(
    catalog: Catalog | str | Path,
    instrument: str,
    interval: str,
    *,
    k: int = 2,
    levels: int = 5,
    start: Time = None,
    end: Time = None,
) -> Iterator[pl.DataFrame]:
    """Pivots of the bars from trades, in the order in which they were confirmed.

    Columns: `level`, `is_high`, `px`, `ts_pivot_ns` (start of the bar, the venue's clock),
    `ts_confirmed_ns` (ours), `trend` (of the level then: 1, −1, 0, or null). See
    `engine.Strategy.subscribe_pivots`.
    """

    def recorder(put: Put) -> _Recorder:
        return _PivotRecorder(put, interval, k, levels)

    source = _as_catalog(catalog)
    return _run(source, [instrument], ("trades",), recorder, start, end, CobConfig())


def trades(
    catalog: Catalog | str | Path, instrument: str, *, start: Time = None, end: Time = None
) -> Iterator[pl.DataFrame]:
    """Trades on the book of an instrument as they were received.

    Columns: `ts_event_ns` (the venue's clock), `ts_recv_ns` (ours), `px`, `qty` (float64),
    `px_ticks`, `qty_lots`, `aggressor` (buy, sell or null), `trade_id`.
    """
    return _run(
        _as_catalog(catalog), [instrument], ("trades",), _TradeRecorder, start, end, CobConfig()
    )


def _as_catalog(catalog: Catalog | str | Path) -> Catalog:
    return catalog if isinstance(catalog, Catalog) else Catalog(catalog)


def _members(
    catalog: Catalog, group: str | Sequence[str] | Mapping[str, float], config: CobConfig
) -> tuple[str, dict[str, float] | None, list[str]]:
    """Name and members of a group, and the ids of the instruments that are needed."""
    if not isinstance(group, str):
        weights = dict(group) if isinstance(group, Mapping) else dict.fromkeys(group, 1.0)
        return "+".join(weights), weights, list(weights)
    if group in config.groups:
        return group, None, list(config.groups[group])
    present = catalog.instruments()
    if group in present:
        return group, None, [group]
    of_base = [
        name
        for name in present
        if (manifest := catalog.manifest(name)).definition.get("base") == group
        and manifest.of_kind("depth")
    ]
    if not of_base:
        held = ", ".join(present) or "nothing"
        raise CatalogError(f"catalog {catalog.root}: no depth of {group}; it holds {held}")
    return group, None, of_base


def _run(
    catalog: Catalog,
    ids: Sequence[str],
    kinds: Sequence[str],
    recorder: Callable[[Put], _Recorder],
    start: Time,
    end: Time,
    config: CobConfig,
) -> Iterator[pl.DataFrame]:
    """Runs a recorder over the catalog and gives its frames while it runs."""
    start_ns = None if start is None else timestamp_ns(start, "start")
    end_ns = None if end is None else timestamp_ns(end, "end")
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise ValueError(f"end: expected a time after start, found {end}")
    instruments = [_definition(catalog, name) for name in ids]

    def run(put: Put) -> None:
        readers = {
            (name, kind): read_ahead(
                catalog.batches(name, kind, start_ns=start_ns, end_ns=end_ns), depth=2
            )
            for name in ids
            for kind in kinds
        }
        try:
            strategy = recorder(put)
            Backtest(
                instruments,
                strategy,
                readers,
                latency=_NO_LATENCY,
                equity_every="1d",
                begin_ns=start_ns,
                cob=config,
            ).run()
            strategy.flush()
        finally:
            for reader in readers.values():
                reader.close()

    return pulled(run)


def _definition(catalog: Catalog, name: str) -> Instrument:
    catalog.manifest(name)
    return load_instruments([name])[0]


class _Recorder(Strategy[Any]):
    """A strategy that only writes down: `columns` by name, each a list of values of one chunk."""

    def __init__(self, put: Put) -> None:
        super().__init__(None)
        self._put = put
        self._columns: dict[str, list[Any]] = {}
        self._rows = 0

    def schema(self) -> dict[str, Any]:
        """The polars type of each column, in order."""
        raise TypeError(f"{type(self).__name__} has no schema")

    def write(self, **values: Any) -> None:
        """Adds a row."""
        for name, value in values.items():
            self._columns.setdefault(name, []).append(value)
        self._rows += 1
        if self._rows == CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Hands over the rows written so far."""
        import polars as pl

        if self._rows:
            schema = self.schema()
            columns = {
                name: np.stack(values) if isinstance(values[0], np.ndarray) else values
                for name, values in self._columns.items()
            }
            self._put(pl.DataFrame(columns, schema=schema))
        self._columns = {}
        self._rows = 0


class _CobRecorder(_Recorder):
    def __init__(
        self,
        put: Put,
        group: str,
        every_ns: int,
        bucket: str | float | None,
        members: dict[str, float] | None,
    ) -> None:
        super().__init__(put)
        self._group = group
        self._every_ns = every_ns
        self._bucket = bucket
        self._members = members

    def schema(self) -> dict[str, Any]:
        import polars as pl

        window = pl.Array(pl.Float64, BUCKETS)
        return {
            "ts_ns": pl.Int64,
            **dict.fromkeys(("mid", "best_bid", "best_ask", "spread_bps"), pl.Float64),
            **dict.fromkeys(("bid_depth", "ask_depth", "imbalance", "bucket_size"), pl.Float64),
            "bucket_first": pl.Int64,
            **dict.fromkeys(("bid", "ask", "bucket_imbalance", "vwap"), window),
            "venues": pl.Array(pl.UInt8, BUCKETS),
            "imbalance_ma": pl.Array(pl.Float64, (4, 10)),
            "shares": pl.List(pl.Float64),
            "crossed": pl.UInt32,
            "crossed_qty": pl.Float64,
        }

    def on_start(self) -> None:
        self.subscribe_cob(self._group, self._every_ns, bucket=self._bucket, members=self._members)

    def on_cob(self, cob: Cob) -> None:
        crossings = cob.crossings
        self.write(
            ts_ns=cob.ts_ns,
            mid=cob.mid,
            best_bid=cob.best_bid,
            best_ask=cob.best_ask,
            spread_bps=cob.spread_bps,
            bid_depth=cob.bid_depth,
            ask_depth=cob.ask_depth,
            imbalance=cob.liquidity_imbalance,
            bucket_size=cob.bucket_size,
            bucket_first=cob.first_bucket,
            bid=cob.bid.copy(),
            ask=cob.ask.copy(),
            bucket_imbalance=cob.imbalance.copy(),
            vwap=cob.vwap.copy(),
            venues=cob.venues.copy(),
            imbalance_ma=cob.imbalance_ma.copy(),
            shares=list(cob.shares.values()),
            crossed=len(crossings),
            crossed_qty=max((crossing.qty for crossing in crossings), default=0.0),
        )


class _FlowRecorder(_Recorder):
    def __init__(
        self, put: Put, target: str, every_ns: int, members: dict[str, float] | None
    ) -> None:
        super().__init__(put)
        self._target = target
        self._every_ns = every_ns
        self._members = members
        self._flow: Flow

    def schema(self) -> dict[str, Any]:
        import polars as pl

        windows, counts = pl.Array(pl.Float64, 4), pl.Array(pl.UInt64, 4)
        return {
            "ts_ns": pl.Int64,
            **dict.fromkeys(("buy_volume", "sell_volume", "ratio"), windows),
            **dict.fromkeys(("buy_trades", "sell_trades"), counts),
            **dict.fromkeys(("cvd", "session_cvd"), pl.Float64),
        }

    def on_start(self) -> None:
        self._flow = self.flow(self._target, members=self._members)
        now = self.clock.now_ns
        first = now - now % self._every_ns + self._every_ns
        self.set_timer(at=first, every=self._every_ns)

    def on_timer(self, timer: Timer) -> None:
        flow = self._flow
        self.write(
            ts_ns=timer.ts_ns,
            **{name: getattr(flow, name) for name in list(self.schema())[1:]},
        )


class _SweepRecorder(_Recorder):
    def __init__(self, put: Put, levels: int) -> None:
        super().__init__(put)
        self._levels = levels

    def schema(self) -> dict[str, Any]:
        import polars as pl

        return {
            **dict.fromkeys(("ts_known_ns", "ts_event_ns", "ts_recv_ns"), pl.Int64),
            "side": pl.String,
            **dict.fromkeys(("px_first", "px_last", "vwap", "qty"), pl.Float64),
            **dict.fromkeys(("trades", "levels"), pl.UInt32),
        }

    def on_start(self) -> None:
        self.subscribe_sweeps(self.instruments[0], self._levels)

    def on_sweep(self, sweep: Sweep) -> None:
        self.write(
            ts_known_ns=self.clock.now_ns,
            **{name: getattr(sweep, name) for name in list(self.schema())[1:]},
        )


class _BarRecorder(_Recorder):
    def __init__(self, put: Put, interval: str, indicators: Sequence[str]) -> None:
        super().__init__(put)
        self._interval = interval
        self._wanted = indicators
        self._chart: Chart

    def schema(self) -> dict[str, Any]:
        import polars as pl

        return {
            **dict.fromkeys(("ts_start_ns", "ts_end_ns", "ts_known_ns"), pl.Int64),
            **dict.fromkeys(("open", "high", "low", "close", "bar_vwap"), pl.Float64),
            **dict.fromkeys(("volume", "buy_volume"), pl.Float64),
            "trades": pl.UInt32,
            "is_empty": pl.Boolean,
            **dict.fromkeys(self._chart.indicators, pl.Float64),
        }

    def on_start(self) -> None:
        self._chart = self.subscribe_bars(self.instruments[0], self._interval, self._wanted)

    def on_bar(self, bar: Bar) -> None:
        self.write(
            ts_start_ns=bar.ts_start_ns,
            ts_end_ns=bar.ts_end_ns,
            ts_known_ns=self.clock.now_ns,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            bar_vwap=bar.vwap,
            volume=bar.volume,
            buy_volume=bar.buy_volume,
            trades=bar.trades,
            is_empty=bar.is_empty,
            **self._chart.indicators,
        )


class _PivotRecorder(_Recorder):
    def __init__(self, put: Put, interval: str, k: int, levels: int) -> None:
        super().__init__(put)
        self._interval = interval
        self._settings = k, levels
        self._chart: Chart

    def schema(self) -> dict[str, Any]:
        import polars as pl

        return {
            "level": pl.UInt8,
            "is_high": pl.Boolean,
            "px": pl.Float64,
            "ts_pivot_ns": pl.Int64,
            "ts_confirmed_ns": pl.Int64,
            "trend": pl.Int8,
        }

    def on_start(self) -> None:
        k, levels = self._settings
        self._chart = self.subscribe_pivots(self.instruments[0], self._interval, k=k, levels=levels)

    def on_pivot(self, pivot: Pivot) -> None:
        self.write(
            level=pivot.level,
            is_high=pivot.is_high,
            px=pivot.px,
            ts_pivot_ns=pivot.ts_pivot_ns,
            ts_confirmed_ns=pivot.ts_confirmed_ns,
            trend=self._chart.trend(pivot.level),
        )


class _TradeRecorder(_Recorder):
    def schema(self) -> dict[str, Any]:
        import polars as pl

        return {
            "ts_event_ns": pl.Int64,
            "ts_recv_ns": pl.Int64,
            "px": pl.Float64,
            "qty": pl.Float64,
            "px_ticks": pl.Int64,
            "qty_lots": pl.Int64,
            "aggressor": pl.String,
            "trade_id": pl.UInt64,
        }

    def on_start(self) -> None:
        for instrument in self.instruments:
            self.subscribe_trades(instrument)

    def on_trade(self, trade: Trade) -> None:
        self.write(**{name: getattr(trade, name) for name in self.schema()})
