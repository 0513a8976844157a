"""The statistics of a run: overall by currency, by instrument, by day, and in one currency.

Overall figures are by settlement currency, because amounts of two currencies have no sum; the
account in one reporting currency has its equity curve only. A day is a UTC day of our clock, and
what happens at midnight belongs to the day before, so that the days add up. A run has one strategy;
figures by strategy are those of several runs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.statistics.attribution import (
    AttributionFigures,
    attribution_figures,
    spread_and_inventory,
)
from engine.statistics.columns import by_instrument, distinct, floats, ints, is_value, known
from engine.statistics.contracts import UNKNOWN
from engine.statistics.curve import CurveFigures, curve_figures
from engine.statistics.exposure import ExposureFigures, exposure_figures, time_in_market
from engine.statistics.fills import (
    Fills,
    Markout,
    Quantiles,
    Slippage,
    held_before,
    markouts,
    queue_wait,
    read_fills,
    share,
    slippage,
)
from engine.statistics.reporting import (
    ReportingFigures,
    common_currency,
    reporting_figures,
)
from engine.statistics.trips import TripFigures, Trips, join_trips, round_trips, trip_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from engine.statistics.columns import Bools, Floats, Ints
    from engine.statistics.contracts import Contract

__all__ = ["Figures", "RunStatistics", "Series", "TradingFigures", "run_statistics"]

DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True)
class TradingFigures:
    """What was traded. `turnover` is Σ price × quantity in the settlement currency, and over the
    mean equity `turnover_of_equity`; `maker_share` is the share of it that was filled as maker.
    """

    fills: int
    turnover: float | None
    turnover_of_equity: float | None
    fees: float
    maker_share: float | None
    slippage: Slippage
    maker_slippage: Slippage
    taker_slippage: Slippage
    markouts: list[Markout]
    maker_markouts: list[Markout]
    taker_markouts: list[Markout]
    queue_wait_s: Quantiles


@dataclass(frozen=True)
class Figures:
    """All figures of one currency, one instrument or one day, amounts in `currency`.

    `carried_in` is the profit that positions from before the run had when they were first valued;
    the run's own profit begins there.
    """

    currency: str
    carried_in: float
    equity: CurveFigures
    trading: TradingFigures
    round_trips: TripFigures
    exposure: ExposureFigures
    attribution: AttributionFigures


@dataclass(frozen=True)
class Series:
    """One instrument or one currency at the equity samples, amounts since the run's beginning.

    `equity` is after fees and funding, on `initial`, of which `carried_in` is a part; `gross` the
    value of what is held without its sign. `spread`, `inventory`, `fees` and `funding` sum to
    `equity` − `initial`.
    """

    ts_ns: Ints
    initial: float
    carried_in: float
    equity: Floats
    gross: Floats
    spread: Floats
    inventory: Floats
    fees: Floats
    funding: Floats

    def parts(self, at: int) -> list[float]:
        """Spread, inventory, fees, funding and profit at a sample; before the first one nothing."""
        if at < 0:
            return [0.0] * 5
        profit = float(self.equity[at]) - self.initial
        columns = (self.spread, self.inventory, self.fees, self.funding)
        return [*(float(column[at]) for column in columns), profit]


@dataclass(frozen=True)
class RunStatistics:
    """Everything, and the series that the figures were made of (which `to_dict` leaves out)."""

    strategy: str
    overall: dict[str, Figures]
    by_instrument: dict[str, Figures]
    by_day: dict[str, dict[str, Figures]]
    reporting: ReportingFigures | None
    series: dict[str, Series] = field(repr=False)
    instrument_series: dict[str, Series] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is None."""
        plain = dataclasses.asdict(dataclasses.replace(self, series={}, instrument_series={}))
        del plain["series"], plain["instrument_series"]
        return plain


@dataclass(frozen=True)
class _Part:
    """What figures are made of: samples, fills and trips of one currency or instrument."""

    currency: str
    series: Series
    fills: Fills
    trips: Trips
    positions: Sequence[tuple[float, Ints, Floats]]


def run_statistics(
    tables: Mapping[str, pa.Table],
    known_contracts: Mapping[str, Contract],
    *,
    initial: Mapping[str, float],
    start_ns: int,
    every_ns: int,
    strategy: str = "",
    reporting: str | None = None,
) -> RunStatistics:
    """The statistics of the tables `fills`, `orders`, `placements` and `equity` of a run; without
    `placements`, which older runs do not have, nothing is known of queues.

    `initial` is the cash by currency at `start_ns` (a currency that is not there began with 0),
    `every_ns` the time between equity samples. `reporting` names the one currency; None: one of the
    run's into which all others can be converted.
    """
    equity = tables["equity"]
    instruments = distinct(equity, "instrument")
    fills = read_fills(tables, instruments, known_contracts)
    parts = {
        name: _instrument_part(
            equity.filter(here),
            fills.where(fills.instrument == instruments.index(name)),
            known_contracts.get(name, UNKNOWN),
        )
        for name, here in by_instrument(equity)
    }
    accounts = {
        currency: _account_part(currency, equity, parts, initial.get(currency, 0.0))
        for currency in distinct(equity, "currency")
    }
    every = every_ns
    return RunStatistics(
        strategy=strategy,
        overall={name: _figures(part, start_ns, every) for name, part in accounts.items()},
        by_instrument={name: _figures(part, start_ns, every) for name, part in parts.items()},
        by_day=_by_day(accounts, start_ns, every),
        reporting=_reporting(equity, accounts, known_contracts, reporting, start_ns, every),
        series={name: part.series for name, part in accounts.items()},
        instrument_series={name: part.series for name, part in parts.items()},
    )


def _by_day(
    accounts: Mapping[str, _Part], start_ns: int, every_ns: int
) -> dict[str, dict[str, Figures]]:
    days: dict[str, dict[str, Figures]] = {}
    for currency, part in accounts.items():
        # The sample of midnight is the last one of the day that ends.
        day_of = (part.series.ts_ns - 1) // DAY_NS
        for day in np.unique(day_of).tolist():
            first, end = np.searchsorted(day_of, [day, day + 1]).tolist()
            begin_ns = max(start_ns, day * DAY_NS)
            figures = _figures(part, begin_ns, every_ns, first, end)
            days.setdefault(str(np.datetime64(day, "D")), {})[currency] = figures
    return dict(sorted(days.items()))


def _figures(
    part: _Part, start_ns: int, every_ns: int, first: int = 0, end: int | None = None
) -> Figures:
    """The figures of the samples from `first` up to before `end`, and of what happened until them
    since `start_ns`.
    """
    series = part.series
    end = len(series.ts_ns) if end is None else end
    fills, trips = part.fills, part.trips
    if (first, end) != (0, len(series.ts_ns)):
        fills = fills.where(_between(series.ts_ns, fills.ts_recv_ns, first, end))
        trips = trips.where(_between(series.ts_ns, trips.ts_done_ns, first, end))
    ts_ns, equity = series.ts_ns[first:end], series.equity[first:end]
    before = series.equity[:first]
    before = before[np.isfinite(before)]
    return Figures(
        currency=part.currency,
        carried_in=series.carried_in if first == 0 else 0.0,
        equity=curve_figures(
            ts_ns,
            equity,
            float(before[-1]) if len(before) else series.initial,
            start_ns=start_ns,
            every_ns=every_ns,
        ),
        trading=_trading(fills, equity),
        round_trips=trip_figures(trips),
        exposure=exposure_figures(
            time_in_market(part.positions, start_ns, int(ts_ns[-1])), series.gross[first:end]
        ),
        attribution=attribution_figures(series.parts(first - 1), series.parts(end - 1), fills),
    )


def _between(samples_ns: Ints, ts_ns: Ints, first: int, end: int) -> Bools:
    """Which times belong to the samples from `first` up to before `end`: to the next one each."""
    at = np.minimum(np.searchsorted(samples_ns, ts_ns), len(samples_ns) - 1)
    return (at >= first) & (at < end)


def _trading(fills: Fills, equity: Floats) -> TradingFigures:
    maker, taker = fills.where(fills.maker), fills.where(~fills.maker)
    turnover = float(fills.value.sum())
    valued = equity[np.isfinite(equity)]
    mean = float(valued.mean()) if len(valued) else 0.0
    return TradingFigures(
        fills=len(fills),
        turnover=known(turnover),
        turnover_of_equity=known(turnover / mean) if mean > 0 else None,
        fees=float(fills.fee.sum()),
        maker_share=share(np.where(fills.maker, fills.value, 0.0), fills.value),
        slippage=slippage(fills),
        maker_slippage=slippage(maker),
        taker_slippage=slippage(taker),
        markouts=markouts(fills),
        maker_markouts=markouts(maker),
        taker_markouts=markouts(taker),
        queue_wait_s=queue_wait(fills),
    )


def _reporting(
    equity: pa.Table,
    accounts: Mapping[str, _Part],
    known_contracts: Mapping[str, Contract],
    currency: str | None,
    start_ns: int,
    every_ns: int,
) -> ReportingFigures | None:
    mids = {name: floats(equity.filter(here), "mid") for name, here in by_instrument(equity)}
    # Only what was sampled has a price.
    priced = {name: contract for name, contract in known_contracts.items() if name in mids}
    if currency is None:
        currency = common_currency(accounts, priced)
    if currency is None:
        return None
    return reporting_figures(
        currency,
        next(iter(accounts.values())).series.ts_ns,
        {name: part.series.equity for name, part in accounts.items()},
        {name: part.series.initial for name, part in accounts.items()},
        mids,
        priced,
        start_ns=start_ns,
        every_ns=every_ns,
    )


def _instrument_part(equity: pa.Table, fills: Fills, contract: Contract) -> _Part:
    ts_ns, mid, mark = ints(equity, "ts_ns"), floats(equity, "mid"), floats(equity, "mark")
    held = floats(equity, "position")
    # Where positions are valued at the venue's mark price, that is what they earn by.
    valued_at = np.where(np.isfinite(mark), mark, mid)
    spread, inventory = spread_and_inventory(contract, ts_ns, valued_at, held, fills)
    # Runs without derivatives do not have these columns.
    funding, liquidation, insurance = (
        np.nan_to_num(floats(equity, name)) for name in ("funding", "liquidation_fees", "insurance")
    )
    fees = insurance - floats(equity, "fees") - liquidation
    profit = floats(equity, "realized_pnl") + floats(equity, "unrealized_pnl") + fees + funding
    before = held_before(fills, held)
    earned = spread + inventory + fees + funding
    carried_in = 0.0 if before == 0 else _first_known(profit - earned)
    series = Series(
        ts_ns=ts_ns,
        initial=carried_in,
        carried_in=carried_in,
        equity=profit,
        gross=np.abs(contract.value(valued_at, held)),
        spread=spread,
        inventory=inventory,
        fees=fees,
        funding=funding,
    )
    positions = [(before, fills.ts_recv_ns, fills.position)]
    currency = distinct(equity, "currency")[0]
    return _Part(currency, series, fills, round_trips(fills), positions)


def _first_known(values: Floats) -> float:
    """The first value that is known; 0 where none is."""
    found = values[np.isfinite(values)]
    return float(found[0]) if len(found) else 0.0


def _account_part(
    currency: str, equity: pa.Table, parts: Mapping[str, _Part], initial: float
) -> _Part:
    """The account in one currency: its instruments are sampled at the same times."""
    mine = [part for part in parts.values() if part.currency == currency]
    total = {
        name: np.sum([getattr(part.series, name) for part in mine], axis=0)
        for name in ("gross", "spread", "inventory", "fees", "funding")
    }
    # Each of them repeats the account's equity.
    name = next(name for name, part in parts.items() if part is mine[0])
    one = equity.filter(is_value(equity, "instrument", name))
    carried_in = sum(part.series.carried_in for part in mine)
    series = Series(
        ts_ns=mine[0].series.ts_ns,
        initial=initial + carried_in,
        carried_in=carried_in,
        equity=floats(one, "equity"),
        **total,
    )
    fills = _joined([part.fills for part in mine])
    trips = join_trips([part.trips for part in mine])
    return _Part(currency, series, fills, trips, [part.positions[0] for part in mine])


def _joined(parts: Sequence[Fills]) -> Fills:
    """The fills of several instruments in order of receipt."""
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in dataclasses.fields(Fills)
    }
    order = np.argsort(columns["ts_recv_ns"], kind="stable")
    return Fills(**{name: column[order] for name, column in columns.items()})
