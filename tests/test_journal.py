"""The journal of a run: what is in it, that it is complete, and what the command says of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from engine.backtest import run_backtest
from engine.cli import main
from engine.config import RunConfig, StrategyConfig
from engine.instruments import load_instrument
from engine.journal import FOLDER, KINDS, Journal, JournalError
from engine.strategy import StrategyError
from engine.testnet import generate
from engine.units import utc_text
from tests import journal_bytes

ID = "BTCUSDT-PERP.TESTNETA"
COMMAND = "import sys; from engine.cli import main; sys.exit(main())"
DOCS = Path(__file__).resolve().parent.parent / "docs" / "journal.md"


def configured(catalog, run_dir, target="strategies.market_maker:MarketMaker", **values):
    config = RunConfig(strategy=StrategyConfig(target, values), catalog=str(catalog))
    config.instrument = {ID: load_instrument(ID).to_mapping()}
    config.run.dir = str(run_dir)
    return config


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    generate(root, duration_s=30.0)
    return root


@pytest.fixture(scope="module")
def run(catalog, tmp_path_factory):
    """A finished run of the market maker."""
    folder = tmp_path_factory.mktemp("run")
    return run_backtest(configured(catalog, folder), report=False)


def told(capsys, *arguments):
    code = main(["journal", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


class TestContent:
    def test_is_what_the_tables_hold(self, run):
        journal = Journal(run.run_dir)
        fills = journal.frame("fill")
        table = pl.read_parquet(run.run_dir / "fills.parquet")
        assert fills.height == table.height > 0
        for ours, theirs in (
            ("order", "order_id"),
            ("px_ticks", "px_ticks"),
            ("qty_lots", "qty_lots"),
            ("ts_event_ns", "ts_event_ns"),
            ("ts_recv_ns", "ts_recv_ns"),
        ):
            assert fills[ours].to_list() == table[theirs].to_list(), ours
        assert fills["fee"].cast(pl.Float64).to_list() == table["fee"].to_list()
        ended = {record.content["id"]: record.content for record in journal.records(["order"])}
        orders = pq.read_table(run.run_dir / "orders.parquet").to_pylist()
        assert len(ended) == len(orders) == run.summary["orders"]
        for row in orders:
            order = ended[row["order_id"]]
            assert order["ts_submit_ns"] == row["ts_submit_ns"]
            assert order["status"].lower() == row["status"]
        samples = journal.frame("equity")
        table = pl.read_parquet(run.run_dir / "equity.parquet")
        assert samples["ts_ns"].to_list() == table["ts_ns"].to_list()
        assert samples["equity"].cast(pl.Float64).to_list() == table["equity"].to_list()
        assert (
            journal.frame("placement").height
            == pl.read_parquet(run.run_dir / "placements.parquet").height
        )
        marked = journal.frame("markout")
        assert sorted(marked["fill.order"]) == sorted(fills["order"])

    def test_every_order_follows_from_what_the_strategy_was_called_for(self, run):
        journal = Journal(run.run_dir)
        orders = set()
        for record in journal.records():
            if record.kind == "submit":
                assert record.content["cause"]["handler"] == "Book"
                assert record.content["cause"]["heard"]["instrument"] == 0
                orders.add(record.content["order"])
            elif record.kind == "order":
                assert record.content["id"] in orders, "told before it was given"
        assert len(orders) == run.summary["orders"]

    def test_says_where_it_is_from(self, run):
        journal = Journal(run.run_dir / FOLDER)
        assert journal.instruments == [ID]
        assert journal.scales == [("0.1", "0.001")]
        assert journal.origin is not None
        for name in ("data_sha256", "config_sha256", "versions", "provenance"):
            assert journal.origin[name] == run.summary[name]

    def test_a_second_reader_finds_the_same(self, run):
        """The format is the documented one, and the result can be worked out by anybody."""
        raw = journal_bytes.read(run.run_dir / FOLDER)
        names = {kind.number: kind.name for kind in KINDS.values()}
        ours = [(r.seq, r.ts_ns, r.step, r.kind) for r in Journal(run.run_dir).records()]
        assert ours == [(r.seq, r.ts_ns, r.step, names[r.kind]) for r in raw]
        assert journal_bytes.result_sha256(raw) == run.summary["result_sha256"]

    def test_the_kinds_are_the_documented_ones(self):
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (yes|no) \|", DOCS.read_text(), re.MULTILINE)
        known = [(str(k.number), k.name, "yes" if k.counts else "no") for k in KINDS.values()]
        assert rows == known

    def test_a_strategy_that_raises_is_told(self, catalog, tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text(
            "from engine import Strategy\n"
            "class Raises(Strategy):\n"
            "    def on_start(self):\n"
            f"        self.subscribe_trades('{ID}')\n"
            "    def on_trade(self, trade):\n"
            "        raise KeyError('lost')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        with pytest.raises(StrategyError):
            run_backtest(configured(catalog, tmp_path / "run", "mine:Raises"), report=False)
        info = Journal(tmp_path / "run").info()
        assert not info.ended
        assert info.error is not None
        assert info.error.startswith("Raises.on_trade raised KeyError: 'lost' at event seq")
        sys.modules.pop("mine")


class TestDamage:
    def test_every_part_of_a_closed_segment_is_watched(self, run, tmp_path):
        (path,) = (run.run_dir / FOLDER).iterdir()
        data = path.read_bytes()
        for at in range(0, len(data), len(data) // 40):
            folder = tmp_path / str(at)
            folder.mkdir()
            damaged = bytearray(data)
            damaged[at] ^= 16
            (folder / path.name).write_bytes(damaged)
            with pytest.raises(JournalError, match=rf"{path.name}: damaged at byte \d+: expected"):
                Journal(folder).info()
            (folder / path.name).write_bytes(data[:at])
            with pytest.raises(JournalError, match=rf"{path.name}: damaged at byte \d+: expected"):
                Journal(folder).info()

    def test_what_is_no_journal_is_said(self, tmp_path):
        with pytest.raises(JournalError, match="expected a run's folder, found no folder at"):
            Journal(tmp_path / "none")
        with pytest.raises(JournalError, match="expected segments such as 000001.journal"):
            Journal(tmp_path)
        (tmp_path / "000001.journal").write_bytes(b"something else, of more than 64 bytes" * 3)
        with pytest.raises(JournalError, match="expected the mark CBLTJRNL, found"):
            Journal(tmp_path).info()


class TestCommand:
    def test_list_shows_every_record_on_a_line(self, run, capsys):
        code, out, _ = told(capsys, "list", f"run={run.run_dir}")
        lines = out.splitlines()
        assert code == 0
        assert len(lines) == Journal(run.run_dir).info().records
        assert re.search(
            rf"submit +order 1: buy 0\.010 {ID} at [\d.]+ post_only  \[on_book; last", out
        )

    def test_filters_leave_what_is_asked_for(self, run, capsys):
        where = f"run={run.run_dir}"
        records = list(Journal(run.run_dir).records())
        _, out, _ = told(capsys, "filter", where, "kind=[fill,placement]", "output=json")
        found = [json.loads(line) for line in out.splitlines()]
        wanted = [r.seq for r in records if r.kind in ("fill", "placement")]
        assert [item["seq"] for item in found] == wanted
        _, out, _ = told(capsys, "filter", where, "order=2", "output=json")
        kinds = {json.loads(line)["kind"] for line in out.splitlines()}
        assert kinds == {"submit", "ask", "order", "placement", "fill", "markout"}
        middle = records[len(records) // 2].ts_ns
        _, out, _ = told(capsys, "filter", where, f"start={utc_text(middle)}", "output=json")
        late = [json.loads(line)["seq"] for line in out.splitlines()]
        assert late == [r.seq for r in records if r.ts_ns >= middle]
        _, out, _ = told(capsys, "filter", where, f"end={middle}", "output=json")
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [
            r.seq for r in records if r.ts_ns < middle
        ]
        _, out, _ = told(capsys, "filter", where, f"instrument={ID}", "kind=equity")
        assert len(out.splitlines()) == Journal(run.run_dir).frame("equity").height

    def test_tail_shows_the_last(self, run, capsys):
        _, out, _ = told(capsys, "tail", f"run={run.run_dir}", "n=3")
        lines = out.splitlines()
        assert len(lines) == 3
        assert lines[-1].endswith(f"ended        result {run.summary['result_sha256']}")

    def test_verify_holds_the_result_against_the_summary(self, run, capsys, tmp_path):
        code, out, _ = told(capsys, "verify", f"run={run.run_dir}")
        assert code == 0
        assert f"result_sha256 {run.summary['result_sha256']}\n" in out
        (tmp_path / FOLDER).mkdir()
        (source,) = (run.run_dir / FOLDER).iterdir()
        (tmp_path / FOLDER / source.name).write_bytes(source.read_bytes())
        (tmp_path / "summary.json").write_text('{"result_sha256": "0"}')
        code, out, _ = told(capsys, "verify", f"run={tmp_path}")
        assert code == 1
        assert "summary.json says 0" in out

    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
    def test_export_writes_what_the_filters_leave(self, run, capsys, tmp_path, suffix):
        path = tmp_path / f"fills{suffix}"
        code, _, _ = told(capsys, "export", f"run={run.run_dir}", "kind=fill", f"path={path}")
        read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
        assert code == 0
        assert (
            read[suffix](path)["seq"].to_list()
            == Journal(run.run_dir).frame("fill")["seq"].to_list()
        )

    def test_follow_shows_what_is_written_meanwhile(self, run, tmp_path):
        raw = journal_bytes.content(next((run.run_dir / FOLDER).iterdir()))
        ends = [record.end for record in journal_bytes.read(run.run_dir / FOLDER)]
        segment = tmp_path / "000001.journal"
        segment.write_bytes(raw[: ends[9]])
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "journal", "follow", f"run={tmp_path}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(10)]
            # Half a record more, then the rest of it and some.
            segment.write_bytes(raw[: ends[10] - 5])
            segment.write_bytes(raw[: ends[19]])
            seen += [process.stdout.readline() for _ in range(10)]
        finally:
            process.kill()
            process.communicate()
        assert [int(line.split()[0]) for line in seen] == list(range(1, 21))

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "expected what to do (list, filter, tail, follow, verify, export), found nothing"),
            (("lst", "run=RUN"), "found lst; did you mean 'list'?"),
            (("list",), "run: the folder of a run is needed"),
            (("filter", "run=RUN"), "filter: expected kind=, order=, instrument=, start= or end="),
            (("list", "run=RUN", "kind=fils"), "kind: there is no 'fils'; did you mean 'fill'?"),
            (("list", "run=RUN", f"instrument={ID}X"), f"did you mean '{ID}'?"),
            (("list", "run=RUN", "start=noon"), "start: expected"),
            (("export", "run=RUN", "path=a.txt"), "path: expected a file that ends with .parquet"),
            (("list", "run=nowhere"), "expected a run's folder, found no folder at nowhere"),
        ],
    )
    def test_a_slip_is_answered(self, run, capsys, arguments, words):
        code, _, err = told(capsys, *(item.replace("RUN", str(run.run_dir)) for item in arguments))
        assert code in (1, 2)
        assert words in err
