"""Honesty checks: does a strategy know the future, does it matter when it begins, and what do its
results hinge on? Each check re-runs a configuration and compares.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.config import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.check.session import Session
    from engine.check.settings import CheckedRun, Report

__all__ = ["CHECKS", "run_checks"]

CHECKS = ("determinism", "lookahead", "startup", "sensitivity")
"""The checks, in the order in which `cobalt check all` makes them."""


def run_checks(
    config: CheckedRun, checks: Sequence[str] = CHECKS, *, tell: Callable[[str], None] = print
) -> Iterator[Report]:
    """Makes checks of a configuration, one after the other; see `docs/checks.md`.

    `tell` is given a line after each run. A check that cannot be made says so in its report
    (`error`). Raises ConfigError for an unknown check or settings that cannot be used, `CheckError`
    where no check can be made: a strategy that is not deterministic, or does nothing.
    """
    from engine.check.session import session
    from engine.check.settings import Report

    for name in checks:
        if name not in CHECKS:
            raise ConfigError(f"there is no check '{name}'{did_you_mean(name, CHECKS)}")
    jobs = os.cpu_count() or 1 if config.run.jobs is None else config.run.jobs
    if jobs < 1:
        raise ConfigError(f"run.jobs: expected at least 1, found {jobs}")
    with session(config.run_config(), config.check, jobs=jobs, tell=tell) as running:
        for name in checks:
            if name != "determinism":
                running.base()
            yield _made(name, running, Report(name, config.strategy.target))


def _made(name: str, session: Session, empty: Report) -> Report:
    """The report of a check, or `empty` with the reason why there is none."""
    from engine.check.runs import CheckError

    if name == "determinism":
        from engine.check.determinism import determinism as check
    elif name == "lookahead":
        from engine.check.lookahead import lookahead as check
    elif name == "startup":
        from engine.check.startup import startup as check
    else:
        from engine.check.sensitivity import sensitivity as check
    try:
        return check(session)
    except CheckError as error:
        empty.error = str(error)
        return empty
