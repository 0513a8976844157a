"""What the two ways to draw a heatmap share: colours, the colour scale, and what is said in words.

Blue is for bids and buyers and orange for asks and sellers, a pair that the common forms of colour
blindness keep apart; size goes from black by violet to white, ever lighter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from engine.report_text import duration, number, utc

if TYPE_CHECKING:
    import numpy.typing as npt

    from engine.heatmap import HeatmapData

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = [
    "Scale",
    "changes",
    "clock",
    "heading",
    "provenance_line",
    "scale_of",
    "shows_best",
    "size_text",
    "sources",
    "time_ticks",
    "told",
    "volume_bars",
]

BID, ASK, MID, PIVOT = "#45c4f5", "#ff9838", "#ffffff", "#ffe066"
PAGE, UNKNOWN, LINE, TEXT, SOFT = "#0e1117", "#1b2029", "#2c3541", "#e8edf3", "#98a5b3"
WARN_PAGE, WARN_TEXT = "#f2b632", "#1b1300"
SIZE_COLORS = ("#07060d", "#1e1140", "#43207f", "#7438b5", "#a868dd", "#d9b0f7", "#ffffff")
# Darker at their ends than marks, which lie over them in the same hues.
RATIO_COLORS = ("#a85d18", "#753f10", "#3c2413", "#12131a", "#0f2f40", "#145573", "#1b7ba5")
_CHANGES_MAX = 8
_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_TICKS_NS = tuple(
    seconds * _SECOND_NS
    for seconds in (
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1_800,
        3_600,
        7_200,
        14_400,
        21_600,
    )
)
_NAMES = {
    "total": "resting size",
    "bid": "resting bids",
    "ask": "resting asks",
    "imbalance": "imbalance of resting size",
}


@dataclass(frozen=True)
class Scale:
    """From values to colours: `values` ascend from the first colour to the last, at `places` from 0
    to 1; between them it is linear, and what lies outside has the outermost colours.
    """

    values: Floats
    places: Floats
    ticks: tuple[float, ...]
    colors: tuple[str, ...]
    label: str

    def place(self, values: npt.ArrayLike) -> Floats:
        """Where values lie on the scale, 0 to 1; NaN stays NaN."""
        array = np.asarray(values, dtype=np.float64)
        return np.asarray(np.interp(array, self.values, self.places), dtype=np.float64)

    def color(self, place: float) -> str:
        """The colour at a place from 0 to 1."""
        at = place * (len(self.colors) - 1)
        low = min(int(at), len(self.colors) - 2)
        ends = (_rgb(self.colors[low]), _rgb(self.colors[low + 1]))
        mixed = (round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True))
        return "#{:02x}{:02x}{:02x}".format(*mixed)


def scale_of(data: HeatmapData) -> Scale:
    """The colours of a heatmap: ratios from −1 to 1; sizes half by their logarithm and half by
    their rank, so that neither a few walls nor many like levels leave the rest in one colour.
    """
    if data.kind == "imbalance":
        ratios, places = np.array([-1.0, 1.0]), np.array([0.0, 1.0])
        return Scale(
            ratios, places, (-1, -0.5, 0, 0.5, 1), RATIO_COLORS, "(bid − ask) / (bid + ask)"
        )
    sizes = np.sort(data.matrix[data.matrix > 0])
    low, high = np.percentile(sizes, [0.5, 99.9]).tolist() if len(sizes) else (0.1, 1.0)
    if high < low * 1.5:
        low, high = low / 1.5, high * 1.5
    values: Floats = np.geomspace(low, high, 65).astype(np.float64)
    rank = np.searchsorted(sizes, values).astype(np.float64)
    rank = (rank - rank[0]) / max(float(rank[-1] - rank[0]), 1.0)
    spread: Floats = np.linspace(0.0, 1.0, 65, dtype=np.float64) + rank
    label = f"{data.base or 'base units'} a bucket"
    # Rank leaves the ends of the scale little room.
    scale = Scale(values, spread / spread[-1], (), SIZE_COLORS, label)
    return replace(scale, ticks=_apart(_log_ticks(low, high), scale))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [step * 10.0**decade for decade in decades for step in (1, 2, 3, 5, 7)]
    return [tick for tick in found if low <= tick <= high]


def _apart(ticks: list[float], scale: Scale) -> tuple[float, ...]:
    """Those that leave room for their numbers, the roundest first."""
    kept: list[float] = []
    for step in (1, 2, 5, 3, 7):
        for tick in ticks:
            digit = round(tick / 10.0 ** np.floor(np.log10(tick) + 1e-9))
            near = any(abs(float(scale.place(tick) - scale.place(other))) < 0.05 for other in kept)
            if digit == step and not near:
                kept.append(tick)
    return tuple(sorted(kept))


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[at : at + 2], 16) for at in (1, 3, 5))


def heading(data: HeatmapData) -> str:
    """What is drawn of what."""
    return f"{data.name}: {_NAMES[data.kind]} by price"


def sources(data: HeatmapData) -> str:
    """Members and range in a line."""
    start, end = (utc(int(edge)) for edge in data.ts_edges_ns[[0, -1]])
    members = "" if data.members == (data.name,) else f"{', '.join(data.members)}  ·  "
    until = end.removeprefix(start[:11])
    return f"{members}{start} to {until} UTC, {duration(start, end)}"


def _steps(data: HeatmapData) -> str:
    """Size of the cells in a line, and what one shows."""
    by = f"{number(data.bucket_size, digits=8)} {data.quote} by {_seconds(data.column_ns)}"
    book = "the last book at its begin" if data.aggregate == "last" else "the mean of its books"
    if data.kind == "imbalance":
        return f"A cell is {by} and shows {book}."
    return (
        f"A cell is {by} and shows {book}; its colour goes half by the log of size, half by rank."
    )


def told(data: HeatmapData) -> list[str]:
    """What a reader must know: what a cell is, what the marks are, and what was left out."""
    lines = [_steps(data)]
    count = len(data.members)
    if count > 1:
        with np.errstate(invalid="ignore"):
            crossed = (data.best_bid >= data.best_ask).mean()
        lines.append(
            f"All {count} members took part in {(data.present == count).mean():.1%} of columns; in"
            f" {crossed:.1%} the best bid of one was at or above the best ask of another."
        )
    trades, pivots = data.trades, data.pivots
    if trades.count:
        whose = "of all members, " if len(data.members) > 1 else ""
        lines.append(
            f"Trades, {whose}summed by cell and aggressor: the {len(trades.qty):,} largest sums are"
            f" drawn, {trades.qty_share:.1%} of the volume of {trades.count:,} trades."
        )
    if pivots.count:
        lines.append(
            f"Pivots: {pivots.instrument}, {pivots.interval} bars, level {pivots.level_min} and up"
            f" ({len(pivots.px):,} of {pivots.count:,}), at the bar they are of; each was known"
            " only when it was confirmed, later."
        )
    return lines


def provenance_line(provenance: str) -> str:
    """Empty for recorded data, else what it is instead."""
    return {
        "recorded": "",
        "testnet": "TESTNET DATA: generated by Cobalt's local exchange, not a market",
        "mixed": "CONTAINS TESTNET DATA: generated by Cobalt's local exchange, not a market",
    }.get(provenance, f"DATA OF UNKNOWN PROVENANCE: {provenance}")


def shows_best(data: HeatmapData) -> bool:
    """Whether best bid and ask lie far enough apart to be seen beside the mid."""
    apart = np.abs(data.best_ask - data.best_bid)
    apart = apart[~np.isnan(apart)]
    return bool(len(apart)) and float(np.median(apart)) > data.rows * data.bucket_size / 100


def changes(data: HeatmapData) -> list[tuple[int, str]]:
    """Times at which members came or went, with how many there then were; of changes close
    together the last, and none where there are too many to tell.
    """
    count = len(data.members)
    at = np.flatnonzero(np.diff(data.present) != 0) + 1
    apart = data.columns / 12
    at = at[np.diff(at, append=data.columns + apart) >= apart]
    # What is so from the beginning needs no mark.
    at = at[at > data.columns / 50]
    if count < 2 or len(at) > _CHANGES_MAX:
        return []
    return [
        (int(data.ts_edges_ns[c]), f"{data.present[c]} of {count} members") for c in at.tolist()
    ]


def volume_bars(data: HeatmapData) -> tuple[int, Floats, Floats]:
    """How many columns a bar has, and what was bought and sold in each: narrower bars than 400 to
    the picture could not be told apart.
    """
    merged = max(data.columns // 400, 1)
    starts = np.arange(0, data.columns, merged)
    sides = (data.trades.bought, data.trades.sold)
    bought, sold = (
        np.add.reduceat(side, starts) if len(side) else np.zeros(len(starts)) for side in sides
    )
    return merged, bought, sold


def size_text(value: float) -> str:
    """A size in three digits, large ones in full."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def time_ticks(first_ns: int, last_ns: int) -> tuple[Ints, list[str]]:
    """At most 13 round times of day (UTC) from first to last, or days, with their labels."""
    span_ns = last_ns - first_ns
    step_ns = next((step for step in _TICKS_NS if span_ns <= 12 * step), None)
    step_ns = step_ns or -(-span_ns // (12 * _DAY_NS)) * _DAY_NS
    times = np.arange(-(-first_ns // step_ns) * step_ns, last_ns + 1, step_ns, dtype=np.int64)
    form = "%m-%d" if step_ns >= _DAY_NS else "%H:%M" if step_ns >= 60 * _SECOND_NS else "%H:%M:%S"
    labels = [f"{datetime.fromtimestamp(ts / 1e9, tz=UTC):{form}}" for ts in times.tolist()]
    return times, labels


def clock(ts_ns: int) -> str:
    """A time as the pointer shows it: `2024-08-09 00:00:00.123`."""
    return f"{utc(ts_ns)}.{ts_ns // 1_000_000 % 1_000:03d}"


def _seconds(ns: int) -> str:
    for unit, size in (("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000)):
        if ns >= size and ns % (size // 10) == 0:
            return f"{ns / size:g} {unit}"
    return f"{ns / 1_000_000_000:g} s"
