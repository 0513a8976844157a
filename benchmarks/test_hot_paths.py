"""The hot paths under pytest-benchmark, hftbacktest's runs between ours.

`COBALT_RECORDINGS=… pytest benchmarks --benchmark-only --benchmark-quiet`; without recordings on
testnet data. `cobalt bench` measures the same cases.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import bench, bench_data

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from engine.bench import Case, Row
    from engine.bench_data import BenchData

RUNS = 7
SECONDS = 60


@pytest.fixture(scope="module")
def data() -> BenchData:
    folder = os.environ.get("COBALT_RECORDINGS")
    if folder:
        return bench_data.recorded(Path(folder), bench.INSTRUMENT)
    return bench_data.testnet(SECONDS)


@pytest.fixture(scope="module")
def cases(data: BenchData) -> list[Case]:
    return [*bench.cases(data), *bench.order_cases(data)]


IDS = ["decode", "book", "kernel", "kernel_message"]
IDS += ["resting_1", "resting_10", "resting_100", "resting_1000", "path_rust", "path_python"]


@pytest.mark.parametrize("index", range(len(IDS)), ids=IDS)
def test_hot_path(
    benchmark: BenchmarkFixture, rows: list[Row], data: BenchData, cases: list[Case], index: int
) -> None:
    bench.refuse_debug()
    case = cases[index]
    checks = case.check()
    times: dict[str, list[float]] = {name: [] for name in ("", *case.peers)}

    def before_each() -> None:
        for name, call in case.peers.items():
            gc.collect()
            times[name].append(call())
        gc.collect()

    def ours() -> None:
        times[""].append(case.ours())

    benchmark.pedantic(ours, setup=before_each, rounds=RUNS, warmup_rounds=1)
    # The first run of each side warmed up: caches, and numba's compiler.
    warm = {name: seconds[1:] for name, seconds in times.items()}
    made = bench.row(case, data, checks, warm)
    benchmark.extra_info.update(made.to_dict())
    rows.append(made)
    assert made.checked
