"""Catalogs, and books of dictionaries, for the tests of exporters and importers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import EVENT_DTYPE, SEQ_NONE
from engine.catalog import Catalog, SourceEntry
from engine.instruments import Instrument, write_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DELTA, SNAPSHOT = 1, 2
BID, ASK = 1, 2
FIRST = 1

Events = np.ndarray[Any, np.dtype[np.void]]


def catalog_of(
    folder: Path, instrument: Instrument, provenance: str = "testnet", **streams: Events
) -> Catalog:
    """A catalog of these rows in `folder/catalog`, and the definition in `folder/conf`, where it is
    found when `folder` is the working folder.
    """
    write_instrument(instrument, folder / "conf" / "instrument")
    catalog = Catalog(folder / "catalog")
    source = [SourceEntry("made by a test", "0" * 64)]
    with catalog.writer(instrument, provenance=provenance, source=source) as writer:
        for kind, rows in streams.items():
            writer.append(kind, rows)
        writer.commit()
    return catalog


def rows_of(catalog: Catalog, instrument: str, kind: str, **span: Any) -> Events:
    """All rows of one kind."""
    batches = catalog.batches(instrument, kind, **span)
    return np.concatenate([np.empty(0, EVENT_DTYPE), *batches])


def messages(rows: Events) -> Iterator[Events]:
    """The rows of each message."""
    yield from np.split(rows, np.flatnonzero(rows["flags"] & FIRST)[1:]) if len(rows) else []


class DictBook:
    """A book of two dictionaries, as plain as can be: ticks to lots."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._seq: int | None = None

    def apply(self, rows: Events) -> bool:
        """Applies one message, if it is newer than the book; whether it was."""
        seq = int(rows["seq"][0])
        if rows["kind"][0] == SNAPSHOT:
            self.bids.clear()
            self.asks.clear()
        elif self._seq is None or (SEQ_NONE not in (seq, self._seq) and seq <= self._seq):
            return False
        self._seq = seq
        for side, px, qty in zip(
            rows["side"].tolist(), rows["px_ticks"].tolist(), rows["qty_lots"].tolist(), strict=True
        ):
            levels = {BID: self.bids, ASK: self.asks}.get(side, {})
            if qty:
                levels[px] = qty
            else:
                levels.pop(px, None)
        return True


def applied(depth: Events) -> Events:
    """The rows of the messages that a book applies."""
    book = DictBook()
    kept = [rows for rows in messages(depth) if book.apply(rows)]
    return np.concatenate([np.empty(0, EVENT_DTYPE), *kept])
