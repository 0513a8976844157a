"""An account of several currencies in one of them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.statistics import Contract, run_statistics
from engine.statistics.contracts import conversion_path
from tests.run_tables import SECOND, START, Ledger

THREE = {
    "BTCUSDT.A": Contract(inverse=False, size=1.0, base="BTC", quote="USDT"),
    "ETHBTC.A": Contract(inverse=False, size=1.0, base="ETH", quote="BTC"),
    "BTCUSD.B": Contract(inverse=True, size=100.0, base="BTC", quote="USD"),
}


class TestReporting:
    @pytest.mark.parametrize(
        ("source", "target", "path"),
        [
            ("USDT", "USDT", []),
            ("BTC", "USDT", [("BTCUSDT.A", True)]),
            ("USDT", "BTC", [("BTCUSDT.A", False)]),
            ("ETH", "USD", [("ETHBTC.A", True), ("BTCUSD.B", True)]),
            ("USDT", "ETH", [("BTCUSDT.A", False), ("ETHBTC.A", False)]),
            ("EUR", "USDT", None),
        ],
    )
    def test_paths(self, source, target, path):
        assert conversion_path(source, target, THREE) == path

    def tables(self):
        usdt, btc = Ledger(instrument="BTCUSDT.A"), Ledger(inverse=True, instrument="BTCUSD.B")
        btc.initial = Fraction(2)
        for ledger in (usdt, btc):
            ledger.sample(START + SECOND, None)
            ledger.sample(START + 2 * SECOND, Fraction(50_000))
        usdt.fill(START + 3 * SECOND, 1, Fraction(50_000), Fraction(50_000))
        for ledger in (usdt, btc):
            ledger.sample(START + 4 * SECOND, Fraction(60_000))
        rows = [row for pair in zip(usdt.samples, btc.samples, strict=True) for row in pair]
        for row in rows:
            row["currency"] = "USDT" if row["instrument"] == "BTCUSDT.A" else "BTC"
        usdt.samples = rows
        return usdt.tables()

    def found(self, reporting=None, known=None):
        return run_statistics(
            self.tables(),
            THREE if known is None else known,
            initial={"USDT": 1_000.0, "BTC": 2.0},
            start_ns=START,
            every_ns=SECOND,
            reporting=reporting,
        ).reporting

    def test_equity_in_one_currency(self):
        reporting = self.found()
        assert reporting.currency == "USDT"
        assert reporting.paths == {"USDT": [], "BTC": ["BTCUSDT.A"]}
        equity = reporting.equity
        # The first sample has no rate; the start is valued at the first that has one.
        assert equity.initial == 1_000 + 2 * 50_000
        assert equity.final == 1_000 + 10_000 + 2 * 60_000
        assert (equity.pnl, equity.samples) == (30_000.0, 2)
        in_btc = self.found("BTC").equity
        assert in_btc.final == pytest.approx(11_000 / 60_000 + 2)
        assert in_btc.initial == pytest.approx(1_000 / 50_000 + 2)

    def test_without_a_path_there_are_no_figures(self):
        lost = self.found("EUR")
        assert lost.equity is None
        assert lost.paths == {"USDT": None, "BTC": None}
        alone = {name: THREE[name] for name in ("BTCUSD.B",)}
        assert self.found(known=alone) is None
        usd = self.found("USD", known=alone)
        assert (usd.equity, usd.paths["BTC"]) == (None, ["BTCUSD.B"])
