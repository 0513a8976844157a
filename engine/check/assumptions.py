"""Other assumptions than a run's own: which there are for a configuration, and which are worse."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.config import RunConfig

__all__ = ["Variant", "variants"]

EXTRA_NS = 50_000_000
FEE_FACTOR = Decimal("0.5")


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
    """The runs to hold against a configuration: what it assumes already is left out."""
    return [*_latencies(config), *_fees(config)]


def _latencies(config: RunConfig) -> Iterator[Variant]:
    hinge = "the result hinges on latency"
    entry_ns, response_ns = config.latency.order_entry_ns, config.latency.response_ns
    for name, kind, factor, extra_ns in (
        ("latency × 2", "worse", 2, 0),
        ("latency + 50 ms each way", "worse", 1, EXTRA_NS),
        ("no latency", "better", 0, 0),
    ):
        times = [factor * ns + extra_ns for ns in (entry_ns, response_ns)]
        if times != [entry_ns, response_ns]:
            latency = dataclasses.replace(
                config.latency, order_entry_ns=times[0], response_ns=times[1]
            )
            yield Variant(name, kind, hinge, dataclasses.replace(config, latency=latency))


def _fees(config: RunConfig) -> Iterator[Variant]:
    hinge = "the result hinges on the fees"
    for name, kind, change in (
        ("fees half as much again", "worse", FEE_FACTOR),
        ("no fees", "better", None),
    ):
        instruments = {
            key: {
                **definition,
                "maker_fee": _fee(config.fees.maker, definition["maker_fee"], change),
                "taker_fee": _fee(config.fees.taker, definition["taker_fee"], change),
            }
            for key, definition in config.instrument.items()
        }
        changed = dataclasses.replace(
            config,
            instrument=instruments,
            fees=dataclasses.replace(config.fees, maker=None, taker=None),
        )
        if instruments != config.instrument:
            yield Variant(name, kind, hinge, changed)


def _fee(general: str | None, own: Any, change: Decimal | None) -> str:
    """A fee with a share of itself added, a rebate with it taken away; without a change none."""
    fee = Decimal(str(own if general is None else general))
    return "0" if change is None else str(fee + change * abs(fee))
