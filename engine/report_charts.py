"""The charts of a run: equity, where the profit came from, fills with their orders, markouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report_figures import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    RED,
    VIOLET,
    Drawing,
    axis,
    evenly,
    line,
    line_notes,
    packed,
    page_layout,
    two_panels,
)
from engine.report_text import amount, number
from engine.statistics.columns import floats, ints, is_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa

    from engine.statistics import Figures, Markout, Series
    from engine.statistics.columns import Bools, Floats, Ints

__all__ = ["account_figure", "attribution_figure", "instrument_figure", "markout_figure"]

_MARKERS_MAX = 5_000
_LIVES_MAX = 2_000
_PLACES_MAX = 30_000

_SYMBOLS = {"buy": "triangle-up", "sell": "triangle-down"}
_COLORS = {"buy": GREEN, "sell": RED}
_HORIZONS = {"fill": "at the fill", "100ms": "100 ms", "1s": "1 s", "10s": "10 s", "60s": "60 s"}


def account_figure(equity: pa.Table, currency: str) -> Drawing:
    """Equity of the account in one currency, and below it the drawdown from the highest so far."""
    here = equity.filter(is_value(equity, "currency", currency))
    times, values = _last_of_each_time(ints(here, "ts_ns"), floats(here, "equity"))
    drawdown = values - np.fmax.accumulate(values)
    traces = [
        line(times, values, f"Equity ({currency})", BLUE),
        {
            **line(times, drawdown, f"Drawdown ({currency})", RED, "y2"),
            "fill": "tozeroy",
            "fillcolor": "rgba(209,73,91,0.18)",
        },
    ]
    layout = two_panels(
        f"Equity, {currency}", f"Drawdown, {currency}", upper_share=0.68, unified=True
    )
    title = f"Equity and drawdown, {currency}"
    return Drawing(title, 440, {"data": traces, "layout": layout}, line_notes(len(times)))


def attribution_figure(series: Series, figures: Figures) -> Drawing:
    """Where the profit of one currency came from, as sums since the beginning."""
    currency = figures.currency
    times = series.ts_ns
    parts = [
        ("Spread", series.spread, GREEN),
        ("Inventory", series.inventory, BLUE),
        ("Fees", series.fees, RED),
        ("Funding", series.funding, AMBER),
    ]
    traces = [
        line(times, values, name, color)
        for name, values, color in parts
        if name != "Funding" or values.any()
    ]
    total = line(times, series.equity - series.initial, "Profit", GREY)
    total["line"] = {"color": GREY, "width": 2.4}
    layout = {
        **page_layout(unified=True),
        "xaxis": {"type": "date", "title": {"text": "Time, UTC"}},
        "yaxis": axis(f"Sum so far, {currency}"),
    }
    notes = [
        "Spread: what fills were better than the mid at which they became known. Inventory: what"
        " the mid moved while a position was held. The parts add up to the profit."
    ]
    unknown = figures.attribution.fills_without_mid
    if unknown:
        notes.append(
            f"{number(unknown)} fills found no mid: their spread is not known and counts as"
            " inventory."
        )
    title = f"Where the profit came from, {currency}"
    figure = {"data": [*traces, total], "layout": layout}
    return Drawing(title, 380, figure, notes + line_notes(len(times)))


def markout_figure(by_instrument: Mapping[str, Figures]) -> Drawing | None:
    """What fills were worth at the mid after each horizon, maker and taker apart; None without a
    fill.
    """
    traces, notes = [], []
    colors = [BLUE, AMBER, VIOLET, GREEN, RED]
    for at, (name, figures) in enumerate(by_instrument.items()):
        trading = figures.trading
        kinds = (("maker", trading.maker_markouts), ("taker", trading.taker_markouts))
        for liquidity, points in kinds:
            if any(point.fills for point in points):
                color = colors[at % len(colors)]
                traces.append(_markouts(name, liquidity, points, figures.currency, color))
                notes += _markout_notes(f"{name}, {liquidity}", points)
    if not traces:
        return None
    layout = {
        **page_layout(unified=False),
        "xaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(_HORIZONS.values()),
            "title": {"text": "Time after the fill was known"},
        },
        "yaxis": axis("Worth of fills, bps of their value"),
    }
    head = (
        "Mid of the received book against the fill price, weighted by value and signed, so that"
        " above 0 is a profit before fees. What falls after the fill is adverse selection."
    )
    return Drawing("Markouts", 380, {"data": traces, "layout": layout}, [head, *notes])


def _markouts(
    name: str, liquidity: str, points: list[Markout], currency: str, color: str
) -> dict[str, Any]:
    shown = [point for point in points if point.bps is not None]
    texts = [
        f"{amount(point.amount, currency, signed=True)} over {number(point.fills)} fills"
        for point in shown
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{name}, {liquidity}",
        "x": [_HORIZONS[point.horizon] for point in shown],
        "y": [point.bps for point in shown],
        "text": texts,
        "hovertemplate": "%{y:+.2f} bps, %{text}",
        "line": {"color": color, "width": 1.8, "dash": "solid" if liquidity == "maker" else "dot"},
        "marker": {
            "color": color,
            "size": 9,
            "symbol": "circle-open" if liquidity == "maker" else "circle",
            "line": {"width": 1.8, "color": color},
        },
    }


def _markout_notes(name: str, points: list[Markout]) -> list[str]:
    most = points[0].fills
    fewer = [
        f"{number(point.fills)} at {_HORIZONS[point.horizon]}"
        for point in points[1:]
        if point.fills != most
    ]
    if not fewer:
        return []
    return [
        f"{name}: {number(most)} fills have a mid {_HORIZONS['fill']}, {', '.join(fewer)}; the"
        " others came too close to the end of the data or found no trusted book then."
    ]


def instrument_figure(
    equity: pa.Table,
    fills: pa.Table,
    orders: pa.Table,
    placements: pa.Table | None,
    instrument: str,
    *,
    px_unit: str = "",
    qty_unit: str = "",
) -> Drawing:
    """The mid price of one instrument with its fills and the lives of the orders that were filled,
    and below it the position held.
    """
    here = equity.filter(is_value(equity, "instrument", instrument))
    done = fills.filter(is_value(fills, "instrument", instrument))
    given = orders.filter(is_value(orders, "instrument", instrument))
    times = ints(here, "ts_ns")
    end_ns = int(times[-1]) if len(times) else 0
    lives, life_notes = ([], []) if placements is None else _lives(given, placements, end_ns)
    traces = [line(*_with_fills(here, done, "mid"), "Mid", GREY), *lives]
    for side in ("buy", "sell"):
        for liquidity in ("maker", "taker"):
            marks = _marks(done, side, liquidity)
            if marks is not None:
                traces.append(marks)
    position = line(*_with_fills(here, done, "position"), "Position", BLUE, "y2")
    position["line"]["shape"] = "hv"
    traces.append(position)
    layout = two_panels(
        _with(px_unit, "Price"), _with(qty_unit, "Position"), upper_share=0.7, unified=False
    )
    points = len(times) + done.num_rows
    notes = [*line_notes(points), *_fill_notes(done), *life_notes]
    title = f"Price, fills and position: {instrument}"
    return Drawing(title, 560, {"data": traces, "layout": layout}, notes)


def _with_fills(equity: pa.Table, fills: pa.Table, name: str) -> tuple[Ints, Floats]:
    """A column at the samples and where fills became known, in order of time."""
    times = np.concatenate((ints(fills, "ts_recv_ns"), ints(equity, "ts_ns")))
    values = np.concatenate((floats(fills, name), floats(equity, name)))
    # A fill without a value says nothing; a sample without one parts the line.
    kept = np.isfinite(values) | (np.arange(len(values)) >= fills.num_rows)
    # Stable: a fill at the time of a sample came before it.
    order = np.argsort(times[kept], kind="stable")
    return times[kept][order], values[kept][order]


def _marks(fills: pa.Table, side: str, liquidity: str) -> dict[str, Any] | None:
    rows = fills.filter(is_value(fills, "side", side))
    rows = rows.filter(is_value(rows, "liquidity", liquidity))
    if not rows.num_rows:
        return None
    share = rows.num_rows / fills.num_rows
    drawn = evenly(rows.num_rows, max(int(share * _MARKERS_MAX), 50))
    hollow = liquidity == "maker"
    return {
        "type": "scattergl" if len(drawn) > 1_000 else "scatter",
        "mode": "markers",
        "name": f"{side.capitalize()}, {liquidity}",
        "x": packed(ints(rows, "ts_event_ns")[drawn] / 1e6),
        "y": packed(floats(rows, "px")[drawn]),
        "customdata": packed(floats(rows, "qty")[drawn]),
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


def _fill_notes(fills: pa.Table) -> list[str]:
    if not fills.num_rows:
        return ["No order was filled."]
    notes = [
        "Hollow marks: filled as maker. Solid marks: filled as taker. Mid and position are drawn at"
        " the samples of the equity and where fills became known."
    ]
    if fills.num_rows > _MARKERS_MAX:
        notes.append(
            f"About {_MARKERS_MAX:,} of {fills.num_rows:,} fills are drawn, evenly spread."
            " All are in fills.parquet."
        )
    return notes


def _lives(
    orders: pa.Table, placements: pa.Table, end_ns: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The lives of orders that were filled at least in part, as lines at their price: dotted from
    when they were sent to their first rest, solid from there by each change of the price to the
    venue's last word; and what to say of them. An order that never rested goes dotted from the mid
    at which it was given to what it paid.
    """
    known = orders.filter(floats(orders, "filled_qty") > 0)
    if not known.num_rows:
        return [], []
    drawn = _lives_drawn(known, placements)
    rows = known.take(drawn)
    traces = []
    for side in ("buy", "sell"):
        traces += _lives_of_side(
            rows.filter(is_value(rows, "side", side)), placements, side, end_ns
        )
    notes = [
        "The line of an order is dotted from when it was sent to when it first rested, then solid"
        " at its price, by every change of it, to its last fill or its end; of an order that never"
        " rested, dotted from the mid when it was sent to what it paid."
    ]
    if len(drawn) < known.num_rows:
        notes.append(
            f"Lines of {len(drawn):,} of {known.num_rows:,} filled orders are drawn, evenly spread."
            " All are in orders.parquet and placements.parquet."
        )
    unfilled = orders.num_rows - known.num_rows
    if unfilled:
        notes.append(f"{number(unfilled)} orders without a fill are not drawn.")
    return traces, notes


def _lives_drawn(orders: pa.Table, placements: pa.Table) -> npt.NDArray[np.intp]:
    """Which orders are drawn: not too many, and not too many changes of their prices."""
    count = orders.num_rows
    drawn = evenly(count, _LIVES_MAX)
    owner, ids = ints(placements, "order_id"), ints(orders, "order_id")
    while len(drawn) > 1:
        places = int(np.isin(owner, ids[drawn]).sum())
        if places <= _PLACES_MAX:
            break
        fewer = int(len(drawn) * _PLACES_MAX / places)
        drawn = evenly(count, max(min(fewer, len(drawn) - 1), 1))
    return drawn


def _lives_of_side(
    orders: pa.Table, placements: pa.Table, side: str, end_ns: int
) -> list[dict[str, Any]]:
    if not orders.num_rows:
        return []
    ids, sent = ints(orders, "order_id"), ints(orders, "ts_submit_ns")
    last = np.where(_is_live(orders), end_ns, ints(orders, "ts_exchange_ns"))
    # Every place in the book lasts to the order's next one, the last to its end.
    order_of, begin_ns, px = _places_of(placements, ids)
    is_first = np.append(True, order_of[1:] != order_of[:-1])[: len(order_of)]
    until = np.where(np.roll(is_first, -1), last[order_of], np.roll(begin_ns, -1))
    first = np.full(len(ids), -1)
    first[order_of[is_first]] = np.flatnonzero(is_first)
    rested = first >= 0
    # Without a mid to begin at, the line of an order that took is level at what it paid.
    paid = floats(orders, "avg_px")
    arrival = floats(orders, "arrival_mid")
    arrival = np.where(np.isnan(arrival), paid, arrival)
    begun_px, reached_ns, reached_px = arrival, last, paid
    if rested.any():
        begun_px = np.where(rested, px[first], arrival)
        reached_ns = np.where(rested, begin_ns[first], last)
        reached_px = np.where(rested, px[first], paid)
    name = f"{side.capitalize()} orders"
    dotted = _segments((sent, begun_px), (reached_ns, reached_px))
    solid = _segments((begin_ns, px), (until, px), ends=np.roll(is_first, -1))
    return [
        _life(dotted, name, side, dash="dot", shows_name=not rested.any()),
        *([_life(solid, name, side, dash="solid", shows_name=True)] if rested.any() else []),
    ]


def _places_of(placements: pa.Table, ids: Ints) -> tuple[Ints, Ints, Floats]:
    """The places in the book of some orders, by order and time: index in `ids`, time, price."""
    by_id = np.argsort(ids, kind="stable")
    owner = ints(placements, "order_id")
    at = np.minimum(np.searchsorted(ids, owner, sorter=by_id), len(ids) - 1)
    mine = ids[by_id[at]] == owner
    order_of, times = by_id[at][mine], ints(placements, "ts_event_ns")[mine]
    rows = np.lexsort((times, order_of))
    return order_of[rows], times[rows], floats(placements, "px")[mine][rows]


def _is_live(orders: pa.Table) -> Bools:
    done = np.zeros(orders.num_rows, np.bool_)
    for status in ("filled", "canceled", "expired", "rejected"):
        done |= is_value(orders, "status", status)
    return ~done


def _segments(
    begin: tuple[Ints, Floats], end: tuple[Ints, Floats], ends: Bools | None = None
) -> tuple[Floats, Floats]:
    """Points of lines from `begin` to `end`. NaN parts them: each from the next, or only behind
    those in `ends`.
    """
    gap = np.full(len(begin[0]), np.nan)
    times = np.column_stack((begin[0] / 1e6, end[0] / 1e6, gap))
    prices = np.column_stack((begin[1], end[1], gap))
    kept = np.ones(times.shape, np.bool_)
    if ends is not None:
        kept[:, 2] = ends
    return times[kept], prices[kept]


def _life(
    points: tuple[Floats, Floats], name: str, side: str, *, dash: str, shows_name: bool
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": shows_name,
        "x": packed(points[0]),
        "y": packed(points[1]),
        "line": {"color": _COLORS[side], "width": 1, "dash": dash},
        "opacity": 0.55,
        "hoverinfo": "skip",
        "xaxis": "x",
        "yaxis": "y",
    }


def _last_of_each_time(times: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Instruments share one account: of the rows of one instant, the last one counts."""
    if not len(times):
        return times, values
    last = np.flatnonzero(np.append(times[1:] != times[:-1], True))
    return times[last], values[last]


def _with(unit: str, name: str) -> str:
    return f"{name}, {unit}" if unit else name
