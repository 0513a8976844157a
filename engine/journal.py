"""Reading the journal of a run: what was commanded, what came of it, and why."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import _core
from engine._core import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

__all__ = ["FOLDER", "KINDS", "Journal", "JournalError", "JournalInfo", "Kind", "Record"]

FOLDER = "journal"
"""The journal's folder in that of its run."""
_CHUNK = 20_000


@dataclass(frozen=True)
class Kind:
    """A kind of record: number and name, what it is, and whether `result_sha256` covers it."""

    number: int
    name: str
    meaning: str
    counts: bool


KINDS = {
    name: Kind(number, name, meaning, counts)
    for number, name, meaning, counts in _core.journal_kinds()
}
"""All kinds of records by name."""


@dataclass(frozen=True)
class Record:
    """One record.

    `seq` is its place in the journal from 1, `ts_ns` our clock when it was written, `step` the
    number of the kernel's step that was handled then, `content` its fields: prices in ticks,
    quantities in lots, times in ns, money as decimal text.
    """

    seq: int
    ts_ns: int
    step: int
    kind: str
    content: Any


@dataclass(frozen=True)
class JournalInfo:
    """What a whole journal holds: records by kind, hash, how it ends.

    `result_sha256` is worked out from the records. `ended` says whether the last run of it came to
    its end, `error` what it ended with otherwise; `torn` is file, number of bytes and what is wrong
    with them, where the last write was cut short.
    """

    records: int
    by_kind: dict[str, int]
    result_sha256: str
    ended: bool
    error: str | None
    torn: tuple[str, int, str] | None


class Journal:
    """The journal of a run; `path` is the run's folder or that of the journal in it.

    Nothing of it is changed. Reading verifies every checksum and the chain of segments; damage
    raises `engine._core.JournalError`, a RuntimeError that names the file, the byte, what was
    expected and found; a file that cannot be read OSError. The beginning of
    a record at the very end, cut short when the process ended, is no damage: see `info`.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        self.path = folder / FOLDER if (folder / FOLDER).is_dir() else folder
        if not self.path.is_dir():
            raise JournalError(f"journal: expected a run's folder, found no folder at {folder}")
        if not any(self.path.glob("*.journal*")):
            raise JournalError(
                f"journal: expected segments such as 000001.journal, found none in {self.path}"
            )

    def records(
        self, kinds: Sequence[str] | None = None, *, follow: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """All records in order, or those of these kinds (names as in `KINDS`).

        With `follow` it goes on where more is written: at each end `follow` is called, and its
        answer is whether to look again.
        """
        reader = self._reader()
        while True:
            for chunk in self._chunks(reader, kinds):
                for seq, ts_ns, step, kind, text in zip(*chunk, strict=True):
                    yield Record(seq, ts_ns, step, kind, json.loads(text))
            if follow is None or not follow():
                return
            # Where a segment was compressed in between, its file has another name the next time.
            with suppress(FileNotFoundError):
                reader.catch_up()

    def frame(self, kind: str | None = None) -> pl.DataFrame:
        """Records as a frame.

        Without `kind` all of them: `seq` (uint64), `ts_ns` (int64), `step` (uint64), `kind` and
        `content` (JSON, text). With one, a column for each field of its content instead; fields of
        fields are joined with a dot. Money stays decimal text, prices are in ticks and quantities
        in lots: `scales` tells how large these are.
        """
        import polars as pl

        seqs: list[int] = []
        times: list[int] = []
        steps: list[int] = []
        names: list[str] = []
        contents: list[str] = []
        for chunk in self._chunks(self._reader(), None if kind is None else [kind]):
            seqs += chunk[0]
            times += chunk[1]
            steps += chunk[2]
            names += chunk[3]
            contents += chunk[4]
        frame = pl.DataFrame(
            {"seq": seqs, "ts_ns": times, "step": steps},
            schema={"seq": pl.UInt64, "ts_ns": pl.Int64, "step": pl.UInt64},
        )
        if kind is None:
            return frame.with_columns(
                pl.Series("kind", names, pl.String), pl.Series("content", contents, pl.String)
            )
        rows = [_flat(json.loads(text)) for text in contents]
        if not rows:
            return frame
        # The time of a sample is that of its record.
        fields = pl.DataFrame(rows, infer_schema_length=None).drop("ts_ns", strict=False)
        return frame.hstack(fields)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the run's result depends on; empty where the journal ends before it."""
        found = next(self.records(["settings"]), None)
        return {} if found is None else dict(json.loads(found.content))

    @cached_property
    def origin(self) -> dict[str, Any] | None:
        """Versions and hash of the data of the first process that wrote it, if it got so far."""
        found = next(self.records(["origin"]), None)
        return None if found is None else dict(json.loads(found.content))

    @property
    def instruments(self) -> list[str]:
        """Ids of the run's instruments, by the index that records have."""
        return [item["id"] for item in self.settings.get("instruments", [])]

    @property
    def scales(self) -> list[tuple[str, str]]:
        """Tick and lot of the run's instruments as decimal text, by the index that records have."""
        return [(item["tick"], item["lot"]) for item in self.settings.get("instruments", [])]

    def info(self) -> JournalInfo:
        """Reads all of it, which verifies it."""
        reader = self._reader()
        by_kind: dict[str, int] = {}
        last: tuple[str, str] | None = None
        for _, _, _, names, contents in self._chunks(reader, None):
            for name in names:
                by_kind[name] = by_kind.get(name, 0) + 1
            last = (names[-1], contents[-1])
        ended = json.loads(last[1]) if last is not None and last[0] == "ended" else None
        return JournalInfo(
            records=sum(by_kind.values()),
            by_kind=by_kind,
            result_sha256=reader.result_sha256,
            ended=ended is not None and ended["error"] is None,
            error=None if ended is None else ended["error"],
            torn=reader.torn,
        )

    def _reader(self) -> _core.JournalReader:
        return _core.JournalReader(str(self.path))

    @staticmethod
    def _chunks(
        reader: _core.JournalReader, kinds: Sequence[str] | None
    ) -> Iterator[tuple[list[int], list[int], list[int], list[str], list[str]]]:
        wanted = None if kinds is None else list(kinds)
        while (chunk := reader.read(_CHUNK, wanted)) is not None:
            yield chunk


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Fields of fields as one level, their names joined with a dot."""
    if not isinstance(value, dict):
        return {prefix or "value": json.dumps(value) if isinstance(value, list) else value}
    flat: dict[str, Any] = {}
    for name, item in value.items():
        key = f"{prefix}.{name}" if prefix else name
        flat |= _flat(item, key)
    return flat
