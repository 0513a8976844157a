"""Where profit came from: spread, price moves of what was held, fees and funding.

Between two looks at the market a position earns what the mid moved; a fill earns at once what its
price is better than the mid. So with V the value of a signed quantity at a price, m the mid at an
event and q what was held before it:

- spread: Σ V(m, fill) − V(px, fill) over the fills,
- inventory: Σ V(m, q) − V(m of the event before, q) over fills and samples,
- fees: what was paid, negative; liquidation fees among them, less what an insurance covered,
- funding: what was received, negative where it was paid,

and the four add up to the profit, because V is linear in the quantity and the last mid is the mark.
The spread of a fill without a mid is not known: its whole difference to the last mid before it
counts as inventory. H. R. Stoll, The Supply of Dealer Services in Securities Markets, Journal of
Finance 33 (1978), separates the two for a dealer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.statistics.fills import held_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.statistics.columns import Floats, Ints
    from engine.statistics.contracts import Contract
    from engine.statistics.fills import Fills

__all__ = ["AttributionFigures", "attribution_figures", "spread_and_inventory"]


@dataclass(frozen=True)
class AttributionFigures:
    """The parts of a profit; they sum to `pnl`. `fees` and `funding` are negative where paid."""

    spread: float | None
    inventory: float | None
    fees: float | None
    funding: float | None
    pnl: float | None
    fills_without_mid: int


def attribution_figures(
    begin: Sequence[float], end: Sequence[float], fills: Fills
) -> AttributionFigures:
    """The parts between two samples, each given as (spread, inventory, fees, funding, pnl); all are
    None where one of them is not known.
    """
    without_mid = int(np.isnan(fills.mid).sum())
    parts = np.asarray(end, np.float64) - np.asarray(begin, np.float64)
    if not np.isfinite(parts).all():
        return AttributionFigures(None, None, None, None, None, without_mid)
    spread, inventory, fees, funding, pnl = parts.tolist()
    return AttributionFigures(spread, inventory, fees, funding, pnl, without_mid)


def spread_and_inventory(
    contract: Contract, ts_ns: Ints, mid: Floats, held: Floats, fills: Fills
) -> tuple[Floats, Floats]:
    """Cumulative spread and inventory profit of one instrument at its samples.

    `mid` and `held` (signed quantity) are at the samples, whose times are `ts_ns`. A fill received
    at the time of a sample happened before it, as in the kernel. What is held earns from its first
    mid on; NaN at samples at which something is held that no mid was known for until then.
    """
    count = len(fills)
    times = np.concatenate((fills.ts_recv_ns, ts_ns))
    is_sample = np.arange(len(times)) >= count
    # Stable, so that fills keep their order and go before a sample of their time.
    order = np.argsort(times, kind="stable")
    marks = np.concatenate((fills.mid, mid))[order]
    after = np.concatenate((fills.position, held))[order]
    before = np.concatenate(([held_before(fills, held)], after[:-1]))
    signed = np.concatenate((fills.signed_qty, np.zeros(len(ts_ns))))[order]
    px = np.concatenate((fills.px, np.full(len(ts_ns), np.nan)))[order]
    marked = np.isfinite(marks)
    # Without any mid before it, a fill is marked at its own price.
    early = np.isnan(_last_known(marks))
    mark = _last_known(np.where(early, px, marks))
    earned = contract.move(signed, px, mark)
    mark_before = np.concatenate((mark[:1], mark[:-1]))
    moved = np.where(np.isnan(mark_before), 0.0, contract.move(before, mark_before, mark))
    spread = np.cumsum(np.where(marked, earned, 0.0))
    inventory = np.cumsum(moved + np.where(marked, 0.0, earned))
    inventory[np.isnan(mark) & (after != 0)] = np.nan
    at = is_sample[order]
    return spread[at], inventory[at]


def _last_known(values: Floats) -> Floats:
    """Each value, or the last one before it that is not NaN."""
    at = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)
