"""The parts that run inside hftbacktest's loop, compiled by numba. Imported only with
hftbacktest.
"""

from __future__ import annotations

import numpy as np
from hftbacktest.order import FILLED, GTX, LIMIT, NEW, PARTIALLY_FILLED
from numba import njit

RAW_RESULT_DTYPE = np.dtype(
    [
        ("status", "<i8"),
        ("leaves_qty", "<f8"),
        ("filled_qty", "<f8"),
        ("fills", "<i8"),
        ("exec_px_ticks", "<i8"),
        ("ts_fill_ns", "<i8"),
        ("ts_exchange_ns", "<i8"),
        ("maker", "<i8"),
        ("asked_leaves_qty", "<f8"),
    ],
    align=True,
)
"""`leaves_qty`: as last heard of; `asked_leaves_qty`: what it was when a modification was sent that
has not been answered, otherwise below zero."""

_TO_THE_END_NS = 10**18
_ORDER_RESPONSE = 3


@njit
def _hear(order, raw):
    """Takes down what an order's last response says; tells whether the order is at its end.

    Its quantities are no sums, so a fill is known by what is left being less than before, and told
    from a modification's answer by what that would leave.
    """
    status, leaves = order.status, order.leaves_qty
    taker = order.arr[0].maker == 0
    is_modified = status == NEW or (
        status == PARTIALLY_FILLED and raw.asked_leaves_qty >= 0 and leaves == order.qty
    )
    if is_modified:
        filled = 0.0
    elif status == FILLED and taker and raw.asked_leaves_qty >= 0:
        # It lost its place and took: with what was left when the modification was sent.
        filled = raw.asked_leaves_qty
    else:
        filled = max(0.0, raw.leaves_qty - leaves)
    if is_modified:
        raw.asked_leaves_qty = -1.0
    raw.leaves_qty = leaves
    raw.status = status
    raw.ts_exchange_ns = order.exch_timestamp
    if filled > 0:
        raw.filled_qty += filled
        raw.fills += 1
        raw.exec_px_ticks = order.exec_price_tick
        raw.ts_fill_ns = order.exch_timestamp
        raw.maker = order.arr[0].maker
    return status not in {NEW, PARTIALLY_FILLED}


@njit
def _hear_all(hbt, live, live_count, raw):
    """Looks at every order that was not at its end; returns how many are not now."""
    orders = hbt.orders(0)
    at = 0
    while at < live_count:
        order_id = live[at]
        order = orders.get(np.uint64(order_id))
        result = raw[order_id - 1]
        said = order.exch_timestamp != result.ts_exchange_ns or order.status != result.status
        if said and order.status != 0 and _hear(order, result):
            live_count -= 1
            live[at] = live[live_count]
        else:
            at += 1
    return live_count


@njit
def _elapse_to(hbt, ts_ns, live, live_count, raw):
    """Lets time pass, hearing every response on its own. Returns a code, 0 for done, 1 for the
    data's end, and how many orders live.
    """
    while hbt.current_timestamp < ts_ns:
        code = hbt.wait_next_feed(True, ts_ns - hbt.current_timestamp)
        if code == _ORDER_RESPONSE:
            live_count = _hear_all(hbt, live, live_count, raw)
        elif code not in {0, 2}:
            return code, _hear_all(hbt, live, live_count, raw)
    return 0, live_count


@njit
def send_commands(hbt, commands, px, qty, sent, raw):
    """Sends each command at its time; returns how many were reached, and the code that ended it (1
    is the end of the data). Fills `sent` and `raw` in place.
    """
    hbt.elapse(1)
    live = np.empty(len(raw), np.int64)
    live_count = 0
    for i in range(len(commands)):
        command = commands[i]
        code, live_count = _elapse_to(hbt, command.ts_ns, live, live_count, raw)
        if code != 0:
            return i, code
        order_id = command.order_id
        result = raw[np.int64(order_id) - 1]
        if command.action == 0:
            kind = np.uint8(command.order_type)
            tif = np.uint8(command.tif)
            if command.side > 0:
                code = hbt.submit_buy_order(0, order_id, px[i], qty[i], tif, kind, False)
            else:
                code = hbt.submit_sell_order(0, order_id, px[i], qty[i], tif, kind, False)
            result.leaves_qty = qty[i]
            result.asked_leaves_qty = -1.0
            live[live_count] = np.int64(order_id)
            live_count += 1
        else:
            order = hbt.orders(0).get(order_id)
            if order is None or not order.cancellable:
                continue
            if command.action == 1:
                code = hbt.cancel(0, order_id, False)
            else:
                code = hbt.modify(0, order_id, px[i], qty[i], False)
                result.asked_leaves_qty = result.leaves_qty
        if code != 0:
            return i, code
        sent[i] = True
    code, live_count = _elapse_to(
        hbt, hbt.current_timestamp + _TO_THE_END_NS, live, live_count, raw
    )
    return len(commands), code


@njit
def _collect(hbt, raw):
    """What became of each order, by order id from 1."""
    for i in range(len(raw)):
        order = hbt.orders(0).get(np.uint64(i + 1))
        if order is not None:
            raw[i].leaves_qty = order.qty
            raw[i].asked_leaves_qty = -1.0
            _hear(order, raw[i])


@njit
def quote(hbt, begin_ns, interval_ns, looks_per_quote, qty, sides, px, tops, raw):
    """The benchmark's strategy; returns the looks taken. `sides` and `px` are of the orders that
    rest. Fills `tops` and `raw` in place.
    """
    hbt.elapse(1)
    if hbt.elapse(begin_ns - hbt.current_timestamp) != 0:
        return 0
    looks = 0
    resting = len(px)
    submitted = resting
    for i in range(resting):
        if sides[i] > 0:
            hbt.submit_buy_order(0, np.uint64(i + 1), px[i], qty, GTX, LIMIT, False)
        else:
            hbt.submit_sell_order(0, np.uint64(i + 1), px[i], qty, GTX, LIMIT, False)
    while looks < len(tops):
        depth = hbt.depth(0)
        tops[looks, 0] = depth.best_bid_tick
        tops[looks, 1] = depth.best_ask_tick
        if looks % looks_per_quote == 0:
            for order_id in range(max(resting + 1, submitted - 1), submitted + 1):
                order = hbt.orders(0).get(np.uint64(order_id))
                if order is not None and order.cancellable:
                    hbt.cancel(0, np.uint64(order_id), False)
            bid, ask = depth.best_bid, depth.best_ask
            hbt.submit_buy_order(0, np.uint64(submitted + 1), bid, qty, GTX, LIMIT, False)
            hbt.submit_sell_order(0, np.uint64(submitted + 2), ask, qty, GTX, LIMIT, False)
            submitted += 2
        looks += 1
        if hbt.elapse(interval_ns) != 0:
            break
    hbt.elapse(_TO_THE_END_NS)
    _collect(hbt, raw)
    return looks


@njit
def play(hbt):
    """Plays all rows."""
    hbt.elapse(1)
    hbt.elapse(_TO_THE_END_NS)
