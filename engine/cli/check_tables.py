"""What `cobalt check` shows to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from engine.cli.tables import console
from engine.report_text import amount, number
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.check.settings import Report

__all__ = ["show_report"]

TITLES = {
    "determinism": "the same run again, in other processes",
    "lookahead": "the same run on data that is cut off",
    "startup": "the same run, begun later, against the one from the start",
    "sensitivity": "the same run under other assumptions",
}


def show_report(report: Report) -> None:
    """The table of a check, then what was found, in words."""
    out = console()
    title = f"check {report.check} of {report.strategy}: {TITLES[report.check]}"
    out.print(escape(title), style="italic", soft_wrap=True)
    if report.rows:
        table = Table()
        _ROWS[report.check](table, report)
        out.print(table)
    if report.error is not None:
        out.print(f"[red]not checked[/red]: {escape(report.error)}", soft_wrap=True)
    for text in report.findings:
        out.print(f"[red]found[/red]: {escape(text)}", soft_wrap=True)
    if report.ok:
        out.print("[green]nothing found[/green]")
    for text in report.notes:
        out.print(f"note: {escape(text)}", soft_wrap=True)
    out.print()


def _determinism(table: Table, report: Report) -> None:
    for name in ("run", "commands", "first that differs", "result"):
        table.add_column(name, justify="right" if name == "commands" else "left")
    for row in report.rows:
        differs, result = row["differs_ns"], row["result_sha256"]
        table.add_row(
            row["run"],
            number(row["commands"]),
            "none" if differs is None else f"[red]{utc_text(differs)}[/red]",
            "–" if result is None else f"{result[:16]}…",
        )


def _lookahead(table: Table, report: Report) -> None:
    for name in ("data before (our clock)", "commands equal", "first that differs", "handler"):
        table.add_column(name, justify="right" if name == "commands equal" else "left")
    for row in report.rows:
        differs = row["differs_ns"]
        table.add_row(
            utc_text(row["cut_ns"]),
            number(row["equal"]),
            "none" if differs is None else f"[red]{utc_text(differs)}[/red]",
            escape(row["handler"] or ""),
        )


def _startup(table: Table, report: Report) -> None:
    table.add_column("warm-up")
    for part in ("", "held back: "):
        for name in ("commands", "differ", "last after"):
            table.add_column(f"{part}{name}", justify="right")
    for row in report.rows:
        cells = [row["warmup"]]
        for prefix in ("", "held_"):
            share, last_s = row[f"{prefix}share"], row[f"{prefix}last_s"]
            cells += [
                number(row[f"{prefix}commands"]),
                "–" if share is None else f"{share:.1%}",
                "–" if last_s is None else f"{last_s:.1f} s",
            ]
        table.add_row(*cells)


def _sensitivity(table: Table, report: Report) -> None:
    table.add_column("assumption")
    table.add_column("is")
    for name in ("fills", "PnL", "change", "fees", "max drawdown", "Sharpe"):
        table.add_column(name, justify="right")
    base = report.rows[0]
    # The currencies in which the run as it is did something.
    traded = [name for name in base["pnl"] if base["pnl"][name] or base["fees"][name]]
    for row in report.rows:
        about = [escape(row["assumption"]), row["kind"] or ""]
        if row["error"] is not None:
            table.add_row(*about, f"[red]{escape(row['error'])}[/red]")
            continue
        change = "" if row["kind"] is None else _money(row, "change", traded, signed=True)
        table.add_row(
            *about,
            number(row["fills"]),
            _money(row, "pnl", traded, signed=True),
            change,
            _money(row, "fees", traded),
            _money(row, "max_drawdown", traded),
            ", ".join(number(row["sharpe"].get(name), digits=2) for name in traded),
        )


def _money(
    row: Mapping[str, Any], figure: str, currencies: Sequence[str], *, signed: bool = False
) -> str:
    return amount({name: row[figure].get(name) for name in currencies}, None, signed=signed)


_ROWS: Mapping[str, Callable[[Table, Any], None]] = {
    "determinism": _determinism,
    "lookahead": _lookahead,
    "startup": _startup,
    "sensitivity": _sensitivity,
}
