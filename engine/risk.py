"""Limits as the core takes them: a `RiskConfig` checked against a run's instruments, in integers.

`docs/risk.md` says what each limit means. Maximums that lie between two whole lots or units are
rounded down, which changes nothing: no order lies between them either.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError, InstrumentRiskConfig, did_you_mean
from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.config import GroupRiskConfig, RiskConfig
    from engine.instruments import Instrument

__all__ = ["DOLLARS", "GroupLimits", "InstrumentLimits", "Limits", "build_limits"]

DOLLARS = ("USD", "USDT", "USDC")
"""Assets of which one counts as one US dollar."""

_MONEY = 10**12
_SHARE = 10**8
_RATE = 10**9
_COUNT_MAX = 1_000_000
_LOTS_MAX = 2**63 - 1
_MONEY_MAX = 10**16
_BPS_MAX = 10**6
_ACCOUNT_IN_USD = (
    "gross_max",
    "net_max",
    "concentration",
    "drawdown_max",
    "drawdown_share_max",
    "daily_loss_max",
    "daily_loss_share_max",
)
_INSTRUMENT_IN_USD = ("order_notional_max", "exposure_max", "stop_loss")


@dataclass(frozen=True)
class InstrumentLimits:
    """`RiskConfig.each` for one instrument: lots, money in 1e-12 US dollars, shares in 1e-8."""

    order_lots_max: int | None
    order_notional_max: int | None
    px_through_max: int | None
    px_away_max: int | None
    orders_open_max: int | None
    position_lots_max: int | None
    exposure_max: int | None
    stop_loss: int | None
    stop_loss_share: int | None


@dataclass(frozen=True)
class GroupLimits:
    """Indices of instruments, and limits in 1e-12 US dollars."""

    members: list[int]
    gross_max: int | None
    net_max: int | None


@dataclass(frozen=True)
class Limits:
    """All limits of a run: money in 1e-12 US dollars, shares in 1e-8, times in ns.

    `order_rates` are (orders, interval), `concentration` is (share, floor), `prices_usd` are in
    1e-9 dollars by asset. `check_every_ns` is the time between looks at the limits over time.
    """

    instruments: list[InstrumentLimits]
    groups: list[GroupLimits]
    orders_open_max: int | None
    order_rates: list[tuple[int, int]]
    gross_max: int | None
    net_max: int | None
    concentration: tuple[int, int] | None
    drawdown_max: int | None
    drawdown_share_max: int | None
    daily_loss_max: int | None
    daily_loss_share_max: int | None
    losses_max: int | None
    flattens: bool
    check_every_ns: int
    prices_usd: list[tuple[str, int]]


def build_limits(config: RiskConfig, instruments: Sequence[Instrument]) -> Limits:
    """The limits of a run over these instruments.

    Raises `ConfigError`, which names the key, for a value that cannot be a limit, an instrument
    that is not in the run, and a limit in dollars that needs a price which nothing tells.
    """
    ids = [instrument.id for instrument in instruments]
    for name in config.instruments:
        _check_known("risk.instruments", name, ids)
    concentration = _percent("risk.concentration_max_percent", config.concentration_max_percent)
    floor = _money("risk.concentration_floor_usd", config.concentration_floor_usd)
    assert floor is not None
    limits = Limits(
        instruments=[_of_instrument(config, instrument) for instrument in instruments],
        groups=[_of_group(name, group, ids) for name, group in config.groups.items()],
        orders_open_max=_count("risk.open_orders_max", config.open_orders_max),
        order_rates=[_order_rate(every, count) for every, count in config.order_rates.items()],
        gross_max=_money("risk.gross_max_usd", config.gross_max_usd),
        net_max=_money("risk.net_max_usd", config.net_max_usd),
        concentration=None if concentration is None else (concentration, floor),
        drawdown_max=_loss("risk.drawdown_max_usd", config.drawdown_max_usd),
        drawdown_share_max=_percent("risk.drawdown_max_percent", config.drawdown_max_percent),
        daily_loss_max=_loss("risk.daily_loss_max_usd", config.daily_loss_max_usd),
        daily_loss_share_max=_percent("risk.daily_loss_max_percent", config.daily_loss_max_percent),
        losses_max=_count("risk.losing_trades_max", config.losing_trades_max),
        flattens=config.flatten,
        check_every_ns=_duration("risk.check_every", config.check_every),
        prices_usd=[
            (asset, _positive(f"risk.prices_usd.{asset}", text, _RATE))
            for asset, text in config.prices_usd.items()
        ],
    )
    _check_prices(config, limits, instruments)
    return limits


def _of_instrument(config: RiskConfig, instrument: Instrument) -> InstrumentLimits:
    own = config.instruments.get(instrument.id, InstrumentRiskConfig())
    lot = Fraction(instrument.lot)

    def value(key: str) -> tuple[str, Any]:
        found = getattr(own, key)
        if found is not None:
            return f"risk.instruments.{instrument.id}.{key}", found
        return f"risk.each.{key}", getattr(config.each, key)

    return InstrumentLimits(
        order_lots_max=_scaled(*value("order_qty_max"), 1 / lot, _LOTS_MAX),
        order_notional_max=_money(*value("order_notional_max_usd")),
        px_through_max=_bps(*value("px_through_max_bps")),
        px_away_max=_bps(*value("px_away_max_bps")),
        orders_open_max=_count(*value("open_orders_max")),
        position_lots_max=_scaled(*value("position_qty_max"), 1 / lot, _LOTS_MAX),
        exposure_max=_money(*value("exposure_max_usd")),
        stop_loss=_loss(*value("stop_loss_usd")),
        stop_loss_share=_percent(*value("stop_loss_percent")),
    )


def _of_group(name: str, group: GroupRiskConfig, ids: Sequence[str]) -> GroupLimits:
    key = f"risk.groups.{name}"
    if not group.instruments:
        raise ConfigError(f"{key}.instruments: expected at least one id, found none")
    for member in group.instruments:
        _check_known(f"{key}.instruments", member, ids)
    return GroupLimits(
        members=sorted({ids.index(member) for member in group.instruments}),
        gross_max=_money(f"{key}.gross_max_usd", group.gross_max_usd),
        net_max=_money(f"{key}.net_max_usd", group.net_max_usd),
    )


def _order_rate(every: str, count: int) -> tuple[int, int]:
    interval_ns = _duration("risk.order_rates", every)
    orders = _count(f"risk.order_rates.{every}", count)
    assert orders is not None
    return orders, interval_ns


def _check_known(key: str, name: str, ids: Sequence[str]) -> None:
    if name not in ids:
        raise ConfigError(
            f"{key}: expected instruments of the run, found '{name}'{did_you_mean(name, ids)}"
        )


def _check_prices(config: RiskConfig, limits: Limits, instruments: Sequence[Instrument]) -> None:
    """Whatever is limited in dollars has a price in dollars."""
    known = {*DOLLARS, *config.prices_usd}
    known |= {instrument.base for instrument in instruments if instrument.quote in DOLLARS}
    for index, instrument in enumerate(instruments):
        missing = {instrument.quote, instrument.settlement} - known
        is_limited = (
            _is_set(limits, _ACCOUNT_IN_USD)
            or _is_set(limits.instruments[index], _INSTRUMENT_IN_USD)
            or any(index in group.members for group in limits.groups)
        )
        if missing and is_limited:
            asset = min(missing)
            raise ConfigError(
                f"risk: expected a price of {asset} in dollars for the limits on {instrument.id};"
                f" found no instrument of the run that tells it: write risk.prices_usd.{asset}=…"
            )


def _is_set(limits: object, names: Iterable[str]) -> bool:
    return any(getattr(limits, name) is not None for name in names)


def _scaled(key: str, text: str | None, scale: Fraction | int, most: int) -> int | None:
    """A decimal of 0 or more in whole units, rounded down."""
    if text is None:
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise ConfigError(f"{key}: expected a decimal of 0 or more such as 1000, found '{text}'")
    return min(int(Fraction(number) * scale), most)


def _money(key: str, text: str | None) -> int | None:
    return _scaled(key, text, _MONEY, _MONEY_MAX * _MONEY)


def _positive(key: str, text: str, scale: int) -> int:
    value = _scaled(key, text, scale, _LOTS_MAX)
    if not value:
        raise ConfigError(f"{key}: expected a decimal above 0 such as 1000, found '{text}'")
    return value


def _loss(key: str, text: str | None) -> int | None:
    """A loss at which something happens: it happens at once where it is 0."""
    value = _money(key, text)
    if value == 0:
        raise ConfigError(f"{key}: expected a decimal above 0 such as 1000, found '{text}'")
    return value


def _percent(key: str, text: str | None) -> int | None:
    value = _scaled(key, text, Fraction(_SHARE, 100), _LOTS_MAX)
    if value is not None and not 0 < value <= _SHARE:
        raise ConfigError(f"{key}: expected a percentage above 0, at most 100, found '{text}'")
    return value


def _bps(key: str, text: str | None) -> int | None:
    return _scaled(key, text, Fraction(_SHARE, 10_000), _BPS_MAX * _SHARE // 10_000)


def _count(key: str, count: int | None) -> int | None:
    if count is not None and not 1 <= count <= _COUNT_MAX:
        raise ConfigError(f"{key}: expected a number from 1 to {_COUNT_MAX}, found {count}")
    return count


def _duration(key: str, text: str) -> int:
    try:
        return duration_ns(text, key)
    except ValueError as error:
        raise ConfigError(str(error)) from error
