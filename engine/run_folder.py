"""A finished run as it lies in its folder: summary, tables, configuration, and its statistics."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import ConfigError
from engine.statistics import Contract, RunStatistics, contracts, run_statistics
from engine.statistics.columns import distinct, ints
from engine.units import duration_ns, timestamp_ns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RunData", "read_run", "read_tables", "summary_figures"]

_TABLES = ("fills", "orders", "placements", "equity", "funding")
_FILES = ("summary.json", "fills.parquet", "equity.parquet", "orders.parquet")


@dataclass(frozen=True)
class RunData:
    """What a run left in its folder: the summary, the tables by name (older runs: no `placements`)
    and the resolved configuration as text.
    """

    folder: Path
    summary: dict[str, Any]
    tables: dict[str, pa.Table]
    config_text: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration; empty where it cannot be read."""
        import yaml

        try:
            return dict(yaml.safe_load(self.config_text))
        except (yaml.YAMLError, TypeError, ValueError):
            return {}

    @cached_property
    def definitions(self) -> dict[str, Any]:
        """The instrument definitions of the configuration; none where they cannot be read."""
        try:
            return dict(self.config["instrument"])
        except (KeyError, TypeError, ValueError):
            return {}

    @cached_property
    def contracts(self) -> dict[str, Contract]:
        """How each instrument turns price and quantity into money, where it is defined."""
        return contracts(self.definitions)

    @cached_property
    def statistics(self) -> RunStatistics:
        """All figures of the run; those that need something missing from the folder are None."""
        begun = self.summary.get("by_currency") or {}
        sampled = np.unique(ints(self.tables["equity"], "ts_ns"))
        return run_statistics(
            self.tables,
            self.contracts,
            initial={
                name: float(begun.get(name, {}).get("initial", math.nan))
                for name in distinct(self.tables["equity"], "currency")
            },
            start_ns=self._start_ns(sampled),
            every_ns=self._every_ns(sampled),
            strategy=str(self.summary.get("strategy", "")),
            reporting=self._group("run").get("reporting"),
        )

    def _start_ns(self, sampled: np.ndarray[Any, np.dtype[np.int64]]) -> int:
        start = self.summary.get("start")
        if start is not None:
            return timestamp_ns(start)
        return int(sampled[0]) if len(sampled) else 0

    def _every_ns(self, sampled: np.ndarray[Any, np.dtype[np.int64]]) -> int:
        """The time between samples: as configured, else as it mostly was."""
        every = self._group("run").get("equity_every")
        if every is not None:
            return duration_ns(every)
        return int(np.median(np.diff(sampled))) if len(sampled) > 1 else 1

    def _group(self, name: str) -> dict[str, Any]:
        group = self.config.get(name)
        return group if isinstance(group, dict) else {}


def read_run(run_dir: str | Path) -> RunData:
    """Reads the files of a run. Raises `FileNotFoundError` that names the one missing, ConfigError
    for a summary that cannot be read.
    """
    folder = Path(run_dir)
    for name in _FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder}: not the folder of a finished run, {name} is missing"
            )
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{folder}/summary.json: {error}") from error
    return read_tables(folder, summary)


def read_tables(folder: Path, summary: dict[str, Any]) -> RunData:
    """A run whose summary is at hand; its tables and its configuration are read."""
    import pyarrow.parquet as pq

    paths = {name: folder / f"{name}.parquet" for name in _TABLES}
    config = folder / "config.yaml"
    return RunData(
        folder=folder,
        summary=summary,
        tables={name: pq.read_table(path) for name, path in paths.items() if path.is_file()},
        config_text=config.read_text(encoding="utf-8") if config.is_file() else "",
    )


def summary_figures(summary: dict[str, Any], statistics: RunStatistics) -> dict[str, Any]:
    """The figures of a summary, those that many look for first; all are in `statistics.json`."""
    by_currency = {
        name: {
            **summary["by_currency"][name],
            "carried_in": figures.carried_in,
            "equity": figures.equity.final,
            "pnl": figures.equity.pnl,
            "max_drawdown": figures.equity.max_drawdown,
            "sharpe": figures.equity.sharpe,
            "sortino": figures.equity.sortino,
            "calmar": figures.equity.calmar,
            "turnover": figures.trading.turnover,
            "maker_share": figures.trading.maker_share,
            "slippage_bps": figures.trading.slippage.bps,
            "round_trips": figures.round_trips.count,
            "hit_rate": figures.round_trips.hit_rate,
            "profit_factor": figures.round_trips.profit_factor,
            "time_in_market": figures.exposure.time_in_market,
        }
        for name, figures in statistics.overall.items()
    }
    one = by_currency.get(summary["currency"], {})
    found = {name: one.get(name) for name in ("pnl", "max_drawdown", "sharpe")}
    found["by_currency"] = by_currency
    reporting = statistics.reporting
    if reporting is None or reporting.equity is None:
        return found | {"reporting": None}
    equity = reporting.equity
    told = {
        "currency": reporting.currency,
        "initial": equity.initial,
        "equity": equity.final,
        "pnl": equity.pnl,
        "max_drawdown": equity.max_drawdown,
        "sharpe": equity.sharpe,
    }
    return found | {"reporting": told}
