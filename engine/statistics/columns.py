"""Columns of a run's tables as numpy arrays; what is missing stays missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pyarrow as pa

    Bools = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["MISSING", "by_instrument", "distinct", "floats", "ints", "is_value", "known"]

MISSING = np.iinfo(np.int64).min
"""Stands for a missing integer."""


def floats(table: pa.Table, name: str) -> Floats:
    """A column of numbers; NaN where one is missing, and throughout where the column is."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), np.float64)


def ints(table: pa.Table, name: str) -> Ints:
    """A column of integers; `MISSING` where one is missing, and throughout where the column is."""
    if name not in table.column_names:
        return np.full(table.num_rows, MISSING, np.int64)
    column = table.column(name)
    if column.null_count:
        column = column.fill_null(int(MISSING))
    return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)


def is_value(table: pa.Table, name: str, value: str) -> Bools:
    """Where a column of text has this value."""
    import pyarrow.compute as pc

    found = pc.fill_null(pc.equal(table.column(name), value), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def distinct(table: pa.Table, name: str) -> list[str]:
    """The values of a column of text in the order of their first rows."""
    return [str(value) for value in table.column(name).unique().to_pylist() if value is not None]


def by_instrument(table: pa.Table) -> Iterator[tuple[str, Bools]]:
    """The instruments of a table, each with where its rows are."""
    for name in distinct(table, "instrument"):
        yield name, is_value(table, "instrument", name)


def known(value: Any) -> float | None:
    """A finite number as a float, anything else as None: what JSON and a reader can take."""
    return float(value) if value is not None and np.isfinite(value) else None
