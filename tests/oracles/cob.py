"""A consolidated book by brute force: whole books of dictionaries, nothing kept between samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.instruments import Instrument

BUCKETS, BELOW = 40, 20
WINDOWS_NS = [1_000_000_000, 5_000_000_000, 15_000_000_000, 60_000_000_000]
DELTA, SNAPSHOT = 1, 2
BID = 1
FLAG_LAST = 2


@dataclass
class Book:
    """One member: its levels by side as price in ticks to lots."""

    instrument: Instrument
    weight: float
    sides: tuple[dict[int, int], dict[int, int]]
    recv_ns: int | None = None
    trusted: bool = False

    def apply(self, rows: Any) -> None:
        if rows["kind"][0] == SNAPSHOT:
            self.sides[0].clear()
            self.sides[1].clear()
            self.trusted = True
        for side, px, lots in zip(
            rows["side"].tolist(), rows["px_ticks"].tolist(), rows["qty_lots"].tolist(), strict=True
        ):
            levels = self.sides[0 if side == BID else 1]
            if lots:
                levels[px] = lots
            else:
                levels.pop(px, None)
        self.recv_ns = int(rows["ts_recv_ns"][0])

    def arrays(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Prices in ticks, prices, and base units of a side."""
        levels = self.sides[side]
        ticks = np.fromiter(levels, np.int64, len(levels))
        lots = np.fromiter(levels.values(), np.float64, len(levels))
        num, den = Fraction(self.instrument.tick).as_integer_ratio()
        px = ticks * num / den
        unit = float(Decimal(self.instrument.lot) * Decimal(self.instrument.contract_size))
        base = lots * unit / px if self.instrument.kind == "inverse" else lots * unit
        return ticks, px, base


def samples(
    books: Sequence[Book],
    streams: Sequence[Any],
    times: Sequence[int],
    size: str,
    stale_ns: int,
) -> Iterator[dict[str, Any] | None]:
    """The consolidated book at each time, from `streams`, the depth rows of each book: everything
    received up to and at that time. None where there is no mid.
    """
    messages = [_messages(rows) for rows in streams]
    for now in times:
        for book, (rows, starts, ends, recv, at) in zip(books, messages, strict=True):
            while at[0] < len(starts) and recv[starts[at[0]]] <= now:
                book.apply(rows[starts[at[0]] : ends[at[0]]])
                at[0] += 1
        yield sample(books, now, size, stale_ns)


def _messages(rows: Any) -> tuple[Any, Any, Any, Any, list[int]]:
    ends = np.flatnonzero(rows["flags"] & FLAG_LAST) + 1
    starts = np.concatenate([[0], ends[:-1]])
    return rows, starts, ends, rows["ts_recv_ns"], [0]


def sample(books: Sequence[Book], now: int, size: str, stale_ns: int) -> dict[str, Any] | None:
    """Every quantity of one moment."""
    active = [
        book.trusted and book.recv_ns is not None and now - book.recv_ns <= stale_ns
        for book in books
    ]
    sides = [[book.arrays(side) for side in (0, 1)] for book in books]
    weighted = weights = 0.0
    bests: list[list[Fraction]] = [[], []]
    for book, on, (bids, asks) in zip(books, active, sides, strict=True):
        if not on or not len(bids[0]) or not len(asks[0]):
            continue
        bid, ask = bids[0].argmax(), asks[0].argmin()
        tick = Fraction(book.instrument.tick)
        bests[0].append(int(bids[0][bid]) * tick)
        bests[1].append(int(asks[0][ask]) * tick)
        weight = book.weight * (bids[2][bid] + asks[2][ask])
        weighted += weight * (bids[1][bid] + asks[1][ask]) / 2
        weights += weight
    if weights == 0:
        return None
    mid = weighted / weights
    first = math.floor(mid / float(size)) - BELOW
    resting = np.zeros((len(books), 2, BUCKETS))
    value = np.zeros(BUCKETS)
    for index, (book, on) in enumerate(zip(books, active, strict=True)):
        if not on:
            continue
        # floor(ticks × tick / size) in whole numbers.
        num, den = (Fraction(book.instrument.tick) / Fraction(size)).as_integer_ratio()
        for side in (0, 1):
            ticks, px, base = sides[index][side]
            bucket = ticks * num // den - first
            inside = (bucket >= 0) & (bucket < BUCKETS)
            here = bucket[inside]
            resting[index, side] = book.weight * np.bincount(here, base[inside], BUCKETS)
            value += book.weight * np.bincount(here, (base * px)[inside], BUCKETS)
    bid, ask = resting.sum(axis=0)
    total = bid + ask
    with np.errstate(invalid="ignore"):
        imbalance = np.where(total == 0, 0.0, (bid - ask) / total)
        vwap = value / total
    depth = resting.sum(axis=(1, 2))
    return {
        "ts_ns": now,
        "mid": mid,
        "best_bid": float(max(bests[0])),
        "best_ask": float(min(bests[1])),
        "spread_bps": float(min(bests[1]) - max(bests[0])) / mid * 1e4,
        "bid_depth": bid.sum(),
        "ask_depth": ask.sum(),
        "imbalance": (bid.sum() - ask.sum()) / total.sum() if total.sum() else 0.0,
        "bucket_first": first,
        "bid": bid,
        "ask": ask,
        "bucket_imbalance": imbalance,
        "vwap": vwap,
        "venues": (resting.sum(axis=1) > 0).sum(axis=0),
        "shares": depth / depth.sum() if depth.sum() else depth,
        **_crossed(books, active, sides),
    }


def _crossed(
    books: Sequence[Book], active: Sequence[bool], sides: Sequence[Any]
) -> dict[str, float]:
    """Pairs that are locked or crossed, and the most that one of them could trade: at any price
    no more than what is asked at or below it and what is bid at or above it.
    """
    pairs, most = 0, 0.0
    for buy, _ in enumerate(books):
        for sell, _ in enumerate(books):
            _, ask_px, asked = sides[buy][1]
            _, bid_px, wanted = sides[sell][0]
            if buy == sell or not (active[buy] and active[sell] and len(ask_px) and len(bid_px)):
                continue
            if ask_px.min() > bid_px.max():
                continue
            pairs += 1
            prices = np.unique(
                np.concatenate([ask_px[ask_px <= bid_px.max()], bid_px[bid_px >= ask_px.min()]])
            )
            offers = np.array([asked[ask_px <= px].sum() for px in prices])
            bids = np.array([wanted[bid_px >= px].sum() for px in prices])
            most = max(most, np.minimum(offers, bids).max())
    return {"crossed": pairs, "crossed_qty": most}


def averages(history: Sequence[Mapping[str, Any]], now: int, first: int) -> np.ndarray:
    """Mean imbalance of the ten buckets around the mid over each window, from all samples."""
    found = np.full((len(WINDOWS_NS), 10), np.nan)
    for row, span in enumerate(WINDOWS_NS):
        inside = [sample for sample in history if now - span < sample["ts_ns"] <= now]
        for column in range(10):
            bucket = first + 15 + column
            seen = [
                sample["bucket_imbalance"][bucket - sample["bucket_first"]]
                for sample in inside
                if 0 <= bucket - sample["bucket_first"] < BUCKETS
            ]
            found[row, column] = np.mean(seen)
    return found
