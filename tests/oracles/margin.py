"""Margin and liquidation the plain way, in fractions: what `docs/derivatives.md` says.

Market orders are filled at once at the best opposite price; limit orders lie too far away to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.instruments import Instrument

UNIT = Fraction(1, 10**12)
ZERO = Fraction(0)
FAR = Fraction(10**20)


def up(amount: Fraction) -> Fraction:
    return math.ceil(amount / UNIT) * UNIT


def down(amount: Fraction) -> Fraction:
    return math.floor(amount / UNIT) * UNIT


@dataclass
class Held:
    """One instrument: its best prices, and what is held of it at which value."""

    instrument: Instrument
    bid: Fraction = ZERO
    ask: Fraction = ZERO
    qty: Fraction = ZERO
    entry: Fraction = ZERO
    margin: Fraction = ZERO
    # Open orders by id: whether it buys, its quantity and its price.
    open: dict[int, tuple[bool, Fraction, Fraction]] = field(default_factory=dict)

    @property
    def is_spot(self) -> bool:
        return self.instrument.kind == "spot"

    @property
    def mark(self) -> Fraction:
        return (self.bid + self.ask) / 2

    @property
    def value(self) -> Fraction:
        return self.qty * self.mark

    @property
    def profit(self) -> Fraction:
        return self.value - self.entry

    def bracket(self, notional: Fraction):
        rows = self.instrument.brackets or []
        return next((row for row in rows if notional <= Fraction(row.cap)), None)

    def initial(self, notional: Fraction, leverage: int) -> Fraction:
        row = self.bracket(notional) or self.instrument.brackets[-1]
        return up(notional / min(leverage, row.leverage))

    def wanted(self, buys: bool) -> Fraction:
        """Value of the open orders of a side."""
        return sum((qty * px for side, qty, px in self.open.values() if side == buys), ZERO)

    def needed(self, leverage: int, more: tuple[bool, Fraction] | None = None) -> Fraction | None:
        """What position and orders take, with the value of one order more; None: too large."""
        bids, asks = self.wanted(buys=True), self.wanted(buys=False)
        if more is not None and more[0]:
            bids += more[1]
        elif more is not None:
            asks += more[1]
        if self.is_spot:
            return bids
        reached = max(self.value + bids, asks - self.value)
        if reached <= abs(self.value):
            return self.initial(abs(self.value), leverage)
        return None if self.bracket(reached) is None else self.initial(reached, leverage)

    @property
    def maintenance(self) -> Fraction:
        if self.is_spot or not self.qty:
            return ZERO
        row = self.bracket(abs(self.value)) or self.instrument.brackets[-1]
        return max(abs(self.value) * Fraction(row.rate) - Fraction(row.amount), ZERO)


@dataclass
class Account:
    """A wallet in one currency, positions by id, and what the strategy is told."""

    mode: str
    leverage: int
    balance: Fraction
    base: Fraction
    fee_rate: Fraction
    held: dict[str, Held]
    told: list[str] = field(default_factory=list)
    orders: int = 0

    def quote(self, name: str, bid: Fraction, ask: Fraction) -> None:
        """New best prices of an instrument."""
        held = self.held[name]
        held.bid, held.ask = bid, ask
        if held.qty:
            self.solve(name)

    def order(self, name: str, buys: bool, qty: Fraction, limit: Fraction | None) -> None:
        """A market order, or a limit order that rests."""
        self.orders += 1
        held = self.held[name]
        px = limit or (held.ask if buys else held.bid)
        if not self.covers(held, buys, qty, qty * px):
            self.told.append(f"{self.orders} rejected RISK_FUNDS")
        elif limit:
            self.told.append(f"{self.orders} open")
            held.open[self.orders] = (buys, qty, px)
        else:
            self.told.append(f"{self.orders} filled")
            self.fill(held, qty if buys else -qty, px, qty * px * self.fee_rate)
            self.solve(name)

    def cancel(self, name: str) -> None:
        """All orders of an instrument."""
        self.told += [f"{number} canceled" for number in self.held[name].open]
        self.held[name].open.clear()

    def covers(self, held: Held, buys: bool, qty: Fraction, value: Fraction) -> bool:
        before = held.needed(self.leverage)
        after = held.needed(self.leverage, (buys, value))
        if held.is_spot and not buys:
            offered = sum((lots for side, lots, _ in held.open.values() if not side), ZERO)
            return offered + qty <= self.base + held.qty
        if after is None or before is None:
            return after is not None
        return after <= before or after <= self.free(held)

    def free(self, held: Held) -> Fraction:
        """What there is for the position and the orders of an instrument."""
        free = self.balance
        for other in self.held.values():
            if other.is_spot:
                free -= other.entry
            elif self.mode == "cross":
                free += other.profit
            if other is held:
                continue
            needed = other.needed(self.leverage)
            if needed is None:
                return -FAR
            if self.mode == "isolated" and not other.is_spot:
                needed += other.margin - other.initial(abs(other.value), self.leverage)
            free -= needed
        return free

    def fill(self, held: Held, qty: Fraction, px: Fraction, fee: Fraction) -> Fraction:
        """Books a fill and returns what it added to the balance."""
        before, entry = held.qty, held.entry
        closing = max(-abs(before), min(abs(before), qty)) if before * qty < 0 else ZERO
        released = entry * (-closing / before) if before else ZERO
        realized = -closing * px - released
        held.qty += qty
        held.entry += -released + (qty - closing) * px
        self.balance += realized - fee
        if self.mode == "isolated" and not held.is_spot:
            self.set_margin(held, before, entry)
        return realized - fee

    def set_margin(self, held: Held, before: Fraction, entry: Fraction) -> None:
        if held.qty == 0:
            held.margin = ZERO
        elif before * held.qty <= 0:
            held.margin = held.initial(abs(held.entry), self.leverage)
        elif abs(held.qty) <= abs(before):
            held.margin = down(held.margin * held.qty / before)
        else:
            more = held.initial(abs(held.entry), self.leverage)
            held.margin += more - held.initial(abs(entry), self.leverage)

    def standing(self, held: Held) -> tuple[Fraction, Fraction]:
        """What stands against a position, its profit included, and what it needs to stay."""
        if self.mode == "isolated":
            return held.margin + held.profit, held.maintenance
        derivatives = [other for other in self.held.values() if not other.is_spot]
        spent = sum((other.entry for other in self.held.values() if other.is_spot), ZERO)
        profits = sum((other.profit for other in derivatives), ZERO)
        return self.balance - spent + profits, sum((d.maintenance for d in derivatives), ZERO)

    def solve(self, name: str) -> None:
        """Liquidates as long as something must be. What happens at once is told in the order of the
        instruments.
        """
        happened: dict[str, list[str]] = {name: [] for name in self.held}
        while True:
            balance, needed = self.standing(self.held[name])
            if needed == 0 or balance > needed:
                break
            one = self.mode == "isolated"
            concerned = [held for held in self.held.values() if not held.is_spot]
            concerned = [self.held[name]] if one else concerned
            chosen = max(concerned, key=lambda held: held.maintenance)
            for held in concerned:
                happened[held.instrument.id] += [f"{at} canceled LIQUIDATION" for at in held.open]
                held.open.clear()
            happened[chosen.instrument.id].append(self.liquidate(chosen))
        for line in (line for lines in happened.values() for line in lines):
            if "LIQUIDATION" in line:
                self.told.append(line)
                continue
            self.orders += 1
            self.told.append(f"{self.orders} filled LIQUIDATION")
            self.told.append(f"{self.orders} liquidated {line}")

    def liquidate(self, held: Held) -> str:
        left = self.standing(held)[0] - held.profit
        qty, tick = held.qty, Fraction(held.instrument.tick)
        # The price at which what backs the position is used up.
        broke = (held.entry - left) / qty
        px = held.bid if qty > 0 else held.ask
        closes = px >= broke if qty > 0 else px <= broke
        if not closes:
            steps = broke / tick
            px = max(math.floor(steps) if qty > 0 else math.ceil(steps), 1) * tick
        value = abs(qty) * px
        left += self.fill(held, -qty, px, value * self.fee_rate if closes else ZERO)
        rate = Fraction(held.instrument.liquidation_fee)
        fee = max(min(value * rate, left), ZERO) if closes else ZERO
        others = self.mode == "cross" and any(
            other.qty and not other.is_spot for other in self.held.values()
        )
        insurance = ZERO if others else max(fee - left, ZERO)
        self.balance += insurance - fee
        taken = ZERO if closes else abs(qty)
        return f"{float(qty)} {float(taken)} {float(fee):.9f} {float(insurance):.9f}"
