"""Random orders and latencies for a comparison: the same for every engine, fixed by a seed."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from engine.peers.orders import (
    BUY,
    CANCEL,
    COMMAND_DTYPE,
    FOK,
    GTC,
    IOC,
    LATENCY_DTYPE,
    LIMIT,
    MARKET,
    MODIFY,
    POST_ONLY,
    SELL,
    SUBMIT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FIRST, _SNAPSHOT, _BID = 1, 2, 1
_NS_PER_MS = 1_000_000
_CANCEL_SHARE = 0.25
# (type, time in force): how often of a hundred.
_KINDS = {
    (LIMIT, GTC): 50,
    (LIMIT, POST_ONLY): 24,
    (LIMIT, IOC): 12,
    (LIMIT, FOK): 7,
    (MARKET, GTC): 7,
}


def tops(depth: NDArray[np.void], times_ns: list[int]) -> Iterator[tuple[int, int] | None]:
    """Best bid and ask in ticks known locally at each of the ascending times; None before there are
    both.
    """
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    columns = ("ts_recv_ns", "px_ticks", "qty_lots", "kind", "side", "flags")
    rows = zip(*(depth[name].tolist() for name in columns), strict=True)
    row = next(rows, None)
    synced = False
    for ts_ns in times_ns:
        while row is not None and row[0] <= ts_ns:
            _, px, qty, kind, side, flags = row
            if kind == _SNAPSHOT and flags & _FIRST:
                bids.clear()
                asks.clear()
                synced = True
            if side and synced:
                levels = bids if side == _BID else asks
                if qty:
                    levels[px] = qty
                else:
                    levels.pop(px, None)
            row = next(rows, None)
        yield (max(bids), min(asks)) if bids and asks else None


def commands_for(orders: int, modify_share: float) -> int:
    """How many random commands hold at least this many orders, but for one time in a million."""
    share = 1 - _CANCEL_SHARE - modify_share
    # Five standard deviations of a binomial count, or three in a hundred where that is more.
    more = max(0.03 * orders, 5 * math.sqrt(orders * (1 - share)))
    return int((orders + more) / share)


def random_commands(
    depth: NDArray[np.void],
    count: int,
    seed: int,
    *,
    qty_lots: tuple[int, int],
    modify_share: float = 0.15,
    modify_qty: bool = True,
) -> NDArray[np.void]:
    """`count` commands at random times over the recording, as an array of `COMMAND_DTYPE`.

    Orders are limits inside, at and behind the touch or through it, post-only, immediate-or-cancel,
    fill-or-kill and market, on both sides, of `qty_lots` (least, most); about a quarter of the
    commands are cancels and `modify_share` are modifications, of the price and, with `modify_qty`,
    half of them of the quantity. They
    name an order of the last dozen or, as often, of the last few hundred, live or not. The first
    command comes after the snapshot, the last early enough for its fill to be seen. Same arguments,
    same commands.
    """
    rng = random.Random(seed)
    begin = int(depth["ts_recv_ns"][depth["kind"] == _SNAPSHOT][0])
    end = int(depth["ts_recv_ns"][depth["side"] != 0][-1])
    room = (end - begin) // 50
    times = sorted(rng.randrange(begin + room, end - room) for _ in range(count))
    commands = np.zeros(count, COMMAND_DTYPE)
    # Order id, side and the quantity last asked for.
    last: deque[tuple[int, int, int]] = deque(maxlen=12)
    older: deque[tuple[int, int, int]] = deque(maxlen=300)
    submitted = 0
    for command, ts_ns, top in zip(commands, times, tops(depth, times), strict=True):
        if top is None:
            raise ValueError(f"depth: expected both sides of the book at {ts_ns}, found one empty")
        draw = rng.random()
        command["ts_ns"] = ts_ns
        if last and draw < _CANCEL_SHARE + modify_share:
            order_id, side, lots = rng.choice(last if rng.random() < 0.5 else older)
            command["order_id"] = order_id
            if draw < _CANCEL_SHARE:
                command["action"] = CANCEL
                continue
            command["action"] = MODIFY
            command["side"] = side
            command["px_ticks"] = _price(rng, top, side)
            new_qty = modify_qty and rng.random() < 0.5
            command["qty_lots"] = rng.randint(*qty_lots) if new_qty else lots
        else:
            submitted += 1
            side = rng.choice((BUY, SELL))
            _submit(rng, command, submitted, side, top, qty_lots)
            placed = submitted, side, int(command["qty_lots"])
            last.append(placed)
            older.append(placed)
    return commands


def _submit(
    rng: random.Random,
    command: np.void,
    order_id: int,
    side: int,
    top: tuple[int, int],
    qty_lots: tuple[int, int],
) -> None:
    command["action"] = SUBMIT
    command["order_id"] = order_id
    command["side"] = side
    command["qty_lots"] = rng.randint(*qty_lots)
    kind, tif = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    command["order_type"], command["tif"] = kind, tif
    command["px_ticks"] = 0 if kind == MARKET else _price(rng, top, side)


def _price(rng: random.Random, top: tuple[int, int], side: int) -> int:
    """A limit price: at the touch, inside the spread where there is room, behind it, or through
    it.
    """
    bid, ask = top
    own, other = (bid, ask) if side == BUY else (ask, bid)
    where = rng.choices(("touch", "inside", "behind", "through"), (40, 15, 30, 15))[0]
    if where == "inside" and ask - bid > 1:
        return rng.randint(bid + 1, ask - 1)
    if where == "behind":
        return own - side * rng.randint(1, 40)
    if where == "through":
        return other + side * rng.randint(0, 3)
    return own


def random_latencies(
    begin_ns: int, end_ns: int, seed: int, *, every_ns: int = 100 * _NS_PER_MS
) -> NDArray[np.void]:
    """Measured round trips as a venue might answer them, as an array of `LATENCY_DTYPE`.

    One about each `every_ns` of the span; each way takes up to 12 ms and, one time in twenty, some
    dozens. All columns ascend, and answers never bunch up: from outside, nobody could tell two
    fills of one order apart that arrive together.
    """
    rng = random.Random(seed)
    rows: list[tuple[int, int, int, int]] = []
    req_ns = begin_ns
    exchange_ns = response_ns = 0
    while req_ns < end_ns:
        way = [
            rng.randint(30, 90) * _NS_PER_MS if rng.random() < 0.05 else rng.randint(2, 12_000_000)
            for _ in range(2)
        ]
        reached_ns = max(req_ns + way[0], exchange_ns + 1)
        # At least a tenth of the time between two requests at the exchange lies between answers.
        least_ns = response_ns + (reached_ns - exchange_ns) // 10 + 1 if rows else 0
        response_ns = max(reached_ns + way[1], least_ns)
        exchange_ns = reached_ns
        rows.append((req_ns, exchange_ns, response_ns, 0))
        req_ns += rng.randint(every_ns // 2, every_ns * 3 // 2)
    return np.array(rows, LATENCY_DTYPE)
