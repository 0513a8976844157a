"""A heatmap as a picture, by matplotlib without a display.

Above: size by time and price, the mid, trades and pivots; at its right the book at the end. Below:
the imbalance of the window, and traded volume.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine import heatmap_style as style
from engine.report_text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from engine.heatmap import HeatmapData

__all__ = ["png"]

_DAY_NS = 86_400_000_000_000
_LEFT, _RIGHT = 0.062, 0.868
# Of more rows none is high enough for a number.
_LADDER_ROWS_MAX = 70


def png(data: HeatmapData, *, width_px: int = 1_600, height_px: int = 900) -> bytes:
    """The picture as a PNG file's bytes; equal data gives equal bytes with one matplotlib."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    # A user's own settings of matplotlib are for the user's own pictures.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["font.family"] = "DejaVu Sans"
        mpl.rcParams["font.size"] = 10.5
        made = Figure(figsize=(width_px / 100, height_px / 100), dpi=100, facecolor=style.PAGE)
        FigureCanvasAgg(made)
        _draw(made, data)
        made.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _draw(made: Figure, data: HeatmapData) -> None:
    wide = _RIGHT - _LEFT
    low, high = 0.335, 0.535
    main = made.add_axes((_LEFT, low, wide, high))
    lean = made.add_axes((_LEFT, 0.239, wide, 0.080), sharex=main)
    volume = made.add_axes((_LEFT, 0.143, wide, 0.080), sharex=main)
    ladder = made.add_axes((_RIGHT + 0.006, low, 0.058, high), sharey=main)
    bar = made.add_axes((0.943, low, 0.0095, high))
    for axes in (main, lean, volume, ladder):
        _plain(axes)
    _heat(main, bar, data)
    _lines(main, data)
    _trades(main, data)
    _pivots(main, data)
    _ladder(ladder, data)
    _lean(lean, data)
    _volume(volume, data)
    _clock(main, lean, volume, data)
    _words(made, data)
    _legend(main, data)


def _plain(axes: Axes) -> None:
    axes.set_facecolor(style.PAGE)
    axes.tick_params(colors=style.SOFT, length=3, width=0.8, labelsize=10)
    for spine in axes.spines.values():
        spine.set_color(style.LINE)


def _heat(main: Axes, bar: Axes, data: HeatmapData) -> None:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    scale = style.scale_of(data)
    hues = LinearSegmentedColormap.from_list("size", list(scale.colors), N=512)
    colors = hues.with_extremes(bad=style.UNKNOWN)
    edges = data.px_edges
    days = _days(data.ts_edges_ns[[0, -1]])
    image = main.imshow(
        scale.place(data.matrix),
        cmap=colors,
        norm=Normalize(0, 1),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(days[0], days[1], edges[0], edges[-1]),
        zorder=1,
    )
    shown = main.figure.colorbar(image, cax=bar)
    shown.outline.set_edgecolor(style.LINE)
    text = "{:+.1f}".format if data.kind == "imbalance" else style.size_text
    shown.set_ticks(scale.place(scale.ticks).tolist(), labels=[text(tick) for tick in scale.ticks])
    bar.tick_params(colors=style.SOFT, length=3, labelsize=9.5)
    bar.set_ylabel(scale.label, color=style.SOFT, fontsize=10, labelpad=4)
    main.set_ylabel(f"Price, {data.quote}", color=style.SOFT, labelpad=6)
    main.yaxis.set_major_formatter(lambda value, _at: number(value, digits=8))


def _lines(main: Axes, data: HeatmapData) -> None:
    from matplotlib.patheffects import Normal, Stroke

    days = _days(data.ts_edges_ns[:-1])
    dark = [Stroke(linewidth=3.4, foreground="#000000"), Normal()]
    if style.shows_best(data):
        main.plot(days, data.best_bid, color=style.BID, lw=0.9, zorder=2.5)
        main.plot(days, data.best_ask, color=style.ASK, lw=0.9, zorder=2.5)
    for ts_ns, text in style.changes(data):
        main.axvline(_days(ts_ns), color=style.TEXT, lw=0.8, ls=(0, (4, 3)), alpha=0.7, zorder=2.6)
        main.text(
            _days(ts_ns),
            0.012,
            f" {text}",
            transform=main.get_xaxis_transform(),
            color=style.TEXT,
            fontsize=9,
            zorder=7,
        )
    main.plot(days, data.mid, color=style.MID, lw=1.5, zorder=3, path_effects=dark)


def _trades(main: Axes, data: HeatmapData) -> None:
    trades = data.trades
    if not len(trades.qty):
        return
    # Area is size; all together cover a few per cent of the heatmap, and no one is a blot.
    areas = trades.qty * min(330.0 / trades.qty.max(), 14_000.0 / trades.qty.sum())
    drawn = np.argsort(-trades.qty, kind="stable")
    colors = np.where(trades.is_buy, style.BID, style.ASK)
    main.scatter(
        _days(trades.ts_ns[drawn]),
        trades.px[drawn],
        s=np.maximum(areas, 1.5)[drawn],
        c=colors[drawn],
        alpha=0.75,
        linewidths=0.35,
        edgecolors="#000000",
        zorder=4,
    )


def _pivots(main: Axes, data: HeatmapData) -> None:
    from matplotlib.patheffects import Normal, Stroke

    pivots = data.pivots
    for at, px, level, is_high in zip(
        _days(pivots.ts_pivot_ns), pivots.px, pivots.level, pivots.is_high, strict=True
    ):
        main.plot(
            [at],
            [px],
            marker="v" if is_high else "^",
            ms=4.5 + 1.6 * level,
            mfc=style.PIVOT,
            mec="#000000",
            mew=0.8,
            ls="",
            zorder=6,
            transform=_away(main, is_high),
        )
        if level > 1:
            main.annotate(
                str(level),
                (at, px),
                xytext=(0, 15 if is_high else -15),
                textcoords="offset points",
                ha="center",
                va="bottom" if is_high else "top",
                color=style.PIVOT,
                fontsize=8.5,
                fontweight="bold",
                path_effects=[Stroke(linewidth=2.2, foreground="#000000"), Normal()],
                zorder=7,
            )


def _away(main: Axes, is_high: bool) -> Any:  # noqa: FBT001
    """A mark points at its price from outside, and does not cover it."""
    from matplotlib.transforms import ScaledTranslation

    points = 7 if is_high else -7
    return main.transData + ScaledTranslation(0, points / 72, main.figure.dpi_scale_trans)


def _ladder(ladder: Axes, data: HeatmapData) -> None:
    """The book at the end, beside the prices of the heatmap."""
    from matplotlib.patheffects import Normal, Stroke

    middles = (data.px_edges[:-1] + data.px_edges[1:]) / 2
    height = data.bucket_size * 0.86
    bid, ask = np.nan_to_num(data.end_bid), np.nan_to_num(data.end_ask)
    total = bid + ask
    ladder.barh(middles, bid, height, color=style.BID, lw=0)
    ladder.barh(middles, ask, height, left=bid, color=style.ASK, lw=0)
    ladder.tick_params(labelleft=False, left=False, labelbottom=False, bottom=False)
    # One wall must not make the rest of the book invisible; it is cut and says how large it is.
    limit = float(np.percentile(total[total > 0], 90)) * 1.3 if total.any() else 1.0
    room = data.rows <= _LADDER_ROWS_MAX
    for px, size in zip(middles, total, strict=True):
        if size > limit and room:
            ladder.text(
                limit * 0.97,
                px,
                style.size_text(float(size)),
                ha="right",
                va="center",
                fontsize=8.5,
                fontweight="bold",
                color=style.TEXT,
                path_effects=[Stroke(linewidth=2.4, foreground="#000000"), Normal()],
            )
    ladder.set_xlim(0, limit)
    ladder.set_title("book at end", color=style.SOFT, fontsize=9, pad=6)


def _lean(lean: Axes, data: HeatmapData) -> None:
    days = _days(data.ts_edges_ns[:-1])
    values = data.imbalance
    up, down = np.clip(values, 0, None), np.clip(values, None, 0)
    lean.fill_between(days, up, step="post", color=style.BID, lw=0)
    lean.fill_between(days, down, step="post", color=style.ASK, lw=0)
    known = np.abs(values[~np.isnan(values)])
    limit = min(max(float(np.percentile(known, 99.5)) * 1.2 if len(known) else 1.0, 0.05), 1.0)
    lean.set_ylim(-limit, limit)
    lean.axhline(0, color=style.SOFT, lw=0.7)
    lean.set_ylabel("Imbalance\nof the book", color=style.SOFT, fontsize=9.5, labelpad=6)


def _volume(volume: Axes, data: HeatmapData) -> None:
    if not data.trades.count:
        volume.text(
            0.5, 0.5, "no trades", color=style.SOFT, transform=volume.transAxes, ha="center"
        )
    merged, bought, sold = style.volume_bars(data)
    days = _days(data.ts_edges_ns[:-1:merged])
    width = merged * data.column_ns / _DAY_NS
    volume.bar(days, bought, width, align="edge", color=style.BID, lw=0)
    volume.bar(days, -sold, width, align="edge", color=style.ASK, lw=0)
    volume.locator_params(axis="y", nbins=4)
    volume.axhline(0, color=style.SOFT, lw=0.7)
    volume.yaxis.set_major_formatter(lambda value, _at: style.size_text(abs(value)))
    volume.set_ylabel(f"Traded,\n{data.base}", color=style.SOFT, fontsize=9.5, labelpad=6)


def _clock(main: Axes, lean: Axes, volume: Axes, data: HeatmapData) -> None:
    first_ns, last_ns = (int(edge) for edge in data.ts_edges_ns[[0, -1]])
    main.set_xlim(_days(first_ns), _days(last_ns))
    main.set_ylim(data.px_edges[0], data.px_edges[-1])
    for axes in (main, lean):
        axes.tick_params(labelbottom=False)
    times, labels = style.time_ticks(first_ns, last_ns)
    volume.set_xticks(_days(times), labels=labels)
    volume.set_xlabel("Time, UTC", color=style.SOFT, labelpad=4)


def _words(made: Figure, data: HeatmapData) -> None:
    heading = style.heading(data)
    made.text(_LEFT, 0.962, heading, color=style.TEXT, size=17, weight="bold", va="center")
    made.text(_LEFT, 0.925, style.sources(data), color=style.SOFT, size=10.5, va="center")
    for line, text in enumerate(reversed(style.told(data))):
        made.text(_LEFT, 0.0125 + 0.0175 * line, text, color=style.SOFT, size=8.6, va="center")
    warning = style.provenance_line(data.provenance)
    if warning:
        made.text(
            0.981,
            0.962,
            warning,
            color=style.WARN_TEXT,
            size=11,
            weight="bold",
            ha="right",
            va="center",
            bbox={"boxstyle": "round,pad=0.45", "fc": style.WARN_PAGE, "ec": "none"},
        )


def _legend(main: Axes, data: HeatmapData) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def line(label: str, color: str, width: float) -> Line2D:
        return Line2D([], [], color=color, lw=width, label=label)

    def mark(label: str, color: str, marker: Literal["o", "v"]) -> Line2D:
        return Line2D(
            [], [], ls="", marker=marker, mfc=color, mec="#000000", mew=0.5, ms=8, label=label
        )

    entries: list[Any] = [line("mid", style.MID, 1.5)]
    if style.shows_best(data):
        entries += [line("best bid", style.BID, 1.0), line("best ask", style.ASK, 1.0)]
    if len(data.trades.qty):
        largest = style.size_text(float(data.trades.qty.max()))
        entries += [
            mark("bought", style.BID, "o"),
            mark(f"sold (largest {largest} {data.base})", style.ASK, "o"),
        ]
    if len(data.pivots.px):
        entries.append(mark("pivot, level", style.PIVOT, "v"))
    entries.append(Patch(fc=style.UNKNOWN, ec=style.LINE, label="not known"))
    main.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.012),
        ncols=len(entries),
        frameon=False,
        labelcolor=style.SOFT,
        fontsize=9.5,
        handletextpad=0.4,
        columnspacing=1.6,
        borderpad=0,
        borderaxespad=0,
    )


def _days(ts_ns: Any) -> Any:
    """Days since the epoch, matplotlib's own unit of time."""
    return np.asarray(ts_ns, dtype=np.int64) / _DAY_NS
