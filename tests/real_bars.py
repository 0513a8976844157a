"""The real one-minute bars of BTC/USD as whole numbers, without losing a digit of a price."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from tests.recordings import ROOT

MINUTE = 60_000_000_000
COUNT = 1_279_046
TICK = LOT = "0.00000001"


@cache
def minutes() -> pl.DataFrame:
    """All bars, with columns as the catalog's. Every price is a whole number of ticks; 35,134
    volumes are finer than a lot and taken to the nearest one, at most half a lot off.
    """
    assert ROOT is not None
    frame = pl.read_parquet(Path(ROOT) / "bars" / "bitfinex_btcusd_1m.parquet")
    columns = {"ts_start_ns": frame["ts_ms"].to_numpy() * 1_000_000}
    for name in ("high", "low", "close"):
        px = frame[name].to_numpy()
        ticks = np.rint(px * 1e8)
        # A quotient of whole numbers is rounded as the decimal text was when the file was made.
        assert (ticks / 1e8 == px).all()
        columns[f"{name}_ticks"] = ticks.astype(np.int64)
    columns["volume_lots"] = np.rint(frame["volume"].to_numpy() * 1e8).astype(np.int64)
    assert len(frame) == COUNT
    return pl.DataFrame(columns)


def arrays(frame: pl.DataFrame) -> list[np.ndarray]:
    """The columns in their order, contiguous."""
    return [np.ascontiguousarray(frame[name].to_numpy()) for name in frame.columns]
