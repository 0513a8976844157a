"""Candles: the catalog's `bars`, the importer on real files, and what is told of bad ones."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import catalog_writer
from engine.backtest import BacktestError
from engine.catalog import BAR_INTERVALS, Catalog, CatalogError, SourceEntry, catalog_rows
from engine.catalog_tables import bars_schema
from engine.cli import main
from engine.cli.backtest import chosen_instrument
from engine.importers import ImportReport, run_import
from engine.importers.columns import steps, times_ns, whole_steps
from engine.instruments import load_instrument
from tests.recordings import ROOT, needs_recordings
from tests.test_catalog import groups

BTC = "BTCUSD.BITFINEX"
PERP = "BTCUSDT-PERP.BINANCE"
MINUTE_NS = 60_000_000_000
T0_NS = 1_500_000_000 * 1_000_000_000 // MINUTE_NS * MINUTE_NS
T0 = T0_NS // 1_000_000
TICK = Decimal("0.00000001")


def bars(starts: list[int], *, interval: str = "1m", **columns: list[Any]) -> pa.Table:
    """Candles at these multiples of the interval behind T0; prices of their own."""
    count = len(starts)
    step_ns = BAR_INTERVALS[interval]
    rows: dict[str, list[Any]] = {
        "ts_start_ns": [T0_NS // step_ns * step_ns + at * step_ns for at in starts],
        "open_ticks": [100 + at for at in starts],
        "high_ticks": [110 + at for at in starts],
        "low_ticks": [90 + at for at in starts],
        "close_ticks": [101 + at for at in starts],
        "volume_lots": [7] * count,
        "buy_volume_lots": [None] * count,
        "trades": [3] * count,
        "value_e8": [None] * count,
        **columns,
    }
    return pa.table(rows, schema=bars_schema())


def write(root: Path, name: str = "made", **tables: pa.Table) -> Any:
    catalog = Catalog(root)
    instrument = load_instrument(BTC)
    source = [SourceEntry(name, "0" * 64)]
    with catalog.writer(instrument, provenance="recorded", source=source) as writer:
        for interval, table in tables.items():
            writer.append_bars(interval.strip("_"), table)
        return writer.commit()


# The catalog.


def test_candles_come_back_and_missing_ones_stay_missing(tmp_path: Path) -> None:
    table = bars([0, 1, 5, 6, 9])
    manifest = write(tmp_path, _1m=table)
    (entry,) = manifest.files
    assert (entry.interval, entry.rows, entry.missing, entry.missing_before) == ("1m", 5, 5, 0)
    assert entry.path.startswith("bars/1m/2017/")
    found = Catalog(tmp_path).bars(BTC, "1m")
    assert isinstance(found, pl.DataFrame)
    assert found.to_arrow().to_pylist() == table.to_pylist()
    assert found["buy_volume_lots"].null_count() == 5
    start, end = T0_NS + MINUTE_NS, T0_NS + 6 * MINUTE_NS
    part = Catalog(tmp_path).bars(BTC, "1m", start_ns=start, end_ns=end)
    assert part["open_ticks"].to_list() == [101, 105]
    assert Catalog(tmp_path).bars(BTC, "1m", start_ns=end * 2).schema == found.schema


def test_years_and_months_are_files_and_batches_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_writer, "GROUP_ROWS", 100)
    days = bars(list(range(0, 700, 2)), interval="1d")
    seconds = bars(list(range(0, 3_000_000, 9_000)), interval="1s")
    manifest = write(tmp_path, _1d=days, _1s=seconds)
    assert [entry.path.split("/")[1:3] for entry in manifest.files] == [
        ["1s", "2017-07"],
        ["1s", "2017-08"],
        ["1d", "2017"],
        ["1d", "2018"],
        ["1d", "2019"],
    ]
    assert manifest.intervals == ["1s", "1d"]
    assert [entry.missing_before for entry in manifest.of_interval("1d")] == [0, 1, 1]
    batches = list(Catalog(tmp_path).bar_batches(BTC, "1d", batch_rows=30))
    assert max(map(len, batches)) == 30
    assert pl.concat(batches).to_arrow().to_pylist() == days.to_pylist()
    rows = {row["interval"]: row for row in catalog_rows(tmp_path)}
    assert (rows["1d"]["rows"], rows["1d"]["missing"]) == (350, 349)
    assert rows["1d"]["end_ns"] == days["ts_start_ns"][-1].as_py()


def test_candles_that_no_reader_could_rely_on_are_refused(tmp_path: Path) -> None:
    for table, message in (
        (bars([1, 0]), "bars: expected ts_start_ns above "),
        (bars([1, 1]), "bars: expected ts_start_ns above "),
        (bars([0], ts_start_ns=[T0_NS + 1]), "expected ts_start_ns at a multiple of 1m, found"),
        (
            bars([0]).drop_columns(["trades"]),
            r"expected the columns ts_start_ns \(int64\), ",
        ),
        (
            bars([0, 1], low_ticks=[1, None]),
            "expected low_ticks in every row, found 1 rows without",
        ),
    ):
        with pytest.raises(CatalogError, match=message):
            write(tmp_path, _1m=table)
    with pytest.raises(CatalogError, match="interval: expected one of 1s, 1m, .* found '7m'"):
        write(tmp_path, _7m=bars([0]))
    assert list(tmp_path.iterdir()) == []


def test_candles_are_written_once(tmp_path: Path) -> None:
    write(tmp_path, _1m=bars([0, 1, 2]))
    for starts in ([2], [2, 3], [1], [0, 9]):
        with pytest.raises(CatalogError, match="recordings that overlap are imported together"):
            write(tmp_path, f"again {starts}", _1m=bars(starts))
    manifest = write(tmp_path, "later", _1m=bars([5]), _5m=bars([0], interval="5m"))
    assert [entry.missing_before for entry in manifest.of_interval("1m")] == [0, 2]
    assert Catalog(tmp_path).bars(BTC, "1m")["open_ticks"].to_list() == [100, 101, 102, 105]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (entry,) = write(tmp_path, _1m=bars(list(range(50)))).files
    path = Catalog(tmp_path).folder(BTC) / entry.path
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=f"expected sha256 {entry.sha256}, found"):
        Catalog(tmp_path).bars(BTC, "1m")


def test_an_interval_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, _1m=bars([0]))
    message = r"interval: expected one that the catalog has of BTCUSD.BITFINEX \(1m\), found '5m'"
    with pytest.raises(CatalogError, match=message):
        Catalog(tmp_path).bars(BTC, "5m")
    with pytest.raises(CatalogError, match="batch_rows: expected at least 1, found 0"):
        list(Catalog(tmp_path).bar_batches(BTC, "1m", batch_rows=0))


def test_the_data_hash_knows_candles(tmp_path: Path) -> None:
    write(tmp_path, _1m=bars([0]))
    catalog = Catalog(tmp_path)
    first = catalog.data_sha256([BTC], ["bars"])
    assert first != catalog.data_sha256([BTC], ["depth", "trades"])
    write(tmp_path, "more", _1m=bars([1]))
    assert catalog.data_sha256([BTC], ["bars"]) != first


def test_commands_get_on_with_candles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "cat"
    write(root, _1m=bars([0, 2]))
    assert main(["catalog", f"catalog={root}"]) == 0
    shown = capsys.readouterr().out
    assert "bars 1m" in shown
    assert "missing" in shown
    assert main(["catalog", f"catalog={root}", "output=json"]) == 0
    assert json.loads(capsys.readouterr().out)["interval"] == "1m"
    assert main(["verify", f"catalog={root}"]) == 0
    assert "nothing to compare" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(BacktestError, match="has no order book to trade on: expected depth"):
        chosen_instrument(str(root))
    command = ["backtest", f"catalog={root}", f"instrument={BTC}", "strategy=market_maker"]
    assert main([*command, f"run.dir={tmp_path}"]) != 0
    error = " ".join(capsys.readouterr().err.split())
    assert f"expected depth or trades of {BTC}, found only candles of 1m" in error


def test_a_run_picks_what_has_depth(tmp_path: Path) -> None:
    write(tmp_path, _1m=bars([0]))
    perp = load_instrument("BTCUSDT-PERP.TESTNETA")
    source = [SourceEntry("made", "1" * 64)]
    with Catalog(tmp_path).writer(perp, provenance="testnet", source=source) as writer:
        writer.append("depth", groups([2, 2]))
        writer.commit()
    assert list(chosen_instrument(str(tmp_path))) == [perp.id]


# Exact numbers.


@given(st.integers(-(10**17), 10**17), st.integers(0, 12), st.sampled_from(["0.1", "0.25", "3"]))
def test_a_decimal_is_exact_as_text_and_as_float(digits: int, places: int, step: str) -> None:
    number = Decimal(digits).scaleb(-places)
    exact = number / Decimal(step)
    text = format(number, "f")
    expected = int(exact) if exact == int(exact) else None
    found = steps(pa.array([text]), step)
    assert (int(found.values[0]) if found.ok[0] else None) == expected
    assert whole_steps(text, step) == expected
    value = float(text)
    shortest = Decimal(repr(value)) / Decimal(step)
    expected = int(shortest) if shortest == int(shortest) and abs(shortest) < 2**63 else None
    found = steps(pa.array([value]), step)
    assert (int(found.values[0]) if found.ok[0] else None) == expected


def test_columns_of_every_type() -> None:
    for column in (
        pa.array(["1.50", " 2 ", None, "", "x", "nan", "1e1", "٣", "1_0", "0.1234567891"]),
        pa.array([1.5, 2.0, None, np.nan, np.inf, -np.inf, 10.0, 1e300, 0.123, -0.25]),
        pa.array([1.5, 2, None, None, None, None, 10, 0.3, 0.1, -0.25], pa.float32()),
        pa.array([Decimal("1.5"), Decimal("2.0"), None, Decimal("10.0"), Decimal("0.1")]),
        pa.array(["1.50", "2", None, "", "x", "", "10", "", "", ""]).dictionary_encode(),
    ):
        found = steps(column, "0.5")
        assert found.values[found.ok].tolist() == [3, 4, 20], column.type
    assert steps(pa.array([2**62, -7, None]), "1").ok.tolist() == [True, True, False]
    with pytest.raises(TypeError, match=r"list<item: int64>"):
        steps(pa.array([[1]]), "1")
    near = steps(pa.array([0.123, 0.0, 1e-9, -0.74, 0.75]), "0.5", nearest=True)
    assert near.values.tolist() == [1, 0, 1, -1, 2]
    assert near.rounded.tolist() == [True, False, True, True, True]


def test_times_of_every_kind() -> None:
    expected = [1_483_228_800_500_000_000]
    for column, unit in (
        (pa.array([1_483_228_800_500]), "ms"),
        (pa.array(["1483228800500000"]), "us"),
        (pa.array(["2017-01-01 00:00:00.5"]), "iso"),
        (pa.array(["2017-01-01T01:00:00.500+01:00"]), "iso"),
        (pa.array([1_483_228_800_500], pa.timestamp("ms")), "ns"),
        (pa.array([1_483_228_800_500], pa.timestamp("ms", "Europe/Berlin")), "s"),
    ):
        values, ok = times_ns(column, unit)
        assert (values.tolist(), ok.tolist()) == (expected, [True])
    for column, unit in (
        (pa.array(["soon", None, "2017-13-01"]), "iso"),
        (pa.array([2**62, None, -(2**62)]), "ms"),
        (pa.array([2**62, None, -(2**62)], pa.timestamp("s")), "ns"),
    ):
        assert not times_ns(column, unit)[1].any()


# Real files.


def real(name: str) -> str:
    assert ROOT is not None
    return str(Path(ROOT) / "bars" / f"{name}.parquet")


@needs_recordings
@pytest.mark.parametrize(
    ("name", "instrument", "interval", "rows", "missing", "rounded"),
    [
        ("bitfinex_btcusd_1m", BTC, "1m", 1_279_046, 32_794, 35_134),
        ("bitfinex_ethusd_1m", "ETHUSD.BITFINEX", "1m", 922_362, 128_834, 0),
        ("binance_usdm_btcusdt_5m", PERP, "5m", 105_120, 0, 0),
        ("binance_usdm_ethusdt_5m", "ETHUSDT-PERP.BINANCE", "5m", 105_120, 0, 0),
    ],
)
def test_real_candles(
    tmp_path: Path,
    name: str,
    instrument: str,
    interval: str,
    rows: int,
    missing: int,
    rounded: int,
) -> None:
    options = {"interval": interval}
    report = run_import("candles", [real(name)], instrument, str(tmp_path), options=options)
    assert (report.lines, report.broken, report.rows) == (rows, 0, {"bars": rows})
    assert report.counts == {"already_there": 0, "duplicates": 0, "volumes_rounded": rounded}
    (listed,) = catalog_rows(tmp_path)
    assert (listed["rows"], listed["missing"]) == (rows, missing)
    found = Catalog(tmp_path).bars(instrument, interval)
    raw = pl.read_parquet(real(name))
    definition = load_instrument(instrument)
    assert (found["ts_start_ns"] == raw["ts_ms"] * 1_000_000).all()
    for column, step in (
        *((name, definition.tick) for name in ("open", "high", "low", "close")),
        ("volume", definition.lot),
    ):
        unit = "lots" if column == "volume" else "ticks"
        back = found[f"{column}_{unit}"].to_numpy() / float(1 / Decimal(step))
        # Equal to the last bit, but for the sums of floats that were taken to the nearest lot.
        differs = back != raw[column].to_numpy()
        assert int(differs.sum()) == (rounded if column == "volume" else 0)
        assert np.allclose(back, raw[column].to_numpy(), rtol=0, atol=float(step) / 2)
    assert set(found["trades"].is_null()) == {True}


@needs_recordings
def test_rates_and_mark_prices_are_no_candles(tmp_path: Path) -> None:
    for name, message in (
        (
            "binance_usdm_btcusdt_8h_funding_rate",
            "binance_usdm_btcusdt_8h_funding_rate.parquet: high, low, close and volume are 0 beside"
            " an open that is not in 1,095 of 1,095 rows: these are rates (such as funding), not"
            " candles; nothing was imported (see format=funding)",
        ),
        (
            "binance_usdm_ethusdt_8h_mark",
            "binance_usdm_ethusdt_8h_mark.parquet: the volume is 0 in all 1,095 rows while the"
            " price moves in 1,095 of them: these are mark or index prices, not candles of trades;"
            " nothing was imported (see format=funding)",
        ),
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            run_import("candles", [real(name)], PERP, str(tmp_path), options={"interval": "8h"})
        assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


# Files of every making.


def rows_of(starts: list[int], *, unit: int = 60_000) -> list[list[Any]]:
    return [[T0 + at * unit, 100.5, 110, 90.25, 101, 7.5] for at in starts]


NAMES = ["ts_ms", "open", "high", "low", "close", "volume"]


def csv(rows: list[list[Any]], names: list[str] | None = NAMES, delimiter: str = ",") -> bytes:
    lines = [*([names] if names else []), *rows]
    return "".join(delimiter.join(map(str, line)) + "\n" for line in lines).encode()


def parquet(rows: list[list[Any]], names: list[str] = NAMES, **options: Any) -> bytes:
    buffer = io.BytesIO()
    columns = list(zip(*rows, strict=True)) or [[]] * len(names)
    pq.write_table(pa.table(list(map(list, columns)), names=names), buffer, **options)
    return buffer.getvalue()


def zipped(content: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("candles.csv",):
            archive.writestr(name, content)
    return buffer.getvalue()


def load(tmp_path: Path, content: bytes, name: str = "candles", **options: str) -> ImportReport:
    path = tmp_path / name
    path.write_bytes(content)
    options = {"interval": "1m", **options}
    return run_import("candles", [str(path)], BTC, str(tmp_path / "cat"), options=options)


def refused(tmp_path: Path, content: bytes, **options: str) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    with pytest.raises(ValueError, match=r".") as caught:
        load(tmp_path, content, **options)
    assert not (tmp_path / "cat").exists()
    return str(caught.value)


SOUND = rows_of(list(range(200)))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (csv(SOUND), {}),
        (csv(SOUND, delimiter=";"), {}),
        (csv(SOUND, delimiter="\t"), {}),
        (b"\xef\xbb\xbf" + csv(SOUND), {}),
        (csv(SOUND).replace(b"\n", b"\r\n"), {}),
        (b"https://www.example.org\n" + csv(SOUND), {"skip_lines": "1"}),
        (csv(SOUND, None), {"columns": "[ts_ms,open,high,low,close,volume]"}),
        (csv([[row[0] * 1000, *row[1:]] for row in SOUND], ["time", *NAMES[1:]]), {}),
        (csv([[row[0] // 1000, *row[1:]] for row in SOUND], ["date", *NAMES[1:]]), {}),
        (gzip.compress(csv(SOUND)), {}),
        (gzip.compress(csv(SOUND[:50])) + gzip.compress(csv(SOUND[50:], None)), {}),
        (lzma.compress(csv(SOUND)), {}),
        (zipped(csv(SOUND)), {}),
        (parquet(SOUND), {}),
        (parquet([[*map(str, row)] for row in SOUND]), {}),
        (
            csv([[*row[:5], 1, row[5]] for row in SOUND], ["t", *"ohlcx", "v"]),
            dict(zip(NAMES, "tohlcv", strict=True)) | {"ts_unit": "ms"},
        ),
    ],
)
def test_packings_and_layouts(tmp_path: Path, content: bytes, options: dict[str, str]) -> None:
    options = {name.replace("ts_ms", "ts"): value for name, value in options.items()}
    report = load(tmp_path, content, **options)
    assert (report.broken, report.rows) == (0, {"bars": 200})
    found = Catalog(tmp_path / "cat").bars(BTC, "1m")
    assert found["ts_start_ns"][0] == T0_NS
    assert found["low_ticks"].to_list() == [9_025_000_000] * 200
    assert found["volume_lots"].to_list() == [750_000_000] * 200
    assert not load(tmp_path, content, **options).changed


def test_klines_of_binance(tmp_path: Path) -> None:
    rows = [
        [T0 + at * 60_000, "1.5", "2.0", "1.0", "1.75", "10", 0, "17.12345678", 42, "4", "7", 0]
        for at in range(3)
    ]
    names = [
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume",
        "taker_buy_quote_volume,ignore",
    ]
    for at, header in enumerate((None, names)):
        folder = tmp_path / str(at)
        folder.mkdir()
        load(folder, zipped(csv(rows, header)), preset="binance_klines")
        found = Catalog(folder / "cat").bars(BTC, "1m")
        assert found["buy_volume_lots"].to_list() == [400_000_000] * 3
        assert found["trades"].to_list() == [42] * 3
        assert found["value_e8"].to_list() == [1_712_345_678] * 3


def test_files_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    for name, starts in (("a", [20, 21]), ("b", [0, 1]), ("c", [10])):
        (tmp_path / name).write_bytes(csv(rows_of(starts)))
    paths = [str(tmp_path / name) for name in "abc"]
    options = {"interval": "1m"}
    report = run_import("candles", paths, BTC, str(tmp_path / "cat"), options=options)
    assert report.files == ["b", "c", "a"]
    assert report.notes[0] == (
        "5 candles of 1m from 2017-07-14 02:40:00 to 2017-07-14 03:01:00; 17 between them are"
        " missing."
    )


def test_candles_that_are_there_are_not_added_again(tmp_path: Path) -> None:
    load(tmp_path, csv(rows_of([0, 1, 2, 5])), "first")
    report = load(tmp_path, csv(rows_of([1, 2, 5, 6, 7])), "second")
    assert (report.rows, report.counts["already_there"]) == ({"bars": 2}, 3)
    again = load(tmp_path, csv(rows_of([6, 7])), "third")
    assert again.rows == {"bars": 0}
    assert "Every candle is in the catalog already: no candle was added." in again.notes
    other = rows_of([2])
    other[0][4] = 102
    for rows, message in (
        (other, "02:42:00 differs from the catalog's: close_ticks 10200000000, there 10100000000"),
        (
            rows_of([3]),
            "02:43:00 lies between candles that the catalog has, to which none is added",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            load(tmp_path, csv(rows), "other")
    assert len(Catalog(tmp_path / "cat").bars(BTC, "1m")) == 6


def test_candles_leave_recordings_of_the_instrument_alone(tmp_path: Path) -> None:
    root = tmp_path / "cat"
    source = [SourceEntry("made", "1" * 64)]
    with Catalog(root).writer(load_instrument(BTC), provenance="recorded", source=source) as writer:
        writer.append("depth", groups([2, 2]))
        writer.commit(resume={"depth_seq": 2})
    load(tmp_path, csv(SOUND))
    manifest = Catalog(root).manifest(BTC)
    assert manifest.resume == {"depth_seq": 2}
    assert [entry.kind for entry in manifest.event_files] == ["depth"]


BROKEN: dict[str, tuple[list[Any], str]] = {
    "no time": (["", 1, 2, 1, 1, 1], "ts_ms: expected a time (ms), found nothing"),
    "a time in words": (["soon", 1, 2, 1, 1, 1], "ts_ms: expected a time (ms), found soon"),
    "a time in s": ([T0 // 1000, 1, 2, 1, 1, 1], "expected a time from 2009 to 2100 in ms"),
    "a time below 0": ([-1, 1, 2, 1, 1, 1], "expected a time from 2009 to 2100 in ms"),
    "a huge time": (["9" * 30, 1, 2, 1, 1, 1], "ts_ms: expected a time (ms), found 999"),
    "no price": ([T0, "", 2, 1, 1, 1], "open: expected a positive multiple of the tick"),
    "a price in words": ([T0, "one", 2, 1, 1, 1], "open: expected a positive multiple of the tick"),
    "NaN": ([T0, 1, "NaN", 1, 1, 1], "high: expected a positive multiple of the tick"),
    "infinite": ([T0, 1, "inf", 1, 1, 1], "high: expected a positive multiple of the tick"),
    "a price of zero": ([T0, 1, 2, 0, 1, 1], "low: expected a positive multiple of the tick"),
    "a price below 0": ([T0, 1, 2, 1, -1, 1], "close: expected a positive multiple of the tick"),
    "off the tick": (
        [T0, "1.000000001", 2, 1, 1, 1],
        "open: expected a positive multiple of the tick 0.00000001, found 1.000000001",
    ),
    "a huge price": ([T0, "1e40", 2, 1, 1, 1], "open: expected a positive multiple of the tick"),
    "beyond 64 bits": ([T0, "1e11", 2, 1, 1, 1], "open: expected a positive multiple of the tick"),
    "a volume below 0": ([T0, 1, 2, 1, 1, -1], "volume: expected a number of at least 0, found -1"),
    "no volume": ([T0, 1, 2, 1, 1, ""], "volume: expected a number of at least 0, found nothing"),
    "low above open": ([T0, 1, 4, 2, 3, 1], "low: expected a low of at most open and close, foun"),
    "high below close": ([T0, 1, 2, 1, 3, 1], "high: expected a high of at least open and close"),
    "beside the interval": (
        [T0 + 1, 1, 2, 1, 1, 1],
        "ts_ms: expected a start at a multiple of the interval",
    ),
    "another candle": ([T0 + 99 * 60_000, 1, 2, 1, 1, 1], "another candle of 2017-07-14 04:19:00"),
    "time going back": (
        [T0 + 10 * 60_000, 1, 2, 1, 1, 1],
        "time goes back to 2017-07-14 02:50:00 from 2017-07-14 04:19:00",
    ),
    "too few columns": ([T0, 1, 2], "expected 6 columns, found 3"),
    "too many columns": ([T0, 1, 2, 1, 1, 1, 1], "expected 6 columns, found 7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_counted_and_told(tmp_path: Path, name: str) -> None:
    row, reason = BROKEN[name]
    if row[0] == T0:
        row = [T0 + 100 * 60_000, *row[1:]]
    rows = [*SOUND[:100], row, *SOUND[101:]]
    report = load(tmp_path, csv(rows))
    assert (report.lines, report.broken, report.rows) == (200, 1, {"bars": 199})
    (line,) = report.broken_first
    assert (line.line, line.file) == (102, "candles")
    assert line.reason.startswith(reason) or reason in line.reason, line.reason
    (listed,) = catalog_rows(tmp_path / "cat")
    assert (listed["missing"], listed["broken"]) == (1, 1)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    report = load(tmp_path, csv(SOUND).replace(b"100.5", b"\xff\xfe", 1))
    assert (report.broken, report.broken_first[0].line) == (1, 2)
    assert "open: expected a positive multiple of the tick" in report.broken_first[0].reason


def test_a_candle_twice_in_a_row_is_left_out(tmp_path: Path) -> None:
    report = load(tmp_path, csv([*SOUND[:50], SOUND[49], *SOUND[50:]]))
    assert (report.broken, report.counts["duplicates"]) == (0, 1)
    assert "Candles that stand in the file twice: 1; left out." in report.notes
    assert report.rows == {"bars": 200}


def test_volumes_off_the_lot_are_counted(tmp_path: Path) -> None:
    rows = [[*row[:5], "1.28677454000000012"] for row in SOUND]
    report = load(tmp_path, csv(rows))
    assert report.counts["volumes_rounded"] == 200
    assert Catalog(tmp_path / "cat").bars(BTC, "1m")["volume_lots"].unique().to_list() == [
        128_677_454
    ]


def test_files_that_are_no_candles(tmp_path: Path) -> None:
    for content, message in (
        (b"", "candles: the file is empty; nothing was imported"),
        (b"\n\n", "expected CSV or Parquet, found no line of text"),
        (b"ts_ms,open,high,low,close,volume\n", "0 of 0 rows are broken"),
        (b"\x00\x01\x02\x03" * 50, "expected CSV or Parquet, found binary data"),
        (b"PAR1 and more", "not a whole Parquet file"),
        (parquet(SOUND)[:-100], "not a whole Parquet file"),
        (parquet([], NAMES), "the file has no rows; nothing was imported"),
        (zipped(csv(SOUND))[:-30], "not a whole zip file"),
        (zipped(csv(SOUND), "a", "b"), "expected a zip file of one table, found a, b"),
        (zipped(b""), "expected CSV or Parquet, found no line of text"),
        (csv(SOUND, None), "expected a first line with the names of the columns, found '150"),
        (csv(SOUND, ["ts_ms", "open", "high", "low", "close", "size"]), "expected a column volume"),
        (csv(SOUND, ["when", *NAMES[1:]]), "expected a column ts_ms or ts_us"),
        (csv(SOUND, ["ts_ms", "open", *NAMES[1:5]]), "expected each column once, found open twice"),
        (b"x" * (9 << 20), "expected a column ts_ms or ts_us"),
        (csv([[*row[:5], -1] for row in SOUND]), "200 of 200 rows are broken, more than"),
        (csv(SOUND[::-1]), "candles are needed in the order of time, the earliest first"),
        (lzma.compress(bytes(1 << 20)), "found binary data"),
        (
            gzip.compress(csv(SOUND) + b"\n" * (80 << 20)),
            "unpacks to more than 1,000 times its size",
        ),
    ):
        assert message in refused(tmp_path, content), message


def test_a_bomb_of_parquet_is_refused(tmp_path: Path) -> None:
    zeros = pa.table({name: np.zeros(20_000_000, np.int64) for name in NAMES[:1]})
    buffer = io.BytesIO()
    pq.write_table(zeros, buffer, compression="zstd", use_dictionary=False)
    assert "unpacks to more than 1,000 times its size" in refused(tmp_path, buffer.getvalue())


def test_wrong_types(tmp_path: Path) -> None:
    rows = [[[1], *row[1:]] for row in SOUND]
    message = refused(tmp_path, parquet(rows))
    assert "column ts_ms: expected times, found the type list<element: int64>" in message
    message = refused(tmp_path, parquet([[row[0], True, *row[2:]] for row in SOUND]))
    assert "column open: expected numbers or decimal text, found the type bool" in message


def test_the_wrong_interval(tmp_path: Path) -> None:
    message = refused(tmp_path, csv(rows_of(list(range(50)), unit=300_000)))
    assert "options.interval says 1m, but all 50 candles lie 5m apart" in message
    message = refused(tmp_path, csv(SOUND), interval="5m")
    assert "160 of 200 rows are broken" in message
    assert "expected a start at a multiple of the interval" in message


@pytest.mark.parametrize("packed", [gzip.compress, lzma.compress])
def test_a_file_that_is_cut_off_keeps_what_came_before(tmp_path: Path, packed: Any) -> None:
    rng = np.random.default_rng(3)
    rows = [
        [T0 + at * 60_000, 100, 200, 50, 150, volume / 1e8]
        for at, volume in enumerate(rng.integers(1, 10**9, 20_000).tolist())
    ]
    content = packed(csv(rows))
    report = load(tmp_path, content[: len(content) // 2])
    assert report.broken in (1, 2)
    assert 5_000 < report.rows["bars"] < 20_000
    assert any("the packed data is cut off or damaged" in note for note in report.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": ""}, "options.interval: a value is needed; write options.interval=1m"),
        ({"interval": "7m"}, "options.interval: expected one of 1s, 1m, .* found '7m'"),
        ({"ts_unit": "h"}, "options.ts_unit: expected one of s, ms, us, ns, iso, auto, found 'h'"),
        ({"preset": "kraken"}, "options.preset: expected one of binance_klines, found 'kraken'"),
        ({"skip_lines": "-1"}, "options.skip_lines: expected 0 to 1000, found '-1'"),
        ({"opne": "o"}, "options.opne: expected one of interval"),
        ({"open": "opne"}, r"expected a column 'opne' \(options.open\), found ts_ms, open, high"),
    ],
)
def test_options_that_are_none(tmp_path: Path, options: dict[str, str], message: str) -> None:
    path = tmp_path / "candles.csv"
    path.write_bytes(csv(SOUND))
    with pytest.raises(ValueError, match=message):
        run_import(
            "candles",
            [str(path)],
            BTC,
            str(tmp_path / "cat"),
            options={"interval": "1m", **options},
        )
    assert not (tmp_path / "cat").exists()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "candles.csv"
    path.write_bytes(csv(SOUND))
    command = ["import", "format=candles", f"path={path}", f"instrument={BTC}"]
    command.append(f"catalog={tmp_path / 'cat'}")
    assert main(command) != 0
    assert "options.interval: a value is needed" in " ".join(capsys.readouterr().err.split())
    assert main([*command, "options.interval=1m"]) == 0
    assert "200 candles of 1m from 2017-07-14 02:40:00" in capsys.readouterr().out
