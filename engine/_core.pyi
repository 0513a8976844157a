"""The compiled core. Users reach its classes through `engine`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from typing import Any, Literal, Self, TypeAlias, final

import numpy as np
import numpy.typing as npt

_Number: TypeAlias = str | int | float | Decimal
_Side: TypeAlias = Literal["bid", "ask"]

__version__: str
BUILD_PROFILE: str
EVENT_DTYPE: np.dtype[np.void]
TS_NONE: int
PX_NONE: int
SEQ_NONE: int

def replay_book(
    depth: npt.NDArray[np.void],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All levels of a book after these rows: bids and asks, `(levels, 2)` of price and quantity in
    ticks and lots, best first."""

def decode_lines(
    text: bytes, market: str, symbol: str, tick: str, lot: str
) -> npt.NDArray[np.void]:
    """Rows of the lines of a raw Binance recording, as they come. Raises ValueError, with the line,
    for one that is no message of the instrument."""

def time_order(kernel: Kernel, market: int, buy: bool, px_ticks: int, qty_lots: int) -> int:
    """Gives one limit order as a strategy in Rust would; the ns until it was on its way to the
    exchange. To be called from a handler."""

@final
class Book:
    """A live view of an instrument's book as received.

    It changes as the run goes on. Prices are floats in quote units, quantities in the instrument's
    units; a side without levels gives None. The arrays (float64, best level first, at most as many
    levels as subscribed, shorter where the side is) are read-only and overwritten by the next
    access: copy what is to be kept.
    """

    instrument: str
    tick: float
    lot: float
    best_bid: float | None
    best_ask: float | None
    best_bid_qty: float | None
    best_ask_qty: float | None
    best_bid_ticks: int | None
    best_ask_ticks: int | None
    mid: float | None
    spread: float | None
    micro_price: float | None
    bid_px: npt.NDArray[np.float64]
    bid_qty: npt.NDArray[np.float64]
    ask_px: npt.NDArray[np.float64]
    ask_qty: npt.NDArray[np.float64]
    is_trusted: bool
    seq: int | None
    def imbalance(self, levels: int = 1) -> float:
        """(bid − ask) / (bid + ask) of the sizes of the best levels; 0 when both are empty."""
    def qty_at(self, side: _Side, px: _Number) -> float:
        """The size at a price, 0 where there is no level."""
    def depth(self, side: _Side, levels: int) -> float:
        """Total size of the best levels of a side."""
    def vwap_to_take(self, side: _Side, qty: _Number) -> float | None:
        """Average price of taking `qty` from a side; None where it holds less."""
    def level_count(self, side: _Side) -> int:
        """_Number of levels of a side."""

@final
class Trade:
    """The trade being shown; the object is reused for the next one. `aggressor` is buy or sell."""

    instrument: str
    px: float
    qty: float
    px_ticks: int
    qty_lots: int
    aggressor: str | None
    trade_id: int
    ts_event_ns: int
    ts_recv_ns: int

@final
class Bar:
    """A complete bar; `ts_start_ns` (inclusive) and `ts_end_ns` are on the venue's clock."""

    instrument: str
    interval: str
    ts_start_ns: int
    ts_end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    buy_volume: float
    vwap: float
    trades: int
    is_empty: bool

@final
class Order:
    """An order as the strategy knew it at that moment.

    `status` is submitted, untriggered, open, partially_filled, filled, canceled, expired or
    rejected; `px` is None for a market order, `stop_px` but for a conditional one with a trigger
    price, `list_id` (the id of the first order of its list) for one that stands alone;
    `ts_submit_ns` and `ts_done_ns` are on our clock, `ts_exchange_ns` on the venue's.
    """

    id: int
    instrument: str
    side: str
    type: str
    post_only: bool
    px: float | None
    qty: float
    filled_qty: float
    leaves_qty: float
    avg_px: float | None
    status: str
    reject_code: str | None
    client_id: str | None
    tif: str
    reduce_only: bool
    stop_px: float | None
    display_qty: float | None
    list_id: int | None
    is_done: bool
    ts_submit_ns: int
    ts_exchange_ns: int | None
    ts_done_ns: int | None

@final
class Fill:
    """One fill; fee and realized profit in the settlement currency, before the fee.

    `ts_event_ns` is the venue's clock at execution, `ts_recv_ns` ours when we learned of it.
    """

    order_id: int
    instrument: str
    side: str
    px: float
    qty: float
    liquidity: str
    fee: float
    realized_pnl: float
    position: float
    ts_event_ns: int
    ts_recv_ns: int

@final
class Funding:
    """Funding of a position: `amount` in the settlement currency, below 0 where it was paid.

    `rate` is a share of the position's value at `mark`; longs pay shorts where it is positive.
    `position` is the signed quantity that it was for.
    """

    instrument: str
    amount: float
    rate: float
    mark: float
    position: float
    ts_event_ns: int
    ts_recv_ns: int

@final
class Liquidation:
    """A position of signed quantity `qty` that the venue closed with the order `order_id`.

    `taken_over_qty` of it went to the venue's insurance, not into the book; `mark` is the mark
    price then, `fee` the liquidation fee (fees of the fills apart) and `insurance` the loss that
    the insurance covered, both in the settlement currency.
    """

    instrument: str
    order_id: int
    qty: float
    taken_over_qty: float
    mark: float | None
    fee: float
    insurance: float
    ts_event_ns: int
    ts_recv_ns: int

@final
class Gap:
    """A book became suspect, or trusted again; `reason` is gap, crossed or impossible."""

    instrument: str
    is_trusted: bool
    reason: str | None
    detail: str | None
    ts_recv_ns: int

@final
class RiskEvent:
    """Trading ended (`is_killed`), or a stop-loss closes the position of `instrument`.

    `cause` is one of `RISK_CAUSES`, `reason` tells it in words. `found` reached `limit`, both in US
    dollars, for losing trades their number; None where somebody asked for it.
    """

    cause: str
    is_killed: bool
    instrument: str | None
    reason: str
    found: float | None
    limit: float | None
    ts_recv_ns: int

REJECT_CODES: tuple[tuple[str, str], ...]
RISK_CAUSES: tuple[str, ...]

@final
class RiskEngine:
    """Limits by themselves, for runs without a kernel: `docs/risk.md` says what they mean.

    Prices are twice the mid in ticks, quote assets in 1e-9 US dollars, money in 1e-12 of its
    currency, times in ns of our clock. Orders have the attributes `instrument` (index), `buy`,
    `px_ticks` (None: market), `qty_lots`, `reduce_only`, `trigger_px_ticks` and `oco` (id of the
    list's first order and number of its orders), each None where there is none. Checks return a
    code or None and change nothing; `evaluate` returns (`kill`, `stop` or `close`, cause, index).
    """

    def __new__(cls, instruments: Sequence[Any], limits: Any) -> Self: ...
    def set_now(self, now_ns: int) -> None: ...
    def set_prices(self, instrument: int, mid_px_x2: int | None, quote_usd: int | None) -> None: ...
    def set_profit(self, instrument: int, entry_value: int, unrealized: int | None) -> None: ...
    def set_equity(self, equity_usd: int | None) -> None: ...
    def check(self, order: Any, ahead: int, is_covered: bool) -> str | None: ...
    def check_modify(self, id: int, order: Any) -> str | None: ...
    def on_submit(self, id: int, order: Any) -> None: ...
    def on_modify(self, id: int, qty_lots: int) -> None: ...
    def on_modify_answer(self, id: int, qty_lots: int | None) -> None: ...
    def on_fill(self, id: int, qty_lots: int) -> None: ...
    def on_done(self, id: int) -> None: ...
    def on_position(self, instrument: int, position_lots: int, net: int) -> None: ...
    def end_trading(self, reason: str, flatten: bool) -> bool: ...
    def evaluate(self) -> list[tuple[str, str | None, int | None]]: ...

BAR_DTYPE: np.dtype[np.void]
PIVOT_DTYPE: np.dtype[np.void]
COB_ROW_DTYPE: np.dtype[np.void]

@final
class Flow:
    """A live view of aggressive buying and selling on our receive clock: of one instrument in its
    own units of quantity, or of a group in units of the base asset times each member's weight.

    Arrays hold the windows 1, 5, 15 and 60 s; a trade received at t is inside one of length W at
    the time now while now − W < t ≤ now. Each access makes a new array.
    """

    name: str
    buy_volume: npt.NDArray[np.float64]
    sell_volume: npt.NDArray[np.float64]
    unknown_volume: npt.NDArray[np.float64]
    """Of trades whose aggressor the venue does not tell."""
    buy_trades: npt.NDArray[np.uint64]
    sell_trades: npt.NDArray[np.uint64]
    unknown_trades: npt.NDArray[np.uint64]
    ratio: npt.NDArray[np.float64]
    """(bought − sold) / (bought + sold), 0 where neither is."""
    cvd: float
    """Cumulative volume delta: bought less sold since the flow was asked for first."""
    session_cvd: float
    """The same since the UTC day began."""
    def profile(
        self,
    ) -> tuple[
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
    ]:
        """The session's volume by price: lower edges of the buckets that traded, ascending, and
        what was bought, sold, and of unknown side in each."""

@final
class Sweep:
    """An aggressor's order, put together from its trades: of one side, one venue time, consecutive
    ids, and prices that move in its direction or stay. `levels` counts its prices; `side` is None
    where the venue does not tell. `ts_recv_ns` is our clock at the last trade."""

    instrument: str
    side: str | None
    px_first: float
    px_last: float
    vwap: float
    qty: float
    trades: int
    levels: int
    ts_event_ns: int
    ts_recv_ns: int

@final
class Chart:
    """A live view of an instrument's bars of one interval, with what is computed on them.

    It moves on when a bar is complete. `bars` and `pivots` are read-only views of memory that the
    run goes on writing: copy what is to be kept. `chart["sma:20"]` is the latest result of an
    indicator, None before it has seen enough bars.
    """

    instrument: str
    interval: str
    bars: npt.NDArray[np.void]
    """The latest 1,500 bars of `BAR_DTYPE`, oldest first, in the instrument's units; the venue's
    clock. `vwap` is Σ price × quantity / volume, or the close of a bar without trades."""
    pivots: npt.NDArray[np.void]
    """The latest 1,500 pivots of `PIVOT_DTYPE` in the order of their confirmation. `ts_pivot_ns` is
    the start of the pivot's bar on the venue's clock, `ts_confirmed_ns` ours."""
    indicators: dict[str, float | None]
    floor_pivots: dict[str, float] | None
    """p, r1 to r3 and s1 to s3 of the UTC day in which the latest bar ended (midnight begins the
    new day): P = (H + L + C) / 3, R1 = 2P − L, S1 = 2P − H, R2 = P + (H − L), S2 = P − (H − L),
    R3 = H + 2(P − L), S3 = L − 2(H − P), from the bars of the day before; None without them."""
    def add_indicator(self, name: str) -> list[str]:
        """Adds an indicator that sees the bars from now on; the names of its results."""
    def __getitem__(self, name: str, /) -> float | None: ...
    def trend(self, level: int = 1) -> int | None:
        """1 where the level's last high and low are above those before, −1 where both are below,
        else 0; None before it has two of each."""
    def bounds(self, px: float) -> PivotBounds:
        """What frames a price among the last 256 pivots of each level and side."""

@final
class PivotBounds:
    """Lowest and highest of the pivots kept, and the nearest at or below and at or above a price;
    None where there is none."""

    low: float | None
    high: float | None
    support: float | None
    resistance: float | None

@final
class Pivot:
    """A confirmed pivot: the start of its bar on the venue's clock, and when it became known on
    ours. `level` is 1 to 5."""

    instrument: str
    interval: str
    level: int
    is_high: bool
    px: float
    ts_pivot_ns: int
    ts_confirmed_ns: int

@final
class Cob:
    """A live view of a group's consolidated order book, on our receive clock.

    Quantities are in units of the base asset times each member's weight, prices in quote units.
    The window is 40 buckets: 20 below the one that holds the consolidated mid, 20 from it upward.
    While no member that takes part has two sides there is no mid: the numbers are None and the
    arrays NaN. Arrays are read-only; those of the window are overwritten by the next access and
    `samples` and `seconds` are views of memory that the run goes on writing: copy what is to be
    kept.
    """

    group: str
    members: list[str]
    bucket_size: float
    ts_ns: int
    mid: float | None
    """Mean of the members' mids, each weighted by its weight × base units at its best prices."""
    best_bid: float | None
    best_ask: float | None
    spread_bps: float | None
    """(best ask − best bid) / mid × 10,000; negative while members cross."""
    first_bucket: int | None
    """Absolute number of the lowest bucket: it begins at `first_bucket × bucket_size`."""
    prices: npt.NDArray[np.float64]
    """Lower edge of each bucket, shape (40,)."""
    bid: npt.NDArray[np.float64]
    ask: npt.NDArray[np.float64]
    imbalance: npt.NDArray[np.float64]
    """(bid − ask) / (bid + ask) of each bucket, 0 where it is empty."""
    vwap: npt.NDArray[np.float64]
    """Mean price of what rests in each bucket, both sides, by quantity; NaN where it is empty."""
    venues: npt.NDArray[np.uint8]
    """Members with resting size in each bucket."""
    imbalance_ma: npt.NDArray[np.float64]
    """Mean imbalance over the last 1, 5, 15 and 60 s (rows) of the ten buckets around the mid
    (columns; the mid's is the sixth), from ten samples a second, by absolute price."""
    bid_depth: float | None
    ask_depth: float | None
    liquidity_imbalance: float | None
    """(bid − ask) / (bid + ask) of the whole window."""
    shares: dict[str, float]
    """Each member's share of the window's depth, both sides."""
    ages_ns: dict[str, int | None]
    """Time since the last depth message of each member."""
    absent: dict[str, str]
    """Members that take no part: no_snapshot, suspect or stale."""
    crossings: list[Crossing]
    supports: list[CobLevel]
    resistances: list[CobLevel]
    samples: npt.NDArray[np.void]
    """The last 640 samples (64 s), ten a second, of `COB_ROW_DTYPE`, oldest first."""
    seconds: npt.NDArray[np.void]
    """The last 300 samples on whole seconds, of `COB_ROW_DTYPE`, oldest first."""
    def heatmap(
        self,
        kind: Literal["bid", "ask", "imbalance", "total"] = "total",
        seconds: int = 300,
        buckets: int = 40,
    ) -> npt.NDArray[np.float64]:
        """Time × price, float64[seconds, buckets]: the last row is the latest whole second, column
        `buckets // 2` the mid's bucket. NaN where nothing was sampled, or the bucket was outside
        the window then."""

@final
class Crossing:
    """Two members of which one asks no more than the other bids: buy from the first, sell to the
    second. `qty` base units could be taken without a loss, for `profit` quote units before fees."""

    buy: str
    sell: str
    ask_px: float
    bid_px: float
    qty: float
    profit: float
    is_locked: bool

@final
class CobLevel:
    """A bucket in which much rests: its edges, quantity, and quantity over the mean of its half."""

    px_low: float
    px_high: float
    qty: float
    strength: float

@final
class CobMember:
    """A member of a consolidated book left it, or came back (`is_in`); `reason` is no_snapshot,
    suspect or stale."""

    group: str
    instrument: str
    is_in: bool
    reason: str | None
    ts_recv_ns: int

class JournalError(RuntimeError):
    """A journal cannot be read or gone on with; the message says where and why."""

@final
class JournalReader:
    """The records of a journal; `engine.journal.Journal` is its public face."""

    torn: tuple[str, int, str] | None
    result_sha256: str
    seq: int
    def __new__(cls, path: str) -> JournalReader: ...
    def catch_up(self) -> None: ...
    def read(
        self, most: int, kinds: list[str] | None = None
    ) -> tuple[list[int], list[int], list[int], list[str], list[str]] | None: ...

def time_journal(path: str, count: int, content: bytes, sync_every_ns: int | None) -> float: ...
def journal_kinds() -> list[tuple[int, str, str, bool]]: ...

@final
class Kernel:
    """The event loop; `engine.backtest.Backtest` is its public face."""

    failed_handler: str | None
    start_ns: int
    now_ns: int
    event_ns: int | None
    seq: int
    result_sha256: str
    killed: tuple[str, str, int] | None
    def __new__(
        cls,
        instruments: Sequence[Any],
        *,
        exchange: Any,
        latency: Any,
        latency_samples: Sequence[tuple[int, int, int]],
        latency_target: Any,
        fees: Any,
        fees_target: Any,
        account: Any,
        risk: Any,
        seed: int,
        cash: Sequence[tuple[str, str]],
        equity_every_ns: int,
        begin_ns: int | None,
        fingerprint: str,
    ) -> Kernel: ...
    def add_stream(self, market: int, kind: str) -> int: ...
    def keep_journal(self, path: str, sync_every_ns: int | None, origin: str) -> None: ...
    def resume_journal(
        self, path: str, sync_every_ns: int | None, origin: str
    ) -> tuple[str, int, int, str] | None: ...
    def replay_journal(self, path: str, only_commands: bool) -> None: ...
    def fold_journal(self, path: str) -> None: ...
    def fold(
        self,
        sources: Sequence[Iterator[Any]],
        step: int | None = None,
        record: int | None = None,
        ts_ns: int | None = None,
    ) -> bool: ...
    def state_sha256(self) -> str: ...
    @property
    def folded(self) -> tuple[int, str]: ...
    @property
    def divergence(
        self,
    ) -> tuple[int, tuple[int, int, str, str] | None, tuple[int, int, str, str] | None] | None: ...
    def finish_journal(self, error: str | None = None) -> None: ...
    def run(
        self,
        handlers: Mapping[str, Callable[..., Any]],
        sources: Sequence[Iterator[npt.NDArray[np.void]]],
        sink: Callable[[dict[str, dict[str, Any]]], None],
    ) -> None: ...
    def counts(self) -> dict[str, int]: ...
    def codes_told(self) -> dict[str, int]: ...
    def kill(self, reason: str, flatten: bool) -> bool: ...
    def book_counts(self, market: int) -> dict[str, int]: ...
    def equity(self) -> dict[str, float | None]: ...
    def position(self, market: int) -> float: ...
    def entry_px(self, market: int) -> float | None: ...
    def mark_px(self, market: int) -> float | None: ...
    def funding_rate(self, market: int) -> float | None: ...
    def liquidation_px(self, market: int) -> float | None: ...
    def book(self, market: int, depth: int) -> Book: ...
    def add_cob(
        self, name: str, members: Sequence[tuple[int, float]], bucket: str, stale_ns: int
    ) -> Cob: ...
    def subscribe_cob(self, cob: int, every_ns: int | None) -> None: ...
    def subscribe_book(self, market: int, every_ns: int | None) -> None: ...
    def subscribe_trades(self, market: int) -> None: ...
    def chart(self, market: int, interval: str) -> Chart: ...
    def subscribe_bars(self, market: int, interval: str) -> None: ...
    def flow(
        self, name: str, members: Sequence[tuple[int, float]], bucket: str, in_base: bool
    ) -> Flow: ...
    def subscribe_sweeps(self, market: int, levels: int) -> None: ...
    def keep_ticks(self, market: int) -> None: ...
    def ticks(self, market: int) -> npt.NDArray[np.void]: ...
    def subscribe_pivots(self, market: int, interval: str, k: int, levels: int) -> None: ...
    def set_timer(self, at_ns: int, every_ns: int | None) -> int: ...
    def cancel_timer(self, timer: int) -> bool: ...
    def submit(
        self,
        market: int,
        buy: bool,
        qty: _Number,
        limit: _Number | None,
        tif: str,
        post_only: bool,
        reduce_only: bool,
        conditions: Mapping[str, Any] | None,
    ) -> int: ...
    def submit_list(self, market: int, drafts: Sequence[Mapping[str, Any]]) -> int: ...
    def cancel(self, order: int) -> bool: ...
    def cancel_all(self, market: int) -> int: ...
    def modify(
        self,
        order: int,
        qty: _Number | None,
        limit: _Number | None,
        stop: _Number | None,
        replace: bool,
    ) -> bool: ...
    def order_of_client(self, client_id: str) -> int | None: ...
    def order(self, order: int) -> Order | None: ...
    def live_orders(self) -> list[Order]: ...

# Bars as columns; used through `engine.analysis`.
_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

VALUE_NONE: int

def find_pivots(
    ts_start_ns: _Ints,
    high_ticks: _Ints,
    low_ticks: _Ints,
    ts_confirmed_ns: _Ints,
    k: int = 2,
    levels: int = 5,
) -> tuple[np.ndarray[Any, np.dtype[np.void]], np.ndarray[Any, np.dtype[np.int8]]]: ...
def follow_structure(
    ts_start_ns: _Ints,
    high_ticks: _Ints,
    low_ticks: _Ints,
    px_ticks: _Ints,
    tick: str,
    k: int = 2,
    levels: int = 5,
) -> dict[str, Any]: ...
def follow_floor_pivots(
    ts_start_ns: _Ints,
    high_ticks: _Ints,
    low_ticks: _Ints,
    close_ticks: _Ints,
    interval_ns: int,
    tick: str,
) -> dict[str, npt.NDArray[np.float64]]: ...
def compute_indicators(
    names: Sequence[str],
    ts_start_ns: _Ints,
    high_ticks: _Ints,
    low_ticks: _Ints,
    close_ticks: _Ints,
    volume_lots: _Ints,
    tick: str,
    lot: str,
    value_e8: _Ints | None = None,
) -> dict[str, npt.NDArray[np.float64]]: ...

# Import and catalog; used through `engine.importers`, `engine.catalog` and `engine.verify`.
_Rows: TypeAlias = np.ndarray[Any, np.dtype[np.void]]

FLAG_FIRST: int
FLAG_LAST: int
FLAG_RECV_RAISED: int

def events_from_columns(
    ts_event_ns: np.ndarray[Any, np.dtype[np.int64]],
    ts_recv_ns: np.ndarray[Any, np.dtype[np.int64]],
    px_ticks: np.ndarray[Any, np.dtype[np.int64]],
    qty_lots: np.ndarray[Any, np.dtype[np.int64]],
    seq: np.ndarray[Any, np.dtype[np.uint64]],
    prev_seq: np.ndarray[Any, np.dtype[np.uint64]],
    kind: np.ndarray[Any, np.dtype[np.uint8]],
    side: np.ndarray[Any, np.dtype[np.uint8]],
    flags: np.ndarray[Any, np.dtype[np.uint16]],
    instrument: int,
) -> _Rows: ...

class Survey:
    def __new__(
        cls, path: str | PathLike[str], market: str, symbol: str, tick: str, lot: str
    ) -> Self: ...
    def advance(self, text_bytes: int) -> bool: ...
    def source_bytes(self) -> int: ...
    def finish(self) -> dict[str, Any]: ...

class Importer:
    def __new__(
        cls,
        sources: Sequence[tuple[str | PathLike[str], str, int | None]],
        market: str,
        symbol: str,
        tick: str,
        lot: str,
        clock_offset_ns: int,
        state: dict[str, Any] | None = None,
    ) -> Self: ...
    def advance(self, rows: int) -> tuple[_Rows, _Rows, _Rows, _Rows] | None: ...
    def source_bytes(self) -> int: ...
    def counts(self) -> dict[str, int]: ...
    def state(self) -> dict[str, Any]: ...

class StreamChecker:
    def __new__(cls, kind: str) -> Self: ...
    def push(self, events: _Rows) -> None: ...
    def start_part(self) -> None: ...
    def end_part(self) -> tuple[int, int, int | None, list[int]]: ...

class Verifier:
    def __new__(cls) -> Self: ...
    def depth(self, events: _Rows) -> None: ...
    def quotes(self, events: _Rows) -> None: ...
    def wants_depth(self) -> bool: ...
    def verdict(self) -> dict[str, Any]: ...

# The testnet; used through `engine.testnet`.
TESTNET_MODEL_VERSION: int

class Testnet:
    elapsed_ns: int
    def __new__(
        cls,
        *,
        seed: int,
        start_ns: int,
        duration_ns: int,
        px_start: float,
        venues: Sequence[Mapping[str, str | float]],
    ) -> Self: ...
    def next_batches(self, rows_min: int) -> list[tuple[int, str, _Rows]] | None: ...

# Queue models against the truth; used through `engine.queue_study`.
STUDY_NEVER: int

def queue_study(
    rows: _Rows,
    *,
    models: Sequence[tuple[str, float]],
    lot: str,
    begin_ns: int,
    lifetime_ns: int,
    plans: Sequence[tuple[int, int, int]],
) -> dict[str, npt.NDArray[Any]]:
    """Follows orders that leave no trace through rows of single orders and trades, in the order of
    time: one ahead of each order that comes to rest from `begin_ns` on, and `plans` of (time in ns,
    side, level). A column for each field of `exchange::study::Ghost`; those of models are
    `(orders, models)`, times that never came `STUDY_NEVER`. Raises ValueError for a model that does
    not exist and for rows that are no events.
    """

def order_executions(rows: _Rows) -> npt.NDArray[np.int64]:
    """Executions of resting orders that rows of single orders show, `(executions, 5)`: index of the
    row, side and price of the order in ticks, lots, lots that stood before it in its queue."""

# The order-by-order book; used through `engine.importers.bitstamp`.
@final
class OrderBook:
    """A book made of single orders: sides are 1 (bid) and 2 (ask), prices ticks, sizes lots.

    A method that takes a message returns the name of what was wrong with it, or None. An order that
    crosses the book is in flight, outside every level, until `rest` finds that it crosses no more;
    `rest_over` removes what it crosses instead. A level's unnamed size, which stands before its
    orders, belongs to orders without a known id. Raises ValueError for another side.
    """

    def __new__(cls) -> Self: ...
    def __len__(self) -> int: ...
    def add(self, id: int, side: int, px_ticks: int, qty_lots: int) -> str | None: ...
    def change(self, id: int, side: int, px_ticks: int, qty_lots: int) -> str | None: ...
    def delete(self, id: int) -> str | None: ...
    def set_unnamed(self, side: int, px_ticks: int, qty_lots: int) -> str | None: ...
    def unnamed(self, side: int, px_ticks: int) -> int: ...
    def rest(self, id: int) -> bool: ...
    def rest_over(self, id: int) -> list[tuple[int, int, int, int, bool]]: ...
    def in_flight(self) -> list[int]: ...
    def order(self, id: int) -> tuple[int, int, int, int, bool] | None:
        """Id, side, price, size left, whether it is in flight."""
    def best(self, side: int) -> tuple[int, int] | None: ...
    def qty_at(self, side: int, px_ticks: int) -> int: ...
    def levels(self, side: int, count: int | None = None) -> npt.NDArray[np.int64]:
        """The best levels, best first: `(levels, 3)` of price, size and number of orders."""
    def queue(self, side: int, px_ticks: int) -> list[tuple[int, int]]:
        """Id and size of each order at a price, the front of the queue first."""
    def ahead(self, id: int) -> int | None:
        """The size before a resting order in its queue; None for any other order."""
    def take_changes(self) -> list[tuple[int, int, int]]:
        """Side, price and new size of each level that is not what it was at the last call."""
    def counts(self) -> dict[str, int]: ...

# Bars, order flow and ticks on their own, for benchmarks and for tests against plain oracles.
_Wide: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]
"""Integers of 128 bits: upper halves, lower halves."""

def build_bars(trades: _Rows, intervals: Sequence[str]) -> tuple[npt.NDArray[np.int64], _Wide]:
    """Complete bars in order of emission, `(bars, 10)`: trades received by then, start, interval,
    open, high, low, close, volume, buy volume, trades; and the value (price × lots) of each. In ns,
    ticks and lots. Raises ValueError for rows that are no trades and for unknown intervals."""

def replay_flow(
    trades: _Rows,
    tick: str,
    bucket: str,
    after: npt.NDArray[np.int64],
    at_ns: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """Order flow as it is after so many trades at such times, a row for each: `lots` (128 bits) and
    `trades`, by volume (1, 5, 15, 60 s, session, all) and aggressor (unknown, buying, selling),
    `ratio` by volume, `session_start_ns`; after all trades the session's `profile`, lots by bucket,
    and `outside` of it, `early_trades` and `bytes`."""

def aggressor_orders(
    trades: _Rows, after: npt.NDArray[np.int64], at_ns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], _Wide, _Wide]:
    """Aggressors' orders in order of emission, `(orders, 9)`: trades received by then and our
    clock, side, venue time, receive time, first and last price, trades, levels; and lots and value
    of each. The clock is looked at after so many trades at such times."""

def count_flow(
    trades: _Rows, intervals: Sequence[str], tick: str, bucket: str
) -> tuple[int, int, int, int]:
    """Bars, order flow and aggressors' orders all together, nothing of it kept: number of bars, of
    orders, of sweeps, and lots bought less lots sold."""

def replay_ticks(
    depth: _Rows, trades: _Rows, rows_max: int, at_ns: int
) -> tuple[_Rows, _Rows, int]:
    """The ticks kept at a time in order of receipt, in two parts, and how many went for want of
    room."""

# Columns of vendor files to whole steps; used through `engine.importers.delimited`.
def decimal_steps(
    offsets: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    step: str,
    nearest_places: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[str], npt.NDArray[np.int64]]:
    """Texts, text `i` being `data[offsets[i]:offsets[i + 1]]`, as counts of `step`: the counts (0
    where there is none), the indices of texts without one, the reasons of the first 1,000 of those,
    and the indices of texts that were taken for the nearest step, which those of at most
    `nearest_places` decimal places are."""

def float_steps(
    values: npt.NDArray[np.float64], step: str, tolerance: float = 1e-6
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[str]]:
    """Floats as counts of `step`: the counts (0 where there is none), the indices of floats without
    one, and the reasons of the first 1,000 of those. A float counts if it is within `tolerance`
    steps, plus four units in the last place, of a multiple below 2^51 steps."""
