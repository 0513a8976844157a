"""A small made-up feed that is hard on an exchange model: many ties, both clocks, jumps through
levels.

It is test material only. Venue times lie on a grid of milliseconds, so that depth, trades and
orders often share an instant; receive times lag by a random, growing amount, so that the two orders
differ.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from engine import EVENT_DTYPE, SEQ_NONE
from engine.instruments import Instrument
from engine.peers.streams import random_commands

DELTA, SNAPSHOT, TRADE = 1, 2, 3
BID, ASK = 1, 2
FIRST, LAST = 1, 2

NS_PER_MS = 1_000_000
BEGIN_NS = 1_700_000_000_000_000_000


@dataclass
class _Venue:
    rng: random.Random
    mid: int = 10_000
    seq: int = 100
    ts_event_ns: int = BEGIN_NS
    ts_recv_ns: dict[str, int] = field(default_factory=lambda: {"depth": 0, "trades": 0})
    book: dict[tuple[int, int], int] = field(default_factory=dict)
    depth: list[tuple[int, ...]] = field(default_factory=list)
    trades: list[tuple[int, ...]] = field(default_factory=list)

    def stamp(self, stream: str) -> tuple[int, int]:
        lag = self.rng.choice((0, 0, 1, 3, 8)) * NS_PER_MS + self.rng.choice((0, 0, 250_000))
        recv = max(self.ts_recv_ns[stream], self.ts_event_ns + lag)
        self.ts_recv_ns[stream] = recv
        return self.ts_event_ns, recv

    def wanted(self) -> dict[tuple[int, int], int]:
        """A book around the mid: one empty level or more between the sides, thin places in both."""
        half = self.rng.choice((1, 1, 1, 2, 3))
        levels = {}
        for distance in range(half, half + 12):
            for side, px in ((BID, self.mid - distance), (ASK, self.mid + distance)):
                old = self.book.get((side, px), 0)
                keep = old and self.rng.random() < 0.7
                levels[side, px] = old if keep else self.rng.choice((0, 1, 2, 5, 9))
        return levels

    def publish(self, kind: int) -> None:
        wanted = {key: qty for key, qty in self.wanted().items() if qty}
        if kind == SNAPSHOT:
            changes = list(wanted.items())
        else:
            gone = [(key, 0) for key in self.book if key not in wanted]
            changes = gone + [(k, q) for k, q in wanted.items() if self.book.get(k) != q]
        self.rng.shuffle(changes)
        changes.sort(key=lambda change: change[0][0])
        self.book = wanted
        before, self.seq = self.seq, self.seq + self.rng.randint(1, 5)
        prev_seq = SEQ_NONE if kind == SNAPSHOT else before
        ts = self.stamp("depth")
        for i, ((side, px), qty) in enumerate(changes or [((0, 0), 0)]):
            flags = (FIRST if i == 0 else 0) | (LAST if i >= len(changes) - 1 else 0)
            self.depth.append((*ts, px, qty, self.seq, prev_seq, 0, kind, side, flags, 0))

    def trade(self) -> None:
        side = self.rng.choice((BID, ASK))
        pxs = sorted(px for (other, px) in self.book if other != side)
        if not pxs:
            return
        reach = pxs if side == BID else pxs[::-1]
        px = reach[min(len(reach) - 1, self.rng.choice((0, 0, 0, 0, 1, 2)))]
        qty = self.rng.choice((1, 1, 2, 4, 12))
        seq = len(self.trades)
        ts = self.stamp("trades")
        self.trades.append((*ts, px, qty, seq, SEQ_NONE, 0, TRADE, side, FIRST | LAST, 0))


INSTRUMENT = Instrument(
    id="MADEUP.TEST",
    kind="linear",
    base="BTC",
    quote="USDT",
    tick="0.1",
    lot="0.001",
    contract_size="1",
    qty_min="0.001",
    qty_max="1000",
    notional_min=None,
    maker_fee="0.0002",
    taker_fee="0.0005",
    market="testnet",
    symbol="MADEUP",
)

# Order entry and response in ns.
LATENCIES = [(10_000_000, 10_000_000), (1_000_000, 2_000_000), (0, 0), (250_000, 0)]


def random_commands_for(depth: np.ndarray, seed: int, modify_share: float = 0.15) -> np.ndarray:
    """Commands for the feed; those of odd seeds lie on its grid of milliseconds, for ties."""
    commands = random_commands(depth, 800, seed, qty_lots=(1, 9), modify_share=modify_share)
    if seed % 2:
        commands["ts_ns"] -= commands["ts_ns"] % NS_PER_MS
    return commands


def latency_for(seed: int) -> tuple[int, int]:
    """Order entry and response latency to go with a seed, so that both grids meet each of them."""
    return LATENCIES[seed // 2 % len(LATENCIES)]


def random_feed(messages: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth and trades of about `messages` messages as `EVENT_DTYPE` rows; same seed, same rows."""
    venue = _Venue(random.Random(seed))
    venue.publish(SNAPSHOT)
    for _ in range(messages):
        venue.ts_event_ns += venue.rng.choice((0, 0, 1, 2, 5)) * NS_PER_MS
        if venue.rng.random() < 0.45:
            venue.trade()
        else:
            venue.mid += venue.rng.choice((-2, -1, 0, 0, 0, 0, 1, 2))
            venue.publish(SNAPSHOT if venue.rng.random() < 0.03 else DELTA)
    # A last message without levels, after every answer: our run ends with the last row received.
    venue.ts_event_ns += 1_000 * NS_PER_MS
    venue.depth.append(
        (*venue.stamp("depth"), 0, 0, venue.seq + 1, venue.seq, 0, DELTA, 0, FIRST | LAST, 0)
    )
    return np.array(venue.depth, EVENT_DTYPE), np.array(venue.trades, EVENT_DTYPE)
