"""Each difference from hftbacktest that `docs/fidelity.md` lists, alone, by hand.

What is asserted of hftbacktest says what the installed version does, not what it should. The plain
exchange stands beside both: with our rules it does as Cobalt, with the peer's as hftbacktest.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engine.peers import hftbacktest as peer
from engine.peers.compare import account, booked_by_peer
from engine.peers.orders import (
    BUY,
    FOK,
    GTC,
    IOC,
    LATENCY_DTYPE,
    MARKET,
    SELL,
    Outcome,
    Setup,
)
from tests.parity.feed import INSTRUMENT
from tests.parity.hand import AT_ONCE, NO_FEES, Scene, at

pytestmark = pytest.mark.skipif(
    not peer.available(), reason="hftbacktest is not installed: `make peers`"
)

PARTIAL = dataclasses.replace(AT_ONCE, fill="partial")
SLOW = Setup(5_000_000, 5_000_000, **NO_FEES, fill="partial")
FIELDS = ["status", "filled_lots", "fills", "exec_px_ticks"]


def both(scene: Scene, setup: Setup) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """`FIELDS` of each order on Cobalt and on hftbacktest; the plain exchange agrees with each."""
    ours, theirs = scene.ours(setup), scene.theirs(setup)
    assert ours.orders.tolist() == scene.plain(setup).orders.tolist()
    assert theirs.orders.tolist() == scene.plain(setup, like_peer=True).orders.tolist()
    return told(ours), told(theirs)


def told(outcome: Outcome) -> list[tuple[object, ...]]:
    return outcome.orders[FIELDS].tolist()


def test_modification_that_loses_its_place_changes_the_quantity_on_cobalt_only() -> None:
    scene = Scene().order(5, BUY, 100, 6).modify(10, 1, 99, 8).trade(20, SELL, 98, 1)
    for setup in (AT_ONCE, PARTIAL):
        ours, theirs = both(scene, setup)
        assert ours == [("filled", 8, 1, 99)]
        assert theirs == [("filled", 6, 1, 99)]


def test_modification_of_a_partly_filled_order_names_the_whole_quantity() -> None:
    """2 of 6 are filled; 5 in all leave 3 for us, and 4 for the peer, whose place is lost too."""
    scene = Scene().order(5, BUY, 100, 6).trade(8, SELL, 100, 12).modify(10, 1, 100, 5)
    ours, theirs = both(scene.trade(20, SELL, 99, 1), PARTIAL)
    assert ours == [("filled", 5, 2, 100)]
    assert theirs == [("filled", 6, 2, 100)]


def test_modification_that_crosses_a_fill_can_overfill_on_the_peer() -> None:
    """Sent before we hear that 2 of 6 are filled: the peer begins again with all 6."""
    scene = Scene().order(5, BUY, 100, 6).trade(22, SELL, 100, 12).modify(20, 1, 99, 6)
    ours, theirs = both(scene.trade(40, SELL, 98, 1), SLOW)
    assert ours == [("filled", 6, 2, 99)]
    assert theirs == [("filled", 8, 2, 99)]


def test_modification_to_what_is_filled_already_ends_the_order() -> None:
    scene = Scene().order(5, BUY, 100, 6).trade(8, SELL, 100, 12).modify(10, 1, 100, 2)
    ours, theirs = both(scene.trade(20, SELL, 99, 1), PARTIAL)
    assert ours == [("cancelled", 2, 1, 100)]
    assert theirs == [("filled", 4, 2, 100)]


@pytest.mark.parametrize(("side", "far"), [(BUY, 250), (SELL, 1)])
def test_market_order_walks_the_book_to_its_end_on_cobalt(side: int, far: int) -> None:
    """The peer looks at the prices up to 100 ticks away, and lets the rest expire."""
    bids, asks = {200: 3, 120: 4, 1: 50}, {201: 3, 202: 4, 500: 50}
    if side == BUY:
        bids, asks = {99: 5}, {101: 3, 200: 4, 250: 50}
    scene = Scene(bids, asks).order(5, side, 0, 9, GTC, MARKET)
    ours, theirs = both(scene, PARTIAL)
    assert ours == [("filled", 9, 1, far)]
    assert theirs == [("expired", 7, 1, 200 if side == BUY else 120)]


def test_an_order_used_up_exactly_stays_on_the_peer_and_ends_its_run() -> None:
    """10 before us and 5 of ours; the next trade at the price meets an order that is filled."""
    scene = Scene().order(5, BUY, 100, 5).trade(10, SELL, 100, 15)
    ours, theirs = both(scene, PARTIAL)
    assert ours == theirs == [("filled", 5, 1, 100)]
    scene.trade(20, SELL, 100, 1)
    assert told(scene.ours(PARTIAL)) == ours
    with pytest.raises(peer.PeerStopped, match="code 14"):
        scene.theirs(PARTIAL)


def test_the_peer_books_of_an_order_the_execution_that_completes_it() -> None:
    """4 of 5 come in two parts, of which it books the second; of the taken levels, the last."""
    scene = Scene().order(5, BUY, 100, 6).trade(10, SELL, 100, 12).trade(11, SELL, 100, 9)
    scene.order(20, BUY, 102, 7, IOC).order(21, BUY, 101, 9, IOC)
    ours, theirs = scene.ours(PARTIAL), scene.theirs(PARTIAL)
    assert told(ours) == told(theirs)
    assert told(ours) == [("filled", 6, 2, 100), ("filled", 7, 1, 102), ("expired", 3, 1, 101)]
    tick, lot = 0.1, 0.001
    assert ours.position == pytest.approx(16 * lot)
    assert ours.balance == pytest.approx(-(6 * 100 + 3 * 101 + 4 * 102 + 3 * 101) * tick * lot)
    assert theirs.position == pytest.approx((4 + 4) * lot)
    assert theirs.balance == pytest.approx(-(4 * 100 + 4 * 102) * tick * lot)
    result = scene.plain(PARTIAL, like_peer=True)
    commands = scene.commands_array()
    booked = account(booked_by_peer(result), commands, INSTRUMENT, PARTIAL)
    assert booked.is_theirs(theirs)
    assert account(scene.plain(PARTIAL).fills, commands, INSTRUMENT, PARTIAL).is_ours(ours)


def test_answers_after_the_last_row_are_heard_by_the_peer_alone() -> None:
    setup = Setup(0, 500_000_000, **NO_FEES)
    ours, theirs = both(Scene().order(5, BUY, 101, 2, IOC), setup)
    assert ours == [("new", 0, 0, 0)]
    assert theirs == [("filled", 2, 1, 101)]


def samples(*trips: tuple[float, float, float]) -> np.ndarray:
    """Round trips in ms; 0 at the exchange is a request that it refused unread."""
    rows = [(at(req), at(there) if there else 0, at(back), 0) for req, there, back in trips]
    return np.array(rows, LATENCY_DTYPE)


def test_answers_beside_a_refused_sample_come_as_the_others_do_on_cobalt() -> None:
    """An order filled at 20 ms: Cobalt goes by the samples before and after, 1 ms each; the peer
    lets it wait for the answer of the sample after, at 33 ms, and sends a cancel meanwhile.
    """
    trips = samples((10, 12, 13), (20, 0, 26), (30, 32, 33), (40, 45, 50))
    setup = Setup(**NO_FEES, latencies=trips)
    scene = Scene().order(5, BUY, 99, 5).trade(20, SELL, 98, 1).cancel(31, 1)
    ours, theirs = scene.ours(setup), scene.theirs(setup)
    assert told(ours) == told(theirs) == [("filled", 5, 1, 99)]
    assert ours.sent.tolist() == [True, False]
    assert theirs.sent.tolist() == [True, True]


def test_an_order_refused_unread_is_rejected_on_cobalt_and_expired_on_the_peer() -> None:
    trips = samples((10, 12, 13), (20, 0, 26), (30, 32, 33))
    setup = Setup(**NO_FEES, latencies=trips)
    scene = Scene().order(15, BUY, 99, 5).order(31, BUY, 99, 5)
    assert [row[0] for row in told(scene.ours(setup))] == ["rejected", "new"]
    assert [row[0] for row in told(scene.theirs(setup))] == ["expired", "new"]


def test_answers_do_not_overtake_one_another() -> None:
    """On either side: the answer of 20 ms takes 15, that of 21 ms would take 1, and both are heard
    at 35 ms; a cancel at 34 ms is sent, one at 36 ms is not.
    """
    trips = samples((0, 0.5, 1), (19, 20, 35), (20.5, 21, 22), (90, 91, 92))
    setup = Setup(**NO_FEES, latencies=trips)
    for cancel_ms, sent in ((34, True), (36, False)):
        scene = Scene().order(1, BUY, 99, 5).order(2, BUY, 98, 5)
        scene.trade(20, SELL, 98, 1).trade(21, SELL, 97, 1).cancel(cancel_ms, 2)
        ours, theirs = both(scene, setup)
        assert ours == theirs == [("filled", 5, 1, 99), ("filled", 5, 1, 98)]
        for outcome in (scene.ours(setup), scene.theirs(setup), scene.plain(setup)):
            assert outcome.sent.tolist() == [True, True, sent]


def test_a_market_order_finds_nobody() -> None:
    """Without partial fills the peer fills it at the largest price that there is."""
    scene = Scene(asks={}).order(5, BUY, 0, 2, GTC, MARKET)
    for setup, status in ((AT_ONCE, "filled"), (PARTIAL, "expired")):
        assert told(scene.ours(setup)) == [("rejected", 0, 0, 0)]
        assert scene.theirs(setup).orders["status"].tolist() == [status]


def test_what_is_the_same_by_hand() -> None:
    """A place in the queue, parts of a trade, levels taken, all or nothing, what is left of a limit
    order at its own price.
    """
    scene = Scene().order(5, BUY, 100, 6).order(6, BUY, 100, 7)
    scene.trade(10, SELL, 100, 12)
    scene.order(20, SELL, 99, 40)
    scene.order(21, BUY, 102, 8, FOK).order(22, BUY, 102, 7, FOK)
    scene.cancel(30, 2)
    ours, theirs = both(scene, PARTIAL)
    assert ours == theirs
    assert ours == [
        ("new", 2, 1, 100),
        ("cancelled", 2, 1, 100),
        ("filled", 40, 1, 99),
        ("expired", 0, 0, 0),
        ("filled", 7, 1, 102),
    ]
    assert scene.theirs(PARTIAL).orders["ts_fill_ns"][0] == at(10)
