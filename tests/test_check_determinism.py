"""`cobalt check determinism` on strategies that leak in every known way, and on sound ones."""

from __future__ import annotations

import json

import pytest

from engine.cli import main
from tests.leaks import ID


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("leaks") / "catalog"
    assert main(["testnet", f"catalog={root}", "duration_s=12"]) == 0
    return root


def check(name, catalog, capsys):
    code = main(
        [
            "check",
            "determinism",
            f"strategy=tests.leaks:{name}",
            f"catalog={catalog}",
            f"instrument={ID}",
            "output=json",
        ]
    )
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    return report


@pytest.mark.parametrize(
    ("name", "cause", "call"),
    [
        ("WallClock", "the wall clock", "time.time_ns in on_book (leaks.py:"),
        ("Random", "a random source", "random.getrandbits in on_book (leaks.py:"),
        ("NumpyRandom", "a random source", "in on_book (leaks.py:"),
        ("Uuid", "a random source", "os.urandom in on_book (leaks.py:"),
        ("SetOrder", "the order of a set, or hash() of text", None),
        ("TextHash", "the order of a set, or hash() of text", "hash in on_book (leaks.py:"),
        ("Ids", "id(), which is an address", "id in on_book (leaks.py:"),
        ("Environment", "the environment", "COBALT_TEST_OFFSET in on_book (leaks.py:"),
        ("Thread", "a thread", "a thread's start in on_start (leaks.py:"),
        ("Process", "the number of the process", "os.getpid in on_book (leaks.py:"),
        ("ObjectSet", "nothing that can be seen: the order of a set of objects", None),
    ],
)
def test_a_leak_is_caught_and_named(name, cause, call, catalog, capsys):
    report = check(name, catalog, capsys)
    (finding,) = report["findings"]
    assert f"The cause is {cause}" in finding
    assert "the first command that differs is at 2024-01-01T00:00:0" in finding
    assert "in on_book (leaks.py:" in finding
    if call is None:
        assert "Asked before" not in finding
    else:
        assert call in finding.partition("Asked before: ")[2]
    assert report["difference"]["handler"] == "on_book"


@pytest.mark.parametrize("name", ["Sound", "OnlyLooks"])
def test_a_sound_strategy_is_not_blamed(name, catalog, capsys):
    report = check(name, catalog, capsys)
    assert report["ok"]
    assert len({row["result_sha256"] for row in report["rows"]}) == 1
    asks = [note for note in report["notes"] if note.startswith("asks for")]
    assert [("time.perf_counter in on_book" in note) for note in asks] == (
        [] if name == "Sound" else [True]
    )
