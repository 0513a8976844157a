"""The order-by-order book as Python sees it; its rules are tested in Rust."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import OrderBook

BID, ASK = 1, 2


def test_levels_queues_and_changes() -> None:
    book = OrderBook()
    for id, px, qty in ((1, 100, 5), (2, 100, 7), (3, 99, 1)):
        assert book.add(id, BID, px, qty) is None
    book.add(4, ASK, 101, 2)
    book.set_unnamed(ASK, 101, 3)
    assert book.levels(BID).dtype == np.int64
    assert book.levels(BID).tolist() == [[100, 12, 2], [99, 1, 1]]
    assert book.levels(BID, 1).tolist() == [[100, 12, 2]]
    assert book.levels(ASK).tolist() == [[101, 5, 1]]
    assert (book.best(BID), book.best(ASK)) == ((100, 12), (101, 5))
    assert book.queue(BID, 100) == [(1, 5), (2, 7)]
    assert (book.ahead(2), book.ahead(4), book.ahead(9)) == (5, 3, None)
    assert book.order(2) == (2, BID, 100, 7, False)
    assert book.take_changes() == [(BID, 99, 1), (BID, 100, 12), (ASK, 101, 5)]
    book.change(1, BID, 100, 4)
    book.delete(3)
    assert book.take_changes() == [(BID, 99, 0), (BID, 100, 11)]
    assert len(book) == 3
    assert OrderBook().levels(ASK).shape == (0, 3)


def test_a_taker_is_kept_apart() -> None:
    book = OrderBook()
    book.add(1, ASK, 101, 5)
    book.add(2, BID, 101, 8)
    assert (book.in_flight(), book.best(BID), book.rest(2)) == ([2], None, False)
    book.change(2, BID, 101, 3)
    book.delete(1)
    assert (book.rest(2), book.in_flight(), book.best(BID)) == (True, [], (101, 3))
    book.add(3, ASK, 101, 9)
    assert book.rest_over(3) == [(2, BID, 101, 3, False)]
    assert (book.best(BID), book.best(ASK)) == (None, (101, 9))


def test_faults_have_names_and_are_counted() -> None:
    book = OrderBook()
    book.add(1, BID, 100, 5)
    assert book.add(1, BID, 100, 4) == "added_twice"
    assert book.change(2, BID, 100, 4) == "changed_unknown"
    assert book.delete(3) == "deleted_unknown"
    assert book.delete(3) == "deleted_twice"
    assert book.add(3, BID, 100, 4) == "added_after_delete"
    assert book.change(3, BID, 100, 4) == "changed_after_delete"
    assert book.add(4, BID, 100, 0) == "impossible"
    counts = book.counts()
    assert {name: count for name, count in counts.items() if count} == {
        "added": 1,
        "added_twice": 1,
        "changed_unknown": 1,
        "deleted_unknown": 1,
        "deleted_twice": 1,
        "added_after_delete": 1,
        "changed_after_delete": 1,
        "impossible": 1,
    }
    for side in (0, 3):
        with pytest.raises(ValueError, match=f"side: expected 1 or 2, found {side}"):
            book.add(5, side, 100, 1)
    with pytest.raises(OverflowError):
        book.add(-1, BID, 100, 1)
