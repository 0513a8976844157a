"""What importers of vendor files share: exact columns, lines by number, clocks, one commit."""

from __future__ import annotations

import errno
import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core
from engine.catalog import Catalog, SourceEntry
from engine.config import ConfigError
from engine.importers import ImportFailed, ImportReport, ImportRequest
from engine.importers.delimited import CsvFile, Tally, text_steps
from engine.importers.delimited import _in_order as in_order
from engine.importers.writing import Chunk, SourceFile, event_rows, import_events, in_time_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PERP = "BTCUSDT-PERP.BINANCE"
T0_NS = 1_723_161_600_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000

STEPS = ["0.1", "0.01", "0.00001", "0.5", "0.25", "1", "25", "100"]


def exact(text: str, step: str) -> int | None:
    count = Decimal(text) / Decimal(step)
    whole = int(count)
    return whole if whole == count and abs(whole) < 2**63 else None


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=6).map(lambda number: format(number, "f"))),
    st.sampled_from(STEPS),
)
@settings(deadline=None)  # The first example loads pyarrow.
def test_texts_become_steps_as_decimals_do(texts: list[str], step: str) -> None:
    found = text_steps(pa.array([text.encode() for text in texts], pa.binary()), step)
    expected = [exact(text, step) for text in texts]
    assert [
        int(v) if ok else None for v, ok in zip(found.values, found.ok, strict=True)
    ] == expected


@pytest.mark.parametrize(
    "text", ["", " 1", "1e5", "0x1", "1,0", "NaN", "inf", "1_0", "--1", "9" * 40, "1.2.3", "½"]
)
def test_texts_that_are_no_numbers(text: str) -> None:
    column = pa.array([b"1.5", text.encode(), b"2.5"], pa.binary())
    found = text_steps(column, "0.1")
    assert found.ok.tolist() == [True, False, True]
    assert found.values.tolist() == [15, 0, 25]


def test_a_slice_of_a_column_counts_its_own_cells() -> None:
    column = pa.array([b"1", b"22", b"", b"4.5", b"5"], pa.binary()).slice(1, 3)
    found = text_steps(column, "0.5")
    assert found.ok.tolist() == [True, False, True]
    assert found.values.tolist() == [44, 0, 9]
    assert len(text_steps(column.slice(0, 0), "0.5").values) == 0


def test_quantities_finer_than_the_lot_go_to_the_nearest() -> None:
    column = pa.array([b"0.00001499", b"0.00000001", b"0.00000000", b"0.123456789"], pa.binary())
    found = text_steps(column, "0.00001", nearest_places=8)
    assert found.values.tolist() == [1, 1, 0, 0]
    assert found.ok.tolist() == [True, True, True, False]
    assert found.rounded.tolist() == [True, True, False, False]


def test_exponents_are_read_where_they_are_expected() -> None:
    column = pa.array([b"1e-7", b"2.5E-6", b"1e+2", b"1e-9", b"e5", b"1e999"], pa.binary())
    found = text_steps(column, "0.0000001", exponents=True)
    assert found.ok.tolist() == [True, True, True, False, False, False]
    assert found.values.tolist()[:3] == [1, 25, 1_000_000_000]
    assert not text_steps(column, "0.0000001").ok.any()


@given(st.integers(-(2**50), 2**50), st.sampled_from(["0.1", "0.00001", "0.00000001", "1", "0.5"]))
def test_a_float_is_taken_for_the_multiple_that_it_denotes(count: int, step: str) -> None:
    value = float(Decimal(count) * Decimal(step))
    steps, bad, reasons = _core.float_steps(np.array([value]), step)
    assert (steps.tolist(), bad.tolist(), reasons) == ([count], [], [])


def test_floats_that_are_no_multiples() -> None:
    values = np.array([0.15, 0.1 + 1e-8, 0.1 + 1e-6, np.nan, np.inf, 1e300, 0.30000000000000004])
    steps, bad, reasons = _core.float_steps(values, "0.1")
    assert bad.tolist() == [0, 2, 3, 4, 5]
    assert steps[[1, 6]].tolist() == [1, 3]
    assert reasons[0] == "0.15 is not a multiple of the step 0.1"
    assert "at most 2^51 steps of 0.1, found NaN" in reasons[2]
    with pytest.raises(ValueError, match="tolerance: expected a share of a step from 0"):
        _core.float_steps(values, "0.1", 0.5)


def test_the_binding_refuses_places_outside_its_data() -> None:
    data = np.frombuffer(b"123", np.uint8)
    for offsets in ([0, 4], [2, 1], [-1, 2]):
        with pytest.raises(ValueError, match="offsets: expected places within the 3 bytes"):
            _core.decimal_steps(np.array(offsets, np.int32), data, "1")


def seconds(*times: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([round(time * SECOND) for time in times], np.int64)


@pytest.mark.parametrize(
    ("times", "last", "behind", "unfit"),
    [
        ([1, 2, 3], 0, 4, []),
        ([1, 90, 2, 3], 0, 4, [1]),
        ([90, 1, 2, 3], 0, 4, [0]),
        ([1, 2, 90], 0, 3, [2]),
        ([1, 2, 90], 0, None, []),
        ([10, 11, 2, 12], 0, 13, [2]),
        ([10, 11, 10.5, 12], 0, 13, []),
        ([5, 6, 7], 60, 8, [0, 1, 2]),
        ([10, 9.5, 8.7, 8.1, 10], 0, None, [2, 3]),
        ([1, 100, 200, 300], 0, 400, []),
        ([10, 2, 12], 0, 13, [1]),
        ([1, 90, 3, 50, 60], 0, 61, [1]),
        ([1, 90, 91, 2, 3, 4], 0, 5, [1, 2]),
        ([], 0, None, []),
    ],
)
def test_times_that_do_not_fit_those_around_them(
    times: list[float], last: float, behind: float | None, unfit: list[int]
) -> None:
    following = None if behind is None else round(behind * SECOND)
    found = in_order(seconds(*times), round(last * SECOND), following)
    assert np.flatnonzero(~found).tolist() == unfit


def rows_of(path: Path, names: str = "a,b", **how: Any) -> tuple[list[tuple[int, str]], Tally]:
    """The rows of a file with their line numbers, and the tally."""
    tally = Tally()
    csv = CsvFile(path, tally)
    found = [
        (int(block.lines[at]), ",".join(block.text(name, at) for name in names.split(",")))
        for block in csv.blocks(names.split(","), header=how.get("header", True))
        for at in range(len(block))
    ]
    return found, tally


def told(tally: Tally) -> list[tuple[int, str]]:
    return [(line.line, line.reason) for line in tally.broken_first]


def test_every_line_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(
        b'\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3\r\n4,5,6\n\xff,7\n8,\x009\n10,1\r1\n"12,13\n14,15'
    )
    found, tally = rows_of(path)
    assert found == [(2, "1,2"), (9, '"12,13'), (10, "14,15")]
    assert told(tally) == [
        (6, "not UTF-8 text: byte 1"),
        (7, "expected text, found binary data"),
        (8, "expected one line, found a carriage return inside it"),
        (4, "expected 2 fields, found 1"),
        (5, "expected 2 fields, found 3"),
    ]
    assert (tally.lines, tally.broken, tally.counts["unended_lines"]) == (8, 5, 1)


def test_a_line_without_end_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1,2\n" + b"x" * (9 << 20) + b"\n3,4\n")
    found, tally = rows_of(path)
    assert found == [(2, "1,2"), (4, "3,4")]
    assert told(tally) == [(3, "line: expected at most 1 MiB, found a longer one")]


def packed(content: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.compress(content)
    if how == "zst":
        return bytes(pa.compress(content, codec="zstd", asbytes=True))
    if how == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("../../etc/passwd", content)
        return buffer.getvalue()
    return content


def many(count: int) -> bytes:
    return b"a,b\n" + b"".join(b"%d,%d\n" % (at, at * at) for at in range(count))


@pytest.mark.parametrize("how", ["plain", "gz", "zst", "zip"])
def test_packed_files_are_read_as_they_are(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(packed(many(80_000), how))
    found, tally = rows_of(path)
    assert (len(found), found[-1]) == (80_000, (80_001, "79999,6399840001"))
    assert tally.broken == 0
    assert list(tmp_path.iterdir()) == [path], "nothing is unpacked to disk"


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_what_comes_before_a_cut_is_kept(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    content = packed(many(80_000), how)
    path.write_bytes(content[: len(content) // 2])
    found, tally = rows_of(path)
    assert found[:2] == [(2, "0,0"), (3, "1,1")]
    assert len(found) > 20_000 if how == "gz" else len(found) > 0
    assert tally.broken == 1
    assert "cut off or damaged" in tally.broken_first[0].reason
    assert tally.broken_first[0].line == found[-1][0] + 1


def test_zip_files_of_several_members_or_none(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    for members, found in ((["a.csv", "b.csv"], "a.csv, b.csv"), ([], "none")):
        with zipfile.ZipFile(path, "w") as archive:
            for member in members:
                archive.writestr(member, "1,2\n")
        with pytest.raises(ImportFailed, match=f"a zip file of one table, found {found}"):
            rows_of(path)
    whole = packed(many(1000), "zip")
    for content in (whole[:-40], b"PK\3\4" + b"\0" * 20 + whole[4:], b"PK\3\4" + whole[30:]):
        path.write_bytes(content)
        with pytest.raises(ImportFailed, match="not a whole zip file"):
            rows_of(path)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, words in (
        (b"", "the file is empty"),
        (gzip.compress(b""), "found no line of text"),
        (b"\n\n", "found no line of text"),
        (b"\x00\x01", "found binary data"),
        (b"\xff\xfe\n", "found binary data"),
        (gzip.compress(b"a,b\n")[:10], "found no line of text (the packed data is cut off"),
    ):
        path.write_bytes(content)
        with pytest.raises(ImportFailed) as caught:
            rows_of(path)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)


def request(tmp_path: Path, *paths: Path, **over: Any) -> ImportRequest:
    values: dict[str, Any] = {
        "paths": tuple(map(str, paths)),
        "instrument": PERP,
        "catalog": str(tmp_path / "cat"),
        "base_latency_ns": 0,
        "clock_offset_ns": None,
        "max_broken_share": 0.01,
        "progress": lambda _stage, _done, _total: None,
    }
    return ImportRequest(**{**values, **over})


def files(tmp_path: Path, count: int = 1) -> list[Path]:
    paths = [tmp_path / f"file{at}" for at in range(count)]
    for path in paths:
        path.write_text(path.name)
    return paths


def trades(event_ms: Sequence[float], recv_ms: Sequence[float]) -> Any:
    return event_rows(
        len(event_ms),
        kind=3,
        ts_event_ns=T0_NS + (np.array(event_ms) * MS).astype(np.int64),
        ts_recv_ns=T0_NS + (np.array(recv_ms) * MS).astype(np.int64),
        side=1,
        px_ticks=1000,
        qty_lots=5,
        seq=np.arange(len(event_ms), dtype=np.uint64),
    )


class Source:
    """A reader that gives chunks, and counts how often it was asked."""

    def __init__(self, *chunks: tuple[int, Any], broken: int = 0) -> None:
        self.chunks = chunks
        self.broken = broken
        self.reads = 0

    def __call__(self, found: Sequence[SourceFile], tally: Tally) -> Iterator[Chunk]:
        self.reads += 1
        for at, events in self.chunks:
            tally.lines += len(events)
            yield Chunk(found[at], "trades", events.copy(), 1)
        for at in range(self.broken):
            tally.lines += 1
            tally.break_line(found[0].name, at + 1, "no row", "text")


def imported(tmp_path: Path, source: Source, count: int = 1, **over: Any) -> ImportReport:
    return import_events(request(tmp_path, *files(tmp_path, count), **over), "test", source)


def stored(tmp_path: Path) -> Any:
    return np.concatenate(list(Catalog(tmp_path / "cat").batches(PERP, "trades")))


def ms_of(rows: Any) -> list[float]:
    return ((rows["ts_recv_ns"] - T0_NS) / MS).tolist()


def test_agreeing_clocks_are_read_once(tmp_path: Path) -> None:
    source = Source((0, trades([0, 10, 20], [1, 12, 21])))
    report = imported(tmp_path, source)
    assert source.reads == 1
    assert ms_of(stored(tmp_path)) == [1, 12, 21]
    assert (report.clock_offset_ns, report.latency_ns_min) == (0, MS)
    assert report.rows == {"depth": 0, "trades": 3, "offbook": 0, "quotes": 0}
    assert "The clocks agree (smallest latency 1.000 ms)" in report.notes[0]


def test_a_clock_that_runs_behind_shifts_all_rows_by_one_constant(tmp_path: Path) -> None:
    source = Source((0, trades([0, 10], [1, 12])), (0, trades([20, 30], [18, 33])))
    report = imported(tmp_path, source, base_latency_ns=MS)
    assert source.reads == 2
    assert ms_of(stored(tmp_path)) == [4, 15, 21, 36]
    assert report.clock_offset_ns == 3 * MS
    assert "The receive clock ran 2.000 ms behind the venue's" in report.notes[0]
    entry = Catalog(tmp_path / "cat").manifest(PERP).imports[0]
    assert entry.clock_offset_ns == 3 * MS
    assert entry.details["format"] == "test"


def test_a_shift_that_is_told_is_taken(tmp_path: Path) -> None:
    source = Source((0, trades([0, 10], [-5, 12])))
    report = imported(tmp_path, source, clock_offset_ns=2 * MS)
    assert (source.reads, report.clock_offset_ns) == (1, 2 * MS)
    assert ms_of(stored(tmp_path)) == [-3, 14]


def test_files_without_receive_times(tmp_path: Path) -> None:
    rows = trades([0, 10, 9.5], [0, 10, 9.5])
    report = import_events(
        request(tmp_path, *files(tmp_path), base_latency_ns=MS),
        "test",
        Source((0, rows)),
        has_receive_times=False,
    )
    assert ms_of(stored(tmp_path)) == [1, 11, 11]
    assert report.counts == {"recv_backwards": 1}
    assert "The files have no receive times: each is the venue's time +1.000 ms" in report.notes[0]


def test_times_that_go_back_are_raised_and_counted(tmp_path: Path) -> None:
    source = Source((0, trades([0, 1, 2], [5, 4, 6])), (0, trades([3], [5.5])))
    report = imported(tmp_path, source)
    assert ms_of(stored(tmp_path)) == [5, 5, 6, 6]
    assert report.counts == {"recv_backwards": 2}


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    source = Source((0, trades([0, 10], [1, 11])), (1, trades([5], [6])))
    with pytest.raises(ImportFailed, match="file1: its trades begin at .* before those of file0"):
        imported(tmp_path, source, 2)
    assert not (tmp_path / "cat").exists()


def test_nothing_is_written_where_too_much_is_broken(tmp_path: Path) -> None:
    source = Source((0, trades([0] * 99, [1] * 99)), broken=2)
    with pytest.raises(ImportFailed) as caught:
        imported(tmp_path, source)
    assert str(caught.value) == (
        "file0: 2 of 101 lines are broken, more than max_broken_share=0.01 allows; nothing was"
        " imported\n  file0:1: no row\n  file0:2: no row"
    )
    assert not (tmp_path / "cat").exists()
    report = imported(tmp_path, source, max_broken_share=0.02)
    assert (report.lines, report.broken, len(stored(tmp_path))) == (101, 2, 99)


def test_files_without_a_row_of_use(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="expected at least one row of use, found none in 0"):
        imported(tmp_path, Source())
    assert not (tmp_path / "cat").exists()


def test_files_that_are_there_are_left_out(tmp_path: Path) -> None:
    imported(tmp_path, Source((0, trades([0], [1]))))
    again = imported(tmp_path, Source((0, trades([0], [1]))))
    assert (again.changed, again.files_known) == (False, ["file0"])
    more = imported(tmp_path, Source((0, trades([5], [6]))), 2)
    assert (more.changed, more.files, more.files_known) == (True, ["file1"], ["file0"])
    assert more.notes[-1] == "Already in the catalog and left out: file0."
    assert ms_of(stored(tmp_path)) == [1, 6]
    manifest = Catalog(tmp_path / "cat").manifest(PERP)
    assert [[source.name for source in entry.sources] for entry in manifest.imports] == [
        ["file0"],
        ["file1"],
    ]
    assert manifest.provenance == "recorded"


def test_an_import_that_dies_leaves_the_catalog_as_it_was(tmp_path: Path) -> None:
    imported(tmp_path, Source((0, trades([0], [1]))))
    before = {path: path.read_bytes() for path in (tmp_path / "cat").rglob("*") if path.is_file()}

    def dies(error: BaseException) -> Callable[..., Iterator[Chunk]]:
        def read(found: Sequence[SourceFile], tally: Tally) -> Iterator[Chunk]:
            tally.lines += 1
            yield Chunk(found[0], "trades", trades([5], [6]), 1)
            raise error

        return read

    for error, words in (
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the device"),
        (ImportFailed("damaged"), "damaged"),
    ):
        with pytest.raises(ImportFailed, match=words):
            import_events(request(tmp_path, *files(tmp_path, 2)), "test", dies(error))
        after = {
            path: path.read_bytes() for path in (tmp_path / "cat").rglob("*") if path.is_file()
        }
        assert after == before


def test_progress_ends_at_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    imported(
        tmp_path,
        Source((0, trades([0], [1]))),
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert {stage for stage, _, _ in seen} == {"identify", "import"}
    assert seen[-1] == ("import", 5, 5)


def test_made_up_instruments_take_no_vendor_data(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="its market is testnet, of which no vendor has data"):
        imported(tmp_path, Source(), instrument="BTCUSDT-PERP.TESTNETA")


def test_files_come_in_the_order_of_their_first_times() -> None:
    found = [SourceFile(Path(name), 0, SourceEntry(name, "0")) for name in ("b", "a", "c")]
    times = {"b": 3, "a": 7, "c": None}
    order = in_time_order(found, lambda file: times[file.name])
    assert [file.name for file in order] == ["c", "b", "a"]


def test_the_limit_of_unpacking_is_an_option() -> None:
    from engine.importers.delimited import ratio_max

    path = Path("x")
    assert ratio_max(request(path, options={})) == 200
    assert ratio_max(request(path, options={"ratio_max": "5000"})) == 5000
    for text in ("0", "-1", "many", "1.5"):
        with pytest.raises(ConfigError, match="options.ratio_max: expected a whole number above 0"):
            ratio_max(request(path, options={"ratio_max": text}))
