"""What the journal costs: by itself, and in a run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import _core
from engine.backtest import Backtest
from engine.bench_data import BenchError
from engine.journal import Journal
from engine.strategy import NoConfig, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.bench_data import BenchData
    from engine.strategy import Timer

__all__ = ["journal_cases"]

# About what an order takes.
CONTENT = bytes(range(40))
RECORDS, RECORDS_ON_DISK = 1_000_000, 500


def journal_cases(data: BenchData, case: Callable[..., Any]) -> list[Any]:
    """Records a second into a folder, until all of it is on the disk, and with each on the disk
    before the next; and a run that commands twenty times a second with its journal, beside the same
    without one.
    """
    return [
        _append("journal, on disk at the end", RECORDS, None, case),
        _append("journal, each record on disk", RECORDS_ON_DISK, 0, case),
        _run_case(data, case),
    ]


def _append(name: str, count: int, sync_every_ns: int | None, case: Callable[..., Any]) -> Any:
    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return _core.time_journal(f"{folder}/journal", count, CONTENT, sync_every_ns)

    def check() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            _core.time_journal(f"{folder}/journal", count, CONTENT, sync_every_ns)
            reader = _core.JournalReader(f"{folder}/journal")
            # Nothing of this kind is there, so that all is read.
            reader.read(1, ["ended"])
            found = reader.seq
        if found != count:
            raise BenchError(f"{name}: {count} records written, {found} read")
        return [f"every record is read back ({found:,})"]

    note = f"records of {len(CONTENT)} bytes and 33 around them, compressed behind the writer"
    return case(
        name=name,
        unit="records/s",
        amount=count,
        rows=0,
        ours=run,
        peers={},
        check=check,
        note=note,
    )


class _Quoting(Strategy[NoConfig]):
    """Cancels an order and gives another, ten times a second, a little behind the touch."""

    def __init__(self, data: BenchData) -> None:
        super().__init__(NoConfig())
        self.instrument = data.instrument.id
        self._order = 0

    def on_start(self) -> None:
        self._book = self.book(self.instrument)
        self.set_timer(every="100ms")

    def on_timer(self, _timer: Timer) -> None:
        if self._book.best_bid is not None:
            if self._order:
                self.cancel(self._order)
            px = round(self._book.best_bid * 0.999, 1)
            self._order = self.buy(self.instrument, "0.01", px)


def _run_case(data: BenchData, case: Callable[..., Any]) -> Any:
    def run(*, journaled: bool) -> tuple[float, str, int]:
        feeds = {
            (data.instrument.id, "depth"): [data.depth],
            (data.instrument.id, "trades"): [data.trades],
        }
        backtest = Backtest([data.instrument], _Quoting(data), feeds)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal"
            if journaled:
                backtest.keep_journal(path, "1s", {})
            began = time.perf_counter()
            backtest.run()
            backtest.kernel.finish_journal()
            seconds = time.perf_counter() - began
            records = Journal(path).info().records if journaled else 0
        return seconds, backtest.kernel.result_sha256, records

    def check() -> list[str]:
        (_, with_it, records), (_, without, _) = run(journaled=True), run(journaled=False)
        if with_it != without or not records:
            raise BenchError("kernel with its journal: another result than without")
        return [f"the same result, {records:,} records"]

    rows = len(data.depth) + len(data.trades)
    return case(
        name="kernel with its journal, 20 commands a second",
        unit="updates/s",
        amount=rows,
        rows=rows,
        ours=lambda: run(journaled=True)[0],
        peers={"without a journal": lambda: run(journaled=False)[0]},
        check=check,
        peer_rows=rows,
    )
