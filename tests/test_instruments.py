"""Instrument definitions: what only derivatives have, and what is told of slips in it."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from engine.config import ConfigError
from engine.instruments import Bracket, Instrument, load_instrument, write_instrument

if TYPE_CHECKING:
    from pathlib import Path

PERP = "BTCUSDT-PERP.BINANCE"


def test_a_definition_survives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_instrument(PERP)
    assert made.brackets is not None
    assert made.brackets[1] == Bracket(
        floor="50000", cap="600000", rate="0.005", amount="50", leverage=100
    )
    other = dataclasses.replace(made, id="OTHER-PERP.BINANCE")
    write_instrument(other, tmp_path / "conf" / "instrument")
    monkeypatch.chdir(tmp_path)
    assert load_instrument(other.id) == other
    spot = load_instrument("BTCUSDT.BINANCE")
    assert "brackets" not in spot.to_mapping()


@pytest.mark.parametrize("name", [PERP, "ETHUSDT-PERP.BINANCE"])
def test_packaged_brackets_follow_one_another_without_a_jump(name: str) -> None:
    """Binance's formula: amount of a level = floor × difference of rates + amount before."""
    brackets = load_instrument(name).brackets
    assert brackets is not None
    assert len(brackets) == 12
    amount = rate = floor = Decimal(0)
    for bracket in brackets:
        assert Decimal(bracket.floor) == floor
        amount += floor * (Decimal(bracket.rate) - rate)
        assert Decimal(bracket.amount) == amount
        floor, rate = Decimal(bracket.cap), Decimal(bracket.rate)
    # Leverage × maintenance rate stays at most 1/2: there is room between opening and liquidation.
    assert all(bracket.leverage * Decimal(bracket.rate) <= Decimal("0.5") for bracket in brackets)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"liquidation_fee": 0.0125},
            r'liquidation_fee: a decimal is written in quotes.*"0\.0125"',
        ),
        ({"liquidation_fee": "1.5"}, r"liquidation_fee: expected a share between -1 and 1"),
        ({"px_band_down": None}, r"px_band_down: expected a multiple .* beside .* 1\.05"),
        ({"px_band_up": None}, r"px_band_up: expected a multiple .* beside .* 0\.95"),
        ({"px_band_up": "five"}, r"px_band_up: expected a decimal number"),
        ({"brackets": "0.004"}, r"brackets: expected a list of brackets, found '0\.004'"),
        ({"brackets": {"floor": "0"}}, r"brackets: expected a list"),
        ({"brackets": ["0.004"]}, r"brackets\[0\]: expected floor, cap, rate"),
        ({"brackets": [{"flor": "0"}]}, r"unknown key 'brackets\[0\]\.flor'; did you mean .*floor"),
        ({"brackets": [{"floor": "0"}]}, r"brackets\[0\]\.cap: a value is needed"),
        ({"brackets": [{"floor": "0", "cap": 0.5}]}, r"brackets\[0\]\.cap: .* in quotes"),
        ({"brackets": [{"floor": "zero"}]}, r"brackets\[0\]\.floor: expected a decimal number"),
        ({"kind": "spot"}, r"liquidation_fee: expected nothing for spot, found '0\.0125'"),
    ],
)
def test_slips_are_answered(changes: dict[str, Any], told: str) -> None:
    values = {**load_instrument(PERP).to_mapping(), **changes}
    with pytest.raises(ConfigError, match=rf"instrument {PERP}, {told}"):
        Instrument.from_mapping(PERP, values)
