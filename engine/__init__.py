"""Cobalt: an event-sourced, backtest-first trading engine for crypto order books."""

from engine._core import EVENT_DTYPE, SEQ_NONE, TS_NONE, __version__

__all__ = ["EVENT_DTYPE", "SEQ_NONE", "TS_NONE", "__version__"]
