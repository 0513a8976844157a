"""What price and quantity of a contract are worth, and what a currency is worth in another.

Values are floats in the settlement currency, in the meaning that the core's integers have: profit
is the difference of two values. A contract whose definition is missing has no value (NaN).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["UNKNOWN", "Contract", "contracts", "conversion_path"]


@dataclass(frozen=True)
class Contract:
    """How one instrument turns price and quantity into money.

    `size` is in base units a unit of quantity, for an inverse contract in quote units a contract.
    """

    inverse: bool
    size: float
    base: str = ""
    quote: str = ""

    def value(self, px: Floats, qty: Floats) -> Floats:
        """The value of a signed quantity at a price: size × price × quantity for a linear contract,
        −size × quantity ÷ price for an inverse one; 0 of nothing, also where there is no price.
        """
        worth = -self.size * qty / px if self.inverse else self.size * qty * px
        return np.where(qty == 0, 0.0, worth)

    def move(self, qty: Floats, before: Floats, after: Floats) -> Floats:
        """What a signed quantity earns while the price goes from `before` to `after`."""
        if self.inverse:
            change = self.size * qty * (after - before) / (after * before)
        else:
            change = self.size * qty * (after - before)
        return np.where(qty == 0, 0.0, change)


UNKNOWN = Contract(inverse=False, size=math.nan)
"""The contract of an instrument whose definition was not kept."""


def contracts(definitions: Mapping[str, Any]) -> dict[str, Contract]:
    """The contracts of a run by instrument id, from the `instrument` part of its configuration.

    A definition that cannot be read is left out.
    """
    found = {}
    for name, definition in definitions.items():
        try:
            found[name] = Contract(
                inverse=definition["kind"] == "inverse",
                size=float(definition["contract_size"]),
                base=str(definition["base"]),
                quote=str(definition["quote"]),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return found


def conversion_path(
    source: str, target: str, known: Mapping[str, Contract]
) -> list[tuple[str, bool]] | None:
    """The instruments whose prices turn `source` into `target`, each with whether it is multiplied
    by (base into quote) or divided by (quote into base).

    The shortest path; of equally short ones the first in the order of the instruments. Empty where
    both are the same, None where there is none. USD and USDT are two currencies here.
    """
    paths: dict[str, list[tuple[str, bool]]] = {source: []}
    frontier = [source]
    while frontier and target not in paths:
        reached = []
        for currency in frontier:
            for name, multiplied, other in _edges(currency, known.items()):
                if other not in paths:
                    paths[other] = [*paths[currency], (name, multiplied)]
                    reached.append(other)
        frontier = reached
    return paths.get(target)


def _edges(currency: str, known: Iterable[tuple[str, Contract]]) -> Iterable[tuple[str, bool, str]]:
    for name, contract in known:
        if contract.base == currency:
            yield name, True, contract.quote
        elif contract.quote == currency:
            yield name, False, contract.base
