"""Instrument definitions from the venue's own exchangeInfo, one shape for each market."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from engine.config import ConfigError
from engine.importers import ImportFailed, ImportReport, run_import
from engine.instruments import load_instrument

if TYPE_CHECKING:
    from pathlib import Path

PRICE = {"filterType": "PRICE_FILTER", "tickSize": "0.00010000", "minPrice": "0.0001"}
LOT = {"filterType": "LOT_SIZE", "stepSize": "0.10", "minQty": "0.10", "maxQty": "1000.00"}
SPOT: dict[str, Any] = {
    "symbol": "SOLUSDT",
    "baseAsset": "SOL",
    "quoteAsset": "USDT",
    "filters": [PRICE, LOT, {"filterType": "NOTIONAL", "minNotional": "5.00000000"}],
}
USDM: dict[str, Any] = {
    **SPOT,
    "contractType": "PERPETUAL",
    "marginAsset": "USDT",
    "filters": [PRICE, LOT, {"filterType": "MIN_NOTIONAL", "notional": "20"}],
}
COINM: dict[str, Any] = {
    "symbol": "SOLUSD_PERP",
    "contractType": "PERPETUAL",
    "contractSize": 10,
    "baseAsset": "SOL",
    "quoteAsset": "USD",
    "marginAsset": "SOL",
    "filters": [PRICE, {**LOT, "stepSize": "1", "minQty": "1", "maxQty": "5000"}],
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(tmp_path: Path, symbols: Any, instrument: str) -> ImportReport:
    path = tmp_path / "exchangeInfo.json"
    path.write_text(json.dumps({"symbols": symbols}))
    return run_import("binance_exchange_info", [str(path)], instrument, "unused")


@pytest.mark.parametrize(
    ("entry", "names", "kind", "notional_min", "contract_size"),
    [
        (SPOT, ("SOLUSDT", "SOLUSDT.BINANCE"), "spot", "5", "1"),
        (USDM, ("SOLUSDT", "SOLUSDT-PERP.BINANCE"), "linear", "20", "1"),
        (COINM, ("SOLUSD_PERP", "SOLUSD-PERP.BINANCE"), "inverse", None, "10"),
    ],
    ids=["spot", "usdm", "coinm"],
)
def test_each_market_becomes_a_definition_in_the_working_folder(
    tmp_path: Path,
    entry: dict[str, Any],
    names: tuple[str, str],
    kind: str,
    notional_min: str | None,
    contract_size: str,
) -> None:
    for name in names:
        report = run(tmp_path, [{**SPOT, "symbol": "ADAUSDT"}, entry], name)
        assert report.written == f"conf/instrument/{names[1]}.yaml"
        assert "exchangeInfo has no fees" in report.notes[1]
        made = load_instrument(names[1])
        assert (made.kind, made.tick, made.symbol) == (kind, "0.0001", entry["symbol"])
        assert (made.notional_min, made.contract_size) == (notional_min, contract_size)
        (tmp_path / report.written).unlink()
    assert not (tmp_path / "unused").exists()


def test_slips_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no symbol 'SOLUSD'; did you mean 'SOLUSDT'"):
        run(tmp_path, [SPOT], "SOLUSD")
    with pytest.raises(ConfigError, match=r"defines SOLUSDT\.BINANCE, which is not SOLUSDT-PERP"):
        run(tmp_path, [SPOT], "SOLUSDT-PERP.BINANCE")
    with pytest.raises(ConfigError, match="expected the JSON of Binance's exchangeInfo"):
        run(tmp_path, 7, "SOLUSDT")
    with pytest.raises(ConfigError, match="LOT_SIZE"):
        run(tmp_path, [{**SPOT, "filters": [PRICE]}], "SOLUSDT")
    with pytest.raises(ImportFailed, match="expected one exchangeInfo JSON file, found 2"):
        run_import("binance_exchange_info", ["a", "b"], "SOLUSDT", "unused")
    with pytest.raises(OSError, match=r"none\.json"):
        run_import("binance_exchange_info", ["none.json"], "SOLUSDT", "unused")
    assert not (tmp_path / "conf").exists()


def test_what_only_derivatives_have(tmp_path: Path) -> None:
    band = {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"}
    filters = [*USDM["filters"], band]
    entry = {**USDM, "liquidationFee": "0.012500", "filters": filters}
    run(tmp_path, [entry], "SOLUSDT")
    made = load_instrument("SOLUSDT-PERP.BINANCE")
    assert (made.liquidation_fee, made.px_band_up, made.px_band_down) == ("0.0125", "1.05", "0.95")
    assert made.brackets is None, "they are not public"
    # The filter of this name counts from another price in the spot market.
    run(tmp_path, [{**SPOT, "filters": [*SPOT["filters"], band]}], "SOLUSDT")
    assert load_instrument("SOLUSDT.BINANCE").px_band_up is None
