"""Orders of every type beside NautilusTrader's simulated exchange with an L2 book.

Cases made by hand say what has to come of each order and, where NautilusTrader's exchange has it
otherwise, what it makes of it; `docs/fidelity.md` lists the reasons.
"""

from __future__ import annotations

import pytest

from engine.peers import nautilus as peer
from engine.peers.order_types import New
from tests.market import LINEAR
from tests.oracles import order_replay
from tests.parity.case import Case, told
from tests.parity.order_cases import CASES

needs_nautilus = pytest.mark.skipif(
    not peer.available(),
    reason="nautilus_trader is not installed: pip install 'cobalt[nautilus]'",
)


def by_their_names(case: Case) -> dict[int, tuple]:
    """What NautilusTrader has to make of a case: it calls what immediate-or-cancel and
    fill-or-kill orders do not take cancelled, where the venue says expired.
    """
    orders = {new.order_id: new for new in case.commands if isinstance(new, New)}
    out = {}
    for order_id, (status, fills) in {**case.expected, **case.nautilus}.items():
        is_immediate = order_id in orders and orders[order_id].tif in ("IOC", "FOK")
        out[order_id] = ("canceled" if is_immediate and status == "expired" else status, fills)
    return out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plain_exchange(case: Case) -> None:
    found = order_replay.run(
        case.depth(), case.trade_rows(), case.commands, order_entry_ns=case.latency_ns
    )
    assert {order_id: told(fate) for order_id, fate in found.fates.items()} == case.expected


@needs_nautilus
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nautilus(case: Case) -> None:
    exchange = peer.Exchange(latency_ns=case.latency_ns)
    found = peer.run_commands(case.depth(), case.trade_rows(), case.commands, LINEAR, exchange)
    assert {order_id: told(fate) for order_id, fate in found.items()} == by_their_names(case)
