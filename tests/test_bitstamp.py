"""Bitstamp's orders one by one: the rebuilt book, trades, single orders, and damaged input."""

from __future__ import annotations

import gzip
import json
import lzma
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from engine.catalog import ORDER_ACTIONS, Catalog, catalog_rows
from engine.importers import ImportReport, run_import
from engine.verify import verify
from tests.oracles import bitstamp as oracle
from tests.recordings import ROOT, needs_recordings

ID = "BTCUSD.BITSTAMP"
T0 = 1_430_438_400_000
Events = np.ndarray[Any, np.dtype[np.void]]


def recording() -> Path:
    assert ROOT is not None
    return Path(ROOT) / "bitstamp_l3" / "btcusd_20150501.log.xz"


@cache
def messages() -> list[oracle.Message]:
    return oracle.read(recording())


@cache
def rebuilt(seed: str) -> list[oracle.Compared]:
    return oracle.rebuild(messages(), seed)[0]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ImportReport]:
    root = str(tmp_path_factory.mktemp("bitstamp"))
    return root, run_import("bitstamp_l3", [str(recording())], ID, root)


def rows(root: str | Path, kind: str) -> Events:
    return np.concatenate([np.empty(0, _core.EVENT_DTYPE), *Catalog(root).batches(ID, kind)])


@needs_recordings
@pytest.mark.parametrize(
    ("seed", "best_px", "equal"),
    [
        ("none", 4956, {1: 4954, 10: 3843, 20: 1796}),
        ("first", 4981, {1: 4979, 10: 4407, 20: 2296}),
        ("extended", 5007, {1: 5005, 10: 4979, 20: 4936}),
        ("hindsight", 5008, {1: 5006, 10: 4980, 20: 4944}),
    ],
)
def test_the_rebuilt_book_against_every_published_one(
    seed: str, best_px: int, equal: dict[int, int]
) -> None:
    compared = rebuilt(seed)
    assert len(compared) == 5011
    assert sum(item.equal_prices() for item in compared) == best_px
    assert {n: sum(item.equal(n) for item in compared) for n in equal} == equal


@needs_recordings
@pytest.mark.parametrize(
    ("levels", "reasons"),
    [
        (10, {"before any": 1, "older by 1": 25, "older by 2": 1, "newer by 1": 5}),
        (
            20,
            {
                "before any": 1,
                "into view": 21,
                "older by 1": 45,
                "older by 2": 1,
                "older by 3": 1,
                "older by 4": 1,
                "newer by 1": 5,
            },
        ),
    ],
)
def test_every_difference_is_explained(levels: int, reasons: dict[str, int]) -> None:
    compared = rebuilt("extended")
    assert oracle.explain(messages(), compared, "extended", levels) == Counter(reasons)


@needs_recordings
def test_an_explanation_is_not_given_to_a_wrong_book() -> None:
    start = messages()[:3000]
    right, _ = oracle.rebuild(start, "extended")
    assert oracle.explain(start, right, "extended", 10)["unexplained"] == 0
    # Without one order that stands in the top ten from one book to a later one, these are wrong.
    earlier, later = right[100], right[110]
    shown = dict(earlier.published[0][:10])
    ended = {message.id for message in start[: later.at] if message.kind == "order_deleted"}
    at = next(
        at
        for at, message in enumerate(start[: earlier.at])
        if message.kind == "order_created" and message.side == 0 and message.id not in ended
        if message.px in shown
    )
    broken = start[:at] + start[at + 1 :]
    wrong, _ = oracle.rebuild(broken, "extended")
    assert oracle.explain(broken, wrong, "extended", 10)["unexplained"] >= 10


@needs_recordings
def test_the_catalog_has_the_oracles_book_at_every_published_one(
    imported: tuple[str, ImportReport],
) -> None:
    compared = rebuilt("extended")
    expected = iter(compared[1:])
    levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
    different = 0
    depth = rows(imported[0], "depth")
    assert set(depth["kind"][: np.flatnonzero(depth["flags"] & 2)[0] + 1]) == {2}
    for side, px, qty in depth[["side", "px_ticks", "qty_lots"]].tolist():
        if side == 0:
            top = tuple(
                tuple(sorted(sizes.items(), reverse=at == 0)[:20])
                for at, sizes in enumerate(levels)
            )
            different += top != next(expected).mine
        elif qty:
            levels[side - 1][px] = qty
        else:
            del levels[side - 1][px]
    assert next(expected, None) is None
    assert different == 0


@needs_recordings
def test_what_the_import_tells(imported: tuple[str, ImportReport]) -> None:
    root, report = imported
    assert (report.lines, report.broken, report.gaps) == (56_000, 0, 0)
    assert report.messages == {
        "order_created": 24_894,
        "order_changed": 602,
        "order_deleted": 24_918,
        "trade": 575,
        "order_book": 5_011,
    }
    assert report.rows == {"depth": 54_500, "trades": 575, "quotes": 10_022, "orders": 50_632}
    counts = report.counts
    assert (counts["books_compared"], counts["books_equal_best"]) == (5010, 5005)
    assert counts["books_equal_top_10"] == 4979
    named = {name: count for name, count in counts.items() if name.startswith("orders_")}
    assert {name.removeprefix("orders_"): count for name, count in named.items()} == {
        "added": 24_889,
        "changed": 598,
        "deleted": 24_713,
        "crossing": 385,
        "evicted": 0,
        "unknown": 187,
        "added_twice": 0,
        "added_after_delete": 5,
        "changed_unknown": 3,
        "changed_after_delete": 1,
        "deleted_unknown": 184,
        "deleted_twice": 21,
        "impossible": 0,
    }
    assert any("5,005 (99.90%) equal the rebuilt one" in note for note in report.notes)
    assert [row["kind"] for row in catalog_rows(root)] == ["depth", "trades", "quotes", "orders"]


@needs_recordings
def test_verify_holds_the_catalogs_book_against_the_venues_best_prices(
    imported: tuple[str, ImportReport],
) -> None:
    report = verify(imported[0], ID)
    assert (report.aligned, report.equal, report.crossed, report.gaps) == (5010, 5005, 0, 0)
    assert (report.quotes, report.impossible, report.unready) == (5011, 0, 0)


@needs_recordings
def test_the_aggressor_of_every_trade(imported: tuple[str, ImportReport]) -> None:
    trades = rows(imported[0], "trades")
    found = dict(
        zip(trades["seq"].tolist(), (trades["side"].astype(int) - 1).tolist(), strict=True)
    )
    expected = oracle.aggressors(messages())
    assert set(found.values()) == {0, 1}
    # For eight trades one of the two orders is not found by the oracle.
    known = {id: side for id, side in expected.items() if side is not None}
    assert (len(expected), len(known)) == (575, 567)
    assert {id: found[id] for id in known} == known
    prices = {message.id: message.px for message in messages() if message.kind == "trade"}
    assert dict(zip(trades["seq"].tolist(), trades["px_ticks"].tolist(), strict=True)) == prices


@needs_recordings
def test_single_orders_make_the_same_book_again(imported: tuple[str, ImportReport]) -> None:
    root = imported[0]
    book = replayed(root)
    bids, asks = _core.replay_book(rows(root, "depth"))
    for side, levels in ((1, bids), (2, asks)):
        assert len(levels) > 80
        assert np.array_equal(book.levels(side)[:, :2], levels)
    assert book.in_flight() == []
    for px in bids[:20, 0].tolist():
        orders = book.queue(1, px)
        assert sum(qty for _, qty in orders) + book.unnamed(1, px) == book.qty_at(1, px)
    end_ns = (T0 + 60_000) * 1_000_000
    span = list(Catalog(root).order_batches(ID, end_ns=end_ns, batch_rows=50))
    assert all(len(batch) <= 50 for batch in span)
    told = sum(int(batch["action"].is_in([2, 3, 4]).sum()) for batch in span)
    kinds = {"order_created", "order_changed", "order_deleted"}
    assert told == sum(
        message.kind in kinds and message.ts_ms < T0 + 60_000 for message in messages()
    )


def replayed(root: str | Path) -> _core.OrderBook:
    """A book from the catalog's single orders alone."""
    book = _core.OrderBook()
    for batch in Catalog(root).order_batches(ID):
        for _, _, id, action, side, px, qty in batch.rows():
            match ORDER_ACTIONS[action - 1]:
                case "clear":
                    book = _core.OrderBook()
                case "add":
                    book.add(id, side, px, qty)
                case "change":
                    book.change(id, side, px, qty)
                case "delete":
                    book.delete(id)
                case "unnamed":
                    book.set_unnamed(side, px, qty)
                case "rest":
                    assert book.rest(id)
                case _:
                    book.rest_over(id)
    return book


# What follows needs no recording.


def order(ts: int, kind: str, id: Any, side: Any, price: Any, amount: Any, **more: Any) -> bytes:
    body = {"price": price, "amount": amount, "datetime": "1", "id": id, "order_type": side, **more}
    return f"{T0 + ts} order_{kind} {json.dumps(body)}".encode()


def published(ts: int, bids: Any, asks: Any) -> bytes:
    return f"{T0 + ts} order_book {json.dumps({'bids': bids, 'asks': asks})}".encode()


def trade(ts: int, id: Any, price: Any, amount: Any) -> bytes:
    return f"{T0 + ts} trade {json.dumps({'price': price, 'amount': amount, 'id': id})}".encode()


BOOK = published(0, [["99.00", "1"], ["98.00", "2"]], [["101.00", "1"], ["102.00", "2"]])


def write(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "recording.log"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def load(tmp_path: Path, *lines: bytes, **options: Any) -> ImportReport:
    path = write(tmp_path, *lines)
    return run_import("bitstamp_l3", [str(path)], ID, str(tmp_path / "cat"), **options)


def book_of(tmp_path: Path) -> tuple[list[list[int]], list[list[int]]]:
    bids, asks = _core.replay_book(rows(tmp_path / "cat", "depth"))
    return bids.tolist(), asks.tolist()


LOT = 100_000_000


def test_a_taker_takes_and_its_rest_rests(tmp_path: Path) -> None:
    report = load(
        tmp_path,
        BOOK,
        order(10, "created", 7, 1, "100.00", "3"),
        order(20, "created", 8, 0, "100.50", "5"),
        order(30, "deleted", 7, 1, "100.00", "0.00000000"),
        order(31, "changed", 8, 0, "100.50", "2"),
        trade(32, 1, 100.0, 3.0),
    )
    depth = rows(tmp_path / "cat", "depth")[["ts_recv_ns", "side", "px_ticks", "qty_lots"]]
    assert [(ts // 1_000_000 - T0, *row) for ts, *row in depth[4:].tolist()] == [
        (10, 2, 10_000, 3 * LOT),
        (30, 2, 10_000, 0),
        (32, 1, 10_050, 2 * LOT),
    ]
    assert rows(tmp_path / "cat", "trades")["side"].tolist() == [1]
    assert report.counts["orders_crossing"] == 1


@pytest.mark.parametrize("maker_first", [True, False])
@pytest.mark.parametrize("taker_side", [0, 1])
def test_who_took(tmp_path: Path, taker_side: int, *, maker_first: bool) -> None:
    px = "100.00"
    fills = [
        order(30, "deleted", 7, 1 - taker_side, px, "0"),
        order(31, "deleted", 8, taker_side, px, "0"),
    ]
    first, second = fills if maker_first else reversed(fills)
    # The trade comes between the two: only one of them is known by then.
    lines = [
        BOOK,
        order(10, "created", 7, 1 - taker_side, px, "3"),
        order(20, "created", 8, taker_side, px, "3"),
        first,
        trade(30, 1, px, "3"),
        second,
    ]
    load(tmp_path, *lines)
    assert rows(tmp_path / "cat", "trades")["side"].tolist() == [taker_side + 1]


def test_a_trade_that_no_order_tells_of(tmp_path: Path) -> None:
    report = load(tmp_path, BOOK, trade(5, 1, "100.00", "3"))
    assert rows(tmp_path / "cat", "trades")["side"].tolist() == [0]
    assert report.counts["trades_without_aggressor"] == 1
    assert "Trades whose aggressor the orders do not tell: 1." in report.notes


def test_orders_older_than_the_recording(tmp_path: Path) -> None:
    load(
        tmp_path,
        BOOK,
        order(10, "deleted", 3, 0, "98.00", "0.5"),
        order(20, "changed", 4, 1, "101.00", "0.25"),
        trade(21, 1, "101.00", "0.75"),
    )
    bids, asks = book_of(tmp_path)
    assert bids == [[9900, LOT], [9800, LOT * 3 // 2]]
    assert asks == [[10_100, LOT // 4], [10_200, 2 * LOT]]
    assert rows(tmp_path / "cat", "trades")["side"].tolist() == [1]


def test_later_books_add_only_what_lies_beyond_the_earlier(tmp_path: Path) -> None:
    load(
        tmp_path,
        BOOK,
        published(9, [["98.50", "9"], ["98.00", "9"], ["97.00", "4"]], [["103.00", "5"]]),
    )
    assert book_of(tmp_path)[0] == [[9900, LOT], [9800, 2 * LOT], [9700, 4 * LOT]]
    assert book_of(tmp_path)[1] == [[10_100, LOT], [10_200, 2 * LOT], [10_300, 5 * LOT]]


def test_remains_go_when_an_order_crosses_them_for_long(tmp_path: Path) -> None:
    report = load(
        tmp_path,
        BOOK,
        order(10, "created", 7, 1, "100.00", "3"),
        order(20, "created", 8, 0, "100.50", "5"),
        order(5019, "created", 9, 0, "90.00", "1"),
        order(5020, "created", 10, 0, "90.00", "1"),
    )
    assert report.counts["remains_removed"] == 1
    assert "Orders that others rested over, removed as remains: 1." in report.notes
    assert book_of(tmp_path)[0][0] == [10_050, 5 * LOT]
    assert book_of(tmp_path)[1][0] == [10_100, LOT]
    assert verify(tmp_path / "cat", ID).crossed == 0
    assert replayed(tmp_path / "cat").best(1) == (10_050, 5 * LOT)


def test_disorder_is_counted(tmp_path: Path) -> None:
    report = load(
        tmp_path,
        BOOK,
        order(10, "created", 7, 0, "99.50", "3"),
        order(10, "created", 7, 0, "99.50", "3"),
        order(11, "deleted", 7, 0, "99.50", "3"),
        order(12, "deleted", 7, 0, "99.50", "3"),
        order(13, "deleted", 9, 0, "99.60", "3"),
        order(14, "created", 9, 0, "99.60", "3"),
        order(15, "changed", 9, 0, "99.60", "2"),
        trade(16, 1, "99.00", "1"),
        trade(16, 1, "99.00", "1"),
        order(3, "created", 11, 0, "99.70", "1"),
    )
    for name in ("added_twice", "deleted_twice", "added_after_delete", "changed_after_delete"):
        assert report.counts[f"orders_{name}"] == 1, name
    assert (report.counts["trade_duplicates"], report.counts["recv_backwards"]) == (1, 1)
    assert "Receive times that went back: 1; raised to the line before." in report.notes
    assert book_of(tmp_path)[0][0] == [9970, LOT]
    times = rows(tmp_path / "cat", "depth")["ts_recv_ns"]
    assert times[-1] == (T0 + 16) * 1_000_000


BROKEN = {
    "no kind": (b"1430438400000", "line: expected '<receive time in ms> <kind> <JSON>'"),
    "a time of letters": (b"14x trade {}", "line: expected '<receive time in ms> <kind> <JSON>'"),
    "a time in s": (b"1430438400 trade {}", "receive time: expected ms from 2009 to 2100"),
    "another kind": (b"%d order_lost {}" % T0, "kind: expected one of order_created, order_cha"),
    "no JSON": (b"%d trade {" % T0, "not JSON: Expecting property name"),
    "deep JSON": (b"%d trade " % T0 + b"[" * 200_000, "not JSON: maximum recursion depth"),
    "an array": (b"%d trade []" % T0, "not JSON: expected an object, found list"),
    "bytes that are no text": (b'%d trade {"\xff": 1}' % T0, "not JSON: 'utf-8' codec"),
    "binary data": (b"\x00\x01\x02", "line: expected '<receive time in ms> <kind> <JSON>'"),
    "no side": (order(5, "created", 1, None, "1", "1"), "order_type: expected 0 (bid) or 1 (ask)"),
    "side 2": (order(5, "created", 1, 2, "1", "1"), "order_type: expected 0 (bid) or 1 (ask)"),
    "no id": (order(5, "created", None, 0, "1", "1"), "id: expected a whole number of 63 bits"),
    "an id of 64 bits": (order(5, "created", 2**63, 0, "1", "1"), "id: expected a whole number"),
    "an id below 0": (order(5, "created", -1, 0, "1", "1"), "id: expected a whole number"),
    "an id as text": (order(5, "created", "7", 0, "1", "1"), "id: expected a whole number"),
    "a price off the tick": (
        order(5, "created", 1, 0, "99.005", "1"),
        "price: expected a positive multiple of the tick 0.01, found '99.005'",
    ),
    "no price": (order(5, "created", 1, 0, None, "1"), "price: expected a decimal, found nothing"),
    "a price below 0": (order(5, "created", 1, 0, "-1", "1"), "price: expected a positive mult"),
    "a price in words": (order(5, "created", 1, 0, "ten", "1"), "price: expected a positive mult"),
    "a huge price": (order(5, "created", 1, 0, "9" * 40, "1"), "price: expected a positive mult"),
    "a price beyond floats": (
        b'%d trade {"id": 1, "price": 1e999, "amount": 1}' % T0,
        "price: expected a positive multiple of the tick 0.01, found inf",
    ),
    "not a number": (trade(5, 1, float("nan"), 1.0), "found nan"),
    "digits of another script": (order(5, "created", 1, 0, "１", "1"), "price: expected a pos"),
    "a size of nothing": (order(5, "created", 1, 0, "1", "0"), "amount: expected a size above 0"),
    "a size below 0": (order(5, "created", 1, 0, "1", "-1"), "amount: expected a multiple of the"),
    "a trade of nothing": (trade(5, 1, "1", "0"), "amount: expected a size above 0, found 0"),
    "a book of nothing": (b"%d order_book {}" % T0, "bids: expected an array of [price, amount]"),
    "a level of one": (published(5, [["1"]], []), "bids: expected [price, amount], found ['1']"),
    "a price twice": (published(5, [], [["1", "1"], ["1.0", "2"]]), "asks: expected each price on"),
    "a crossed book": (published(5, [["2", "1"]], [["2", "1"]]), "bids: expected a best bid below"),
    "a line without end": (b"x" * (3 << 20), "line: expected '<receive time in ms> <kind> <JSON>'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_counted_and_told(tmp_path: Path, name: str) -> None:
    bad, reason = BROKEN[name]
    sound = [order(10 + at, "created", at, 0, "99.50", "1") for at in range(100)]
    report = load(tmp_path, BOOK, *sound[:50], bad, *sound[50:], max_broken_share=0.01)
    assert (report.lines, report.broken) == (102, 1)
    (line,) = report.broken_first
    assert line.line == 52
    assert line.reason.startswith(reason) or reason in line.reason, line.reason
    assert book_of(tmp_path)[0][0] == [9950, 100 * LOT]


def refused(tmp_path: Path, content: bytes, **options: Any) -> str:
    path = tmp_path / "recording"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        run_import("bitstamp_l3", [str(path)], ID, str(tmp_path / "cat"), **options)
    assert not (tmp_path / "cat").exists()
    return str(caught.value)


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    assert "recording: the file is empty; nothing was imported" in refused(tmp_path, b"")
    assert "expected messages, found none" in refused(tmp_path, b"\n\n")
    assert "expected messages, found none" in refused(tmp_path, lzma.compress(b""))
    message = refused(tmp_path, b"ts,open,high,low,close\n" * 50)
    assert "50 of 50 lines are broken, more than max_broken_share=0.01" in message
    assert "\n  recording:1: line: expected" in message
    message = refused(tmp_path, BOOK, options={"interval": "1m"})
    assert message == "options.interval: expected no option for this format"
    with pytest.raises(ValueError, match="its market is binance_usdm, which has no Bitstamp"):
        run_import("bitstamp_l3", ["x"], "BTCUSDT-PERP.BINANCE", str(tmp_path))


@pytest.mark.parametrize("packed", [gzip.compress, lzma.compress])
def test_a_file_that_is_cut_off_keeps_what_came_before(tmp_path: Path, packed: Any) -> None:
    rng = np.random.default_rng(7)
    lines = [
        order(at, "created", at, 0, f"{px / 100:.2f}", "1")
        for at, px in enumerate(rng.integers(100, 9_800, 2000).tolist(), 10)
    ]
    content = packed(b"\n".join([BOOK, *lines]) + b"\n")
    path = tmp_path / "recording"
    path.write_bytes(content[: len(content) // 2])
    report = run_import("bitstamp_l3", [str(path)], ID, str(tmp_path / "cat"))
    # The line that was cut in half, and the cut itself.
    assert report.broken in (1, 2)
    assert 100 < report.lines < 2000
    assert "the packed data is cut off or damaged" in report.broken_first[-1].reason
    assert report.broken_first[-1].line == report.lines + 1
    assert report.rows["orders"] > 100


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, lzma.compress(bytes(80 << 20)))
    assert "unpacks to more than 1,000 times its size" in message


def test_an_import_is_done_once_and_others_follow(tmp_path: Path) -> None:
    load(tmp_path, BOOK, order(10, "created", 7, 0, "99.50", "3"))
    assert not load(tmp_path, BOOK, order(10, "created", 7, 0, "99.50", "3")).changed
    later = published(60_000, [["99.50", "3"]], [["101.00", "1"]])
    load(tmp_path, later, order(60_010, "created", 8, 0, "99.50", "1"))
    # A new import begins with an empty book and the first book that was published.
    assert book_of(tmp_path) == ([[9950, 4 * LOT]], [[10_100, LOT]])
    assert replayed(tmp_path / "cat").qty_at(1, 9950) == 4 * LOT
    with pytest.raises(ValueError, match="recordings that overlap are imported together"):
        load(tmp_path, BOOK, order(11, "created", 7, 0, "99.50", "3"))
