"""What the charts of a report are made of, as plain plotly figures.

They are written as dictionaries: plotly's own classes would cost half a second to import and check
what a test checks once. Times are milliseconds since the epoch, which plotly shows as UTC.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = [
    "AMBER",
    "BLUE",
    "GREEN",
    "GREY",
    "RED",
    "VIOLET",
    "Drawing",
    "axis",
    "evenly",
    "line",
    "line_notes",
    "packed",
    "page_layout",
    "thin_line",
    "two_panels",
]

_LINE_POINTS_MAX = 3_000

BLUE, RED, GREEN, GREY = "#3b82c4", "#d1495b", "#2a9d6f", "#8a94a0"
AMBER, VIOLET = "#d99a1c", "#8e63c7"


@dataclass(frozen=True)
class Drawing:
    """One chart with its heading, its height, and what a reader must know about it."""

    title: str
    height_px: int
    figure: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def thin_line(values: Floats, points_max: int = _LINE_POINTS_MAX) -> npt.NDArray[np.intp]:
    """Indices, ascending, of at most `points_max` points to draw of a line.

    The line is cut into stretches and of each the first, lowest, highest and last point stay, so
    no extreme is lost. NaN counts as missing.
    """
    count = len(values)
    if count <= points_max:
        return np.arange(count)
    edges = np.linspace(0, count, points_max // 4 + 1).astype(np.intp)
    kept: list[int] = []
    for start, end in itertools.pairwise(edges.tolist()):
        kept += [start, end - 1]
        stretch = values[start:end]
        if not np.isnan(stretch).all():
            kept += [start + int(np.nanargmin(stretch)), start + int(np.nanargmax(stretch))]
    return np.unique(np.asarray(kept, dtype=np.intp))


def evenly(count: int, kept_max: int) -> npt.NDArray[np.intp]:
    """Indices, ascending, of at most `kept_max` of `count` things, evenly spread."""
    if count <= kept_max:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, kept_max).astype(np.intp))


def line(times: Ints, values: Floats, name: str, color: str, y_axis: str = "y") -> dict[str, Any]:
    """A line over time, thinned by `thin_line`, on one of the layout's axes."""
    drawn = thin_line(values)
    return {
        "type": "scatter",
        # A single point has no line; without a marker it could not be seen.
        "mode": "lines" if len(drawn) > 1 else "markers",
        "name": name,
        "x": packed(times[drawn] / 1e6),
        "y": packed(values[drawn]),
        "line": {"color": color, "width": 1.4},
        "marker": {"color": color},
        "xaxis": "x",
        "yaxis": y_axis,
    }


def line_notes(count: int) -> list[str]:
    """What to say of lines of so many points."""
    if count <= _LINE_POINTS_MAX:
        return []
    return [
        f"The lines are drawn with at most {_LINE_POINTS_MAX:,} of {count:,} points; the extremes"
        " of every stretch are among them. All points are in the run's tables."
    ]


def page_layout(*, unified: bool) -> dict[str, Any]:
    """Margins, legend and hovering of a chart; `unified` shows all lines of one time together."""
    return {
        "margin": {"l": 96, "r": 18, "t": 34, "b": 62},
        "hovermode": "x unified" if unified else "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A vertical axis of amounts."""
    return {
        "title": {"text": title, "standoff": 12},
        "separatethousands": True,
        "exponentformat": "none",
        **more,
    }


def two_panels(upper: str, lower: str, *, upper_share: float, unified: bool) -> dict[str, Any]:
    """The layout of two panels over one axis of time; `line` draws on `y` and `y2`."""
    gap = 0.04
    return {
        **page_layout(unified=unified),
        "xaxis": {"type": "date", "anchor": "y2", "title": {"text": "Time, UTC"}},
        "yaxis": axis(upper, domain=[1 - upper_share + gap, 1], zeroline=False),
        "yaxis2": axis(lower, domain=[0, 1 - upper_share - gap]),
    }


def packed(values: Floats, dtype: str = "f8") -> dict[str, str]:
    """Numbers as plotly's typed array: half the size of text, and NaN stays a gap in a line."""
    bdata = base64.b64encode(values.astype(f"<{dtype}").tobytes()).decode()
    shape = {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {}
    return {"dtype": dtype, "bdata": bdata, **shape}
