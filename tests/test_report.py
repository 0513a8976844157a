"""The report: one file, nothing from the network, nothing of the data taken for markup."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import report_charts
from engine.report import write_report
from engine.report_charts import instrument_figure
from engine.report_figures import thin_line
from engine.report_text import amount, number
from engine.results import SCHEMAS
from tests.run_tables import table

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
        "mid": 100.5 + many,
        "mid_1s": [None if n % 3 else 99.5 + n for n in many.tolist()],
    }
    given = {
        "order_id": many,
        "instrument": [instrument] * fills,
        "side": filled["side"],
        "px": 100.0 + many,
        "avg_px": 100.0 + many,
        "filled_qty": np.ones(fills),
        "status": ["filled"] * fills,
        "ts_submit_ns": START + SECOND * many - 3,
        "ts_exchange_ns": START + SECOND * many,
    }
    placed = {
        "order_id": many,
        "instrument": [instrument] * fills,
        "ts_event_ns": START + SECOND * many - 2,
        "px": 100.0 + many,
        "qty": np.ones(fills),
    }
    tables = {"equity": equity, "fills": filled, "orders": given, "placements": placed}
    for name, columns in tables.items():
        schema = SCHEMAS[name]
        count = len(next(iter(columns.values())))
        plain = {
            field.name: pa.array(
                columns.get(field.name, [None] * count),
                pa.string() if pa.types.is_dictionary(field.type) else field.type,
            )
            for field in schema
        }
        pq.write_table(pa.table(plain).cast(schema), folder / f"{name}.parquet")
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
        "by_currency": {"USDT": {"initial": 1_000.0}},
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
        if "bdata" in trace["y"]
    }
    wave = np.sin(np.arange(10))
    np.testing.assert_array_equal(numbers["Equity (USDT)"], 1_000 + wave)
    np.testing.assert_allclose(
        numbers["Drawdown (USDT)"], wave - np.maximum.accumulate(wave), atol=1e-9
    )
    # At the time of the first sample, which has no mid, a fill was received that has one.
    np.testing.assert_array_equal(numbers["Mid"][:3], [100.5, np.nan, 101.5])
    np.testing.assert_array_equal(numbers["Sell, maker"], [100.0, 102.0])
    np.testing.assert_array_equal(numbers["Buy, maker"], [101.0])


def unpacked(values):
    return np.frombuffer(base64.b64decode(values["bdata"]), "<f8").tolist()


def lives(orders, placements):
    rows = [{"instrument": "X.TEST", "side": "buy", "filled_qty": 1.0, **row} for row in orders]
    places = [{"instrument": "X.TEST", "qty": 1.0, **row} for row in placements]
    samples = [{"ts_ns": 90 * 10**6, "instrument": "X.TEST", "position": 0.0}]
    drawing = instrument_figure(
        table("equity", samples),
        table("fills", []),
        table("orders", rows),
        table("placements", places),
        "X.TEST",
    )
    traces = [trace for trace in drawing.figure["data"] if trace["name"] == "Buy orders"]
    points = [list(zip(unpacked(t["x"]), unpacked(t["y"]), strict=True)) for t in traces]
    split = [[(x, y) for x, y in line if not np.isnan(x)] if line else [] for line in points]
    return split, drawing.notes


def test_the_life_of_an_order_goes_by_its_prices_to_its_end():
    ms = 10**6
    done = {"status": "filled", "ts_exchange_ns": 60 * ms}
    orders = [
        {"order_id": 2, "ts_submit_ns": 10 * ms, "avg_px": 102.0, "arrival_mid": 101.0, **done},
        {"order_id": 1, "ts_submit_ns": 5 * ms, "px": 99.0, "status": "partially_filled"},
        {"order_id": 3, "ts_submit_ns": 5 * ms, "filled_qty": 0.0, **done},
        {"order_id": 4, "ts_submit_ns": 6 * ms, "avg_px": 103.0, **done},
    ]
    places = [
        {"order_id": 1, "ts_event_ns": 30 * ms, "px": 99.0},
        {"order_id": 3, "ts_event_ns": 20 * ms, "px": 90.0},
        {"order_id": 1, "ts_event_ns": 20 * ms, "px": 100.0},
    ]
    (dotted, solid), notes = lives(orders, places)
    # Order 1 rests at 20 ms and moves at 30 ms; it lives at the end, which is the last sample.
    assert solid == [(20, 100), (30, 100), (30, 99), (90, 99)]
    # Order 2 took: from the mid to what it paid. Of order 4 the mid is not known.
    assert dotted == [(10, 101), (60, 102), (5, 100), (20, 100), (6, 103), (60, 103)]
    assert any("1 orders without a fill are not drawn" in note for note in notes)


def test_orders_that_took_have_no_solid_line():
    taken = {"order_id": 1, "ts_submit_ns": 0, "avg_px": 5.0, "status": "filled"}
    (dotted,), _ = lives([{**taken, "ts_exchange_ns": 10**6}], [])
    assert dotted == [(0, 5), (1, 5)]
    assert lives([], [])[0] == []


def test_orders_of_many_changes_are_thinned_as_well(monkeypatch):
    monkeypatch.setattr(report_charts, "_PLACES_MAX", 100)
    done = {"status": "filled", "ts_submit_ns": 0, "ts_exchange_ns": 80 * 10**6, "avg_px": 5.0}
    orders = [{"order_id": n, **done} for n in range(50)]
    places = [
        {"order_id": n, "ts_event_ns": k * 10**6, "px": 5.0 + k}
        for n in range(50)
        for k in range(10)
    ]
    (dotted, solid), notes = lives(orders, places)
    assert (len(dotted), len(solid)) == (2 * 10, 2 * 100)
    assert any("Lines of 10 of 50 filled orders" in note for note in notes)


def test_many_lives_are_thinned_and_the_report_says_so(tmp_path):
    page = page_of(run_folder(tmp_path, samples=10, fills=5_000))
    assert "Lines of 2,000 of 5,000 filled orders are drawn" in page


def test_figures_markouts_and_parts_are_there(tmp_path):
    page = page_of(run_folder(tmp_path, samples=10, fills=6))
    (tmp_path / "config.yaml").write_text(
        json.dumps(
            {
                "instrument": {
                    "X.TEST": {
                        "kind": "linear",
                        "contract_size": "1",
                        "base": "X",
                        "quote": "USDT",
                    }
                }
            }
        )
    )
    assert "Markouts" not in page, "without a definition nothing has a value"
    page = page_of(tmp_path)
    for heading in ("Where the profit came from, USDT", "Markouts", "Figures"):
        assert f"<h2>{heading}</h2>" in page
    assert "6 fills have a mid at the fill, 0 at 100 ms, 2 at 1 s, 0 at 10 s" in page
    assert "<th>Slippage against arrival mid</th><td>–</td>" in page


def test_days_have_a_line_each(tmp_path):
    folder = run_folder(tmp_path, samples=2, fills=0)
    equity = pq.read_table(folder / "equity.parquet")
    times = pa.array([START + SECOND, START + 90_000 * SECOND])
    at = equity.schema.get_field_index("ts_ns")
    pq.write_table(equity.set_column(at, "ts_ns", times), folder / "equity.parquet")
    page = page_of(folder)
    assert "<h2>Days (UTC)</h2>" in page
    assert "<th>2024-01-01</th>" in page
    assert "<th>2024-01-02</th>" in page


def test_runs_from_before_these_tables_still_have_reports(tmp_path):
    folder = run_folder(tmp_path, samples=10, fills=3)
    (folder / "placements.parquet").unlink()
    for name, lost in (("fills", ["mid", "mid_100ms", "mid_1s", "mid_10s", "mid_60s"]),):
        path = folder / f"{name}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(lost), path)
    assert "Figures" in page_of(folder)


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
