"""Other assumptions than a run's own: which there are for a configuration, and which are worse.

What a run assumes already is left out, and so is what its models leave no room for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine.catalog import Catalog
from engine.config import ConfigError, FeesConfig, LatencyConfig
from engine.latency import samples_of
from engine.run_feeds import BY_ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.config import RunConfig

__all__ = ["Variant", "variants"]

EXTRA_NS = 50_000_000
HALF = Decimal("0.5")


@dataclass(frozen=True)
class Variant:
    """A run under another assumption. `kind` is worse, better or other (neither by itself), and
    `hinge` says what is in doubt when the result changes.
    """

    name: str
    kind: str
    hinge: str
    config: RunConfig


def variants(config: RunConfig) -> list[Variant]:
    """The runs to hold against a configuration. Raises ConfigError for settings without meaning."""
    found = [*_latencies(config), *_fees(config), *_exchanges(config), *_accounts(config)]
    return [variant for variant in found if variant.config != config]


def _latencies(config: RunConfig) -> Iterator[Variant]:
    own, about = config.latency, ""
    if own.model == "recorded":
        # Measured orders cannot be made slower one by one: a later one might arrive earlier.
        own, about = _mean_of_samples(own), ", constant at the mean of latency.file"
    if own.model == "python":
        changes = [("latency of 50 ms each way, constant", "other", _constant(EXTRA_NS, EXTRA_NS))]
    else:
        changes = [
            (f"latency × 2{about}", "worse", _slower(own, 2, 0)),
            (f"latency + 50 ms each way{about}", "worse", _slower(own, 1, EXTRA_NS)),
        ]
    changes.append(("no latency", "better", _constant(0, 0)))
    for name, kind, latency in changes:
        yield Variant(name, kind, "the result hinges on latency", replace(config, latency=latency))


def _constant(order_entry_ns: int, response_ns: int) -> LatencyConfig:
    return LatencyConfig(order_entry_ns=order_entry_ns, response_ns=response_ns)


def _slower(latency: LatencyConfig, factor: int, extra_ns: int) -> LatencyConfig:
    """Every latency times a factor and longer by so much; a distribution keeps its shape."""
    changed = replace(
        latency,
        order_entry_ns=latency.order_entry_ns * factor + extra_ns,
        response_ns=latency.response_ns * factor + extra_ns,
    )
    if latency.model in ("normal", "lognormal"):
        changed.order_entry_std_ns *= factor
        changed.response_std_ns *= factor
        changed.least_ns = latency.least_ns * factor + extra_ns
    elif latency.model == "feed":
        changed.order_entry_factor *= factor
        changed.response_factor *= factor
    return changed


def _mean_of_samples(latency: LatencyConfig) -> LatencyConfig:
    answered = [sample for sample in samples_of(latency) if sample[1] > 0]
    if not answered:
        raise ConfigError("latency.file: expected orders that reached the exchange, found none")
    entry_ns = fmean(exch - req for req, exch, _ in answered)
    response_ns = fmean(resp - exch for _, exch, resp in answered)
    return _constant(max(round(entry_ns), 0), max(round(response_ns), 0))


def _fees(config: RunConfig) -> Iterator[Variant]:
    own, hinge = config.fees, "the result hinges on the fees"
    name = "fees half as much again"
    if own.model == "value":
        # The rates that count are those of the settings, else the instrument's own.
        base, dearer = (
            {
                item.id: replace(
                    item,
                    maker_fee=_dearer(own.maker or item.maker_fee, part),
                    taker_fee=_dearer(own.taker or item.taker_fee, part),
                ).to_mapping()
                for item in config.instruments()
            }
            for part in (Decimal(0), HALF)
        )
        if dearer != base:
            fees = replace(own, maker=None, taker=None)
            yield Variant(name, "worse", hinge, replace(config, instrument=dearer, fees=fees))
    else:
        if len(own.tiers) > 1 and own.model == "tiers":
            lower = [own.tiers[0], *own.tiers[:-1]]
            tiers = [
                replace(tier, maker=below.maker, taker=below.taker)
                for tier, below in zip(own.tiers, lower, strict=True)
            ]
            fees = replace(own, tiers=tiers)
            yield Variant("fees one tier worse", "worse", hinge, replace(config, fees=fees))
        fees = replace(
            own,
            maker=own.maker and _dearer(own.maker),
            taker=own.taker and _dearer(own.taker),
            amount=own.amount and _dearer(own.amount),
            tiers=[
                replace(tier, maker=_dearer(tier.maker), taker=_dearer(tier.taker))
                for tier in own.tiers
            ],
        )
        yield Variant(name, "worse", hinge, replace(config, fees=fees))
    none = FeesConfig(maker="0", taker="0")
    yield Variant("no fees", "better", hinge, replace(config, fees=none))


def _dearer(fee: str, part: Decimal = HALF) -> str:
    """A fee with a part of itself added, a rebate with it taken away."""
    return format((Decimal(fee) + part * abs(Decimal(fee))).normalize(), "f")


def _accounts(config: RunConfig) -> Iterator[Variant]:
    own = config.account
    derivatives = [item for item in config.instruments() if item.kind != "spot"]
    if own.margin == "none" and all(item.brackets for item in derivatives):
        name = f"cross margin, leverage {own.leverage}" if derivatives else "balances not overdrawn"
        hinge = "the result hinges on positions that the account does not carry"
        account = replace(own, margin="cross")
        yield Variant(name, "worse", hinge, replace(config, account=account))
    if own.funding in ("recorded", "configured") and derivatives:
        account = replace(own, funding="none")
        hinge = "the result hinges on funding"
        yield Variant("no funding", "other", hinge, replace(config, account=account))


def _exchanges(config: RunConfig) -> Iterator[Variant]:
    own = config.exchange
    place = "the result hinges on the place in the queue"
    if own.queue == "risk_averse":
        changes: list[tuple[str, str, str, dict[str, Any]]] = [
            (f"queue {queue}", "better", place, {"queue": queue, "queue_power": 2.0})
            for queue in ("power_prob", "log_prob")
        ]
    else:
        changes = [("queue risk_averse", "worse", place, {"queue": "risk_averse"})]
    if _has_orders(config):
        changes.append((f"queue {BY_ORDERS}", "other", place, {"queue": BY_ORDERS}))
    fills = "the result hinges on how orders are filled"
    for fill, kind in (("walk", "worse"), ("partial", "other"), ("no_partial", "other")):
        changes.append((f"fill {fill}", kind, fills, {"fill": fill}))
    early = "the result hinges on answers that come before the market data that explains them"
    causal = not own.causal_responses
    name = "answers after" if causal else "answers before"
    kind = "worse" if causal else "better"
    name += " the market data that explains them"
    changes.append((name, kind, early, {"causal_responses": causal}))
    for name, kind, hinge, values in changes:
        yield Variant(name, kind, hinge, replace(config, exchange=replace(own, **values)))


def _has_orders(config: RunConfig) -> bool:
    """Whether the catalog has the single orders of every instrument."""
    catalog = Catalog(config.catalog)
    return all(
        catalog.has(name) and catalog.manifest(name).of_kind("orders") for name in config.instrument
    )
