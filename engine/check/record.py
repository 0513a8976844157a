"""Writing down every command of a strategy, with the handler that gave it.

A recorder stands between a strategy and its kernel. Nothing of it is there in a run that is not
recorded.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine._core import Kernel
    from engine.strategy import Strategy

    Value = None | bool | int | float | str

__all__ = ["Command", "CommandRecorder", "Response", "RunLog"]

COMMANDS = {
    "submit": "market buy qty limit tif post_only reduce_only conditions",
    "submit_list": "market drafts",
    "cancel": "order",
    "cancel_all": "market",
    "modify": "order qty limit stop replace",
    "kill": "reason flatten",
}
"""The kernel's methods that are commands, and the names of their arguments."""
# What a field is worth saying only where it is something else.
_USUAL = {"tif": "GTC", "trigger_by": "last"}

_ENGINE = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Command:
    """A command as the strategy gave it.

    `ts_ns` is our clock and `seq` the number of the step that was handled. `name` is submit,
    cancel, cancel_all, modify or kill, `fields` are its arguments by name without those that say
    nothing. `order` is the id of the order that it makes or is about, 0 for none; the orders of a
    list are a command each. `handler` is the handler that gave it, with a timer's name behind it,
    and `place` the strategy's line.
    """

    ts_ns: int
    seq: int
    handler: str
    place: str
    name: str
    order: int
    fields: tuple[tuple[str, Value], ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """What has to be equal in runs that begin together: time, order and all fields."""
        return (self.ts_ns, self.name, self.order, self.fields)

    def __str__(self) -> str:
        values = dict(self.fields)
        if self.name == "submit":
            side = "buy" if values.pop("buy", False) else "sell"
            words = f"{side} {values.pop('qty')} {values.pop('instrument')}"
            if "limit" in values:
                words += f" at {values.pop('limit')}"
        elif self.name == "cancel_all":
            words = f"cancel all orders of {values.pop('instrument')}"
        else:
            words = f"{self.name} order {self.order}" if self.order else self.name
        rest = [name if value is True else f"{name}={value}" for name, value in values.items()]
        return ", ".join([words, *rest])


@dataclass(frozen=True)
class Response:
    """An answer of the exchange, or a funding: our clock when it was told, the exchange's when it
    was made.
    """

    ts_ns: int
    ts_exchange_ns: int


@dataclass
class RunLog:
    """What a strategy did and was told by the exchange; times as in `Command` and `Response`.

    `start_ns` and `end_ns` are our clock at the first and the last event, as far as the run went.
    """

    commands: list[Command] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The log as plain lists and scalars, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RunLog:
        """A log from what `to_dict` gave."""
        commands = [
            Command(**{**item, "fields": tuple((name, value) for name, value in item["fields"])})
            for item in content["commands"]
        ]
        responses = [Response(**item) for item in content["responses"]]
        return cls(commands, responses, content["start_ns"], content["end_ns"])


class CommandRecorder:
    """Records one run; give it to `Backtest` or `run_backtest`.

    With `trade_from_ns` every order given before that time (our clock) is refused as one of no
    quantity would be (QTY_TOO_SMALL): the strategy sees the market and answers, and holds nothing.
    """

    def __init__(self, *, trade_from_ns: int | None = None) -> None:
        self.handler: str | None = None
        self._commands: list[Command] = []
        self._responses: list[Response] = []
        self._trade_from_ns = trade_from_ns
        self._kernel: Kernel | None = None

    @property
    def log(self) -> RunLog:
        """What was recorded so far."""
        kernel = self._kernel
        if kernel is None:
            return RunLog()
        return RunLog(self._commands, self._responses, kernel.start_ns, kernel.now_ns)

    def kernel(self, kernel: Kernel, instruments: Sequence[str]) -> Kernel:
        """The kernel as the strategy is to have it."""
        self._kernel = kernel
        return cast("Kernel", _RecordedKernel(kernel, self, instruments))

    def handlers(
        self, strategy: Strategy[Any], found: Mapping[str, Callable[..., Any]]
    ) -> dict[str, Callable[..., Any]]:
        """The strategy's handlers as the kernel is to call them."""
        wrapped = {name: self._noting(strategy, name, call) for name, call in found.items()}

        def told(name: str, time: str) -> Callable[..., Any]:
            call = wrapped.get(name)

            def noted(record: Any) -> None:
                ts_exchange_ns = getattr(record, time)
                if ts_exchange_ns is not None:
                    assert self._kernel is not None
                    self._responses.append(Response(self._kernel.now_ns, ts_exchange_ns))
                if call is not None:
                    call(record)

            return noted

        return {
            **wrapped,
            "on_order": told("on_order", "ts_exchange_ns"),
            "on_funding": told("on_funding", "ts_event_ns"),
        }

    def _noting(
        self, strategy: Strategy[Any], name: str, call: Callable[..., Any]
    ) -> Callable[..., Any]:
        def noted(*arguments: Any) -> None:
            self.handler = name
            if name == "on_timer":
                timer, _ = strategy._timers[arguments[0]]  # noqa: SLF001 - gone after the call.
                self.handler = f"{name} '{timer}'" if timer else name
            call(*arguments)
            # Left as it is by an exception, which then belongs to this handler.
            self.handler = None

        return noted

    def give(self, name: str, arguments: dict[str, Any], instruments: Sequence[str]) -> Any:
        """Passes a command to the kernel and writes it down."""
        kernel = self._kernel
        assert kernel is not None
        at = (kernel.now_ns, kernel.seq, self.handler or "outside of handlers", _place())
        held = self._trade_from_ns is not None and at[0] < self._trade_from_ns
        sent = _of_nothing(arguments) if held else arguments
        result = getattr(kernel, name)(*sent.values())
        fields = dict(arguments)
        order = fields.pop("order", 0)
        if "market" in fields:
            fields["instrument"] = instruments[fields.pop("market")]
        if name == "submit_list":
            drafts = fields.pop("drafts")
            each = [(result + index, {**fields, **draft}) for index, draft in enumerate(drafts)]
            name = "submit"
        else:
            each = [(result if name == "submit" else order, fields)]
        self._commands += [Command(*at, name, number, _plain(about)) for number, about in each]
        return result


class _RecordedKernel:
    """A kernel whose commands are recorded; everything else is the kernel's own."""

    def __init__(
        self, kernel: Kernel, recorder: CommandRecorder, instruments: Sequence[str]
    ) -> None:
        self._kernel = kernel
        self._recorder = recorder
        self._instruments = instruments

    def __getattr__(self, name: str) -> Any:
        if name not in COMMANDS:
            return getattr(self._kernel, name)
        names = COMMANDS[name].split()
        return lambda *given: self._recorder.give(
            name, dict(zip(names, given, strict=True)), self._instruments
        )


def _of_nothing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with no quantity: such an order is refused on its way out."""
    changed = dict(arguments)
    if "drafts" in changed:
        changed["drafts"] = [{**draft, "qty": "0"} for draft in changed["drafts"]]
    elif "buy" in changed:
        changed["qty"] = "0"
    return changed


def _place() -> str:
    """File and line of the innermost frame that is not the engine's."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to one's caller.
    while frame.f_code.co_filename.startswith(_ENGINE) and frame.f_back is not None:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _plain(fields: Mapping[str, Any]) -> tuple[tuple[str, Value], ...]:
    """A command's fields as JSON can hold them, without those that say nothing."""
    flat = {**fields, **(fields.get("conditions") or {})}
    flat.pop("conditions", None)
    if flat.get("stop") is None and flat.get("take_profit") is None and flat.get("trail") is None:
        flat.pop("trigger_by", None)
    return tuple(
        (name, _value(value))
        for name, value in flat.items()
        if value is not None and value is not False and _USUAL.get(name) != value
    )


def _value(value: Any) -> Value:
    """A value as the number or text that it is: of numpy, a decimal number, and others."""
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return str(value)
    return float(value) if hasattr(value, "__float__") else str(value)
