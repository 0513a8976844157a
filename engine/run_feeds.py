"""The data of a run: the catalog's streams of its instruments, read ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from engine.account import configured_funding, rate_kinds
from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from engine.catalog import Catalog, FileEntry, Manifest
    from engine.config import ExchangeConfig, RunConfig
    from engine.instruments import Instrument

    Events = npt.NDArray[np.void]

__all__ = ["BY_ORDERS", "BacktestError", "RunFeeds", "stream_kinds"]

# The queue model that reads single orders.
BY_ORDERS = "l3_fifo"
_STREAM_KINDS = ("depth", "trades")
# Batches held ready for each stream: at 131,072 rows of 56 bytes one takes 7 MB.
_READ_AHEAD = 2
# Mark prices stand still if they are so many times further apart than usual, and so far at least.
_HOLE_STEPS = 10
_MARKS_APART_NS = 10 * 1_000_000_000


class BacktestError(RuntimeError):
    """A run could not begin or go on; the message says what is missing and what to do."""


def stream_kinds(exchange: ExchangeConfig) -> list[str]:
    """The kinds of data that a run of this exchange reads."""
    return [*_STREAM_KINDS, *(("orders",) if exchange.queue == BY_ORDERS else ())]


class RunFeeds:
    """The catalog's streams for a run, read ahead on a thread each."""

    def __init__(
        self,
        config: RunConfig,
        instruments: Sequence[Instrument],
        start_ns: int | None,
        end_ns: int | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        from engine.catalog import Catalog
        from engine.feed import ReadAhead

        self.catalog = Catalog(config.catalog)
        self.ids = [instrument.id for instrument in instruments]
        self.provenance = _provenance(self.catalog, self.ids, config.catalog)
        self.kinds = stream_kinds(config.exchange)
        if "orders" in self.kinds:
            _check_orders(self.catalog, self.ids, config.catalog)
        self._range = (start_ns, end_ns)
        # Rates may reach far beyond the events, which a run begins and ends with.
        manifests = [self.catalog.manifest(name) for name in self.ids]
        events = [entry for manifest in manifests for entry in manifest.event_files]
        only_rates = [entry for manifest in manifests for entry in manifest.run_files]
        self._rates_range = _span(events or only_rates, start_ns, end_ns)
        self._rates_read: set[str] = set()
        # What a reader of the results should know about the rates, in sentences.
        self.notes: list[str] = []
        # When fundings were, by instrument, as far as they have been read.
        self.fundings_ns: dict[str, list[int]] = {}
        self._readers = []
        self.streams: dict[tuple[str, str], Iterable[Events]] = {}
        for instrument in instruments:
            for kind, batches in self._sources(instrument, config):
                reader = ReadAhead(_counted(batches, progress), depth=_READ_AHEAD)
                self._readers.append(reader)
                self.streams[instrument.id, kind] = reader

    def _sources(
        self, instrument: Instrument, config: RunConfig
    ) -> Iterator[tuple[str, Iterable[Events]]]:
        """The streams of an instrument that there is data of, by kind."""
        catalog, name = self.catalog, instrument.id
        start_ns, end_ns = self._range
        rows = config.data.batch_rows
        manifest = catalog.manifest(name)
        rates = rate_kinds(config.account, instrument)
        for kind in self.kinds:
            if kind == "orders":
                yield kind, catalog.order_events(name, end_ns=end_ns, batch_rows=rows)
            elif manifest.of_kind(kind):
                yield (
                    kind,
                    catalog.batches(name, kind, start_ns=start_ns, end_ns=end_ns, batch_rows=rows),
                )
        first, end = self._rates_range
        for kind, is_needed in rates.items():
            there = _reaches_into(manifest.of_kind(kind), first, end)
            lack = self._lack_of_marks(name) if there and kind == "marks" else None
            if there and lack is None:
                self._rates_read.add(kind)
                read = catalog.batches(name, kind, start_ns=first, end_ns=end, batch_rows=rows)
                yield kind, self._noted(name, read) if kind == "funding" else read
            elif is_needed:
                raise BacktestError(_missing_rates(kind, name, config.catalog, lack))
            elif lack is not None:
                self.notes.append(f"{name}: {lack} in the run; the mid stood for its mark price")
        if config.account.funding == "configured" and instrument.kind != "spot":
            yield "funding", configured_funding(config.account, first, end)

    def _lack_of_marks(self, name: str) -> str | None:
        """What the mark prices of an instrument lack at the time of its events, where a run would
        go on by one that has long passed.
        """
        first, end = _span(self.catalog.manifest(name).run_files, *self._range)
        parts = []
        for frame in self.catalog.rate_batches(name, "marks", start_ns=first):
            parts.append(frame["ts_recv_ns"].to_numpy())
            if parts[-1][-1] >= end:
                break
        times = np.concatenate(parts)
        times = times[: np.searchsorted(times, end) + 1]
        if ((times >= first) & (times < end)).sum() < 2:
            return "fewer than two mark prices"
        steps = np.diff(times)
        # Candles tell their prices at their two ends.
        usual = float(np.median(steps[steps > steps.mean() / 10]))
        if max(times[0] - first, end - times[-1]) > 2 * usual:
            covered = f"from {utc_text(int(times[0]))} to {utc_text(int(times[-1]))}"
            return f"mark prices only {covered}"
        if steps.max() > max(_HOLE_STEPS * usual, _MARKS_APART_NS):
            longest = steps.max() / 1e9
            self.notes.append(f"{name}: its mark price stood still for {longest:,.0f} s in the run")
        return None

    def _noted(self, name: str, batches: Iterable[Events]) -> Iterator[Events]:
        times = self.fundings_ns.setdefault(name, [])
        for batch in batches:
            times.extend(batch["ts_event_ns"].tolist())
            yield batch

    @property
    def kinds_read(self) -> list[str]:
        """The kinds of data of the catalog that the run reads."""
        return sorted({*self.kinds, *self._rates_read})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for reader in self._readers:
            reader.close()


def _counted(batches: Iterable[Events], progress: Callable[[int], None] | None) -> Iterable[Events]:
    for batch in batches:
        if progress is not None:
            progress(len(batch))
        yield batch


def _provenance(catalog: Catalog, ids: Sequence[str], root: str) -> str:
    """`recorded`, `testnet`, or `mixed` for a run over both."""
    present = catalog.instruments()
    for instrument in ids:
        if instrument not in present:
            held = f"it holds {', '.join(present)}" if present else "it is empty"
            raise BacktestError(
                f"catalog {root}: no data for {instrument}; {held}. Import a recording with"
                f" `cobalt import format=binance path=... instrument={instrument} catalog={root}`"
                f" or make practice data with `cobalt testnet catalog={root}`"
            )
    manifests = [catalog.manifest(instrument) for instrument in ids]
    for manifest in manifests:
        if not manifest.run_files:
            raise BacktestError(
                f"catalog {root}: expected depth or trades of {manifest.instrument},"
                f" found only {_held(manifest)}; a run needs events"
            )
    found = {manifest.provenance for manifest in manifests}
    return found.pop() if len(found) == 1 else "mixed"


def _missing_rates(kind: str, instrument: str, root: str, lack: str | None) -> str:
    found = lack or {"marks": "no mark prices", "funding": "no funding rates"}[kind]
    key = {"marks": "mark", "funding": "funding"}[kind]
    return (
        f"account.{key}=recorded: catalog {root} has {found} of {instrument} at the time of the"
        " run; import them with"
        f" `cobalt import format=funding path=... instrument={instrument} catalog={root}` or choose"
        f" another account.{key}"
    )


def _span(files: Sequence[FileEntry], start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
    """First receive time of these files within a range, and the time that ends them."""
    first = min(entry.ts_recv_first_ns for entry in files)
    end = max(entry.ts_recv_last_ns for entry in files) + 1
    return max(first, start_ns or first), min(end, end_ns or end)


def _reaches_into(files: Sequence[FileEntry], start_ns: int | None, end_ns: int | None) -> bool:
    """Whether a file has rows in a range, or on both sides of it: those of another time say nothing
    about it.
    """
    return any(
        (end_ns is None or entry.ts_recv_first_ns < end_ns)
        and (start_ns is None or entry.ts_recv_last_ns >= start_ns)
        for entry in files
    )


def _check_orders(catalog: Catalog, ids: Sequence[str], root: str) -> None:
    """Raises BacktestError for an instrument without single orders."""
    for instrument in ids:
        if not catalog.manifest(instrument).of_kind("orders"):
            raise BacktestError(
                f"exchange.queue={BY_ORDERS}: catalog {root} has no single orders of {instrument};"
                " import a feed that has them (`cobalt import format=bitstamp_l3 …`), make practice"
                f" data that does (`cobalt testnet orders=true catalog={root}`), or choose another"
                " queue model"
            )


def _held(manifest: Manifest) -> str:
    """What a catalog has of an instrument without events or rates."""
    candles = [f"candles of {', '.join(manifest.intervals)}"] if manifest.intervals else []
    orders = ["single orders"] if manifest.of_kind("orders") else []
    return " and ".join([*candles, *orders]) or "an empty manifest"
