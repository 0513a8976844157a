"""Comma-separated vendor files as blocks of rows: bounded memory, exact integers, every line known.

The rule for damage: a line that cannot be used is told with its number and its reason, and the
lines around it are taken. Text is never quoted in these files, so a stray quotation mark cannot
swallow the lines behind it. What one line costs is bounded too: one beyond 1 MiB is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.config import ConfigError
from engine.importers.report import BrokenLine, ImportFailed
from engine.importers.tables import Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from engine.importers.report import ImportRequest

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = [
    "RATIO_MAX",
    "Block",
    "Counted",
    "CsvFile",
    "Tally",
    "Timed",
    "ratio_max",
    "text_steps",
    "with_next",
]

_BLOCK_BYTES = 4 << 20
_LINE_BYTES_MAX = 1 << 20
_BROKEN_KEPT = 100
_SHOWN_CHARS = 200
_BOM = b"\xef\xbb\xbf"
RATIO_MAX = 200
"""How many times its size a packed file may unpack to. Text of markets packs to a fifth or a tenth;
`options.ratio_max` raises the limit."""

_TS_MIN_NS = 1_230_768_000_000_000_000  # 2009: before the first block there was nothing to trade.
_TS_MAX_NS = 4_102_444_800_000_000_000  # 2100.
_SECOND_NS = 1_000_000_000


def ratio_max(request: ImportRequest) -> int:
    """The value of `options.ratio_max`; raises `ConfigError` for one that is no whole number."""
    text = request.options.get("ratio_max", str(RATIO_MAX))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"options.ratio_max: expected a whole number above 0, found '{text}'")
    return int(text)


@dataclass
class Tally:
    """What a reader counts on its way through the files. `lines` and `broken` are lines (a header
    is none), `broken_first` the first 100 broken ones, `messages` and `counts` have names of the
    format's own, `other_symbols` says how many lines are of which other instrument, `notes` are
    sentences for the user.
    """

    lines: int = 0
    broken: int = 0
    broken_first: list[BrokenLine] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    other_symbols: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    text_bytes: int = 0

    def break_line(self, file: str, line: int, reason: str, text: str = "") -> None:
        """Counts a line that cannot be used."""
        self.broken += 1
        if len(self.broken_first) < _BROKEN_KEPT:
            self.broken_first.append(BrokenLine(file, line, reason, text[:_SHOWN_CHARS]))

    def sort(self, files: Sequence[str]) -> None:
        """Puts the broken lines into the order of these files and their lines."""
        place = {name: at for at, name in enumerate(files)}
        self.broken_first.sort(key=lambda line: (place.get(line.file, len(place)), line.line))


@dataclass(frozen=True)
class Counted:
    """A column as counts of a step: `values` where `ok`, `rounded` where taken to the nearest."""

    values: Integers
    ok: Mask
    rounded: Mask


def text_steps(
    column: Any, step: str, *, nearest_places: int | None = None, exponents: bool = False
) -> Counted:
    """An Arrow array of decimal texts (binary or string, no nulls) as exact counts of `step`, by
    the core's one function for that. With `nearest_places` a text of at most so many decimal places
    that is no multiple is taken for the nearest one, but never for 0; with `exponents` 1e-7 is read
    as 0.0000001.
    """
    import pyarrow as pa

    assert pa.types.is_binary(column.type) or pa.types.is_string(column.type)
    assert column.null_count == 0
    _, places, content = column.buffers()
    offsets = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    values, bad, _, rounded = _core.decimal_steps(offsets, data, step, nearest_places)
    counted = Counted(values, ~_mask(len(values), bad), _mask(len(values), rounded))
    if exponents and len(bad):
        _take_exponents(counted, column, bad, step, nearest_places)
    return counted


_EXPONENT = re.compile(rb"[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]{1,2}")


def _take_exponents(
    counted: Counted, column: Any, bad: Integers, step: str, nearest_places: int | None
) -> None:
    """Counts the texts with an exponent, which languages print for numbers near 0."""
    import pyarrow as pa

    texts = [bytes(text) for text in column.take(pa.array(bad)).cast(pa.binary()).to_pylist()]
    found = [at for at, text in enumerate(texts) if _EXPONENT.fullmatch(text)]
    plain = [format(Decimal(texts[at].decode()), "f").encode() for at in found]
    again = text_steps(pa.array(plain, pa.binary()), step, nearest_places=nearest_places)
    rows = bad[found]
    counted.values[rows], counted.ok[rows] = again.values, again.ok
    counted.rounded[rows] = again.rounded


def _numpy(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """An Arrow array of numbers without nulls as numpy sees its memory. Its own `to_numpy` would
    load pandas, a second and more, wherever that is installed.
    """
    values = np.frombuffer(array.buffers()[1] or b"", dtype)
    return values[array.offset : array.offset + len(array)]


def _mask(rows: int, at: Integers) -> Mask:
    mask = np.zeros(rows, np.bool_)
    mask[at] = True
    return mask


class Block:
    """Some rows of a file, a column of bytes for each field. Readers take columns out of it; a row
    whose text cannot be used is `ok` no more, and the tally has its first reason.
    """

    def __init__(
        self,
        name: str,
        columns: dict[str, Any],
        lines: Integers,
        tally: Tally,
        *,
        exponents: bool = False,
    ) -> None:
        self.file = name
        self._exponents = exponents
        self.lines = lines
        self.ok = np.ones(len(lines), np.bool_)
        self._columns = columns
        self._tally = tally

    def __len__(self) -> int:
        return len(self.lines)

    def text(self, name: str, at: int) -> str:
        """A cell as its file has it."""
        found: bytes = self._columns[name][at].as_py()
        return found.decode(errors="replace")

    def column(self, name: str) -> Any:
        """A column, a pyarrow array of binary."""
        return self._columns[name]

    def blank(self, name: str) -> Mask:
        """Which cells of a column are empty."""
        import pyarrow.compute as pc

        empty: Mask = _numpy(pc.binary_length(self._columns[name]), np.int32) == 0
        return empty

    def require(self, sound: Mask, reason: Callable[[int], str]) -> None:
        """Breaks the rows that are not sound, with `reason(row)`."""
        broken = self.ok & ~sound
        if not broken.any():
            return
        self.ok &= sound
        rows = np.flatnonzero(broken)
        tally = self._tally
        kept = max(_BROKEN_KEPT - len(tally.broken_first), 0)
        for at in rows[:kept].tolist():
            text = ",".join(self.text(name, at) for name in self._columns)
            tally.break_line(self.file, int(self.lines[at]), reason(at), text)
        tally.broken += len(rows[kept:])

    def expect(self, name: str, sound: Mask, expected: str) -> None:
        """As `require`, with the words for a cell of one column."""

        def reason(at: int) -> str:
            found = self.text(name, at)
            return f"{name}: expected {expected}, found {repr(found[:60]) if found else 'nothing'}"

        self.require(sound, reason)

    def prices(self, name: str, tick: str, *, blank: bool = False) -> Integers:
        """Prices in ticks, above 0; with `blank` an empty or zero cell is 0."""
        counted = text_steps(self._columns[name], tick, exponents=self._exponents)
        sound = counted.ok & (counted.values >= (0 if blank else 1))
        if blank:
            sound |= self.blank(name)
        self.expect(name, sound, f"a positive multiple of the tick {tick}")
        return counted.values

    def quantities(
        self,
        name: str,
        lot: str,
        *,
        least: int = 0,
        blank: bool = False,
        nearest_places: int | None = None,
    ) -> Integers:
        """Quantities in lots, at least `least`; with `blank` an empty cell is 0. What is taken to
        the nearest lot is counted as `quantities_rounded`.
        """
        counted = text_steps(
            self._columns[name], lot, nearest_places=nearest_places, exponents=self._exponents
        )
        sound = counted.ok & (counted.values >= least)
        if blank:
            sound |= self.blank(name)
        rule = f"a positive multiple of the lot {lot}"
        self.expect(name, sound, rule if least else f"a multiple of the lot {lot}, not negative")
        self._tally.counts["quantities_rounded"] += int((counted.rounded & self.ok).sum())
        return counted.values

    def whole_numbers(self, name: str) -> Integers:
        """Whole numbers from 0 to 2^63 - 1; 0 in rows that are broken for having none."""
        counted = text_steps(self._columns[name], "1")
        sound = counted.ok & (counted.values >= 0)
        self.expect(name, sound, "a whole number from 0 to 2^63 - 1")
        return np.where(sound, counted.values, 0)

    def times(self, name: str, unit_ns: int, unit: str) -> Integers:
        """Times in ns, from 2009 to 2100, from whole numbers of a unit."""
        counted = text_steps(self._columns[name], "1")
        return self.times_of(name, np.where(counted.ok, counted.values, 0), unit_ns, unit)

    def times_of(self, name: str, numbers: Integers, unit_ns: int, unit: str) -> Integers:
        """As `times`, from numbers that stand for those of the column."""
        sound = (numbers >= _TS_MIN_NS // unit_ns) & (numbers < _TS_MAX_NS // unit_ns)
        self.expect(name, sound, f"a time from 2009 to 2100 in {unit}")
        return np.where(sound, numbers, 0) * unit_ns

    def choices(self, name: str, texts: Sequence[str], expected: str | None = None) -> Integers:
        """The place of each cell among `texts`; any other text breaks its row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._columns[name]
        known = pa.array([text.encode() for text in texts], column.type)
        place = _numpy(pc.index_in(column, known).fill_null(-1), np.int32)
        self.expect(name, place >= 0, expected or f"one of {', '.join(texts)}")
        found: Integers = place.astype(np.int64)
        return found

    def near(self, name: str, ts_event_ns: Integers, ts_recv_ns: Integers, limit_ns: int) -> None:
        """Breaks rows whose two clocks are further apart than `limit_ns`."""
        apart = np.abs(ts_event_ns - ts_recv_ns) <= limit_ns
        self.expect(name, apart, f"a time within {limit_ns // _SECOND_NS:,} s of the receive time")

    def in_order(self, name: str, ts_ns: Integers, last_ns: int, next_ns: int | None) -> int:
        """Breaks rows whose time does not fit those around them by more than a second, and gives
        the latest time of the others. `last_ns` is the latest time before this block, `next_ns` the
        first behind it.

        What goes back is at fault, except for a time ahead of both neighbours: there it is that
        one. Smaller steps back stay; the writer raises them to the time before.
        """
        fits = _in_order(ts_ns[self.ok], last_ns, next_ns)
        sound = np.ones(len(self), np.bool_)
        sound[self.ok] = fits
        self.expect(name, sound, "a time that does not go back, nor ahead of the lines behind it,")
        return int(ts_ns[self.ok].max(initial=last_ns))

    def count_others(self, name: str) -> None:
        """Counts the texts of a column in rows that are broken already, as other instruments."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.ok.all():
            return
        for item in pc.value_counts(self._columns[name].filter(pa.array(~self.ok))).to_pylist():
            shown = item["values"].decode(errors="replace")[:40]
            self._tally.other_symbols[shown] += item["counts"]

    def repeats(self, names: Sequence[str], before: Sequence[str] | None) -> Mask:
        """Which rows have in these columns what the row before has; `before` holds the cells of the
        last row of the block before.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        same = np.ones(len(self), np.bool_)
        if len(self):
            same[0] = before is not None and all(
                self.text(name, 0) == text for name, text in zip(names, before, strict=True)
            )
        for name in names:
            column = self._columns[name]
            equal = pc.equal(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
            same[1:] &= _numpy(equal.cast(pa.uint8()), np.uint8) == 1
        return same

    def leave_out(self, rows: Mask) -> None:
        """Takes rows out of use without breaking them."""
        self.ok &= ~rows


def _in_order(ts_ns: Integers, last_ns: int, next_ns: int | None) -> Mask:
    tail = [] if next_ns is None else [next_ns]
    around = np.concatenate([[last_ns], ts_ns, tail]).astype(np.int64)
    fits = np.ones(len(around), np.bool_)
    if _steady(around).all():
        return fits[: len(ts_ns)]
    # Runs of times without a step of more than a second either way, one judged after the other.
    starts = (np.flatnonzero(np.abs(np.diff(around)) > _SECOND_NS) + 1).tolist()
    ends = [*starts[1:], len(around)]
    latest = int(around[: starts[0]].max()) if starts else last_ns
    for at, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if around[start] < latest - _SECOND_NS or _is_ahead(around, starts[at:], latest):
            fits[start:end] = False
        else:
            latest = max(latest, int(around[start:end].max()))
    fits &= _steady(np.where(fits, around, 0))
    return fits[1 : len(ts_ns) + 1]


def _is_ahead(around: Integers, starts: Sequence[int], latest: int) -> bool:
    """Whether the first of these runs of times lies ahead of both neighbours, so that it is at
    fault and not the run behind it: the longer of the two is right, else the one that fits what
    comes then.
    """
    if len(starts) < 2 or starts[1] - starts[0] > _AHEAD_ROWS_MAX:
        return False
    first, behind = int(around[starts[0]]), int(around[starts[1]])
    if not latest <= behind < first - _SECOND_NS:
        return False
    if len(starts) == 2:
        return True
    rows, rows_behind = starts[1] - starts[0], starts[2] - starts[1]
    if rows != rows_behind:
        return rows < rows_behind
    return bool(around[starts[2]] < first - _SECOND_NS)


def _steady(ts_ns: Integers) -> Mask:
    """Which times are at most a second behind the latest before them."""
    steady: Mask = ts_ns >= np.maximum.accumulate(ts_ns) - _SECOND_NS
    return steady


# So many rows in a row ahead of the others are no slip of single lines any more.
_AHEAD_ROWS_MAX = 16


def with_next(blocks: Iterable[Timed]) -> Iterator[tuple[Timed, int | None]]:
    """Each block with the first receive time behind it, which tells what is ahead of its time."""
    held: Timed | None = None
    for timed in blocks:
        if held is not None:
            yield held, timed.first_ns
        held = timed
    if held is not None:
        yield held, None


@dataclass(frozen=True)
class Timed:
    """A block whose times are known, in ns."""

    block: Block
    ts_event_ns: Integers
    ts_recv_ns: Integers

    @property
    def first_ns(self) -> int | None:
        """The first receive time of a row that is in use."""
        times = self.ts_recv_ns[self.block.ok]
        return int(times[0]) if len(times) else None


class CsvFile:
    """A file of comma-separated lines: plain, gzip, xz, zstd or a zip of one member, which its
    first bytes tell. `first` holds the cells of its first line; `exponents` says that numbers may
    be written as 1e-7.

    Raises `ImportFailed` for a file that is empty or holds no text.
    """

    def __init__(
        self, path: Path, tally: Tally, *, ratio_max: int = RATIO_MAX, exponents: bool = False
    ) -> None:
        self.path = path
        self._exponents = exponents
        self._tally = tally
        if path.stat().st_size == 0:
            raise ImportFailed(f"{path}: the file is empty; nothing was imported")
        self._stream = Unpacked(path, ratio_max=ratio_max, option="options.ratio_max=NUMBER")
        line = self._stream.peek_line(0).removeprefix(_BOM)
        why = f" ({self._stream.damage})" if self._stream.damage else ""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or not text.strip():
            self._stream.close()
            found = "binary data" if "\0" in text else f"no line of text{why}"
            raise ImportFailed(f"{path}: expected lines of text, found {found}")
        self.first = text.split(",")

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def bytes_done(self) -> int:
        """How much of the packed file was read."""
        return self._stream.bytes_done()

    def blocks(self, names: Sequence[str], *, header: bool) -> Generator[Block, None, None]:
        """The rows, about 4 MiB of text at a time, with `names` for the fields of a line; `header`
        says that the first line is none of them. Closes the file at the end.
        """
        try:
            for number, text in self._texts():
                first, lines = number, text
                if header and number == 1:
                    first, lines = 2, text[text.index(b"\n") + 1 :]
                block = self._parsed(lines, first, names) if lines else None
                if block is not None:
                    yield block
        finally:
            self.close()
        damage = self._stream.damage
        if damage is not None:
            self._tally.lines += 1
            self._tally.break_line(self.path.name, self._line, damage)
            self._tally.notes.append(f"{self.path.name}: {damage}; the lines before that count.")

    def _texts(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines, as they end, and the number of the first of them."""
        self._line = 1
        rest = b""
        inside_long = False
        while text := self._stream.read(_BLOCK_BYTES):
            self._tally.text_bytes += len(text)
            if inside_long:
                _, end, text = text.partition(b"\n")
                inside_long = not end
                self._line += len(end)
            text = rest + text
            cut = text.rfind(b"\n") + 1
            if cut:
                yield self._line, text[:cut]
                self._line += text.count(b"\n", 0, cut)
            rest = text[cut:]
            if len(rest) > _LINE_BYTES_MAX:
                self._too_long(self._line, rest)
                rest, inside_long = b"", True
        # The end of damaged data lies somewhere inside a line.
        if rest and self._stream.damage is None:
            self._tally.counts["unended_lines"] += 1
            yield self._line, rest + b"\n"

    def _too_long(self, line: int, text: bytes) -> None:
        self._tally.lines += 1
        shown = text[:_SHOWN_CHARS].decode(errors="replace")
        self._tally.break_line(
            self.path.name, line, "line: expected at most 1 MiB, found a longer one", shown
        )

    def _parsed(self, text: bytes, first: int, names: Sequence[str]) -> Block | None:
        import pyarrow as pa
        from pyarrow import csv

        if first == 1:
            text = text.removeprefix(_BOM)
        count = text.count(b"\n")
        lines: Integers = np.arange(first, first + count, dtype=np.int64)
        if not _is_plain(text):
            text, lines = self._cleaned(text, first)
            if not text:
                return None
        broken: list[tuple[int, str, str]] = []

        def invalid(row: Any) -> str:
            reason = f"expected {row.expected_columns} fields, found {row.actual_columns}"
            broken.append((row.number - 1, reason, row.text or ""))
            return "skip"

        table = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=list(names)),
            csv.ParseOptions(
                quote_char=False,
                double_quote=False,
                invalid_row_handler=invalid,
                ignore_empty_lines=False,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False
            ),
        )
        for at, reason, shown in broken:
            self._tally.break_line(self.path.name, int(lines[at]), reason, shown)
        self._tally.lines += len(lines)
        if broken:
            lines = np.delete(lines, [at for at, _, _ in broken])
        columns = {
            name: column.combine_chunks() for name, column in zip(names, table.columns, strict=True)
        }
        return Block(self.path.name, columns, lines, self._tally, exponents=self._exponents)

    def _cleaned(self, text: bytes, first: int) -> tuple[bytes, Integers]:
        """The lines that are text, and their numbers; blank ones are left out, others told."""
        kept: list[bytes] = []
        numbers: list[int] = []
        for number, whole in enumerate(text[:-1].split(b"\n"), first):
            line = whole.removesuffix(b"\r")
            if not line.strip():
                continue
            reason = _damage_of(line)
            if reason is None and len(line) > _LINE_BYTES_MAX:
                self._too_long(number, line)
            elif reason is not None:
                self._tally.lines += 1
                shown = line[:_SHOWN_CHARS].decode(errors="replace")
                self._tally.break_line(self.path.name, number, reason, shown)
            else:
                kept.append(line)
                numbers.append(number)
        return b"".join(line + b"\n" for line in kept), np.array(numbers, np.int64)


def _is_plain(text: bytes) -> bool:
    """Whether lines are ASCII without control characters that matter, none blank, none too long."""
    if not text.isascii() or b"\0" in text or b"\r" in text or b"\n\n" in text:
        return False
    # A line that is too long for a block of its own was left out before.
    return not text.startswith(b"\n")


def _damage_of(line: bytes) -> str | None:
    if b"\0" in line:
        return "expected text, found binary data"
    if b"\r" in line:
        return "expected one line, found a carriage return inside it"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 text: byte {error.start + 1}"
    return None
