"""Random commands of every order type on rows of a market, at the venue's clock; same seed, same
commands.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.peers.order_types import Bracket, Cancel, Modify, New, Oco
from engine.peers.streams import tops

if TYPE_CHECKING:
    import numpy as np

    from engine.peers.order_types import Command


REACH = {"BTCUSDT-PERP.BINANCE": 300, "BTCUSDT.BINANCE": 3_000, "BTCUSD-PERP.BINANCE": 300}
"""How far prices lie from the touch at most, in ticks, that orders come to something in a
recording of minutes."""


def at_venue(rows: np.ndarray) -> np.ndarray:
    """The rows as if received the moment they happened: one clock, as NautilusTrader has it."""
    out = rows.copy()
    out["ts_recv_ns"] = out["ts_event_ns"]
    return out


@dataclass(frozen=True)
class Stream:
    """What to draw: quantities in lots, how far from the touch prices lie at most in ticks, the
    shares of lists (of two orders, brackets) among new orders, and of reduce-only single ones.
    `only` draws nothing but pairs of which one cancels the other, or nothing but brackets that buy,
    and no changes but cancels: what NautilusTrader can be asked where all fills are whole.
    """

    qty_lots: tuple[int, int]
    reach_ticks: int
    list_share: float = 0.0
    reduce_share: float = 0.0
    only: Literal["oco", "bracket"] | None = None

    def commands(self, depth: np.ndarray, count: int, seed: int) -> list[Command]:
        """`count` commands over the rows, from their first fiftieth to their last."""
        rng = random.Random(seed)
        begin, end = int(depth["ts_event_ns"][0]), int(depth["ts_event_ns"][-1])
        room = (end - begin) // 50
        times = sorted(rng.randrange(begin + room, end - room) for _ in range(count))
        drawn: list[Command] = []
        recent: list[New] = []
        exits: set[int] = set()
        submitted = 0
        for ts_ns, top in zip(times, tops(depth, times), strict=True):
            if top is None:
                raise ValueError(f"depth: expected both sides of the book at {ts_ns}")
            draw = rng.random()
            if recent and draw < 0.15:
                drawn.append(Cancel(ts_ns, rng.choice(recent).order_id))
            elif recent and draw < 0.3 and self.only is None:
                new = rng.choice(recent)
                # The quantity of an exit is its entry's to say.
                change = self._change(rng, ts_ns, new, top, prices_only=new.order_id in exits)
                drawn.append(change)
            else:
                made = self._new(rng, ts_ns, submitted + 1, top)
                submitted += len(made)
                drawn.append(made[0] if len(made) == 1 else _list(made))
                # What is not alive yet cannot be cancelled there.
                recent = [*recent[-12:], *(made[:1] if self.only == "bracket" else made)]
                if len(made) == 3:
                    exits |= {new.order_id for new in made[1:]}
        return drawn

    def _new(
        self, rng: random.Random, ts_ns: int, order_id: int, top: tuple[int, int]
    ) -> list[New]:
        draw = rng.random()
        if self.only == "oco" or (self.only is None and draw < self.list_share / 2):
            return self._oco(rng, ts_ns, order_id, top)
        if self.only == "bracket" or draw < self.list_share:
            return self._bracket(rng, ts_ns, order_id, top)
        side = rng.choice(("buy", "sell"))
        kinds = (
            ("market", 10),
            ("limit", 40),
            ("stop_market", 12),
            ("stop_limit", 10),
            ("take_profit_market", 8),
            ("take_profit_limit", 8),
            ("trailing_stop", 12),
        )
        kind: Any = rng.choices([name for name, _ in kinds], [weight for _, weight in kinds])[0]
        given = self._terms(rng, ts_ns, kind, side, top)
        reduce_only = rng.random() < self.reduce_share
        lots = rng.randint(*self.qty_lots)
        return [New(ts_ns, order_id, side, kind, lots, reduce_only=reduce_only, **given)]

    def _terms(
        self, rng: random.Random, ts_ns: int, kind: str, side: str, top: tuple[int, int]
    ) -> dict[str, Any]:
        """Prices and conditions of a single order."""
        sign = 1 if side == "buy" else -1
        own, other = top if side == "buy" else top[::-1]
        away = rng.randint(1, self.reach_ticks)
        if kind == "market":
            return {"tif": rng.choice(("GTC", "GTC", "IOC", "FOK"))}
        if kind == "limit":
            px = rng.choice((own, own - sign * away, other, other + sign * rng.randint(0, 20)))
            tif = rng.choices(("GTC", "IOC", "FOK", "GTD"), (60, 10, 10, 20))[0]
            if tif == "GTD":
                expire_ns = ts_ns + rng.randint(1, rng.choice((50, 1_000, 60_000))) * 1_000_000
                return {"px_ticks": px, "tif": tif, "expire_ns": expire_ns}
            return {"px_ticks": px, "tif": tif, "post_only": tif == "GTC" and rng.random() < 0.3}
        if kind == "trailing_stop":
            if rng.random() < 0.5:
                return {"trail_ticks": away}
            return {"trail_bps": rng.randint(1, 15)}
        direction = -sign if kind.startswith("take_profit") else sign
        # Now and then on the wrong side of the market, to be refused.
        trigger = other + direction * (away if rng.random() < 0.9 else -away)
        if kind.endswith("market"):
            return {"trigger_ticks": trigger}
        return {"trigger_ticks": trigger, "px_ticks": trigger + sign * rng.randint(-20, 20)}

    def _oco(
        self, rng: random.Random, ts_ns: int, order_id: int, top: tuple[int, int]
    ) -> list[New]:
        side: Any = rng.choice(("buy", "sell"))
        sign = 1 if side == "buy" else -1
        own, other = top if side == "buy" else top[::-1]
        lots = rng.randint(*self.qty_lots)
        px = own - sign * rng.randint(0, self.reach_ticks)
        trigger = other + sign * rng.randint(1, self.reach_ticks)
        return [
            New(ts_ns, order_id, side, "limit", lots, px_ticks=px),
            New(ts_ns, order_id + 1, side, "stop_market", lots, trigger_ticks=trigger),
        ]

    def _bracket(
        self, rng: random.Random, ts_ns: int, order_id: int, top: tuple[int, int]
    ) -> list[New]:
        side, exit_side, sign, own = rng.choice(
            (("buy", "sell", 1, top[0]), ("sell", "buy", -1, top[1]))[: 1 if self.only else 2]
        )
        lots = rng.randint(*self.qty_lots)
        px = own if rng.random() < 0.5 else None
        stop = own - sign * rng.randint(5, self.reach_ticks)
        profit = own + sign * rng.randint(5, self.reach_ticks)
        entry: Any = "market" if px is None else "limit"
        out: Any = (exit_side, lots, {"reduce_only": True})
        return [
            New(ts_ns, order_id, side, entry, lots, px_ticks=px),
            New(ts_ns, order_id + 1, out[0], "stop_market", lots, trigger_ticks=stop, **out[2]),
            New(ts_ns, order_id + 2, out[0], "limit", lots, px_ticks=profit, **out[2]),
        ]

    def _change(
        self,
        rng: random.Random,
        ts_ns: int,
        new: New,
        top: tuple[int, int],
        *,
        prices_only: bool,
    ) -> Cancel | Modify:
        """A change that is possible for the order, if it lives: of price, trigger or quantity."""
        sign = 1 if new.side == "buy" else -1
        own, other = top if new.side == "buy" else top[::-1]
        away = rng.randint(1, self.reach_ticks)
        if new.kind == "limit" and (prices_only or rng.random() < 0.6):
            px = own - sign * rng.choice((0, away, away, -5))
            return Modify(ts_ns, new.order_id, px_ticks=px)
        if new.kind == "stop_market" and (prices_only or rng.random() < 0.6):
            return Modify(ts_ns, new.order_id, trigger_ticks=other + sign * away)
        if new.kind == "market":
            return Cancel(ts_ns, new.order_id)
        # Never below what may have filled: NautilusTrader's process would end there.
        return Modify(ts_ns, new.order_id, qty_lots=new.qty_lots + rng.randint(0, 5))


def _list(made: list[New]) -> Oco | Bracket:
    return Oco(*made) if len(made) == 2 else Bracket(*made)
