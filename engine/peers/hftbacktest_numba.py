"""The parts that run inside hftbacktest's loop, compiled by numba. Imported only with
hftbacktest.
"""

from __future__ import annotations

import numpy as np
from hftbacktest.order import GTX, LIMIT
from numba import njit

RAW_RESULT_DTYPE = np.dtype(
    [
        ("status", "<i8"),
        ("exec_px_ticks", "<i8"),
        ("exec_qty", "<f8"),
        ("ts_exchange_ns", "<i8"),
        ("maker", "<i8"),
    ],
    align=True,
)

_TO_THE_END_NS = 10**18


@njit
def _collect(hbt, raw):
    """What became of each order, by order id from 1."""
    for i in range(len(raw)):
        order = hbt.orders(0).get(np.uint64(i + 1))
        if order is None:
            continue
        raw[i].status = order.status
        raw[i].exec_px_ticks = order.exec_price_tick
        raw[i].exec_qty = order.exec_qty
        raw[i].ts_exchange_ns = order.exch_timestamp
        raw[i].maker = order.arr[0].maker


@njit
def send_commands(hbt, commands, px, qty, sent, raw):
    """Sends each command at its time; returns how many were reached. Fills `sent` and `raw` in
    place.
    """
    hbt.elapse(1)
    for i in range(len(commands)):
        command = commands[i]
        wait_ns = command.ts_ns - hbt.current_timestamp
        if wait_ns > 0 and hbt.elapse(wait_ns) != 0:
            return i
        order_id = command.order_id
        if command.action == 0:
            kind = np.uint8(command.order_type)
            tif = np.uint8(command.tif)
            if command.side > 0:
                code = hbt.submit_buy_order(0, order_id, px[i], qty[i], tif, kind, False)
            else:
                code = hbt.submit_sell_order(0, order_id, px[i], qty[i], tif, kind, False)
        else:
            order = hbt.orders(0).get(order_id)
            if order is None or not order.cancellable:
                continue
            if command.action == 1:
                code = hbt.cancel(0, order_id, False)
            else:
                code = hbt.modify(0, order_id, px[i], qty[i], False)
        if code != 0:
            return i
        sent[i] = True
    hbt.elapse(_TO_THE_END_NS)
    _collect(hbt, raw)
    return len(commands)


@njit
def quote(hbt, begin_ns, interval_ns, looks_per_quote, qty, tops, raw):
    """The benchmark's strategy; returns the looks taken. Fills `tops` and `raw` in place."""
    hbt.elapse(1)
    if hbt.elapse(begin_ns - hbt.current_timestamp) != 0:
        return 0
    looks = 0
    submitted = 0
    while looks < len(tops):
        depth = hbt.depth(0)
        tops[looks, 0] = depth.best_bid_tick
        tops[looks, 1] = depth.best_ask_tick
        if looks % looks_per_quote == 0:
            for order_id in range(max(1, submitted - 1), submitted + 1):
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
