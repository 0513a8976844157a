"""The figures of a run as rows of text, for the report, the comparison of runs and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.report_text import amount, bps, number, percent, span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.statistics import Figures, Markout

__all__ = ["FIGURES", "Figure", "figure_rows"]


@dataclass(frozen=True)
class Figure:
    """A line of a table: its group, its label, and how it reads of some figures."""

    group: str
    label: str
    text: Callable[[Figures], str]
    is_key: bool = False
    """Whether it is among the few that a comparison begins with."""


def _markout(figures: Figures, horizon: str) -> str:
    found: Markout = next(m for m in figures.trading.markouts if m.horizon == horizon)
    return bps(found.bps)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "Account",
        "Profit and loss",
        lambda f: amount(f.equity.pnl, f.currency, signed=True),
        is_key=True,
    ),
    Figure("Account", "Sharpe ratio, a year", lambda f: number(f.equity.sharpe, digits=2), True),
    Figure("Account", "Sortino ratio, a year", lambda f: number(f.equity.sortino, digits=2), True),
    Figure("Account", "Calmar ratio, a year", lambda f: number(f.equity.calmar, digits=2)),
    Figure(
        "Account", "Largest drawdown", lambda f: amount(f.equity.max_drawdown, f.currency), True
    ),
    Figure("Account", "Longest drawdown", lambda f: span(f.equity.drawdown_s_max)),
    Figure(
        "Profit from",
        "Spread",
        lambda f: amount(f.attribution.spread, f.currency, signed=True),
        True,
    ),
    Figure(
        "Profit from",
        "Inventory",
        lambda f: amount(f.attribution.inventory, f.currency, signed=True),
        True,
    ),
    Figure(
        "Profit from", "Fees", lambda f: amount(f.attribution.fees, f.currency, signed=True), True
    ),
    Figure(
        "Profit from",
        "Funding",
        lambda f: amount(f.attribution.funding, f.currency, signed=True),
        True,
    ),
    Figure("Trading", "Fills", lambda f: number(f.trading.fills), True),
    Figure("Trading", "Turnover", lambda f: amount(f.trading.turnover, f.currency), True),
    Figure(
        "Trading",
        "Turnover over mean equity",
        lambda f: number(f.trading.turnover_of_equity, digits=4),
    ),
    Figure("Trading", "Filled as maker", lambda f: percent(f.trading.maker_share), True),
    Figure("Trading", "Slippage against arrival mid", lambda f: bps(f.trading.slippage.bps), True),
    Figure("Trading", "Slippage as maker", lambda f: bps(f.trading.maker_slippage.bps)),
    Figure("Trading", "Slippage as taker", lambda f: bps(f.trading.taker_slippage.bps)),
    Figure("Trading", "Markout at the fill", lambda f: _markout(f, "fill")),
    Figure("Trading", "Markout after 100 ms", lambda f: _markout(f, "100ms")),
    Figure("Trading", "Markout after 1 s", lambda f: _markout(f, "1s"), True),
    Figure("Trading", "Markout after 10 s", lambda f: _markout(f, "10s")),
    Figure("Trading", "Markout after 60 s", lambda f: _markout(f, "60s")),
    Figure("Trading", "Wait in the queue, median", lambda f: span(f.trading.queue_wait_s.p50)),
    Figure("Trading", "Wait in the queue, 90 %", lambda f: span(f.trading.queue_wait_s.p90)),
    Figure("Round trips", "Round trips", lambda f: number(f.round_trips.count), True),
    Figure("Round trips", "With a profit", lambda f: percent(f.round_trips.hit_rate), True),
    Figure("Round trips", "Profit factor", lambda f: number(f.round_trips.profit_factor, digits=2)),
    Figure(
        "Round trips",
        "Mean of a trip",
        lambda f: amount(f.round_trips.pnl_mean, f.currency, signed=True),
    ),
    Figure("Round trips", "Held, median", lambda f: span(f.round_trips.holding_s.p50)),
    Figure("Round trips", "Held, 90 %", lambda f: span(f.round_trips.holding_s.p90)),
    Figure("Exposure", "Time in the market", lambda f: percent(f.exposure.time_in_market), True),
    Figure("Exposure", "Gross, mean", lambda f: amount(f.exposure.gross_mean, f.currency)),
    Figure("Exposure", "Gross, highest", lambda f: amount(f.exposure.gross_max, f.currency), True),
)
"""Every figure that is shown, in order."""


def figure_rows(
    columns: Sequence[Figures], *, keys_only: bool = False
) -> list[tuple[Figure, list[str]]]:
    """Each figure with its text for each column."""
    return [
        (figure, [figure.text(column) for column in columns])
        for figure in FIGURES
        if figure.is_key or not keys_only
    ]
