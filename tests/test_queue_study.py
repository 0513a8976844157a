"""Queue models against the queue of single orders: on the testnet, and on Bitstamp's recording."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import _core
from engine.catalog import CatalogError
from engine.cli import main
from engine.queue_report import draw, markdown
from engine.queue_study import FEEDS, MODELS, POPULATIONS, QueueStudy, run
from engine.testnet import Venue, generate
from tests.recordings import ROOT, needs_recordings

if TYPE_CHECKING:
    from engine.queue_study import Outcome

ID = "BTCUSDT-PERP.TESTNETB"
FIDELITY = Path(__file__).parents[1] / "docs" / "fidelity.md"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=20.0, venues=[Venue(ID, activity=0.5)], orders=True)
    return str(root)


@pytest.fixture(scope="module")
def study(catalog: str) -> QueueStudy:
    return run(catalog, ID, joined=300, lifetime="5s")


def test_the_queue_fills_what_was_executed_in_fact(study: QueueStudy) -> None:
    assert study.provenance == "testnet"
    assert study.executions == study.at_front > 100, "the engine serves first come, first"
    assert study.trades_matched == study.trades == study.executions
    fates = study.fates["trades first"]
    assert fates.orders > fates.behind_others > fates.executed > 50
    # What is known of an order is known of the one directly ahead of it.
    assert fates.executed == fates.filled == fates.both == fates.same


def sums(outcome: Outcome) -> None:
    assert outcome.both == outcome.early + outcome.same + outcome.late
    assert outcome.in_queue <= outcome.both + outcome.only_model + outcome.only_truth


def test_models_differ_from_the_truth_as_they_must(study: QueueStudy) -> None:
    assert study.models == list(MODELS)
    for feed in FEEDS:
        for population in POPULATIONS:
            found = study.outcomes[feed, population]
            assert [outcome.model for outcome in found] == list(MODELS)
            for outcome in found:
                sums(outcome)
    cautious = study.outcomes["trades first", "behind others"][0]
    assert cautious.only_model == cautious.early == 0 < cautious.late
    # All probability models of power one are one: what was cancelled lay behind in proportion.
    places = {item.model: item for item in study.places["trades first"]}
    assert places["risk_averse"].bias > places["power_prob:1"].bias
    assert places["risk_averse"].error == pytest.approx(places["risk_averse"].bias)
    for item in places.values():
        assert item.orders == places["risk_averse"].orders > 100
        assert 0 < item.left < 1
        assert len(item.bins) > 5


def test_models_of_power_one_are_one(catalog: str) -> None:
    names = ("power_prob:1", "power_prob2:1", "power_prob3:1")
    found = run(catalog, ID, models=names, joined=50, lifetime="2s")
    for outcomes in found.outcomes.values():
        assert len({dataclasses.replace(outcome, model="") for outcome in outcomes}) == 1


def test_equal_seeds_give_equal_studies(catalog: str) -> None:
    def once(seed: int) -> QueueStudy:
        return run(catalog, ID, models=["log_prob"], joined=50, lifetime="2s", seed=seed)

    assert once(3) == once(3) != once(4)


def test_what_cannot_be_studied_is_refused(catalog: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"models: expected .* found l3_fifo, the truth"):
        run(catalog, ID, models=["l3_fifo"])
    with pytest.raises(ValueError, match='exchange.queue: expected .* found "fifo"'):
        run(catalog, ID, models=["fifo"])
    with pytest.raises(ValueError, match="models: expected a number after 'power_prob:', found"):
        run(catalog, ID, models=["power_prob:x"])
    with pytest.raises(ValueError, match="exchange.queue_power"):
        run(catalog, ID, models=["power_prob:0"])
    with pytest.raises(ValueError, match="joined: expected 0 or more, found -1"):
        run(catalog, ID, joined=-1)
    generate(tmp_path, duration_s=0.5, venues=[Venue(ID)])
    with pytest.raises(CatalogError, match=f"{ID} has no orders; the study needs both"):
        run(tmp_path, ID)


def test_the_command_prints_tables_and_draws(
    catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        f"catalog={catalog}",
        f"instrument={ID}",
        "joined=50",
        "lifetime=2s",
        "models=log_prob",
    ]
    picture = tmp_path / "queues.png"
    assert main(["queues", *asked, f"picture={picture}"]) == 0
    text = capsys.readouterr().out
    assert "(testnet)" in text
    assert text.count("| log_prob |") == 5
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["queues", *asked, "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == ["log_prob"]
    assert len(found["outcomes"]) == 4
    assert main(["queues", f"catalog={catalog}"]) == 2
    assert "instrument: an id is needed" in capsys.readouterr().err


def test_a_study_without_fills_is_drawn(catalog: str, tmp_path: Path) -> None:
    found = run(catalog, ID, models=["risk_averse"], joined=0, lifetime="1ns")
    assert found.outcomes["as sent", "joined"][0].seconds is None
    assert "| risk_averse | 0 | 0 | 0 | 0 | 0 | 0 | 0 |  |  |  |" in markdown(found)
    draw(found, tmp_path / "empty.png")


def test_executions_are_those_of_resting_orders() -> None:
    rows = np.zeros(5, _core.EVENT_DTYPE)
    # A bid of 4 is changed to 3, executed; an ask crosses, is executed in flight, and the bid ends.
    rows["kind"] = (12, 13, 12, 13, 14)
    rows["seq"] = (1, 1, 2, 2, 1)
    rows["side"] = (1, 1, 2, 2, 1)
    rows["px_ticks"] = 100
    rows["qty_lots"] = (4, 3, 5, 2, 0)
    assert _core.order_executions(rows).tolist() == [[1, 1, 100, 1, 0], [4, 1, 100, 3, 0]]


@needs_recordings
def test_the_documented_tables_are_what_the_command_prints(tmp_path: Path) -> None:
    path = str(Path(ROOT or "") / "bitstamp_l3" / "btcusd_20150501.log.xz")
    study = run(tmp_path, "BTCUSD.BITSTAMP", recordings=[path])
    documented = FIDELITY.read_text(encoding="utf-8")
    for line in filter(None, markdown(study).splitlines()):
        if line.startswith("|"):
            assert line in documented
    assert study.executions == study.at_front == 552
    for fates in study.fates.values():
        assert fates.executed == fates.filled == fates.both == 416
    assert study.fates["trades first"].same == 416
