"""The report: one file, nothing from the network, nothing of the data taken for markup."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.report import write_report
from engine.report_figures import thin_line
from engine.report_text import amount, number
from engine.results import SCHEMAS

SECOND = 1_000_000_000
START = 1_704_067_200 * SECOND


def run_folder(
    folder, *, samples=10, fills=3, provenance="recorded", instrument="X.TEST", **summary
):
    """A run's files with a sawtooth equity, made for looking at the report only."""
    folder.mkdir(exist_ok=True)
    ts = START + SECOND * np.arange(samples)
    wave = np.sin(np.arange(samples))
    zeros = np.zeros(samples)
    equity = {
        "ts_ns": ts,
        "instrument": [instrument] * samples,
        "currency": ["USDT"] * samples,
        "mid": [None, *(100 + wave)[1:]] if samples else [],
        "position": zeros,
        "realized_pnl": zeros,
        "unrealized_pnl": zeros,
        "fees": zeros,
        "equity": 1_000 + wave,
    }
    many = np.arange(fills)
    filled = {
        "ts_event_ns": START + SECOND * many,
        "ts_recv_ns": START + SECOND * many,
        "instrument": [instrument] * fills,
        "order_id": many,
        "side": ["buy" if n % 2 else "sell" for n in many],
        "px": 100.0 + many,
        "qty": np.ones(fills),
        "px_ticks": many,
        "qty_lots": many,
        "liquidity": ["maker"] * fills,
        "fee": np.zeros(fills),
        "currency": ["USDT"] * fills,
        "position": np.zeros(fills),
        "realized_pnl": np.zeros(fills),
    }
    for name, columns in (("equity", equity), ("fills", filled)):
        schema = SCHEMAS[name]
        plain = {
            field.name: pa.array(
                columns[field.name],
                pa.string() if pa.types.is_dictionary(field.type) else field.type,
            )
            for field in schema
        }
        pq.write_table(pa.table(plain).cast(schema), folder / f"{name}.parquet")
    pq.write_table(SCHEMAS["orders"].empty_table(), folder / "orders.parquet")
    content = {
        "name": "trial",
        "mode": "backtest",
        "provenance": provenance,
        "instruments": [instrument],
        "currency": "USDT",
        "pnl": -0.5,
        "fees": 0.0,
        "fills": fills,
        "sharpe": None,
        "result_sha256": "ab" * 32,
        **summary,
    }
    (folder / "summary.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text("seed: 7\n")
    return folder


def page_of(folder):
    text = write_report(folder).read_text(encoding="utf-8")
    # plotly's own source is no part of what is looked at here.
    return re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = page_of(run_folder(tmp_path))
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page)
    assert "@import" not in page
    assert "ab" * 32 in page
    assert "seed: 7" in page
    assert "Recorded data" in page
    assert "not a market" not in page


@pytest.mark.parametrize("provenance", ["testnet", "mixed"])
def test_testnet_is_said_twice(provenance, tmp_path):
    page = page_of(run_folder(tmp_path, provenance=provenance))
    assert page.count("not a market") >= 1
    assert 'class="banner"' in page
    assert "testnet" in page.lower()


def test_names_are_no_markup(tmp_path):
    name = "</script><script>alert(1)</script>"
    folder = run_folder(tmp_path, name=name, instrument="<b>X</b>.TEST")
    text = write_report(folder).read_text(encoding="utf-8")
    assert name not in text
    assert "<b>X</b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_warnings_stand_at_the_top(tmp_path):
    page = page_of(run_folder(tmp_path, warnings=["X.TEST: 2 gaps <in> the sequence"]))
    assert "X.TEST: 2 gaps &lt;in&gt; the sequence" in page


@pytest.mark.parametrize(("samples", "fills"), [(1, 0), (10, 0), (10, 1)])
def test_short_runs_have_reports(samples, fills, tmp_path):
    assert "Equity and drawdown" in page_of(run_folder(tmp_path, samples=samples, fills=fills))


def test_long_runs_are_thinned_in_the_drawing_and_say_so(tmp_path):
    folder = run_folder(tmp_path, samples=50_000, fills=1_000_000)
    path = write_report(folder)
    assert path.stat().st_size < 6_000_000
    page = path.read_text(encoding="utf-8")
    assert "of 50,000 points" in page
    assert "of 1,000,000 fills are drawn" in page


@pytest.mark.parametrize(
    ("kind", "px_unit", "qty_unit"),
    [("linear", "USDT", "BTC"), ("inverse", "USDT", "contracts")],
)
def test_axes_have_units(kind, px_unit, qty_unit, tmp_path):
    folder = run_folder(tmp_path)
    definition = {"kind": kind, "base": "BTC", "quote": "USDT"}
    (folder / "config.yaml").write_text(json.dumps({"instrument": {"X.TEST": definition}}))
    page = page_of(folder)
    for title in (f"Price, {px_unit}", f"Position, {qty_unit}", "Equity, USDT", "Time, UTC"):
        assert f'"title":{{"text":"{title}"' in page


def test_what_is_drawn_is_what_was_recorded(tmp_path):
    page = page_of(run_folder(tmp_path, samples=10, fills=3))
    figures = json.loads(re.search(r"const figures = (\{.*?\});\n", page)[1])
    numbers = {
        trace["name"]: np.frombuffer(base64.b64decode(trace["y"]["bdata"]), "<f8")
        for figure in figures.values()
        for trace in figure["data"]
    }
    wave = np.sin(np.arange(10))
    np.testing.assert_array_equal(numbers["Equity (USDT)"], 1_000 + wave)
    np.testing.assert_allclose(
        numbers["Drawdown (USDT)"], wave - np.maximum.accumulate(wave), atol=1e-9
    )
    assert np.isnan(numbers["Mid"][0])
    np.testing.assert_array_equal(numbers["Sell, maker"], [100.0, 102.0])
    np.testing.assert_array_equal(numbers["Buy, maker"], [101.0])


def test_thinning_keeps_the_extremes():
    values = np.random.default_rng(7).normal(size=100_000)
    values[31_415], values[77_777] = 50.0, -50.0
    values[500:700] = np.nan
    kept = thin_line(values)
    assert len(kept) <= 4_000
    assert {0, 31_415, 77_777, 99_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"summary\.json is missing"):
        write_report(tmp_path)


def test_figures_read_well():
    assert amount(-1234.5, "USDT", signed=True) == "-1,234.50 USDT"
    assert amount(0.00012345, "BTC") == "0.00012345 BTC"
    assert amount(None, "BTC") == "–"
    assert number(-0.001, digits=2) == "0.00"
    assert number(1_234_567) == "1,234,567"
