"""Nobody is told too often: above a limit notices wait and become one mail, and nothing is left out of it."""

from __future__ import annotations

import email
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from support.couriers import GATEWAY, at, settings_for
from support.quarantine import MESSAGE, Clock, chunks, explanation, held, notice
from support.smtp import Sink
from support.stores import new_store

from gatepost_config.settings import Settings, Store
from gatepost_config.words import Action, Direction, Outcome
from gatepost_quarantine import sealing
from gatepost_quarantine.audit import Verb, verify
from gatepost_quarantine.held import Notice, NoticeKind
from gatepost_quarantine.sql import SqlStore, open_store

TEACHER = "teacher@school.example"


@pytest.fixture
def clock() -> Clock:
    """A clock that goes only where a test sends it."""
    return Clock()


@pytest.fixture(scope="module")
def seal_key() -> str:
    """The public half of a seal key; the other half costs its seconds once."""
    return sealing.new_key(("head", "one"), ("dsl", "two")).public


@pytest.fixture
def store(tmp_path: Path, clock: Clock, seal_key: str) -> Iterator[SqlStore]:
    """An open store."""
    configured = Store(url=new_store(tmp_path / "quarantine.db"), free_floor=0, seal_keys=[seal_key])
    opened = open_store(configured, gateway=GATEWAY, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path: Path, sink: Sink) -> Settings:
    """At most two notices an hour to a person."""
    return limited(tmp_path, sink, person_limit=2)


def limited(tmp_path: Path, sink: Sink, **notices: Any) -> Settings:
    store = Store(url=f"sqlite:///{tmp_path / 'quarantine.db'}", free_floor=0)
    made = settings_for(store, sink.address, sink.address)
    return made.model_copy(update={"notices": made.notices.model_copy(update=notices)})


def owe(store: SqlStore, count: int, *, first: int = 0, **changes: Any) -> None:
    """Owe warnings about messages 0, 1, 2 …"""
    for number in range(first, first + count):
        context = {"explanation": explanation([TEACHER]).to_json(), "subject": f"Letter {number}", "role": "dsl"}
        told: Notice = notice(TEACHER, **{"kind": NoticeKind.WARNING, "context": context, **changes})
        store.owe([told], key=f"k{changes.get('kind', '')}{number}")


def run(settings: Settings, store: SqlStore, clock: Clock, *, batches: int = 6) -> None:
    """Enough batches for all that is due."""
    for _ in range(batches):
        at(clock, settings, store)


def subjects(sink: Sink) -> list[str]:
    return [str(email.message_from_bytes(mail.content, policy=default)["Subject"]) for mail in sink.mails]


def text(sink: Sink, place: int) -> str:
    body = email.message_from_bytes(sink.mails[place].content, policy=default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_what_is_above_the_limit_comes_an_hour_later_in_one_mail(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """Two at once, ten in one: every message is named, and each has its place in the audit."""
    owe(store, 12)
    run(settings, store, clock)
    assert len(sink.mails) == 2
    clock.move(minutes=59)
    run(settings, store, clock)
    assert len(sink.mails) == 2
    clock.move(minutes=1)
    run(settings, store, clock)
    assert len(sink.mails) == 3
    assert subjects(sink)[2] == "Auto: 10 notices since 09:00 on 20 November"
    assert all(f"Letter {number}\r\n" in text(sink, 2) for number in range(2, 12))
    sent = [link.event for link in store.chain(GATEWAY) if link.event.verb is Verb.NOTICE]
    assert len(sent) == 12
    assert verify(store.chain(GATEWAY)) == ""
    assert store.counts().owed == 0


def test_more_that_comes_while_others_wait_goes_with_them(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """When the first is due all go: the second hour begins with an empty table."""
    owe(store, 4)
    run(settings, store, clock)
    clock.move(minutes=50)
    owe(store, 3, first=4)
    run(settings, store, clock)
    clock.move(minutes=10)
    run(settings, store, clock)
    assert subjects(sink)[2:] == ["Auto: 5 notices since 09:00 on 20 November"]
    assert store.counts().owed == 0


def test_one_that_waited_alone_is_sent_as_it_is(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """A digest of one would only hide what it says."""
    owe(store, 3)
    run(settings, store, clock)
    clock.move(hours=1)
    run(settings, store, clock)
    assert subjects(sink)[2] == "Auto: please read: Letter 2"


def test_one_persons_flood_is_not_anothers(store: SqlStore, settings: Settings, sink: Sink, clock: Clock) -> None:
    owe(store, 5)
    store.owe([notice("other@school.example")], key="other")
    run(settings, store, clock)
    assert [mail.recipients for mail in sink.mails].count(("other@school.example",)) == 1
    assert len(sink.mails) == 3


@pytest.mark.parametrize(
    ("how", "moments"),
    [
        ("hourly", [(timedelta(minutes=59), 0), (timedelta(hours=1), 1)]),
        ("daily", [(timedelta(hours=21, minutes=59), 0), (timedelta(hours=22), 1)]),
    ],
)
def test_a_role_may_have_its_notices_in_one_mail(
    store: SqlStore,
    tmp_path: Path,
    sink: Sink,
    clock: Clock,
    how: str,
    moments: list[tuple[timedelta, int]],
) -> None:
    """At the full hour, or at seven in the school's morning; a person's own notices do not wait with them."""
    settings = limited(tmp_path, sink, digests={"dsl": how})
    began: datetime = clock.now
    owe(store, 3, kind=NoticeKind.ROLE)
    owe(store, 1)
    run(settings, store, clock)
    assert subjects(sink) == ["Auto: please read: Letter 0"]
    for after, mails in moments:
        clock.now = began + after
        run(settings, store, clock)
        assert len(sink.mails) == 1 + mails
    assert "3 MESSAGES FOR YOUR ATTENTION" in text(sink, 1)


def test_sealed_mail_is_told_at_once(tmp_path: Path, store: SqlStore, sink: Sink, clock: Clock) -> None:
    """Behind thirty ordinary notices, and where a digest is wanted; a flood of it has a limit nevertheless."""
    outcome = Outcome(recipient=TEACHER, direction=Direction.INBOUND, action=Action.SEAL)
    sealed = {"explanation": explanation([TEACHER], outcomes=(outcome,)).to_json(), "subject": "", "role": "dsl"}
    ordinary = limited(tmp_path, sink, role_limit=2)
    owe(store, 4, kind=NoticeKind.ROLE)
    run(ordinary, store, clock)
    assert len(sink.mails) == 2
    owe(store, 3, first=10, kind=NoticeKind.ROLE, context=sealed)
    run(ordinary, store, clock)
    assert len(sink.mails) == 4
    clock.move(hours=2)
    run(ordinary, store, clock)
    assert len(sink.mails) == 5  # the digest of two ordinary ones and the fifth
    clock.move(hours=2)
    owe(store, 1, first=20, kind=NoticeKind.ROLE, context=sealed)
    owe(store, 1, first=30, kind=NoticeKind.ROLE)
    run(limited(tmp_path, sink, digests={"dsl": "daily"}), store, clock)
    assert len(sink.mails) == 6


def test_a_courier_that_dies_after_merging_leaves_one_digest(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """Merging is one commit: before it the notices are owed, after it the digest is, and never both."""
    owe(store, 5)
    run(settings, store, clock)
    clock.move(hours=1)
    at(clock, settings, store)  # this batch merges; the digest is claimed by the next
    assert len(sink.mails) == 2
    assert store.counts().owed == 1
    run(settings, store, clock)
    assert len(sink.mails) == 3


def test_another_couriers_rows_are_not_merged(store: SqlStore, clock: Clock) -> None:
    """A lease that went over meanwhile: whoever has the row now sends it."""
    owe(store, 2)
    rows = [each.row for each in store.claim(worker="first", lease=10)]
    clock.move(seconds=11)
    assert len(store.claim(worker="second", lease=60)) == 2
    assert store.merge(rows, notice(TEACHER), worker="first") is False
    assert store.counts().owed == 2


def test_an_unreadable_notice_does_not_stop_the_others(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """A digest that cannot be made is not made: each goes alone, and the bad one shows in the log."""
    owe(store, 4)
    store.owe([notice(TEACHER, context={})], key="bad")
    run(settings, store, clock)
    clock.move(hours=1)
    run(settings, store, clock)
    assert len(sink.mails) == 4
    assert store.counts().owed == 1


def test_a_digest_keeps_what_the_reviewer_said(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """Words that somebody wrote for one person are not lost because others were written to them, too."""
    context = {"explanation": explanation([TEACHER]).to_json(), "subject": "A letter", "told": "Use the <portal>."}
    owe(store, 4, kind=NoticeKind.DENIED, context=context)
    run(settings, store, clock)
    clock.move(hours=1)
    run(settings, store, clock)
    assert text(sink, 2).count("The reviewer says: Use the <portal>.") == 2
    page = email.message_from_bytes(sink.mails[2].content, policy=default).get_body(("html",))
    assert page is not None
    assert page.get_content().count("The reviewer says: Use the &lt;portal&gt;.") == 2


def test_what_is_forgotten_is_forgotten_in_digests_too(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """A digest outlives the notices that it stands for, and names the messages that they were about."""
    gone = held(key="s" * 64, id="gonegone23456789")
    store.hold(gone, content=chunks(MESSAGE))
    owe(store, 3)
    context = {"explanation": explanation([TEACHER]).to_json(), "subject": "The forgotten letter"}
    store.owe([notice(TEACHER, context=context, held_id=gone.id)], key="gone")
    run(settings, store, clock)
    clock.move(hours=1)
    run(settings, store, clock)
    assert "The forgotten letter" in text(sink, 2)
    store.deny(gone.id, actor="rita")
    store.delete(gone.id, actor="rita")
    assert store.forget(gone.id, actor="gatepost", reason="its time is over")
    with sqlite3.connect(settings.store.url.removeprefix("sqlite:///")) as database:
        kept = "".join(str(each) for each in database.execute("select notice, rendered from outbox"))
    assert "Letter 2" in kept
    assert "forgotten" not in kept


def test_what_is_sealed_later_is_taken_out_of_the_digest(
    store: SqlStore, settings: Settings, sink: Sink, clock: Clock
) -> None:
    """A digest that still waits must not name what nobody may read any more; the others stay in it."""
    secret = held(key="s" * 64, id="secretsecret2345")
    store.hold(secret, content=chunks(MESSAGE))
    owe(store, 3)
    context = {"explanation": explanation([TEACHER]).to_json(), "subject": "The secret letter"}
    store.owe([notice(TEACHER, context=context, held_id=secret.id)], key="secret")
    run(settings, store, clock)
    clock.move(hours=1)
    at(clock, settings, store)
    store.seal(secret.id, actor="ann", reason="found out later")
    run(settings, store, clock)
    assert "Letter 2" in text(sink, 2)
    assert "secret" not in text(sink, 2)
