"""How fast lists, filters and searches are with 100,000 held recipients, and what a hold costs.

    python tests/bench/store.py sqlite:////tmp/bench.db [--messages 100000]
    python tests/bench/store.py postgresql+psycopg://…

An empty database is filled first; one that was filled before is asked as it is. Every question is asked five
times; the median and the worst are shown in milliseconds, and the aim is 100.
"""

from __future__ import annotations

import argparse
import random
import statistics
import string
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import text
from support.quarantine import chunks, explanation, finding, held, hold_event, notice, recipient

from gatepost_config.settings import Store
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import SqlStore, open_store, records
from gatepost_quarantine.sql import store as parts
from gatepost_quarantine.store import Filter

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = ("executable-attachment", "macro", "passwords", "many-recipients", "opaque")
QUEUES = ("it-support", "safeguarding", "office")


def main() -> None:
    """Fill, ask, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--messages", type=int, default=100_000)
    chosen = parser.parse_args()
    store = open_store(Store(url=chosen.url, free_floor=0), gateway="mx1.school.example")
    if not store.list(Filter(limit=1)):
        hold = cost_of_a_hold(store)
        seconds = fill(store, chosen.messages)
        print(f"filled with {chosen.messages:,} in {seconds:.0f} s; a hold of 20 kB took {hold:.2f} ms of CPU")
    for name, ask in questions(store):
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            found = ask()
            times.append((time.perf_counter() - begun) * 1000)
        print(f"{name:44} {found:>6} found   median {statistics.median(times):6.1f}   worst {max(times):6.1f}")
    store.close()


def cost_of_a_hold(store: SqlStore) -> float:
    """Milliseconds of this process's CPU, without making the message."""
    made = []
    for number in range(300):
        content = random.randbytes(15_000) + b"x" * 5_000
        made.append((held(content, received_at=START - timedelta(days=2) + timedelta(seconds=number)), content))
    for message, content in made[:50]:
        store.hold(message, content=chunks(content), notices=[notice()], events=[hold_event(message)])
    begun = time.process_time()
    for message, content in made[50:]:
        store.hold(message, content=chunks(content), notices=[notice()], events=[hold_event(message)])
    return (time.process_time() - begun) / 250 * 1000


def fill(store: SqlStore, many: int) -> float:
    """Hold ``many`` messages, a thousand in one transaction; the seconds it took."""
    chance = random.Random(5)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(4, 9))) for _ in range(3000)]
    begun = time.monotonic()
    for start in range(0, many, 1000):
        page = [_message(chance, words, number) for number in range(start, min(start + 1000, many))]
        _keep(store, page)
    with store._database.unbound() as connection:
        connection.execute(text("ANALYZE"))
    return time.monotonic() - begun


def questions(store: SqlStore) -> Sequence[tuple[str, Callable[[], int]]]:
    """What reviewers ask."""
    middle = START + timedelta(minutes=50_000)
    held_only = frozenset({State.HELD})
    some = store.list(Filter(limit=60_000))[-1]

    def listed(wanted: Filter) -> Callable[[], int]:
        return lambda: len(store.list(wanted))

    return (
        ("the oldest hundred", listed(Filter())),
        ("state held", listed(Filter(states=held_only))),
        ("state denied, one in a hundred", listed(Filter(states=frozenset({State.DENIED})))),
        ("state expired, none", listed(Filter(states=frozenset({State.EXPIRED})))),
        ("held or denied, since the middle", listed(Filter(states=held_only | {State.DENIED}, since=middle))),
        ("a rule", listed(Filter(rule=RULES[1]))),
        ("a rule and state held", listed(Filter(rule=RULES[1], states=held_only))),
        ("a rule and state denied", listed(Filter(rule=RULES[1], states=frozenset({State.DENIED})))),
        ("a queue and state held", listed(Filter(queue=QUEUES[1], states=held_only))),
        ("search: in every message", listed(Filter(search="school.example"))),
        ("search: one message's Message-ID", listed(Filter(search=some.message_id))),
        ("search: a word in some", listed(Filter(search=some.subject.split()[0]))),
        ("search: in none", listed(Filter(search="zzqqzz"))),
        (
            "search: in every message, state denied",
            listed(Filter(search="school", states=frozenset({State.DENIED}))),
        ),
        ("search: two letters", listed(Filter(search="qz"))),
        ("search: a word, since the middle", listed(Filter(search=some.subject.split()[0], since=middle))),
        ("one message by a short id", lambda: len(store.get(some.id[:10]).recipients)),
        ("counts", lambda: store.counts().unreviewed),
    )


def _message(chance: random.Random, words: Sequence[str], number: int) -> HeldMessage:
    to = f"{chance.choice(words)}@school.example"
    sender = f"{chance.choice(words)}@{chance.choice(words)}.example"
    state = State.DENIED if number % 100 == 7 else State.HELD
    queue = chance.choice(QUEUES)
    found = finding([to], rule=chance.choice(RULES), queue=queue)
    whom = recipient(to)
    return held(
        str(number).encode(),
        recipients=[replace(whom, state=state)],
        explanation=explanation([to], support_id=f"S-{number}", findings=(found,)),
        subject=" ".join(chance.choices(words, k=6)),
        from_header=f"{chance.choice(words)} <{sender}>",
        message_id=f"<{number}.{chance.random()}@mail.example>",
        queue=queue,
        attachments=({"name": f"{chance.choice(words)}.exe", "sha256": chance.randbytes(32).hex()},),
        received_at=START + timedelta(minutes=number),
    )


def _keep(store: SqlStore, page: Sequence[HeldMessage]) -> None:
    with store._database.write() as connection:
        parts._MESSAGE.run_all(connection, [records.message_row(each) | {"stored": False} for each in page])
        rows = [records.recipient_row(each, 0, each.recipients[0]) for each in page]
        parts._RECIPIENT.run_all(connection, rows)
        rules = [
            {
                "message_id": each.id,
                "rule": each.explanation.findings[0].rule,
                "received_at": records.micros(each.received_at),
            }
            for each in page
        ]
        parts._RULE.run_all(connection, rules)
        reviewers = [
            {"message_id": each.id, "queue": each.queue, "received_at": records.micros(each.received_at)}
            for each in page
        ]
        parts._REVIEWER.run_all(connection, reviewers)


if __name__ == "__main__":
    main()
