"""Files of Binance's public archive to the catalog. The files are written by these tests, in the
columns that the archive's README and its files have.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import _core
from engine.catalog import Catalog
from engine.config import ConfigError
from engine.importers import ImportReport, run_import
from tests.recordings import CASES, needs_recordings
from tests.tardis_lines import decimal

if TYPE_CHECKING:
    from pathlib import Path

SPOT, PERP, COIN = "BTCUSDT.BINANCE", "BTCUSDT-PERP.BINANCE", "BTCUSD-PERP.BINANCE"
T0_MS = 1_723_161_600_000
"""2024-08-09 00:00:00 UTC."""

AGG = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
TRADES = "id,price,qty,quote_qty,time,is_buyer_maker"
TICKER = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
)
KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def zipped(content: bytes, member: str = "file.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


def agg(id: int, ms: float, px: str = "100.0", qty: str = "0.5", maker: str = "true") -> str:
    """A line of futures aggTrades."""
    return f"{id},{px},{qty},{10 * id},{10 * id + 2},{T0_MS + round(ms)},{maker}"


def one(id: int, ms: float, px: str = "100.0", qty: str = "0.5", maker: str = "true") -> str:
    """A line of futures trades."""
    return f"{id},{px},{qty},50.0,{T0_MS + round(ms)},{maker}"


def ticker(id: int, ms: float, bid: tuple[str, str], ask: tuple[str, str]) -> str:
    """A line of bookTicker."""
    time = T0_MS + round(ms)
    return f"{id},{bid[0]},{bid[1]},{ask[0]},{ask[1]},{time},{time + 3}"


def imported(
    tmp_path: Path, instrument: str = PERP, /, *contents: bytes, **how: Any
) -> ImportReport:
    names = how.pop("names", [f"file{at}.csv" for at in range(len(contents))])
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in names]
    return run_import("binance_archive", paths, instrument, str(tmp_path / "cat"), **how)


def refused(tmp_path: Path, instrument: str = PERP, /, *contents: bytes, **how: Any) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    with pytest.raises(ValueError, match=r".") as caught:
        imported(tmp_path, instrument, *contents, **how)
    assert not (tmp_path / "cat").exists()
    return str(caught.value)


def stored(tmp_path: Path, kind: str, instrument: str = PERP) -> Any:
    return np.concatenate(list(Catalog(tmp_path / "cat").batches(instrument, kind)))


def ms_of(times: Any) -> list[float]:
    return ((times - T0_MS * 1_000_000) / 1e6).tolist()


def test_aggregate_trades_of_futures(tmp_path: Path) -> None:
    content = zipped(text(AGG, agg(5, 0), agg(6, 1.0, "100.1", "0.010", "false")))
    report = imported(tmp_path, PERP, content, names=["BTCUSDT-aggTrades-2024-08-09.zip"])
    rows = stored(tmp_path, "trades")
    assert rows["side"].tolist() == [2, 1], "a buyer who made the price met a seller"
    assert rows["px_ticks"].tolist() == [1000, 1001]
    assert rows["qty_lots"].tolist() == [500, 10]
    assert rows["seq"].tolist() == [5, 6]
    assert ms_of(rows["ts_event_ns"]) == [0, 1]
    assert np.array_equal(rows["ts_event_ns"], rows["ts_recv_ns"])
    assert report.notes == [
        (
            "aggTrades: a row is what one order took at one price, in one or more trades; its id"
            " counts such rows."
        ),
        "Times in ms: 2 rows.",
        (
            "The files have no receive times: each is the venue's time (base_latency_ns says how"
            " much is added)."
        ),
    ]
    assert report.messages["aggTrade"] == 2
    assert Catalog(tmp_path / "cat").manifest(PERP).provenance == "recorded"


def test_aggregate_trades_of_spot_in_us(tmp_path: Path) -> None:
    us = 1_735_689_600_010_866
    content = text(f"1,0.20,50.00000000,0,0,{us},False,True", f"2,0.20,1.5,1,2,{us + 1},True,True")
    report = imported(tmp_path, SPOT, content, names=["BTCUSDT-aggTrades-2025-01-01.csv"])
    rows = stored(tmp_path, "trades", SPOT)
    assert rows["ts_event_ns"].tolist() == [us * 1000, us * 1000 + 1000]
    assert rows["side"].tolist() == [1, 2]
    assert "Times in µs, as spot has them from 2025 on: 2 rows." in report.notes


def test_trades_of_all_markets(tmp_path: Path) -> None:
    for at, (instrument, lines) in enumerate(
        (
            (SPOT, ["7,100.00,0.5,50.0,1723161600000,True,True"]),
            (PERP, [TRADES, one(7, 0)]),
            (COIN, [TRADES.replace("quote_qty", "base_qty"), "7,100.0,5,0.05,1723161600000,true"]),
        )
    ):
        report = imported(tmp_path, instrument, text(*lines), names=[f"file{at}.csv"])
        rows = stored(tmp_path, "trades", instrument)
        assert (rows["seq"].tolist(), rows["side"].tolist()) == ([7], [2])
        assert report.notes[0] == (
            f"Nothing in these files tells their instrument, {instrument} is what was said:"
            f" file{at}.csv."
        )


def test_trades_off_the_book_are_kept_apart(tmp_path: Path) -> None:
    lines = [one(1, 0), one(2, 1, "0", "0.5"), one(3, 2, "100.0", "0"), one(4, 3)]
    report = imported(tmp_path, PERP, text(*lines))
    assert stored(tmp_path, "trades")["seq"].tolist() == [1, 4]
    off = stored(tmp_path, "offbook")
    assert (off["seq"].tolist(), off["kind"].tolist()) == ([2, 3], [4, 4])
    assert report.rows == {"depth": 0, "trades": 2, "offbook": 2, "quotes": 0}
    assert "Trades without a price or a size: 2; kept apart as trades off the book." in report.notes


def test_best_prices(tmp_path: Path) -> None:
    lines = [
        TICKER,
        ticker(10, 0, ("100.0", "1"), ("100.5", "2")),
        ticker(11, 1, ("0", "0"), ("100.5", "3")),
    ]
    imported(tmp_path, PERP, text(*lines))
    rows = stored(tmp_path, "quotes")
    assert rows[["side", "px_ticks", "qty_lots", "seq"]].tolist() == [
        (1, 1000, 1000, 10),
        (2, 1005, 2000, 10),
        (2, 1005, 3000, 11),
    ]
    assert rows["flags"].tolist() == [1, 2, 3]
    assert ms_of(rows["ts_event_ns"]) == [0, 0, 1]


def test_a_latency_is_added_where_one_is_said(tmp_path: Path) -> None:
    report = imported(tmp_path, PERP, text(agg(1, 0), agg(2, 5)), base_latency_ns=2_000_000)
    assert ms_of(stored(tmp_path, "trades")["ts_recv_ns"]) == [2, 7]
    assert ms_of(stored(tmp_path, "trades")["ts_event_ns"]) == [0, 5]
    assert any("each is the venue's time +2.000 ms" in note for note in report.notes)


def test_candles(tmp_path: Path) -> None:
    def kline(minute: int) -> str:
        start = T0_MS + 60_000 * minute
        return f"{start},1.0,2.0,0.5,1.5,10,{start + 59_999},15.0,7,4,6.0,0"

    content = zipped(text(KLINES, *map(kline, range(5))))
    report = imported(tmp_path, PERP, content, names=["BTCUSDT-1m-2024-08-09.zip"])
    assert report.rows == {"bars": 5}
    bars = Catalog(tmp_path / "cat").bars(PERP, "1m")
    assert bars["close_ticks"].to_list() == [15] * 5
    assert bars["trades"].to_list() == [7] * 5
    assert bars["value_e8"].to_list() == [1_500_000_000] * 5
    plain = text(*(kline(minute) for minute in range(5, 9)))
    more = imported(tmp_path, PERP, plain, names=["klines.csv"], options={"interval": "1m"})
    assert more.rows == {"bars": 4}
    coin = imported(tmp_path, COIN, content, names=["BTCUSD_PERP-1m-2024-08-09.zip"])
    assert coin.rows == {"bars": 5}
    values = Catalog(tmp_path / "cat").bars(COIN, "1m")["value_e8"]
    assert values.null_count() == 5, "the column holds base units there"


def test_candles_need_an_interval_and_stand_alone(tmp_path: Path) -> None:
    content = text(KLINES, f"{T0_MS},1.0,2.0,0.5,1.5,10,{T0_MS + 59_999},15.0,7,4,6.0,0")
    message = refused(tmp_path, PERP, content)
    assert "options.interval: expected the names of the files to tell one" in message
    both = refused(tmp_path, PERP, content, text(agg(1, 0)))
    assert "expected klines by themselves, found file1.csv beside them" in both
    month = refused(tmp_path, PERP, content, names=["BTCUSDT-1mo-2024-08.csv"])
    assert "options.interval: expected one of 1s, 1m" in month
    no_klines = refused(tmp_path, PERP, text(agg(1, 0)), options={"interval": "1m"})
    assert "options.interval: expected with klines only" in no_klines


def test_a_candle_with_bytes_that_are_no_text_costs_itself_only(tmp_path: Path) -> None:
    lines = [
        f"{T0_MS + 60_000 * at},1.0,2.0,0.5,1.5,10,{T0_MS + 60_000 * at + 59_999},15.0,7,4,6.0,0"
        for at in range(3)
    ]
    content = text(*lines[:2]) + b"\xff\xfe,1\n" + text(lines[2])
    options = {"interval": "1m"}
    report = imported(tmp_path, PERP, content, options=options, max_broken_share=0.5)
    assert (report.rows, report.broken) == ({"bars": 3}, 1)
    assert report.broken_first[0].reason == "expected 12 columns, found 2"


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("timestamp,percentage,depth,notional", "holds bookDepth: depth added up by percentage"),
        ("create_time,symbol,sum_open_interest,x", "holds metrics (open interest)"),
        ("calc_time,funding_interval_hours,last_funding_rate", "holds fundingRate"),
        ("a,b,c", "expected one of aggTrades, trades, bookTicker, klines of Binance's archive"),
        (AGG.replace("price", "px"), "expected one of aggTrades"),
        (f"{AGG},price", "expected one of aggTrades"),
        ("1,2,3", "found 3 fields: '1,2,3'; options.kind=NAME says what the fields are"),
        ("1,2,3,4,5,true,6", "found 7 fields"),
        (",".join("1" * 13), "found 13 fields"),
    ],
)
def test_files_of_other_fields(tmp_path: Path, first: str, words: str) -> None:
    assert words in refused(tmp_path, PERP, text(first, "1,2,3"))


def test_a_name_that_contradicts_the_fields(tmp_path: Path) -> None:
    name = ["BTCUSDT-trades-2024-08-09.csv"]
    message = refused(tmp_path, PERP, text(agg(1, 0)), names=name)
    assert "its name says trades, its fields are those of aggTrades; say which with" in message
    report = imported(tmp_path, PERP, text(agg(1, 0)), names=name, options={"kind": "aggTrades"})
    assert report.messages["aggTrade"] == 1


def test_files_of_another_instrument(tmp_path: Path) -> None:
    name = ["ETHUSDT-aggTrades-2024-08-09.csv"]
    assert "holds ETHUSDT by its name, instrument BTCUSDT-PERP.BINANCE expects BTCUSDT" in refused(
        tmp_path, PERP, text(agg(1, 0)), names=name
    )
    of_spot = refused(tmp_path, PERP, text(agg(1, 0) + ",true"))
    assert "its field is_best_match is one of spot, instrument BTCUSDT-PERP.BINANCE" in of_spot
    of_coin = refused(tmp_path, PERP, text(TRADES.replace("quote", "base"), one(1, 0)))
    assert "its field base_qty is one of COIN-M" in of_coin
    elsewhere = refused(tmp_path, "BTCUSD.BITFINEX", text(agg(1, 0)))
    assert "its market is bitfinex, of which Binance's archive has nothing" in elsewhere


def test_the_same_trades_do_not_count_twice(tmp_path: Path) -> None:
    message = refused(tmp_path, PERP, text(agg(1, 0)), text(one(1, 5)))
    assert "both tell the same trades; import one of them" in message
    overlap = refused(tmp_path, PERP, text(one(1, 0), one(2, 10)), text(one(3, 5), one(4, 20)))
    assert "file1.csv: its trades begin at" in overlap


def test_options_that_cannot_be(tmp_path: Path) -> None:
    for options, words in (
        ({"kind": "trade"}, "options.kind: expected one of aggTrades, trades, bookTicker, klines"),
        ({"latency": "1"}, "options.latency: expected one of interval, kind, ratio_max"),
        ({"ratio_max": "x"}, "options.ratio_max: expected a whole number"),
    ):
        with pytest.raises(ConfigError) as caught:
            imported(tmp_path, PERP, text(agg(1, 0)), options=options)
        assert words in str(caught.value)
    forced = refused(tmp_path, PERP, text("1,2,3"), options={"kind": "aggTrades"})
    assert "expected options.kind=aggTrades of Binance's archive" in forced


BROKEN = {
    "fields missing": (agg(51, 500)[:-5], "expected 7 fields, found 6"),
    "fields too many": (agg(51, 500) + ",1", "expected 7 fields, found 8"),
    "no text": (b"\xfe", "not UTF-8 text: byte 1"),
    "zero bytes": (b"\0\0", "expected text, found binary data"),
    "an id in words": (agg(51, 500).replace("51,", "x,", 1), "agg_trade_id: expected a whole"),
    "a negative id": ("-" + agg(51, 500), "agg_trade_id: expected a whole number from 0 to 2^63"),
    "a huge id": ("9" * 19 + agg(51, 500), "agg_trade_id: expected a whole number from 0 to 2^63"),
    "a time in s": (
        agg(51, 500).replace(str(T0_MS + 500), str(T0_MS // 1000)),
        "transact_time: expected a time from 2009 to 2100 in ms or µs",
    ),
    "a time in ns": (
        agg(51, 500).replace(str(T0_MS + 500), f"{T0_MS}000000"),
        "transact_time: expected a time from 2009 to 2100 in ms or µs",
    ),
    "no time": (agg(51, 500).replace(str(T0_MS + 500), ""), "transact_time: expected a whole"),
    "a time that goes back": (agg(51, -5000), "transact_time: expected a time that does not go"),
    "a time ahead of all": (agg(51, 10**8), "transact_time: expected a time that does not go"),
    "neither true nor false": (agg(51, 500, maker="1"), "is_buyer_maker: expected one of false"),
    "a price off the tick": (
        agg(51, 500, "100.05"),
        "price: expected a positive multiple of the tick 0.1, found '100.05'",
    ),
    "a negative price": (agg(51, 500, "-1"), "price: expected a positive multiple of the tick"),
    "no price": (agg(51, 500, ""), "price: expected a decimal number, found nothing"),
    "a price with an exponent": (agg(51, 500, "1e2"), "price: expected a positive multiple of"),
    "a price out of range": (agg(51, 500, "9" * 40), "price: expected a positive multiple of"),
    "a negative quantity": (agg(51, 500, qty="-1"), "quantity: expected a multiple of the lot"),
    "a quantity off the lot": (agg(51, 500, qty="0.0001"), "lot 0.001, not negative, found"),
    "no quantity": (agg(51, 500, qty=""), "not negative, found nothing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_line_costs_itself_only(tmp_path: Path, name: str) -> None:
    bad, reason = BROKEN[name]
    bad = bad if isinstance(bad, bytes) else bad.encode()
    lines = [agg(at, 10 * at).encode() for at in range(1, 102) if at != 51]
    content = b"\n".join([*lines[:50], bad, *lines[50:], b""])
    report = imported(tmp_path, PERP, content)
    assert (report.lines, report.broken) == (101, 1)
    assert report.broken_first[0].line == 51
    assert reason in report.broken_first[0].reason
    assert stored(tmp_path, "trades")["seq"].tolist() == [*range(1, 51), *range(52, 102)]
    assert report.counts["trade_id_gaps"] == 1


def test_rows_that_repeat_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [agg(at, at) for at in range(1, 41)]
    content = text(*lines[:20], *lines[15:20], *lines[20:], lines[-1])
    for blocks, name in ((4 << 20, "file0.csv"), (600, "file1.csv")):
        monkeypatch.setattr("engine.importers.delimited._BLOCK_BYTES", blocks)
        report = run_import(
            "binance_archive",
            [str(_written(tmp_path / name, content))],
            PERP,
            str(tmp_path / f"{name}.cat"),
        )
        assert report.rows["trades"] == 40
        assert report.counts["duplicates"] == 6
        assert "Rows whose id a row before has: 6; left out." in report.notes


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_missing_trades_are_told(tmp_path: Path) -> None:
    report = imported(tmp_path, PERP, text(one(1, 0), one(2, 1), one(9, 2), one(10, 3), one(12, 4)))
    assert report.counts["trade_id_gaps"] == 2
    assert "Breaks of the trade ids: 2; trades are missing." in report.notes


def test_spot_quantities_finer_than_the_lot(tmp_path: Path) -> None:
    line = f"1,100.00,0.00001499,0,0,{T0_MS},True,True"
    report = imported(tmp_path, SPOT, text(line))
    assert stored(tmp_path, "trades", SPOT)["qty_lots"].tolist() == [1]
    assert "Quantities finer than the lot: 1; taken to the nearest lot." in report.notes


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    assert "the file is empty" in refused(tmp_path, PERP, b"")
    assert "found none in 0 lines" in refused(tmp_path, PERP, text(AGG))
    assert "found no line of text" in refused(tmp_path, PERP, zipped(b""))
    content = zipped(text(*(agg(at, at) for at in range(1000))))
    assert "not a whole zip file" in refused(tmp_path, PERP, content[: len(content) // 2])
    shuffled = text(*(agg(at, 10_000 * at) for at in range(100, 0, -1)))
    assert "transact_time: expected a time that does not go back" in refused(
        tmp_path, PERP, shuffled
    )
    wrong_tick = text(*(agg(at, at, f"100.{at:02d}") for at in range(1, 50)))
    assert "45 of 49 lines are broken" in refused(tmp_path, PERP, wrong_tick)


def test_a_zip_whose_content_is_damaged(tmp_path: Path) -> None:
    content = bytearray(zipped(text(*(agg(at, at, qty=f"{at % 7}.5") for at in range(5000)))))
    content[len(content) // 2] ^= 0xFF
    report = imported(tmp_path, PERP, bytes(content), max_broken_share=1.0)
    assert report.broken >= 1
    assert any("cut off or damaged" in note for note in report.notes)


def test_a_zip_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.importers.tables._RATIO_FROM_BYTES", 1 << 20)
    content = zipped(text(*([agg(1, 0)] * 200_000)))
    message = refused(tmp_path, PERP, content)
    assert "unpacks to more than 200 times its size" in message
    assert "options.ratio_max=NUMBER raises the limit" in message


def test_names_inside_a_zip_are_not_followed(tmp_path: Path) -> None:
    report = imported(tmp_path, PERP, zipped(text(agg(1, 0)), "../../outside.csv"))
    assert report.rows["trades"] == 1
    assert not (tmp_path.parent / "outside.csv").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat", "file0.csv"]


@needs_recordings
def test_recorded_trades_written_as_the_archive_come_back(tmp_path: Path) -> None:
    """Real trades and best prices of USD-M, through the archive's columns, are the same rows."""
    case = CASES[2]
    first = str(tmp_path / "first")
    run_import("binance", [str(path) for path in case.paths()], case.id, first)
    original = {
        kind: np.concatenate(list(Catalog(first).batches(case.id, kind)))
        for kind in ("trades", "quotes")
    }
    lines = [TRADES]
    for row in original["trades"].tolist():
        event_ns, _, px, qty, seq, _, _, _, side = row[:9]
        lines.append(
            f"{seq},{decimal(px, 1)},{decimal(qty, 3)},0,{event_ns // 1_000_000},"
            f"{'true' if side == 2 else 'false'}"
        )
    names = [f"{case.id.partition('-')[0]}-trades-2024-08-08.zip"]
    report = imported(tmp_path, case.id, zipped(text(*lines)), names=names)
    assert report.rows["trades"] == case.trades
    found = stored(tmp_path, "trades", case.id)
    for name in ("px_ticks", "qty_lots", "seq", "side", "ts_event_ns", "flags"):
        assert np.array_equal(found[name], original["trades"][name]), name
    assert (found["ts_recv_ns"] >= found["ts_event_ns"]).all()
    assert _core.SEQ_NONE not in found["seq"]
