"""What a check is to do, and what it found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from engine.config import ConfigError, RunConfig
from engine.units import duration_ns, timestamp_ns

__all__ = ["CheckConfig", "CheckedRun", "Report"]


def _doc(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass
class CheckConfig:
    """How the checks look. Times are text such as `10s` or `5m`."""

    cuts: int = field(
        default=20, metadata=_doc("look-ahead: places at which the data is cut off, one run each")
    )
    warmups: list[str] = field(
        default_factory=list,
        metadata=_doc("start-up: times of warm-up to try, [10s,1m]; none: by the length of data"),
    )
    compare_from: str | None = field(
        default=None,
        metadata=_doc("start-up: our clock from which commands are compared; null: half-way"),
    )
    settle: str | None = field(
        default=None,
        metadata=_doc("start-up: warm-up after which commands must be equal; null: the longest"),
    )
    share: float = field(
        default=0.5,
        metadata=_doc("sensitivity: share of the PnL that one assumption may decide"),
    )

    def __post_init__(self) -> None:
        if self.cuts < 1:
            raise ConfigError(f"check.cuts: expected at least 1, found {self.cuts}")
        if not self.share > 0:
            raise ConfigError(f"check.share: expected a number above 0, found {self.share}")
        try:
            for text in (*self.warmups, *([] if self.settle is None else [self.settle])):
                duration_ns(text, "check.warmups" if text in self.warmups else "check.settle")
            if self.compare_from is not None:
                timestamp_ns(self.compare_from, "check.compare_from")
        except ValueError as error:
            raise ConfigError(str(error)) from error


@dataclass
class CheckedRun(RunConfig):
    """The run to check, and how."""

    check: CheckConfig = field(default_factory=CheckConfig)

    def run_config(self) -> RunConfig:
        """The run alone, as `cobalt backtest` would have it."""
        names = (item.name for item in dataclasses.fields(RunConfig))
        return RunConfig(**{name: getattr(self, name) for name in names})


@dataclass
class Report:
    """The result of a check.

    `findings` are sentences about what is wrong, `notes` about what a reader should know, `rows`
    the table: one mapping a run. `difference` is the first command that differs: its time, handler,
    line, and both sides. `error` says why the check could not be made.
    """

    check: str
    strategy: str
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    difference: dict[str, Any] | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the check was made and found nothing."""
        return not self.findings and self.error is None

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"ok": self.ok, **dataclasses.asdict(self)}
