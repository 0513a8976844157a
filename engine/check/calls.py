"""Which calls of a strategy have another answer in another process: clocks, chance, addresses."""

from __future__ import annotations

import builtins
import datetime as dt
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Call", "CallTracer"]

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_LOCAL = ("localtime", "gmtime", "ctime")
_DATES = ("now", "utcnow", "today")
_ENVIRON = os._Environ.__getitem__.__code__  # noqa: SLF001


@dataclass
class Call:
    """Calls of one kind from one line: `what` is clock, chance, hash, address, environment, thread,
    network or process; `name` the function, or the variable of the environment.

    `handler` is the strategy's method in which it was first, `first_ns` our clock then (0 before
    the run began).
    """

    what: str
    name: str
    place: str
    handler: str
    first_ns: int
    count: int = 1

    def __str__(self) -> str:
        times = "" if self.count == 1 else f", {self.count:,} times"
        return f"{self.name} in {self.handler} ({self.place}{times})"


class CallTracer:
    """Notes such calls of the user's code while it is set by `sys.setprofile`.

    `is_users` tells a file of the user's from those of the engine and of libraries, `is_library`
    the last of these; `now` says handler and time. Calls that the engine makes by itself are not
    noted, those that a library makes for the user are.
    """

    def __init__(
        self,
        is_users: Callable[[str], bool],
        is_library: Callable[[str], bool],
        now: Callable[[], tuple[str, int]],
    ) -> None:
        self._is_users = is_users
        self._is_library = is_library
        self._now = now
        self._kinds = _functions()
        self._calls: dict[tuple[str, str], Call] = {}

    @property
    def calls(self) -> list[Call]:
        """What was noted, in the order of the first of each."""
        return list(self._calls.values())

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """As `sys.setprofile` calls it."""
        if event == "c_call":
            found = self._kind(argument)
            if found is not None:
                self._note(frame, *found)
        elif event == "call" and frame.f_code is _ENVIRON:
            self._note(frame.f_back, "environment", str(frame.f_locals["key"]))

    def _kind(self, function: Any) -> tuple[str, str] | None:
        try:
            known = self._kinds.get(function)
        except TypeError:
            return None
        if known is not None:
            return known
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if owner is None:
            return None
        if name in _DATES and isinstance(owner, type) and issubclass(owner, dt.date):
            return "clock", f"{owner.__name__}.{name}"
        if isinstance(owner, random.Random) and owner is random._inst:  # noqa: SLF001
            return "chance", f"random.{name}"
        numpy = sys.modules.get("numpy")
        if numpy is not None and type(owner).__name__ == "RandomState":
            is_global = owner is numpy.random.mtrand._rand  # noqa: SLF001
            return ("chance", f"numpy.random.{name}") if is_global else None
        if type(owner).__name__ == "socket" and name.startswith("connect"):
            return "network", f"socket.{name}"
        return None

    def _note(self, frame: FrameType | None, what: str, name: str) -> None:
        direct = frame
        while frame is not None and self._is_library(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is None or not self._is_users(frame.f_code.co_filename):
            return
        if what == "environment" and not _is_direct(direct, frame):
            return
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        known = self._calls.get((name, place))
        if known is None:
            handler, now_ns = self._now()
            self._calls[name, place] = Call(what, name, place, handler, now_ns)
        else:
            known.count += 1


def _is_direct(frame: FrameType | None, users: FrameType) -> bool:
    """Whether nothing but the standard library's own `os` lies between a call and the user."""
    while frame is not None and frame is not users:
        if frame.f_code.co_filename != _ENVIRON.co_filename and not _is_mapping(frame):
            return False
        frame = frame.f_back
    return True


def _is_mapping(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in ("_collections_abc", "collections.abc")


def _functions() -> dict[Any, tuple[str, str]]:
    """The functions of which each call has another answer, by themselves."""
    found: dict[Any, tuple[str, str]] = {}
    for name in _CLOCKS:
        for full in (name, f"{name}_ns"):
            found[getattr(time, full)] = ("clock", f"time.{full}")
    for name in _LOCAL:
        found[getattr(time, name)] = ("clock", f"time.{name}")
    found[os.urandom] = ("chance", "os.urandom")
    found[os.getpid] = ("process", "os.getpid")
    found[builtins.id] = ("address", "id")
    found[builtins.hash] = ("hash", "hash")
    import _thread

    for name in ("start_new_thread", "start_joinable_thread"):
        if hasattr(_thread, name):
            found[getattr(_thread, name)] = ("thread", "a thread's start")
    return found
