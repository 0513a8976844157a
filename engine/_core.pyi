from collections.abc import Sequence
from os import PathLike
from typing import Any, Self, TypeAlias

import numpy as np

__version__: str
EVENT_DTYPE: np.dtype[np.void]
TS_NONE: int
SEQ_NONE: int

# Import and catalog; used through `engine.importers`, `engine.catalog` and `engine.verify`.
_Rows: TypeAlias = np.ndarray[Any, np.dtype[np.void]]
_Level: TypeAlias = tuple[int, int] | None

FLAG_FIRST: int
FLAG_LAST: int
FLAG_RECV_RAISED: int

def events_from_columns(
    ts_event_ns: np.ndarray[Any, np.dtype[np.int64]],
    ts_recv_ns: np.ndarray[Any, np.dtype[np.int64]],
    px_ticks: np.ndarray[Any, np.dtype[np.int64]],
    qty_lots: np.ndarray[Any, np.dtype[np.int64]],
    seq: np.ndarray[Any, np.dtype[np.uint64]],
    prev_seq: np.ndarray[Any, np.dtype[np.uint64]],
    kind: np.ndarray[Any, np.dtype[np.uint8]],
    side: np.ndarray[Any, np.dtype[np.uint8]],
    flags: np.ndarray[Any, np.dtype[np.uint16]],
    instrument: int,
) -> _Rows: ...

class Survey:
    def __new__(
        cls, path: str | PathLike[str], market: str, symbol: str, tick: str, lot: str
    ) -> Self: ...
    def advance(self, text_bytes: int) -> bool: ...
    def source_bytes(self) -> int: ...
    def findings(self) -> dict[str, Any]: ...

class Importer:
    def __new__(
        cls,
        sources: Sequence[tuple[str | PathLike[str], str]],
        market: str,
        symbol: str,
        tick: str,
        lot: str,
        clock_offset_ns: int,
        state: dict[str, Any] | None = None,
    ) -> Self: ...
    def advance(self, rows: int) -> tuple[_Rows, _Rows, _Rows, _Rows] | None: ...
    def source_bytes(self) -> int: ...
    def counts(self) -> dict[str, int]: ...
    def state(self) -> dict[str, Any]: ...

class StreamChecker:
    def __new__(cls, kind: str) -> Self: ...
    def push(self, events: _Rows) -> None: ...
    def start_part(self) -> None: ...
    def end_part(self) -> tuple[int, int, int | None, list[int]]: ...

class Verifier:
    def __new__(cls) -> Self: ...
    def depth(self, events: _Rows) -> None: ...
    def quotes(self, events: _Rows) -> None: ...
    def wants_depth(self) -> bool: ...
    def verdict(self) -> dict[str, Any]: ...
