"""The heatmaps of a run's report: resting size on each traded instrument, with own fills over it.

They are read from the catalog once, when the run ends, and kept in its folder, so that the report
can be made again without the catalog. A heatmap that cannot be made is a sentence in the report.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.catalog import Catalog, CatalogError
from engine.units import timestamp_ns

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from engine.heatmap import HeatmapData
    from engine.report_figures import Drawing

__all__ = ["heatmap_drawing"]

_COLUMNS = 800
# Buckets that the run's prices may take, beside the window of 40 around them.
_ROWS = 160
# As 10 USD are to BTC: a bucket that shows more than the best prices.
_BUCKET_SHARE = 1.6e-4
# Above so many rows of depth a report would take longer than a few seconds.
_DEPTH_ROWS_MAX = 60_000_000
_KINDS = ("depth", "trades")


def heatmap_drawing(
    run_dir: Path,
    summary: dict[str, Any],
    config: dict[str, Any],
    instrument: str,
    mids: np.ndarray[Any, np.dtype[np.float64]],
    fills: pa.Table,
) -> Drawing | str:
    """The heatmap of one instrument with its `fills`, or the reason why there is none.

    `mids` are the instrument's mid prices in the run, by which the size of the buckets is chosen.
    """
    from engine.heatmap_html import drawing

    try:
        data = _kept(run_dir, summary, instrument)
        if data is None:
            data = _made(summary, config, instrument, mids)
            _keep(run_dir, summary, data)
    except (ValueError, RuntimeError, OSError) as error:
        # A picture less is no reason to leave a finished run without its report.
        return f"{instrument}: {error}."
    return drawing(data, fills)


def _made(
    summary: dict[str, Any],
    config: dict[str, Any],
    instrument: str,
    mids: np.ndarray[Any, np.dtype[np.float64]],
) -> HeatmapData:
    from engine.heatmap import heatmap

    known = mids[~np.isnan(mids)]
    if "start" not in summary or "catalog" not in config or not len(known):
        raise CatalogError("no book was shown in this run")
    catalog = Catalog(str(config["catalog"]))
    if not catalog.has(instrument):
        raise CatalogError(f"catalog {catalog.root} does not hold its data here and now")
    if catalog.data_sha256(summary["instruments"], _KINDS) != summary.get("data_sha256"):
        raise CatalogError(f"catalog {catalog.root} holds other data now than in the run")
    start_ns, end_ns = timestamp_ns(summary["start"]), timestamp_ns(summary["end"]) + 1
    rows = sum(
        entry.rows
        for entry in catalog.manifest(instrument).of_kind("depth")
        if entry.ts_recv_last_ns >= start_ns and entry.ts_recv_first_ns < end_ns
    )
    if rows > _DEPTH_ROWS_MAX:
        raise CatalogError(
            f"{rows:,} rows of depth are too many to draw in a report; `cobalt heatmap"
            f" instrument={instrument} start=… end=… path=heatmap.html` draws a part"
        )
    size = _bucket(known, float(config["instrument"][instrument]["tick"]))
    data = heatmap(catalog, instrument, bucket=size, start=start_ns, end=end_ns, columns=_COLUMNS)
    # As it is kept and drawn, so that the report is the same when it is made again.
    return dataclasses.replace(data, matrix=data.matrix.astype(np.float32).astype(np.float64))


def _bucket(mids: np.ndarray[Any, np.dtype[np.float64]], tick: float) -> str:
    """A round size (1, 2 or 5 of a decade), in which the run's prices are few enough buckets."""
    wanted = max(float(np.ptp(mids)) / _ROWS, float(np.median(mids)) * _BUCKET_SHARE, tick)
    decade = int(np.floor(np.log10(wanted)))
    steps = (f"{step}e{decade + more}" for more in (0, 1) for step in (1, 2, 5))
    chosen = next(text for text in steps if float(text) >= wanted * (1 - 1e-9))
    return f"{float(chosen):.12f}".rstrip("0").rstrip(".")


def _file(run_dir: Path, instrument: str) -> Path:
    return run_dir / f"heatmap-{re.sub('[^A-Za-z0-9._-]', '_', instrument)}.npz"


def _identity(summary: dict[str, Any], instrument: str) -> str:
    """What a kept heatmap is of: a folder may be used by another run later."""
    keys = ("data_sha256", "config_sha256", "start", "end")
    return json.dumps([instrument, *(summary.get(key) for key in keys)])


def _keep(run_dir: Path, summary: dict[str, Any], data: HeatmapData) -> None:
    """Writes the arrays and, as JSON, the rest; the matrix as float32, as it is drawn."""
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {"identity": _identity(summary, data.name)}
    for prefix, record in (("", data), ("trades.", data.trades), ("pivots.", data.pivots)):
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if isinstance(value, np.ndarray):
                arrays[prefix + field.name] = value
            elif not dataclasses.is_dataclass(value):
                plain[prefix + field.name] = value
    arrays["matrix"] = data.matrix.astype(np.float32)
    target = _file(run_dir, data.name)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, plain=np.array(json.dumps(plain)), **arrays)
        os.replace(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _kept(run_dir: Path, summary: dict[str, Any], instrument: str) -> HeatmapData | None:
    """The heatmap that was kept of this run; None where there is none that can be read."""
    from engine.heatmap import HeatmapData
    from engine.heatmap_marks import Pivots, Trades

    try:
        with np.load(_file(run_dir, instrument), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        values = arrays | json.loads(str(arrays.pop("plain")))
        if values.pop("identity") != _identity(summary, instrument):
            return None
        parts: dict[str, dict[str, Any]] = {"": {}, "trades": {}, "pivots": {}}
        for name, value in values.items():
            prefix, _, field = name.rpartition(".")
            parts[prefix][field] = value
        whole = parts[""] | {
            "members": tuple(parts[""]["members"]),
            "matrix": parts[""]["matrix"].astype(np.float64),
        }
        return HeatmapData(
            **whole, trades=Trades(**parts["trades"]), pivots=Pivots(**parts["pivots"])
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
