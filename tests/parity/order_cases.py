"""One case for each rule of an order type, with what has to come of it; see `tests.parity.case`."""

from __future__ import annotations

from tests.parity.case import (
    A,
    B,
    Case,
    M,
    T,
    buy,
    cancel,
    gone,
    modify,
    new,
    sell,
)
from tests.parity.list_cases import LISTS

MARKET = [
    Case(
        "a market order walks the levels",
        [buy(1, 1, 25), sell(1, 2, 11)],
        {
            1: ("filled", [(1, 102, 10, T), (1, 103, 15, T)]),
            2: ("filled", [(1, 100, 10, T), (1, 99, 1, T)]),
        },
    ),
    Case(
        "a market order without a book to take from is rejected",
        [buy(2, 1, 5)],
        {1: ("rejected", [])},
        messages=[(1, gone(A, 102, 103, 104))],
    ),
    Case(
        "a level that the feed sends anew can be taken again",
        [buy(1, 1, 10), buy(3, 2, 10)],
        {1: ("filled", [(1, 102, 10, T)]), 2: ("filled", [(3, 102, 7, T), (3, 103, 3, T)])},
        messages=[(2, [(A, 102, 7)])],
    ),
    Case(
        "what the book cannot give a market order expires",
        [sell(1, 1, 100)],
        {1: ("expired", [(1, 100, 10, T), (1, 99, 20, T), (1, 98, 30, T)])},
        nautilus={1: ("partially_filled", [(1, 100, 10, T), (1, 99, 20, T), (1, 98, 30, T)])},
        because="remainder of a market order",
    ),
    Case(
        "two takers of one level share it",
        [buy(1, 1, 8), buy(2, 2, 8)],
        {1: ("filled", [(1, 102, 8, T)]), 2: ("filled", [(2, 102, 2, T), (2, 103, 6, T)])},
        nautilus={2: ("filled", [(2, 102, 8, T)])},
        because="consumed liquidity",
    ),
]

LIMIT = [
    Case(
        "a limit order walks to its limit and rests there",
        [buy(1, 1, 50, px=103)],
        {1: ("filled", [(1, 102, 10, T), (1, 103, 20, T), (3, 103, 20, M)])},
        messages=[(2, gone(A, 102, 103)), (3, [(A, 103, 40)])],
    ),
    Case(
        "a resting order takes what comes to its price, and no more",
        [buy(1, 1, 50, px=101)],
        {1: ("partially_filled", [(2, 101, 4, M), (4, 101, 3, M)])},
        messages=[
            (2, [(A, 101, 4)]),
            (3, gone(A, 101)),
            (4, [(A, 99, 3), (B, 99, 0), (B, 100, 0)]),
            (5, gone(A, 99)),
        ],
    ),
    Case(
        "a resting order does not take the same level twice",
        [buy(1, 1, 50, px=101)],
        {1: ("partially_filled", [(2, 101, 4, M)])},
        messages=[(2, [(A, 101, 4)]), (3, [(B, 50, 1)]), (4, gone(A, 101))],
        nautilus={1: ("partially_filled", [(2, 101, 4, M), (3, 101, 4, M)])},
        because="consumed liquidity",
    ),
    Case(
        "orders of one side do not hide the market from one another",
        [buy(1, 1, 3, px=101), buy(1, 2, 3, px=100)],
        {1: ("filled", [(2, 101, 3, M)]), 2: ("filled", [(2, 100, 3, M)])},
        messages=[(2, [(B, 100, 0), (B, 99, 0), (A, 99, 9)]), (3, [(B, 50, 1)])],
        nautilus={2: ("filled", [(3, 100, 3, M)])},
        because="best price hidden by a fill",
    ),
    Case(
        "trades fill resting orders, at the price and through it",
        [buy(1, 1, 5, px=101)],
        {1: ("filled", [(2, 101, 3, M), (3, 101, 2, M)])},
        trades=[(2, A, 101, 3), (3, A, 100, 9)],
        nautilus={1: ("open", [])},
        because="trades and resting orders",
    ),
    Case(
        "immediate or cancel takes a part, or nothing",
        [buy(1, 1, 50, px=103, tif="IOC"), buy(1, 2, 5, px=101, tif="IOC")],
        {1: ("expired", [(1, 102, 10, T), (1, 103, 20, T)]), 2: ("expired", [])},
    ),
    Case(
        "fill or kill takes all or nothing",
        [
            buy(1, 1, 31, px=103, tif="FOK"),
            buy(1, 2, 30, px=103, tif="FOK"),
            sell(1, 3, 61, tif="FOK"),
            sell(1, 4, 60, tif="FOK"),
        ],
        {
            1: ("expired", []),
            2: ("filled", [(1, 102, 10, T), (1, 103, 20, T)]),
            3: ("expired", []),
            4: ("filled", [(1, 100, 10, T), (1, 99, 20, T), (1, 98, 30, T)]),
        },
    ),
    Case(
        "post-only is rejected where it would take",
        [buy(1, 1, 5, px=102, post_only=True), buy(1, 2, 5, px=101, post_only=True)],
        {1: ("rejected", []), 2: ("filled", [(2, 101, 5, M)])},
        messages=[(2, [(A, 101, 5)])],
    ),
    Case(
        "post-only rests where the other side is empty",
        [buy(2, 1, 5, px=103, post_only=True)],
        {1: ("open", [])},
        messages=[(1, gone(A, 102, 103, 104))],
        nautilus={1: ("rejected", [])},
        because="last known best",
    ),
    Case(
        "good till date expires at its time",
        [buy(1, 1, 5, px=101, expire=3), buy(1, 2, 5, px=101, expire=5)],
        {1: ("expired", []), 2: ("filled", [(4, 101, 5, M)])},
        messages=[(3, [(B, 50, 1)]), (4, [(A, 101, 9)])],
    ),
    Case(
        "good till date does not wait for the next event to expire",
        [buy(1, 1, 5, px=101, expire=3)],
        {1: ("expired", [])},
        messages=[(4, [(A, 101, 9)])],
        nautilus={1: ("filled", [(4, 101, 5, M)])},
        because="time of expiry",
    ),
    Case(
        "an order whose time has passed on arrival is rejected",
        [buy(1, 1, 5, px=102, expire=1.05)],
        {1: ("rejected", [])},
        nautilus={1: ("filled", [(1.1, 102, 5, T)])},
        because="time of expiry",
        latency_ns=100_000_000,
    ),
    Case(
        "an iceberg whose price is passed fills whole",
        [buy(1, 1, 12, px=101, display_lots=2)],
        {1: ("filled", [(2, 101, 12, M)])},
        messages=[(2, [(A, 101, 20)])],
    ),
]

STOPS = [
    Case(
        "stops trigger at the other side's best and slip through the book",
        [
            new(1, 1, "buy", "stop_market", 25, trigger=103),
            new(1, 2, "sell", "stop_market", 25, trigger=99),
        ],
        {1: ("filled", [(3, 104, 25, T)]), 2: ("filled", [(4, 99, 20, T), (4, 98, 5, T)])},
        messages=[(2, [(A, 102, 3)]), (3, gone(A, 102, 103)), (4, gone(B, 100))],
    ),
    Case(
        "a stop that would trigger at once is rejected, at the price itself too",
        [
            new(1, 1, "buy", "stop_market", 5, trigger=102),
            new(1, 2, "buy", "stop_market", 5, trigger=101),
            new(1, 3, "sell", "stop_market", 5, trigger=100),
            new(1, 4, "buy", "take_profit_market", 5, trigger=102),
            new(1, 5, "sell", "take_profit_market", 5, trigger=99),
            new(1, 6, "buy", "stop_limit", 5, trigger=102, px=101),
        ],
        {order_id: ("rejected", []) for order_id in range(1, 7)},
    ),
    Case(
        "a stop that the book cannot fill expires",
        [new(1, 1, "sell", "stop_market", 40, trigger=98)],
        {1: ("expired", [(2, 98, 30, T)])},
        messages=[(2, gone(B, 100, 99)), (3, [(B, 98, 0), (B, 97, 50)])],
        nautilus={1: ("filled", [(2, 98, 30, T), (3, 97, 10, T)])},
        because="remainder of a market order",
    ),
    Case(
        "a stop-limit left behind by the market rests, and fills when it comes back",
        [new(1, 1, "buy", "stop_limit", 35, trigger=103, px=103)],
        {1: ("filled", [(4, 103, 35, M)])},
        messages=[(2, gone(A, 102, 103)), (4, [(A, 103, 40)])],
    ),
    Case(
        "a stop-limit within its limit takes at once",
        [new(1, 1, "sell", "stop_limit", 25, trigger=99, px=98)],
        {1: ("filled", [(2, 99, 20, T), (2, 98, 5, T)])},
        messages=[(2, gone(B, 100))],
    ),
    Case(
        "a stop-limit takes at the prices that are there",
        [new(1, 1, "buy", "stop_limit", 25, trigger=103, px=106)],
        {1: ("filled", [(2, 104, 25, T)])},
        messages=[(2, gone(A, 102, 103))],
        nautilus={1: ("filled", [(2, 103, 25, T)])},
        because="price of a triggered limit order",
    ),
    Case(
        "a take-profit limit that the market has passed takes",
        [new(1, 1, "buy", "take_profit_limit", 10, trigger=101, px=100)],
        {1: ("filled", [(2, 99, 5, T), (2, 100, 5, T)])},
        messages=[(2, [(B, 100, 0), (B, 99, 0), (A, 99, 5), (A, 100, 5)])],
        nautilus={1: ("filled", [(2, 100, 10, M)])},
        because="price of a triggered limit order",
    ),
    Case(
        "a stop-limit that rests is filled at its limit",
        [new(1, 1, "buy", "stop_limit", 8, trigger=103, px=106)],
        {1: ("filled", [(3, 106, 8, M)])},
        messages=[(2, [*gone(A, 102, 103, 104), (A, 110, 9)]), (3, [(A, 105, 9)])],
        nautilus={1: ("filled", [(3, 105, 8, M)])},
        because="price of a triggered limit order",
    ),
    Case(
        "a post-only stop-limit that would take expires when triggered",
        [new(1, 1, "buy", "stop_limit", 5, trigger=103, px=104, post_only=True)],
        {1: ("expired", [])},
        messages=[(2, gone(A, 102))],
        nautilus={1: ("rejected", [])},
        because="names of the end",
    ),
    Case(
        "take-profit orders trigger at the price or better",
        [
            new(1, 1, "buy", "take_profit_market", 10, trigger=101),
            new(1, 2, "sell", "take_profit_market", 5, trigger=101),
        ],
        {1: ("filled", [(2, 101, 4, T), (2, 102, 6, T)]), 2: ("filled", [(4, 101, 5, T)])},
        messages=[(2, [(A, 101, 4)]), (3, gone(A, 101)), (4, [(B, 101, 9)])],
    ),
    Case(
        "a take-profit limit rests at its limit when triggered",
        [new(1, 1, "buy", "take_profit_limit", 10, trigger=101, px=100)],
        {1: ("filled", [(3, 100, 10, M)])},
        messages=[(2, [(A, 101, 4)]), (3, [(B, 100, 0), (A, 100, 15)])],
    ),
    Case(
        "a trade triggers what watches the last price",
        [new(1, 1, "buy", "stop_market", 5, trigger=103, trigger_by="last")],
        {1: ("filled", [(2, 102, 5, T)])},
        trades=[(2, B, 103, 1)],
        nautilus={1: ("untriggered", [])},
        because="price that a trigger watches",
    ),
    Case(
        "two stops of one moment share the book",
        [
            new(1, 1, "sell", "stop_market", 15, trigger=99),
            new(1, 2, "sell", "stop_market", 15, trigger=99),
        ],
        {1: ("filled", [(2, 99, 15, T)]), 2: ("filled", [(2, 99, 5, T), (2, 98, 10, T)])},
        messages=[(2, gone(B, 100))],
        nautilus={2: ("filled", [(2, 99, 15, T)])},
        because="consumed liquidity",
    ),
    Case(
        "a cancel at the moment of the trigger comes too late",
        [new(1, 1, "sell", "stop_market", 5, trigger=99), cancel(2, 1)],
        {1: ("filled", [(2, 99, 5, T)])},
        messages=[(2, gone(B, 100))],
    ),
]

RISE_AND_FALL = [
    (2, [(B, 101, 9)]),
    (3, [(A, 102, 0), (B, 102, 5)]),
    (4, gone(B, 102)),
    (5, gone(B, 101)),
    (6, gone(B, 100)),
]
TRAILING = [
    Case(
        "a trailing sale follows the best bid up and stays there",
        [new(1, 1, "sell", "trailing_stop", 12, trail_ticks=2)],
        {1: ("filled", [(5, 100, 10, T), (5, 99, 2, T)])},
        messages=RISE_AND_FALL,
    ),
    Case(
        "a trailing buy follows the best ask down and stays there",
        [new(1, 1, "buy", "trailing_stop", 12, trail_ticks=2)],
        {1: ("filled", [(4, 103, 12, T)])},
        messages=[(2, [(A, 101, 1)]), (3, gone(A, 101)), (4, gone(A, 102)), (5, gone(A, 103))],
    ),
    Case(
        "a share of the price is a distance to the nearest tick",
        [
            new(1, 1, "sell", "trailing_stop", 12, trail_bps=149),
            new(1, 2, "sell", "trailing_stop", 12, trail_bps=151),
        ],
        {1: ("filled", [(2, 99, 12, T)]), 2: ("filled", [(3, 98, 12, T)])},
        messages=[(2, gone(B, 100)), (3, gone(B, 99))],
    ),
    Case(
        "one message moves the trail or triggers it",
        [new(1, 1, "sell", "trailing_stop", 12, trail_ticks=1)],
        {1: ("filled", [(3, 100, 10, T), (3, 99, 2, T)])},
        messages=[(2, [(B, 101, 9)]), (3, gone(B, 101))],
    ),
    Case(
        "a trailing stop that waits for its activation",
        [new(1, 1, "sell", "trailing_stop", 12, trail_ticks=2, activation_ticks=101)],
        {1: ("filled", [(4, 99, 5, T), (4, 98, 7, T)])},
        messages=[(2, gone(B, 100, 99)), (3, [(B, 101, 9)]), (4, [(B, 101, 0), (B, 99, 5)])],
    ),
    Case(
        "a trailing stop whose activation price is reached already is rejected",
        [new(1, 1, "sell", "trailing_stop", 12, trail_ticks=2, activation_ticks=100)],
        {1: ("rejected", [])},
    ),
    Case(
        "a trailing stop on the last price triggers at the last price",
        [new(1, 1, "sell", "trailing_stop", 5, trail_ticks=3, trigger_by="last")],
        {1: ("filled", [(4, 100, 5, T)])},
        trades=[(0.5, B, 102, 1), (2, B, 104, 1), (3, A, 102, 1), (4, A, 101, 1)],
        nautilus={1: ("filled", [(3, 100, 5, T)])},
        because="price that a trigger watches",
    ),
    Case(
        "a smaller quantity leaves the trail where it is",
        [new(1, 1, "sell", "trailing_stop", 12, trail_ticks=2), modify(4.5, 1, lots=5)],
        {1: ("filled", [(5, 100, 5, T)])},
        messages=RISE_AND_FALL,
    ),
]

REDUCE_ONLY = [
    Case(
        "reduce-only without a position is rejected",
        [buy(1, 1, 5, reduce_only=True), sell(1, 2, 5, px=103, reduce_only=True)],
        {1: ("rejected", []), 2: ("rejected", [])},
    ),
    Case(
        "reduce-only does what is left of the position",
        [buy(1, 1, 5), sell(2, 2, 8, reduce_only=True), sell(3, 3, 8, reduce_only=True)],
        {
            1: ("filled", [(1, 102, 5, T)]),
            2: ("filled", [(2, 100, 5, T)]),
            3: ("rejected", []),
        },
    ),
    Case(
        "reduce-only resting is cut to the position",
        [buy(1, 1, 9), sell(2, 2, 8, px=103, reduce_only=True), sell(3, 3, 5)],
        {
            1: ("filled", [(1, 102, 9, T)]),
            2: ("filled", [(4, 103, 4, M)]),
            3: ("filled", [(3, 100, 5, T)]),
        },
        messages=[(4, [(A, 102, 0), (A, 103, 0), (B, 103, 9)])],
    ),
    Case(
        "reduce-only resting ends when there is nothing left to reduce",
        [buy(1, 1, 9), sell(2, 2, 3, px=103, reduce_only=True), sell(3, 3, 9)],
        {
            1: ("filled", [(1, 102, 9, T)]),
            2: ("expired", []),
            3: ("filled", [(3, 100, 9, T)]),
        },
        nautilus={2: ("open", [])},
        because="reduce-only orders of a flat position",
    ),
    Case(
        "a reduce-only stop is judged when it triggers",
        [new(1, 1, "sell", "stop_market", 5, trigger=99, reduce_only=True), buy(2, 2, 3)],
        {1: ("filled", [(3, 99, 3, T)]), 2: ("filled", [(2, 102, 3, T)])},
        messages=[(3, gone(B, 100))],
        nautilus={1: ("rejected", [])},
        because="reduce-only orders of a flat position",
    ),
]

REQUESTS = [
    Case(
        "a smaller quantity counts what has filled",
        [buy(1, 1, 12, px=101), modify(4, 1, lots=8)],
        {1: ("filled", [(2, 101, 4, M), (5, 101, 4, M)])},
        messages=[(2, [(A, 101, 4)]), (3, gone(A, 101)), (5, [(A, 101, 9)])],
    ),
    Case(
        "a larger quantity counts what has filled",
        [buy(1, 1, 12, px=101), modify(4, 1, lots=14)],
        {1: ("filled", [(2, 101, 4, M), (5, 101, 10, M)])},
        messages=[(2, [(A, 101, 4)]), (3, gone(A, 101)), (5, [(A, 101, 30)])],
    ),
    Case(
        "a quantity of no more than what has filled ends the order",
        [buy(1, 1, 12, px=101), modify(4, 1, lots=4)],
        {1: ("canceled", [(2, 101, 4, M)])},
        messages=[(2, [(A, 101, 4)]), (3, gone(A, 101))],
        nautilus={1: ("partially_filled", [(2, 101, 4, M)])},
        because="amendments that end an order",
    ),
    Case(
        "a price through the touch takes",
        [buy(1, 1, 12, px=99), modify(2, 1, px=103)],
        {1: ("filled", [(2, 102, 10, T), (2, 103, 2, T)])},
    ),
    Case(
        "a post-only order moved through the touch ends",
        [buy(1, 1, 12, px=99, post_only=True), modify(2, 1, px=102)],
        {1: ("expired", [])},
        nautilus={1: ("open", [])},
        because="amendments that end an order",
    ),
    Case(
        "a stop is not moved into the market, but elsewhere",
        [
            new(1, 1, "sell", "stop_market", 5, trigger=98),
            modify(2, 1, trigger=100),
            new(3, 2, "sell", "stop_market", 5, trigger=97),
            modify(4, 2, trigger=99),
        ],
        {1: ("untriggered", []), 2: ("filled", [(5, 99, 5, T)])},
        messages=[(5, gone(B, 100))],
    ),
    Case(
        "a stop-limit's limit is moved before it triggers",
        [new(1, 1, "buy", "stop_limit", 5, trigger=103, px=103), modify(2, 1, px=104)],
        {1: ("filled", [(3, 103, 5, T)])},
        messages=[(3, gone(A, 102))],
    ),
    Case(
        "a cancel at the moment of a fill comes too late",
        [buy(1, 1, 12, px=101), cancel(2, 1)],
        {1: ("filled", [(2, 101, 12, M)])},
        messages=[(2, [(A, 101, 20)])],
    ),
    Case(
        "a cancel under way crosses a fill of a part",
        [buy(1, 1, 12, px=101), cancel(1.95, 1)],
        {1: ("canceled", [(2, 101, 5, M)])},
        messages=[(2, [(A, 101, 5)]), (2.02, gone(A, 101)), (3, [(A, 101, 9)])],
        latency_ns=100_000_000,
    ),
    Case(
        "a cancel under way crosses the last fill",
        [buy(1, 1, 12, px=101), cancel(1.95, 1)],
        {1: ("filled", [(2, 101, 12, M)])},
        messages=[(2, [(A, 101, 20)])],
        latency_ns=100_000_000,
    ),
    Case(
        "a modification under way crosses a partial fill",
        [buy(1, 1, 12, px=101), modify(1.95, 1, lots=8)],
        {1: ("filled", [(2, 101, 5, M), (3, 101, 3, M)])},
        messages=[(2, [(A, 101, 5)]), (2.02, gone(A, 101)), (3, [(A, 101, 9)])],
        latency_ns=100_000_000,
    ),
    Case(
        "an order meets the book of its arrival",
        [buy(1, 1, 12)],
        {1: ("filled", [(1.1, 102, 10, T), (1.1, 103, 2, T)])},
        messages=[(1.05, [(A, 102, 10)]), (1.2, gone(A, 102))],
        latency_ns=100_000_000,
    ),
]

CASES = [*MARKET, *LIMIT, *STOPS, *TRAILING, *LISTS, *REDUCE_ONLY, *REQUESTS]
