"""`cobalt replay`: a strategy held against the journal of its run, or a moment of it rebuilt."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError, did_you_mean
from engine.journal import Journal
from engine.journal_text import RecordText
from engine.replay import COMMANDS, Replay, replay_commands
from engine.units import timestamp_ns, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.cli.commands import ReplayKeys
    from engine.journal import Record
    from engine.replay import ReplayResult

__all__ = ["run"]

# Numbers up to this are records; larger ones are times in ns.
_RECORDS_MAX = 10**15
_HELP = """\
  (empty)             on to the next step
  next [N]            N steps on
  to TIME|RECORD      to a time of our clock or to the record with this number, also back
  state               where the run is, positions, live orders, equity
  book [ID] [LEVELS]  the book as it was known
  orders              live orders
  position [ID]       position, entry price, mark price
  account             equity by currency
  why ORDER           the command that gave an order, its cause, and what became of it
  quit"""


def run(keys: ReplayKeys, *, as_json: bool) -> int:
    """Runs the command; see `engine.cli` for exit codes. 1 where a command differs."""
    if not keys.run:
        raise ConfigError("run: the folder of a run is needed; write cobalt replay run=…")
    if keys.compare not in ("commands", "all"):
        raise ConfigError(f"compare: expected commands or all, found '{keys.compare}'")
    if keys.at is None and not keys.step:
        result = replay_commands(keys.run, every_record=keys.compare == "all")
        return _told(result, keys.run, as_json=as_json)
    if as_json:
        raise ConfigError("output: json is for the comparison, without at= and step=")
    moment = None if keys.at is None else _moment(keys.at)
    with Replay(keys.run) as replay:
        session = _Session(replay)
        if moment is not None:
            session.go(moment)
        elif keys.step:
            session.next("1")
        session.talk()
    return 0


def _told(result: ReplayResult, run_dir: str, *, as_json: bool) -> int:
    """Says what came of a strategy on the journal of its run."""
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
        return 0 if result.difference is None else 1
    if result.difference is None:
        print(f"{run_dir}: {result.commands:,} commands, all given again")
        if not result.ended:
            print("  the journal ends before its run does")
        elif result.found_sha256 == result.result_sha256:
            print(f"  result_sha256 {result.result_sha256}")
        else:
            print(
                f"  result_sha256 {result.found_sha256}, the journal's {result.result_sha256}:"
                " something else than commands differs; compare=all names it"
            )
        return 0
    text = RecordText(Journal(run_dir))
    print(
        f"{run_dir}: {result.equal:,} of {result.commands:,} commands given again, then they differ"
    )
    for side, record in (
        ("journal", result.difference.expected),
        ("now", result.difference.found),
    ):
        print(f"  {side:<8} {_said(text, record)}")
    return 1


def _said(text: RecordText, record: Record | None) -> str:
    if record is None:
        return "nothing up to the end of the run"
    at = utc_text(record.ts_ns)
    return f"{at}  step {record.step}  {record.kind}: {text.say(record)}"


def _moment(text: str) -> dict[str, int]:
    """A time, or the number of a record."""
    if text.isdecimal() and int(text) <= _RECORDS_MAX:
        return {"record": int(text)}
    try:
        return {"ts_ns": timestamp_ns(text, "at")}
    except ValueError as error:
        raise ConfigError(f"{error}, or the number of a record") from error


class _Session:
    """Questions about a run, a line each."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._text = RecordText(replay.journal)
        self._ids = [instrument.id for instrument in replay.config.instruments()]
        self._answers: dict[str, Callable[..., None]] = {
            "next": self.next,
            "to": lambda *words: self.go(_moment(" ".join(words))),
            "state": self.state,
            "book": self.book,
            "orders": self.orders,
            "position": self.position,
            "account": self.account,
            "why": self.why,
            "help": lambda: print(_HELP),
        }

    def talk(self) -> None:
        """Answers lines of the standard input until there are no more."""
        self.state()
        asked = sys.stdin.isatty()
        if asked:
            print("help tells what may be asked")
        while True:
            try:
                line = input("replay> " if asked else "")
            except EOFError:
                return
            words = line.split() or ["next"]
            if words[0] in ("quit", "exit"):
                return
            self._answer(words)

    def _answer(self, words: Sequence[str]) -> None:
        answer = self._answers.get(words[0])
        if answer is None:
            known = [*self._answers, "quit"]
            print(f"there is no '{words[0]}'{did_you_mean(words[0], known)}; help lists all")
            return
        try:
            answer(*words[1:])
        except ConfigError as error:
            print(error)
        except TypeError:
            print(f"{words[0]}: not that many words; help lists what may be asked")

    def go(self, moment: dict[str, int]) -> None:
        """To a moment, whatever lies between."""
        if not self._replay.to(**moment):
            print("the journal ends here")
        self._where()

    def next(self, count: str = "1") -> None:
        """Some steps on, with what they wrote."""
        for _ in range(_number("next", count)):
            if not self._replay.to(step=self._replay.step + 1):
                print("the journal ends here")
                break
            self._where()
            for record in self._replay.happened:
                print(f"  {record.kind:<12} {self._text.say(record)}")

    def _where(self) -> None:
        replay = self._replay
        at = utc_text(replay.ts_ns) if replay.ts_ns else "before the first event"
        print(f"{at}  step {replay.step}  {replay.handler}  record {replay.record}")

    def state(self) -> None:
        """Where the run is."""
        self._where()
        for name in self._ids:
            self.position(name)
        self.orders()
        self.account()

    def book(self, name: str | None = None, levels: str = "5") -> None:
        """The book of an instrument."""
        is_count = name is not None and name.isdecimal()
        instrument = self._id(None if is_count else name)
        depth = _number("book", name if is_count and name is not None else levels)
        book = self._replay.state.book(instrument, depth)
        print(f"  {instrument}{'' if book.is_trusted else ', suspect'}")
        levels_of = {
            "ask": list(zip(book.ask_px[:depth], book.ask_qty[:depth], strict=True))[::-1],
            "bid": list(zip(book.bid_px[:depth], book.bid_qty[:depth], strict=True)),
        }
        for side, rows in levels_of.items():
            for px, qty in rows:
                print(f"  {side} {px:>14.12g} {qty:>14.12g}")

    def orders(self) -> None:
        """Live orders."""
        for order in self._replay.state.orders():
            px = "market" if order.px is None else f"{order.px:g}"
            stop = "" if order.stop_px is None else f" stop {order.stop_px:g}"
            print(
                f"  order {order.id} {order.status}: {order.side} {order.qty:g} {order.instrument}"
                f" {px}{stop}, {order.filled_qty:g} filled"
            )

    def position(self, name: str | None = None) -> None:
        """Position in an instrument."""
        state, name = self._replay.state, self._id(name)
        entry, mark = state.entry_px(name), state.mark_px(name)
        words = f"  {name}: position {state.position(name):g}"
        words += "" if entry is None else f" from {entry:g}"
        print(words + ("" if mark is None else f", mark {mark:g}"))

    def account(self) -> None:
        """Equity by currency."""
        for currency, equity in self._replay.equity().items():
            print(f"  {currency}: equity {'not known' if equity is None else f'{equity:.12g}'}")

    def why(self, order: str = "") -> None:
        """From an order's end back to the market event that its command answered."""
        number = _number("why", order)
        chain = self._replay.why(number)
        if not chain:
            print(f"there is no order {number} up to here")
        for record in chain:
            print(f"  {_said(self._text, record)}")
        heard = [record.content["cause"]["heard"] for record in chain if record.kind in COMMANDS]
        for event in (event for event in heard if event is not None):
            print(f"  {self._heard(event)}")

    def _heard(self, event: Any) -> str:
        at = utc_text(event["ts_event_ns"])
        name = self._ids[event["instrument"]]
        return f"the market: {event['kind'].lower()} {event['id']} of {name}, venue's time {at}"

    def _id(self, name: str | None) -> str:
        if name is None:
            return self._ids[0]
        if name not in self._ids:
            raise ConfigError(f"the run has no '{name}'{did_you_mean(name, self._ids)}")
        return name


def _number(word: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _RECORDS_MAX:
        raise ConfigError(f"{word}: expected a number above 0, found '{text}'")
    return int(text)
