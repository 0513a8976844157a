"""Does a strategy do the same again? Two processes that differ in what must not matter tell.

A process has an order of sets of its own, other addresses, another time and another place among the
threads; where the environment was asked for anything, one run has it changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.check.compare import first_difference, where
from engine.check.runs import Job, Outcome
from engine.check.settings import Report
from engine.journal import KINDS, Journal
from engine.journal_text import RecordText
from engine.units import utc_text

if TYPE_CHECKING:
    from pathlib import Path

    from engine.check.calls import Call
    from engine.check.session import Session
    from engine.journal import Record

__all__ = ["determinism"]

_MEANING = {
    "clock": "the wall clock; take time from self.clock",
    "chance": "a random source that the run's seed does not decide; take chance from self.rng",
    "hash": "hash(), which is another one for text in each process",
    "address": "id(), which is an address: another one in each process",
    "process": "the number of the process",
    "thread": "a thread, which is never as fast as the last time",
    "network": "the network",
    "environment": "the environment",
}
_NAMED = 5


def determinism(session: Session) -> Report:
    """Runs the strategy twice in processes that differ, and says where it does something else and
    which of its calls may have done it.
    """
    jobs = [
        Job("the run as it is", session.config, hash_seed=1, trace=True),
        Job("in another process, sets in another order", session.config, hash_seed=2),
    ]
    first, other = session.runner.run(jobs)
    base = first.finished()
    report = Report("determinism", session.config.strategy.target)
    names = {job.name: outcome for job, outcome in zip(jobs, (first, other), strict=True)}
    again = changed = None
    if not _is_same(first, other):
        job = Job("in another process, sets in the same order", session.config, hash_seed=1)
        (again,) = session.runner.run([job])
        names[job.name] = again
    variables = _changed([call.name for call in first.calls if call.what == "environment"])
    if variables and (again is None or _is_same(first, again)):
        job = Job("the environment changed", session.config, hash_seed=1, environment=variables)
        (changed,) = session.runner.run([job])
        names[job.name] = changed
    for name, outcome in names.items():
        _, difference = first_difference(first.log.commands, outcome.log.commands, _LAST)
        report.rows.append(
            {
                "run": name,
                "commands": len(outcome.log.commands),
                "differs_ns": None if difference is None else difference.first.ts_ns,
                "result_sha256": None if outcome.summary is None else _result(outcome),
            }
        )
    if again is not None:
        kind = "hash" if _is_same(first, again) else "itself"
        _found(report, first, other if kind == "hash" else again, kind)
    if changed is not None and not _is_same(first, changed):
        _found(report, first, changed, "environment")
    if not report.findings:
        report.notes += [f"asks for {_MEANING[call.what]}: {call}" for call in _telling(first)]
    report.notes.append(f"result_sha256 {base['result_sha256']}")
    return report


_LAST = 2**63 - 1


def _is_same(left: Outcome, right: Outcome) -> bool:
    same = left.summary is not None and right.summary is not None
    return same and _result(left) == _result(right)


def _result(outcome: Outcome) -> str:
    return str(outcome.finished()["result_sha256"])


def _telling(outcome: Outcome) -> list[Call]:
    """Calls whose answers differ between processes, which what the environment says does not."""
    return [call for call in outcome.calls if call.what != "environment"]


def _changed(names: list[str]) -> dict[str, str]:
    """Variables of the environment with other values than now."""
    found = {}
    for name in dict.fromkeys(names):
        value = os.environ.get(name, "0")
        found[name] = str(int(value) + 1) if value.isdecimal() else f"{value}x"
    return found


def _found(report: Report, first: Outcome, second: Outcome, kind: str) -> None:
    """Says where two runs part, and what may have done it."""
    if second.failure is not None:
        where_ns, what = 0, f"the second run failed: {second.failure.message}"
    else:
        where_ns, what = _parted(report, first, second)
    until = where_ns or _LAST
    kinds = {"hash": ("hash",), "environment": ("environment",)}.get(kind)
    calls = [
        call
        for call in first.calls
        if call.first_ns <= until
        and (call.what in kinds if kinds else call.what not in ("hash", "environment"))
    ]
    if kind == "hash":
        cause = "the order of a set, or hash() of text: sorted(…) has one order"
    elif kind == "environment":
        cause = _MEANING["environment"]
    elif calls:
        cause = "; ".join(dict.fromkeys(_MEANING[call.what] for call in calls))
    else:
        cause = (
            "nothing that can be seen: the order of a set of objects goes by their addresses, and"
            " libraries may ask by themselves"
        )
    named = ", ".join(map(str, calls[-_NAMED:]))
    called = f". Asked before: {named}" if named else ""
    report.findings.append(
        f"two runs on the same data differ: {what}. The cause is {cause}{called}"
    )


def _parted(report: Report, first: Outcome, second: Outcome) -> tuple[int, str]:
    """Our clock at the first event that differs, and both sides in words."""
    _, found = first_difference(first.log.commands, second.log.commands, _LAST)
    records = _records(first, second)
    if found is not None and report.difference is None:
        report.difference = found.to_dict("first", "again")
    said = None if found is None else found.to_dict("first", "again")
    texts = []
    if said is not None:
        texts.append(
            f"the first command that differs is at {utc_text(said['ts_ns'])} in {where(said)}:"
            f" {said['first']}, the second time {said['again']}"
        )
    if records is not None:
        left, right = records
        step = min(record.step for record in records if record is not None)
        texts.append(f"the first event of the journals that differs is in step {step}")
        if said is None:
            text = RecordText(Journal(_folder(first)))
            sides = ["nothing" if one is None else text.say(one) for one in (left, right)]
            texts[-1] += f": {sides[0]}, the second time {sides[1]}"
    times = [record.ts_ns for record in records or () if record is not None]
    ts_ns = min(times, default=0) if said is None else said["ts_ns"]
    return ts_ns, "; ".join(texts)


def _records(first: Outcome, second: Outcome) -> tuple[Record | None, Record | None] | None:
    """The first records of two journals that differ, of those that count."""
    counted = [kind.name for kind in KINDS.values() if kind.counts]
    left, right = (Journal(_folder(outcome)).records(counted) for outcome in (first, second))
    while True:
        one, other = next(left, None), next(right, None)
        if one is None and other is None:
            return None
        if one is None or other is None or _content(one) != _content(other):
            return one, other


def _content(record: Record) -> tuple[int, str, object]:
    return record.ts_ns, record.kind, record.content


def _folder(outcome: Outcome) -> Path:
    assert outcome.folder is not None
    return outcome.folder
