"""Figures of one equity curve: profit, risk-adjusted ratios and drawdowns.

Everything is in money, not in shares of a capital: an account may begin with nothing, and ratios
of money to money are the same as of returns on a constant capital. A year has 365 days. There is no
risk-free rate. A sample that could not be valued (NaN) is no sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.statistics.columns import known

if TYPE_CHECKING:
    from engine.statistics.columns import Floats, Ints

__all__ = [
    "DRAWDOWNS_KEPT",
    "NS_PER_YEAR",
    "CurveFigures",
    "Drawdown",
    "Falls",
    "calmar",
    "curve_figures",
    "drawdowns",
    "sharpe",
    "sortino",
]

NS_PER_YEAR = 365 * 86_400 * 1_000_000_000
DRAWDOWNS_KEPT = 5
SAMPLES_MIN = 3
"""Fewer changes of equity than this have no ratio."""


@dataclass(frozen=True)
class Drawdown:
    """A fall from a peak of the equity until the peak is reached again.

    `depth` is in money, times are our clock. `recovered_ns` is None for a fall that the run's end
    cut; `length_s` then goes to the last sample. `recovery_s` is from the lowest point on.
    """

    depth: float
    peak_ns: int
    trough_ns: int
    recovered_ns: int | None
    length_s: float
    recovery_s: float | None


@dataclass(frozen=True)
class CurveFigures:
    """An equity curve in numbers, in its currency; ratios are annualized."""

    initial: float | None
    final: float | None = None
    pnl: float | None = None
    sharpe: float | None = None
    sortino: float | None = None
    calmar: float | None = None
    max_drawdown: float | None = None
    drawdown_s_max: float | None = None
    samples: int = 0
    drawdowns: list[Drawdown] = field(default_factory=list)


def curve_figures(
    ts_ns: Ints, equity: Floats, initial: float, *, start_ns: int, every_ns: int
) -> CurveFigures:
    """The figures of `equity` sampled at `ts_ns` (ascending) each `every_ns`, which was `initial`
    at `start_ns`.

    `final` and `pnl` are None where the last sample has no value, everything is without samples;
    the deepest `DRAWDOWNS_KEPT` drawdowns are listed.
    """
    valued = np.isfinite(equity)
    times, values = ts_ns[valued], equity[valued]
    if not len(values) or not math.isfinite(initial):
        return CurveFigures(initial=known(initial))
    final = equity[-1]
    changes = np.diff(values, prepend=initial)
    falls = drawdowns(times, values, initial, start_ns=start_ns)
    deepest = float(falls.depth.max(initial=0.0))
    return CurveFigures(
        initial=initial,
        final=known(final),
        pnl=known(final - initial),
        sharpe=sharpe(changes, every_ns),
        sortino=sortino(changes, every_ns),
        calmar=calmar(float(final) - initial, deepest, int(ts_ns[-1]) - start_ns),
        max_drawdown=deepest,
        drawdown_s_max=float(falls.length_s.max(initial=0.0)),
        samples=len(values),
        drawdowns=falls.deepest(),
    )


def sharpe(changes: Floats, every_ns: int) -> float | None:
    """Mean of the changes over their standard deviation (n − 1), annualized by the square root of
    changes a year; None below three of them and where they do not vary.

    W. F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994).
    """
    if len(changes) < SAMPLES_MIN or changes.min() == changes.max():
        return None
    deviation = float(np.std(changes, ddof=1))
    return float(np.mean(changes)) / deviation * math.sqrt(NS_PER_YEAR / every_ns)


def sortino(changes: Floats, every_ns: int) -> float | None:
    """Mean of the changes over the root of the mean squared loss (gains count as 0, target 0),
    annualized as the Sharpe ratio; None below three changes and without a loss.

    F. A. Sortino and L. N. Price, Performance Measurement in a Downside Risk Framework, Journal of
    Investing 3 (1994).
    """
    if len(changes) < SAMPLES_MIN:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(changes, 0.0) ** 2)))
    if downside <= 0:
        return None
    return float(np.mean(changes)) / downside * math.sqrt(NS_PER_YEAR / every_ns)


def calmar(pnl: float, max_drawdown: float, span_ns: int) -> float | None:
    """Profit a year over the largest drawdown; None where there was none, or no time.

    T. W. Young, Calmar Ratio: A Smoother Tool, Futures 20 (1991), there over 36 months, here over
    the run.
    """
    if not math.isfinite(pnl) or max_drawdown <= 0 or span_ns <= 0:
        return None
    return pnl * (NS_PER_YEAR / span_ns) / max_drawdown


@dataclass(frozen=True)
class Falls:
    """All falls of a curve, in order of time; one that the end cut lasts to the last sample."""

    depth: Floats
    length_s: Floats
    _times: Ints
    _values: Floats
    _first: Ints
    _end: Ints

    def deepest(self, count: int = DRAWDOWNS_KEPT) -> list[Drawdown]:
        """The deepest falls, of equally deep ones the earlier first."""
        order = np.argsort(-self.depth, kind="stable")[:count]
        return [self._told(int(at)) for at in order]

    def _told(self, at: int) -> Drawdown:
        first, end = int(self._first[at]), int(self._end[at])
        trough_ns = int(self._times[first + int(np.argmin(self._values[first:end]))])
        recovered_ns = int(self._times[end]) if end < len(self._times) else None
        return Drawdown(
            depth=float(self.depth[at]),
            peak_ns=int(self._times[first - 1]),
            trough_ns=trough_ns,
            recovered_ns=recovered_ns,
            length_s=float(self.length_s[at]),
            recovery_s=None if recovered_ns is None else (recovered_ns - trough_ns) / 1e9,
        )


def drawdowns(ts_ns: Ints, equity: Floats, initial: float, *, start_ns: int) -> Falls:
    """All falls of a curve without gaps, whose first point is `initial` at `start_ns`.

    A fall goes from the last sample at its peak to the first that reaches the peak again.
    """
    times = np.concatenate((np.array([start_ns], np.int64), ts_ns))
    values = np.concatenate(([initial], equity))
    under = values < np.maximum.accumulate(values)
    # The first point is below nothing, so every fall has a point before it.
    steps = np.diff(under.astype(np.int8))
    first = np.flatnonzero(steps == 1) + 1
    end = np.append(np.flatnonzero(steps == -1) + 1, [len(values)] if under[-1] else [])
    end = end.astype(np.int64)
    # What lies between two falls takes part in `reduceat` and is dropped again; the point added
    # lets an edge lie at the end.
    edges = np.column_stack((first, end)).ravel()
    lowest = np.minimum.reduceat(np.append(values, np.inf), edges)[::2] if len(first) else first
    return Falls(
        depth=values[first - 1] - lowest,
        length_s=(times[np.minimum(end, len(times) - 1)] - times[first - 1]) / 1e9,
        _times=times,
        _values=values,
        _first=first,
        _end=end,
    )
