"""Does it matter when a strategy begins? The same run, begun later, tells.

Commands are compared over the same last part of the data in runs that began at different times
before it. As a position or an order of an earlier time alone makes runs differ, they are made again
with orders held back until that part begins: all runs then come to it with nothing, and what still
differs comes from the strategy's own memory, such as its indicators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.check.compare import Window, settled_commands, where
from engine.check.runs import CheckError, Job, Outcome
from engine.check.settings import Report
from engine.units import duration_ns, timestamp_ns, utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.check.record import RunLog
    from engine.check.session import Session
    from engine.config import RunConfig

__all__ = ["startup"]

SECOND_NS = 1_000_000_000
LADDER = (
    *("1s", "2s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m"),
    *("1h", "2h", "5h", "12h", "1d", "2d", "5d", "10d", "30d"),
)
"""Times of warm-up to choose from."""
RUNGS = 5


@dataclass(frozen=True)
class _Rung:
    """A time of warm-up, and its run against the base: as it is, and with orders held back.

    `held` is None where the run as it is does not differ, or nothing can be seen with orders held
    back.
    """

    warmup: str
    as_it_is: Window
    held: Window | None

    @property
    def telling(self) -> Window:
        """The comparison that a verdict rests on."""
        return self.as_it_is if self.held is None else self.held

    def to_dict(self, from_ns: int) -> dict[str, Any]:
        """The row of the table; times are seconds into the part compared."""
        row: dict[str, Any] = {"warmup": self.warmup}
        for prefix, window in (("", self.as_it_is), ("held_", self.held)):
            row[f"{prefix}commands"] = None if window is None else window.theirs
            row[f"{prefix}share"] = None if window is None else window.share
            last_ns = None if window is None else window.last_ns
            row[f"{prefix}last_s"] = None if last_ns is None else (last_ns - from_ns) / SECOND_NS
        return row


def startup(session: Session) -> Report:
    """Runs the strategy from later times on and compares what it does in the last part of the data.

    Raises CheckError where there is too little data, or nothing is done in that part.
    """
    base = session.base()
    from_ns = _compared_from(session, base.log)
    warmups = _warmups(session, from_ns - base.log.start_ns)
    configs = {
        text: session.changed("data", start=str(from_ns - duration_ns(text))) for text in warmups
    }
    runs = session.runner.run(
        [Job(f"begun {text} before", config) for text, config in configs.items()]
    )
    windows = {text: _window(base, run, from_ns) for text, run in zip(configs, runs, strict=True)}
    held = _held_back(
        session, {text: configs[text] for text in warmups if windows[text].differing}, from_ns
    )
    rungs = [_Rung(text, windows[text], held.get(text)) for text in warmups]
    report = Report("startup", session.config.strategy.target)
    report.rows = [rung.to_dict(from_ns) for rung in rungs]
    _judge(report, session, rungs, from_ns)
    return report


def _held_back(
    session: Session, configs: Mapping[str, RunConfig], from_ns: int
) -> dict[str, Window]:
    """Comparisons with orders held back, by warm-up: not of runs that raised or did nothing."""
    if not configs:
        return {}
    begun = {
        "at the start": session.config,
        **{f"{text} before": configs[text] for text in configs},
    }
    base, *runs = session.runner.run(
        [
            Job(f"begun {name}, orders held back", config, trade_from_ns=from_ns)
            for name, config in begun.items()
        ]
    )
    if base.failure is not None and base.failure.is_strategys:
        return {}
    base.finished()
    found = {
        text: _window(base, run, from_ns)
        for text, run in zip(configs, runs, strict=True)
        if run.failure is None or not run.failure.is_strategys
    }
    return {text: window for text, window in found.items() if window.ours or window.theirs}


def _compared_from(session: Session, log: RunLog) -> int:
    text = session.check.compare_from
    middle_ns = log.start_ns + (log.end_ns - log.start_ns) // 2
    from_ns = middle_ns if text is None else timestamp_ns(text, "check.compare_from")
    if not log.start_ns < from_ns < log.end_ns:
        raise CheckError(
            f"check.compare_from: expected a time in the run, between {utc_text(log.start_ns)} and"
            f" {utc_text(log.end_ns)}, found {utc_text(from_ns)}"
        )
    if not any(command.ts_ns >= from_ns for command in log.commands):
        raise CheckError(
            f"start-up cannot be checked: the strategy gives no command from {utc_text(from_ns)}"
            " on; set check.compare_from to an earlier time or take a longer range of data"
        )
    return from_ns


def _warmups(session: Session, room_ns: int) -> list[str]:
    """The times of warm-up to try, ascending, that of check.settle among them."""
    check = session.check
    fitting = [text for text in LADDER if duration_ns(text) < room_ns]
    wanted = {*(check.warmups or fitting[-RUNGS:]), *([check.settle] if check.settle else [])}
    warmups = sorted(wanted, key=duration_ns)
    if not warmups or duration_ns(warmups[-1]) >= room_ns:
        found = f"a warm-up of {warmups[-1]}" if warmups else "no time for a warm-up"
        raise CheckError(
            f"start-up cannot be checked: {room_ns / SECOND_NS:.1f} s of data lie before the part"
            f" that is compared, found {found}; take a longer range of data, a later"
            " check.compare_from or shorter check.warmups"
        )
    return warmups


def _window(base: Outcome, run: Outcome, from_ns: int) -> Window:
    run.finished()
    return settled_commands(base.log, run.log, from_ns)


def _judge(report: Report, session: Session, rungs: list[_Rung], from_ns: int) -> None:
    settle_ns = duration_ns(session.check.settle or rungs[-1].warmup)
    late = [rung for rung in rungs if duration_ns(rung.warmup) >= settle_ns]
    worst = next((rung for rung in reversed(late) if rung.telling.differing), None)
    if worst is not None:
        report.difference = _first(worst.telling)
        report.findings.append(_finding(worst, report.difference, from_ns))
    elif settled := _settled(rungs):
        report.notes.append(
            f"with a warm-up of {settled} or more, commands from {utc_text(from_ns)} on are equal"
        )
    differing = [rung for rung in rungs if rung.as_it_is.differing]
    by_account = [rung.warmup for rung in differing if rung.held and not rung.held.differing]
    if by_account:
        report.notes.append(
            f"as it is, the run differs after a warm-up of {', '.join(by_account)}, and does not"
            " with orders held back: that comes from positions and orders of before, not from"
            " indicators"
        )
    if any(rung.held is None for rung in differing):
        report.notes.append(
            "with orders held back the strategy raised or did nothing, so positions and orders of"
            " before cannot be told from indicators"
        )
    report.notes.append(
        "everything is held against the run from the start, which has no more warm-up than the data"
        " before the part compared: what fades more slowly is not seen. Only the first difference"
        " has one cause; those behind it may follow from other fills"
    )


def _settled(rungs: list[_Rung]) -> str | None:
    """The shortest warm-up from which on nothing differs in the runs as they are."""
    settled = None
    for rung in reversed(rungs):
        if rung.as_it_is.differing:
            break
        settled = rung.warmup
    return settled


def _first(window: Window) -> dict[str, Any]:
    assert window.first is not None
    return window.first.to_dict("from_the_start", "begun_later")


def _finding(rung: _Rung, first: dict[str, Any], from_ns: int) -> str:
    window = rung.telling
    text = (
        f"after a warm-up of {rung.warmup} it still matters when the strategy began:"
        f" {window.differing:,} of {window.ours + window.theirs:,} commands of two runs from"
        f" {utc_text(from_ns)} on have no equal in the other"
        + (", with nothing held by either when that part begins" if rung.held else "")
        + f". The first is at {utc_text(first['ts_ns'])} in {where(first)}:"
        f" begun at the start {first['from_the_start']}, begun later {first['begun_later']}"
    )
    if first["handler"].startswith("on_timer"):
        text += (
            ". A timer that is set with every= alone counts from the start of the run; with at= a"
            " whole minute it does not"
        )
    return text
