"""The strategy API over market data made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest

from engine import EVENT_DTYPE, Strategy, StrategyError
from engine.backtest import Backtest
from engine.config import LatencyConfig
from engine.results import MemorySink
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, START

ID = LINEAR.id


def run(strategy, depth=None, trades=None, *, seed=7, latency=None, batches=1):
    feeds = {
        (ID, "depth"): np.array_split(market.depth() if depth is None else depth, batches),
        (ID, "trades"): [market.trades([]) if trades is None else trades],
    }
    backtest = Backtest(
        [LINEAR],
        strategy,
        feeds,
        latency=latency or LatencyConfig(order_entry_ns=10_000_000, response_ns=20_000_000),
        cash={"USD": "1000"},
        seed=seed,
    )
    sink = MemorySink()
    backtest.run(sink)
    return backtest, sink


class Recorder(Strategy):
    """Writes down everything it sees."""

    def __init__(self, config=None):
        super().__init__(config)
        self.seen = []

    def on_order(self, order):
        self.seen.append(("order", order.id, order.status, order.reject_code))

    def on_fill(self, fill):
        self.seen.append(("fill", fill.order_id, fill.px, fill.liquidity))


class BuyAtStart(Recorder):
    orders_given: tuple = ({"qty": "0.1", "limit": "99.9"},)

    def on_start(self):
        for order in self.orders_given:
            self.buy(ID, **order)


def test_a_resting_order_is_filled_in_its_turn():
    # One lot more than the thousand ahead of us trades at our price.
    strategy = BuyAtStart(None)
    _, sink = run(strategy, trades=market.trades([(2, ASK, 999, 1_000), (3, ASK, 999, 1)]))
    assert strategy.seen == [
        ("order", 1, "open", None),
        ("order", 1, "filled", None),
        ("fill", 1, 99.9, "maker"),
    ]
    assert strategy.position(ID) == 0.1
    assert strategy.entry_px(ID) == pytest.approx(99.9)
    fill = sink.tables["fills"].to_pylist()[0]
    assert fill["ts_event_ns"] == START + 3 * SECOND
    assert fill["ts_recv_ns"] == START + 3 * SECOND + 20_000_000
    assert fill["fee"] == pytest.approx(0.1 * 99.9 * 0.0002)
    assert strategy.equity("USD") == pytest.approx(1000 + 0.1 * 0.1 - fill["fee"])
    order = sink.tables["orders"].to_pylist()[0]
    assert (order["status"], order["avg_px"], order["filled_qty"]) == ("filled", 99.9, 0.1)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"qty": "0.0005", "limit": "99"}, "QTY_OFF_LOT"),
        ({"qty": "0", "limit": "99"}, "QTY_TOO_SMALL"),
        ({"qty": "101", "limit": "99"}, "QTY_TOO_LARGE"),
        ({"qty": "0.1", "limit": "99.95"}, "PX_OFF_TICK"),
        ({"qty": "0.1", "limit": "-1"}, "PX_NOT_POSITIVE"),
        ({"qty": "0.01", "limit": "99"}, "NOTIONAL_TOO_SMALL"),
        ({"qty": "0.1", "limit": "100.1", "post_only": True}, "POST_ONLY_WOULD_TAKE"),
    ],
)
def test_refusals_have_codes(order, code):
    strategy = BuyAtStart(None)
    strategy.orders_given = (order,)
    backtest, sink = run(strategy)
    assert strategy.seen == [("order", 1, "rejected", code)]
    assert backtest.kernel.counts()["rejected"] == 1
    assert sink.tables["orders"].to_pylist()[0]["reject_code"] == code


@pytest.mark.parametrize("limit", ["99.9", 99.9, 100.2 - 0.3, Decimal("99.900"), np.float64(99.9)])
def test_prices_are_taken_as_users_write_them(limit):
    strategy = BuyAtStart(None)
    strategy.orders_given = ({"qty": Decimal("0.100"), "limit": limit},)
    run(strategy)
    assert strategy.seen == [("order", 1, "open", None)]


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ({"qty": "many"}, ValueError, "qty: decimal: expected digits"),
        ({"qty": None}, TypeError, "qty: expected a number"),
        ({"qty": 1, "limit": float("nan")}, ValueError, "limit: expected a finite number"),
        ({"qty": 1, "tif": "DAY"}, ValueError, "tif: expected GTC, IOC, FOK, GTD, found 'DAY'"),
        ({"qty": 1, "post_only": True}, ValueError, "post_only: expected a resting limit order"),
    ],
)
def test_nonsense_raises_in_the_strategy(order, error, message):
    strategy = BuyAtStart(None)
    strategy.orders_given = (order,)
    with pytest.raises(StrategyError, match=r"BuyAtStart\.on_start raised") as caught:
        run(strategy)
    assert isinstance(caught.value.__cause__, error)
    assert message in str(caught.value.__cause__)


def test_an_exception_names_the_event():
    class Fails(Strategy):
        def on_start(self):
            self.subscribe_trades(ID)

        def on_trade(self, trade):
            raise RuntimeError("no more")

    with pytest.raises(StrategyError) as caught:
        run(Fails(None), trades=market.trades([(2, ASK, 999, 1)]))
    message = str(caught.value)
    assert "Fails.on_trade raised RuntimeError: no more at event seq 2" in message
    assert "received 2023-11-14T22:13:22.001000000Z" in message
    assert "venue time 2023-11-14T22:13:22.000000000Z" in message


def test_the_book_is_a_view():
    class Looks(Strategy):
        def on_start(self):
            self.view = self.subscribe_book(ID, every="1s", depth=3)
            self.shown = []

        def on_book(self, book):
            assert book is self.view
            assert np.shares_memory(book.bid_px, book.bid_px), "nothing is copied"
            self.shown.append((self.clock.now_ns, book.best_bid, book.best_ask, book.mid))
            self.sides = (book.bid_px.tolist(), book.bid_qty.tolist(), book.ask_px.tolist())
            self.rest = (book.spread, book.micro_price, book.imbalance(), book.depth("bid", 5))
            with pytest.raises(ValueError, match="read-only"):
                book.bid_px[0] = 1.0

    strategy = Looks(None)
    run(strategy)
    assert [ts % SECOND for ts, *_ in strategy.shown] == [0] * 9
    assert strategy.shown[0][1:] == (99.9, 100.1, 100.0)
    assert strategy.sides == ([99.9, 90.0], [1.0, 0.09], [100.1])
    spread, micro, imbalance, depth = strategy.rest
    assert (imbalance, depth) == (0.0, 1.09)
    assert spread == pytest.approx(0.2)
    assert micro == pytest.approx(100.0)


def test_bars_timers_and_trades():
    class Listens(Strategy):
        def on_start(self):
            self.seen = []
            self.subscribe_bars(ID, "1s")
            self.subscribe_trades(ID)
            self.tick = self.set_timer("tick", every="4s")
            self.set_timer("once", after="500ms")

        def on_bar(self, bar):
            self.seen.append(("bar", (bar.ts_start_ns - START) // SECOND, bar.close, bar.is_empty))

        def on_trade(self, trade):
            self.seen.append(("trade", trade.px, trade.qty, trade.aggressor))

        def on_timer(self, timer):
            self.seen.append((timer.name, (timer.ts_ns - START - market.LAG) / SECOND))

    strategy = Listens(None)
    run(strategy, trades=market.trades([(1.2, BID, 1_001, 5), (3.5, ASK, 999, 7)]))
    assert strategy.seen == [
        ("once", 0.5),
        ("trade", 100.1, 0.005, "buy"),
        ("bar", 1, 100.1, False),
        ("bar", 2, 100.1, True),
        ("trade", 99.9, 0.007, "sell"),
        ("tick", 4.0),
        ("tick", 8.0),
    ]
    assert list(strategy._timers) == [strategy.tick], "a timer that is over leaves nothing behind"


def test_a_gap_is_told():
    class Watches(Strategy):
        gaps: tuple = ()

        def on_gap(self, gap):
            self.gaps += ((gap.is_trusted, gap.reason, gap.detail),)

    rows = market.depth()
    rows["prev_seq"][50] += 3
    rows["seq"][50:] += 3
    rows["prev_seq"][51:] += 3
    strategy = Watches(None)
    backtest, _ = run(strategy, depth=rows)
    # Row 0 and 1 are the snapshot, so row 50 continues from 49.
    assert strategy.gaps == ((False, "gap", "Gap { expected: 49, found: 52 }"),)
    assert backtest.kernel.book_counts(0)["gaps"] == 1


def test_the_same_run_has_the_same_hash():
    @dataclass(frozen=True)
    class DicesConfig:
        qty: str = "0.1"

    class Dices(Strategy):
        Config = DicesConfig

        def on_start(self):
            self.subscribe_book(ID, every="1s")

        def on_book(self, book):
            if self.rng.random() < 0.5:
                self.buy(ID, self.config.qty)

    def hashed(qty="0.1", **settings):
        return run(Dices(DicesConfig(qty)), **settings)[0].kernel.result_sha256

    base = hashed()
    assert hashed() == base
    assert hashed(batches=7) == base, "the size of batches is no part of a run"
    assert hashed(seed=8) != base
    assert hashed(qty="0.2") != base
    assert hashed(latency=LatencyConfig(order_entry_ns=1, response_ns=1)) != base


def test_bad_rows_are_named():
    strategy = Recorder(None)
    with pytest.raises(TypeError, match=r"batch: expected a one-dimensional numpy array of engine"):
        run(strategy, depth=np.zeros(3))
    rows = market.depth()
    rows["flags"] = 0
    with pytest.raises(ValueError, match="feed: expected whole message groups of kind depth"):
        run(Recorder(None), depth=rows)
    with pytest.raises(ValueError, match="found a row of kind 3"):
        run(Recorder(None), depth=market.trades([(1, BID, 999, 1)]))
    strided = np.repeat(market.depth(), 2)[::2]
    with pytest.raises(ValueError, match="expected a contiguous array"):
        run(Recorder(None), depth=strided)
    assert strided.dtype == EVENT_DTYPE


def test_an_unknown_instrument_is_named():
    class Misspells(Strategy):
        def on_start(self):
            self.buy("XUSD.TEST", 1)

    with pytest.raises(StrategyError, match=r"expected one of the run's \(XUSD-PERP\.TEST\)"):
        run(Misspells(None))
