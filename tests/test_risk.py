"""Limits through whole runs: what passes, the looks at the account, the kill switch, settings."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from engine.backtest import run_backtest
from engine.config import (
    ConfigError,
    ExchangeConfig,
    InstrumentRiskConfig,
    LatencyConfig,
    RiskConfig,
    RunConfig,
    StrategyConfig,
    build,
)
from engine.instruments import load_instrument
from engine.risk import build_limits
from engine.testnet import generate
from tests import market
from tests.market import ASK, BID, LINEAR, SECOND, SNAPSHOT, START
from tests.risk_runs import ID, INVERSE, MS, OTHER, TWO, group, limits, modify, quotes, run

CROSS = dataclasses.replace(LINEAR, id="XEUR.TEST", quote="EUR", kind="spot")


def test_what_just_fits_passes():
    """The other side of each limit in `CODES`."""
    two = {0.5: lambda s: s.buy(ID, "1"), 1: lambda s: s.buy(ID, "1", "99")}
    for steps, settings in [
        (lambda s: s.buy(ID, "2", "99"), {"risk": limits(order_qty_max="2.0009")}),
        (lambda s: s.buy(ID, "1"), {"risk": limits(order_notional_max_usd="100")}),
        (lambda s: s.buy(ID, "0.1", "100.5"), {"risk": limits(px_through_max_bps="50")}),
        (lambda s: s.sell(ID, "0.1", "99.5"), {"risk": limits(px_through_max_bps="50")}),
        (lambda s: s.buy(ID, "0.1", "99.5"), {"risk": limits(px_away_max_bps="50")}),
        (two, {"risk": limits(position_qty_max="2")}),
        (two, {"risk": limits(exposure_max_usd="200")}),
        (
            {0.5: lambda s: s.buy(ID, "2"), 1: lambda s: s.sell(OTHER.id, "3", "101")},
            {"risk": group(net_max_usd="200"), **TWO},
        ),
        (
            lambda s: s.buy(INVERSE.id, "20", "99"),
            {"risk": limits(exposure_max_usd="200"), "instruments": (INVERSE,)},
        ),
    ]:
        strategy = run(steps, **settings)
        assert not strategy.kernel.codes_told(), settings


def test_own_limits_of_an_instrument_go_before_those_of_each():
    risk = RiskConfig(
        each=InstrumentRiskConfig(order_qty_max="1", position_qty_max="3"),
        instruments={OTHER.id: InstrumentRiskConfig(order_qty_max="2")},
    )
    strategy = run(
        lambda s: [
            s.buy(ID, "1.001", "99"),
            s.buy(OTHER.id, "2", "99"),
            s.buy(OTHER.id, "1.001", "99"),
        ],
        risk,
        **TWO,
    )
    assert strategy.told[:2] == ["1 rejected RISK_ORDER_QTY", "3 rejected RISK_POSITION"]


def test_a_change_is_held_against_limits_and_leaves_the_order():
    strategy = run(
        {0.5: lambda s: s.buy(ID, "1", "99"), 1: modify(qty="2.5"), 2: modify(qty="2")},
        limits(position_qty_max="2"),
    )
    assert strategy.told == ["1 open", "1 open RISK_POSITION", "1 open"]
    order = strategy.tables["orders"].to_pylist()[0]
    assert (order["status"], order["qty"]) == ("open", 2)


def test_a_list_is_refused_as_a_whole():
    bracket = lambda s: s.bracket(ID, "buy", "1", "99.9", stop="99", take_profit="101")  # noqa: E731
    for risk in (RiskConfig(open_orders_max=2), RiskConfig(order_rates={"1s": 2})):
        strategy = run(bracket, risk)
        code = "RISK_ACCOUNT_ORDERS" if risk.open_orders_max else "RISK_ORDER_RATE"
        assert strategy.told == [
            "1 rejected LIST_ENDED",
            "2 rejected LIST_ENDED",
            f"3 rejected {code}",
        ]
    strategy = run(bracket, RiskConfig(open_orders_max=3, order_rates={"1s": 3}))
    assert strategy.told == ["1 open", "2 untriggered", "3 untriggered"]


def test_what_reduces_passes_beyond_every_limit():
    """The price has risen since, so that everything is above its limit."""
    strategy = run(
        {
            0.5: lambda s: s.buy(ID, "1"),
            2: lambda s: [
                s.buy(ID, "0.1", "190"),
                s.sell(ID, "0.5", "210"),
                s.sell(ID, "0.5", "210"),
                s.sell(ID, "1.2", "210"),
                s.sell(ID, "5", "210", reduce_only=True),
            ],
        },
        RiskConfig(
            each=InstrumentRiskConfig(exposure_max_usd="110"),
            gross_max_usd="110",
            net_max_usd="110",
        ),
        [quotes((0, 99.9, 100.1), (1, 199.9, 200.1))],
    )
    assert strategy.told == [
        "1 filled",
        "1 buy 1.0 @ 100.1",
        "2 rejected RISK_EXPOSURE",
        "5 rejected RISK_EXPOSURE",
        "3 open",
        "4 open",
        "6 open",
    ]


def fall(*prices):
    """Quotes around a price of each second."""
    return [quotes(*[(at, px - 0.1, px + 0.1) for at, px in enumerate(prices)])]


def test_a_stop_loss_closes_one_position_and_lets_the_next_be_opened():
    strategy = run(
        {
            0.5: lambda s: [s.buy(ID, "1"), s.buy(ID, "1", "90"), s.buy(OTHER.id, "1", "90")],
            4: lambda s: s.buy(ID, "1"),
        },
        limits(stop_loss_percent="2"),
        [*fall(100, 99, 98, 97), quotes((0, 99.9, 100.1))],
        **TWO,
    )
    # Bought at 100.1; at 98 it has lost 2.1 %. Looked at by the next tenth of a second.
    [event] = strategy.risk
    assert (event.cause, event.instrument, event.is_killed) == ("stop_loss", ID, False)
    assert (event.found, event.limit) == (pytest.approx(2.1), pytest.approx(2.002))
    assert event.reason == "stop_loss of 2.10 USD reached the limit of 2.00 USD"
    assert event.ts_recv_ns == START + 2 * SECOND + 100 * MS
    assert strategy.told == [
        "1 filled",
        "1 buy 1.0 @ 100.1",
        "2 open",
        "3 open",
        "2 canceled",
        "4 filled",
        "4 sell 1.0 @ 97.9",
        "5 filled",
        "5 buy 1.0 @ 97.1",
    ]
    assert strategy.kernel.killed is None


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        ({"drawdown_max_usd": "5"}, "drawdown of 7.00 USD reached the limit of 5.00 USD"),
        ({"drawdown_max_percent": "0.5"}, "drawdown of 7.00 USD reached the limit of 5.01 USD"),
        ({"daily_loss_max_usd": "5"}, "daily_loss of 5.10 USD reached the limit of 5.00 USD"),
        ({"daily_loss_max_percent": "0.5"}, "daily_loss of 5.10 USD reached the limit of 5.00 USD"),
    ],
)
@pytest.mark.parametrize("flatten", [False, True])
def test_a_loss_of_the_account_ends_trading(risk, reason, flatten):
    steps = {
        0.5: lambda s: [s.buy(ID, "1"), s.buy(ID, "1", "80")],
        5: lambda s: [s.buy(ID, "1", "80"), s.sell(ID, "0.5", "110"), s.sell(ID, "0.6", "110")],
    }
    strategy = run(
        steps,
        RiskConfig(flatten=flatten, **risk),
        fall(100, 102, 95, 94),
        instruments=(dataclasses.replace(LINEAR, taker_fee="0"),),
    )
    [event] = strategy.risk
    assert event.reason == reason
    assert event.is_killed
    cause, text, ts_ns = strategy.kernel.killed
    assert (cause, text, ts_ns) == (event.cause, reason, event.ts_recv_ns)
    assert ts_ns == START + 2 * SECOND + 100 * MS
    assert "2 canceled" in strategy.told
    closed = ["3 filled", "3 sell 1.0 @ 94.9"]
    first = 3 + flatten
    assert strategy.told[strategy.told.index("2 canceled") + 1 :] == [
        *(closed if flatten else []),
        f"{first} rejected RISK_KILLED",
        *([f"{first + 1} rejected RISK_KILLED"] if flatten else []),
        f"{first + 2} rejected RISK_KILLED",
        *([] if flatten else [f"{first + 1} open"]),
    ]
    assert strategy.position(ID) == (0 if flatten else 1)


def test_losing_trades_in_a_row_end_trading():
    def trade(strategy):
        if strategy.position(ID) == 0:
            strategy.buy(ID, "1")
        else:
            strategy.sell(ID, "1")

    # Each pays the spread; a limit of three is reached with the third.
    strategy = run(dict.fromkeys(range(1, 10), trade), RiskConfig(losing_trades_max=3))
    [event] = strategy.risk
    assert event.reason == "3 losing trades in a row, at most 3 are allowed"
    assert (event.cause, event.found, event.limit) == ("losing_trades", 3, 3)
    # It is known with the fill, before any look by the clock.
    assert event.ts_recv_ns == START + 6 * SECOND + 30 * MS
    assert strategy.told[-1] == "9 rejected RISK_KILLED"


def test_a_strategy_ends_trading_and_flattens_what_fills_meanwhile():
    """The bid fills at the exchange while its cancel is under way."""
    seen = []

    def kill(strategy):
        seen.append(strategy.kill("spread too wide", flatten=True))
        seen.append(strategy.kill("again"))

    strategy = run(
        {0.5: lambda s: [s.buy(ID, "1"), s.buy(ID, "0.5", "99.0")], 2: kill},
        depths=[quotes((0, 99.9, 100.1), (2.005, 98.8, 99.0))],
    )
    assert seen == [True, False]
    [event] = strategy.risk
    assert (event.cause, event.reason) == ("strategy", "spread too wide")
    assert (event.instrument, event.found, event.limit) == (None, None, None)
    assert strategy.kernel.killed == ("strategy", "spread too wide", START + 2 * SECOND)
    assert strategy.told == [
        "1 filled",
        "1 buy 1.0 @ 100.1",
        "2 open",
        "2 filled",
        "2 buy 0.5 @ 99.0",
        "3 filled",
        "3 sell 1.0 @ 98.8",
        "4 filled",
        "4 sell 0.5 @ 98.8",
    ]
    assert strategy.position(ID) == 0


class Busy:
    """Refuses requests between the first second and the third."""

    def order_entry_ns(self, ts_ns):
        return -10 * MS if START + SECOND <= ts_ns < START + 3 * SECOND else 10 * MS

    def response_ns(self, ts_ns):
        return 10 * MS


def test_what_an_overloaded_exchange_refused_is_asked_again():
    strategy = run(
        {
            0.5: lambda s: [s.buy(ID, "1"), s.buy(ID, "1", "90")],
            2: lambda s: s.kill("x", flatten=True),
        },
        latency=LatencyConfig(model="python", target="tests.test_risk:Busy"),
    )
    assert strategy.position(ID) == 0
    assert "2 canceled" in strategy.told
    closers = [line for line in strategy.told if line.endswith("OVERLOADED") and line[0] != "2"]
    assert 5 <= len(closers) <= 10, "every tenth of a second until it is taken"


def test_a_position_below_the_minimum_is_left():
    coarse = dataclasses.replace(LINEAR, qty_min="0.5", notional_min=None)
    strategy = run(
        {0.5: lambda s: [s.buy(ID, "1", "99.9")], 2: lambda s: s.kill("x", flatten=True)},
        trades=[(1, ASK, 999, 10_300)],
        instruments=(coarse,),
        exchange=ExchangeConfig(fill="partial"),
    )
    assert strategy.position(ID) == pytest.approx(0.3)
    assert len(strategy.tables["orders"]) == 1


def test_a_position_above_the_maximum_is_closed_in_parts():
    fine = dataclasses.replace(LINEAR, qty_max="1")
    strategy = run(
        {0.5: lambda s: [s.buy(ID, "1") for _ in range(3)], 2: lambda s: s.kill("x", flatten=True)},
        instruments=(fine,),
    )
    assert strategy.position(ID) == 0
    assert len(strategy.tables["orders"]) == 6


def test_prices_of_other_quotes_come_from_the_run_or_the_configuration():
    """2 XEUR at 100 EUR: with EUR at 1.25 dollars an exposure of 250."""
    buy = lambda s: s.buy(CROSS.id, "2", "99")  # noqa: E731 - the plainest step.
    told = dataclasses.replace(LINEAR, id="EURUSD.TEST", base="EUR", tick="0.01", kind="spot")
    eur = market.message(SNAPSHOT, START, 1, [(BID, 124, 9_000), (ASK, 126, 9_000)])
    for most, codes in (("250", {}), ("249.99", {"RISK_EXPOSURE": 1})):
        risk = limits(exposure_max_usd=most)
        configured = dataclasses.replace(risk, prices_usd={"EUR": "1.25"})
        assert run(buy, configured, instruments=(CROSS,)).kernel.codes_told() == codes
        depths = [quotes((0, 99.9, 100.1)), eur]
        strategy = run(buy, risk, depths, instruments=(CROSS, told))
        assert strategy.kernel.codes_told() == codes


def test_equity_counts_every_currency_that_is_settled_in():
    """An account of 2 X at 100 dollars and 1,000 dollars loses 60 when X falls to 70."""
    run_it = lambda most: run(  # noqa: E731 - one run, two limits.
        {0.5: lambda s: s.buy(INVERSE.id, "5", "1")},
        RiskConfig(drawdown_max_usd=most),
        [*fall(100, 70), quotes((0, 99.9, 100.1))],
        instruments=(INVERSE, LINEAR),
        cash={"USD": "1000", "X": "2", "ETH": "7"},
    )
    assert run_it("60.01").kernel.killed is None
    cause, reason, _ = run_it("60").kernel.killed
    assert (cause, reason) == ("drawdown", "drawdown of 60.00 USD reached the limit of 60.00 USD")


def test_limits_change_nothing_but_what_they_refuse_and_runs_repeat():
    steps = {0.5: lambda s: s.buy(ID, "1"), 2: lambda s: s.sell(ID, "1")}
    wide = RiskConfig(each=InstrumentRiskConfig(position_qty_max="10"), drawdown_max_percent="50")
    plain, limited, again = run(steps), run(steps, wide), run(steps, wide)
    assert plain.told == limited.told
    assert limited.kernel.result_sha256 == again.kernel.result_sha256
    assert limited.kernel.result_sha256 != plain.kernel.result_sha256, "they are settings"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"each": {"order_qty_max": "lots"}},
            "risk.each.order_qty_max: expected a decimal of 0 or",
        ),
        ({"each": {"order_qty_max": "-1"}}, "risk.each.order_qty_max: expected a decimal of 0 or"),
        (
            {"instruments": {ID: {"exposure_max_usd": "inf"}}},
            f"risk.instruments.{ID}.exposure_max_usd: expected a decimal of 0 or more such as 1000,"
            " found 'inf'",
        ),
        (
            {"instruments": {"XUSD-PREP.TEST": {}}},
            "risk.instruments: expected instruments of the run, found 'XUSD-PREP.TEST';"
            f" did you mean '{ID}'?",
        ),
        (
            {"each": {"open_orders_max": 0}},
            "risk.each.open_orders_max: expected a number from 1 to",
        ),
        ({"each": {"stop_loss_usd": "0"}}, "risk.each.stop_loss_usd: expected a decimal above 0"),
        ({"groups": {"A": {}}}, "risk.groups.A.instruments: expected at least one id, found none"),
        (
            {"groups": {"A": {"instruments": ["B.C"]}}},
            "risk.groups.A.instruments: expected instrum",
        ),
        ({"order_rates": {"often": 3}}, "risk.order_rates: expected a positive time such as 100ms"),
        ({"order_rates": {"1s": 0}}, "risk.order_rates.1s: expected a number from 1 to 1000000"),
        (
            {"drawdown_max_percent": "101"},
            "risk.drawdown_max_percent: expected a percentage above 0",
        ),
        ({"check_every": "0s"}, "risk.check_every: expected a positive time such as 100ms"),
        ({"prices_usd": {"EUR": "0"}}, "risk.prices_usd.EUR: expected a decimal above 0"),
        ({"drawdown": "5"}, "unknown key 'drawdown'; did you mean 'drawdown_max_usd'?"),
        (
            {"gross_max_usd": "5"},
            "risk: expected a price of EUR in dollars for the limits on XEUR.TEST; found no"
            " instrument of the run that tells it: write risk.prices_usd.EUR=…",
        ),
    ],
)
def test_settings_that_cannot_be_are_told(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_limits(build(RiskConfig, values), [LINEAR, CROSS])


def test_the_examples_are_configurations():
    from engine.cli.compose import RUN_GROUPS, compose, parse_override

    def composed(*overrides):
        return compose(
            "backtest", RunConfig, [parse_override(text) for text in overrides], groups=RUN_GROUPS
        )

    assert composed().risk == RiskConfig()
    cautious = composed("risk=cautious", "risk.order_rates={1s: 5}", "risk.flatten=false").risk
    assert cautious.each.order_notional_max_usd == "25000"
    assert cautious.order_rates["1s"] == 5
    assert not cautious.flatten
    assert cautious.prices_usd == {}
    limits = build_limits(cautious, [LINEAR])
    assert limits.instruments[0].px_through_max == 500_000
    assert limits.daily_loss_share_max == 3_000_000


def test_a_run_tells_how_it_ended(tmp_path):
    name = "BTCUSDT-PERP.TESTNETA"
    generate(tmp_path / "catalog", duration_s=20.0)
    config = RunConfig(
        strategy=StrategyConfig("strategies.market_maker:MarketMaker"),
        instrument={name: load_instrument(name).to_mapping()},
        catalog=str(tmp_path / "catalog"),
        risk=RiskConfig(
            each=InstrumentRiskConfig(open_orders_max=1), drawdown_max_usd="0.01", flatten=True
        ),
    )
    config.run.dir = str(tmp_path / "run")
    summary = run_backtest(config).summary
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    risk = summary["risk"]
    assert (risk["state"], risk["cause"]) == ("killed", "drawdown")
    assert risk["at"].startswith("20")
    assert summary["warnings"][0] == f"trading ended at {risk['at']} (drawdown): {risk['reason']}"
    assert summary["reject_codes"]["RISK_INSTRUMENT_ORDERS"] > 0
    assert summary["reject_codes"]["RISK_KILLED"] > 0
    assert risk["reason"] in (tmp_path / "run" / "report.html").read_text()
