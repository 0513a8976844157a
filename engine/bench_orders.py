"""What resting orders cost the kernel, hftbacktest beside it on the same rows and orders."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.bench_data import BenchError
from engine.peers import cobalt
from engine.peers import hftbacktest as peer
from engine.peers.orders import BUY, SELL
from engine.peers.streams import tops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.bench_data import BenchData
    from engine.peers.orders import Quoting, QuotingRun, Setup

__all__ = ["RESTING", "never_reached", "resting_cases"]

RESTING = (1, 10, 100, 1_000)
MARGIN_TICKS = 10


def never_reached(data: BenchData, plan: Quoting, count: int) -> tuple[tuple[int, int], ...]:
    """`count` orders (side, price in ticks), bids and asks in turn, on successive levels a little
    beyond what was traded and what the plan's looks see: so that they rest from first to last.
    """
    times = [plan.begin_ns + look * plan.interval_ns for look in range(plan.looks)]
    seen = [top for top in tops(data.depth, times) if top is not None]
    traded = data.trades["px_ticks"]
    low = min(min(bid for bid, _ in seen), int(traded.min())) - MARGIN_TICKS
    high = max(max(ask for _, ask in seen), int(traded.max())) + MARGIN_TICKS
    return tuple((BUY, low - i // 2) if i % 2 == 0 else (SELL, high + i // 2) for i in range(count))


def resting_cases(
    data: BenchData,
    plan: Quoting,
    setup: Setup,
    converted: np.ndarray[Any, Any] | None,
    names: Mapping[str, str],
    case: Callable[..., Any],
) -> list[Any]:
    """The kernel with the quoting strategy of `plan`, and this many orders that rest besides.

    `converted` is the peer's array of the rows, `names` its books and what to call them. `case`
    makes a `engine.bench.Case`.
    """
    orders = never_reached(data, plan, max(RESTING))
    return [
        _resting(
            data, dataclasses.replace(plan, resting=orders[:count]), setup, converted, names, case
        )
        for count in RESTING
    ]


def _resting(
    data: BenchData,
    plan: Quoting,
    setup: Setup,
    converted: np.ndarray[Any, Any] | None,
    names: Mapping[str, str],
    case: Callable[..., Any],
) -> Any:
    count = len(plan.resting)
    name = f"kernel with {count:,} resting order{'s' * (count > 1)}"

    def ours() -> QuotingRun:
        return cobalt.run_quoting(data.depth, data.trades, data.instrument, setup, plan)

    def theirs(book: str) -> QuotingRun:
        assert converted is not None
        return peer.run_quoting(converted, data.instrument, setup, plan, book=book)

    def check() -> list[str]:
        result = ours()
        rest = result.orders["status"][:count]
        if (rest != "new").any():
            raise BenchError(f"{name}: {int((rest != 'new').sum())} of them do not rest to the end")
        checks = ["all of them rest to the end"]
        for book, label in names.items():
            if found := result.differences(theirs(book)):
                raise BenchError(f"{name}: differs from {label} in {', '.join(found)}")
            checks.append(f"looks, books and every order equal those of {label}")
        return checks

    return case(
        name=name,
        unit="level updates/s",
        amount=len(data.depth) + len(data.trades),
        rows=len(data.depth) + len(data.trades),
        ours=lambda: ours().seconds,
        peers={label: _seconds(theirs, book) for book, label in names.items()},
        check=check,
        peer_rows=None if converted is None else len(converted),
        note="quotes at 10 Hz as above" if names else None,
    )


def _seconds(call: Callable[[str], QuotingRun], book: str) -> Callable[[], float]:
    return lambda: call(book).seconds
