"""Binance recordings to the catalog: what becomes of sound input."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import EVENT_DTYPE, SEQ_NONE, TS_NONE
from engine.catalog import KINDS, Catalog, CatalogError
from engine.config import ConfigError
from engine.importers import ImportFailed, ImportReport, formats, run_import
from engine.verify import verify
from tests.binance_lines import (
    MS,
    PERP,
    SPOT,
    T0_MS,
    depth,
    line,
    quote,
    recv,
    snapshot,
    sound,
    spot_depth,
    spot_quote,
    spot_snapshot,
    trade,
    write,
)
from tests.recordings import CASES, Case, needs_recordings, oracle

if TYPE_CHECKING:
    from pathlib import Path

FIRST, LAST, RAISED = 1, 2, 4
DELTA, SNAPSHOT = 1, 2


def rows(root: Path, kind: str, instrument: str = PERP) -> np.ndarray[Any, np.dtype[np.void]]:
    batches = list(Catalog(root).batches(instrument, kind))
    return np.concatenate(batches) if batches else np.empty(0, EVENT_DTYPE)


def imported(
    tmp_path: Path, lines: list[bytes], instrument: str = PERP, **options: Any
) -> ImportReport:
    write(tmp_path / "recording", lines)
    options.setdefault("max_broken_share", 0.5)
    return run_import(
        "binance", [str(tmp_path / "recording")], instrument, str(tmp_path / "cat"), **options
    )


def messages(root: Path, instrument: str = PERP) -> list[tuple[int, int, int, bool]]:
    """Depth messages as (kind, seq, receive time in ms after T0, raised)."""
    heads = [row for row in rows(root, "depth", instrument) if row["flags"] & FIRST]
    return [
        (
            int(row["kind"]),
            int(row["seq"]),
            (int(row["ts_recv_ns"]) - T0_MS * MS) // MS,
            bool(row["flags"] & RAISED),
        )
        for row in heads
    ]


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_recording_is_row_for_row_what_the_independent_reader_says(
    case: Case, tmp_path: Path
) -> None:
    expected = oracle(case)
    report = run_import("binance", [str(path) for path in case.paths()], case.id, str(tmp_path))
    assert report.clock_offset_ns == expected.clock_offset_ns
    assert report.broken == report.gaps == 0
    for kind in KINDS:
        found = rows(tmp_path, kind, case.id)
        # An oracle without rows of a kind has no columns to compare.
        assert len(found) == len(getattr(expected, kind)) == report.rows[kind]
        assert len(found) == 0 or np.array_equal(found, getattr(expected, kind))
    proof = verify(tmp_path, case.id)
    assert (proof.aligned, proof.equal, proof.gaps, proof.crossed) == (case.aligned,) * 2 + (0, 0)


@needs_recordings
def test_a_catalog_takes_few_bytes_a_row(tmp_path: Path) -> None:
    case = CASES[2]
    report = run_import("binance", [str(path) for path in case.paths()], case.id, str(tmp_path))
    assert report.bytes_written / sum(report.rows.values()) < 4.1


def test_rows_carry_prices_times_ids_and_group_flags(tmp_path: Path) -> None:
    imported(tmp_path, [snapshot(5, 90), depth(10, 110, 80, a=[]), trade(12, 7, m=True)])
    book = rows(tmp_path / "cat", "depth")
    assert book["px_ticks"].tolist() == [1000, 999, 1005, 1006, 1000]
    assert book["qty_lots"].tolist() == [5000, 6000, 7000, 8000, 1000]
    assert book["side"].tolist() == [1, 1, 2, 2, 1]
    assert book["flags"].tolist() == [FIRST, 0, 0, LAST, FIRST | LAST]
    assert book["seq"].tolist() == [90] * 4 + [110]
    assert book["prev_seq"].tolist() == [SEQ_NONE] * 4 + [80]
    assert book["ts_event_ns"].tolist() == [recv(4)] * 4 + [recv(9)]
    sold = rows(tmp_path / "cat", "trades")[0]
    assert (sold["side"], sold["px_ticks"], sold["qty_lots"], sold["seq"]) == (2, 1005, 10, 7)


def test_deltas_before_the_snapshot_wait_for_it(tmp_path: Path) -> None:
    lines = [depth(10, 100, 90), depth(11, 110, 100), depth(12, 120, 110), snapshot(20, 105)]
    imported(tmp_path, [*lines, depth(30, 130, 120)])
    assert messages(tmp_path / "cat") == [
        (DELTA, 100, 10, False),
        (SNAPSHOT, 105, 20, False),
        (DELTA, 110, 20, True),
        (DELTA, 120, 20, True),
        (DELTA, 130, 30, False),
    ]


def test_a_gap_shows_at_once_and_the_stream_waits_for_a_snapshot(tmp_path: Path) -> None:
    lines = [snapshot(5, 95), depth(10, 100, 90), depth(20, 150, 140), depth(21, 160, 150)]
    report = imported(tmp_path, [*lines, snapshot(30, 145), depth(40, 170, 160)])
    assert messages(tmp_path / "cat") == [
        (SNAPSHOT, 95, 5, False),
        (DELTA, 100, 10, False),
        (DELTA, 150, 20, False),
        (SNAPSHOT, 145, 30, False),
        (DELTA, 150, 30, True),
        (DELTA, 160, 30, True),
        (DELTA, 170, 40, False),
    ]
    assert report.gaps == report.counts["depth_gaps"] == 1
    assert verify(tmp_path / "cat", PERP).gaps == 1


def test_a_snapshot_in_step_is_redundant(tmp_path: Path) -> None:
    lines = [snapshot(5, 95), depth(10, 100, 90), snapshot(15, 99), depth(20, 110, 100)]
    report = imported(tmp_path, lines)
    assert [kind for kind, *_ in messages(tmp_path / "cat")] == [SNAPSHOT, DELTA, DELTA]
    assert report.counts["snapshots_redundant"] == 1
    assert any("came while the book was in step" in note for note in report.notes)


def test_a_snapshot_ahead_of_a_gap_heals_it(tmp_path: Path) -> None:
    # After a reconnection the snapshot may be answered before the first delta arrives.
    lines = [snapshot(5, 95), depth(10, 100, 90), snapshot(15, 205), depth(20, 210, 200)]
    report = imported(tmp_path, lines)
    assert messages(tmp_path / "cat")[2:] == [
        (DELTA, 210, 20, False),
        (SNAPSHOT, 205, 20, True),
        (DELTA, 210, 20, False),
    ]
    assert (report.gaps, report.counts["snapshots"]) == (1, 2)


def test_a_recording_without_a_snapshot_says_so(tmp_path: Path) -> None:
    report = imported(tmp_path, [depth(10, 100, 90), depth(20, 110, 100)])
    assert report.counts["depth_unjoined"] == 2
    assert "These recordings hold no depth snapshot." in report.notes
    assert verify(tmp_path / "cat", PERP).aligned == 0


def test_a_spot_snapshot_takes_the_time_of_the_newest_delta_it_contains(tmp_path: Path) -> None:
    lines = [spot_depth(10, 91, 100), spot_depth(20, 101, 110), spot_snapshot(25, 105)]
    imported(tmp_path, lines, SPOT)
    book = rows(tmp_path / "cat", "depth", SPOT)
    assert book[book["kind"] == SNAPSHOT]["ts_event_ns"].tolist() == [recv(9)] * 2


def test_a_spot_snapshot_before_any_delta_takes_the_time_of_the_next(tmp_path: Path) -> None:
    lines = [spot_snapshot(5, 95), spot_depth(8, 91, 100), spot_quote(9, 100)]
    imported(tmp_path, lines, SPOT)
    book = rows(tmp_path / "cat", "depth", SPOT)
    # The next delta's time, but none after the snapshot's own arrival.
    assert book[book["kind"] == SNAPSHOT]["ts_event_ns"].tolist() == [recv(5)] * 2
    assert rows(tmp_path / "cat", "quotes", SPOT)["ts_event_ns"].tolist() == [TS_NONE] * 2


def test_the_clock_is_corrected_by_a_constant_and_told(tmp_path: Path) -> None:
    lines = [depth(10, 100, 90, T=T0_MS + 40), depth(20, 110, 100, T=T0_MS + 45)]
    report = imported(tmp_path, lines, base_latency_ns=2 * MS)
    assert report.clock_offset_ns == 32 * MS
    assert report.notes[0] == (
        "The receive clock ran 30.000 ms behind the venue's: all receive times were shifted by"
        " +32.000 ms, so that the smallest latency is 2 ms."
    )
    assert messages(tmp_path / "cat") == [(DELTA, 100, 42, False), (DELTA, 110, 52, False)]
    manifest = Catalog(tmp_path / "cat").manifest(PERP)
    assert manifest.files[0].clock_offset_ns == 32 * MS
    assert manifest.imports[0].details["notes"][0] == report.notes[0]


def test_a_clock_that_agrees_is_left_alone(tmp_path: Path) -> None:
    report = imported(tmp_path, [depth(10, 100, 90)], base_latency_ns=2 * MS)
    assert report.clock_offset_ns == 0
    assert "no receive time was shifted" in report.notes[0]


def test_an_offset_given_is_used(tmp_path: Path) -> None:
    report = imported(tmp_path, [depth(10, 100, 90)], clock_offset_ns=-5 * MS)
    assert messages(tmp_path / "cat") == [(DELTA, 100, 5, False)]
    assert "shifted by -5.000 ms as told" in report.notes[0]


def test_one_impossible_venue_time_does_not_move_the_clock(tmp_path: Path) -> None:
    lines = sound(20)
    lines.insert(30, trade(105, 5000, T=T0_MS + 3_600_000))
    report = imported(tmp_path, lines)
    assert report.clock_offset_ns == 0
    assert [item.line for item in report.broken_first] == [31]
    assert "venue time: expected one at most 1 s ahead" in report.broken_first[0].reason


@pytest.mark.parametrize("off_ms", [-5_000_000, 5_000_000])
def test_one_damaged_receive_time_takes_no_other_line_along(tmp_path: Path, off_ms: int) -> None:
    lines = sound(20)
    stray = lines[30].split(b" ", 1)[1]
    lines[30] = f"{recv(105 + off_ms)} ".encode() + stray
    report = imported(tmp_path, lines)
    assert [item.line for item in report.broken_first] == [31]
    assert "receive time: expected a time near its neighbours'" in report.broken_first[0].reason
    assert report.counts["recv_backwards"] == 0


def test_receive_times_never_go_back(tmp_path: Path) -> None:
    lines = [trade(10, 1), trade(20, 2), trade(19.5, 3, T=T0_MS + 18), trade(30, 4)]
    report = imported(tmp_path, lines)
    times = rows(tmp_path / "cat", "trades")["ts_recv_ns"].tolist()
    assert times == [recv(10), recv(20), recv(20), recv(30)]
    assert report.counts["recv_backwards"] == 1


def test_trades_off_the_book_are_kept_apart(tmp_path: Path) -> None:
    fund = trade(11, 2, X="INSURANCE_FUND", p="0", q="0")
    report = imported(tmp_path, [trade(10, 1), fund, trade(12, 3)])
    assert report.rows == {"depth": 0, "trades": 2, "offbook": 1, "quotes": 0}
    assert rows(tmp_path / "cat", "offbook")["seq"].tolist() == [2]
    assert report.counts["trade_id_gaps"] == 0


def test_missing_trades_are_counted(tmp_path: Path) -> None:
    report = imported(tmp_path, [trade(10, 1), trade(11, 5), trade(12, 6), trade(13, 8)])
    assert report.counts["trade_id_gaps"] == 2
    assert report.counts["trade_ids_missing"] == 4


def test_a_message_without_levels_is_one_row_that_carries_its_ids(tmp_path: Path) -> None:
    lines = [snapshot(5, 95), depth(10, 100, 90, b=[], a=[]), depth(20, 110, 100)]
    report = imported(tmp_path, lines)
    row = rows(tmp_path / "cat", "depth")[4]
    assert (row["side"], row["seq"], row["prev_seq"], row["flags"]) == (0, 100, 90, FIRST | LAST)
    assert report.gaps == 0


def test_a_one_sided_quote_has_one_row(tmp_path: Path) -> None:
    empty = {"b": "0.00000000", "B": "0.00000000"}
    imported(tmp_path, [quote(10, 100), quote(11, 101, **empty)])
    quotes = rows(tmp_path / "cat", "quotes")
    assert quotes["side"].tolist() == [1, 2, 2]
    assert quotes["flags"].tolist() == [FIRST, LAST, FIRST | LAST]


def test_a_duplicated_message_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [snapshot(5, 95), depth(10, 100, 90), quote(11, 100), trade(12, 1)]
    report = imported(tmp_path, [item for item in lines for _ in range(2)])
    assert report.rows == {"depth": 6, "trades": 1, "offbook": 0, "quotes": 2}
    counts = report.counts
    assert (counts["depth_duplicates"], counts["quote_duplicates"]) == (1, 1)
    assert (counts["trade_duplicates"], counts["snapshots_redundant"]) == (1, 1)
    assert any(
        "Depth messages seen before or older than the book: 1" in note for note in report.notes
    )


def test_raw_stream_messages_need_no_wrapper(tmp_path: Path) -> None:
    raw = {"e": "trade", "T": T0_MS, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True}
    report = imported(tmp_path, [line(1, raw)])
    assert report.rows["trades"] == 1


def test_messages_of_no_use_are_told_and_not_broken(tmp_path: Path) -> None:
    funding = {"e": "markPriceUpdate", "E": T0_MS, "s": "BTCUSDT", "p": "100.5"}
    lines = [
        trade(10, 1),
        line(11, {"stream": "btcusdt@markPrice", "data": funding}),
        line(12, {"result": None, "id": 1}),
        line(13, {"stream": "btcusdt@depth5", "data": {"lastUpdateId": 1, "bids": [], "asks": []}}),
    ]
    report = imported(tmp_path, lines)
    assert report.broken == 0
    assert report.notes[-1] == (
        "Messages that are not used here were left out: 1 markPriceUpdate, 1 partial depth,"
        " 1 reply."
    )


def test_spot_quantities_finer_than_the_lot_go_to_the_nearest(tmp_path: Path) -> None:
    odd = spot_depth(10, 91, 100, b=[["100.00", "25.42618900"], ["99.00", "0.00000001"]], a=[])
    report = imported(tmp_path, [odd], SPOT)
    assert rows(tmp_path / "cat", "depth", SPOT)["qty_lots"].tolist() == [2_542_619, 1]
    assert report.counts["quantities_rounded"] == 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path, end: bytes) -> None:
    write(tmp_path / "plain", sound(20))
    write(tmp_path / "other", sound(20), end)
    run_import("binance", [str(tmp_path / "plain")], PERP, str(tmp_path / "a"))
    run_import("binance", [str(tmp_path / "other")], PERP, str(tmp_path / "b"))
    for kind in ("depth", "trades", "quotes"):
        assert np.array_equal(rows(tmp_path / "a", kind), rows(tmp_path / "b", kind))


def test_gzip_of_several_members_is_one_file(tmp_path: Path) -> None:
    lines = sound(20)
    parts = [b"".join(item + b"\n" for item in part) for part in (lines[:25], lines[25:])]
    (tmp_path / "two.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    report = run_import("binance", [str(tmp_path / "two.gz")], PERP, str(tmp_path / "cat"))
    assert (report.lines, report.broken) == (len(lines), 0)


def test_files_are_taken_in_the_order_of_their_times(tmp_path: Path) -> None:
    lines = sound(40)
    write(tmp_path / "z.gz", lines[:60])
    write(tmp_path / "a.gz", lines[60:])
    report = run_import("binance", [str(tmp_path / "*.gz")], PERP, str(tmp_path / "cat"))
    assert report.files == ["z.gz", "a.gz"]
    assert (report.gaps, report.counts["recv_backwards"]) == (0, 0)
    whole = write(tmp_path / "whole.gz", lines)
    run_import("binance", [str(whole)], PERP, str(tmp_path / "other"))
    assert np.array_equal(rows(tmp_path / "cat", "depth"), rows(tmp_path / "other", "depth"))


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    imported(tmp_path, sound(20))
    before = {path: path.read_bytes() for path in (tmp_path / "cat").rglob("*") if path.is_file()}
    report = imported(tmp_path, sound(20))
    after = {path: path.read_bytes() for path in (tmp_path / "cat").rglob("*") if path.is_file()}
    assert before == after
    assert not report.changed
    assert report.notes == ["Every file is in the catalog already: nothing changed."]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "recording.gz", sound(50))
    for name in ("a", "b"):
        run_import("binance", [str(tmp_path / "recording.gz")], PERP, str(tmp_path / name))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert files
    for path in files:
        if (tmp_path / "a" / path).is_file():
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_a_later_file_continues_where_the_catalog_ends(tmp_path: Path) -> None:
    lines = sound(40)
    first, second = write(tmp_path / "1.gz", lines[:62]), write(tmp_path / "2.gz", lines[62:])
    run_import("binance", [str(first)], PERP, str(tmp_path / "cat"))
    report = run_import("binance", [str(tmp_path / "*.gz")], PERP, str(tmp_path / "cat"))
    assert (report.files, report.files_known) == (["2.gz"], ["1.gz"])
    run_import("binance", [str(first), str(second)], PERP, str(tmp_path / "at_once"))
    for kind in ("depth", "trades", "quotes"):
        assert np.array_equal(rows(tmp_path / "cat", kind), rows(tmp_path / "at_once", kind))
    proof = verify(tmp_path / "cat", PERP)
    assert (proof.gaps, proof.aligned) == (0, 40)
    assert Catalog(tmp_path / "cat").manifest(PERP).gaps == 0


def test_an_earlier_file_may_come_later_and_the_seam_is_judged_by_ids(tmp_path: Path) -> None:
    lines = sound(40)
    for missing, gaps in ((62, 0), (68, 1)):
        root = tmp_path / f"cat{missing}"
        first = write(tmp_path / "1.gz", lines[:62])
        second = write(tmp_path / "2.gz", lines[missing:])
        run_import("binance", [str(second)], PERP, str(root))
        run_import("binance", [str(first)], PERP, str(root))
        assert Catalog(root).manifest(PERP).gaps == gaps
        assert verify(root, PERP).gaps == gaps


def test_files_that_overlap_are_taken_once(tmp_path: Path) -> None:
    lines = sound(40)
    write(tmp_path / "1.gz", lines[:80])
    write(tmp_path / "2.gz", lines[50:])
    report = run_import("binance", [str(tmp_path / "*.gz")], PERP, str(tmp_path / "cat"))
    assert report.rows["trades"] == 40
    assert report.gaps == 0
    assert report.counts["trade_duplicates"] == 10
    run_import("binance", [str(write(tmp_path / "w", lines))], PERP, str(tmp_path / "whole"))
    assert np.array_equal(rows(tmp_path / "cat", "depth"), rows(tmp_path / "whole", "depth"))


def test_a_file_that_lies_across_the_start_of_the_catalog_is_refused(tmp_path: Path) -> None:
    lines = sound(40)
    run_import("binance", [str(write(tmp_path / "2", lines[50:]))], PERP, str(tmp_path / "cat"))
    with pytest.raises(ImportFailed, match="overlaps what the catalog has of BTCUSDT-PERP"):
        run_import("binance", [str(write(tmp_path / "1", lines[:80]))], PERP, str(tmp_path / "cat"))


def test_the_same_bytes_under_two_names_are_one_source(tmp_path: Path) -> None:
    write(tmp_path / "1.gz", sound(20))
    write(tmp_path / "2.gz", sound(20))
    report = run_import("binance", [str(tmp_path / "*.gz")], PERP, str(tmp_path / "cat"))
    assert len(report.files) == 1


def test_a_day_ends_at_midnight_of_the_corrected_clock(tmp_path: Path) -> None:
    lines = [trade(-10, 1, T=T0_MS + 5), trade(-5, 2, T=T0_MS + 6), trade(20, 3, T=T0_MS + 7)]
    imported(tmp_path, [trade(-30, 0, T=T0_MS - 20), *lines])
    days = [entry.path.split("/")[1] for entry in Catalog(tmp_path / "cat").manifest(PERP).files]
    assert days == ["2024-08-08", "2024-08-09"]


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    imported(tmp_path, sound(20), progress=lambda *stage: seen.append(stage))
    assert [stage for stage, done, total in seen if done == total] == [
        "identify",
        "check",
        "import",
    ]


def test_unknown_formats_and_options_are_answered(tmp_path: Path) -> None:
    assert {"binance", "binance_exchange_info"} <= set(formats())
    with pytest.raises(ConfigError, match="format: expected one of binance, .*binance"):
        run_import("binanse", ["x"], PERP, str(tmp_path))
    with pytest.raises(ConfigError, match="max_broken_share: expected a share from 0 to 1"):
        run_import("binance", ["x"], PERP, str(tmp_path), max_broken_share=2)
    with pytest.raises(ConfigError, match="did you mean 'BTCUSD-PERP.BINANCE'"):
        run_import("binance", ["x"], "BTCUSD-PERB.BINANCE", str(tmp_path))
    with pytest.raises(ImportFailed, match="no file is named .* or matches it"):
        run_import("binance", [str(tmp_path / "*.gz")], PERP, str(tmp_path))
    with pytest.raises(CatalogError, match="no data for BTCUSDT-PERP.BINANCE"):
        verify(tmp_path, PERP)
