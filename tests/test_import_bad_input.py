"""Binance recordings to the catalog: what the user sees of damaged input, and what is kept."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine import _core, catalog_writer
from engine.catalog import Catalog, CatalogError
from engine.importers import ImportFailed, ImportReport, run_import
from tests.binance_lines import (
    PERP,
    SPOT,
    T0_MS,
    depth,
    quote,
    recv,
    snapshot,
    sound,
    spot_depth,
    trade,
    write,
)


def with_line(tmp_path: Path, bad: bytes, instrument: str = PERP) -> ImportReport:
    """A sound recording with one bad line as its 101st."""
    lines = sound(100)
    path = write(tmp_path / "recording", [*lines[:100], bad, *lines[100:]])
    return run_import("binance", [str(path)], instrument, str(tmp_path / "cat"))


def refused(tmp_path: Path, content: bytes, instrument: str = PERP, **options: Any) -> str:
    """The message of an import that fails and leaves no catalog behind."""
    path = tmp_path / "recording"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        run_import("binance", [str(path)], instrument, str(tmp_path / "cat"), **options)
    assert not (tmp_path / "cat").exists()
    return str(caught.value)


BROKEN = {
    "cut in half": (depth(1005, 1, 0)[:100], "not JSON: EOF while parsing"),
    "not JSON": (b"%d hello" % recv(1005), "not JSON: expected value at column 1"),
    "two objects": (trade(1005, 9) + b"{}", "not JSON: trailing characters"),
    "an array": (b"%d []" % recv(1005), "not JSON: invalid type: sequence, expected an object"),
    "no receive time": (b'{"e":"trade"}', "line: expected '<receive time in ns> <JSON>'"),
    "a receive time of letters": (b"12a4 {}", "line: expected '<receive time in ns> <JSON>'"),
    "a receive time too large": (b"99999999999999999999 {}", "line: expected '<receive time"),
    "bytes that are no text": (b"%d {\xff\xfe}" % recv(1005), "not UTF-8 text: byte 1"),
    "zero bytes": (b"\x00\x01\x02\x03", "found binary data"),
    "an empty object": (b"%d {}" % recv(1005), 'e: expected an event type such as "depthUpdate"'),
    "an unknown event": (
        trade(1005, 9, e="tradd"),
        'e: expected a known event type, found "tradd"',
    ),
    "no update id": (depth(1005, 1, 0, u=...), "u: expected a whole number from 0 to"),
    "no previous id": (depth(1005, 1, 0, pu=...), "pu: expected a whole number from 0 to"),
    "an id as text": (depth(1005, 1, 0, u="7"), 'found "7"'),
    "a negative id": (trade(1005, -3), "t: expected a whole number from 0 to"),
    "an id with a fraction": (trade(1005, 3, t=1.5), "t: expected a whole number from 0 to"),
    "an id beyond 63 bits": (trade(1005, 2**63), f"found {2**63}"),
    "an id beyond 64 bits": (trade(1005, 2**64), "t: expected a whole number from 0 to"),
    "U above u": (depth(1005, 10, 5, U=11), "u: expected an id from 0 to 1000000000 above U 11"),
    "an id digit too many": (depth(1005, 10**12, 5), "u: expected an id from 0 to 1000000000"),
    "pu at u": (depth(1005, 10, 10, U=10), "pu: expected an id below u 10"),
    "a price with too many decimals": (
        depth(1005, 1, 0, b=[["100.05", "1.000"]]),
        'b[0] price: expected a positive multiple of the tick 0.1 as decimal text, found "100.05"',
    ),
    "a price of zero": (depth(1005, 1, 0, a=[["0.0", "1"]]), "a[0] price: expected a positive"),
    "a negative price": (depth(1005, 1, 0, b=[["-1.0", "1"]]), "b[0] price: expected a positive"),
    "a price as a number": (depth(1005, 1, 0, b=[[100.5, "1"]]), "found the number 100.5"),
    "a price in words": (depth(1005, 1, 0, b=[["1e5", "1"]]), 'found "1e5"'),
    "a price out of range": (depth(1005, 1, 0, b=[["9" * 30, "1"]]), "b[0] price: expected"),
    "a negative quantity": (
        depth(1005, 1, 0, b=[["1.0", "1"], ["1.0", "-1"]]),
        "b[1] quantity: expected a multiple of the lot 0.001, not negative, as decimal text",
    ),
    "a quantity off the lot": (depth(1005, 1, 0, b=[["1.0", "0.0005"]]), 'found "0.0005"'),
    "a level of one": (depth(1005, 1, 0, b=[["1.0"]]), "expected [price, quantity], found fewer"),
    "a level of three": (depth(1005, 1, 0, b=[["1.0", "1", "1"]]), "found more than two entries"),
    "a level that is none": (depth(1005, 1, 0, b=["1.0"]), "not JSON: invalid type"),
    "bids missing": (depth(1005, 1, 0, b=...), "b: expected an array of [price, quantity]"),
    "asks null": (depth(1005, 1, 0, a=None), "a: expected an array of [price, quantity], found"),
    "a field twice": (
        trade(1005, 9).replace(b'"t":9', b'"t":9,"t":9'),
        "t: expected the field once, found it twice",
    ),
    "a time a year off": (
        trade(1005, 9, T=T0_MS - 31_536_000_000),
        "T: expected a time in ms within a day of the receive time",
    ),
    "a time in seconds": (trade(1005, 9, T=T0_MS // 1000), "T: expected a time in ms within a day"),
    "no time": (quote(1005, 9, T=...), "T: expected a time in ms within a day"),
    "no aggressor": (trade(1005, 9, m=...), "m: expected true or false, found nothing"),
    "a trade of nothing": (trade(1005, 9, q="0.000"), "q: expected a multiple of the lot 0.001"),
    "a trade at zero": (trade(1005, 9, p="0"), "p: expected a positive multiple of the tick"),
    "a quote without size": (quote(1005, 9, B="0"), "B: expected a quantity above 0 beside"),
    "a quote without price": (quote(1005, 9, a="0"), "a: expected a positive multiple of the tick"),
    "another symbol": (trade(1005, 9, s="ETHUSDT"), "s: expected the symbol BTCUSDT, found ETHUSD"),
    "no symbol": (trade(1005, 9, s=...), "s: expected the symbol BTCUSDT of USD-M, found nothing"),
    "a snapshot without an id": (
        snapshot(1005, 9, lastUpdateId=...),
        "lastUpdateId: expected a whole number from 0 to",
    ),
    "a very long line": (b"%d %s" % (recv(1005), b"x" * 2_000_000), "not JSON: expected value"),
    "a line without end": (b"x" * (17 << 20), "line: expected at most 16 MiB, found a longer one"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named_and_takes_no_neighbour_along(tmp_path: Path, name: str) -> None:
    bad, reason = BROKEN[name]
    report = with_line(tmp_path, bad)
    assert report.broken == 1
    (line,) = report.broken_first
    assert (line.file, line.line) == ("recording", 101)
    assert reason in line.reason
    assert len(line.text) <= 80
    assert report.rows == {"depth": 4 + 2 * 101, "trades": 100, "offbook": 0, "quotes": 200}
    assert report.gaps == 0
    kept = Catalog(tmp_path / "cat").manifest(PERP).imports[0].details
    assert kept["broken"] == 1
    assert kept["broken_first"][0] == {
        "file": "recording",
        "line": 101,
        "reason": line.reason,
        "text": line.text,
    }
    assert report.lines_of_text()[-1] == f"broken: recording:101: {line.reason}"


def test_futures_data_is_not_taken_for_spot(tmp_path: Path) -> None:
    content = b"\n".join(sound(20))
    message = refused(tmp_path, content, SPOT)
    assert "pu: expected no such field on spot" in message


def test_spot_data_is_not_taken_for_futures(tmp_path: Path) -> None:
    content = b"\n".join(spot_depth(10 * i, 10 * i, 10 * i + 9) for i in range(1, 20))
    assert "pu: expected a whole number" in refused(tmp_path, content)


def test_a_file_of_another_instrument(tmp_path: Path) -> None:
    content = b"\n".join(sound(20)).replace(b"BTCUSDT", b"ETHUSDT")
    assert refused(tmp_path, content) == (
        "recording: holds ETHUSDT, instrument BTCUSDT-PERP.BINANCE expects BTCUSDT;"
        " nothing was imported"
    )


def test_too_many_broken_lines_fail_the_import(tmp_path: Path) -> None:
    lines = sound(100)
    lines[10:14] = [item[:50] for item in lines[10:14]]
    message = refused(tmp_path, b"\n".join(lines))
    assert "recording: 4 of 302 lines are broken, more than max_broken_share=0.01" in message
    assert "recording:11: not JSON" in message
    report = run_import(
        "binance",
        [str(tmp_path / "recording")],
        PERP,
        str(tmp_path / "cat"),
        max_broken_share=0.02,
    )
    assert report.broken == 4


def test_a_failed_import_leaves_a_catalog_as_it_was(tmp_path: Path) -> None:
    good = write(tmp_path / "good", sound(20))
    run_import("binance", [str(good)], PERP, str(tmp_path / "cat"))
    before = contents(tmp_path / "cat")
    bad = write(tmp_path / "bad", [b"nonsense"] * 10)
    with pytest.raises(ImportFailed):
        run_import("binance", [str(bad)], PERP, str(tmp_path / "cat"))
    assert contents(tmp_path / "cat") == before


def test_only_the_first_broken_lines_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "recording", [*sound(100), *[b"nonsense"] * 150])
    report = run_import("binance", [str(path)], PERP, str(tmp_path / "cat"), max_broken_share=0.9)
    assert (report.broken, len(report.broken_first)) == (150, 100)
    assert report.lines_of_text()[-1] == "broken: 145 more, see the manifest"


def test_an_empty_file(tmp_path: Path) -> None:
    assert refused(tmp_path, b"") == (
        f"{tmp_path / 'recording'}: the file is empty; nothing was imported"
    )
    assert "found no line; nothing was imported" in refused(tmp_path, b"\n\n\n")


def test_a_binary_file(tmp_path: Path) -> None:
    content = bytes((i * 7 + i // 256) % 256 for i in range(50_000))
    assert "found binary data" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"), (b"PAR1", "Parquet")]
)
def test_other_formats_are_recognised(tmp_path: Path, magic: bytes, name: str) -> None:
    message = refused(tmp_path, magic + b"rest of it")
    assert message == (
        f"path: expected plain text or gzip, found {name} data in {tmp_path / 'recording'}"
    )


def test_a_truncated_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.gz", sound(2000)).read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    report = run_import("binance", [str(tmp_path / "cut.gz")], PERP, str(tmp_path / "cat"))
    assert report.broken == 1
    (damage,) = report.broken_first
    assert damage.reason == (
        f"the gzip data ends early, at or before compressed byte {len(whole) // 2}"
    )
    assert damage.line == report.lines + 1
    assert 1000 < report.lines < 6002
    assert Catalog(tmp_path / "cat").manifest(PERP).gaps == 0


@pytest.mark.parametrize("keep", [1, 5, 12])
def test_a_gzip_cut_at_its_head(tmp_path: Path, keep: int) -> None:
    whole = write(tmp_path / "whole.gz", sound(20)).read_bytes()
    message = refused(tmp_path, whole[:keep])
    assert "recording" in message
    assert "nothing was imported" in message


def test_a_gzip_with_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "whole.gz", sound(2000)).read_bytes())
    whole[-6] ^= 0x55
    (tmp_path / "bad.gz").write_bytes(whole)
    report = run_import("binance", [str(tmp_path / "bad.gz")], PERP, str(tmp_path / "cat"))
    assert report.broken == 1
    assert "the gzip data is damaged" in report.broken_first[0].reason


def test_folders_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="is a folder; name its files"):
        run_import("binance", [str(tmp_path)], PERP, str(tmp_path / "cat"))
    with pytest.raises(ImportFailed, match="no file is named"):
        run_import("binance", [str(tmp_path / "none.gz")], PERP, str(tmp_path / "cat"))
    secret = write(tmp_path / "secret", sound(2))
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PermissionError, match="secret"):
        run_import("binance", [str(secret)], PERP, str(tmp_path / "cat"))


def test_a_catalog_that_is_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "recording", sound(20))
    (tmp_path / "cat").write_text("mine")
    with pytest.raises(OSError, match="cat"):
        run_import("binance", [str(path)], PERP, str(tmp_path / "cat"))
    assert (tmp_path / "cat").read_text() == "mine"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_full_disk_leaves_the_catalog_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "1", sound(20))
    second = write(tmp_path / "2", sound(20, start=5000, seq=9000))
    run_import("binance", [str(first)], PERP, str(tmp_path / "cat"))
    before = contents(tmp_path / "cat")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(catalog_writer.os, "fsync", full)
    with pytest.raises(ImportFailed, match="no space left on the device; the catalog is as it was"):
        run_import("binance", [str(second)], PERP, str(tmp_path / "cat"))
    assert contents(tmp_path / "cat") == before


FILL = """
import sys
from engine.importers import ImportFailed, run_import
try:
    run_import("binance", [sys.argv[1]], "BTCUSDT-PERP.BINANCE", sys.argv[2])
except ImportFailed as error:
    print(error)
"""


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a tmpfs of 12 kB, where the system lets an ordinary user mount one."""
    recording = write(tmp_path / "recording", sound(4000))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=12k tmpfs {disk}"
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run([unshare, "-rm", "sh", "-c", mount], check=False)
    if not unshare or not tried or tried.returncode:
        pytest.skip("this system mounts no tmpfs for an ordinary user")
    script = f'{mount} && "$0" -c "$1" "$2" "$3" && ls -A {disk}'
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", script, sys.executable, FILL, recording, disk / "cat"],
        capture_output=True,
        text=True,
        check=False,
    )
    expected = f"{disk / 'cat'}: no space left on the device; the catalog is as it was\n"
    assert (done.stdout, done.returncode) == (expected, 0), done.stderr


CRASH = """
import os, signal, sys
from pathlib import Path
from engine.importers import run_import
# The last step of a commit is the rename of the manifest; the process dies right before it.
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run_import("binance", [sys.argv[1]], "BTCUSDT-PERP.BINANCE", sys.argv[2])
"""


@pytest.mark.parametrize("holds_data", [False, True])
def test_a_crash_leaves_nothing_half_visible(tmp_path: Path, holds_data: bool) -> None:
    root = tmp_path / "cat"
    first = write(tmp_path / "1", sound(20))
    second = write(tmp_path / "2", sound(20, start=5000, seq=9000))
    if holds_data:
        run_import("binance", [str(first)], PERP, str(root))
    visible = Catalog(root).manifest(PERP) if holds_data else None
    done = subprocess.run([sys.executable, "-c", CRASH, second, root], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(root.rglob("*.parquet"))) > len(visible.files if visible else [])
    assert Catalog(root).instruments() == ([PERP] if holds_data else [])
    if holds_data:
        assert Catalog(root).manifest(PERP) == visible
    report = run_import("binance", [str(second)], PERP, str(root))
    assert report.rows["trades"] == 20
    named = {entry.path for entry in Catalog(root).manifest(PERP).files}
    folder = Catalog(root).folder(PERP)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")} == named


def test_a_file_that_changes_between_the_passes_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "recording", sound(20))
    importer = _core.Importer(
        [(path, "0" * 64, None)], "binance_usdm", "BTCUSDT", "0.1", "0.001", 0
    )
    with pytest.raises(ValueError, match="a file that stays as it is while it is imported"):
        importer.advance(1_000_000)


def test_two_imports_at_once_do_not_meet(tmp_path: Path) -> None:
    path = write(tmp_path / "recording", sound(20))
    folder = Catalog(tmp_path / "cat").folder(PERP)
    folder.mkdir(parents=True)
    holder = os.open(folder, os.O_RDONLY)
    catalog_writer.fcntl.flock(holder, catalog_writer.fcntl.LOCK_EX)
    try:
        with pytest.raises(CatalogError, match=r"another import of BTCUSDT-PERP\.BINANCE is runni"):
            run_import("binance", [str(path)], PERP, str(tmp_path / "cat"))
    finally:
        os.close(holder)
    run_import("binance", [str(path)], PERP, str(tmp_path / "cat"))


def test_a_definition_that_changed_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path("conf/instrument") / f"{PERP}.yaml").read_text(encoding="utf-8")
    run_import("binance", [str(write(tmp_path / "1", sound(20)))], PERP, str(tmp_path / "cat"))
    own = tmp_path / "conf" / "instrument"
    own.mkdir(parents=True)
    (own / f"{PERP}.yaml").write_text(text.replace('tick: "0.1"', 'tick: "0.01"'))
    monkeypatch.chdir(tmp_path)
    later = write(tmp_path / "2", sound(20, start=5000, seq=9000))
    with pytest.raises(CatalogError, match=r"its data has tick 0\.1, .* now says 0\.01"):
        run_import("binance", [str(later)], PERP, str(tmp_path / "cat"))
