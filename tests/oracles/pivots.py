"""Williams pivots over whole arrays: the rule applied level by level, nothing kept in between."""

from __future__ import annotations

import numpy as np


def pivots(high: np.ndarray, low: np.ndarray, k: int, levels: int) -> np.ndarray:
    """Rows (bar that confirms, level, is_high, bar of the pivot), sorted in the order in which they
    are to be told: by time of confirmation, level, highs first.
    """
    found = []
    for is_high, side in ((1, high), (0, low)):
        at, px = np.arange(len(side)), side
        known = at
        for level in range(1, levels + 1):
            chosen = stands(px, k, is_high)
            known = known[np.minimum(chosen + k, len(known) - 1)] if len(chosen) else known[:0]
            at, px = at[chosen], px[chosen]
            rows = np.stack([known, np.full_like(at, level), np.full_like(at, is_high), at], axis=1)
            found.append(rows)
    rows = np.concatenate(found)
    return rows[np.lexsort((rows[:, 3], -rows[:, 2], rows[:, 1], rows[:, 0]))]


def stands(px: np.ndarray, k: int, is_high: int) -> np.ndarray:
    """Indices of values above the k before and not below the k after; of lows the other way."""
    if len(px) < 2 * k + 1:
        return np.zeros(0, np.int64)
    beats, equals = (np.greater, np.greater_equal) if is_high else (np.less, np.less_equal)
    middle = px[k : len(px) - k]
    keep = np.ones(len(middle), bool)
    for by in range(1, k + 1):
        keep &= beats(middle, px[k - by : len(px) - k - by])
        keep &= equals(middle, px[k + by : len(px) - k + by])
    return np.flatnonzero(keep) + k


def trends(rows: np.ndarray, px: np.ndarray) -> np.ndarray:
    """Direction of the level after all pivots of each confirming bar: 1, −1, 0, or −128 before two
    of each side are known.
    """
    out = np.full(len(rows), -128)
    for level in np.unique(rows[:, 1]):
        of_level = np.flatnonzero(rows[:, 1] == level)
        sides = []
        for is_high in (1, 0):
            member = of_level[rows[of_level, 2] == is_high]
            # Number of this side's pivots known when each of the level's bars confirms.
            count = np.searchsorted(rows[member, 0], rows[of_level, 0], side="right")
            prices = np.concatenate([[0, 0], px[member]])
            last, before = prices[count + 1], prices[count]
            # Compared, as a difference of extremes would wrap round.
            sides.append((count >= 2, (last > before).astype(int) - (last < before).astype(int)))
        (high_known, highs), (low_known, lows) = sides
        direction = np.where(highs == lows, highs, 0)
        out[of_level] = np.where(high_known & low_known, direction, -128)
    return out


def frame(
    rows: np.ndarray, px: np.ndarray, at: int, asked: int, kept: int
) -> dict[str, int | None]:
    """What frames a price after bar `at`: over the last `kept` pivots of each level and side that
    were confirmed by then, the lowest, the highest, the nearest at or below and at or above.
    """
    count = int(np.searchsorted(rows[:, 0], at, side="right"))
    rows, px = rows[:count], px[:count]
    prices: list[int] = []
    for level in range(1, 6):
        for is_high in (0, 1):
            member = (rows[:, 1] == level) & (rows[:, 2] == is_high)
            prices += px[member][-kept:].tolist()
    return {
        "low": min(prices, default=None),
        "high": max(prices, default=None),
        "support": max((one for one in prices if one <= asked), default=None),
        "resistance": min((one for one in prices if one >= asked), default=None),
    }


def trend_after(rows: np.ndarray, px: np.ndarray, at: int, level: int) -> int | None:
    """Direction of a level after bar `at`."""
    count = int(np.searchsorted(rows[:, 0], at, side="right"))
    rows, px = rows[:count], px[:count]
    signs = []
    for is_high in (0, 1):
        member = (rows[:, 1] == level) & (rows[:, 2] == is_high)
        last = px[member][-2:].tolist()
        if len(last) < 2:
            return None
        signs.append((last[1] > last[0]) - (last[1] < last[0]))
    return signs[0] if signs[0] == signs[1] else 0
