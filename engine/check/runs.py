"""Checked runs: each in a process of its own, with the data it may see, several at a time.

A run on cut data must not find the rest of the catalog, whichever way its strategy reads it. Where
the system allows it (Linux with user namespaces) the cut catalog is put over the real one for that
process alone. Elsewhere the run is pointed at the cut catalog instead: by the settings that name
the catalog, and by a working folder in which it lies in the place of the real one; then only a path
that is written into a strategy's code as an absolute one still leads to the real catalog.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.backtest import BacktestError
from engine.check.calls import Call
from engine.check.record import RunLog
from engine.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.config import RunConfig

__all__ = ["CheckError", "Failure", "Job", "Outcome", "Runner"]

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


class CheckError(BacktestError):
    """A check could not be made; the message says why."""


@dataclass(frozen=True)
class Job:
    """One run. `name` is told when it is done; `cut` is a cut catalog to run on.

    `trade_from_ns` as in `CommandRecorder`; without `record` only the summary is wanted.
    `hash_seed` is PYTHONHASHSEED, `environment` what is otherwise in the environment; with `trace`
    calls with another answer each time are noted.
    """

    name: str
    config: RunConfig
    record: bool = True
    trade_from_ns: int | None = None
    cut: Path | None = None
    hash_seed: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    trace: bool = False


@dataclass(frozen=True)
class Failure:
    """An error that ended a run: the exception's name, its message, and the strategy's trace."""

    kind: str
    message: str
    trace: str

    @property
    def is_strategys(self) -> bool:
        """Whether the strategy raised it."""
        return self.kind == "StrategyError"

    @property
    def handler(self) -> str:
        """The handler that a strategy's error was raised in, from `Class.on_book raised …`."""
        return self.message.partition(" raised ")[0].rpartition(".")[2]


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the summary or the error, the log (also up to an error), and the files
    that the strategy opened by way of Python, but for those of the catalog as the run saw it.
    `folder` is the run's own, as long as the session lasts, `calls` what a trace noted.
    """

    summary: dict[str, Any] | None
    failure: Failure | None
    log: RunLog
    opened: list[str]
    folder: Path | None = None
    calls: list[Call] = field(default_factory=list)

    def finished(self) -> dict[str, Any]:
        """The summary; raises the error of a run that has none."""
        if self.summary is not None:
            return self.summary
        assert self.failure is not None
        text = "\n".join(filter(None, (self.failure.message, self.failure.trace)))
        raise (ConfigError if self.failure.kind == "ConfigError" else CheckError)(text)


class Runner:
    """Runs jobs, `jobs` at a time; `work` is an empty folder for what they need meanwhile.

    `tell` is called with a line after each run.
    """

    def __init__(self, catalog: str, work: Path, *, jobs: int, tell: Callable[[str], None]) -> None:
        self._catalog = Path(catalog).absolute()
        self.root = Path(catalog).resolve()
        self.work = work
        self._jobs = jobs
        self._tell = tell
        self._numbers = itertools.count(1)
        # Where the real catalog is found by a run on a cut one: see `links_to`.
        self._held = work / "held"
        self._held.mkdir()
        self._empty = work / "empty"
        self._empty.mkdir()
        self.hides_all = self._can_mount()

    @property
    def links_to(self) -> Path:
        """Where the links of a cut catalog have to lead."""
        return self._held if self.hides_all else self.root

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes in the order of `jobs`; a thread waits for each process."""
        done = itertools.count(1)

        def one(job: Job) -> Outcome:
            outcome = self._run(job)
            state = "done" if outcome.failure is None else "failed"
            self._tell(f"{next(done)}/{len(jobs)}: {job.name}: {state}")
            return outcome

        pool = ThreadPoolExecutor(self._jobs)
        try:
            return list(pool.map(one, jobs))
        finally:
            # After an interrupt, runs that have not begun do not begin.
            pool.shutdown(cancel_futures=True)

    def _run(self, job: Job) -> Outcome:
        folder = self.work / f"run-{next(self._numbers)}"
        folder.mkdir()
        result = folder / "result.json"
        config = job.config.to_dict()
        config["run"]["dir"] = str(folder / "run")
        here, mounts = Path.cwd(), []
        if job.cut is not None and self.hides_all:
            mounts = self._mounts(job.cut)
        elif job.cut is not None:
            config = _pointed(config, self.root, job.cut)
            here = _mirrored(here, self._catalog, job.cut, folder / "here")
        content = {
            "config": config,
            "record": job.record,
            "trade_from_ns": job.trade_from_ns,
            "result": str(result),
            "trace": job.trace,
            "sys_path": sys.path,
            "mounts": mounts,
        }
        environment = dict(job.environment)
        if job.hash_seed is not None:
            environment["PYTHONHASHSEED"] = str(job.hash_seed)
        code = _start(content, here, environment)
        if not result.exists():
            failure = Failure("Ended", f"the process ended with exit code {code}", "")
            return Outcome(None, failure, RunLog(), [])
        found = json.loads(result.read_text(encoding="utf-8"))
        return Outcome(
            found["summary"],
            None if found["error"] is None else Failure(**found["error"]),
            RunLog() if found["log"] is None else RunLog.from_dict(found["log"]),
            [path for path in found["opened"] if not self._is_cut(Path(path), job)],
            folder / "run",
            [Call(**call) for call in found["calls"]],
        )

    def _mounts(self, cut: Path) -> list[tuple[str, str]]:
        return [(str(self.root), str(self._held)), (str(cut), str(self.root))]

    def _can_mount(self) -> bool:
        if not self.root.is_dir():
            return False
        job = {"probe": True, "mounts": self._mounts(self._empty)}
        return _start(job, Path.cwd(), {}, quiet=True) == 0

    def _is_cut(self, path: Path, job: Job) -> bool:
        """Whether a file that was opened lies in the catalog as the run saw it."""
        if job.cut is None or self.hides_all:
            return path.resolve().is_relative_to(self.root)
        return path.is_relative_to(self.work) or path.is_relative_to(job.cut)


def _start(
    job: dict[str, Any], folder: Path, environment: Mapping[str, str], *, quiet: bool = False
) -> int:
    """Runs a job in a process; its exit code. What the strategy prints goes nowhere."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and file.
        # Nothing may be imported from where the bootstrap lies.
        [sys.executable, "-P", str(_BOOTSTRAP)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
    )
    try:
        process.communicate(json.dumps(job))
        return process.returncode
    finally:
        process.kill()
        process.wait()


def _pointed(value: Any, root: Path, cut: Path) -> Any:
    """Settings in which every path at or below the catalog leads to the cut one."""
    if isinstance(value, dict):
        return {key: _pointed(item, root, cut) for key, item in value.items()}
    if isinstance(value, list):
        return [_pointed(item, root, cut) for item in value]
    if isinstance(value, str) and value and "\0" not in value:
        path = Path(value)
        if path.exists() and path.resolve().is_relative_to(root):
            return str(cut / path.resolve().relative_to(root))
    return value


def _mirrored(here: Path, catalog: Path, cut: Path, mirror: Path) -> Path:
    """A working folder like `here`, in which the cut catalog lies where the real one does."""
    if not catalog.is_relative_to(here) or catalog == here:
        return here
    outer, inner = here, mirror
    for part in catalog.relative_to(here).parts:
        inner.mkdir()
        for path in outer.iterdir():
            if path.name != part:
                (inner / path.name).symlink_to(path)
        outer, inner = outer / part, inner / part
    inner.symlink_to(cut)
    return mirror
