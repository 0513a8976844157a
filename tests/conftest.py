"""Fixtures that several test files share."""

from __future__ import annotations

import pytest

from engine.catalog import Catalog
from engine.importers import run_import
from tests.recordings import CASES, ROOT


@pytest.fixture(scope="session")
def recorded_catalog(tmp_path_factory) -> Catalog:
    """A catalog of the five recordings, imported once a test session."""
    if not ROOT:
        pytest.skip("COBALT_RECORDINGS is not set: no recordings on this machine")
    root = tmp_path_factory.mktemp("recorded")
    for case in CASES:
        run_import("binance", map(str, case.paths()), case.id, str(root))
    return Catalog(root)
