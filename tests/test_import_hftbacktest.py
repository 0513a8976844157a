"""hftbacktest's files to the catalog: round trips, its own book as the oracle, damaged input."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine.catalog import Catalog
from engine.config import ConfigError
from engine.exporters import run_export
from engine.importers import ImportFailed, ImportReport, run_import
from engine.importers.npz import DTYPE
from engine.instruments import load_instrument
from engine.peers import hftbacktest as peer
from tests.formats import DictBook, Events, applied, catalog_of, messages, rows_of
from tests.parity.feed import INSTRUMENT, random_feed
from tests.recordings import CASES, needs_recordings

needs_hftbacktest = pytest.mark.skipif(
    not peer.available(), reason="hftbacktest is not installed: `make peers`"
)
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = EXCH | LOCAL
DEPTH, TRADE, CLEAR, SNAPSHOT, BBO, ADD_ORDER = 1, 2, 3, 4, 5, 10
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
USDM = "BTCUSDT-PERP.BINANCE"


def raw(*rows: tuple[Any, ...]) -> np.ndarray:
    """Rows of the format as (ev, venue time, receive time, price, quantity), times in ms."""
    out = np.zeros(len(rows), DTYPE)
    for at, (ev, exch, local, px, qty) in enumerate(rows):
        out[at] = (ev, T0 + exch * MS, T0 + local * MS, px, qty, 0, 0, 0)
    return out


SOUND = raw(
    (SNAPSHOT | BUY | BOTH, 0, 1, 99.9, 1.0),
    (SNAPSHOT | SELL | BOTH, 0, 1, 100.1, 1.0),
    *((DEPTH | BUY | BOTH, 10 * i, 10 * i + 1, 99.8, 0.001 * i) for i in range(1, 200)),
    (TRADE | BUY | BOTH, 3000, 3001, 100.1, 0.5),
)


@pytest.fixture(autouse=True)
def _made_up_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    depth, _ = random_feed(2, seed=1)
    catalog_of(tmp_path / "first", INSTRUMENT, depth=depth)
    (tmp_path / "first" / "conf").rename(tmp_path / "conf")


def load(
    data: np.ndarray | Path, instrument: str = INSTRUMENT.id, **options: Any
) -> tuple[ImportReport, Events, Events]:
    """Imports an array or a file into a new catalog: the report, depth and trades."""
    path = data if isinstance(data, Path) else Path("rows.npy")
    if not isinstance(data, Path):
        np.save(path, data)
    root = f"catalog of {path.name}"
    report = run_import("hftbacktest", [str(path)], instrument, root, **options)
    depth, trades = (rows_of(Catalog(root), instrument, kind) for kind in ("depth", "trades"))
    return report, depth, trades


def same_columns(found: Events, expected: Events) -> set[str]:
    """The columns that are equal in two arrays of one length."""
    assert len(found) == len(expected)
    names = found.dtype.names or ()
    return {name for name in names if np.array_equal(found[name], expected[name])}


EVERY = set(engine.EVENT_DTYPE.names or ())


@needs_hftbacktest
@pytest.mark.parametrize("suffix", ["x.npz", "days"])
def test_a_round_trip_of_a_feed_in_two_orders(suffix: str, tmp_path: Path) -> None:
    depth, trades = random_feed(400, seed=2)
    # No two messages of one stream share both times, so that the bounds can come back.
    depth["ts_recv_ns"] += np.cumsum((depth["flags"] & 1).astype(np.int64))
    made = catalog_of(tmp_path, INSTRUMENT, depth=depth, trades=trades)
    run_export("hftbacktest", INSTRUMENT.id, made.root, suffix)
    paths = [suffix] if suffix == "x.npz" else [f"{suffix}/*.npz"]
    report = run_import("hftbacktest", paths, INSTRUMENT.id, "back")
    assert (report.provenance, report.broken) == ("testnet", 0)
    back = Catalog("back")
    assert back.manifest(INSTRUMENT.id).provenance == "testnet"
    with_level = depth[depth["side"] != 0]
    found = rows_of(back, INSTRUMENT.id, "depth")
    assert same_columns(found, applied(with_level)) == EVERY - {"seq", "prev_seq"}
    assert (found["seq"] == engine.SEQ_NONE).all()
    assert same_columns(rows_of(back, INSTRUMENT.id, "trades"), trades) == EVERY - {"seq"}
    run_export("hftbacktest", INSTRUMENT.id, back.root, "again.npz")
    first = np.load(suffix)["data"] if suffix == "x.npz" else None
    if first is not None:
        assert np.load("again.npz")["data"].tobytes() == first.tobytes()


@needs_recordings
@needs_hftbacktest
@pytest.mark.parametrize("instrument_id", [USDM, "BTCUSD-PERP.BINANCE", "BTCUSDT.BINANCE"])
def test_a_round_trip_of_a_recording(instrument_id: str, recorded_catalog: Catalog) -> None:
    """Everything but ids and the mark of raised times comes back, the bounds of messages too."""
    end = recorded_catalog.manifest(instrument_id).files[0].ts_recv_first_ns + 100_000 * MS
    run_export("hftbacktest", instrument_id, recorded_catalog.root, "x.npz", end=end)
    report, depth, trades = load(Path("x.npz"), instrument_id)
    assert report.provenance == "recorded"
    ours = applied(rows_of(recorded_catalog, instrument_id, "depth", end_ns=end))
    assert same_columns(depth, ours) == EVERY - {"seq", "prev_seq", "flags"}
    raised = engine._core.FLAG_RECV_RAISED
    assert np.array_equal(depth["flags"], ours["flags"] & ~np.uint16(raised))
    recorded = rows_of(recorded_catalog, instrument_id, "trades", end_ns=end)
    assert same_columns(trades, recorded) == EVERY - {"seq"}


@needs_recordings
@needs_hftbacktest
def test_a_file_of_their_own_converter(recorded_catalog: Catalog) -> None:
    """Their reading of the same raw lines, imported: their book, and from the snapshot on ours."""
    from hftbacktest.data.utils import binancefutures

    (path,) = next(case for case in CASES if case.id == USDM).paths()
    with gzip.open(path) as lines, gzip.open("part.gz", "wb", 1) as part:
        part.writelines(line for _, line in zip(range(15_000), lines, strict=False))
    data = binancefutures.convert("part.gz", combined_stream=True)
    report, depth, trades = load(data, USDM)
    assert report.broken == 0
    instrument = load_instrument(USDM)
    theirs = peer.run_idle(data, instrument, book="hashmap")
    assert books(depth) == (theirs.bids, theirs.asks)
    end = int(depth["ts_recv_ns"][-1])
    shift = int(
        rows_of(recorded_catalog, USDM, "trades")["ts_recv_ns"][0] - trades["ts_recv_ns"][0]
    )
    ours = rows_of(recorded_catalog, USDM, "depth", end_ns=end + shift + 1)
    assert [len(side) for side in books(ours)] == pytest.approx(
        [len(theirs.bids), len(theirs.asks)], abs=60
    )
    best = [(max(bids), min(asks)) for bids, asks in (books(ours), books(depth))]
    assert best[0] == best[1]


def books(depth: Events) -> tuple[dict[int, int], dict[int, int]]:
    bids, asks = engine._core.replay_book(depth)
    return dict(bids.tolist()), dict(asks.tolist())


@needs_hftbacktest
@pytest.mark.parametrize("seed", range(12))
def test_clears_and_snapshots_leave_what_hftbacktest_holds(seed: int) -> None:
    """Random rows of every kind of depth event: bounded clears, clears of one side, levels beyond
    them, snapshots without a clear. Levels lie three ticks apart, because hftbacktest 2.4.4
    overlooks the one that is a single tick beyond a clear.
    """
    rng = random.Random(seed)
    rows = []
    at = 0
    for _ in range(150):
        at += rng.choice((0, 1, 1, 2))
        side = rng.choice((BUY, SELL))
        sign = -1 if side == BUY else 1
        kind = rng.choice((DEPTH, DEPTH, DEPTH, CLEAR, SNAPSHOT, SNAPSHOT))
        px = round(100 + sign * rng.randint(1, 12) * 0.3, 1)
        qty = rng.randint(0 if kind == DEPTH else 1, 5) / 1000
        if kind == CLEAR and rng.random() < 0.3:
            rows.append((CLEAR | BOTH, at, at + 5, 0, 0))
        else:
            rows.append((kind | side | BOTH, at, at + 5, px, 0 if kind == CLEAR else qty))
    data = raw((CLEAR | BOTH, 0, 5, 0, 0), *rows, (DEPTH | BUY | BOTH, at + 1, at + 6, 1.0, 0.001))
    report, depth, _ = load(data)
    theirs = peer.run_idle(data, INSTRUMENT, book="hashmap")
    assert books(depth) == (theirs.bids, theirs.asks)
    assert report.broken == 0
    book = DictBook()
    assert all(book.apply(message) for message in messages(depth))


def test_rows_of_equal_times_are_one_message() -> None:
    _, depth, trades = load(
        raw(
            (SNAPSHOT | BUY | BOTH, 0, 1, 99.9, 1.0),
            (DEPTH | BUY | BOTH, 0, 1, 99.8, 1.0),
            (DEPTH | SELL | BOTH, 0, 1, 100.1, 1.0),
            (TRADE | BUY | BOTH, 0, 1, 100.1, 1.0),
            (DEPTH | SELL | BOTH, 0, 1, 100.2, 1.0),
            (DEPTH | SELL | BOTH, 1, 1, 100.3, 1.0),
            (DEPTH | SELL | BOTH, 1, 2, 100.3, 1.0),
            (TRADE | SELL | BOTH, 1, 2, 99.9, 1.0),
            (TRADE | SELL | BOTH, 1, 2, 99.9, 1.0),
        )
    )
    assert [len(rows) for rows in messages(depth)] == [1, 3, 1, 1]
    assert depth["kind"].tolist() == [2, 1, 1, 1, 1, 1]
    assert [rows["flags"].tolist() for rows in messages(trades)] == [[3], [3], [3]]
    assert trades["side"].tolist() == [1, 2, 2]


def test_rows_that_stand_twice_are_joined() -> None:
    """A row for each clock is one row; one for the exchange alone, without a twin, came never."""
    late = (DEPTH | BUY, 5, 40, 99.5, 1.0)
    ghost = (DEPTH | BUY, 6, 41, 99.4, 1.0)
    unseen = (DEPTH | BUY, 7, 42, 99.3, 1.0)
    report, depth, _ = load(
        raw(
            (CLEAR | BOTH, 0, 1, 0, 0),
            (late[0] | EXCH, *late[1:]),
            (ghost[0] | EXCH, *ghost[1:]),
            (DEPTH | SELL | BOTH, 10, 20, 100.5, 1.0),
            (late[0] | LOCAL, *late[1:]),
            (unseen[0] | LOCAL, *unseen[1:]),
        )
    )
    assert depth["px_ticks"].tolist() == [0, 1005, 995, 993]
    assert depth["ts_event_ns"].tolist() == [T0 + at * MS for at in (0, 10, 5, 7)]
    notes = " ".join(report.notes)
    assert "Rows for the exchange alone without a twin, which nobody received: 1; left out" in notes
    assert "Rows for the strategy alone without a twin: 1; taken." in notes


def test_a_book_that_begins_empty() -> None:
    data = raw((DEPTH | BUY | BOTH, 0, 1, 99.9, 1.0), (DEPTH | SELL | BOTH, 1, 2, 100.1, 1.0))
    report, depth, _ = load(data)
    assert depth["kind"].tolist() == [1, 1]
    assert "Depth rows before any clear or snapshot: 2" in " ".join(report.notes)
    np.save("again.npy", data)
    _, depth, _ = load(Path("again.npy"), options={"begin": "empty"})
    assert depth["kind"].tolist() == [2, 1, 1]
    assert depth["side"].tolist() == [0, 1, 2]
    assert books(depth) == ({999: 1000}, {1001: 1000})
    with pytest.raises(ConfigError, match="options.begin: expected snapshot or empty, found 'x'"):
        load(data, options={"begin": "x"})
    with pytest.raises(ConfigError, match="options.start: expected one of begin"):
        load(data, options={"start": "x"})


def test_an_empty_snapshot_and_other_events() -> None:
    report, depth, _ = load(
        raw(
            (CLEAR | BOTH, 0, 1, 0, 0),
            (BBO | BUY | BOTH, 1, 2, 99.9, 1.0),
            (ADD_ORDER | BUY | BOTH, 1, 2, 99.9, 1.0),
            (DEPTH | BUY | BOTH, 1, 2, 99.9, 1.0),
            (CLEAR | BUY | BOTH, 2, 3, np.nan, 0),
        )
    )
    assert depth[["kind", "side", "px_ticks"]].tolist() == [(2, 0, 0), (1, 1, 999), (2, 0, 0)]
    notes = " ".join(report.notes)
    assert "Best bid and ask rows (event 5): 1; left out." in notes
    assert "Rows of single orders (events 10 to 13): 1; left out." in notes


def test_receive_times_before_the_venues_are_shifted() -> None:
    early = SOUND.copy()
    early["local_ts"] -= 50 * MS
    report, depth, _ = load(early)
    assert report.clock_offset_ns == 49 * MS
    assert (depth["ts_recv_ns"] - depth["ts_event_ns"]).min() == 0


# Prices as floats.


@pytest.mark.parametrize("px", [61800.29999999999, 61800.3, 61800.30000000001, 0.1 * 618003])
def test_a_float_within_rounding_is_the_multiple(px: float) -> None:
    _, depth, _ = load(raw((SNAPSHOT | BUY | BOTH, 0, 1, px, 0.1 + 0.2)))
    assert depth[["px_ticks", "qty_lots"]].tolist() == [(618003, 300)]


BROKEN = {
    "a price between ticks": ("px", 99.85, "px: expected a positive multiple of the tick 0.1"),
    "a price of nothing": ("px", 0.0, "px: expected a positive multiple"),
    "a negative price": ("px", -99.9, "px: expected a positive multiple"),
    "no price": ("px", np.nan, "found nan"),
    "an infinite price": ("px", np.inf, "found inf"),
    "a price beyond measure": ("px", 1e300, "px: expected a positive multiple"),
    "a quantity between lots": ("qty", 0.0005, "qty: expected a multiple of the lot 0.001"),
    "a negative quantity": ("qty", -0.001, "not negative, found -0.001"),
    "no quantity": ("qty", np.nan, "qty: expected a multiple of the lot 0.001"),
    "an event that is none": ("ev", BOTH | BUY | 77, "ev: expected one of 1, 2, 3, 4, 5, 10,"),
    "an event for nobody": ("ev", DEPTH | BUY, "ev: expected the flag EXCH or LOCAL, found 0x2"),
    "a level of no side": ("ev", DEPTH | BOTH, "ev: expected BUY or SELL"),
    "a level of both sides": ("ev", DEPTH | BOTH | BUY | SELL, "ev: expected BUY or SELL"),
    "a trade of both sides": ("ev", TRADE | BOTH | BUY | SELL, "ev: expected BUY or SELL, not"),
    "a time in ms": ("local_ts", T0 // MS, "local_ts: expected ns since the epoch, from 1973"),
    "a venue time of nothing": ("exch_ts", 0, "exch_ts: expected ns since the epoch"),
    "a negative time": ("exch_ts", -T0, "exch_ts: expected ns since the epoch"),
    "a time that goes back": ("local_ts", T0, "local_ts: expected a time at or after those before"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_named_and_takes_no_neighbour_along(name: str) -> None:
    field, value, reason = BROKEN[name]
    data = SOUND.copy()
    data[field][100] = value
    report, depth, trades = load(data)
    assert (report.broken, report.lines) == (1, len(SOUND))
    (line,) = report.broken_first
    assert (line.file, line.line) == ("rows.npy", 101)
    assert reason in line.reason
    assert (len(depth), len(trades)) == (len(SOUND) - 2, 1)


def test_a_trade_of_nothing_is_broken() -> None:
    data = SOUND.copy()
    data["qty"][-1] = 0
    report, _, _ = load(data)
    assert "qty: expected a trade of more than 0, found 0.0" in report.broken_first[0].reason


def test_rows_that_repeat_are_kept() -> None:
    """The format has no ids: a level set twice is the same level, two trades may be two trades."""
    _, depth, trades = load(np.repeat(SOUND, 2))
    assert len(trades) == 2
    np.save("once.npy", SOUND)
    assert books(depth) == books(load(Path("once.npy"))[1])


# Files that cannot be used.


def refused(path: Path, content: bytes, **options: Any) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    path.write_bytes(content)
    with pytest.raises(ImportFailed) as caught:
        run_import("hftbacktest", [str(path)], INSTRUMENT.id, "catalog", **options)
    assert not Path("catalog").exists()
    return str(caught.value)


def npy(array: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_files_that_are_something_else() -> None:
    path = Path("x.npz")
    assert "the file is empty" in refused(path, b"")
    assert "expected an npz or npy file, found b'PAR1'" in refused(path, b"PAR1" + bytes(90))
    assert "expected an array named data, found rows" in refused(path, npz(rows=SOUND))
    assert "found shape (3,) of float64" in refused(path, npz(data=np.ones(3)))
    assert "found shape (2, 6) of float64 (the format of hftbacktest 1" in refused(
        path, npz(data=np.ones((2, 6)))
    )
    narrow = SOUND.astype([(name, "<f4" if name == "px" else SOUND.dtype[name]) for name in NAMES])
    assert "px float32" in refused(path, npz(data=narrow))
    fewer = SOUND[["ev", "px"]].copy()
    assert "found shape (202,) of ev uint64, px float64" in refused(path, npz(data=fewer))
    assert "found shape (101, 2) of ev uint64" in refused(path, npz(data=SOUND.reshape(-1, 2)))
    assert "no readable npy header" in refused(path, b"\x93NUMPY\x01\x00\xff\xff{'descr': ")
    assert "found none in 0 lines" in refused(path, npz(data=SOUND[:0]))


NAMES = SOUND.dtype.names or ()


class Trap:
    """Unpickling this would leave a mark."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("sprung"),)


def test_pickled_objects_are_never_loaded() -> None:
    objects = np.array([Trap()], object)
    for content in (npz(data=objects), npy(objects)):
        message = refused(Path("x.npz"), content)
        assert "holds pickled Python objects, which are never loaded" in message
    assert not Path("sprung").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert Path("sprung").exists(), "the trap works"


@pytest.mark.parametrize("keep", [30, 0.3, 0.9, -30])
def test_truncated_files(keep: float) -> None:
    for name, content in (("x.npz", npz(data=SOUND)), ("x.npy", npy(SOUND))):
        cut = int(keep * len(content)) if isinstance(keep, float) else keep
        message = refused(Path(name), content[:cut])
        assert name in message
        assert "nothing was imported" in message or "no readable npy header" in message


def test_damaged_content() -> None:
    content = bytearray(npz(data=SOUND))
    content[len(content) // 2] ^= 0xFF
    assert "x.npz: damaged or cut off" in refused(Path("x.npz"), bytes(content))
    longer = npy(SOUND) + bytes(64)
    assert f"more than the {len(SOUND)} rows announced" in refused(Path("x.npy"), longer)


def test_a_zip_bomb() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", npy(np.zeros(0, DTYPE)) + bytes(32 << 20))
    message = refused(Path("x.npz"), out.getvalue())
    assert "more than 200 times as many; no recording does" in message


def test_zeros_are_broken_rows() -> None:
    message = refused(Path("x.npy"), npy(np.zeros(500, DTYPE)))
    assert "500 of 500 lines are broken" in message
    assert "x.npy:1: ev: expected one of 1, 2, 3, 4, 5, 10, 11, 12, 13" in message


def test_testnet_data_never_passes_for_real(tmp_path: Path) -> None:
    if not peer.available():
        pytest.skip("hftbacktest is not installed: `make peers`")
    depth, _ = random_feed(50, seed=3)
    made = catalog_of(tmp_path, INSTRUMENT, depth=depth)
    run_export("hftbacktest", INSTRUMENT.id, made.root, "x.npz")
    with pytest.raises(ImportFailed, match="holds testnet data, which is never imported as BTCUSD"):
        run_import("hftbacktest", ["x.npz"], USDM, "other")
    assert not Path("other").exists()


def test_several_files_follow_one_another() -> None:
    """Whatever their names; a message may go on in the next file, and each file is taken once."""
    np.save("b.npy", SOUND[:100])
    np.save("a.npy", SOUND[100:])
    np.save("copy of b.npy", SOUND[:100])
    report = run_import("hftbacktest", ["*.npy"], INSTRUMENT.id, "catalog")
    assert report.lines == len(SOUND)
    _, whole, _ = load(SOUND)
    assert rows_of(Catalog("catalog"), INSTRUMENT.id, "depth").tolist() == whole.tolist()
    again = run_import("hftbacktest", ["b.npy"], INSTRUMENT.id, "catalog")
    assert not again.changed
    np.save("c.npy", SOUND[50:150])
    with pytest.raises(ImportFailed, match="before those of b.npy end at .*; files must follow"):
        run_import("hftbacktest", ["b.npy", "c.npy"], INSTRUMENT.id, "other")
    assert not Path("other").exists()
