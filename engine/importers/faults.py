"""What the importers of other engines' files share: broken rows, provenance, an option."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import ConfigError
from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from engine.importers.delimited import Tally
    from engine.importers.report import ImportRequest
    from engine.instruments import Instrument

__all__ = ["TS_LEAST_NS", "TS_MOST_NS", "Sieve", "begin_empty", "provenance_of"]

TS_LEAST_NS, TS_MOST_NS = 10**17, 4 * 10**18
"""ns since the epoch from 1973 to 2096: the same moments in other units do not fall into this."""


def begin_empty(request: ImportRequest) -> bool:
    """Whether `options.begin` says that the book is empty at the start, rather than not known."""
    begin = request.options.get("begin", "snapshot")
    if begin not in ("snapshot", "empty"):
        raise ConfigError(f"options.begin: expected snapshot or empty, found '{begin}'")
    return begin == "empty"


def provenance_of(instrument: Instrument, abouts: Iterable[Mapping[str, Any] | None]) -> str:
    """`testnet` or `recorded`: by the instrument, and by what the files say of themselves (None:
    nothing). Raises `ImportFailed` for testnet data under the id of a real market.
    """
    if instrument.market == "testnet":
        return "testnet"
    if any(about is not None and about.get("provenance") == "testnet" for about in abouts):
        raise ImportFailed(
            f"path: holds testnet data, which is never imported as {instrument.id} of"
            f" {instrument.market}; name an instrument whose market is testnet"
        )
    return "recorded"


class Sieve:
    """Sorts out the rows of one batch that cannot be used; `usable` are the rest."""

    def __init__(self, rows: int) -> None:
        self.usable = np.ones(rows, np.bool_)
        self._faults: list[tuple[int, str, Callable[[int], tuple[Any, str]]]] = []

    def take_out(
        self, fault: NDArray[np.bool_], expected: str, shown: Callable[[int], tuple[Any, str]]
    ) -> None:
        """Takes out the rows with this fault. `shown` gives the value found in a row, and the row
        as text.
        """
        broken = np.flatnonzero(self.usable & fault)
        self.usable[broken] = False
        self._faults += [(at, expected, shown) for at in broken.tolist()]

    def tell(self, tally: Tally, name: str, first: int) -> None:
        """Tells the rows that were taken out, in order; `first` is the number of the batch's first
        row in the file `name`.
        """
        for at, expected, shown in sorted(self._faults, key=operator.itemgetter(0)):
            value, text = shown(at)
            tally.break_line(name, first + at, f"{expected}, found {value}", text)
