"""The account of a run as the kernel takes it: margin, marks, funding, and what is held before."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import numpy as np

from engine import _core
from engine.config import ConfigError, did_you_mean
from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from engine.config import AccountConfig
    from engine.instruments import Instrument

    Events = npt.NDArray[np.void]

__all__ = ["Account", "build_account", "configured_funding", "rate_kinds"]

MARGINS = ("none", "cross", "isolated")
FUNDINGS = ("recorded", "available", "configured", "none")
MARKS = ("recorded", "available", "mid", "last")
_RATE_UNITS = 100_000_000
_FUNDING = 7
_FUNDING_EVERY_MIN_NS = 1_000_000_000
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Account:
    """An account over the instruments of a run, in their order.

    `marks` are recorded, mid or last; `positions` are quantity and entry price as decimal text,
    None where nothing is held.
    """

    margin: str
    leverages: list[int]
    marks: list[str]
    positions: list[tuple[str, str] | None]


def build_account(
    config: AccountConfig, instruments: Sequence[Instrument], has_marks: Sequence[bool]
) -> Account:
    """The account of a run over these instruments; `has_marks`: whose mark prices are recorded.

    Raises ConfigError, which names the key, for what cannot be, and for an instrument that is not
    in the run.
    """
    ids = [instrument.id for instrument in instruments]
    _check_choice("account.margin", config.margin, MARGINS)
    _check_choice("account.mark", config.mark, MARKS)
    _check_choice("account.funding", config.funding, FUNDINGS)
    for key in ("leverages", "positions"):
        for name in getattr(config, key):
            if name not in ids:
                raise ConfigError(
                    f"account.{key}: expected instruments of the run, found '{name}'"
                    f"{did_you_mean(name, ids)}"
                )
    held = [config.positions.get(name) for name in ids]
    return Account(
        margin=config.margin,
        leverages=[_leverage(config, name) for name in ids],
        marks=[_mark(config, *pair) for pair in zip(instruments, has_marks, strict=True)],
        positions=[None if one is None else (one.qty, one.entry_px) for one in held],
    )


def rate_kinds(config: AccountConfig, instrument: Instrument) -> dict[str, bool]:
    """The kinds of data beside the book that a run of this account takes of an instrument, each
    with whether the catalog must hold it.
    """
    if instrument.kind == "spot":
        return {}
    kinds = {"marks": config.mark == "recorded"}
    if config.funding in ("recorded", "available"):
        kinds["funding"] = config.funding == "recorded"
    return kinds


def configured_funding(config: AccountConfig, first_ns: int, end_ns: int) -> Iterator[Events]:
    """Fundings of the configured rate at the multiples of `funding_every` since the epoch from
    `first_ns` to before `end_ns`, on both clocks, as arrays of `engine.EVENT_DTYPE`.

    Raises ConfigError for a rate that is missing or cannot be.
    """
    try:
        every_ns = duration_ns(config.funding_every, "account.funding_every")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if every_ns < _FUNDING_EVERY_MIN_NS:
        raise ConfigError(
            f"account.funding_every: expected at least 1s, found '{config.funding_every}'"
        )
    rate = _rate(config.funding_rate)
    numbers = range(-(-first_ns // every_ns), -(-end_ns // every_ns))
    for at in range(0, len(numbers), _BATCH_ROWS):
        part = numbers[at : at + _BATCH_ROWS]
        rows = np.zeros(len(part), _core.EVENT_DTYPE)
        rows["ts_event_ns"] = rows["ts_recv_ns"] = np.asarray(part, np.int64) * every_ns
        rows["kind"] = _FUNDING
        rows["qty_lots"] = rate
        rows["px_ticks"] = _core.PX_NONE
        rows["seq"] = rows["prev_seq"] = _core.SEQ_NONE
        rows["flags"] = _core.FLAG_FIRST | _core.FLAG_LAST
        yield rows


def _rate(text: str | None) -> int:
    """A funding rate in units of 1e-8."""
    try:
        rate = Decimal(text or "")
    except InvalidOperation:
        rate = Decimal("NaN")
    if rate.is_finite() and abs(rate) <= 1 and (scaled := rate * _RATE_UNITS) == int(scaled):
        return int(scaled)
    raise ConfigError(
        "account.funding_rate: expected a share of at most 8 decimal places such as '0.0001',"
        f" found {text!r}"
    )


def _leverage(config: AccountConfig, name: str) -> int:
    own = name in config.leverages
    key = f"account.leverages.{name}" if own else "account.leverage"
    leverage = config.leverages.get(name, config.leverage)
    if not 1 <= leverage <= 1_000:
        raise ConfigError(f"{key}: expected 1 to 1000, found {leverage}")
    return leverage


def _mark(config: AccountConfig, instrument: Instrument, has_marks: bool) -> str:  # noqa: FBT001
    if config.mark in ("recorded", "available") and has_marks:
        return "recorded"
    if config.mark == "recorded" and instrument.kind != "spot":
        raise ConfigError(f"account.mark: recorded, but there are no marks of {instrument.id}")
    return "last" if config.mark == "last" else "mid"


def _check_choice(key: str, found: str, choices: Sequence[str]) -> None:
    if found not in choices:
        raise ConfigError(
            f"{key}: expected one of {', '.join(choices)}, found '{found}'"
            f"{did_you_mean(found, choices, show_all=0)}"
        )
