"""The journal of a run: begun with it, ended with it, and gone on with after an interruption."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from engine.config import RunConfig, build
from engine.journal import FOLDER, Journal
from engine.run_feeds import BacktestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from engine.backtest import Backtest

__all__ = ["check_data", "config_of_run", "interrupted_run", "journaled"]


def interrupted_run(run_dir: Path) -> RunConfig:
    """The configuration of a run that did not come to its end, as its folder has it.

    Raises BacktestError where there is none, or it has ended.
    """
    if (run_dir / "summary.json").is_file():
        raise BacktestError(f"resume: {run_dir} has ended, there is nothing to go on with")
    return config_of_run(run_dir, "resume")


def config_of_run(run_dir: Path, command: str) -> RunConfig:
    """The configuration of a run with a journal, as its folder has it; raises BacktestError."""
    import yaml

    path = run_dir / "config.yaml"
    if not path.is_file() or not (run_dir / FOLDER).is_dir():
        raise BacktestError(
            f"{command}: expected the folder of a run with config.yaml and {FOLDER}/,"
            f" found neither or one of them in {run_dir}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BacktestError(f"{command}: {path}: {error}") from error
    config = build(RunConfig, content)
    config.run.dir = str(run_dir)
    return config


def check_data(journal: Journal, origin: Mapping[str, Any], command: str) -> None:
    """Raises BacktestError where a run's data is not what its journal began with."""
    begun = journal.origin
    if begun is not None and begun["data_sha256"] != origin["data_sha256"]:
        raise BacktestError(
            f"{command}: the data has changed since the run began: expected data_sha256"
            f" {begun['data_sha256']}, found {origin['data_sha256']}"
        )


@contextmanager
def journaled(
    backtest: Backtest, run_dir: Path, sync: str, origin: Mapping[str, Any], *, resume: bool
) -> Iterator[None]:
    """Keeps the journal of what happens in its `with` block, which ends with it, however it does.

    With `resume` the journal in the folder is gone on with, which the data must still be the one
    of; else one that is there goes first.
    """
    path = run_dir / FOLDER
    if resume:
        _resume(backtest, path, sync, origin)
    else:
        if path.is_dir():
            shutil.rmtree(path)
        backtest.keep_journal(path, sync, origin)
    goes_on = f"; cobalt backtest resume={run_dir} goes on"
    try:
        yield
    except KeyboardInterrupt as error:
        signum = error.args[0] if error.args else signal.SIGINT
        _end(backtest, f"stopped by {signal.Signals(signum).name}")
        raise KeyboardInterrupt(signum, goes_on) from None
    except OSError as error:
        _end(backtest, str(error))
        raise BacktestError(f"{error}{goes_on} when that is mended") from error
    except BaseException as error:
        _end(backtest, str(error) or type(error).__name__)
        raise
    backtest.kernel.finish_journal()


def _end(backtest: Backtest, error: str) -> None:
    # What ended the run is what is told, also where this cannot be written any more.
    with suppress(OSError, RuntimeError):
        backtest.kernel.finish_journal(error)


def _resume(backtest: Backtest, path: Path, sync: str, origin: Mapping[str, Any]) -> None:
    check_data(Journal(path), origin, "resume")
    cut = backtest.resume_journal(path, sync, origin)
    if cut is not None:
        name, offset, count, reason = cut
        print(
            f"cobalt: {name}: cut {count} bytes at byte {offset}, the end of a write: {reason}",
            file=sys.stderr,
        )
