"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.catalog import Catalog
from engine.check import runs, worker
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


@pytest.fixture
def in_process(monkeypatch):
    """Runs in this process, which is much quicker; for checks that hide nothing."""

    def start(job, folder, _environment, *, quiet=False):
        if job.get("probe"):
            return 1
        sys.modules.pop("mine", None)
        worker.work(job)
        return 0

    monkeypatch.setattr(runs, "_start", start)
    monkeypatch.setattr(runs, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    monkeypatch.setattr(worker, "_watch_files", set)
    monkeypatch.setattr(sys, "path", [*sys.path])
