"""Records of a journal as lines for people."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.journal import Journal, Record

__all__ = ["RecordText", "handler_name", "orders_of"]

_SIDES = {"Bid": "buy", "Ask": "sell"}
_LONGEST = 120
_STATUS = {"PartiallyFilled": "partially filled"}


def handler_name(name: str) -> str:
    """The strategy's method by its name in the journal: `CobMember` is `on_cob_member`."""
    if name == "Outside":
        return "outside of handlers"
    return "on" + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def orders_of(kind: str, content: Any) -> Iterator[int]:
    """The orders that a record is about."""
    if kind == "order":
        yield content["id"]
    elif kind == "submit_list":
        yield from range(content["list"], content["list"] + len(content["requests"]))
    elif kind == "markout":
        yield content["fill"]["order"]
    elif isinstance(content, dict) and "order" in content:
        yield content["order"]


class RecordText:
    """Says what records hold, with the names and steps of the run's instruments."""

    def __init__(self, journal: Journal) -> None:
        self._ids = journal.instruments
        self._scales = [(Decimal(tick), Decimal(lot)) for tick, lot in journal.scales]
        self._says: dict[str, Callable[[Any], str]] = {
            "submit": self._submit,
            "submit_list": self._submit_list,
            "ask": self._ask,
            "cancel_all": lambda c: self._why(f"cancel all orders of {self._id(c)}", c),
            "kill": lambda c: self._why(
                f"end trading{' and close positions' * c['flatten']}: {c['reason']}", c
            ),
            "engine": self._engine,
            "order": self._order,
            "placement": lambda c: (
                f"order {c['order']} rests in {self._id(c)}: {self._at(c['instrument'], c)}"
            ),
            "fill": self._fill,
            "funding": lambda c: f"{self._id(c)}: {c['amount']} at a rate of {c['rate']}",
            "liquidation": lambda c: (
                f"{self._id(c)}: order {c['order']}, fee {c['fee']}, insurance {c['insurance']}"
            ),
            "risk": lambda c: c["reason"],
            "equity": self._equity,
            "timer": lambda c: f"timer {c} is due",
            "trust": lambda c: (
                f"the book of {self._id(c)} is "
                + ("trusted" if c["doubt"] is None else f"suspect: {_plain(c['doubt'])}")
            ),
            "set_timer": lambda c: (
                f"timer {c['id']} at {utc_text(c['at_ns'])}"
                + ("" if c["every_ns"] is None else f", then every {c['every_ns']} ns")
            ),
            "cancel_timer": lambda c: f"timer {c}",
            "markout": lambda c: f"order {c['fill']['order']}: {_plain(c['later_mid_px_x2'])}",
            "saved": lambda c: f"{len(c)} bytes",
            "resumed": lambda c: f"gone on with here, {c} bytes were cut",
            "ended": lambda c: c["error"] or f"result {c['result_sha256']}",
        }

    def line(self, record: Record) -> str:
        """Place, time, step, kind and content of a record."""
        at = utc_text(record.ts_ns) if record.ts_ns else "-"
        return f"{record.seq:>9}  {at:<30}  {record.step:>8}  {record.kind:<12} {self.say(record)}"

    def say(self, record: Record) -> str:
        """What a record holds."""
        say = self._says.get(record.kind)
        return _plain(record.content) if say is None else say(record.content)

    def _id(self, content: Any) -> str:
        index = content["instrument"]
        return self._ids[index] if index < len(self._ids) else f"instrument {index}"

    def px(self, instrument: int, ticks: int) -> str:
        """A price in an instrument's quote units."""
        return _decimal(ticks * self._scales[instrument][0])

    def qty(self, instrument: int, lots: int) -> str:
        """A quantity in an instrument's units."""
        return _decimal(lots * self._scales[instrument][1])

    def _at(self, instrument: int, content: Any) -> str:
        qty, px = (
            self.qty(instrument, content["qty_lots"]),
            self.px(instrument, content["px_ticks"]),
        )
        return f"{qty} at {px}"

    def _request(self, request: Any) -> str:
        """An order that is asked for."""
        index = request["instrument"]
        words = [_SIDES[request["side"]], self.qty(index, request["qty_lots"]), self._id(request)]
        if request["kind"] == "Limit":
            words.append(f"at {self.px(index, request['px_ticks'])}")
        trigger = request["trigger"]
        if trigger is not None:
            words.append(f"{_plain(trigger['kind'])} {self.px(index, trigger['px_ticks'])}")
        words += [name for name in ("post_only", "reduce_only") if request[name]]
        if request["tif"] != "Gtc":
            words.append(request["tif"].upper())
        if request["display_lots"] is not None:
            words.append(f"showing {self.qty(index, request['display_lots'])}")
        return " ".join(words)

    def _submit(self, content: Any) -> str:
        name = "" if content["client_id"] is None else f" '{content['client_id']}'"
        return self._why(
            f"order {content['order']}{name}: {self._request(content['request'])}", content
        )

    def _submit_list(self, content: Any) -> str:
        each = [
            f"order {content['list'] + at} ({role.lower()}): {self._request(request)}"
            for at, (request, role) in enumerate(content["requests"])
        ]
        return self._why("; ".join(each), content)

    def _ask(self, content: Any) -> str:
        if content["change"] is None:
            return self._why(f"cancel order {content['order']}", content)
        # Of which instrument the order is stands in the record that made it.
        changed = [f"{name} {value}" for name, value in content["change"].items() if value]
        return self._why(f"change order {content['order']}: {', '.join(changed)}", content)

    def _engine(self, content: Any) -> str:
        return f"{self._id(content)}, order {content['order']}: {_plain(content['command'])}"

    def _order(self, content: Any) -> str:
        request = content["request"]
        index, status = request["instrument"], content["status"]
        words = f"order {content['id']} {_STATUS.get(status, status.lower())}"
        if content["reject"] is not None:
            words += f" ({content['reject']})"
        filled = self.qty(index, content["filled_lots"])
        return f"{words}, {filled} of {self.qty(index, request['qty_lots'])} filled"

    def _fill(self, content: Any) -> str:
        index = content["instrument"]
        liquidity = "maker" if content["maker"] else "taker"
        return (
            f"order {content['order']}: {_SIDES[content['side']]} {self._at(index, content)}"
            f" {self._id(content)} as {liquidity}, fee {content['fee']}, position"
            f" {self.qty(index, content['position_lots'])}"
        )

    def _equity(self, content: Any) -> str:
        position = self.qty(content["instrument"], content["position_lots"])
        return f"{self._id(content)}: position {position}, equity {content['equity']}"

    def _why(self, words: str, content: Any) -> str:
        """A command with the handler that gave it and what had been received."""
        cause = content["cause"]
        heard = cause["heard"]
        said = f"{words}  [{handler_name(cause['handler'])}"
        if heard is None:
            return f"{said}]"
        kind, name = heard["kind"].lower(), self._ids[heard["instrument"]]
        return f"{said}; last {kind} {heard['id']} of {name}]"


def _plain(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _decimal(value: Decimal) -> str:
    return f"{value:f}"
