"""The product's simulated exchange against the plain one, order by order; no peer is needed."""

from __future__ import annotations

import pytest

from engine import parity
from engine.peers import cobalt, plain
from engine.peers.compare import account, differences
from engine.peers.orders import Setup
from tests.parity.feed import INSTRUMENT, latency_for, random_commands_for, random_feed
from tests.parity.recorded import QTY_LOTS, recorded
from tests.recordings import needs_recordings

FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005"}


@pytest.mark.parametrize("fill", parity.FILLS)
@pytest.mark.parametrize("queue", parity.QUEUES)
@pytest.mark.parametrize("seed", range(4))
def test_made_up_feed(seed: int, queue: str, fill: str) -> None:
    depth, trades = random_feed(1500, seed)
    commands = random_commands_for(depth, seed)
    for latencies in (None, parity.latencies_of(depth, seed)):
        setup = Setup(
            *latency_for(seed),
            **FEES,
            queue=queue,
            queue_power=parity.POWER.get(queue, 1.0),
            fill=fill,
            latencies=latencies,
        )
        ours = cobalt.run_commands(depth, trades, commands, INSTRUMENT, setup)
        theirs = plain.run(depth, trades, commands, INSTRUMENT, setup)
        assert differences(ours.orders, theirs.orders) == []
        assert ours.sent.tolist() == theirs.sent.tolist()
        assert account(theirs.fills, commands, INSTRUMENT, setup).is_ours(ours)
        assert {"filled", "cancelled", "expired", "new"} <= set(theirs.orders["status"].tolist())
        assert theirs.orders["maker"].any()
        assert (theirs.orders["fills"] > 1).any() == (fill == "partial")


@pytest.mark.parametrize("seed", range(16))
def test_instants_that_coincide(seed: int) -> None:
    """Risk-averse, with more seeds: commands on the grid of the feed, and no latency at all."""
    depth, trades = random_feed(1500, seed)
    commands = random_commands_for(depth, seed)
    setup = Setup(*latency_for(seed), **FEES)
    ours = cobalt.run_commands(depth, trades, commands, INSTRUMENT, setup)
    theirs = plain.run(depth, trades, commands, INSTRUMENT, setup)
    assert differences(ours.orders, theirs.orders) == []
    assert ours.sent.tolist() == theirs.sent.tolist()


def test_another_latency_is_seen() -> None:
    """The canary: the comparison can fail."""
    depth, trades = random_feed(1500, 1)
    commands = random_commands_for(depth, 1)
    ours = cobalt.run_commands(depth, trades, commands, INSTRUMENT, Setup(10_000_000, 10_000_000))
    theirs = plain.run(depth, trades, commands, INSTRUMENT, Setup(11_000_000, 10_000_000))
    assert differences(ours.orders, theirs.orders)


@needs_recordings
@pytest.mark.parametrize("fill", parity.FILLS)
@pytest.mark.parametrize("instrument_id", QTY_LOTS)
def test_recording(instrument_id: str, fill: str) -> None:
    data = recorded(instrument_id)
    commands = data.commands(4000, seed=21)
    latencies = parity.latencies_of(data.depth, 21)
    setup = Setup(**FEES, queue="power_prob", fill=fill, latencies=latencies)
    ours = cobalt.run_commands(data.depth, data.trades, commands, data.instrument, setup)
    theirs = plain.run(data.depth, data.trades, commands, data.instrument, setup)
    assert differences(ours.orders, theirs.orders) == []
    assert ours.sent.tolist() == theirs.sent.tolist()
    assert account(theirs.fills, commands, data.instrument, setup).is_ours(ours)
