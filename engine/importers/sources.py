"""The files of a request: which they are, and the hashes that tell them apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from engine.catalog import SourceEntry
from engine.importers.binance import expand

if TYPE_CHECKING:
    from pathlib import Path

    from engine.importers.report import ImportRequest

__all__ = ["identified"]


def identified(request: ImportRequest) -> list[tuple[Path, SourceEntry]]:
    """The files that the request names, in the order of their names, each content once."""
    paths = expand(request.paths)
    total = sum(path.stat().st_size for path in paths)
    done = 0
    found: dict[str, tuple[Path, SourceEntry]] = {}
    for path in paths:
        request.progress("identify", done, total)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        done += path.stat().st_size
        found.setdefault(sha256, (path, SourceEntry(path.name, sha256)))
    request.progress("identify", total, total)
    return list(found.values())
