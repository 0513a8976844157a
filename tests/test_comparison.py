"""`cobalt report`: one run, and several side by side."""

from __future__ import annotations

import json
import re

import pytest

from engine.cli import main
from engine.comparison import compare
from engine.run_folder import read_run
from tests.test_report import run_folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def configured(folder, config, **more):
    run_folder(folder, instrument="X.TEST", **more)
    definition = {"kind": "linear", "contract_size": "1", "base": "X", "quote": "USDT"}
    content = {"instrument": {"X.TEST": definition}, "catalog": str(folder), **config}
    (folder / "config.yaml").write_text(json.dumps(content))
    return folder


@pytest.fixture
def two(tmp_path):
    fast = {"latency": {"order_entry_ns": 1, "model": "constant"}, "run": {"name": "a"}}
    slow = {"latency": {"order_entry_ns": 9, "model": "constant"}, "run": {"name": "b"}}
    slow["strategy"] = {"config": {"levels": [1, 2]}}
    return [
        configured(tmp_path / "fast", fast, data_sha256="aa", start="2024-01-01T00:00:00Z"),
        configured(
            tmp_path / "slow<b>",
            slow,
            data_sha256="aa",
            start="2024-01-01T00:00:00Z",
            provenance="testnet",
            samples=40,
        ),
    ]


def test_what_differs_is_found_and_nothing_else(two):
    found = compare([read_run(folder) for folder in two])
    assert [column.label for column in found.columns] == ["fast", "slow<b>"]
    assert found.differences == [
        ("latency.order_entry_ns", ["1", "9"]),
        ("strategy.config.levels", ["–", "[1, 2]"]),
    ]
    assert found.warnings == []
    rows = {figure.label: cells for figure, cells in found.rows()}
    assert rows["Fills"] == ["3", "3"]
    assert len(found.rows(keys_only=True)) < len(found.rows())


def test_what_makes_runs_hard_to_compare_is_said(two):
    other = json.loads((two[1] / "summary.json").read_text())
    other |= {"data_sha256": "bb", "end": "2024-01-02", "versions": {"cobalt": "0"}}
    (two[1] / "summary.json").write_text(json.dumps(other))
    assert len(compare([read_run(folder) for folder in two]).warnings) == 3


def test_folders_of_one_name_are_told_by_their_paths(tmp_path, two):
    (tmp_path / "deep").mkdir()
    again = configured(tmp_path / "deep" / "fast", {})
    labels = [column.label for column in compare([read_run(two[0]), read_run(again)]).columns]
    assert labels == [str(two[0]), str(again)]


def test_an_instrument_that_one_does_not_trade_differs_as_a_whole(tmp_path, two):
    config = json.loads((two[0] / "config.yaml").read_text())
    config["instrument"]["Y.TEST"] = config["instrument"]["X.TEST"]
    other = configured(tmp_path / "other", config)
    keys = [key for key, _ in compare([read_run(two[0]), read_run(other)]).differences]
    assert keys == ["instrument"]


def test_the_page_is_whole_and_loads_nothing(two, capsys, tmp_path):
    assert main(["report", *map(str, two)]) == 0
    out = capsys.readouterr().out
    assert "latency.order_entry_ns" in out
    assert "not a market" in out
    page = (tmp_path / "comparison.html").read_text()
    assert "2 runs side by side" in page
    assert "slow&lt;b&gt;" in page
    assert "slow<b>" not in page
    assert 'class="banner"' in page
    assert page.count('<svg class="spark"') == 2
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page)
    points = re.findall(r'<polyline points="([^"]+)"', page)
    assert [len(line.split()) for line in points] == [10, 40]


def test_one_run_has_its_report_made_again(two, capsys):
    assert main(["report", str(two[0])]) == 0
    out = capsys.readouterr().out
    assert "Sortino ratio, a year" in out
    assert (two[0] / "report.html").is_file()


def test_json_has_everything(two, capsys):
    assert main(["report", *map(str, two), "output=json", "path=both.html"]) == 0
    streams = capsys.readouterr()
    rows = [json.loads(line) for line in streams.out.splitlines()]
    assert [row["run"] for row in rows] == [str(folder) for folder in two]
    assert rows[0]["statistics"]["overall"]["USDT"]["trading"]["fills"] == 3
    assert "both.html" in streams.err


def test_a_sweep_stands_for_its_finished_runs(tmp_path, capsys):
    sweep = tmp_path / "sweep"
    for number in (0, 1, 10, 2):
        sweep.mkdir(exist_ok=True)
        configured(sweep / str(number), {"seed": number})
    (sweep / "3").mkdir()
    (sweep / "sweep.json").write_text("[]")
    assert main(["report", str(sweep), "output=json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["run"] for row in rows] == [str(sweep / name) for name in ("0", "1", "2", "10")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "the folder of a run is needed"),
        (["nowhere"], 1, "nowhere: not the folder of a finished run, summary.json is missing"),
        (["fast", "path=x.html"], 2, "path: the report of one run is fast/report.html"),
        (["fast", "outptu=json"], 2, "did you mean 'output'?"),
    ],
)
def test_slips_are_told(arguments, code, message, two, capsys):
    assert main(["report", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_summary_that_is_no_json_is_told(two, capsys):
    (two[0] / "summary.json").write_text("{")
    assert main(["report", str(two[0])]) == 2
    assert "summary.json" in capsys.readouterr().err
