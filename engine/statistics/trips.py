"""Round trips: from flat to flat again, in one instrument.

A fill that turns a position over ends one trip and begins the next, its fee split by quantity. What
is open at the end of a run, or was open at its start, is no round trip. Profit is after fees and
without funding, which belongs to time and not to trades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from engine.statistics.fills import Quantiles, held_before, quantiles

if TYPE_CHECKING:
    from engine.statistics.columns import Bools, Floats, Ints
    from engine.statistics.fills import Fills

__all__ = ["TripFigures", "Trips", "join_trips", "round_trips", "trip_figures"]


@dataclass(frozen=True)
class Trips:
    """One row a round trip, in order of its end; times are the venue's at the first and last fill,
    `ts_done_ns` is our clock when the last fill was received.
    """

    ts_begin_ns: Ints
    ts_end_ns: Ints
    ts_done_ns: Ints
    pnl: Floats
    is_long: Bools

    def __len__(self) -> int:
        return len(self.pnl)

    def where(self, rows: Bools) -> Trips:
        """Some of the trips."""
        return Trips(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


@dataclass(frozen=True)
class TripFigures:
    """Round trips in numbers, amounts in the settlement currency.

    `hit_rate` is the share of trips with a profit after fees; `profit_factor` the profits over the
    losses (R. Pardo, The Evaluation and Optimization of Trading Strategies, 2008), None without a
    loss.
    """

    count: int
    hit_rate: float | None
    profit_factor: float | None
    pnl_mean: float | None
    profit_mean: float | None
    loss_mean: float | None
    holding_s: Quantiles


def round_trips(fills: Fills) -> Trips:
    """The round trips of the fills of one instrument."""
    rows: list[tuple[int, int, int, float, bool]] = []
    held = held_before(fills, np.empty(0))
    # Where the first fill found a position, its trip began before the run.
    begin_ns, pnl = 0, math.nan
    for event_ns, recv_ns, signed, position, realized, fee in zip(
        fills.ts_event_ns.tolist(),
        fills.ts_recv_ns.tolist(),
        fills.signed_qty.tolist(),
        fills.position.tolist(),
        fills.realized.tolist(),
        fills.fee.tolist(),
        strict=True,
    ):
        turned = held * position < 0
        # The share of the fill that closes what was held.
        closing = min(abs(held / signed), 1.0) if turned else 1.0
        if held == 0:
            begin_ns, pnl = event_ns, 0.0
        pnl += realized - fee * closing
        if held != 0 and (position == 0 or turned):
            rows.append((begin_ns, event_ns, recv_ns, pnl, held > 0))
            begin_ns, pnl = event_ns, -fee * (1 - closing)
        held = position
    whole = [row for row in rows if not math.isnan(row[3])]
    return Trips(
        ts_begin_ns=np.array([row[0] for row in whole], np.int64),
        ts_end_ns=np.array([row[1] for row in whole], np.int64),
        ts_done_ns=np.array([row[2] for row in whole], np.int64),
        pnl=np.array([row[3] for row in whole], np.float64),
        is_long=np.array([row[4] for row in whole], np.bool_),
    )


def join_trips(parts: list[Trips]) -> Trips:
    """The trips of several instruments."""
    joined = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(Trips)
    }
    order = np.argsort(joined["ts_done_ns"], kind="stable")
    return Trips(**{name: column[order] for name, column in joined.items()})


def trip_figures(trips: Trips) -> TripFigures:
    """The figures of some round trips; those that need a trip are None without one."""
    pnl = trips.pnl
    won, lost = pnl[pnl > 0], pnl[pnl < 0]
    return TripFigures(
        count=len(pnl),
        hit_rate=len(won) / len(pnl) if len(pnl) else None,
        profit_factor=float(won.sum() / -lost.sum()) if len(lost) else None,
        pnl_mean=_mean(pnl),
        profit_mean=_mean(won),
        loss_mean=_mean(lost),
        holding_s=quantiles((trips.ts_end_ns - trips.ts_begin_ns) / 1e9),
    )


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
