"""A bar of rows read, for runs that someone watches."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.catalog import catalog_rows
from engine.run_feeds import stream_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.config import RunConfig

__all__ = ["rows_bar"]


@contextmanager
def rows_bar(config: RunConfig) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes the rows of each batch read; the bar goes when it is done.

    The total is that of the whole catalog's rows of those kinds, so a run over a part ends early.
    """
    kinds = stream_kinds(config.exchange)
    total = sum(
        row["rows"]
        for row in catalog_rows(config.catalog)
        if row["instrument"] in config.instrument and row["kind"] in kinds
    )
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda rows: bar.advance(task, rows)
