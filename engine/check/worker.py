"""One checked run, in the process that `engine.check.bootstrap` has made ready for it."""

from __future__ import annotations

import dataclasses
import json
import sys
import sysconfig
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import engine
from engine.backtest import BacktestError, run_backtest
from engine.catalog import CatalogError
from engine.check.calls import CallTracer
from engine.check.record import CommandRecorder
from engine.config import ConfigError, RunConfig, build
from engine.strategy import StrategyError

__all__ = ["work"]

_CODE = (".py", ".pyc", ".so", ".pth")


def work(job: dict[str, Any]) -> None:
    """Runs `job["config"]` and writes what came of it to the file `job["result"]`."""
    recorder = None
    if job["record"]:
        recorder = CommandRecorder(trade_from_ns=job["trade_from_ns"])
    opened = _watch_files()
    summary, error = None, None
    tracer = CallTracer(_is_users, _is_library, lambda: _now(recorder))
    if job["trace"]:
        sys.setprofile(tracer)
    try:
        config = build(RunConfig, job["config"])
        summary = run_backtest(config, recorder=recorder, report=False).summary
    except (BacktestError, CatalogError, ConfigError, OSError) as caught:
        error = {"kind": type(caught).__name__, "message": str(caught), "trace": ""}
    except StrategyError as caught:
        trace = "".join(traceback.format_exception(caught.__cause__)).rstrip()
        error = {"kind": "StrategyError", "message": str(caught), "trace": trace}
    finally:
        sys.setprofile(None)
    result = {
        "summary": summary,
        "error": error,
        "log": None if recorder is None else recorder.log.to_dict(),
        "opened": sorted(opened),
        "calls": [dataclasses.asdict(call) for call in tracer.calls],
    }
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def _watch_files() -> set[str]:
    """The set of files, growing, that the user's code opens for reading by way of Python.

    Files that a library opens by itself, as polars does, are not seen.
    """
    opened: set[str] = set()
    main = threading.main_thread().ident

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or threading.get_ident() != main or not isinstance(arguments[0], str):
            return
        path, mode = Path(arguments[0]), arguments[1]
        reading = mode is None or "r" in str(mode)
        if reading and path.suffix not in _CODE and _called_by_user() and path.is_file():
            opened.add(str(path.absolute()))

    sys.addaudithook(hook)
    return opened


def _called_by_user() -> bool:
    """Whether a frame on the stack is neither the engine's nor of an installed package."""
    frame = sys._getframe(2)  # noqa: SLF001 - the documented way to one's caller.
    while not _is_users(frame.f_code.co_filename):
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return True


def _now(recorder: CommandRecorder | None) -> tuple[str, int]:
    """The strategy's handler that runs, and our clock."""
    if recorder is None:
        return "outside of handlers", 0
    return recorder.handler or "outside of handlers", recorder.log.end_ns


@cache
def _is_users(filename: str) -> bool:
    own = str(Path(engine.__file__).parent)
    return not filename.startswith(("<", own)) and not _is_library(filename)


@cache
def _is_library(filename: str) -> bool:
    """Whether a file is of the standard library or an installed package, the engine apart."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    known = [sysconfig.get_path(name) for name in names]
    own = str(Path(engine.__file__).parent)
    return filename.startswith(("<", *known)) and not filename.startswith(own)
