"""The files of a NautilusTrader catalog: which there are, and their columns as numpy arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.importers.nautilus_rows import fields
from engine.importers.report import ImportFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TABLES", "TableFile", "tables_of"]

TABLES = ("order_book_delta", "order_book_depth10", "trade_tick", "quote_tick")
"""The folders of the catalog that are read."""

_BATCH_ROWS = 131_072
_METADATA_KEY = b"cobalt"
# Deltas of integers pack to a fiftieth at most; what unpacks to more was made to fill memory.
_RATIO_MAX = 1_000
_GROUP_BYTES_MAX = 1 << 30


def tables_of(root: Path, instrument: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each table for an instrument (its NautilusTrader id), in the order of time, and
    the names of the tables that are not read. Raises `ImportFailed` where there is no such catalog
    or nothing of the instrument in it.
    """
    data = root / "data"
    if not data.is_dir():
        found = "a file" if root.is_file() else "a folder without data" if root.is_dir() else "none"
        raise ImportFailed(
            f"path: expected a NautilusTrader catalog, a folder with data in it, found {found}"
            f" at {root}"
        )
    # NautilusTrader leaves out what cannot stand in a folder's name.
    name = instrument.replace("/", "")
    kinds = sorted(path.name for path in data.iterdir() if path.is_dir())
    files = {kind: sorted((data / kind / name).glob("*.parquet")) for kind in kinds}
    held = {kind: paths for kind, paths in files.items() if paths}
    read = {kind: held[kind] for kind in TABLES if kind in held}
    if not read:
        known = sorted(
            {path.name for kind in TABLES for path in (data / kind).glob("*") if path.is_dir()}
        )
        raise ImportFailed(
            f"{root}: no {', '.join(TABLES)} of {instrument}; it has them of"
            f" {', '.join(known) or 'no instrument'} (options.instrument_id=… names another)"
        )
    return read, [kind for kind in held if kind not in TABLES]


@dataclass(frozen=True)
class TableFile:
    """One file: its rows, the bytes of its fixed-point integers, and what an export of ours says
    of itself.
    """

    path: Path
    table: str
    rows: int
    width: int
    about: dict[str, Any] | None

    @classmethod
    def open(cls, path: Path, table: str, instrument: str) -> TableFile:
        """Reads what the file says of itself; raises `ImportFailed` where that is not the table."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if path.stat().st_size == 0:
            raise ImportFailed(f"{path}: the file is empty; nothing was imported")
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise ImportFailed(
                f"{path}: not a whole Parquet file: {_first_line(error)}; nothing was imported"
            ) from error
        with file:
            schema = file.schema_arrow
            metadata = schema.metadata or {}
            width = _checked_width(path, table, schema)
            found = metadata.get(b"instrument_id", b"").decode("utf-8", "replace")
            if found and found != instrument:
                raise ImportFailed(f"{path}: holds {found}, asked for is {instrument}")
            _check_size(path, file.metadata)
            return cls(path, table, file.metadata.num_rows, width, _about(metadata))

    def batches(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The columns that are read, batch by batch: whole numbers as they are, fixed-point ones as
        64-bit words of shape `(rows, width / 8)`, trade ids as text.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [name for name, _ in fields(self.table)]
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for part in file.iter_batches(_BATCH_ROWS, columns=names, use_threads=False):
                    columns = {name: self._values(part.column(name), name) for name in names}
                    done += part.num_rows
                    yield columns
        except (pa.ArrowException, OSError) as error:
            raise ImportFailed(
                f"{self.path}: damaged after row {done:,}: {_first_line(error)}; nothing was"
                " imported"
            ) from error

    def _values(self, column: Any, name: str) -> NDArray[Any]:
        import pyarrow as pa

        if column.null_count:
            raise ImportFailed(
                f"{self.path}: column {name}: expected values, found {column.null_count:,} nulls"
            )
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_fixed_size_binary(column.type):
            words = self.width // 8
            content = np.frombuffer(column.buffers()[1], np.uint64)
            rows: NDArray[Any] = content.reshape(-1, words)
            return rows[column.offset : column.offset + len(column)]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return np.array(column.to_pylist(), object)
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return values


def _checked_width(path: Path, table: str, schema: Any) -> int:
    """The bytes of the fixed-point integers, of a schema that has all columns in their types."""
    import pyarrow as pa

    widths = set()
    for name, wanted in fields(table):
        at = schema.get_field_index(name)
        if at < 0:
            raise ImportFailed(
                f"{path}: expected a column {name} of {table}, found {', '.join(schema.names)}"
            )
        kind = schema.field(at).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if wanted == "fixed" and pa.types.is_fixed_size_binary(kind) and kind.byte_width in (8, 16):
            widths.add(kind.byte_width)
        elif not (wanted == str(kind) or (wanted == "string" and pa.types.is_large_string(kind))):
            text = "fixed-point integers of 8 or 16 bytes" if wanted == "fixed" else wanted
            raise ImportFailed(f"{path}: column {name}: expected {text}, found {kind}")
    if len(widths) != 1:
        raise ImportFailed(f"{path}: expected fixed-point integers of one width, found {widths}")
    return int(widths.pop())


def _check_size(path: Path, metadata: Any) -> None:
    """Raises `ImportFailed` for a file that would fill the memory: a row group is read at once."""
    packed = path.stat().st_size
    sizes = [metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)]
    if max(sizes, default=0) > _GROUP_BYTES_MAX and sum(sizes) > _RATIO_MAX * packed:
        raise ImportFailed(
            f"{path}: unpacks from {packed:,} bytes to {sum(sizes):,}, more than {_RATIO_MAX:,}"
            " times as many; no recording does"
        )


def _about(metadata: dict[bytes, bytes]) -> dict[str, Any] | None:
    try:
        content = json.loads(metadata.get(_METADATA_KEY, b"null"))
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
