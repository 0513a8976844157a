"""Arrays of hftbacktest's `event_dtype` in npz and npy files, read as a stream.

Nothing is unpickled, and no more than a batch is in memory. A file whose content differs from what
it announces is refused whole: half a copy is better copied again.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

__all__ = ["DTYPE", "LOCAL", "EventFile"]

DTYPE = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ]
)
"""hftbacktest's `event_dtype`."""

LOCAL = 1 << 30
"""The flag of rows that were received."""
_BATCH_ROWS = 131_072
# Recordings shrink to a tenth; a file that unpacks to so much more was made to fill a disk.
_RATIO_MAX = 200
_RATIO_FROM_BYTES = 16 << 20
_ABOUT_MEMBER = "cobalt.json"
_HEADER_BYTES_MAX = 1 << 16


class EventFile:
    """One npz or npy file: its number of rows, what an export of ours says of itself, and the rows
    as a stream. Raises `ImportFailed` for a file that is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            magic = file.read(6)
        if not magic:
            raise ImportFailed(f"{path}: the file is empty; nothing was imported")
        self._is_zip = magic[:4] == b"PK\x03\x04"
        if not self._is_zip and magic != b"\x93NUMPY":
            raise ImportFailed(f"{path}: expected an npz or npy file, found {magic[:4]!r}…")
        self.about: dict[str, Any] | None = self._about() if self._is_zip else None
        with self._array() as stream:
            self.rows = self._header(stream)

    def first_ns(self) -> int | None:
        """The receive time of the first row that has one."""
        for rows in self.batches():
            received = rows["local_ts"][rows["ev"] & LOCAL != 0]
            if len(received):
                return int(received[0])
        return None

    def _about(self) -> dict[str, Any] | None:
        """Checks the members of an npz; what `cobalt.json` among them says."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = {info.filename: info for info in archive.infolist()}
                data = members.get("data.npy")
                if data is None:
                    found = ", ".join(name.removesuffix(".npy") for name in members) or "none"
                    raise ImportFailed(f"{self.path}: expected an array named data, found {found}")
                if data.file_size > max(_RATIO_FROM_BYTES, _RATIO_MAX * data.compress_size):
                    raise ImportFailed(
                        f"{self.path}: data unpacks from {data.compress_size:,} bytes to"
                        f" {data.file_size:,}, more than {_RATIO_MAX} times as many; no recording"
                        " does"
                    )
                about = members.get(_ABOUT_MEMBER)
                if about is None or about.file_size > _HEADER_BYTES_MAX:
                    return None
                content = json.loads(archive.read(about))
                return content if isinstance(content, dict) else None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise self._damaged(error) from error
        except ValueError as error:
            if isinstance(error, ImportFailed):
                raise
            return None

    def _damaged(self, error: Exception) -> ImportFailed:
        return ImportFailed(
            f"{self.path}: damaged or cut off: {error}; nothing was imported, copy the file again"
        )

    def _array(self) -> IO[bytes]:
        if not self._is_zip:
            return self.path.open("rb")
        try:
            archive = zipfile.ZipFile(self.path)
            stream = archive.open("data.npy")
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise self._damaged(error) from error
        # The archive closes with its last stream.
        archive.close()
        return stream

    def _header(self, stream: IO[bytes]) -> int:
        """Reads what stands before the rows; returns how many it announces."""
        npy: Any = np.lib.format
        try:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream, max_header_size=_HEADER_BYTES_MAX)
        except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            text = " ".join(str(error).split())
            raise ImportFailed(f"{self.path}: no readable npy header: {text}") from error
        if dtype.hasobject:
            raise ImportFailed(
                f"{self.path}: holds pickled Python objects, which are never loaded; expected"
                f" hftbacktest's event_dtype"
            )
        if len(shape) != 1 or not _same_fields(dtype):
            old = (
                " (the format of hftbacktest 1: convert it with its migration2)"
                if (len(shape) == 2 and shape[1] == 6)
                else ""
            )
            raise ImportFailed(
                f"{self.path}: expected an array of one dimension of hftbacktest's event_dtype"
                f" ({', '.join(DTYPE.names or ())}), found shape {shape} of"
                f" {_dtype_text(dtype)}{old}"
            )
        return int(shape[0])

    def batches(self) -> Iterator[NDArray[np.void]]:
        """The rows in order, shape `(rows,)` of `DTYPE`."""
        left = self.rows
        with self._array() as stream:
            self._header(stream)
            while left:
                count = min(left, _BATCH_ROWS)
                content = self._read(stream, count * DTYPE.itemsize)
                rows = np.frombuffer(content[: len(content) // 64 * 64], DTYPE)
                if len(rows) < count:
                    found = self.rows - left + len(rows)
                    raise self._damaged(
                        ValueError(f"{self.rows:,} rows announced, {found:,} found")
                    )
                left -= count
                yield rows
            if self._read(stream, 1):
                raise self._damaged(ValueError(f"more than the {self.rows:,} rows announced"))

    def _read(self, stream: IO[bytes], size: int) -> bytes:
        try:
            return stream.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._damaged(error) from error


def _same_fields(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is the format's, however it says so."""
    names = dtype.names or ()
    return (
        names == DTYPE.names
        and dtype.itemsize == DTYPE.itemsize
        and all(dtype[name] == DTYPE[name] for name in names)
    )


def _dtype_text(dtype: np.dtype[Any]) -> str:
    if dtype.names is None:
        return str(dtype)
    return ", ".join(f"{name} {dtype[name]}" for name in dtype.names[:10])
