"""Orders of every type: Cobalt, NautilusTrader's simulated exchange with an L2 book, and the plain
exchange that tells on which side a difference lies.

Cases made by hand say what has to come of each order and, where NautilusTrader's exchange has it
otherwise, what it makes of it and which row of `docs/fidelity.md` says why. On random orders Cobalt
equals the plain exchange, and NautilusTrader equals it with the rules by which it differs.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.config import LatencyConfig
from engine.peers import cobalt_orders
from engine.peers import nautilus as peer
from engine.peers.order_types import Bracket, New, Oco
from tests.oracles import order_replay
from tests.oracles.nautilus_rules import NautilusExchange, Rules
from tests.parity import feed
from tests.parity.case import INSTRUMENT, Case, Expected, told
from tests.parity.order_cases import CASES
from tests.parity.order_stream import REACH, Stream, at_venue
from tests.parity.peers import all_told, by_their_names, run_nautilus
from tests.parity.recorded import QTY_LOTS, recorded
from tests.recordings import needs_recordings

if TYPE_CHECKING:
    from engine.peers.order_types import Command, Fate

needs_nautilus = pytest.mark.skipif(
    not peer.available(),
    reason="nautilus_trader is not installed: pip install 'cobalt[nautilus]'",
)
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
NS_PER_MS = 1_000_000
FIDELITY = Path(__file__).parents[1] / "docs" / "fidelity.md"


@cases
def test_case_on_the_plain_exchange(case: Case) -> None:
    found = order_replay.run(
        case.depth(), case.trade_rows(), case.commands, order_entry_ns=case.latency_ns
    )
    assert {at: told(fate) for at, fate in found.fates.items()} == case.expected


@cases
def test_case_on_cobalt(case: Case) -> None:
    latency = LatencyConfig(case.latency_ns, 0)
    rows = case.depth(), case.trade_rows()
    found = cobalt_orders.run_commands(*rows, case.commands, INSTRUMENT, latency=latency)
    assert {at: told(fate) for at, fate in found.items()} == case.expected


@needs_nautilus
@cases
def test_case_on_nautilus(case: Case) -> None:
    exchange = peer.Exchange(latency_ns=case.latency_ns)
    found = peer.run_commands(case.depth(), case.trade_rows(), case.commands, INSTRUMENT, exchange)
    expected = by_their_names(case.commands, {**case.expected, **case.nautilus})
    assert {at: told(fate) for at, fate in found.items()} == expected


def test_every_difference_is_listed_and_every_row_is_shown() -> None:
    section = FIDELITY.read_text(encoding="utf-8").split("## Beside NautilusTrader")[1]
    rows = set(re.findall(r"^\| \*\*(.+?)\*\* \|", section, re.MULTILINE))
    shown = {case.because for case in CASES if case.nautilus}
    assert all(case.because for case in CASES if case.nautilus)
    assert rows == shown | {"arrival of requests", "end of the process"}


@needs_nautilus
def test_requests_arrive_with_the_next_message() -> None:
    """NautilusTrader's own time of arrival, without the timers of ours that put it right."""
    case = next(case for case in CASES if case.name == "an order meets the book of its arrival")
    exchange = peer.Exchange(latency_ns=case.latency_ns, on_time=False)
    found = peer.run_commands(case.depth(), case.trade_rows(), case.commands, INSTRUMENT, exchange)
    assert told(found[1]) == ("filled", [(1.2, 103, 12, False)])


ABORTS = {
    "reduce-only cut on its second level": (
        "[buy(1, 1, 15), sell(2, 2, 40, reduce_only=True)]",
        [
            ("filled", [(1, 102, 10, False), (1, 103, 5, False)]),
            ("filled", [(2, 100, 10, False), (2, 99, 5, False)]),
        ],
        [],
    ),
    "a quantity below what has filled": (
        "[buy(1, 1, 12, px=101), modify(4, 1, lots=3)]",
        [("canceled", [(2, 101, 4, True)])],
        [(2, [(2, 101, 4)]), (3, [(2, 101, 0)])],
    ),
}


@needs_nautilus
@pytest.mark.parametrize("name", ABORTS)
def test_what_ends_the_process_of_nautilus_is_a_case_to_us(name: str) -> None:
    commands, expected, messages = ABORTS[name]
    script = (
        "from tests.parity.case import *\n"
        "from engine.peers import cobalt_orders, nautilus\n"
        f"case = Case('', {commands}, {{}}, messages={messages})\n"
        "rows = case.depth(), case.trade_rows()\n"
        "found = cobalt_orders.run_commands(*rows, case.commands, INSTRUMENT)\n"
        "print([told(fate) for fate in found.values()], flush=True)\n"
        "nautilus.run_commands(*rows, case.commands, INSTRUMENT)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=FIDELITY.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ast.literal_eval(run.stdout) == expected
    assert run.returncode < 0, "NautilusTrader aborts"
    assert "panicked" in run.stderr


def asks(fate: Fate) -> tuple[Any, ...]:
    """Status, fills one by one and, of a live order, what it asks for."""
    done = fate.status in ("filled", "canceled", "expired", "rejected")
    return fate.status, fate.fills, *(() if done else (fate.qty_lots, fate.px_ticks))


def on_grid(command: Command) -> Command:
    """The command on the grid of milliseconds that the made-up feed lies on."""
    if isinstance(command, Oco):
        return Oco(_floored(command.first), _floored(command.second))
    if isinstance(command, Bracket):
        legs = command.entry, command.stop, command.take_profit
        return Bracket(*(_floored(leg) for leg in legs))
    return dataclasses.replace(command, ts_ns=command.ts_ns - command.ts_ns % NS_PER_MS)


def _floored(new: New) -> New:
    return dataclasses.replace(new, ts_ns=new.ts_ns - new.ts_ns % NS_PER_MS)


def made_up(seed: int, stream: Stream) -> tuple[Any, Any, list[Command]]:
    """A feed of one clock and commands; those of odd seeds come at the moments of messages."""
    depth, trades = (at_venue(rows) for rows in feed.random_feed(600, seed))
    commands = stream.commands(depth[:-1], 300, seed)
    return depth, trades, [on_grid(each) if seed % 2 else each for each in commands]


@pytest.mark.parametrize("fill", ["walk", "partial", "no_partial"])
@pytest.mark.parametrize("seed", range(8))
def test_cobalt_on_a_made_up_feed(seed: int, fill: Any) -> None:
    stream = Stream((1, 12), 8, list_share=0.2, reduce_share=0.15)
    depth, trades, commands = made_up(seed, stream)
    latency_ns = (0, 1, 10)[seed % 3] * NS_PER_MS
    plain = order_replay.run(depth, trades, commands, order_entry_ns=latency_ns, fill=fill)
    ours = cobalt_orders.run_commands(
        depth, trades, commands, feed.INSTRUMENT, fill=fill, latency=LatencyConfig(latency_ns, 0)
    )
    assert {at: asks(fate) for at, fate in ours.items()} == {
        at: asks(fate) for at, fate in plain.fates.items()
    }
    ends = {fate.status for fate in ours.values()}
    assert {"filled", "canceled", "expired", "rejected", "untriggered"} <= ends


def test_another_latency_is_seen() -> None:
    """The canary: the comparison can fail."""
    depth, trades, commands = made_up(1, Stream((1, 12), 8))
    plain = order_replay.run(depth, trades, commands, order_entry_ns=2 * NS_PER_MS)
    latency = LatencyConfig(NS_PER_MS, 0)
    ours = cobalt_orders.run_commands(depth, trades, commands, feed.INSTRUMENT, latency=latency)
    assert {at: asks(fate) for at, fate in ours.items()} != {
        at: asks(fate) for at, fate in plain.fates.items()
    }


def their_rules(
    depth: Any,
    commands: list[Command],
    tick: str,
    rules: Rules | None = None,
    latency_ns: int = 0,
) -> dict[int, Expected]:
    """The plain exchange with NautilusTrader's rules, in its names."""
    exchange = NautilusExchange(tick, rules)
    found = order_replay.run(
        depth, depth[:0], commands, exchange=exchange, order_entry_ns=latency_ns
    )
    return by_their_names(commands, all_told(found.fates))


# Single orders of a few lots, and lists of one lot, of which every fill is whole.
STREAMS = {
    "single orders": Stream((1, 4), 8),
    "one cancels the other": Stream((1, 1), 8, only="oco"),
    "brackets": Stream((1, 1), 8, only="bracket"),
}


@needs_nautilus
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stream", STREAMS)
# Beside the grid of the feed: where several messages share an instant, NautilusTrader handles
# requests of that instant after the first.
@pytest.mark.parametrize("latency_ns", [0, 2_500_001])
def test_nautilus_on_a_made_up_feed(seed: int, stream: str, latency_ns: int) -> None:
    depth, _, commands = made_up(seed, STREAMS[stream])
    theirs = run_nautilus(depth, commands, feed.INSTRUMENT, latency_ns=latency_ns)
    assert theirs == their_rules(depth, commands, feed.INSTRUMENT.tick, latency_ns=latency_ns)


@pytest.mark.parametrize("rule", [each.name for each in dataclasses.fields(Rules)])
def test_each_of_their_rules_is_seen(rule: str) -> None:
    """Without it something else comes of the same orders: no rule is there for nothing."""
    without = dataclasses.replace(Rules(), **{rule: False})
    for seed, stream in itertools.product(range(8), STREAMS.values()):
        depth, _, commands = made_up(seed, stream)
        tick = feed.INSTRUMENT.tick
        if their_rules(depth, commands, tick) != their_rules(depth, commands, tick, without):
            return
    pytest.fail(f"{rule} makes no difference")


@needs_recordings
@pytest.mark.parametrize("instrument_id", QTY_LOTS)
def test_cobalt_on_a_recording(instrument_id: str) -> None:
    data = recorded(instrument_id)
    depth, trades = at_venue(data.depth), at_venue(data.trades)
    stream = Stream(QTY_LOTS[instrument_id], REACH[instrument_id], 0.2, 0.1)
    commands = stream.commands(depth, 800, seed=21)
    instrument = dataclasses.replace(data.instrument, notional_min=None)
    ours = cobalt_orders.run_commands(depth, trades, commands, instrument)
    plain = order_replay.run(depth, trades, commands)
    assert {at: asks(fate) for at, fate in ours.items()} == {
        at: asks(fate) for at, fate in plain.fates.items()
    }


@needs_nautilus
@needs_recordings
@pytest.mark.parametrize("instrument_id", QTY_LOTS)
@pytest.mark.parametrize("only", [None, "oco", "bracket"])
def test_nautilus_on_a_recording(instrument_id: str, only: Any) -> None:
    data = recorded(instrument_id)
    depth = at_venue(data.depth)
    lots = (1, 1) if only else QTY_LOTS[instrument_id]
    stream = Stream(lots, REACH[instrument_id], only=only)
    commands = stream.commands(depth, 200 if only else 500, seed=22)
    theirs = run_nautilus(depth, commands, data.instrument)
    assert theirs == their_rules(depth, commands, data.instrument.tick)
