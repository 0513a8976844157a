"""Rows of arrays that cannot be used: counted, and the first of them told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.importers.report import BrokenLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["TS_LEAST_NS", "TS_MOST_NS", "Faults"]

TS_LEAST_NS, TS_MOST_NS = 10**17, 4 * 10**18
"""ns since the epoch from 1973 to 2096: the same moments in other units do not fall into this."""
_KEPT = 100
_TEXT = 80


class Faults:
    """The broken rows of an import: `count` of them, the first in `first`."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[BrokenLine] = []

    def sort_out(
        self,
        usable: NDArray[np.bool_],
        fault: NDArray[np.bool_],
        expected: str,
        place: tuple[str, int],
        shown: Callable[[int], tuple[Any, str]],
    ) -> None:
        """Takes the rows with this fault out of `usable`, in place. `place` is the file's name and
        the number of its row that stands first here, `shown` gives the value found in a row and
        the row as text.
        """
        broken = np.flatnonzero(usable & fault)
        usable[broken] = False
        self.count += len(broken)
        name, first = place
        for at in broken[: _KEPT - len(self.first)].tolist():
            value, text = shown(at)
            reason = f"{expected}, found {value}"
            self.first.append(BrokenLine(name, first + at, reason, text[:_TEXT]))
