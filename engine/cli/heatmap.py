"""`cobalt heatmap`: a picture of resting size by time and price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError

if TYPE_CHECKING:
    from engine.cli.commands import HeatmapKeys
    from engine.heatmap import HeatmapData

__all__ = ["run"]


def run(keys: HeatmapKeys) -> int:
    """Runs the command; see `engine.cli` for exit codes."""
    if keys.output not in ("text", "json"):
        raise ConfigError(f"output: expected text or json, found '{keys.output}'")
    if not keys.path:
        raise ConfigError("path: a value is needed; write path=heatmap.html or path=heatmap.png")
    if bool(keys.instrument) == bool(keys.group):
        found = "both" if keys.group else "neither"
        raise ConfigError(f"instrument, group: expected one of them, found {found}")
    from engine.heatmap import check_path, heatmap, write_heatmap

    path = check_path(keys.path)
    if not path.parent.is_dir():
        raise ConfigError(f"path: there is no folder {path.parent}")
    members = keys.group or (keys.instrument[0] if len(keys.instrument) == 1 else keys.instrument)
    data = heatmap(
        keys.catalog,
        members,
        kind=keys.kind,
        bucket=keys.bucket,
        start=keys.start,
        end=keys.end,
        interval=keys.interval,
        aggregate=keys.aggregate,
    )
    write_heatmap(data, path)
    report = _report(data, str(path), path.stat().st_size)
    if keys.output == "json":
        print(json.dumps(report, allow_nan=False), flush=True)
        return 0
    from engine.heatmap_style import provenance_line, sources, told

    print(f"{path}: {data.name}, {data.rows} buckets × {data.columns:,} columns")
    print("\n".join((sources(data), *told(data))))
    if warning := provenance_line(data.provenance):
        print(warning)
    return 0


def _report(data: HeatmapData, path: str, size: int) -> dict[str, Any]:
    return {
        "path": path,
        "bytes": size,
        "name": data.name,
        "members": list(data.members),
        "provenance": data.provenance,
        "kind": data.kind,
        "aggregate": data.aggregate,
        "base": data.base,
        "quote": data.quote,
        "bucket": data.bucket_size,
        "px_low": float(data.px_edges[0]),
        "px_high": float(data.px_edges[-1]),
        "rows": data.rows,
        "columns": data.columns,
        "column_ns": data.column_ns,
        "start_ns": int(data.ts_edges_ns[0]),
        "end_ns": int(data.ts_edges_ns[-1]),
        "trades": data.trades.count,
        "trades_drawn_share": data.trades.qty_share,
        "pivots": data.pivots.count,
        "pivots_drawn": len(data.pivots.px),
        "pivots_instrument": data.pivots.instrument or None,
        "interval": data.pivots.interval or None,
    }
