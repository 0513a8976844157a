"""Prints one table of everything measured, at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from engine import bench

if TYPE_CHECKING:
    from engine.bench import Row

ROWS: pytest.StashKey[list[Row]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """Where a benchmark puts its line of the table."""
    return pytestconfig.stash[ROWS]


def pytest_terminal_summary(config: pytest.Config) -> None:
    if config.stash[ROWS]:
        Console(width=120).print(bench.table(config.stash[ROWS]))
