"""Reading ahead on a thread: order, exceptions, an early end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from engine.feed import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def running() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


def test_items_come_in_order_and_the_thread_ends() -> None:
    assert list(read_ahead(range(1000))) == list(range(1000))
    assert list(read_ahead([], depth=1)) == []
    assert running() == 0


def test_an_exception_comes_where_its_item_would_have_been() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("second")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="second"):
        next(ahead)
    with pytest.raises(StopIteration):
        next(ahead)
    assert running() == 0


def test_an_iterable_that_cannot_be_iterated_says_so() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        next(read_ahead(5))  # type: ignore[arg-type]


def test_no_more_than_depth_items_are_prepared() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with read_ahead(items(), depth=3) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        # One given out, three in the queue, one in hand.
        assert len(taken) <= 5


def test_leaving_early_closes_the_generator_and_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with pytest.raises(RuntimeError, match="reader"), read_ahead(items()) as ahead:
        next(ahead)
        raise RuntimeError("reader")
    assert closed.is_set()
    assert running() == 0
    with pytest.raises(StopIteration):
        next(ahead)


def test_closing_twice_and_before_reading_is_fine() -> None:
    ahead = read_ahead(range(10))
    ahead.close()
    ahead.close()
    assert list(ahead) == []


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="depth: expected at least 1, found 0"):
        read_ahead([], depth=0)
