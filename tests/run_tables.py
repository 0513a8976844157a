"""A run's tables made by hand: an account kept in fractions, and rows as the kernel would write."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pyarrow as pa

from engine.results import SCHEMAS

SECOND = 1_000_000_000
START = 1_704_067_200 * SECOND
"""Midnight of 2024-01-01, UTC."""


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """A table of a run from rows that name only what matters; the rest is missing."""
    schema = SCHEMAS[name]
    arrays = [
        pa.array(
            [row.get(field.name) for row in rows],
            pa.string() if pa.types.is_dictionary(field.type) else field.type,
        ).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


class Ledger:
    """One instrument in one currency, at average cost, exactly."""

    def __init__(self, *, inverse: bool = False, size: int = 1, instrument: str = "X.TEST") -> None:
        self.inverse, self.size, self.instrument = inverse, size, instrument
        self.initial = Fraction(1_000)
        self.position = Fraction(0)
        self.entry_value = Fraction(0)
        self.realized = Fraction(0)
        self.fees = Fraction(0)
        self.fills: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []

    @property
    def currency(self) -> str:
        return "X" if self.inverse else "USD"

    def value(self, px: Fraction, qty: Fraction) -> Fraction:
        """What a signed quantity is worth at a price."""
        return -self.size * qty / px if self.inverse else self.size * qty * px

    def fill(self, ts_ns: int, qty: int, px: Fraction, mid: Fraction | None, **more: Any) -> None:
        """A fill of a signed quantity, received at `ts_ns` and executed a second before."""
        signed, fee = Fraction(qty), Fraction(more.pop("fee", 0))
        closing = Fraction(0)
        if self.position * signed < 0:
            closing = -min(abs(signed), abs(self.position)) * (1 if self.position > 0 else -1)
        released = self.entry_value * (-closing / self.position) if closing else Fraction(0)
        profit = self.value(px, -closing) - released
        self.entry_value += -released + self.value(px, signed - closing)
        self.position += signed
        self.realized += profit
        self.fees += fee
        self.fills.append(
            {
                "ts_event_ns": ts_ns - SECOND,
                "ts_recv_ns": ts_ns,
                "instrument": self.instrument,
                "order_id": len(self.fills) + 1,
                "side": "buy" if qty > 0 else "sell",
                "px": float(px),
                "qty": float(abs(signed)),
                "liquidity": "maker",
                "fee": float(fee),
                "currency": self.currency,
                "position": float(self.position),
                "realized_pnl": float(profit),
                "mid": None if mid is None else float(mid),
                **more,
            }
        )

    def sample(self, ts_ns: int, mid: Fraction | None) -> None:
        """An equity sample at the mid."""
        open_profit: Fraction | None = Fraction(0)
        if self.position:
            open_profit = None if mid is None else self.value(mid, self.position) - self.entry_value
        equity = None if open_profit is None else self.equity(mid)
        self.samples.append(
            {
                "ts_ns": ts_ns,
                "instrument": self.instrument,
                "currency": self.currency,
                "mid": None if mid is None else float(mid),
                "position": float(self.position),
                "realized_pnl": float(self.realized),
                "unrealized_pnl": None if open_profit is None else float(open_profit),
                "fees": float(self.fees),
                "equity": None if equity is None else float(equity),
            }
        )

    def equity(self, mid: Fraction | None) -> Fraction:
        """What the account is worth at a mid."""
        open_profit = Fraction(0)
        if self.position:
            assert mid is not None
            open_profit = self.value(mid, self.position) - self.entry_value
        return self.initial + self.realized + open_profit - self.fees

    def tables(self, **more: list[dict[str, Any]]) -> dict[str, pa.Table]:
        """The tables so far, with orders and placements where they are given."""
        rows = {"fills": self.fills, "equity": self.samples, "orders": [], "placements": [], **more}
        return {name: table(name, found) for name, found in rows.items()}
