"""`cobalt report`: the report of a run, or several runs side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.cli.commands import ReportKeys
    from engine.run_folder import RunData

__all__ = ["run"]


def run(keys: ReportKeys, *, as_json: bool) -> int:
    """Runs the command; see `engine.cli` for exit codes."""
    from engine.run_folder import read_run

    folders = [folder for name in keys.runs for folder in _run_folders(Path(name))]
    if not folders:
        raise ConfigError("RUN: the folder of a run is needed; write cobalt report runs/NAME")
    runs = [read_run(folder) for folder in folders]
    page = (
        _one(runs[0], keys.path) if len(runs) == 1 else _several(runs, keys.path, as_json=as_json)
    )
    if as_json:
        for each in runs:
            print(json.dumps(_row(each), allow_nan=False))
        print(f"cobalt: wrote {page}", file=sys.stderr)
    elif len(runs) == 1:
        from engine.cli import tables

        tables.show_figures(runs[0], page)
    return 0


def _run_folders(folder: Path) -> list[Path]:
    """A run's folder, or those of the finished runs of a sweep."""
    if not (folder / "sweep.json").is_file():
        return [folder]
    found = [path for path in folder.iterdir() if (path / "summary.json").is_file()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _one(found: RunData, path: str | None) -> Path:
    from engine.report import write_report

    if path is not None:
        raise ConfigError(f"path: the report of one run is {found.folder}/report.html, always")
    return write_report(found)


def _several(runs: Sequence[RunData], path: str | None, *, as_json: bool) -> Path:
    from engine.comparison import compare, write_comparison

    comparison = compare(runs)
    page = write_comparison(comparison, "comparison.html" if path is None else path)
    if not as_json:
        from engine.cli import tables

        tables.show_comparison(comparison, page)
    return page


def _row(found: RunData) -> dict[str, Any]:
    return {
        "run": str(found.folder),
        "summary": found.summary,
        "statistics": found.statistics.to_dict(),
    }
