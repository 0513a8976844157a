"""The Parquet catalog: layout, order, what is read for a span of time, damage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import EVENT_DTYPE, SEQ_NONE, TS_NONE, catalog_writer
from engine.catalog import Catalog, CatalogError, Manifest, SourceEntry, catalog_rows
from engine.instruments import Instrument, load_instrument

if TYPE_CHECKING:
    from pathlib import Path

PERP = "BTCUSDT-PERP.BINANCE"
DAY_NS = 86_400_000_000_000
FIRST, LAST = 1, 2
DELTA, SNAPSHOT, TRADE = 1, 2, 3

Events = np.ndarray[Any, np.dtype[np.void]]


@pytest.fixture
def instrument() -> Instrument:
    return load_instrument(PERP)


def source(name: str = "made") -> list[SourceEntry]:
    return [SourceEntry(name, "0" * 64)]


def groups(sizes: list[int], *, start: int = 1, step_ns: int = 10, kind: int = DELTA) -> Events:
    """Messages of these numbers of rows, `step_ns` apart, with ids from `start` in a chain."""
    rows = np.zeros(sum(sizes), EVENT_DTYPE)
    message = np.repeat(np.arange(len(sizes)), sizes)
    ends = np.cumsum(sizes)
    rows["ts_recv_ns"] = (start + message) * step_ns
    rows["ts_event_ns"] = rows["ts_recv_ns"] - 1
    rows["seq"] = start + message
    rows["prev_seq"] = start + message - 1 if kind == DELTA else SEQ_NONE
    rows["kind"] = kind
    rows["side"] = 1 + np.arange(len(rows)) % 2
    rows["px_ticks"] = np.arange(len(rows)) * 7 % 1000
    rows["qty_lots"] = np.arange(len(rows)) * 13 % 100
    rows["flags"][ends - np.array(sizes)] |= FIRST
    rows["flags"][ends - 1] |= LAST
    return rows


def write(root: Path, instrument: Instrument, name: str = "made", **streams: Events) -> Manifest:
    catalog = Catalog(root)
    with catalog.writer(instrument, provenance="testnet", source=source(name)) as writer:
        for kind, rows in streams.items():
            writer.append(kind, rows)
        return writer.commit()


def read(root: Path, kind: str = "depth", **options: Any) -> Events:
    return np.concatenate([np.empty(0, EVENT_DTYPE), *Catalog(root).batches(PERP, kind, **options)])


def test_what_goes_in_comes_out(tmp_path: Path, instrument: Instrument) -> None:
    rows = groups([3, 1, 2], kind=TRADE)
    rows["ts_event_ns"][0] = TS_NONE
    rows["px_ticks"][:2] = [2**62, -(2**62)]
    rows["qty_lots"][:2] = [2**63 - 1, -(2**63)]
    rows["prev_seq"][3] = 2**63 + 5
    manifest = write(tmp_path, instrument, trades=rows)
    assert np.array_equal(read(tmp_path, "trades"), rows)
    assert len(read(tmp_path, "depth")) == 0
    assert read(tmp_path, "trades", index=7)["instrument"].tolist() == [7] * 6
    (entry,) = manifest.files
    assert entry.path.startswith("trades/1970-01-01/")
    assert (tmp_path / "BINANCE" / PERP / entry.path).is_file()
    assert (entry.rows, entry.messages, entry.provenance) == (6, 3, "testnet")


def test_rows_of_a_day_lie_in_its_folder(tmp_path: Path, instrument: Instrument) -> None:
    rows = groups([2] * 10, step_ns=DAY_NS // 4)
    manifest = write(tmp_path, instrument, depth=rows)
    days = [entry.path.split("/")[1] for entry in manifest.files]
    assert days == ["1970-01-01", "1970-01-02", "1970-01-03"]
    assert [entry.rows for entry in manifest.files] == [6, 8, 6]
    assert np.array_equal(read(tmp_path), rows)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 100, 131_072])
def test_batches_end_with_a_message(
    tmp_path: Path, instrument: Instrument, batch_rows: int
) -> None:
    sizes = [1, 2, 3, 40, 1, 1, 5, 2] * 20
    rows = groups(sizes)
    write(tmp_path, instrument, depth=rows)
    batches = list(Catalog(tmp_path).batches(PERP, "depth", batch_rows=batch_rows))
    assert np.array_equal(np.concatenate(batches), rows)
    for batch in batches:
        assert batch.dtype == EVENT_DTYPE
        assert batch["flags"][0] & FIRST
        assert batch["flags"][-1] & LAST
        messages = int((batch["flags"] & FIRST).astype(bool).sum())
        assert len(batch) <= batch_rows or messages == 1


def test_row_groups_and_parts_end_with_a_message(
    tmp_path: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_writer, "GROUP_ROWS", 10)
    monkeypatch.setattr(catalog_writer, "PART_ROWS", 25)
    rows = groups([3, 4, 2, 5, 30, 1, 1, 1, 8, 9] * 6)
    catalog = Catalog(tmp_path)
    with catalog.writer(instrument, provenance="testnet", source=source()) as writer:
        for start in range(0, 60, 7):
            message = (rows["seq"] - 1).astype(int)
            writer.append("depth", rows[(message >= start) & (message < start + 7)])
        manifest = writer.commit()
    assert len(manifest.files) > 5
    assert sum(entry.messages for entry in manifest.files) == 60
    assert np.array_equal(read(tmp_path), rows)
    for batch in catalog.batches(PERP, "depth"):
        assert batch["flags"][0] & FIRST
        assert batch["flags"][-1] & LAST


@pytest.mark.parametrize(("start_ns", "end_ns"), [(None, 55), (35, None), (30, 70), (999, None)])
def test_a_span_of_time(
    tmp_path: Path, instrument: Instrument, start_ns: int | None, end_ns: int | None
) -> None:
    rows = groups([2] * 10, kind=TRADE)
    write(tmp_path, instrument, trades=rows)
    expected = rows[
        (rows["ts_recv_ns"] >= (start_ns or 0)) & (rows["ts_recv_ns"] < (end_ns or 10**9))
    ]
    found = read(tmp_path, "trades", start_ns=start_ns, end_ns=end_ns)
    assert np.array_equal(found, expected)


def test_depth_begins_with_the_last_snapshot_before_the_start(
    tmp_path: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_writer, "GROUP_ROWS", 10)
    rows = groups([2] * 100)
    for message in (5, 40, 80):
        rows["kind"][2 * message : 2 * message + 2] = SNAPSHOT
    write(tmp_path, instrument, depth=rows)
    for start, first in ((10, 10), (59, 59), (60, 60), (65, 60), (409, 60), (410, 410), (700, 410)):
        found = read(tmp_path, start_ns=start, end_ns=905)
        assert np.array_equal(
            found, rows[(rows["ts_recv_ns"] >= first) & (rows["ts_recv_ns"] < 905)]
        ), start


def test_only_the_files_of_the_span_are_opened(tmp_path: Path, instrument: Instrument) -> None:
    manifest = write(tmp_path, instrument, trades=groups([1] * 10, step_ns=DAY_NS, kind=TRADE))
    for entry in manifest.files[1:]:
        (Catalog(tmp_path).folder(PERP) / entry.path).unlink()
    assert len(read(tmp_path, "trades", end_ns=2 * DAY_NS)) == 1
    with pytest.raises(CatalogError, match="the manifest names this file but it is missing"):
        read(tmp_path, "trades")


@pytest.mark.parametrize("at", [0, 100, -10])
def test_a_flipped_byte_is_found_before_a_row_is_given_out(
    tmp_path: Path, instrument: Instrument, at: int
) -> None:
    (entry,) = write(tmp_path, instrument, depth=groups([2] * 500)).files
    path = Catalog(tmp_path).folder(PERP) / entry.path
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    batches = Catalog(tmp_path).batches(PERP, "depth")
    with pytest.raises(CatalogError) as caught:
        next(batches)
    message = str(caught.value)
    assert str(path) in message
    assert f"expected sha256 {entry.sha256}, found " in message
    assert message.count(entry.sha256) == 1


def test_gaps_are_counted_inside_files_and_between_them(
    tmp_path: Path, instrument: Instrument
) -> None:
    rows = groups([2] * 30)
    kept = np.concatenate([rows[:20], rows[24:40]])
    assert write(tmp_path, instrument, depth=kept).gaps == 1
    assert write(tmp_path, instrument, "second", depth=rows[40:50]).gaps == 1
    manifest = write(tmp_path, instrument, "third", depth=rows[54:])
    assert manifest.gaps == 2
    assert [entry.gap_before for entry in manifest.files] == [False, False, True]


def test_a_snapshot_closes_a_gap_between_files(tmp_path: Path, instrument: Instrument) -> None:
    rows = groups([2] * 30)
    write(tmp_path, instrument, depth=rows[:20])
    later = rows[30:].copy()
    later["kind"][:2] = SNAPSHOT
    later["prev_seq"][:2] = SEQ_NONE
    assert write(tmp_path, instrument, "second", depth=later).gaps == 0


def test_rows_that_no_reader_could_rely_on_are_refused(
    tmp_path: Path, instrument: Instrument
) -> None:
    rows = groups([2, 2, 2])
    back = rows.copy()
    back["ts_recv_ns"][2:4] = 5
    for kind, bad, message in (
        ("trades", rows, "kind of .*Trade.* found 1"),
        ("depth", back, "ts_recv_ns at least 10 in row 2, found 5"),
        ("depth", rows[:5], "expected whole messages, found rows that end inside one"),
        ("depth", rows[1:], "flags with FIRST in row 0"),
        ("everything", rows, "kind: expected one of depth, trades, offbook, quotes"),
    ):
        with (
            pytest.raises(ValueError, match=message),
            Catalog(tmp_path).writer(instrument, provenance="testnet", source=source()) as writer,
        ):
            writer.append(kind, bad)
            writer.commit()
    assert Catalog(tmp_path).instruments() == []
    assert list(tmp_path.iterdir()) == []


def test_without_a_commit_nothing_remains(tmp_path: Path, instrument: Instrument) -> None:
    catalog = Catalog(tmp_path / "new")
    with catalog.writer(instrument, provenance="testnet", source=source()) as writer:
        writer.append("depth", groups([2] * 10))
    assert not (tmp_path / "new").exists()


def test_rows_may_not_overlap_those_there(tmp_path: Path, instrument: Instrument) -> None:
    rows = groups([1] * 20, kind=TRADE)
    write(tmp_path, instrument, trades=rows[:10])
    with pytest.raises(CatalogError, match="recordings that overlap are imported together"):
        write(tmp_path, instrument, "second", trades=rows[5:])
    assert np.array_equal(read(tmp_path, "trades"), rows[:10])


def test_provenances_are_never_mixed(tmp_path: Path, instrument: Instrument) -> None:
    write(tmp_path, instrument, depth=groups([1]))
    with pytest.raises(CatalogError, match="holds testnet data, to which recorded data is never"):
        Catalog(tmp_path).writer(instrument, provenance="recorded", source=source())
    with pytest.raises(CatalogError, match="provenance: expected one of recorded, testnet"):
        Catalog(tmp_path).writer(instrument, provenance="real", source=source())


def test_the_same_source_is_not_written_twice(tmp_path: Path, instrument: Instrument) -> None:
    write(tmp_path, instrument, depth=groups([1] * 5))
    with pytest.raises(CatalogError, match="made is in the catalog already"):
        write(tmp_path, instrument, depth=groups([1] * 5, start=10))


def test_the_data_hash_names_the_content(tmp_path: Path, instrument: Instrument) -> None:
    rows = groups([1] * 20, kind=TRADE)
    for name, parts in (("a", (0, 1)), ("b", (1, 0))):
        for part in parts:
            half = rows[10 * part : 10 * part + 10]
            write(tmp_path / name, instrument, f"part {part}", trades=half)
    hashes = [Catalog(tmp_path / name).data_sha256([PERP], ["trades"]) for name in ("a", "b")]
    assert hashes[0] == hashes[1]
    assert Catalog(tmp_path / "a").data_sha256([PERP], ["depth"]) != hashes[0]
    write(tmp_path / "a", instrument, "more", trades=groups([1], start=100, kind=TRADE))
    assert Catalog(tmp_path / "a").data_sha256([PERP], ["trades"]) != hashes[0]


def test_the_listing(tmp_path: Path, instrument: Instrument) -> None:
    write(tmp_path, instrument, depth=groups([2] * 5), trades=groups([1] * 3, kind=TRADE))
    assert catalog_rows(tmp_path) == [
        {
            "instrument": PERP,
            "kind": kind,
            "interval": None,
            "start_ns": 10,
            "end_ns": 10 * messages,
            "rows": rows,
            "messages": messages,
            "files": 1,
            "bytes": Catalog(tmp_path).manifest(PERP).of_kind(kind)[0].bytes,
            "gaps": 0,
            "missing": 0,
            "broken": 0,
            "clock_offset_ns": [0],
            "provenance": "testnet",
        }
        for kind, rows, messages in (("depth", 10, 5), ("trades", 3, 3))
    ]
    assert catalog_rows(tmp_path / "none") == []


def test_the_manifest_is_plain_and_moves_with_its_folder(
    tmp_path: Path, instrument: Instrument
) -> None:
    write(tmp_path / "a", instrument, depth=groups([2] * 5))
    text = (tmp_path / "a" / "BINANCE" / PERP / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["definition"]["tick"] == "0.1"
    (tmp_path / "a").rename(tmp_path / "b")
    assert len(read(tmp_path / "b")) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged manifest"),
        ("[]", "damaged manifest"),
        ('{"version": 1}', "damaged manifest"),
        ('{"version": 99, "files": []}', "expected manifest version 1, found 99"),
    ],
)
def test_a_damaged_manifest_is_named(
    tmp_path: Path, instrument: Instrument, text: str, message: str
) -> None:
    write(tmp_path, instrument, depth=groups([2] * 5))
    path = tmp_path / "BINANCE" / PERP / "manifest.json"
    path.write_text(text)
    with pytest.raises(CatalogError, match=message) as caught:
        Catalog(tmp_path).manifest(PERP)
    assert str(path) in str(caught.value)


def test_slips_are_answered(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    with pytest.raises(CatalogError, match="no data for BTCUSDT-PERP.BINANCE; it holds nothing"):
        next(catalog.batches(PERP, "depth"))
    for name in ("BTCUSDT", "../x.y/z", ".BINANCE"):
        with pytest.raises(CatalogError, match="expected an id SYMBOL.VENUE"):
            catalog.manifest(name)


def test_a_kind_or_size_that_is_none(tmp_path: Path, instrument: Instrument) -> None:
    write(tmp_path, instrument, depth=groups([1]))
    with pytest.raises(CatalogError, match="kind: expected one of depth, .* found 'books'"):
        next(Catalog(tmp_path).batches(PERP, "books"))
    with pytest.raises(CatalogError, match="batch_rows: expected at least 1, found 0"):
        next(Catalog(tmp_path).batches(PERP, "depth", batch_rows=0))
