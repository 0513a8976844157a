"""Stylised facts of order-driven markets, as measurements and thresholds.

The facts are those of Cont, "Empirical properties of asset returns" (Quantitative Finance 1, 2001)
for returns; Bouchaud, Mézard, Potters, "Statistical properties of stock order books" (Quantitative
Finance 2, 2002) for the shape of the book; Bouchaud et al., "Fluctuations and response in financial
markets" (Quantitative Finance 4, 2004) for the persistence of trade signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SECOND_NS = 1_000_000_000
LEVELS = 20

SPREAD_TICKS_MAX = 4.0
KURTOSIS_MIN = 1.0
# The upper 0.1 % of a chi-squared distribution with 9 degrees of freedom, one a lag.
LAGS = range(2, 11)
LINEAR_STATISTIC_MAX = 27.88
# White noise of 600 returns gives 0 with a standard error of 0.013 for the mean over ten lags.
CLUSTERING_MIN = 0.05
DEPTH_GROWTH_MIN = 1.3
SIGN_PERSISTENCE_MIN = 0.1


@dataclass(frozen=True)
class Market:
    """What is observed of one market: `mids` at whole seconds (float64), `spreads` in ticks and for
    how long each stood (`spread_weights`), `depth` as mean size of the n-th best level on either
    side, `signs` of the orders that took liquidity (+1 buys)."""

    mids: np.ndarray
    spreads: np.ndarray
    spread_weights: np.ndarray
    depth: np.ndarray
    signs: np.ndarray


def autocorrelation(series: np.ndarray, lag: int) -> float:
    """Pearson's correlation of a series with itself `lag` steps later."""
    centred = series - series.mean()
    return float((centred[lag:] * centred[:-lag]).sum() / (centred**2).sum())


def excess_kurtosis(series: np.ndarray) -> float:
    """Fourth standardised moment, less the normal distribution's 3."""
    centred = series - series.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def linear_statistic(returns: np.ndarray) -> float:
    """Sum over the lags of squared autocorrelations, each in units of its standard error under
    changing volatility (Diebold 1986): chi-squared for returns that are not correlated."""
    centred = returns - returns.mean()

    def squared_z(lag: int) -> float:
        products = centred[lag:] * centred[:-lag]
        return float(products.sum() ** 2 / (products**2).sum())

    return sum(squared_z(lag) for lag in LAGS)


def measure(market: Market) -> dict[str, float]:
    """The measurements, by name."""
    returns = np.diff(np.log(market.mids))
    sizes = np.abs(returns)
    order = np.argsort(market.spreads, kind="stable")
    half = np.searchsorted(np.cumsum(market.spread_weights[order]), market.spread_weights.sum() / 2)
    return {
        "spread": float(market.spreads[order][half]),
        "heavy_tails": excess_kurtosis(returns),
        "no_memory": linear_statistic(returns),
        "clustered_volatility": float(np.mean([autocorrelation(sizes, k) for k in range(1, 11)])),
        "depth_growth": float(market.depth[4:8].mean() / market.depth[0]),
        "sign_persistence": autocorrelation(market.signs, 1),
    }


def failures(facts: dict[str, float]) -> list[str]:
    """The names of the facts that do not hold."""
    holds = {
        "spread": 1.0 <= facts["spread"] <= SPREAD_TICKS_MAX,
        "heavy_tails": facts["heavy_tails"] > KURTOSIS_MIN,
        "no_memory": facts["no_memory"] < LINEAR_STATISTIC_MAX,
        "clustered_volatility": facts["clustered_volatility"] > CLUSTERING_MIN,
        "depth_growth": facts["depth_growth"] > DEPTH_GROWTH_MIN,
        "sign_persistence": facts["sign_persistence"] > SIGN_PERSISTENCE_MIN,
    }
    return [name for name, is_true in holds.items() if not is_true]


def observe(
    depth: np.ndarray, trades: np.ndarray, quotes: np.ndarray, start_ns: int, end_ns: int
) -> Market:
    """The market behind event rows, by the venue's clock."""
    bids, asks = quotes[quotes["side"] == 1], quotes[quotes["side"] == 2]
    times = bids["ts_event_ns"]
    seconds = np.arange(start_ns + SECOND_NS, end_ns, SECOND_NS)
    at = np.searchsorted(times, seconds, "right") - 1
    ends = np.append(times[1:], end_ns)
    # Fills of one taker share time and side; they count once.
    first = np.ones(len(trades), bool)
    first[1:] = (np.diff(trades["ts_event_ns"]) != 0) | (np.diff(trades["side"].astype(int)) != 0)
    return Market(
        mids=(bids["px_ticks"] + asks["px_ticks"])[at] / 2,
        spreads=(asks["px_ticks"] - bids["px_ticks"]).astype(float),
        spread_weights=(ends - times).astype(float),
        depth=mean_depth(depth, start_ns + 10 * SECOND_NS),
        signs=np.where(trades["side"][first] == 1, 1.0, -1.0),
    )


def mean_depth(rows: np.ndarray, start_ns: int) -> np.ndarray:
    """Mean size in lots of the best `LEVELS` levels, looked at once a second from `start_ns` on.

    The book is kept in a plain dict on purpose: this is a check from outside the engine.
    """
    books: dict[int, dict[int, int]] = {1: {}, 2: {}}
    seen = []
    due_ns = start_ns
    names = ("ts_event_ns", "px_ticks", "qty_lots", "side", "flags")
    for ts_ns, px, qty, side, flags in zip(*(rows[name].tolist() for name in names), strict=True):
        if side and qty:
            books[side][px] = qty
        elif side:
            books[side].pop(px, None)
        if flags & 2 and ts_ns >= due_ns:
            due_ns += SECOND_NS
            for book, best_first in ((books[1], True), (books[2], False)):
                prices = sorted(book, reverse=best_first)[:LEVELS]
                seen.append([book[price] for price in prices])
    return np.mean([sizes for sizes in seen if len(sizes) == LEVELS], axis=0)
