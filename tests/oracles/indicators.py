"""Indicators over whole arrays, from their definitions."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _windows(values: np.ndarray, length: int) -> np.ndarray:
    padded = np.full((len(values), length), np.nan)
    if len(values) >= length:
        padded[length - 1 :] = sliding_window_view(values, length)
    return padded


def sma(close: np.ndarray, n: int) -> np.ndarray:
    return _windows(close, n).mean(axis=1)


def ema(values: np.ndarray, n: int) -> np.ndarray:
    """Seeded with the mean of the first n values that are there."""
    out = np.full(len(values), np.nan)
    first = int(np.argmax(~np.isnan(values))) + n - 1
    if len(values) <= first:
        return out
    out[first] = values[first - n + 1 : first + 1].mean()
    for at in range(first + 1, len(values)):
        out[at] = out[at - 1] + 2 / (n + 1) * (values[at] - out[at - 1])
    return out


def macd(close: np.ndarray, fast: int, slow: int, signal: int) -> list[np.ndarray]:
    held = close.copy()
    held[: slow - fast] = np.nan
    line = ema(held, fast) - ema(close, slow)
    smooth = ema(line, signal)
    line = np.where(np.isnan(smooth), np.nan, line)
    return [line, smooth, line - smooth]


def bbands(close: np.ndarray, n: int, width: float) -> list[np.ndarray]:
    windows = _windows(close, n)
    middle, spread = windows.mean(axis=1), windows.std(axis=1)
    return [middle + width * spread, middle, middle - width * spread]


def wilder(values: np.ndarray, n: int, first: int) -> np.ndarray:
    """Wilder's mean, seeded with values[first : first + n]."""
    out = np.full(len(values), np.nan)
    if len(values) < first + n:
        return out
    out[first + n - 1] = values[first : first + n].mean()
    for at in range(first + n, len(values)):
        out[at] = (out[at - 1] * (n - 1) + values[at]) / n
    return out


def rsi(close: np.ndarray, n: int) -> np.ndarray:
    change = np.diff(close, prepend=close[:1])
    gain, loss = (wilder(np.maximum(sign * change, 0), n, 1) for sign in (1, -1))
    total = gain + loss
    with np.errstate(invalid="ignore"):
        return np.where(total == 0, 0.0, 100 * gain / total)


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    before = np.concatenate([close[:1], close[:-1]])
    return np.max([high - low, abs(high - before), abs(low - before)], axis=0)


def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int) -> np.ndarray:
    return wilder(true_range(high, low, close), n, 1)


def adx(high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int) -> list[np.ndarray]:
    up, down = np.diff(high, prepend=high[:1]), -np.diff(low, prepend=low[:1])
    plus_move = np.where((up > 0) & (up > down), up, 0)
    minus_move = np.where((down > 0) & (down > up), down, 0)
    plus, minus, span = (
        _wilder_sum(values, n) for values in (plus_move, minus_move, true_range(high, low, close))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        plus_di = np.where(span == 0, 0, 100 * plus / span)
        minus_di = np.where(span == 0, 0, 100 * minus / span)
        dx = 100 * abs(plus_di - minus_di) / (plus_di + minus_di)
    out = np.full(len(close), np.nan)
    if len(close) >= 2 * n:
        # A bar without direction counts 0 in the first mean and nothing later.
        out[2 * n - 1] = np.nan_to_num(dx[n : 2 * n]).mean()
        for at in range(2 * n, len(close)):
            out[at] = out[at - 1] if np.isnan(dx[at]) else (out[at - 1] * (n - 1) + dx[at]) / n
    known = ~np.isnan(out)
    return [out, np.where(known, plus_di, np.nan), np.where(known, minus_di, np.nan)]


def _wilder_sum(values: np.ndarray, n: int) -> np.ndarray:
    out = np.full(len(values), np.nan)
    total = values[1:n].sum()
    for at in range(n, len(values)):
        total = total - total / n + values[at]
        out[at] = total
    return out


def stoch(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, n: int, k: int, d: int
) -> list[np.ndarray]:
    top, bottom = _windows(high, n).max(axis=1), _windows(low, n).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        fast = np.where(top == bottom, 0, 100 * (close - bottom) / (top - bottom))
    slow = sma(fast, k)
    smooth = sma(slow, d)
    return [np.where(np.isnan(smooth), np.nan, slow), smooth]


def obv(close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    sign = np.sign(np.diff(close, prepend=close[:1] - 1))
    return np.cumsum(sign * volume)


def vwap(
    start_ns: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    out = np.full(len(close), np.nan)
    day = start_ns // 86_400_000_000_000
    for one in np.unique(day):
        of_day = day == one
        typical = (high[of_day] + low[of_day] + close[of_day]) / 3
        traded = np.cumsum(volume[of_day])
        with np.errstate(invalid="ignore", divide="ignore"):
            out[of_day] = np.cumsum(typical * volume[of_day]) / traded
    return out
