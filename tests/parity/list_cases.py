"""One case for each rule of lists of orders: OCO and brackets; see `tests.parity.case`."""

from __future__ import annotations

from tests.parity.case import (
    A,
    B,
    Case,
    M,
    T,
    bracket,
    cancel,
    gone,
    oco,
)

UP_TO_104 = [(A, 102, 0), (A, 103, 0), (A, 104, 0), (A, 105, 50)]
LISTS = [
    Case(
        "one cancels the other: the limit fills",
        [oco(1, 5, 103, 98)],
        {1: ("filled", [(2, 103, 5, M)]), 2: ("canceled", [])},
        messages=[(2, [(A, 102, 0), (A, 103, 0), (B, 103, 9)])],
    ),
    Case(
        "one cancels the other: the stop fires",
        [oco(1, 25, 103, 98)],
        {1: ("canceled", []), 2: ("filled", [(2, 98, 25, T)])},
        messages=[(2, gone(B, 100, 99))],
    ),
    Case(
        "one cancels the other: the limit takes at once",
        [oco(1, 5, 100, 98)],
        {1: ("filled", [(1, 100, 5, T)]), 2: ("canceled", [])},
    ),
    Case(
        "one cancels the other: a cancel of one is a cancel of both",
        [oco(1, 5, 103, 98), cancel(2, 1)],
        {1: ("canceled", []), 2: ("canceled", [])},
        messages=[(3, gone(B, 100, 99))],
    ),
    Case(
        "one cancels the other: what is partly filled lives on",
        [oco(1, 5, 103, 98)],
        {1: ("partially_filled", [(2, 103, 3, M)]), 2: ("canceled", [])},
        messages=[(2, [(A, 102, 0), (A, 103, 0), (B, 103, 3)]), (3, gone(B, 103))],
        nautilus={1: ("canceled", [(2, 103, 3, M)])},
        because="partial fills in lists",
    ),
    Case(
        "one cancels the other: a stop that is refused takes the limit with it",
        [oco(1, 5, 103, 101)],
        {1: ("canceled", []), 2: ("rejected", [])},
        nautilus={1: ("open", [])},
        because="refused part of a list",
    ),
    Case(
        "bracket: the take-profit fills",
        [bracket(1, 12, 98, 104)],
        {
            1: ("filled", [(1, 102, 10, T), (1, 103, 2, T)]),
            2: ("canceled", []),
            3: ("filled", [(2, 104, 12, M)]),
        },
        messages=[(2, [*UP_TO_104, (B, 104, 30)])],
    ),
    Case(
        "bracket: the stop fires",
        [bracket(1, 12, 98, 104)],
        {
            1: ("filled", [(1, 102, 10, T), (1, 103, 2, T)]),
            2: ("filled", [(2, 98, 12, T)]),
            3: ("canceled", []),
        },
        messages=[(2, gone(B, 100, 99))],
    ),
    Case(
        "bracket: the exits cover what the entry fills in parts",
        [bracket(1, 12, 98, 104, px=101)],
        {
            1: ("filled", [(2, 101, 4, M), (3, 101, 8, M)]),
            2: ("canceled", []),
            3: ("filled", [(4, 104, 12, M)]),
        },
        messages=[
            (2, [(A, 101, 4)]),
            (3, [(A, 101, 9)]),
            (4, [(A, 101, 0), *UP_TO_104, (B, 104, 30)]),
        ],
    ),
    Case(
        "bracket: without a fill of the entry there are no exits",
        [bracket(1, 12, 98, 104, px=101), cancel(2, 1)],
        {1: ("canceled", []), 2: ("canceled", []), 3: ("canceled", [])},
        messages=[(3, gone(B, 100, 99))],
    ),
    Case(
        "bracket: a refused entry takes its exits with it",
        [bracket(1, 12, 98, 104, px=102, post_only=True)],
        {1: ("rejected", []), 2: ("canceled", []), 3: ("canceled", [])},
        nautilus={2: ("rejected", []), 3: ("rejected", [])},
        because="names of the end",
    ),
    Case(
        "bracket: a cancel of the rest of an entry leaves the exits of what it filled",
        [bracket(1, 12, 98, 104, px=101), cancel(3, 1)],
        {1: ("canceled", [(2, 101, 4, M)]), 2: ("filled", [(4, 98, 4, T)]), 3: ("canceled", [])},
        messages=[(2, [(A, 101, 4)]), (2.5, gone(A, 101)), (4, gone(B, 100, 99))],
        nautilus={2: ("canceled", [])},
        because="partial fills in lists",
    ),
    Case(
        "bracket: a stop closes a part while the entry lives",
        [bracket(1, 12, 98, 104, px=101)],
        {
            1: ("partially_filled", [(2, 101, 4, M)]),
            2: ("untriggered", [(3, 98, 4, T)]),
            3: ("untriggered", []),
        },
        messages=[(2, [(A, 101, 4)]), (3, [(A, 101, 0), (B, 100, 0), (B, 99, 0)])],
        nautilus={2: ("filled", [(3, 98, 4, T)]), 3: ("canceled", [])},
        because="partial fills in lists",
    ),
    Case(
        "bracket: an exit can be cancelled before it is alive",
        [bracket(1, 12, 98, 104, px=101), cancel(2, 2)],
        {1: ("filled", [(3, 101, 12, M)]), 2: ("canceled", []), 3: ("open", [])},
        messages=[(3, [(A, 101, 20)]), (4, gone(A, 101))],
        nautilus={2: ("submitted", [])},
        because="requests on exits before the entry fills",
    ),
    Case(
        "bracket: what the take-profit fills the stop loses",
        [bracket(1, 12, 98, 104)],
        {
            1: ("filled", [(1, 102, 10, T), (1, 103, 2, T)]),
            2: ("filled", [(4, 98, 9, T)]),
            3: ("canceled", [(2, 104, 3, M)]),
        },
        messages=[(2, [*UP_TO_104, (B, 104, 3)]), (3, gone(B, 104)), (4, gone(B, 100, 99))],
        nautilus={2: ("canceled", []), 3: ("canceled", [(2, 104, 3, M), (2, 104, 3, T)])},
        because="partial fills in lists",
    ),
    Case(
        "bracket: a stop that the market has passed acts at once",
        [bracket(1, 12, 100, 104)],
        {
            1: ("filled", [(1, 102, 10, T), (1, 103, 2, T)]),
            2: ("filled", [(1, 100, 10, T), (1, 99, 2, T)]),
            3: ("canceled", []),
        },
        nautilus={2: ("rejected", []), 3: ("rejected", [])},
        because="refused part of a list",
    ),
]
