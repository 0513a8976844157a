"""CSV of tardis.dev to the catalog. The files are written by these tests, in the vendor's published
columns; the last part writes real recordings in them and compares what comes back.
"""

from __future__ import annotations

import gzip
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import _core
from engine.catalog import Catalog
from engine.config import ConfigError
from engine.importers import ImportFailed, ImportReport, run_import
from engine.instruments import Instrument, load_instrument, write_instrument
from tests.recordings import CASES, Case, needs_recordings
from tests.tardis_lines import (
    BOOK,
    PERP,
    QUOTES,
    T0_US,
    TRADES,
    book_file,
    books,
    books_header,
    file,
    level,
    line,
    quote,
    sound_book,
    trade,
    trades_file,
)

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000
FIRST, LAST = _core.FLAG_FIRST, _core.FLAG_LAST


def imported(tmp_path: Path, *contents: bytes, **how: Any) -> ImportReport:
    paths = []
    for at, content in enumerate(contents):
        path = tmp_path / f"file{at}.csv"
        path.write_bytes(content)
        paths.append(str(path))
    instrument = how.pop("instrument", PERP)
    return run_import("tardis", paths, instrument, str(tmp_path / "cat"), **how)


def refused(tmp_path: Path, *contents: bytes, **how: Any) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    with pytest.raises(ValueError, match=r".") as caught:
        imported(tmp_path, *contents, **how)
    assert not (tmp_path / "cat").exists()
    return str(caught.value)


def stored(tmp_path: Path, kind: str, instrument: str = PERP, name: str = "cat") -> Any:
    return np.concatenate(list(Catalog(tmp_path / name).batches(instrument, kind)))


def ms_of(times: Any) -> list[float]:
    return ((times - T0_US * 1000) / MS).tolist()


def messages(rows: Any) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Each message as its kind and its levels (side, ticks, lots)."""
    found = []
    for part in np.split(rows, np.flatnonzero(rows["flags"] & FIRST)[1:]):
        assert (part["flags"][1:] & FIRST == 0).all()
        assert (part["flags"][:-1] & LAST == 0).all()
        assert part["flags"][-1] & LAST
        assert len(set(part["ts_recv_ns"].tolist())) == 1
        levels = part[["side", "px_ticks", "qty_lots"]].tolist()
        found.append((int(part["kind"][0]), levels))
    return found


def test_rows_of_one_receive_time_are_one_message(tmp_path: Path) -> None:
    lines = [
        level(0, "bid", "100.0", "1.5", snapshot=True),
        level(0, "ask", "100.5", "2", snapshot=True),
        level(0, "bid", "99.9", "0.25"),
        level(10, "bid", "100.0", "0"),
        level(10, "ask", "100.50", "0.001"),
        level(11, "bid", "98", "1e-3"),
        level(20, "ask", "101.0", "7", snapshot=True),
    ]
    report = imported(tmp_path, file(BOOK, lines))
    rows = stored(tmp_path, "depth")
    assert messages(rows) == [
        (2, [(1, 1000, 1500), (2, 1005, 2000)]),
        (1, [(1, 999, 250)]),
        (1, [(1, 1000, 0), (2, 1005, 1)]),
        (1, [(1, 980, 1)]),
        (2, [(2, 1010, 7000)]),
    ]
    assert ms_of(rows["ts_recv_ns"]) == [0, 0, 0, 10, 10, 11, 20]
    assert ms_of(rows["ts_event_ns"]) == [-5, -5, -5, 5, 5, 6, 15]
    assert (rows["seq"] == _core.SEQ_NONE).all()
    assert (rows["prev_seq"] == _core.SEQ_NONE).all()
    assert report.messages == {"depth": 3, "snapshot": 2}
    assert report.notes == [
        "The format has no update ids: messages that are missing in it cannot be seen.",
        (
            "Snapshots after the first: 1; each is a new whole book (the start of a day's file, or"
            " the recorder had reconnected)."
        ),
        "The clocks agree (smallest latency 5.000 ms): no receive time was shifted.",
    ]
    manifest = Catalog(tmp_path / "cat").manifest(PERP)
    assert manifest.provenance == "recorded"
    assert manifest.gaps == 0
    assert manifest.imports[0].details["format"] == "tardis"


def test_a_snapshot_replaces_the_book(tmp_path: Path) -> None:
    lines = [*sound_book(3), level(100, "bid", "50.0", "1", snapshot=True)]
    imported(tmp_path, file(BOOK, lines))
    bids, asks = _core.replay_book(stored(tmp_path, "depth"))
    assert (bids.tolist(), asks.tolist()) == ([[500, 1000]], [])


def test_a_message_that_spans_blocks_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = file(BOOK, sound_book(200))
    imported(tmp_path, whole)
    expected = stored(tmp_path, "depth")
    monkeypatch.setattr("engine.importers.delimited._BLOCK_BYTES", 500)
    path = tmp_path / "file0.csv"
    run_import("tardis", [str(path)], PERP, str(tmp_path / "small"))
    assert np.array_equal(stored(tmp_path, "depth", name="small"), expected)
    assert len(messages(expected)) == 201


def test_depth_before_the_first_snapshot_is_told(tmp_path: Path) -> None:
    lines = [level(-5, "bid", "1", "1"), level(-4, "bid", "2", "1"), *sound_book(1)]
    report = imported(tmp_path, file(BOOK, lines))
    assert report.counts == {"depth_unjoined": 2}
    assert (
        "Depth messages without a snapshot to stand on: 2; no book comes of them." in report.notes
    )


def test_trades(tmp_path: Path) -> None:
    lines = [
        trade(0, 7, "buy", "100.1", "0.010"),
        trade(0, 8, "sell", "100", "1"),
        trade(1, 9, "unknown"),
        trade(1, "", ""),
    ]
    report = imported(tmp_path, file(TRADES, lines))
    rows = stored(tmp_path, "trades")
    assert rows["side"].tolist() == [1, 2, 0, 0]
    assert rows["px_ticks"].tolist() == [1001, 1000, 1000, 1000]
    assert rows["qty_lots"].tolist() == [10, 1000, 500, 500]
    assert rows["seq"].tolist() == [7, 8, 9, _core.SEQ_NONE]
    assert (rows["flags"] == FIRST | LAST).all()
    assert report.messages == {"trade": 4}
    assert report.counts == {"trades_without_id": 1}


def test_trade_ids_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    ids = ["4f9d0a3e-aaaa", "17", "", "4f9d0a3e-bbbb"]
    report = imported(tmp_path, file(TRADES, [trade(at, id) for at, id in enumerate(ids)]))
    assert stored(tmp_path, "trades")["seq"].tolist() == [1, 2, 3, 4]
    assert (
        "Trades whose ids are no numbers: 4; they are numbered from 1 in the order of the files."
        in report.notes
    )


def test_quotes(tmp_path: Path) -> None:
    lines = [
        quote(0, ("100.0", "1"), ("100.5", "2")),
        quote(1, ("", ""), ("100.5", "2")),
        quote(2, ("100.0", "3"), ("", "")),
        quote(3, ("", ""), ("", "")),
    ]
    report = imported(tmp_path, file(QUOTES, lines))
    assert messages(stored(tmp_path, "quotes")) == [
        (5, [(1, 1000, 1000), (2, 1005, 2000)]),
        (5, [(2, 1005, 2000)]),
        (5, [(1, 1000, 3000)]),
        (5, [(0, 0, 0)]),
    ]
    assert report.messages == {"quote": 4}


def test_whole_books_become_differences(tmp_path: Path) -> None:
    bids = [("100.0", "1"), ("99.5", "2")]
    asks = [("100.5", "1"), ("101.0", "2")]
    lines = [
        books(0, bids, asks, 2),
        books(1, bids, asks, 2),
        books(2, [("100.1", "4"), ("100.0", "1")], asks, 2),
        books(3, [("100.1", "4"), ("100.0", "3")], asks[:1], 2),
        books(4, [], [], 2),
    ]
    report = imported(tmp_path, file(books_header(2), lines))
    assert messages(stored(tmp_path, "depth")) == [
        (2, [(1, 1000, 1000), (1, 995, 2000), (2, 1005, 1000), (2, 1010, 2000)]),
        (1, [(0, 0, 0)]),
        (1, [(1, 995, 0), (1, 1001, 4000)]),
        (1, [(2, 1010, 0), (1, 1000, 3000)]),
        (1, [(1, 1001, 0), (1, 1000, 0), (2, 1005, 0)]),
    ]
    assert report.messages == {"book": 5}
    assert report.counts == {"books_unchanged": 1}
    assert report.notes[0].startswith("The books hold 2 levels a side: what lies beyond")


def test_a_whole_book_stands_each_hour_and_behind_a_crossed_one(tmp_path: Path) -> None:
    hour = 3_600_000
    one = [("100.0", "1")], [("100.5", "1")]
    lines = [
        books(0, *one, 1),
        books(1, [("100.5", "1")], [("100.5", "1")], 1),
        books(2, *one, 1),
        books(3, *one, 1),
        books(hour, *one, 1),
    ]
    imported(tmp_path, file(books_header(1), lines))
    assert [kind for kind, _ in messages(stored(tmp_path, "depth"))] == [2, 1, 2, 1, 2]


def test_books_of_differences_equal_the_books_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 random books of 5 levels, read in small blocks: after each message the rebuilt book is
    the file's.
    """
    random = np.random.default_rng(1)
    lines, expected = [], []
    for at in range(300):
        mid = 1000 + int(random.integers(-3, 4))
        sides = []
        for sign in (-1, 1):
            away = np.sort(
                random.choice(np.arange(1, 9), int(random.integers(0, 6)), replace=False)
            )
            sides.append([(mid + sign * int(d), int(random.integers(1, 4))) for d in away])
        expected.append(sides)
        cells = [[(f"{px / 10:.1f}", f"{qty / 1000:.3f}") for px, qty in side] for side in sides]
        lines.append(books(at, *cells, 5))
    monkeypatch.setattr("engine.importers.delimited._BLOCK_BYTES", 3000)
    imported(tmp_path, file(books_header(5), lines))
    rows = stored(tmp_path, "depth")
    ends = np.flatnonzero(rows["flags"] & LAST) + 1
    assert len(ends) == 300
    for end, (bids, asks) in zip(ends.tolist(), expected, strict=True):
        found = [side.tolist() for side in _core.replay_book(rows[:end])]
        assert found == [[list(item) for item in bids], [list(item) for item in asks]]
    assert (rows["kind"] == 1).any()


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path: Path) -> None:
    header = "symbol,exchange,local_timestamp,timestamp,extra,price,amount,side,id"
    content = f"{header}\nBTCUSDT,binance-futures,{T0_US},{T0_US},x,100.5,1,sell,3\n"
    imported(tmp_path, content.encode())
    rows = stored(tmp_path, "trades")
    assert (rows["px_ticks"][0], rows["side"][0], rows["seq"][0]) == (1005, 2, 3)


def test_files_of_several_kinds_and_days_at_once(tmp_path: Path) -> None:
    day = [level(86_400_000 + at, "bid", "100.0", "1", snapshot=at == 0) for at in range(3)]
    report = imported(
        tmp_path,
        file(BOOK, day),
        gzip.compress(file(TRADES, [trade(5, 1)])),
        file(BOOK, sound_book(2)),
        file(QUOTES, [quote(5, ("100.0", "1"), ("100.5", "2"))]),
    )
    assert report.rows == {"depth": 9, "trades": 1, "offbook": 0, "quotes": 2}
    assert ms_of(stored(tmp_path, "depth")["ts_recv_ns"])[-1] == 86_400_002
    again = run_import("tardis", [str(tmp_path / "*.csv")], PERP, str(tmp_path / "cat"))
    assert not again.changed


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    one = file(TRADES, [trade(0, 1), trade(100, 2)])
    two = file(TRADES, [trade(50, 3)])
    assert "file1.csv: its trades begin at" in refused(tmp_path, one, two)


def test_the_book_comes_from_one_kind_of_files(tmp_path: Path) -> None:
    one = file(books_header(1), [books(0, [("1", "1")], [("2", "1")], 1)])
    message = refused(tmp_path, file(BOOK, sound_book(1)), one)
    assert "both tell the book; import one of them" in message


def test_a_receive_clock_that_runs_behind(tmp_path: Path) -> None:
    lines = [
        level(0, "bid", "1", "1", snapshot=True, event_ms=7),
        level(10, "bid", "1", "2", event_ms=12),
    ]
    report = imported(tmp_path, file(BOOK, lines), base_latency_ns=MS)
    assert report.clock_offset_ns == 8 * MS
    assert ms_of(stored(tmp_path, "depth")["ts_recv_ns"]) == [8, 18]


BROKEN = {
    "fields missing": (level(500, "bid", "100.0", "1")[:-2], "expected 8 fields, found 7"),
    "fields too many": (level(500, "bid", "100.0", "1") + ",", "expected 8 fields, found 9"),
    "cut in the middle": ("binance-futures,BTC", "expected 8 fields, found 2"),
    "no text": (b"\xff\xfe,1", "not UTF-8 text: byte 1"),
    "zero bytes": (b"binance\0-futures", "expected text, found binary data"),
    "another symbol": (
        line(500, "false", "bid", "1", "1", who="binance-futures,ETHUSDT"),
        "symbol: expected the symbol BTCUSDT, found 'ETHUSDT'",
    ),
    "another exchange": (
        line(500, "false", "bid", "1", "1", who="binance,BTCUSDT"),
        "exchange: expected one of binance-futures, found 'binance'",
    ),
    "a time in ms": (
        f"binance-futures,BTCUSDT,{T0_US // 1000},{T0_US},false,bid,1,1",
        f"timestamp: expected a time from 2009 to 2100 in µs, found '{T0_US // 1000}'",
    ),
    "a time in words": (
        "binance-futures,BTCUSDT,2024-08-09,2024-08-09,false,bid,1,1",
        "timestamp: expected a time from 2009 to 2100 in µs, found '2024-08-09'",
    ),
    "no time": (
        f"binance-futures,BTCUSDT,{T0_US},,false,bid,1,1",
        "local_timestamp: expected a time from 2009 to 2100 in µs, found nothing",
    ),
    "a venue time years off": (
        level(500, "bid", "1", "1", event_ms=-(10**11)),
        "timestamp: expected a time within 86,400 s of the receive time, found",
    ),
    "a receive time that goes back": (
        level(-5000, "bid", "1", "1"),
        "local_timestamp: expected a time that does not go back, nor ahead",
    ),
    "a receive time ahead of all": (
        level(10**9, "bid", "1", "1"),
        "local_timestamp: expected a time that does not go back, nor ahead",
    ),
    "neither true nor false": (
        line(500, "maybe", "bid", "1", "1"),
        "is_snapshot: expected one of false, true, found 'maybe'",
    ),
    "no side": (line(500, "false", "", "1", "1"), "side: expected one of bid, ask, found nothing"),
    "a trade's side": (level(500, "buy", "1", "1"), "side: expected one of bid, ask, found 'buy'"),
    "a price off the tick": (
        level(500, "bid", "100.05", "1"),
        "price: expected a positive multiple of the tick 0.1, found '100.05'",
    ),
    "a price of zero": (level(500, "bid", "0", "1"), "price: expected a positive multiple of"),
    "a negative price": (level(500, "bid", "-1", "1"), "price: expected a positive multiple of"),
    "a price in words": (level(500, "bid", "NaN", "1"), "multiple of the tick 0.1, found 'NaN'"),
    "a price out of range": (level(500, "bid", "9" * 30, "1"), "price: expected a positive"),
    "a negative amount": (
        level(500, "bid", "1", "-1"),
        "amount: expected a multiple of the lot 0.001, not negative, found '-1'",
    ),
    "an amount off the lot": (level(500, "bid", "1", "0.0005"), "lot 0.001, not negative, found"),
    "no amount": (level(500, "bid", "1", ""), "not negative, found nothing"),
    "quotes around a cell": (level(500, '"bid"', "1", "1"), "side: expected one of bid, ask"),
    "a quote that opens": (level(500, '"bid', "1", "1"), "side: expected one of bid, ask"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_line_costs_itself_only(tmp_path: Path, name: str) -> None:
    bad, reason = BROKEN[name]
    lines = [text.encode() for text in sound_book(100)]
    bad = bad if isinstance(bad, bytes) else bad.encode()
    # The 51st line behind the first; what lies around it has 490 and 500 ms.
    content = b"\n".join([BOOK.encode(), *lines[:100], bad, *lines[100:], b""])
    report = imported(tmp_path, content)
    assert (report.lines, report.broken) == (203, 1)
    assert report.broken_first[0].line == 102
    assert reason in report.broken_first[0].reason
    assert report.rows["depth"] == 202
    expected = file(BOOK, sound_book(100))
    path = tmp_path / "sound.csv"
    path.write_bytes(expected)
    run_import("tardis", [str(path)], PERP, str(tmp_path / "sound"))
    assert np.array_equal(stored(tmp_path, "depth"), stored(tmp_path, "depth", name="sound"))


def test_lines_that_repeat_are_left_out(tmp_path: Path) -> None:
    lines = sound_book(5)
    twice = list(itertools.chain.from_iterable((text, text) for text in lines))
    rows = [trade(0, 1), trade(0, 1), trade(1, 1), trade(2, ""), trade(2, "")]
    report = imported(tmp_path, file(BOOK, twice), file(TRADES, rows))
    assert report.rows["depth"] == len(lines)
    assert report.rows["trades"] == 4, "trades without an id may be two of the same"
    assert report.counts["depth_duplicates"] == len(lines)
    assert report.counts["trade_duplicates"] == 1
    assert f"Depth rows that repeat the row before: {len(lines)}; left out." in report.notes


def test_small_steps_back_in_time_are_raised(tmp_path: Path) -> None:
    lines = [*sound_book(1), level(5, "bid", "99.0", "1"), level(20, "bid", "99.1", "1")]
    report = imported(tmp_path, file(BOOK, lines))
    assert ms_of(stored(tmp_path, "depth")["ts_recv_ns"]) == [0, 0, 10, 10, 10, 20]
    assert len(messages(stored(tmp_path, "depth"))) == 4
    assert "Receive times that went back: 1; raised to the line before." in report.notes


def test_a_file_in_the_wrong_order_is_refused(tmp_path: Path) -> None:
    lines = [trade(1000 * 60 * at, at) for at in range(100, 0, -1)]
    message = refused(tmp_path, file(TRADES, lines))
    assert "of 100 lines are broken" in message
    assert "local_timestamp: expected a time that does not go back" in message


def test_files_that_hold_nothing_of_use(tmp_path: Path) -> None:
    header_only = refused(tmp_path, file(TRADES, []))
    assert "expected at least one row of use, found none in 0 lines" in header_only
    assert "the file is empty; nothing was imported" in refused(tmp_path, b"")
    assert "found binary data" in refused(tmp_path, b"\x93NUMPY\x01\x00")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("a,b,c", "found 'a,b,c'"),
        (BOOK.replace("amount", "size"), "is_snapshot,side,price,size'"),
        (TRADES.replace(",id", ""), "found 'exchange,symbol"),
        (f"{TRADES},funding_rate,mark_price", "found a file of derivative_ticker"),
        ("exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount", "asks[0]"),
        (books_header(2).replace("bids[1]", "bids[7]"), "bids[7]"),
        ("1,2,3", "found '1,2,3'"),
    ],
)
def test_files_of_other_columns(tmp_path: Path, header: str, found: str) -> None:
    message = refused(tmp_path, file(header, ["x"]))
    assert "expected one of incremental_book_L2, trades, quotes, book_snapshot of" in message
    assert found in message


def test_a_column_named_twice(tmp_path: Path) -> None:
    message = refused(tmp_path, file(f"{TRADES},price", []))
    assert "the first line names price more than once" in message


def test_liquidations_are_not_taken_for_trades(tmp_path: Path) -> None:
    path = tmp_path / "binance-futures_liquidations_2024-08-09_BTCUSDT.csv"
    path.write_bytes(file(TRADES, [trade(0, 1)]))
    with pytest.raises(ImportFailed, match="found a file of liquidations.*options.kind=trades"):
        run_import("tardis", [str(path)], PERP, str(tmp_path / "cat"))
    options = {"kind": "trades"}
    report = run_import("tardis", [str(path)], PERP, str(tmp_path / "cat"), options=options)
    assert report.rows["trades"] == 1


def test_a_file_of_another_instrument(tmp_path: Path) -> None:
    content = file(TRADES, [trade(at, at).replace("BTCUSDT", "ETHUSDT") for at in range(50)])
    assert refused(tmp_path, content) == (
        f"file0.csv: holds ETHUSDT, instrument {PERP} expects BTCUSDT; nothing was imported"
    )
    spot = refused(tmp_path, file(TRADES, [trade(0, 1)]), instrument="BTCUSDT.BINANCE")
    assert "exchange: expected one of binance, found 'binance-futures'" in spot


def test_the_wrong_tick(tmp_path: Path) -> None:
    content = file(TRADES, [trade(at, at, px=f"100.{at:02d}") for at in range(1, 50)])
    message = refused(tmp_path, content)
    assert "45 of 49 lines are broken" in message
    assert "price: expected a positive multiple of the tick 0.1, found '100.01'" in message


def test_options_of_the_format(tmp_path: Path) -> None:
    content = file(TRADES, [trade(0, 1).replace("binance-futures,BTCUSDT", "okex-swap,BTC-USDT")])
    options = {"exchange": "okex-swap", "symbol": "BTC-USDT"}
    assert imported(tmp_path, content, options=options).rows["trades"] == 1
    for options, words in (
        ({"kind": "trade"}, "options.kind: expected one of incremental_book_L2, trades, quotes"),
        ({"max_delay_s": "x"}, "options.max_delay_s: expected 1 to 1000000000, found 'x'"),
        ({"ratio_max": "0"}, "options.ratio_max: expected a whole number above 0, found '0'"),
        ({"symbl": "x"}, "options.symbl: expected one of exchange, kind"),
    ):
        with pytest.raises(ConfigError) as caught:
            imported(tmp_path, content, options=options)
        assert words in str(caught.value)


def test_an_exchange_without_recordings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = load_instrument("BTCUSD-PERP.BINANCE").to_mapping()
    values |= {"market": "other", "symbol": "XBTUSD", "tick": "0.5"}
    write_instrument(
        Instrument.from_mapping("XBTUSD-PERP.BITMEX", values), tmp_path / "conf" / "instrument"
    )
    rows = [trade(at, f"{at}-a", px="100.5", qty=3) for at in range(150)]
    lines = [text.replace("binance-futures,BTCUSDT", "bitmex,XBTUSD") for text in rows]
    lines.append(rows[0].replace("binance-futures,BTCUSDT", "bitmax,XBTUSD"))
    report = imported(tmp_path, file(TRADES, lines), instrument="XBTUSD-PERP.BITMEX")
    assert (report.rows["trades"], report.broken) == (150, 1)
    assert "exchange: expected one of bitmex, found 'bitmax'" in report.broken_first[0].reason
    assert "The files are of the exchange bitmex." in report.notes


def test_a_longer_delay_is_taken_when_it_is_allowed(tmp_path: Path) -> None:
    late = file(TRADES, [line(0, 2, "buy", "1", "1", event_ms=-2 * 86_400_000)])
    assert "within 86,400 s of the receive time" in refused(tmp_path, late)
    assert imported(tmp_path, late, options={"max_delay_s": "200000"}).rows["trades"] == 1


def test_what_a_cut_file_had_before_the_cut_counts(tmp_path: Path) -> None:
    lines = [level(at, "bid", 100 + at % 97, at % 89, snapshot=at == 0) for at in range(40_000)]
    content = gzip.compress(file(BOOK, lines), 1)
    report = imported(tmp_path, content[: len(content) // 2])
    assert report.broken == 1
    assert "cut off or damaged" in report.broken_first[0].reason
    assert report.rows["depth"] > 10_000
    assert any("the lines before that count" in note for note in report.notes)


def test_a_last_line_without_its_end_is_told(tmp_path: Path) -> None:
    report = imported(tmp_path, file(BOOK, sound_book(3)).rstrip(b"\n"))
    assert report.rows["depth"] == 8
    assert any(note.startswith("Files whose last line has no line end: 1") for note in report.notes)


def test_a_zip_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.importers.tables._RATIO_FROM_BYTES", 1 << 20)
    lines = file(BOOK, sound_book(1)) + (level(20, "bid", "1", "1") + "\n").encode() * 100_000
    content = gzip.compress(lines, 9)
    assert len(lines) > 200 * len(content)
    message = refused(tmp_path, content)
    assert "unpacks to more than 200 times its size" in message
    assert "options.ratio_max=NUMBER raises the limit" in message
    assert imported(tmp_path, content, options={"ratio_max": "1000"}).rows["depth"] == 5


@needs_recordings
@pytest.mark.parametrize("case", CASES[2:3], ids=lambda case: case.id)
def test_a_recording_written_as_tardis_comes_back_row_by_row(tmp_path: Path, case: Case) -> None:
    """Real depth and trades, through the vendor's format, are the same rows but for what it cannot
    hold: update ids, and times finer than 1 µs.
    """
    first = str(tmp_path / "first")
    run_import("binance", [str(path) for path in case.paths()], case.id, first)
    original = {kind: stored(tmp_path, kind, case.id, "first") for kind in ("depth", "trades")}
    places = tuple(len(step.partition(".")[2]) for step in (case.tick, case.lot))
    who = f"binance-futures,{case.id.partition('-')[0]}"
    depth = book_file(original["depth"], who, places)
    trades = trades_file(original["trades"], who, places)
    report = imported(tmp_path, depth, gzip.compress(trades, 1), instrument=case.id)
    assert (report.broken, report.clock_offset_ns) == (0, 0)
    assert report.messages["trade"] == case.trades
    for kind, rows in original.items():
        found = stored(tmp_path, kind, case.id)
        assert len(found) == len(rows)
        same = ["px_ticks", "qty_lots", "kind", "side"]
        same += ["seq", "flags"] if kind == "trades" else []
        for name in same:
            assert np.array_equal(found[name], rows[name]), name
        for name in ("ts_event_ns", "ts_recv_ns"):
            assert np.array_equal(found[name], rows[name] // 1000 * 1000), name
    ours, theirs = (
        _core.replay_book(rows) for rows in (stored(tmp_path, "depth", case.id), original["depth"])
    )
    assert len(ours[0]) > 500
    for side in range(2):
        assert np.array_equal(ours[side], theirs[side])
