"""The table of `docs/fidelity.md` beside NautilusTrader, by one command:

    COBALT_RECORDINGS=… python -m tests.parity.nautilus_table

One row for each recording and kind of order: how many, how many of Cobalt's outcomes (status and
every fill) are NautilusTrader's, whether NautilusTrader's are those of the plain exchange with its
rules, and how many each rule would change alone.
"""

from __future__ import annotations

import dataclasses

from engine.peers import cobalt_orders
from engine.peers.order_types import placed
from tests.oracles import order_replay
from tests.oracles.nautilus_rules import NautilusExchange, Rules
from tests.parity.order_stream import REACH, Stream, at_venue
from tests.parity.peers import all_told, by_their_names, run_nautilus
from tests.parity.recorded import QTY_LOTS, recorded

RULES = [each.name for each in dataclasses.fields(Rules)]
NONE = Rules(**dict.fromkeys(RULES, False))


def row(instrument_id: str, name: str, stream: Stream, count: int, seed: int) -> str:
    """One row of the table."""
    data = recorded(instrument_id)
    depth = at_venue(data.depth)
    commands = stream.commands(depth, count, seed)
    instrument = dataclasses.replace(data.instrument, notional_min=None)

    def plain(rules: Rules | None) -> dict[int, object]:
        exchange = None if rules is None else NautilusExchange(instrument.tick, rules)
        found = order_replay.run(depth, depth[:0], commands, exchange=exchange)
        return dict(by_their_names(commands, all_told(found.fates)))

    fates = cobalt_orders.run_commands(depth, depth[:0], commands, instrument)
    ours = by_their_names(commands, all_told(fates))
    theirs = run_nautilus(depth, commands, instrument)
    assert ours == plain(None)
    equal = sum(ours[at] == theirs[at] for at in placed(commands))
    explained = plain(Rules())
    left = sum(explained[at] != theirs[at] for at in placed(commands))
    without = plain(NONE)
    alone = []
    for rule in RULES:
        changed = plain(dataclasses.replace(NONE, **{rule: True}))
        alone.append(sum(changed[at] != without[at] for at in without))
    filled = sum(bool(fates[at].fills) for at in fates)
    numbers = [len(ours), filled, equal, len(ours) - equal, left, *alone]
    cells = " | ".join(f"{number:,}" for number in numbers)
    return f"| {instrument_id} | {name} | {cells} |"


def main() -> None:
    """Prints the table."""
    heads = ["recording", "orders of", "orders", "filled", "equal", "different", "unexplained"]
    print("| " + " | ".join([*heads, *RULES]) + " |")
    print("| --- " * (len(heads) + len(RULES)) + "|")
    for instrument_id in QTY_LOTS:
        reach = REACH[instrument_id]
        kinds = {
            "single": (Stream(QTY_LOTS[instrument_id], reach), 2_000),
            "OCO": (Stream((1, 1), reach, only="oco"), 600),
            "brackets": (Stream((1, 1), reach, only="bracket"), 600),
        }
        for name, (stream, count) in kinds.items():
            print(row(instrument_id, name, stream, count, seed=23), flush=True)


if __name__ == "__main__":
    main()
