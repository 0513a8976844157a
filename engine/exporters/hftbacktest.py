"""The catalog to hftbacktest's npz: one array `data` of its `event_dtype`, written for 2.4.4.

A path that ends in `.npz` is one file; any other is a folder with one file a UTC day of receive
time, to be given to hftbacktest as a list, in the order of their names. Depth and trades are
written, with both clocks, in both orders (`engine.peers.hftbacktest`).

Memory is bounded: rows are converted in windows, cut where no row's place in venue time can still
change, and wait on the disk, uncompressed at 64 bytes each, until their number is known. A window
grows only where venue time and arrival stay interleaved. hftbacktest itself holds one whole file
in memory, 64 bytes a row.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.exporters.report import ExportFailed, ExportReport
from engine.exporters.staging import staged_file, staged_folder, write_about
from engine.peers import hftbacktest as peer
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.catalog import Events
    from engine.exporters.report import ExportRequest

__all__ = ["ABOUT_MEMBER", "run"]

ABOUT_MEMBER = "cobalt.json"
"""The member of an npz that says where its rows come from; hftbacktest reads only `data`."""

_KINDS = ("depth", "trades")
_ROWS = ("depth", "snapshot levels", "clears", "trades", "second rows of the same")
_DAY_NS = 86_400_000_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_COPY_BYTES = 1 << 20
# Rows whose earliest venue time is remembered as one number.
_BLOCK_ROWS = 256


def run(request: ExportRequest) -> ExportReport:
    """Writes an npz, or a folder of them; see `engine.exporters.run_export`."""
    if not peer.available():
        raise ExportFailed(
            "format=hftbacktest needs hftbacktest, which is not installed:"
            " pip install 'cobalt[bench]'"
        )
    if request.path.suffix == ".npz":
        with staged_file(request.path, replace=request.replace) as path:
            written = _write(request, lambda _day: path)
            files = {request.path.name: path.stat().st_size}
            return _report(request, written, files)
    with staged_folder(request.path, replace=request.replace) as folder:
        name = f"{request.instrument.id}_{{}}.npz"
        written = _write(request, lambda day: folder / name.format(day))
        write_about(folder, request.about())
        files = {path.name: path.stat().st_size for path in sorted(folder.glob("*.npz"))}
        return _report(request, written, files)


@dataclass
class _Written:
    """What was written, and what was not."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))
    without_venue_time: int = 0
    not_applied: int = 0
    without_level: int = 0
    has_book: bool = False
    ts_recv_first_ns: int | None = None
    ts_recv_last_ns: int | None = None

    def count(self, rows: NDArray[np.void], is_local: NDArray[np.bool_]) -> None:
        """Takes in rows as they are written. Each was received once, however often it stands."""
        kinds = np.bincount((rows["ev"][is_local] & 0xFF).astype(np.int64), minlength=5)
        found = (kinds[1], kinds[4], kinds[3], kinds[2], (~is_local).sum())
        for name, count in zip(_ROWS, found, strict=True):
            self.rows[name] += int(count)
        times = rows["local_ts"][is_local]
        if len(times):
            self.ts_recv_first_ns = self.ts_recv_first_ns or int(times[0])
            self.ts_recv_last_ns = int(times[-1])


def _write(request: ExportRequest, name: Callable[[str], Path]) -> _Written:
    """All windows into as many files as `name` gives paths for, by day."""
    from hftbacktest import LOCAL_EVENT

    written = _Written()
    sink: _Npz | None = None
    day: str | None = None
    try:
        for rows in _ordered(request, written):
            is_local = rows["ev"] & LOCAL_EVENT != 0
            for begin, end, today in _days(rows, is_local, day):
                path = name(today)
                if sink is None or path != sink.path:
                    if sink is not None:
                        sink.close(request.about())
                    sink = _Npz(path, rows.dtype)
                sink.write(rows[begin:end])
                day = today
            written.count(rows, is_local)
        request.refuse_empty(_KINDS)
        if sink is None:
            raise ExportFailed(
                f"{request.instrument.id}: nothing that hftbacktest can hold: no trade, and no"
                " depth from a snapshot on"
            )
        sink.close(request.about())
        sink = None
    finally:
        if sink is not None:
            sink.discard()
    return written


def _days(
    rows: NDArray[np.void], is_local: NDArray[np.bool_], day: str | None
) -> Iterator[tuple[int, int, str]]:
    """The stretches of rows by the UTC day of the newest receive time so far."""
    newest = np.maximum.accumulate(np.where(is_local, rows["local_ts"], np.iinfo(np.int64).min))
    days = newest // _DAY_NS
    if not is_local[0]:
        # Rows for the exchange alone stay with what was received before them.
        lead = int(np.argmax(is_local)) if is_local.any() else len(rows)
        yield 0, lead, day or _day_text(int(rows["local_ts"][0]) // _DAY_NS)
    else:
        lead = 0
    cuts = [lead, *(np.flatnonzero(np.diff(days[lead:])) + lead + 1).tolist(), len(rows)]
    for begin, end in itertools.pairwise(cuts):
        if begin < end:
            yield begin, end, _day_text(int(days[begin]))


def _day_text(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y%m%d}"


def _ordered(request: ExportRequest, written: _Written) -> Iterator[NDArray[np.void]]:
    """The converted rows in both orders, window by window."""
    converter = peer.Converter(request.instrument)
    bounds = _VenueTimes(request)
    carry: NDArray[np.void] | None = None
    for depth, trades, until_ns in _windows(request):
        written.without_venue_time += sum(map(_fill_venue_time, (depth, trades)))
        rows = converter.convert(depth, trades)
        rows = rows[np.argsort(rows["local_ts"], kind="stable")]
        rows = rows if carry is None else np.concatenate([carry, rows])
        cut = _clean_cut(rows, bounds.least_from(until_ns))
        if cut:
            yield _merged(rows[:cut])
        carry = rows[cut:]
    if carry is not None and len(carry):
        yield _merged(carry)
    written.not_applied = converter.not_applied
    written.without_level = converter.without_level
    written.has_book = converter.has_book


def _merged(rows: NDArray[np.void]) -> NDArray[np.void]:
    try:
        return peer.in_both_orders(rows)
    except ValueError as error:
        raise ExportFailed(f"hftbacktest does not take the rows: {error}") from error


def _fill_venue_time(rows: Events) -> int:
    """Gives rows without a venue time ours, as everywhere in Cobalt; how many there were."""
    missing = rows["ts_event_ns"] == _core.TS_NONE
    rows["ts_event_ns"][missing] = rows["ts_recv_ns"][missing]
    return int(missing.sum())


def _clean_cut(rows: NDArray[np.void], least_later_ns: int) -> int:
    """How many of the rows, which are in arrival order, come before all others on both clocks."""
    if not len(rows):
        return 0
    newest = np.maximum.accumulate(rows["exch_ts"])
    later = np.append(rows["exch_ts"][1:], least_later_ns)
    least = np.minimum.accumulate(later[::-1])[::-1]
    clean = newest < least
    # Rows of one receive time stay together; those after the last row were received later.
    clean[:-1] &= rows["local_ts"][:-1] < rows["local_ts"][1:]
    found = np.flatnonzero(clean)
    return int(found[-1]) + 1 if len(found) else 0


class _VenueTimes:
    """How early the venue times of rows yet to come can be, from a first reading of all of them."""

    def __init__(self, request: ExportRequest) -> None:
        self._streams: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for kind in _KINDS:
            last: list[NDArray[np.int64]] = []
            least: list[NDArray[np.int64]] = []
            for rows in request.batches(kind, stage=f"survey {kind}"):
                missing = rows["ts_event_ns"] == _core.TS_NONE
                times = np.where(missing, rows["ts_recv_ns"], rows["ts_event_ns"])
                blocks = np.arange(0, len(rows), _BLOCK_ROWS)
                least.append(np.minimum.reduceat(times, blocks))
                last.append(rows["ts_recv_ns"][np.append(blocks[1:], len(rows)) - 1])
            if least:
                after = np.minimum.accumulate(np.concatenate(least)[::-1])[::-1]
                self._streams.append((np.concatenate(last), after))

    def least_from(self, recv_ns: int | None) -> int:
        """No row received at or after `recv_ns` has an earlier venue time; None: after the end."""
        found = [np.iinfo(np.int64).max]
        if recv_ns is not None:
            for last, least in self._streams:
                at = int(np.searchsorted(last, recv_ns))
                found += [int(least[at])] if at < len(last) else []
        return min(found)


def _windows(request: ExportRequest) -> Iterator[tuple[Events, Events, int | None]]:
    """Depth and trades by stretches of receive time, each with the time before which both are
    complete (None: the end).
    """
    sources = [request.batches(kind) for kind in _KINDS]
    held: list[Events] = [np.empty(0, _core.EVENT_DTYPE) for _ in _KINDS]
    is_open = [True for _ in _KINDS]
    while any(is_open):
        for at, source in enumerate(sources):
            # A stream is read on where what is held of it ends at or before the other's.
            if is_open[at] and _is_shortest(held, is_open, at):
                rows = next(source, None)
                is_open[at] = rows is not None
                if rows is not None:
                    held[at] = np.concatenate([held[at], rows])
        ends = [
            int(rows["ts_recv_ns"][-1]) for rows, more in zip(held, is_open, strict=True) if more
        ]
        until = min(ends) if ends else None
        parts = []
        for at, rows in enumerate(held):
            cut = len(rows) if until is None else int(np.searchsorted(rows["ts_recv_ns"], until))
            parts.append(rows[:cut])
            held[at] = rows[cut:]
        if any(map(len, parts)):
            yield parts[0], parts[1], until


def _is_shortest(held: list[Events], is_open: list[bool], at: int) -> bool:
    if not len(held[at]):
        return True
    end = held[at]["ts_recv_ns"][-1]
    return all(
        len(rows) > 0 and end <= rows["ts_recv_ns"][-1]
        for other, (rows, more) in enumerate(zip(held, is_open, strict=True))
        if more and other != at
    )


class _Npz:
    """An npz being written: rows wait in a file beside it until their number is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self._dtype = dtype
        self._rows = 0
        self._spool_path = path.with_name(f"{path.name}.rows")
        self._spool = self._spool_path.open("w+b")

    def write(self, rows: NDArray[np.void]) -> None:
        """Adds rows."""
        self._spool.write(np.ascontiguousarray(rows).data)
        self._rows += len(rows)

    def close(self, about: dict[str, Any]) -> None:
        """Writes the npz. Equal rows give equal bytes: no member carries the time of writing."""
        self._spool.seek(0)
        with zipfile.ZipFile(self.path, "w") as archive:
            with archive.open(_member("data.npy"), "w", force_zip64=True) as out:
                # numpy's own stubs leave these two without types.
                npy: Any = np.lib.format
                header = {"fortran_order": False, "shape": (self._rows,)}
                header["descr"] = npy.dtype_to_descr(self._dtype)
                npy.write_array_header_1_0(out, header)
                while block := self._spool.read(_COPY_BYTES):
                    out.write(block)
            text = json.dumps(about, indent=1, ensure_ascii=False)
            archive.writestr(_member(ABOUT_MEMBER), text)
        self.discard()

    def discard(self) -> None:
        """Removes the rows' file."""
        self._spool.close()
        self._spool_path.unlink(missing_ok=True)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _report(request: ExportRequest, written: _Written, files: dict[str, int]) -> ExportReport:
    left_out = {
        "quote rows": request.count("quotes"),
        "off-book trades": request.count("offbook"),
        "depth rows that the book does not apply": written.not_applied,
        "messages without a level": written.without_level,
    }
    return ExportReport(
        instrument=request.instrument.id,
        format="hftbacktest",
        path=str(request.path),
        provenance=request.manifest.provenance,
        files=files,
        rows={name: count for name, count in written.rows.items() if count},
        left_out={name: count for name, count in left_out.items() if count},
        ts_recv_first_ns=written.ts_recv_first_ns,
        ts_recv_last_ns=written.ts_recv_last_ns,
        notes=list(_notes(request, written, left_out)),
    )


def _notes(request: ExportRequest, written: _Written, left_out: dict[str, int]) -> Iterator[str]:
    yield (
        "The format has no place for update ids, trade ids and the bounds of messages: a reader can"
        " only take rows of equal times for one message."
    )
    lost = [f"{count:,} {name}" for name, count in left_out.items() if count]
    if lost:
        yield f"Left out: {', '.join(lost)}."
    if written.rows[_ROWS[-1]]:
        yield (
            f"{written.rows[_ROWS[-1]]:,} rows stand twice, once for each clock, as hftbacktest"
            " wants them where the order of arrival is not the order of happening."
        )
    if written.without_venue_time:
        yield (
            f"{written.without_venue_time:,} rows have no venue time and were given our receive"
            " time in its place."
        )
    if not written.has_book:
        yield "There is no depth snapshot in the range: the file holds no book."
    if request.run_up_ns is not None:
        yield (
            f"Depth begins with the snapshot of {utc_text(request.run_up_ns)}, before start, so"
            " that a book stands at start."
        )
