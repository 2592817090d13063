"""Measures what looking back costs: facts and notes of history, and rulings, for one small message.

Run by hand: ``python tests/bench/history.py``. Prints one JSON object: microseconds of processor time for each
message, the best of several runs, with a memory of 100,000 pairs and 200 rulings. The aim is 10 µs on top of a
policy without these rules.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.mail import DAY, inspection, policy, transaction

from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.history import History
from gatepost_milter.policy.notes import Notes
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.transaction import Transaction
from gatepost_quarantine.history import Recalled
from gatepost_quarantine.rulings import Ruling, RulingKind

KEY = b"a key of the benchmark, 32 bytes"
TODAY = DAY.date().toordinal()
PAIRS = 100_000
ROUNDS = 7
MESSAGES = 3000

PLAIN = """
rules:
  - {id: big, title: Big, find: "attachments.filter(a, a.size > 1000000)", action: tag, say: Big.}
"""
LOOKING_BACK = """
  - id: first
    title: First
    find: first_contacts.filter(c, !c.listed && c.recipient == recipient.address)
    when: attachments.size() > 0
    action: {inbound: tag}
    say: New.
  - {id: mass, title: Mass, find: "mass.filter(m, m.recipients > 50)", action: {outbound: warn}, say: Many.}
"""
COUNTING = """
  - id: private
    title: Private
    find: private_senders.filter(s, s.private_today >= 20)
    when: recipient.consumer
    action: {outbound: warn}
    say: Much.
"""


def _memory() -> tuple[Memory, History]:
    history = History(key=KEY, learn=0)
    known = history._pair("teacher@school.example", "known@firm.example")
    pairs = [(number.to_bytes(12, "big"), TODAY, TODAY, TODAY) for number in range(PAIRS)]
    found = Recalled(seq=1, started=1, pairs=[*pairs, (known, TODAY, 1, TODAY)], tallies=[], contents=[])
    history.recalled(found, day=TODAY)
    rulings = [
        Ruling(
            kind=RulingKind.EXEMPT,
            rule="big",
            sender=f"somebody{number}@school.example",
            reason="r",
            actor="a",
            expires_at=DAY + timedelta(days=1),
        )
        for number in range(200)
    ]
    return Memory(standing=Standing.of(rulings, UTC), past=history), history


def _measure(call: Callable[[], object]) -> float:
    """Microseconds of processor time for one call, the best of several runs."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(MESSAGES):
            call()
        best = min(best, time.process_time() - started)
    return round(best / MESSAGES * 1e6, 2)


def _cost(folder: Path, rules: str, message: Transaction, seen: Inspection) -> dict[str, float]:
    memory, history = _memory()
    judge = policy(folder, rules).remembering(memory)
    notes = Notes(judge, history)
    verdict = judge.judge(message, seen)
    return {
        "judge": _measure(lambda: judge.judge(message, seen)),
        "note": _measure(lambda: notes.note(message, seen, verdict)),
    }


def main() -> None:
    """Measure, and print."""
    inbound = (
        transaction("teacher@school.example"),
        inspection(author="Known <known@firm.example>", subject="Trip"),
    )
    outbound = transaction("known@firm.example", login="teacher"), inspection(subject="Trip")
    sets = {"plain": PLAIN, "looking back": PLAIN + LOOKING_BACK, "and counting": PLAIN + LOOKING_BACK + COUNTING}
    with TemporaryDirectory() as folder:
        figures = {
            way: {name: _cost(Path(folder), rules, *message) for name, rules in sets.items()}
            for way, message in (("inbound", inbound), ("outbound", outbound))
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
