"""The files of a request: which they are, the hashes that tell them apart, and which are new."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.catalog import SourceEntry
from engine.importers.report import ImportFailed, ImportReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.catalog import Manifest
    from engine.importers.report import ImportRequest

__all__ = ["Sources", "expand", "identified"]


@dataclass(frozen=True)
class Sources:
    """Files to import, in the order of their names, each content once; and the names of those that
    the catalog has already.
    """

    new: list[tuple[Path, SourceEntry]]
    known: list[str]

    def unchanged(self, instrument: str) -> ImportReport:
        """The report where no file is new."""
        return ImportReport(
            instrument,
            changed=False,
            files_known=self.known,
            notes=["Every file is in the catalog already: nothing changed."],
        )

    def completed(self, report: ImportReport, wall_s: float) -> ImportReport:
        """A report with the files that were left out, and the time taken."""
        notes = [*report.notes]
        if self.known:
            notes.append(f"Already in the catalog and left out: {', '.join(self.known)}.")
        return dataclasses.replace(report, files_known=self.known, notes=notes, wall_s=wall_s)


def expand(patterns: Iterable[str]) -> list[Path]:
    """The files that paths and globs name, each once, in the order of their names."""
    found: dict[Path, Path] = {}
    for pattern in patterns:
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not matches:
            raise ImportFailed(f"path: no file is named {pattern} or matches it")
        for match in matches:
            path = Path(match)
            if path.is_dir():
                raise ImportFailed(f"path: {path} is a folder; name its files, as in {path}/*.gz")
            found.setdefault(path.resolve(), path)
    if not found:
        raise ImportFailed("path: expected at least one file, found none")
    return list(found.values())


def identified(request: ImportRequest, old: Manifest | None) -> Sources:
    """The files that a request names, beside what the catalog has of the instrument."""
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
    known = {source.sha256 for entry in (old.imports if old else []) for source in entry.sources}
    return Sources(
        new=[file for sha256, file in found.items() if sha256 not in known],
        known=[path.name for sha256, (path, _) in found.items() if sha256 in known],
    )
