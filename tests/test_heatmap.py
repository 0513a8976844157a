"""The heatmap: what is drawn is what the consolidated book held, and nothing else is."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import heatmap_style, research
from engine.catalog import Catalog, CatalogError
from engine.cli import main
from engine.config import ConfigError
from engine.heatmap import COLUMNS, ROWS_MAX, HeatmapData, _drawn, _TimeGrid, heatmap, write_heatmap
from engine.heatmap_html import drawing, page
from engine.heatmap_marks import PIVOTS_MAX, TRADES_MAX, Pivots, Trades, _base_qty
from engine.heatmap_png import png
from engine.instruments import load_instrument
from engine.report import write_report
from engine.results import SCHEMAS
from tests.recordings import CASES, needs_recordings

SECOND = 1_000_000_000
START = 1_704_067_200 * SECOND
VENUES = ["BTCUSDT-PERP.TESTNETA", "BTCUSDT-PERP.TESTNETB", "BTCUSDT.TESTNETC"]
WIDTH = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heatmap") / "catalog"
    assert main(["testnet", f"catalog={folder}", "duration_s=30"]) == 0
    return folder


@pytest.fixture(scope="module")
def data(root):
    return heatmap(root, "BTC")


def frames(rows, size=10.0):
    """Samples made by hand: (time, lowest bucket, bids, asks), in the shape of `research.cob`."""
    ts, first, bid, ask = zip(*rows, strict=True)
    floats = dict.fromkeys(("mid", "best_bid", "best_ask", "imbalance"), np.ones(len(ts)))
    window = pl.Array(pl.Float64, WIDTH)
    yield pl.DataFrame(
        {
            "ts_ns": np.array(ts),
            **floats,
            "bucket_size": np.full(len(ts), size),
            "bucket_first": np.array(first),
            "bid": pl.Series([np.full(WIDTH, v) for v in bid], dtype=window),
            "ask": pl.Series([np.full(WIDTH, v) for v in ask], dtype=window),
            "shares": pl.Series([[1.0]] * len(ts), dtype=pl.List(pl.Float64)),
        }
    )


def by_hand(matrix, **more) -> HeatmapData:
    """A heatmap of any content, to be drawn."""
    columns = matrix.shape[1]
    line = np.linspace(100.0, 101.0, columns)
    fields = {
        "name": "X.TEST",
        "members": ("X.TEST",),
        "provenance": "recorded",
        "kind": "total",
        "aggregate": "last",
        "base": "X",
        "quote": "USD",
        "bucket_size": 1.0,
        "bucket_first": 80,
        "ts_edges_ns": START + SECOND * np.arange(columns + 1),
        "matrix": matrix,
        "mid": line,
        "best_bid": line - 0.1,
        "best_ask": line + 0.1,
        "imbalance": np.sin(np.arange(columns)),
        "present": np.ones(columns, np.int64),
        "end_bid": matrix[:, -1],
        "end_ask": np.zeros(len(matrix)),
    }
    return HeatmapData(**(fields | more))


@pytest.mark.parametrize("kind", ["total", "bid", "ask", "imbalance"])
def test_every_cell_is_the_book_at_that_time(kind, root):
    data = heatmap(root, VENUES, kind=kind, columns=100, marks=False)
    rows = pl.concat(research.cob(root, VENUES, every=data.column_ns))
    expected = np.full(data.matrix.shape, np.nan)
    for row in rows.iter_rows(named=True):
        column = (row["ts_ns"] - data.ts_edges_ns[0]) // data.column_ns
        bid, ask = np.array(row["bid"]), np.array(row["ask"])
        total = bid + ask
        values = {
            "bid": bid,
            "ask": ask,
            "total": total,
            "imbalance": np.array(row["bucket_imbalance"]),
        }[kind]
        first = row["bucket_first"] - data.bucket_first
        expected[first : first + WIDTH, column] = values
        assert data.mid[column] == row["mid"]
        assert data.present[column] == sum(share > 0 for share in row["shares"])
    np.testing.assert_allclose(data.matrix, expected, rtol=1e-12, equal_nan=True)
    assert np.isnan(data.matrix).any()
    assert data.columns <= 100
    assert data.provenance == "testnet"
    last = rows.row(-1, named=True)
    np.testing.assert_array_equal(data.end_bid[~np.isnan(data.end_bid)], last["bid"])
    np.testing.assert_array_equal(data.end_ask[~np.isnan(data.end_ask)], last["ask"])


def test_a_mean_is_that_of_the_books_in_its_column(root):
    data = heatmap(root, VENUES[0], aggregate="mean", columns=31, marks=False)
    assert data.column_ns == SECOND
    sums, counts = {}, {}
    for row in pl.concat(research.cob(root, VENUES[0])).iter_rows(named=True):
        column = (row["ts_ns"] - data.ts_edges_ns[0]) // data.column_ns
        for bucket, (bid, ask) in enumerate(zip(row["bid"], row["ask"], strict=True)):
            cell = (row["bucket_first"] + bucket - data.bucket_first, column)
            sums[cell] = sums.get(cell, 0.0) + bid + ask
            counts[cell] = counts.get(cell, 0) + 1
    expected = np.full(data.matrix.shape, np.nan)
    for cell, value in sums.items():
        expected[cell] = value / counts[cell]
    np.testing.assert_allclose(data.matrix, expected, rtol=1e-12, equal_nan=True)


def test_the_unknown_is_not_empty_and_the_empty_not_unknown():
    grid = _TimeGrid(START, SECOND, 5)
    rows = [(START, 100, 2.0, 0.0), (START + SECOND, 103, 0.0, 0.0), (START + 3 * SECOND, 98, 1, 3)]
    data = _drawn(frames(rows), grid, "total", "last", "X")
    assert (data.bucket_first, data.rows, data.columns) == (98, 45, 5)
    column = data.matrix[:, 0]
    assert np.isnan(column[:2]).all()
    assert (column[2:42] == 2.0).all()
    assert np.isnan(column[42:]).all()
    assert (data.matrix[5:45, 1] == 0.0).all()
    assert np.isnan(data.matrix[:, [2, 4]]).all()
    assert (data.matrix[:40, 3] == 4.0).all()
    assert np.isnan(data.mid[[2, 4]]).all()
    leaning = _drawn(frames(rows), grid, "imbalance", "last", "X").matrix
    assert (leaning[2, 0], leaning[5, 1], leaning[0, 3]) == (1.0, 0.0, -0.5)


def test_prices_too_far_apart_are_refused_with_a_way_out():
    grid = _TimeGrid(START, SECOND, 2)
    rows = [(START, 0, 1.0, 1.0), (START + SECOND, ROWS_MAX, 1.0, 1.0)]
    with pytest.raises(CatalogError, match=r"X need 2,040 buckets of 10 .* a larger bucket"):
        _drawn(frames(rows), grid, "total", "last", "X")


def test_without_a_trusted_book_there_is_nothing_to_draw():
    with pytest.raises(CatalogError, match="X: no trusted book from 2024-01-01T00:00:00"):
        _drawn(iter(()), _TimeGrid(START, SECOND, 2), "total", "last", "X")


@given(
    start=st.integers(0, 2**60),
    span=st.integers(1, 400 * 86_400 * SECOND),
    most=st.integers(1, COLUMNS),
)
def test_however_long_the_range_there_are_no_more_columns(start, span, most):
    grid = _TimeGrid.over(start, start + span, most)
    assert 1 <= grid.columns <= most
    assert grid.first_ns % grid.width_ns == 0
    edges = grid.edges_ns()
    assert edges[0] <= start
    if most > 1:
        assert edges[-1] >= start + span
        # No wider than it has to be: one step less, and a column more for the begin, are too many.
        steps = grid.width_ns // 100_000_000
        assert steps == 1 or span > (most - 2) * (grid.width_ns - 100_000_000)


def test_no_volume_is_lost_in_drawing_trades(root, data):
    catalog, trades = Catalog(root), data.trades
    bought = sold = count = 0
    for name in VENUES:
        lot = float(load_instrument(name).lot)
        for rows in catalog.batches(name, "trades"):
            bought += (rows["qty_lots"] * (rows["side"] == 1)).sum() * lot
            sold += (rows["qty_lots"] * (rows["side"] == 2)).sum() * lot
            count += len(rows)
    assert trades.count == count
    assert trades.bought.sum() == pytest.approx(bought, rel=1e-12)
    assert trades.sold.sum() == pytest.approx(sold, rel=1e-12)
    assert trades.qty_all == pytest.approx(bought + sold, rel=1e-12)
    assert sum(trades.by_member.values()) == pytest.approx(bought + sold, rel=1e-12)
    assert 0 < len(trades.qty) <= TRADES_MAX
    assert (np.diff(trades.qty) >= 0).all()
    edges = data.ts_edges_ns
    assert ((trades.ts_ns >= edges[0]) & (trades.ts_ns <= edges[-1])).all()
    assert trades.qty_share <= 1.0


def test_an_inverse_contract_counts_in_base_units():
    lots, px = np.array([30]), np.array([60_000.0])
    inverse = {"kind": "inverse", "lot": "1", "contract_size": "100"}
    linear = {"kind": "linear", "lot": "0.001", "contract_size": "1"}
    assert _base_qty(lots, px, inverse)[0] == pytest.approx(30 * 100 / 60_000)
    assert _base_qty(lots, px, linear)[0] == pytest.approx(0.03)


def test_pivots_are_those_of_the_member_that_traded_most(root, data):
    busiest = max(data.trades.by_member, key=data.trades.by_member.get)
    table = pl.concat(research.pivots(root, busiest, "1s"))
    pivots = data.pivots
    assert (pivots.instrument, pivots.interval, pivots.count) == (busiest, "1s", len(table))
    assert pivots.level_min == 1
    highest = table.group_by("ts_pivot_ns", "is_high").agg(pl.col("level").max())
    expected = sorted(highest.select("ts_pivot_ns", "is_high", "level").rows())
    drawn = zip(pivots.ts_pivot_ns, pivots.is_high, pivots.level, strict=True)
    assert sorted(drawn) == expected
    assert len(expected) > 5


def test_pivots_are_thinned_by_level_and_say_so(root, monkeypatch):
    count = 4 * PIVOTS_MAX
    at = START + np.arange(count) * 50_000_000
    levels = np.where(np.arange(count) % 8 == 0, 2, 1)
    table = pl.DataFrame(
        {
            "level": np.append(levels, 3),
            "is_high": np.append(np.arange(count) % 2 == 0, True),
            "px": np.full(count + 1, 50_000.0),
            "ts_pivot_ns": np.append(at, at[0]),
            "ts_confirmed_ns": np.append(at, at[0]) + SECOND,
        }
    )
    monkeypatch.setattr(research, "pivots", lambda *_a, **_k: iter([table]))
    pivots = heatmap(root, VENUES[0], interval="1s").pivots
    assert (pivots.level_min, pivots.count, pivots.interval) == (2, count + 1, "1s")
    assert len(pivots.px) == count // 8
    # One bar's pivot of two levels is drawn once, at its higher level.
    assert pivots.level.tolist() == [3] + [2] * (count // 8 - 1)
    assert (pivots.ts_confirmed_ns > pivots.ts_pivot_ns).all()


@pytest.mark.parametrize(
    "sizes",
    [
        np.array([[1.0, 2.0, 3.0]]),
        np.array([[0.0, 0.0]]),
        np.full((3, 3), np.nan),
        np.full((3, 3), 7.0),
        np.array([[1e-9, 1e9, 5.0, np.nan]]),
        np.random.default_rng(7).lognormal(size=(40, 300)),
    ],
)
def test_colours_rise_with_size(sizes):
    scale = heatmap_style.scale_of(by_hand(sizes))
    assert (np.diff(scale.values) > 0).all()
    assert (np.diff(scale.places) > 0).all()
    assert (scale.places[0], scale.places[-1]) == (0.0, 1.0)
    assert all(scale.values[0] <= tick <= scale.values[-1] for tick in scale.ticks)
    assert scale.place([0.0, 1e12]).tolist() == [0.0, 1.0]
    assert np.isnan(scale.place([np.nan])[0])
    lightness = [sum(int(scale.color(p)[at : at + 2], 16) for at in (1, 3, 5)) for p in (0, 0.5, 1)]
    assert lightness == sorted(lightness)


def pixels(content):
    from matplotlib.image import imread

    return (imread(io.BytesIO(content), format="png")[..., :3] * 255).round().astype(int)


def test_a_picture_says_testnet_and_is_the_same_each_time(data):
    small = {"width_px": 640, "height_px": 360}
    assert png(data, **small) == png(data, **small)
    picture = pixels(png(data))
    assert picture.shape == (900, 1600, 3)
    badge = np.array([0xF2, 0xB6, 0x32])
    assert ((picture == badge).all(axis=2)).sum() > 10_000
    recorded = HeatmapData(**{**vars(data), "provenance": "recorded"})
    assert not ((pixels(png(recorded, **small)) == badge).all(axis=2)).any()


def test_what_is_dark_is_empty_and_what_is_grey_is_not_known():
    matrix = np.full((40, 50), np.nan)
    matrix[:20, :] = 0.0
    matrix[0, 0] = 5.0
    picture = pixels(png(by_hand(matrix, mid=np.full(50, np.nan))))
    height, width = picture.shape[:2]
    assert picture[int(height * 0.2), width // 2].tolist() == [0x1B, 0x20, 0x29]
    assert picture[int(height * 0.6), width // 2].sum() < 40


@pytest.mark.parametrize("columns", [1, 2, 7])
@pytest.mark.parametrize("draw", [png, page])
def test_the_smallest_heatmaps_are_drawn(draw, columns):
    matrix = np.full((40, columns), np.nan)
    assert draw(by_hand(matrix, imbalance=np.full(columns, np.nan), mid=np.full(columns, np.nan)))
    assert draw(by_hand(np.zeros((40, columns)), kind="imbalance"))


def unpacked(array):
    values = np.frombuffer(base64.b64decode(array["bdata"]), f"<{array['dtype']}")
    shape = [int(size) for size in array["shape"].split(",")] if "shape" in array else [-1]
    return values.reshape(shape)


def test_a_page_holds_the_sizes_and_needs_no_network(data):
    text = re.sub(r"<script>.*?</script>", "", page(data), count=1, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", text)
    assert text.count("not a market") == 2
    figure = json.loads(re.search(r"const figure = (\{.*?\});\n", text)[1])
    traces = {trace.get("name"): trace for trace in figure["data"]}
    heat = traces["total"]
    np.testing.assert_array_equal(unpacked(heat["z"]), data.matrix.astype(np.float32))
    assert heat["y0"] == pytest.approx((data.px_edges[0] + data.px_edges[1]) / 2)
    assert heat["x0"] * 1e6 == pytest.approx((data.ts_edges_ns[0] + data.ts_edges_ns[1]) / 2)
    bought, sold = (unpacked(traces[name]["customdata"]) for name in ("bought", "sold"))
    assert len(bought) + len(sold) == len(data.trades.qty)
    np.testing.assert_array_equal(unpacked(traces["mid"]["y"]), data.mid)


def test_a_large_page_is_of_about_eight_megabytes():
    matrix = np.random.default_rng(7).lognormal(size=(400, 1_600))
    assert len(page(by_hand(matrix)).encode()) < 8_400_000


def test_names_are_no_markup():
    name = "</script><b>X</b>"
    text = page(by_hand(np.ones((40, 3)), name=name, members=(name, "Y"), base="<i>"))
    assert name not in text
    assert "<b>X</b>" not in text
    assert "<i>" not in re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)


def test_own_fills_lie_over_it(data):
    fills = pa.table({"ts_event_ns": [START], "px": [50_000.0], "qty": [0.1], "side": ["buy"]})
    figure = drawing(data, fills)
    (mark,) = [trace for trace in figure.figure["data"] if trace.get("name") == "own buy"]
    assert unpacked(mark["y"]).tolist() == [50_000.0]
    assert figure.notes[-1] == "Diamonds: own fills."
    many = pa.concat_tables([fills] * 5_000)
    assert drawing(data, many).notes[-1] == "Diamonds: own fills, 2,000 of 5,000, evenly spread."


def test_the_command_draws_both_kinds_of_file(root, tmp_path, capsys):
    for name in ("a.png", "b.HTML"):
        path = tmp_path / name
        assert main(["heatmap", "group=BTC", f"catalog={root}", f"path={path}"]) == 0
        assert path.stat().st_size > 50_000
    out = capsys.readouterr().out
    assert out.count("TESTNET DATA") == 2
    names = f"instrument=[{VENUES[0]},{VENUES[2]}]"
    keys = ("kind=bid", "bucket=5", "start=2024-01-01T00:00:10", "interval=5m", "output=json")
    assert main(["heatmap", names, f"catalog={root}", f"path={tmp_path / 'c.png'}", *keys]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["members"] == [VENUES[0], VENUES[2]]
    assert (report["kind"], report["bucket"], report["provenance"]) == ("bid", 5.0, "testnet")
    assert (report["start_ns"], report["interval"]) == (START + 10 * SECOND, "5m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.HTML", "c.png"]


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        ("group=BTC", 2, "path: a value is needed"),
        ("path=a.png", 2, "instrument, group: expected one of them, found neither"),
        ("path=a.png group=BTC instrument=X.Y", 2, "expected one of them, found both"),
        ("path=a.gif group=BTC", 2, "path: expected a name that ends in .png or .html, found"),
        ("path=no/a.png group=BTC", 2, "path: there is no folder no"),
        ("path=a.png group=BTC kind=totl", 2, "kind: expected one of total, bid, ask, imbalance"),
        ("path=a.png group=BTC kind=totl", 2, "did you mean 'total'?"),
        ("path=a.png group=BTC aggregate=max", 2, "aggregate: expected one of last, mean"),
        ("path=a.png group=BTC interval=2m", 2, "interval: expected one of 1s, 1m"),
        ("path=a.png group=BTC bucket=0", 2, "bucket: expected a size above 0 such as 10 or 0.5"),
        ("path=a.png group=BTC bucket=nan", 2, "bucket: expected a size above 0"),
        ("path=a.png group=BTC bucket=wide", 2, "bucket: expected a size above 0"),
        ("path=a.png group=BTC start=soon", 2, "start: expected a time such as"),
        ("path=a.png group=BTC start=2024-01-02 end=2024-01-01", 2, "end: expected a time after"),
        ("path=a.png group=BTC start=2030-01-01", 1, "in the range asked for; it has 2024-01-01"),
        ("path=a.png group=BTX", 1, "no depth of BTX; did you mean 'BTC'?"),
        ("path=a.png instrument=BTCUSDT.BINANCE", 1, "no depth of BTCUSDT.BINANCE"),
        ("path=a.png instrument=[BTCUSDT.BINANCE,X.Y]", 1, "no data for BTCUSDT.BINANCE"),
        ("path=a.png instrument=[]", 2, "expected one of them, found neither"),
        ("path=a.png group=BTC output=xml", 2, "output: expected text or json"),
        ("path=a.png group=BTC knd=bid", 2, "did you mean 'kind'?"),
        ("path=a.png group=BTC bucket=0.001", 1, "choose a larger bucket or a shorter range"),
    ],
)
def test_a_slip_is_answered_in_a_sentence(keys, code, message, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["heatmap", f"catalog={root}", *keys.split()]) == code
    streams = capsys.readouterr()
    assert message in streams.err
    assert "Traceback" not in streams.err
    assert streams.out == ""
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png: cannot be written: Is a directory"):
        write_heatmap(data, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(ConfigError, match="expected a name that ends"):
        write_heatmap(data, tmp_path / "a")


def test_a_catalog_without_depth_says_so(root, tmp_path):
    shutil.copytree(root / "TESTNETA", tmp_path / "TESTNETA")
    (manifest,) = tmp_path.glob("*/*/manifest.json")
    content = json.loads(manifest.read_text())
    content["files"] = [entry for entry in content["files"] if entry["kind"] != "depth"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(CatalogError, match="no depth for BTCUSDT-PERP.TESTNETA"):
        heatmap(tmp_path, VENUES[0])


def test_marks_are_left_out_where_there_are_no_trades(root, tmp_path):
    shutil.copytree(root / "TESTNETA", tmp_path / "TESTNETA")
    (manifest,) = tmp_path.glob("*/*/manifest.json")
    content = json.loads(manifest.read_text())
    content["files"] = [entry for entry in content["files"] if entry["kind"] == "depth"]
    manifest.write_text(json.dumps(content))
    data = heatmap(tmp_path, VENUES[0])
    assert (data.trades.count, data.pivots.count) == (0, 0)
    assert isinstance(data.trades, Trades)
    assert isinstance(data.pivots, Pivots)
    assert png(data)
    assert page(data)


def figures_of(run_dir):
    text = (run_dir / "report.html").read_text()
    text = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    figures = json.loads(re.search(r"const figures = (\{.*?\});\n", text)[1])
    return text, [figure for figure in figures.values() if figure["data"][0]["type"] == "heatmap"]


def test_a_report_has_the_heatmap_with_own_fills(root, tmp_path, capsys):
    catalog, run_dir = tmp_path / "catalog", tmp_path / "run"
    shutil.copytree(root, catalog)
    names = f"instrument=[{VENUES[0]},{VENUES[2]}]"
    arguments = ["backtest", f"catalog={catalog}", names, f"run.dir={run_dir}"]
    assert main(arguments) == 0
    text, figures = figures_of(run_dir)
    assert len(figures) == 2
    assert "Without a heatmap" not in text
    fills = json.loads((run_dir / "summary.json").read_text())["fills"]
    own = [
        len(unpacked(trace["x"]))
        for figure in figures
        for trace in figure["data"]
        if str(trace.get("name")).startswith("own")
    ]
    assert sum(own) == fills > 0
    assert (run_dir / "report.html").stat().st_size < 7_000_000
    # The report is made again from the folder alone, to the byte.
    before = (run_dir / "report.html").read_bytes()
    shutil.rmtree(catalog)
    write_report(run_dir)
    assert (run_dir / "report.html").read_bytes() == before
    # Without what was kept the reason stands in its place.
    for path in run_dir.glob("heatmap-*.npz"):
        path.write_bytes(b"PK torn")
    write_report(run_dir)
    text, figures = figures_of(run_dir)
    assert figures == []
    assert f"catalog {catalog} does not hold its data here and now" in text
    capsys.readouterr()


def test_a_report_draws_no_other_data_than_the_runs(root, tmp_path, capsys):
    catalog, run_dir = tmp_path / "catalog", tmp_path / "run"
    shutil.copytree(root, catalog)
    arguments = [f"catalog={catalog}", f"instrument={VENUES[0]}", f"run.dir={run_dir}"]
    assert main(["backtest", *arguments]) == 0
    (kept,) = run_dir.glob("heatmap-*.npz")
    kept.unlink()
    assert main(["testnet", f"catalog={catalog}", "duration_s=5", "replace=true"]) == 0
    write_report(run_dir)
    text, figures = figures_of(run_dir)
    assert figures == []
    assert "holds other data now than in the run" in text
    capsys.readouterr()


def test_a_run_without_a_book_still_reports(tmp_path):
    from tests.test_report import run_folder

    folder = run_folder(tmp_path / "run")
    write_report(folder)
    text, figures = figures_of(folder)
    assert figures == []
    assert "X.TEST: no book was shown in this run." in text
    assert SCHEMAS["fills"].names[0] == "ts_event_ns"


@needs_recordings
def test_recorded_books_of_three_markets_are_one_picture(tmp_path):
    from engine.importers import run_import

    for case in (case for case in CASES if case.id.startswith("BTC")):
        run_import("binance", [str(path) for path in case.paths()], case.id, tmp_path)
    data = heatmap(tmp_path, "BTC", end="2024-08-09T00:00:00")
    assert (data.provenance, data.base, data.quote) == ("recorded", "BTC", "USD/USDT")
    assert len(data.members) == 3
    # The walls seen in the recordings' own books lie where they did: 500 BTC asked at 61,800.
    row = round((61_800 - data.px_edges[0]) / 10)
    assert np.nanmax(data.matrix[row]) > 500
    assert data.trades.by_member["BTCUSDT-PERP.BINANCE"] == max(data.trades.by_member.values())
    assert heatmap_style.provenance_line(data.provenance) == ""
    assert (data.present == 3).mean() > 0.98
    assert len(png(data)) > 100_000
