"""Keeping and forgetting: nothing ends in silence, nothing that must be kept goes, and what goes is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from support.quarantine import MESSAGE, Clock, chunks, held, hold_event, notice, recipient

from gatepost_config.settings import Review, School, Settings, Store, Term
from gatepost_config.words import Action
from gatepost_quarantine import notices
from gatepost_quarantine.audit import Verb, verify
from gatepost_quarantine.cases import EVERYTHING, Case, CaseKind
from gatepost_quarantine.held import HeldMessage, NoticeKind, State
from gatepost_quarantine.history import Batch
from gatepost_quarantine.retention import Done, Retention, tell_heads
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, Filter, NotFoundError, OwedNotice

GATEWAY = "mx1.school.example"
IT, DEPUTY = "it@school.example", "head@school.example"
SENDER = "t.teacher@school.example"
Round = Callable[..., Sequence[Done]]


@pytest.fixture
def settings(configured: Store) -> Settings:
    return Settings(
        school=School(name="Example School", domains=["school.example"]),
        gateway=GATEWAY,
        store=configured,
        review=Review(deputy="head", auditor="head"),
    )


@pytest.fixture
def go_round(store: SqlStore, settings: Settings, clock: Clock) -> Round:
    """The daily round, by the test's clock."""

    def run(changed: Settings = settings, *, dry_run: bool = False) -> Sequence[Done]:
        boxes = {"it-support": [IT], "head": [DEPUTY]}
        return list(
            Retention(
                store, changed, mailboxes=lambda role: boxes.get(role, []), now=clock(), dry_run=dry_run
            ).run()
        )

    return run


def keep(store: SqlStore, name: str = "1", **changes: object) -> HeldMessage:
    message = held(MESSAGE + name.encode(), **changes)
    store.hold(message, content=chunks(MESSAGE + name.encode()), events=[hold_event(message)])
    return message


def mails(store: SqlStore) -> list[tuple[str, str]]:
    """(to, title or kind) of what is owed, as if it were sent now."""
    found = []
    for row in store.claim(worker="t", lease=60, limit=1000):
        assert isinstance(row, OwedNotice)
        found.append((row.notice.to, str(row.notice.context.get("title", row.notice.kind.value))))
        store.sent(row.row, reply="250 ok", actor="courier")
    return sorted(found)


def whats(done: Sequence[Done]) -> list[str]:
    return [each.what for each in done]


def test_reviewers_are_reminded_on_working_days_and_then_the_deputy(
    store: SqlStore, clock: Clock, go_round: Round
) -> None:
    """After 1, 3 and 7 working days (it was held on a Friday), once each, one mail for all that waits."""
    first, second = keep(store, "1"), keep(store, "2")
    told = []
    for _ in range(12):
        go_round()
        assert go_round() == []  # twice a day is once a day
        told.append([to for to, title in mails(store) if title == "2 held messages wait for you"])
        clock.move(days=1)
    # Fri Sat Sun Mon Tue Wed Thu Fri Sat Sun Mon Tue
    assert told == [[], [], [], [IT], [], [IT], [], [], [], [], [], [DEPUTY, IT]]
    assert [event.details.get("reminder") for event in store.events(first.id)] == [None, 1, 2, 3]
    assert store.get(second.id).recipients[0].state is State.HELD


def test_in_the_holidays_nobody_is_reminded(
    store: SqlStore, clock: Clock, go_round: Round, settings: Settings
) -> None:
    """Mail that is held in the holidays waits for the term, and does not expire in them."""
    term = Term(first=date(2027, 1, 4), last=date(2027, 3, 26))
    away = settings.model_copy(update={"review": Review(terms=[term], deputy="head")})
    message = keep(store)
    clock.move(days=44)  # 3 January
    assert go_round(away) == []
    clock.move(days=1)
    assert whats(go_round(away)) == ["reminded"]
    assert store.get(message.id).recipients[0].state is State.HELD


def test_what_nobody_decided_about_expires_with_everybody_told(
    store: SqlStore, clock: Clock, go_round: Round
) -> None:
    """The known sender is told that it was not delivered; the reviewers and the deputy get a report."""
    message = keep(store, sender=SENDER, recipients=[recipient("a@x.example"), recipient("b@x.example")])
    stranger = keep(store, "2")
    store.release(message.id, recipients=["b@x.example"], actor="ann")
    for row in store.claim(worker="t", lease=60):
        store.sent(row.row, reply="250 ok", actor="courier")
    clock.move(days=17)
    go_round()
    mails(store)
    clock.move(days=14)
    assert whats(go_round(dry_run=True)) == ["expired", "expired"]
    assert mails(store) == []
    assert sorted(each.held_id for each in go_round()) == sorted([message.id, stranger.id])
    assert mails(store) == sorted(
        [
            (SENDER, "expired"),
            *[(to, "A held message has expired") for to in (IT, DEPUTY) for _ in range(2)],
        ]
    )
    after = store.get(message.id)
    assert [each.state for each in after.recipients] == [State.EXPIRED, State.RELEASED]
    assert (after.recipients[0].decided_by, Verb.EXPIRE in {e.verb for e in store.events(message.id)}) == (
        "gatepost-expire",
        True,
    )
    with pytest.raises(NotFoundError, match="deleted"):
        list(store.content(message.id))
    assert go_round() == []


def test_nothing_expires_that_nobody_was_reminded_of_or_could_be_told_about(
    store: SqlStore, clock: Clock, go_round: Round, settings: Settings
) -> None:
    """The job did not run for a year, or the role has no mailbox: the mail is still there."""
    message = keep(store)
    clock.move(days=365 + 17)
    assert whats(go_round())[0] == "reminded"
    alone = settings.model_copy(update={"review": Review()})
    boxless = Retention(store, alone, mailboxes=lambda _: [], now=clock())
    assert [each.what for each in boxless.run() if each.held_id] == []
    assert store.get(message.id).recipients[0].state is State.HELD


def test_legal_hold_and_seal_keep_what_would_go(store: SqlStore, clock: Clock, go_round: Round) -> None:
    """Until somebody ends the hold, with a reason, on record; not even by hand can it be deleted."""
    kept, decided = keep(store, "1"), keep(store, "2")
    sealed = keep(store, "3", recipients=[replace(recipient(), action=Action.SEAL)])
    store.deny(decided.id, actor="ann")
    for each in (kept, decided):
        store.legal_hold(each.id, actor="ann", reason="police enquiry 17")
    with pytest.raises(ConflictError, match="reason"):
        store.legal_hold(kept.id, actor="ann", reason=" ")
    clock.move(days=17)
    go_round()
    clock.move(days=700)
    assert {(each.held_id, each.why) for each in go_round(dry_run=True) if each.what == "kept"} == {
        (kept.id, "legal hold"),
        (decided.id, "legal hold"),
    }
    assert "expired" not in whats(go_round())
    assert [event.reason for event in store.events(kept.id) if event.verb is Verb.LEGAL_HOLD] == [
        "police enquiry 17"
    ]
    with pytest.raises(ConflictError, match="legal hold"):
        store.delete(decided.id, actor="ann")
    store.end_legal_hold(kept.id, actor="ann", reason="closed")
    store.end_legal_hold(decided.id, actor="ann", reason="closed")
    assert {(each.what, each.held_id) for each in go_round()} >= {
        ("expired", kept.id),
        ("bytes removed", decided.id),
    }
    assert store.get(sealed.id).recipients[0].state is State.HELD


def test_an_open_case_keeps_what_would_go(store: SqlStore, clock: Clock, go_round: Round) -> None:
    """Undecided, denied, deleted: nothing of it goes while somebody looks into it, and the dry run says why."""
    waits, denied, gone = keep(store, "1"), keep(store, "2", sender=SENDER), keep(store, "3")
    mine = (waits.id, denied.id, gone.id)

    def open_case(*held_ids: str) -> Case:
        clock.move(minutes=1)
        return store.open_case(
            Case(kind=CaseKind.BREACH, title="A", queue="dsl", opened_by="ann", held=held_ids, opened_at=clock())
        )

    first, second = open_case(*mine), open_case(denied.id)
    store.deny(denied.id, actor="ann", notices=[notice(SENDER, held_id=denied.id)])
    store.delete(gone.id, actor="ann")  # a person may; that it was there stays on record
    mails(store)
    clock.move(days=17)
    go_round()
    clock.move(days=700)
    kept = {(each.what, each.held_id, each.why) for each in go_round(dry_run=True) if each.held_id}
    assert kept == {("kept", each, f"open case {first.id}") for each in mine}
    assert go_round() == []  # nor its notices, nor the names in its events
    assert [event.actor for event in store.events(denied.id) if event.verb is Verb.DENY] == ["ann"]
    assert not store.drop_bytes(denied.id, actor="x", reason="x")  # nor in the moment after the list was read
    assert not store.expire(waits.id, actor="x", reason="x", notices=())
    assert not store.forget(gone.id, actor="x", reason="x")
    store.close_case(first.id, outcome="Spoken to.", actor="ann", sight=EVERYTHING)
    assert {(each.what, each.held_id, each.why) for each in go_round(dry_run=True) if each.what == "kept"} == {
        ("kept", denied.id, f"open case {second.id}")
    }
    done = {(each.what, each.held_id) for each in go_round() if each.held_id}
    assert done == {("expired", waits.id), ("forgotten", gone.id)}
    store.close_case(second.id, outcome="Spoken to.", actor="ann", sight=EVERYTHING)
    done = {(each.what, each.held_id) for each in go_round()}
    assert done == {("bytes removed", denied.id), ("forgotten", denied.id), ("names erased from the audit", "")}


def test_bytes_records_notices_and_names_go_in_their_time(
    store: SqlStore, clock: Clock, go_round: Round, url: str, tmp_path: Path
) -> None:
    """14 days after a clean release, 30 after another decision, then the record, and the chain stays whole."""
    clean, denied = keep(store, "1", subject="Meeting-about-Ann"), keep(store, "2", sender=SENDER)
    store.release(clean.id, actor="reviewer.rita")
    (row,) = store.claim(worker="t", lease=60)
    store.sent(row.row, reply="250 ok", actor="courier")
    store.deny(denied.id, actor="reviewer.rita", reason="spam", notices=[notice(SENDER, held_id=denied.id)])
    mails(store)
    clock.move(days=15)
    assert [(each.what, each.held_id) for each in go_round()] == [("bytes removed", clean.id)]
    clock.move(days=16)
    assert [(each.what, each.held_id) for each in go_round()] == [("bytes removed", denied.id)]
    clock.move(days=60)
    assert [(each.what, each.many) for each in go_round()] == [("notices removed", 2)]
    clock.move(days=275)
    assert sorted(whats(go_round())) == ["forgotten", "forgotten", "names erased from the audit"]
    store.give_space_back()
    left = store.get(clean.id)
    assert (left.subject, left.recipients[0].address, left.recipients[0].state) == ("", "", State.RELEASED)
    assert store.list(Filter(search="meeting-about")) == []
    assert verify(store.chain(GATEWAY)) == ""
    erased = [link for link in store.chain(GATEWAY) if link.erased]
    assert len(erased) == 6
    assert {link.event.actor for link in erased} == {""}
    if url.startswith("sqlite"):
        whole = b"".join(path.read_bytes() for path in tmp_path.glob("quarantine.db*"))
        assert [
            name for name in (b"Meeting-about-Ann", b"meeting-about", b"rita", b"supplier.ex") if name in whole
        ] == []
    assert go_round() == []


def test_history_and_rulings_go_in_their_time(store: SqlStore, clock: Clock, go_round: Round) -> None:
    """What is remembered about people is forgotten by the same daily round, and the round says so."""
    day = clock().date().toordinal()
    store.remember(Batch(wrote={b"a" * 12: day}, tallies={(day, "sent", b"a" * 12): 1}))
    until = clock() + timedelta(hours=1)
    store.add_ruling(Ruling(kind=RulingKind.BLOCK, sender="@a.example", reason="r", actor="a", expires_at=until))
    clock.move(days=4)
    assert whats(go_round()) == ["history forgotten"]
    clock.move(days=362)
    assert "rulings forgotten" in whats(go_round())
    clock.move(days=40)
    assert "history forgotten" in whats(go_round())
    assert go_round() == []


def test_a_name_can_be_erased_and_nothing_else(store: SqlStore) -> None:
    """The database lets the personal fields go, all at once; an event without commitment, or in part, never."""
    message, other = keep(store, "1"), keep(store, "2")
    store.deny(message.id, actor="ann", reason="private matter")
    store.deny(other.id, actor="bob", reason="spam")
    head = [link.digest for link in store.chain(GATEWAY)][-1]
    assert store.erase_names(held_id=message.id, actor="dpo", reason="request 4") == 2
    assert {event.actor for event in store.events(message.id)} == {""}
    assert [event.actor for event in store.events(other.id)] == ["gatepost-milter", "bob"]
    assert verify(store.chain(GATEWAY), head=head) == ""
    for change in ("actor = 'bob'", "salt = '', actor = ''", "verb = 'held:join'", "digest = ''"):
        with pytest.raises(DBAPIError, match="append-only"), store._database._writer().begin() as connection:
            connection.execute(text(f"UPDATE event SET {change} WHERE held_id = :id"), {"id": other.id})  # noqa: S608


def test_space_is_given_back(store: SqlStore, url: str) -> None:
    """After expiry the file is smaller, not only emptier."""
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL's autovacuum does that")
    import os

    content = os.urandom(3_000_000)
    message = held(content)
    store.hold(message, content=chunks(content))
    store.delete(message.id, actor="ann")
    assert store.give_space_back() > 2_500_000


def test_the_heads_of_the_audit_are_told(store: SqlStore, settings: Settings) -> None:
    """To syslog, and to the auditor by mail: what was told elsewhere cannot be changed here."""
    keep(store)
    said: list[str] = []
    tell_heads(store, settings, mailboxes=lambda role: [DEPUTY] if role == "head" else [], say=said.append)
    (line,) = said
    head = [link.digest for link in store.chain(GATEWAY)][-1]
    assert f"gateway={GATEWAY} events=1 segment=2026-11 digest={head}" in line
    (row,) = store.claim(worker="t", lease=60)
    assert isinstance(row, OwedNotice)
    rendered = notices.render(row.notice, settings=settings, now=held().received_at)
    assert head.encode() in rendered.replace(b"=\r\n", b"")
    assert (row.notice.to, row.notice.kind) == (DEPUTY, NoticeKind.REPORT)
