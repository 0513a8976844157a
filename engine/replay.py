"""A run again, from its journal: its strategy held against it, or any of its moments rebuilt.

`replay_commands` runs the strategy of a run once more and compares what it commands with what the
journal says that it commanded. `Replay` does without the strategy: its part is taken from the
journal, everything else happens again and is held against the records, up to the moment asked for.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine.backtest import configured_backtest, configured_feeds, load_strategy, run_origin
from engine.journal import FOLDER, Journal, JournalError, Record
from engine.journal_text import orders_of
from engine.run_journal import check_data, config_of_run
from engine.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine._core import Kernel
    from engine.backtest import Backtest
    from engine.config import RunConfig

__all__ = ["Difference", "Replay", "ReplayResult", "replay_commands"]

COMMANDS = ("submit", "submit_list", "ask", "cancel_all", "kill")


@dataclass(frozen=True)
class Difference:
    """Where a run differs from its journal. `expected` is the journal's record, None where it has
    no more; `found` what happened instead, None where nothing did any more.
    """

    expected: Record | None
    found: Record | None


@dataclass(frozen=True)
class ReplayResult:
    """What came of running a strategy on the journal of a run.

    `commands` are those in the journal, `equal` those given again before `difference`, which is
    None where all are the same. `ended` says whether the journal comes to the end of its run.
    `result_sha256` is what the journal says of the result, `found_sha256` what came out this time;
    None where the run did not come so far.
    """

    commands: int
    equal: int
    difference: Difference | None
    ended: bool
    result_sha256: str
    found_sha256: str | None


def replay_commands(run_dir: str | Path, *, every_record: bool = False) -> ReplayResult:
    """Runs the strategy of a run again, in this version of it and of the engine, and holds its
    commands against the journal; with `every_record` orders, fills and all else as well.

    Raises BacktestError where there is no such run or its data has changed, StrategyError where the
    strategy raises, JournalError for a journal that is damaged.
    """
    folder = Path(run_dir)
    config, journal = config_of_run(folder, "replay"), Journal(folder)
    info = journal.info()
    commands = sum(info.by_kind.get(kind, 0) for kind in COMMANDS)
    with configured_feeds(config) as feeds:
        backtest = configured_backtest(config, load_strategy(config), feeds)
        check_data(journal, run_origin(config, feeds), "replay")
        backtest.replay_journal(journal.path, only_commands=not every_record)
        difference = None
        try:
            backtest.run()
            backtest.kernel.finish_journal()
        except JournalError:
            difference = _difference(backtest.kernel)
            if difference is None:
                raise
    equal, found = commands, backtest.kernel.result_sha256
    if difference is not None:
        last = backtest.kernel.folded[0]
        equal = sum(record.seq <= last for record in journal.records(COMMANDS))
    return ReplayResult(
        commands=commands,
        equal=equal,
        difference=difference,
        ended=info.ended,
        result_sha256=info.result_sha256,
        found_sha256=None if difference is not None else found,
    )


def _difference(kernel: Kernel) -> Difference | None:
    divergence = kernel.divergence
    if divergence is None:
        return None
    seq, *sides = divergence
    expected, found = (
        None if side is None else Record(seq, side[1], side[0], side[2], json.loads(side[3]))
        for side in sides
    )
    return Difference(expected, found)


class _Nobody(Strategy[Any]):
    """Stands where the strategy stood."""


class Replay:
    """A run rebuilt from its folder, at any of its moments; use it in a `with` block.

    `state` answers as a strategy would ask: `state.book(id)`, `state.orders()`,
    `state.position(id)`, `state.equity(currency)`, `state.mark_px(id)` and so on, as far as was
    known at that moment. The strategy itself is not run and need not be there.

    Raises BacktestError where there is no such run or its data has changed, JournalError for a
    journal that is damaged or not that of the run.
    """

    def __init__(self, run_dir: str | Path) -> None:
        folder = Path(run_dir)
        self.journal = Journal(folder)
        self.config: RunConfig = config_of_run(folder, "replay")
        self._path = folder / FOLDER
        self._stack = ExitStack()
        self._begin()

    def _begin(self) -> None:
        self._stack.close()
        feeds = self._stack.enter_context(configured_feeds(self.config))
        self.state: Strategy[Any] = _Nobody(None)
        self._backtest: Backtest = configured_backtest(self.config, self.state, feeds)
        check_data(self.journal, run_origin(self.config, feeds), "replay")
        self._records = self.journal.records()
        self._ahead: Record | None = next(self._records, None)
        self.happened: list[Record] = []
        self._backtest.fold(self._path, step=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @property
    def step(self) -> int:
        """The number of the kernel's step: how often the strategy was called."""
        return self._backtest.kernel.seq

    @property
    def ts_ns(self) -> int:
        """Our clock; 0 before the run's first event."""
        return self._backtest.kernel.now_ns

    @property
    def handler(self) -> str:
        """The strategy's method that was called last."""
        return self._backtest.kernel.folded[1]

    @property
    def record(self) -> int:
        """The number of the last record that was written so far."""
        return self._backtest.kernel.folded[0]

    def to(
        self, *, step: int | None = None, record: int | None = None, ts_ns: int | None = None
    ) -> bool:
        """Goes to the end of a step, of the step that wrote a record, or to a time of our clock:
        all that was due until then has happened. A moment that has passed is rebuilt from the
        beginning. False where the run ends before.

        What was written on the way stands in `happened`.
        """
        back = (
            (step is not None and step < self.step)
            or (record is not None and record < self.record)
            or (ts_ns is not None and ts_ns < self.ts_ns)
        )
        if back:
            self._begin()
        is_there = self._backtest.fold(step=step, record=record, ts_ns=ts_ns)
        self.happened = list(self._take())
        return is_there

    def _take(self) -> Iterator[Record]:
        while self._ahead is not None and self._ahead.seq <= self.record:
            yield self._ahead
            self._ahead = next(self._records, None)

    def equity(self) -> dict[str, float | None]:
        """Equity by settlement currency, as a strategy is told."""
        return self._backtest.kernel.equity()

    def why(self, order_id: int) -> list[Record]:
        """What led to an order and became of it so far, the command with its cause first."""
        kinds = (*COMMANDS, "engine", "order", "placement", "fill", "liquidation")
        return [
            record
            for record in self.journal.records(kinds)
            if record.seq <= self.record and order_id in orders_of(record.kind, record.content)
        ]
