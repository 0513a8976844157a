"""Order types, lists and models of the exchange, as a strategy uses them; data made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine import Strategy, StrategyError
from engine.backtest import Backtest
from engine.config import ConfigError, ExchangeConfig, FeesConfig, FeeTier, LatencyConfig
from engine.latency import from_feed, read_samples
from engine.results import MemorySink
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, START

ID = LINEAR.id
MS = 1_000_000
FAST = LatencyConfig(order_entry_ns=10 * MS, response_ns=20 * MS)


class Told(Strategy):
    """Gives orders at the start (`begin`) and once a second (`later`), and writes down answers."""

    def __init__(self, begin=lambda self: None, later=None):
        super().__init__(None)
        self.begin, self.later = begin, later or {}
        self.seen = []

    def on_start(self):
        self.begin(self)
        for second in self.later:
            self.set_timer(str(second), at=START + second * SECOND)

    def on_timer(self, timer):
        self.later[int(timer.name)](self)

    def on_order(self, order):
        code = f" {order.reject_code}" if order.reject_code else ""
        self.seen.append(f"{order.id} {order.status}{code}")

    def on_fill(self, fill):
        self.seen.append(f"{fill.order_id} {fill.side} {fill.qty} @ {fill.px} {fill.liquidity}")


def run(strategy, trades=(), *, depth=None, **settings):
    feeds = {
        (ID, "depth"): [market.depth() if depth is None else depth],
        (ID, "trades"): [market.trades(list(trades))],
    }
    settings = {"latency": FAST, "cash": {"USD": "1000"}, **settings}
    backtest = Backtest([LINEAR], strategy, feeds, **settings)
    sink = MemorySink()
    backtest.run(sink)
    return strategy, sink


def test_a_stop_is_told_from_waiting_to_fill():
    strategy, sink = run(
        Told(lambda s: s.sell(ID, "0.1", stop="99.0", client_id="exit")),
        [(1, BID, 1_001, 1), (2, ASK, 990, 1)],
    )
    assert strategy.seen == [
        "1 untriggered",
        "1 open",
        "1 filled",
        "1 sell 0.1 @ 99.9 taker",
    ]
    order = sink.tables["orders"].to_pylist()[0]
    assert (order["type"], order["stop_px"], order["client_id"]) == ("stop_market", 99.0, "exit")
    assert order["tif"] == "GTC"
    assert order["px"] is None
    assert order["list_id"] is None


def test_an_oco_and_a_bracket_are_lists():
    ids = []

    def begin(strategy):
        ids.append(strategy.oco(ID, "sell", "0.1", limit="100.5", stop="99.0"))
        ids.append(strategy.bracket(ID, "buy", "0.2", "99.9", stop="99.0", take_profit="101.0"))

    strategy, sink = run(
        Told(begin),
        [(1, BID, 1_001, 1), (2, ASK, 998, 1), (3, BID, 1_006, 1), (4, BID, 1_011, 1)],
    )
    assert ids == [(1, 2), (3, 4, 5)]
    assert strategy.seen[:5] == [
        "1 open",
        "2 untriggered",
        "3 open",
        "4 untriggered",
        "5 untriggered",
    ]
    assert [line for line in strategy.seen if "@" in line] == [
        "3 buy 0.2 @ 99.9 maker",
        "1 sell 0.1 @ 100.5 maker",
        "5 sell 0.1 @ 101.0 maker",
    ], "the profit closes what the oco left of the position"
    assert strategy.seen[-1] == "4 expired REDUCE_ONLY", "nothing is left to protect"
    assert strategy.position(ID) == 0
    rows = {row["order_id"]: row for row in sink.tables["orders"].to_pylist()}
    assert [rows[n]["list_id"] for n in (1, 2, 3, 4, 5)] == [1, 1, 3, 3, 3]
    assert [rows[n]["reduce_only"] for n in (3, 4, 5)] == [False, True, True]


def test_a_list_is_refused_as_a_whole():
    strategy, _ = run(Told(lambda s: s.oco(ID, "sell", "0.1", limit="100.55", stop="99.0")))
    assert strategy.seen == ["1 rejected PX_OFF_TICK", "2 rejected PX_OFF_TICK"]


def test_orders_expire_at_their_date():
    def begin(strategy):
        strategy.buy(ID, "0.1", "99.0", tif="GTD", expire="1s")
        strategy.buy(ID, "0.1", "99.0", tif="GTD", expire=START + 2 * SECOND)

    strategy, sink = run(Told(begin))
    assert strategy.seen == [
        "1 open",
        "2 open",
        "1 expired TIME_EXPIRED",
        "2 expired TIME_EXPIRED",
    ]
    times = sink.tables["orders"].column("ts_exchange_ns").to_pylist()
    assert times == [START + SECOND + market.LAG, START + 2 * SECOND]


def test_client_ids_are_used_once():
    def begin(strategy):
        strategy.buy(ID, "0.1", "99.0", client_id="a")
        strategy.buy(ID, "0.1", "99.0", client_id="a")
        assert strategy.order_of_client("a") == 1
        assert strategy.order_of_client("b") is None

    strategy, _ = run(Told(begin))
    assert strategy.seen == ["2 rejected CLIENT_ID_USED", "1 open"]


def test_cancel_all_takes_what_is_there_when_it_arrives():
    def begin(strategy):
        strategy.buy(ID, "0.1", "99.0")
        strategy.sell(ID, "0.1", stop="98.0")

    def cancel(strategy):
        assert strategy.cancel_all() == 2
        strategy.buy(ID, "0.1", "99.0")

    strategy, _ = run(Told(begin, {2: cancel}))
    assert strategy.seen == [
        "1 open",
        "2 untriggered",
        "1 canceled",
        "2 canceled",
        "3 open",
    ]


def test_modify_counts_what_is_filled():
    def begin(strategy):
        strategy.buy(ID, "0.5", "99.9")

    later = {
        3: lambda s: s.modify(1, qty="0.3"),
        4: lambda s: s.modify(1, qty="0.2"),
    }
    strategy, _ = run(
        Told(begin, later),
        [(2, ASK, 999, 1_200)],
        exchange=ExchangeConfig(fill="partial"),
    )
    assert strategy.seen == [
        "1 open",
        "1 partially_filled",
        "1 buy 0.2 @ 99.9 maker",
        "1 partially_filled",
        "1 canceled QTY_BELOW_FILLED",
    ]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"tif": "GTD"}, "expire: expected with tif='GTD'"),
        ({"expire": "1s"}, "expire: expected with tif='GTD'"),
        ({"stop": 1, "take_profit": 2}, "stop and take_profit: expected one of them"),
        ({"trail": "0.5%", "limit": 99}, "trail: expected without limit"),
        ({"trail": "0%"}, "trail: expected a positive price distance"),
        ({"trail": "100%"}, "a share below 100%"),
        ({"trail": "-1"}, "trail: expected a positive price distance"),
        ({"activate": 99}, "activate: expected with trail only"),
        ({"display": 1}, "display: expected a resting limit order"),
        ({"limit": 99, "stop": 99, "trigger_by": "index"}, "trigger_by: expected last, bid_ask"),
        ({"limit": 99, "tif": "GTD", "expire": "soon"}, "expire: expected a time"),
        ({"stop": "deep"}, "stop: decimal: expected digits"),
    ],
)
def test_nonsense_raises(order, message):
    with pytest.raises(StrategyError) as caught:
        run(Told(lambda s: s.buy(ID, "0.1", **order)))
    assert message in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"limit": 99, "display": "0.2"}, "DISPLAY_INVALID"),
        ({"limit": 99, "display": "0"}, "DISPLAY_INVALID"),
        ({"stop": "-1"}, "PX_NOT_POSITIVE"),
        ({"stop": "99.95"}, "PX_OFF_TICK"),
        ({"limit": 99, "tif": "GTD", "expire": START}, "TIME_EXPIRED"),
        ({"stop": "100.1"}, "WOULD_TRIGGER"),
        ({"reduce_only": True}, "REDUCE_ONLY"),
    ],
)
def test_refusals_have_codes(order, code):
    strategy, _ = run(Told(later={2: lambda s: s.buy(ID, "0.1", **order)}), [(1, BID, 1_001, 1)])
    assert strategy.seen == [f"1 rejected {code}"]


def buys_at_market(seconds=(1, 2, 3)):
    return Told(later={n: lambda s: s.buy(ID, "0.1") for n in seconds})


def test_latency_models_say_when_orders_arrive():
    def delays(latency, **settings):
        _, sink = run(buys_at_market(), latency=latency, **settings)
        fills = sink.tables["fills"].to_pylist()
        entry = [row["ts_event_ns"] % SECOND for row in fills]
        response = [row["ts_recv_ns"] - row["ts_event_ns"] for row in fills]
        return entry, response

    assert delays(FAST) == ([10 * MS] * 3, [20 * MS] * 3)
    feed = LatencyConfig(0, 5 * MS, "feed", order_entry_factor=2.0, response_factor=3.0)
    assert delays(feed) == ([2 * MS] * 3, [8 * MS] * 3), "the feed takes 1 ms"
    table = [
        (START, START + 10 * MS, START + 20 * MS),
        (START + 4 * SECOND, START + 4 * SECOND + 50 * MS, START + 4 * SECOND + 60 * MS),
    ]
    recorded = LatencyConfig(model="recorded")
    entry, response = delays(recorded, latency_samples=table)
    assert entry == [20 * MS, 30 * MS, 40 * MS]
    assert response == [10 * MS] * 3
    drawn = LatencyConfig(10 * MS, 10 * MS, "lognormal", 5 * MS, 5 * MS, least_ns=MS)
    assert delays(drawn) == delays(drawn)
    assert delays(drawn) != delays(drawn, seed=8)
    assert min(delays(drawn)[0]) > MS


class Overloaded:
    """Refuses every second order."""

    def __init__(self):
        self.count = 0

    def order_entry_ns(self, ts_ns):
        self.count += 1
        return -30 * MS if self.count % 2 else 5 * MS

    def response_ns(self, ts_ns):
        return 7 * MS


class Broken:
    """Returns what is no time, and raises for fees."""

    def order_entry_ns(self, ts_ns):
        return "soon"

    def response_ns(self, ts_ns):
        return 2**64

    def fee(self, instrument, notional, qty, maker, ts_ns):
        raise ZeroDivisionError(instrument)


class NoFee:
    """Forgets to answer."""

    def fee(self, instrument, notional, qty, maker, ts_ns):
        return None


class Flat:
    """Two cents a fill, three for takers."""

    def fee(self, instrument, notional, qty, maker, ts_ns):
        assert instrument == ID
        assert notional == pytest.approx(qty * 100.1)
        return 0.02 if maker else 0.03


def test_latency_may_be_written_in_python():
    strategy, _ = run(
        buys_at_market((1, 2)),
        latency=LatencyConfig(model="python", target="tests.test_orders:Overloaded"),
    )
    assert strategy.seen == ["1 rejected OVERLOADED", "2 filled", "2 buy 0.1 @ 100.1 taker"]


def test_errors_of_models_in_python_end_the_run():
    with pytest.raises(StrategyError) as caught:
        run(
            buys_at_market(),
            latency=LatencyConfig(model="python", target="tests.test_orders:Broken"),
        )
    told = "expected to return a whole number of ns in 64 bits, found 'soon'"
    assert told in str(caught.value.__cause__)
    with pytest.raises(ZeroDivisionError, match=ID):
        run(buys_at_market(), fees=FeesConfig(model="python", target="tests.test_orders:Broken"))
    told = "fees.target: fee expected to return a finite number of at most 1e16, found None"
    with pytest.raises(ValueError, match=told):
        run(buys_at_market(), fees=FeesConfig(model="python", target="tests.test_orders:NoFee"))


def test_a_model_in_python_has_what_is_asked_of_it():
    told = "latency.target: expected tests.test_orders:Flat to have the method order_entry_ns and"
    model = LatencyConfig(model="python", target="tests.test_orders:Flat")
    with pytest.raises(ConfigError, match=told):
        run(buys_at_market(), latency=model)


@pytest.mark.parametrize("order_id", ["1", None, 1.0, True])
def test_orders_are_named_by_their_number(order_id):
    def ask(strategy):
        for call in (strategy.cancel, strategy.order, lambda at: strategy.modify(at, qty="1")):
            with pytest.raises(TypeError, match="order_id: expected the number of an order"):
                call(order_id)
        assert not strategy.cancel(-1)
        assert not strategy.modify(2**70, qty="1")
        with pytest.raises(TypeError, match="qty: expected a number .* found bool"):
            strategy.buy(ID, True)
        with pytest.raises(TypeError, match="client_id: expected text, found 5"):
            strategy.buy(ID, "1", "99", client_id=5)

    run(Told(ask))


@pytest.mark.parametrize(
    ("fees", "expected"),
    [
        (FeesConfig(), [0.0005 * 10.01] * 3),
        (FeesConfig(taker="-0.0001"), [-0.0001 * 10.01] * 3),
        (FeesConfig(model="flat", amount="0.25"), [0.25] * 3),
        (FeesConfig(model="quantity", maker="0", taker="0.7"), [0.07] * 3),
        (FeesConfig(model="python", target="tests.test_orders:Flat"), [0.03] * 3),
        (
            FeesConfig(
                model="tiers",
                tiers=[FeeTier("0", "0", "0.001"), FeeTier("5000", "0", "0.0004")],
                volume_30d="5000",
            ),
            [0.0004 * 10.01] * 3,
        ),
    ],
)
def test_fee_models(fees, expected):
    strategy, sink = run(buys_at_market(), fees=fees)
    assert sink.tables["fills"].column("fee").to_pylist() == pytest.approx(expected)
    mid = 100.0
    paid = 0.3 * (100.1 - mid) + sum(expected)
    assert strategy.equity("USD") == pytest.approx(1000 - paid)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exchange": ExchangeConfig(queue="lucky")}, "exchange.queue: expected one of"),
        ({"exchange": ExchangeConfig(fill="all")}, "exchange.fill: expected one of"),
        ({"exchange": ExchangeConfig(self_trade="no")}, "exchange.self_trade: expected one of"),
        (
            {"exchange": ExchangeConfig(queue="power_prob", queue_power=0.0)},
            "exchange.queue_power: expected above 0",
        ),
        ({"latency": LatencyConfig(model="fast")}, "latency.model: expected one of"),
        ({"latency": LatencyConfig(model="recorded")}, "latency.file: expected a file"),
        ({"latency": LatencyConfig(model="python")}, "latency.target: expected module:Class"),
        (
            {"latency": LatencyConfig(model="python", target="tests.test_orders:Missing")},
            "has no class 'Missing'",
        ),
        ({"latency": LatencyConfig(model="normal", least_ns=20 * MS)}, "more than latency.least"),
        ({"fees": FeesConfig(model="free")}, "fees.model: expected one of"),
        ({"fees": FeesConfig(model="flat")}, "fees.amount: expected an amount"),
        ({"fees": FeesConfig(model="tiers")}, "fees.tiers: expected at least one tier"),
        ({"fees": FeesConfig(model="flat", amount="lots")}, "fees.amount: expected a decimal"),
    ],
)
def test_models_that_cannot_be_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        run(Told(), **settings)


def moving_market():
    """The ask falls to our bid at once; the message is a second late."""
    rows = np.concatenate(
        [
            market.message(market.SNAPSHOT, START, 1, [(BID, 999, 1_000), (ASK, 1_001, 1_000)]),
            market.message(market.DELTA, START + SECOND, 2, [(BID, 999, 0), (ASK, 999, 5)]),
            market.message(market.DELTA, START + 3 * SECOND, 3, [(BID, 900, 1)]),
            market.message(market.DELTA, START + 5 * SECOND, 4, [(BID, 901, 1)]),
        ]
    )
    rows["ts_recv_ns"][2:4] += SECOND
    return rows


@pytest.mark.parametrize("causal", [False, True])
def test_causal_responses_wait_for_what_explains_them(causal):
    strategy, sink = run(
        Told(lambda s: s.buy(ID, "0.1", "99.9")),
        depth=moving_market(),
        exchange=ExchangeConfig(causal_responses=causal),
    )
    fill = sink.tables["fills"].to_pylist()[0]
    assert fill["ts_event_ns"] == START + SECOND
    arrives = START + 2 * SECOND + market.LAG if causal else START + SECOND + 20 * MS
    assert fill["ts_recv_ns"] == arrives
    assert strategy.seen[0] == "1 open"


def test_walking_the_book_and_partial_fills_are_settings():
    depth = np.concatenate(
        [
            market.message(
                market.SNAPSHOT, START, 1, [(BID, 999, 10), (ASK, 1_001, 10), (ASK, 1_002, 20)]
            ),
            market.message(market.DELTA, START + 9 * SECOND, 2, [(BID, 900, 1)]),
        ]
    )
    given = Told(later={1: lambda s: s.buy(ID, "0.015"), 2: lambda s: s.buy(ID, "0.015")})
    fills = {}
    for fill in ("no_partial", "partial", "walk"):
        strategy, _ = run(Told(later=given.later), depth=depth, exchange=ExchangeConfig(fill=fill))
        fills[fill] = [line for line in strategy.seen if "@" in line]
    assert fills["no_partial"] == [f"{n} buy 0.015 @ 100.1 taker" for n in (1, 2)]
    both = ["{} buy 0.01 @ 100.1 taker", "{} buy 0.005 @ 100.2 taker"]
    assert fills["partial"] == [line.format(n) for n in (1, 2) for line in both]
    assert fills["walk"] == [
        "1 buy 0.01 @ 100.1 taker",
        "1 buy 0.005 @ 100.2 taker",
        "2 buy 0.015 @ 100.2 taker",
    ]


def test_latency_files(tmp_path):
    samples = [(10, 15, 30), (40, 0, 70), (80, 90, 95)]
    columns = dict(zip(("req_ns", "exch_ns", "resp_ns"), np.array(samples).T, strict=True))
    import polars as pl

    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    assert read_samples(tmp_path / "a.parquet") == samples
    peer = np.zeros(3, [(name, "i8") for name in ("req_ts", "exch_ts", "resp_ts", "_padding")])
    for name, column in zip(("req_ts", "exch_ts", "resp_ts"), columns.values(), strict=True):
        peer[name] = column
    np.savez(tmp_path / "b.npz", data=peer)
    assert read_samples(tmp_path / "b.npz") == samples
    np.save(tmp_path / "c.npy", np.zeros(3))
    pl.DataFrame({**columns, "exch_ns": [0.5, 1.0, 2.0]}).write_parquet(tmp_path / "d.parquet")
    (tmp_path / "e.parquet").write_text("no table")
    for name in ("c.npy", "d.parquet", "e.parquet", "missing.npz"):
        with pytest.raises(ConfigError, match="latency.file: "):
            read_samples(tmp_path / name)


def test_latencies_made_from_the_feed():
    rows = market.depth(3)
    rows["ts_recv_ns"] = rows["ts_event_ns"] + np.arange(len(rows)) * MS
    samples = from_feed(rows, order_entry_factor=2.0, response_factor=0.5)
    assert len(samples) == 3, "one a second"
    last = np.flatnonzero(rows["ts_recv_ns"] < START + SECOND)[-1]
    feed_ns = int(last) * MS
    first = samples[0].tolist()
    recv = int(rows["ts_recv_ns"][last])
    assert first == (recv, recv + 2 * feed_ns, recv + 2 * feed_ns + feed_ns // 2)
    with pytest.raises(ValueError, match="rows with a venue time"):
        from_feed(rows[:0])
