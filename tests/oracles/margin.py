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
    def currency(self) -> str:
        return self.instrument.base if self.instrument.kind == "inverse" else self.instrument.quote

    def worth(self, qty: Fraction, px: Fraction) -> Fraction:
        """Value whose rise is the profit of a position: that of an inverse contract is below 0."""
        if self.instrument.kind == "inverse":
            return -round(qty * Fraction(self.instrument.contract_size) / px / UNIT) * UNIT
        return qty * px

    @property
    def value(self) -> Fraction:
        return self.worth(self.qty, self.mark)

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
        values = (abs(self.worth(qty, px)) for side, qty, px in self.open.values() if side == buys)
        return sum(values, ZERO)

    def offered(self) -> Fraction:
        """Quantity of the open asks."""
        return sum((qty for buys, qty, _ in self.open.values() if not buys), ZERO)

    def opened(self, value: Fraction, leverage: int, before: Fraction = ZERO) -> Fraction:
        """Margin of a position of this value, opened from one of another; too large: beyond all."""
        if value > before and self.bracket(value) is None:
            return FAR
        return self.initial(value, leverage)

    def needed(self, mode: str, leverage: int, more: tuple[bool, Fraction] | None = None):
        """What position and orders take, with the value of one order more: as long as the position
        stays on its side, and once it has turned (isolated margin).
        """
        bids, asks = self.wanted(buys=True), self.wanted(buys=False)
        if more is not None and more[0]:
            bids += more[1]
        elif more is not None:
            asks += more[1]
        if self.is_spot:
            return bids, ZERO
        size = abs(self.value)
        extending, closing = (bids, asks) if self.qty > 0 else (asks, bids)
        if mode == "cross":
            return self.opened(max(size + extending, closing - size), leverage, size), ZERO
        entry = abs(self.entry)
        added = self.opened(entry + extending, leverage, entry) - self.initial(entry, leverage)
        return self.margin + added, self.opened(max(closing - size, ZERO), leverage)

    @property
    def maintenance(self) -> Fraction:
        if self.is_spot or not self.qty:
            return ZERO
        row = self.bracket(abs(self.value)) or self.instrument.brackets[-1]
        return max(abs(self.value) * Fraction(row.rate) - Fraction(row.amount), ZERO)


@dataclass
class Account:
    """Balances by currency, positions by id, and what the strategy is told."""

    mode: str
    leverage: int
    balance: dict[str, Fraction]
    fee_rate: Fraction
    held: dict[str, Held]
    told: list[str] = field(default_factory=list)
    orders: int = 0

    def quote(self, name: str, bid: Fraction, ask: Fraction) -> None:
        """New best prices of an instrument."""
        held = self.held[name]
        held.bid, held.ask = bid, ask
        if held.qty:
            self.solve(held.currency)

    def order(self, name: str, buys: bool, qty: Fraction, limit: Fraction | None) -> None:
        """A market order, or a limit order that rests."""
        self.orders += 1
        held = self.held[name]
        px = limit or (held.ask if buys else held.bid)
        value = abs(held.worth(qty, px))
        if not self.covers(held, buys, qty, value):
            self.told.append(f"{self.orders} rejected RISK_FUNDS")
        elif limit:
            self.told.append(f"{self.orders} open")
            held.open[self.orders] = (buys, qty, px)
        else:
            self.told.append(f"{self.orders} filled")
            self.fill(held, qty if buys else -qty, px, value * self.fee_rate)
            self.solve(held.currency, *([held.instrument.base] if held.is_spot else []))

    def cancel(self, name: str) -> None:
        """All orders of an instrument."""
        self.told += [f"{number} canceled" for number in self.held[name].open]
        self.held[name].open.clear()

    def covers(self, held: Held, buys: bool, qty: Fraction, value: Fraction) -> bool:
        before = held.needed(self.mode, self.leverage)
        after = held.needed(self.mode, self.leverage, (buys, value))
        if held.is_spot and not buys:
            return held.offered() + qty <= self.free(held.instrument.base, held) + held.qty
        free = self.free(held.currency, held)
        # Turning sets the old margin and its profit free.
        there = (free, free + held.profit)
        if max(after) > FAR / 2:
            return False
        return all(
            now <= past or now <= has for past, now, has in zip(before, after, there, strict=True)
        )

    def free(self, currency: str, held: Held) -> Fraction:
        """What there is of a currency for the position and the orders of an instrument."""
        free = self.balance[currency]
        for other in self.held.values():
            if other.is_spot and other.instrument.base == currency and other is not held:
                free += other.qty - other.offered()
            if other.currency != currency:
                continue
            if other.is_spot:
                free -= other.entry
            elif self.mode == "cross":
                free += other.profit
            if other is held:
                continue
            staying, turned = other.needed(self.mode, self.leverage)
            free -= max(staying, turned - other.profit) if turned else staying
        return free

    def fill(self, held: Held, qty: Fraction, px: Fraction, fee: Fraction) -> Fraction:
        """Books a fill and returns what it added to the balance."""
        before, entry = held.qty, held.entry
        closing = max(-abs(before), min(abs(before), qty)) if before * qty < 0 else ZERO
        released = entry * (-closing / before) if before else ZERO
        realized = held.worth(-closing, px) - released
        held.qty += qty
        held.entry += -released + held.worth(qty - closing, px)
        self.balance[held.currency] += realized - fee
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
        balance, needed = self.balance[held.currency], ZERO
        for other in self.held.values():
            if other.is_spot and other.instrument.base == held.currency:
                balance += other.qty
            elif other.currency == held.currency:
                balance += -other.entry if other.is_spot else other.profit
                needed += other.maintenance
        return balance, needed

    def solve(self, *currencies: str) -> None:
        """Liquidates as long as something must be. What happens at once is told in the order of the
        instruments.
        """
        happened: dict[str, list[str]] = {name: [] for name in self.held}
        accounts = [
            [held for held in self.held.values() if not held.is_spot and held.currency == currency]
            for currency in currencies
        ]
        if self.mode == "isolated":
            accounts = [[held] for account in accounts for held in account]
        for account in accounts:
            while account:
                balance, needed = self.standing(account[0])
                if needed == 0 or balance > needed:
                    break
                chosen = max(account, key=lambda held: held.maintenance)
                for held in account:
                    ended = [f"{number} canceled LIQUIDATION" for number in held.open]
                    happened[held.instrument.id] += ended
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
        # The price at which what backs the position is used up; none where nothing can.
        if held.instrument.kind == "inverse":
            used = left - held.entry
            size = qty * Fraction(held.instrument.contract_size)
            broke = size / used if size * used > 0 else None
        else:
            broke = (held.entry - left) / qty
        if broke is not None:
            # In units of 1e-12, and as a price in those of 1e-8.
            broke = Fraction(math.floor(Fraction(round(broke / UNIT), 10**4)), 10**8)
        px = held.bid if qty > 0 else held.ask
        closes = broke is None or (px >= broke if qty > 0 else px <= broke)
        if not closes:
            steps = broke / tick
            px = max(math.floor(steps) if qty > 0 else math.ceil(steps), 1) * tick
        value = abs(held.worth(qty, px))
        left += self.fill(held, -qty, px, value * self.fee_rate if closes else ZERO)
        rate = Fraction(held.instrument.liquidation_fee)
        fee = max(min(value * rate, left), ZERO) if closes else ZERO
        others = self.mode == "cross" and any(
            other.qty and not other.is_spot and other.currency == held.currency
            for other in self.held.values()
        )
        insurance = ZERO if others else max(fee - left, ZERO)
        self.balance[held.currency] += insurance - fee
        taken = ZERO if closes else abs(qty)
        return f"{float(qty)} {float(taken)} {float(fee):.9f} {float(insurance):.9f}"
