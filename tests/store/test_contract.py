"""What every store promises, on both engines: nothing lost, nothing twice, the first answer stays the answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

import pytest
from support.quarantine import MESSAGE, Clock, chunks, explanation, finding, held, hold_event, notice, recipient

from gatepost_config import settings
from gatepost_config.words import Action, Mode
from gatepost_quarantine.audit import Event, Verb, verify
from gatepost_quarantine.held import Envelope, HeldMessage, State
from gatepost_quarantine.sql import SqlStore, many, open_store
from gatepost_quarantine.store import (
    ConflictError,
    Filter,
    NotFoundError,
    OwedNotice,
    OwedRelease,
    StoreError,
)

TEACHER = "teacher@school.example"
HEAD = "head@school.example"
ANN = "ann@school.example"
WORKER = "mx1:courier"
RACES = int(os.environ.get("GATEPOST_RACES", "5"))
"""How often several reviewers release one message in the same moment."""


def keep(store: SqlStore, message: HeldMessage, content: bytes = MESSAGE) -> HeldMessage:
    """Hold the message with its event."""
    store.hold(message, content=chunks(content), events=[hold_event(message)])
    return message


def verbs(store: SqlStore, held_id: str) -> list[Verb]:
    return [event.verb for event in store.events(held_id)]


def states(message: HeldMessage) -> list[State]:
    return [each.state for each in message.recipients]


def releases(store: SqlStore) -> list[OwedRelease]:
    return [row for row in store.claim(worker=WORKER, lease=60) if isinstance(row, OwedRelease)]


# Holding


def test_what_was_held_comes_back_as_it_was(store: SqlStore) -> None:
    """Every field, with every kind of text that mail can carry, survives the database."""
    message = held(
        recipients=(recipient(TEACHER, parameters=("NOTIFY=NEVER",)), recipient("jos\udce9@school.example")),
        subject="50% off \0 \udcff „Grüße“ 🎒",
        attachments=({"name": "setup.exe", "size": 12, "classes": ["executable"]},),
        envelope=Envelope(sender="s\udce9nder@example.com", sender_parameters=("SMTPUTF8",), helo="\0\udc80"),
    )
    assert store.hold(message, content=chunks(MESSAGE)).joined is False
    assert store.get(message.id) == message
    assert b"".join(store.content(message.id)) == MESSAGE


@pytest.mark.parametrize("size", [0, 1, 512 * 1024, 512 * 1024 + 1, 3_000_000])
def test_bytes_of_any_size_come_back_in_order(store: SqlStore, size: int) -> None:
    """Sizes around the edges of the pieces, where an off-by-one would show."""
    content = os.urandom(size)
    message = keep(store, held(content), content)
    assert b"".join(store.content(message.id)) == content


def test_content_of_another_size_than_was_said_is_not_kept(store: SqlStore) -> None:
    """A spool that lost its end must not become a held message that lost its end."""
    message = held(MESSAGE)
    with pytest.raises(StoreError, match="nothing was kept"):
        store.hold(message, content=chunks(MESSAGE[:-1]))
    with pytest.raises(NotFoundError):
        store.get(message.id)


def test_a_reader_that_fails_leaves_nothing_behind(store: SqlStore) -> None:
    """The transaction is whole or absent, whatever goes wrong in between; and the key is free again."""

    def broken() -> Iterator[bytes]:
        yield MESSAGE
        raise OSError("spool gone")

    message = held(MESSAGE)
    with pytest.raises(OSError, match="spool gone"):
        store.hold(message, content=broken, notices=[notice()])
    assert store.list(Filter()) == []
    assert store.claim(worker=WORKER, lease=60) == []
    assert store.hold(message, content=chunks(MESSAGE)).joined is False


def test_message_notices_and_events_are_one_commit(store: SqlStore) -> None:
    """A hold without its notice, or a notice without its hold, cannot be seen."""
    message = held()
    store.hold(message, content=chunks(MESSAGE), notices=[notice(), notice(HEAD)], events=[hold_event(message)])
    rows = store.claim(worker=WORKER, lease=60)
    assert [row.notice.to for row in rows if isinstance(row, OwedNotice)] == [TEACHER, HEAD]
    assert verbs(store, message.id) == [Verb.HOLD]


# Idempotency


@pytest.mark.parametrize("decision", ["none", "released", "denied", "deleted"])
def test_a_retry_joins_for_five_days_whatever_became_of_it(store: SqlStore, clock: Clock, decision: str) -> None:
    """Released is already delivered, denied stays denied: the client's retry must not start again."""
    first = keep(store, held())
    if decision == "released":
        store.release(first.id, actor="ann")
        store.sent(releases(store)[0].row, reply="250 ok", actor="courier")
    elif decision == "denied":
        store.deny(first.id, actor="ann")
    elif decision == "deleted":
        store.delete(first.id, actor="ann")
    clock.move(days=4.99)
    outcome = store.hold(held(), content=chunks(MESSAGE), notices=[notice()])
    assert (outcome.held_id, outcome.joined) == (first.id, True)
    assert store.claim(worker=WORKER, lease=60) == []
    assert verbs(store, first.id)[-1] is Verb.JOIN
    clock.move(days=0.02)
    assert store.hold(held(), content=chunks(MESSAGE)).joined is False


def test_without_a_message_id_a_retry_joins_for_fifteen_minutes(store: SqlStore, clock: Clock) -> None:
    """Two equal mails without Message-ID a day apart are two mails."""
    first = keep(store, held(key_has_message_id=False))
    clock.move(minutes=14.9)
    assert store.hold(held(key_has_message_id=False), content=chunks(MESSAGE)).held_id == first.id
    clock.move(minutes=0.2)
    assert store.hold(held(key_has_message_id=False), content=chunks(MESSAGE)).joined is False


def test_two_gateways_holding_the_same_key_at_once_hold_once(
    configured: settings.Store, store: SqlStore, clock: Clock
) -> None:
    """The race is decided by the database: many holds at the same moment, one message, one notice."""
    other = open_store(configured, gateway="mx2.school.example", clock=clock)
    together = threading.Barrier(8)

    def hold(number: int) -> bool:
        each = held()
        together.wait(timeout=20)
        on = (store, other)[number % 2]
        return on.hold(each, content=chunks(MESSAGE), notices=[notice()], events=[hold_event(each)]).joined

    with ThreadPoolExecutor(8) as pool:
        joined = list(pool.map(hold, range(8)))
    assert sorted(joined) == [False] + [True] * 7
    assert len(store.list(Filter())) == 1
    assert len(store.claim(worker=WORKER, lease=60)) == 1
    assert verify(store.chain("mx1.school.example")) == ""
    assert verify(other.chain("mx2.school.example")) == ""
    other.close()


def test_a_warning_is_owed_once_for_each_key(store: SqlStore, clock: Clock) -> None:
    """A message that passes with a warning may be retried too, and its sender is told once."""
    assert store.owe([notice()], key="k", events=[Event(verb=Verb.NOTICE, actor="m")]) is True
    assert store.owe([notice()], key="k") is False
    assert len(store.claim(worker=WORKER, lease=60)) == 1
    clock.move(days=6)
    assert store.owe([notice()], key="k") is True


def test_a_warning_and_a_hold_do_not_share_a_key(store: SqlStore) -> None:
    """The same message may be held for some recipients and warn about others."""
    message = held()
    assert store.owe([notice()], key=message.key) is True
    assert store.hold(message, content=chunks(MESSAGE)).joined is False


# Finding


def test_ids_may_be_shortened_while_they_are_unambiguous(store: SqlStore) -> None:
    """People type the first letters; a wrong guess must never act on another message."""
    first = keep(store, held(b"one", id="abcdefgh22222222"), b"one")
    second = keep(store, held(b"two", id="abcdzzzz22222222"), b"two")
    assert store.get("abcde").id == first.id
    assert store.get("ABCDZ").id == second.id
    with pytest.raises(NotFoundError, match="several"):
        store.get("abcd")
    for nothing in ("", "%", "_bcde", "zzz"):
        with pytest.raises(NotFoundError):
            store.get(nothing)


def test_the_support_id_finds_the_message(store: SqlStore) -> None:
    """It is what a caller reads out on the telephone."""
    message = keep(store, held())
    assert store.get("7kq-2mx").id == message.id


def test_filters_narrow_the_list_and_oldest_comes_first(store: SqlStore) -> None:
    """Each filter alone, and the order that a reviewer works in."""
    day = [datetime(2026, 11, number, tzinfo=UTC) for number in range(1, 5)]
    quiet = finding([TEACHER], rule="watched", mode=Mode.MONITOR, actions={TEACHER: Action.PASS})
    new = keep(store, held(b"3", received_at=day[3], subject="Straße 50%"), b"3")
    old = keep(store, held(b"1", received_at=day[0], queue="safeguarding"), b"1")
    told = explanation([TEACHER], findings=(finding([TEACHER], rule="passwords"), quiet))
    mid = keep(store, held(b"2", received_at=day[1], explanation=told), b"2")
    store.deny(mid.id, actor="ann")

    def ids(wanted: Filter) -> list[str]:
        return [each.id for each in store.list(wanted)]

    assert ids(Filter()) == [old.id, mid.id, new.id]
    assert ids(Filter(limit=2)) == [old.id, mid.id]
    assert ids(Filter(states=frozenset({State.HELD}))) == [old.id, new.id]
    assert ids(Filter(search="STRASSE 50%")) == [new.id]
    assert ids(Filter(search="0_")) == []
    assert ids(Filter(search="sales@SUPPLIER", since=day[1])) == [mid.id, new.id]
    assert ids(Filter(rule="passwords")) == [mid.id]
    assert ids(Filter(rule="watched")) == []
    assert ids(Filter(queue="safeguarding")) == [old.id]


# Deciding


def test_releasing_twice_gives_the_first_answer(store: SqlStore, clock: Clock) -> None:
    """One copy goes out, and the second reviewer sees who was first."""
    message = keep(store, held())
    store.release(message.id, actor="ann", reason="expected")
    clock.move(minutes=1)
    again = store.release(message.id, actor="bob", reason="me too")
    assert (again.recipients[0].state, again.recipients[0].decided_by) == (State.RELEASING, "ann")
    (row,) = releases(store)
    store.sent(row.row, reply="250 2.0.0 queued", actor="courier")
    last = store.release(message.id, actor="bob").recipients[0]
    assert (last.state, last.decided_by, last.reason, last.reply) == (
        State.RELEASED,
        "ann",
        "expected",
        "250 2.0.0 queued",
    )
    assert releases(store) == []
    assert verbs(store, message.id) == [Verb.HOLD, Verb.RELEASE, Verb.DELIVER]


def test_two_reviewers_releasing_at_once_send_one_copy(
    configured: settings.Store, store: SqlStore, clock: Clock
) -> None:
    """Not one after the other: at the same moment, from two processes' worth of connections, again and again."""
    messages = [keep(store, held(key=str(number))) for number in range(RACES)]
    other = open_store(configured, gateway="mx2.school.example", clock=clock)
    together = threading.Barrier(4)

    def release(number: int) -> list[str]:
        answers = []
        for message in messages:
            together.wait(timeout=20)
            after = (store, other)[number % 2].release(message.id, actor=f"reviewer {number}")
            answers.append(after.recipients[0].decided_by)
        return answers

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(release, range(4))
    assert others == [first] * 3
    claimed = store.claim(worker=WORKER, lease=60, limit=RACES * 4)
    owed = [row.held.id for row in claimed if isinstance(row, OwedRelease)]
    assert sorted(owed) == sorted(message.id for message in messages)
    assert all(verbs(store, message.id) == [Verb.HOLD, Verb.RELEASE] for message in messages)
    other.close()


def test_each_recipient_is_decided_alone(store: SqlStore) -> None:
    """Releasing one recipient's copy says nothing about the others."""
    message = keep(store, held(recipients=(recipient(TEACHER), recipient(HEAD), recipient(ANN))))
    store.release(message.id, recipients=["HEAD@school.example"], actor="it")
    after = store.deny(message.id, recipients=[ANN], actor="it")
    assert states(after) == [State.HELD, State.RELEASING, State.DENIED]
    assert states(store.release(message.id, actor="it")) == [State.RELEASING, State.RELEASING, State.DENIED]
    with pytest.raises(ConflictError, match="denied"):
        store.release(message.id, recipients=[ANN], actor="it")
    with pytest.raises(NotFoundError, match="nobody@school"):
        store.release(message.id, recipients=["nobody@school.example"], actor="it")


def test_a_conflict_with_one_recipient_changes_none(store: SqlStore) -> None:
    """A command either does what it was told or nothing."""
    message = keep(store, held(recipients=(recipient(TEACHER), recipient(HEAD))))
    store.deny(message.id, recipients=[HEAD], actor="it")
    with pytest.raises(ConflictError):
        store.release(message.id, recipients=[TEACHER, HEAD], actor="it")
    assert states(store.get(message.id)) == [State.HELD, State.DENIED]
    assert releases(store) == []


def test_one_copy_may_go_to_another_address(store: SqlStore) -> None:
    """The record keeps whose copy it was and where it went; for several recipients it would be a guess."""
    message = keep(store, held(recipients=(recipient(TEACHER), recipient(HEAD))))
    with pytest.raises(ConflictError, match="name the one recipient"):
        store.release(message.id, to="it.support@school.example", actor="it")
    after = store.release(message.id, recipients=[HEAD], to="it.support@school.example", actor="it")
    assert after.recipients[1].released_to == "it.support@school.example"
    (row,) = releases(store)
    assert (row.to, row.recipient.address) == ("it.support@school.example", HEAD)


def test_denied_is_final_and_tells_the_sender_once(store: SqlStore) -> None:
    """The notice goes with the decision that was made, not with a repeated one."""
    message = keep(store, held())
    store.deny(message.id, actor="ann", reason="malware", notices=[notice()])
    store.deny(message.id, actor="bob", notices=[notice()])
    assert len(store.claim(worker=WORKER, lease=60)) == 1
    with pytest.raises(ConflictError):
        store.release(message.id, actor="bob")
    assert verbs(store, message.id) == [Verb.HOLD, Verb.DENY]


def test_a_release_that_waits_may_be_taken_back(store: SqlStore) -> None:
    """Postfix is down, and the reviewer sees the mistake: nothing has been sent, so it can be denied."""
    message = keep(store, held())
    store.release(message.id, actor="ann")
    (row,) = releases(store)
    with pytest.raises(ConflictError, match="under way"):
        store.deny(message.id, recipients=[TEACHER], actor="ann")
    store.failed(row.row, reply="connection refused", retry_in=0, actor="courier")
    assert states(store.deny(message.id, recipients=[TEACHER], actor="ann")) == [State.DENIED]
    assert releases(store) == []


def test_deleting_removes_the_bytes_and_keeps_the_record(store: SqlStore) -> None:
    """What was there, and who removed it, stays; the message does not."""
    message = keep(store, held())
    store.delete(message.id, actor="ann", reason="subject's wish")
    store.delete(message.id, actor="bob")
    assert states(store.get(message.id)) == [State.DELETED]
    with pytest.raises(NotFoundError, match="deleted"):
        list(store.content(message.id))
    with pytest.raises(ConflictError):
        store.release(message.id, actor="ann")
    assert [(event.verb, event.actor) for event in store.events(message.id)] == [
        (Verb.HOLD, "gatepost-milter"),
        (Verb.DELETE, "ann"),
    ]


# The outbox


def test_a_claimed_row_is_nobody_elses_until_the_lease_is_over(store: SqlStore, clock: Clock) -> None:
    """Two couriers never send the same mail, and a courier that died is replaced."""
    store.owe([notice()], key="k")
    (mine,) = store.claim(worker="one", lease=60)
    assert store.claim(worker="two", lease=60) == []
    clock.move(seconds=61)
    (theirs,) = store.claim(worker="two", lease=60)
    assert (theirs.row, theirs.attempts) == (mine.row, 2)
    assert store.renew([mine.row], worker="one", lease=60) is False
    assert store.renew([mine.row], worker="two", lease=60) is True


def test_a_renewed_lease_holds_longer(store: SqlStore, clock: Clock) -> None:
    """A large message may take longer to send than a lease lasts."""
    store.owe([notice()], key="k")
    (row,) = store.claim(worker="one", lease=60)
    clock.move(seconds=50)
    assert store.renew([row.row], worker="one", lease=60) is True
    clock.move(seconds=50)
    assert store.claim(worker="two", lease=60) == []


def test_couriers_claiming_at_once_share_the_work(
    configured: settings.Store, store: SqlStore, clock: Clock
) -> None:
    """Every row exactly once, however many ask at the same moment."""
    store.owe([notice() for _ in range(40)], key="k")
    other = open_store(configured, gateway="mx2.school.example", clock=clock)
    together = threading.Barrier(4)

    def claim(number: int) -> list[int]:
        together.wait(timeout=20)
        rows: list[int] = []
        while got := (store, other)[number % 2].claim(worker=f"w{number}", lease=60, limit=3):
            rows += [row.row for row in got]
        return rows

    with ThreadPoolExecutor(4) as pool:
        claimed = list(chain.from_iterable(pool.map(claim, range(4))))
    assert len(claimed) == len(set(claimed)) == 40
    other.close()


def test_what_a_stopping_courier_has_not_begun_is_free_at_once(store: SqlStore) -> None:
    """A restart must not wait for a lease to run out, and an untried mail has had no attempt."""
    store.owe([notice()], key="k")
    (row,) = store.claim(worker="one", lease=600)
    store.let_go([row.row], worker="two")
    assert store.claim(worker="two", lease=60) == []
    store.let_go([row.row], worker="one")
    (again,) = store.claim(worker="two", lease=60)
    assert again.attempts == 1


def test_releases_of_one_message_come_together(store: SqlStore) -> None:
    """They go out in one SMTP transaction, even if there are more than a batch."""
    many = [recipient(f"r{number}@school.example") for number in range(12)]
    message = keep(store, held(recipients=many))
    store.release(message.id, actor="ann")
    assert len(store.claim(worker=WORKER, lease=60, limit=5)) == 12


def test_a_failed_try_is_due_again_when_it_was_told(store: SqlStore, clock: Clock) -> None:
    """The reviewer sees the reply, and the recipient is still being released."""
    message = keep(store, held())
    store.release(message.id, actor="ann")
    (row,) = releases(store)
    store.failed(row.row, reply="451 4.3.0 later", retry_in=300, actor="courier")
    clock.move(seconds=299)
    assert releases(store) == []
    clock.move(seconds=2)
    (again,) = releases(store)
    assert again.attempts == 2
    assert (again.recipient.state, again.recipient.reply) == (State.RELEASING, "451 4.3.0 later")


def test_a_refused_release_returns_to_held_and_may_be_released_again(store: SqlStore) -> None:
    """Nobody has it, so somebody must look at it again."""
    message = keep(store, held())
    store.release(message.id, actor="ann", to="typo@school.example")
    (row,) = releases(store)
    store.failed(row.row, reply="550 5.1.1 no such user", retry_in=None, actor="courier")
    after = store.get(message.id).recipients[0]
    assert (after.state, after.reply, after.decided_by, after.released_to) == (
        State.HELD,
        "550 5.1.1 no such user",
        "",
        "",
    )
    assert verbs(store, message.id)[-1] is Verb.REFUSE
    store.release(message.id, actor="ann")
    assert [each.to for each in releases(store)] == [TEACHER]


def test_a_result_that_is_reported_twice_counts_once(store: SqlStore) -> None:
    """A courier that lost the database's answer reports again; a late failure changes nothing that was sent."""
    message = keep(store, held())
    store.release(message.id, actor="ann")
    (row,) = releases(store)
    store.sent(row.row, reply="250 ok", actor="courier")
    store.sent(row.row, reply="250 again", actor="courier")
    store.failed(row.row, reply="451 late", retry_in=None, actor="courier")
    assert store.get(message.id).recipients[0].reply == "250 ok"
    assert verbs(store, message.id) == [Verb.HOLD, Verb.RELEASE, Verb.DELIVER]


def test_rendered_bytes_are_kept_once(store: SqlStore, clock: Clock) -> None:
    """Whoever renders second sends what was rendered first, so a resend is the same mail."""
    store.owe([notice()], key="k")
    (row,) = store.claim(worker="one", lease=1)
    store.keep_rendered(row.row, b"first")
    store.keep_rendered(row.row, b"second")
    clock.move(seconds=2)
    (again,) = store.claim(worker="two", lease=1)
    assert isinstance(again, OwedNotice)
    assert again.rendered == b"first"


# The audit


def test_the_chain_holds_and_shows_what_was_done_to_it(store: SqlStore) -> None:
    """Changed, removed, reordered, cut: each is seen."""
    for number in range(5):
        store.record(Event(verb=Verb.READ, actor="ann", reason=f"look {number} \udcff\0"))
    links = list(store.chain("mx1.school.example"))
    assert verify(links) == ""
    assert verify(links, head=links[2].digest) == ""
    forged = replace(links[2], event=replace(links[2].event, reason="other"))
    assert "changed" in verify([*links[:2], forged, *links[3:]])
    assert "missing" in verify([*links[:2], *links[3:]])
    assert "missing" in verify(links[1:])
    assert "ends before" in verify(links[:3], head=links[4].digest)


def test_chain_writers_of_one_gateway_take_turns(configured: settings.Store, store: SqlStore) -> None:
    """Workers of one gateway write one chain: no gap, no fork, whoever comes first."""
    other = open_store(configured, gateway="mx1.school.example")

    def write(number: int) -> None:
        for _ in range(10):
            (store, other)[number % 2].record(Event(verb=Verb.READ, actor=f"w{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    links = list(store.chain("mx1.school.example"))
    assert [link.seq for link in links] == list(range(1, 41))
    assert verify(links) == ""
    other.close()


def test_a_list_may_be_longer_than_what_one_statement_can_name(
    store: SqlStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything about one person, or a whole quarantine, is asked for in several statements and is in order."""
    kept = []
    for number in range(8):
        content = f"Subject: {number}\r\n\r\n".encode()
        message = held(content, recipients=(recipient(TEACHER), recipient(HEAD)), received_at=clock())
        kept.append(keep(store, message, content).id)
        clock.move(minutes=1)
    monkeypatch.setattr(many, "AT_ONCE", 3)
    found = store.list(Filter(limit=1000))
    assert [each.id for each in found] == kept
    assert {tuple(to.address for to in each.recipients) for each in found} == {(TEACHER, HEAD)}


def test_no_number_of_ids_is_too_many(store: SqlStore) -> None:
    """PostgreSQL's protocol counts values with sixteen bits; SQLite's limit is set where it is built."""
    assert store.answers([f"{number:x}" for number in range(300_000)]) == {}


# The state of the store


def test_counts_say_what_waits_and_for_how_long(store: SqlStore, clock: Clock) -> None:
    """The alerts for a forgotten quarantine and a stuck outbox stand on these."""
    empty = store.counts()
    assert (empty.unreviewed, empty.oldest_unreviewed, empty.owed, empty.oldest_owed) == (0, 0.0, 0, 0.0)
    keep(store, held(recipients=(recipient(TEACHER), recipient(HEAD))))
    store.owe([notice()], key="k")
    clock.move(minutes=10)
    full = store.counts()
    assert (full.unreviewed, full.oldest_unreviewed, full.owed, full.oldest_owed) == (2, 600.0, 1, 600.0)


def test_tidying_forgets_only_keys_whose_window_is_over(store: SqlStore, clock: Clock) -> None:
    """Housekeeping must not make a retry into a second hold."""
    first = keep(store, held())
    clock.move(days=4)
    store.tidy()
    assert store.hold(held(), content=chunks(MESSAGE)).held_id == first.id
    clock.move(days=2)
    store.tidy()
    assert store.hold(held(), content=chunks(MESSAGE)).joined is False
