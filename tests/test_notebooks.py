"""The notebooks as they lie in the repository; `make notebooks` executes them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from engine import notebooks
from engine.heatmap_style import provenance_line

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path, kind):
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_all_are_there():
    assert [path.stem for path in FILES] == ["consolidated_book", "pivots", "tear_sheet"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_of_one_machine_is_in_them(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    assert content["metadata"]["language_info"] == {"name": "python"}
    for cell in content["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}
    assert not re.search(r"/(?:home|tmp|work|Users|root)/", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_picture_is_given_the_datas_provenance(path):
    (words, *_) = cells(path, "markdown")
    assert "testnet data" in words
    code = "\n".join(cells(path, "code"))
    calls = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "canvas"
    ]
    assert len(calls) >= 3
    for call in calls:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given["provenance"] == "DATA"
    assert "plt." not in code
    assert re.search(r"DATA = CATALOG\.manifest\(.*\)\.provenance", code)


@pytest.mark.parametrize(("provenance", "badge"), [("testnet", "TESTNET DATA"), ("recorded", None)])
def test_a_canvas_says_testnet(provenance, badge):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = mpl.get_backend()
    plt.switch_backend("agg")
    try:
        figure, panels = notebooks.canvas("Title", provenance=provenance, heights=[2, 1])
        assert len(panels) == 2
        texts = [text.get_text() for text in figure.texts]
        assert texts == (["Title"] if badge is None else ["Title", badge])
        notebooks.utc_axis(panels[-1], [0, 60_000_000_000])
        labels = [label.get_text() for label in panels[-1].get_xticklabels()]
        assert labels[:2] == ["00:00:00", "00:00:05"]
        notebooks.price_axis(panels[0], "Price")
        panels[0].plot([0, 1], [50_000, 60_000])
        figure.canvas.draw()
        assert "50,000" in [label.get_text() for label in panels[0].get_yticklabels()]
    finally:
        plt.close("all")
        plt.switch_backend(before)
    assert provenance_line("mixed").startswith("CONTAINS TESTNET DATA")


def test_ratio_colours_are_dark_in_the_middle():
    colors = notebooks.ratio_colors()
    red, _, blue, _ = colors(0.0)
    assert red > blue
    red, _, blue, _ = colors(1.0)
    assert blue > red
    assert sum(colors(0.5)[:3]) < 0.4
