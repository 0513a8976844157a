"""An order and a list of orders, as the plain exchange of `tests.oracles.orders` keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.peers.order_types import Fill, New


@dataclass
class List:
    """Orders that depend on one another: two of which one cancels the other, or a bracket."""

    members: list[Order] = field(default_factory=list)
    over: bool = False
    entry: Order | None = None

    def entry_lots(self) -> int:
        """What the entry of a bracket has filled."""
        return self.entry.filled if self.entry else 0

    def exit_lots(self) -> int:
        """What the exits of a bracket have filled."""
        return sum(member.filled for member in self.members if member is not self.entry)

    def entry_lives(self) -> bool:
        """Whether the entry of a bracket may fill more."""
        return self.entry is not None and self.entry.place != "done"


@dataclass
class Order:
    """An order at the exchange. `place`: entering (in the hands of the exchange), resting, waiting
    (for its trigger), held (an exit with nothing to close), done.
    """

    new: New
    qty: int
    px: int | None
    trigger: int | None
    links: List | None = None
    status: str = "submitted"
    place: str = "entering"
    filled: int = 0
    fills: list[Fill] = field(default_factory=list)
    ahead: int = 0
    shown: int = 0
    since: int = 0
    best: Fraction | None = None
    asleep: bool = False
    code: str = ""
    ts_ns: int | None = None

    @property
    def buys(self) -> bool:
        """Whether it buys."""
        return self.new.side == "buy"

    @property
    def leaves(self) -> int:
        """What is left to fill."""
        return self.qty - self.filled

    @property
    def is_limit(self) -> bool:
        """Whether it has a limit price."""
        return self.px is not None

    @property
    def is_exit(self) -> bool:
        """Whether it is an exit of a bracket."""
        return (
            self.links is not None and self.links.entry is not None and self is not self.links.entry
        )

    @property
    def is_conditional(self) -> bool:
        """Whether it has a trigger."""
        return self.new.kind not in ("market", "limit")

    def reaches(self, px: int) -> bool:
        """Whether its limit allows a price."""
        return self.px is None or (px <= self.px if self.buys else px >= self.px)

    def distance(self) -> int:
        """How far a trailing stop stays behind the best price; halves away from zero."""
        if self.new.trail_ticks is not None:
            return self.new.trail_ticks
        share = Fraction(self.new.trail_bps or 0, 10_000) * (self.best or 0)
        return max(1, math.floor(share + Fraction(1, 2)))
