"""The strategy API: subclass [`Strategy`], override the handlers you need.

A strategy sees events in the order of our receive clock and pays only for what it subscribed to.
Time and randomness come from the engine (`self.clock`, `self.rng`), so that equal inputs give
equal runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from engine.ordering import conditions, draft, expiry_ns
from engine.units import duration_ns, timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    import numpy as np

    from engine._core import (
        Bar,
        Book,
        Chart,
        Cob,
        CobMember,
        Fill,
        Flow,
        Funding,
        Gap,
        Kernel,
        Liquidation,
        Order,
        Pivot,
        RiskEvent,
        Sweep,
        Trade,
    )
    from engine.cob import CobDefinition
    from engine.config import CobConfig
    from engine.instruments import Instrument

    Number = str | int | float | Decimal

__all__ = ["HANDLERS", "Clock", "NoConfig", "Strategy", "StrategyError", "Timer"]

_PLAIN_TIFS = ("GTC", "IOC", "FOK")
# No stop, take-profit, trail, activation, expiry, displayed quantity or name of one's own.
_NOTHING = (None,) * 7

HANDLERS = (
    "on_start",
    "on_book",
    "on_trade",
    "on_bar",
    "on_pivot",
    "on_sweep",
    "on_cob",
    "on_cob_member",
    "on_timer",
    "on_order",
    "on_fill",
    "on_gap",
    "on_risk",
    "on_funding",
    "on_liquidation",
    "on_stop",
)


class StrategyError(RuntimeError):
    """A handler raised: says which, at which event (`seq`) and at what time on both clocks.

    The handler's own exception is the cause (`__cause__`).
    """


@dataclass(frozen=True)
class NoConfig:
    """The configuration of a strategy that has none."""


@dataclass(slots=True)
class Timer:
    """A timer that is due: its id, the name it was given, and our clock in ns."""

    id: int
    name: str
    ts_ns: int


class Clock:
    """The run's time, in ns since the Unix epoch."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def now_ns(self) -> int:
        """Our clock: the receive time of what is being handled."""
        return self._kernel.now_ns

    @property
    def event_ns(self) -> int | None:
        """The venue's clock of the market data received last; None where the venue sends none."""
        return self._kernel.event_ns


C = TypeVar("C")


class Strategy(Generic[C]):
    """Base of all strategies.

    `Config` is the class of `self.config`, a dataclass whose fields `strategy.config.*` sets.
    Instruments are named by id, such as `BTCUSDT-PERP.BINANCE`; naming one that is not in the run
    raises KeyError. Prices and quantities may be text, int, Decimal (taken exactly) or float (taken
    for the tick or lot within a millionth of one).
    """

    Config: ClassVar[type] = NoConfig

    def __init__(self, config: C) -> None:
        self.config = config
        # Name of each timer that is wound, and whether it goes on after it was due.
        self._timers: dict[int, tuple[str, bool]] = {}

    def on_start(self) -> None:
        """The clock stands at the first event; subscribe here."""

    def on_book(self, book: Book) -> None:
        """A subscribed book, trusted, after a whole message. `book` is a live view."""

    def on_trade(self, trade: Trade) -> None:
        """A trade of a subscribed instrument. `trade` is reused for the next one."""

    def on_bar(self, bar: Bar) -> None:
        """A complete bar of a subscribed interval."""

    def on_pivot(self, pivot: Pivot) -> None:
        """A pivot of a subscribed interval is confirmed; its bar lies in the past."""

    def on_sweep(self, sweep: Sweep) -> None:
        """An aggressor's order that traded at several prices is over."""

    def on_cob(self, cob: Cob) -> None:
        """A subscribed consolidated book that has a mid. `cob` is a live view."""

    def on_cob_member(self, change: CobMember) -> None:
        """A member left a consolidated book (suspect or stale), or came back."""

    def on_timer(self, timer: Timer) -> None:
        """A timer is due."""

    def on_order(self, order: Order) -> None:
        """One of our orders changed: accepted, filled, cancelled, expired or refused."""

    def on_fill(self, fill: Fill) -> None:
        """One of our orders was filled; position and order are already up to date."""

    def on_gap(self, gap: Gap) -> None:
        """A book became suspect (`gap.is_trusted` False) or trusted again (True)."""

    def on_risk(self, event: RiskEvent) -> None:
        """Trading has ended (`event.is_killed`), or a position is being closed by its stop-loss."""

    def on_funding(self, funding: Funding) -> None:
        """Funding was paid (`funding.amount` below 0) or received."""

    def on_liquidation(self, liquidation: Liquidation) -> None:
        """The venue has closed a position; `on_order` and `on_fill` told it before."""

    def on_stop(self) -> None:
        """The data is at its end. Orders given here are refused (RUN_ENDED)."""

    @property
    def instruments(self) -> list[str]:
        """Ids of the run's instruments, in the order of the configuration."""
        return list(self._markets)

    @cached_property
    def rng(self) -> np.random.Generator:
        """The run's random source: numpy's PCG64, seeded with the run's seed."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(self._seed))

    def subscribe_book(
        self, instrument: str, every: str | int | None = None, depth: int = 10
    ) -> Book:
        """Calls `on_book` on every message, or at most once per `every` ("100ms", ns) if changed.

        With an interval the calls come on its multiples since the epoch. Returns the live view,
        whose arrays hold `depth` levels (up to 5,000).
        """
        market = self._market(instrument)
        book = self._kernel.book(market, depth)
        every_ns = None if every is None else duration_ns(every, "every")
        self._kernel.subscribe_book(market, every_ns)
        return book

    def subscribe_cob(
        self,
        group: str,
        every: str | int | None = None,
        *,
        bucket: Number | None = None,
        members: Iterable[str] | Mapping[str, float] | None = None,
    ) -> Cob:
        """Calls `on_cob` after every message of a member, or on the multiples of `every` since the
        epoch, while the consolidated book has a mid. Returns the live view; see [`cob`].
        """
        found = self.cob(group, bucket=bucket, members=members)
        every_ns = None if every is None else duration_ns(every, "every")
        self._kernel.subscribe_cob(list(self._cobs).index(group), every_ns)
        return found

    def cob(
        self,
        group: str,
        *,
        bucket: Number | None = None,
        members: Iterable[str] | Mapping[str, float] | None = None,
    ) -> Cob:
        """The live view of a consolidated book, which takes samples from the first call on.

        `group` is the name of a configured group (`cob.groups`), the id of an instrument, or a base
        asset, which stands for all of the run's instruments of it; with `members` (ids, or weights
        by id) it is a name of your own. `bucket` is the bucket size in quote units; without it the
        configured one of the base asset (`cob.buckets`). Raises ValueError for a group that cannot
        be, or was asked for before with another definition.
        """
        from engine.cob import definition

        wanted = definition(group, self._definitions, self._cob_config, bucket, members)
        known = self._cobs.get(group)
        if known is None:
            view = self._kernel.add_cob(
                group,
                [(self._market(name), weight) for name, weight in wanted.members.items()],
                wanted.bucket,
                wanted.stale_ns,
            )
            known = self._cobs[group] = (view, wanted)
        elif known[1] != wanted and not (bucket is None and members is None):
            raise ValueError(f"cob {group}: expected {known[1]} as before, found {wanted}")
        return known[0]

    def subscribe_trades(self, instrument: str) -> None:
        """Calls `on_trade` on every trade."""
        self._kernel.subscribe_trades(self._market(instrument))

    def subscribe_bars(
        self, instrument: str, interval: str, indicators: Iterable[str] = ()
    ) -> Chart:
        """Calls `on_bar` on every complete bar: 1s, 1m, 5m, 15m, 1h, 4h or 1d.

        Returns the live view; see [`chart`].
        """
        view = self.chart(instrument, interval, indicators)
        self._kernel.subscribe_bars(self._market(instrument), interval)
        return view

    def subscribe_pivots(
        self, instrument: str, interval: str, *, k: int = 2, levels: int = 5
    ) -> Chart:
        """Calls `on_pivot` on every pivot of the bars from now on, when it is confirmed.

        A bar is a level-1 high when its high is above those of the `k` bars before it and not below
        those of the `k` bars after it, a low likewise; each further level applies the rule to the
        pivots of the one before (Williams). Returns the live view; see [`chart`]. Raises ValueError
        where the interval has other settings already.
        """
        view = self.chart(instrument, interval)
        self._kernel.subscribe_pivots(self._market(instrument), interval, k, levels)
        return view

    def chart(self, instrument: str, interval: str, indicators: Iterable[str] = ()) -> Chart:
        """The live view of an instrument's bars of an interval, built from the first call on.

        `indicators` are names such as `sma:20`, `ema:50`, `rsi:14`, `macd:12,26,9`, `bbands:20,2`,
        `atr:14`, `adx:14`, `stoch:5,3,3`, `obv` and `vwap`; they see the bars from now on. In
        `on_bar` the view holds the bar and its indicators already.
        """
        key = (instrument, interval)
        if key not in self._charts:
            self._charts[key] = self._kernel.chart(self._market(instrument), interval)
        view = self._charts[key]
        for name in indicators:
            view.add_indicator(name)
        return view

    def flow(
        self,
        target: str,
        *,
        bucket: Number | None = None,
        members: Iterable[str] | Mapping[str, float] | None = None,
    ) -> Flow:
        """The live view of aggressive buying and selling, summed up from the first call on.

        `target` is an instrument's id (its own units of quantity) or a group as in [`cob`] (units
        of the base asset, times each member's weight). `bucket` is the bucket size of the volume
        profile in quote units; without it the configured one of the base asset.
        """
        from engine.cob import definition

        wanted = definition(target, self._definitions, self._cob_config, bucket, members)
        in_base = target not in self._markets
        weights = [(self._market(name), weight) for name, weight in wanted.members.items()]
        return self._kernel.flow(target, weights, wanted.bucket, in_base)

    def subscribe_sweeps(self, instrument: str, levels: int = 2) -> None:
        """Calls `on_sweep` for every aggressor's order that traded at `levels` prices or more, when
        it is over: with the next trade, or after 100 to 200 ms without one.
        """
        self._kernel.subscribe_sweeps(self._market(instrument), levels)

    def keep_ticks(self, instrument: str) -> None:
        """Keeps the raw ticks of an instrument from now on: see [`ticks`]."""
        self._kernel.keep_ticks(self._market(instrument))

    def ticks(self, instrument: str) -> np.ndarray[Any, np.dtype[np.void]]:
        """Trades and changes of best bid and ask (kind 5) of the last 30 minutes since
        [`keep_ticks`], as a new array of `engine.EVENT_DTYPE` in order of receipt: at most
        1,048,576 rows, 58 MB; where there were more the oldest are gone.
        """
        return self._kernel.ticks(self._market(instrument))

    def set_timer(
        self,
        name: str = "",
        *,
        every: str | int | None = None,
        after: str | int | None = None,
        at: str | int | None = None,
    ) -> int:
        """Calls `on_timer` after a time, at a time, or every so often (first one interval on).

        Returns the timer's id. Raises ValueError unless exactly one of `after` and `at`, or `every`
        with at most one of them, is given.
        """
        if (after is not None and at is not None) or (
            every is None and after is None and at is None
        ):
            raise ValueError("set_timer: expected every=, after= or at= (not after= with at=)")
        every_ns = None if every is None else duration_ns(every, "every")
        if at is not None:
            first = timestamp_ns(at, "at")
        elif after is not None:
            first = self.clock.now_ns + duration_ns(after, "after")
        else:
            assert every_ns is not None
            first = self.clock.now_ns + every_ns
        timer = self._kernel.set_timer(first, every_ns)
        self._timers[timer] = (name, every_ns is not None)
        return timer

    def cancel_timer(self, timer: int) -> bool:
        """Stops a timer; False where there is none with this id."""
        self._timers.pop(timer, None)
        return self._kernel.cancel_timer(timer)

    def buy(
        self,
        instrument: str,
        qty: Number,
        limit: Number | None = None,
        *,
        post_only: bool = False,
        tif: str = "GTC",
        reduce_only: bool = False,
        stop: Number | None = None,
        take_profit: Number | None = None,
        trail: Number | None = None,
        activate: Number | None = None,
        trigger_by: str = "last",
        expire: str | int | None = None,
        display: Number | None = None,
        client_id: str | None = None,
    ) -> int:
        """Sends a buy order, market without `limit`, and returns its id.

        `tif` is GTC, IOC, FOK, or GTD with `expire` (a duration from now or a time, on the venue's
        clock). `stop` and `take_profit` are prices at which the order becomes active: a stop buys
        at or above, a take-profit at or below (sales the other way round), as a market order, or
        with `limit` as a limit order. `trail` is a stop that follows the best price at a distance,
        a price or a share such as "0.5%", from the price `activate` on if given. `trigger_by` is
        the price that these watch: last (trade), bid_ask (the side that the order would take from)
        or mark. `display` makes an iceberg that shows so much at once; `reduce_only` only ever
        makes the position smaller; `client_id` is a name of your own, used once in a run.

        What breaks the instrument's rules comes back by `on_order` as rejected, with a code; what
        makes no sense at all raises ValueError or TypeError.
        """
        return self._submit(
            instrument,
            True,
            qty,
            limit,
            post_only,
            tif,
            reduce_only,
            trigger_by,
            (stop, take_profit, trail, activate, expire, display, client_id),
        )

    def sell(
        self,
        instrument: str,
        qty: Number,
        limit: Number | None = None,
        *,
        post_only: bool = False,
        tif: str = "GTC",
        reduce_only: bool = False,
        stop: Number | None = None,
        take_profit: Number | None = None,
        trail: Number | None = None,
        activate: Number | None = None,
        trigger_by: str = "last",
        expire: str | int | None = None,
        display: Number | None = None,
        client_id: str | None = None,
    ) -> int:
        """Sends a sell order; see [`buy`]."""
        return self._submit(
            instrument,
            False,
            qty,
            limit,
            post_only,
            tif,
            reduce_only,
            trigger_by,
            (stop, take_profit, trail, activate, expire, display, client_id),
        )

    def oco(
        self,
        instrument: str,
        side: str,
        qty: Number,
        *,
        limit: Number,
        stop: Number,
        stop_limit: Number | None = None,
        reduce_only: bool = False,
        trigger_by: str = "last",
    ) -> tuple[int, int]:
        """Sends two orders of which one cancels the other: a limit order and a stop order (market,
        or limit with `stop_limit`), both `side` ("buy" or "sell"). Returns their ids.

        When one is triggered, filled in part, or ends, the other is cancelled (LIST_ENDED). They
        reach the exchange together; where one is refused before it is sent, both are.
        """
        buy = self._is_buy(side)
        first = self._kernel.submit_list(
            self._market(instrument),
            [
                draft("oco", buy=buy, qty=qty, limit=limit, reduce_only=reduce_only),
                draft(
                    "oco",
                    buy=buy,
                    qty=qty,
                    limit=stop_limit,
                    stop=stop,
                    reduce_only=reduce_only,
                    trigger_by=trigger_by,
                ),
            ],
        )
        return first, first + 1

    def bracket(
        self,
        instrument: str,
        side: str,
        qty: Number,
        limit: Number | None = None,
        *,
        stop: Number,
        take_profit: Number,
        post_only: bool = False,
        trigger_by: str = "last",
    ) -> tuple[int, int, int]:
        """Sends an entry (`side` "buy" or "sell"; market without `limit`) with two exits: a
        stop-market order at `stop` and a limit order at `take_profit`. Returns the three ids.

        The exits are reduce-only. They wait (status untriggered) for the entry's fills and are
        active for what it has filled and the other exit has not closed; when the entry ends
        unfilled, or everything is closed, they are cancelled (LIST_ENDED).
        """
        buy = self._is_buy(side)
        first = self._kernel.submit_list(
            self._market(instrument),
            [
                draft("entry", buy=buy, qty=qty, limit=limit, post_only=post_only),
                draft(
                    "exit",
                    buy=not buy,
                    qty=qty,
                    stop=stop,
                    reduce_only=True,
                    trigger_by=trigger_by,
                ),
                draft("exit", buy=not buy, qty=qty, limit=take_profit, reduce_only=True),
            ],
        )
        return first, first + 1, first + 2

    def cancel(self, order_id: int) -> bool:
        """Asks to cancel; False where the order is not live as far as we know."""
        return self._kernel.cancel(order_id)

    def cancel_all(self, instrument: str | None = None) -> int:
        """Asks to cancel what is live at the exchange (of an instrument) when the request arrives
        there; returns how many orders live as far as we know.
        """
        markets = range(len(self._markets)) if instrument is None else [self._market(instrument)]
        return sum(self._kernel.cancel_all(market) for market in markets)

    def kill(self, reason: str, *, flatten: bool = False) -> bool:
        """Ends trading for good: cancels every order, and lets only orders pass that reduce a
        position; with `flatten` all positions are closed at market. `reason` is what reports tell.

        Returns False where trading had ended before (a later call may still ask to flatten).
        """
        return self._kernel.kill(reason, flatten)

    def modify(
        self,
        order_id: int,
        *,
        qty: Number | None = None,
        limit: Number | None = None,
        stop: Number | None = None,
        replace: bool = False,
    ) -> bool:
        """Asks to change total quantity, limit or trigger price; False where the order is not live.

        `qty` counts what is filled already; a change to no more than that cancels the rest
        (QTY_BELOW_FILLED). The quantity of a bracket's exit cannot be changed (EXIT_QTY). A resting
        order keeps its place in the queue if only its quantity falls, and queues anew otherwise, or
        always with `replace`.
        """
        return self._kernel.modify(order_id, qty, limit, stop, replace)

    def book(self, instrument: str, depth: int = 10) -> Book:
        """The live view of an instrument's book, whether subscribed or not."""
        return self._kernel.book(self._market(instrument), depth)

    def order_of_client(self, client_id: str) -> int | None:
        """The id of the order that was given this name; None where there is none."""
        return self._kernel.order_of_client(client_id)

    def order(self, order_id: int) -> Order | None:
        """A live order; None for one that is done."""
        return self._kernel.order(order_id)

    def orders(self, instrument: str | None = None) -> list[Order]:
        """Live orders (of an instrument) in order of submission."""
        live = self._kernel.live_orders()
        return live if instrument is None else [o for o in live if o.instrument == instrument]

    def position(self, instrument: str) -> float:
        """Signed quantity held, as far as we know."""
        return self._kernel.position(self._market(instrument))

    def entry_px(self, instrument: str) -> float | None:
        """Average entry price of the position; None while flat."""
        return self._kernel.entry_px(self._market(instrument))

    def mark_px(self, instrument: str) -> float | None:
        """The mark price that margin goes by (`account.mark`), as we know it: the venue's, the mid
        or the last trade; None before there is one.
        """
        return self._kernel.mark_px(self._market(instrument))

    def funding_rate(self, instrument: str) -> float | None:
        """The funding rate that was received last; None before one."""
        return self._kernel.funding_rate(self._market(instrument))

    def liquidation_px(self, instrument: str) -> float | None:
        """The mark price at which the venue would liquidate the position, all other marks staying
        where they are; None where none does, and without margin.
        """
        return self._kernel.liquidation_px(self._market(instrument))

    def equity(self, currency: str) -> float | None:
        """Equity in a settlement currency; None where a position cannot be valued yet."""
        return self._kernel.equity()[currency]

    def _attach(
        self, kernel: Kernel, instruments: Sequence[Instrument], seed: int, cob: CobConfig
    ) -> dict[str, Any]:
        """Connects the strategy to a run; returns its overridden handlers."""
        self._kernel = kernel
        self._definitions = list(instruments)
        self._markets = {instrument.id: index for index, instrument in enumerate(instruments)}
        self._cob_config = cob
        self._charts: dict[tuple[str, str], Chart] = {}
        self._cobs: dict[str, tuple[Cob, CobDefinition]] = {}
        self._seed = seed
        self.clock = Clock(kernel)
        found = {
            name: getattr(self, name)
            for name in HANDLERS
            if getattr(type(self), name) is not getattr(Strategy, name)
        }
        if "on_timer" in found:
            found["on_timer"] = self._call_timer
        return found

    def _call_timer(self, timer: int) -> None:
        name, repeats = self._timers[timer]
        if not repeats:
            del self._timers[timer]
        self.on_timer(Timer(timer, name, self.clock.now_ns))

    def _market(self, instrument: str) -> int:
        try:
            return self._markets[instrument]
        except KeyError:
            known = ", ".join(self._markets)
            raise KeyError(
                f"instrument: expected one of the run's ({known}), found {instrument!r}"
            ) from None

    @staticmethod
    def _is_buy(side: str) -> bool:
        if side not in ("buy", "sell"):
            raise ValueError(f"side: expected buy or sell, found {side!r}")
        return side == "buy"

    def _conditions(
        self,
        limit: Number | None,
        post_only: bool,  # noqa: FBT001 - as below.
        tif: str,
        trigger_by: str,
        special: tuple[Any, ...],
    ) -> dict[str, Any] | None:
        stop, take_profit, trail, activate, expire, display, client_id = special
        return conditions(
            limit=limit,
            post_only=post_only,
            tif=tif,
            stop=stop,
            take_profit=take_profit,
            trail=trail,
            activate=activate,
            trigger_by=trigger_by,
            display=display,
            expire_ns=expiry_ns(tif, expire, self.clock.now_ns),
            client_id=client_id,
        )

    def _submit(
        self,
        instrument: str,
        buy: bool,  # noqa: FBT001 - private, called positionally twice above.
        qty: Number,
        limit: Number | None,
        post_only: bool,  # noqa: FBT001 - as above.
        tif: str,
        reduce_only: bool,  # noqa: FBT001 - as above.
        trigger_by: str,
        special: tuple[Any, ...],
    ) -> int:
        # Most orders have none of what `special` holds, and nothing to be checked but this.
        is_plain = special == _NOTHING and (
            (limit is not None and tif == "GTC") if post_only else tif in _PLAIN_TIFS
        )
        found = None if is_plain else self._conditions(limit, post_only, tif, trigger_by, special)
        return self._kernel.submit(
            self._market(instrument), buy, qty, limit, tif, post_only, reduce_only, found
        )
