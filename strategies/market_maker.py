"""Quotes both sides around the micro-price, leaning against its inventory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import Strategy

if TYPE_CHECKING:
    from engine import Book


@dataclass(frozen=True)
class MarketMakerConfig:
    """`half_spread_bps` from the centre; `skew_bps` by which a full inventory shifts it."""

    qty: str = "0.01"
    max_position: float = 0.05
    half_spread_bps: float = 0.5
    skew_bps: float = 1.0
    every: str = "100ms"


class MarketMaker(Strategy[MarketMakerConfig]):
    Config = MarketMakerConfig

    def on_start(self) -> None:
        self.quotes: dict[tuple[str, str], int] = {}
        for instrument in self.instruments:
            self.subscribe_book(instrument, every=self.config.every)

    def on_book(self, book: Book) -> None:
        centre, bid, ask = book.micro_price, book.best_bid_ticks, book.best_ask_ticks
        if centre is None or bid is None or ask is None:
            return
        tick = book.tick
        inventory = self.position(book.instrument) / self.config.max_position
        centre *= 1 - inventory * self.config.skew_bps * 1e-4
        half = centre * self.config.half_spread_bps * 1e-4
        # Never cross: a quote joins the best price at most.
        buy = min(int((centre - half) / tick), bid)
        sell = max(int(-(-(centre + half) // tick)), ask)
        self.quote(book, "buy", buy * tick if inventory < 1 else None)
        self.quote(book, "sell", sell * tick if inventory > -1 else None)

    def quote(self, book: Book, side: str, px: float | None) -> None:
        key = (book.instrument, side)
        order = self.order(self.quotes.get(key, 0))
        if order is not None and px is None:
            self.cancel(order.id)
        elif order is not None and order.px is not None and px is not None:
            if abs(order.px - px) > book.tick / 2:
                self.modify(order.id, limit=px)
        elif px is not None:
            send = self.buy if side == "buy" else self.sell
            self.quotes[key] = send(book.instrument, self.config.qty, limit=px, post_only=True)
