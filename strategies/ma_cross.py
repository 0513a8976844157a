"""Long while the fast moving average of closes is above the slow one, short while below."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import Strategy

if TYPE_CHECKING:
    from engine import Bar


@dataclass(frozen=True)
class MaCrossConfig:
    """`fast` and `slow` are numbers of bars of `interval`."""

    qty: str = "0.01"
    interval: str = "1s"
    fast: int = 10
    slow: int = 30


class MaCross(Strategy[MaCrossConfig]):
    Config = MaCrossConfig

    def on_start(self) -> None:
        self.closes = {name: deque[float](maxlen=self.config.slow) for name in self.instruments}
        for instrument in self.instruments:
            self.subscribe_bars(instrument, self.config.interval)

    def on_bar(self, bar: Bar) -> None:
        closes = self.closes[bar.instrument]
        closes.append(bar.close)
        if len(closes) < self.config.slow or self.orders(bar.instrument):
            return
        fast = sum(list(closes)[-self.config.fast :]) / self.config.fast
        slow = sum(closes) / self.config.slow
        wanted = float(self.config.qty) * ((fast > slow) - (fast < slow))
        change = wanted - self.position(bar.instrument)
        if fast == slow or abs(change) < float(self.config.qty) / 2:
            return
        if change > 0:
            self.buy(bar.instrument, change)
        else:
            self.sell(bar.instrument, -change)
