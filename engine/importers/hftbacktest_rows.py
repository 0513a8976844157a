"""hftbacktest's rows to event rows.

- Every row that was received carries the LOCAL flag, in the order of arrival and with both times.
  Where hftbacktest wants a row twice, the second one is for the exchange alone (EXCH): it is
  matched with its twin and left out. One without a twin was never received: it is counted and left
  out too.
- The format has no message boundaries. Depth rows of equal receive and venue time that follow each
  other count as one message; so do a clear and the snapshot levels that come with it.
- A clear and snapshot levels become a whole book: what hftbacktest's own book holds after them,
  also where a clear ends at a price and levels beyond it stay.
- There are no update ids and no trade ids: gaps cannot be found, and rows that repeat are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.importers.faults import TS_LEAST_NS, TS_MOST_NS, Sieve
from engine.importers.npz import DTYPE, LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from engine.catalog import Events
    from engine.importers.delimited import Tally
    from engine.instruments import Instrument

__all__ = ["Decoder"]

_EXCH, _BUY, _SELL = 1 << 31, 1 << 29, 1 << 28
_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BBO = 1, 2, 3, 4, 5
_BY_ORDER = (10, 11, 12, 13)
_KNOWN = (_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BBO, *_BY_ORDER)


class Decoder:
    """Rows of the format to event rows, batch by batch and file by file.

    What is broken or left out goes into the tally; `newest_ns` is the receive time of the newest
    row. With `begin_empty` the book stands from the first depth row on, as hftbacktest's does;
    without it, it waits for the first clear or snapshot.
    """

    def __init__(self, instrument: Instrument, tally: Tally, *, begin_empty: bool = False) -> None:
        self._instrument = instrument
        self._tally = tally
        self._begin_empty = begin_empty
        self.newest_ns = 0
        self._depth = np.empty(0, DTYPE)
        self._book = _Book()
        self._twins = _Twins()
        self._has_depth = False
        self.has_book = False

    def push(self, rows: NDArray[np.void], name: str, row: int) -> tuple[Events, Events]:
        """The next rows of the file `name`, the first of them number `row` (counted from 1): depth
        and trades that are whole now. Depth that may go on is kept for the next call.
        """
        rows = rows[self._usable(rows, name, row)]
        self._twins.push(rows)
        kind = rows["ev"] & 0xFF
        self._tally.counts["bbo_rows"] += int((kind == _BBO).sum())
        self._tally.counts["order_rows"] += int(np.isin(kind, _BY_ORDER).sum())
        is_local = rows["ev"] & LOCAL != 0
        trades = rows[is_local & (kind == _TRADE)]
        depth = rows[is_local & np.isin(kind, (_DEPTH, _CLEAR, _SNAPSHOT))]
        held = np.concatenate([self._depth, depth])
        starts = _starts(held)
        cut = int(starts[-1]) if len(starts) else 0
        self._depth = held[cut:]
        return self._messages(held[:cut]), _trades(trades, self._instrument)

    def finish(self) -> Events:
        """The depth rows that were kept."""
        held, self._depth = self._depth, np.empty(0, DTYPE)
        self._tally.counts["exchange_only_rows"] += self._twins.never_received
        self._tally.counts["local_only_rows"] += self._twins.not_at_the_exchange
        return self._messages(held)

    def _usable(self, rows: NDArray[np.void], name: str, row: int) -> NDArray[np.bool_]:
        """Which rows can be used; the others are told as broken, each with its first fault."""
        sieve = Sieve(len(rows))
        for fault, expected in _faults(rows, self._instrument):
            sieve.take_out(fault, expected, _shown(rows, expected))
        is_local = sieve.usable & (rows["ev"] & LOCAL != 0)
        times = np.where(is_local, rows["local_ts"], 0)
        newest = np.maximum.accumulate(np.append(self.newest_ns, times))
        self.newest_ns = int(newest[-1])
        expected = "local_ts: expected a time at or after those before it"
        sieve.take_out(is_local & (times < newest[:-1]), expected, _shown(rows, expected))
        sieve.tell(self._tally, name, row)
        return sieve.usable

    def _messages(self, rows: NDArray[np.void]) -> Events:
        """Whole groups as messages; groups of clears and snapshot levels become whole books."""
        starts = _starts(rows)
        is_snapshot = _is_snapshot(rows)
        parts: list[Events] = []
        if len(rows) and not self._has_depth:
            self._has_depth = True
            if self._begin_empty and not is_snapshot[0]:
                self.has_book = True
                parts.append(_snapshot_of(rows[:1], [], [], self._instrument))
        books = starts[is_snapshot[starts]].tolist()
        ends = np.append(starts[1:], len(rows))
        done = 0
        for begin in books:
            parts.append(self._deltas(rows[done:begin]))
            done = int(ends[np.searchsorted(starts, begin)])
            parts.append(self._snapshot(rows[begin:done]))
        parts.append(self._deltas(rows[done:]))
        return np.concatenate(parts)

    def _deltas(self, rows: NDArray[np.void]) -> Events:
        out = _events(rows, 1, self._instrument)
        starts = _starts(rows)
        out["flags"][starts] |= _core.FLAG_FIRST
        out["flags"][np.append(starts[1:], len(rows))[: len(starts)] - 1] |= _core.FLAG_LAST
        self._book.apply(out)
        if not self.has_book:
            self._tally.counts["depth_rows_before_snapshot"] += len(rows)
        return out

    def _snapshot(self, rows: NDArray[np.void]) -> Events:
        """What the book holds after these clears and levels."""
        self.has_book = True
        is_clear = rows["ev"] & 0xFF == _CLEAR
        levels = _events(rows[~is_clear], 2, self._instrument)
        done = 0
        at = 0
        for clear in np.flatnonzero(is_clear).tolist():
            self._book.apply(levels[done : done + clear - at])
            done, at = done + clear - at, clear + 1
            self._book.clear(rows[clear], self._instrument.tick)
        self._book.apply(levels[done:])
        levels = levels[levels["qty_lots"] > 0]
        if len(levels) == len(self._book) and len(levels):
            # The levels are the whole book, as a snapshot's are: they keep their order.
            levels["flags"][0] |= _core.FLAG_FIRST
            levels["flags"][-1] |= _core.FLAG_LAST
            return levels
        self._tally.counts["partial_snapshots"] += len(self._book) > 0
        return _snapshot_of(rows[:1], *self._book.levels(), self._instrument)


def _shown(rows: NDArray[np.void], expected: str) -> Callable[[int], tuple[Any, str]]:
    """How a row is shown to people: the value of the field at fault, and all of it."""
    field = expected.partition(":")[0]

    def shown(at: int) -> tuple[Any, str]:
        return hex(rows["ev"][at]) if field == "ev" else rows[field][at], str(rows[at])

    return shown


def _faults(
    rows: NDArray[np.void], instrument: Instrument
) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Every fault that a row can have, with the field and what is expected of it."""
    ev = rows["ev"]
    kind = ev & 0xFF
    is_trade = kind == _TRADE
    is_level = (kind == _DEPTH) | (kind == _SNAPSHOT)
    both = _BUY | _SELL
    yield (
        ~np.isin(kind, _KNOWN),
        f"ev: expected one of {', '.join(map(str, _KNOWN))} in its lowest byte",
    )
    yield ev & (_EXCH | LOCAL) == 0, "ev: expected the flag EXCH or LOCAL"
    yield is_level & ((ev & both == 0) | (ev & both == both)), "ev: expected BUY or SELL"
    yield is_trade & (ev & both == both), "ev: expected BUY or SELL, not both"
    for name in ("exch_ts", "local_ts"):
        wrong = (rows[name] < TS_LEAST_NS) | (rows[name] > TS_MOST_NS)
        yield wrong, f"{name}: expected ns since the epoch, from 1973 to 2096"
    priced = is_level | is_trade
    px_fault = priced & ~(_steps(rows["px"], instrument.tick)[1] & (rows["px"] > 0))
    yield px_fault, f"px: expected a positive multiple of the tick {instrument.tick}"
    qty_fault = priced & ~(_steps(rows["qty"], instrument.lot)[1] & (rows["qty"] >= 0))
    yield qty_fault, f"qty: expected a multiple of the lot {instrument.lot}, not negative"
    yield is_trade & ~(rows["qty"] > 0), "qty: expected a trade of more than 0"


def _steps(values: NDArray[np.float64], step: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Floats as whole steps, and which of them are."""
    steps, bad, _ = _core.float_steps(np.ascontiguousarray(values), step)
    is_whole = np.ones(len(steps), np.bool_)
    is_whole[bad] = False
    return steps, is_whole


def _starts(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Where a group of equal times, of snapshot rows or of others, begins."""
    if not len(rows):
        return np.empty(0, np.int64)
    is_snapshot = _is_snapshot(rows)
    new = np.ones(len(rows), np.bool_)
    new[1:] = is_snapshot[1:] != is_snapshot[:-1]
    for name in ("local_ts", "exch_ts"):
        new[1:] |= rows[name][1:] != rows[name][:-1]
    return np.flatnonzero(new)


def _is_snapshot(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    is_snapshot: NDArray[np.bool_] = rows["ev"] & 0xFF != _DEPTH
    return is_snapshot


def _events(rows: NDArray[np.void], kind: int, instrument: Instrument) -> Events:
    """Event rows without flags; the format knows no ids."""
    out = np.zeros(len(rows), _core.EVENT_DTYPE)
    out["ts_event_ns"] = rows["exch_ts"]
    out["ts_recv_ns"] = rows["local_ts"]
    out["px_ticks"] = _steps(rows["px"], instrument.tick)[0]
    out["qty_lots"] = _steps(rows["qty"], instrument.lot)[0]
    out["seq"] = out["prev_seq"] = _core.SEQ_NONE
    out["kind"] = kind
    out["side"] = np.where(rows["ev"] & _BUY != 0, 1, np.where(rows["ev"] & _SELL != 0, 2, 0))
    return out


def _trades(rows: NDArray[np.void], instrument: Instrument) -> Events:
    out = _events(rows, 3, instrument)
    out["flags"] = _core.FLAG_FIRST | _core.FLAG_LAST
    return out


def _snapshot_of(
    head: NDArray[np.void],
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    instrument: Instrument,
) -> Events:
    """A snapshot of these levels at the times of `head`; a row without a level for an empty one."""
    levels = [(1, *level) for level in bids] + [(2, *level) for level in asks]
    out = np.repeat(_events(head, 2, instrument), max(1, len(levels)))
    for name, values in zip(
        ("side", "px_ticks", "qty_lots"), zip(*levels or [(0, 0, 0)], strict=True), strict=True
    ):
        out[name] = values
    out["flags"][0] |= _core.FLAG_FIRST
    out["flags"][-1] |= _core.FLAG_LAST
    return out


class _Book:
    """What hftbacktest's book holds: lots by ticks, for each side."""

    def __init__(self) -> None:
        self._sides: dict[int, dict[int, int]] = {1: {}, 2: {}}

    def __len__(self) -> int:
        return sum(map(len, self._sides.values()))

    def apply(self, rows: Events) -> None:
        """Sets levels, in order."""
        sides = self._sides
        for side, px, qty in zip(
            rows["side"].tolist(), rows["px_ticks"].tolist(), rows["qty_lots"].tolist(), strict=True
        ):
            if qty:
                sides[side][px] = qty
            else:
                sides[side].pop(px, None)

    def clear(self, row: np.void, tick: str) -> None:
        """Empties both sides, or one of them from its best price to the price of the clear."""
        ev, px = int(row["ev"]), float(row["px"])
        is_whole = not np.isfinite(px) or ev & (_BUY | _SELL) == 0
        end = 0 if is_whole else round(px / float(tick))
        for side, flag in ((1, _BUY), (2, _SELL)):
            if ev & (_BUY | _SELL) and not ev & flag:
                continue
            levels = self._sides[side]
            for level in list(levels):
                if is_whole or (level >= end if side == 1 else level <= end):
                    del levels[level]

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks, best first."""
        return sorted(self._sides[1].items(), reverse=True), sorted(self._sides[2].items())


class _Twins:
    """Matches rows that stand twice, once for each clock."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}

    def push(self, rows: NDArray[np.void]) -> None:
        """Takes in the rows that are for one clock alone."""
        clocks = rows["ev"] & (_EXCH | LOCAL)
        alone = rows[clocks != (_EXCH | LOCAL)]
        signs = np.where(alone["ev"] & _EXCH != 0, 1, -1).tolist()
        alone["ev"] &= np.uint64(~(_EXCH | LOCAL) & (2**64 - 1))
        size = DTYPE.itemsize
        content = alone.tobytes()
        for at, sign in enumerate(signs):
            key = content[at * size : (at + 1) * size]
            count = self._open.get(key, 0) + sign
            if count:
                self._open[key] = count
            else:
                del self._open[key]

    @property
    def never_received(self) -> int:
        """Rows for the exchange alone that have no twin."""
        return sum(count for count in self._open.values() if count > 0)

    @property
    def not_at_the_exchange(self) -> int:
        """Rows for the strategy alone that have no twin."""
        return -sum(count for count in self._open.values() if count < 0)
