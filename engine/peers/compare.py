"""Two outcomes of the same commands held against each other, and the account they should leave."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from engine.peers.orders import SUBMIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from engine.instruments import Instrument
    from engine.peers.orders import Outcome, Setup
    from engine.peers.plain import Fill, Result

MONEY_UNIT = 1e-12
"""Cobalt rounds each valuation to this much of a currency."""


def unequal(left: NDArray[np.void], right: NDArray[np.void]) -> NDArray[np.bool_]:
    """For each order whether its outcome (`RESULT_DTYPE`) differs in any field."""
    assert left["order_id"].tolist() == right["order_id"].tolist()
    found = np.zeros(len(left), np.bool_)
    for name in left.dtype.names or ():
        found |= left[name] != right[name]
    return found


def differences(left: NDArray[np.void], right: NDArray[np.void]) -> list[str]:
    """One line for each order whose outcome differs."""
    return [f"{left[i]} != {right[i]}" for i in np.flatnonzero(unequal(left, right))]


@dataclass(frozen=True)
class Account:
    """Position in quantity units, balance and fees in the settlement asset, all of them exact.

    The balance is hftbacktest's: minus the value of what was bought, plus that of what was sold, of
    every kind of contract.
    """

    position: Decimal
    balance: Decimal
    fees: Decimal
    fills: int

    def is_ours(self, outcome: Outcome) -> bool:
        """Whether Cobalt's account is this one, but for the rounding of each valuation and fee."""
        rounding = 2 * MONEY_UNIT * self.fills
        return outcome.position == float(self.position) and all(
            abs(found - float(exact)) <= 1e-12 * abs(float(exact)) + rounding
            for found, exact in ((outcome.balance, self.balance), (outcome.fees, self.fees))
        )

    def is_theirs(self, outcome: Outcome) -> bool:
        """Whether hftbacktest's account, kept in floats, is this one."""
        exact = self.position, self.balance, self.fees
        found = outcome.position, outcome.balance, outcome.fees
        return all(
            abs(a - float(b)) <= 1e-9 * max(1.0, abs(float(b)))
            for a, b in zip(found, exact, strict=True)
        )


def account(
    fills: dict[int, list[Fill]],
    commands: NDArray[np.void],
    instrument: Instrument,
    setup: Setup,
) -> Account:
    """The account that these fills, by order id, leave behind.

    A fill of quantity q at price p is worth q·p·size in the quote asset (spot, linear) or q·size/p
    in the base asset (inverse).
    """
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    size = Decimal(instrument.contract_size)
    maker_fee, taker_fee = Decimal(setup.maker_fee), Decimal(setup.taker_fee)
    sent = commands[commands["action"] == SUBMIT]
    side_of = dict(zip(sent["order_id"].tolist(), sent["side"].tolist(), strict=True))
    position = balance = fees = Decimal(0)
    for order_id, of_order in fills.items():
        side = side_of[order_id]
        for fill in of_order:
            px, qty = fill.px * tick, fill.lots * lot
            value = qty * size / px if instrument.kind == "inverse" else qty * size * px
            position += side * qty
            balance -= side * value
            fees += value * (maker_fee if fill.maker else taker_fee)
    return Account(position, balance, fees, sum(map(len, fills.values())))


def booked_by_peer(result: Result) -> dict[int, list[Fill]]:
    """Of these fills, those that hftbacktest books: of each order the one that completes it."""
    is_filled = result.orders["status"] == "filled"
    complete: Iterable[int] = result.orders["order_id"][is_filled].tolist()
    return {order_id: result.fills[order_id][-1:] for order_id in complete}
