"""The independent reader of raw recordings: its own rules on small input, then the recordings
themselves.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import EVENT_DTYPE, SEQ_NONE
from engine.catalog import KINDS, Catalog
from engine.importers import run_import
from tests.oracles import binance_reader
from tests.oracles.binance_reader import FIRST, LAST, RECV_RAISED
from tests.recordings import CASES, Case, needs_recordings, oracle

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000


def delta(recv: int, event: int, first: int, u: int, pu: int, b: Any = (), a: Any = ()) -> str:
    data = {
        "e": "depthUpdate",
        "E": event + 1,
        "T": event,
        "U": first,
        "u": u,
        "pu": pu,
        "b": b,
        "a": a,
    }
    return f"{recv} {json.dumps({'stream': 'x@depth@0ms', 'data': data})}"


def snapshot(recv: int, event: int, last: int, bids: Any, asks: Any) -> str:
    data = {"lastUpdateId": last, "E": event + 1, "T": event, "bids": bids, "asks": asks}
    return f"{recv} {json.dumps(data)}"


def write(path: Path, text: list[str]) -> Path:
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


FUTURES = [
    delta(5 * MS, 6, 1, 10, 0, b=[["9.9", "1"]]),
    delta(6 * MS, 7, 11, 20, 10, b=[["10.0", "2"]], a=[["10.2", "3"]]),
    delta(7 * MS, 8, 21, 30, 20, a=[["10.2", "0"], ["10.3", "1"]]),
    snapshot(8 * MS, 7, 20, [["10.0", "2"], ["9.9", "1"]], [["10.2", "3"]]),
    delta(9 * MS, 10, 31, 40, 30),
]


def test_snapshot_is_joined_and_the_clock_corrected(tmp_path: Path) -> None:
    got = binance_reader.read([write(tmp_path / "f", FUTURES)], "binance_usdm", "0.1", "1")
    assert got.clock_offset_ns == MS
    assert got.gaps == 0
    expected = [
        # The columns are: kind; venue and receive time in ms; px; qty; seq; prev_seq; side; flags.
        (1, 6, 6, 99, 1, 10, 0, 1, FIRST | LAST),
        (1, 7, 7, 100, 2, 20, 10, 1, FIRST),
        (1, 7, 7, 102, 3, 20, 10, 2, LAST),
        (2, 7, 9, 100, 2, 20, SEQ_NONE, 1, FIRST),
        (2, 7, 9, 99, 1, 20, SEQ_NONE, 1, 0),
        (2, 7, 9, 102, 3, 20, SEQ_NONE, 2, LAST),
        (1, 8, 9, 102, 0, 30, 20, 2, FIRST | RECV_RAISED),
        (1, 8, 9, 103, 1, 30, 20, 2, LAST | RECV_RAISED),
        (1, 10, 10, 0, 0, 40, 30, 0, FIRST | LAST),
    ]
    rows = [
        (
            int(r["kind"]),
            r["ts_event_ns"] // MS,
            r["ts_recv_ns"] // MS,
            *(
                int(r[name])
                for name in ("px_ticks", "qty_lots", "seq", "prev_seq", "side", "flags")
            ),
        )
        for r in got.depth
    ]
    assert rows == expected


def test_a_clock_ahead_of_the_venue_is_left_alone(tmp_path: Path) -> None:
    late = [delta(500 * MS, 6, 1, 10, 0, b=[["9.9", "1"]])]
    got = binance_reader.read([write(tmp_path / "f", late)], "binance_usdm", "0.1", "1")
    assert got.clock_offset_ns == 0
    assert got.depth["ts_recv_ns"].tolist() == [500 * MS]


def test_a_hole_in_the_chain_is_a_gap(tmp_path: Path) -> None:
    broken = [*FUTURES[:4], delta(9 * MS, 10, 36, 40, 35)]
    got = binance_reader.read([write(tmp_path / "f", broken)], "binance_usdm", "0.1", "1")
    assert got.gaps == 1


def test_spot_numbers_and_off_book_trades(tmp_path: Path) -> None:
    def trade(recv: int, **data: Any) -> str:
        return f"{recv} {json.dumps({'stream': 'x@trade', 'data': data})}"

    spot = [
        delta(9 * MS, 9, 11, 20, 0, b=[["10.0", "2"]]),
        f"{10 * MS} {json.dumps({'lastUpdateId': 20, 'bids': [], 'asks': [['11', '1']]})}",
        trade(11 * MS, T=9, t=1, p="10.0", q="3", m=True),
    ]
    with gzip.open(tmp_path / "s.gz", "wt") as file:
        file.write("\n".join(spot))
    got = binance_reader.read([tmp_path / "s.gz"], "binance_spot", "0.1", "1")
    # Spot deltas carry no T, their chain runs by U; the snapshot is as new as the last delta in it.
    assert got.depth["ts_event_ns"].tolist() == [10 * MS, 10 * MS]
    assert got.depth["prev_seq"].tolist() == [10, SEQ_NONE]
    assert got.trades["side"].tolist() == [binance_reader.ASK]
    fund = [
        trade(11 * MS, T=9, t=1, p="0", q="3", m=False, X="INSURANCE_FUND"),
        trade(12 * MS, T=9, t=2, p="10.0", q="1", m=False, X="MARKET"),
    ]
    futures = binance_reader.read([write(tmp_path / "f", fund)], "binance_usdm", "0.1", "1")
    assert futures.offbook["seq"].tolist() == [1]
    assert futures.trades["seq"].tolist() == [2]
    assert futures.trades["side"].tolist() == [binance_reader.BID]


def test_a_wrong_level_is_seen_by_the_book_check() -> None:
    """The canary: a harness that cannot fail proves nothing."""
    recording = binance_reader.Message(2, 0, 0, 7, SEQ_NONE, [(1, 99, 5), (2, 101, 4)])
    quote = binance_reader.Message(5, 0, 0, 7, SEQ_NONE, [(1, 99, 5), (2, 101, 4)])
    depth, quotes = binance_reader.rows([recording]), binance_reader.rows([quote])
    good = binance_reader.check_book(depth, quotes)
    assert (good.aligned, good.equal, good.crossed) == (1, 1, 0)
    depth["qty_lots"][0] += 1
    assert binance_reader.check_book(depth, quotes).equal == 0
    depth["px_ticks"][0] = 101
    assert binance_reader.check_book(depth, quotes).crossed == 1


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recordings_agree_with_their_readme(case: Case) -> None:
    recording = oracle(case)
    assert recording.streams["depth"] == case.depth_messages
    assert len(recording.trades) == case.trades
    assert len(recording.offbook) == 0
    assert recording.gaps == 0
    assert 1.2e9 < recording.clock_offset_ns < 1.3e9
    for stream in (recording.depth, recording.trades, recording.quotes):
        assert (np.diff(stream["ts_recv_ns"]) >= 0).all()
    check = binance_reader.check_book(recording.depth, recording.quotes)
    assert (check.aligned, check.equal, check.crossed) == (case.aligned, case.aligned, 0)


@needs_recordings
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_importer_agrees_row_for_row(case: Case, tmp_path: Path) -> None:
    expected = oracle(case)
    report = run_import("binance", [str(path) for path in case.paths()], case.id, str(tmp_path))
    assert (report.clock_offset_ns, report.gaps) == (expected.clock_offset_ns, 0)
    catalog = Catalog(tmp_path)
    for kind in KINDS:
        batches = list(catalog.batches(case.id, kind))
        rows = np.concatenate(batches) if batches else np.zeros(0, EVENT_DTYPE)
        oracle_rows = getattr(expected, kind)
        assert len(rows) == len(oracle_rows), kind
        for name in EVENT_DTYPE.names or ():
            unequal = np.flatnonzero(rows[name] != oracle_rows[name])
            assert not len(unequal), f"{kind}.{name}: first at row {unequal[0]}"
