"""Figures of fills: value, cost against the arrival mid, markouts, and the wait in the queue.

Amounts are in the settlement currency, signed by what they do to the account where nothing else is
said. A share in basis points (bps) over several fills is Σ amount ÷ Σ value of the fills for which
the amount is known, so large fills count more, and amounts and shares say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from engine.statistics.columns import MISSING, by_instrument, floats, ints, is_value, known
from engine.statistics.contracts import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from engine.statistics.columns import Bools, Floats, Ints
    from engine.statistics.contracts import Contract

__all__ = [
    "HORIZONS",
    "Fills",
    "Markout",
    "Quantiles",
    "Slippage",
    "held_before",
    "markouts",
    "quantiles",
    "queue_wait",
    "read_fills",
    "share",
    "slippage",
]

HORIZONS = {
    "fill": "mid",
    "100ms": "mid_100ms",
    "1s": "mid_1s",
    "10s": "mid_10s",
    "60s": "mid_60s",
}
"""Horizons of markouts and the columns of `fills` that hold the mid at each, on our clock."""


@dataclass(frozen=True)
class Fills:
    """One row a fill, in order of receipt: what the table has, joined with its order, in money.

    `spread` is what the fill price is better than the mid at each horizon, for the quantity filled:
    shape (fills, horizons). `cost` is what it is worse than the arrival mid, `arrival_value` the
    value at that mid. All NaN where a mid is not known. `ts_queue_ns` is when the order took its
    place in the queue, by the venue's clock; `MISSING` for one that never rested.
    """

    ts_event_ns: Ints
    ts_recv_ns: Ints
    instrument: Ints
    signed_qty: Floats
    maker: Bools
    fee: Floats
    realized: Floats
    position: Floats
    px: Floats
    mid: Floats
    value: Floats
    spread: Floats
    cost: Floats
    arrival_value: Floats
    ts_queue_ns: Ints

    def __len__(self) -> int:
        return len(self.ts_recv_ns)

    def where(self, rows: Bools) -> Fills:
        """Some of the fills."""
        return Fills(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def read_fills(
    tables: Mapping[str, pa.Table],
    instruments: Sequence[str],
    known_contracts: Mapping[str, Contract],
) -> Fills:
    """The fills of a run from its tables; `instrument` is the index in `instruments`."""
    fills = tables["fills"]
    count = fills.num_rows
    px, qty = floats(fills, "px"), floats(fills, "qty")
    signed = np.where(is_value(fills, "side", "buy"), qty, -qty)
    mids = np.column_stack([floats(fills, name) for name in HORIZONS.values()])
    arrival = _arrival_mids(fills, tables["orders"])
    index = np.zeros(count, np.int64)
    value, cost, arrival_value = (np.full(count, np.nan) for _ in range(3))
    spread = np.full(mids.shape, np.nan)
    for name, here in by_instrument(fills):
        contract = known_contracts.get(name, UNKNOWN)
        index[here] = instruments.index(name)
        value[here] = np.abs(contract.value(px[here], qty[here]))
        cost[here] = -contract.move(signed[here], px[here], arrival[here])
        arrival_value[here] = np.abs(contract.value(arrival[here], qty[here]))
        spread[here] = contract.move(signed[here, None], px[here, None], mids[here])
    return Fills(
        ts_event_ns=ints(fills, "ts_event_ns"),
        ts_recv_ns=ints(fills, "ts_recv_ns"),
        instrument=index,
        signed_qty=signed,
        maker=is_value(fills, "liquidity", "maker"),
        fee=floats(fills, "fee"),
        realized=floats(fills, "realized_pnl"),
        position=floats(fills, "position"),
        px=px,
        mid=mids[:, 0],
        value=value,
        spread=spread,
        cost=cost,
        arrival_value=arrival_value,
        ts_queue_ns=_queued(fills, tables.get("placements")),
    )


def held_before(fills: Fills, held: Floats) -> float:
    """What was held before the first of some fills of one instrument; without a fill the first of
    `held`, else 0.
    """
    if not len(fills):
        return float(held[0]) if len(held) else 0.0
    before = float(fills.position[0] - fills.signed_qty[0])
    # Both are exact in lots, not as floats.
    return before if abs(before) > 1e-9 * abs(float(fills.signed_qty[0])) else 0.0


def _arrival_mids(fills: pa.Table, orders: pa.Table) -> Floats:
    """The mid at which the order of each fill was given."""
    ids, wanted = ints(orders, "order_id"), ints(fills, "order_id")
    if not len(ids):
        return np.full(len(wanted), np.nan)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = order[at]
    return np.where(ids[rows] == wanted, floats(orders, "arrival_mid")[rows], np.nan)


def _queued(fills: pa.Table, placements: pa.Table | None) -> Ints:
    """When the order of each fill last took a new place in the queue before it: when it first
    rested, and with each change of its price or to a larger quantity.
    """
    wanted = ints(fills, "order_id")
    if placements is None:
        return np.full(len(wanted), MISSING, np.int64)
    ids, times = ints(placements, "order_id"), ints(placements, "ts_event_ns")
    order = np.lexsort((times, ids))
    same = np.append(False, ids[order][1:] == ids[order][:-1])
    px, qty = floats(placements, "px")[order], floats(placements, "qty")[order]
    stays = same & (px == np.roll(px, 1)) & (qty <= np.roll(qty, 1))
    ids, times = ids[order][~stays], times[order][~stays]
    # Both in one order: by id, then time, a placement before a fill of its time.
    all_ids = np.concatenate((ids, wanted))
    all_times = np.concatenate((times, ints(fills, "ts_event_ns")))
    is_fill = np.arange(len(all_ids)) >= len(ids)
    merged = np.lexsort((is_fill, all_times, all_ids))
    last = np.maximum.accumulate(np.where(is_fill[merged], -1, np.arange(len(merged))))
    source = merged[np.maximum(last, 0)]
    known_here = (last >= 0) & (all_ids[source] == all_ids[merged])
    queued = np.full(len(all_ids), MISSING, np.int64)
    queued[merged] = np.where(known_here, all_times[source], MISSING)
    return queued[is_fill]


@dataclass(frozen=True)
class Slippage:
    """What fills cost against the mid of our book when their orders were given; positive is a cost.

    A. F. Perold, The Implementation Shortfall, Journal of Portfolio Management 14 (1988), for the
    quantity that was filled; what was never filled is not in it.
    """

    bps: float | None
    amount: float | None
    fills: int


def slippage(fills: Fills) -> Slippage:
    """The slippage of the fills whose orders' arrival mid is known."""
    there = np.isfinite(fills.cost)
    cost = fills.cost[there]
    return Slippage(
        bps=share(cost, fills.arrival_value[there], 1e4),
        amount=known(cost.sum()) if len(cost) else None,
        fills=len(cost),
    )


@dataclass(frozen=True)
class Markout:
    """What fills had earned some time later at the mid of our book; positive is a profit.

    At `fill` it is the spread earned (maker) or paid (taker); what is lost of it later went to
    those who knew more. Also called realized spread: R. D. Huang and H. R. Stoll, Dealer Versus
    Auction Markets, Journal of Financial Economics 41 (1996), there with twice the amount.
    """

    horizon: str
    bps: float | None
    amount: float | None
    fills: int


def markouts(fills: Fills) -> list[Markout]:
    """The markout at each of `HORIZONS`, over the fills whose mid then is known."""
    found = []
    for column, horizon in enumerate(HORIZONS):
        there = np.isfinite(fills.spread[:, column])
        amounts = fills.spread[there, column]
        bps = share(amounts, fills.value[there], 1e4)
        amount = known(amounts.sum()) if len(amounts) else None
        found.append(Markout(horizon, bps, amount, len(amounts)))
    return found


@dataclass(frozen=True)
class Quantiles:
    """Where values lie, in seconds; linear between neighbours (Hyndman and Fan's type 7)."""

    count: int
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    highest: float | None = None


def quantiles(seconds: Floats) -> Quantiles:
    """Quantiles of some times; none of no times."""
    if not len(seconds):
        return Quantiles(0)
    p10, p50, p90, p99 = np.quantile(seconds, [0.1, 0.5, 0.9, 0.99]).tolist()
    return Quantiles(len(seconds), p10, p50, p90, p99, float(seconds.max()))


def queue_wait(fills: Fills) -> Quantiles:
    """From when an order took its place in the queue to each of its fills as maker, venue clock.

    A change of the price or to a larger quantity takes a new place; a replacement that changes
    neither does as well, but is not told apart from no change.
    """
    rested = fills.maker & (fills.ts_queue_ns != MISSING)
    return quantiles((fills.ts_event_ns[rested] - fills.ts_queue_ns[rested]) / 1e9)


def share(part: Floats, whole: Floats, scale: float = 1.0) -> float | None:
    """Σ `part` over Σ `whole`, times `scale`; None where the whole is nothing."""
    total = float(np.sum(whole))
    return known(float(np.sum(part)) / total * scale) if total > 0 else None
