"""Cobalt's own side of a comparison: the same orders and the same benchmark strategy, in memory."""

from __future__ import annotations

import dataclasses
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backtest import Backtest
from engine.config import ExchangeConfig, LatencyConfig
from engine.peers.orders import (
    BUY,
    CANCEL,
    FOK,
    GTC,
    IOC,
    MARKET,
    POST_ONLY,
    RESULT_DTYPE,
    SUBMIT,
    Outcome,
    Quoting,
    QuotingRun,
    Setup,
)
from engine.strategy import NoConfig, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine._core import Book, Order
    from engine.instruments import Instrument
    from engine.latency import Samples
    from engine.strategy import Timer

_TIF = {GTC: "GTC", POST_ONLY: "GTC", FOK: "FOK", IOC: "IOC"}
LEVELS_MAX = 5_000
"""As many levels as a book view shows."""


class Commands(Strategy[NoConfig]):
    """Sends commands (`COMMAND_DTYPE`) at their times.

    A cancel or modification goes out only where hftbacktest would let it: the order is known to be
    open and no request on it is under way.
    """

    def __init__(self, commands: NDArray[np.void], instrument: Instrument) -> None:
        super().__init__(NoConfig())
        self.instrument = instrument.id
        self.sent = np.zeros(len(commands), np.bool_)
        self._commands = commands.tolist()
        self._tick, self._lot = Decimal(instrument.tick), Decimal(instrument.lot)
        self._next = 0
        self._open: set[int] = set()
        self._busy: set[int] = set()

    def on_start(self) -> None:
        for ts_ns in dict.fromkeys(command[0] for command in self._commands):
            self.set_timer(at=ts_ns)

    def on_timer(self, timer: Timer) -> None:
        while self._next < len(self._commands) and self._commands[self._next][0] == timer.ts_ns:
            self._send(self._next, *self._commands[self._next][1:])
            self._next += 1

    def on_order(self, order: Order) -> None:
        self._busy.discard(order.id)
        if order.status in ("open", "partially_filled"):
            self._open.add(order.id)
        else:
            self._open.discard(order.id)

    def _send(
        self, at: int, order_id: int, px: int, qty: int, action: int, side: int, kind: int, tif: int
    ) -> None:
        if action == SUBMIT:
            send = self.buy if side == BUY else self.sell
            given = send(
                self.instrument,
                qty=qty * self._lot,
                limit=None if kind == MARKET else px * self._tick,
                post_only=tif == POST_ONLY,
                tif=_TIF[tif],
            )
            if given != order_id:
                raise ValueError(f"order_id: expected {given}, the next one, found {order_id}")
        elif order_id not in self._open or order_id in self._busy:
            return
        else:
            self._busy.add(order_id)
            if action == CANCEL:
                self.cancel(order_id)
            else:
                self.modify(order_id, qty=qty * self._lot, limit=px * self._tick)
        self.sent[at] = True


class Quotes(Strategy[NoConfig]):
    """The benchmark's strategy; see [`engine.peers.orders.Quoting`]."""

    def __init__(self, plan: Quoting, instrument: Instrument) -> None:
        super().__init__(NoConfig())
        self.instrument = instrument.id
        self.tops: list[tuple[int | None, int | None]] = []
        self._plan = plan
        self._qty = format(plan.qty_lots * Decimal(instrument.lot), "f")
        self._steps = float(instrument.tick), float(instrument.lot)
        self._last: list[int] = []
        tick = Decimal(instrument.tick)
        self._resting = [(side, format(px * tick, "f")) for side, px in plan.resting]

    def on_start(self) -> None:
        self._book = self.book(self.instrument)
        self._timer = self.set_timer(at=self._plan.begin_ns, every=self._plan.interval_ns)

    def on_timer(self, _timer: Timer) -> None:
        book = self._book
        looks = len(self.tops)
        if not looks:
            for side, px in self._resting:
                send = self.buy if side == BUY else self.sell
                send(self.instrument, self._qty, px, post_only=True)
        self.tops.append((book.best_bid_ticks, book.best_ask_ticks))
        if looks % self._plan.looks_per_quote == 0:
            for order_id in self._last:
                self.cancel(order_id)
            bid = self.buy(self.instrument, self._qty, book.best_bid, post_only=True)
            ask = self.sell(self.instrument, self._qty, book.best_ask, post_only=True)
            self._last = [bid, ask]
        if looks + 1 == self._plan.looks:
            self.cancel_timer(self._timer)

    def levels(self) -> tuple[dict[int, int], dict[int, int]]:
        """The book as it stands: quantity in lots by price in ticks, best `LEVELS_MAX` levels."""
        book = self.book(self.instrument, depth=LEVELS_MAX)
        return self._levels(book.bid_px, book.bid_qty), self._levels(book.ask_px, book.ask_qty)

    def _levels(self, px: NDArray[np.float64], qty: NDArray[np.float64]) -> dict[int, int]:
        tick, lot = self._steps
        ticks, lots = np.rint(px / tick).astype(np.int64), np.rint(qty / lot).astype(np.int64)
        return dict(zip(ticks.tolist(), lots.tolist(), strict=True))


class QuotesOnEveryMessage(Quotes):
    """The same strategy, and a handler that reads the touch after every message."""

    def __init__(self, plan: Quoting, instrument: Instrument) -> None:
        super().__init__(plan, instrument)
        self.messages = 0
        self.spread_ticks = 0

    def on_start(self) -> None:
        super().on_start()
        self.subscribe_book(self.instrument)

    def on_book(self, book: Book) -> None:
        self.messages += 1
        bid, ask = book.best_bid_ticks, book.best_ask_ticks
        if bid is not None and ask is not None:
            self.spread_ticks += ask - bid


def run_commands(
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    commands: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
) -> Outcome:
    """Sends the commands (`COMMAND_DTYPE`) at their times and plays the rows to their end.

    Rows are of `EVENT_DTYPE`. A post-only order that would take counts as expired, as hftbacktest
    calls it. The balance is hftbacktest's too: minus the value of what was bought.
    """
    strategy = Commands(commands, instrument)
    outcome = run_strategy(strategy, depth, trades, instrument, setup)
    return dataclasses.replace(outcome, sent=strategy.sent)


def run_strategy(
    strategy: Strategy[Any],
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
) -> Outcome:
    """Runs any strategy to the end of the rows; what became of its orders (`sent` is empty)."""
    backtest, tables = _backtest(strategy, depth, trades, instrument, setup)
    backtest.run(tables.append)
    orders = _orders(tables, backtest.kernel.counts()["orders"])
    fills = [table["fills"] for table in tables]
    return Outcome(
        orders,
        np.zeros(0, np.bool_),
        position=strategy.position(instrument.id),
        balance=_balance(fills, instrument),
        fees=float(sum(table["fee"].sum() for table in fills)),
    )


def run_quoting(
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
    plan: Quoting,
    *,
    every_message: bool = False,
) -> QuotingRun:
    """Runs the benchmark's strategy; `seconds` is the loop alone, without building and reading out.

    With `every_message` a handler is called after each message besides.
    """
    strategy = (QuotesOnEveryMessage if every_message else Quotes)(plan, instrument)
    backtest, tables = _backtest(strategy, depth, trades, instrument, setup)
    started = time.perf_counter()
    backtest.run(tables.append)
    seconds = time.perf_counter() - started
    orders = _orders(tables, plan.orders)
    bids, asks = strategy.levels()
    book = strategy.book(instrument.id)
    counts = book.level_count("bid"), book.level_count("ask")
    return QuotingRun(seconds, np.array(strategy.tops, np.int64), orders, bids, asks, counts)


def _backtest(
    strategy: Strategy[Any],
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
) -> tuple[Backtest, list[dict[str, dict[str, Any]]]]:
    """A run in memory, and the list that its tables go to."""
    priced = dataclasses.replace(instrument, maker_fee=setup.maker_fee, taker_fee=setup.taker_fee)
    backtest = Backtest(
        [priced],
        strategy,
        {(instrument.id, "depth"): [depth], (instrument.id, "trades"): [trades]},
        latency=LatencyConfig(
            model="constant" if setup.latencies is None else "recorded",
            order_entry_ns=setup.order_entry_ns,
            response_ns=setup.response_ns,
        ),
        latency_samples=_samples(setup.latencies),
        exchange=ExchangeConfig(queue=setup.queue, queue_power=setup.queue_power, fill=setup.fill),
    )
    return backtest, []


def _samples(latencies: NDArray[np.void] | None) -> Samples:
    if latencies is None:
        return []
    columns = (latencies[name].tolist() for name in ("req_ns", "exchange_ns", "response_ns"))
    return list(zip(*columns, strict=True))


_STATUS = {
    "submitted": "new",
    "open": "new",
    "partially_filled": "new",
    "canceled": "cancelled",
}


def _orders(tables: list[dict[str, dict[str, Any]]], count: int) -> NDArray[np.void]:
    """What became of orders 1 to `count`, from the tables of a run."""
    out = np.zeros(count, RESULT_DTYPE)
    out["order_id"] = np.arange(1, count + 1)
    out["status"] = "new"
    heard: dict[int, int] = {}
    for table in tables:
        orders, fills = table["orders"], table["fills"]
        columns = ("order_id", "status", "reject_code", "ts_exchange_ns")
        for order_id, status, code, ts_ns in zip(*(orders[c] for c in columns), strict=True):
            row = out[order_id - 1]
            would_take = code == "POST_ONLY_WOULD_TAKE"
            row["status"] = "expired" if would_take else _STATUS.get(status, status)
            row["ts_exchange_ns"] = ts_ns or 0
        names = ("order_id", "px_ticks", "qty_lots", "liquidity", "ts_event_ns", "ts_recv_ns")
        for order_id, px, lots, liquidity, ts_ns, heard_ns in zip(
            *(fills[c] for c in names), strict=True
        ):
            row = out[order_id - 1]
            row["filled_lots"] += lots
            row["fills"] += heard.get(order_id) != heard_ns
            heard[order_id] = heard_ns
            row["exec_px_ticks"], row["maker"] = px, liquidity == "maker"
            row["ts_fill_ns"] = ts_ns
    return out


def _balance(fills: list[dict[str, Any]], instrument: Instrument) -> float:
    """Minus the value bought, plus the value sold, in the settlement asset."""
    size, balance = float(instrument.contract_size), 0.0
    for table in fills:
        value = table["qty"] * size
        value = value / table["px"] if instrument.kind == "inverse" else value * table["px"]
        buys = np.array([side == "buy" for side in table["side"]], np.bool_)
        balance += float(value[~buys].sum() - value[buys].sum())
    return balance
