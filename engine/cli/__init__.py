"""The command line: `cobalt COMMAND key=value …`.

Output meant for scripts (`output=json`) goes to stdout and nothing else does; words for people go
to stderr then. Exit codes: 0 done, 1 the check or the run failed, 2 the command was not understood.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

OK, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; `COBALT_DEBUG=1` shows tracebacks."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt as error:
        # What was under way may have said which signal it was, and how to go on.
        signum, hint = error.args if len(error.args) == 2 else (signal.SIGINT, "")
        print(f"cobalt: stopped{hint}", file=sys.stderr)
        return 128 + int(signum)
    except BrokenPipeError:
        # The reader of our output is gone; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        code = _exit_code(error)
        if code is None or os.environ.get("COBALT_DEBUG") == "1":
            raise
        print(f"cobalt: {_message(error)}", file=sys.stderr)
        return code


def _dispatch(arguments: list[str]) -> int:
    from engine.cli import help_text
    from engine.cli.commands import COMMANDS
    from engine.config import ConfigError, did_you_mean

    if not arguments or arguments[0] in ("--help", "-h", "help"):
        help_text.show_overview()
        return OK if arguments else USAGE
    if arguments[0] in ("--version", "-V"):
        from engine import __version__

        print(f"cobalt {__version__}")
        return OK
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise ConfigError(f"there is no command '{name}'{did_you_mean(name, COMMANDS)}")
    if any(argument in ("--help", "-h") for argument in rest):
        help_text.show_command(name)
        return OK
    return COMMANDS[name].run(rest)


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error that the user can understand; None for one of ours."""
    from engine.config import ConfigError

    if isinstance(error, ConfigError):
        return USAGE
    from engine._core import JournalError
    from engine.backtest import BacktestError
    from engine.catalog import CatalogError
    from engine.exporters import ExportFailed
    from engine.importers import ImportFailed
    from engine.strategy import StrategyError

    known = (
        BacktestError,
        CatalogError,
        ExportFailed,
        ImportFailed,
        JournalError,
        OSError,
        StrategyError,
    )
    # What loads peers is told by the name of its error.
    by_name = type(error).__name__ in ("BenchError", "ParityError")
    return FAILED if isinstance(error, known) or by_name else None


def _message(error: Exception) -> str:
    """The error in words; a strategy's own exception with its traceback."""
    from engine.strategy import StrategyError

    if isinstance(error, StrategyError) and error.__cause__ is not None:
        import traceback

        trace = "".join(traceback.format_exception(error.__cause__)).rstrip()
        return f"{error}\n{trace}"
    return str(error)
