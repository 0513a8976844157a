"""NautilusTrader catalogs to ours: round trips, catalogs of its own making, damaged input."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine.catalog import Catalog
from engine.config import ConfigError
from engine.exporters import run_export
from engine.importers import ImportFailed, ImportReport, run_import
from tests.formats import Events, applied, catalog_of, messages, rows_of
from tests.parity.feed import INSTRUMENT, random_feed
from tests.recordings import needs_recordings

needs_nautilus = pytest.mark.skipif(
    importlib.util.find_spec("nautilus_trader") is None,
    reason="nautilus_trader is not installed: pip install 'cobalt[nautilus]'",
)
ID = INSTRUMENT.id
USDM = "BTCUSDT-PERP.BINANCE"
EVERY = set(engine.EVENT_DTYPE.names or ())
ADD, UPDATE, DELETE, CLEAR = 1, 2, 3, 4
BUY, SELL = 1, 2
LAST, SNAPSHOT, TOB = 128, 32, 64
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
UINT64 = pa.uint64()


@pytest.fixture(autouse=True)
def _made_up_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    depth, _ = random_feed(2, seed=1)
    catalog_of(tmp_path / "first", INSTRUMENT, depth=depth)
    (tmp_path / "first" / "conf").rename(tmp_path / "conf")


# Tables in the format, made without NautilusTrader.


def fixed(values: list[float], width: int = 16) -> Any:
    """Decimal values as fixed-point integers, by way of Python's own."""
    places = {16: 16, 8: 9}[width]
    integers = [round(value * 1000) * 10 ** (places - 3) for value in values]
    content = [value.to_bytes(width, "little", signed=True) for value in integers]
    return pa.array(content, pa.binary(width))


def deltas(*rows: tuple[Any, ...], width: int = 16) -> pa.Table:
    """Rows as (action, side, price, size, flags, sequence, venue time, receive time in ms)."""
    action, side, px, size, flags, sequence, event, init = map(list, zip(*rows, strict=True))
    return pa.table(
        {
            "action": pa.array(action, pa.uint8()),
            "side": pa.array(side, pa.uint8()),
            "price": fixed(px, width),
            "size": fixed(size, width),
            "order_id": pa.array([0] * len(rows), UINT64),
            "flags": pa.array(flags, pa.uint8()),
            "sequence": pa.array(sequence, UINT64),
            "ts_event": pa.array([T0 + at * MS for at in event], UINT64),
            "ts_init": pa.array([T0 + at * MS for at in init], UINT64),
        }
    )


def trades(*rows: tuple[Any, ...], width: int = 16) -> pa.Table:
    """Rows as (price, size, aggressor, id, receive time in ms)."""
    px, size, side, ids, init = map(list, zip(*rows, strict=True))
    times = pa.array([T0 + at * MS for at in init], UINT64)
    return pa.table(
        {
            "price": fixed(px, width),
            "size": fixed(size, width),
            "aggressor_side": pa.array(side, pa.uint8()),
            "trade_id": pa.array(ids, pa.string()),
            "ts_event": times,
            "ts_init": times,
        }
    )


CLEARED = (CLEAR, 0, 0, 0, SNAPSHOT, 10, 0, 1)
BOOK = (
    CLEARED,
    (ADD, BUY, 99.9, 1.0, SNAPSHOT, 10, 0, 1),
    (ADD, SELL, 100.1, 1.0, LAST, 10, 0, 1),
)
SOUND = deltas(
    *BOOK,
    *((UPDATE, BUY, 99.8, 0.001 * i, LAST, 10 + i, 10 * i, 10 * i + 1) for i in range(1, 200)),
)


def put(name: str, table: pa.Table, *, root: str = "nt", part: str = "1", id: str = ID) -> Path:
    """Writes a table where a catalog keeps it."""
    path = Path(root, "data", name, id.replace("/", ""), f"{part}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"instrument_id": id, "price_precision": "1", "size_precision": "3"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def load(root: str = "nt", into: str = "catalog", **options: Any) -> tuple[ImportReport, Events]:
    """Imports a catalog: the report and depth."""
    report = run_import("nautilus", [root], ID, into, **options)
    return report, rows_of(Catalog(into), ID, "depth")


def refused(root: str = "nt", **options: Any) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    with pytest.raises(ImportFailed) as caught:
        run_import("nautilus", [root], ID, "catalog", **options)
    assert not Path("catalog").exists()
    return str(caught.value)


def same_columns(found: Events, expected: Events) -> set[str]:
    assert len(found) == len(expected)
    names = found.dtype.names or ()
    return {name for name in names if np.array_equal(found[name], expected[name])}


# Round trips.


@needs_nautilus
def test_a_round_trip(tmp_path: Path) -> None:
    depth, trade_rows = random_feed(400, seed=2)
    quotes = np.repeat(trade_rows, 2)
    quotes["kind"], quotes["side"] = 5, [1, 2] * len(trade_rows)
    quotes["flags"] = [1, 2] * len(trade_rows)
    made = catalog_of(tmp_path, INSTRUMENT, depth=depth, trades=trade_rows, quotes=quotes)
    run_export("nautilus", ID, made.root, "nt")
    report, found = load(into="back")
    assert (report.provenance, report.broken) == ("testnet", 0)
    back = Catalog("back")
    assert back.manifest(ID).provenance == "testnet"
    assert same_columns(found, applied(depth[depth["side"] != 0])) == EVERY - {"prev_seq"}
    assert same_columns(rows_of(back, ID, "trades"), trade_rows) == EVERY
    assert same_columns(rows_of(back, ID, "quotes"), quotes) == EVERY - {"seq"}
    assert (rows_of(back, ID, "quotes")["seq"] == engine.SEQ_NONE).all()
    again = run_import("nautilus", ["nt"], ID, "back")
    assert not again.changed
    run_export("nautilus", ID, back.root, "second")
    for table in ("order_book_delta", "trade_tick", "quote_tick"):
        first, second = (pq.read_table(f"{root}/data/{table}/{ID}") for root in ("nt", "second"))
        assert first.equals(second)


@needs_recordings
@needs_nautilus
def test_a_round_trip_of_a_recording(recorded_catalog: Catalog) -> None:
    """What does not come back: what a delta continues from, the mark of raised times, ids of
    quotes, and which venue times are ours.
    """
    spot = "BTCUSDT.BINANCE"
    run_export("nautilus", spot, recorded_catalog.root, "nt")
    report = run_import("nautilus", ["nt"], spot, "back")
    assert report.provenance == "recorded"
    back = Catalog("back")
    for kind, lost in (
        ("depth", {"prev_seq"}),
        ("trades", set()),
        ("quotes", {"seq", "ts_event_ns"}),
    ):
        ours, found = (rows_of(catalog, spot, kind) for catalog in (recorded_catalog, back))
        if kind == "depth":
            ours = applied(ours)
            ours["flags"] &= ~np.uint16(engine._core.FLAG_RECV_RAISED)
        assert same_columns(found, ours) == EVERY - lost, kind
        if kind == "quotes":
            assert np.array_equal(found["ts_event_ns"], ours["ts_recv_ns"])


@needs_nautilus
def test_a_catalog_that_nautilus_wrote() -> None:
    """Its own objects through its own writer: deltas, trades, quotes; then books of ten levels."""
    from nautilus_trader.model import data, enums, identifiers, objects
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    Path("nt").mkdir()
    theirs = ParquetDataCatalog(str(Path("nt").resolve()))
    id = identifiers.InstrumentId.from_str(ID)

    def order(side: Any, px: str, size: str) -> Any:
        return data.BookOrder(side, objects.Price.from_str(px), objects.Quantity.from_str(size), 0)

    buy, sell = enums.OrderSide.BUY, enums.OrderSide.SELL
    rows = [
        data.OrderBookDelta.clear(id, 7, T0, T0 + 5),
        data.OrderBookDelta(
            id, enums.BookAction.ADD, order(buy, "99.9", "1.000"), 32, 7, T0, T0 + 5
        ),
        data.OrderBookDelta(
            id, enums.BookAction.ADD, order(sell, "100.1", "2.500"), 128, 7, T0, T0 + 5
        ),
        data.OrderBookDelta(
            id, enums.BookAction.DELETE, order(buy, "99.9", "1.000"), 128, 8, T0 + 1, T0 + 6
        ),
    ]
    theirs.write_data(rows)
    theirs.write_data(
        [
            data.TradeTick(
                id,
                objects.Price.from_str("100.1"),
                objects.Quantity.from_str("0.004"),
                enums.AggressorSide.SELLER,
                identifiers.TradeId("12"),
                T0,
                T0 + 9,
            )
        ]
    )
    report, depth = load()
    assert depth[["kind", "side", "px_ticks", "qty_lots", "seq", "flags"]].tolist() == [
        (2, 1, 999, 1000, 7, 1),
        (2, 2, 1001, 2500, 7, 2),
        (1, 1, 999, 0, 8, 3),
    ]
    assert report.rows == {"depth": 3, "trades": 1, "offbook": 0, "quotes": 0}
    Path("ten").mkdir()
    none = data.NULL_ORDER
    bids = [order(buy, "99.9", "1.000"), *[none] * 9]
    asks = [order(sell, "100.1", "1.000"), order(sell, "100.2", "2.000"), *[none] * 8]
    ParquetDataCatalog(str(Path("ten").resolve())).write_data(
        [
            data.OrderBookDepth10(id, bids, asks, [1] * 10, [1] * 10, 0, 1, T0 + at, T0 + at)
            for at in (1, 2)
        ]
    )
    _, depth = load("ten", "catalog of ten")
    book = [(1, 999, 1000), (2, 1001, 1000), (2, 1002, 2000)]
    assert depth[["side", "px_ticks", "qty_lots"]].tolist() == book * 2
    assert [len(rows) for rows in messages(depth)] == [3, 3]
    assert set(depth["kind"]) == {2}


# How rows are taken.


@pytest.mark.parametrize("width", [16, 8])
def test_both_widths_of_integers(width: int) -> None:
    put("order_book_delta", deltas(*BOOK, width=width))
    put("trade_tick", trades((100.1, 0.004, 2, "12", 5), width=width))
    _, depth = load()
    assert depth["px_ticks"].tolist() == [999, 1001]
    (trade,) = rows_of(Catalog("catalog"), ID, "trades")
    assert (trade["px_ticks"], trade["qty_lots"], trade["side"], trade["seq"]) == (1001, 4, 2, 12)


def test_messages_end_with_their_flag() -> None:
    put(
        "order_book_delta",
        deltas(
            *BOOK,
            (UPDATE, BUY, 99.8, 1.0, 0, 11, 2, 3),
            (UPDATE, BUY, 99.7, 1.0, LAST, 11, 2, 3),
            (UPDATE, BUY, 99.6, 1.0, LAST, 12, 2, 3),
            (UPDATE, BUY, 99.5, 1.0, 0, 13, 2, 4),
            (UPDATE, SELL, 100.5, 1.0, LAST, 13, 3, 5),
            (UPDATE, BUY, 99.4, 1.0, 0, 14, 9, 9),
        ),
    )
    report, depth = load()
    assert [len(rows) for rows in messages(depth)] == [2, 2, 1, 2, 1]
    assert depth["ts_recv_ns"].tolist() == [T0 + at * MS for at in (1, 1, 3, 3, 3, 5, 5, 9)]
    assert depth["seq"].tolist() == [10, 10, 11, 11, 12, 13, 13, 14]
    notes = " ".join(report.notes)
    assert "Rows received before the end of their message: 1; given" in notes
    assert "Rows after the last F_LAST: 1; taken for one message." in notes


def test_without_flags_rows_of_equal_times_are_a_message() -> None:
    rows = [(*row[:4], 0, *row[5:]) for row in BOOK]
    rows += [(UPDATE, BUY, 99.8 - i / 10, 1.0, 0, 11, i // 2, 3) for i in range(4)]
    put("order_book_delta", deltas(*rows))
    report, depth = load()
    assert [len(rows) for rows in messages(depth)] == [2, 2, 2]
    assert "No depth row is flagged F_LAST: rows of equal times are one message." in report.notes


@pytest.mark.parametrize("ids", [(11, 11), (12, 11), (0, 0)])
def test_sequence_numbers_that_do_not_rise_are_left_out(ids: tuple[int, int]) -> None:
    """Our book would skip such messages as older than itself."""
    rows = [
        (UPDATE, BUY, 99.8, 1.0, LAST, ids[0], 1, 2),
        (DELETE, BUY, 99.9, 0, LAST, ids[1], 2, 3),
    ]
    put("order_book_delta", deltas(*BOOK, *rows))
    report, depth = load()
    assert (depth["seq"] == engine.SEQ_NONE).all()
    assert "do not rise from message to message" in " ".join(report.notes)
    bids, asks = engine._core.replay_book(depth)
    assert (bids.tolist(), asks.tolist()) == ([[998, 1000]], [[1001, 1000]])


def test_books_that_begin_without_a_clear() -> None:
    flagged = [(*row[:4], SNAPSHOT if row[4] == SNAPSHOT else LAST, *row[5:]) for row in BOOK[1:]]
    put("order_book_delta", deltas(*flagged))
    assert load()[1]["kind"].tolist() == [2, 2]
    plain = [(UPDATE, BUY, 99.9, 1.0, LAST, 5, 0, 1), (UPDATE, SELL, 100.1, 1.0, LAST, 6, 1, 2)]
    put("order_book_delta", deltas(*plain), root="plain")
    report, depth = load("plain", "catalog of plain")
    assert depth["kind"].tolist() == [1, 1]
    assert "Depth rows before any CLEAR: 2; no book comes of them" in " ".join(report.notes)
    _, depth = load("plain", "catalog of empty", options={"begin": "empty"})
    assert depth[["kind", "side"]].tolist() == [(2, 0), (1, 1), (1, 2)]


def test_clears() -> None:
    put(
        "order_book_delta",
        deltas(
            *BOOK,
            (CLEAR, 0, 0, 0, LAST, 11, 1, 2),
            (UPDATE, BUY, 99.8, 1.0, 0, 12, 2, 3),
            (CLEAR, 0, 0, 0, 0, 12, 2, 3),
            (ADD, BUY, 99.7, 1.0, LAST, 12, 2, 3),
        ),
    )
    report, depth = load()
    assert depth[["kind", "side", "px_ticks"]].tolist() == [
        (2, 1, 999),
        (2, 2, 1001),
        (2, 0, 0),
        (2, 1, 997),
    ]
    assert "Rows that a CLEAR in their own message took back: 1; left out." in report.notes


def test_trade_ids() -> None:
    put(
        "trade_tick",
        trades(
            (100.1, 0.001, 1, "41", 1),
            (100.1, 0.001, 1, "41", 1),
            (100.1, 0.002, 1, "41", 1),
            (100.1, 0.001, 0, "a-b-c", 2),
            (100.1, 0.001, 0, "a-b-c", 2),
            (100.1, 0.001, 2, "007", 3),
            (100.1, 0.001, 2, "9" * 19, 3),
            (100.1, 0.001, 2, "0", 3),
        ),
    )
    report, _ = load()
    none = engine.SEQ_NONE
    rows = rows_of(Catalog("catalog"), ID, "trades")
    assert rows["seq"].tolist() == [41, 41, none, none, none, none, 0]
    notes = " ".join(report.notes)
    assert "Trades that repeat the one before, id and all: 1; left out." in notes
    assert "Trades whose id is no whole number: 4; the id was left out." in notes


def test_another_id_and_what_is_not_read() -> None:
    put("order_book_delta", SOUND, id="BTC/USDT.VENUE")
    put("bar", SOUND, id="BTC/USDT.VENUE")
    message = refused()
    assert (
        "no order_book_delta, order_book_depth10, trade_tick, quote_tick of MADEUP.TEST" in message
    )
    assert "it has them of BTCUSDT.VENUE (options.instrument_id=… names another)" in message
    report, _ = load(options={"instrument_id": "BTC/USDT.VENUE"})
    assert report.rows["depth"] == len(SOUND) - 1
    assert "Left out, as they are not read here: bar." in report.notes
    with pytest.raises(ConfigError, match="options.id: expected one of begin, instrument_id"):
        load(options={"id": "x"})


def test_several_files_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go on from batch to batch and from file to file."""
    rows = deltas(
        *BOOK,
        *(
            (UPDATE, BUY, 99.8, 0.001 * i, 0 if i % 3 else LAST, 11 + i // 3, 5, 6)
            for i in range(1, 91)
        ),
    )
    put("order_book_delta", rows)
    _, whole = load()
    assert len({len(message) for message in messages(whole)}) > 1
    for at, begin in enumerate(range(0, len(rows), 20)):
        put("order_book_delta", rows.slice(begin, 20), root="parts", part=str(at))
    monkeypatch.setattr("engine.importers.nautilus_files._BATCH_ROWS", 7)
    report, parts = load("parts", "catalog of parts")
    assert parts.tolist() == whole.tolist()
    assert len(report.files) == 5


def test_venue_times_after_ours_shift_the_clock() -> None:
    ahead = [(*row[:6], row[6] + 50, row[7]) for row in BOOK]
    put("order_book_delta", deltas(*ahead))
    report, depth = load()
    assert report.clock_offset_ns == 49 * MS
    assert (depth["ts_recv_ns"] == depth["ts_event_ns"]).all()


# Rows that cannot be used.


def replaced(name: str, value: Any, at: int = 100) -> pa.Table:
    """The sound table with another value in one row."""
    column = SOUND[name].combine_chunks()
    new = fixed([value]) if name in ("price", "size") else pa.array([value], column.type)
    parts = [column[:at], new, column[at + 1 :]]
    index = SOUND.schema.get_field_index(name)
    return SOUND.set_column(index, name, pa.concat_arrays(parts))


BROKEN = {
    "a price between ticks": (
        "price",
        99.85,
        "price: expected a positive multiple of the tick 0.1",
    ),
    "a price of nothing": ("price", 0.0, "price: expected a positive multiple"),
    "a negative price": ("price", -99.9, "price: expected a positive multiple"),
    "a negative size": ("size", -0.001, "size: expected a multiple of the lot 0.001, not negative"),
    "an action that is none": ("action", 9, "action: expected 1 to 4, found 9"),
    "a level of no side": ("side", 0, "side: expected 1 (buy) or 2 (sell), found 0"),
    "a single order": ("order_id", 17, "order_id: expected 0 (a level of the book;"),
    "a best price alone": (
        "flags",
        TOB | LAST,
        "flags: expected levels of the book, without F_TOB",
    ),
    "a time in ms": ("ts_init", T0 // MS, "ts_init: expected ns since the epoch, from 1973"),
    "a venue time of nothing": ("ts_event", 0, "ts_event: expected ns since the epoch"),
    "a time beyond measure": ("ts_event", 2**64 - 1, "ts_event: expected ns since the epoch"),
    "a time that goes back": ("ts_init", T0, "ts_init: expected a time at or after those before"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_named_and_takes_no_neighbour_along(name: str) -> None:
    field, value, reason = BROKEN[name]
    put("order_book_delta", replaced(field, value))
    report, depth = load()
    assert (report.broken, report.lines) == (1, len(SOUND))
    (line,) = report.broken_first
    assert (line.file, line.line) == ("1.parquet", 101)
    assert reason in line.reason
    assert len(depth) == len(SOUND) - 2


def test_broken_trades() -> None:
    good = [(100.1, 0.001, 1, str(at), at) for at in range(1, 300)]
    put("trade_tick", trades(*good, (100.1, 0.0, 1, "300", 300), (100.1, 0.1, 3, "301", 301)))
    report, _ = load()
    assert [line.reason for line in report.broken_first] == [
        "size: expected a multiple of the lot 0.001, above 0, found 0",
        "aggressor_side: expected 0 to 2, found 3",
    ]


def test_too_many_broken_rows_fail_the_import() -> None:
    put("order_book_delta", SOUND.set_column(2, "price", fixed([99.85] * len(SOUND))))
    message = refused()
    assert "201 of 202 lines are broken, more than max_broken_share=0.01 allows" in message
    assert "1.parquet:2: price: expected a positive multiple of the tick 0.1" in message


# Catalogs that cannot be used.


def test_paths_that_are_no_catalog() -> None:
    Path("empty").mkdir()
    Path("file").write_bytes(b"PAR1")
    wanted = "expected a NautilusTrader catalog, a folder with data in it, found"
    assert f"{wanted} a folder without data at empty" in refused("empty")
    assert f"{wanted} a file at file" in refused("file")
    assert f"{wanted} none at missing" in refused("missing")
    Path("empty/data").mkdir()
    assert "it has them of no instrument" in refused("empty")
    with pytest.raises(ImportFailed, match="expected the folder of one catalog, found 2 paths"):
        run_import("nautilus", ["a", "b"], ID, "catalog")


def test_files_that_are_something_else() -> None:
    path = put("order_book_delta", SOUND)
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert f"{path}: the file is empty; nothing was imported" in refused()
    for content in (whole[: len(whole) // 2], b"hello", whole[:-3]):
        path.write_bytes(content)
        assert f"{path}: not a whole Parquet file" in refused()
    damaged = bytearray(whole)
    damaged[200:600] = bytes(400)
    path.write_bytes(damaged)
    assert "damaged after row 0" in refused()
    put("order_book_delta", SOUND.drop_columns("flags"))
    assert "expected a column flags of order_book_delta, found action, side, price" in refused()
    put("order_book_delta", SOUND.set_column(2, "price", pa.array([1.5] * len(SOUND))))
    assert "column price: expected fixed-point integers of 8 or 16 bytes, found double" in refused()
    put("order_book_delta", SOUND.set_column(8, "ts_init", SOUND["ts_init"].cast(pa.int64())))
    assert "column ts_init: expected uint64, found int64" in refused()
    put("order_book_delta", replaced("sequence", None))
    assert "column sequence: expected values, found 1 nulls" in refused()
    put("order_book_delta", SOUND[:0])
    assert "expected at least one row of use, found none in 0 lines" in refused()
    put("order_book_delta", SOUND.set_column(3, "size", fixed([1.0] * len(SOUND), 8)))
    assert "expected fixed-point integers of one width" in refused()
    put("order_book_delta", SOUND)
    put("trade_tick", trades((100.1, 0.001, 1, "1", 5)), id="OTHER.TEST")
    Path("nt/data/trade_tick/OTHER.TEST").rename(f"nt/data/trade_tick/{ID}")
    assert f"holds OTHER.TEST, asked for is {ID}" in refused()


def test_duplicate_files_and_rows() -> None:
    """A file is taken once; depth rows that repeat leave the same book."""
    path = put("order_book_delta", SOUND)
    (path.parent / "2.parquet").write_bytes(path.read_bytes())
    report, depth = load()
    assert report.lines == len(SOUND)
    put("order_book_delta", pa.concat_tables([SOUND, SOUND.slice(100)]), root="twice")
    message = refused_into("twice")
    assert "ts_init: expected a time at or after those before it" in message
    put("order_book_delta", SOUND.take([at for at in range(len(SOUND)) for _ in (0, 1)]), root="x")
    _, twice = load("x", "catalog of x")
    books = [engine._core.replay_book(rows) for rows in (depth, twice)]
    assert all(np.array_equal(*sides) for sides in zip(*books, strict=True))


def refused_into(root: str) -> str:
    with pytest.raises(ImportFailed) as caught:
        run_import("nautilus", [root], ID, "another")
    return str(caught.value)


@needs_nautilus
def test_testnet_data_never_passes_for_real(tmp_path: Path) -> None:
    depth, _ = random_feed(50, seed=3)
    made = catalog_of(tmp_path, INSTRUMENT, depth=depth)
    run_export("nautilus", ID, made.root, "nt")
    with pytest.raises(ImportFailed, match="holds testnet data, which is never imported as BTCUSD"):
        run_import("nautilus", ["nt"], USDM, "other", options={"instrument_id": ID})
    assert not Path("other").exists()
