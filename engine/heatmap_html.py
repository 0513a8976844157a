"""A heatmap as a page that opens without a network, and as a chart of the run report, by plotly.

Sizes are written as float32, so a size under the pointer has seven digits. Drag to move, scroll to
zoom, double-click for all of it.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import heatmap_style as style
from engine.report_figures import Drawing, packed
from engine.report_text import number

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from engine.heatmap import HeatmapData

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["drawing", "page"]

_HEIGHT_PX = 760
_FILLS_MAX = 2_000
# Diameter of the largest mark, and the share of the picture that all marks may cover.
_MARK_PX, _MARKS_PX2 = 26.0, 36_000.0
_MARK_PX_MIN = 2.5
_CLOCK = "%{x|%Y-%m-%d %H:%M:%S.%L}"


def page(data: HeatmapData) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs

    chart = drawing(data)
    template = Path(__file__).with_name("heatmap_template.html").read_text(encoding="utf-8")
    warning = style.provenance_line(data.provenance)
    # `<` is escaped inside the script, so that no name in the data can end it.
    figure = json.dumps(chart.figure, allow_nan=False, separators=(",", ":"))
    return Template(template).substitute(
        title=_escape(style.heading(data)),
        subtitle=_escape(style.sources(data)),
        banner=f'<div class="banner" role="note">{_escape(warning)}</div>' if warning else "",
        notes="".join(f"<p>{_escape(note)}</p>" for note in chart.notes),
        figure=figure.replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
    )


def drawing(data: HeatmapData, fills: pa.Table | None = None) -> Drawing:
    """The chart, with one's own fills (rows of `fills.parquet` of the members) over it."""
    notes = style.told(data)
    traces = [_heat(data), _bar(data), *_lines(data)]
    traces += [mark for mark in (_trades(data, buy=True), _trades(data, buy=False)) if mark]
    traces += [mark for mark in (_pivots(data),) if mark]
    if fills is not None and fills.num_rows:
        marks, note = _fills(fills)
        traces += marks
        notes.append(note)
    traces += [*_lean(data), *_volume(data)]
    title = style.heading(data)
    return Drawing(title, _HEIGHT_PX, {"data": traces, "layout": _layout(data)}, notes)


def _heat(data: HeatmapData) -> dict[str, Any]:
    scale = style.scale_of(data)
    low, high = float(scale.values[0]), float(scale.values[-1])
    # Places along a linear scale of sizes, so that what is under the pointer is the size itself.
    stops = [
        [(float(value) - low) / (high - low), scale.color(float(place))]
        for value, place in zip(scale.values, scale.places, strict=True)
    ]
    if data.kind == "imbalance":
        stops = [[place, scale.color(place)] for place in np.linspace(0, 1, 13).tolist()]
    unit = "" if data.kind == "imbalance" else f" {data.base}"
    half = number(data.bucket_size / 2, digits=8)
    return {
        "type": "heatmap",
        "name": data.kind,
        "x0": _ms(data.ts_edges_ns[:1])[0] + data.column_ns / 2e6,
        "dx": data.column_ns / 1e6,
        "y0": (data.bucket_first + 0.5) * data.bucket_size,
        "dy": data.bucket_size,
        "z": packed(data.matrix, "f4"),
        "zmin": low,
        "zmax": high,
        "colorscale": stops,
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": (
            f"{_CLOCK}<br>%{{y:,}} ± {half}<br><b>%{{z:,.4~g}}{unit}</b><extra></extra>"
        ),
        "xaxis": "x",
        "yaxis": "y",
    }


def _bar(data: HeatmapData) -> dict[str, Any]:
    """Carries the colour bar, which would be linear in size beside the heatmap itself."""
    scale = style.scale_of(data)
    text = "{:+.1f}".format if data.kind == "imbalance" else style.size_text
    stops = [[place, scale.color(place)] for place in np.linspace(0, 1, 25).tolist()]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "showlegend": False,
        "hoverinfo": "skip",
        "marker": {
            "color": [0],
            "cmin": 0,
            "cmax": 1,
            "colorscale": stops,
            "showscale": True,
            "colorbar": {
                "title": {"text": scale.label, "side": "right"},
                "tickvals": scale.place(scale.ticks).tolist(),
                "ticktext": [text(tick) for tick in scale.ticks],
                "thickness": 12,
                "outlinewidth": 0,
                "x": 1.005,
                "xpad": 4,
                "y": 1,
                "yanchor": "top",
                "len": 0.68,
            },
        },
    }


def _lines(data: HeatmapData) -> list[dict[str, Any]]:
    def line(name: str, values: Floats, color: str, width: float, *, shown: bool) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            **_columns(data),
            "y": packed(values),
            "line": {"color": color, "width": width, "shape": "hv"},
            "visible": True if shown else "legendonly",
            "hoverinfo": "skip",
            "xaxis": "x",
            "yaxis": "y",
        }

    best = style.shows_best(data)
    # The mid is seen on the lightest colour as well, by its dark rim.
    rim = {**line("", data.mid, "#000000", 3.4, shown=True), "showlegend": False}
    return [
        rim,
        line("best bid", data.best_bid, style.BID, 1.0, shown=best),
        line("best ask", data.best_ask, style.ASK, 1.0, shown=best),
        line("mid", data.mid, style.MID, 1.4, shown=True),
    ]


def _trades(data: HeatmapData, *, buy: bool) -> dict[str, Any] | None:
    trades = data.trades
    here = np.flatnonzero(trades.is_buy == buy)[::-1]
    if not len(here):
        return None
    # Area is size; plotly takes diameters. All together cover a few per cent of the picture.
    areas = trades.qty * min(_MARK_PX**2 / trades.qty.max(), _MARKS_PX2 / trades.qty.sum())
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "bought" if buy else "sold",
        "x": packed(_ms(trades.ts_ns[here])),
        "y": packed(trades.px[here]),
        "customdata": packed(trades.qty[here], "f4"),
        "hovertemplate": (
            f"{_CLOCK}<br>{'bought' if buy else 'sold'} %{{customdata:,.4~g}} {data.base}"
            " at %{y:,.2f}<extra></extra>"
        ),
        "marker": {
            "size": packed(np.maximum(np.sqrt(areas[here]), _MARK_PX_MIN), "f4"),
            "color": style.BID if buy else style.ASK,
            "opacity": 0.78,
            "line": {"width": 0.6, "color": "#000000"},
        },
        "xaxis": "x",
        "yaxis": "y",
    }


def _pivots(data: HeatmapData) -> dict[str, Any] | None:
    pivots = data.pivots
    if not len(pivots.px):
        return None
    highs = pivots.is_high.tolist()
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": f"pivots, {pivots.interval}",
        "x": packed(_ms(pivots.ts_pivot_ns)),
        "y": packed(pivots.px),
        "text": [str(level) if level > 1 else "" for level in pivots.level.tolist()],
        "textposition": ["top center" if high else "bottom center" for high in highs],
        "textfont": {"color": style.PIVOT, "size": 11, "shadow": "0 0 3px #000, 0 0 3px #000"},
        "customdata": [
            [level, "high" if high else "low", f"{style.clock(at)}"]
            for level, high, at in zip(
                pivots.level.tolist(), highs, pivots.ts_confirmed_ns.tolist(), strict=True
            )
        ],
        "hovertemplate": (
            f"{_CLOCK}<br>pivot %{{customdata[1]}} of level %{{customdata[0]}} at %{{y:,}}"
            "<br>confirmed %{customdata[2]}<extra></extra>"
        ),
        "marker": {
            "symbol": ["triangle-down" if high else "triangle-up" for high in highs],
            "size": (5 + 2 * pivots.level).tolist(),
            "color": style.PIVOT,
            "line": {"width": 0.8, "color": "#000000"},
        },
        "xaxis": "x",
        "yaxis": "y",
    }


def _fills(fills: pa.Table) -> tuple[list[dict[str, Any]], str]:
    """One's own fills as outlined diamonds, evenly spread where there are very many."""
    count = fills.num_rows
    drawn = fills
    if count > _FILLS_MAX:
        drawn = fills.take(np.linspace(0, count - 1, _FILLS_MAX).astype(np.int64))
    sides = np.array(drawn.column("side").to_pylist())
    traces = []
    for side, color in (("buy", style.BID), ("sell", style.ASK)):
        here = drawn.filter(sides == side)
        if not here.num_rows:
            continue
        times = here.column("ts_event_ns").to_numpy().astype(np.int64)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"own {side}",
                "x": packed(_ms(times)),
                "y": packed(here.column("px").to_numpy()),
                "customdata": packed(here.column("qty").to_numpy()),
                "hovertemplate": (
                    f"{_CLOCK}<br><b>own {side}</b> of %{{customdata}} at %{{y:,}}<extra></extra>"
                ),
                "marker": {
                    "symbol": "diamond",
                    "size": 8 if count <= 300 else 6,
                    "color": color,
                    "line": {"width": 1, "color": "#ffffff"},
                },
                "xaxis": "x",
                "yaxis": "y",
            }
        )
    note = "Diamonds: own fills."
    if count > _FILLS_MAX:
        note = f"Diamonds: own fills, {_FILLS_MAX:,} of {count:,}, evenly spread."
    return traces, note


def _lean(data: HeatmapData) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            **_columns(data),
            "y": packed(values, "f4"),
            "line": {"width": 0, "shape": "hv"},
            "fill": "tozeroy",
            "fillcolor": color,
            "showlegend": False,
            "hovertemplate": "%{y:+.3f}<extra>imbalance</extra>",
            "xaxis": "x",
            "yaxis": "y2",
        }
        for values, color in (
            (np.clip(data.imbalance, 0, None), style.BID),
            (np.clip(data.imbalance, None, 0), style.ASK),
        )
    ]


def _volume(data: HeatmapData) -> list[dict[str, Any]]:
    merged, bought, sold = style.volume_bars(data)
    width = merged * data.column_ns / 1e6
    times = _ms(data.ts_edges_ns[:-1:merged]) + width / 2
    return [
        {
            "type": "bar",
            "x": packed(times),
            "y": packed(values * sign, "f4"),
            "width": width,
            "customdata": packed(values, "f4"),
            "marker": {"color": color, "line": {"width": 0}},
            "showlegend": False,
            "hovertemplate": f"{verb} %{{customdata:,.4~g}} {data.base}<extra></extra>",
            "xaxis": "x",
            "yaxis": "y3",
        }
        for values, sign, color, verb in (
            (bought, 1, style.BID, "bought"),
            (sold, -1, style.ASK, "sold"),
        )
    ]


def _layout(data: HeatmapData) -> dict[str, Any]:
    times = _ms(data.ts_edges_ns[[0, -1]]).tolist()
    prices = data.px_edges[[0, -1]].tolist()
    axis = {
        "zeroline": False,
        "zerolinecolor": style.SOFT,
        "linecolor": style.LINE,
        "showgrid": False,
        "separatethousands": True,
        "exponentformat": "none",
    }
    warning = style.provenance_line(data.provenance)
    return {
        "margin": {"l": 96, "r": 18, "t": 40, "b": 66},
        # Dark on a page of any colour: the colours of size are for a dark ground. Where nothing is
        # known that of the plot shows.
        "paper_bgcolor": style.PAGE,
        "font": {"color": style.TEXT, "family": "system-ui, sans-serif", "size": 12},
        "plot_bgcolor": style.UNKNOWN,
        "dragmode": "pan",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": style.PAGE, "font": {"color": style.TEXT}},
        "barmode": "overlay",
        "bargap": 0,
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.005,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "xaxis": {
            "linecolor": style.LINE,
            "type": "date",
            "anchor": "y3",
            "range": times,
            "title": {"text": "Time, UTC"},
            "showgrid": False,
        },
        "yaxis": {
            **axis,
            "domain": [0.32, 1],
            "range": prices,
            "title": {"text": f"Price, {data.quote}", "standoff": 12},
        },
        "yaxis2": {
            **axis,
            "domain": [0.165, 0.295],
            "zeroline": True,
            "title": {"text": "Imbalance", "standoff": 12},
        },
        "yaxis3": {
            **axis,
            "domain": [0, 0.14],
            "zeroline": True,
            "title": {"text": f"Traded, {data.base}", "standoff": 12},
        },
        "shapes": [
            {
                "type": "line",
                "x0": ts_ns / 1e6,
                "x1": ts_ns / 1e6,
                "y0": 0,
                "y1": 1,
                "yref": "y domain",
                "line": {"color": style.TEXT, "width": 1, "dash": "dash"},
                "opacity": 0.7,
            }
            for ts_ns, _text in style.changes(data)
        ],
        "annotations": [
            {
                "text": text,
                "x": ts_ns / 1e6,
                "y": 0.005,
                "yref": "y domain",
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
            }
            for ts_ns, text in style.changes(data)
        ]
        + [
            {
                "text": f"<b>{warning}</b>",
                "xref": "paper",
                "yref": "paper",
                "x": 0.995,
                "y": 0.99,
                "xanchor": "right",
                "yanchor": "top",
                "showarrow": False,
                "font": {"color": style.WARN_TEXT, "size": 12},
                "bgcolor": style.WARN_PAGE,
                "borderpad": 5,
            }
        ][: bool(warning)],
    }


def _columns(data: HeatmapData) -> dict[str, float]:
    """The beginnings of the columns as plotly's first value and step."""
    return {"x0": float(_ms(data.ts_edges_ns[:1])[0]), "dx": data.column_ns / 1e6}


def _ms(ts_ns: Ints) -> Floats:
    """Milliseconds since the epoch, which plotly shows as UTC."""
    return np.asarray(ts_ns, dtype=np.int64) / 1e6


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
