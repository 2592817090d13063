"""What the console lists and counts, for everybody: exactly what may be seen, in order, on both engines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import delete, select
from support.quarantine import Clock, chunks, explanation, finding, held

from gatepost_config import settings
from gatepost_config.words import Direction
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.review import Place, Sight, Wanted
from gatepost_quarantine.sql import SqlReview, SqlStore, open_review
from gatepost_quarantine.sql.migrations.versions import counting
from gatepost_quarantine.sql.schema import rule_day

DSL = frozenset({"dsl", "head"})
SIGHTS = [
    Sight(ordinary=ordinary, confidential=confidential, safeguarding=DSL, queues=queues)
    for ordinary, confidential in ((True, True), (True, False), (False, True), (False, False))
    for queues in (frozenset[str](), frozenset({"office"}), frozenset({"dsl", "it-support"}))
]
WANTED = [
    Wanted(),
    Wanted(states=frozenset({State.HELD}), newest_first=True),
    Wanted(states=frozenset({State.DENIED, State.RELEASING})),
    Wanted(rule="rule-1"),
    Wanted(rule="rule-2", states=frozenset({State.HELD})),
    Wanted(queue="dsl"),
    Wanted(queue="office", newest_first=True),
    Wanted(search="letter"),
    Wanted(search="letter", states=frozenset({State.DENIED}), newest_first=True),
    Wanted(search="r 1"),
]
TO = "teacher@school.example"


@pytest.fixture
def both(configured: settings.Store, clock: Clock) -> Iterator[tuple[SqlStore, SqlReview]]:
    """The store with what the console asks of it."""
    store, review = open_review(configured, gateway="mx1.school.example", clock=clock)
    yield store, review
    store.close()


def fill(store: SqlStore, clock: Clock, count: int = 36) -> dict[str, tuple[HeldMessage, frozenset[str]]]:
    """Messages with every mixture of reviewers, rules and states, some in the same microsecond; each by its id."""
    chance, made = random.Random(7), {}
    for place in range(count):
        queues = chance.sample(["it-support", "dsl", "head", "office"], k=chance.choice([1, 1, 2]))
        found = [finding([TO], rule=f"rule-{chance.randrange(3)}", queue=each) for each in queues]
        message = held(
            str(place).encode(),
            explanation=explanation([TO], support_id=f"S-{place}", findings=tuple(found)),
            queue=queues[0],
            subject=f"Letter {place}",
            received_at=clock() - timedelta(hours=place // 3),
        )
        store.hold(message, content=chunks(str(place).encode()))
        if place % 5 == 1:
            store.deny(message.id, actor="rita")
        if place % 7 == 1:
            store.release(message.id, actor="rita") if place % 5 != 1 else None
        made[message.id] = (store.get(message.id), frozenset(queues))
    return made


def expected(made: dict[str, tuple[HeldMessage, frozenset[str]]], wanted: Wanted, sight: Sight) -> set[str]:
    """What may be seen and is wanted, said in the plainest way."""
    return {
        held_id
        for held_id, (message, queues) in made.items()
        if (sight.confidential if queues & DSL else sight.ordinary)
        and (not sight.queues or queues & sight.queues)
        and (not wanted.states or message.recipients[0].state in wanted.states)
        and (not wanted.rule or wanted.rule in {each.rule for each in message.explanation.findings})
        and (not wanted.queue or wanted.queue in queues)
        and wanted.search in message.subject.casefold()
    }


def test_every_list_has_what_may_be_seen_once_and_in_order(both: tuple[SqlStore, SqlReview], clock: Clock) -> None:
    """Whatever index a list starts from, and page by page as in one."""
    store, review = both
    made = fill(store, clock)
    for sight in SIGHTS:
        for wanted in WANTED:
            listed: list[HeldMessage] = []
            after, more = None, True
            while more:
                page = review.page(wanted, sight=sight, after=after, limit=7)
                listed += [each.held for each in page.items]
                more = page.more
                if listed:
                    after = Place(received_at=listed[-1].received_at, held_id=listed[-1].id)
            assert sorted(each.id for each in listed) == sorted(expected(made, wanted, sight)), (sight, wanted)
            times = [each.received_at for each in listed]
            assert times == sorted(times, reverse=wanted.newest_first), (sight, wanted)


def test_counts_and_names_speak_only_of_what_may_be_seen(both: tuple[SqlStore, SqlReview], clock: Clock) -> None:
    """Also after a message was passed on: the count goes with it, to whom may see it now."""
    store, review = both
    made = fill(store, clock)
    moved = next(iter(made))
    for after_passing_on in (False, True):
        if after_passing_on:
            review.pass_on(moved, queue="office", actor="rita", reason="theirs")
            made[moved] = (store.get(moved), frozenset({"office"}))
        for sight in SIGHTS:
            seen = [made[each] for each in expected(made, Wanted(), sight)]
            waiting = expected(made, Wanted(states=frozenset({State.HELD})), sight)
            rules = Counter(
                rule for message, _ in seen for rule in {each.rule for each in message.explanation.findings}
            )
            long_ago = clock() - timedelta(days=30)
            by_rule: Counter[str] = Counter()
            for each in review.by_rule(long_ago, sight=sight):
                assert each.direction is Direction.INBOUND
                by_rule[each.rule] += each.count
            assert by_rule == rules
            assert {rule: held for rule, (held, _) in review.marks_by_rule(long_ago, sight=sight).items()} == rules
            assert set(review.rules(sight=sight)) == set(rules)
            assert set(review.queues(sight=sight)) == {queue for _, queues in seen for queue in queues}
            assert review.waiting(sight=sight).tally.count == len(waiting)
            oldest = min((made[each][0].received_at for each in waiting), default=None)
            assert review.waiting(sight=sight).oldest == oldest
            late = clock() - timedelta(hours=4)
            newer = [each for each in waiting if made[each][0].received_at > late]
            assert review.newer(late, sight=sight).count == len(newer)


def test_what_an_older_gatepost_held_is_counted_by_the_upgrade(
    both: tuple[SqlStore, SqlReview], clock: Clock
) -> None:
    """The migration comes to the numbers that every hold since has kept, also for what no rule held."""
    store, _review = both
    fill(store, clock)
    store.hold(held(b"x", explanation=explanation([TO], findings=())), content=chunks(b"x"))
    every = select(rule_day).order_by(*rule_day.primary_key.columns)
    with store._database.write() as connection:
        kept = connection.execute(every).all()
        connection.execute(delete(rule_day))
        with Operations.context(MigrationContext.configure(connection)):
            counting._count()
        assert connection.execute(every).all() == kept
    assert sum(row.held for row in kept) > len({row.rule for row in kept}) > 3
