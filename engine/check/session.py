"""The runs that several checks share: the whole run, made twice to see that it is repeatable."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engine.check.compare import first_difference, where
from engine.check.runs import CheckError, Job, Outcome, Runner
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.check.settings import CheckConfig
    from engine.config import RunConfig

__all__ = ["Session", "session"]


class Session:
    """A configuration to check, a runner, and the run that others are held against."""

    def __init__(self, config: RunConfig, check: CheckConfig, runner: Runner) -> None:
        self.config = config
        self.check = check
        self.runner = runner
        self._base: Outcome | None = None

    def base(self) -> Outcome:
        """The run on all its data.

        It is made twice; raises CheckError where the two differ, because no other difference could
        be told from chance then, and where the strategy gave no command.
        """
        if self._base is None:
            jobs = [Job("the run as it is", self.config), Job("the same again", self.config)]
            first, second = self.runner.run(jobs)
            for outcome in (first, second):
                outcome.finished()
            self._check_equal(first, second)
            if not first.log.commands:
                raise CheckError(
                    f"{self.config.strategy.target} gives no command, so nothing can be checked;"
                    " take a longer range of data, or settings with which it trades"
                )
            self._base = first
        return self._base

    def changed(self, section: str, **values: object) -> RunConfig:
        """The configuration with other values in one of its sections."""
        part = dataclasses.replace(getattr(self.config, section), **values)
        return dataclasses.replace(self.config, **{section: part})

    def _check_equal(self, first: Outcome, second: Outcome) -> None:
        until_ns = max(first.log.end_ns, second.log.end_ns)
        _, found = first_difference(first.log.commands, second.log.commands, until_ns)
        same = first.finished()["result_sha256"] == second.finished()["result_sha256"]
        if found is None and same:
            return
        what = "their results differ"
        if found is not None:
            said = found.to_dict("ours", "theirs")
            what = (
                f"the first command that differs is at {utc_text(said['ts_ns'])} in"
                f" {where(said)}: {said['ours']}, the second time"
                f" {said['theirs']}"
            )
        raise CheckError(
            f"{self.config.strategy.target} is not deterministic, so nothing can be checked: two"
            f" runs on the same data and settings are not equal; {what}. Take time from self.clock"
            " and chance from self.rng; sets of text have another order in each process"
        )


@contextmanager
def session(
    config: RunConfig, check: CheckConfig, *, jobs: int, tell: Callable[[str], None]
) -> Iterator[Session]:
    """A session whose files are removed at its end; `tell` is given a line after each run."""
    with TemporaryDirectory(prefix="cobalt-check-") as work:
        yield Session(config, check, Runner(config.catalog, Path(work), jobs=jobs, tell=tell))
