"""What market state costs: the kernel with consolidated books, flow, bars and pivots on, beside the
same run without.

The run beside each row is our own, of the same rows in the same minute: books and the simulated
exchange alone. A ratio of 0.8 says that the state on top costs a quarter of that. The strategy
subscribes and looks at nothing, so that no Python is timed but the ten calls a second of the rows
that say so.
"""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backtest import Backtest
from engine.bench_data import BenchError, plain_book
from engine.config import LatencyConfig
from engine.strategy import NoConfig, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine._core import Cob
    from engine.bench_data import BenchData, Events
    from engine.instruments import Instrument

    Member = tuple[Instrument, Events, Events]

__all__ = ["BASE", "cost_cases", "group_case", "heatmap_case"]

BASE = "books and exchange alone"
INTERVALS = ("1s", "1m", "5m", "15m", "1h", "4h", "1d")
BUCKETS = 40
HEATMAPS = 100


class _Watcher(Strategy[NoConfig]):
    """Subscribes to parts of the market state of all instruments."""

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__(NoConfig())
        self.parts = parts
        self.view: Cob

    def on_start(self) -> None:
        base = self._definitions[0].base
        for name in self.instruments:
            for interval in INTERVALS if "bars" in self.parts else ():
                self.subscribe_bars(name, interval)
            for interval in INTERVALS if "pivots" in self.parts else ():
                self.subscribe_pivots(name, interval)
            if "flow" in self.parts:
                self.flow(name)
                self.subscribe_sweeps(name)
        if "cob" in self.parts:
            self.view = self.subscribe_cob(base, "100ms")


class _Reader(_Watcher):
    """Reads the consolidated book ten times a second besides."""

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__(parts)
        self.seen = 0.0

    def on_cob(self, cob: Cob) -> None:
        self.seen += float(cob.imbalance[20]) + float(cob.imbalance_ma[0, 5])


def cost_cases(data: BenchData, case: Callable[..., Any]) -> list[Any]:
    """Each part of the market state alone, then all of it, on one instrument. `case` makes a
    `engine.bench.Case`.
    """
    member = (data.instrument, data.depth, data.trades)
    every = ("bars", "pivots", "flow", "cob")
    return [
        _cost(case, f"kernel with {title}", [member], parts, strategy)
        for title, parts, strategy in (
            ("bars of 7 intervals", ("bars",), _Watcher),
            ("pivots on 7 intervals", ("pivots",), _Watcher),
            ("order flow and sweeps", ("flow",), _Watcher),
            ("COB, sampled at 10 Hz", ("cob",), _Watcher),
            ("COB, flow, bars, pivots", every, _Watcher),
            ("the same, read in Python at 10 Hz", every, _Reader),
        )
    ]


def group_case(members: list[Member], case: Callable[..., Any]) -> Any:
    """A consolidated book of several instruments in one run."""
    title = f"COB of {len(members)} venues"
    return _cost(case, title, members, ("cob",), _Watcher)


def _cost(
    case: Callable[..., Any],
    name: str,
    members: list[Member],
    parts: Sequence[str],
    strategy: type[_Watcher],
) -> Any:
    rows = sum(len(depth) + len(trades) for _, depth, trades in members)

    def check() -> list[str]:
        watcher = strategy(parts)
        _run(members, watcher)
        if "cob" not in parts:
            return ["the run ends at the last row"]
        _check_window(name, members, watcher.view)
        return ["the window at the end equals that of books of dictionaries"]

    return case(
        name=name,
        unit="level updates/s",
        amount=rows,
        rows=rows,
        ours=lambda: _run(members, strategy(parts)),
        peers={BASE: lambda: _run(members, _Watcher(()))},
        check=check,
        peer_rows=rows,
    )


def heatmap_case(data: BenchData, case: Callable[..., Any]) -> Any:
    """A heatmap of 300 s × 40 buckets from the history kept."""
    watcher = _Watcher(("cob",))
    _run([(data.instrument, data.depth, data.trades)], watcher)
    view = watcher.view

    def ours() -> float:
        started = time.perf_counter()
        for _ in range(HEATMAPS):
            view.heatmap("total")
        return time.perf_counter() - started

    def check() -> list[str]:
        matrix = view.heatmap("total")
        if matrix.shape != (300, BUCKETS):
            raise BenchError(f"heatmap: expected 300 × {BUCKETS}, found {matrix.shape}")
        last = view.seconds[-1]
        shift = int(last["first_bucket"]) - int(view.first_bucket or 0)
        wide = np.full(3 * BUCKETS, np.nan)
        wide[BUCKETS + shift : 2 * BUCKETS + shift] = last["bid"] + last["ask"]
        back = view.ts_ns // 1_000_000_000 - int(last["ts_ns"]) // 1_000_000_000
        if not np.array_equal(matrix[-1 - back], wide[BUCKETS : 2 * BUCKETS], equal_nan=True):
            raise BenchError("heatmap: the latest row is not the latest sample")
        return ["the latest row is the latest sample"]

    return case(
        name="heatmap of 300 s × 40 buckets",
        unit="heatmaps/s",
        amount=HEATMAPS,
        rows=0,
        ours=ours,
        peers={},
        check=check,
        note="no peer keeps such a history",
    )


def _run(members: list[Member], strategy: Strategy[Any]) -> float:
    """Seconds that the kernel took."""
    feeds = {}
    for instrument, depth, trades in members:
        feeds[instrument.id, "depth"] = [depth]
        feeds[instrument.id, "trades"] = [trades]
    backtest = Backtest(
        [instrument for instrument, *_ in members],
        strategy,
        feeds,
        latency=LatencyConfig(order_entry_ns=0, response_ns=0),
        equity_every="1d",
    )
    started = time.perf_counter()
    backtest.run()
    return time.perf_counter() - started


def _check_window(name: str, members: list[Member], view: Cob) -> None:
    """Raises BenchError unless the window is that of whole books."""
    first = view.first_bucket
    if first is None:
        raise BenchError(f"{name}: there is no consolidated mid at the end")
    found = np.stack([view.bid, view.ask])
    expected = np.zeros((2, BUCKETS))
    for instrument, depth, _ in members:
        if instrument.id in view.absent:
            continue
        num, den = (Fraction(instrument.tick) / Fraction(str(view.bucket_size))).as_integer_ratio()
        unit = float(Decimal(instrument.lot) * Decimal(instrument.contract_size))
        for side, levels in enumerate(plain_book(depth)):
            for ticks, lots in levels.items():
                bucket = ticks * num // den - first
                if 0 <= bucket < BUCKETS:
                    px = ticks * float(Decimal(instrument.tick))
                    inverse = instrument.kind == "inverse"
                    expected[side, bucket] += lots * unit / px if inverse else lots * unit
    if not np.allclose(found, expected, rtol=1e-12, atol=1e-12):
        raise BenchError(f"{name}: the window differs from that of books of dictionaries")
