"""The equity of a run in one reporting currency.

Each currency's equity is converted at the mids of the run's own instruments, sample by sample; the
path of conversion is part of the figures. Where a rate is missing there is no equity, and where
there is no path no figures: USD is not taken for USDT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.statistics.contracts import conversion_path
from engine.statistics.curve import CurveFigures, curve_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.statistics.columns import Floats, Ints
    from engine.statistics.contracts import Contract

__all__ = ["ReportingFigures", "common_currency", "equity_in", "reporting_figures"]


@dataclass(frozen=True)
class ReportingFigures:
    """The whole account in one currency. `paths` are the instruments that convert each currency,
    None where there are none. What the account began with is valued at the first sample at which
    all rates are known, so the profit has in it what its currencies gained against each other.
    """

    currency: str
    equity: CurveFigures | None
    paths: dict[str, list[str] | None] = field(default_factory=dict)


def common_currency(currencies: Iterable[str], known: Mapping[str, Contract]) -> str | None:
    """One of some currencies into which all others can be converted, if there is one: the first
    that is no instrument's base, such as USDT before BTC, else the first.
    """
    held = list(currencies)
    bases = {contract.base for contract in known.values()}
    for target in sorted(held, key=lambda name: name in bases):
        if all(conversion_path(source, target, known) is not None for source in held):
            return target
    return None


def reporting_figures(
    currency: str,
    ts_ns: Ints,
    equity: Mapping[str, Floats],
    initial: Mapping[str, float],
    mids: Mapping[str, Floats],
    known: Mapping[str, Contract],
    *,
    start_ns: int,
    every_ns: int,
) -> ReportingFigures:
    """The figures of `equity` by currency at the samples `ts_ns`, in `currency`.

    `initial` is what each currency began with; `mids` are the instruments' at the samples.
    """
    found = {name: conversion_path(name, currency, known) for name in equity}
    paths = {
        name: None if path is None else [instrument for instrument, _ in path]
        for name, path in found.items()
    }
    total = equity_in(currency, equity, mids, known)
    begin = equity_in(
        currency, {name: np.full(len(ts_ns), initial[name]) for name in equity}, mids, known
    )
    if total is None or begin is None:
        return ReportingFigures(currency, None, paths)
    valued = begin[np.isfinite(begin)]
    first = float(valued[0]) if len(valued) else np.nan
    figures = curve_figures(ts_ns, total, first, start_ns=start_ns, every_ns=every_ns)
    return ReportingFigures(currency, figures, paths)


def equity_in(
    currency: str,
    equity: Mapping[str, Floats],
    mids: Mapping[str, Floats],
    known: Mapping[str, Contract],
) -> Floats | None:
    """The sum of `equity` by currency in one currency, at the same samples as `mids`; NaN where a
    rate is missing, None where there is no path for one of them.
    """
    total: Floats | None = None
    for name, amounts in equity.items():
        path = conversion_path(name, currency, known)
        if path is None:
            return None
        converted = amounts
        for instrument, multiplied in path:
            converted = converted * mids[instrument] if multiplied else converted / mids[instrument]
        total = converted if total is None else total + converted
    return total
