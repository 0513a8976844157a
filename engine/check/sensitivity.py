"""What do the results hinge on? The same run under other assumptions, one at a time, tells.

An assumption is made worse, or better, than the run has it; the strategy and the data stay as they
are. Results that vanish with a slightly worse assumption were made by the assumption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.check.assumptions import variants
from engine.check.runs import CheckError, Job
from engine.check.settings import Report
from engine.report_text import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.check.assumptions import Variant
    from engine.check.session import Session

__all__ = ["sensitivity"]

FIGURES = ("pnl", "fees", "max_drawdown", "sharpe")


def sensitivity(session: Session) -> Report:
    """Runs the strategy under each other assumption and compares the figures of the summaries.

    A finding is a profit of which another assumption leaves nothing, or takes more than
    `check.share`. Raises CheckError where there is no fill.
    """
    base = session.base().finished()
    if not base["fills"]:
        raise CheckError(
            "sensitivity cannot be checked: the run has no fill, so no assumption matters; take a"
            " longer range of data, or settings with which the strategy trades"
        )
    chosen = variants(session.config)
    outcomes = session.runner.run(
        [Job(variant.name, variant.config, record=False) for variant in chosen]
    )
    report = Report("sensitivity", session.config.strategy.target)
    report.rows.append(_row("as it is", None, base, base))
    for variant, outcome in zip(chosen, outcomes, strict=True):
        if (failure := outcome.failure) is not None:
            row = {"assumption": variant.name, "kind": variant.kind}
            report.rows.append({**row, "error": failure.message})
            told = report.findings if failure.is_strategys else report.notes
            told.append(f"with {variant.name} there is no result: {failure.message}")
            continue
        summary = outcome.finished()
        report.rows.append(_row(variant.name, variant.kind, summary, base))
        for currency in base["by_currency"]:
            _judge(report, variant, currency, base, summary, session.check.share)
    report.notes.append(
        "one assumption at a time is changed; several worse ones together cost more. Over a short"
        " range of data a few fills decide the figures"
    )
    return report


def _row(
    name: str, kind: str | None, summary: Mapping[str, Any], base: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by currency, and its PnL against that of the run as it is."""
    figures = {
        figure: {name: part[figure] for name, part in summary["by_currency"].items()}
        for figure in FIGURES
    }
    change = {
        currency: _change(figures["pnl"].get(currency), part["pnl"])
        for currency, part in base["by_currency"].items()
    }
    return {
        "assumption": name,
        "kind": kind,
        "orders": summary["orders"],
        "fills": summary["fills"],
        **figures,
        "change": change,
        "result_sha256": summary["result_sha256"],
        "error": None,
    }


def _change(pnl: float | None, base: float | None) -> float | None:
    return None if pnl is None or base is None else pnl - base


def _judge(
    report: Report,
    variant: Variant,
    currency: str,
    base: Mapping[str, Any],
    summary: Mapping[str, Any],
    share: float,
) -> None:
    """Adds what a variant tells about the PnL in one currency."""
    before = base["by_currency"][currency]["pnl"]
    after = summary["by_currency"].get(currency, {}).get("pnl")
    if before is None or after is None or before == after:
        return
    said = (
        f"{variant.hinge}: PnL {amount(before, currency, signed=True)}, with {variant.name}"
        f" {amount(after, currency, signed=True)}"
    )
    if before > 0 and after <= 0:
        report.findings.append(f"{said}; without this assumption there is no profit")
    elif before > 0 and before - after > share * before:
        report.findings.append(f"{said}; it makes {(before - after) / before:.0%} of the profit")
    elif before > 0 and after - before > share * before:
        report.notes.append(f"{said}; the run as it is does not count on that")
    elif before <= 0 < after:
        report.notes.append(f"{said}; the run as it is makes no profit")
