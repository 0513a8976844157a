"""What `cobalt --help` and `cobalt COMMAND --help` print."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from engine.cli.tables import console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_command", "show_overview"]


def show_overview() -> None:
    """All commands, and the three lines a newcomer needs."""
    from engine.cli.commands import COMMANDS

    out = console()
    out.print("[bold]cobalt COMMAND key=value …[/bold]\n")
    table = Table.grid(padding=(0, 2))
    for name, command in COMMANDS.items():
        table.add_row(f"  [bold]{name}[/bold]", command.summary)
    out.print(table)
    out.print(
        "\nWithout data of your own:\n"
        "  cobalt testnet\n"
        "  cobalt backtest instrument=BTCUSDT-PERP.TESTNETA\n"
        "\n`cobalt COMMAND --help` lists a command's keys. `output=json` is for scripts,"
        " `COBALT_DEBUG=1` shows tracebacks.",
        markup=False,
    )


def show_command(name: str) -> None:
    """What a command does, examples, and its keys with their defaults."""
    from engine.cli.commands import COMMANDS

    command = COMMANDS[name]
    out = console()
    out.print(f"[bold]cobalt {name}[/bold]: {command.summary}\n")
    for example in command.examples:
        out.print(f"  {example}", markup=False, soft_wrap=True)
    out.print()
    table = Table.grid(padding=(0, 2))
    for key, default, text in _keys(command.keys):
        table.add_row(f"  [bold]{key}[/bold]", escape(default), escape(text))
    out.print(table)
    if name in ("backtest", "check"):
        _show_choices(out)


def _keys(schema: type, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every key of a schema with its default and its help."""
    hints = typing.get_type_hints(schema)
    rows: list[tuple[str, str, str]] = []
    for item in dataclasses.fields(schema):
        key = f"{prefix}{item.name}"
        if dataclasses.is_dataclass(hints[item.name]):
            rows += _keys(typing.cast("type", hints[item.name]), f"{key}.")
        else:
            rows.append((key, _shown(_default(item)), str(item.metadata.get("help", ""))))
    return rows


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return None if item.default is dataclasses.MISSING else item.default


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}={part}" for key, part in value.items())
    return str(value)


def _show_choices(out: Console) -> None:
    from engine.cli.compose import RUN_GROUPS, group_options

    out.print("\nGroups choose a file of `conf`, yours in ./conf before the packaged one:")
    table = Table.grid(padding=(0, 2))
    for group in RUN_GROUPS:
        table.add_row(f"  [bold]{group}[/bold]", ", ".join(group_options(group)))
    out.print(table)
