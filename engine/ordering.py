"""What a strategy may write about an order, checked before it goes to the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.units import duration_ns, timestamp_ns

if TYPE_CHECKING:
    from decimal import Decimal

    Number = str | int | float | Decimal

__all__ = ["conditions", "draft", "expiry_ns"]

TIFS = ("GTC", "IOC", "FOK", "GTD")


def expiry_ns(tif: str, expire: str | int | None, now_ns: int) -> int | None:
    """The venue's time at which a GTD order expires: `expire` is a duration from now ("30s") or a
    time (ISO-8601 or ns since the epoch). Raises ValueError unless exactly GTD orders have one.
    """
    if (tif == "GTD") != (expire is not None):
        raise ValueError("expire: expected with tif='GTD' and with no other")
    if expire is None:
        return None
    if isinstance(expire, str):
        try:
            return now_ns + duration_ns(expire, "expire")
        except ValueError:
            pass
    return timestamp_ns(expire, "expire")


def conditions(
    *,
    limit: Number | None,
    post_only: bool,
    tif: str,
    stop: Number | None = None,
    take_profit: Number | None = None,
    trail: Number | None = None,
    activate: Number | None = None,
    trigger_by: str = "last",
    display: Number | None = None,
    expire_ns: int | None = None,
    client_id: str | None = None,
) -> dict[str, Any] | None:
    """The conditions of an order as the kernel takes them; None for a plain one.

    Raises ValueError for combinations that make no sense.
    """
    if tif not in TIFS:
        raise ValueError(f"tif: expected {', '.join(TIFS)}, found {tif!r}")
    if post_only and (limit is None or tif in ("IOC", "FOK")):
        raise ValueError(
            "post_only: expected a resting limit order, found a market, IOC or FOK order"
        )
    triggers = [
        name
        for name, value in (("stop", stop), ("take_profit", take_profit), ("trail", trail))
        if value is not None
    ]
    if len(triggers) > 1:
        raise ValueError(f"{' and '.join(triggers)}: expected one of them (see oco and bracket)")
    if trail is not None and limit is not None:
        raise ValueError("trail: expected without limit, because it becomes a market order")
    if activate is not None and trail is None:
        raise ValueError("activate: expected with trail only")
    if display is not None and (limit is None or tif in ("IOC", "FOK")):
        raise ValueError("display: expected a resting limit order")
    if client_id is not None and not isinstance(client_id, str):
        raise TypeError(f"client_id: expected text, found {client_id!r}")
    if limit is None and tif == "GTD" and not triggers:
        raise ValueError("tif: expected a limit or conditional order with GTD")
    if not triggers and display is None and expire_ns is None and client_id is None:
        return None
    return {
        "stop": stop,
        "take_profit": take_profit,
        "trail": trail,
        "activate": activate,
        "trigger_by": trigger_by,
        "display": display,
        "expire_ns": expire_ns,
        "client_id": client_id,
    }


def draft(
    role: str,
    *,
    buy: bool,
    qty: Number,
    limit: Number | None = None,
    post_only: bool = False,
    reduce_only: bool = False,
    stop: Number | None = None,
    trigger_by: str = "last",
) -> dict[str, Any]:
    """One order of a list; `role` is oco, entry or exit."""
    return {
        "role": role,
        "buy": buy,
        "qty": qty,
        "limit": limit,
        "tif": "GTC",
        "post_only": post_only,
        "reduce_only": reduce_only,
        "conditions": conditions(
            limit=limit, post_only=post_only, tif="GTC", stop=stop, trigger_by=trigger_by
        ),
    }
