"""The hot paths, timed, with hftbacktest beside them on the same rows.

Nothing is timed before its result has been checked: what is decoded is held against the rows it
should be, a book against the peer's level by level, a run against the peer's looks at the book and
its orders. Runs of Cobalt and of the peer alternate in one process; medians after a warm-up are
reported. Rates count our rows (level changes and trades) for both sides: the peer's own array is
longer, because it holds a row twice where the order of arrival is not that of happening.

Known limits: one instrument, one thread, data in memory; wall clock of a machine that does other
things too, which is why the fastest and slowest run stand beside the median.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.bench_data import (
    BenchData,
    BenchError,
    recorded,
    recorded_rows,
    testnet,
    testnet_group,
)
from engine.bench_journal import journal_cases
from engine.bench_orders import path_cases, resting_cases
from engine.bench_state import cost_cases, group_case, heatmap_case
from engine.peers import cobalt
from engine.peers import hftbacktest as peer
from engine.peers.orders import Quoting, QuotingRun, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BenchError",
    "Case",
    "Row",
    "cases",
    "measure",
    "order_cases",
    "refuse_debug",
    "row",
    "run",
    "state_cases",
    "table",
]

INSTRUMENT = "BTCUSDT-PERP.BINANCE"
GROUP = ("BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "BTCUSD-PERP.BINANCE")
NS_PER_S = 1_000_000_000
HOW_TO_GET_THE_PEER = "hftbacktest is not installed: `make peers` or pip install hftbacktest"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `value` and `peer_value` are medians in `unit`, larger is better; `ratio` is the first over the
    second. `peer` is None where no peer does this work or it is not installed (`note` says which).
    `checked` says that the results were compared before the times were taken, `checks` how.
    `seconds` and `peer_seconds` are (least, median, most).
    """

    name: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    checked: bool
    checks: list[str]
    amount: float
    rows: int
    peer_rows: int | None
    runs: int
    seconds: tuple[float, float, float]
    peer_seconds: tuple[float, float, float] | None
    other_peers: dict[str, float]
    note: str | None
    data: str
    provenance: str
    build_profile: str
    machine: str
    versions: dict[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Case:
    """Work to be timed: `amount` of `unit` is done by one call of `ours`, which returns seconds.

    `peers` maps a peer's name to a call doing the same work. `check` compares results and returns
    what it compared; it raises BenchError where they differ. `peer_rows` is the length of the
    peer's own array.
    """

    name: str
    unit: str
    amount: float
    rows: int
    ours: Callable[[], float]
    peers: dict[str, Callable[[], float]]
    check: Callable[[], list[str]]
    peer_rows: int | None = None
    note: str | None = None


def run(
    *,
    recordings: str | Path | None = None,
    runs: int = 7,
    seconds: int = 60,
    progress: Callable[[str], None] = lambda _name: None,
) -> list[Row]:
    """Measures everything.

    `recordings` is the folder of raw recordings (default: the variable COBALT_RECORDINGS); without
    one, `seconds` of testnet data are made and the rows say so. `runs` is the number of timed runs
    a side. `progress` is told the name of each case before it is run. Raises BenchError.
    """
    folder = recordings or os.environ.get("COBALT_RECORDINGS")
    data = recorded(Path(folder), INSTRUMENT) if folder else testnet(seconds)
    rows = []
    known = [*cases(data), *order_cases(data)]
    for case in [*known, *state_cases(data, Path(folder) if folder else None, seconds)]:
        progress(case.name)
        rows.append(measure(case, data, runs))
    return rows


def measure(case: Case, data: BenchData, runs: int) -> Row:
    """Checks a case, then times it: runs of ours and of each peer in turn, after one of each."""
    refuse_debug()
    if runs < 1:
        raise BenchError(f"runs: expected at least 1, found {runs}")
    checks = case.check()
    times: dict[str, list[float]] = {name: [] for name in ("", *case.peers)}
    for round_number in range(runs + 1):
        for name, call in {"": case.ours, **case.peers}.items():
            gc.collect()
            seconds = call()
            if round_number > 0:
                times[name].append(seconds)
    return row(case, data, checks, times)


def refuse_debug() -> None:
    """Raises BenchError in a debug build, whose times say nothing."""
    if _core.BUILD_PROFILE != "release":
        raise BenchError(
            "build: expected a release build (maturin develop --release),"
            f" found {_core.BUILD_PROFILE}"
        )


def row(case: Case, data: BenchData, checks: list[str], times: dict[str, list[float]]) -> Row:
    """A row from the times of each side; ours has the empty name. The fastest peer is *the*
    peer.
    """
    rates = {name: case.amount / statistics.median(of) for name, of in times.items()}
    ours = rates.pop("")
    best = max(rates, key=lambda name: rates[name], default=None)
    note = case.note
    if best is None and note is None and not peer.available():
        note = HOW_TO_GET_THE_PEER
    return Row(
        name=case.name,
        value=ours,
        unit=case.unit,
        peer=best,
        peer_value=None if best is None else rates.pop(best),
        ratio=None if best is None else ours * statistics.median(times[best]) / case.amount,
        checked=bool(checks),
        checks=checks,
        amount=case.amount,
        rows=case.rows,
        peer_rows=case.peer_rows,
        runs=len(times[""]),
        seconds=_spread(times[""]),
        peer_seconds=None if best is None else _spread(times[best]),
        other_peers=rates,
        note=note,
        data=data.source,
        provenance=data.provenance,
        build_profile=_core.BUILD_PROFILE,
        machine=_machine(),
        versions={
            "cobalt": _core.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "hftbacktest": peer.version(),
        },
    )


def cases(data: BenchData) -> list[Case]:
    """All cases on this data. Raises BenchError for data that is too short."""
    bench = _Bench(data)
    return [bench.decode(), bench.book(), bench.kernel(), bench.kernel_every_message()]


def order_cases(data: BenchData) -> list[Case]:
    """What resting orders and the journal cost, and how long an order takes to be on its way."""
    bench = _Bench(data)
    return [
        *resting_cases(data, bench.plan, bench.setup, bench.converted, bench.names, Case),
        *path_cases(data, Case),
        *journal_cases(data, Case),
    ]


def state_cases(data: BenchData, folder: Path | None, seconds: float) -> list[Case]:
    """What market state costs; the consolidated book of several venues on their recordings in
    `folder`, without one on `seconds` of testnet data.
    """
    if folder is None:
        members = testnet_group(seconds)
    else:
        members = [recorded_rows(folder, name)[:3] for name in GROUP]
    return [
        *cost_cases(data, Case),
        group_case(members, Case),
        heatmap_case(data, Case),
    ]


class _Bench:
    """Builds the cases; the peer's rows are converted once."""

    def __init__(self, data: BenchData) -> None:
        self.data = data
        self.setup = Setup(maker_fee=data.instrument.maker_fee, taker_fee=data.instrument.taker_fee)
        begin, end = (int(data.depth["ts_recv_ns"][at]) for at in (0, -1))
        begin += NS_PER_S
        interval = NS_PER_S // 10
        # The last look comes a second before the end, so that its orders are answered.
        looks = (end - begin - NS_PER_S) // interval
        if looks < 1:
            raise BenchError("data: expected more than two seconds, found less")
        self.plan = Quoting(begin, interval, looks, looks_per_quote=10, qty_lots=data.qty_lots)
        self.converted: np.ndarray[Any, Any] | None = None
        self.names: dict[str, str] = {}
        if peer.available():
            self.converted = peer.to_hftbacktest(data.depth, data.trades, data.instrument)
            label = f"hftbacktest {peer.version()}"
            self.names = {"vector": f"{label}, array book", "hashmap": f"{label}, hash map book"}

    def decode(self) -> Case:
        """Raw text to rows."""
        data, instrument = self.data, self.data.instrument
        arguments = (data.market, instrument.symbol, instrument.tick, instrument.lot)

        def ours() -> float:
            started = time.perf_counter()
            _core.decode_lines(data.text, *arguments)
            return time.perf_counter() - started

        def check() -> list[str]:
            data.check_decoded(_core.decode_lines(data.text, *arguments))
            return ["every depth row and trade of the text is one of the data, and the reverse"]

        return Case(
            name="decode",
            unit="MB/s",
            amount=len(data.text) / 1e6,
            rows=len(data.depth) + len(data.trades),
            ours=ours,
            peers={},
            check=check,
            note="no peer: hftbacktest's converters are Python and read compressed files only",
        )

    def book(self) -> Case:
        """Depth rows into one book; the peer, which has no book on its own, keeps two."""
        data = self.data
        converted = None
        if self.converted is not None:
            converted = peer.to_hftbacktest(data.depth, data.trades[:0], data.instrument)

        def ours() -> float:
            started = time.perf_counter()
            _core.replay_book(data.depth)
            return time.perf_counter() - started

        def check() -> list[str]:
            bids, asks = (dict(side.tolist()) for side in _core.replay_book(data.depth))
            data.check_book(bids, asks)
            checks = ["all levels equal those of a book of dictionaries"]
            if converted is not None:
                for book in self.names:
                    theirs = peer.run_idle(converted, data.instrument, book=book)
                    if (theirs.bids, theirs.asks) != (bids, asks):
                        raise BenchError(f"book: differs from {self.names[book]}")
                checks.append("all levels equal the peer's")
            return checks

        return Case(
            name="book only",
            unit="level updates/s",
            amount=len(data.depth),
            rows=len(data.depth),
            ours=ours,
            peers={
                name: _idle(converted, data, book)
                for book, name in self.names.items()
                if converted is not None
            },
            check=check,
            peer_rows=None if converted is None else len(converted),
            note="the peer has no book outside its loop, which keeps two: the venue's and ours",
        )

    def kernel(self) -> Case:
        """The whole kernel, a Python strategy ten times a second."""
        return self._kernel("kernel, Python strategy at 10 Hz", every_message=False)

    def kernel_every_message(self) -> Case:
        """The whole kernel, a Python handler after every message besides."""
        return self._kernel("kernel, Python handler on every message", every_message=True)

    def _kernel(self, name: str, *, every_message: bool) -> Case:
        data, converted = self.data, self.converted

        def ours() -> QuotingRun:
            return cobalt.run_quoting(
                data.depth,
                data.trades,
                data.instrument,
                self.setup,
                self.plan,
                every_message=every_message,
            )

        def theirs(book: str) -> QuotingRun:
            assert converted is not None
            return peer.run_quoting(converted, data.instrument, self.setup, self.plan, book=book)

        def check() -> list[str]:
            result = ours()
            data.check_book(result.bids, result.asks)
            checks = ["the book at the end equals one of dictionaries"]
            for book, label in self.names.items():
                if found := result.differences(theirs(book)):
                    raise BenchError(f"{name}: differs from {label} in {', '.join(found)}")
            if self.names:
                filled = int((result.orders["status"] == "filled").sum())
                checks.append(
                    "book at the end, best prices at every look and what became of every order"
                    f" equal the peer's ({len(result.orders)} orders, {filled} filled)"
                )
            return checks

        note = "the peer's strategy, compiled by numba, looks each 100 ms" if self.names else None
        return Case(
            name=name,
            unit="level updates/s",
            amount=len(data.depth) + len(data.trades),
            rows=len(data.depth) + len(data.trades),
            ours=lambda: ours().seconds,
            peers={label: _seconds(theirs, book) for book, label in self.names.items()},
            check=check,
            peer_rows=None if converted is None else len(converted),
            note=note,
        )


def _idle(rows: np.ndarray[Any, Any], data: BenchData, book: str) -> Callable[[], float]:
    return lambda: peer.run_idle(rows, data.instrument, book=book).seconds


def _seconds(call: Callable[[str], QuotingRun], book: str) -> Callable[[], float]:
    return lambda: call(book).seconds


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    return min(seconds), statistics.median(seconds), max(seconds)


def _machine() -> str:
    """Processor, number of usable processors and system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {usable} processors, {platform.system()}"


def table(rows: list[Row]) -> Any:
    """The rows as a rich table, with machine, data and build under it."""
    from rich.table import Table

    made = Table(title="Cobalt, one thread, and what runs beside it", caption=_caption(rows))
    made.add_column("what")
    for heading in ("Cobalt", "least to most", "beside it", "ratio", "checked"):
        made.add_column(heading, justify="right")
    for one in rows:
        low, high = (one.amount / seconds for seconds in (one.seconds[2], one.seconds[0]))
        made.add_row(
            one.name,
            _rate(one.value, one.unit),
            f"{_rate(low, '')} – {_rate(high, '')}",
            "–" if one.peer_value is None else _rate(one.peer_value, one.unit),
            "–" if one.ratio is None else f"{one.ratio:.{1 if one.ratio >= 1 else 2}f}×",
            "yes" if one.checked else "no",
        )
    return made


def _caption(rows: list[Row]) -> str:
    if not rows:
        return ""
    first = rows[0]
    lines = [
        f"{first.data} ({first.provenance}), {first.runs} runs a side, {first.build_profile} build",
        first.machine,
        ", ".join(f"{name} {version}" for name, version in first.versions.items() if version),
    ]
    if first.provenance == "testnet":
        lines.append("TESTNET DATA: made by our own local exchange, not recorded from a venue.")
    for one in rows:
        if one.peer is not None:
            others = [
                f"{_rate(rate, one.unit)} with {name}" for name, rate in one.other_peers.items()
            ]
            lines.append(f"{one.name}: {one.peer}" + "".join(f"; {text}" for text in others))
        if one.note:
            lines.append(f"{one.name}: {one.note}")
    return "\n".join(dict.fromkeys(lines))


def _rate(value: float, unit: str) -> str:
    if unit == "MB/s":
        return f"{value:,.0f} MB/s"
    scaled = f"{value / 1e6:,.1f} M" if value >= 1e5 else f"{value:,.0f}"
    return f"{scaled}/s" if unit else scaled
