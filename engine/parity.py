"""Cobalt and hftbacktest given the same rows and the same random orders, compared order by order.

Every combination of queue model, fill model and latency is played on each recording. What differs
is explained or told: a third exchange of the plainest kind (`engine.peers.plain`) plays the same,
once with our rules and once with hftbacktest's. Only where the first equals Cobalt, the second
equals hftbacktest, and the second has marked the order with one of its peculiarities, is a
difference explained by it. All others are unexplained, and so is an account that is not what the
fills make of it.

With partial fills, both engines are given an instrument whose lot is a ten-thousandth of the
venue's: hftbacktest 2.4.4 keeps an order that a trade uses up to the last lot, and fails when the
market next touches it. So fine an order is never used up exactly.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.bench_data import recorded_rows, testnet
from engine.config import ConfigError
from engine.peers import cobalt, plain
from engine.peers import hftbacktest as peer
from engine.peers.compare import account, booked_by_peer, unequal
from engine.peers.orders import Setup
from engine.peers.streams import commands_for, random_commands, random_latencies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.instruments import Instrument
    from engine.peers.orders import Outcome

__all__ = [
    "FILLS",
    "INSTRUMENTS",
    "LATENCIES",
    "POWER",
    "QUEUES",
    "ParityError",
    "Row",
    "compare",
    "finer",
    "latencies_of",
    "run",
    "table",
]

INSTRUMENTS = ("BTCUSDT-PERP.BINANCE", "BTCUSDT.BINANCE", "BTCUSD-PERP.BINANCE")
QUEUES = ("risk_averse", "power_prob", "power_prob2", "power_prob3", "log_prob", "log_prob2")
FILLS = ("no_partial", "partial")
LATENCIES = ("constant", "interpolated")
MODIFICATIONS = ("price", "quantity")
"""What modifications change: the price alone, or the quantity as well."""

MODIFY_SHARE = 0.15
POWER = {"power_prob": 2.0, "power_prob2": 2.0, "power_prob3": 3.0}
# The least order is worth about this many quote units, the greatest this many times as much.
_LEAST_QUOTE, _RANGE = Decimal(300), 40
_LOTS_OF_PARTIAL = 10_000
_SHOWN = 3

Rows = np.ndarray[Any, np.dtype[np.void]]


class ParityError(ValueError):
    """A comparison that cannot be made; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    """One combination on one recording.

    `fills` counts the moments at which an order was known to be filled, on Cobalt. `equal` and
    `different` are orders; `different` counts them by the name of the reason in
    `engine.peers.plain.REASONS` (an order may have several). `account` says how the two accounts
    compare: `equal`, `as filled` (each what its own fills and its own way of booking make of it) or
    `unexplained`. `unexplained` counts orders, `examples` shows some: ours, theirs, plain.
    """

    instrument: str
    kind: str
    queue: str
    fill: str
    latency: str
    modifications: str
    seed: int
    commands: int
    orders: int
    fills: int
    equal: int
    different: dict[str, int]
    unexplained: int
    account: str
    examples: list[str]
    seconds: float
    provenance: str

    @property
    def ok(self) -> bool:
        """Whether everything is equal or explained."""
        return not self.unexplained and self.account != "unexplained"

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Plan:
    """What to play: see `run`."""

    folder: str | None
    seconds: float
    orders: int
    seed: int
    queues: tuple[str, ...]
    latencies: tuple[str, ...]


def run(
    *,
    recordings: str | Path | None = None,
    instruments: Sequence[str] = (),
    queues: Sequence[str] = (),
    fills: Sequence[str] = (),
    latencies: Sequence[str] = (),
    orders: int = 20_000,
    seed: int = 5,
    seconds: float = 60,
    jobs: int = 1,
    progress: Callable[[Row], None] = lambda _row: None,
) -> list[Row]:
    """Plays every combination of what is asked for (default: of all) and compares.

    `recordings` is the folder of raw recordings (default: the variable COBALT_RECORDINGS); without
    one, `seconds` of testnet data are made and the rows say so. At least `orders` orders are sent
    in each run. Runs are spread over `jobs` processes. `progress` is told each row. Raises
    ParityError without hftbacktest, ConfigError for what cannot be asked for.
    """
    if not peer.available():
        raise ParityError("hftbacktest is not installed: `make peers` or pip install hftbacktest")
    for name, given, known in (
        ("queue", queues, QUEUES),
        ("fill", fills, FILLS),
        ("latency", latencies, LATENCIES),
    ):
        for value in given:
            if value not in known:
                raise ConfigError(f"{name}: expected {', '.join(known)}, found '{value}'")
    if orders < 1:
        raise ConfigError(f"orders: expected at least 1, found {orders}")
    folder = recordings or os.environ.get("COBALT_RECORDINGS")
    plan = Plan(
        None if folder is None else str(folder),
        seconds,
        orders,
        seed,
        tuple(queues or QUEUES),
        tuple(latencies or LATENCIES),
    )
    names = instruments or (INSTRUMENTS if folder else ("",))
    parts = [(plan, name, fill) for name in names for fill in fills or FILLS]
    rows: list[Row] = []
    if jobs <= 1:
        for part in parts:
            for row in _play(*part):
                progress(row)
                rows.append(row)
        return rows
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(_play_all, parts):
            for row in found:
                progress(row)
            rows += found
    return rows


def _play_all(part: tuple[Plan, str, str]) -> list[Row]:
    return list(_play(*part))


def _play(plan: Plan, name: str, fill: str) -> Iterator[Row]:
    """All rows of one recording and fill model; the rows are converted once."""
    if plan.folder is None:
        data = testnet(plan.seconds)
        instrument, depth, trades = data.instrument, data.depth, data.trades
    else:
        instrument, depth, trades, _ = recorded_rows(Path(plan.folder), name)
    least = _least_lots(instrument, trades)
    if fill == "partial":
        instrument, depth, trades = finer(instrument, depth, trades)
        least *= _LOTS_OF_PARTIAL
    converted = peer.to_hftbacktest(depth, trades, instrument)
    applied = depth[peer.AppliedRows().mask(depth)]
    for modifications in MODIFICATIONS:
        commands = random_commands(
            depth,
            commands_for(plan.orders, MODIFY_SHARE),
            plan.seed,
            qty_lots=(least, least * _RANGE),
            modify_share=MODIFY_SHARE,
            modify_qty=modifications == "quantity",
        )
        for queue in plan.queues:
            for latency in plan.latencies:
                setup = Setup(
                    maker_fee="0.0002",
                    taker_fee="0.0005",
                    queue=queue,
                    queue_power=POWER.get(queue, 1.0),
                    fill=fill,
                    latencies=None if latency == "constant" else latencies_of(depth, plan.seed),
                )
                started = time.perf_counter()
                compared = compare(applied, trades, converted, commands, instrument, setup)
                yield Row(
                    instrument=instrument.id,
                    kind=instrument.kind,
                    queue=queue,
                    fill=fill,
                    latency=latency,
                    modifications=modifications,
                    seed=plan.seed,
                    commands=len(commands),
                    seconds=time.perf_counter() - started,
                    provenance="testnet" if plan.folder is None else "recorded",
                    **compared,
                )


def latencies_of(depth: Rows, seed: int) -> Rows:
    """Round trips measured over the time of these rows, made up: see `random_latencies`."""
    return random_latencies(int(depth["ts_recv_ns"][0]), int(depth["ts_recv_ns"][-1]), seed)


def finer(instrument: Instrument, depth: Rows, trades: Rows) -> tuple[Instrument, Rows, Rows]:
    """The same instrument and rows in lots a ten-thousandth of the size."""
    lot = format(Decimal(instrument.lot) / _LOTS_OF_PARTIAL, "f")
    depth, trades = depth.copy(), trades.copy()
    for rows in (depth, trades):
        rows["qty_lots"] *= _LOTS_OF_PARTIAL
    return dataclasses.replace(instrument, lot=lot, qty_min=lot), depth, trades


def _least_lots(instrument: Instrument, trades: Rows) -> int:
    value = Decimal(instrument.lot) * Decimal(instrument.contract_size)
    if instrument.kind != "inverse":
        value *= int(trades["px_ticks"][0]) * Decimal(instrument.tick)
    return max(1, int(_LEAST_QUOTE / value))


def compare(
    depth: Rows,
    trades: Rows,
    converted: Rows,
    commands: Rows,
    instrument: Instrument,
    setup: Setup,
) -> dict[str, Any]:
    """The fields of a `Row` that come of playing these commands on all engines.

    `depth` holds what our book applies, `converted` the same and the trades in hftbacktest's
    format.
    """
    ours = cobalt.run_commands(depth, trades, commands, instrument, setup)
    theirs = peer.run_commands(converted, commands, instrument, setup)
    plain_ours = plain.run(depth, trades, commands, instrument, setup)
    plain_theirs = plain.run(depth, trades, commands, instrument, setup, like_peer=True)
    differs = _differs(ours, theirs, commands)
    explained = ~(_differs(ours, plain_ours, commands) | _differs(theirs, plain_theirs, commands))
    reasons: Counter[str] = Counter()
    examples = []
    for at in np.flatnonzero(differs | ~explained).tolist():
        marks = plain_theirs.marks.get(at + 1, ())
        if explained[at] and marks:
            reasons.update(marks)
            continue
        explained[at] = False
        examples.append(
            f"ours {ours.orders[at]}, theirs {theirs.orders[at]}, plain by our rules"
            f" {plain_ours.orders[at]}, by theirs {plain_theirs.orders[at]}"
        )
    return {
        "orders": len(ours.orders),
        "fills": int(ours.orders["fills"].sum()),
        "equal": int((~differs).sum()),
        "different": dict(sorted(reasons.items())),
        "unexplained": int((~explained).sum()),
        "account": _accounts(ours, theirs, plain_ours, plain_theirs, commands, instrument, setup),
        "examples": examples[:_SHOWN],
    }


def _differs(
    left: Outcome | plain.Result, right: Outcome | plain.Result, commands: Rows
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each order whether its outcome differs, or whether a command for it was sent by one
    alone.
    """
    found = unequal(left.orders, right.orders)
    found[commands["order_id"][left.sent != right.sent].astype(np.int64) - 1] = True
    return found


def _accounts(
    ours: Outcome,
    theirs: Outcome,
    plain_ours: plain.Result,
    plain_theirs: plain.Result,
    commands: Rows,
    instrument: Instrument,
    setup: Setup,
) -> str:
    mine = account(plain_ours.fills, commands, instrument, setup)
    booked = account(booked_by_peer(plain_theirs), commands, instrument, setup)
    if not (mine.is_ours(ours) and booked.is_theirs(theirs)):
        return "unexplained"
    return "equal" if mine.is_theirs(theirs) else "as filled"


def table(rows: list[Row]) -> Any:
    """The rows as a rich table, with the reasons under it."""
    from rich.table import Table

    made = Table(title="Cobalt and hftbacktest, order by order", caption=_caption(rows))
    for heading in ("recording", "queue", "fill", "latency", "modified"):
        made.add_column(heading)
    for heading in ("orders", "fills", "equal"):
        made.add_column(heading, justify="right")
    for heading in ("different", "account"):
        made.add_column(heading)
    for row in rows:
        found = [f"{count:,} {name}" for name, count in row.different.items()]
        if row.unexplained:
            found.append(f"[bold red]{row.unexplained:,} unexplained[/]")
        made.add_row(
            row.instrument,
            row.queue,
            row.fill,
            row.latency,
            row.modifications,
            f"{row.orders:,}",
            f"{row.fills:,}",
            f"{row.equal:,}",
            ", ".join(found) or "–",
            f"[bold red]{row.account}[/]" if row.account == "unexplained" else row.account,
        )
    return made


def _caption(rows: list[Row]) -> str:
    lines = [f"hftbacktest {peer.version()}, plain exchange on both sides of every difference"]
    if any(row.provenance == "testnet" for row in rows):
        lines.append("TESTNET DATA: made by our own local exchange, not recorded from a venue.")
    met = {name for row in rows for name in row.different}
    lines += [f"{name}: hftbacktest: {plain.REASONS[name]}" for name in sorted(met)]
    if any(row.account == "as filled" for row in rows):
        lines.append(
            "account as filled: each is what its own fills make of it; hftbacktest books of an"
            " order the execution that completes it, and no other"
        )
    lines += [f"{row.instrument}: {text}" for row in rows for text in row.examples]
    return "\n".join(lines)
