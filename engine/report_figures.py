"""The charts of a report, as plain plotly figures.

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
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Drawing", "account_figure", "instrument_figure", "packed", "thin_line"]

_LINE_POINTS_MAX = 3_000
_MARKERS_MAX = 5_000

_BLUE, _RED, _GREEN, _GREY = "#3b82c4", "#d1495b", "#2a9d6f", "#8a94a0"
_SYMBOLS = {"buy": "triangle-up", "sell": "triangle-down"}
_COLORS = {"buy": _GREEN, "sell": _RED}


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


def account_figure(equity: pa.Table, currency: str) -> Drawing:
    """Equity of the account in one currency, and below it the drawdown from the highest so far."""
    here = equity.filter(_equals(equity, "currency", currency))
    times, values = _last_of_each_time(_ints(here, "ts_ns"), _floats(here, "equity"))
    drawdown = values - np.fmax.accumulate(values)
    traces = [
        _line(times, values, f"Equity ({currency})", _BLUE, axis=""),
        {
            **_line(times, drawdown, f"Drawdown ({currency})", _RED, axis="2"),
            "fill": "tozeroy",
            "fillcolor": "rgba(209,73,91,0.18)",
        },
    ]
    layout = _two_panels(f"Equity, {currency}", f"Drawdown, {currency}", upper_share=0.68)
    notes = _line_notes(len(times))
    title = f"Equity and drawdown, {currency}"
    return Drawing(title, 440, {"data": traces, "layout": layout}, notes)


def instrument_figure(
    equity: pa.Table, fills: pa.Table, instrument: str, *, px_unit: str = "", qty_unit: str = ""
) -> Drawing:
    """The mid price of one instrument with its fills, and below it the position held."""
    here = equity.filter(_equals(equity, "instrument", instrument))
    done = fills.filter(_equals(fills, "instrument", instrument))
    times = _ints(here, "ts_ns")
    traces = [_line(times, _floats(here, "mid"), "Mid", _GREY, axis="")]
    for side in ("buy", "sell"):
        for liquidity in ("maker", "taker"):
            marks = _marks(done, side, liquidity)
            if marks is not None:
                traces.append(marks)
    position = _line(times, _floats(here, "position"), "Position", _BLUE, axis="2")
    position["line"]["shape"] = "hv"
    traces.append(position)
    layout = _two_panels(_with(px_unit, "Price"), _with(qty_unit, "Position"), upper_share=0.7)
    notes = _line_notes(len(times)) + _fill_notes(done)
    title = f"Price, fills and position: {instrument}"
    return Drawing(title, 560, {"data": traces, "layout": layout}, notes)


def _marks(fills: pa.Table, side: str, liquidity: str) -> dict[str, Any] | None:
    rows = fills.filter(_equals(fills, "side", side))
    rows = rows.filter(_equals(rows, "liquidity", liquidity))
    if not rows.num_rows:
        return None
    share = rows.num_rows / fills.num_rows
    drawn = _spread(rows.num_rows, max(int(share * _MARKERS_MAX), 50))
    hollow = liquidity == "maker"
    return {
        "type": "scattergl" if len(drawn) > 1_000 else "scatter",
        "mode": "markers",
        "name": f"{side.capitalize()}, {liquidity}",
        "x": packed(_ints(rows, "ts_event_ns")[drawn] / 1e6),
        "y": packed(_floats(rows, "px")[drawn]),
        "customdata": packed(_floats(rows, "qty")[drawn]),
        "hovertemplate": "%{y} × %{customdata}",
        "marker": {
            "symbol": _SYMBOLS[side] + ("-open" if hollow else ""),
            "color": _COLORS[side],
            # Many marks are drawn smaller, so that they do not cover each other and the price.
            "size": 8 if fills.num_rows <= 500 else 5,
            "line": {"width": 1.4, "color": _COLORS[side]},
        },
        "xaxis": "x",
        "yaxis": "y",
    }


def _line(times: Ints, values: Floats, name: str, color: str, axis: str) -> dict[str, Any]:
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
        "yaxis": f"y{axis}",
    }


def _two_panels(upper: str, lower: str, *, upper_share: float) -> dict[str, Any]:
    gap = 0.04
    return {
        "margin": {"l": 96, "r": 18, "t": 34, "b": 62},
        "hovermode": "x unified" if upper.startswith("Equity") else "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        "xaxis": {"type": "date", "anchor": "y2", "title": {"text": "Time, UTC"}},
        "yaxis": {
            "domain": [1 - upper_share + gap, 1],
            "title": {"text": upper, "standoff": 12},
            "separatethousands": True,
            "exponentformat": "none",
            "zeroline": False,
        },
        "yaxis2": {
            "domain": [0, 1 - upper_share - gap],
            "title": {"text": lower, "standoff": 12},
            "separatethousands": True,
            "exponentformat": "none",
        },
    }


def _line_notes(count: int) -> list[str]:
    if count <= _LINE_POINTS_MAX:
        return []
    return [
        f"The lines are drawn with at most {_LINE_POINTS_MAX:,} of {count:,} points; the extremes"
        " of every stretch are among them. All points are in equity.parquet."
    ]


def _fill_notes(fills: pa.Table) -> list[str]:
    if not fills.num_rows:
        return ["No order was filled."]
    notes = ["Hollow marks: filled as maker. Solid marks: filled as taker."]
    if fills.num_rows > _MARKERS_MAX:
        notes.append(
            f"About {_MARKERS_MAX:,} of {fills.num_rows:,} fills are drawn, evenly spread."
            " All are in fills.parquet."
        )
    return notes


def _spread(count: int, kept_max: int) -> npt.NDArray[np.intp]:
    if count <= kept_max:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, kept_max).astype(np.intp))


def _last_of_each_time(times: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Instruments share one account: of the rows of one instant, the last one counts."""
    if not len(times):
        return times, values
    last = np.flatnonzero(np.append(times[1:] != times[:-1], True))
    return times[last], values[last]


def packed(values: Floats, dtype: str = "f8") -> dict[str, str]:
    """Numbers as plotly's typed array: half the size of text, and NaN stays a gap in a line."""
    bdata = base64.b64encode(values.astype(f"<{dtype}").tobytes()).decode()
    shape = {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {}
    return {"dtype": dtype, "bdata": bdata, **shape}


def _with(unit: str, name: str) -> str:
    return f"{name}, {unit}" if unit else name


def _equals(table: pa.Table, column: str, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(table.column(column), value)


def _floats(table: pa.Table, column: str) -> Floats:
    return np.asarray(table.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)


def _ints(table: pa.Table, column: str) -> Ints:
    return np.asarray(table.column(column).to_numpy(zero_copy_only=False), dtype=np.int64)
