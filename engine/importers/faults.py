"""What the importers of other engines' files share: broken rows, provenance, an option."""

from __future__ import annotations

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

__all__ = ["TS_LEAST_NS", "TS_MOST_NS", "begin_empty", "provenance_of", "sort_out"]

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


def sort_out(
    tally: Tally,
    usable: NDArray[np.bool_],
    fault: NDArray[np.bool_],
    expected: str,
    place: tuple[str, int],
    shown: Callable[[int], tuple[Any, str]],
) -> None:
    """Takes the rows with this fault out of `usable`, in place, and tells them. `place` is the
    file's name and the number of its row that stands first here, `shown` gives the value found in a
    row and the row as text.
    """
    broken = np.flatnonzero(usable & fault)
    usable[broken] = False
    name, first = place
    for at in broken.tolist():
        value, text = shown(at)
        tally.break_line(name, first + at, f"{expected}, found {value}", text)
