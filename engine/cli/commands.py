"""The commands, each with the keys it takes."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.check.settings import CheckedRun
from engine.cli.compose import parse_arguments
from engine.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COMMANDS", "Command"]


def _key(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class ImportKeys:
    """Keys of `cobalt import`."""

    path: list[str] = field(
        default_factory=list,
        metadata={"help": "file, glob in quotes, or [a,b]; for nautilus the catalog's folder"},
    )
    instrument: str = _key("", "id of the instrument that the files are of")
    format: str = _key(
        "binance",
        "binance (raw recordings), binance_archive, bitstamp_l3, candles, funding (rates and mark"
        " prices), hftbacktest, nautilus, tardis, or binance_exchange_info to add instruments",
    )
    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    base_latency_ns: int = _key(
        0, "receive latency of the fastest message, if clocks are corrected"
    )
    clock_offset_ns: int | None = _key(None, "shift of receive times; null: found from the data")
    max_broken_share: float = _key(0.01, "share of broken lines above which the import fails")
    options: dict[str, str] = field(
        default_factory=dict, metadata={"help": "the format's own settings, options.NAME=…"}
    )
    output: str = _key("text", "text or json")


@dataclass
class ExportKeys:
    """Keys of `cobalt export`."""

    format: str = _key("", "hftbacktest, nautilus or parquet")
    instrument: str = _key("", "id of the instrument to export")
    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    path: str = _key("", "where to: a file NAME.npz, or a folder")
    start: str | None = _key(None, "first receive time: ISO-8601 (UTC) or ns since the epoch")
    end: str | None = _key(None, "receive time to stop before")
    replace: bool = _key(False, "overwrite an earlier export at the path")
    output: str = _key("text", "text or json")


@dataclass
class CatalogKeys:
    """Keys of `cobalt catalog`."""

    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    output: str = _key("text", "text or json (one object a line)")


@dataclass
class VerifyKeys:
    """Keys of `cobalt verify`."""

    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    instrument: list[str] = field(
        default_factory=list, metadata={"help": "id, or [a,b]; none: every one with quotes"}
    )
    output: str = _key("text", "text or json (one object a line)")


@dataclass
class TestnetKeys:
    """Keys of `cobalt testnet`."""

    # pytest collects classes whose name begins with Test, unless told otherwise.
    __test__ = False

    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    seed: int = _key(7, "same seed, same bytes")
    duration_s: float = _key(900.0, "simulated seconds")
    orders: bool = _key(False, "orders one by one as well, for exchange.queue=l3_fifo")
    replace: bool = _key(False, "replace testnet data made with other settings")
    output: str = _key("text", "text or json")


@dataclass
class QueuesKeys:
    """Keys of `cobalt queues`."""

    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    instrument: str = _key("", "id of an instrument with single orders")
    path: list[str] = field(
        default_factory=list, metadata={"help": "recordings to read instead of the catalog"}
    )
    format: str = _key("bitstamp_l3", "format of the recordings")
    models: list[str] = field(
        default_factory=list,
        metadata={"help": "exchange.queue models, NAME or NAME:POWER; none: all of them"},
    )
    joined: int = _key(10_000, "orders that join at times drawn from the seed")
    lifetime: str = _key("10m", "how long they stay")
    seed: int = _key(7, "seed of their times")
    picture: str | None = _key(None, "PNG file to write")
    output: str = _key("text", "text (Markdown) or json")


@dataclass
class BenchKeys:
    """Keys of `cobalt bench`."""

    output: str = _key("text", "text or json (one object a line)")
    recordings: str | None = _key(
        None, "folder of recordings; null: $COBALT_RECORDINGS, or testnet"
    )
    runs: int = _key(7, "counted runs of each row, after a warm-up")
    seconds: int = _key(60, "simulated seconds where testnet data is used")


@dataclass
class ParityKeys:
    """Keys of `cobalt parity`."""

    output: str = _key("text", "text or json (one object a line)")
    recordings: str | None = _key(
        None, "folder of recordings; null: $COBALT_RECORDINGS, or testnet"
    )
    instrument: list[str] = field(
        default_factory=list, metadata={"help": "id, or [a,b]; none: spot, linear and inverse"}
    )
    queue: list[str] = field(
        default_factory=list, metadata={"help": "queue models; none: every one that both have"}
    )
    fill: list[str] = field(
        default_factory=list, metadata={"help": "no_partial, partial; none: both"}
    )
    latency: list[str] = field(
        default_factory=list, metadata={"help": "constant, interpolated; none: both"}
    )
    orders: int = _key(20_000, "least number of orders of a run")
    seed: int = _key(5, "seed of orders and latencies")
    seconds: int = _key(60, "simulated seconds where testnet data is used")
    jobs: int = _key(1, "processes that share the runs")


@dataclass
class HeatmapKeys:
    """Keys of `cobalt heatmap`."""

    path: str = _key("", "file to write: a name that ends in .png or .html")
    instrument: list[str] = field(
        default_factory=list, metadata={"help": "id, or [a,b] for their books as one"}
    )
    group: str | None = _key(None, "a group, such as BTC, instead of instruments")
    catalog: str = _key("data_catalog", "root of the Parquet catalog")
    kind: str = _key("total", "total, bid, ask or imbalance")
    bucket: str | None = _key(None, "bucket size in quote units; null: the group's own")
    start: str | None = _key(None, "first receive time: ISO-8601 (UTC) or ns since the epoch")
    end: str | None = _key(None, "receive time to stop before")
    interval: str | None = _key(None, "bars of the pivots, 1s to 1d; null: by the range")
    aggregate: str = _key("last", "last (the book when a column begins) or mean")
    output: str = _key("text", "text or json")


@dataclass
class JournalKeys:
    """Keys of `cobalt journal`, behind what to do."""

    run: str = _key("", "folder of the run")
    kind: list[str] = field(
        default_factory=list, metadata={"help": "of these kinds only: fill, or [order,fill]"}
    )
    order: int | None = _key(None, "about this order only")
    instrument: str | None = _key(None, "about this instrument only")
    start: str | None = _key(None, "from this time of our clock: ISO-8601 (UTC) or ns")
    end: str | None = _key(None, "before this time")
    n: int = _key(20, "records that tail shows")
    path: str = _key("", "file that export writes: NAME.parquet, NAME.csv or NAME.jsonl")
    output: str = _key("text", "text or json (one object a line)")


@dataclass
class ReplayKeys:
    """Keys of `cobalt replay`."""

    run: str = _key("", "folder of the run")
    compare: str = _key("commands", "what has to be the same: commands, or all records")
    at: str | None = _key(None, "rebuild this moment: a time (ISO-8601, UTC, or ns), or a record")
    step: bool = _key(False, "walk through the run step by step")
    output: str = _key("text", "text or json, of the comparison")


@dataclass
class ReportKeys:
    """Keys of `cobalt report`, behind the folders of the runs."""

    runs: list[str] = field(
        default_factory=list, metadata={"help": "folders of runs or of a sweep, also without runs="}
    )
    path: str | None = _key(None, "page of several runs; null: comparison.html")
    output: str = _key("text", "text or json (one object a run)")


@dataclass(frozen=True)
class Command:
    """A command: what it does in a line, its keys, examples, and the function that runs it."""

    summary: str
    keys: type
    examples: tuple[str, ...]
    run: Callable[[Sequence[str]], int]


def _is_json(output: str) -> bool:
    if output not in ("text", "json"):
        raise ConfigError(f"output: expected text or json, found '{output}'")
    return output == "json"


def _print_json(row: dict[str, Any]) -> None:
    print(json.dumps(row, allow_nan=False), flush=True)


def _import(arguments: Sequence[str]) -> int:
    keys = parse_arguments(ImportKeys, arguments)
    as_json = _is_json(keys.output)
    if not keys.path:
        raise ConfigError("path: a value is needed; write path='recordings/btcusdt_*.gz'")
    if not keys.instrument:
        raise ConfigError("instrument: a value is needed; write instrument=BTCUSDT-PERP.BINANCE")
    from engine.importers import run_import

    report = run_import(
        keys.format,
        keys.path,
        keys.instrument,
        keys.catalog,
        base_latency_ns=keys.base_latency_ns,
        clock_offset_ns=keys.clock_offset_ns,
        max_broken_share=keys.max_broken_share,
        options=keys.options,
    )
    if as_json:
        _print_json(report.to_dict())
    else:
        print("\n".join(report.lines_of_text()))
    return 0


def _export(arguments: Sequence[str]) -> int:
    keys = parse_arguments(ExportKeys, arguments)
    as_json = _is_json(keys.output)
    from engine.exporters import formats, run_export

    for name, example in (
        ("format", " or ".join(formats())),
        ("instrument", "BTCUSDT-PERP.BINANCE"),
        ("path", "btcusdt.npz, or a folder"),
    ):
        if not getattr(keys, name):
            raise ConfigError(f"{name}: a value is needed; write {name}={example}")
    report = run_export(
        keys.format,
        keys.instrument,
        keys.catalog,
        keys.path,
        start=keys.start,
        end=keys.end,
        replace=keys.replace,
    )
    if as_json:
        _print_json(report.to_dict())
    else:
        print("\n".join(report.lines_of_text()))
    return 0


def _catalog(arguments: Sequence[str]) -> int:
    keys = parse_arguments(CatalogKeys, arguments)
    as_json = _is_json(keys.output)
    from engine.catalog import catalog_rows

    rows = catalog_rows(keys.catalog)
    if as_json:
        for row in rows:
            _print_json(row)
    elif rows:
        from engine.cli import tables

        tables.show_catalog(rows, keys.catalog)
    else:
        print(
            f"catalog {keys.catalog} is empty. Fill it with `cobalt import path=... instrument=...`"
            " or `cobalt testnet`."
        )
    return 0


def _verify(arguments: Sequence[str]) -> int:
    keys = parse_arguments(VerifyKeys, arguments)
    as_json = _is_json(keys.output)
    from engine.catalog import Catalog, CatalogError
    from engine.verify import verify

    catalog = Catalog(keys.catalog)
    instruments = keys.instrument or catalog.instruments()
    if not instruments:
        raise CatalogError(f"catalog {keys.catalog} is empty: there is nothing to verify")
    reports = []
    for instrument in instruments:
        reports.append(verify(catalog, instrument))
        if as_json:
            _print_json(reports[-1].to_dict())
    if not as_json:
        from engine.cli import tables

        tables.show_verify(reports)
    return 0 if all(report.ok for report in reports) else 1


def _testnet(arguments: Sequence[str]) -> int:
    keys = parse_arguments(TestnetKeys, arguments)
    as_json = _is_json(keys.output)
    from engine.testnet import generate

    try:
        report = generate(
            keys.catalog,
            seed=keys.seed,
            duration_s=keys.duration_s,
            orders=keys.orders,
            replace=keys.replace,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if as_json:
        _print_json(dataclasses.asdict(report))
    else:
        print(report)
    return 0


def _queues(arguments: Sequence[str]) -> int:
    keys = parse_arguments(QueuesKeys, arguments)
    as_json = _is_json(keys.output)
    if not keys.instrument:
        raise ConfigError("instrument: an id is needed, such as instrument=BTCUSD.BITSTAMP")
    from engine import queue_report, queue_study

    try:
        study = queue_study.run(
            keys.catalog,
            keys.instrument,
            recordings=keys.path,
            format=keys.format,
            models=keys.models or queue_study.MODELS,
            joined=keys.joined,
            lifetime=keys.lifetime,
            seed=keys.seed,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if keys.picture is not None:
        queue_report.draw(study, keys.picture)
    if as_json:
        _print_json(study.to_dict())
    else:
        print(queue_report.markdown(study))
    return 0


def _bench(arguments: Sequence[str]) -> int:
    keys = parse_arguments(BenchKeys, arguments)
    as_json = _is_json(keys.output)
    from engine import bench

    rows = bench.run(
        recordings=keys.recordings,
        runs=keys.runs,
        seconds=keys.seconds,
        progress=lambda text: print(text, file=sys.stderr),
    )
    if as_json:
        for row in rows:
            _print_json(row.to_dict())
    else:
        from engine.cli.tables import console

        console().print(bench.table(rows))
    return 0


def _parity(arguments: Sequence[str]) -> int:
    keys = parse_arguments(ParityKeys, arguments)
    as_json = _is_json(keys.output)
    from engine import parity

    def show(row: parity.Row) -> None:
        name = f"{row.instrument} {row.queue} {row.fill} {row.latency} {row.modifications}"
        told = f"{row.orders:,} orders, {row.equal:,} equal"
        print(f"{name}: {told}{'' if row.ok else ', NOT EXPLAINED'}", file=sys.stderr)
        if as_json:
            _print_json(row.to_dict())

    rows = parity.run(
        recordings=keys.recordings,
        instruments=keys.instrument,
        queues=keys.queue,
        fills=keys.fill,
        latencies=keys.latency,
        orders=keys.orders,
        seed=keys.seed,
        seconds=keys.seconds,
        jobs=keys.jobs,
        progress=show,
    )
    if not as_json:
        from engine.cli.tables import console

        console().print(parity.table(rows))
    return 0 if all(row.ok for row in rows) else 1


def _heatmap(arguments: Sequence[str]) -> int:
    # Loaded when it runs: the other commands do without polars.
    from engine.cli import heatmap

    return heatmap.run(parse_arguments(HeatmapKeys, arguments))


def _report(arguments: Sequence[str]) -> int:
    from pathlib import Path

    from engine.cli import report

    named = [word for word in arguments if "=" not in word or Path(word).is_dir()]
    keys = parse_arguments(ReportKeys, [word for word in arguments if word not in named])
    keys.runs = [*named, *keys.runs]
    return report.run(keys, as_json=_is_json(keys.output))


def _journal(arguments: Sequence[str]) -> int:
    from engine.cli import journal

    action = arguments[0] if arguments and "=" not in arguments[0] else ""
    keys = parse_arguments(JournalKeys, arguments[1:] if action else arguments)
    return journal.run(action, keys, as_json=_is_json(keys.output))


def _replay(arguments: Sequence[str]) -> int:
    from engine.cli import replay

    keys = parse_arguments(ReplayKeys, arguments)
    return replay.run(keys, as_json=_is_json(keys.output))


def _backtest(arguments: Sequence[str]) -> int:
    # Loaded when it runs: the other commands do without Hydra.
    from engine.cli import backtest

    return backtest.run(arguments)


def _check(arguments: Sequence[str]) -> int:
    # As `_backtest`.
    from engine.cli import check

    return check.run(arguments)


COMMANDS = {
    "import": Command(
        "recordings, vendors' files and other engines' data into the catalog",
        ImportKeys,
        (
            "cobalt import path='recordings/btcusdt_*.gz' instrument=BTCUSDT-PERP.BINANCE",
            "cobalt import format=binance_exchange_info path=exchangeInfo.json"
            " instrument=SOLUSDT-PERP.BINANCE",
            "cobalt import format=nautilus path=nautilus_catalog instrument=BTCUSDT-PERP.BINANCE",
            "cobalt import format=funding path='BTCUSDT-fundingRate-*.zip'"
            " instrument=BTCUSDT-PERP.BINANCE",
        ),
        _import,
    ),
    "export": Command(
        "rows of the catalog in another engine's format, or as plain Parquet",
        ExportKeys,
        (
            "cobalt export format=hftbacktest instrument=BTCUSDT-PERP.BINANCE path=btcusdt.npz",
            "cobalt export format=nautilus instrument=BTCUSDT-PERP.BINANCE path=nautilus_catalog",
            "cobalt export format=parquet instrument=BTCUSDT-PERP.BINANCE path=btcusdt"
            " start=2024-08-09T00:00 end=2024-08-10",
        ),
        _export,
    ),
    "catalog": Command(
        "what is there: instruments, ranges, rows, gaps, provenance",
        CatalogKeys,
        ("cobalt catalog", "cobalt catalog catalog=my_catalog output=json"),
        _catalog,
    ),
    "verify": Command(
        "rebuild the books and hold them against the venue's own best bid and ask",
        VerifyKeys,
        ("cobalt verify", "cobalt verify instrument=BTCUSDT-PERP.BINANCE output=json"),
        _verify,
    ),
    "testnet": Command(
        "practice data from the local exchange, for a machine without recordings",
        TestnetKeys,
        ("cobalt testnet", "cobalt testnet seed=11 duration_s=3600 catalog=practice"),
        _testnet,
    ),
    "backtest": Command(
        "run a strategy over the catalog; -m runs every combination of values",
        RunConfig,
        (
            "cobalt backtest strategy=market_maker instrument=BTCUSDT-PERP.BINANCE",
            "cobalt backtest strategy=my_module:MyStrategy strategy.config.qty=0.02 latency=none",
            "cobalt backtest instrument=[BTCUSDT-PERP.BINANCE,BTCUSDT.BINANCE] seed=11",
            "cobalt backtest -m strategy=market_maker,imbalance_taker"
            " latency.order_entry_ns=1000000,10000000",
            "cobalt backtest resume=runs/20240809T000000000000-MarketMaker",
        ),
        _backtest,
    ),
    "journal": Command(
        "what a run's journal holds: list, filter, tail, follow, verify or export",
        JournalKeys,
        (
            "cobalt journal list run=runs/20240809T000000000000-MarketMaker",
            "cobalt journal filter run=runs/a kind=[fill,order] order=12",
            "cobalt journal follow run=runs/a",
            "cobalt journal verify run=runs/a",
            "cobalt journal export run=runs/a kind=fill path=fills.csv",
        ),
        _journal,
    ),
    "replay": Command(
        "run a strategy on the journal of its run, or rebuild a moment of it and ask",
        ReplayKeys,
        (
            "cobalt replay run=runs/20240809T000000000000-MarketMaker",
            "cobalt replay run=runs/a at=2024-08-08T23:58:00",
            "cobalt replay run=runs/a at=1200",
            "cobalt replay run=runs/a step=true",
        ),
        _replay,
    ),
    "queues": Command(
        "hold the queue models against the truth, on data with single orders",
        QueuesKeys,
        (
            "cobalt queues path=btcusd_20150501.log.xz instrument=BTCUSD.BITSTAMP",
            "cobalt queues instrument=BTCUSDT-PERP.TESTNETA models=[risk_averse,power_prob:3]"
            " picture=queues.png",
        ),
        _queues,
    ),
    "check": Command(
        "does a strategy know the future, does its start matter, what do results hinge on",
        CheckedRun,
        (
            "cobalt check all strategy=market_maker instrument=BTCUSDT-PERP.BINANCE",
            "cobalt check lookahead strategy=my_module:MyStrategy check.cuts=20",
            "cobalt check startup strategy=ma_cross check.settle=5m check.warmups=[1m,5m,20m]",
            "cobalt check sensitivity strategy=market_maker latency=constant_1ms check.share=0.3",
        ),
        _check,
    ),
    "report": Command(
        "the HTML report and the figures of a run, or several runs side by side",
        ReportKeys,
        (
            "cobalt report runs/20240809T000000000000-MarketMaker",
            "cobalt report runs/a runs/b path=a_and_b.html",
            "cobalt report multirun/20240809T000000000000-sweep output=json",
        ),
        _report,
    ),
    "bench": Command(
        "time the hot paths, with peers beside them",
        BenchKeys,
        ("cobalt bench", "cobalt bench output=json"),
        _bench,
    ),
    "parity": Command(
        "random orders on hftbacktest beside us, compared order by order",
        ParityKeys,
        (
            "cobalt parity recordings=FOLDER jobs=4",
            "cobalt parity queue=risk_averse fill=partial latency=constant output=json",
        ),
        _parity,
    ),
    "heatmap": Command(
        "price × time depth with trades and pivots, as PNG or HTML",
        HeatmapKeys,
        (
            "cobalt heatmap instrument=BTCUSDT-PERP.BINANCE path=heatmap.html",
            "cobalt heatmap group=BTC bucket=5 start=2024-08-08T23:55 path=heatmap.png",
        ),
        _heatmap,
    ),
}
