"""A catalog as it would have been at an earlier time: what came later is not in it.

Files that end before the cut are linked to, the one that holds it is written anew, later ones are
left out, of every instrument and kind. Candles are kept when they are complete by the cut.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import TS_NONE, _core
from engine.catalog import BAR_INTERVALS, KINDS, MANIFEST, Catalog, FileEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["cut_catalog", "first_row"]


def cut_catalog(catalog: Catalog, cut_ns: int, target: Path, links_to: Path) -> None:
    """Writes the part of a catalog received before `cut_ns` into the folder `target`.

    `links_to` is where the catalog will be found by those who follow the links. An instrument
    without a file left is not there at all.
    """
    cut = Catalog(target)
    for instrument in catalog.instruments():
        manifest = catalog.manifest(instrument)
        files = []
        for entry in manifest.files:
            limit_ns = _limit_ns(entry, cut_ns)
            path = cut.folder(instrument) / entry.path
            if entry.ts_recv_first_ns >= limit_ns:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.ts_recv_last_ns < limit_ns:
                source = catalog.folder(instrument).relative_to(catalog.root) / entry.path
                path.symlink_to(links_to / source)
                files.append(entry)
            else:
                files.append(_cut_file(catalog, instrument, entry, limit_ns, path))
        if files:
            text = dataclasses.replace(manifest, files=files, resume=None).to_json()
            (cut.folder(instrument) / MANIFEST).write_text(text, encoding="utf-8")


def first_row(catalog: Catalog, instrument: str, kind: str, ts_ns: int) -> tuple[int, int] | None:
    """Receive time and venue time of the first row of a stream received at or after `ts_ns`.

    `kind` is any but candles. A row without a venue time counts as of its receipt; None where there
    is no such row.
    """
    import pyarrow.parquet as pq

    for entry in catalog.manifest(instrument).of_kind(kind):
        if entry.ts_recv_last_ns < ts_ns:
            continue
        file = pq.ParquetFile(catalog.folder(instrument) / entry.path)
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(
                group, columns=["ts_recv_ns", "ts_event_ns"], use_threads=False
            )
            times = table.column("ts_recv_ns").to_numpy()
            at = int(np.searchsorted(times, ts_ns))
            if at < len(times):
                recv_ns, event_ns = int(times[at]), table.column("ts_event_ns")[at].as_py()
                return recv_ns, recv_ns if event_ns == TS_NONE else event_ns
    return None


def _limit_ns(entry: FileEntry, cut_ns: int) -> int:
    """Rows whose own time is below this are known before the cut."""
    # A candle's time is its start; it is known at its end.
    return cut_ns if entry.interval is None else cut_ns - BAR_INTERVALS[entry.interval] + 1


def _cut_file(
    catalog: Catalog, instrument: str, entry: FileEntry, limit_ns: int, path: Path
) -> FileEntry:
    """Writes the rows of a file that are below a time, and returns their entry."""
    import pyarrow.parquet as pq

    source = pq.ParquetFile(catalog.folder(instrument) / entry.path)
    name = "ts_start_ns" if entry.kind == "bars" else "ts_recv_ns"
    rows, last_ns = 0, entry.ts_recv_first_ns
    with pq.ParquetWriter(path, source.schema_arrow, compression="zstd") as writer:
        for group in range(source.metadata.num_row_groups):
            table = source.read_row_group(group, use_threads=False)
            times = table.column(name).to_numpy()
            kept = int(np.searchsorted(times, limit_ns))
            if kept:
                writer.write_table(table.slice(0, kept), row_group_size=kept)
                rows, last_ns = rows + kept, int(times[kept - 1])
            if kept < len(times):
                break
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    about: dict[str, Any] = {}
    if entry.kind in KINDS:
        check = _core.StreamChecker(entry.kind)
        check.start_part()
        for batch in catalog.file_batches(instrument, entry, end_ns=limit_ns):
            check.push(batch)
        names: Sequence[str] = ("messages", "gaps", "seq_last", "snapshots_ns")
        about = dict(zip(names, check.end_part(), strict=True))
    else:
        about = {"messages": rows}
        if entry.interval is not None:
            step_ns = BAR_INTERVALS[entry.interval]
            about["missing"] = (last_ns - entry.ts_recv_first_ns) // step_ns + 1 - rows
    return dataclasses.replace(
        entry,
        sha256=sha256,
        bytes=path.stat().st_size,
        rows=rows,
        ts_recv_last_ns=last_ns,
        **about,
    )
