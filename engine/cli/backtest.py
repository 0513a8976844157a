"""`cobalt backtest`: one run, or with `-m` one for every combination of values."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager, nullcontext
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.compose import RUN_GROUPS, Override, compose, parse_override
from engine.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

__all__ = ["chosen_instrument", "configured", "run"]

SWEEP_FLAGS = ("-m", "--multirun")


def run(arguments: Sequence[str]) -> int:
    """Runs the command; see `engine.cli` for exit codes."""
    overrides = [parse_override(item) for item in arguments if item not in SWEEP_FLAGS]
    output = [item.value for item in overrides if item.key == "output"]
    overrides = [item for item in overrides if item.key != "output"]
    if output and output[-1] not in ("text", "json"):
        raise ConfigError(f"output: expected text or json, found '{output[-1]}'")
    as_json = bool(output) and output[-1] == "json"
    resumed = [item.value for item in overrides if item.key == "resume"]
    if resumed:
        return _resume(resumed[-1], overrides, arguments, as_json=as_json)
    if any(item in SWEEP_FLAGS for item in arguments):
        from engine.cli.sweep import sweep

        return sweep(overrides, as_json=as_json)
    return _single(overrides, as_json=as_json)


def _single(overrides: Sequence[Override], *, as_json: bool) -> int:
    return _show(configured(overrides), as_json=as_json, resume=False)


def _resume(
    folder: str, overrides: Sequence[Override], arguments: Sequence[str], *, as_json: bool
) -> int:
    from engine.run_journal import interrupted_run

    others = [item.key for item in overrides if item.key != "resume"]
    others += [item for item in arguments if item in SWEEP_FLAGS]
    if others:
        raise ConfigError(
            f"resume: a run goes on with its own settings; expected no other key, found"
            f" {', '.join(others)}"
        )
    return _show(interrupted_run(Path(folder)), as_json=as_json, resume=True)


def _show(config: RunConfig, *, as_json: bool, resume: bool) -> int:
    from engine.backtest import run_backtest
    from engine.cli import tables

    with _stoppable(), _progress(config) as advance:
        result = run_backtest(config, progress=advance, resume=resume)
    if as_json:
        print(json.dumps(result.summary, allow_nan=False))
    else:
        tables.show_run(result.summary, result.run_dir)
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """Lets SIGTERM end a run as Ctrl-C does: its journal is closed."""

    def stop(signum: int, _frame: object) -> None:
        raise KeyboardInterrupt(signum, "")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def configured(overrides: Sequence[Override]) -> RunConfig:
    """The configuration of a run, with an instrument even where none was named."""
    config = compose("backtest", RunConfig, overrides, groups=RUN_GROUPS)
    if not config.instrument:
        config.instrument = chosen_instrument(config.catalog)
    return config


def chosen_instrument(root: str) -> dict[str, Any]:
    """Without `instrument=…`, of those with depth: recorded before testnet, linear before spot
    before inverse, by id.
    """
    from engine.backtest import BacktestError
    from engine.catalog import Catalog
    from engine.instruments import load_instrument

    catalog = Catalog(root)
    present = catalog.instruments()
    if not present:
        raise BacktestError(
            f"catalog {root} is empty. Import a recording with `cobalt import path=..."
            f" instrument=... catalog={root}` or make practice data with"
            f" `cobalt testnet catalog={root}`"
        )
    held = present
    present = [name for name in held if catalog.manifest(name).of_kind("depth")]
    if not present:
        raise BacktestError(
            f"catalog {root} has no order book to trade on: expected depth of an instrument, found"
            f" none of {', '.join(held)}. Name one with instrument=... to run on its trades"
        )
    kinds = ("linear", "spot", "inverse")

    def rank(name: str) -> tuple[bool, int, str]:
        recorded = catalog.manifest(name).provenance == "recorded"
        return not recorded, kinds.index(load_instrument(name).kind), name

    chosen = min(present, key=rank)
    if len(present) > 1 and parent_process() is None:
        note = f"instrument={chosen}, one of {len(present)} in catalog {root}"
        print(f"cobalt: {note}; name another to trade it", file=sys.stderr)
    return {chosen: load_instrument(chosen).to_mapping()}


def _progress(config: RunConfig) -> AbstractContextManager[Callable[[int], None] | None]:
    """A bar of rows read, on a terminal only."""
    if not sys.stderr.isatty():
        return nullcontext()
    from engine.cli.progress import rows_bar

    return rows_bar(config)
