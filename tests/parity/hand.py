"""Rows and commands written by hand, a few of each, for one situation at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine import EVENT_DTYPE, SEQ_NONE
from engine.peers import cobalt, plain
from engine.peers import hftbacktest as peer
from engine.peers.orders import (
    BUY,
    CANCEL,
    COMMAND_DTYPE,
    GTC,
    LIMIT,
    MODIFY,
    SELL,
    SUBMIT,
    Outcome,
    Setup,
)
from tests.parity.feed import INSTRUMENT

BEGIN_NS, NS_PER_MS = 1_700_000_000_000_000_000, 1_000_000
DELTA, SNAPSHOT, TRADE = 1, 2, 3
ALONE = 3
SIDE = {BUY: 1, SELL: 2}
NO_FEES = {"maker_fee": "0", "taker_fee": "0"}
AT_ONCE = Setup(0, 0, **NO_FEES)


def at(ms: float) -> int:
    """This many milliseconds after the beginning, in ns."""
    return BEGIN_NS + round(ms * NS_PER_MS)


@dataclass
class Scene:
    """A book at 0 ms, what happens to it, and the commands; prices in ticks, quantities in lots.

    Rows are received as they happen. The last one comes 100 ms after what happened last.
    """

    bids: dict[int, int] = field(default_factory=lambda: {100: 10, 99: 20, 98: 5})
    asks: dict[int, int] = field(default_factory=lambda: {101: 3, 102: 4, 104: 7})
    levels: list[tuple[int, ...]] = field(default_factory=list)
    trades: list[tuple[int, ...]] = field(default_factory=list)
    commands: list[tuple[int, ...]] = field(default_factory=list)

    def level(self, ms: float, side: int, px: int, lots: int) -> Scene:
        """A level changes to this size."""
        self.levels.append((at(ms), SIDE[side], px, lots))
        return self

    def trade(self, ms: float, aggressor: int, px: int, lots: int) -> Scene:
        """Somebody takes."""
        seq = len(self.trades)
        row = (at(ms), at(ms), px, lots, seq, SEQ_NONE, 0, TRADE, SIDE[aggressor], ALONE, 0)
        self.trades.append(row)
        return self

    def order(
        self, ms: float, side: int, px: int, lots: int, tif: int = GTC, kind: int = LIMIT
    ) -> Scene:
        """A new order; they are numbered from 1."""
        order_id = 1 + sum(command[4] == SUBMIT for command in self.commands)
        self.commands.append((at(ms), order_id, px, lots, SUBMIT, side, kind, tif))
        return self

    def cancel(self, ms: float, order_id: int) -> Scene:
        """Asks for a cancel."""
        self.commands.append((at(ms), order_id, 0, 0, CANCEL, 0, 0, 0))
        return self

    def modify(self, ms: float, order_id: int, px: int, lots: int) -> Scene:
        """Asks for another price or quantity."""
        self.commands.append((at(ms), order_id, px, lots, MODIFY, 0, 0, 0))
        return self

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth and trades as `EVENT_DTYPE`."""
        depth = []
        snapshot = [(1, px, lots) for px, lots in self.bids.items()]
        snapshot += [(2, px, lots) for px, lots in self.asks.items()]
        for i, (side, px, lots) in enumerate(snapshot):
            flags = (i == 0) | (i == len(snapshot) - 1) << 1
            depth.append((at(0), at(0), px, lots, 1, SEQ_NONE, 0, SNAPSHOT, side, flags, 0))
        seq = 1
        for ts_ns, side, px, lots in sorted(self.levels):
            row = (ts_ns, ts_ns, px, lots, seq + 1, seq, 0, DELTA, side, ALONE, 0)
            depth.append(row)
            seq += 1
        last_ns = max([at(0)] + [row[0] for row in self.levels + self.trades + self.commands])
        last_ns += 100 * NS_PER_MS
        depth.append((last_ns, last_ns, 1, 1, seq + 1, seq, 0, DELTA, 1, ALONE, 0))
        return np.array(depth, EVENT_DTYPE), np.array(self.trades, EVENT_DTYPE)

    def ours(self, setup: Setup = AT_ONCE) -> Outcome:
        """What becomes of it on Cobalt."""
        return cobalt.run_commands(*self.rows(), self.commands_array(), INSTRUMENT, setup)

    def theirs(self, setup: Setup = AT_ONCE) -> Outcome:
        """What becomes of it on hftbacktest."""
        rows = peer.to_hftbacktest(*self.rows(), INSTRUMENT)
        return peer.run_commands(rows, self.commands_array(), INSTRUMENT, setup)

    def plain(self, setup: Setup = AT_ONCE, *, like_peer: bool = False) -> plain.Result:
        """What becomes of it on the plain exchange."""
        commands = self.commands_array()
        return plain.run(*self.rows(), commands, INSTRUMENT, setup, like_peer=like_peer)

    def commands_array(self) -> np.ndarray:
        """The commands as `COMMAND_DTYPE`."""
        return np.array(self.commands, COMMAND_DTYPE)
