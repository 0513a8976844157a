"""Vendor tables as batches of columns in bounded memory: CSV (plain, gzip, xz, zstd, zip), Parquet.

What is compressed is unpacked as it is read, a block at a time. Where the compressed data ends too
early or is damaged, the rows before that are good and the damage is told.
"""

from __future__ import annotations

import codecs
import io
import lzma
import sys
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

__all__ = ["Batch", "Table", "Unpacked", "open_table"]

_BLOCK_BYTES = 4 << 20
_STEP_BYTES = 16 << 10
_BATCH_ROWS = 262_144
_BROKEN_KEPT = 100
# Real tables pack to a tenth, flat stretches to a hundredth. More than this is not a table.
_RATIO_MAX = 1_000
_RATIO_FROM_BYTES = 64 << 20
_DELIMITERS = b",;\t"
_PARQUET = b"PAR1"
_PACKED = 1 << 16
_XZ_MEMORY_MAX = 256 << 20


@dataclass(frozen=True)
class Batch:
    """Columns by name, pyarrow arrays of one length, and the line of each row in its file (of lines
    that hold something; Parquet: the row).
    """

    columns: dict[str, Any]
    rows: int
    line: Callable[[int], int]


@dataclass
class Table:
    """A file being read. `broken` holds the first of its lines that are no rows, as (line, reason,
    text), `broken_count` counts all of them; `damage` says how it ends too early.
    """

    names: list[str]
    batches: Generator[Batch, None, None]
    bytes_done: Callable[[], int]
    close: Callable[[], None]
    broken: list[tuple[int, str, str]] = field(default_factory=list)
    broken_count: int = 0
    damage: str | None = None


def open_table(path: Path, *, names: Sequence[str] | None = None, skip_lines: int = 0) -> Table:
    """Opens a CSV or Parquet file; which of them it is, and how it is packed, its bytes tell.

    `names` are the columns of a CSV whose first line holds values already; without them such a file
    is refused. Raises `ImportFailed` for a file that is neither, is empty or has no rows.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise ImportFailed(f"{path}: the file is empty; nothing was imported")
    if head.startswith(_PARQUET):
        return _open_parquet(path)
    return _open_csv(path, names, skip_lines)


def _open_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ImportFailed(
            f"{path}: not a whole Parquet file: {_first_line(error)}; nothing was imported"
        ) from error
    metadata = file.metadata
    size = path.stat().st_size
    unpacked = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    _check_ratio(path, size, unpacked)
    if metadata.num_rows == 0:
        file.close()
        raise ImportFailed(f"{path}: the file has no rows; nothing was imported")
    names = file.schema_arrow.names
    done = 0

    def batches() -> Generator[Batch, None, None]:
        nonlocal done
        try:
            for part in file.iter_batches(_BATCH_ROWS, use_threads=False):
                columns = dict(zip(names, part.columns, strict=True))
                first = done + 1
                done += part.num_rows
                yield Batch(columns, part.num_rows, first.__add__)
        except (pa.ArrowException, OSError) as error:
            raise ImportFailed(
                f"{path}: damaged after row {done:,}: {_first_line(error)}; nothing was imported"
            ) from error

    return Table(names, batches(), lambda: size * done // metadata.num_rows, file.close)


def _open_csv(path: Path, names: Sequence[str] | None, skip_lines: int) -> Table:
    import pyarrow as pa
    from pyarrow import csv

    stream = Unpacked(path)
    try:
        found, has_header, delimiter = _csv_head(path, stream, names, skip_lines)
    except BaseException:
        stream.close()
        raise
    skipped: list[int] = []
    before = skip_lines + has_header

    def invalid(row: Any) -> str:
        line = (row.number or 0) + skip_lines
        if len(table.broken) < _BROKEN_KEPT:
            skipped.append(line)
            reason = f"expected {row.expected_columns} columns, found {row.actual_columns}"
            table.broken.append((line, reason, (row.text or "")[:200]))
        table.broken_count += 1
        return "skip"

    def batches() -> Generator[Batch, None, None]:
        done = 0
        try:
            reader = csv.open_csv(
                _Text(stream),
                csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    skip_rows=before,
                    column_names=found,
                ),
                csv.ParseOptions(
                    delimiter=chr(delimiter),
                    invalid_row_handler=invalid,
                ),
                csv.ConvertOptions(
                    column_types=dict.fromkeys(found, pa.binary()), strings_can_be_null=False
                ),
            )
            for part in reader:
                start = done
                done += part.num_rows
                columns = dict(zip(found, part.columns, strict=True))
                lines = _Lines(before, start, skipped)
                yield Batch(columns, part.num_rows, lines)
        except pa.ArrowException as error:
            raise ImportFailed(
                f"{path}: not CSV after row {done:,}: {_first_line(error)}; nothing was imported"
            ) from error
        table.damage = stream.damage

    table = Table(found, batches(), stream.bytes_done, stream.close)
    return table


def _csv_head(
    path: Path, stream: Unpacked, names: Sequence[str] | None, skip_lines: int
) -> tuple[list[str], bool, int]:
    """The names of the columns, whether the first line has them, and what stands between cells."""
    first = stream.peek_line(skip_lines)
    if not first.strip():
        why = f" ({stream.damage})" if stream.damage else ""
        raise ImportFailed(f"{path}: expected CSV or Parquet, found no line of text{why}")
    if b"\0" in first:
        raise ImportFailed(f"{path}: expected CSV or Parquet, found binary data")
    first = first.removeprefix(b"\xef\xbb\xbf")
    delimiter = max(_DELIMITERS, key=first.count)
    cells = [cell.strip().strip(b'"') for cell in first.split(bytes([delimiter]))]
    if not _is_number(cells[0]):
        return [cell.decode("utf-8", "replace") for cell in cells], True, delimiter
    if names is None:
        raise ImportFailed(
            f"{path}: expected a first line with the names of the columns, found"
            f" '{first[:80].decode(errors='replace')}'; name them with options.columns=[a,b,c]"
        )
    return list(names), False, delimiter


class _Lines:
    """The line of a row: lines that are no rows lie between them."""

    def __init__(self, before: int, start: int, skipped: list[int]) -> None:
        self._first = before + start + 1
        self._skipped = skipped

    def __call__(self, at: int) -> int:
        line = self._first + at
        for skipped in sorted(self._skipped):
            if skipped > line:
                break
            line += 1
        return line


class Unpacked(io.RawIOBase):
    """The bytes of a file (plain, gzip, xz, zstd or a zip of one member), unpacked as they are
    read. Damage ends them and is kept in `damage`; what unpacks to more than `ratio_max` times its
    size raises `ImportFailed`, which names the option that raises the limit where there is one.
    """

    def __init__(self, path: Path, *, ratio_max: int = _RATIO_MAX, option: str = "") -> None:
        super().__init__()
        self._path = path
        self._ratio_max = ratio_max
        self._option = option
        self._file = path.open("rb")
        try:
            head = self._file.read(8)
            self._file.seek(0)
            text = _unpacker(path, self._file, head)
        except BaseException:
            self._file.close()
            raise
        self._read = getattr(text, "read1", text.read)
        self._ahead = b""
        self._given = 0
        self.damage: str | None = None

    def peek_line(self, skip_lines: int) -> bytes:
        """The first line after `skip_lines` others, which is still to be read."""
        while self._ahead.count(b"\n") <= skip_lines and len(self._ahead) < _BLOCK_BYTES:
            more = self._next(1 << 16)
            if not more:
                break
            self._ahead += more
        lines = self._ahead.split(b"\n", skip_lines + 1)
        return lines[skip_lines].rstrip(b"\r") if len(lines) > skip_lines else b""

    def bytes_done(self) -> int:
        """How much of the packed file was read."""
        return 0 if self._file.closed else self._file.tell()

    def readable(self) -> bool:
        """True: this is what the stream is for."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase.readinto`."""
        text = self.read(len(buffer))
        buffer[: len(text)] = text
        return len(text)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; none at the end or where the data is damaged."""
        if self._ahead:
            text = self._ahead if size < 0 else self._ahead[:size]
            self._ahead = self._ahead[len(text) :]
            return text
        return self._next(size)

    def _next(self, size: int) -> bytes:
        parts: list[bytes] = []
        left = sys.maxsize if size < 0 else size
        # Small steps, because what a step has unpacked before it finds damage is lost with it.
        while left > 0 and self.damage is None:
            try:
                text: bytes = self._read(min(left, _STEP_BYTES))
            except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
                self.damage = f"the packed data is cut off or damaged: {_first_line(error)}"
                break
            if not text:
                break
            parts.append(text)
            left -= len(text)
            self._given += len(text)
            _check_ratio(self._path, self._file.tell(), self._given, self._ratio_max, self._option)
        return b"".join(parts)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


class _Text(io.RawIOBase):
    """Bytes of which those that are no UTF-8 are question marks: pyarrow cannot tell of a row that
    it leaves out where the row is no text.
    """

    def __init__(self, stream: Unpacked) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        """True: this is what the stream is for."""
        return True

    def read(self, size: int = -1) -> bytes:
        """As `Unpacked.read`."""
        text = self._stream.read(size)
        return text if text.isascii() else text.decode(errors=_MARK_BYTES).encode()


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "?" * (error.end - error.start), error.end


_MARK_BYTES = "cobalt_question_marks"
codecs.register_error(_MARK_BYTES, _marked)


class _Members:
    """The text of gzip or xz members, one after the other, to the last byte before any damage."""

    def __init__(self, file: Any, begin: Callable[[], Any]) -> None:
        self._file = file
        self._begin = begin
        self._member = begin()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """The next text, at most `size` bytes; raises where the data is damaged or ends early."""
        while True:
            if self._member.eof:
                # Zeros may stand behind the last member.
                self._packed = self._member.unused_data.lstrip(b"\0") or self._file.read(_PACKED)
                if not self._packed.strip(b"\0"):
                    return b""
                self._member = self._begin()
            elif not self._packed and getattr(self._member, "needs_input", True):
                self._packed = self._file.read(_PACKED)
                if not self._packed:
                    raise EOFError("the file ends before the end of the packed data")
            text: bytes = self._member.decompress(self._packed, size)
            # zlib hands back what it did not use; lzma keeps it.
            self._packed = getattr(self._member, "unconsumed_tail", b"")
            if text:
                return text


def _unpacker(path: Path, file: Any, head: bytes) -> Any:
    if head.startswith(b"\x1f\x8b"):
        return _Members(file, lambda: zlib.decompressobj(wbits=31))
    if head.startswith(b"\xfd7zXZ\0"):
        return _Members(file, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_MAX))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        try:
            return _only_member(path, zipfile.ZipFile(file))
        except ImportFailed:
            raise
        except Exception as error:
            # Damage anywhere in its tables of places, or a way to pack that Python does not know.
            raise ImportFailed(
                f"{path}: not a whole zip file: {_first_line(error)}; nothing was imported"
            ) from error
    return file


def _only_member(path: Path, archive: zipfile.ZipFile) -> Any:
    members = [item for item in archive.infolist() if not item.is_dir()]
    if len(members) != 1:
        listed = ", ".join(item.filename for item in members[:5]) or "none"
        raise ImportFailed(f"{path}: expected a zip file of one table, found {listed}")
    return archive.open(members[0])


def _check_ratio(
    path: Path, packed: int, unpacked: int, ratio_max: int = _RATIO_MAX, option: str = ""
) -> None:
    if unpacked > _RATIO_FROM_BYTES and unpacked > ratio_max * max(packed, 1):
        hint = f"; {option} raises the limit" if option else ""
        raise ImportFailed(
            f"{path}: unpacks to more than {ratio_max:,} times its size, which no table does;"
            f" nothing was imported{hint}"
        )


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
