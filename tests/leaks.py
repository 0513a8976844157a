"""Strategies that are not deterministic, each in one of the known ways; and one that is."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid

import numpy as np

from engine import Strategy

ID = "BTCUSDT-PERP.TESTNETA"


class Leak(Strategy):
    """Gives an order with a price that `offset` decides, a tick or so from the bid."""

    def on_start(self):
        self.subscribe_book(ID, every="500ms")

    def on_book(self, book):
        if len(self.orders()) < 20:
            self.buy(ID, "0.01", round(book.best_bid - 5 - 0.1 * (self.offset() % 50), 1))

    def offset(self):
        return 0


class Sound(Leak):
    """Takes chance and time from the engine."""

    def offset(self):
        return int(self.rng.integers(50)) + self.clock.now_ns % 7


class WallClock(Leak):
    def offset(self):
        return time.time_ns() // 1_000


class Random(Leak):
    def offset(self):
        return random.randrange(50)


class NumpyRandom(Leak):
    def offset(self):
        return int(np.random.randint(50))  # noqa: NPY002 - the leak


class Uuid(Leak):
    def offset(self):
        return uuid.uuid4().int


class SetOrder(Leak):
    def offset(self):
        names = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"}
        return len(next(iter(names))) + ord(next(iter(names))[0])


class TextHash(Leak):
    def offset(self):
        return hash("a signal")


class Ids(Leak):
    """A dict by the addresses of objects, in their order."""

    def offset(self):
        things = {id(thing): at for at, thing in enumerate([object() for _ in range(50)])}
        return min(things) // 16


class Environment(Leak):
    def offset(self):
        return int(os.environ.get("COBALT_TEST_OFFSET", "3"))


class Thread(Leak):
    """Counts in a thread of its own."""

    count = 0

    def on_start(self):
        super().on_start()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            self.count += 1

    def offset(self):
        return self.count


class Process(Leak):
    def offset(self):
        return os.getpid()


class OnlyLooks(Leak):
    """Asks for the time and does nothing with it."""

    def offset(self):
        time.perf_counter()
        return 0


class Thing:
    """An object without an order of its own."""

    def __init__(self, number):
        self.number = number


class ObjectSet(Leak):
    """Goes by the order of a set of objects, which is that of their addresses."""

    def offset(self):
        self.kept = [Thing(number) for number in range(50)]
        return next(iter(set(self.kept))).number
