"""The typed configuration of a run, and the checks that answer a slip with the nearest right word.

The defaults here equal those of `conf/backtest.yaml`, which the command line composes; a test holds
the two together. Nothing in this module reads the wall clock, the environment or the network.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from omegaconf import DictConfig

    from engine.instruments import Instrument

__all__ = [
    "AccountConfig",
    "CobConfig",
    "ConfigError",
    "DataConfig",
    "ExchangeConfig",
    "FeeTier",
    "FeesConfig",
    "GroupRiskConfig",
    "InstrumentRiskConfig",
    "LatencyConfig",
    "PositionConfig",
    "RiskConfig",
    "RunConfig",
    "RunOptions",
    "StrategyConfig",
    "build",
    "build_strategy_config",
    "conf_folders",
    "config_sha256",
    "did_you_mean",
    "is_table",
    "is_text",
    "is_text_list",
    "key_paths",
    "key_type",
    "unknown_key",
]

T = TypeVar("T")


class ConfigError(ValueError):
    """Something the user wrote cannot be used; the message names it and what to write instead."""


def _doc(text: str) -> dict[str, str]:
    """Field metadata that the command line prints as the help of a key."""
    return {"help": text}


@dataclass
class StrategyConfig:
    """Which strategy runs, as `module:Class`, and the values of its own typed configuration."""

    target: str = field(
        default="strategies.market_maker:MarketMaker",
        metadata=_doc("the strategy's class, as module:Class"),
    )
    config: dict[str, Any] = field(
        default_factory=dict, metadata=_doc("the strategy's own settings, strategy.config.NAME=…")
    )


@dataclass
class DataConfig:
    """The part of the catalog to replay.

    `start` (inclusive) and `end` (exclusive) are receive times: ISO-8601, taken as UTC where no
    zone is given, or nanoseconds since the epoch. Null: from the first or to the last event.
    """

    start: str | None = field(
        default=None, metadata=_doc("first receive time: ISO-8601 (UTC) or ns since the epoch")
    )
    end: str | None = field(default=None, metadata=_doc("receive time to stop before"))
    batch_rows: int = field(
        default=131_072, metadata=_doc("rows handed to the kernel at once; no effect on results")
    )


def _default_buckets() -> dict[str, str]:
    return {"BTC": "10", "ETH": "1"}


@dataclass
class CobConfig:
    """Consolidated order books: see `engine.Strategy.cob`.

    `buckets` is decimal text in quote units by base asset, `groups` weights by instrument id by
    name of the group.
    """

    buckets: dict[str, str] = field(
        default_factory=_default_buckets,
        metadata=_doc("bucket size by base asset, cob.buckets.SOL=0.1"),
    )
    stale_after: str = field(
        default="5s", metadata=_doc("time without a message after which a member is out")
    )
    groups: dict[str, dict[str, Any]] = field(
        default_factory=dict, metadata=_doc("groups of your own, cob.groups.NAME={ID: weight, …}")
    )


@dataclass
class ExchangeConfig:
    """The simulated exchange; `docs/fidelity.md` says what each model means.

    `queue` is risk_averse, power_prob, power_prob2, power_prob3 (of exponent `queue_power`),
    log_prob, log_prob2, or l3_fifo, which knows an order's place where the data has the venue's
    orders one by one; `fill` is no_partial, partial (both in hftbacktest's meaning) or walk;
    `self_trade` is allow, expire_taker, expire_maker or expire_both. With `causal_responses` an
    answer never reaches the strategy before the market data that explains it, which is what paper
    trading can know; without, it may, as at a real venue and in hftbacktest.
    """

    queue: str = field(default="risk_averse", metadata=_doc("queue position model"))
    queue_power: float = field(default=2.0, metadata=_doc("exponent of the power_prob models"))
    fill: str = field(default="no_partial", metadata=_doc("fill model"))
    causal_responses: bool = field(
        default=False, metadata=_doc("answers wait for the market data that explains them")
    )
    self_trade: str = field(
        default="allow", metadata=_doc("what happens where own orders would trade with each other")
    )


@dataclass
class LatencyConfig:
    """Order to exchange (`order_entry`) and the exchange's answer back (`response`), nanoseconds.

    `model` is constant; normal or lognormal with these means, the standard deviations `*_std_ns`
    and nothing below `least_ns`, drawn from the run's seed; feed, which adds `*_factor` times the
    latency of the market data received last; recorded, interpolated between the orders of `file`
    (Parquet or npz with req_ns, exch_ns, resp_ns); or python, the class that `target` names
    (`module:Class`, see docs/fidelity.md).
    """

    order_entry_ns: int = field(
        default=10_000_000, metadata=_doc("from the strategy to the exchange, nanoseconds")
    )
    response_ns: int = field(
        default=10_000_000, metadata=_doc("from the exchange back to the strategy, nanoseconds")
    )
    model: str = field(
        default="constant",
        metadata=_doc("constant, normal, lognormal, feed, recorded or python"),
    )
    order_entry_std_ns: int = field(
        default=0, metadata=_doc("normal, lognormal: standard deviation, nanoseconds")
    )
    response_std_ns: int = field(default=0, metadata=_doc("normal, lognormal: the same, back"))
    least_ns: int = field(default=0, metadata=_doc("normal, lognormal: the least, nanoseconds"))
    order_entry_factor: float = field(
        default=1.0, metadata=_doc("feed: share of the feed's latency that is added")
    )
    response_factor: float = field(default=1.0, metadata=_doc("feed: the same, back"))
    file: str | None = field(default=None, metadata=_doc("recorded: measured orders"))
    target: str | None = field(default=None, metadata=_doc("python: module:Class"))


@dataclass
class FeeTier:
    """Rates from a traded value of 30 days upwards, decimal text."""

    volume: str = "0"
    maker: str = "0"
    taker: str = "0"


@dataclass
class FeesConfig:
    """What the venue takes for a fill, decimal text; a negative rate is a rebate.

    `model` is value: shares of notional, those of the instrument definition where null; flat:
    `amount` a fill; quantity: `maker` and `taker` are amounts for each unit of quantity; tiers:
    shares by the value traded in 30 days, which was `volume_30d` before the run; or python, the
    class that `target` names (`module:Class`). Amounts are in the settlement currency.
    """

    maker: str | None = field(
        default=None, metadata=_doc("share of notional, 0.0002 is 2 bp; null: the instrument's own")
    )
    taker: str | None = field(
        default=None, metadata=_doc("share of notional, 0.0005 is 5 bp; null: the instrument's own")
    )
    model: str = field(default="value", metadata=_doc("value, flat, quantity, tiers or python"))
    amount: str | None = field(default=None, metadata=_doc("flat: the amount a fill"))
    tiers: list[FeeTier] = field(
        default_factory=list, metadata=_doc("tiers: [{volume, maker, taker}, …], rising volumes")
    )
    volume_30d: str = field(
        default="0", metadata=_doc("tiers: value traded in the 30 days before, in quote units")
    )
    target: str | None = field(default=None, metadata=_doc("python: module:Class"))


@dataclass
class PositionConfig:
    """A position from before the run, as decimal text; `qty` below 0 is short."""

    qty: str
    entry_px: str


@dataclass
class AccountConfig:
    """How positions are backed, and what the venue does to them; `docs/derivatives.md` explains it.

    `margin` is none (a position may be of any size), cross or isolated. `funding` is recorded (the
    catalog must hold the rates), available (what the catalog holds of them), configured
    (`funding_rate` every `funding_every` since the epoch) or none. `mark` is the price that margin
    goes by: recorded, available, mid or last.
    """

    margin: str = field(default="none", metadata=_doc("none, cross or isolated"))
    leverage: int = field(default=20, metadata=_doc("where there is margin, at most the bracket's"))
    leverages: dict[str, int] = field(
        default_factory=dict, metadata=_doc("by id, account.leverages={ID: 5}")
    )
    positions: dict[str, PositionConfig] = field(
        default_factory=dict,
        metadata=_doc("held at the start, {ID: {qty: '1', entry_px: '60000'}}"),
    )
    funding: str = field(
        default="available", metadata=_doc("recorded, available, configured or none")
    )
    funding_rate: str | None = field(
        default=None, metadata=_doc("configured: share of the position's value, 0.0001 is 1 bp")
    )
    funding_every: str = field(default="8h", metadata=_doc("configured: time between fundings"))
    mark: str = field(default="available", metadata=_doc("recorded, available, mid or last"))


@dataclass
class InstrumentRiskConfig:
    """Limits of one instrument, as decimal text; null: no limit, or that of `risk.each`.

    Quantities are in the instrument's units, money in US dollars; `docs/risk.md` says how positions
    are valued.
    """

    order_qty_max: str | None = field(default=None, metadata=_doc("largest order"))
    order_notional_max_usd: str | None = field(default=None, metadata=_doc("largest order"))
    px_through_max_bps: str | None = field(
        default=None, metadata=_doc("limit price beyond the mid, where it takes")
    )
    px_away_max_bps: str | None = field(
        default=None, metadata=_doc("limit price behind the mid, where it rests")
    )
    open_orders_max: int | None = field(default=None, metadata=_doc("live orders"))
    position_qty_max: str | None = field(
        default=None, metadata=_doc("position with the open orders that extend it")
    )
    exposure_max_usd: str | None = field(
        default=None, metadata=_doc("position with the open orders that extend it")
    )
    stop_loss_usd: str | None = field(
        default=None, metadata=_doc("unrealized loss that closes the position")
    )
    stop_loss_percent: str | None = field(
        default=None, metadata=_doc("the same in percent of the value at entry")
    )


@dataclass
class GroupRiskConfig:
    """Limits over several instruments, in US dollars; null: no limit."""

    instruments: list[str] = field(default_factory=list, metadata=_doc("ids"))
    gross_max_usd: str | None = field(default=None, metadata=_doc("sum of absolute exposures"))
    net_max_usd: str | None = field(default=None, metadata=_doc("sum of signed exposures"))


@dataclass
class RiskConfig:
    """Limits before every order and over time; null: no limit. See `docs/risk.md`.

    `each` holds for every instrument, `instruments` for single ones by id; `groups` are sets of
    instruments by a name of your own. `order_rates` are numbers of orders by time, `prices_usd`
    prices of assets that no instrument of the run tells.
    """

    each: InstrumentRiskConfig = field(default_factory=InstrumentRiskConfig)
    instruments: dict[str, InstrumentRiskConfig] = field(
        default_factory=dict, metadata=_doc("by id, risk.instruments={ID: {position_qty_max: 1}}")
    )
    groups: dict[str, GroupRiskConfig] = field(
        default_factory=dict, metadata=_doc("by name, {NAME: {instruments: [ID, …], …}}")
    )
    open_orders_max: int | None = field(default=None, metadata=_doc("live orders of the account"))
    order_rates: dict[str, int] = field(
        default_factory=dict, metadata=_doc("orders within a time, risk.order_rates={1s: 10}")
    )
    gross_max_usd: str | None = field(default=None, metadata=_doc("sum of absolute exposures"))
    net_max_usd: str | None = field(default=None, metadata=_doc("sum of signed exposures"))
    concentration_max_percent: str | None = field(
        default=None, metadata=_doc("one instrument's share of gross exposure")
    )
    concentration_floor_usd: str = field(
        default="0", metadata=_doc("gross exposure counts as at least this, for the share")
    )
    drawdown_max_usd: str | None = field(
        default=None, metadata=_doc("fall of equity from its peak that ends trading")
    )
    drawdown_max_percent: str | None = field(
        default=None, metadata=_doc("the same in percent of the peak")
    )
    daily_loss_max_usd: str | None = field(
        default=None, metadata=_doc("loss since 00:00 UTC that ends trading")
    )
    daily_loss_max_percent: str | None = field(
        default=None, metadata=_doc("the same in percent of the equity at 00:00 UTC")
    )
    losing_trades_max: int | None = field(
        default=None, metadata=_doc("losing round trips in a row that end trading")
    )
    flatten: bool = field(
        default=False, metadata=_doc("close all positions when a limit ends trading")
    )
    check_every: str = field(
        default="100ms", metadata=_doc("how often the limits over time are looked at")
    )
    prices_usd: dict[str, str] = field(
        default_factory=dict, metadata=_doc("by asset, risk.prices_usd.EUR=1.09")
    )


def _default_cash() -> dict[str, str]:
    return {"USDT": "100000", "USD": "100000", "BTC": "10", "ETH": "100"}


@dataclass
class RunOptions:
    """Name and folder of a run, the sampling of its equity curve, and its starting balances.

    `cash` is decimal text by asset. `reporting` is for the statistics and changes no result. `jobs`
    counts for sweeps and checks only.
    """

    name: str | None = field(default=None, metadata=_doc("null: the strategy's name"))
    dir: str | None = field(default=None, metadata=_doc("null: runs/<UTC time>-<name>/"))
    equity_every: str = field(
        default="1s", metadata=_doc("sampling interval of equity.parquet, such as 100ms, 1s, 1m")
    )
    cash: dict[str, str] = field(
        default_factory=_default_cash,
        metadata=_doc('starting balances: run.cash.USDT=50000, or all, run.cash={USDT: "50000"}'),
    )
    reporting: str | None = field(
        default=None,
        metadata=_doc("currency of the whole account's equity; null: one that all convert into"),
    )
    journal_sync: str = field(
        default="1s",
        metadata=_doc("when the journal is on the disk: record, a time such as 100ms, or end"),
    )
    jobs: int | None = field(
        default=None, metadata=_doc("processes of a sweep or a check; null: one a processor")
    )

    def __post_init__(self) -> None:
        if self.name is not None and (set(self.name) & {"/", "\\", "\0"}):
            raise ConfigError(
                f"run.name: expected a name without slashes, found '{self.name}';"
                " run.dir=… chooses the folder"
            )


@dataclass
class RunConfig:
    """Everything a run depends on except the data itself.

    `instrument` maps an instrument id to its definition (see `engine.instruments.Instrument`).
    """

    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    instrument: dict[str, Any] = field(
        default_factory=dict, metadata=_doc("id, or [a,b]; none: one that the catalog holds")
    )
    catalog: str = field(default="data_catalog", metadata=_doc("root of the Parquet catalog"))
    data: DataConfig = field(default_factory=DataConfig)
    cob: CobConfig = field(default_factory=CobConfig)
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)
    fees: FeesConfig = field(default_factory=FeesConfig)
    account: AccountConfig = field(default_factory=AccountConfig)
    risk: RiskConfig = field(default_factory=RiskConfig)
    run: RunOptions = field(default_factory=RunOptions)
    seed: int = field(default=7, metadata=_doc("seed of every random choice in the run"))

    def instruments(self) -> list[Instrument]:
        """The instrument definitions, checked, in the order given."""
        from engine.instruments import Instrument

        return [Instrument.from_mapping(key, value) for key, value in self.instrument.items()]

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain dictionaries, lists and scalars."""
        return dataclasses.asdict(self)


def config_sha256(config: RunConfig) -> str:
    """The SHA-256 (hex) of what a run's result depends on.

    Where and how safely the run is written, what it is called, where the catalog lies, how many
    processes a sweep uses and the currency of the report are left out: none of them can change a
    result, and the data has its own hash.
    """
    content = config.to_dict()
    del content["catalog"]
    for key in ("name", "dir", "journal_sync", "jobs", "reporting"):
        del content["run"][key]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def conf_folders() -> list[Path]:
    """Where configuration is looked for: `conf` in the working folder, then the packaged one."""
    packaged = Path(__file__).resolve().parent.parent / "conf"
    local = Path.cwd() / "conf"
    return [local, packaged] if local.is_dir() and local.resolve() != packaged else [packaged]


def did_you_mean(word: str, choices: Iterable[str], *, show_all: int = 12) -> str:
    """The end of an error message: the nearest of `choices`, or all of them when they are few.

    Returns text such as `; did you mean 'seed'?`, starting with a semicolon, or an empty string.
    """
    known = sorted(set(choices))
    by_fold = {choice.casefold(): choice for choice in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{by_fold[near[0]]}'?"
    if known and len(known) <= show_all:
        return f"; there is {', '.join(known)}"
    return ""


def build(cls: type[T], values: Mapping[str, Any], *, prefix: str = "") -> T:
    """An instance of the dataclass `cls` from a mapping, every key and type checked.

    `prefix` is put before a field's name in messages, such as `strategy.config.`. Raises
    `ConfigError` for an unknown key, a wrong type or a missing value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _check_shape(cls, values, prefix)
    try:
        schema = OmegaConf.structured(cls)
        _thaw(schema)
        _replace_tables(schema, cls, values)
        merged = OmegaConf.merge(schema, OmegaConf.create(dict(values)))
        result = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(values, error, prefix)) from error
    assert isinstance(result, cls)
    return result


def _replace_tables(schema: Any, cls: Any, values: Mapping[str, Any]) -> None:
    """Empties the default tables that values are given for: they replace, and do not add."""
    for name, annotation in typing.get_type_hints(cls).items():
        inner, given = _strip_optional(annotation), values.get(name)
        if is_table(inner) and given is not None:
            schema[name] = {}
        elif dataclasses.is_dataclass(inner) and schema[name] is not None and given is not None:
            _replace_tables(schema[name], inner, given)


def build_strategy_config(cls: type[T], values: Mapping[str, Any]) -> T:
    """A strategy's typed configuration from `strategy.config`, with the messages of `build`."""
    return build(cls, values, prefix="strategy.config.")


def unknown_key(key: str, choices: Iterable[str], prefix: str = "") -> ConfigError:
    """The error for a key that does not exist, naming the nearest full key that does."""
    subject, comma, path = prefix.rpartition(", ")
    hint = did_you_mean(key, choices).replace("did you mean '", f"did you mean '{path}")
    return ConfigError(f"{subject}{comma}unknown key '{path}{key}'{hint}")


def _check_shape(annotation: Any, values: Any, prefix: str) -> None:
    """Keys exist, and a mapping stands where one belongs and nowhere else."""
    inner = _strip_optional(annotation)
    name = prefix.rstrip("., ")
    fields = typing.get_type_hints(inner) if dataclasses.is_dataclass(inner) else None
    if fields is not None and not hasattr(values, "items"):
        if values is None and inner is not annotation:
            return
        raise ConfigError(f"{name}: expected keys ({', '.join(fields)}), found {values!r}")
    if fields is not None:
        for key, value in values.items():
            if key not in fields:
                raise unknown_key(str(key), fields, prefix)
            _check_shape(fields[key], value, f"{prefix}{key}.")
    elif typing.get_origin(inner) is dict and hasattr(values, "items"):
        for key, value in values.items():
            _check_shape(typing.get_args(inner)[1], value, f"{prefix}{key}.")
    elif inner in _PLAIN_NAMES and isinstance(values, list | tuple | dict):
        raise ConfigError(f"{name}: expected {_type_name(annotation)}, found {values!r}")
    elif inner is int and isinstance(values, int) and not -(2**63) <= values < 2**63:
        raise ConfigError(f"{name}: expected a whole number of 64 bits, found {values}")


def _thaw(node: DictConfig) -> None:
    """Lets a frozen dataclass be filled: being frozen is for its users, not for its making."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, value=False)
    for key in node:
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            _thaw(node[key])


def _explain(values: Mapping[str, Any], error: Any, prefix: str) -> str:
    """An OmegaConf error in one line: the parameter, what was expected, what was found."""
    from omegaconf.errors import MissingMandatoryValue, ValidationError

    path = str(error.full_key or "")
    name = f"{prefix}{path}"
    expected = _type_name(_wanted(error))
    if isinstance(error, MissingMandatoryValue):
        return f"{name}: a value is needed ({expected})"
    if isinstance(error, ValidationError) and path:
        return f"{name}: expected {expected}, found {_value_at(values, path)!r}"
    first_line = str(error).splitlines()[0]
    return f"{name}: {first_line}" if name else first_line


def _wanted(error: Any) -> Any:
    """The annotation of what an OmegaConf error is about: a field, or the element of a list or a
    mapping, whose keys may have dots of their own.
    """
    if dataclasses.is_dataclass(error.object_type):
        return typing.get_type_hints(error.object_type).get(error.key, Any)
    return (Any, *typing.get_args(_strip_optional(error.ref_type)))[-1]


def key_type(cls: Any, path: str) -> Any:
    """The annotation of the field that a dotted path names; `Any` inside a free-form mapping.

    Raises `KeyError` where the schema has no such key.
    """
    current = cls
    for part in path.split(".") if path else ():
        current = _strip_optional(current)
        if dataclasses.is_dataclass(current) and isinstance(current, type):
            current = typing.get_type_hints(current)[part]
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        elif current is not Any:
            raise KeyError(part)
    return current


def key_paths(cls: Any, prefix: str = "") -> list[str]:
    """Every key of a schema as a dotted path, inner keys before those below them."""
    paths: list[str] = []
    for name, annotation in typing.get_type_hints(cls).items():
        paths.append(f"{prefix}{name}")
        if dataclasses.is_dataclass(_strip_optional(annotation)):
            paths += key_paths(_strip_optional(annotation), f"{prefix}{name}.")
    return paths


def is_table(annotation: Any) -> bool:
    """Whether a key holds a table of the user's own keys, such as balances by asset."""
    inner = _strip_optional(annotation)
    return typing.get_origin(inner) is dict and typing.get_args(inner)[1] is not Any


def is_text(annotation: Any) -> bool:
    """Whether a key's value is text, which is taken as typed."""
    return _strip_optional(annotation) is str


def is_text_list(annotation: Any) -> bool:
    """Whether a key's value is a list of texts, written `a` or `[a,b]`."""
    return bool(_strip_optional(annotation) == list[str])


def _strip_optional(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kept = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        return kept[0] if len(kept) == 1 else annotation
    return annotation


_PLAIN_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_TYPE_NAMES = {**_PLAIN_NAMES, list: "a list", dict: "a mapping"}


def _type_name(annotation: Any) -> str:
    inner = _strip_optional(annotation)
    origin = typing.get_origin(inner) or inner
    name = _TYPE_NAMES.get(origin) or str(getattr(origin, "__name__", origin))
    return name if inner is annotation else f"{name} or null"


def _value_at(values: Any, path: str) -> Any:
    """The value that a path such as `a.b[0]` names, as far as it can be followed."""
    path = path.lstrip(".")
    if hasattr(values, "items"):
        for key, value in values.items():
            if path == key or path.startswith((f"{key}.", f"{key}[")):
                return _value_at(value, path[len(key) :])
        return values if not path else None
    index, closed, rest = path.removeprefix("[").partition("]")
    if closed and isinstance(values, list | tuple) and index.isdecimal():
        return _value_at(values[int(index)], rest)
    return values
