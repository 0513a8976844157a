"""A stream of order commands that two engines can be given alike.

Commands carry absolute prices and local times that were worked out beforehand, so that what one
engine does with an order cannot change what is asked of it next. Prices follow the local book at
the moment of the command: that of a dict, rebuilt here from the rows, not of any engine under test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUBMIT, CANCEL, MODIFY = 0, 1, 2
BUY, SELL = 1, -1
LIMIT, MARKET = 0, 1
GTC, POST_ONLY, FOK, IOC = 0, 1, 2, 3

COMMAND_DTYPE = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("order_id", "<u8"),
        ("px_ticks", "<i8"),
        ("qty_lots", "<i8"),
        ("action", "i1"),
        ("side", "i1"),
        ("order_type", "i1"),
        ("tif", "i1"),
    ],
    align=True,
)
"""One command. `ts_ns`: our clock when the strategy sends it. `order_id` counts from 1 in the order
of submission. `px_ticks` is 0 for market orders and cancels, `qty_lots` is 0 for cancels. `tif`
uses hftbacktest's numbers: 0 good till cancelled, 1 post-only, 2 fill or kill, 3 immediate or
cancel."""

RESULT_DTYPE = np.dtype(
    [
        ("order_id", "<u8"),
        ("status", "U9"),
        ("filled_lots", "<i8"),
        ("fills", "<i8"),
        ("exec_px_ticks", "<i8"),
        ("ts_fill_ns", "<i8"),
        ("ts_exchange_ns", "<i8"),
        ("maker", "?"),
    ]
)
"""What became of one order, as far as we heard. `status`: new (resting, filled in part or not),
filled, cancelled, expired (what had not been filled of it), rejected. `filled_lots`: all fills
together. `fills`: at how many moments we heard of one; the levels that one order takes are one.
`exec_px_ticks`, `ts_fill_ns` (the exchange's clock), `maker`: of the last fill; 0 and False without
one. `ts_exchange_ns`: the exchange's clock at the last answer that changed the order."""

LATENCY_DTYPE = np.dtype(
    [("req_ns", "<i8"), ("exchange_ns", "<i8"), ("response_ns", "<i8"), ("unused", "<i8")],
    align=True,
)
"""One measured round trip: our clock when a request left, the exchange's when it was handled, ours
when the answer came. The layout is hftbacktest's."""


@dataclass(frozen=True)
class Setup:
    """What all engines are told about the exchange.

    Latencies are constant, in ns, or those between the rows of `latencies` (`LATENCY_DTYPE`,
    ascending in each column). Fees are shares of notional. `queue` and `fill` are named as in
    `engine.config.ExchangeConfig`; `queue_power` is the exponent of the power models.
    """

    order_entry_ns: int = 10_000_000
    response_ns: int = 10_000_000
    maker_fee: str = "0"
    taker_fee: str = "0"
    queue: str = "risk_averse"
    queue_power: float = 2.0
    fill: str = "no_partial"
    latencies: NDArray[np.void] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a stream of commands.

    `orders` is one row of `RESULT_DTYPE` an order; `sent` says for each command whether it was sent
    (a cancel or modification of an order that is not live, or has a request under way, is not).
    Position in base units or contracts; balance and fees in the settlement asset.
    """

    orders: NDArray[np.void]
    sent: NDArray[np.bool_]
    position: float
    balance: float
    fees: float


@dataclass(frozen=True)
class Quoting:
    """The benchmark's strategy, the same on every engine.

    From `begin_ns` (our clock) it looks at the book each `interval_ns`, `looks` times; each
    `looks_per_quote` looks it cancels what is left of its last two orders and quotes `qty_lots`
    post-only at the best bid and ask. At its first look it sends `resting` besides, post-only
    orders of the same size (side, price in ticks), before all others, and leaves them alone.
    """

    begin_ns: int
    interval_ns: int
    looks: int
    looks_per_quote: int
    qty_lots: int
    resting: tuple[tuple[int, int], ...] = ()

    @property
    def orders(self) -> int:
        """How many orders it sends."""
        return len(self.resting) + 2 * -(-self.looks // self.looks_per_quote)


@dataclass(frozen=True)
class QuotingRun:
    """One run of the benchmark's strategy.

    `tops`: best bid and ask in ticks at each look, shape `(looks, 2)`, int64. `orders`:
    `RESULT_DTYPE`. `bids`, `asks`: the strategy's book at the end, quantity in lots by price in
    ticks.
    """

    seconds: float
    tops: NDArray[np.int64]
    orders: NDArray[np.void]
    bids: dict[int, int]
    asks: dict[int, int]
    level_counts: tuple[int, int]

    def differences(self, other: QuotingRun) -> list[str]:
        """What is not the same in two runs of the same plan; empty where all is."""
        found = []
        for name in ("bids", "asks"):
            mine, theirs = getattr(self, name), getattr(other, name)
            known = min(len(mine), len(theirs))
            best = sorted(theirs, reverse=name == "bids")[:known]
            if sorted(mine, reverse=name == "bids")[:known] != best or any(
                mine[px] != theirs[px] for px in best
            ):
                found.append(name)
        if self.level_counts != other.level_counts:
            found.append("level counts")
        if self.tops.tolist() != other.tops.tolist():
            found.append("best prices at the looks")
        if self.orders.tolist() != other.orders.tolist():
            found.append("orders")
        return found
