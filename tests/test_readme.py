"""What the README tells a newcomer to type works."""

from __future__ import annotations

import json
import re
from pathlib import Path

from engine.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_first_strategy_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (strategy,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "lean.py").write_text(strategy)
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
