"""Bars, order flow, aggressors' orders and ticks from the whole history, without running state.

Trades are arrays of `engine.EVENT_DTYPE` in order of receipt. Where sums could leave 64 bits, the
integers are Python's, in object arrays. A *look* is a moment at which somebody lets time pass and
reads: after so many trades, at such a time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from engine import EVENT_DTYPE, SEQ_NONE, TS_NONE

from .binance_reader import BID, FIRST, LAST, QUOTE, DictBook, groups

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS_NS = (10**9, 5 * 10**9, 15 * 10**9, 60 * 10**9)
DAY_NS = 86_400 * 10**9
ORDER_OVER_NS = 10**8
INTERVALS_NS = {
    "1s": 10**9,
    "1m": 60 * 10**9,
    "5m": 300 * 10**9,
    "15m": 900 * 10**9,
    "1h": 3_600 * 10**9,
    "4h": 14_400 * 10**9,
    "1d": DAY_NS,
}
I64_MAX = 2**63 - 1
I128_MAX = 2**127 - 1

Looks = list[tuple[int, int]]
"""Number of trades received, and time in ns."""


def px_and_lots(trades: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prices and lots, as Python integers unless all sums of their products have 64 bits."""
    px, lots = trades["px_ticks"], trades["qty_lots"]
    px_max = max(map(abs, px.tolist()), default=0)
    if max(1, px_max) * sum(map(abs, lots.tolist())) < 2**62:
        return px, lots
    return px.astype(object), lots.astype(object)


def venue_times(trades: np.ndarray) -> np.ndarray:
    """The venue's clock, ours where the venue sends no time."""
    known = trades["ts_event_ns"] != TS_NONE
    return np.where(known, trades["ts_event_ns"], trades["ts_recv_ns"])


def bars(trades: np.ndarray, intervals: Sequence[str]) -> list[tuple[int, ...]]:
    """All complete bars in order of emission: trades received by then, start, interval, open, high,
    low, close, volume, buy volume, trades, value.
    """
    if not len(trades):
        return []
    # A trade older than the open bar counts into it: as if it were as late as the latest before.
    times = np.maximum.accumulate(venue_times(trades))
    px, lots = px_and_lots(trades)
    bought = np.where(trades["side"] == BID, lots, 0)
    found = []
    for interval in {INTERVALS_NS[name] for name in intervals}:
        numbers = times // interval
        for number in range(int(numbers[0]), int(numbers[-1])):
            low, high = np.searchsorted(numbers, [number, number + 1]).tolist()
            inside = px[low:high] if high > low else px[low - 1 : low]
            sums = (lots[low:high].sum(), bought[low:high].sum())
            row = (
                high + 1,
                number * interval,
                interval,
                *(int(px) for px in (inside[0], max(inside), min(inside), inside[-1])),
                *(min(int(total), I64_MAX) for total in sums),
                high - low,
                min(int((px[low:high] * lots[low:high]).sum()), I128_MAX),
            )
            found.append(row)
    return sorted(found, key=lambda row: (row[0], row[1] + row[2], row[2]))


def clock(trades: np.ndarray, looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Our clock at each trade and at each look: it never goes back."""
    after = np.array([after for after, _ in looks], np.int64)
    # A look after n trades stands behind them.
    places = after + np.arange(len(looks))
    is_look = np.zeros(len(trades) + len(looks), bool)
    is_look[places] = True
    times = np.zeros(len(is_look), np.int64)
    times[is_look] = [ts for _, ts in looks]
    times[~is_look] = trades["ts_recv_ns"]
    now = np.maximum.accumulate(times)
    return now[~is_look], now[is_look]


@dataclass(frozen=True)
class FlowStates:
    """What the flow shows at each look: lots and trades by volume (four windows, session, all) and
    side (none, bid, ask), shape (looks, 6, 3), ratios (looks, 6) and the start of the session.
    """

    lots: np.ndarray
    trades: np.ndarray
    ratio: np.ndarray
    session_start_ns: np.ndarray


def flow(trades: np.ndarray, looks: Looks) -> FlowStates:
    """The order flow at each look."""
    at_trade, now = clock(trades, looks)
    after = np.array([after for after, _ in looks], np.int64)
    session = now // DAY_NS * DAY_NS
    # A window is open at its old end, a session closed. No trade behind a look is before its time.
    begins = [np.searchsorted(at_trade, now - span, "right") for span in WINDOWS_NS]
    begins += [np.searchsorted(at_trade, session, "left"), np.zeros(len(looks), np.int64)]
    _, lots = px_and_lots(trades)

    def sums(values: list[np.ndarray]) -> np.ndarray:
        before = [np.concatenate([values[0][:0].sum(keepdims=True), np.cumsum(v)]) for v in values]
        columns = np.stack(before, axis=1)
        return np.stack([columns[after] - columns[begin] for begin in begins], axis=1)

    is_side = [trades["side"] == side for side in range(3)]
    volumes = sums([np.where(mask, lots, 0) for mask in is_side])
    ratios = [
        (bought - sold) / (bought + sold) if bought + sold else 0.0
        for _, bought, sold in volumes.reshape(-1, 3).tolist()
    ]
    return FlowStates(
        lots=volumes,
        trades=sums([mask.astype(np.int64) for mask in is_side]),
        ratio=np.array(ratios, np.float64).reshape(len(looks), len(begins)),
        session_start_ns=session,
    )


def profile(
    trades: np.ndarray, looks: Looks, tick: str, bucket: str
) -> list[tuple[int, list[int]]]:
    """The session's lots (none, bid, ask) by bucket after all trades and looks."""
    at_trade, at_look = clock(trades, looks)
    now = max(at_trade.max(initial=-(2**62)), at_look.max(initial=-(2**62)))
    ratio = Fraction(tick) / Fraction(bucket)
    found: dict[int, list[int]] = {}
    for trade in trades[at_trade >= now // DAY_NS * DAY_NS]:
        number = int(trade["px_ticks"]) * ratio.numerator // ratio.denominator
        found.setdefault(number, [0, 0, 0])[trade["side"]] += int(trade["qty_lots"])
    return sorted(found.items())


def orders(trades: np.ndarray, looks: Looks) -> list[tuple[int, ...]]:
    """Aggressors' orders in order of emission: trades received and our clock by then, side, venue
    time, receive time, first and last price, trades, levels, lots, value.
    """
    if not len(trades):
        return []
    at_trade, at_look = clock(trades, looks)
    at_trade = at_trade.tolist()
    times = venue_times(trades).tolist()
    sides, seqs = trades["side"].tolist(), trades["seq"].tolist()
    px, lots = trades["px_ticks"].tolist(), trades["qty_lots"].tolist()
    recv = trades["ts_recv_ns"].tolist()

    def continues(last: int, this: int) -> bool:
        follows = seqs[this] == seqs[last] + 1 and SEQ_NONE not in (seqs[last], seqs[this])
        unnumbered = seqs[last] == seqs[this] == SEQ_NONE
        return (
            (follows or unnumbered)
            and times[last] == times[this]
            and sides[last] == sides[this] != 0
            and (px[this] >= px[last] if sides[this] == BID else px[this] <= px[last])
            and at_trade[this] - at_trade[last] < ORDER_OVER_NS
        )

    starts = [0, *(i for i in range(1, len(trades)) if not continues(i - 1, i)), len(trades)]
    waiting = defaultdict(list)
    for look, now in zip(looks, at_look.tolist(), strict=True):
        waiting[look[0]].append((look, now))
    found = []
    for start, end in pairwise(starts):
        over = at_trade[end - 1] + ORDER_OVER_NS
        known = [look for look, now in waiting[end] if now >= over]
        if not known and end < len(trades):
            known = [(end + 1, recv[end])]
        if known:
            inside = slice(start, end)
            value = sum(p * q for p, q in zip(px[inside], lots[inside], strict=True))
            found.append(
                (
                    *known[0],
                    sides[start],
                    times[start],
                    recv[end - 1],
                    px[start],
                    px[end - 1],
                    end - start,
                    len(set(px[inside])),
                    sum(lots[inside]),
                    min(value, I128_MAX),
                )
            )
    return found


def ticks(depth: np.ndarray, trades: np.ndarray, at_ns: int, span_ns: int) -> np.ndarray:
    """Trades and changes of the best bid and ask received within the span, depth first at the same
    time; of depth messages those that a book takes after the first snapshot.
    """
    rows = [(int(row["ts_recv_ns"]), 1, row) for row in trades]
    book, before, seq = DictBook(), [None, None], -1
    for group in groups(depth):
        is_snapshot = group[0]["kind"] == 2
        if not is_snapshot and not 0 <= seq < group[0]["seq"]:
            continue
        book.apply(group)
        seq = int(group[0]["seq"])
        bests = [
            (px, levels[px]) if levels else None
            for levels, px in (
                (book.bids, max(book.bids, default=0)),
                (book.asks, min(book.asks, default=0)),
            )
        ]
        changed = [side for side in range(2) if bests[side] != before[side]]
        for side in changed:
            row = np.zeros(1, EVENT_DTYPE)[0]
            for name in ("ts_event_ns", "ts_recv_ns", "seq", "instrument"):
                row[name] = group[-1][name]
            last = before[side]
            row["px_ticks"], row["qty_lots"] = bests[side] or ((last[0] if last else 0), 0)
            row["kind"], row["side"], row["prev_seq"] = QUOTE, 1 + side, SEQ_NONE
            row["flags"] = FIRST * (side == changed[0]) | LAST * (side == changed[-1])
            rows.append((int(row["ts_recv_ns"]), 0, row))
        before = bests
    kept = [row for row in rows if at_ns - span_ns < row[0] <= at_ns]
    kept.sort(key=lambda row: row[:2])
    return np.array([row for _, _, row in kept], EVENT_DTYPE)
