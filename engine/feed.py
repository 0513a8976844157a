"""Reading ahead: a thread that runs an iterator while its items are being used.

Parquet decoding, hashing and message decoding release the GIL, so one processor prepares the next
batch while another works on this one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ReadAhead", "pulled", "read_ahead"]

T = TypeVar("T")


class _End:
    """The last thing in the queue: the iterator ended, by itself or with an exception."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterable[T], depth: int = 2) -> ReadAhead[T]:
    """The same items in the same order, up to `depth` of them prepared in advance by a thread.

    An exception of the iterator is raised where its item would have come. Use it in a `with` block
    or read it to its end: both stop the thread and close a generator that was not read to its end.
    """
    return ReadAhead(items, depth)


class ReadAhead(Iterator[T], Generic[T]):
    """See `read_ahead`. Read from one thread at a time."""

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, found {depth}")
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        iterator: Iterator[T] | None = None
        try:
            iterator = iter(self._items)
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as caught:  # noqa: BLE001  it is raised again in the reader
            error = caught
        try:
            # A generator holds files open; it is closed in the thread that ran it.
            getattr(iterator, "close", lambda: None)()
        except BaseException as caught:  # noqa: BLE001  it is raised again in the reader
            error = error or caught
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        """Waits for room; False if nobody reads any more."""
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        item = self._queue.get()
        if not isinstance(item, _End):
            return item
        self._ended = True
        self._thread.join()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def close(self) -> None:
        """Stops the thread and waits for it; what it had prepared is dropped."""
        self._ended = True
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Stopped(BaseException):
    """Raised in the thread of [`pulled`] when nobody reads any more."""


def pulled(push: Callable[[Callable[[T], None]], None], depth: int = 2) -> Iterator[T]:
    """What a function pushes, as an iterator: `push` is called in a thread with a function that
    takes items, and waits while `depth` of them are unread.

    An exception of `push` is raised behind its last item. A reader that stops early ends the thread
    at its next item.
    """
    items: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: T | _End) -> None:
        while not stop.is_set():
            try:
                items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return
        raise _Stopped

    def run() -> None:
        error: BaseException | None = None
        try:
            push(put)
        except _Stopped:
            return
        except BaseException as caught:  # noqa: BLE001  it is raised again in the reader
            error = caught
        with suppress(_Stopped):
            put(_End(error))

    thread = threading.Thread(target=run, name="pulled", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()
