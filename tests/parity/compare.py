"""Two outcomes of the same commands, held against each other order by order."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from engine.peers.orders import CANCEL, MODIFY, SUBMIT


def differences(left: np.ndarray, right: np.ndarray, fields: tuple[str, ...] = ()) -> list[str]:
    """One line for each order whose outcome (`RESULT_DTYPE`) differs in any (of the given)
    fields.
    """
    assert left["order_id"].tolist() == right["order_id"].tolist()
    names = fields or left.dtype.names
    unequal = np.zeros(len(left), bool)
    for name in names:
        unequal |= left[name] != right[name]
    return [f"{left[i]} != {right[i]}" for i in np.flatnonzero(unequal)]


def requeued_with_new_qty(commands: np.ndarray, sent: np.ndarray) -> set[int]:
    """Orders for which a sent modification changed the quantity, whatever else it changed."""
    qty: dict[int, int] = {}
    changed: set[int] = set()
    for command in commands[sent]:
        order_id, lots = int(command["order_id"]), int(command["qty_lots"])
        if command["action"] == SUBMIT:
            qty[order_id] = lots
        elif command["action"] == MODIFY and lots != qty[order_id]:
            changed.add(order_id)
    return changed


@dataclass(frozen=True)
class Account:
    """Exact sums over the fills: position in quantity units, balance and fees in the settlement
    asset.
    """

    position: Decimal
    balance: Decimal
    fees: Decimal


MONEY_UNIT = 1e-12
"""Cobalt rounds each valuation to this much of a currency."""


def money_tolerance(orders: np.ndarray) -> float:
    """How far sums over the fills may be from exact: a rounding of value and of fee for each."""
    return 2 * MONEY_UNIT * float((orders["status"] == "filled").sum())


def account(
    orders: np.ndarray, commands: np.ndarray, instrument: Any, maker_fee: str, taker_fee: str
) -> Account:
    """The account that the filled orders leave behind, worked out in decimals.

    A fill of quantity q at price p is worth q·p·size in the quote asset (spot, linear) or q·size/p
    in the base asset (inverse). The balance is hftbacktest's: minus that value for a buy, plus for
    a sale, of every kind of contract (for an inverse one the cash flow has the other sign, which it
    turns when it works out equity).
    """
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    size = Decimal(instrument.contract_size)
    sides = {
        int(c["order_id"]): int(c["side"]) for c in commands if c["action"] not in (CANCEL, MODIFY)
    }
    position = balance = fees = Decimal(0)
    for order in orders[orders["status"] == "filled"]:
        side = sides[int(order["order_id"])]
        px, qty = int(order["exec_px_ticks"]) * tick, int(order["exec_qty_lots"]) * lot
        inverse = instrument.kind == "inverse"
        value = qty * size / px if inverse else qty * size * px
        position += side * qty
        balance -= side * value
        fees += value * Decimal(maker_fee if order["maker"] else taker_fee)
    return Account(position, balance, fees)
