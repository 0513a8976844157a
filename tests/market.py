"""Market data made by hand, for tests of logic; never for figures."""

from __future__ import annotations

import numpy as np

import engine
from engine.instruments import Instrument

DELTA, SNAPSHOT, TRADE = 1, 2, 3
BID, ASK = 1, 2
FIRST, LAST = 1, 2
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
"""Venue time of the first snapshot; receive times are 1 ms later."""
LAG = 1_000_000

LINEAR = Instrument(
    id="XUSD-PERP.TEST",
    kind="linear",
    base="X",
    quote="USD",
    tick="0.1",
    lot="0.001",
    contract_size="1",
    qty_min="0.001",
    qty_max="100",
    notional_min="5",
    maker_fee="0.0002",
    taker_fee="0.0005",
    market="testnet",
    symbol="XUSD",
)


def message(kind: int, ts_ns: int, seq: int, levels: list[tuple[int, int, int]]) -> np.ndarray:
    """One venue message: `levels` are (side, price in ticks, lots)."""
    rows = np.zeros(len(levels), engine.EVENT_DTYPE)
    rows["ts_event_ns"], rows["ts_recv_ns"] = ts_ns, ts_ns + LAG
    rows["kind"], rows["seq"] = kind, seq
    rows["prev_seq"] = seq - 1 if kind == DELTA else engine.SEQ_NONE
    for field, values in zip(
        ("side", "px_ticks", "qty_lots"), zip(*levels, strict=True), strict=True
    ):
        rows[field] = values
    rows["flags"][0] |= FIRST
    rows["flags"][-1] |= LAST
    return rows


def depth(seconds: int = 10) -> np.ndarray:
    """A snapshot (99.9 × 1 / 100.1 × 1), then every 100 ms a change far from the touch."""
    parts = [message(SNAPSHOT, START, 1, [(BID, 999, 1_000), (ASK, 1_001, 1_000)])]
    for step in range(1, seconds * 10):
        ts_ns = START + step * SECOND // 10
        parts.append(message(DELTA, ts_ns, 1 + step, [(BID, 900, 1 + step)]))
    return np.concatenate(parts)


def trades(rows: list[tuple[float, int, int, int]]) -> np.ndarray:
    """Trades as (seconds after START, aggressor side, price in ticks, lots)."""
    parts = [
        message(TRADE, START + int(at * SECOND), 1 + index, [(side, px, lots)])
        for index, (at, side, px, lots) in enumerate(rows)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, engine.EVENT_DTYPE)
