"""The catalog in other engines' formats: what is written, what is refused, what they read."""

from __future__ import annotations

import errno
import heapq
import importlib.util
import json
import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine.catalog import Catalog, CatalogError, SourceEntry
from engine.catalog_tables import bars_schema
from engine.cli import main
from engine.config import ConfigError
from engine.exporters import ExportFailed, ExportReport, formats, run_export
from engine.exporters.fixed_point import decimals
from engine.instruments import load_instrument
from engine.peers import hftbacktest as peer
from tests import market
from tests.formats import DictBook, Events, applied, catalog_of, messages, rows_of
from tests.parity.feed import INSTRUMENT, random_feed
from tests.recordings import needs_recordings

needs_hftbacktest = pytest.mark.skipif(
    not peer.available(), reason="hftbacktest is not installed: `make peers`"
)
needs_nautilus = pytest.mark.skipif(
    importlib.util.find_spec("nautilus_trader") is None,
    reason="nautilus_trader is not installed: pip install 'cobalt[nautilus]'",
)
FORMATS = [
    pytest.param("hftbacktest", marks=needs_hftbacktest),
    pytest.param("nautilus", marks=needs_nautilus),
    "parquet",
]
MS = 1_000_000
RECORDED = ("BTCUSDT-PERP.BINANCE", "BTCUSD-PERP.BINANCE", "BTCUSDT.BINANCE")


def quotes_of(depth: Events) -> Events:
    """A quote beside each depth message with a level, bid then ask."""
    heads = depth[(depth["flags"] & 1 != 0) & (depth["side"] != 0)]
    rows = np.repeat(heads, 2)
    rows["kind"], rows["prev_seq"], rows["flags"] = 5, engine.SEQ_NONE, [1, 2] * len(heads)
    rows["side"] = [1, 2] * len(heads)
    rows["px_ticks"] += rows["side"]
    rows["qty_lots"] = np.arange(1, len(rows) + 1)
    return rows


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog of a made-up feed: snapshots again and again, both orders mixed, every kind."""
    monkeypatch.chdir(tmp_path)
    depth, trades = random_feed(600, seed=5)
    quotes = quotes_of(depth)
    quotes["ts_event_ns"][:4] = engine.TS_NONE
    offbook = trades[:3].copy()
    offbook["kind"] = 4
    return catalog_of(
        tmp_path, INSTRUMENT, depth=depth, trades=trades, quotes=quotes, offbook=offbook
    )


def export(catalog: Catalog, format: str, path: Path | str, **options: Any) -> ExportReport:
    instrument = options.pop("instrument", INSTRUMENT.id)
    return run_export(format, instrument, catalog.root, path, **options)


def path_for(format: str, folder: Path) -> Path:
    return folder / ("rows.npz" if format == "hftbacktest" else "rows")


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, and the content of each file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# What every format has in common.


def test_the_formats() -> None:
    assert formats() == ["hftbacktest", "nautilus", "parquet"]


@pytest.mark.parametrize("format", FORMATS)
def test_testnet_data_says_so_everywhere(format: str, made: Catalog, tmp_path: Path) -> None:
    path = path_for(format, tmp_path)
    report = export(made, format, path)
    assert report.provenance == "testnet"
    assert "testnet data" in report.notes[0]
    about = about_of(format, path)
    assert about["provenance"] == "testnet"
    assert about["instrument"] == INSTRUMENT.id
    assert about["definition"]["tick"] == "0.1"
    assert about["data_sha256"] == made.data_sha256(
        [INSTRUMENT.id], ["depth", "trades", "offbook", "quotes"]
    )


def about_of(format: str, path: Path) -> dict[str, Any]:
    """What an export says of itself."""
    if format == "hftbacktest":
        with np.load(path) as npz:
            text = npz["cobalt.json"]
    else:
        files = sorted(path.rglob("*.parquet"))
        found = [pq.read_schema(file).metadata.get(b"cobalt") for file in files]
        (text,) = {item for item in found if item is not None}
    content: dict[str, Any] = json.loads(text)
    return content


@pytest.mark.parametrize("format", FORMATS)
def test_equal_rows_give_equal_bytes(format: str, made: Catalog, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(made, format, path_for(format, tmp_path / name))
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_kept_unless_told_otherwise(
    format: str, made: Catalog, tmp_path: Path
) -> None:
    path = path_for(format, tmp_path / "out")
    first = export(made, format, path)
    before = everything(tmp_path / "out")
    with pytest.raises(ExportFailed, match="replace=true overwrites it"):
        export(made, format, path)
    assert everything(tmp_path / "out") == before
    middle = (first.ts_recv_first_ns + first.ts_recv_last_ns) // 2
    shorter = export(made, format, path, end=middle, replace=True)
    assert sum(shorter.rows.values()) < sum(first.rows.values())
    assert len(everything(tmp_path / "out")) <= len(before)
    export(made, format, path, replace=True)
    assert everything(tmp_path / "out") == before


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_leaves_nothing_behind(
    format: str, made: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ExportFailed, match="from 2030-01-01T00:00:00.000000000Z to the end"):
        export(made, format, path_for(format, out / "new"), start="2030-01-01")
    assert not out.exists()
    batches = Catalog.batches

    def full_disk(*arguments: Any, **options: Any) -> Any:
        for count, rows in enumerate(batches(*arguments, batch_rows=100, **options)):
            if count == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield rows

    monkeypatch.setattr(Catalog, "batches", full_disk)
    with pytest.raises(ExportFailed, match="cannot be written: no space left on the device"):
        export(made, format, path_for(format, out / "new"))
    assert not out.exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_replacement_keeps_the_old(format: str, made: Catalog, tmp_path: Path) -> None:
    path = path_for(format, tmp_path / "out")
    export(made, format, path)
    before = everything(tmp_path / "out")
    with pytest.raises(ExportFailed, match="no row of depth, trades"):
        export(made, format, path, end="2001-01-01", replace=True)
    assert everything(tmp_path / "out") == before


@pytest.mark.parametrize("format", FORMATS)
def test_folders_of_others_are_never_replaced(format: str, made: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "mine.npz"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportFailed, match="path: "):
        export(made, format, folder, replace=True)
    assert everything(folder) == {"thesis.txt": b"years of work"}
    if format != "hftbacktest":
        with pytest.raises(ExportFailed, match="expected the name of a folder, found the file"):
            export(made, format, folder / "thesis.txt", replace=True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_path_that_cannot_be_written(format: str, made: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportFailed, match="cannot be written: Not a directory"):
        export(made, format, path_for(format, tmp_path / "file"))


def test_bad_requests(made: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "x"
    with pytest.raises(ConfigError, match="did you mean 'nautilus'"):
        export(made, "nautilos", out)
    with pytest.raises(CatalogError, match=r"no data for ETHUSDT.BINANCE; it holds MADEUP.TEST"):
        export(made, "parquet", out, instrument="ETHUSDT.BINANCE")
    with pytest.raises(CatalogError, match="expected an id SYMBOL.VENUE"):
        export(made, "parquet", out, instrument="../x")
    with pytest.raises(ConfigError, match="start: expected a time such as"):
        export(made, "parquet", out, start="soon")
    with pytest.raises(ConfigError, match="end: expected a time after start"):
        export(made, "parquet", out, start="2024-01-02", end="2024-01-01")
    with pytest.raises(ConfigError, match="path: expected the name"):
        export(made, "parquet", "")
    definition = tmp_path / "conf" / "instrument" / f"{INSTRUMENT.id}.yaml"
    definition.write_text(definition.read_text().replace('tick: "0.1"', 'tick: "0.5"'))
    with pytest.raises(CatalogError, match=r"its data has tick 0.1, .* now says 0.5"):
        export(made, "parquet", out)
    assert not out.exists()


@pytest.mark.parametrize("format", ["hftbacktest", "nautilus"])
def test_a_missing_package_is_named(
    format: str, made: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportFailed, match=r"is not installed: pip install 'cobalt\["):
        export(made, format, path_for(format, tmp_path))


def test_candles_are_left_out_and_told(made: Catalog, tmp_path: Path) -> None:
    times = [1_700_000_000_000_000_000 // 60_000_000_000 * 60_000_000_000]
    columns = {"ts_start_ns": times, "volume_lots": [7]}
    columns |= {f"{name}_ticks": [1000] for name in ("open", "high", "low", "close")}
    bars = pa.Table.from_pylist(
        [{name: values[0] for name, values in columns.items()}], schema=bars_schema()
    )
    for root in (made.root, tmp_path / "bars alone"):
        source = [SourceEntry("candles", "1" * 64)]
        with Catalog(root).writer(INSTRUMENT, provenance="testnet", source=source) as writer:
            writer.append_bars("1m", bars)
            writer.commit()
    report = export(made, "parquet", tmp_path / "out")
    assert report.notes[-1] == "Left out, as no format here holds them: 1 bars."
    with pytest.raises(ExportFailed, match="expected depth or trades .* found bars, which no"):
        export(Catalog(tmp_path / "bars alone"), "parquet", tmp_path / "bars")


@pytest.mark.parametrize("format", FORMATS)
def test_a_range_begins_with_the_book(format: str, made: Catalog, tmp_path: Path) -> None:
    depth = rows_of(made, INSTRUMENT.id, "depth")
    snapshots = depth["ts_recv_ns"][(depth["kind"] == 2) & (depth["flags"] & 1 != 0)]
    start = int(snapshots[2]) + 1
    report = export(made, format, path_for(format, tmp_path), start=start)
    assert report.ts_recv_first_ns == snapshots[2]
    assert "Depth begins with the snapshot of" in report.notes[-1]


def test_the_command_line(
    made: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["export", f"catalog={made.root}", f"instrument={INSTRUMENT.id}", "format=parquet"]
    assert main([*wanted, "path=out", "output=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["provenance"] == "testnet"
    assert report["bytes_written"] == sum(report["files"].values()) > 0
    assert main([*wanted, "path=out"]) == 1
    assert "path: out holds an export; replace=true overwrites it" in capsys.readouterr().err
    assert main([*wanted, "path=out", "replace=true"]) == 0
    assert "bytes a row" in capsys.readouterr().out
    for given, missing in ((wanted[:3], "format"), (wanted[:2], "format"), (wanted, "path")):
        assert main(given) == 2
        assert f"{missing}: a value is needed; write {missing}=" in capsys.readouterr().err


# hftbacktest.


def small_batches(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    whole = Catalog.batches
    monkeypatch.setattr(
        Catalog, "batches", lambda *given, **options: whole(*given, **options, batch_rows=rows)
    )


@needs_hftbacktest
@pytest.mark.parametrize("batch_rows", [1, 7, 50, 131_072])
def test_windows_give_what_the_whole_gives(
    batch_rows: int, made: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, trades = (rows_of(made, INSTRUMENT.id, kind) for kind in ("depth", "trades"))
    whole = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    windows = []
    merge = peer.in_both_orders
    monkeypatch.setattr(peer, "in_both_orders", lambda rows: windows.append(rows) or merge(rows))
    small_batches(monkeypatch, batch_rows)
    report = export(made, "hftbacktest", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as npz:
        assert npz["data"].dtype == whole.dtype
        assert npz["data"].tobytes() == whole.tobytes()
    assert sum(report.rows.values()) == len(whole)
    assert report.left_out == {
        "quote rows": made.manifest(INSTRUMENT.id).of_kind("quotes")[0].rows,
        "off-book trades": 3,
        "messages without a level": 1,
    }
    if batch_rows < 100:
        assert len(windows) > 10


@needs_hftbacktest
def test_a_folder_holds_a_file_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    depth, trades = random_feed(400, seed=6)
    for rows in (depth, trades):
        for name in ("ts_event_ns", "ts_recv_ns"):
            # Midnight comes in the middle of the feed.
            rows[name] += 1_700_006_400_000_000_000 - int(np.median(depth["ts_recv_ns"]))
    made = catalog_of(tmp_path, INSTRUMENT, depth=depth, trades=trades)
    report = export(made, "hftbacktest", tmp_path / "days")
    assert list(report.files) == ["MADEUP.TEST_20231114.npz", "MADEUP.TEST_20231115.npz"]
    parts = [np.load(tmp_path / "days" / name)["data"] for name in report.files]
    whole = peer.to_hftbacktest(depth, trades, INSTRUMENT)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert all(len(part) > 100 for part in parts)


@needs_hftbacktest
def test_trades_alone_are_an_export_and_quotes_alone_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    depth, trades = random_feed(100, seed=7)
    made = catalog_of(tmp_path, INSTRUMENT, trades=trades)
    report = export(made, "hftbacktest", "trades.npz")
    assert report.rows["trades"] == len(trades)
    assert "There is no depth snapshot in the range: the file holds no book." in report.notes
    quotes = catalog_of(tmp_path / "quotes", INSTRUMENT, quotes=quotes_of(depth))
    with pytest.raises(ExportFailed, match=r"no row of depth, trades .* the catalog has quotes"):
        export(quotes, "hftbacktest", "quotes.npz")
    deltas = catalog_of(tmp_path / "deltas", INSTRUMENT, depth=depth[depth["kind"] == 1])
    with pytest.raises(ExportFailed, match="nothing that hftbacktest can hold: no trade, and no"):
        export(deltas, "hftbacktest", "quotes.npz")
    assert not Path("quotes.npz").exists()


@needs_hftbacktest
def test_rows_without_ids_or_venue_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue without update ids: every delta after a snapshot counts."""
    monkeypatch.chdir(tmp_path)
    depth, trades = market.depth(2), market.trades([(0.5, market.BID, 1001, 5)])
    depth["seq"] = depth["prev_seq"] = engine.SEQ_NONE
    trades["ts_event_ns"] = engine.TS_NONE
    made = catalog_of(tmp_path, market.LINEAR, depth=depth, trades=trades)
    report = export(made, "hftbacktest", "x.npz", instrument=market.LINEAR.id)
    rows = np.load("x.npz")["data"]
    assert len(rows) == len(depth) + 1
    assert "1 rows have no venue time" in " ".join(report.notes)
    trade = rows[rows["ev"] & 0xFF == 2]
    assert trade["exch_ts"] == trade["local_ts"]


@needs_recordings
@needs_hftbacktest
@pytest.mark.parametrize("instrument_id", RECORDED[:2])
def test_hftbacktest_replays_the_export_to_our_book(
    instrument_id: str, recorded_catalog: Catalog, tmp_path: Path
) -> None:
    """Played from the file itself, whole, and from a list of parts."""
    export(recorded_catalog, "hftbacktest", tmp_path / "x.npz", instrument=instrument_id)
    days = tmp_path / "days"
    report = export(recorded_catalog, "hftbacktest", days, instrument=instrument_id)
    assert len(report.files) == 2
    depth = rows_of(recorded_catalog, instrument_id, "depth")
    bids, asks = (dict(levels.tolist()) for levels in engine._core.replay_book(depth))
    instrument = load_instrument(instrument_id)
    for files in ([tmp_path / "x.npz"], [days / name for name in report.files]):
        theirs = peer.run_idle([str(path) for path in files], instrument, book="hashmap")
        assert (theirs.bids, theirs.asks) == (bids, asks)


# NautilusTrader.


@needs_nautilus
def test_nautilus_reads_every_row(made: Catalog, tmp_path: Path) -> None:
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    report = export(made, "nautilus", tmp_path / "nt")
    theirs = ParquetDataCatalog(str(tmp_path / "nt"))
    depth = applied(rows_of(made, INSTRUMENT.id, "depth"))
    batches = theirs.order_book_deltas([INSTRUMENT.id], batched=True)
    ours = [rows for rows in messages(depth) if rows["side"].any() or rows["kind"][0] == 2]
    assert len(batches) == len(ours)
    for batch, rows in zip(batches, ours, strict=True):
        deltas = list(batch.deltas)
        if rows["kind"][0] == 2:
            clear = deltas.pop(0)
            assert (clear.action.name, clear.flags) == ("CLEAR", 32)
        assert [delta_values(delta) for delta in deltas] == [row_values(row) for row in rows]
        assert deltas[-1].flags == 128
        assert {delta.flags for delta in deltas[:-1]} <= {32 if rows["kind"][0] == 2 else 0}
    trades = theirs.trade_ticks([INSTRUMENT.id])
    assert [trade_values(trade) for trade in trades] == [
        (
            *level(row),
            AGGRESSORS[row["side"]],
            str(row["seq"]),
            *times(row),
        )
        for row in rows_of(made, INSTRUMENT.id, "trades")
    ]
    quotes = rows_of(made, INSTRUMENT.id, "quotes")
    found = theirs.quote_ticks([INSTRUMENT.id])
    assert [
        (q.bid_price.as_decimal(), q.bid_size.as_decimal(), q.ask_price.as_decimal(),
         q.ask_size.as_decimal(), q.ts_event, q.ts_init)
        for q in found
    ] == [
        (*level(bid), *level(ask), *times(bid))
        for bid, ask in zip(quotes[::2], quotes[1::2], strict=True)
    ]  # fmt: skip
    assert report.left_out == {"messages without a level": 1, "off-book trades": 3}
    assert "4 rows have no venue time" in " ".join(report.notes)


AGGRESSORS = ("NO_AGGRESSOR", "BUYER", "SELLER")


def level(row: Any) -> tuple[Decimal, Decimal]:
    px = int(row["px_ticks"]) * Decimal(INSTRUMENT.tick)
    return px, int(row["qty_lots"]) * Decimal(INSTRUMENT.lot)


def times(row: Any) -> tuple[int, int]:
    recv = int(row["ts_recv_ns"])
    return (recv if row["ts_event_ns"] == engine.TS_NONE else int(row["ts_event_ns"])), recv


def row_values(row: Any) -> tuple[Any, ...]:
    action = "ADD" if row["kind"] == 2 else "UPDATE" if row["qty_lots"] else "DELETE"
    side = "BUY" if row["side"] == 1 else "SELL"
    return action, side, *level(row), int(row["seq"]), *times(row)


def delta_values(delta: Any) -> tuple[Any, ...]:
    order = delta.order
    numbers = order.price.as_decimal(), order.size.as_decimal(), delta.sequence
    return delta.action.name, order.side.name, *numbers, delta.ts_event, delta.ts_init


def trade_values(trade: Any) -> tuple[Any, ...]:
    numbers = trade.price.as_decimal(), trade.size.as_decimal()
    names = trade.aggressor_side.name, trade.trade_id.value
    return *numbers, *names, trade.ts_event, trade.ts_init


@needs_nautilus
@pytest.mark.parametrize(
    ("instrument_id", "kind", "inverse", "multiplier"),
    [
        ("BTCUSDT.BINANCE", "CurrencyPair", False, "1"),
        ("BTCUSDT-PERP.BINANCE", "CryptoPerpetual", False, "1"),
        ("BTCUSD-PERP.BINANCE", "CryptoPerpetual", True, "100"),
    ],
)
def test_the_definition(
    instrument_id: str, kind: str, inverse: bool, multiplier: str, tmp_path: Path
) -> None:
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    instrument = load_instrument(instrument_id)
    made = catalog_of(tmp_path, instrument, provenance="recorded", depth=market.depth(1))
    report = export(made, "nautilus", tmp_path / "nt", instrument=instrument_id)
    (theirs,) = ParquetDataCatalog(str(tmp_path / "nt")).instruments()
    assert type(theirs).__name__ == kind
    assert theirs.id.value == instrument_id
    assert theirs.is_inverse == inverse
    assert theirs.multiplier.as_decimal() == Decimal(multiplier)
    assert theirs.price_increment.as_decimal() == Decimal(instrument.tick)
    assert theirs.size_increment.as_decimal() == Decimal(instrument.lot)
    assert theirs.price_precision == decimals(instrument.tick)
    assert theirs.get_settlement_currency().code == instrument.settlement
    assert theirs.taker_fee == Decimal(instrument.taker_fee)
    assert theirs.info["cobalt"]["provenance"] == "recorded"
    assert not any("testnet" in note for note in report.notes)


@needs_nautilus
def test_instruments_share_a_catalog(made: Catalog, tmp_path: Path) -> None:
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    other = catalog_of(tmp_path / "other", market.LINEAR, depth=market.depth(1))
    os.replace(
        tmp_path / "other" / "conf" / "instrument" / f"{market.LINEAR.id}.yaml",
        tmp_path / "conf" / "instrument" / f"{market.LINEAR.id}.yaml",
    )
    export(made, "nautilus", tmp_path / "nt")
    before = everything(tmp_path / "nt")
    export(other, "nautilus", tmp_path / "nt", instrument=market.LINEAR.id)
    after = everything(tmp_path / "nt")
    assert {path: after[path] for path in before} == before
    ids = [item.id.value for item in ParquetDataCatalog(str(tmp_path / "nt")).instruments()]
    assert sorted(ids) == [INSTRUMENT.id, market.LINEAR.id]


@needs_nautilus
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("qty_lots", 2**61, "qty_lots: NautilusTrader holds 0 to 34028236692093000, found"),
        ("qty_lots", -1, "qty_lots: NautilusTrader holds 0 to"),
        ("px_ticks", -(2**60), "px_ticks: NautilusTrader holds -170141183460460 to"),
        ("ts_event_ns", -5, "ts_event_ns: NautilusTrader holds 0 to 2^63, found -5"),
    ],
)
def test_values_that_nautilus_cannot_hold(
    column: str, value: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    depth = market.depth(1)
    depth[column][3] = value
    made = catalog_of(tmp_path, market.LINEAR, depth=depth)
    with pytest.raises(ExportFailed, match=message.replace("^", r"\^")):
        export(made, "nautilus", "nt", instrument=market.LINEAR.id)
    assert not Path("nt").exists()


@needs_recordings
@needs_nautilus
@pytest.mark.parametrize("instrument_id", RECORDED)
def test_nautilus_rebuilds_our_book(
    instrument_id: str, recorded_catalog: Catalog, tmp_path: Path
) -> None:
    """Best prices and sizes, the top 20 levels of both sides and all trades, at random times in the
    first two minutes; a book of dictionaries is ours.
    """
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    first = recorded_catalog.manifest(instrument_id).of_kind("depth")[0].ts_recv_first_ns
    end = first + 120_000 * MS
    export(recorded_catalog, "nautilus", tmp_path, instrument=instrument_id, end=end)
    batches = ParquetDataCatalog(str(tmp_path)).order_book_deltas([instrument_id], batched=True)
    depth = list(messages(rows_of(recorded_catalog, instrument_id, "depth", end_ns=end)))
    instrument = load_instrument(instrument_id)
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    theirs, ours = OrderBook(InstrumentId.from_str(instrument_id), BookType.L2_MBP), DictBook()
    theirs_left, ours_left = iter(batches), iter(depth)
    theirs_next, ours_next = next(theirs_left), next(ours_left)
    rng = random.Random(7)
    compared = 0
    for moment in sorted(rng.randrange(first, end) for _ in range(120)):
        while theirs_next is not None and theirs_next.ts_init <= moment:
            theirs.apply_deltas(theirs_next)
            theirs_next = next(theirs_left, None)
        while ours_next is not None and ours_next["ts_recv_ns"][0] <= moment:
            ours.apply(ours_next)
            ours_next = next(ours_left, None)
        for side, levels in (
            (theirs.bids(), heapq.nlargest(20, ours.bids.items())),
            (theirs.asks(), heapq.nsmallest(20, ours.asks.items())),
        ):
            expected = [(px * tick, qty * lot) for px, qty in levels]
            found = [
                (top.price.as_decimal(), top.orders()[0].size.as_decimal()) for top in side[:20]
            ]
            assert found == expected
            compared += len(found)
        if ours.bids:
            best = theirs.best_bid_price(), theirs.best_bid_size()
            px = max(ours.bids)
            assert [value.as_decimal() for value in best] == [px * tick, ours.bids[px] * lot]
    assert compared > 120 * 38


# Plain Parquet.


def test_parquet_holds_everything(made: Catalog, tmp_path: Path) -> None:
    """The event rows come back column by column, with nothing but pyarrow."""
    report = export(made, "parquet", tmp_path / "out")
    assert list(report.files) == [
        "depth.parquet",
        "offbook.parquet",
        "quotes.parquet",
        "trades.parquet",
    ]
    for kind in report.rows:
        table = pq.read_table(tmp_path / "out" / f"{kind}.parquet")
        assert np.array_equal(events(table), rows_of(made, INSTRUMENT.id, kind))
        assert table["ts_recv"].cast("int64").equals(table["ts_recv_ns"])
        assert table["ts_event"].cast("int64").equals(table["ts_event_ns"])
        for name, steps, step in (("px", "px_ticks", "0.1"), ("qty", "qty_lots", "0.001")):
            exact = [float(count * Decimal(step)) for count in table[steps].to_pylist()]
            assert table[name].to_pylist() == exact


def events(table: Any) -> Events:
    """The rows of an exported file as the catalog has them."""
    rows = np.zeros(len(table), engine.EVENT_DTYPE)
    for name, missing in (
        ("ts_event_ns", engine.TS_NONE),
        ("ts_recv_ns", None),
        ("px_ticks", None),
        ("qty_lots", None),
        ("seq", engine.SEQ_NONE),
        ("prev_seq", engine.SEQ_NONE),
    ):
        column = table[name]
        assert missing is not None or column.null_count == 0
        rows[name] = [missing if value is None else value for value in column.to_pylist()]
    kinds = ["delta", "snapshot", "trade", "offbook", "quote"]
    rows["kind"] = [kinds.index(name) + 1 for name in table["kind"].to_pylist()]
    sides = {None: 0, "bid": 1, "ask": 2, "buy": 1, "sell": 2}
    rows["side"] = [sides[name] for name in table["side"].to_pylist()]
    for bit, name in enumerate(("is_first", "is_last", "recv_raised")):
        rows["flags"] |= np.array(table[name].to_pylist(), np.uint16) << bit
    return rows


def test_polars_and_pandas_read_it(made: Catalog, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    export(made, "parquet", tmp_path / "out")
    trades = rows_of(made, INSTRUMENT.id, "trades")
    frame = polars.read_parquet(tmp_path / "out" / "trades.parquet")
    assert frame["px_ticks"].to_list() == trades["px_ticks"].tolist()
    assert set(frame["side"]) == {"buy", "sell"}
    assert frame["ts_recv"].dtype == polars.Datetime("ns", "UTC")
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(tmp_path / "out" / "trades.parquet")
    assert frame["qty_lots"].tolist() == trades["qty_lots"].tolist()
    assert str(frame["ts_recv"].dtype) == "datetime64[ns, UTC]"
