"""Tables of a NautilusTrader catalog to event rows.

- A message of the book ends with the flag F_LAST. Where no row of an import has it, rows of equal
  times that follow each other count as one message.
- A message with a CLEAR is a whole book, of the levels after the CLEAR. The first message of all is
  one too if it is flagged F_SNAPSHOT, as the book is empty before it.
- `sequence` becomes the update id if it rises from message to message; which id a delta continues
  from is not known, so gaps cannot be found. A trade's id is kept where it is a whole number.
- A trade that repeats the one before in everything, its id included, is left out and counted.
- Books of single orders (a row has an order id) and of the best prices alone (F_TOB) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.exporters.fixed_point import FixedPoint
from engine.importers.faults import TS_LEAST_NS, TS_MOST_NS, Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from engine.catalog import Events
    from engine.importers.delimited import Tally
    from engine.instruments import Instrument

    Columns = Mapping[str, NDArray[Any]]
    """Columns by name; fixed-point integers as words, see `engine.exporters.fixed_point`."""
    Faulty = tuple[NDArray[np.bool_], str, str]

__all__ = [
    "Depth10Decoder",
    "DepthDecoder",
    "Grouping",
    "QuoteDecoder",
    "SequenceCheck",
    "TradeDecoder",
    "fields",
]

_ADD, _UPDATE, _DELETE, _CLEAR = 1, 2, 3, 4
_BUY, _SELL = 1, 2
_F_LAST, _F_TOB, _F_SNAPSHOT = 128, 64, 32
_ID = re.compile("0|[1-9][0-9]{0,17}")
_LEVELS = 10


@dataclass(frozen=True)
class Grouping:
    """How an import's depth rows are read, found by a first reading of all of them."""

    by_flag: bool
    has_ids: bool
    begin_empty: bool = False


class _Decoder:
    """What the decoders share: whole steps, sound times in order, and the telling of faults."""

    def __init__(self, instrument: Instrument, width: int, tally: Tally) -> None:
        self._instrument = instrument
        self._price = FixedPoint(instrument.tick, width)
        self._size = FixedPoint(instrument.lot, width)
        self._tally = tally
        self._ts_init = 0

    def _prices(
        self, columns: Columns, name: str, *, where: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Faulty]:
        steps, exact = self._price.decode(columns[name])
        fault = ~(exact & (steps > 0))
        expected = f"expected a positive multiple of the tick {self._instrument.tick}"
        return steps, (fault if where is None else fault & where, name, expected)

    def _sizes(
        self, columns: Columns, name: str, least: int = 0
    ) -> tuple[NDArray[np.int64], Faulty]:
        steps, exact = self._size.decode(columns[name])
        bound = "above 0" if least else "not negative"
        expected = f"expected a multiple of the lot {self._instrument.lot}, {bound}"
        return steps, (~(exact & (steps >= least)), name, expected)

    def _usable(
        self, columns: Columns, place: tuple[str, int], faulty: list[Faulty]
    ) -> NDArray[np.bool_]:
        """Which rows have none of these faults and times that do not go back."""
        ts_init = columns["ts_init"].astype(np.int64)
        sieve = Sieve(len(ts_init))

        def take_out(fault: NDArray[np.bool_], field: str, expected: str) -> None:
            sieve.take_out(fault, f"{field}: {expected}", _shown(columns, field))

        for name in ("ts_event", "ts_init"):
            values = columns[name]
            wrong = (values < TS_LEAST_NS) | (values > TS_MOST_NS)
            take_out(wrong, name, "expected ns since the epoch, from 1973 to 2096")
        for fault in faulty:
            take_out(*fault)
        times = np.where(sieve.usable, ts_init, 0)
        newest = np.maximum.accumulate(np.append(self._ts_init, times))
        self._ts_init = int(newest[-1])
        back = ts_init < newest[:-1]
        take_out(back, "ts_init", "expected a time at or after those before it")
        sieve.tell(self._tally, *place)
        return sieve.usable


def _shown(columns: Columns, field: str) -> Callable[[int], tuple[Any, str]]:
    """How a row is shown to people: the value of the field at fault, and all of it."""

    def shown(at: int) -> tuple[Any, str]:
        values = {name: _plain(column[at]) for name, column in columns.items()}
        return values[field], ", ".join(f"{name} {value}" for name, value in values.items())

    return shown


def _plain(value: Any) -> Any:
    """A value of a column for people: words as the integer that they are."""
    if not isinstance(value, np.ndarray):
        return value
    content = value.tobytes()
    return int.from_bytes(content, "little", signed=True)


def _blank(columns: Columns, kind: int) -> Events:
    """Event rows with their times, without ids and flags."""
    out = np.zeros(len(columns["ts_init"]), _core.EVENT_DTYPE)
    out["ts_event_ns"] = columns["ts_event"].astype(np.int64)
    out["ts_recv_ns"] = columns["ts_init"].astype(np.int64)
    out["seq"] = out["prev_seq"] = _core.SEQ_NONE
    out["kind"] = kind
    return out


class SequenceCheck:
    """First reading of the depth rows: whether messages end with a flag, and whether the sequence
    numbers rise, as update ids do.
    """

    def __init__(self) -> None:
        self.has_last = False
        self.rises = True
        self._newest = 0

    def push(self, columns: Columns) -> None:
        """The next rows."""
        is_last = columns["flags"] & _F_LAST != 0
        self.has_last |= bool(is_last.any())
        # The sequence of a message is that of its last row.
        ids = columns["sequence"][is_last]
        before = np.append(np.uint64(self._newest), ids[:-1])[: len(ids)]
        self.rises &= bool((ids > before).all())
        self._newest = int(ids[-1]) if len(ids) else self._newest

    def grouping(self, *, begin_empty: bool) -> Grouping:
        """How the rows are to be read."""
        return Grouping(self.has_last, self.has_last and self.rises, begin_empty)


_ROW = np.dtype(
    [
        ("ts_event", "<i8"),
        ("ts_init", "<i8"),
        ("px", "<i8"),
        ("qty", "<i8"),
        ("seq", "<u8"),
        ("action", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("ok", "?"),
    ]
)


class DepthDecoder(_Decoder):
    """Tables of `OrderBookDelta` to depth rows."""

    def __init__(
        self, instrument: Instrument, width: int, tally: Tally, grouping: Grouping
    ) -> None:
        super().__init__(instrument, width, tally)
        self._grouping = grouping
        self._held: NDArray[np.void] = np.empty(0, _ROW)
        self._is_first = True
        self.has_book = False

    def push(self, columns: Columns, place: tuple[str, int]) -> Events:
        """The next rows: what is whole now; the rest is kept for the next call."""
        rows = np.concatenate([self._held, self._rows(columns, place)])
        cut = 0
        if len(rows):
            ends = np.flatnonzero(self._ends(rows))
            if not self._grouping.by_flag:
                # The last rows may go on.
                ends = ends[:-1]
            cut = int(ends[-1]) + 1 if len(ends) else 0
        self._held = rows[cut:]
        return self._messages(rows[:cut])

    def finish(self) -> Events:
        """The rows that were kept."""
        rows, self._held = self._held, np.empty(0, _ROW)
        if len(rows) and self._grouping.by_flag:
            self._tally.counts["depth_rows_unended"] += len(rows)
        return self._messages(rows)

    def _rows(self, columns: Columns, place: tuple[str, int]) -> NDArray[np.void]:
        action, side = columns["action"], columns["side"]
        has_level = action != _CLEAR
        px, px_fault = self._prices(columns, "price", where=has_level)
        qty, qty_fault = self._sizes(columns, "size")
        faulty = [
            ((action < _ADD) | (action > _CLEAR), "action", "expected 1 to 4"),
            (has_level & (side != _BUY) & (side != _SELL), "side", "expected 1 (buy) or 2 (sell)"),
            (
                columns["order_id"] != 0,
                "order_id",
                "expected 0 (a level of the book; single orders are another format)",
            ),
            (
                columns["flags"] & _F_TOB != 0,
                "flags",
                "expected levels of the book, without F_TOB (best prices alone)",
            ),
            px_fault,
            qty_fault,
        ]
        out = np.zeros(len(action), _ROW)
        out["ok"] = self._usable(columns, place, faulty)
        for name in ("ts_event", "ts_init"):
            out[name] = columns[name].astype(np.int64)
        out["seq"] = columns["sequence"]
        for name in ("action", "side", "flags"):
            out[name] = columns[name]
        out["px"] = np.where(has_level, px, 0)
        out["qty"] = np.where(has_level & (action != _DELETE), qty, 0)
        return out

    def _ends(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which rows end a message."""
        if self._grouping.by_flag:
            by_flag: NDArray[np.bool_] = rows["flags"] & _F_LAST != 0
            return by_flag
        ends = np.ones(len(rows), np.bool_)
        ends[:-1] = (rows["ts_init"][1:] != rows["ts_init"][:-1]) | (
            rows["ts_event"][1:] != rows["ts_event"][:-1]
        )
        return ends

    def _messages(self, rows: NDArray[np.void]) -> Events:
        """Whole messages to event rows; rows that cannot be used leave the rest of theirs."""
        if not len(rows):
            return np.empty(0, _core.EVENT_DTYPE)
        message = np.append(0, np.cumsum(self._ends(rows))[:-1])
        starts = np.flatnonzero(np.diff(message, prepend=-1))
        last = np.append(starts[1:], len(rows)) - 1
        seq = rows["seq"][last] if self._grouping.has_ids else np.full(len(last), _core.SEQ_NONE)
        times = np.maximum.reduceat(np.where(rows["ok"], rows["ts_init"], 0), starts)
        index = np.arange(len(rows))
        is_clear = rows["ok"] & (rows["action"] == _CLEAR)
        cleared = np.full(len(starts), -1)
        cleared[message[is_clear]] = index[is_clear]
        is_book = cleared >= 0
        if self._is_first and not is_book[0]:
            is_book[0] = rows["flags"][0] & _F_SNAPSHOT != 0
        after = rows["ok"] & (index > cleared[message])
        levels = np.bincount(message[after], minlength=len(starts))
        before = rows["ok"] & ~after & ~is_clear
        self._tally.counts["depth_rows_before_clear"] += int(before.sum())
        # A CLEAR alone is an empty book.
        kept = after | (is_clear & (index == cleared[message]) & (levels[message] == 0))
        moved = rows["ok"] & (rows["ts_init"] != times[message])
        self._tally.counts["depth_rows_moved"] += int(moved.sum())
        out = self._events(rows[kept], message[kept], is_book, seq, times)
        return self._begun(out)

    def _events(
        self,
        rows: NDArray[np.void],
        message: NDArray[np.int64],
        is_book: NDArray[np.bool_],
        seq: NDArray[np.uint64],
        times: NDArray[np.int64],
    ) -> Events:
        out = np.zeros(len(rows), _core.EVENT_DTYPE)
        out["ts_event_ns"] = rows["ts_event"]
        out["ts_recv_ns"] = times[message]
        out["px_ticks"], out["qty_lots"] = rows["px"], rows["qty"]
        out["seq"], out["prev_seq"] = seq[message], _core.SEQ_NONE
        out["kind"] = np.where(is_book[message], 2, 1)
        out["side"] = np.where(rows["action"] == _CLEAR, 0, rows["side"])
        if len(out):
            is_first = np.append(True, message[1:] != message[:-1])
            out["flags"] = np.where(is_first, _core.FLAG_FIRST, 0)
            out["flags"] |= np.where(np.append(is_first[1:], True), _core.FLAG_LAST, 0).astype(
                np.uint16
            )
        return out

    def _begun(self, out: Events) -> Events:
        """With a book that stands from the first row on where the request says so, and with a
        count of the rows before it does.
        """
        if not len(out):
            return out
        if self._is_first and self._grouping.begin_empty and out["kind"][0] != 2:
            begin = out[:1].copy()
            for name in ("px_ticks", "qty_lots", "side"):
                begin[name] = 0
            begin["kind"], begin["seq"] = 2, _core.SEQ_NONE
            begin["flags"] = _core.FLAG_FIRST | _core.FLAG_LAST
            out = np.concatenate([begin, out])
        self._is_first = False
        if not self.has_book:
            books = np.flatnonzero(out["kind"] == 2)
            self.has_book = len(books) > 0
            self._tally.counts["depth_rows_before_snapshot"] += (
                int(books[0]) if len(books) else len(out)
            )
        return out


class Depth10Decoder(_Decoder):
    """Tables of `OrderBookDepth10`: each row is a whole book of up to ten levels a side."""

    def push(self, columns: Columns, place: tuple[str, int]) -> Events:
        """The next rows."""
        count = len(columns["ts_init"])
        px = np.zeros((count, 2 * _LEVELS), np.int64)
        qty = np.zeros_like(px)
        faulty = []
        for at in range(2 * _LEVELS):
            name = f"{'ask' if at >= _LEVELS else 'bid'}_{{}}_{at % _LEVELS}"
            qty[:, at], qty_fault = self._sizes(columns, name.format("size"))
            # A level that is not there has no size; what stands for its price means nothing.
            px[:, at], px_fault = self._prices(columns, name.format("price"), where=qty[:, at] != 0)
            faulty += [qty_fault, px_fault]
        usable = self._usable(columns, place, faulty)
        has_level = qty[usable] > 0
        # An empty book is one row without a level.
        has_level[~has_level.any(axis=1), 0] = True
        row, level = np.nonzero(has_level)
        out = _blank({name: columns[name][usable] for name in ("ts_event", "ts_init")}, 2)[row]
        out["px_ticks"], out["qty_lots"] = px[usable][row, level], qty[usable][row, level]
        out["side"] = np.where(out["qty_lots"] > 0, np.where(level < _LEVELS, 1, 2), 0)
        out["px_ticks"][out["side"] == 0] = 0
        if len(out):
            is_first = np.append(True, row[1:] != row[:-1])
            out["flags"] = np.where(is_first, _core.FLAG_FIRST, 0)
            out["flags"] |= np.where(np.append(is_first[1:], True), _core.FLAG_LAST, 0).astype(
                np.uint16
            )
        return out


class TradeDecoder(_Decoder):
    """Tables of `TradeTick` to trades."""

    def __init__(self, instrument: Instrument, width: int, tally: Tally) -> None:
        super().__init__(instrument, width, tally)
        self._last: Events = np.empty(0, _core.EVENT_DTYPE)

    def push(self, columns: Columns, place: tuple[str, int]) -> Events:
        """The next rows."""
        px, px_fault = self._prices(columns, "price")
        qty, qty_fault = self._sizes(columns, "size", least=1)
        side = columns["aggressor_side"]
        faulty = [(side > _SELL, "aggressor_side", "expected 0 to 2"), px_fault, qty_fault]
        out = _blank(columns, 3)
        out["px_ticks"], out["qty_lots"], out["side"] = px, qty, side
        out["flags"] = _core.FLAG_FIRST | _core.FLAG_LAST
        out["seq"] = _ids(columns["trade_id"])
        out = out[self._usable(columns, place, faulty)]
        self._tally.counts["trades_without_number"] += int((out["seq"] == _core.SEQ_NONE).sum())
        repeats = np.concatenate([self._last, out])
        same = (repeats[1:] == repeats[:-1]) & (repeats["seq"][1:] != _core.SEQ_NONE)
        self._last = out[-1:] if len(out) else self._last
        is_repeat = same if len(repeats) > len(out) else np.append(False, same)[: len(out)]
        self._tally.counts["trade_duplicates"] += int(is_repeat.sum())
        kept: Events = out[~is_repeat]
        return kept


def _ids(texts: NDArray[Any]) -> NDArray[np.uint64]:
    """Trade ids as numbers; those that are none as SEQ_NONE."""
    out = np.full(len(texts), _core.SEQ_NONE, np.uint64)
    for at, text in enumerate(texts.tolist()):
        # Zeros in front would be lost: such an id is a text.
        if _ID.fullmatch(text or ""):
            out[at] = int(text)
    return out


class QuoteDecoder(_Decoder):
    """Tables of `QuoteTick` to quotes: two rows a message, bid and ask."""

    def push(self, columns: Columns, place: tuple[str, int]) -> Events:
        """The next rows."""
        found = []
        faulty = []
        for side in ("bid", "ask"):
            px, px_fault = self._prices(columns, f"{side}_price")
            qty, qty_fault = self._sizes(columns, f"{side}_size", least=1)
            found.append((px, qty))
            faulty += [px_fault, qty_fault]
        usable = self._usable(columns, place, faulty)
        out = np.repeat(_blank(columns, 5)[usable], 2)
        for at, (px, qty) in enumerate(found):
            half = out[at::2]
            half["px_ticks"], half["qty_lots"], half["side"] = px[usable], qty[usable], at + 1
            half["flags"] = (_core.FLAG_FIRST, _core.FLAG_LAST)[at]
        return out


def fields(name: str) -> Iterator[tuple[str, str]]:
    """The columns of a table of the format that are read, each with its type in words."""
    if name == "order_book_depth10":
        for side in ("bid", "ask"):
            for at in range(_LEVELS):
                yield f"{side}_price_{at}", "fixed"
                yield f"{side}_size_{at}", "fixed"
    else:
        yield from _FIELDS[name].items()
    yield "ts_event", "uint64"
    yield "ts_init", "uint64"


_FIELDS = {
    "order_book_delta": {
        "action": "uint8",
        "side": "uint8",
        "price": "fixed",
        "size": "fixed",
        "order_id": "uint64",
        "flags": "uint8",
        "sequence": "uint64",
    },
    "trade_tick": {
        "price": "fixed",
        "size": "fixed",
        "aggressor_side": "uint8",
        "trade_id": "string",
    },
    "quote_tick": {
        "bid_price": "fixed",
        "ask_price": "fixed",
        "bid_size": "fixed",
        "ask_size": "fixed",
    },
}
