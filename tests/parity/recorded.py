"""Recordings as both engines take them: rows from the snapshot on, and orders of a fitting size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from engine.instruments import load_instrument
from engine.peers.streams import random_commands
from tests.oracles.binance_reader import SNAPSHOT
from tests.recordings import CASES, oracle

if TYPE_CHECKING:
    from engine.instruments import Instrument

# Spot, linear and inverse; least and most lots of an order, above the smallest notional.
QTY_LOTS = {
    "BTCUSDT-PERP.BINANCE": (2, 50),
    "BTCUSDT.BINANCE": (200, 5_000),
    "BTCUSD-PERP.BINANCE": (1, 30),
}


@dataclass(frozen=True)
class Recorded:
    """An instrument, its depth rows from the snapshot on, and its trades."""

    instrument: Instrument
    depth: np.ndarray
    trades: np.ndarray

    def commands(self, count: int, seed: int, *, modify_qty: bool = True) -> np.ndarray:
        """Random commands of the instrument's sizes."""
        lots = QTY_LOTS[self.instrument.id]
        return random_commands(self.depth, count, seed, qty_lots=lots, modify_qty=modify_qty)


@cache
def recorded(instrument_id: str) -> Recorded:
    """The recording of an instrument, read once a test session."""
    recording = oracle(next(case for case in CASES if case.id == instrument_id))
    first = int(np.argmax(recording.depth["kind"] == SNAPSHOT))
    instrument = load_instrument(instrument_id)
    return Recorded(instrument, recording.depth[first:], recording.trades)
