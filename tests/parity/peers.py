"""NautilusTrader's outcome of commands, made comparable with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.peers import nautilus
from engine.peers.order_types import New, placed
from tests.parity.case import Expected, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from engine.instruments import Instrument
    from engine.peers.order_types import Command, Fate


def their_names(new: New, outcome: Expected) -> Expected:
    """An outcome in NautilusTrader's names: what immediate-or-cancel and fill-or-kill orders do not
    take is cancelled there, expired here and at the venue.
    """
    status, fills = outcome
    is_immediate = new.tif in ("IOC", "FOK") and status == "expired"
    return ("canceled" if is_immediate else status), fills


def by_their_names(
    commands: Sequence[Command], outcomes: Mapping[int, Expected]
) -> dict[int, Expected]:
    """Outcomes of all orders in NautilusTrader's names."""
    orders = placed(commands)
    return {at: their_names(orders[at], outcome) for at, outcome in outcomes.items()}


def all_told(fates: Mapping[int, Fate]) -> dict[int, Expected]:
    """Status and fills of every order; an exit that is not alive yet waits, also with theirs."""
    return {
        at: (status.replace("submitted", "untriggered"), fills)
        for at, (status, fills) in ((at, told(fate)) for at, fate in fates.items())
    }


def run_nautilus(
    depth: np.ndarray, commands: Sequence[Command], instrument: Instrument, **setup: object
) -> dict[int, Expected]:
    """What NautilusTrader makes of commands without trades."""
    exchange = nautilus.Exchange(**setup)  # type: ignore[arg-type]
    return all_told(nautilus.run_commands(depth, depth[:0], commands, instrument, exchange))
