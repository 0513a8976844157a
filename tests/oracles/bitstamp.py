"""An independent reader of Bitstamp's orders one by one: plain dictionaries, no shared code.

It rebuilds the book by id and holds it against each book that the venue published, at the moment of
its arrival and before it is used for anything. `rebuild` does so in several ways:

- `none`: from an empty book;
- `first`: orders older than the recording are taken from the first published book;
- `extended`: and from each later one at prices beyond those that any book before it showed;
- `hindsight`: such orders are known from the start, by what the recording says of them later
  (no importer may know that), and `extended` for those it never mentions.

A taker is in no level while it crosses. Prices are in cents, sizes in 1e-8.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

BID, ASK = 0, 1
Levels = tuple[tuple[int, int], ...]
Top = tuple[Levels, Levels]


@dataclass(frozen=True)
class Message:
    """`id`, `side`, `px` and `qty` as far as the kind has them; `book` of a published one."""

    ts_ms: int
    kind: str
    id: int = 0
    side: int = 0
    px: int = 0
    qty: int = 0
    book: Top = ((), ())


def read(path: Path) -> list[Message]:
    """All messages of a recording, which must be sound."""
    found = []
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            ts, kind, text = line.split(" ", 2)
            body = json.loads(text)
            if kind == "order_book":
                sides = [tuple((_units(p, 2), _units(q, 8)) for p, q in body[s]) for s in _SIDES]
                found.append(Message(int(ts), kind, book=(sides[0], sides[1])))
                continue
            px, qty = _units(body["price"], 2), _units(body["amount"], 8)
            side = body.get("order_type", 0)
            found.append(Message(int(ts), kind, body["id"], side, px, qty))
    return found


_SIDES = ("bids", "asks")


def _units(value: str | float, places: int) -> int:
    scaled = Decimal(str(value)).scaleb(places)
    assert scaled == int(scaled), value
    return int(scaled)


@dataclass
class Book:
    """Orders by id, and the size at a price that belongs to orders without one."""

    orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    flying: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    named: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    unnamed: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))

    def top(self, levels: int) -> Top:
        sides = []
        for side in (BID, ASK):
            sizes = self.named[side] + Counter(self.unnamed[side])
            sides.append(tuple(sorted(sizes.items(), reverse=side == BID)[:levels]))
        return sides[0], sides[1]

    def crosses(self, side: int, px: int) -> bool:
        other = [*self.named[1 - side], *self.unnamed[1 - side]]
        if not other:
            return False
        return px >= min(other) if side == BID else px <= max(other)

    def put(self, id: int, side: int, px: int, qty: int) -> None:
        if self.crosses(side, px):
            self.flying[id] = (side, px, qty)
            return
        self.orders[id] = (side, px, qty)
        self.named[side][px] += qty

    def lift(self, id: int) -> tuple[int, int, int] | None:
        if id in self.flying:
            return self.flying.pop(id)
        order = self.orders.pop(id, None)
        if order is not None:
            side, px, qty = order
            self.named[side][px] -= qty
            if not self.named[side][px]:
                del self.named[side][px]
        return order

    def land(self) -> None:
        for id, (side, px, qty) in list(self.flying.items()):
            if not self.crosses(side, px):
                del self.flying[id]
                self.put(id, side, px, qty)

    def set_unnamed(self, side: int, px: int, qty: int) -> None:
        self.unnamed[side].pop(px, None)
        if qty > 0:
            self.unnamed[side][px] = qty

    def reduce_unnamed(self, side: int, px: int, qty: int) -> None:
        self.set_unnamed(side, px, self.unnamed[side].get(px, 0) - qty)


@dataclass
class Compared:
    """One published book: where it stands among the messages, both tops of 20 levels, and the worst
    prices that the books before it had shown.
    """

    at: int
    mine: Top
    published: Top
    covered: tuple[int | None, int | None]

    def equal(self, levels: int) -> bool:
        return all(a[:levels] == b[:levels] for a, b in zip(self.mine, self.published, strict=True))

    def equal_prices(self) -> bool:
        return all(
            a[:1] and a[0][0] == b[0][0] for a, b in zip(self.mine, self.published, strict=True)
        )


def rebuild(
    messages: list[Message], seed: str, *, keep: Container[int] = ()
) -> tuple[list[Compared], dict[int, Top]]:
    """The comparisons, and the tops after the messages whose numbers are in `keep`."""
    book = Book()
    covered: list[int | None] = [None, None]
    deleted: set[int] = set()
    waiting: list[tuple[int, int]] = []
    compared = []
    kept = {}
    if seed == "hindsight":
        for id, side, px, qty in older_orders(messages):
            book.orders[id] = (side, px, qty)
            book.named[side][px] += qty
    for at, message in enumerate(messages):
        side, px, qty = message.side, message.px, message.qty
        if message.kind == "order_book":
            compared.append(Compared(at, book.top(20), message.book, (covered[0], covered[1])))
            if seed != "none":
                _cover(book, message.book, covered, extended=seed != "first")
        elif message.kind == "trade":
            for found in [item for item in waiting if item[1] == px][:1]:
                waiting.remove(found)
                book.reduce_unnamed(found[0], px, qty)
        elif message.id not in deleted:
            known = book.lift(message.id)
            if message.kind == "order_deleted":
                deleted.add(message.id)
            else:
                book.put(message.id, side, px, qty)
            if known is None and message.kind != "order_created":
                # An order older than the recording: a fill's size comes with the trade.
                book.reduce_unnamed(side, px, qty)
                if message.kind == "order_changed" or qty == 0:
                    waiting.append((side, px))
        book.land()
        if at in keep:
            kept[at] = book.top(20)
    return compared, kept


def _cover(book: Book, top: Top, covered: list[int | None], *, extended: bool) -> None:
    for side, levels in enumerate(top):
        limit = covered[side]
        for px, qty in levels:
            if limit is None or (extended and (px < limit if side == BID else px > limit)):
                excess = qty - book.named[side][px]
                if excess > 0:
                    book.set_unnamed(side, px, excess)
                if book.named[side][px] == 0:
                    del book.named[side][px]
        worst = levels[-1][0]
        if limit is None:
            covered[side] = worst
        elif extended:
            covered[side] = min(limit, worst) if side == BID else max(limit, worst)


def older_orders(messages: list[Message]) -> list[tuple[int, int, int, int]]:
    """Orders made before the recording, by what it says of them: id, side, price, first size."""
    first = min(message.id for message in messages if message.kind == "order_created")
    found = {}
    for at, message in enumerate(messages):
        if message.kind not in ("order_changed", "order_deleted") or message.id >= first:
            continue
        if message.id in found:
            continue
        filled = 0
        if message.kind == "order_changed" or message.qty == 0:
            trades = (item for item in messages[at : at + 6] if item.kind == "trade")
            filled = next((item.qty for item in trades), 0)
        if message.qty + filled:
            found[message.id] = (message.id, message.side, message.px, message.qty + filled)
    return list(found.values())


def explain(messages: list[Message], compared: list[Compared], seed: str, levels: int) -> Counter:
    """Why published books differ from the rebuilt ones, each reason verified:

    - `before any`: the first one, with which nothing is known yet;
    - `older by n`, `newer by n`: it equals the rebuilt book n order messages before or after;
    - `into view`: all differences lie beyond the prices that earlier books showed, and the
      published sizes are the larger ones: orders older than the recording;
    - `both`: at a neighbouring message, nothing but such orders differs;
    - `unexplained`.
    """
    wrong = [item for item in compared if not item.equal(levels)]
    near = {at for item in wrong for at in range(item.at - 40, item.at + 41)}
    _, kept = rebuild(messages, seed, keep=near)
    reasons: Counter = Counter()
    for item in wrong:
        reasons[_reason(messages, item, kept, levels)] += 1
    return reasons


def _reason(messages: list[Message], item: Compared, kept: dict[int, Top], levels: int) -> str:
    if item.covered == (None, None):
        return "before any"
    if _only_into_view(item.mine, item, levels):
        return "into view"
    for view in (False, True):
        for away in range(1, 9):
            for sign, name in ((-1, "older"), (1, "newer")):
                top = kept.get(_neighbour(messages, item.at, sign * away))
                if top is None:
                    continue
                if not view and _cut(top, levels) == _cut(item.published, levels):
                    return f"{name} by {away}"
                if view and _only_into_view(top, item, levels):
                    return "both"
    return "unexplained"


def _neighbour(messages: list[Message], at: int, away: int) -> int:
    """The message after which the book was as `away` order messages before (or after) `at`."""
    step = 1 if away > 0 else -1
    # Backwards, the state wanted is the one before the last order message, and so on.
    left = away if away > 0 else away - 1
    while left and 0 < at < len(messages) - 1:
        at += step
        left -= step if messages[at].kind.startswith("order_") and not messages[at].book[0] else 0
    return at


def _cut(top: Top, levels: int) -> Top:
    return top[0][:levels], top[1][:levels]


def _only_into_view(mine: Top, item: Compared, levels: int) -> bool:
    for side, limit in enumerate(item.covered):
        own, theirs = dict(mine[side]), dict(item.published[side][:levels])
        worst = item.published[side][:levels][-1][0]
        for px in {*own, *theirs}:
            if px < worst if side == BID else px > worst:
                continue
            if own.get(px, 0) == theirs.get(px, 0):
                continue
            assert limit is not None
            beyond = px < limit if side == BID else px > limit
            if not beyond or own.get(px, 0) > theirs.get(px, 0):
                return False
    return True


def aggressors(messages: list[Message]) -> dict[int, int | None]:
    """The taking side of each trade, with all the recording at hand: of the two orders that lose
    its size nearest to it, one on each side, the one that came to its price later. None where they
    are not found.
    """
    left: dict[int, int] = {}
    prices: dict[int, int] = {}
    priced_at: dict[int, int] = {}
    losses: dict[int, list[tuple[int, Message]]] = defaultdict(list)
    priced: dict[int, int] = {}
    unknown = []
    for at, message in enumerate(messages):
        if message.kind.startswith("order_") and message.kind != "order_book":
            if prices.get(message.id) != message.px:
                # An order that is older than the recording was there before all others.
                priced_at[message.id] = (
                    at if message.kind == "order_created" or message.id in left else -1
                )
                prices[message.id] = message.px
            priced[at] = priced_at[message.id]
        if message.kind == "order_created":
            left[message.id] = message.qty
        elif message.kind == "order_changed" or (
            message.kind == "order_deleted" and not message.qty
        ):
            before = left.get(message.id)
            if before is None:
                unknown.append((at, message))
            else:
                losses[before - message.qty].append((at, message))
            left[message.id] = message.qty
    used: set[int] = set()
    found: dict[int, int | None] = {}
    for at, message in enumerate(messages):
        if message.kind != "trade":
            continue
        nearest: dict[int, tuple[int, Message]] = {}
        candidates = [item for item in losses[message.qty] if abs(item[0] - at) <= 40]
        candidates += [item for item in unknown if abs(item[0] - at) <= 6]
        for item in sorted(candidates, key=lambda item: abs(item[0] - at)):
            if item[0] not in used:
                nearest.setdefault(item[1].side, item)
        used.update(item[0] for item in nearest.values())
        taker = max(nearest.values(), key=lambda item: priced[item[0]], default=None)
        found[message.id] = taker[1].side if taker is not None and len(nearest) == 2 else None
    return found
