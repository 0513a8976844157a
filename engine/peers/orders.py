"""A stream of order commands that two engines can be given alike.

Commands carry absolute prices and local times that were worked out beforehand, so that what one
engine does with an order cannot change what is asked of it next. Prices follow the local book at
the moment of the command: that of a dict, rebuilt here from the rows, not of any engine under test.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUBMIT, CANCEL, MODIFY = 0, 1, 2
BUY, SELL = 1, -1
LIMIT, MARKET = 0, 1
GTC, POST_ONLY, IOC = 0, 1, 3

COMMAND_DTYPE = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("order_id", "<u8"),
        ("px_ticks", "<i8"),
        ("qty_lots", "<i8"),
        ("action", "i1"),
        ("side", "i1"),
        ("order_type", "i1"),
        ("tif", "i1"),
    ],
    align=True,
)
"""One command. `ts_ns`: our clock when the strategy sends it. `order_id` counts from 1 in the order
of submission. `px_ticks` is 0 for market orders and cancels, `qty_lots` is 0 for cancels. `tif`
uses hftbacktest's numbers: 0 good till cancelled, 1 post-only, 3 immediate or cancel."""

RESULT_DTYPE = np.dtype(
    [
        ("order_id", "<u8"),
        ("status", "U9"),
        ("exec_px_ticks", "<i8"),
        ("exec_qty_lots", "<i8"),
        ("ts_exchange_ns", "<i8"),
        ("maker", "?"),
    ]
)
"""What became of one order. `status`: new (resting), filled, cancelled, expired, rejected.
`ts_exchange_ns`: the exchange's clock at the last change of status. Price and quantity are 0 and
`maker` is False unless filled."""


@dataclass(frozen=True)
class Setup:
    """What both engines are told about the exchange; latencies in ns, fees as shares of
    notional.
    """

    order_entry_ns: int = 10_000_000
    response_ns: int = 10_000_000
    maker_fee: str = "0"
    taker_fee: str = "0"


@dataclass(frozen=True)
class Outcome:
    """What became of a stream of commands.

    `orders` is one row of `RESULT_DTYPE` an order; `sent` says for each command whether it was sent
    (a cancel or modification of an order that is not live, or has a request under way, is not).
    Position in base units or contracts; balance and fees in the settlement asset.
    """

    orders: NDArray[np.void]
    sent: NDArray[np.bool_]
    position: float
    balance: float
    fees: float


@dataclass(frozen=True)
class Quoting:
    """The benchmark's strategy, the same on every engine.

    From `begin_ns` (our clock) it looks at the book each `interval_ns`, `looks` times; each
    `looks_per_quote` looks it cancels what is left of its last two orders and quotes `qty_lots`
    post-only at the best bid and ask.
    """

    begin_ns: int
    interval_ns: int
    looks: int
    looks_per_quote: int
    qty_lots: int

    @property
    def orders(self) -> int:
        """How many orders it sends."""
        return 2 * -(-self.looks // self.looks_per_quote)


@dataclass(frozen=True)
class QuotingRun:
    """One run of the benchmark's strategy.

    `tops`: best bid and ask in ticks at each look, shape `(looks, 2)`, int64. `orders`:
    `RESULT_DTYPE`. `bids`, `asks`: the strategy's book at the end, quantity in lots by price in
    ticks.
    """

    seconds: float
    tops: NDArray[np.int64]
    orders: NDArray[np.void]
    bids: dict[int, int]
    asks: dict[int, int]
    level_counts: tuple[int, int]

    def differences(self, other: QuotingRun) -> list[str]:
        """What is not the same in two runs of the same plan; empty where all is."""
        found = []
        for name in ("bids", "asks"):
            mine, theirs = getattr(self, name), getattr(other, name)
            known = min(len(mine), len(theirs))
            best = sorted(theirs, reverse=name == "bids")[:known]
            if sorted(mine, reverse=name == "bids")[:known] != best or any(
                mine[px] != theirs[px] for px in best
            ):
                found.append(name)
        if self.level_counts != other.level_counts:
            found.append("level counts")
        if self.tops.tolist() != other.tops.tolist():
            found.append("best prices at the looks")
        if self.orders.tolist() != other.orders.tolist():
            found.append("orders")
        return found


_FIRST, _SNAPSHOT, _BID = 1, 2, 1


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


def random_commands(
    depth: NDArray[np.void],
    count: int,
    seed: int,
    *,
    qty_lots: tuple[int, int],
    modify_share: float = 0.15,
) -> NDArray[np.void]:
    """`count` commands at random times over the recording, as an array of `COMMAND_DTYPE`.

    Orders are limits inside, at and behind the touch or through it, post-only, immediate-or-cancel
    and market, on both sides, of `qty_lots` (least, most); about a quarter of the commands are
    cancels and `modify_share` are modifications of a recent order, live or not. The first command
    comes after the snapshot, the last early enough for its fill to be seen. Same arguments, same
    commands.
    """
    rng = random.Random(seed)
    begin = int(depth["ts_recv_ns"][depth["kind"] == _SNAPSHOT][0])
    end = int(depth["ts_recv_ns"][depth["side"] != 0][-1])
    room = (end - begin) // 50
    times = sorted(rng.randrange(begin + room, end - room) for _ in range(count))
    commands = np.zeros(count, COMMAND_DTYPE)
    recent: list[tuple[int, int]] = []
    submitted = 0
    for command, ts_ns, top in zip(commands, times, tops(depth, times), strict=True):
        if top is None:
            raise ValueError(f"depth: expected both sides of the book at {ts_ns}, found one empty")
        draw = rng.random()
        command["ts_ns"] = ts_ns
        if recent and draw < 0.25:
            command["action"] = CANCEL
            command["order_id"] = rng.choice(recent)[0]
        elif recent and draw < 0.25 + modify_share:
            order_id, side = rng.choice(recent)
            command["action"] = MODIFY
            command["order_id"] = order_id
            command["side"] = side
            command["px_ticks"] = _price(rng, top, side)
            command["qty_lots"] = rng.randint(*qty_lots)
        else:
            submitted += 1
            side = rng.choice((BUY, SELL))
            _submit(rng, command, submitted, side, top, qty_lots)
            recent = [*recent[-11:], (submitted, side)]
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
    kind = rng.choices(("limit", "post_only", "ioc", "market"), (55, 25, 13, 7))[0]
    command["order_type"] = MARKET if kind == "market" else LIMIT
    command["tif"] = {"post_only": POST_ONLY, "ioc": IOC}.get(kind, GTC)
    command["px_ticks"] = 0 if kind == "market" else _price(rng, top, side)


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
