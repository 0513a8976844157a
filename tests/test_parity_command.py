"""`cobalt parity` on a little testnet data."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from engine import parity
from engine.cli import main
from engine.peers import cobalt, plain
from engine.peers import hftbacktest as peer

if TYPE_CHECKING:
    from engine.peers.orders import Outcome, Setup

SMALL = ["seconds=20", "orders=300", "seed=3", "queue=power_prob", "latency=interpolated"]

needs_peer = pytest.mark.skipif(not peer.available(), reason="hftbacktest is not installed")


@pytest.fixture(autouse=True)
def no_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COBALT_RECORDINGS", raising=False)


@needs_peer
def test_every_combination_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", *SMALL, "output=json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [(row["fill"], row["modifications"]) for row in rows]
    assert found == [(fill, what) for fill in parity.FILLS for what in parity.MODIFICATIONS]
    for row in rows:
        assert row["orders"] >= 300
        assert row["fills"] > 50
        assert row["unexplained"] == 0
        assert row["provenance"] == "testnet"
        assert set(row["different"]) <= set(plain.REASONS)
    assert rows[0]["equal"] == rows[0]["orders"]
    assert rows[0]["account"] == "equal"
    assert rows[1]["equal"] < rows[1]["orders"]


@needs_peer
def test_the_table_names_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", *SMALL, "fill=no_partial"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "modify_quantity" in told
    assert "TESTNET DATA" in told


@needs_peer
def test_what_nobody_foretold_is_unexplained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The canary: Cobalt with another latency than it was told."""
    run = cobalt.run_commands

    def slower(*args: Any) -> Outcome:
        setup: Setup = args[-1]
        return run(*args[:-1], dataclasses.replace(setup, latencies=None))

    monkeypatch.setattr(cobalt, "run_commands", slower)
    assert main(["parity", *SMALL, "fill=no_partial"]) == 1
    out = capsys.readouterr()
    assert "unexplained" in out.out
    assert "NOT EXPLAINED" in out.err


def test_without_the_peer_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer, "available", lambda: False)
    assert main(["parity"]) == 1
    assert "`make peers`" in capsys.readouterr().err


@needs_peer
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("queue=fifo", "queue: expected risk_averse, power_prob"),
        ("fill=half", "fill: expected no_partial, partial"),
        ("latency=none", "latency: expected constant, interpolated"),
        ("orders=0", "orders: expected at least 1"),
    ],
)
def test_what_cannot_be_asked_for(
    argument: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parity", argument]) == 2
    assert words in capsys.readouterr().err
