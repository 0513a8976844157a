"""One look for pictures in notebooks: the dark ground and the colours of the heatmap, times in UTC,
and, where the data is not a market's, a badge that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine import heatmap_style as style
from engine.report_text import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = [
    "ASK",
    "BID",
    "HUES",
    "MARK",
    "SOFT",
    "TEXT",
    "canvas",
    "price_axis",
    "ratio_colors",
    "utc_axis",
]

BID, ASK, MARK = style.BID, style.ASK, style.PIVOT
TEXT, SOFT = style.TEXT, style.SOFT
HUES = ("#a868dd", "#45c4f5", "#ffe066", "#ff9838", "#6fd08c")
"""Colours of things of a kind, such as venues."""


def canvas(
    title: str,
    *,
    provenance: str,
    heights: Sequence[float] = (1.0,),
    width: float = 11.5,
    height: float = 5.0,
    share_x: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure with panels one below the other, their heights in the ratio given.

    `provenance` is that of the data drawn (`recorded`, `testnet` or `mixed`); all but the first
    puts a badge on the picture. Sizes are inches.
    """
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(
        len(heights),
        1,
        figsize=(width, height),
        sharex=share_x,
        squeeze=False,
        gridspec_kw={"height_ratios": list(heights), "hspace": 0.12},
        facecolor=style.PAGE,
    )
    panels = list(grid[:, 0])
    for panel in panels:
        panel.set_facecolor(style.PAGE)
        panel.tick_params(colors=SOFT, length=3, labelsize=9)
        panel.grid(visible=True, color=style.LINE, linewidth=0.5, alpha=0.6)
        panel.set_axisbelow(True)
        panel.xaxis.label.set_color(SOFT)
        panel.yaxis.label.set_color(SOFT)
        for spine in panel.spines.values():
            spine.set_color(style.LINE)
    top = 1 - 0.42 / height
    figure.subplots_adjust(left=0.075, right=0.985, top=top, bottom=0.5 / height)
    middle = (1 + top) / 2
    figure.text(0.075, middle, title, color=TEXT, size=12.5, weight="bold", va="center")
    warning = style.provenance_line(provenance)
    if warning:
        figure.text(
            0.985,
            middle,
            warning.partition(":")[0],
            color=style.WARN_TEXT,
            size=9,
            weight="bold",
            ha="right",
            va="center",
            bbox={"boxstyle": "round,pad=0.35", "fc": style.WARN_PAGE, "ec": "none"},
        )
    return figure, panels


def ratio_colors() -> Colormap:
    """Colours for ratios from −1 (asks) to 1 (bids), dark where neither leads."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("ratio", list(style.RATIO_COLORS))


def price_axis(panel: Axes, name: str) -> None:
    """Names a vertical axis of prices, and sets their thousands apart."""
    panel.yaxis.set_major_formatter(lambda value, _at: number(value, digits=8))
    panel.set_ylabel(name)


def utc_axis(panel: Axes, ts_ns: npt.ArrayLike) -> None:
    """Labels a horizontal axis of ns since the epoch with times of day, from first to last."""
    times = np.asarray(ts_ns, dtype=np.int64)
    first, last = int(times.min()), int(times.max())
    panel.set_xlim(first, last)
    at, labels = style.time_ticks(first, last)
    panel.set_xticks(at, labels=labels)
    panel.set_xlabel("Time, UTC")
