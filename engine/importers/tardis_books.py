"""Books of tardis.dev to messages of event rows: row by row, or whole books to differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine import _core
from engine.importers.writing import event_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from engine.catalog import Events
    from engine.importers.delimited import Block, Tally, Timed

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["BookDifferences", "BookMessages"]

_DELTA, _SNAPSHOT = 1, 2
_BID, _ASK = 1, 2
_HOUR_NS = 3_600_000_000_000
# Cells of the widest table of a step: 4 MiB of 8 bytes.
_CELLS = 512 << 10


class BookMessages:
    """Rows of single levels to messages: those in a row that share receive time and kind are one.

    The last message of a block may go on in the next: it is held back until then.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._held = event_rows(0, kind=_DELTA, ts_event_ns=0, ts_recv_ns=0)
        self._has_book = False

    def take(
        self, timed: Timed, is_snapshot: Integers, side: Integers, px: Integers, qty: Integers
    ) -> Events:
        """The messages that are whole with this block."""
        ok = timed.block.ok
        rows = event_rows(
            int(ok.sum()),
            kind=np.where(is_snapshot[ok] == 1, _SNAPSHOT, _DELTA),
            ts_event_ns=timed.ts_event_ns[ok],
            ts_recv_ns=timed.ts_recv_ns[ok],
            side=side[ok],
            px_ticks=px[ok],
            qty_lots=qty[ok],
        )
        rows = np.concatenate([self._held, rows])
        begins = _begins(rows)
        cut = int(np.flatnonzero(begins)[-1]) if len(rows) else 0
        self._held = rows[cut:].copy()
        return self._messages(rows[:cut])

    def end(self) -> Events:
        """The message that was held back."""
        rows, self._held = self._held, self._held[:0]
        return self._messages(rows)

    def _messages(self, rows: Events) -> Events:
        if not len(rows):
            return rows
        counts = self._tally.counts
        repeats = np.zeros(len(rows), np.bool_)
        repeats[1:] = rows[1:] == rows[:-1]
        counts["depth_duplicates"] += int(repeats.sum())
        rows = rows[~repeats]
        begins = _begins(rows)
        is_snapshot = begins & (rows["kind"] == _SNAPSHOT)
        if not self._has_book:
            first = int(np.argmax(is_snapshot)) if is_snapshot.any() else len(rows)
            counts["depth_unjoined"] += int(begins[:first].sum())
        snapshots = int(is_snapshot.sum())
        if snapshots:
            counts["snapshots_later"] += snapshots - (not self._has_book)
            self._has_book = True
        self._tally.messages["snapshot"] += snapshots
        self._tally.messages["depth"] += int(begins.sum()) - snapshots
        ends = np.append(begins[1:], True)
        rows["flags"] = begins * _core.FLAG_FIRST + ends * _core.FLAG_LAST
        return rows


def _begins(rows: Events) -> Mask:
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = rows["ts_recv_ns"][1:] != rows["ts_recv_ns"][:-1]
    begins[1:] |= rows["kind"][1:] != rows["kind"][:-1]
    return begins


class BookDifferences:
    """Whole books of N levels a side, a row each, to the differences between neighbours."""

    def __init__(self, names: Sequence[str], tally: Tally) -> None:
        self._tally = tally
        self._levels = sum(name.startswith("bids[") and name.endswith(".price") for name in names)
        self._before: tuple[Integers, Integers, bool, int] | None = None
        if self._levels:
            tally.notes.append(
                f"The books hold {self._levels} levels a side: what lies beyond is not known, and a"
                " level that leaves them is removed."
            )

    def take(self, timed: Timed, tick: str, lot: str) -> Events:
        """The messages of a block, one a row."""
        block = timed.block
        sides = [self._side(block, name, tick, lot) for name in ("bids", "asks")]
        px = np.stack([side[0] for side in sides], axis=1)[block.ok]
        qty = np.stack([side[1] for side in sides], axis=1)[block.ok]
        ts_event_ns, ts_recv_ns = timed.ts_event_ns[block.ok], timed.ts_recv_ns[block.ok]
        step = max(_CELLS // (2 * self._levels**2), 1)
        parts = [
            self._messages(
                *(column[at : at + step] for column in (ts_event_ns, ts_recv_ns, px, qty))
            )
            for at in range(0, len(px), step)
        ]
        self._tally.messages["book"] += len(px)
        empty = event_rows(0, kind=_DELTA, ts_event_ns=0, ts_recv_ns=0)
        return np.concatenate([empty, *parts])

    def _side(self, block: Block, side: str, tick: str, lot: str) -> tuple[Integers, Integers]:
        """Prices and sizes of a side, best first, 0 where there is no level."""
        prices, sizes = [], []
        better: Integers | None = None
        for level in range(self._levels):
            name = f"{side}[{level}]"
            px = block.prices(f"{name}.price", tick, blank=True)
            qty = block.quantities(f"{name}.amount", lot, blank=True)
            block.expect(f"{name}.amount", (px > 0) == (qty > 0), "an amount beside a price only")
            if better is not None:
                worse = (px < better) if side == "bids" else (px > better)
                sound = (px == 0) | (worse & (better > 0))
                block.expect(f"{name}.price", sound, "a price worse than the level before")
            better = px
            prices.append(px)
            sizes.append(qty)
        return np.stack(prices, axis=1), np.stack(sizes, axis=1)

    def _messages(
        self, ts_event_ns: Integers, ts_recv_ns: Integers, px: Integers, qty: Integers
    ) -> Events:
        """Rows of books, arrays of (row, side, level), to one message each."""
        rows = len(px)
        crossed = (px[:, 0, 0] >= px[:, 1, 0]) & (px[:, 0, 0] > 0) & (px[:, 1, 0] > 0)
        hours = ts_recv_ns // _HOUR_NS
        blank = np.zeros((1, *px.shape[1:]), np.int64)
        first_px, first_qty, first_crossed, first_hour = self._before or (blank, blank, True, -1)
        old_px = np.concatenate([first_px, px[:-1]])
        old_qty = np.concatenate([first_qty, qty[:-1]])
        # A book that was crossed is trusted again with a whole one only.
        whole = np.append(first_crossed, crossed[:-1])
        whole |= np.append(first_hour, hours[:-1]) != hours
        self._before = px[-1:], qty[-1:], bool(crossed[-1]), int(hours[-1])

        same_px = (px[..., :, np.newaxis] == old_px[..., np.newaxis, :]) & (px > 0)[..., np.newaxis]
        qty_there = (same_px * old_qty[..., np.newaxis, :]).sum(axis=-1)
        there = px > 0
        changed = there & ((qty_there != qty) | whole[:, np.newaxis, np.newaxis])
        gone = (old_px > 0) & ~same_px.any(axis=-2) & ~whole[:, np.newaxis, np.newaxis]
        nothing = ~(changed.any(axis=(1, 2)) | gone.any(axis=(1, 2)))
        self._tally.counts["books_unchanged"] += int((nothing & ~whole).sum())

        # One table of what a message may hold: levels gone, levels changed, and no level at all.
        levels = px.shape[2]
        wanted = np.concatenate(
            [gone.reshape(rows, -1), changed.reshape(rows, -1), nothing[:, np.newaxis]], axis=1
        )
        row, place = np.nonzero(wanted)
        zeros = np.zeros((rows, 1), np.int64)
        flat_px = np.concatenate([old_px.reshape(rows, -1), px.reshape(rows, -1), zeros], axis=1)
        flat_qty = np.concatenate(
            [np.zeros((rows, 2 * levels), np.int64), qty.reshape(rows, -1), zeros], axis=1
        )
        side = np.array([*([_BID] * levels + [_ASK] * levels) * 2, 0])
        begins = np.diff(row, prepend=-1) > 0
        return event_rows(
            len(row),
            kind=np.where(whole[row], _SNAPSHOT, _DELTA),
            ts_event_ns=ts_event_ns[row],
            ts_recv_ns=ts_recv_ns[row],
            side=side[place],
            px_ticks=flat_px[row, place],
            qty_lots=flat_qty[row, place],
            first=begins,
            last=np.append(begins[1:], True) if len(begins) else begins,
        )
