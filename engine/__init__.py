"""Cobalt: an event-sourced, backtest-first trading engine for crypto order books."""

from engine._core import (
    COB_ROW_DTYPE,
    EVENT_DTYPE,
    SEQ_NONE,
    TS_NONE,
    Bar,
    Book,
    Cob,
    CobLevel,
    CobMember,
    Crossing,
    Fill,
    Gap,
    Order,
    Trade,
    __version__,
)
from engine.strategy import Strategy, StrategyError, Timer

__all__ = [
    "COB_ROW_DTYPE",
    "EVENT_DTYPE",
    "SEQ_NONE",
    "TS_NONE",
    "Bar",
    "Book",
    "Cob",
    "CobLevel",
    "CobMember",
    "Crossing",
    "Fill",
    "Gap",
    "Order",
    "Strategy",
    "StrategyError",
    "Timer",
    "Trade",
    "__version__",
]
