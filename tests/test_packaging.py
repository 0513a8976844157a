"""The wheel carries all it needs, and the stub tells what the compiled module holds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import engine._core

ROOT = Path(__file__).parent.parent


def run(*command, cwd, **env):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=None if not env else {"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(
        Path(sys.executable).with_name("maturin"),
        "build",
        "--release",
        "-q",
        "-o",
        folder,
        cwd=ROOT,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.timeout(600)
def test_the_wheel_carries_configuration_strategies_and_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configuration = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert len(configuration) > 10
    python = {
        str(path.relative_to(ROOT))
        for folder in ("engine", "strategies")
        for path in (ROOT / folder).rglob("*.py")
    }
    templates = {"engine/report_template.html", "engine/heatmap_template.html"}
    wanted = {"engine/py.typed", "engine/_core.pyi", *templates}
    assert configuration | python | wanted <= names
    assert "abi3" in wheel.name
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


@pytest.mark.timeout(600)
def test_an_installed_cobalt_works_from_any_folder(wheel, tmp_path):
    environment = tmp_path / "environment"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "-q", "--python", sys.executable, environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    lock = ROOT / "requirements.lock"
    # The lock bounds what may be installed; only what the wheel asks for is.
    run(
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        python,
        "-c",
        _plain(lock, tmp_path),
        wheel,
        cwd=tmp_path,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cobalt = environment / "bin" / "cobalt"
    home = {"HOME": str(tmp_path)}
    assert "cobalt COMMAND key=value" in run(cobalt, "--help", cwd=elsewhere, **home)
    run(cobalt, "testnet", "duration_s=20", cwd=elsewhere, **home)
    arguments = ("instrument=BTCUSDT-PERP.TESTNETA", "strategy=imbalance_taker", "output=json")
    summary = json.loads(run(cobalt, "backtest", *arguments, cwd=elsewhere, **home))
    assert summary["provenance"] == "testnet"
    assert summary["fills"] > 0
    (report,) = elsewhere.glob("runs/*/report.html")
    assert "not a market" in report.read_text(encoding="utf-8")


def _plain(lock, folder):
    """The lock without hashes, as constraints: the wheel under test has no hash of its own."""
    lines = [line.split(" \\")[0] for line in lock.read_text().splitlines() if "==" in line]
    path = folder / "constraints.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


LOCKS = ("requirements.lock", "requirements-bench.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_hashes_and_no_addresses(name):
    text = (ROOT / name).read_text()
    assert text.count("--hash=sha256:") > text.count("==")
    for word in ("http", "index-url", " @ ", "file:"):
        assert word not in text


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_what_the_project_asks_for(name):
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = asked["project"]["dependencies"] + asked["dependency-groups"]["dev"]
    if name == "requirements-bench.lock":
        extras = asked["project"]["optional-dependencies"]
        wanted += extras["bench"] + extras["nautilus"]
    pins = pinned(name)
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_the_locks_suit_one_environment():
    base, bench = map(pinned, LOCKS)
    assert "hftbacktest" not in base
    assert base == {name: bench.get(name) for name in base}


def pinned(name):
    """Versions of a lock, of the packages that this Python and platform get."""
    lines = (ROOT / name).read_text().splitlines()
    found = [Requirement(line.removesuffix(" \\")) for line in lines if not line.startswith(" ")]
    return {
        item.name: str(item.specifier).removeprefix("==")
        for item in found
        if item.marker is None or item.marker.evaluate()
    }


def stub_members():
    """Names of the stub: of the module, and of each class."""
    tree = ast.parse((ROOT / "engine" / "_core.pyi").read_text(encoding="utf-8"))
    modules, classes = set(), {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            modules.add(node.name)
            classes[node.name] = {
                name for item in node.body for name in _names(item) if not name.startswith("__")
            }
        elif not isinstance(node, ast.Assign):
            modules.update(_names(node))
    return modules, classes


def _names(node):
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def test_the_stub_names_what_the_module_has():
    names, classes = stub_members()
    found = {name for name in dir(engine._core) if not name.startswith("__")} | {"__version__"}
    assert {name for name in names if not name.startswith("_") or name == "__version__"} == found
    for name, members in classes.items():
        cls = getattr(engine._core, name)
        inherited = dir(Exception) if issubclass(cls, Exception) else []
        real = {part for part in dir(cls) if not part.startswith("__")} - set(inherited)
        assert members == real, name
