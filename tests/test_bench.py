"""The benchmark as a smoke test: every case checked and run once, on a few seconds of data."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from engine import _core, bench, bench_data, bench_state
from engine.peers import hftbacktest as peer
from tests.recordings import ROOT, needs_recordings

if TYPE_CHECKING:
    from engine.bench_data import BenchData

NAMES = [
    "decode",
    "book only",
    "kernel, Python strategy at 10 Hz",
    "kernel, Python handler on every message",
]
ORDERS = [
    "kernel with 1 resting order",
    "kernel with 10 resting orders",
    "kernel with 100 resting orders",
    "kernel with 1,000 resting orders",
    "order path, from Rust",
    "order path, from Python",
    "journal, on disk at the end",
    "journal, each record on disk",
    "kernel with its journal, 20 commands a second",
]
STATE = [
    "kernel with bars of 7 intervals",
    "kernel with pivots on 7 intervals",
    "kernel with order flow and sweeps",
    "kernel with COB, sampled at 10 Hz",
    "kernel with COB, flow, bars, pivots",
    "kernel with the same, read in Python at 10 Hz",
    "COB of 3 venues",
    "heatmap of 300 s × 40 buckets",
]


@pytest.fixture(scope="module")
def data() -> BenchData:
    return bench_data.testnet(6)


def test_every_case_is_checked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COBALT_RECORDINGS", raising=False)
    told: list[str] = []
    rows = bench.run(runs=2, seconds=6, progress=told.append)
    assert [row.name for row in rows] == told == NAMES + ORDERS + STATE
    for row in rows:
        assert row.checked
        assert row.checks
        assert row.runs == 2
        assert row.value == pytest.approx(row.amount / row.seconds[1])
        assert row.seconds[0] <= row.seconds[1] <= row.seconds[2]
        assert (row.provenance, row.build_profile) == ("testnet", "release")
        if row.peer is None:
            assert row.peer_value is row.ratio is row.peer_seconds is None
            assert row.note is not None
        else:
            assert row.peer_value is not None
            assert row.peer_value > max(row.other_peers.values(), default=0)
            assert row.ratio == pytest.approx(row.value / row.peer_value)
            assert row.peer_rows is not None
            assert row.peer_rows >= row.rows
    peers = [row.peer for row in rows]
    assert [name is not None for name in peers[:4]] == [False] + [peer.available()] * 3
    assert [name is not None for name in peers[4:8]] == [peer.available()] * 4
    assert peers[8:12] == [None] * 4
    assert peers[12] == "without a journal"
    assert peers[13:] == [bench_state.BASE] * 7 + [None]
    told_as = [one["name"] for one in json.loads(json.dumps([row.to_dict() for row in rows]))]
    assert told_as == told


def test_the_table_says_what_the_data_is(data: BenchData) -> None:
    rows = [bench.measure(bench.cases(data)[1], data, runs=1)]
    out = io.StringIO()
    Console(width=120, file=out).print(bench.table(rows))
    # The caption is wrapped at whatever width the table has.
    text = " ".join(out.getvalue().split())
    assert "book only" in text
    assert "TESTNET DATA" in text
    assert "release build" in text


def test_without_the_peer_rows_say_how_to_get_it(
    data: BenchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "available", lambda: False)
    rows = [bench.measure(case, data, runs=1) for case in bench.cases(data)]
    assert [row.peer for row in rows] == [None] * 4
    assert "`make peers`" in (rows[2].note or "")
    assert all(row.checked for row in rows)


def test_a_debug_build_is_refused(data: BenchData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "BUILD_PROFILE", "debug")
    with pytest.raises(bench.BenchError, match=r"expected a release build.*found debug"):
        bench.measure(bench.cases(data)[0], data, runs=1)


@pytest.mark.parametrize("column", ["px_ticks", "qty_lots"])
def test_a_wrong_row_stops_every_benchmark(data: BenchData, column: str) -> None:
    """The canary: what is timed differs from what it is checked against, and no time is given."""
    depth = data.depth.copy()
    depth[column][-1] += 1
    wrong = dataclasses.replace(data, depth=depth)
    decode = bench.cases(wrong)[0]
    with pytest.raises(bench.BenchError, match=r"decode: depth differ"):
        bench.measure(decode, wrong, runs=1)
    bids, asks = bench_data.plain_book(depth)
    with pytest.raises(bench.BenchError, match=r"book: .* differ"):
        data.check_book(bids, asks)


@pytest.mark.skipif(not peer.available(), reason="hftbacktest is not installed")
def test_a_wrong_peer_stops_the_kernel_benchmarks(
    data: BenchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = bench.cases(data)
    run = peer.run_quoting

    def slower(*args: object, **options: object) -> object:
        result = run(*args, **options)  # type: ignore[arg-type]
        result.orders["ts_exchange_ns"] += 1
        return result

    monkeypatch.setattr(peer, "run_quoting", slower)
    with pytest.raises(bench.BenchError, match=r"differs from hftbacktest .* in orders"):
        bench.measure(cases[2], data, runs=1)


def test_too_little_data_is_refused(data: BenchData) -> None:
    short = dataclasses.replace(data, depth=data.depth[:100])
    with pytest.raises(bench.BenchError, match=r"more than two seconds"):
        bench.cases(short)


@needs_recordings
def test_recorded_data_is_the_catalogs() -> None:
    assert ROOT is not None
    data = bench_data.recorded(Path(ROOT), bench.INSTRUMENT)
    assert (data.provenance, len(data.trades)) == ("recorded", 21_313)
    data.check_decoded(_core.decode_lines(data.text, data.market, "BTCUSDT", "0.1", "0.001"))
