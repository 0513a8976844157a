"""NautilusTrader 1.221.0's simulated exchange on our rows, with orders of every type.

Its book is L2_MBP and gets each of our messages as one batch. It has one clock, here the venue's:
rows are ordered by `ts_event_ns`, depth before trades where two are equal, and so are commands,
which act after the data of their instant. Its risk engine is bypassed, so that the exchange itself
answers; fees are zero and the account is large.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine import _core
from engine.exporters.nautilus import nautilus_instrument
from engine.peers.order_types import (
    Bracket,
    Cancel,
    CancelAll,
    Fate,
    Fill,
    Modify,
    New,
    Oco,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from engine.instruments import Instrument
    from engine.peers.order_types import Command

__all__ = ["Exchange", "available", "run_commands"]

_SNAPSHOT = 2
_BID, _ASK = 1, 2
_BALANCE = 1_000_000_000


def available() -> bool:
    """Whether NautilusTrader is installed."""
    return importlib.util.find_spec("nautilus_trader") is not None


@dataclass(frozen=True)
class Exchange:
    """How NautilusTrader's exchange is set up.

    `latency_ns` is that of every command, one way; answers have none. `on_time`: a command acts at
    its time, through a timer of ours at that moment; without it NautilusTrader looks at commands
    under way only after the next data, so that a command meets the book that comes after its
    arrival. `trades_move_market` is its `trade_execution`, `refuse_triggered` its
    `reject_stop_orders`: whether a stop whose price has been reached already is rejected.
    """

    latency_ns: int = 0
    on_time: bool = True
    trades_move_market: bool = False
    refuse_triggered: bool = True


def run_commands(
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    commands: Sequence[Command],
    instrument: Instrument,
    exchange: Exchange | None = None,
) -> dict[int, Fate]:
    """What became of each order, by id. Rows are of `EVENT_DTYPE`, commands ascend in time.

    `depth` must hold only what our book applies, from a snapshot on. Orders with `display_lots`
    are sent as such; NautilusTrader does nothing with the number. Raises ValueError for commands
    that do not ascend.
    """
    from nautilus_trader.backtest.engine import BacktestEngine
    from nautilus_trader.backtest.models import LatencyModel
    from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
    from nautilus_trader.model.enums import AccountType, BookType, OmsType
    from nautilus_trader.model.identifiers import ClientOrderId, TraderId
    from nautilus_trader.model.objects import Money

    times = [command.ts_ns for command in commands]
    if times != sorted(times):
        raise ValueError("commands: expected ascending times")
    setup = exchange or Exchange()
    # Without fees there is no margin either, which its account would lock, below 0 at times.
    free = dataclasses.replace(instrument, maker_fee="0", taker_fee="0")
    definition = nautilus_instrument(free, {}, 0)
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("COBALT-001"),
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    try:
        engine.add_venue(
            venue=definition.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            starting_balances=[
                Money(_BALANCE, currency)
                for currency in (definition.base_currency, definition.quote_currency)
            ],
            latency_model=LatencyModel(setup.latency_ns) if setup.latency_ns else None,
            book_type=BookType.L2_MBP,
            reject_stop_orders=setup.refuse_triggered,
            trade_execution=setup.trades_move_market,
        )
        engine.add_instrument(definition)
        engine.add_data(list(_data(depth, trades, definition)), validate=False)
        engine.add_strategy(_sender(commands, definition, setup))
        engine.run()
        found = {
            order_id: engine.cache.order(ClientOrderId(str(order_id)))
            for order_id in placed(commands)
        }
        tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
        return {
            order_id: _fate(order_id, order, tick, lot)
            for order_id, order in found.items()
            if order is not None
        }
    finally:
        engine.dispose()


def _data(depth: NDArray[np.void], trades: NDArray[np.void], definition: Any) -> Iterator[Any]:
    """Batches of deltas and trades by the venue's clock.

    A message without a level becomes a status of the instrument, with which time passes and nothing
    else.
    """
    # Stable: depth before trades of the same instant, each stream in its own order.
    both = itertools.chain(_messages(depth, definition), _ticks(trades, definition))
    for _, data in sorted(both, key=lambda pair: pair[0]):
        yield data


def _messages(depth: NDArray[np.void], definition: Any) -> Iterator[tuple[int, Any]]:
    from nautilus_trader.model.data import (
        BookOrder,
        InstrumentStatus,
        OrderBookDelta,
        OrderBookDeltas,
    )
    from nautilus_trader.model.enums import BookAction, MarketStatusAction, OrderSide

    price, quantity = _units(definition)
    sides = {_BID: OrderSide.BUY, _ASK: OrderSide.SELL}
    columns = ("ts_event_ns", "kind", "side", "px_ticks", "qty_lots", "flags")
    message: list[Any] = []
    for ts_ns, kind, side, px, qty, flags in zip(
        *(depth[name].tolist() for name in columns), strict=True
    ):
        is_snapshot = kind == _SNAPSHOT
        if is_snapshot and flags & _core.FLAG_FIRST:
            message.append(OrderBookDelta.clear(definition.id, 0, ts_ns, ts_ns))
        if side:
            set_to = BookAction.ADD if is_snapshot else BookAction.UPDATE
            action = set_to if qty else BookAction.DELETE
            level = BookOrder(sides[side], price(px), quantity(qty), 0)
            message.append(OrderBookDelta(definition.id, action, level, 0, 0, ts_ns, ts_ns))
        if flags & _core.FLAG_LAST:
            yield (
                ts_ns,
                OrderBookDeltas(definition.id, message)
                if message
                else InstrumentStatus(definition.id, MarketStatusAction.NONE, ts_ns, ts_ns),
            )
            message = []


def _ticks(trades: NDArray[np.void], definition: Any) -> Iterator[tuple[int, Any]]:
    from nautilus_trader.model.data import TradeTick
    from nautilus_trader.model.enums import AggressorSide
    from nautilus_trader.model.identifiers import TradeId

    price, quantity = _units(definition)
    aggressors = {_BID: AggressorSide.BUYER, _ASK: AggressorSide.SELLER}
    columns = ("ts_event_ns", "side", "px_ticks", "qty_lots")
    rows = zip(*(trades[name].tolist() for name in columns), strict=True)
    for at, (ts_ns, side, px, qty) in enumerate(rows):
        aggressor = aggressors.get(side, AggressorSide.NO_AGGRESSOR)
        tick = (definition.id, price(px), quantity(qty), aggressor, TradeId(str(at)), ts_ns, ts_ns)
        yield ts_ns, TradeTick(*tick)


def _units(definition: Any) -> tuple[Any, Any]:
    """Ticks to its prices and lots to its quantities, exact."""
    from nautilus_trader.model.objects import Price, Quantity

    tick = Decimal(str(definition.price_increment))
    lot = Decimal(str(definition.size_increment))

    def price(ticks: int) -> Any:
        return Price(ticks * tick, definition.price_precision)

    def quantity(lots: int) -> Any:
        return Quantity(lots * lot, definition.size_precision)

    return price, quantity


def _sender(commands: Sequence[Command], definition: Any, setup: Exchange) -> Any:
    """A strategy of theirs that sends the commands at their times."""
    from nautilus_trader.config import StrategyConfig
    from nautilus_trader.model.identifiers import ClientOrderId
    from nautilus_trader.trading.strategy import Strategy

    price, quantity = _units(definition)
    groups = {
        ts_ns: list(group)
        for ts_ns, group in itertools.groupby(commands, lambda command: command.ts_ns)
    }
    times = set(groups)
    if setup.on_time:
        times |= {ts_ns + setup.latency_ns for ts_ns in groups}

    class Sender(Strategy):  # type: ignore[misc]
        def on_start(self) -> None:
            self._maker = _Maker(definition, self.trader_id, self.id)
            # One alert an instant: the exchange looks at its queue after the first of them only.
            for ts_ns in sorted(times):
                self.clock.set_time_alert_ns(str(ts_ns), ts_ns, self._on_time)

        def _on_time(self, event: Any) -> None:
            for command in groups.get(event.ts_event, ()):
                self._send(command)

        def _send(self, command: Command) -> None:
            if isinstance(command, New):
                self.submit_order(self._maker.order(command))
            elif isinstance(command, Oco | Bracket):
                self.submit_order_list(self._maker.list(command))
            elif isinstance(command, CancelAll):
                self.cancel_all_orders(definition.id)
            else:
                self._change(command)

        def _change(self, command: Cancel | Modify) -> None:
            order = self.cache.order(ClientOrderId(str(command.order_id)))
            if order is None or order.is_closed:
                return
            if isinstance(command, Cancel):
                self.cancel_order(order)
                return
            qty, px, trigger = command.qty_lots, command.px_ticks, command.trigger_ticks
            self.modify_order(
                order,
                None if qty is None else quantity(qty),
                None if px is None else price(px),
                None if trigger is None else price(trigger),
            )

    return Sender(StrategyConfig(order_id_tag="001"))


class _Maker:
    """Our orders as theirs."""

    def __init__(self, definition: Any, trader_id: Any, strategy_id: Any) -> None:
        self._instrument_id = definition.id
        self._ids = {"trader_id": trader_id, "strategy_id": strategy_id}
        self._price, self._quantity = _units(definition)
        self._tick = Decimal(str(definition.price_increment))

    def list(self, command: Oco | Bracket) -> Any:
        """Linked orders: theirs are one-cancels-other, or one-triggers-other whose exits update
        each other.
        """
        from nautilus_trader.model.enums import ContingencyType
        from nautilus_trader.model.identifiers import ClientOrderId, OrderListId
        from nautilus_trader.model.orders import OrderList

        def name(order: New) -> Any:
            return ClientOrderId(str(order.order_id))

        if isinstance(command, Oco):
            list_id = OrderListId(str(command.first.order_id))
            kind = ContingencyType.OCO
            legs = [
                (command.first, kind, [command.second]),
                (command.second, kind, [command.first]),
            ]
            parent = None
        else:
            list_id = OrderListId(str(command.entry.order_id))
            entry, stop, take_profit = command.entry, command.stop, command.take_profit
            legs = [
                (entry, ContingencyType.OTO, [stop, take_profit]),
                (stop, ContingencyType.OUO, [take_profit]),
                (take_profit, ContingencyType.OUO, [stop]),
            ]
            parent = entry
        return OrderList(
            list_id,
            [
                self.order(
                    leg,
                    order_list_id=list_id,
                    contingency_type=kind,
                    linked_order_ids=[name(other) for other in linked],
                    parent_order_id=None if parent in (None, leg) else name(parent),
                )
                for leg, kind, linked in legs
            ],
        )

    def order(self, new: New, **links: Any) -> Any:
        """One order; `links` are what ties it to others."""
        from nautilus_trader.core.uuid import UUID4
        from nautilus_trader.model import enums, orders
        from nautilus_trader.model.identifiers import ClientOrderId

        given: dict[str, Any] = {
            **self._ids,
            **links,
            "instrument_id": self._instrument_id,
            "client_order_id": ClientOrderId(str(new.order_id)),
            "order_side": enums.OrderSide.BUY if new.side == "buy" else enums.OrderSide.SELL,
            "quantity": self._quantity(new.qty_lots),
            "init_id": UUID4(),
            "ts_init": new.ts_ns,
            "time_in_force": enums.TimeInForce[new.tif],
            "reduce_only": new.reduce_only,
        }
        if new.kind == "market":
            return orders.MarketOrder(**given)
        given["expire_time_ns"] = new.expire_ns or 0
        if new.px_ticks is not None:
            given["price"] = self._price(new.px_ticks)
            given["post_only"] = new.post_only
            if new.display_lots is not None:
                given["display_qty"] = self._quantity(new.display_lots)
        if new.kind == "limit":
            return orders.LimitOrder(**given)
        given["trigger_price"] = (
            None if new.trigger_ticks is None else self._price(new.trigger_ticks)
        )
        watched = {"bid_ask": "BID_ASK", "last": "LAST_PRICE", "mark": "MARK_PRICE"}
        given["trigger_type"] = enums.TriggerType[watched[new.trigger_by]]
        if new.kind == "trailing_stop":
            return orders.TrailingStopMarketOrder(**given, **self._trail(new))
        types = {
            "stop_market": orders.StopMarketOrder,
            "stop_limit": orders.StopLimitOrder,
            "take_profit_market": orders.MarketIfTouchedOrder,
            "take_profit_limit": orders.LimitIfTouchedOrder,
        }
        return types[new.kind](**given)

    def _trail(self, new: New) -> dict[str, Any]:
        from nautilus_trader.model.enums import TrailingOffsetType

        activation = new.activation_ticks
        by_bps = new.trail_bps is not None
        return {
            "trailing_offset": Decimal(new.trail_bps or 0)
            if by_bps
            else (new.trail_ticks or 0) * self._tick,
            "trailing_offset_type": TrailingOffsetType.BASIS_POINTS
            if by_bps
            else TrailingOffsetType.PRICE,
            "activation_price": None if activation is None else self._price(activation),
        }


_STATUS = {
    "INITIALIZED": "submitted",
    "SUBMITTED": "submitted",
    "ACCEPTED": "open",
    "TRIGGERED": "open",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "REJECTED": "rejected",
    "DENIED": "rejected",
}


_AFTER = {
    "OrderFilled": "PARTIALLY_FILLED",
    "OrderTriggered": "TRIGGERED",
    "OrderAccepted": "ACCEPTED",
    "OrderSubmitted": "SUBMITTED",
    "OrderInitialized": "INITIALIZED",
}


def _fate(order_id: int, order: Any, tick: Decimal, lot: Decimal) -> Fate:
    from nautilus_trader.model.enums import LiquiditySide, OrderStatus
    from nautilus_trader.model.events import OrderFilled, OrderSubmitted

    def steps(value: Any, step: Decimal) -> int | None:
        return None if value is None else int(Decimal(str(value)) / step)

    events = order.events
    fills = tuple(
        Fill(
            event.ts_event,
            int(Decimal(str(event.last_px)) / tick),
            int(Decimal(str(event.last_qty)) / lot),
            event.liquidity_side == LiquiditySide.MAKER,
        )
        for event in events
        if isinstance(event, OrderFilled)
    )
    status = OrderStatus(order.status).name
    if status.startswith("PENDING"):
        # A request is under way, or was refused and left it so: what it was before.
        status = next(filter(None, (_AFTER.get(type(event).__name__) for event in events[::-1])))
    status = _STATUS[status]
    trigger = steps(getattr(order, "trigger_price", None), tick)
    if status == "open" and trigger is not None and not getattr(order, "is_triggered", False):
        status = "untriggered"
    at_exchange = [e for e in events if not isinstance(e, OrderSubmitted)][1:]
    return Fate(
        order_id,
        status,
        fills,
        int(Decimal(str(order.quantity)) / lot),
        steps(getattr(order, "price", None), tick),
        trigger,
        at_exchange[-1].ts_event if at_exchange else None,
        getattr(events[-1], "reason", "") or "",
    )
