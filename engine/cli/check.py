"""`cobalt check NAME`: re-runs a strategy to see whether its results can be believed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from engine.check import CHECKS, run_checks
from engine.check.settings import CheckedRun
from engine.cli.backtest import chosen_instrument
from engine.cli.compose import RUN_GROUPS, compose, parse_override
from engine.config import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.cli.compose import Override

__all__ = ["CHECK_GROUPS", "run"]

CHECK_GROUPS = (*RUN_GROUPS, "check")


def run(arguments: Sequence[str]) -> int:
    """Runs the command; 1 where a check found something or could not be made."""
    names, overrides = _split(arguments)
    output = [item.value for item in overrides if item.key == "output"]
    overrides = [item for item in overrides if item.key != "output"]
    if output and output[-1] not in ("text", "json"):
        raise ConfigError(f"output: expected text or json, found '{output[-1]}'")
    config = compose("check", CheckedRun, overrides, groups=CHECK_GROUPS)
    if not config.instrument:
        config.instrument = chosen_instrument(config.catalog)
    ok = True
    for report in run_checks(config, names, tell=_tell):
        ok = ok and report.ok
        if output and output[-1] == "json":
            print(json.dumps(report.to_dict(), allow_nan=False), flush=True)
        else:
            from engine.cli.check_tables import show_report

            show_report(report)
    return 0 if ok else 1


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], list[Override]]:
    """The checks asked for, and the settings behind them."""
    choices = (*CHECKS, "all")
    name = arguments[0] if arguments else ""
    if not name or "=" in name:
        raise ConfigError(
            f"expected a check ({', '.join(choices)}), found {name or 'none'};"
            " write cobalt check all strategy=…"
        )
    if name not in choices:
        raise ConfigError(f"there is no check '{name}'{did_you_mean(name, choices)}")
    return CHECKS if name == "all" else (name,), [parse_override(item) for item in arguments[1:]]


def _tell(line: str) -> None:
    print(f"cobalt: {line}", file=sys.stderr)
