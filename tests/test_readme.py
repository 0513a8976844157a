"""What the README tells a newcomer to type works."""

from __future__ import annotations

import json
import re
from pathlib import Path

from engine.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_market_state_is_shown_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    handlers, tables = CODE[1:]
    body = "".join(f"    {line}\n" for line in handlers.splitlines())
    (tmp_path / "watch.py").write_text(
        f"from engine import Strategy\nclass Watch(Strategy):\n{body}"
    )
    assert main(["testnet", "duration_s=90"]) == 0
    names = "instrument=[BTCUSDT-PERP.TESTNETA,BTCUSDT.TESTNETC]"
    assert main(["backtest", "strategy=watch:Watch", names]) == 0
    assert capsys.readouterr().out.count("Crossing(") > 50
    found: dict = {}
    exec(tables, found)
    assert len(found["book"]) > 80
    assert found["bars"].columns[-1] == "rsi:14"
    typed = re.findall(r"^`cobalt (heatmap group=BTC path=btc\.png)`", README, re.MULTILINE)
    assert main(typed[0].split()) == 0
    assert (tmp_path / "btc.png").stat().st_size > 10_000


def test_the_first_strategy_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lean.py").write_text(CODE[0])
    (typed,) = re.findall(r"^cobalt backtest (strategy=lean:Lean .*)$", README, re.MULTILINE)
    assert main(["testnet", "duration_s=120"]) == 0
    capsys.readouterr()
    assert main(["backtest", *typed.split(), "output=json"]) == 0
    assert json.loads(capsys.readouterr().out)["fills"] > 0


def test_the_pictures_and_pages_it_names_exist():
    root = Path(__file__).parent.parent
    named = re.findall(r"\]\(([^)#]+)\)|`((?:docs|engine|strategies|conf)(?:/[\w/.]*)?)`", README)
    paths = {first or second for first, second in named}
    assert len(paths) >= 5
    for path in paths:
        assert (root / path).exists(), path
