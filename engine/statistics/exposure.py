"""How much was held, and for how much of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.statistics.columns import Floats, Ints

__all__ = ["ExposureFigures", "exposure_figures", "time_in_market"]


@dataclass(frozen=True)
class ExposureFigures:
    """`time_in_market` is the share of the time on our clock in which anything was held, exact to
    the fill. Gross exposure is Σ |value of a position| at the mids, in the settlement currency, as
    sampled: its mean and its highest sample.
    """

    time_in_market: float | None
    gross_mean: float | None
    gross_max: float | None


def exposure_figures(in_market: float | None, gross: Floats) -> ExposureFigures:
    """The figures of `gross` at the samples; those that could not be valued (NaN) are left out."""
    valued = gross[np.isfinite(gross)]
    if not len(valued):
        return ExposureFigures(in_market, None, None)
    return ExposureFigures(in_market, float(valued.mean()), float(valued.max()))


def time_in_market(
    positions: Iterable[tuple[float, Ints, Floats]], start_ns: int, end_ns: int
) -> float | None:
    """The share of the time from `start_ns` to `end_ns` in which any position is not flat; None
    where that is no time.

    `positions` are, for each instrument, what was held before all, when it changed (ascending, our
    clock), and what was held from then on.
    """
    if end_ns <= start_ns:
        return None
    times, steps = [], []
    held_at_start = 0
    for before, ts_ns, position in positions:
        open_after = np.concatenate(([before], position)) != 0
        step = np.diff(open_after.astype(np.int64))
        inside = ts_ns > start_ns
        held_at_start += int(open_after[0]) + int(step[~inside].sum())
        times.append(np.minimum(ts_ns[inside], end_ns))
        steps.append(step[inside])
    at = np.concatenate([np.array([start_ns], np.int64), *times])
    step = np.concatenate([np.array([held_at_start], np.int64), *steps])
    order = np.argsort(at, kind="stable")
    open_count = np.cumsum(step[order])
    until = np.append(at[order][1:], end_ns)
    return float(((until - at[order]) * (open_count > 0)).sum() / (end_ns - start_ns))
