"""Small markets made by hand: how a case is written.

The book begins with bids 100 × 10, 99 × 20, 98 × 30 and asks 102 × 10, 103 × 20, 104 × 30 (ticks ×
lots). Times are seconds after the start. Expected fates are ours, worked out by hand from the
venue's rules; where NautilusTrader has another, a case says which and why.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.peers.order_types import Bracket, Cancel, Command, Fate, Modify, New, Oco
from tests.market import ASK, BID, DELTA, LINEAR, SECOND, SNAPSHOT, START, message, trades

INSTRUMENT = dataclasses.replace(LINEAR, notional_min=None)
B, A = BID, ASK
OPENING = [(B, 100, 10), (B, 99, 20), (B, 98, 30), (A, 102, 10), (A, 103, 20), (A, 104, 30)]
T, M = False, True  # taker, maker

Levels = list[tuple[int, int, int]]
Expected = tuple[str, list[tuple[float, int, int, bool]]]


def ns(seconds: float) -> int:
    """Venue time."""
    return START + round(seconds * SECOND)


@dataclass(frozen=True)
class Case:
    """`messages`: changes of the book, (seconds, levels), after the opening at 0. `trades`: rows as
    for `tests.market.trades`. `expected`: status and fills (seconds, price, lots, maker) by order.
    `nautilus`: the same of the orders that NautilusTrader treats otherwise, and `because` the row
    of `docs/fidelity.md` that tells why. `latency_ns`: one way, to the exchange.
    """

    name: str
    commands: list[Command]
    expected: dict[int, Expected]
    messages: list[tuple[float, Levels]] = field(default_factory=list)
    trades: list[tuple[float, int, int, int]] = field(default_factory=list)
    nautilus: dict[int, Expected] = field(default_factory=dict)
    because: str = ""
    latency_ns: int = 0

    def depth(self) -> np.ndarray:
        """Rows of the book; a last message without a level comes at 20 s."""
        steps = [(0.0, OPENING), *self.messages, (20.0, [(0, 0, 0)])]
        return np.concatenate(
            [
                message(DELTA if at else SNAPSHOT, ns(seconds), 1 + at, levels)
                for at, (seconds, levels) in enumerate(steps)
            ]
        )

    def trade_rows(self) -> np.ndarray:
        """Rows of the trades."""
        return trades(self.trades)


def told(fate: Fate) -> Expected:
    """A fate as cases write it; fills of one moment and price count as one."""
    fills: list[tuple[float, int, int, bool]] = []
    for fill in fate.fills:
        row = ((fill.ts_ns - START) / SECOND, fill.px_ticks, fill.qty_lots, fill.maker)
        if fills and (fills[-1][:2], fills[-1][3]) == (row[:2], row[3]):
            row = (*row[:2], row[2] + fills.pop()[2], row[3])
        fills.append(row)
    return fate.status, fills


def new(at: float, order_id: int, side: Any, kind: Any, lots: int, **given: Any) -> New:
    """An order; `px`, `trigger` and `expire` (seconds) are short for its own names."""
    names = {"px": "px_ticks", "trigger": "trigger_ticks"}
    options = {names.get(name, name): value for name, value in given.items()}
    if "expire" in options:
        options |= {"tif": "GTD", "expire_ns": ns(options.pop("expire"))}
    return New(ns(at), order_id, side, kind, lots, **options)


def buy(at: float, order_id: int, lots: int, **given: Any) -> New:
    """A market or, with `px`, limit buy."""
    return new(at, order_id, "buy", "limit" if "px" in given else "market", lots, **given)


def sell(at: float, order_id: int, lots: int, **given: Any) -> New:
    """A market or, with `px`, limit sale."""
    return new(at, order_id, "sell", "limit" if "px" in given else "market", lots, **given)


def oco(at: float, lots: int, px: int, stop: int) -> Oco:
    """Sale 1 at a limit and sale 2 at a stop."""
    first = sell(at, 1, lots, px=px)
    return Oco(first, new(at, 2, "sell", "stop_market", lots, trigger=stop))


def bracket(at: float, lots: int, stop: int, take_profit: int, **entry: Any) -> Bracket:
    """Buy 1, its stop 2 and its take-profit 3."""
    return Bracket(
        buy(at, 1, lots, **entry),
        new(at, 2, "sell", "stop_market", lots, trigger=stop, reduce_only=True),
        sell(at, 3, lots, px=take_profit, reduce_only=True),
    )


def cancel(at: float, order_id: int) -> Cancel:
    """A request to cancel."""
    return Cancel(ns(at), order_id)


def modify(at: float, order_id: int, **given: Any) -> Modify:
    """A request to change `lots`, `px` or `trigger`."""
    names = {"lots": "qty_lots", "px": "px_ticks", "trigger": "trigger_ticks"}
    return Modify(ns(at), order_id, **{names[name]: value for name, value in given.items()})


def gone(side: int, *pxs: int) -> Levels:
    """Levels that end."""
    return [(side, px, 0) for px in pxs]
