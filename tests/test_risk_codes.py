"""Every reject code through a whole run, and the table of them that users read."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from engine.config import (
    AccountConfig,
    ExchangeConfig,
    GroupRiskConfig,
    LatencyConfig,
    PositionConfig,
    RiskConfig,
    key_paths,
)
from engine.instruments import Bracket
from tests import market
from tests.market import ASK, BID, DELTA, LINEAR, SECOND, SNAPSHOT, START
from tests.risk_runs import ID, MS, OTHER, TWO, group, limits, modify, quotes, run

DOCS = Path(__file__).parent.parent / "docs" / "risk.md"
MARGINED = dataclasses.replace(
    LINEAR, brackets=[Bracket("0", "1000000", "0.005", "0", 100)], liquidation_fee="0.01"
)
HUGE = dataclasses.replace(LINEAR, qty_max="1000000000")


class Overloaded:
    """Refuses every request after the first second."""

    def order_entry_ns(self, ts_ns):
        return 10 * MS if ts_ns < START + SECOND else -10 * MS

    def response_ns(self, ts_ns):
        return 10 * MS


BUY = lambda s: s.buy(ID, "0.1", "99.9")  # noqa: E731 - the plainest step.
TARGET = "tests.test_risk_codes:Overloaded"
# What the last thing told in a run is refused for: steps, and what `run` is given.
CODES = {
    "QTY_TOO_SMALL": (lambda s: s.buy(ID, "0", "99"), {}),
    "QTY_TOO_LARGE": (lambda s: s.buy(ID, "100.001", "99"), {}),
    "PX_NOT_POSITIVE": (lambda s: s.buy(ID, "0.1", "0"), {}),
    "NOTIONAL_TOO_SMALL": (lambda s: s.buy(ID, "0.05", "99.9"), {}),
    "PX_OFF_TICK": (lambda s: s.buy(ID, "0.1", "99.95"), {}),
    "QTY_OFF_LOT": (lambda s: s.buy(ID, "0.0005", "99"), {}),
    "POST_ONLY_WOULD_TAKE": (lambda s: s.buy(ID, "0.1", "100.1", post_only=True), {}),
    "NO_LIQUIDITY": (
        lambda s: s.buy(ID, "0.1"),
        {
            "depths": [
                np.concatenate(
                    [
                        market.message(SNAPSHOT, START, 1, [(BID, 999, 10)]),
                        market.message(DELTA, START + SECOND, 2, [(BID, 999, 11)]),
                    ]
                )
            ]
        },
    ),
    "BOOK_SUSPECT": (
        {2: BUY},
        {
            "depths": [
                np.concatenate(
                    [
                        quotes((0, 99.9, 100.1), until=1),
                        market.message(DELTA, START + 2 * SECOND - MS, 9, [(BID, 999, 11)]),
                        market.message(DELTA, START + 3 * SECOND, 10, [(BID, 999, 11)]),
                    ]
                )
            ]
        },
    ),
    "ORDER_NOT_OPEN": ({0.5: BUY, 1: modify(stop="101")}, {}),
    "NOTIONAL_TOO_LARGE": (
        lambda s: s.buy(ID, "1000000000", "20000000"),
        {"instruments": (HUGE,)},
    ),
    "RUN_ENDED": ({"stop": BUY}, {}),
    "REDUCE_ONLY": (lambda s: s.sell(ID, "0.1", "100", reduce_only=True), {}),
    "WOULD_TRIGGER": (lambda s: s.buy(ID, "0.1", stop="100.1", trigger_by="bid_ask"), {}),
    "SELF_TRADE": (
        {0.5: lambda s: s.sell(ID, "0.1", "100.0"), 1: lambda s: s.buy(ID, "0.1", "100.0")},
        {"exchange": ExchangeConfig(self_trade="expire_taker")},
    ),
    "LIST_ENDED": (
        {
            0.5: lambda s: s.oco(ID, "sell", "0.1", limit="101", stop="99"),
            1: lambda s: s.cancel(1),
        },
        {},
    ),
    "QTY_BELOW_FILLED": (
        {0.5: lambda s: s.buy(ID, "0.2", "99.9"), 2: modify(qty="0.1")},
        {"trades": [(1, ASK, 999, 10_100)], "exchange": ExchangeConfig(fill="partial")},
    ),
    "TIME_EXPIRED": (lambda s: s.buy(ID, "0.1", "99.9", tif="GTD", expire="1s"), {}),
    "OVERLOADED": ({2: BUY}, {"latency": LatencyConfig(model="python", target=TARGET)}),
    "CLIENT_ID_USED": (lambda s: [s.buy(ID, "0.1", "99", client_id="a") for _ in "12"], {}),
    "DISPLAY_INVALID": (lambda s: s.buy(ID, "0.1", "99", display="0.2"), {}),
    "EXIT_QTY": (
        {
            0.5: lambda s: s.bracket(ID, "buy", "0.1", "99", stop="98", take_profit="101"),
            1: lambda s: s.modify(3, qty="0.2"),
        },
        {},
    ),
    "PX_OUT_OF_BAND": (
        lambda s: s.buy(ID, "0.1", "105.1", tif="IOC"),
        {"instruments": (dataclasses.replace(LINEAR, px_band_up="1.05", px_band_down="0.95"),)},
    ),
    "MARGIN_INSUFFICIENT": (
        {0.5: lambda s: s.buy(ID, "40", stop="101"), 1: lambda s: s.buy(ID, "90", "100.1")},
        {
            "instruments": (MARGINED,),
            "account": AccountConfig(margin="cross", leverage=10),
            "depths": [quotes((0, 99.9, 100.1), (2, 101, 101.2))],
            "trades": [(2.5, BID, 1_012, 1)],
        },
    ),
    "BALANCE_INSUFFICIENT": (
        {0.5: lambda s: s.buy(ID, "4", stop="101"), 1: lambda s: s.buy(ID, "9", "100.1")},
        {
            "instruments": (dataclasses.replace(LINEAR, kind="spot"),),
            "account": AccountConfig(margin="cross"),
            "depths": [quotes((0, 99.9, 100.1), (2, 101, 101.2))],
            "trades": [(2.5, BID, 1_012, 1)],
        },
    ),
    "LIQUIDATION": (
        {},
        {
            "instruments": (MARGINED,),
            "account": AccountConfig(margin="cross", positions={ID: PositionConfig("60", "100")}),
            "depths": [quotes((0, 99.9, 100.1), (2, 80, 80.2))],
        },
    ),
    "RISK_KILLED": (lambda s: [s.kill("enough"), BUY(s)], {}),
    "RISK_STOPPED": (
        {0.5: lambda s: s.buy(ID, "1"), 2.15: BUY},
        {
            "risk": limits(stop_loss_usd="1"),
            "depths": [quotes((0, 99.9, 100.1), (2, 98, 98.2))],
            "latency": LatencyConfig(order_entry_ns=100 * MS, response_ns=100 * MS),
        },
    ),
    "RISK_ORDER_QTY": (lambda s: s.buy(ID, "2.001", "99"), {"risk": limits(order_qty_max="2")}),
    "RISK_ORDER_NOTIONAL": (
        lambda s: s.buy(ID, "1"),
        {"risk": limits(order_notional_max_usd="99.99")},
    ),
    "RISK_PX_THROUGH": (
        lambda s: s.buy(ID, "0.1", "100.6"),
        {"risk": limits(px_through_max_bps="50")},
    ),
    "RISK_PX_AWAY": (lambda s: s.buy(ID, "0.1", "99.4"), {"risk": limits(px_away_max_bps="50")}),
    "RISK_ORDER_RATE": (
        {0.5: lambda s: [BUY(s), BUY(s)], 1.4: BUY, 1.5: lambda s: [BUY(s), BUY(s)]},
        {"risk": RiskConfig(order_rates={"1s": 2})},
    ),
    "RISK_INSTRUMENT_ORDERS": (
        lambda s: [BUY(s), s.buy(OTHER.id, "0.1", "99"), BUY(s)],
        {"risk": limits(open_orders_max=1), **TWO},
    ),
    "RISK_ACCOUNT_ORDERS": (
        lambda s: [BUY(s), s.buy(OTHER.id, "0.1", "99")],
        {"risk": RiskConfig(open_orders_max=1), **TWO},
    ),
    "RISK_POSITION": (
        {0.5: lambda s: s.buy(ID, "1"), 1: lambda s: s.buy(ID, "1.001", "99")},
        {"risk": limits(position_qty_max="2")},
    ),
    "RISK_EXPOSURE": (
        {0.5: lambda s: s.buy(ID, "1"), 1: lambda s: s.buy(ID, "1.001", "99")},
        {"risk": limits(exposure_max_usd="200")},
    ),
    "RISK_GROUP_GROSS": (
        lambda s: [s.buy(ID, "1", "99"), s.sell(OTHER.id, "1.001", "101")],
        {"risk": group(gross_max_usd="200"), **TWO},
    ),
    "RISK_GROUP_NET": (
        {0.5: lambda s: s.buy(ID, "2"), 1: lambda s: s.buy(OTHER.id, "0.501", "99")},
        {"risk": group(net_max_usd="250"), **TWO},
    ),
    "RISK_ACCOUNT_GROSS": (
        lambda s: [s.buy(ID, "1", "99"), s.sell(OTHER.id, "1.001", "101")],
        {"risk": RiskConfig(gross_max_usd="200"), **TWO},
    ),
    "RISK_ACCOUNT_NET": (
        {0.5: lambda s: s.buy(ID, "2"), 1: lambda s: s.buy(OTHER.id, "0.501", "99")},
        {"risk": RiskConfig(net_max_usd="250"), **TWO},
    ),
    "RISK_CONCENTRATION": (
        {0.5: lambda s: s.buy(OTHER.id, "1"), 1: lambda s: s.buy(ID, "1.001", "99")},
        {
            "risk": RiskConfig(concentration_max_percent="50", concentration_floor_usd="200"),
            **TWO,
        },
    ),
    "RISK_FUNDS": (
        lambda s: s.buy(ID, "99", "99"),
        {"instruments": (MARGINED,), "account": AccountConfig(margin="cross", leverage=9)},
    ),
    "RISK_PRICE_MISSING": (
        lambda s: s.buy(OTHER.id, "0.1", "99"),
        {
            "risk": RiskConfig(gross_max_usd="200"),
            "depths": [quotes((0, 99.9, 100.1)), quotes((1, 99.9, 100.1))],
            **TWO,
        },
    ),
}


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_told(code):
    steps, settings = CODES[code]
    strategy = run(steps, **settings)
    assert strategy.kernel.codes_told() == {code: 1}
    told = [line for line in strategy.told if line.endswith(f" {code}")]
    # What is given in the end is answered in the tables only.
    assert len(told) == (code != "RUN_ENDED")


def rows_of(heading):
    """Cells of the table behind a heading of the documentation."""
    text = DOCS.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_of_codes_is_the_enum():
    rows = rows_of("Codes")
    assert [row[0].strip("`") for row in rows] == [name for name, _ in _core.REJECT_CODES]
    assert {name for name, _ in _core.REJECT_CODES} == set(CODES)
    assert all(row[1] and row[3] for row in rows), "each says when, and what to do"
    assert [row[0].strip("`") for row in rows_of("Over time")] == sorted(
        _core.RISK_CAUSES,
        key=["stop_loss", "drawdown", "daily_loss", "losing_trades", "strategy", "operator"].index,
    )


def test_every_key_is_documented_and_exists():
    text = DOCS.read_text(encoding="utf-8")
    known = {f"risk.{path}" for path in key_paths(RiskConfig)}
    known |= {f"risk.groups.NAME.{path}" for path in key_paths(GroupRiskConfig)}
    limits = " ".join(row[2] for row in rows_of("Codes") + rows_of("Over time"))
    named = set(re.findall(r"`(risk\.[A-Za-z_.]+)`", limits))
    assert named <= known
    leaves = known - {
        "risk.each",
        "risk.instruments",
        "risk.groups",
        "risk.groups.NAME.instruments",
    }
    everywhere = set(re.findall(r"risk\.(?:groups\.NAME\.)?[a-z_.]+[a-z]", text))
    assert leaves <= everywhere
