"""The proof of books: what counts as aligned and equal, whatever the order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from engine.catalog import Catalog
from engine.importers import run_import
from engine.verify import Mismatch, VerifyReport, verify
from tests.binance_lines import PERP, depth, quote, snapshot, sound, write

if TYPE_CHECKING:
    from pathlib import Path


def proof(tmp_path: Path, lines: list[bytes]) -> VerifyReport:
    write(tmp_path / "recording", lines)
    run_import("binance", [str(tmp_path / "recording")], PERP, str(tmp_path / "cat"))
    return verify(tmp_path / "cat", PERP)


BOOK = [snapshot(5, 95, bids=[["99.9", "6"]], asks=[["100.6", "8"]]), depth(10, 100, 90)]


def test_a_sound_recording_is_proven(tmp_path: Path) -> None:
    found = proof(tmp_path, sound(50))
    assert (found.aligned, found.equal, found.gaps, found.crossed) == (50, 50, 0, 0)
    assert (found.messages, found.quotes, found.applied, found.stale) == (52, 50, 52, 0)
    assert found.provenance == "recorded"
    assert found.ok
    assert found.to_dict()["aligned"] == 50


@pytest.mark.parametrize("ms", [7, 15])
def test_a_quote_is_compared_whether_it_came_before_or_after(tmp_path: Path, ms: float) -> None:
    lines = sorted([*BOOK, quote(ms, 100), depth(20, 110, 100, b=[["100.2", "3"]], a=[])])
    found = proof(tmp_path, lines)
    assert (found.aligned, found.equal) == (1, 1)


def test_quotes_of_other_ids_are_not_compared(tmp_path: Path) -> None:
    found = proof(tmp_path, [*BOOK, quote(11, 99), quote(12, 101, b="1.0")])
    assert (found.aligned, found.quotes) == (0, 2)
    assert found.ok


@pytest.mark.parametrize("field", [{"b": "99.9"}, {"B": "1.001"}, {"a": "100.6"}, {"A": "3"}])
def test_any_difference_is_a_mismatch(tmp_path: Path, field: dict[str, Any]) -> None:
    found = proof(tmp_path, [*BOOK, quote(11, 100, **field)])
    assert (found.aligned, found.equal) == (1, 0)
    assert not found.ok
    (mismatch,) = found.mismatches
    assert (mismatch.book_bid, mismatch.book_ask) == ((1000, 1000), (1005, 2000))
    assert mismatch != Mismatch(100, (1000, 1000), (1005, 2000), (1000, 1000), (1005, 2000))


def test_an_empty_side_equals_a_quote_without_it(tmp_path: Path) -> None:
    lines = [snapshot(5, 95, bids=[]), depth(10, 100, 90, b=[], a=[["100.5", "2"]])]
    found = proof(tmp_path, [*lines, quote(11, 100, b="0.0", B="0.000")])
    assert (found.aligned, found.equal) == (1, 1)


def test_a_crossed_book_is_counted_and_not_ok(tmp_path: Path) -> None:
    found = proof(tmp_path, [*BOOK, depth(20, 110, 100, b=[["100.7", "1"]], a=[])])
    assert found.crossed == 1
    assert not found.ok


def test_a_book_after_a_gap_proves_nothing(tmp_path: Path) -> None:
    lines = [*BOOK, depth(20, 120, 110), quote(21, 120), snapshot(25, 125), depth(30, 130, 120)]
    found = proof(tmp_path, [*lines, quote(31, 130, B="1", b="100.0", a="100.5", A="2")])
    assert (found.gaps, found.aligned, found.equal) == (1, 1, 1)


def test_many_quotes_ahead_of_a_depth_message(tmp_path: Path) -> None:
    lines = [*BOOK, *(quote(11 + i / 1000, 101 + i) for i in range(5000))]
    lines += [depth(20, 5101, 100, b=[], a=[]), quote(21, 5101)]
    found = proof(tmp_path, lines)
    assert (found.aligned, found.equal, found.quotes) == (1, 1, 5001)


def test_a_damaged_file_stops_the_proof(tmp_path: Path) -> None:
    proof(tmp_path, sound(50))
    catalog = Catalog(tmp_path / "cat")
    entry = catalog.manifest(PERP).of_kind("quotes")[0]
    path = catalog.folder(PERP) / entry.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="the file is damaged: expected sha256"):
        verify(catalog, PERP)
