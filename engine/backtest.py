"""Running a strategy over recorded events: in memory ([`Backtest`]) or from a catalog."""

from __future__ import annotations

import dataclasses
import importlib
import json
import platform
import resource
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import engine
from engine import _core
from engine.account import build_account
from engine.config import (
    AccountConfig,
    CobConfig,
    ConfigError,
    ExchangeConfig,
    FeesConfig,
    LatencyConfig,
    RiskConfig,
    RunConfig,
    build_strategy_config,
    config_sha256,
    did_you_mean,
)
from engine.latency import Samples, samples_of, samples_sha256
from engine.risk import build_limits
from engine.run_feeds import BY_ORDERS, BacktestError, RunFeeds
from engine.strategy import Strategy, StrategyError
from engine.units import duration_ns, timestamp_ns, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from engine.check.record import CommandRecorder
    from engine.instruments import Instrument

    Events = npt.NDArray[np.void]

__all__ = [
    "Backtest",
    "BacktestError",
    "RunResult",
    "configured_backtest",
    "configured_feeds",
    "load_strategy",
    "run_backtest",
    "run_origin",
]

# Most perpetuals pay at 00:00, 08:00 and 16:00 UTC.
FUNDING_NS = 8 * 3_600 * 1_000_000_000
FUNDING_LATE_NS = 300 * 1_000_000_000
LATENCY_METHODS = ("order_entry_ns", "response_ns")
FEE_METHODS = ("fee",)
# A finer equity curve would be longer than the data it is about.
EQUITY_EVERY_NS_MIN = 1_000_000


class Backtest:
    """One strategy over streams of events.

    `feeds` maps (instrument id, `depth` or `trades`, `marks` or `funding` of derivatives, and
    `orders` for `exchange.queue=l3_fifo`) to an iterable of arrays of `engine.EVENT_DTYPE`: rows in
    order of arrival, whole message groups; arrays are read where they lie and made read-only. The
    strategy begins with the first row received at or after `begin_ns`; rows before it only build
    the books. `latency`, `exchange`, `fees`, `account` and `risk` are those of `engine.config`, by
    default those of a run without further settings; fundings are those of the feeds, whatever
    `account.funding` says; `latency_samples` stands for the content of `latency.file`. `cash` is
    decimal text by currency; `cob` defines the consolidated books. A `recorder` writes down every
    command.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        strategy: Strategy[Any],
        feeds: Mapping[tuple[str, str], Iterable[Events]],
        *,
        latency: LatencyConfig | None = None,
        exchange: ExchangeConfig | None = None,
        fees: FeesConfig | None = None,
        account: AccountConfig | None = None,
        risk: RiskConfig | None = None,
        latency_samples: Samples | None = None,
        cash: Mapping[str, str] | None = None,
        equity_every: str | int = "1s",
        seed: int = 7,
        begin_ns: int | None = None,
        cob: CobConfig | None = None,
        recorder: CommandRecorder | None = None,
    ) -> None:
        self.strategy = strategy
        cob = CobConfig() if cob is None else cob
        latency = LatencyConfig() if latency is None else latency
        exchange = ExchangeConfig() if exchange is None else exchange
        fees = FeesConfig() if fees is None else fees
        account = AccountConfig() if account is None else account
        risk = RiskConfig() if risk is None else risk
        instruments = [_with_fees(instrument, fees) for instrument in instruments]
        self._ids = [instrument.id for instrument in instruments]
        for name in self._ids if exchange.queue == BY_ORDERS else ():
            if (name, "orders") not in feeds:
                raise ValueError(f"exchange.queue: {BY_ORDERS} needs the single orders of {name}")
        every_ns = duration_ns(equity_every, "run.equity_every")
        duration_ns(cob.stale_after, "cob.stale_after")
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, found {seed}")
        cash = dict(cash or {})
        samples = samples_of(latency) if latency_samples is None else latency_samples
        fingerprint = {
            "strategy": f"{type(strategy).__module__}:{type(strategy).__qualname__}",
            "config": _plain(strategy.config),
            "instruments": [dataclasses.asdict(instrument) for instrument in instruments],
            "latency": {**dataclasses.asdict(latency), "samples": samples_sha256(samples)},
            "exchange": dataclasses.asdict(exchange),
            "fees": dataclasses.asdict(fees),
            "account": dataclasses.asdict(account),
            "risk": dataclasses.asdict(risk),
            "cash": cash,
            "cob": dataclasses.asdict(cob),
            "equity_every_ns": every_ns,
            "seed": seed,
        }
        self.kernel = _core.Kernel(
            list(instruments),
            exchange=exchange,
            latency=latency,
            latency_samples=samples,
            latency_target=load_target(latency.target, "latency.target", LATENCY_METHODS),
            fees=fees,
            fees_target=load_target(fees.target, "fees.target", FEE_METHODS),
            account=build_account(
                account, instruments, [(name, "marks") in feeds for name in self._ids]
            ),
            risk=build_limits(risk, instruments),
            seed=seed,
            cash=list(cash.items()),
            equity_every_ns=every_ns,
            begin_ns=begin_ns,
            fingerprint=json.dumps(fingerprint, sort_keys=True, default=str),
        )
        self._sources = []
        for (instrument, kind), batches in feeds.items():
            if instrument not in self._ids:
                raise ValueError(f"feeds: expected one of {self._ids}, found {instrument!r}")
            self.kernel.add_stream(self._ids.index(instrument), kind)
            self._sources.append(iter(batches))
        kernel = self.kernel if recorder is None else recorder.kernel(self.kernel, self._ids)
        handlers = strategy._attach(kernel, instruments, seed, cob)  # noqa: SLF001
        self._handlers = handlers if recorder is None else recorder.handlers(strategy, handlers)

    def keep_journal(self, path: Path, sync: str, origin: Mapping[str, Any]) -> None:
        """Writes everything that happens to a journal in the folder `path`, which holds none.

        `sync` is when records are on the disk: `record` (each before anything follows from it), a
        time such as `1s`, or `end`. `origin` is told in the journal. Call it before `run`.
        """
        self.kernel.keep_journal(str(path), _sync_every_ns(sync), json.dumps(origin))

    def resume_journal(
        self, path: Path, sync: str, origin: Mapping[str, Any]
    ) -> tuple[str, int, int, str] | None:
        """Goes on with the journal of a run that was interrupted: the run happens again, is held
        against the journal as far as it goes, and is written from there on.

        Returns file, byte, number of bytes and reason of what was cut from the end of the journal,
        if anything. Raises JournalError where the journal is damaged, as `run` does where the run
        differs from it.
        """
        return self.kernel.resume_journal(str(path), _sync_every_ns(sync), json.dumps(origin))

    def replay_journal(self, path: Path, *, only_commands: bool) -> None:
        """Holds what happens against a journal, which stays as it is: the strategy's commands only,
        or every record. Call it before `run`, which raises JournalError at the first difference.
        """
        self.kernel.replay_journal(str(path), only_commands)

    def fold(
        self,
        path: Path | None = None,
        *,
        step: int | None = None,
        record: int | None = None,
        ts_ns: int | None = None,
    ) -> bool:
        """Rebuilds a run from its journal instead of running it: the strategy's part is taken from
        the records, all else happens again and is held against them.

        `path` is the journal, for the first call. Goes on to the end of the step with a number, of
        the step that wrote a record, or to a time of our clock, to the end without any; False where
        the journal ends before. Raises JournalError where the run is not that of the journal.
        """
        if path is not None:
            self.kernel.fold_journal(str(path))
        return self.kernel.fold(self._sources, step, record, ts_ns)

    def run(self, sink: Callable[[dict[str, dict[str, Any]]], None] = lambda _tables: None) -> None:
        """Runs to the end of the data; `sink` is given the recorded tables as they fill up.

        Raises StrategyError where a handler raises, ValueError for rows that are no events.
        """
        kernel = self.kernel
        try:
            kernel.run(self._handlers, self._sources, sink)
        except Exception as error:
            handler = kernel.failed_handler
            if handler is None:
                raise
            event_ns = kernel.event_ns
            raise StrategyError(
                f"{type(self.strategy).__name__}.{handler} raised {type(error).__name__}: {error}"
                f" at event seq {kernel.seq}, received {utc_text(kernel.now_ns)},"
                f" venue time {'unknown' if event_ns is None else utc_text(event_ns)}"
            ) from error


@dataclass(frozen=True)
class RunResult:
    """Where a run lies, and its `summary.json`."""

    run_dir: Path
    summary: dict[str, Any]


def run_backtest(
    config: RunConfig,
    *,
    progress: Callable[[int], None] | None = None,
    recorder: CommandRecorder | None = None,
    report: bool = True,
    resume: bool = False,
) -> RunResult:
    """Runs a configuration over its catalog and writes the run folder.

    `progress` is called with the number of rows of each batch read. A `recorder` writes down every
    command; without `report` no HTML is made. With `resume` the run in the folder, which was
    interrupted, is gone on with. Raises ConfigError or BacktestError for what the user
    can mend, StrategyError where the strategy raised.
    """
    from engine.results import ParquetSink
    from engine.run_folder import read_tables, summary_figures
    from engine.run_journal import journaled

    instruments = config.instruments()
    strategy = load_strategy(config)
    with configured_feeds(config, progress) as feeds:
        backtest = configured_backtest(config, strategy, feeds, recorder)
        with _run_folder(config) as run_dir:
            began = time.perf_counter()
            origin = run_origin(config, feeds)
            sync = config.run.journal_sync
            with (
                ParquetSink(run_dir) as sink,
                journaled(backtest, run_dir, sync, origin, resume=resume),
            ):
                backtest.run(sink)
            wall_s = time.perf_counter() - began
            if backtest.kernel.counts()["events"] == 0:
                raise BacktestError("data: no events in the range asked for (data.start, data.end)")
            charges = sink.charges.by_currency
            summary = _summary(config, instruments, feeds, backtest, charges, wall_s)
            run = read_tables(run_dir, summary)
            summary |= summary_figures(summary, run.statistics)
            _write_json(run_dir / "statistics.json", run.statistics.to_dict())
            _write_json(run_dir / "summary.json", summary)
            if report:
                # Loaded where it is used: drawing libraries take longer to load than a short run.
                from engine.report import write_report

                write_report(run)
    return RunResult(run_dir, summary)


def configured_feeds(config: RunConfig, progress: Callable[[int], None] | None = None) -> RunFeeds:
    """The data of a run, to be used in a `with` block. Raises ConfigError or BacktestError."""
    instruments = config.instruments()
    if not instruments:
        raise ConfigError("instrument: expected at least one, found none")
    start_ns, end_ns = _range(config)
    return RunFeeds(config, instruments, start_ns, end_ns, progress)


def configured_backtest(
    config: RunConfig,
    strategy: Strategy[Any],
    feeds: RunFeeds,
    recorder: CommandRecorder | None = None,
) -> Backtest:
    """A run of a strategy as configured. Raises ConfigError."""
    try:
        _check_equity_every(config)
        return Backtest(
            config.instruments(),
            strategy,
            feeds.streams,
            latency=config.latency,
            exchange=config.exchange,
            fees=config.fees,
            account=config.account,
            risk=config.risk,
            cash=config.run.cash,
            equity_every=config.run.equity_every,
            seed=config.seed,
            begin_ns=_range(config)[0],
            cob=config.cob,
            recorder=recorder,
        )
    except ValueError as error:
        # The settings are the user's; the kernel's own words name what is wrong with them.
        raise ConfigError(str(error)) from error


def load_strategy(config: RunConfig) -> Strategy[Any]:
    """The strategy that `strategy.target` names (`module:Class`), with its typed configuration.

    Modules in the working folder go before installed ones. Raises ConfigError.
    """
    cls = _load_class(config.strategy.target, "strategy.target", Strategy)
    strategy: Strategy[Any] = cls(build_strategy_config(cls.Config, config.strategy.config))
    return strategy


def load_target(target: str | None, name: str, methods: Sequence[str]) -> Any:
    """An instance of the class that `target` names (`module:Class`), made without arguments, which
    has these methods; None for None. Raises ConfigError.
    """
    if target is None:
        return None
    cls = _load_class(target, name, object)
    missing = [method for method in methods if not callable(getattr(cls, method, None))]
    if missing:
        raise ConfigError(f"{name}: expected {target} to have the method {' and '.join(missing)}")
    return cls()


def _load_class(target: str, name: str, base: type) -> Any:
    module_name, colon, class_name = target.partition(":")
    if not colon or not module_name or not class_name:
        raise ConfigError(f"{name}: expected module:Class, found '{target}'")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and module_name.startswith(missing):
            raise ConfigError(f"{name}: no module '{module_name}'") from error
        raise ConfigError(
            f"{name}: importing '{module_name}' raised {type(error).__name__}: {error}"
        ) from error
    cls = getattr(module, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        known = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, base) and value is not base
        ]
        what = "strategy" if base is Strategy else "class"
        raise ConfigError(
            f"{name}: '{module_name}' has no {what} '{class_name}'{did_you_mean(class_name, known)}"
        )
    return cls


def _with_fees(instrument: Instrument, fees: FeesConfig) -> Instrument:
    if fees.model != "value":
        return instrument
    return dataclasses.replace(
        instrument,
        maker_fee=instrument.maker_fee if fees.maker is None else fees.maker,
        taker_fee=instrument.taker_fee if fees.taker is None else fees.taker,
    )


def _sync_every_ns(sync: str) -> int | None:
    if sync == "end":
        return None
    return 0 if sync == "record" else duration_ns(sync, "run.journal_sync")


def _check_equity_every(config: RunConfig) -> None:
    if duration_ns(config.run.equity_every, "run.equity_every") < EQUITY_EVERY_NS_MIN:
        raise ConfigError(
            f"run.equity_every: expected at least 1ms, found '{config.run.equity_every}'"
        )


def _range(config: RunConfig) -> tuple[int | None, int | None]:
    data = config.data
    try:
        start = None if data.start is None else timestamp_ns(data.start, "data.start")
        end = None if data.end is None else timestamp_ns(data.end, "data.end")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if start is not None and end is not None and start >= end:
        raise ConfigError(f"data.end: expected a time after data.start, found {data.end}")
    return start, end


@contextmanager
def _run_folder(config: RunConfig) -> Iterator[Path]:
    """The folder of a run, with its configuration in it.

    `summary.json` stands for a finished run, so that of an earlier run in the same folder goes
    first, and a run that cannot be written whole leaves none.
    """
    run_dir = Path(config.run.dir or Path("runs") / f"{_stamp()}-{_name(config)}")
    finished = [run_dir / name for name in ("summary.json", "statistics.json", "report.html")]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        for path in finished:
            path.unlink(missing_ok=True)
        (run_dir / "config.yaml").write_text(_yaml(config), encoding="utf-8")
        yield run_dir
    except OSError as error:
        with suppress(OSError):
            for path in finished:
                path.unlink(missing_ok=True)
        raise BacktestError(f"run folder {run_dir}: {error.strerror or error}") from error


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def _name(config: RunConfig) -> str:
    return config.run.name or config.strategy.target.rpartition(":")[2]


def run_origin(config: RunConfig, feeds: RunFeeds) -> dict[str, Any]:
    """Where a run is from, as its journal tells: versions, and the hash of its data."""
    return {
        "name": _name(config),
        "strategy": config.strategy.target,
        "provenance": feeds.provenance,
        "catalog": config.catalog,
        "config_sha256": config_sha256(config),
        "data_sha256": feeds.catalog.data_sha256(feeds.ids, feeds.kinds_read),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    import numpy as np
    import pyarrow as pa

    return {
        "cobalt": engine.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }


def _summary(
    config: RunConfig,
    instruments: Sequence[Instrument],
    feeds: RunFeeds,
    backtest: Backtest,
    charges: Mapping[str, Mapping[str, float]],
    wall_s: float,
) -> dict[str, Any]:
    counts = backtest.kernel.counts()
    only = next(iter(charges)) if len(charges) == 1 else None
    charged = charges[only] if only is not None else {}
    books = {name: backtest.kernel.book_counts(index) for index, name in enumerate(feeds.ids)}
    return {
        "name": _name(config),
        "mode": "backtest",
        "provenance": feeds.provenance,
        "strategy": config.strategy.target,
        "instruments": [instrument.id for instrument in instruments],
        "start": utc_text(backtest.kernel.start_ns),
        "end": utc_text(backtest.kernel.now_ns),
        "seed": config.seed,
        "events": counts["events"],
        "level_updates": counts["level_updates"],
        "messages": counts["messages"],
        "wall_s": wall_s,
        "events_per_s": counts["events"] / wall_s if wall_s > 0 else None,
        "orders": counts["orders"],
        "rejected": counts["rejected"],
        "reject_codes": backtest.kernel.codes_told(),
        "risk": _risk(backtest.kernel.killed),
        "requests_too_late": counts["requests_too_late"],
        "fills": counts["fills"],
        "fundings": counts["fundings"],
        "liquidations": counts["liquidations"],
        "currency": only,
        "pnl": None,
        "fees": charged.get("fees"),
        "funding": charged.get("funding"),
        "max_drawdown": None,
        "sharpe": None,
        "by_currency": {
            name: {"initial": float(config.run.cash.get(name, 0)), **parts}
            for name, parts in charges.items()
        },
        "books": books,
        "warnings": _warnings(config, instruments, feeds, books, backtest.kernel),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "config_sha256": config_sha256(config),
        "data_sha256": feeds.catalog.data_sha256(feeds.ids, feeds.kinds_read),
        "result_sha256": backtest.kernel.result_sha256,
        "versions": _versions(),
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _risk(killed: tuple[str, str, int] | None) -> dict[str, str | None]:
    """The state of the kill switch at the end of a run."""
    cause, reason, ts_ns = killed or (None, None, None)
    return {
        "state": "armed" if killed is None else "killed",
        "cause": cause,
        "reason": reason,
        "at": None if ts_ns is None else utc_text(ts_ns),
    }


def _warnings(
    config: RunConfig,
    instruments: Sequence[Instrument],
    feeds: RunFeeds,
    books: Mapping[str, Mapping[str, int]],
    kernel: _core.Kernel,
) -> list[str]:
    """What a reader of the results should know about what is behind them, in sentences."""
    found = []
    if kernel.killed is not None:
        cause, reason, ts_ns = kernel.killed
        found.append(f"trading ended at {utc_text(ts_ns)} ({cause}): {reason}")
    liquidations = kernel.counts()["liquidations"]
    if liquidations:
        positions = "a position" if liquidations == 1 else f"{liquidations:,} positions"
        found.append(f"the venue liquidated {positions}")
    found += feeds.notes
    if config.account.funding in ("recorded", "available"):
        derivatives = [item.id for item in instruments if item.kind != "spot"]
        missing = [(name, _unpaid(feeds.fundings_ns.get(name, []), kernel)) for name in derivatives]
        found += [f"{name}: {text}" for name, text in missing if text]
    for name, counts in books.items():
        has_depth = (name, "depth") in feeds.streams
        if counts["applied"] == 0 and has_depth:
            found.append(f"{name}: no depth snapshot, so its book was never shown or traded on")
        for kind, what in (("gaps", "gaps in the sequence"), ("crossed", "crossed books")):
            if counts[kind]:
                found.append(
                    f"{name}: {counts[kind]:,} {what}; its book was not shown or traded on from"
                    " each to the next snapshot"
                )
    return found


def _unpaid(fundings_ns: Sequence[int], kernel: _core.Kernel) -> str | None:
    """What is missing of the rates at the funding times of a run."""
    first, last = kernel.start_ns // FUNDING_NS + 1, kernel.now_ns // FUNDING_NS
    nearest = ((ts_ns, round(ts_ns / FUNDING_NS)) for ts_ns in fundings_ns)
    told = {at for ts_ns, at in nearest if abs(ts_ns - at * FUNDING_NS) <= FUNDING_LATE_NS}
    missing = [at for at in range(first, last + 1) if at not in told]
    if not missing:
        return None
    more = f" and {len(missing) - 1:,} more funding times" if len(missing) > 1 else ""
    at = utc_text(missing[0] * FUNDING_NS)
    return f"no funding rate at {at}{more}, so positions held then paid nothing"


def _yaml(config: RunConfig) -> str:
    import yaml

    return str(yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True))


def _plain(config: Any) -> Any:
    is_record = dataclasses.is_dataclass(config) and not isinstance(config, type)
    return dataclasses.asdict(config) if is_record else repr(config)
