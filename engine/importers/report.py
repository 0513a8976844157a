"""What an import is asked for and what it tells at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.config import ConfigError, did_you_mean

__all__ = ["BrokenLine", "ImportFailed", "ImportReport", "ImportRequest", "Progress"]

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the bytes done and the bytes in all."""


class ImportFailed(ValueError):
    """The import was given up and the catalog is as it was; the message says why."""


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}" if names else "no option for this format"


@dataclass(frozen=True)
class ImportRequest:
    """The arguments of `engine.importers.run_import`, checked; `options` are the format's own."""

    paths: tuple[str, ...]
    instrument: str
    catalog: str
    base_latency_ns: int
    clock_offset_ns: int | None
    max_broken_share: float
    progress: Progress
    options: Mapping[str, str] = field(default_factory=dict)

    def check_options(self, known: Sequence[str]) -> None:
        """Raises `ConfigError` for an option that the format does not know."""
        for name in self.options:
            if name not in known:
                hint = did_you_mean(name, known, show_all=0)
                raise ConfigError(f"options.{name}: expected {_one_of(known)}{hint}")


@dataclass(frozen=True)
class BrokenLine:
    """A line (counted from 1) that could not be used, why, and its first characters."""

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class ImportReport:
    """What an import did. `changed` is False where there was nothing to do; `notes` are sentences
    for the user, `rows` rows by data kind, `messages` venue messages by name, `counts` how often
    something unusual happened, by name; times are ns, the first and last on the corrected clock.
    """

    instrument: str
    changed: bool
    provenance: str = "recorded"
    files: list[str] = field(default_factory=list)
    files_known: list[str] = field(default_factory=list)
    lines: int = 0
    broken: int = 0
    broken_first: list[BrokenLine] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    clock_offset_ns: int = 0
    latency_ns_min: int | None = None
    ts_recv_first_ns: int | None = None
    ts_recv_last_ns: int | None = None
    text_bytes: int = 0
    bytes_written: int = 0
    wall_s: float = 0.0
    written: str | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return dataclasses.asdict(self)

    def lines_of_text(self) -> list[str]:
        """The report in words, one sentence a line."""
        broken = [f"broken: {line}" for line in self.broken_first[:5]]
        if self.broken > len(broken):
            broken.append(f"broken: {self.broken - len(broken):,} more, see the manifest")
        return [*self.notes, *broken]
