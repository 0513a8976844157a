"""Queue models held against the truth, on data that has orders one by one.

A backtest on levels and trades has to guess where an order stands in its queue. Where a catalog
has single orders the place is known, so that the guess can be measured. Followed are two kinds of
orders that leave no trace in the market: one directly ahead of each order of the venue that came to
rest, withdrawn when that one was, and `joined` ones, which join one of the best three levels of a
side at times drawn from the seed and stay for `lifetime`. Each is held against the
first-come-first-served queue of the venue's own orders (`exchange.queue=l3_fifo`), the first kind
also against what became of the venue's order behind it.

The models are told of trades and level sizes as derived from the same orders. Feeds differ in which
of the two comes first, and that matters, so both are done: `as sent`, and `trades first`, in which
a trade comes at the moment at which an order shows its execution, and before it.

What it cannot know: an order that really stood there would have used up takers and might have moved
others to act. See docs/fidelity.md, "Queue models against the truth".
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog import Catalog, CatalogError
from engine.importers import run_import
from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from engine.catalog import Events

    Columns = dict[str, npt.NDArray[Any]]

__all__ = ["FEEDS", "MODELS", "Outcome", "Places", "QueueStudy", "run"]

MODELS = (
    "risk_averse",
    "power_prob:1",
    "power_prob:2",
    "power_prob:3",
    "power_prob2:2",
    "power_prob3:2",
    "log_prob",
    "log_prob2",
)
"""The models compared by default; a power follows its name."""

FEEDS = ("trades first", "as sent")
POPULATIONS = ("behind others", "joined")
JOINED = 10_000
LEVELS = 3
LIFETIME = "10m"
SAME_NS = 100_000_000
"""Times that lie no further apart are one moment: messages about one aggressor take that long."""
NEVER = _core.STUDY_NEVER

_MATCH_WITHIN_NS = 2_000_000_000
_END_WITHDRAWN = 2


@dataclass(frozen=True)
class Outcome:
    """What a model made of the orders that the truth filled, or the model did.

    Counts are of orders: filled by `both` (of them `early`, at the `same` moment, or `late` by the
    model), by `only_model`, by `only_truth`; `in_queue` of all these were decided by the queue, in
    truth or by the model, and not by a price that moved. `seconds` is the model's time less the
    truth's where both filled: mean, then the quantiles 1%, 5%, 50%, 95%, 99%; None without any.
    """

    model: str
    both: int
    early: int
    same: int
    late: int
    only_model: int
    only_truth: int
    in_queue: int
    seconds: tuple[float, ...] | None


@dataclass(frozen=True)
class Places:
    """Where a model saw orders that were withdrawn unfilled, from behind others, when they left.

    Shares of what was ahead of an order when it joined: `left` truly, on average, the model's
    average `bias` and average absolute `error`; `bins` are (true share, model's average) of tenths.
    """

    model: str
    orders: int
    left: float
    bias: float
    error: float
    bins: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Fates:
    """The first-come-first-served queue against what became of the venue's own orders.

    Of `orders` that came to rest, `executed` were executed at all, `filled` by the queue; `both`,
    of them at the `same` row of the feed; `behind_others` had something ahead when they joined.
    """

    orders: int
    behind_others: int
    executed: int
    filled: int
    both: int
    same: int


@dataclass(frozen=True)
class QueueStudy:
    """All that was found. `outcomes` is by (feed, population), `places` by feed; of `executions` of
    resting orders `at_front` had nothing ahead in their queue.
    """

    instrument: str
    provenance: str
    order_rows: int
    trades: int
    trades_matched: int
    executions: int
    at_front: int
    lifetime_s: float
    joined: int
    fates: dict[str, Fates]
    outcomes: dict[tuple[str, str], list[Outcome]]
    places: dict[str, list[Places]]
    models: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        plain = dataclasses.asdict(dataclasses.replace(self, outcomes={}))
        plain["outcomes"] = [
            {"feed": feed, "population": population, **dataclasses.asdict(outcome)}
            for (feed, population), outcomes in self.outcomes.items()
            for outcome in outcomes
        ]
        return plain


def run(
    root: str | Path,
    instrument: str,
    *,
    recordings: Sequence[str] = (),
    format: str = "bitstamp_l3",
    models: Sequence[str] = MODELS,
    joined: int = JOINED,
    lifetime: str | int = LIFETIME,
    seed: int = 7,
) -> QueueStudy:
    """Holds `models` (names of `exchange.queue`, `name:power` with an exponent) against the queue
    of the venue's orders, on all that the catalog has of an instrument, or on `recordings` of a
    format of `cobalt import`, which are read and forgotten.

    Raises `CatalogError` where it has no single orders or no trades, ValueError for a model, number
    or time that cannot be.
    """
    lifetime_ns = duration_ns(lifetime, "lifetime")
    if joined < 0:
        raise ValueError(f"joined: expected 0 or more, found {joined}")
    if not recordings:
        return _run(Catalog(root), instrument, models, joined, lifetime_ns, seed)
    with tempfile.TemporaryDirectory() as folder:
        run_import(format, list(recordings), instrument, folder)
        return _run(Catalog(folder), instrument, models, joined, lifetime_ns, seed)


def _run(
    catalog: Catalog,
    instrument: str,
    models: Sequence[str],
    joined: int,
    lifetime_ns: int,
    seed: int,
) -> QueueStudy:
    manifest = catalog.manifest(instrument)
    for kind in ("orders", "trades"):
        if not manifest.of_kind(kind):
            raise CatalogError(
                f"catalog {catalog.root}: {instrument} has no {kind}; the study needs both"
            )
    orders = np.concatenate(list(catalog.order_events(instrument)))
    trades = np.concatenate(list(catalog.batches(instrument, "trades")))
    depth = next(iter(catalog.batches(instrument, "depth", batch_rows=1)), orders)
    # Before the first published book nothing is known of the orders that are older than the data.
    begin_ns = int(_times(depth[:1])[0])
    end_ns = int(_times(orders[-1:])[0])
    plans = _plans(seed, joined, begin_ns, end_ns)
    executions = _core.order_executions(orders)
    first, matched = _trades_first(orders, trades, executions)
    tapes = {"trades first": first, "as sent": _as_sent(orders, trades)}
    fates, outcomes, places = {}, {}, {}
    for feed in FEEDS:
        ghosts = _core.queue_study(
            tapes[feed],
            models=[_model(name) for name in models],
            lot=_lot(manifest.definition),
            begin_ns=begin_ns,
            lifetime_ns=lifetime_ns,
            plans=plans,
        )
        is_joined = ghosts["is_planned"] == 1
        waits = ghosts["ahead_lots"] > 0
        fates[feed] = _fates(_chosen(ghosts, ~is_joined))
        for population, which in zip(POPULATIONS, (~is_joined & waits, is_joined), strict=True):
            chosen = _chosen(ghosts, which)
            outcomes[feed, population] = [
                _outcome(name, chosen, index) for index, name in enumerate(models)
            ]
        withdrawn = (ghosts["end"] == _END_WITHDRAWN) & (ghosts["truth_ns"] == NEVER)
        chosen = _chosen(ghosts, ~is_joined & waits & withdrawn)
        places[feed] = [_places(name, chosen, index) for index, name in enumerate(models)]
    return QueueStudy(
        instrument=instrument,
        provenance=manifest.provenance,
        order_rows=len(orders),
        trades=len(trades),
        trades_matched=matched,
        executions=len(executions),
        at_front=int((executions[:, 4] == 0).sum()),
        lifetime_s=lifetime_ns / 1e9,
        joined=joined,
        fates=fates,
        outcomes=outcomes,
        places=places,
        models=list(models),
    )


def _model(name: str) -> tuple[str, float]:
    base, colon, power = name.partition(":")
    try:
        return base, float(power) if colon else 1.0
    except ValueError:
        raise ValueError(f"models: expected a number after '{base}:', found '{power}'") from None


def _lot(definition: dict[str, Any]) -> str:
    return str(definition["lot"])


def _times(rows: Events) -> npt.NDArray[np.int64]:
    """The venue's clock, or ours where the venue sends no time."""
    unknown = rows["ts_event_ns"] == _core.TS_NONE
    return np.where(unknown, rows["ts_recv_ns"], rows["ts_event_ns"])


def _plans(seed: int, joined: int, begin_ns: int, end_ns: int) -> list[tuple[int, int, int]]:
    """When, on which side and at which level orders join, in the order of time."""
    draw = np.random.default_rng(seed)
    times = np.sort(draw.integers(begin_ns, max(end_ns, begin_ns + 1), joined))
    sides = draw.integers(1, 3, joined)
    levels = draw.integers(0, LEVELS, joined)
    return list(zip(times.tolist(), sides.tolist(), levels.tolist(), strict=True))


def _as_sent(orders: Events, trades: Events) -> Events:
    """Both streams in the order of time; at one time orders come first."""
    rows = np.concatenate([orders, trades])
    return rows[np.argsort(_times(rows), kind="stable")]


def _trades_first(
    orders: Events, trades: Events, executions: npt.NDArray[np.int64]
) -> tuple[Events, int]:
    """Both streams with each trade directly before the order's row that shows its execution, and
    for how many trades there is one: of the same price and size, within two seconds.
    """
    times = _times(orders)
    executed: dict[tuple[int, int, int], deque[int]] = defaultdict(deque)
    for row, side, px, lots, _ in executions.tolist():
        executed[side, px, lots].append(row)
    moved = trades.copy()
    places = np.empty(len(trades))
    matched = 0
    levels = (trades[name].tolist() for name in ("side", "px_ticks", "qty_lots"))
    for at, (time, aggressor, px, lots) in enumerate(
        zip(_times(trades).tolist(), *levels, strict=True)
    ):
        rows = executed.get((3 - aggressor, px, lots), deque())
        while rows and times[rows[0]] < time - _MATCH_WITHIN_NS:
            rows.popleft()
        if rows and times[rows[0]] <= time + _MATCH_WITHIN_NS:
            row = rows.popleft()
            matched += 1
            places[at] = row - 0.5
            moved["ts_event_ns"][at] = orders["ts_event_ns"][row]
            moved["ts_recv_ns"][at] = orders["ts_recv_ns"][row]
        else:
            places[at] = np.searchsorted(times, time, side="right") - 0.25
    rows_of_both = np.concatenate([orders, moved])
    order = np.argsort(np.concatenate([np.arange(len(orders)), places]), kind="stable")
    return rows_of_both[order], matched


def _chosen(ghosts: Columns, which: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[which] for name, column in ghosts.items()}


def _fates(ghosts: Columns) -> Fates:
    executed, filled = ghosts["fate_ns"] != NEVER, ghosts["truth_ns"] != NEVER
    return Fates(
        orders=len(executed),
        behind_others=int((ghosts["ahead_lots"] > 0).sum()),
        executed=int(executed.sum()),
        filled=int(filled.sum()),
        both=int((executed & filled).sum()),
        same=int((executed & (ghosts["fate_ns"] == ghosts["truth_ns"])).sum()),
    )


def _outcome(name: str, ghosts: Columns, index: int) -> Outcome:
    model_ns, truth_ns = ghosts["models_ns"][:, index], ghosts["truth_ns"]
    by_model, by_truth = model_ns != NEVER, truth_ns != NEVER
    both = by_model & by_truth
    late_ns = (model_ns - truth_ns)[both]
    in_queue = (ghosts["truth_in_queue"] == 1) | ghosts["models_in_queue"][:, index]
    seconds = None
    if len(late_ns):
        quantiles = np.quantile(late_ns / 1e9, (0.01, 0.05, 0.5, 0.95, 0.99))
        seconds = (float(late_ns.mean() / 1e9), *quantiles.tolist())
    return Outcome(
        model=name,
        both=int(both.sum()),
        early=int((late_ns < -SAME_NS).sum()),
        same=int((np.abs(late_ns) <= SAME_NS).sum()),
        late=int((late_ns > SAME_NS).sum()),
        only_model=int((by_model & ~by_truth).sum()),
        only_truth=int((by_truth & ~by_model).sum()),
        in_queue=int((in_queue & (by_model | by_truth)).sum()),
        seconds=seconds,
    )


def _places(name: str, ghosts: Columns, index: int) -> Places:
    joined = ghosts["ahead_lots"]
    truth = ghosts["truth_ahead_lots"] / joined
    model = ghosts["models_ahead_lots"][:, index] / joined
    tenth = np.minimum(np.floor(truth * 10).astype(int), 9)
    bins = tuple(
        (float(truth[tenth == at].mean()), float(model[tenth == at].mean()))
        for at in range(10)
        if (tenth == at).any()
    )
    if not len(joined):
        return Places(name, 0, 0.0, 0.0, 0.0, bins)
    off = model - truth
    return Places(
        model=name,
        orders=len(joined),
        left=float(truth.mean()),
        bias=float(off.mean()),
        error=float(np.abs(off).mean()),
        bins=bins,
    )
