"""A study of queue models (`engine.queue_study`) as Markdown tables and as a picture."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from engine.queue_study import FEEDS, POPULATIONS, SAME_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.queue_study import Outcome, QueueStudy

__all__ = ["draw", "markdown"]

_TRUTH = "#555555"
_EARLY, _ONLY_MODEL, _LATE, _ONLY_TRUTH = "#d1495b", "#f2b632", "#2e86ab", "#7a5195"


def markdown(study: QueueStudy) -> str:
    """The tables, with what they need to be understood."""
    return "\n".join(_lines(study))


def _lines(study: QueueStudy) -> Iterator[str]:
    yield (
        f"{study.instrument} ({study.provenance}): {study.order_rows:,} rows of single orders,"
        f" {study.trades:,} trades, {study.trades_matched:,} of them the execution of an order that"
        f" the feed shows. Of {study.executions:,} executions of resting orders {study.at_front:,}"
        f" were at the very front of their queue. Orders that join, and those ahead of an executed"
        f" one, stay {study.lifetime_s:g} s; times within {SAME_NS // 1_000_000} ms are the same"
        " moment."
    )
    yield ""
    yield from _fates(study)
    for population, words in zip(
        POPULATIONS,
        ("ahead of real orders that came to rest behind others", "joined at random times"),
        strict=True,
    ):
        for feed in FEEDS:
            yield ""
            yield f"Orders {words}, {feed}:"
            yield ""
            yield from _outcomes(study.outcomes[feed, population])
    yield ""
    yield "Orders withdrawn unfilled from behind others, trades first: what was left ahead of them."
    yield ""
    yield from _places(study)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _fates(study: QueueStudy) -> Iterator[str]:
    head = (
        "feed",
        "orders that came to rest",
        "of them behind others",
        "executed in fact",
        "filled by the queue",
        "both",
        "at the same row",
    )
    counts = (
        (feed, *(f"{count:,}" for count in dataclasses.astuple(fates)))
        for feed, fates in study.fates.items()
    )
    yield from _table(head, counts)


def _outcomes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    head = (
        "model",
        "filled by both",
        "same moment",
        "early",
        "late",
        "only model",
        "only truth",
        "decided in the queue",
        "mean, s",
        "median",
        "1% / 99%",
    )
    yield from _table(head, (_outcome(outcome) for outcome in outcomes))


def _outcome(outcome: Outcome) -> list[str]:
    counts = (
        outcome.both,
        outcome.same,
        outcome.early,
        outcome.late,
        outcome.only_model,
        outcome.only_truth,
        outcome.in_queue,
    )
    row = [outcome.model, *(f"{count:,}" for count in counts)]
    if outcome.seconds is None:
        return [*row, "", "", ""]
    mean, lowest, _, median, _, highest = outcome.seconds
    return [*row, _seconds(mean), _seconds(median), f"{_seconds(lowest)} / {_seconds(highest)}"]


def _seconds(value: float) -> str:
    text = f"{value:+.2f}"
    return "0" if text in ("+0.00", "-0.00") else text


def _places(study: QueueStudy) -> Iterator[str]:
    head = ("model", "orders", "left in truth", "left by the model", "bias", "mean error")
    rows = (
        (
            item.model,
            f"{item.orders:,}",
            f"{item.left:.1%}",
            f"{item.left + item.bias:.1%}",
            f"{item.bias:+.1%}",
            f"{item.error:.1%}",
        )
        for item in study.places[FEEDS[0]]
    )
    yield from _table(head, rows)


def draw(study: QueueStudy, path: str | Path) -> None:
    """Writes the picture: where models saw the queue, and which fills they got wrong."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A user's own settings of matplotlib are for the user's own pictures.
    with mpl.rc_context(mpl.rcParamsDefault):
        figure = Figure(figsize=(12, 8), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 2, width_ratios=(1.1, 1))
        _draw_places(figure.add_subplot(grid[:, 0]), study)
        for row, feed in enumerate(FEEDS):
            axes = figure.add_subplot(grid[row, 1])
            _draw_fills(axes, study, feed)
        # One legend for both, below them: bars reach everywhere else.
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=2, fontsize=9)
        note = "" if study.provenance == "recorded" else f" ({study.provenance} data, no market)"
        figure.suptitle(f"Queue models against the truth: {study.instrument}{note}")
        figure.savefig(path, metadata={"Software": None})


def _draw_places(axes: Any, study: QueueStudy) -> None:
    places = study.places[FEEDS[0]]
    axes.plot([0, 1], [0, 1], color=_TRUTH, linestyle="--", label="truth")
    for index, item in enumerate(places):
        if item.bins:
            truth, model = zip(*item.bins, strict=True)
            axes.plot(truth, model, marker="o", markersize=3, color=f"C{index}", label=item.model)
    orders = places[0].orders if places else 0
    axes.set_title(f"{orders:,} orders when they were withdrawn")
    axes.set_xlabel("queue ahead that was left, share of what it was at first")
    axes.set_ylabel("the same by the model, on average")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)


def _draw_fills(axes: Any, study: QueueStudy, feed: str) -> None:
    outcomes = study.outcomes[feed, POPULATIONS[1]]
    names = [outcome.model for outcome in outcomes]
    left = [0] * len(outcomes)
    for label, color, counts in (
        ("filled early", _EARLY, [outcome.early for outcome in outcomes]),
        ("filled by the model only", _ONLY_MODEL, [outcome.only_model for outcome in outcomes]),
        ("filled late", _LATE, [outcome.late for outcome in outcomes]),
        ("filled in truth only", _ONLY_TRUTH, [outcome.only_truth for outcome in outcomes]),
    ):
        axes.barh(names, counts, left=left, color=color, label=label)
        left = [sum(pair) for pair in zip(left, counts, strict=True)]
    axes.invert_yaxis()
    axes.set_title(f"{study.joined:,} orders that joined: wrong fills, {feed}")
    axes.set_xlabel("orders")
    axes.grid(alpha=0.3, axis="x")
