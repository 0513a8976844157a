"""The testnet: market data made by a local exchange, for machines without recordings.

A matching engine per venue, fed by seeded order flow around one fair price, publishes what a
venue's recording would hold. The same seed gives the same bytes on every machine. The data goes
into the catalog with provenance `testnet` and only under instruments whose market is `testnet`, so
that it can never pass for a real venue's.

How the market moves is described in `engine_rs/core/src/testnet/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _core
from engine.catalog import Catalog, CatalogError, SourceEntry
from engine.catalog_tables import orders_table
from engine.instruments import Instrument, load_instrument
from engine.units import utc_text

if TYPE_CHECKING:
    from pathlib import Path

    from engine.catalog_writer import CatalogWriter

__all__ = [
    "DEFAULT_VENUES",
    "DURATION_S",
    "START_NS",
    "Progress",
    "TestnetReport",
    "Venue",
    "batches",
    "generate",
]

PROVENANCE = "testnet"
START_NS = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z: a date of its own, never the day on which the data is made."""
DURATION_S = 900.0
PX_START = 50_000.0
"""Fair price at the start; on that day no venue traded there."""
BATCH_ROWS = 65_536

Events = np.ndarray[Any, np.dtype[np.void]]
Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the simulated nanoseconds done and those in all."""


@dataclass(frozen=True)
class Venue:
    """A venue of the testnet and what makes it differ from the others.

    `instrument` is the id of a definition whose market is `testnet`; the venue trades at `1 +
    basis` times the fair price, has `activity` times the usual order flow, publishes depth every
    `depth_every_ns` (a multiple of 10 ms), and its messages take `latency_ns` and on average
    `jitter_ns` more to arrive. With `orders` it publishes its orders one by one as well, which
    changes no other data of it.
    """

    instrument: str
    basis: float = 0.0
    activity: float = 1.0
    depth_every_ns: int = 100_000_000
    latency_ns: int = 5_000_000
    jitter_ns: float = 700_000.0
    orders: bool = False


DEFAULT_VENUES = (
    Venue("BTCUSDT-PERP.TESTNETA", basis=2e-5, latency_ns=4_000_000, jitter_ns=500_000.0),
    Venue("BTCUSDT-PERP.TESTNETB", activity=0.8, latency_ns=9_000_000, jitter_ns=1_000_000.0),
    Venue("BTCUSDT.TESTNETC", basis=-5e-5, activity=0.9, latency_ns=6_000_000),
)
"""Two linear perpetuals, the second with a coarser tick, and a spot market a little below."""


@dataclass(frozen=True)
class TestnetReport:
    """What `generate` did. `rows` holds rows by instrument and data kind, of all venues asked for;
    `written` the instruments that were not there before.
    """

    # pytest collects classes whose name begins with Test, unless told otherwise.
    __test__ = False

    seed: int
    start_ns: int
    duration_ns: int
    rows: dict[str, dict[str, int]]
    written: list[str]
    provenance: str = PROVENANCE

    @property
    def changed(self) -> bool:
        """Whether the catalog is another than before."""
        return bool(self.written)

    def __str__(self) -> str:
        rows = sum(sum(kinds.values()) for kinds in self.rows.values())
        verb = "made" if self.changed else "already there"
        return (
            f"testnet data (simulated, not recorded), seed {self.seed}: {rows:,} rows on"
            f" {len(self.rows)} venues over {self.duration_ns / 60e9:.1f} minutes, {verb}"
        )


def batches(
    *,
    seed: int,
    duration_s: float = DURATION_S,
    start_ns: int = START_NS,
    venues: Sequence[Venue] = DEFAULT_VENUES,
    px_start: float = PX_START,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> Iterator[tuple[str, str, Events]]:
    """Rows of all venues as (instrument id, data kind, rows), made while they are asked for.

    `rows` is an array of `engine.EVENT_DTYPE` of whole messages, whose column `instrument` is the
    index in `venues`; kinds are `depth`, `trades` and `quotes`, and `orders` of venues that publish
    them (see `engine.catalog.Catalog.order_events`). Put together, the batches of an
    instrument and kind are a stream as a recording has it: in order of receipt, depth beginning
    with a snapshot at `start_ns`. At most about `batch_rows` rows of a stream are held at once.

    Raises ValueError for parameters out of range, `ConfigError` for an unknown instrument.
    """
    duration_ns = _duration_ns(duration_s)
    _check_seed(seed)
    testnet = _core.Testnet(
        seed=seed,
        start_ns=start_ns,
        duration_ns=duration_ns,
        px_start=px_start,
        venues=[_venue_settings(venue) for venue in venues],
    )
    while (made := testnet.next_batches(batch_rows)) is not None:
        for index, kind, rows in made:
            yield venues[index].instrument, kind, rows
        if progress is not None:
            progress(PROVENANCE, testnet.elapsed_ns, duration_ns)


def generate(
    catalog_root: str | Path,
    *,
    seed: int = 7,
    duration_s: float = DURATION_S,
    start_ns: int = START_NS,
    venues: Sequence[Venue] | None = None,
    orders: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> TestnetReport:
    """Makes testnet data and puts it into the catalog, one instrument a venue; with `orders` every
    venue's single orders too.

    Doing it again with equal settings changes nothing. Data made with other settings (seed,
    duration, start, venues, or a newer model) is refused, and with `replace` replaced; recorded
    data is never touched. Should the process die, instruments are either whole or not there, and
    the next call makes those that are missing.

    Raises `CatalogError` where other data is in the way, ValueError for parameters out of range,
    `ConfigError` for an unknown instrument.
    """
    _check_seed(seed)
    venues = DEFAULT_VENUES if venues is None else venues
    if orders:
        venues = [dataclasses.replace(venue, orders=True) for venue in venues]
    catalog = Catalog(catalog_root)
    instruments = {venue.instrument: _testnet_instrument(venue.instrument) for venue in venues}
    if not venues or len(instruments) < len(venues):
        found = ", ".join(venue.instrument for venue in venues) or "none"
        raise ValueError(f"venues: expected at least one, each instrument once, found {found}")
    source = _source(seed, _duration_ns(duration_s), start_ns, venues)
    missing = [name for name in instruments if not _holds(catalog, name, source, replace=replace)]
    if missing:
        for name in missing:
            _forget(catalog, name)
        made = batches(
            seed=seed, duration_s=duration_s, start_ns=start_ns, venues=venues, progress=progress
        )
        _write(catalog, [instruments[name] for name in missing], source, made)
    return TestnetReport(
        seed=seed,
        start_ns=start_ns,
        duration_ns=_duration_ns(duration_s),
        rows={name: _rows_by_kind(catalog, name) for name in instruments},
        written=missing,
    )


def _write(
    catalog: Catalog,
    instruments: Sequence[Instrument],
    source: SourceEntry,
    made: Iterator[tuple[str, str, Events]],
) -> None:
    with contextlib.ExitStack() as stack:
        writers: dict[str, CatalogWriter] = {
            instrument.id: stack.enter_context(
                catalog.writer(instrument, provenance=PROVENANCE, source=[source])
            )
            for instrument in instruments
        }
        for name, kind, rows in made:
            if name not in writers:
                continue
            if kind == "orders":
                writers[name].append_orders(orders_table(rows))
            else:
                writers[name].append(kind, rows)
        for writer in writers.values():
            writer.commit()


def _holds(catalog: Catalog, name: str, source: SourceEntry, *, replace: bool) -> bool:
    """Whether the catalog has exactly these rows; `CatalogError` where it has others that stay."""
    if not catalog.has(name):
        return False
    manifest = catalog.manifest(name)
    found = [item for entry in manifest.imports for item in entry.sources]
    if found == [source]:
        return True
    if replace and manifest.provenance == PROVENANCE:
        return False
    held = ", ".join(sorted({item.name for item in found}))
    way_out = "replace it (replace=true) or " if manifest.provenance == PROVENANCE else ""
    raise CatalogError(
        f"{catalog.folder(name)}: holds other {manifest.provenance} data ({held}), asked for is"
        f" {source.name}; {way_out}use another catalog"
    )


def _forget(catalog: Catalog, name: str) -> None:
    """Removes an instrument's manifest; the writer that comes next removes the files it named."""
    if catalog.has(name):
        (catalog.folder(name) / "manifest.json").unlink()


def _rows_by_kind(catalog: Catalog, name: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for entry in catalog.manifest(name).files:
        rows[entry.kind] = rows.get(entry.kind, 0) + entry.rows
    return rows


def _source(seed: int, duration_ns: int, start_ns: int, venues: Sequence[Venue]) -> SourceEntry:
    """Names the settings for people and hashes all that the rows depend on."""
    # Data without single orders keeps the hash that it had before venues could publish them.
    described = [
        {key: value for key, value in _venue_settings(venue).items() if key != "orders" or value}
        for venue in venues
    ]
    settings = {
        "model": _core.TESTNET_MODEL_VERSION,
        "seed": seed,
        "start_ns": start_ns,
        "duration_ns": duration_ns,
        "px_start": PX_START,
        "venues": described,
    }
    text = json.dumps(settings, sort_keys=True)
    name = (
        f"testnet model {_core.TESTNET_MODEL_VERSION}, seed {seed}, {duration_ns / 1e9:g} s from"
        f" {utc_text(start_ns)}{', with orders' if any(venue.orders for venue in venues) else ''}"
    )
    return SourceEntry(name, hashlib.sha256(text.encode()).hexdigest())


def _venue_settings(venue: Venue) -> dict[str, str | float]:
    """All that the rows of a venue depend on, as the core takes it."""
    instrument = _testnet_instrument(venue.instrument)
    return dataclasses.asdict(venue) | {"tick": instrument.tick, "lot": instrument.lot}


def _testnet_instrument(name: str) -> Instrument:
    """The definition of a venue's instrument, which has to be the testnet's own."""
    instrument = load_instrument(name)
    if instrument.market != PROVENANCE or PROVENANCE not in instrument.venue.lower():
        raise ValueError(
            f"venues: {name} is no testnet instrument (its market is {instrument.market}); made-up"
            " data is only ever stored under an id that says testnet, with market: testnet"
        )
    return instrument


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected a whole number from 0 to 2^64 - 1, found {seed}")


def _duration_ns(duration_s: float) -> int:
    if not 0.01 <= duration_s <= 1e9:
        raise ValueError(f"duration_s: expected between 0.01 and 1e9 seconds, found {duration_s}")
    # Whole steps of 10 ms, so that equal data has equal settings.
    return round(duration_s * 100) * 10_000_000
