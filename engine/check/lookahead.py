"""Does a strategy know what is not known yet? The same run on data that ends earlier tells.

Whatever a strategy does before a time has to be the same when nothing after that time exists.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.catalog import Catalog
from engine.check.compare import AT_THE_END, comparable_until, first_difference, where
from engine.check.cutting import cut_catalog, first_row
from engine.check.runs import CheckError, Job, Outcome
from engine.check.settings import Report
from engine.run_feeds import BY_ORDERS
from engine.units import utc_text

if TYPE_CHECKING:
    from engine.check.record import Command
    from engine.check.session import Session

__all__ = ["lookahead"]

NOT_REPLAYED = {"bars", "quotes", "offbook"}
"""Kinds of data that no run is given; single orders only with the queue model that reads them."""


def lookahead(session: Session) -> Report:
    """Runs the strategy on data cut off at several places and compares what it did before each.

    The data is cut right behind the market data that led to a command, for commands of every
    handler: where the future is nearest, a strategy that looks into it has most to lose. Raises
    CheckError where that cannot be done.
    """
    base = session.base()
    catalog = Catalog(session.runner.root)
    cuts = _cuts(session, catalog, base.log.commands)
    jobs = []
    for number, (cut_ns, _) in enumerate(cuts):
        target = session.runner.work / f"cut-{number}"
        cut_catalog(catalog, cut_ns, target, session.runner.links_to)
        jobs.append(Job(f"data up to {utc_text(cut_ns)}", session.config, cut=target))
    report = Report("lookahead", session.config.strategy.target)
    firsts: list[dict[str, Any]] = []
    opened: set[str] = set()
    for cut, outcome in zip(cuts, session.runner.run(jobs), strict=True):
        opened.update(outcome.opened)
        row, difference = _compared(base, outcome, *cut)
        report.rows.append(row)
        if difference is not None:
            firsts.append(difference)
    if firsts:
        report.difference = min(firsts, key=lambda item: int(item["ts_ns"]))
        report.findings.append(_finding(report.difference, len(firsts), len(cuts)))
    if uncut := sorted(path for path in opened if Path(path).is_relative_to(catalog.root)):
        report.findings.append(
            "the strategy opened the catalog where this system does not let a check cut it off, so"
            f" it may know what was not known yet: {', '.join(uncut)}"
        )
    if not report.findings and not any(row["equal"] for row in report.rows):
        raise CheckError(
            "look-ahead cannot be checked: no command lies before what a cut takes away; take a"
            " longer range of data"
        )
    report.notes += _notes(session, base, sorted(opened - set(uncut)), report)
    return report


def _cuts(session: Session, catalog: Catalog, commands: list[Command]) -> list[tuple[int, int]]:
    """Where to cut (our clock, the first time that is gone), and the venue's time of the first row
    that is gone then, in order of time.
    """
    by_orders = session.config.exchange.queue == BY_ORDERS
    left_out = NOT_REPLAYED if by_orders else NOT_REPLAYED | {"orders"}
    streams = [
        (name, kind)
        for name in session.config.instrument
        for kind in sorted({entry.kind for entry in catalog.manifest(name).files} - left_out)
    ]
    begins = max(
        min(entry.ts_recv_first_ns for entry in catalog.manifest(name).run_files)
        for name in session.config.instrument
    )
    chosen = set()
    for ts_ns in _chosen(commands, begins, session.check.cuts):
        rows = [first_row(catalog, *stream, ts_ns) for stream in streams]
        chosen.add(1 + min((row[0] for row in rows if row is not None), default=ts_ns))
    cuts = []
    for cut_ns in sorted(chosen):
        rows = [first_row(catalog, *stream, cut_ns) for stream in streams]
        # With nothing to take away there is nothing to learn.
        if any(row is not None for row in rows):
            cuts.append((cut_ns, min(row[1] for row in rows if row is not None)))
    if not cuts:
        raise CheckError(
            "look-ahead cannot be checked: there is no command with market data before and after"
            f" it ({len(commands)} commands in all); take a longer range of data, or settings with"
            " which the strategy trades"
        )
    return cuts


def _chosen(commands: list[Command], begins_ns: int, count: int) -> list[int]:
    """Times of up to `count` commands: of every handler in turn, spread over the run."""
    times: dict[str, list[int]] = {}
    for command in commands:
        if command.handler != AT_THE_END and command.ts_ns > begins_ns:
            of_handler = times.setdefault(command.handler, [])
            if not of_handler or of_handler[-1] != command.ts_ns:
                of_handler.append(command.ts_ns)
    chosen: list[int] = []
    for turn, of_handler in enumerate(times.values()):
        share = len(range(turn, count, len(times)))
        picks = min(share, len(of_handler))
        chosen += [
            of_handler[(2 * pick + 1) * len(of_handler) // (2 * picks)] for pick in range(picks)
        ]
    return chosen


def _compared(
    base: Outcome, cut: Outcome, cut_ns: int, hidden_from_ns: int
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The row of a cut, and the first difference where there is one."""
    if cut.failure is not None and not cut.failure.is_strategys:
        cut.finished()
    until_ns = comparable_until([base.log, cut.log], hidden_from_ns)
    equal, found = first_difference(base.log.commands, cut.log.commands, until_ns)
    difference = None if found is None else found.to_dict("all_data", "cut_data")
    raised = cut.failure
    if raised is not None and (raised.handler == AT_THE_END or cut.log.end_ns > until_ns):
        # Where the runs need not be equal any more, only one of them may raise.
        raised = None
    if raised is not None and difference is None:
        place = {"ts_ns": cut.log.end_ns, "handler": raised.handler, "place": ""}
        difference = {**place, "all_data": "no error"}
    if raised is not None and difference is not None and (found is None or not found.theirs):
        difference["cut_data"] = raised.message
    if difference is not None:
        difference["cut_ns"] = cut_ns
    row = {
        "cut_ns": cut_ns,
        "equal": equal,
        "differs_ns": None if difference is None else difference["ts_ns"],
        "handler": None if difference is None else difference["handler"],
    }
    return row, difference


def _finding(first: dict[str, Any], differing: int, cuts: int) -> str:
    return (
        f"the strategy knew what was not known yet: with the data cut off at"
        f" {utc_text(first['cut_ns'])} it did something else before that time ({differing} of"
        f" {cuts} cuts differ). The first command that differs is at {utc_text(first['ts_ns'])} in"
        f" {where(first)}: with all data"
        f" {first['all_data']}, with cut data {first['cut_data']}"
    )


def _notes(session: Session, base: Outcome, opened: list[str], report: Report) -> list[str]:
    compared = max(row["equal"] for row in report.rows)
    notes = [
        f"{len(report.rows)} cuts; up to {compared:,} of {len(base.log.commands):,} commands were"
        " compared. Only what the strategy did on this data is checked"
    ]
    if opened:
        notes.append(
            "the strategy opened files that are not of the catalog and were not cut off, so what"
            f" they say of the future is not found here: {', '.join(opened)}"
        )
    if not session.runner.hides_all:
        notes.append(
            "this system does not let a check put cut data in the place of a catalog (Linux with"
            " user namespaces does): a strategy that opens the catalog by an absolute path in its"
            " code has seen all of it"
        )
    return notes
