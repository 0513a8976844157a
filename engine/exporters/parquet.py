"""The catalog to plain Parquet: one file a data kind, for polars, pandas, DuckDB and the like.

The columns of every file; nothing of the catalog is lost in them:

| column | type | what |
| --- | --- | --- |
| `ts_event`, `ts_recv` | timestamp ns, UTC | the venue's clock (null: it sent none) and ours |
| `ts_event_ns`, `ts_recv_ns` | int64 | the same, ns since the Unix epoch |
| `kind` | text | delta, snapshot, trade, offbook or quote |
| `side` | text | bid or ask, of a trade's aggressor buy or sell; null: no level or not known |
| `px`, `qty` | float64 | price in quote units and quantity, nearest to the exact decimals |
| `px_ticks`, `qty_lots` | int64 | the same in ticks and lots, exact |
| `seq` | uint64 | update id of the book, or trade id; null: not known |
| `prev_seq` | uint64 | the update id that a delta continues from; null: from none |
| `is_first`, `is_last` | bool | first and last row of a venue message, which counts as one |
| `recv_raised` | bool | `ts_recv` was raised to the arrival of the snapshot waited for |

Tick and lot, provenance and the rest of what there is to know are in `cobalt_export.json` and in
each file's metadata under the key `cobalt`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.exporters.report import EVENT_KINDS, ExportReport
from engine.exporters.staging import staged_folder, write_about
from engine.peers.hftbacktest import floats
from engine.units import utc_text

if TYPE_CHECKING:
    from pathlib import Path

    from engine.catalog import Events
    from engine.exporters.report import ExportRequest

__all__ = ["run"]

_KIND_NAMES = ["delta", "snapshot", "trade", "offbook", "quote"]
_TRADES = (3, 4)
_GROUP_ROWS = 131_072


def run(request: ExportRequest) -> ExportReport:
    """Writes a folder; see `engine.exporters.run_export`."""
    about = request.about()
    rows: dict[str, int] = {}
    times: list[int] = []
    with staged_folder(request.path, replace=request.replace) as folder:
        for kind in EVENT_KINDS:
            if request.has(kind):
                written = _write(request, kind, folder / f"{kind}.parquet", about, times)
                rows |= {kind: written} if written else {}
        request.refuse_empty(EVENT_KINDS)
        write_about(folder, about)
        files = {path.name: path.stat().st_size for path in sorted(folder.glob("*.parquet"))}
    return ExportReport(
        instrument=request.instrument.id,
        format="parquet",
        path=str(request.path),
        provenance=request.manifest.provenance,
        files=files,
        rows=rows,
        ts_recv_first_ns=min(times, default=None),
        ts_recv_last_ns=max(times, default=None),
        notes=_notes(request),
    )


def _notes(request: ExportRequest) -> list[str]:
    if request.run_up_ns is None or not request.has("depth"):
        return []
    return [
        f"Depth begins with the snapshot of {utc_text(request.run_up_ns)}, before start, so that a"
        " book stands at start."
    ]


def _write(
    request: ExportRequest, kind: str, path: Path, about: dict[str, Any], times: list[int]
) -> int:
    """Writes one kind; returns its rows, and removes the file where there are none."""
    import pyarrow.parquet as pq

    schema = _schema(about)
    count = 0
    with pq.ParquetWriter(path, schema, **_PARQUET) as writer:
        for rows in request.batches(kind):
            writer.write_table(_table(rows, request, schema), row_group_size=_GROUP_ROWS)
            times += [int(rows["ts_recv_ns"][0]), int(rows["ts_recv_ns"][-1])]
            del times[1:-1]
            count += len(rows)
    if not count:
        path.unlink()
    return count


# Encodings that every reader knows: the catalog's own for prices is newer than some of them.
_DELTAS = ("ts_event", "ts_recv", "ts_event_ns", "ts_recv_ns", "seq", "prev_seq")
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["kind", "side", "px", "qty", "px_ticks", "qty_lots"],
    "column_encoding": dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED"),
}


def _schema(about: dict[str, Any]) -> Any:
    import pyarrow as pa

    time = pa.timestamp("ns", "UTC")
    types = {
        "ts_event": time,
        "ts_recv": time,
        "ts_event_ns": pa.int64(),
        "ts_recv_ns": pa.int64(),
        "kind": pa.string(),
        "side": pa.string(),
        "px": pa.float64(),
        "qty": pa.float64(),
        "px_ticks": pa.int64(),
        "qty_lots": pa.int64(),
        "seq": pa.uint64(),
        "prev_seq": pa.uint64(),
        "is_first": pa.bool_(),
        "is_last": pa.bool_(),
        "recv_raised": pa.bool_(),
    }
    return pa.schema(types, {"cobalt": json.dumps(about, ensure_ascii=False)})


def _table(rows: Events, request: ExportRequest, schema: Any) -> Any:
    import pyarrow as pa

    time = schema.field("ts_recv").type
    ts_event = pa.array(
        np.ascontiguousarray(rows["ts_event_ns"]), mask=rows["ts_event_ns"] == _core.TS_NONE
    )
    ts_recv = pa.array(np.ascontiguousarray(rows["ts_recv_ns"]))
    flags = rows["flags"]
    columns = {
        "ts_event": ts_event.cast(time),
        "ts_recv": ts_recv.cast(time),
        "ts_event_ns": ts_event,
        "ts_recv_ns": ts_recv,
        "kind": _names(rows["kind"] - 1, _KIND_NAMES),
        "side": _sides(rows),
        "px": pa.array(floats(rows["px_ticks"], request.instrument.tick)),
        "qty": pa.array(floats(rows["qty_lots"], request.instrument.lot)),
        "px_ticks": pa.array(np.ascontiguousarray(rows["px_ticks"])),
        "qty_lots": pa.array(np.ascontiguousarray(rows["qty_lots"])),
        "seq": _ids(rows["seq"]),
        "prev_seq": _ids(rows["prev_seq"]),
        "is_first": pa.array(flags & _core.FLAG_FIRST != 0),
        "is_last": pa.array(flags & _core.FLAG_LAST != 0),
        "recv_raised": pa.array(flags & _core.FLAG_RECV_RAISED != 0),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _ids(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(np.ascontiguousarray(values), mask=values == _core.SEQ_NONE)


def _sides(rows: Events) -> Any:
    """Bid and ask for levels, buy and sell for the aggressor of a trade."""
    is_trade = np.isin(rows["kind"], _TRADES)
    codes = rows["side"].astype(np.int8) - 1 + np.where(is_trade, 2, 0).astype(np.int8)
    return _names(codes, ["bid", "ask", "buy", "sell"], missing=rows["side"] == 0)


def _names(codes: Any, names: list[str], missing: Any = None) -> Any:
    import pyarrow as pa

    indices = pa.array(codes.astype(np.int8), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, names).cast(pa.string())
