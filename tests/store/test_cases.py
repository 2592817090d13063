"""Cases, on both engines: who may see one, what is written down, what came of it, and what is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.quarantine import MESSAGE, Clock, chunks, held, notice

from gatepost_quarantine.audit import Verb, verify
from gatepost_quarantine.cases import EVERYTHING, Case, CaseKind, CaseState
from gatepost_quarantine.review import Sight
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, NotFoundError, StoreError

GATEWAY = "mx1.school.example"
SAFEGUARDING = frozenset({"dsl"})
ORDINARY = Sight(ordinary=True, confidential=False, safeguarding=SAFEGUARDING)
CONFIDENTIAL = Sight(ordinary=False, confidential=True, safeguarding=SAFEGUARDING)


def case(clock: Clock, **changes: Any) -> Case:
    """A reported mail for IT Support; what is not given is ordinary."""
    values: dict[str, Any] = {
        "kind": CaseKind.REPORT,
        "title": "A strange invoice",
        "queue": "it-support",
        "opened_by": "pat@school.example",
        "opened_at": clock(),
    }
    return Case(**{**values, **changes})


def test_a_case_is_kept_from_its_report_to_its_outcome(store: SqlStore, clock: Clock) -> None:
    """The whole life of one: opened, linked, written about, passed on, closed."""
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    opened = store.open_case(case(clock, reference="<invoice@supplier.example>"))
    assert opened.state is CaseState.OPEN
    assert opened.reference == "<invoice@supplier.example>"
    linked = store.link_case(opened.id[:5], message.id[:6], actor="ann", sight=EVERYTHING)
    assert linked.held == (message.id,)
    clock.move(minutes=1)
    note = store.note_case(opened.id, " The supplier says it is not theirs. ", actor="ann", sight=EVERYTHING)
    store.pass_case(opened.id, queue="head", actor="ann", reason="money was asked for", sight=EVERYTHING)
    clock.move(minutes=1)
    closed = store.close_case(opened.id, outcome="Told the bank.", actor="bob", sight=EVERYTHING)
    assert (closed.state, closed.queue, closed.outcome, closed.closed_by, closed.closed_at) == (
        CaseState.CLOSED,
        "head",
        "Told the bank.",
        "bob",
        clock(),
    )
    file = store.case(opened.id, sight=EVERYTHING)
    assert file.case == closed
    assert file.notes[0] == note
    assert [each.text for each in file.notes] == [
        "The supplier says it is not theirs.",
        "Passed on from it-support to head: money was asked for",
    ]


def test_what_a_role_may_not_see_is_not_there(store: SqlStore, clock: Clock) -> None:
    """IT reads everything about its own cases, and learns not even the number of safeguarding's."""
    secret = store.open_case(case(clock, queue="dsl", title="A worrying letter"))
    plain = store.open_case(case(clock))
    assert [each.id for each in store.cases(sight=ORDINARY)] == [plain.id]
    assert [each.id for each in store.cases(sight=CONFIDENTIAL)] == [secret.id]
    only = Sight(ordinary=True, confidential=True, safeguarding=SAFEGUARDING, queues=frozenset({"bursar"}))
    assert list(store.cases(sight=only)) == []
    for act in (
        lambda: store.case(secret.id, sight=ORDINARY),
        lambda: store.note_case(secret.id, "x", actor="ann", sight=ORDINARY),
        lambda: store.link_case(secret.id, "x", actor="ann", sight=ORDINARY),
        lambda: store.pass_case(secret.id, queue="it-support", actor="ann", reason="", sight=ORDINARY),
        lambda: store.close_case(secret.id, outcome="x", actor="ann", sight=ORDINARY),
    ):
        with pytest.raises(NotFoundError):
            act()
    store.pass_case(plain.id, queue="dsl", actor="ann", reason="about a pupil", sight=ORDINARY)
    assert list(store.cases(sight=ORDINARY)) == []


@pytest.mark.parametrize("ordinary", [False, True])
@pytest.mark.parametrize("confidential", [False, True])
@pytest.mark.parametrize("queues", [frozenset[str](), frozenset({"dsl"}), frozenset({"bursar"})])
def test_the_condition_on_rows_is_the_sight_itself(
    store: SqlStore, clock: Clock, ordinary: bool, confidential: bool, queues: frozenset[str]
) -> None:
    """Two ways to say who may see something must never drift apart."""
    sight = Sight(ordinary=ordinary, confidential=confidential, safeguarding=SAFEGUARDING, queues=queues)
    for queue in ("dsl", "it-support", "bursar"):
        store.open_case(case(clock, queue=queue))
    seen = {each.queue for each in store.cases(sight=sight)}
    assert seen == {each for each in ("dsl", "it-support", "bursar") if sight.covers(frozenset({each}))}


def test_cases_are_found_newest_first_by_state_kind_role_and_message(store: SqlStore, clock: Clock) -> None:
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    first = store.open_case(case(clock, held=(message.id[:6],)))
    clock.move(minutes=1)
    second = store.open_case(case(clock, kind=CaseKind.BREACH, queue="bursar"))
    store.close_case(first.id, outcome="Nothing wrong.", actor="ann", sight=EVERYTHING)
    assert first.held == (message.id,)

    def found(**wanted: Any) -> list[str]:
        return [each.id for each in store.cases(sight=EVERYTHING, **wanted)]

    assert found() == [second.id, first.id]
    assert found(limit=1) == [second.id]
    assert found(state=CaseState.OPEN) == found(kind=CaseKind.BREACH) == found(queue="bursar") == [second.id]
    assert found(state=CaseState.CLOSED) == found(held_id=message.id) == [first.id]


def test_a_closed_case_stays_as_it_was_closed(store: SqlStore, clock: Clock) -> None:
    """An outcome that could be changed later would prove nothing."""
    opened = store.open_case(case(clock))
    with pytest.raises(ConflictError):
        store.close_case(opened.id, outcome="  ", actor="ann", sight=EVERYTHING)
    with pytest.raises(ConflictError):
        store.note_case(opened.id, "\n", actor="ann", sight=EVERYTHING)
    closed = store.close_case(opened.id, outcome="Spoken to.", actor="ann", sight=EVERYTHING)
    with pytest.raises(ConflictError):
        store.close_case(opened.id, outcome="Again.", actor="eve", sight=EVERYTHING)
    with pytest.raises(ConflictError):
        store.note_case(opened.id, "Late.", actor="eve", sight=EVERYTHING)
    assert store.case(opened.id, sight=EVERYTHING).case == closed


def test_a_gateway_opens_a_case_in_the_commit_of_what_it_owes(store: SqlStore, clock: Clock) -> None:
    """A role is told of a case if, and only if, there is one; a retry opens none."""
    for _ in range(2):
        store.owe([notice()], key="k" * 64, cases=[case(clock)])
    (opened,) = store.cases(sight=EVERYTHING)
    message = held()
    store.hold(message, content=chunks(MESSAGE), notices=[notice()], cases=[case(clock, held=(message.id,))])
    assert [each.held for each in store.cases(sight=EVERYTHING, held_id=message.id)] == [(message.id,)]
    with pytest.raises(StoreError):
        store.owe([notice("never@school.example")], key="l" * 64, cases=[case(clock, id=opened.id)])
    owed = store.claim(worker="w", lease=60)
    assert len(owed) == 2


def test_every_change_is_in_the_audit_without_the_words(store: SqlStore, clock: Clock) -> None:
    """The audit says who did what; what was written stays with those who may read the case."""
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    opened = store.open_case(case(clock, queue="dsl", title="A worrying letter"))
    store.link_case(opened.id, message.id, actor="ann", sight=EVERYTHING)
    store.link_case(opened.id, message.id, actor="ann", sight=EVERYTHING)
    store.note_case(opened.id, "Names a pupil.", actor="ann", sight=EVERYTHING)
    store.close_case(opened.id, outcome="Parents told.", actor="ann", sight=EVERYTHING)
    links = list(store.chain(GATEWAY))
    assert [each.event.verb for each in links] == [
        Verb.CASE_OPEN,
        Verb.CASE_LINK,
        Verb.CASE_NOTE,
        Verb.CASE_CLOSE,
    ]
    assert {each.event.details["case"] for each in links} == {opened.id}
    assert verify(links) == ""
    said = repr(links)
    assert not any(words in said for words in ("worrying", "pupil", "Parents"))
    assert [each.verb for each in store.events(message.id)] == [Verb.CASE_LINK]


def test_a_case_is_forgotten_when_its_time_is_over(store: SqlStore, clock: Clock) -> None:
    """What is left counts cases, and names nobody."""
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    old = store.open_case(case(clock, held=(message.id,), reference="<a@b.example>"))
    waits = store.open_case(case(clock))
    store.note_case(old.id, "Pat was here.", actor="ann", sight=EVERYTHING)
    store.close_case(old.id, outcome="Spoken to.", actor="ann", sight=EVERYTHING)
    clock.move(days=30)
    later = clock() - timedelta(days=1)
    keep: dict[str, Any] = {"actor": "gatepost-expire", "reason": "two years"}
    assert store.forget_cases(clock() - timedelta(days=31), **keep) == 0
    assert store.forget_cases(later, **keep, dry_run=True) == 1
    assert store.forget_cases(later, **keep) == 1
    assert store.forget_cases(later, **keep) == 0
    file = store.case(old.id, sight=EVERYTHING)
    assert (file.notes, file.case.held, file.case.outcome, file.case.reference) == ((), (), "", "")
    assert "pat" not in repr(file).casefold()
    assert (file.case.queue, file.case.state) == ("it-support", CaseState.CLOSED)
    assert store.case(waits.id, sight=EVERYTHING).case == waits


@pytest.mark.parametrize("changes", [{"title": " "}, {"queue": ""}, {"opened_by": ""}])
def test_a_case_of_nobody_or_about_nothing_cannot_be_made(clock: Clock, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="case"):
        case(clock, **changes)


def test_what_came_with_a_mail_is_kept_as_far_as_a_database_can(store: SqlStore, clock: Clock) -> None:
    """A title is somebody else's subject: NUL and bytes that are no text must not lose the report."""
    opened = store.open_case(case(clock, title="A \0 and \udcff", opened_by="p\udcff@school.example"))
    assert "\0" not in opened.title
    assert store.case(opened.id, sight=EVERYTHING).case == opened
