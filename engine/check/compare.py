"""Where the commands of two runs of one strategy part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from engine.units import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from engine.check.record import Command, RunLog

__all__ = [
    "Difference",
    "Window",
    "comparable_until",
    "first_difference",
    "settled_commands",
    "where",
]

AT_THE_END = "on_stop"
"""What is given here is given at another time in a run that ends at another time."""


@dataclass(frozen=True)
class Difference:
    """The first place at which the commands of two runs differ; a side without one gave none."""

    ours: Command | None
    theirs: Command | None

    @property
    def first(self) -> Command:
        """The earlier of the two commands."""
        sides = [side for side in (self.ours, self.theirs) if side is not None]
        return min(sides, key=lambda command: (command.ts_ns, command.seq))

    def to_dict(self, ours: str, theirs: str) -> dict[str, Any]:
        """Time, handler and line of the first that differs, and both sides under these names."""
        first = self.first
        return {
            "ts_ns": first.ts_ns,
            "handler": first.handler,
            "place": first.place,
            ours: _said(self.ours, first.ts_ns),
            theirs: _said(self.theirs, first.ts_ns),
        }


def comparable_until(runs: Sequence[RunLog], hidden_from_ns: int) -> int:
    """Our clock up to which (inclusive) commands of runs that begin alike have to be equal, where
    one ends earlier than the other: what both saw is the same up to then.

    `hidden_from_ns` is the venue's time of the first thing that only one of them was given. An
    answer of the exchange that knows of it may be told before it is received itself, as on a real
    venue; from the first such answer on the runs may differ without anybody looking ahead.
    """
    until = min(run.end_ns for run in runs)
    for run in runs:
        for response in run.responses:
            if response.ts_exchange_ns >= hidden_from_ns:
                until = min(until, response.ts_ns - 1)
    return until


def first_difference(
    ours: Iterable[Command], theirs: Iterable[Command], until_ns: int
) -> tuple[int, Difference | None]:
    """How many commands up to a time (inclusive) are equal, one by one, and the first that is not.

    Commands of `on_stop` are left out.
    """
    equal = 0
    for left, right in zip_longest(_until(ours, until_ns), _until(theirs, until_ns)):
        if left is None or right is None or left.key != right.key:
            return equal, Difference(left, right)
        equal += 1
    return equal, None


def _until(commands: Iterable[Command], until_ns: int) -> list[Command]:
    return [
        command
        for command in commands
        if command.ts_ns <= until_ns and command.handler != AT_THE_END
    ]


@dataclass(frozen=True)
class Window:
    """Commands of two runs from a time on: how many each gave, how many of both have no equal in
    the other run, and the first and the last (our clock) of those.
    """

    ours: int
    theirs: int
    differing: int
    first: Difference | None
    last_ns: int | None

    @property
    def share(self) -> float:
        """The share of all commands that have no equal."""
        return self.differing / (self.ours + self.theirs) if self.differing else 0.0


def settled_commands(ours: RunLog, theirs: RunLog, from_ns: int) -> Window:
    """Compares the commands of two runs from a time on.

    The runs began at different times, so that order ids tell nothing: a cancel or a modify is
    known by the order that it is about, that is by when and how that was given.
    """
    left, right = _known(ours, from_ns), _known(theirs, from_ns)
    counts = Counter(key for key, _ in left)
    counts.subtract(key for key, _ in right)
    lone = (
        [command for key, command in left if counts[key] > 0],
        [command for key, command in right if counts[key] < 0],
    )
    times = [command.ts_ns for side in lone for command in side]
    first = None
    if times:
        # What each side gave at the first such time, which may be nothing.
        at = [[item for item in side if item.ts_ns == min(times)] for side in lone]
        first = Difference(*(side[0] if side else None for side in at))
    differing = sum(map(abs, counts.values()))
    return Window(len(left), len(right), differing, first, max(times, default=None))


def _known(log: RunLog, from_ns: int) -> list[tuple[tuple[Any, ...], Command]]:
    """The commands from a time on, each with what identifies it in any run."""
    given = {
        item.order: (item.ts_ns, item.fields) for item in log.commands if item.name == "submit"
    }
    return [
        ((item.ts_ns, item.name, item.fields, given.get(item.order, item.order)), item)
        for item in log.commands
        if item.ts_ns >= from_ns
    ]


def where(said: Mapping[str, Any]) -> str:
    """Handler and line of a difference in words."""
    return f"{said['handler']} ({said['place']})" if said["place"] else str(said["handler"])


def _said(command: Command | None, first_ns: int) -> str:
    """A command in words, with its time where that is not the first's."""
    if command is None:
        return "nothing"
    return str(command) if command.ts_ns == first_ns else f"{command} at {utc_text(command.ts_ns)}"
