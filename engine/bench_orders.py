"""What resting orders cost the kernel, hftbacktest beside it on the same rows and orders; and how
long an order takes from the strategy until it is on its way to the exchange.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine import _core
from engine.backtest import Backtest
from engine.bench_data import BenchError
from engine.config import GroupRiskConfig, InstrumentRiskConfig, RiskConfig
from engine.peers import cobalt
from engine.peers import hftbacktest as peer
from engine.peers.orders import BUY, SELL
from engine.peers.streams import tops
from engine.strategy import NoConfig, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from engine._core import Order
    from engine.bench_data import BenchData
    from engine.peers.orders import Quoting, QuotingRun, Setup
    from engine.strategy import Timer

__all__ = ["RESTING", "never_reached", "path_cases", "resting_cases"]

RESTING = (1, 10, 100, 1_000)
MARGIN_TICKS = 10
LOOKS = 30


def never_reached(data: BenchData, plan: Quoting, count: int) -> tuple[tuple[int, int], ...]:
    """`count` orders (side, price in ticks), bids and asks in turn, on successive levels a little
    beyond what was traded and what the plan's looks see: so that they rest from first to last.
    """
    times = [plan.begin_ns + look * plan.interval_ns for look in range(plan.looks)]
    seen = [top for top in tops(data.depth, times) if top is not None]
    traded = data.trades["px_ticks"]
    low = min(*(bid for bid, _ in seen), int(traded.min())) - MARGIN_TICKS
    high = max(*(ask for _, ask in seen), int(traded.max())) + MARGIN_TICKS
    return tuple((BUY, low - i // 2) if i % 2 == 0 else (SELL, high + i // 2) for i in range(count))


def resting_cases(
    data: BenchData,
    plan: Quoting,
    setup: Setup,
    converted: np.ndarray[Any, Any] | None,
    names: Mapping[str, str],
    case: Callable[..., Any],
) -> list[Any]:
    """The kernel with this many resting orders, and hardly any strategy: over the time of `plan` it
    looks at the book `LOOKS` times and quotes at every tenth look, so that there is something to
    compare.

    `converted` is the peer's array of the rows, `names` its books and what to call them. `case`
    makes a `engine.bench.Case`.
    """
    orders = never_reached(data, plan, max(RESTING))
    interval_ns = plan.looks * plan.interval_ns // LOOKS
    plan = dataclasses.replace(plan, interval_ns=interval_ns, looks=LOOKS, looks_per_quote=10)
    return [
        _resting(
            data, dataclasses.replace(plan, resting=orders[:count]), setup, converted, names, case
        )
        for count in RESTING
    ]


def _resting(
    data: BenchData,
    plan: Quoting,
    setup: Setup,
    converted: np.ndarray[Any, Any] | None,
    names: Mapping[str, str],
    case: Callable[..., Any],
) -> Any:
    count = len(plan.resting)
    name = f"kernel with {count:,} resting order{'s' * (count > 1)}"

    def ours() -> QuotingRun:
        return cobalt.run_quoting(data.depth, data.trades, data.instrument, setup, plan)

    def theirs(book: str) -> QuotingRun:
        assert converted is not None
        return peer.run_quoting(converted, data.instrument, setup, plan, book=book)

    def check() -> list[str]:
        result = ours()
        rest = result.orders["status"][:count]
        if (rest != "new").any():
            raise BenchError(f"{name}: {int((rest != 'new').sum())} of them do not rest to the end")
        checks = ["all of them rest to the end"]
        for book, label in names.items():
            if found := result.differences(theirs(book)):
                raise BenchError(f"{name}: differs from {label} in {', '.join(found)}")
            checks.append(f"looks, books and every order equal those of {label}")
        return checks

    return case(
        name=name,
        unit="level updates/s",
        amount=len(data.depth) + len(data.trades),
        rows=len(data.depth) + len(data.trades),
        ours=lambda: ours().seconds,
        peers={label: _seconds(theirs, book) for book, label in names.items()},
        check=check,
        peer_rows=None if converted is None else len(converted),
        note=f"{LOOKS} looks and {plan.orders - count} quotes besides" if names else None,
    )


def every_limit(instrument_id: str) -> RiskConfig:
    """Every limit that there is, each too wide for the benchmark's orders to meet."""
    much, percent = "1000000000", "99"
    return RiskConfig(
        each=InstrumentRiskConfig(
            order_qty_max="1000000",
            order_notional_max_usd=much,
            px_through_max_bps="1000",
            px_away_max_bps="1000",
            open_orders_max=1_000,
            position_qty_max="1000000",
            exposure_max_usd=much,
            stop_loss_usd=much,
            stop_loss_percent=percent,
        ),
        groups={
            "ALL": GroupRiskConfig(
                instruments=[instrument_id], gross_max_usd=much, net_max_usd=much
            )
        },
        open_orders_max=1_000,
        order_rates={"1s": 1_000},
        gross_max_usd=much,
        net_max_usd=much,
        concentration_max_percent="100",
        drawdown_max_usd=much,
        drawdown_max_percent=percent,
        daily_loss_max_usd=much,
        daily_loss_max_percent=percent,
        losing_trades_max=1_000_000,
    )


class _Path(Strategy[NoConfig]):
    """Ten times a second gives an order of the strategy's own and one as a strategy in Rust would,
    well behind the touch, and takes the time of each; cancels the two before.
    """

    def __init__(self, data: BenchData) -> None:
        super().__init__(NoConfig())
        instrument = data.instrument
        self.instrument = instrument.id
        self.python_ns: list[int] = []
        self.rust_ns: list[int] = []
        self.open = 0
        self._lots = data.qty_lots
        self._qty = float(data.qty_lots * Decimal(instrument.lot))
        self._tick = float(Decimal(instrument.tick))
        self._gap = max(1, int(data.trades["px_ticks"][0]) // 1_000)
        self._last = 0

    def on_start(self) -> None:
        self._book = self.book(self.instrument)
        self.set_timer(every="100ms")

    def on_timer(self, _timer: Timer) -> None:
        best = self._book.best_bid_ticks
        if best is None:
            return
        if self._last:
            self.cancel(self._last)
            self.cancel(self._last + 1)
        px_ticks = best - self._gap
        px = px_ticks * self._tick
        started = time.perf_counter_ns()
        order = self.buy(self.instrument, self._qty, px)
        self.python_ns.append(time.perf_counter_ns() - started)
        self.rust_ns.append(
            _core.time_order(self._kernel, 0, buy=True, px_ticks=px_ticks, qty_lots=self._lots)
        )
        self._last = order

    def on_order(self, order: Order) -> None:
        self.open += order.status == "open"


def path_cases(data: BenchData, case: Callable[..., Any]) -> list[Any]:
    """An order from the strategy's call to the queue of what is under way to the exchange, checks
    of the instrument's rules and of every limit included: the median of a run, as orders a second.
    """
    return [
        _path(data, f"order path, from {name}", pick, case)
        for name, pick in (
            ("Rust", lambda path: path.rust_ns),
            ("Python", lambda path: path.python_ns),
        )
    ]


def _path(
    data: BenchData, name: str, pick: Callable[[_Path], list[int]], case: Callable[..., Any]
) -> Any:
    def run() -> _Path:
        path = _Path(data)
        feeds = {
            (data.instrument.id, "depth"): [data.depth],
            (data.instrument.id, "trades"): [data.trades],
        }
        risk = every_limit(data.instrument.id)
        Backtest(
            [data.instrument],
            path,
            feeds,
            risk=risk,
            cash={data.instrument.quote: "1000000"},
            equity_every="1d",
        ).run()
        return path

    def check() -> list[str]:
        path = run()
        given = len(path.python_ns) + len(path.rust_ns)
        # The answers to the last ones may lie beyond the end of the data.
        if path.open < given - 2 or not given:
            raise BenchError(f"{name}: {given} orders given, {path.open} accepted")
        return [f"the exchange accepted the orders ({path.open} of {given})"]

    return case(
        name=name,
        unit="orders/s",
        amount=1,
        rows=0,
        ours=lambda: statistics.median(pick(run())) / 1e9,
        peers={},
        check=check,
        note="median time of an order with every risk limit on; no clock in the peer's loop",
    )


def _seconds(call: Callable[[str], QuotingRun], book: str) -> Callable[[], float]:
    return lambda: call(book).seconds
