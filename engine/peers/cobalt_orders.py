"""Cobalt's own side of a comparison of order types; the commands are those of
[`engine.peers.order_types`].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.backtest import Backtest
from engine.config import ExchangeConfig, FeesConfig, LatencyConfig
from engine.peers.order_types import Bracket, Cancel, CancelAll, Fate, Fill, New, Oco
from engine.strategy import NoConfig, Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from engine import _core
    from engine.instruments import Instrument
    from engine.peers.order_types import Command, Modify
    from engine.strategy import Timer

__all__ = ["OrderCommands", "run_commands"]


@dataclass
class _Seen:
    """What the strategy was told of an order."""

    order: _core.Order
    fills: list[Fill] = field(default_factory=list)


class OrderCommands(Strategy[NoConfig]):
    """Sends commands at their times and writes down what it is told.

    `told` has a row for each answer: our clock, order id, status, filled lots, code or "".
    """

    def __init__(self, commands: Sequence[Command], instrument: Instrument) -> None:
        super().__init__(NoConfig())
        self.instrument = instrument.id
        self.told: list[tuple[int, int, str, int, str]] = []
        self._tick, self._lot = Decimal(instrument.tick), Decimal(instrument.lot)
        self._commands = list(commands)
        self._next = 0
        self._seen: dict[int, _Seen] = {}

    def on_start(self) -> None:
        for ts_ns in dict.fromkeys(command.ts_ns for command in self._commands):
            self.set_timer(at=ts_ns)

    def on_timer(self, timer: Timer) -> None:
        while self._next < len(self._commands):
            command = self._commands[self._next]
            if command.ts_ns != timer.ts_ns:
                return
            self._next += 1
            self._send(command)

    def on_order(self, order: _core.Order) -> None:
        self._seen.setdefault(order.id, _Seen(order)).order = order
        filled = self._lots(order.filled_qty)
        row = (self.clock.now_ns, order.id, order.status, filled, order.reject_code or "")
        self.told.append(row)

    def on_fill(self, fill: _core.Fill) -> None:
        is_maker = fill.liquidity == "maker"
        row = Fill(fill.ts_event_ns, self._ticks(fill.px), self._lots(fill.qty), is_maker)
        self._seen[fill.order_id].fills.append(row)

    def fates(self) -> dict[int, Fate]:
        """What became of each order that was answered, by id."""
        return {order_id: self._fate(seen) for order_id, seen in sorted(self._seen.items())}

    def _fate(self, seen: _Seen) -> Fate:
        order = seen.order
        return Fate(
            order.id,
            order.status,
            tuple(seen.fills),
            self._lots(order.qty),
            None if order.px is None else self._ticks(order.px),
            None if order.stop_px is None else self._ticks(order.stop_px),
            order.ts_exchange_ns,
            order.reject_code or "",
        )

    def _send(self, command: Command) -> None:
        if isinstance(command, New):
            given = self._place(command)
            if given != command.order_id:
                raise ValueError(f"order_id: expected {given}, the next, found {command.order_id}")
        elif isinstance(command, Oco):
            self._place_oco(command)
        elif isinstance(command, Bracket):
            self._place_bracket(command)
        elif isinstance(command, Cancel):
            self.cancel(command.order_id)
        elif isinstance(command, CancelAll):
            self.cancel_all(self.instrument)
        else:
            self._change(command)

    def _place(self, new: New) -> int:
        send = self.buy if new.side == "buy" else self.sell
        trigger = self._px(new.trigger_ticks)
        trail: Any = self._px(new.trail_ticks)
        if new.trail_bps is not None:
            trail = f"{Decimal(new.trail_bps) / 100}%"
        return send(
            self.instrument,
            new.qty_lots * self._lot,
            self._px(new.px_ticks),
            post_only=new.post_only,
            tif=new.tif,
            reduce_only=new.reduce_only,
            stop=trigger if new.kind.startswith("stop") else None,
            take_profit=trigger if new.kind.startswith("take_profit") else None,
            trail=trail,
            activate=self._px(new.activation_ticks),
            trigger_by=new.trigger_by,
            expire=new.expire_ns,
            display=None if new.display_lots is None else new.display_lots * self._lot,
        )

    def _place_oco(self, command: Oco) -> None:
        limit, stop = command.first, command.second
        if limit.px_ticks is None or stop.trigger_ticks is None:
            raise ValueError("oco: expected a limit order, then a stop order")
        self.oco(
            self.instrument,
            limit.side,
            limit.qty_lots * self._lot,
            limit=limit.px_ticks * self._tick,
            stop=stop.trigger_ticks * self._tick,
            stop_limit=self._px(stop.px_ticks),
            reduce_only=limit.reduce_only,
            trigger_by=stop.trigger_by,
        )

    def _place_bracket(self, command: Bracket) -> None:
        entry, stop, profit = command.entry, command.stop, command.take_profit
        if stop.trigger_ticks is None or profit.px_ticks is None:
            raise ValueError("bracket: expected a stop order and a limit order as exits")
        self.bracket(
            self.instrument,
            entry.side,
            entry.qty_lots * self._lot,
            self._px(entry.px_ticks),
            stop=stop.trigger_ticks * self._tick,
            take_profit=profit.px_ticks * self._tick,
            post_only=entry.post_only,
            trigger_by=stop.trigger_by,
        )

    def _change(self, command: Modify) -> None:
        self.modify(
            command.order_id,
            qty=None if command.qty_lots is None else command.qty_lots * self._lot,
            limit=self._px(command.px_ticks),
            stop=self._px(command.trigger_ticks),
        )

    def _px(self, ticks: int | None) -> Decimal | None:
        return None if ticks is None else ticks * self._tick

    def _ticks(self, px: float) -> int:
        return round(px / float(self._tick))

    def _lots(self, qty: float) -> int:
        return round(qty / float(self._lot))


def run_commands(
    depth: NDArray[np.void],
    trades: NDArray[np.void],
    commands: Sequence[Command],
    instrument: Instrument,
    *,
    fill: str = "walk",
    latency: LatencyConfig | None = None,
) -> dict[int, Fate]:
    """What became of each order, by id, as far as the strategy was told by the last row received.

    Rows are of `EVENT_DTYPE`; commands ascend in time and number their orders 1, 2, 3 …. Without
    `latency` there is none. The queue model is risk-averse. Fees are zero.
    """
    strategy = OrderCommands(commands, instrument)
    backtest = Backtest(
        [instrument],
        strategy,
        {(instrument.id, "depth"): [depth], (instrument.id, "trades"): [trades]},
        latency=LatencyConfig(0, 0) if latency is None else latency,
        exchange=ExchangeConfig(fill=fill),
        fees=FeesConfig(maker="0", taker="0"),
    )
    backtest.run()
    return strategy.fates()
