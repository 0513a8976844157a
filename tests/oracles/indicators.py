"""Indicators by brute force: each value from the whole history before it, nothing carried along.

A recursion `mean += gain × (value − mean)` is written out as what it means, a sum of all values
with falling weights. Sums of whole numbers are exact integers, everything else is in the machine's
longest float. Prices are ticks and volumes lots, as integers.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

LONG = np.longdouble
FORGOTTEN = 1e-30
"""Weights below this are left out of histories of more than `WHOLE` values."""
WHOLE = 2_000


def sma(close: np.ndarray, n: int) -> np.ndarray:
    return _lead(_sums(close.astype(object), n) / n, len(close))


def ema(values: np.ndarray, n: int) -> np.ndarray:
    """Seeded with the mean of the first n values that are there."""
    known = np.flatnonzero(~np.isnan(values.astype(LONG)))
    if len(known) < n:
        return np.full(len(values), LONG(np.nan))
    first = known[0] + n - 1
    gain = LONG(2) / (n + 1)
    seed = values[known[0] : first + 1].astype(LONG).mean()
    return _weighted(values, first, seed, gain, 1 - gain)


def macd(close: np.ndarray, fast: int, slow: int, signal: int) -> list[np.ndarray]:
    held = close.astype(LONG)
    held[: slow - fast] = np.nan
    line = ema(held, fast) - ema(close, slow)
    smooth = ema(line, signal)
    line = np.where(np.isnan(smooth), np.nan, line)
    return [line, smooth, line - smooth]


def bbands(close: np.ndarray, n: int, width: float) -> list[np.ndarray]:
    exact = close.astype(object)
    middle = _sums(exact, n) / n
    # n times the sum of squared distances from the mean, a whole number.
    spread = n * _sums(exact * exact, n) - _sums(exact, n) ** 2
    by = LONG(width) * np.sqrt(spread.astype(LONG)) / n
    return [_lead(values, len(close)) for values in (middle + by, middle, middle - by)]


def rsi(close: np.ndarray, n: int) -> np.ndarray:
    change = _differences(close)
    gain, loss = (_wilder_mean(np.maximum(sign * change, 0), n, 1) for sign in (1, -1))
    total = gain + loss
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total == 0, 0, 100 * gain / total)


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    high, low, close = (values.astype(object) for values in (high, low, close))
    before = np.concatenate([close[:1], close[:-1]])
    return np.max([high - low, abs(high - before), abs(low - before)], axis=0).astype(LONG)


def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int) -> np.ndarray:
    return _wilder_mean(true_range(high, low, close), n, 1)


def adx(high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int) -> list[np.ndarray]:
    """ADX, +DI and −DI, these two from the bar on that has the first."""
    up, down = _differences(high), -_differences(low)
    plus_move = np.where((up > 0) & (up > down), up, 0)
    minus_move = np.where((down > 0) & (down > up), down, 0)
    plus, minus, span = (
        _wilder_sum(values, n) for values in (plus_move, minus_move, true_range(high, low, close))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        plus_di, minus_di = (np.where(span == 0, 0, 100 * part / span) for part in (plus, minus))
        total = plus_di + minus_di
        dx = np.where(total == 0, np.nan, 100 * abs(plus_di - minus_di) / total)
    out = np.full(len(close), LONG(np.nan))
    if len(close) >= 2 * n:
        # A bar without direction counts 0 in the first mean, and is as if it were not there later.
        seed = np.nan_to_num(dx[n : 2 * n]).mean()
        later = dx[2 * n :]
        has = ~np.isnan(later)
        means = _weighted(np.append(seed, later[has]), 0, seed, LONG(1) / n, LONG(n - 1) / n)
        out[2 * n - 1] = seed
        out[2 * n :] = means[np.cumsum(has)]
    known = ~np.isnan(out)
    return [out, np.where(known, plus_di, np.nan), np.where(known, minus_di, np.nan)]


def stoch(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int, k: int, d: int
) -> list[np.ndarray]:
    if len(close) < n:
        return [np.full(len(close), LONG(np.nan))] * 2
    top = sliding_window_view(high, n).max(axis=1).astype(object)
    bottom = sliding_window_view(low, n).min(axis=1).astype(object)
    span, above = (top - bottom).astype(LONG), (close[n - 1 :].astype(object) - bottom).astype(LONG)
    with np.errstate(invalid="ignore"):
        fast = np.where(span == 0, 0, 100 * above / span)
    slow = _lead(_means(fast, k), len(close))
    smooth = _lead(_means(slow[n + k - 2 :], d), len(close))
    return [np.where(np.isnan(smooth), np.nan, slow), smooth]


def obv(close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    sign = np.ones(len(close), object)
    sign[1:] = (close[1:] > close[:-1]).astype(object) - (close[1:] < close[:-1]).astype(object)
    return np.cumsum(sign * volume.astype(object)).astype(LONG)


def vwap(
    start_ns: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    high, low, close, volume = (values.astype(object) for values in (high, low, close, volume))
    value_x3 = (high + low + close) * volume
    day = start_ns // 86_400_000_000_000
    out = np.full(len(close), LONG(np.nan))
    for of_day in np.split(np.arange(len(day)), np.flatnonzero(np.diff(day)) + 1):
        traded = np.cumsum(volume[of_day])
        values = np.cumsum(value_x3[of_day])
        has = traded > 0
        out[of_day[has]] = values[has].astype(LONG) / (3 * traded[has]).astype(LONG)
    return out


def _weighted(values: np.ndarray, first: int, seed: LONG, gain: LONG, keep: LONG) -> np.ndarray:
    """For each t from `first`: seed × keep^(t − first) + Σ gain × value_i × keep^(t − i)."""
    terms = gain * values[first:].astype(LONG)
    terms[0] = seed
    count = len(terms)
    if count > WHOLE and 0 < keep < 1:
        count = min(count, int(np.ceil(np.log(FORGOTTEN) / np.log(float(keep)))) + 1)
    weights = keep ** np.arange(count).astype(LONG)
    padded = np.concatenate([np.zeros(count - 1, LONG), terms])
    return _lead(sliding_window_view(padded, count) @ weights[::-1], len(values))


def _wilder_mean(values: np.ndarray, n: int, first: int) -> np.ndarray:
    """Wilder's mean, seeded with values[first : first + n]."""
    if len(values) < first + n:
        return np.full(len(values), LONG(np.nan))
    seed = values[first : first + n].astype(LONG).mean()
    return _weighted(values, first + n - 1, seed, LONG(1) / n, LONG(n - 1) / n)


def _wilder_sum(values: np.ndarray, n: int) -> np.ndarray:
    """Wilder's sum of directional movement; what TA-Lib seeds it with has n − 1 values."""
    if len(values) <= n:
        return np.full(len(values), LONG(np.nan))
    seed = values[1:n].astype(LONG).sum()
    out = _weighted(values, n - 1, seed, LONG(1), 1 - LONG(1) / n)
    out[n - 1] = np.nan
    return out


def _differences(values: np.ndarray) -> np.ndarray:
    exact = values.astype(object)
    return np.concatenate([exact[:1] * 0, exact[1:] - exact[:-1]]).astype(LONG)


def _sums(exact: np.ndarray, n: int) -> np.ndarray:
    """Sums of n Python integers up to each from the n-th on."""
    totals = np.concatenate([np.array([0], object), np.cumsum(exact)])
    return totals[n:] - totals[:-n] if len(exact) >= n else exact[:0]


def _means(values: np.ndarray, n: int) -> np.ndarray:
    return sliding_window_view(values, n).mean(axis=1) if len(values) >= n else values[:0]


def _lead(values: np.ndarray, length: int) -> np.ndarray:
    """Values with NaN in front of them, as many as there are bars."""
    return np.concatenate([np.full(length - len(values), LONG(np.nan)), values.astype(LONG)])
