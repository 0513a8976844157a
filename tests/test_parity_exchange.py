"""The product's simulated exchange against the plain one, order by order; no peer is needed."""

from __future__ import annotations

import pytest

from engine.peers import cobalt
from engine.peers.orders import Setup
from tests.oracles import exchange as plain
from tests.parity.compare import account, differences, money_tolerance
from tests.parity.feed import INSTRUMENT, latency_for, random_commands_for, random_feed
from tests.parity.recorded import QTY_LOTS, recorded
from tests.recordings import needs_recordings

FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005"}


@pytest.mark.parametrize("seed", range(16))
def test_made_up_feed(seed: int) -> None:
    depth, trades = random_feed(1500, seed)
    commands = random_commands_for(depth, seed)
    ours = cobalt.run_commands(
        depth, trades, commands, INSTRUMENT, Setup(*latency_for(seed), **FEES)
    )
    theirs = plain.run(depth, trades, commands, *latency_for(seed))
    assert differences(ours.orders, theirs.orders) == []
    assert ours.sent.tolist() == theirs.sent.tolist()
    assert {"filled", "cancelled", "expired", "new"} <= set(theirs.orders["status"].tolist())
    assert theirs.orders["maker"].any()


def test_another_latency_is_seen() -> None:
    """The canary: the comparison can fail."""
    depth, trades = random_feed(1500, 1)
    commands = random_commands_for(depth, 1)
    ours = cobalt.run_commands(depth, trades, commands, INSTRUMENT, Setup(10_000_000, 10_000_000))
    theirs = plain.run(depth, trades, commands, 11_000_000, 10_000_000)
    assert differences(ours.orders, theirs.orders)


@needs_recordings
@pytest.mark.parametrize("instrument_id", QTY_LOTS)
def test_recording(instrument_id: str) -> None:
    data = recorded(instrument_id)
    commands = data.commands(4000, seed=21)
    setup = Setup(**FEES)
    ours = cobalt.run_commands(data.depth, data.trades, commands, data.instrument, setup)
    latencies = (setup.order_entry_ns, setup.response_ns)
    theirs = plain.run(data.depth, data.trades, commands, *latencies)
    assert differences(ours.orders, theirs.orders) == []
    assert ours.sent.tolist() == theirs.sent.tolist()
    exact = account(theirs.orders, commands, data.instrument, **FEES)
    assert ours.position == float(exact.position)
    assert ours.balance == pytest.approx(float(exact.balance), rel=1e-12)
    tolerance = money_tolerance(theirs.orders)
    assert ours.fees == pytest.approx(float(exact.fees), rel=1e-12, abs=tolerance)
