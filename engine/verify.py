"""Proof of the catalog's books against the venue's own best bid and ask."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import _core
from engine.catalog import Catalog
from engine.feed import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.catalog import Events

__all__ = ["Mismatch", "VerifyReport", "verify"]

Level = tuple[int, int] | None
"""Price in ticks and size in lots; None where the side is empty."""


@dataclass(frozen=True)
class Mismatch:
    """A quote that differs from the book of the same update id."""

    seq: int
    quote_bid: Level
    quote_ask: Level
    book_bid: Level
    book_ask: Level


@dataclass(frozen=True)
class VerifyReport:
    """What the comparison found: `aligned` quotes carry the update id of a depth message that a
    trusted book applied, `equal` of them agree in both prices and both quantities. `gaps` and
    `crossed` count what happened to the book; `stale` messages were older than it, `unready` came
    before the first snapshot.
    """

    instrument: str
    provenance: str
    aligned: int
    equal: int
    gaps: int
    crossed: int
    messages: int
    quotes: int
    applied: int
    stale: int
    unready: int
    impossible: int
    mismatches: list[Mismatch] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every aligned quote is equal and the book was never crossed."""
        return self.equal == self.aligned and self.crossed == 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return dataclasses.asdict(self)


def verify(catalog: Catalog | str | Path, instrument: str) -> VerifyReport:
    """Rebuilds the book of `instrument` from the catalog and compares it, right after each depth
    message, with the quote that carries the same update id, whichever of the two came first.

    Raises `CatalogError` for data that is missing or damaged.
    """
    catalog = catalog if isinstance(catalog, Catalog) else Catalog(catalog)
    manifest = catalog.manifest(instrument)
    verifier = _core.Verifier()
    with (
        read_ahead(catalog.batches(instrument, "depth")) as depth,
        read_ahead(catalog.batches(instrument, "quotes")) as quotes,
    ):
        _feed(verifier, depth, quotes)
    found = verifier.verdict()
    mismatches = [Mismatch(seq, *quote, *book) for seq, quote, book in found.pop("mismatches")]
    return VerifyReport(
        instrument=instrument, provenance=manifest.provenance, mismatches=mismatches, **found
    )


def _feed(verifier: Any, depth: Iterator[Events], quotes: Iterator[Events]) -> None:
    """Feeds whichever stream the comparison waits for, so that neither runs far ahead."""
    open_depth = open_quotes = True
    while open_depth or open_quotes:
        if open_depth and (verifier.wants_depth() or not open_quotes):
            rows = next(depth, None)
            open_depth = rows is not None
            if rows is not None:
                verifier.depth(rows)
        elif open_quotes:
            rows = next(quotes, None)
            open_quotes = rows is not None
            if rows is not None:
                verifier.quotes(rows)
        else:
            return
