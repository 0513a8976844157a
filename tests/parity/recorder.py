"""Any strategy, with the commands that it gives written down, so that a peer can be given the
same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.peers.orders import (
    BUY,
    CANCEL,
    COMMAND_DTYPE,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MODIFY,
    POST_ONLY,
    SELL,
    SUBMIT,
)

if TYPE_CHECKING:
    from engine.instruments import Instrument
    from engine.strategy import Strategy

Given = tuple[int, int, int, int, int, int, int, int]


def recording(
    base: type[Strategy[Any]], config: Any, instrument: Instrument
) -> tuple[Strategy[Any], list[Given]]:
    """A strategy of this class for one instrument, and the list that its commands are added to.

    Entries are rows of `COMMAND_DTYPE`; see `commands`.
    """
    given: list[Given] = []
    tick, lot = float(instrument.tick), float(instrument.lot)
    qty_of: dict[int, int] = {}
    side_of: dict[int, int] = {}

    def steps(value: Any, step: float) -> int:
        return round(float(value) / step)

    class Recorded(base):  # type: ignore[misc, valid-type]
        def buy(self, *args: Any, **options: Any) -> int:
            return self._record(BUY, super().buy, *args, **options)

        def sell(self, *args: Any, **options: Any) -> int:
            return self._record(SELL, super().sell, *args, **options)

        def _record(
            self, side: int, send: Any, name: str, qty: Any, limit: Any = None, **options: Any
        ) -> int:
            order_id: int = send(name, qty, limit, **options)
            lots = steps(qty, lot)
            qty_of[order_id], side_of[order_id] = lots, side
            tif = {"post_only": POST_ONLY, "IOC": IOC}.get(
                "post_only" if options.get("post_only") else options.get("tif", "GTC"), GTC
            )
            px, kind = (0, MARKET) if limit is None else (steps(limit, tick), LIMIT)
            given.append((self.clock.now_ns, order_id, px, lots, SUBMIT, side, kind, tif))
            return order_id

        def cancel(self, order_id: int) -> bool:
            given.append((self.clock.now_ns, order_id, 0, 0, CANCEL, 0, 0, 0))
            return bool(super().cancel(order_id))

        def modify(self, order_id: int, *, qty: Any = None, limit: Any = None) -> bool:
            assert limit is not None, "the peer needs the price"
            if qty is not None:
                qty_of[order_id] = steps(qty, lot)
            change = (steps(limit, tick), qty_of[order_id], MODIFY, side_of[order_id], LIMIT, GTC)
            given.append((self.clock.now_ns, order_id, *change))
            return bool(super().modify(order_id, qty=qty, limit=limit))

    return Recorded(config), given


def commands(given: list[Given]) -> np.ndarray:
    """The commands as an array of `COMMAND_DTYPE`."""
    return np.array(given, COMMAND_DTYPE)
