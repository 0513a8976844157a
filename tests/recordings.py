"""Where the raw recordings lie, and what their README says of them.

They are not part of the repository: the environment names their folder, and tests that need them
are skipped without it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.oracles import binance_reader

ROOT = os.environ.get("COBALT_RECORDINGS")

needs_recordings = pytest.mark.skipif(
    not ROOT, reason="COBALT_RECORDINGS is not set: no recordings on this machine"
)


@dataclass(frozen=True)
class Case:
    """One recorded instrument, and facts measured from it by independent means."""

    id: str
    market: str
    pattern: str
    tick: str
    lot: str
    aligned: int
    depth_messages: int
    trades: int

    def paths(self) -> list[Path]:
        """The raw files in time order."""
        assert ROOT is not None
        return sorted(Path(ROOT).glob(self.pattern))


CASES = [
    Case(
        "BTCUSDT.BINANCE",
        "binance_spot",
        "binance_spot/btcusdt_*.gz",
        "0.01",
        "0.00001",
        1072,
        6495,
        19904,
    ),
    Case(
        "ETHUSDT.BINANCE",
        "binance_spot",
        "binance_spot/ethusdt_*.gz",
        "0.01",
        "0.0001",
        1056,
        6470,
        14515,
    ),
    Case(
        "BTCUSDT-PERP.BINANCE",
        "binance_usdm",
        "binance_usdm/btcusdt_*.gz",
        "0.1",
        "0.001",
        629,
        6551,
        21313,
    ),
    Case(
        "ETHUSDT-PERP.BINANCE",
        "binance_usdm",
        "binance_usdm/ethusdt_*.gz",
        "0.01",
        "0.001",
        551,
        6586,
        14076,
    ),
    Case(
        "BTCUSD-PERP.BINANCE",
        "binance_cm",
        "binance_cm/btcusd_perp_*.gz",
        "0.1",
        "1",
        1124,
        26847,
        2286,
    ),
]


@cache
def oracle(case: Case) -> binance_reader.Recording:
    """The recording as the oracle reads it, once a test session."""
    return binance_reader.read(case.paths(), case.market, case.tick, case.lot)
