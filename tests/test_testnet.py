"""The testnet: its data looks like a market's, is stored as what it is, and is always the same."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import engine
from engine.catalog import Catalog, CatalogError, SourceEntry
from engine.instruments import load_instrument
from engine.testnet import DEFAULT_VENUES, START_NS, Venue, batches, generate
from engine.verify import verify

from . import stylised_facts

if TYPE_CHECKING:
    from pathlib import Path

SECOND_NS = 1_000_000_000
IDS = [venue.instrument for venue in DEFAULT_VENUES]
SHORT_S = 20


@functools.lru_cache(maxsize=4)
def rows_of(seed: int, duration_s: float) -> dict[tuple[str, str], np.ndarray]:
    parts: dict[tuple[str, str], list[np.ndarray]] = {}
    for instrument, kind, rows in batches(seed=seed, duration_s=duration_s):
        parts.setdefault((instrument, kind), []).append(rows)
    return {stream: np.concatenate(rows) for stream, rows in parts.items()}


@pytest.mark.parametrize("instrument", IDS)
@pytest.mark.parametrize("seed", [1, 7, 42, 2024])
def test_stylised_facts(seed: int, instrument: str) -> None:
    duration_s = 600
    streams = rows_of(seed, duration_s)
    market = stylised_facts.observe(
        *(streams[instrument, kind] for kind in ("depth", "trades", "quotes")),
        START_NS,
        START_NS + duration_s * SECOND_NS,
    )
    facts = stylised_facts.measure(market)
    assert stylised_facts.failures(facts) == [], facts


def test_a_gaussian_walk_in_a_uniform_book_is_found_out() -> None:
    draw = np.random.default_rng(1)
    dull = stylised_facts.Market(
        mids=50_000 + np.cumsum(draw.normal(size=600)),
        spreads=np.full(1000, 9.0),
        spread_weights=np.ones(1000),
        depth=draw.uniform(9, 11, size=20),
        signs=draw.choice([-1.0, 1.0], size=5000),
    )
    found = stylised_facts.failures(stylised_facts.measure(dull))
    assert found == [
        "spread",
        "heavy_tails",
        "clustered_volatility",
        "depth_growth",
        "sign_persistence",
    ]


def test_returns_that_can_be_foretold_are_found_out() -> None:
    noise = np.random.default_rng(1).normal(size=600)
    returns = noise.copy()
    returns[3:] += 0.5 * noise[:-3]
    assert stylised_facts.linear_statistic(returns) > stylised_facts.LINEAR_STATISTIC_MAX
    assert stylised_facts.linear_statistic(noise) < stylised_facts.LINEAR_STATISTIC_MAX


def test_venues_follow_one_price() -> None:
    """Second by second the venues move together, each at its own distance from the fair price."""
    mids = []
    for venue in DEFAULT_VENUES:
        quotes = rows_of(7, 600)[venue.instrument, "quotes"]
        bids, asks = quotes[quotes["side"] == 1], quotes[quotes["side"] == 2]
        seconds = START_NS + np.arange(1, 600) * SECOND_NS
        at = np.searchsorted(bids["ts_event_ns"], seconds, "right") - 1
        tick = float(load_instrument(venue.instrument).tick)
        mids.append((bids["px_ticks"] + asks["px_ticks"])[at] / 2 * tick)
    logs = np.log(mids)
    assert np.corrcoef(np.diff(logs, axis=1)).min() > 0.9
    distances = (logs - logs[1]).mean(axis=1)
    expected = [venue.basis - DEFAULT_VENUES[1].basis for venue in DEFAULT_VENUES]
    np.testing.assert_allclose(distances, expected, atol=1e-5)


def test_the_size_of_the_default_is_that_of_a_real_recording() -> None:
    """Per minute: tens of thousands of level changes and quotes, thousands of trades."""
    for (_, kind), rows in rows_of(7, 600).items():
        per_minute = len(rows) / 10
        low, high = {
            "depth": (15_000, 50_000),
            "quotes": (15_000, 50_000),
            "trades": (1_000, 10_000),
        }[kind]
        assert low < per_minute < high, (kind, per_minute)


def test_both_clocks() -> None:
    for rows in rows_of(7, 600).values():
        delays = rows["ts_recv_ns"] - rows["ts_event_ns"]
        assert delays.min() >= 0
        assert (rows["ts_event_ns"] % 1_000_000 == 0).all()
        assert (np.diff(rows["ts_recv_ns"]) >= 0).all()
        # Not a constant: a usual delay of milliseconds, some many times longer.
        assert 3e6 < np.median(delays) < 15e6
        assert delays.max() > 2 * np.median(delays)


def test_batches_are_small_and_whole() -> None:
    whole = rows_of(5, SHORT_S)
    parts: dict[tuple[str, str], list[np.ndarray]] = {}
    for instrument, kind, rows in batches(seed=5, duration_s=SHORT_S, batch_rows=1000):
        # The snapshot is one message, which no batch can cut.
        is_opening = rows["kind"][0] == 2
        assert is_opening or len(rows) < 2000
        assert rows["flags"][0] & 1
        assert rows["flags"][-1] & 2
        parts.setdefault((instrument, kind), []).append(rows)
    assert parts.keys() == whole.keys()
    for stream, rows in whole.items():
        assert len(parts[stream]) > 1 or stream[1] == "trades"
        np.testing.assert_array_equal(np.concatenate(parts[stream]), rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("catalog")
    generate(root, seed=5, duration_s=SHORT_S)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "catalog")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_catalog_holds_the_rows_and_says_testnet(root: Path) -> None:
    catalog = Catalog(root)
    assert catalog.instruments() == sorted(IDS)
    for instrument in IDS:
        manifest = catalog.manifest(instrument)
        assert manifest.provenance == "testnet"
        assert {entry.provenance for entry in manifest.files} == {"testnet"}
        assert manifest.imports[0].sources[0].name.startswith("testnet model 1, seed 5, 20 s from")
        assert manifest.gaps == 0
    for (instrument, kind), rows in rows_of(5, SHORT_S).items():
        stored = np.concatenate(list(catalog.batches(instrument, kind)))
        for field in engine.EVENT_DTYPE.names or ():
            if field != "instrument":
                np.testing.assert_array_equal(stored[field], rows[field])


def test_books_are_proved_by_quotes(root: Path) -> None:
    for instrument in IDS:
        report = verify(root, instrument)
        assert report.aligned == report.equal > 25
        assert (report.gaps, report.crossed, report.stale, report.impossible) == (0, 0, 0, 0)
        assert report.provenance == "testnet"


def test_again_changes_nothing(root: Path) -> None:
    before = contents(root)
    report = generate(root, seed=5, duration_s=SHORT_S)
    assert not report.changed
    assert contents(root) == before
    assert report.rows == {
        name: {kind: len(rows_of(5, SHORT_S)[name, kind]) for kind in ("depth", "trades", "quotes")}
        for name in IDS
    }


def test_the_same_seed_gives_the_same_data_elsewhere(root: Path, tmp_path: Path) -> None:
    again = generate(tmp_path / "elsewhere", seed=5, duration_s=SHORT_S)
    assert again.written == IDS
    assert "simulated, not recorded" in str(again)
    assert contents(tmp_path / "elsewhere") == contents(root)
    other = generate(tmp_path / "other", seed=6, duration_s=SHORT_S)
    kinds = ["depth", "trades", "quotes"]
    hashes = [Catalog(folder).data_sha256(IDS, kinds) for folder in (root, tmp_path / "other")]
    assert hashes[0] != hashes[1]
    assert other.changed


def test_other_settings_are_refused_unless_they_replace(root: Path) -> None:
    before = contents(root)
    with pytest.raises(CatalogError, match=r"holds other testnet data .*seed 5.*seed 6.*replace"):
        generate(root, seed=6, duration_s=SHORT_S)
    with pytest.raises(CatalogError, match="holds other testnet data"):
        generate(root, seed=5, duration_s=SHORT_S + 1)
    with pytest.raises(CatalogError, match="holds other testnet data"):
        generate(root, seed=5, duration_s=SHORT_S, venues=[Venue(IDS[0], activity=2.0)])
    assert contents(root) == before
    assert generate(root, seed=6, duration_s=SHORT_S, replace=True).written == IDS
    assert not before.keys() & {name for name in contents(root) if name.endswith(".parquet")}
    assert verify(root, IDS[0]).aligned > 25


def test_recorded_data_is_never_replaced(tmp_path: Path) -> None:
    rows = rows_of(5, SHORT_S)[IDS[1], "depth"]
    writer = Catalog(tmp_path).writer(
        load_instrument(IDS[1]), provenance="recorded", source=[SourceEntry("a.gz", "0" * 64)]
    )
    with writer:
        writer.append("depth", rows)
        writer.commit()
    before = contents(tmp_path)
    with pytest.raises(CatalogError, match=r"holds other recorded data \(a.gz\)"):
        generate(tmp_path, seed=5, duration_s=SHORT_S, replace=True)
    assert contents(tmp_path) == before


def test_what_is_missing_is_made_again(root: Path) -> None:
    before = contents(root)
    shutil.rmtree(root / "TESTNETB")
    assert generate(root, seed=5, duration_s=SHORT_S).written == [IDS[1]]
    assert contents(root) == before


def test_stopped_halfway_leaves_nothing(tmp_path: Path) -> None:
    seen = []

    def stop(stage: str, done_ns: int, total_ns: int) -> None:
        assert stage == "testnet"
        seen.append((done_ns, total_ns))
        if done_ns > 60 * SECOND_NS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, seed=5, duration_s=300, progress=stop)
    assert seen[0][1] == 300 * SECOND_NS
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_s": 0}, "duration_s: expected between 0.01"),
        ({"duration_s": float("nan")}, "duration_s: expected between 0.01"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        ({"seed": 2**64}, "seed: expected a whole number from 0"),
        ({"start_ns": -1}, "start_ns: expected ns since the Unix epoch, found -1"),
        ({"venues": []}, "venues: expected at least one, .* found none"),
        (
            {"venues": [Venue(IDS[0]), Venue(IDS[0])]},
            "venues: expected .* each instrument once, found BTC",
        ),
        ({"venues": [Venue("BTCUSDT-PERP.BINANCE")]}, "is no testnet instrument"),
        ({"venues": [Venue("BTCUSDT-PERP.TESTNETX")]}, "is not defined; did you mean"),
        ({"venues": [Venue(IDS[0], activity=0)]}, "activity: expected"),
        ({"venues": [Venue(IDS[0], basis=1.0)]}, "basis: expected"),
        ({"venues": [Venue(IDS[0], depth_every_ns=5_000_000)]}, "depth_every_ns: expected"),
    ],
)
def test_unusable_settings_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    settings: dict[str, object] = {"duration_s": SHORT_S, **change}
    with pytest.raises(ValueError, match=message):
        generate(tmp_path, **settings)  # type: ignore[arg-type]
    assert contents(tmp_path) == {}
