"""Which books make up a consolidated order book: names, members, weights and bucket sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.units import duration_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from engine.config import CobConfig
    from engine.instruments import Instrument

__all__ = ["CobDefinition", "definition"]


@dataclass(frozen=True)
class CobDefinition:
    """The members of a consolidated book with their weights, the bucket size in quote units as
    decimal text, and the time in ns after which a silent member is out.
    """

    members: dict[str, float]
    bucket: str
    stale_ns: int


def definition(
    group: str,
    instruments: Sequence[Instrument],
    config: CobConfig,
    bucket: str | float | Decimal | None = None,
    members: Iterable[str] | Mapping[str, float] | None = None,
) -> CobDefinition:
    """What `group` means in a run over `instruments`.

    With `members` it is a name for these ids (or weights by id), else a configured group, else the
    id of an instrument, else a base asset: all instruments of it with weight 1. `bucket` goes
    before the configured size of the base asset. Raises ValueError where a name is unknown, where
    the members have different base assets, or where no bucket size is known.
    """
    by_id = {instrument.id: instrument for instrument in instruments}
    weights = _weights(group, by_id, config, members)
    for name in weights:
        if name not in by_id:
            raise ValueError(
                f"cob {group}: expected members of the run ({', '.join(by_id)}), found {name!r}"
            )
    bases = sorted({by_id[name].base for name in weights})
    if len(bases) != 1:
        raise ValueError(
            f"cob {group}: expected members of one base asset, found {', '.join(bases) or 'none'}"
        )
    size = config.buckets.get(bases[0]) if bucket is None else bucket
    if size is None:
        raise ValueError(
            f"cob {group}: no bucket size is known for {bases[0]}; give bucket= or set"
            f" cob.buckets.{bases[0]}=…"
        )
    text = format(size, "f") if isinstance(size, float) else str(size)
    return CobDefinition(weights, text, duration_ns(config.stale_after, "cob.stale_after"))


def _weights(
    group: str,
    by_id: Mapping[str, Instrument],
    config: CobConfig,
    members: Iterable[str] | Mapping[str, float] | None,
) -> dict[str, float]:
    if members is None and group in config.groups:
        members = config.groups[group]
    if isinstance(members, str):
        raise TypeError(f"cob {group}: expected a list of ids as members, found {members!r}")
    if isinstance(members, Mapping):
        return {name: _weight(group, name, weight) for name, weight in members.items()}
    if members is not None:
        return dict.fromkeys(members, 1.0)
    if group in by_id:
        return {group: 1.0}
    of_base = [name for name, instrument in by_id.items() if instrument.base == group]
    if of_base:
        return dict.fromkeys(of_base, 1.0)
    known = [*config.groups, *sorted({instrument.base for instrument in by_id.values()}), *by_id]
    raise ValueError(f"cob: expected one of {', '.join(known)}, found {group!r}")


def _weight(group: str, name: str, value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if isinstance(value, bool) or not 0 < weight < math.inf:
        raise ValueError(f"cob {group}: expected a positive weight for {name}, found {value!r}")
    return weight
