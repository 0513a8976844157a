"""Importers: recordings and vendor files to the catalog, one module a format.

A new format is a module with a function `run(request)` and a line in `_FORMATS`; the module is
loaded when its format is asked for.
"""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import TYPE_CHECKING

from engine.config import ConfigError, did_you_mean
from engine.importers.progress import terminal_progress
from engine.importers.report import BrokenLine, ImportFailed, ImportReport, ImportRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.importers.report import Progress

__all__ = ["BrokenLine", "ImportFailed", "ImportReport", "ImportRequest", "formats", "run_import"]

_FORMATS = {
    "binance": "engine.importers.binance",
    "binance_archive": "engine.importers.binance_archive",
    "binance_exchange_info": "engine.importers.exchange_info",
    "bitstamp_l3": "engine.importers.bitstamp",
    "candles": "engine.importers.candles",
    "funding": "engine.importers.funding",
    "hftbacktest": "engine.importers.hftbacktest",
    "nautilus": "engine.importers.nautilus",
    "tardis": "engine.importers.tardis",
}


def formats() -> list[str]:
    """The names that `format` can have, sorted."""
    return sorted(_FORMATS)


def run_import(
    format: str,
    paths: Iterable[str],
    instrument: str,
    catalog: str,
    *,
    base_latency_ns: int = 0,
    clock_offset_ns: int | None = None,
    max_broken_share: float = 0.01,
    options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Imports files into a catalog, all or nothing, and tells what was done.

    `paths` are files or globs; `instrument` an instrument's id; `catalog` the catalog's folder.
    Receive times are shifted so that none is earlier than the venue's time plus `base_latency_ns`,
    or by `clock_offset_ns` where that is given. More than `max_broken_share` of broken lines fail
    the import. `options` are the format's own, by name. `progress` is called with the stage's
    name, bytes done and bytes in all; without it a terminal on stderr shows bars.

    Raises `ImportFailed`, `CatalogError` or `ConfigError` (all `ValueError`), or `OSError` for a
    file or folder that cannot be used; the catalog is then as it was.
    """
    if format not in _FORMATS:
        raise ConfigError(
            f"format: expected one of {', '.join(formats())}, found '{format}'"
            f"{did_you_mean(format, _FORMATS)}"
        )
    if not 0 <= max_broken_share <= 1:
        raise ConfigError(
            f"max_broken_share: expected a share from 0 to 1, found {max_broken_share}"
        )
    if base_latency_ns < 0:
        raise ConfigError(f"base_latency_ns: expected 0 or more, found {base_latency_ns}")
    with terminal_progress() if progress is None else nullcontext(progress) as shown:
        request = ImportRequest(
            paths=tuple(paths),
            instrument=instrument,
            catalog=catalog,
            base_latency_ns=base_latency_ns,
            clock_offset_ns=clock_offset_ns,
            max_broken_share=max_broken_share,
            progress=shown,
            options=dict(options or {}),
        )
        report: ImportReport = importlib.import_module(_FORMATS[format]).run(request)
    return report
