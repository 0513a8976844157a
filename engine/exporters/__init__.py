"""Exporters: the catalog to other engines' formats, one module a format.

A new format is a module with a function `run(request)` and a line in `_FORMATS`; the module is
loaded when its format is asked for. What each format can and cannot hold is in `docs/formats.md`.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from engine.catalog import Catalog
from engine.config import ConfigError, did_you_mean
from engine.exporters.report import TESTNET_NOTE, ExportFailed, ExportReport, ExportRequest
from engine.importers.progress import terminal_progress
from engine.instruments import load_instrument
from engine.units import timestamp_ns

if TYPE_CHECKING:
    from engine.importers.report import Progress

__all__ = ["ExportFailed", "ExportReport", "ExportRequest", "formats", "run_export"]

_FORMATS = {
    "hftbacktest": "engine.exporters.hftbacktest",
    "nautilus": "engine.exporters.nautilus",
    "parquet": "engine.exporters.parquet",
}


def formats() -> list[str]:
    """The names that `format` can have, sorted."""
    return sorted(_FORMATS)


def run_export(
    format: str,
    instrument: str,
    catalog: str | Path,
    path: str | Path,
    *,
    start: str | int | None = None,
    end: str | int | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Writes one instrument's rows in another format, whole or not at all, and tells what was done.

    `start` (inclusive) and `end` (exclusive) are receive times: ISO-8601, UTC where no zone is
    given, or ns since the epoch. Depth begins with the last snapshot received at or before `start`,
    so that a book stands then; the rows of that run-up keep their own times. What is at `path`
    already is refused unless `replace`. `progress` is called with the stage's name, bytes done and
    bytes in all; without it a terminal on stderr shows bars.

    Raises `ExportFailed`, `CatalogError` or `ConfigError` (all `ValueError`); what was at `path` is
    then as it was.
    """
    if format not in _FORMATS:
        raise ConfigError(
            f"format: expected one of {', '.join(formats())}, found '{format}'"
            f"{did_you_mean(format, _FORMATS)}"
        )
    if not str(path):
        raise ConfigError("path: expected the name of a file or folder, found none")
    start_ns, end_ns = _range(start, end)
    source = Catalog(catalog)
    manifest = source.manifest(instrument)
    began = time.perf_counter()
    with terminal_progress() if progress is None else nullcontext(progress) as shown:
        request = ExportRequest(
            instrument=load_instrument(instrument),
            catalog=source,
            manifest=manifest,
            path=Path(path),
            start_ns=start_ns,
            end_ns=end_ns,
            replace=replace,
            progress=shown,
        )
        request.check_definition()
        report: ExportReport = importlib.import_module(_FORMATS[format]).run(request)
    notes = [TESTNET_NOTE, *report.notes] if report.provenance == "testnet" else [*report.notes]
    others = [f"{count:,} {kind}" for kind, count in request.other_rows().items()]
    if others:
        notes.append(f"Left out, as no format here holds them: {', '.join(others)}.")
    return dataclasses.replace(report, notes=notes, wall_s=time.perf_counter() - began)


def _range(start: str | int | None, end: str | int | None) -> tuple[int | None, int | None]:
    try:
        start_ns = None if start is None else timestamp_ns(start, "start")
        end_ns = None if end is None else timestamp_ns(end, "end")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise ConfigError(f"end: expected a time after start, found {end}")
    return start_ns, end_ns
