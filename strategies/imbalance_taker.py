"""Takes the side that the book leans to, and leaves when it stops leaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import Strategy
from engine.units import duration_ns

if TYPE_CHECKING:
    from engine import Book


@dataclass(frozen=True)
class ImbalanceTakerConfig:
    """Enters where the imbalance of the best `levels` passes `enter`, exits below `leave`."""

    qty: str = "0.01"
    levels: int = 5
    enter: float = 0.8
    leave: float = 0.0
    every: str = "100ms"
    cooldown: str = "1s"


class ImbalanceTaker(Strategy[ImbalanceTakerConfig]):
    Config = ImbalanceTakerConfig

    def on_start(self) -> None:
        self.pause_ns = duration_ns(self.config.cooldown)
        self.next_ns = dict.fromkeys(self.instruments, 0)
        for instrument in self.instruments:
            self.subscribe_book(instrument, every=self.config.every)

    def on_book(self, book: Book) -> None:
        name, now_ns = book.instrument, self.clock.now_ns
        if now_ns < self.next_ns[name] or self.orders(name):
            return
        lean, position = book.imbalance(self.config.levels), self.position(name)
        if position == 0 and lean > self.config.enter:
            self.buy(name, self.config.qty, limit=book.best_ask, tif="IOC")
        elif position == 0 and lean < -self.config.enter:
            self.sell(name, self.config.qty, limit=book.best_bid, tif="IOC")
        elif position > 0 and lean < self.config.leave:
            self.sell(name, position)
        elif position < 0 and lean > -self.config.leave:
            self.buy(name, -position)
        else:
            return
        self.next_ns[name] = now_ns + self.pause_ns
