"""Commands of every order type, and what became of the orders: what two engines with the types of
an exchange can be asked alike.

Times are the venue's clock, prices are ticks, quantities lots. Prices are absolute and worked out
beforehand, so that what one engine does with an order cannot change what is asked of it next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Bracket",
    "Cancel",
    "CancelAll",
    "Command",
    "Fate",
    "Fill",
    "Modify",
    "New",
    "Oco",
    "placed",
]

Kind = Literal[
    "market",
    "limit",
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop",
]


@dataclass(frozen=True)
class New:
    """An order to place. `order_id` is the caller's, unique, ascending in order of submission.

    `px_ticks`: the limit of a limit, stop-limit or take-profit-limit order. `trigger_ticks`: of a
    stop or take-profit order. A trailing stop has `trail_ticks`, a distance, or `trail_bps`,
    hundredths of a percent of the best price; and `activation_ticks` where it starts to trail only
    from a price on. `expire_ns` goes with `tif="GTD"`.
    """

    ts_ns: int
    order_id: int
    side: Literal["buy", "sell"]
    kind: Kind
    qty_lots: int
    px_ticks: int | None = None
    trigger_ticks: int | None = None
    trail_ticks: int | None = None
    trail_bps: int | None = None
    activation_ticks: int | None = None
    trigger_by: Literal["bid_ask", "last", "mark"] = "bid_ask"
    tif: Literal["GTC", "IOC", "FOK", "GTD"] = "GTC"
    expire_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    display_lots: int | None = None


@dataclass(frozen=True)
class Oco:
    """Two orders of which a fill of one cancels the other. Both carry the time of the command."""

    first: New
    second: New

    @property
    def ts_ns(self) -> int:
        """When it is sent."""
        return self.first.ts_ns


@dataclass(frozen=True)
class Bracket:
    """An entry and its two reduce-only exits, which come to life with the entry's fills; what one
    exit fills the other loses.
    """

    entry: New
    stop: New
    take_profit: New

    @property
    def ts_ns(self) -> int:
        """When it is sent."""
        return self.entry.ts_ns


@dataclass(frozen=True)
class Cancel:
    """A request to cancel an order."""

    ts_ns: int
    order_id: int


@dataclass(frozen=True)
class Modify:
    """A request to change what is given of an order; `qty_lots` counts what has filled already."""

    ts_ns: int
    order_id: int
    qty_lots: int | None = None
    px_ticks: int | None = None
    trigger_ticks: int | None = None


@dataclass(frozen=True)
class CancelAll:
    """A request to cancel whatever lives at the exchange when it arrives there."""

    ts_ns: int


Command = New | Oco | Bracket | Cancel | CancelAll | Modify


@dataclass(frozen=True)
class Fill:
    """One execution; the exchange's clock."""

    ts_ns: int
    px_ticks: int
    qty_lots: int
    maker: bool


@dataclass(frozen=True)
class Fate:
    """What became of one order by the end of the data.

    `status`: submitted (sent, not at the exchange or not alive there yet), untriggered, open,
    partially_filled (and still alive), filled, canceled, expired, rejected. `qty_lots`, `px_ticks`
    and `trigger_ticks` are the last ones known to the exchange. `reason` is the engine's own text
    or code of a rejection and is not compared. `ts_ns`: the exchange's clock at the last change of
    status or quantity, a fill included; None for one that never got there.
    """

    order_id: int
    status: str
    fills: tuple[Fill, ...]
    qty_lots: int
    px_ticks: int | None
    trigger_ticks: int | None
    ts_ns: int | None
    reason: str = ""

    @property
    def filled_lots(self) -> int:
        """How much has filled."""
        return sum(fill.qty_lots for fill in self.fills)


def placed(commands: Sequence[Command]) -> dict[int, New]:
    """All orders that the commands place, by id, in order of submission."""
    orders: dict[int, New] = {}
    for command in commands:
        if isinstance(command, New):
            orders[command.order_id] = command
        elif isinstance(command, Oco):
            orders |= {new.order_id: new for new in (command.first, command.second)}
        elif isinstance(command, Bracket):
            legs = command.entry, command.stop, command.take_profit
            orders |= {new.order_id: new for new in legs}
    return orders
