"""`cobalt backtest`: one run, or with `-m` one for every combination of values."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.compose import RUN_GROUPS, Override, compose, expand_sweep, parse_override
from engine.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

__all__ = ["run"]

SWEEP_FLAGS = ("-m", "--multirun")


def run(arguments: Sequence[str]) -> int:
    """Runs the command; see `engine.cli` for exit codes."""
    overrides = [parse_override(item) for item in arguments if item not in SWEEP_FLAGS]
    output = [item.value for item in overrides if item.key == "output"]
    overrides = [item for item in overrides if item.key != "output"]
    if output and output[-1] not in ("text", "json"):
        raise ConfigError(f"output: expected text or json, found '{output[-1]}'")
    as_json = bool(output) and output[-1] == "json"
    if any(item in SWEEP_FLAGS for item in arguments):
        return _sweep(overrides, as_json=as_json)
    return _single(overrides, as_json=as_json)


def _single(overrides: Sequence[Override], *, as_json: bool) -> int:
    from engine.backtest import run_backtest
    from engine.cli import tables

    config = _configured(overrides)
    with _progress(config) as advance:
        result = run_backtest(config, progress=advance)
    if as_json:
        print(json.dumps(result.summary, allow_nan=False))
    else:
        tables.show_run(result.summary, result.run_dir)
    return 0


def _configured(overrides: Sequence[Override]) -> RunConfig:
    config = compose("backtest", RunConfig, overrides, groups=RUN_GROUPS)
    if not config.instrument:
        config.instrument = _chosen_instrument(config.catalog)
    return config


def _chosen_instrument(root: str) -> dict[str, Any]:
    """Without `instrument=…`: recorded before testnet, linear before spot before inverse, by id."""
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


def _sweep(overrides: Sequence[Override], *, as_json: bool) -> int:
    from engine.cli import tables

    runs = expand_sweep(overrides, RunConfig, RUN_GROUPS)
    # Everything that can be misspelt is checked before the first process starts.
    first, *_ = [compose("backtest", RunConfig, chosen, groups=RUN_GROUPS) for chosen in runs]
    if not first.instrument:
        (instrument,) = _chosen_instrument(first.catalog)
        runs = [[*chosen, Override("instrument", instrument)] for chosen in runs]
    folder = _sweep_folder(first)
    jobs = first.run.jobs or os.cpu_count() or 1
    tasks = [
        ([*chosen, Override("run.dir", str(folder / str(number)))], str(Path.cwd()))
        for number, chosen in enumerate(runs)
    ]
    # Fresh processes, so that a run in a sweep is the run it would be alone.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(_job, tasks))
    varied = [key for key in dict.fromkeys(item.key for item in runs[0]) if _varies(runs, key)]
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
        tables.show_sweep(rows, varied, folder)
    return 0 if all(row["error"] is None for row in rows) else 1


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


def _job(task: tuple[list[Override], str]) -> tuple[dict[str, Any] | None, str | None]:
    """One run of a sweep in its own process: its summary, or its error in words."""
    overrides, folder = task
    os.chdir(folder)
    from engine.backtest import run_backtest

    try:
        return run_backtest(_configured(overrides)).summary, None
    except Exception as error:  # noqa: BLE001 - one failing run must not end the others.
        return None, f"{type(error).__name__}: {error}"
