"""Measures what judging a small mail costs beyond inspection, with every rule of a policy on.

Run by hand: ``python tests/bench/policy.py [POLICY …]``. Prints one JSON object. The aim is 250 µs of processor
time with King's policy, its modes raised so that no rule is off. Times are those of the best run of several.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from gatepost_config.directory import ALWAYS, Directory, Kind, Person
from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.settings import School, Settings
from gatepost_config.words import Mode
from gatepost_milter.inspection.model import Inspection, Text, VisibleRecipient
from gatepost_milter.policy.policy import Policy, prepare
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Path, Transaction

ROUNDS, EACH = 120, 20
LETTER = """\
Dear Mrs Bell,

Thank you for your letter of 3 October about the trip to York in the summer term. The coach leaves
at 8.15 from the car park behind the sports hall, and we expect to be back at about 17:30 on the
Friday. Please send a packed lunch, a waterproof coat and sensible shoes; a little pocket money (no
more than £10) may be useful at the museum shop.

If anything is unclear, please ring the office on 020 7946 0018 or write to office@school.example.
The itinerary is on https://www.school.example/trips/york, and the consent form is due on
12/06/2027. Medication should be handed to Mrs Reed, who keeps the list, in a bag with the name on it.

Kind regards,
A. Jones
Head of Year 8
The School, 1 High Street, Wimbledon, London SW19 4TT
"""
PEOPLE = Directory.of(
    people=[
        Person(address="teacher@school.example", roles=((Kind.STAFF, ALWAYS),), logins=("teacher",)),
        Person(address="mother@gmail.com", roles=((Kind.PARENT, ALWAYS),)),
    ]
)


def _policy(name: str) -> Policy:
    """The policy with no rule off: what is off acts as monitor, which costs the same as any other mode."""
    document = load_policy(name)
    rules = [
        rule if rule.mode is not Mode.OFF else rule.model_copy(update={"mode": Mode.MONITOR})
        for rule in document.rules
    ]
    settings = Settings(school=School(name="Park School", domains=["school.example"]), policy=name)
    raised = document.model_copy(update={"rules": rules})
    raised.attach(document.source)
    return prepare(raised, settings, directory=PEOPLE, tested=False)


def _transaction(recipient: str, *, login: str) -> Transaction:
    return Transaction(
        key="bench",
        client=Client(address="192.0.2.1", login=login),
        sender=Path(address="teacher@school.example" if login else "mother@gmail.com", wire="<>"),
        recipients=(Path(address=recipient, wire=f"<{recipient}>"),),
        content=Spool.of(b""),
        received_at=datetime(2026, 11, 2, 12, 0, tzinfo=UTC),
    )


def _seen(*texts: Text) -> Inspection:
    """A new inspection each time: what was found in the words is remembered with the message."""
    return Inspection(
        size=2000,
        subject="Re: York",
        recipients=(VisibleRecipient(field="To", address="mother@gmail.com"),),
        texts=texts,
    )


def _judge(judge: Policy, transaction: Transaction, seen: Inspection) -> Verdict:
    return judge.judge(transaction, replace(seen))


def _best(judge: Callable[[], object]) -> float:
    """Microseconds of processor time of one call, in the best of several runs."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(EACH):
            judge()
        best = min(best, time.process_time() - start)
    return round(best / EACH * 1e6, 1)


def main() -> None:
    """Each policy on one small letter that goes each way, as plain text, and as plain text with HTML beside it."""
    plain = Text(where="part 1", text=LETTER)
    paragraphs = "\n".join(" ".join(each.split()) for each in LETTER.split("\n\n"))  # as HTML is shown
    both = (Text(where="part 1.1", text=LETTER), Text(where="part 1.2", text=paragraphs, html=True))
    ways = {
        "inbound": _transaction("teacher@school.example", login=""),
        "internal": _transaction("head@school.example", login="teacher"),
        "outbound": _transaction("mother@gmail.com", login="teacher"),
    }
    results: dict[str, dict[str, float]] = {}
    for name in sys.argv[1:] or shipped_policies():
        judge = _policy(name)
        results[name] = {"rules": len(judge.rules)}
        for way, transaction in ways.items():
            for kind, texts in (("plain", (plain,)), ("both", both)):
                seen = _seen(*texts)
                cost = _best(partial(_judge, judge, transaction, seen))
                results[name][f"{way}, {kind}, µs"] = cost
    json.dump(results, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
