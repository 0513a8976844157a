"""Cobalt: an event-sourced, backtest-first trading engine for crypto order books."""

from engine._core import (
    EVENT_DTYPE,
    SEQ_NONE,
    TS_NONE,
    Bar,
    Book,
    Fill,
    Gap,
    Order,
    Trade,
    __version__,
)
from engine.strategy import Strategy, StrategyError, Timer

__all__ = [
    "EVENT_DTYPE",
    "SEQ_NONE",
    "TS_NONE",
    "Bar",
    "Book",
    "Fill",
    "Gap",
    "Order",
    "Strategy",
    "StrategyError",
    "Timer",
    "Trade",
    "__version__",
]
