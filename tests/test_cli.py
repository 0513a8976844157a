"""The command line as a user types it, in its own process where exit codes and streams count."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from engine.cli import main
from engine.cli.commands import COMMANDS
from engine.cli.compose import RUN_GROUPS, compose, expand_sweep, parse_override
from engine.config import RunConfig, build

TESTNET = "BTCUSDT-PERP.TESTNETA"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "catalog"
    assert main(["testnet", f"catalog={root}", "duration_s=20"]) == 0
    return root


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No test may find this checkout's own folders by accident."""
    monkeypatch.chdir(tmp_path)


def fails(capsys, *arguments):
    """Runs a command that must be refused, and returns its one line of complaint."""
    assert main(list(arguments)) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "Traceback" not in streams.err
    return streams.err.strip()


@pytest.mark.parametrize("name", ["--help", *(f"{name} --help" for name in COMMANDS)])
def test_help_tells_what_to_type(name, capsys):
    assert main(name.split()) == 0
    out = capsys.readouterr().out
    assert "cobalt" in out
    for key in ("catalog", "seed", "[a,b]") if name == "backtest --help" else ():
        assert key in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("backtst", "there is no command 'backtst'; did you mean 'backtest'?"),
        ("backtest sed=1", "unknown key 'sed'; did you mean 'seed'?"),
        (
            "backtest latency.order_entri_ns=5",
            "unknown key 'latency.order_entri_ns'; did you mean 'latency.order_entry_ns'?",
        ),
        ("backtest strategy=market_makr", "did you mean 'market_maker'?"),
        ("backtest instrument=BTCUSDT-PERP.BINANC", "did you mean 'BTCUSDT-PERP.BINANCE'?"),
        ("backtest latency=fast", "there is constant_10ms, constant_1ms, none"),
        (
            "backtest account.positions={A.B:{qty:1}}",
            "account.positions.A.B.entry_px: a value is needed (text)",
        ),
        (
            "backtest account.leverages={A.B:much}",
            "account.leverages.A.B: expected a whole number, found 'much'",
        ),
        (
            "backtest risk.instruments={A.B:{open_orders_max:[]}}",
            "risk.instruments.A.B.open_orders_max: expected a whole number or null, found []",
        ),
        (
            "backtest risk.instruments={A.B:{open_orders_max:x}}",
            "risk.instruments.A.B.open_orders_max: expected a whole number or null, found 'x'",
        ),
        ("backtest seed=abc", "seed: expected a whole number, found 'abc'"),
        ("backtest seed=1,2", "several values need -m"),
        ("backtest seed", "expected key=value, found 'seed'"),
        ("backtest --seed 7", "found '--seed'; write seed=…"),
        ("backtest --seed=7", "found '--seed=7'; write seed=7"),
        ("backtest --hlep", "did you mean '--help'?"),
        ("backtest strategy=[market_maker,ma_cross]", "strategy: expected one choice"),
        ("backtest latency=none,constant_1ms", "several values need -m, one run for each"),
        ("backtest run.name=a/../b", "run.name: expected a name without slashes, found 'a/../b'"),
        ("backtest -m seed=1,2 run.jobs=0", "run.jobs: expected at least 1, found 0"),
        ("backtest latency.response_ns=99999999999999999999", "expected a whole number of 64 bits"),
        ("backtest output=xml", "output: expected text or json, found 'xml'"),
        ("import pth=x", "unknown key 'pth'; did you mean 'path'?"),
        ("import path=x", "instrument: a value is needed"),
        ("verify catlog=x", "unknown key 'catlog'; did you mean 'catalog'?"),
        ("testnet duration_s=0", "duration_s: expected"),
        ("import path=x instrument=BTCUSDT.BINANCE format=binanse", "did you mean 'binance'?"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_right_word(arguments, message, capsys):
    assert message in fails(capsys, *arguments.split())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategy.config.qyt=1", "did you mean 'strategy.config.qty'?"),
        ("strategy.config.max_position=big", "expected a number, found 'big'"),
        ("latency.response_ns=-1", "latency.response_ns: expected 0 to"),
        ("run.equity_every=0s", "run.equity_every: expected a positive time"),
        ("run.equity_every=1ns", "run.equity_every: expected at least 1ms, found '1ns'"),
        ("run.cash.USDT=rich", "run.cash.USDT"),
        ("seed=-1", "seed: expected 0 or more, found -1"),
        ("fees.maker=free", "expected a decimal number such as 0.01, found 'free'"),
        ("data.start=tomorrow", "data.start: expected a time such as"),
        ("exchange.queue=lucky", "exchange.queue: expected one of risk_averse, power_prob"),
    ],
)
def test_a_wrong_value_is_named(override, message, catalog, capsys):
    arguments = ("backtest", f"catalog={catalog}", f"instrument={TESTNET}", override)
    assert message in fails(capsys, *arguments)


def test_a_run_prints_a_table_and_says_testnet(catalog, tmp_path, capsys):
    folder = tmp_path / "a run, (with) signs=1"
    code = main(["backtest", f"catalog={catalog}", f"instrument={TESTNET}", f"run.dir={folder}"])
    out = capsys.readouterr().out
    assert code == 0
    assert "testnet data: generated by Cobalt's local exchange, not a market" in out
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["result_sha256"] in out
    assert (folder / "report.html").stat().st_size > 100_000
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["instrument"][TESTNET]["market"] == "testnet"
    assert config["strategy"]["target"] == "strategies.market_maker:MarketMaker"


def test_json_output_is_nothing_but_json():
    def run(*arguments):
        command = [
            sys.executable,
            "-c",
            "import sys; from engine.cli import main; sys.exit(main())",
        ]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    code, rows, _ = run("testnet", "catalog=c", "duration_s=5", "output=json")
    assert (code, rows[0]["provenance"]) == (0, "testnet")
    code, rows, _ = run("catalog", "catalog=c", "output=json")
    assert code == 0
    assert {row["provenance"] for row in rows} == {"testnet"}
    code, rows, _ = run("verify", "catalog=c", "output=json")
    assert code == 0
    for row in rows:
        assert row["aligned"] == row["equal"] > 0
        assert (row["gaps"], row["crossed"], row["provenance"]) == (0, 0, "testnet")
    code, rows, _ = run("backtest", "catalog=c", f"instrument={TESTNET}", "output=json")
    assert code == 0
    assert rows[0]["mode"] == "backtest"
    code, rows, errors = run("backtest", "catalog=none", "output=json")
    assert (code, rows) == (1, [])
    assert "cobalt testnet catalog=none" in errors


def test_without_an_instrument_one_of_the_catalog_is_traded(catalog, capsys):
    assert main(["backtest", f"catalog={catalog}", "output=json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["instruments"] == [TESTNET]
    assert f"instrument={TESTNET}, one of 3 in catalog" in streams.err


def test_a_sweep_runs_every_combination(catalog, tmp_path, capsys):
    code = main(
        [
            "backtest",
            "-m",
            f"catalog={catalog}",
            "strategy=market_maker,imbalance_taker",
            "latency.order_entry_ns=1000000,10000000",
            f"run.dir={tmp_path / 'sweep'}",
        ]
    )
    assert code == 0
    rows = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    chosen = [
        (row["overrides"]["strategy"], row["overrides"]["latency.order_entry_ns"]) for row in rows
    ]
    assert chosen == [
        ("market_maker", "1000000"),
        ("market_maker", "10000000"),
        ("imbalance_taker", "1000000"),
        ("imbalance_taker", "10000000"),
    ]
    assert len({row["summary"]["result_sha256"] for row in rows}) == 4
    alone = tmp_path / "alone"
    main(["backtest", f"catalog={catalog}", f"instrument={TESTNET}", f"run.dir={alone}"])
    capsys.readouterr()
    summary = json.loads((alone / "summary.json").read_text())
    assert summary["result_sha256"] == rows[1]["summary"]["result_sha256"]


def test_a_failing_run_does_not_end_a_sweep(catalog, tmp_path, capsys):
    (tmp_path / "fragile.py").write_text(
        "from dataclasses import dataclass\nfrom engine import Strategy\n\n\n"
        "@dataclass\nclass Settings:\n    fail: bool = False\n\n\n"
        "class Fragile(Strategy[Settings]):\n    Config = Settings\n\n"
        "    def on_start(self):\n        if self.config.fail:\n"
        "            raise OSError('broken')\n"
    )
    code = main(
        [
            "backtest",
            "-m",
            "strategy=fragile:Fragile",
            "strategy.config.fail=true,false",
            f"catalog={catalog}",
            f"instrument={TESTNET}",
            "run.dir=sweep",
        ]
    )
    out = capsys.readouterr().out
    assert code == 1
    rows = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert rows[0]["summary"] is None
    assert "Fragile.on_start raised OSError: broken" in rows[0]["error"]
    assert rows[1]["summary"]["orders"] == 0
    assert "Fragile.on_start" in out


def test_a_dying_process_does_not_end_a_sweep(catalog, tmp_path, capsys):
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom engine import Strategy\n\n\nclass Deadly(Strategy):\n"
        "    def on_start(self):\n        os._exit(3)\n"
    )
    code = main(
        [
            "backtest",
            "-m",
            "strategy=deadly:Deadly,ma_cross",
            f"catalog={catalog}",
            f"instrument={TESTNET}",
            "run.dir=sweep",
        ]
    )
    capsys.readouterr()
    assert code == 1
    rows = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [row["error"] for row in rows] == ["the process ended with exit code 3", None]
    assert [row["overrides"]["strategy"] for row in rows] == ["deadly:Deadly", "ma_cross"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"order_entry_ns: [1\n", "broken.yaml"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"order_entry: 5\n", "did you mean 'latency.order_entry_ns'?"),
        (b"order_entry_ns: soon\n", "expected a whole number, found 'soon'"),
    ],
)
def test_a_broken_file_of_ones_own_is_named(content, message, tmp_path, capsys):
    folder = tmp_path / "conf" / "latency"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_bytes(content)
    assert message in fails(capsys, "backtest", "latency=broken", f"instrument={TESTNET}")


def test_sweeps_hand_values_on_as_typed():
    def swept(*arguments):
        combinations = expand_sweep([parse_override(a) for a in arguments], RunConfig, RUN_GROUPS)
        return [[str(override) for override in chosen] for chosen in combinations]

    assert swept("strategy=my.module:One,ma_cross") == [
        ["strategy=my.module:One"],
        ["strategy=ma_cross"],
    ]
    assert swept("catalog=/a (b)/c=d,e") == [["catalog=/a (b)/c=d,e"]]
    assert swept("run.name='a,b',c") == [["run.name='a,b'"], ["run.name=c"]]
    pair = f"[{TESTNET},BTCUSDT.TESTNETC]"
    assert swept(f"instrument={pair},{TESTNET}") == [
        [f"instrument={pair}"],
        [f"instrument={TESTNET}"],
    ]
    assert swept("seed=range(1,3)", "latency=none,constant_1ms") == [
        ["seed=1", "latency=none"],
        ["seed=1", "latency=constant_1ms"],
        ["seed=2", "latency=none"],
        ["seed=2", "latency=constant_1ms"],
    ]
    assert swept("latency=glob(constant*)") == [["latency=constant_10ms"], ["latency=constant_1ms"]]


def test_a_strategys_exception_is_shown_with_its_traceback(catalog, tmp_path, capsys):
    (tmp_path / "wrong.py").write_text(
        "from engine import Strategy\n\n\nclass Wrong(Strategy):\n"
        "    def on_start(self):\n        self.undefined\n"
    )
    code = main(["backtest", "strategy=wrong:Wrong", f"catalog={catalog}", f"instrument={TESTNET}"])
    err = capsys.readouterr().err
    assert code == 1
    assert "Wrong.on_start raised AttributeError" in err
    assert "wrong.py" in err
    assert "event seq 1" in err


@pytest.mark.parametrize(
    ("arguments", "cash"),
    [
        (['run.cash={USDT: "7"}'], {"USDT": "7"}),
        (["run.cash.USDT=7"], {"USDT": "7", "USD": "100000", "BTC": "10", "ETH": "100"}),
        (['run.cash={USDT: "7"}', "run.cash.SOL=3"], {"USDT": "7", "SOL": "3"}),
    ],
)
def test_a_table_given_as_a_whole_replaces_the_default(arguments, cash):
    overrides = [parse_override(text) for text in arguments]
    composed = compose("backtest", RunConfig, overrides, groups=RUN_GROUPS)
    assert composed.run.cash == cash
    assert build(RunConfig, {"run": {"cash": cash}}).run.cash == cash


def test_ones_own_configuration_goes_first(tmp_path):
    (tmp_path / "conf" / "latency").mkdir(parents=True)
    (tmp_path / "conf" / "latency" / "mine.yaml").write_text("order_entry_ns: 5\nresponse_ns: 6\n")
    (tmp_path / "conf" / "latency" / "constant_10ms.yaml").write_text(
        "order_entry_ns: 7\nresponse_ns: 8\n"
    )
    mine = compose("backtest", RunConfig, [parse_override("latency=mine")], groups=RUN_GROUPS)
    assert (mine.latency.order_entry_ns, mine.latency.response_ns) == (5, 6)
    default = compose("backtest", RunConfig, [], groups=RUN_GROUPS)
    assert default.latency.order_entry_ns == 7


def test_defaults_in_code_equal_those_in_files():
    composed = compose("backtest", RunConfig, [], groups=RUN_GROUPS).to_dict()
    assert composed["strategy"].pop("config"), "the file shows the strategy's own defaults"
    expected = RunConfig().to_dict()
    del expected["strategy"]["config"]
    assert composed == expected


@pytest.mark.parametrize("name", ["market_maker", "imbalance_taker", "ma_cross"])
def test_strategy_files_show_the_true_defaults(name):
    import dataclasses

    from engine.backtest import load_strategy

    override = parse_override(f"strategy={name}")
    config = compose("backtest", RunConfig, [override], groups=RUN_GROUPS)
    strategy = load_strategy(config)
    assert config.strategy.config == dataclasses.asdict(type(strategy).Config())


def test_importing_engine_stays_light():
    script = (
        "import sys, engine; heavy = {'torch', 'nautilus_trader', 'hftbacktest', 'pyarrow',"
        " 'hydra', 'plotly', 'numba'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
