"""Several runs side by side: figures, equity curves, and what their configurations differ in."""

from __future__ import annotations

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report import packaged_text, provenance_banner
from engine.report_figures import thin_line
from engine.report_tables import Figure, figure_rows
from engine.report_text import duration, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.run_folder import RunData
    from engine.statistics import Figures, Series

__all__ = ["Column", "Comparison", "compare", "write_comparison"]

_SPARK_WIDTH, _SPARK_HEIGHT = 220, 48
_SPARK_POINTS = 400
# Where things lie and what they are called is no difference; the data has its own hash.
_NOT_COMPARED = ("catalog", "run.name", "run.dir", "run.jobs", "run.reporting")


@dataclass(frozen=True)
class Column:
    """One run in one of its currencies."""

    run: RunData
    label: str
    figures: Figures
    series: Series


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. `differences` has each key of the configurations that is not the same in
    all, with its value in each column; `warnings` say what makes runs hard to compare.
    """

    columns: list[Column]
    differences: list[tuple[str, list[str]]]
    warnings: list[str]

    def rows(self, *, keys_only: bool = False) -> list[tuple[Figure, list[str]]]:
        """Each figure as text for each column."""
        return figure_rows([column.figures for column in self.columns], keys_only=keys_only)


def compare(runs: Sequence[RunData]) -> Comparison:
    """Some runs in their order; one of several currencies has a column for each."""
    names = _labels([run.folder for run in runs])
    columns = []
    for run, name in zip(runs, names, strict=True):
        overall = run.statistics.overall
        for currency, figures in overall.items():
            label = name if len(overall) == 1 else f"{name}, {currency}"
            columns.append(Column(run, label, figures, run.statistics.series[currency]))
    return Comparison(columns, _differences([column.run for column in columns]), _warnings(runs))


def write_comparison(comparison: Comparison, path: str | Path) -> Path:
    """Writes the comparison as an HTML page that needs no network, and returns its path."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_text(_page(comparison), encoding="utf-8")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _labels(folders: Sequence[Path]) -> list[str]:
    """The names of the folders; their paths where names are not unique."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _differences(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    flat = [
        {"instrument": ", ".join(run.definitions), **dict(_flattened(run.config))} for run in runs
    ]
    keys = dict.fromkeys(key for config in flat for key in config)
    found = []
    for key in keys:
        values = [config.get(key, "–") for config in flat]
        # The definition of an instrument that others do not trade is no difference between them.
        foreign = key.startswith("instrument.") and "–" in values
        if key not in _NOT_COMPARED and not foreign and len(set(values)) > 1:
            found.append((key, values))
    return found


def _flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The keys of a configuration as they are written on the command line."""
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, default=str)


def _warnings(runs: Sequence[RunData]) -> list[str]:
    found = []
    if len({run.summary.get("data_sha256") for run in runs}) > 1:
        found.append("The runs are over different data.")
    ranges = {(run.summary.get("start"), run.summary.get("end")) for run in runs}
    if len(ranges) > 1:
        found.append("The runs do not begin or end at the same time; sums are of different spans.")
    if len({run.summary.get("versions", {}).get("cobalt") for run in runs}) > 1:
        found.append("The runs are of different versions of Cobalt.")
    return found


def _page(comparison: Comparison) -> str:
    columns = comparison.columns
    banners = dict.fromkeys(provenance_banner(column.run.summary) for column in columns)
    notes = "".join(f'<p class="soft">{_escape(text)}</p>' for text in comparison.warnings)
    head = _row("Run", [_link(column) for column in columns], "head")
    body = [
        _row("Strategy", [_escape(str(c.run.summary.get("strategy", "–"))) for c in columns]),
        _row("Data", [_escape(_data(c.run.summary)) for c in columns]),
        _row("Equity, each to its own scale", [_sparkline(column) for column in columns]),
    ]
    group = None
    for figure, cells in comparison.rows():
        if figure.group != group:
            group = figure.group
            body.append(_row(group, [""] * len(columns), "group"))
        body.append(_row(figure.label, [_escape(cell) for cell in cells]))
    body.append(_row("Configuration that differs", [""] * len(columns), "group"))
    for key, values in comparison.differences:
        body.append(_row(key, [_escape(value) for value in values]))
    if not comparison.differences:
        body.append(_row("none", [""] * len(columns)))
    hashes = [str(column.run.summary.get("result_sha256", "–"))[:16] for column in columns]
    body.append(_row("Result, SHA-256", [f"<code>{_escape(text)}</code>" for text in hashes]))
    return Template(packaged_text("comparison_template.html")).substitute(
        style=packaged_text("report_style.css"),
        title=_escape(f"{len({id(column.run) for column in columns})} runs side by side"),
        banner="".join(banners),
        notes=notes,
        table=f"<table>{head}{''.join(body)}</table>",
    )


def _link(column: Column) -> str:
    report = column.run.folder.resolve() / "report.html"
    text = _escape(column.label)
    return f'<a href="{_escape(report.as_uri())}">{text}</a>' if report.is_file() else text


def _data(summary: Mapping[str, Any]) -> str:
    instruments = ", ".join(summary.get("instruments") or [])
    start, end = summary.get("start"), summary.get("end")
    if start is None or end is None:
        return instruments
    return f"{instruments}, {utc(start)}, {duration(start, end)}"


def _sparkline(column: Column) -> str:
    """The equity curve as a small picture; the straight line is what the run began with."""
    series = column.series
    values = series.equity
    valued = values[np.isfinite(values)]
    if not len(valued):
        return "–"
    drawn = thin_line(values, _SPARK_POINTS)
    low, high = min(float(valued.min()), series.initial), max(float(valued.max()), series.initial)
    height = high - low or 1.0
    span = max(int(series.ts_ns[-1] - series.ts_ns[0]), 1)

    def at_y(value: float) -> float:
        return 2 + (_SPARK_HEIGHT - 4) * (1 - (value - low) / height)

    pieces: list[list[str]] = [[]]
    for at in drawn.tolist():
        if np.isfinite(values[at]):
            x = _SPARK_WIDTH * float(series.ts_ns[at] - series.ts_ns[0]) / span
            pieces[-1].append(f"{x:.1f},{at_y(float(values[at])):.1f}")
        elif pieces[-1]:
            pieces.append([])
    lines = "".join(f'<polyline points="{" ".join(piece)}"/>' for piece in pieces if piece)
    begin = at_y(series.initial)
    return (
        f'<svg class="spark" width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}" role="img"'
        f' aria-label="equity"><line x1="0" x2="{_SPARK_WIDTH}" y1="{begin:.1f}" y2="{begin:.1f}"/>'
        f"{lines}</svg>"
    )


def _row(label: str, cells: Sequence[str], kind: str = "") -> str:
    """A row of cells that are HTML already."""
    tag = "th" if kind else "td"
    inner = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    attribute = f' class="{kind}"' if kind else ""
    return f"<tr{attribute}><th>{_escape(label)}</th>{inner}</tr>"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
