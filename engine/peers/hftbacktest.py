"""hftbacktest beside Cobalt: rows converted, the same exchange model set up, the same orders sent.

Written against hftbacktest 2.4.4 (`make peers`). It is imported inside the
functions: importing this module needs numpy only.

Where the meaning could differ from ours:

- Times. Local order is `ts_recv_ns`, exchange order `ts_event_ns`; rows of equal venue time follow
  arrival, so that a depth row and a trade of the same millisecond keep the order in which they
  reached us. Where the two orders disagree, hftbacktest wants a row twice, once for each side
  (`correct_event_order`): its array is longer than ours, and rows per second mean something only
  when counted on our rows.
- Messages. hftbacktest applies a venue message row by row and may fill an order between two rows of
  it; no level appears twice in a message, so a price that is best in between was best before or is
  best after.
- Snapshots. A clear of both sides comes before the levels of every snapshot but the first. Deltas
  that the snapshot already contains, and rows before the first snapshot, are left out: hftbacktest
  has no sequence check that would skip them.
- Rows without a level (side none) say nothing that it could use and are left out.
- Numbers. Prices and quantities become the float nearest to their decimal text, as its own
  converters do.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine._core import SEQ_NONE
from engine.peers.orders import RESULT_DTYPE, Outcome, Quoting, QuotingRun, Setup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.instruments import Instrument

_SNAPSHOT = 2
_BID = 1
_FIRST = 1
_END_OF_DATA = 1
_LATENCY_DTYPE = np.dtype(
    [("req_ts", "<i8"), ("exch_ts", "<i8"), ("resp_ts", "<i8"), ("_padding", "<i8")], align=True
)


def available() -> bool:
    """Whether hftbacktest is installed."""
    return importlib.util.find_spec("hftbacktest") is not None


def version() -> str | None:
    """The installed version, or None."""
    return importlib.metadata.version("hftbacktest") if available() else None


def to_hftbacktest(
    depth: NDArray[np.void], trades: NDArray[np.void], instrument: Instrument
) -> NDArray[np.void]:
    """Rows of `EVENT_DTYPE` of one instrument as an array of hftbacktest's `event_dtype`.

    Args:
        depth: deltas and snapshots in arrival order, shape `(rows,)`.
        trades: trades in arrival order, shape `(rows,)`.
        instrument: gives tick and lot.

    Raises:
        ValueError: rows out of arrival order, or a row without a venue time.

    """
    converter = Converter(instrument)
    rows = converter.convert(depth, trades)
    if not converter.has_book:
        raise ValueError("depth: expected a snapshot, found deltas only")
    if (rows["exch_ts"] < 0).any():
        raise ValueError("ts_event_ns: expected a venue time on every row, found rows without one")
    return in_both_orders(rows)


class Converter:
    """Turns rows into hftbacktest's, batch by batch; `in_both_orders` then orders and flags them.

    `has_book` says whether a snapshot has come; `not_applied` counts depth rows that our book does
    not apply (older than it, or before its first snapshot), `without_level` those of messages that
    change no level. Neither are converted.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._applied = AppliedRows()
        self._is_first = True
        self.not_applied = 0
        self.without_level = 0

    @property
    def has_book(self) -> bool:
        """Whether a snapshot has come."""
        return self._applied.has_book

    def convert(self, depth: NDArray[np.void], trades: NDArray[np.void]) -> NDArray[np.void]:
        """The next batch of each stream, whole messages: depth as it came, then trades."""
        applied = depth[self._applied.mask(depth)]
        self.not_applied += len(depth) - len(applied)
        return np.concatenate([self._depth_rows(applied), _trade_rows(trades, self._instrument)])

    def _depth_rows(self, depth: NDArray[np.void]) -> NDArray[np.void]:
        from hftbacktest import (
            BUY_EVENT,
            DEPTH_CLEAR_EVENT,
            DEPTH_EVENT,
            DEPTH_SNAPSHOT_EVENT,
            SELL_EVENT,
        )

        is_snapshot = depth["kind"] == _SNAPSHOT
        kind = np.where(is_snapshot, DEPTH_SNAPSHOT_EVENT, DEPTH_EVENT)
        side = np.where(depth["side"] == _BID, BUY_EVENT, SELL_EVENT)
        out = _rows(depth, (kind | side).astype(np.uint64), self._instrument)
        starts = np.flatnonzero(is_snapshot & (depth["flags"] & _FIRST != 0))
        if self._is_first and len(starts):
            # The first snapshot meets an empty book; clearing it would only cost time.
            self._is_first = False
            starts = starts[1:]
        clears = np.zeros(len(starts), out.dtype)
        clears["ev"] = DEPTH_CLEAR_EVENT
        clears["exch_ts"] = out["exch_ts"][starts]
        clears["local_ts"] = out["local_ts"][starts]
        has_level = depth["side"] != 0
        self.without_level += int((~has_level & ~is_snapshot).sum())
        # An empty snapshot has a clear but no level.
        kept = np.insert(has_level, starts, np.ones(len(starts), np.bool_))
        merged: NDArray[np.void] = np.insert(out, starts, clears)[kept]
        return merged


class AppliedRows:
    """Which depth rows our book applies: snapshots, and deltas beyond everything that it already
    contains. Other engines have no sequence check that would skip the rest.
    """

    def __init__(self) -> None:
        self.has_book = False
        self._seq = SEQ_NONE

    def mask(self, depth: NDArray[np.void]) -> NDArray[np.bool_]:
        """For each row of the next batch of whole messages, whether the book applies it."""
        starts = np.flatnonzero(depth["flags"] & _FIRST)
        heads = depth[starts]
        keep = [
            self._applies(seq, is_snapshot=kind == _SNAPSHOT)
            for kind, seq in zip(heads["kind"].tolist(), heads["seq"].tolist(), strict=True)
        ]
        lengths = np.diff(starts, append=len(depth))
        return np.repeat(np.array(keep, np.bool_), lengths)

    def _applies(self, seq: int, *, is_snapshot: bool) -> bool:
        if is_snapshot:
            self.has_book = True
        elif not self.has_book or (seq <= self._seq and SEQ_NONE not in (seq, self._seq)):
            return False
        self._seq = seq
        return True


def in_both_orders(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Converted rows, ordered and flagged for both clocks; rows of equal receive time keep their
    order.

    Raises:
        ValueError: hftbacktest would not take the result.

    """
    from hftbacktest.data.validation import correct_event_order, validate_event_order

    by_local = np.argsort(rows["local_ts"], kind="stable")
    by_exch = by_local[np.argsort(rows["exch_ts"][by_local], kind="stable")]
    # correct_event_order reads one index beyond each end before it tests for the end.
    padding = np.zeros(1, by_local.dtype)
    merged: NDArray[np.void] = correct_event_order(
        rows, np.concatenate([by_exch, padding]), np.concatenate([by_local, padding])
    )
    validate_event_order(merged)
    return merged


def floats(steps: NDArray[np.int64], step: str) -> NDArray[np.float64]:
    """Whole steps as the floats nearest to the exact decimals."""
    sign, digits, exponent = Decimal(step).normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    assert sign == 0
    assert isinstance(exponent, int)
    if exponent >= 0:
        return steps.astype(np.float64) * (mantissa * 10.0**exponent)
    # A quotient of two exact integers is correctly rounded; a product with 10^-n is not.
    return (steps * mantissa).astype(np.float64) / 10.0**-exponent


def _rows(
    source: NDArray[np.void], event: NDArray[np.uint64], instrument: Instrument
) -> NDArray[np.void]:
    from hftbacktest.types import event_dtype

    out = np.zeros(len(source), event_dtype)
    out["ev"] = event
    out["exch_ts"] = source["ts_event_ns"]
    out["local_ts"] = source["ts_recv_ns"]
    out["px"] = floats(source["px_ticks"], instrument.tick)
    out["qty"] = floats(source["qty_lots"], instrument.lot)
    return out


def _trade_rows(trades: NDArray[np.void], instrument: Instrument) -> NDArray[np.void]:
    from hftbacktest import BUY_EVENT, SELL_EVENT, TRADE_EVENT

    side = np.where(trades["side"] == _BID, BUY_EVENT, SELL_EVENT)
    return _rows(trades, (side | TRADE_EVENT).astype(np.uint64), instrument)


def backtest(
    data: NDArray[np.void] | list[str],
    instrument: Instrument,
    setup: Setup,
    *,
    book: str = "hashmap",
) -> Any:
    """A numba-ready hftbacktest over converted rows.

    `data` is the rows, or paths of npz files that are played one after the other. `book` is
    `hashmap`, or `vector`: its array of levels, here spanning all prices in the data, which must be
    rows then; it is the faster of the two. Rows and latencies must outlive the backtest, which
    reads them in place.
    """
    from hftbacktest import (
        BacktestAsset,
        HashMapMarketDepthBacktest,
        ROIVectorMarketDepthBacktest,
    )

    asset = BacktestAsset().data(data if isinstance(data, list) else [data])
    size = float(instrument.contract_size)
    asset = asset.inverse_asset(size) if instrument.kind == "inverse" else asset.linear_asset(size)
    asset = _models(asset, setup)
    asset = (
        asset.trading_value_fee_model(float(setup.maker_fee), float(setup.taker_fee))
        .tick_size(float(instrument.tick))
        .lot_size(float(instrument.lot))
        .last_trades_capacity(0)
    )
    if book == "hashmap":
        return HashMapMarketDepthBacktest([asset])
    assert not isinstance(data, list)
    px = data["px"][data["px"] > 0]
    asset = asset.roi_lb(float(px.min())).roi_ub(float(px.max()))
    return ROIVectorMarketDepthBacktest([asset])


def _models(asset: Any, setup: Setup) -> Any:
    """Latency, queue and fill models under their names there."""
    if setup.latencies is None:
        asset = asset.constant_order_latency(setup.order_entry_ns, setup.response_ns)
    else:
        asset = asset.intp_order_latency(setup.latencies.view(_LATENCY_DTYPE))
    if setup.queue == "risk_averse":
        asset = asset.risk_adverse_queue_model()
    else:
        family, _, number = setup.queue.partition("_prob")
        model = getattr(asset, f"{family}_prob_queue_model{number}")
        asset = model(setup.queue_power) if family == "power" else model()
    return getattr(asset, f"{setup.fill}_fill_exchange")()


class PeerStopped(RuntimeError):
    """hftbacktest ended a run before the last command; `code` is its own."""

    def __init__(self, done: int, commands: int, code: int) -> None:
        super().__init__(f"hftbacktest stopped at command {done} of {commands} with code {code}")
        self.code = code


def run_commands(
    data: NDArray[np.void], commands: NDArray[np.void], instrument: Instrument, setup: Setup
) -> Outcome:
    """Sends the commands (`COMMAND_DTYPE`) at their times and plays the data to its end.

    Position, balance and fees are its own: with partial fills it books of each order only the
    execution that completes it.

    Raises:
        PeerStopped: hftbacktest refused a command, failed, or ran out of data before the last one.

    """
    from engine.peers import hftbacktest_numba as kernels

    hbt = backtest(data, instrument, setup)
    raw = np.zeros(int(commands["order_id"].max()), kernels.RAW_RESULT_DTYPE)
    sent = np.zeros(len(commands), np.bool_)
    px = floats(commands["px_ticks"], instrument.tick)
    qty = floats(commands["qty_lots"], instrument.lot)
    done, code = kernels.send_commands(hbt, commands, px, qty, sent, raw)
    if done != len(commands) or code != _END_OF_DATA:
        raise PeerStopped(done, len(commands), code)
    state = hbt.state_values(0)
    outcome = Outcome(
        _results(raw, float(instrument.lot)), sent, state.position, state.balance, state.fee
    )
    hbt.close()
    return outcome


def run_quoting(
    data: NDArray[np.void], instrument: Instrument, setup: Setup, plan: Quoting, *, book: str
) -> QuotingRun:
    """Runs the benchmark's strategy; `seconds` is the loop alone, without building and reading
    out.
    """
    from engine.peers import hftbacktest_numba as kernels

    hbt = backtest(data, instrument, setup, book=book)
    tops = np.zeros((plan.looks, 2), np.int64)
    raw = np.zeros(plan.orders, kernels.RAW_RESULT_DTYPE)
    qty = float(floats(np.array([plan.qty_lots]), instrument.lot)[0])
    resting = np.array(plan.resting, np.int64).reshape(-1, 2)
    px = floats(resting[:, 1], instrument.tick)
    times = plan.begin_ns, plan.interval_ns, plan.looks_per_quote
    started = time.perf_counter()
    looks = kernels.quote(hbt, *times, qty, resting[:, 0].copy(), px, tops, raw)
    seconds = time.perf_counter() - started
    if looks != plan.looks:
        raise RuntimeError(f"hftbacktest stopped at look {looks} of {plan.looks}")
    bids, asks = _levels(hbt, instrument, book)
    hbt.close()
    orders = _results(raw, float(instrument.lot))
    return QuotingRun(seconds, tops, orders, bids, asks, (len(bids), len(asks)))


def run_idle(
    data: NDArray[np.void] | list[str], instrument: Instrument, *, book: str
) -> QuotingRun:
    """Plays the rows, or files of them, to their end without a strategy; both of its books are kept
    up to date.
    """
    from engine.peers import hftbacktest_numba as kernels

    hbt = backtest(data, instrument, Setup(), book=book)
    started = time.perf_counter()
    kernels.play(hbt)
    seconds = time.perf_counter() - started
    bids, asks = _levels(hbt, instrument, book)
    hbt.close()
    no_orders = np.zeros(0, RESULT_DTYPE)
    no_tops = np.zeros((0, 2), np.int64)
    return QuotingRun(seconds, no_tops, no_orders, bids, asks, (len(bids), len(asks)))


def _levels(hbt: Any, instrument: Instrument, book: str) -> tuple[dict[int, int], dict[int, int]]:
    """All levels of the strategy's book."""
    depth = hbt.depth(0)
    tick, lot = float(instrument.tick), float(instrument.lot)
    if book == "vector":
        sides = []
        for levels in (depth.bid_depth, depth.ask_depth):
            held = np.flatnonzero(levels > lot / 2)
            lots = np.rint(levels[held] / lot).astype(np.int64)
            sides.append(dict(zip((held + depth.roi_lb_tick).tolist(), lots.tolist(), strict=True)))
        return sides[0], sides[1]
    events = depth.snapshot()
    ticks = np.rint(events["px"] / tick).astype(np.int64)
    lots = np.rint(events["qty"] / lot).astype(np.int64)
    is_bid = events["ev"] & _buy_flag() != 0
    depth.snapshot_free(events)
    bids = dict(zip(ticks[is_bid].tolist(), lots[is_bid].tolist(), strict=True))
    asks = dict(zip(ticks[~is_bid].tolist(), lots[~is_bid].tolist(), strict=True))
    return bids, asks


def _buy_flag() -> int:
    from hftbacktest import BUY_EVENT

    return int(BUY_EVENT)


_STATUS = {0: "new", 1: "new", 2: "expired", 3: "filled", 4: "cancelled", 5: "new", 6: "rejected"}


def _results(raw: NDArray[np.void], lot: float) -> NDArray[np.void]:
    out = np.zeros(len(raw), RESULT_DTYPE)
    out["order_id"] = np.arange(1, len(raw) + 1)
    out["status"] = [_STATUS[int(code)] for code in raw["status"]]
    out["filled_lots"] = np.rint(raw["filled_qty"] / lot)
    for name in ("fills", "exec_px_ticks", "ts_fill_ns", "ts_exchange_ns", "maker"):
        out[name] = raw[name]
    return out
