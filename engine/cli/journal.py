"""`cobalt journal`: what a run's journal holds, for people and for scripts."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError, did_you_mean
from engine.journal import KINDS, Journal, JournalError, Record
from engine.journal_text import RecordText, orders_of
from engine.units import timestamp_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.cli.commands import JournalKeys

__all__ = ["ACTIONS", "run"]

ACTIONS = ("list", "filter", "tail", "follow", "verify", "export")
_POLL_S = 0.25


def run(action: str, keys: JournalKeys, *, as_json: bool) -> int:
    """Runs the command; see `engine.cli` for exit codes."""
    if action not in ACTIONS:
        raise ConfigError(
            f"expected what to do ({', '.join(ACTIONS)}), found {action or 'nothing'}"
            f"{did_you_mean(action, ACTIONS) if action else ''};"
            " write cobalt journal list run=runs/NAME"
        )
    if not keys.run:
        raise ConfigError(
            f"run: the folder of a run is needed; write cobalt journal {action} run=…"
        )
    journal = Journal(keys.run)
    if action == "verify":
        return _verify(journal, as_json=as_json)
    wanted = _Filter(journal, keys)
    if action == "filter" and wanted.takes_all:
        raise ConfigError("filter: expected kind=, order=, instrument=, start= or end=, found none")
    if action == "export":
        return _export(journal, wanted, keys.path)
    records: Iterable[Record] = journal.records(
        wanted.kinds, follow=_wait if action == "follow" else None
    )
    records = filter(wanted, records)
    if action == "tail":
        records = deque(records, maxlen=keys.n)
    text = RecordText(journal)
    for record in records:
        line = json.dumps(dataclasses.asdict(record)) if as_json else text.line(record)
        print(line, flush=action == "follow")
    return 0


def _wait() -> bool:
    time.sleep(_POLL_S)
    return True


class _Filter:
    """Whether a record is among those asked for."""

    def __init__(self, journal: Journal, keys: JournalKeys) -> None:
        for name in keys.kind:
            if name not in KINDS:
                raise ConfigError(f"kind: there is no '{name}'{did_you_mean(name, KINDS)}")
        self.kinds = keys.kind or None
        self._order = keys.order
        self._instrument = None
        if keys.instrument is not None:
            known = journal.instruments
            if keys.instrument not in known:
                raise ConfigError(
                    f"instrument: the run has no '{keys.instrument}'"
                    f"{did_you_mean(keys.instrument, known)}"
                )
            self._instrument = known.index(keys.instrument)
        self._start = _time(keys.start, "start")
        self._end = _time(keys.end, "end")

    @property
    def takes_all(self) -> bool:
        """Whether nothing is asked for."""
        parts = (self.kinds, self._order, self._instrument, self._start, self._end)
        return all(part is None for part in parts)

    def __call__(self, record: Record) -> bool:
        if self._start is not None and record.ts_ns < self._start:
            return False
        if self._end is not None and record.ts_ns >= self._end:
            return False
        content = record.content
        if self._order is not None and self._order not in orders_of(record.kind, content):
            return False
        return self._instrument is None or self._instrument in _instruments(content)


def _time(text: str | None, name: str) -> int | None:
    try:
        return None if text is None else timestamp_ns(text, name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _instruments(content: Any) -> Iterator[int]:
    """The instruments that a record is about; what was heard before a command is not."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == "instrument":
                yield value
            elif name != "cause":
                yield from _instruments(value)
    elif isinstance(content, list):
        for item in content:
            yield from _instruments(item)


def _verify(journal: Journal, *, as_json: bool) -> int:
    info = journal.info()
    summary = journal.path.parent / "summary.json"
    claimed = None
    if summary.is_file():
        claimed = json.loads(summary.read_text(encoding="utf-8")).get("result_sha256")
    is_same = claimed in (None, info.result_sha256)
    if as_json:
        found = dataclasses.asdict(info)
        print(json.dumps({"path": str(journal.path), **found, "equals_summary": is_same}))
        return 0 if is_same else 1
    print(f"{journal.path}: {info.records} records, every checksum and the chain of segments whole")
    print("  " + ", ".join(f"{count} {name}" for name, count in info.by_kind.items()))
    print(
        f"  result_sha256 {info.result_sha256}{'' if is_same else f', summary.json says {claimed}'}"
    )
    if info.torn is not None:
        name, count, reason = info.torn
        print(f"  {name}: the last {count} bytes are the beginning of a write: {reason}")
    if not info.ended:
        print(f"  the run has not ended{'' if info.error is None else f': {info.error}'}")
    return 0 if is_same else 1


def _export(journal: Journal, wanted: Callable[[Record], bool], path: str) -> int:
    """All fields of one kind as columns, of several as JSON."""
    import polars as pl

    writers: dict[str, Callable[[pl.DataFrame, Path], object]] = {
        ".parquet": pl.DataFrame.write_parquet,
        ".csv": pl.DataFrame.write_csv,
        ".jsonl": pl.DataFrame.write_ndjson,
    }
    target = Path(path)
    if target.suffix not in writers:
        raise ConfigError(
            f"path: expected a file that ends with {', '.join(writers)}, found '{path}'"
        )
    assert isinstance(wanted, _Filter)
    only = wanted.kinds[0] if wanted.kinds is not None and len(wanted.kinds) == 1 else None
    kept = [record.seq for record in journal.records(wanted.kinds) if wanted(record)]
    frame = journal.frame(only).filter(pl.col("seq").is_in(kept))
    if frame.is_empty():
        raise JournalError(f"{journal.path}: no record is asked for, nothing was written")
    writers[target.suffix](frame, target)
    print(f"wrote {frame.height} records to {target}")
    return 0
