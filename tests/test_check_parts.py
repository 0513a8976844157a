"""What the honesty checks are made of: the recorder, the cut catalog, the comparisons."""

from __future__ import annotations

import dataclasses
import inspect
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from engine import SEQ_NONE, TS_NONE, Strategy, _core, catalog_writer
from engine.backtest import Backtest
from engine.catalog import Catalog
from engine.catalog_tables import orders_schema
from engine.check.compare import comparable_until, first_difference, settled_commands
from engine.check.cutting import cut_catalog, first_row
from engine.check.lookahead import _compared
from engine.check.record import COMMANDS, Command, CommandRecorder, Response, RunLog
from engine.check.runs import CheckError, Failure, Outcome
from engine.config import AccountConfig, LatencyConfig, PositionConfig
from engine.instruments import load_instrument
from tests import market
from tests.market import ASK, LINEAR, SECOND, START
from tests.risk_runs import rates
from tests.test_candles import bars
from tests.test_catalog import PERP, groups, source

ID = LINEAR.id
SNAPSHOT, TRADE = 2, 3


class Busy(Strategy):
    """Gives a command of each kind, in different handlers."""

    def on_start(self):
        self.subscribe_trades(ID)
        self.set_timer("quote", every="1s")
        self.id = self.buy(ID, Decimal("0.1"), limit=np.float64(99.5), post_only=True)

    def on_timer(self, timer):
        self.modify(self.id, limit=99.4)

    def on_trade(self, trade):
        self.cancel_all()
        self.sell(ID, "0.2", tif="IOC", limit="99.9")


def recorded(strategy, **options):
    feeds = {
        (ID, "depth"): [market.depth(5)],
        (ID, "trades"): [market.trades([(2.5, ASK, 999, 7)])],
    }
    recorder = CommandRecorder(**options) if options.pop("record", True) else None
    backtest = Backtest(
        [LINEAR],
        strategy,
        feeds,
        latency=LatencyConfig(order_entry_ns=1_000_000, response_ns=1_000_000),
        cash={"USD": "1000"},
        recorder=recorder,
    )
    backtest.run()
    return backtest, recorder


def test_fundings_are_recorded_as_answers():
    rate = rates(7, [(2, 0.0001, 100)])
    recorder = CommandRecorder()
    backtest = Backtest(
        [LINEAR],
        Strategy(None),
        {(ID, "depth"): [market.depth(5)], (ID, "funding"): [rate]},
        latency=LatencyConfig(order_entry_ns=0, response_ns=3_000_000),
        account=AccountConfig(positions={ID: PositionConfig("1", "100")}),
        recorder=recorder,
    )
    backtest.run()
    at = START + 2 * SECOND
    assert recorder.log.responses == [Response(at + 3_000_000, at)]


def test_commands_are_recorded_with_their_handler_and_line():
    backtest, recorder = recorded(Busy(None))
    log = recorder.log
    told = [(command.handler, command.name, command.order) for command in log.commands]
    assert told == [
        ("on_start", "submit", 1),
        ("on_timer 'quote'", "modify", 1),
        ("on_timer 'quote'", "modify", 1),
        ("on_trade", "cancel_all", 0),
        ("on_trade", "submit", 2),
        ("on_timer 'quote'", "modify", 1),
        ("on_timer 'quote'", "modify", 1),
    ]
    first, modify, *_ = log.commands
    assert first.ts_ns == log.start_ns == START + market.LAG
    assert modify.ts_ns == first.ts_ns + SECOND
    fields = dict(first.fields)
    assert fields["instrument"] == ID
    assert (fields["buy"], fields["qty"], fields["limit"]) == (True, "0.1", 99.5)
    assert str(first) == f"buy 0.1 {ID} at 99.5, post_only"
    assert str(modify) == "modify order 1, limit=99.4"
    line = (
        inspect.getsource(Busy).splitlines().index("        self.modify(self.id, limit=99.4)")
        + inspect.getsourcelines(Busy)[1]
    )
    assert modify.place == f"test_check_parts.py:{line}"
    assert log.end_ns == backtest.kernel.now_ns
    # Accepted, modified twice, cancelled, and the second order filled.
    assert len(log.responses) == 5
    assert all(answer.ts_ns == answer.ts_exchange_ns + 1_000_000 for answer in log.responses)
    assert RunLog.from_dict(log.to_dict()) == log


def test_lists_and_conditions_are_recorded_order_by_order():
    class Lists(Strategy):
        def on_start(self):
            self.oco(ID, "sell", "0.1", limit="101", stop="99", stop_limit="98.5")
            self.bracket(ID, "buy", 1, limit=99.5, stop=98, take_profit=102)
            self.buy(ID, 1, 99, tif="GTD", expire="5s", display="0.1", client_id="mine")
            self.sell(ID, 1, trail="0.5%", trigger_by="bid_ask", reduce_only=True)
            self.modify(6, qty=2, replace=True)
            self.kill("enough", flatten=True)

    _, recorder = recorded(Lists(None))
    assert [str(command) for command in recorder.log.commands] == [
        f"sell 0.1 {ID} at 101, role=oco",
        f"sell 0.1 {ID} at 98.5, role=oco, stop=99",
        f"buy 1 {ID} at 99.5, role=entry",
        f"sell 1 {ID}, role=exit, reduce_only, stop=98",
        f"sell 1 {ID} at 102, role=exit, reduce_only",
        f"buy 1 {ID} at 99, tif=GTD, display=0.1, expire_ns={START + market.LAG + 5 * SECOND},"
        " client_id=mine",
        f"sell 1 {ID}, reduce_only, trail=0.5%, trigger_by=bid_ask",
        "modify order 6, qty=2, replace",
        "kill, reason=enough, flatten",
    ]
    assert [command.order for command in recorder.log.commands] == [1, 2, 3, 4, 5, 6, 7, 6, 0]
    _, held = recorded(Lists(None), trade_from_ns=START + 60 * SECOND)
    assert [command.key for command in held.log.commands] == [
        command.key for command in recorder.log.commands
    ]
    assert held.log.responses == [], "nothing of it reached the exchange"


def test_recording_changes_nothing():
    with_recorder, _ = recorded(Busy(None))
    without, _ = recorded(Busy(None), record=False)
    assert with_recorder.kernel.result_sha256 == without.kernel.result_sha256
    assert type(without.strategy._kernel) is _core.Kernel


def test_every_command_of_the_kernel_is_recorded():
    """A method that is new to the kernel belongs either to the commands or to this list."""
    others = """add_cob add_stream book book_counts cancel_timer chart codes_told counts divergence
        entry_px equity event_ns failed_handler finish_journal flow fold fold_journal folded
        funding_rate keep_journal keep_ticks killed liquidation_px live_orders mark_px now_ns order
        order_of_client position replay_journal result_sha256 resume_journal run seq set_timer
        start_ns state_sha256 subscribe_bars subscribe_book subscribe_cob subscribe_pivots
        subscribe_sweeps subscribe_trades ticks"""
    public = {name for name in dir(_core.Kernel) if not name.startswith("_")}
    assert public == {*COMMANDS, *others.split()}


def test_orders_held_back_are_refused():
    class Told(Busy):
        seen: tuple = ()

        def on_order(self, order):
            self.seen += ((order.id, order.status, order.reject_code),)

    strategy = Told(None)
    backtest, recorder = recorded(strategy, trade_from_ns=START + 2 * SECOND)
    # The first was refused, so there was nothing to modify or to cancel.
    assert strategy.seen[0] == (1, "rejected", "QTY_TOO_SMALL")
    assert [item[1] for item in strategy.seen[1:]] == ["filled"]
    assert backtest.kernel.counts()["fills"] == 1
    given = dict(recorder.log.commands[0].fields)
    assert given["qty"] == "0.1", "what the strategy gave, not what became of it"


def test_a_handler_that_raises_is_the_one_that_was_called():
    class Fails(Busy):
        def on_trade(self, trade):
            self.sell(ID, 1)
            raise RuntimeError

    recorder = CommandRecorder()
    feeds = {(ID, "depth"): [market.depth(5)], (ID, "trades"): [market.trades([(2, ASK, 999, 7)])]}
    backtest = Backtest([LINEAR], Fails(None), feeds, latency=LatencyConfig(), recorder=recorder)
    with pytest.raises(RuntimeError, match=r"Fails\.on_trade raised"):
        backtest.run()
    assert recorder.log.commands[-1].handler == "on_trade"
    assert recorder.log.end_ns == START + 2 * SECOND + market.LAG


def test_a_cut_catalog_is_the_one_of_that_time(tmp_path, monkeypatch):
    """Held against a catalog into which only what was there by then was ever written."""
    monkeypatch.setattr(catalog_writer, "PART_ROWS", 40)
    monkeypatch.setattr(catalog_writer, "GROUP_ROWS", 10)
    instrument = load_instrument(PERP)
    depth = groups([3, 1, 2, 4] * 20)
    depth["kind"][:3], depth["prev_seq"][:3] = SNAPSHOT, SEQ_NONE
    depth["seq"][50:] += 3
    trades = groups([1] * 90, step_ns=9, kind=TRADE)
    minutes = bars(list(range(50)))
    single = pa.table({name: trades[name] for name in ("ts_event_ns", "ts_recv_ns", "side")})
    for name, values in (("order_id", trades["seq"]), ("action", np.full(90, 2, np.uint8))):
        single = single.append_column(name, pa.array(values))
    for name in ("px_ticks", "qty_lots"):
        single = single.append_column(name, pa.array(trades[name]))
    single = single.select(orders_schema().names).cast(orders_schema())
    whole = Catalog(tmp_path / "whole")
    with whole.writer(instrument, provenance="testnet", source=source()) as writer:
        writer.append("depth", depth)
        writer.append("trades", trades)
        writer.append_bars("1m", minutes)
        writer.append_orders(single)
        writer.commit()
    assert first_row(whole, PERP, "orders", 100) == (108, 107)
    starts = minutes.column("ts_start_ns").to_numpy()
    for cut_ns in (15, 11 * 10, 405, 411, 805, 2_000, int(starts[20]), int(starts[30]) + 1):
        cut = Catalog(tmp_path / f"cut-{cut_ns}")
        cut_catalog(whole, cut_ns, cut.root, whole.root)
        then = Catalog(tmp_path / f"then-{cut_ns}")
        with then.writer(instrument, provenance="testnet", source=source()) as writer:
            writer.append("depth", depth[depth["ts_recv_ns"] < cut_ns])
            writer.append("trades", trades[trades["ts_recv_ns"] < cut_ns])
            known = minutes.filter(starts + 60 * SECOND <= cut_ns)
            if known.num_rows:
                writer.append_bars("1m", known)
            writer.append_orders(single.filter(trades["ts_recv_ns"] < cut_ns))
            writer.commit()
        for kind in ("depth", "trades"):
            found, wanted = (np.concatenate(list(c.batches(PERP, kind))) for c in (cut, then))
            assert np.array_equal(found, wanted), (cut_ns, kind)
        found, wanted = (pl.concat(c.order_batches(PERP)) for c in (cut, then))
        assert found.equals(wanted)
        if known.num_rows:
            assert cut.bars(PERP, "1m").equals(then.bars(PERP, "1m"))
        for found, wanted in zip(cut.manifest(PERP).files, then.manifest(PERP).files, strict=True):
            other = {name: getattr(found, name) for name in ("path", "sha256", "bytes")}
            assert dataclasses.replace(wanted, **other) == found, cut_ns
    nothing = tmp_path / "nothing"
    cut_catalog(whole, 1, nothing, whole.root)
    assert Catalog(nothing).instruments() == []


def test_the_first_row_from_a_time_on(tmp_path):
    catalog = Catalog(tmp_path)
    rows = groups([1] * 9, kind=TRADE)
    rows["ts_event_ns"][5] = TS_NONE
    with catalog.writer(load_instrument(PERP), provenance="testnet", source=source()) as writer:
        writer.append("trades", rows)
        writer.commit()
    assert first_row(catalog, PERP, "trades", 0) == (10, 9)
    assert first_row(catalog, PERP, "trades", 31) == (40, 39)
    assert first_row(catalog, PERP, "trades", 60) == (60, 60), "without a venue time: its receipt"
    assert first_row(catalog, PERP, "trades", 91) is None
    assert first_row(catalog, PERP, "depth", 0) is None


def submit(ts_ns: int, order: int, px: int = 1, handler: str = "on_book") -> Command:
    fields = (("instrument", ID), ("buy", True), ("qty", "1"), ("limit", px))
    return Command(ts_ns, 0, handler, "s.py:1", "submit", order, fields)


def cancel(ts_ns: int, order: int) -> Command:
    return Command(ts_ns, 0, "on_book", "s.py:2", "cancel", order, ())


def test_the_first_command_that_differs():
    ours = [submit(1, 1), submit(2, 2), submit(5, 3, handler="on_stop")]
    assert first_difference(ours, ours[:2], 9) == (2, None)
    equal, found = first_difference(ours, [submit(1, 1), submit(2, 2, px=7)], 9)
    assert (equal, found.first.ts_ns) == (1, 2)
    said = found.to_dict("whole", "cut")
    assert (said["handler"], said["place"]) == ("on_book", "s.py:1")
    equal, found = first_difference(ours, [submit(1, 1)], 9)
    assert (equal, found.to_dict("a", "b")["b"]) == (1, "nothing")
    assert first_difference(ours, [submit(1, 1)], 1) == (1, None)
    # The earlier of two is the one that differs.
    _, found = first_difference([submit(8, 1)], [submit(4, 1)], 9)
    assert found.first.ts_ns == 4


def test_what_an_answer_of_the_exchange_told_is_no_look_ahead():
    whole = RunLog(responses=[Response(50, 40), Response(70, 65)], end_ns=100)
    cut = RunLog(responses=[Response(50, 40)], end_ns=90)
    assert comparable_until([whole, cut], 80) == 90
    assert comparable_until([whole, cut], 65) == 69, "the answer knows what is gone"
    assert comparable_until([cut, whole], 30) == 49


def test_commands_of_runs_that_began_at_different_times():
    # The later run gave its orders other ids, and none before 10.
    base = RunLog([submit(1, 1), submit(10, 2), cancel(12, 2), cancel(13, 1), submit(20, 3)])
    later = RunLog([submit(10, 1), cancel(12, 1), submit(20, 2, px=4)])
    window = settled_commands(base, later, 10)
    assert (window.ours, window.theirs, window.differing) == (4, 3, 3)
    assert window.first.ours == cancel(13, 1)
    assert window.first.theirs is None
    assert window.last_ns == 20
    assert window.share == pytest.approx(3 / 7)
    same = settled_commands(base, base, 10)
    assert (same.differing, same.first, same.last_ns, same.share) == (0, None, None, 0)
    last = settled_commands(base, later, 20)
    assert (last.differing, last.first.ours.order, last.first.theirs.order) == (2, 3, 2)


def test_a_strategy_that_raises_on_cut_data_only_is_accused_where_that_tells_something():
    base = Outcome({}, None, RunLog([submit(1, 1), submit(2, 2)], end_ns=9), [])

    def compared(handler, *, end_ns=5, responses=()):
        failure = Failure("StrategyError", f"Mine.{handler} raised ValueError: no", "")
        log = RunLog([submit(1, 1), submit(2, 2)], list(responses), end_ns=end_ns)
        return _compared(base, Outcome(None, failure, log, []), 6, 4)[1]

    found = compared("on_bar")
    assert (found["ts_ns"], found["handler"], found["all_data"]) == (5, "on_bar", "no error")
    assert found["cut_data"] == "Mine.on_bar raised ValueError: no"
    assert compared("on_stop") is None, "the end of the data is another one"
    assert compared("on_bar", responses=[Response(4, 4)]) is None, "it was told something else"
    with pytest.raises(CheckError, match="out of memory"):
        _compared(base, Outcome(None, Failure("Ended", "out of memory", ""), RunLog(), []), 6, 4)
