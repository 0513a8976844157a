"""The same rows and the same orders on hftbacktest, order by order.

What differs is listed in `docs/fidelity.md`, and each difference alone is in
`test_parity_differences.py`; here, on random orders, every difference is asserted to be one of
those. `cobalt parity` does the same with more orders.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import parity
from engine.peers import cobalt
from engine.peers import hftbacktest as peer
from engine.peers.compare import differences
from engine.peers.orders import SUBMIT, Quoting, Setup
from engine.peers.streams import random_commands
from strategies.imbalance_taker import ImbalanceTaker
from strategies.market_maker import MarketMaker, MarketMakerConfig
from tests.parity.feed import INSTRUMENT, latency_for, random_commands_for, random_feed
from tests.parity.recorded import QTY_LOTS, recorded
from tests.parity.recorder import commands, recording
from tests.recordings import needs_recordings

if TYPE_CHECKING:
    from engine import Strategy

pytestmark = pytest.mark.skipif(
    not peer.available(), reason="hftbacktest is not installed: `make peers`"
)

NS_PER_S = 1_000_000_000
FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005"}


def test_both_orders_of_the_rows_survive_conversion() -> None:
    from hftbacktest import EXCH_EVENT, LOCAL_EVENT, TRADE_EVENT

    depth, trades = random_feed(500, seed=3)
    rows = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    levels = depth[depth["side"] != 0]
    keys = [
        (int(r["ts_event_ns"]), int(r["ts_recv_ns"]), float(r["px_ticks"]) / 10)
        for r in np.concatenate([levels, trades])
    ]
    for flag, order in ((EXCH_EVENT, 0), (LOCAL_EVENT, 1)):
        seen = rows[(rows["ev"] & flag != 0) & (rows["ev"] & 0xFF != 3)]
        got = [(int(r["exch_ts"]), int(r["local_ts"]), float(r["px"])) for r in seen]
        assert sorted(got) == sorted(keys)
        by_time = [key[order] for key in got]
        assert by_time == sorted(by_time)
    exchange = rows[rows["ev"] & EXCH_EVENT != 0]
    tie = [
        (int(a["local_ts"]), int(b["local_ts"]))
        for a, b in itertools.pairwise(exchange)
        if a["exch_ts"] == b["exch_ts"]
    ]
    assert tie
    assert all(before <= after for before, after in tie)
    assert (rows["ev"] & 0xFF == TRADE_EVENT).sum() >= len(trades)
    assert len(rows) > len(levels) + len(trades), "the feed has rows whose orders differ"


def test_rows_that_our_book_skips_are_left_out() -> None:
    depth, trades = random_feed(200, seed=4)
    begin = depth["flags"] & 1 != 0
    stale = depth[np.cumsum(begin) == 40]
    stale["ts_recv_ns"] = depth["ts_recv_ns"][-1]
    stale["ts_event_ns"] = depth["ts_event_ns"][-1]
    early = depth[np.cumsum(begin) == 2]
    padded = np.concatenate([early, depth, stale])
    padded["ts_recv_ns"][: len(early)] = depth["ts_recv_ns"][0]
    expected = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    assert peer.to_hftbacktest(padded, trades, INSTRUMENT).tolist() == expected.tolist()


def test_rows_without_a_venue_time_are_refused() -> None:
    depth, trades = random_feed(50, seed=5)
    trades["ts_event_ns"][0] = np.iinfo(np.int64).min
    with pytest.raises(ValueError, match="ts_event_ns: expected a venue time"):
        peer.to_hftbacktest(depth, trades, INSTRUMENT)


@pytest.mark.parametrize("fill", parity.FILLS)
@pytest.mark.parametrize("queue", parity.QUEUES)
@pytest.mark.parametrize("seed", range(2))
def test_made_up_feed(seed: int, queue: str, fill: str) -> None:
    """Every difference is one that the plain exchange foretells and explains."""
    depth, trades = random_feed(2000, seed)
    instrument = INSTRUMENT
    if fill == "partial":
        instrument, depth, trades = parity.finer(instrument, depth, trades)
    lots = (1, 9) if fill == "no_partial" else (10_000, 90_000)
    rows = peer.to_hftbacktest(depth, trades, instrument)
    for latencies in (None, parity.latencies_of(depth, seed)):
        setup = Setup(
            *latency_for(seed),
            **FEES,
            queue=queue,
            queue_power=parity.POWER.get(queue, 1.0),
            fill=fill,
            latencies=latencies,
        )
        stream = random_commands(depth, 1000, seed, qty_lots=lots)
        found = parity.compare(depth, trades, rows, stream, instrument, setup)
        assert found["unexplained"] == 0, found["examples"]
        assert found["different"]["modify_quantity"] > 0
        assert found["account"] == "as filled"
        stream = random_commands(depth, 1000, seed, qty_lots=lots, modify_qty=False)
        found = parity.compare(depth, trades, rows, stream, instrument, setup)
        assert found["unexplained"] == 0, found["examples"]
        if fill == "no_partial":
            assert found["equal"] == found["orders"]
            assert found["account"] == "equal"


@pytest.mark.parametrize("seed", range(16))
def test_instants_that_coincide(seed: int) -> None:
    """Risk-averse, with more seeds: commands on the grid of the feed, and no latency at all."""
    depth, trades = random_feed(2000, seed)
    rows = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    setup = Setup(*latency_for(seed), **FEES)
    stream = random_commands_for(depth, seed)
    found = parity.compare(depth, trades, rows, stream, INSTRUMENT, setup)
    assert found["unexplained"] == 0, found["examples"]


@needs_recordings
@pytest.mark.parametrize("instrument_id", QTY_LOTS)
def test_recording(instrument_id: str) -> None:
    """Without partial fills nothing at all differs but what modifications do to the quantity."""
    data = recorded(instrument_id)
    rows = peer.to_hftbacktest(data.depth, data.trades, data.instrument)
    for modify_qty in (False, True):
        stream = data.commands(4000, seed=11, modify_qty=modify_qty)
        found = parity.compare(
            data.depth, data.trades, rows, stream, data.instrument, Setup(**FEES)
        )
        assert found["unexplained"] == 0, found["examples"]
        assert list(found["different"]) == ["modify_quantity"] * modify_qty
        assert found["account"] == ("as filled" if modify_qty else "equal")


@needs_recordings
def test_quoting_strategy() -> None:
    """A strategy that follows the book it reads: same looks, same orders, same books at the end."""
    data = recorded("BTCUSDT-PERP.BINANCE")
    begin, end = (int(data.depth["ts_recv_ns"][at]) for at in (0, -1))
    plan = Quoting(begin + NS_PER_S, NS_PER_S // 10, (end - begin) // NS_PER_S * 10 - 20, 10, 10)
    rows = peer.to_hftbacktest(data.depth, data.trades, data.instrument)
    ours = cobalt.run_quoting(data.depth, data.trades, data.instrument, Setup(), plan)
    assert (ours.orders["status"] == "filled").sum() > 50
    for book in ("hashmap", "vector"):
        theirs = peer.run_quoting(rows, data.instrument, Setup(), plan, book=book)
        assert ours.differences(theirs) == []


EXAMPLES = [
    ("BTCUSDT-PERP.BINANCE", MarketMaker, MarketMakerConfig()),
    ("BTCUSDT-PERP.BINANCE", ImbalanceTaker, ImbalanceTaker.Config()),
    ("BTCUSDT.BINANCE", MarketMaker, MarketMakerConfig()),
    ("BTCUSD-PERP.BINANCE", MarketMaker, MarketMakerConfig(qty="10", max_position=50)),
]


@needs_recordings
@pytest.mark.parametrize(
    ("instrument_id", "strategy", "config"),
    EXAMPLES,
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_example_strategies(
    instrument_id: str, strategy: type[Strategy[Any]], config: object
) -> None:
    """What an example did on Cobalt, given to the peer: the same fills, at the same prices and
    times.
    """
    data = recorded(instrument_id)
    setup = Setup(**FEES)
    recorder, given = recording(strategy, config, data.instrument)
    ours = cobalt.run_strategy(recorder, data.depth, data.trades, data.instrument, setup)
    stream = commands(given)
    rows = peer.to_hftbacktest(data.depth, data.trades, data.instrument)
    theirs = peer.run_commands(rows, stream, data.instrument, setup)
    assert theirs.sent.all()
    assert differences(ours.orders, theirs.orders) == []
    assert (ours.orders["status"] == "filled").sum() > 10
    assert ours.position == pytest.approx(theirs.position, abs=1e-9)
    assert ours.balance == pytest.approx(theirs.balance, rel=1e-9)


def test_a_difference_is_seen() -> None:
    """The canary: another latency gives another outcome, and the comparison says so."""
    depth, trades = random_feed(2000, seed=1)
    stream = random_commands_for(depth, 1, modify_share=0)
    rows = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    theirs = peer.run_commands(rows, stream, INSTRUMENT, Setup(10_000_000, 10_000_000))
    ours = cobalt.run_commands(depth, trades, stream, INSTRUMENT, Setup(11_000_000, 10_000_000))
    assert differences(ours.orders, theirs.orders)
    assert len(theirs.orders) == (stream["action"] == SUBMIT).sum()
