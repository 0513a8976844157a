"""The memory that a run takes does not grow with its data."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.recordings import needs_recordings

# COBALT_TIMES=50 measures what the docs state.
TIMES = int(os.environ.get("COBALT_TIMES", "6"))
RUN = """
import json, resource, sys, tempfile
from pathlib import Path
import numpy as np
from engine import Strategy
from engine.backtest import Backtest
from engine.catalog import Catalog
from engine.instruments import load_instrument
from engine.results import ParquetSink

root, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
BATCH = 65_536

class Quotes(Strategy):
    "Is shown the book, a consolidated book, bars and pivots ten times a second, and quotes."
    def on_start(self):
        self.subscribe_book(name, every="100ms")
        self.subscribe_pivots(name, "1s")
        self.subscribe_cob("BTC", every="100ms")
        self.order = 0
    def on_book(self, book):
        if self.order:
            self.cancel(self.order)
        self.order = self.buy(name, "0.01", round(book.best_bid - 5, 1))

def repeated(kind):
    "The recording again and again, each time behind the last one."
    rows = np.concatenate(list(Catalog(root).batches(name, kind)))
    span = int(rows["ts_recv_ns"][-1] - rows["ts_recv_ns"][0]) + 1_000_000_000
    ids = int(rows["seq"].max()) + 1
    for turn in range(times):
        for at in range(0, len(rows), BATCH):
            part = rows[at : at + BATCH].copy()
            for clock in ("ts_event_ns", "ts_recv_ns"):
                part[clock] += turn * span
            for chain in ("seq", "prev_seq"):
                known = part[chain] != np.iinfo(np.uint64).max
                part[chain][known] += np.uint64(turn * ids)
            yield part

class Whole:
    "Batches that end where a message does."
    def __init__(self, batches):
        self.batches = iter(batches)
        self.rest = None
    def __iter__(self):
        return self
    def __next__(self):
        batch = next(self.batches, None)
        if batch is None:
            if self.rest is None or not len(self.rest):
                raise StopIteration
            batch, self.rest = self.rest, None
            return batch
        if self.rest is not None and len(self.rest):
            batch = np.concatenate([self.rest, batch])
        end = int(np.flatnonzero(batch["flags"] & 2)[-1]) + 1
        self.rest = batch[end:].copy()
        return batch[:end].copy()

with tempfile.TemporaryDirectory() as folder:
    feeds = {(name, kind): Whole(repeated(kind)) for kind in ("depth", "trades")}
    backtest = Backtest([load_instrument(name)], Quotes(None), feeds)
    backtest.keep_journal(Path(folder) / "journal", "1s", {})
    with ParquetSink(Path(folder)) as sink:
        backtest.run(sink)
    backtest.kernel.finish_journal()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"peak_kb": peak, "events": backtest.kernel.counts()["events"],
                  "orders": backtest.kernel.counts()["orders"]}))
"""


@needs_recordings
def test_a_longer_run_takes_no_more_memory(recorded_catalog):
    def run(times):
        arguments = [str(recorded_catalog.root), "BTCUSDT-PERP.BINANCE", str(times)]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    once, often = run(1), run(TIMES)
    assert often["events"] == TIMES * once["events"]
    assert often["orders"] > (TIMES - 1) * once["orders"]
    print(
        f"peak {once['peak_kb'] / 1024:.0f} MB, of {TIMES} times {often['peak_kb'] / 1024:.0f} MB"
    )
    assert often["peak_kb"] == pytest.approx(once["peak_kb"], rel=0.05)
