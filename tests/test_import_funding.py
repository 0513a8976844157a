"""Funding rates and mark prices into the catalog: real files, and what is told of bad ones."""

from __future__ import annotations

import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import engine
from engine.catalog import Catalog
from engine.config import ConfigError
from engine.importers import ImportFailed, run_import
from tests.recordings import CASES, ROOT, needs_recordings

PERP = "BTCUSDT-PERP.BINANCE"
T0 = 1_700_006_400_000
HOURS_8 = 8 * 3_600_000
MS = 1_000_000
FIRST_LAST = 3
MARK, FUNDING = 6, 7
UNIT = Decimal("0.00000001")

RATES = "calc_time,funding_interval_hours,last_funding_rate\n"
REST = "symbol,fundingTime,fundingRate,markPrice\n"
CANDLES = "open_time,open,high,low,close,volume,close_time\n"


def made(tmp_path, text, name="rates.csv", **options):
    """Imports a file of this text; the report, and the rows of each kind."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    share = float(options.pop("share", 0.01))
    root = str(tmp_path / "catalog")
    report = run_import("funding", [str(path)], PERP, root, options=options, max_broken_share=share)
    return report, {kind: rows_of(root, kind) for kind in ("funding", "marks")}


def rows_of(root, kind, **span):
    frames = list(Catalog(root).rate_batches(PERP, kind, **span))
    return [row for frame in frames for row in frame.rows()]


def rate_lines(*rates, step=HOURS_8):
    return RATES + "".join(f"{T0 + at * step},8,{rate}\n" for at, rate in enumerate(rates))


def candle_lines(*candles):
    return CANDLES + "".join(
        f"{T0 + at * HOURS_8},{o},{h},{l},{c},0,{T0 + (at + 1) * HOURS_8 - 1}\n"
        for at, (o, h, l, c) in enumerate(candles)  # noqa: E741 - as everybody calls them.
    )


# Real files.


@needs_recordings
@pytest.mark.parametrize("coin", ["btc", "eth"])
def test_the_rates_and_marks_of_2023_are_those_of_the_files(coin, tmp_path):
    name = f"{coin.upper()}USDT-PERP.BINANCE"
    paths = {
        kind: Path(str(ROOT)) / "bars" / f"binance_usdm_{coin}usdt_8h_{kind}.parquet"
        for kind in ("funding_rate", "mark")
    }
    root = str(tmp_path)
    for path in paths.values():
        report = run_import("funding", [str(path)], name, root)
        assert (report.lines, report.broken) == (1_095, 0)
    source = pl.read_parquet(paths["funding_rate"])
    found = pl.concat(Catalog(root).rate_batches(name, "funding"))
    assert found["ts_event_ns"].to_list() == [at * MS for at in source["ts_ms"]]
    # The shortest text of a float is what the venue wrote.
    exact = [int(Decimal(repr(rate)) / UNIT) for rate in source["open"]]
    assert found["rate_e8"].to_list() == exact
    assert found["mark_e8"].null_count() == 1_095
    candles = pl.read_parquet(paths["mark"])
    marks = pl.concat(Catalog(root).rate_batches(name, "marks"))
    opens = marks.filter(pl.col("ts_event_ns").is_in((candles["ts_ms"] * MS).implode()))
    assert opens["px_e8"].to_list() == [
        int(Decimal(repr(px)).quantize(UNIT) / UNIT) for px in candles["open"]
    ]
    assert marks["ts_event_ns"].is_sorted()
    assert int(marks["px_e8"].max()) == round(candles["high"].max() * 1e8)
    assert int(marks["px_e8"].min()) == round(candles["low"].min() * 1e8)


# Shapes.


def test_rates_as_binance_publishes_them(tmp_path):
    report, rows = made(tmp_path, rate_lines("0.0001", "-0.00012345", "0"))
    assert report.rows == {"funding": 3}
    at = T0 * MS
    step = HOURS_8 * MS
    assert rows["funding"] == [
        (at, at, 10_000, None),
        (at + step, at + step, -12_345, None),
        (at + 2 * step, at + 2 * step, 0, None),
    ]


def test_answers_of_the_venue_carry_the_mark_price(tmp_path):
    text = REST + f"BTCUSDT,{T0},0.0001,34287.54619963\nBTCUSDT,{T0 + HOURS_8},0.0002,\n"
    _, rows = made(tmp_path, text)
    assert [row[2:] for row in rows["funding"]] == [(10_000, 3_428_754_619_963), (20_000, None)]


def test_candles_of_the_mark_price_are_told_when_they_are_known(tmp_path):
    report, rows = made(tmp_path, candle_lines((100, 110, 95, 105), (105, 105, 101, 101)))
    assert report.rows == {"marks": 6}
    start, end = T0 * MS, (T0 + HOURS_8) * MS - MS
    second = (T0 + HOURS_8) * MS
    assert [(ts, px // 10**8) for ts, _, px in rows["marks"]] == [
        (start, 100),
        (end, 110),
        (end, 95),
        (end, 105),
        (second, 105),
        (second + HOURS_8 * MS - MS, 101),
    ]
    assert report.broken == 0


def test_candles_of_zeros_are_rates(tmp_path):
    _, rows = made(tmp_path, candle_lines(("0.0001", 0, 0, 0), ("-0.0003", 0, 0, 0)))
    assert [row[2] for row in rows["funding"]] == [10_000, -30_000]
    assert not rows["marks"]


def test_mark_prices_by_themselves_and_names_of_ones_own(tmp_path):
    text = "when,what\n" + "".join(f"{T0 + at * 1_000},{100 + at}.5\n" for at in range(3))
    _, rows = made(tmp_path, text, ts="when", mark="what")
    assert [px for _, _, px in rows["marks"]] == [10_050_000_000, 10_150_000_000, 10_250_000_000]


@pytest.mark.parametrize("packed", ["gz", "zip"])
def test_packed_files_are_read_as_they_are(packed, tmp_path):
    text = rate_lines("0.0001", "0.0002").encode()
    if packed == "gz":
        content = gzip.compress(text)
    else:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("rates.csv", text)
        content = buffer.getvalue()
    report, _ = made(tmp_path, content, f"BTCUSDT-fundingRate-2023-11.{packed}")
    assert report.rows == {"funding": 2}


# The catalog.


def test_rates_come_as_events_within_a_range(tmp_path):
    made(tmp_path, rate_lines("0.0001", "0.0002", "0.0003"))
    made(tmp_path, candle_lines((100, 110, 95, 105), (105, 107, 101, 102)), "marks.csv")
    catalog = Catalog(tmp_path / "catalog")
    start = (T0 + HOURS_8) * MS
    rows = np.concatenate(list(catalog.batches(PERP, "funding", start_ns=start)))
    assert rows.dtype == engine.EVENT_DTYPE
    assert rows["qty_lots"].tolist() == [20_000, 30_000]
    assert set(rows["kind"].tolist()) == {FUNDING}
    assert set(rows["flags"].tolist()) == {FIRST_LAST}
    marks = np.concatenate(
        list(catalog.batches(PERP, "marks", start_ns=start + 1, end_ns=start + 2, batch_rows=1))
    )
    # The mark that holds when the range begins.
    assert marks["px_ticks"].tolist() == [105 * 10**8]
    assert set(marks["kind"].tolist()) == {MARK}
    assert (np.diff(rows["ts_recv_ns"]) > 0).all()


def test_a_file_of_the_same_rows_adds_nothing_and_another_is_refused(tmp_path):
    made(tmp_path, rate_lines("0.0001", "0.0002"), "a.csv")
    report, rows = made(tmp_path, rate_lines("0.0001", "0.0002", "0.0003"), "b.csv")
    assert report.rows == {"funding": 1}
    assert len(rows["funding"]) == 3
    with pytest.raises(ImportFailed, match="differs from the catalog's"):
        made(tmp_path, rate_lines("0.0001", "0.0005"), "c.csv")
    assert len(rows_of(str(tmp_path / "catalog"), "funding")) == 3


@needs_recordings
def test_rates_of_the_same_time_do_not_stand_in_the_way_of_recordings(recorded_catalog, tmp_path):
    (case,) = [case for case in CASES if case.id == PERP]
    (first, *_, last) = recorded_catalog.manifest(PERP).event_files
    middle = (first.ts_recv_first_ns + last.ts_recv_last_ns) // 2
    made(tmp_path, RATES + f"{middle // MS},8,0.0001\n")
    root = str(tmp_path / "catalog")
    report = run_import("binance", [str(path) for path in case.paths()], PERP, root)
    assert report.changed
    assert len(rows_of(root, "funding")) == 1


# Bad input.

GOOD = [f"{T0 + at * HOURS_8},8,0.0001" for at in range(200)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"{T0 + HOURS_8},8,1.5", "last_funding_rate: expected a share between -1 and 1"),
        (f"{T0 + HOURS_8},8,x", "last_funding_rate: expected a share between -1 and 1, found x"),
        (f"{T0 + HOURS_8},8,", "last_funding_rate: expected a share between -1 and 1"),
        (f"{T0 + HOURS_8},8,1e400", "last_funding_rate: expected a share between -1 and 1"),
        ("yesterday,8,0.0001", "calc_time: expected a time (ms)"),
        ("12,8,0.0001", "calc_time: expected a time from 2009 to 2100"),
        (f"{T0 + HOURS_8},8", "expected 3"),
        (f"{T0 - HOURS_8},8,0.0001", "time goes back to"),
        (f"{T0},8,0.0003", "another row of"),
        (f"{T0 + HOURS_8},8,\0", "found \0"),
        (f"{T0 + HOURS_8},8,\xff", "last_funding_rate: expected a share between -1 and 1"),
    ],
)
def test_a_bad_row_costs_itself(line, told, tmp_path):
    lines = [RATES.strip(), GOOD[0], line, *GOOD[2:]]
    text = "\n".join(lines).encode("latin-1") + b"\n"
    report, rows = made(tmp_path, text)
    assert report.broken == 1
    assert report.broken_first[0].line == 3
    assert told in report.broken_first[0].reason
    assert len(rows["funding"]) == 199
    with pytest.raises(ImportFailed, match="1 of 200 rows are broken"):
        made(tmp_path / "strict", text, share="0.001")


@pytest.mark.parametrize(
    ("candle", "told"),
    [
        ((0, 110, 95, 105), "open: expected a price above 0"),
        ((100, 99, 95, 105), "high: expected at least open and close"),
        ((100, 110, 101, 105), "low: expected at most open and close"),
        ((100, "", 95, 105), "high: expected a price above 0"),
    ],
)
def test_a_bad_candle_costs_itself(candle, told, tmp_path):
    good = (100, 110, 95, 105)
    report, _ = made(tmp_path, candle_lines(good, candle, *[good] * 150))
    assert report.broken == 1
    assert told in report.broken_first[0].reason


def test_a_candle_off_its_interval_is_broken(tmp_path):
    text = candle_lines(*[(100, 110, 95, 105)] * 150)
    text += f"{T0 + 150 * HOURS_8 + 60_000},100,110,95,105,0,0\n"
    report, _ = made(tmp_path, text)
    assert "a start at a multiple of the interval" in report.broken_first[0].reason


def test_numbers_finer_than_the_unit_go_to_the_nearest_and_are_counted(tmp_path):
    report, rows = made(tmp_path, rate_lines("0.000000126", "0.0001"))
    assert [row[2] for row in rows["funding"]] == [13, 10_000]
    assert report.counts["rounded"] == 1


def test_repeated_rows_are_left_out_and_counted(tmp_path):
    lines = [RATES.strip(), GOOD[0], GOOD[0], *GOOD[1:]]
    report, rows = made(tmp_path, "\n".join(lines) + "\n")
    assert (report.broken, report.counts["duplicates"], len(rows["funding"])) == (0, 1, 200)


def test_a_gap_is_told(tmp_path):
    lines = [RATES.strip(), *GOOD[:50], *GOOD[53:]]
    report, _ = made(tmp_path, "\n".join(lines) + "\n")
    assert report.counts["gaps"] == 1
    assert "Fundings are 8 hours apart; 1 gaps are longer." in report.notes


def test_a_change_of_the_interval_is_no_gap(tmp_path):
    hours = [*range(0, 240, 8), *range(240, 360, 4), *range(360, 500, 8)]
    lines = [RATES.strip(), *(f"{1_700_006_400_000 + at * 3_600_000},8,0.0001" for at in hours)]
    report, _ = made(tmp_path, "\n".join(lines) + "\n")
    assert report.counts.get("gaps", 0) == 0
    assert "Fundings are 4 and 8 hours apart, without a gap." in report.notes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "the file is empty"),
        (RATES.encode(), "nothing was imported"),
        (b"a,b\n1,2\n", "expected a column of times, found a, b"),
        (b"ts,volume\n1700000000000,2\n", "expected a column of rates or open, high, low"),
        (b"\x00\x01\x02" * 50, "expected CSV or Parquet, found binary data"),
        (b"ts,rate,rate\n1,2,3\n", "found rate twice"),
        (b"PAR1" + b"\x00" * 40, "not a whole Parquet file"),
        (gzip.compress(rate_lines("0.0001").encode())[:-12], "1 of 2 rows are broken"),
    ],
)
def test_a_file_of_no_use_is_refused_whole(text, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        made(tmp_path, text)
    assert not (tmp_path / "catalog").exists() or not Catalog(tmp_path / "catalog").instruments()


def test_another_symbol_is_refused_by_name_and_by_row(tmp_path):
    with pytest.raises(ImportFailed, match="by its name it is of ETHUSDT"):
        made(tmp_path, rate_lines("0.0001"), "ETHUSDT-fundingRate-2023-01.csv")
    with pytest.raises(ImportFailed, match="symbol: expected BTCUSDT, found ETHUSDT"):
        made(tmp_path, REST + f"ETHUSDT,{T0},0.0001,1800\n")


def test_what_cannot_be_asked_for(tmp_path):
    for options, told in (
        ({"kind": "rate"}, "options.kind: expected one of rates, marks, found 'rate'"),
        ({"interval": "7h"}, "options.interval: expected one of"),
        ({"rates": "x"}, "options.rates: expected one of .* did you mean 'rate'"),
        ({"rate": "x"}, "expected a column 'x'"),
    ):
        with pytest.raises(ValueError, match=told):
            made(tmp_path, rate_lines("0.0001"), **options)
    with pytest.raises(ImportFailed, match="spot has neither funding nor a mark price"):
        run_import("funding", ["x.csv"], "BTCUSDT.BINANCE", str(tmp_path / "catalog"))
    assert issubclass(ConfigError, ValueError)
