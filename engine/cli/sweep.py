"""`cobalt backtest -m`: one run for every combination of values, each in a process of its own.

A run that raises, is killed for its memory or takes its process down costs the others nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.backtest import chosen_instrument, configured
from engine.cli.compose import RUN_GROUPS, Override, compose, expand_sweep
from engine.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    # The summary of a finished run, or the words of the error that ended it.
    Outcome = tuple[dict[str, Any] | None, str | None]

__all__ = ["sweep"]


def sweep(overrides: Sequence[Override], *, as_json: bool) -> int:
    """Runs every combination and shows one table of them; 1 where any of them failed."""
    runs = expand_sweep(overrides, RunConfig, RUN_GROUPS)
    # Everything that can be misspelt is checked before the first process starts.
    first, *_ = [compose("backtest", RunConfig, chosen, groups=RUN_GROUPS) for chosen in runs]
    jobs = os.cpu_count() or 1 if first.run.jobs is None else first.run.jobs
    if jobs < 1:
        raise ConfigError(f"run.jobs: expected at least 1, found {jobs}")
    if not first.instrument:
        (instrument,) = chosen_instrument(first.catalog)
        runs = [[*chosen, Override("instrument", instrument)] for chosen in runs]
    folder = _sweep_folder(first)
    outcomes = _run_all(runs, folder, jobs)
    rows = [
        {
            "run": number,
            "overrides": {item.key: item.value for item in chosen},
            "summary": summary,
            "error": error,
        }
        for number, (chosen, (summary, error)) in enumerate(zip(runs, outcomes, strict=True))
    ]
    text = json.dumps(rows, indent=2, allow_nan=False)
    (folder / "sweep.json").write_text(text + "\n", encoding="utf-8")
    if as_json:
        for row in rows:
            print(json.dumps(row, allow_nan=False))
    else:
        from engine.cli import tables

        varied = [key for key in dict.fromkeys(item.key for item in runs[0]) if _varies(runs, key)]
        tables.show_sweep(rows, varied, folder)
    return 0 if all(row["error"] is None for row in rows) else 1


def _run_all(runs: Sequence[Sequence[Override]], folder: Path, jobs: int) -> list[Outcome]:
    """The outcomes in the order of `runs`; a thread waits for each process."""
    finished = itertools.count(1)

    def one(number: int) -> Outcome:
        run_dir = Override("run.dir", str(folder / str(number)))
        outcome = _in_own_process([*runs[number], run_dir])
        state = "done" if outcome[1] is None else "failed"
        print(f"cobalt: {next(finished)}/{len(runs)}: run {number} {state}", file=sys.stderr)
        return outcome

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(one, range(len(runs))))
    finally:
        # After an interrupt, runs that have not begun do not begin.
        pool.shutdown(cancel_futures=True)


def _in_own_process(overrides: list[Override]) -> Outcome:
    """One run in a fresh process, so that it is the run that it would be alone."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(overrides, sender))
    process.start()
    # Only the child may hold the sending end: its death then reads as the end of the stream.
    sender.close()
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        process.join()
        outcome = None, f"the process ended with exit code {process.exitcode}"
    process.join()
    return outcome


def _run(overrides: list[Override], sender: Connection) -> None:
    from engine.backtest import run_backtest

    try:
        outcome: Outcome = run_backtest(configured(overrides)).summary, None
    except Exception as error:  # noqa: BLE001 - one failing run must not end the others.
        outcome = None, f"{type(error).__name__}: {error}"
    except KeyboardInterrupt:
        outcome = None, "stopped"
    sender.send(outcome)


def _varies(runs: Sequence[Sequence[Override]], key: str) -> bool:
    return len({item.value for chosen in runs for item in chosen if item.key == key}) > 1


def _sweep_folder(config: RunConfig) -> Path:
    if config.run.dir is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        folder = Path("multirun") / f"{stamp}-{config.run.name or 'sweep'}"
    else:
        folder = Path(config.run.dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
