"""Rows and commands played to the plain exchange, in order of time."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.peers.order_types import Fate
from tests.oracles.orders import FIRST, TRADE, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from engine.peers.order_types import Command
    from tests.oracles.order_state import Order
    from tests.oracles.orders import FillModel


@dataclass(frozen=True)
class Outcome:
    """`fates` of all orders at the exchange; `answers` as [`Exchange`] has them, in order."""

    fates: dict[int, Fate]
    answers: list[tuple[int, int, str, int, str]]
    position: int


def run(
    depth: np.ndarray,
    trades: np.ndarray,
    commands: Sequence[Command],
    *,
    order_entry_ns: int = 0,
    fill: FillModel = "walk",
    position: int = 0,
    exchange: Exchange | None = None,
) -> Outcome:
    """Plays rows and commands to the end of the rows, on an exchange of another kind if given.

    At one instant: the venue's data (depth before trades, after receive time), orders that expire,
    then requests that arrive.
    """
    exchange = Exchange(fill, position) if exchange is None else exchange
    arrivals = deque((command.ts_ns + order_entry_ns, command) for command in commands)

    def until(ts_ns: int) -> None:
        """All that happens before the data of a moment."""
        while True:
            expiry = exchange.next_expiry_ns()
            arrival = arrivals[0][0] if arrivals else None
            if expiry is not None and expiry < ts_ns and (arrival is None or expiry <= arrival):
                exchange.on_time(expiry)
            elif arrival is not None and arrival < ts_ns:
                exchange.on_command(arrivals.popleft()[1], arrival)
            else:
                return

    end_ns = 0
    for ts_ns, message in _messages(depth, trades):
        until(ts_ns)
        end_ns = ts_ns
        if message[0][0] == TRADE:
            for _, _, side, px, qty, _, _ in message:
                exchange.on_trade(side, px, qty, ts_ns)
        else:
            exchange.on_depth(message, ts_ns)
    until(end_ns + 1)
    fates = {order_id: _fate(order) for order_id, order in exchange.orders.items()}
    return Outcome(fates, exchange.answers, exchange.position)


def _messages(depth: np.ndarray, trades: np.ndarray) -> Iterable[tuple[int, list[tuple[int, ...]]]]:
    """All messages by venue time, then receipt; depth before trades where both are equal."""
    columns = ("kind", "flags", "side", "px_ticks", "qty_lots", "seq", "prev_seq")

    def grouped(stream: np.ndarray) -> list[tuple[int, int, list[tuple[int, ...]]]]:
        rows = list(zip(*(stream[name].tolist() for name in columns), strict=True))
        firsts = [at for at, row in enumerate(rows) if row[1] & FIRST] + [len(rows)]
        return [
            (int(stream["ts_event_ns"][a]), int(stream["ts_recv_ns"][a]), rows[a:b])
            for a, b in itertools.pairwise(firsts)
        ]

    merged = heapq.merge(grouped(depth), grouped(trades), key=lambda group: group[:2])
    for ts_ns, _, rows in merged:
        yield ts_ns, rows


def _fate(order: Order) -> Fate:
    return Fate(
        order.new.order_id,
        order.status,
        tuple(order.fills),
        order.qty,
        order.px,
        order.trigger,
        order.ts_ns,
        order.code,
    )
