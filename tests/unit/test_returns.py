"""Mail that comes back to gatepost: its own releases, and senders' replies; nothing else does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

import pytest
from support.gates import HEADERS, Judge, Keeper, OwnMail, inspection, transaction, verdict
from support.quarantine import chunks
from support.senders import ANNA, LETTER, TEACHER, exposed, waiting

from gatepost_config.settings import Courier, School, SenderPages, Settings
from gatepost_config.words import Action, Direction
from gatepost_milter.gate import Gate
from gatepost_milter.inspection.model import Inspection, Text
from gatepost_milter.policy.verdict import Sender
from gatepost_milter.replies import Answer, Disposition, Event
from gatepost_milter.returns import Returns, spoken
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Transaction, header_block
from gatepost_quarantine.held import Choice, HeldMessage, State
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import OwedNotice
from gatepost_quarantine.tokens import (
    NOTICE_HEADER,
    NOTICE_KEY,
    RELEASE_HEADER,
    RELEASE_KEY,
    REPLY_KEY,
    NoticeMarks,
    ReleaseTokens,
    ReplyAddresses,
    body_digest,
    content_digest,
)

KNOWN = Sender(mailbox=TEACHER, known=True, via="login")
FIELDS = ((b"Received", b" from pc\n    by mx1"), *HEADERS)
BODY = b"Hello\r\n"


def returns(store: SqlStore, *, way: Literal["listeners", "front-door"] = "front-door") -> Returns:
    """What recognises mail, at a school that has both."""
    settings = Settings(
        school=School(name="Park School", domains=["school.example"]),
        gateway="mx1.school.example",
        courier=Courier(way=way),
        sender_pages=SenderPages(reply_address="gatepost@school.example"),
    )
    return Returns(settings, store)


def arriving(
    store: SqlStore, *, recipients: Sequence[str] = (ANNA,), token: str = "", body: bytes = BODY
) -> Transaction:
    """A release as the front door shows it, with its token or another one."""
    digest = content_digest(header_block(FIELDS), body_digest([BODY]))
    signed = ReleaseTokens(store.key(RELEASE_KEY)).make(digest, [ANNA], now=datetime.now(UTC))
    headers = ((RELEASE_HEADER.encode(), f" {token or signed}".encode()), *FIELDS)
    return transaction(*recipients, login="", headers=headers, body=body)


def test_our_own_release_passes_once_and_loses_its_token(store: SqlStore) -> None:
    """With the token gone, it is the message that was held, below our Received field."""
    came = arriving(store)
    answer = returns(store).released(came)
    assert answer is not None
    assert (answer.disposition, answer.event) == (Disposition.ACCEPT, Event.RELEASED)
    assert [(each.name, each.index) for each in answer.remove] == [(RELEASE_HEADER, 1)]
    assert (answer.add, answer.delete) == ((), ())
    assert returns(store).released(came) is None, "replayed"


def test_what_postfix_adds_at_the_end_of_the_header_does_no_harm(store: SqlStore) -> None:
    """A letter without Date goes out once, not round and round; a field before the others is not ours."""
    mine = arriving(store)
    date = (b"Date", b" Sun, 22 Nov 2026 17:00:00 +0000")
    in_front = replace(
        mine, headers=(date, *mine.headers), content=Spool.of(header_block([date, *mine.headers]) + BODY)
    )
    assert returns(store).released(in_front) is None
    completed = (*mine.headers, date)
    added = replace(mine, headers=completed, content=Spool.of(header_block(completed) + BODY))
    assert returns(store).released(added) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "forged"},
        {"recipients": (ANNA, "other@x.example")},
        {"recipients": ("other@x.example",)},
        {"body": BODY + b"more"},
    ],
    ids=["forged", "one-more-recipient", "another-recipient", "other-bytes"],
)
def test_a_token_that_is_not_for_this_message_is_worth_nothing(
    store: SqlStore, changes: Mapping[str, Any]
) -> None:
    """It is judged like any other, and the true token still works afterwards."""
    mine = arriving(store)
    token = mine.header(RELEASE_HEADER.encode()).decode()
    assert returns(store).released(arriving(store, **{"token": token, **changes})) is None
    assert returns(store).released(mine) is not None


def test_tokens_count_only_where_releases_come_that_way(store: SqlStore) -> None:
    """With release listeners, a field of that name is somebody's joke."""
    assert returns(store, way="listeners").released(arriving(store)) is None
    assert returns(store).released(transaction(ANNA)) is None


# Replies


def kept(store: SqlStore, message: HeldMessage | None = None) -> HeldMessage:
    """A message that waits for its sender, held now."""
    message = replace(message or waiting(), received_at=datetime.now(UTC))
    store.hold(message, content=chunks(LETTER))
    return message


def reply(
    store: SqlStore,
    message: HeldMessage,
    words: str,
    *,
    sender: Sender = KNOWN,
    automatic: bool = False,
    to: Sequence[str] = (),
    envelope: str = TEACHER,
) -> Answer | None:
    """Answer to the notice about this message."""
    address = ReplyAddresses(store.key(REPLY_KEY), mailbox="gatepost@school.example").make(message)
    came = transaction(*(to or [address]), sender=envelope)
    seen = replace(inspection(automatic=automatic), texts=(Text(where="part 1", text=words),))
    return returns(store).replied(came, seen, sender)


def told(store: SqlStore) -> list[str]:
    """The titles of the notices that are owed."""
    owed = store.claim(worker=f"test-{next(_WORKERS)}", lease=0.0, limit=50)
    return [str(each.notice.context["title"]) for each in owed if isinstance(each, OwedNotice)]


_WORKERS = count()


def states(store: SqlStore, message: HeldMessage) -> set[State]:
    return {each.state for each in store.get(message.id).recipients}


@pytest.mark.parametrize(
    ("words", "state", "title"),
    [
        (
            "Send.\r\nThey all agreed\r\nat the meeting.\r\n\r\nHelen\r\n",
            State.RELEASING,
            "Your message is being sent",
        ),
        ("\r\n  WITHDRAW  \r\n\r\n> SEND\r\n", State.WITHDRAWN, "Your message was withdrawn"),
    ],
)
def test_a_reply_does_what_its_first_line_says(store: SqlStore, words: str, state: State, title: str) -> None:
    """And is delivered to nobody; the sender is told, and a second reply changes nothing."""
    message = kept(store)
    answer = reply(store, message, words)
    assert answer is not None
    assert (answer.disposition, answer.event) == (Disposition.DISCARD, Event.ANSWERED)
    assert states(store, message) == {state}
    assert told(store) == [title]
    if state is State.RELEASING:
        assert store.answers([message.id])[message.id].reason == "They all agreed at the meeting."
    other = "SEND" if state is State.WITHDRAWN else "WITHDRAW"
    for _ in range(3):
        reply(store, message, other)
    assert states(store, message) == {state}
    assert store.answers([message.id])[message.id].via == "reply"


def test_an_out_of_office_confirms_nothing_and_gets_no_answer(store: SqlStore) -> None:
    """Not even one that says SEND; nor a bounce."""
    message = kept(store)
    answers = [
        reply(store, message, "SEND\r\n", automatic=True),
        reply(store, message, "SEND\r\n", envelope=""),
    ]
    assert [each.disposition for each in answers if each] == [Disposition.DISCARD, Disposition.DISCARD]
    assert states(store, message) == {State.HELD}
    assert told(store) == []


def test_a_forged_reply_is_refused_and_writes_to_nobody(store: SqlStore) -> None:
    """Without login or trusted relay nobody is known, whatever the From field says."""
    message = kept(store)
    answer = reply(store, message, "SEND\r\n", sender=Sender())
    assert answer is not None
    assert answer.disposition is Disposition.REJECT
    assert answer.reply is not None
    assert "while signed in" in answer.reply.text
    assert states(store, message) == {State.HELD}
    assert told(store) == []


def test_another_person_at_the_school_cannot_answer(store: SqlStore) -> None:
    """They may have the notice, but they are not who was asked; they are told so once."""
    message = kept(store)
    other = Sender(mailbox="head@school.example", known=True, via="login")
    for _ in range(3):
        reply(store, message, "SEND\r\n", sender=other)
    assert states(store, message) == {State.HELD}
    assert told(store) == ["Your answer could not be used"]


def test_what_is_not_understood_is_explained_by_mail_once(store: SqlStore) -> None:
    """Two machines must never talk, and a person must have an answer: those that follow are refused."""
    message = kept(store)
    dispositions = []
    for words in ("Yes please", "SEND me the file", "> SEND\r\n", "", "Thanks\r\nSEND"):
        answer = reply(store, message, words)
        assert answer is not None
        dispositions.append(answer.disposition)
    assert dispositions == [Disposition.DISCARD] + [Disposition.REJECT] * 4
    assert states(store, message) == {State.HELD}
    assert told(store) == ["Your answer was not understood"]


def test_a_reply_cannot_do_more_than_the_page(store: SqlStore) -> None:
    """Where a reviewer has to decide, SEND does not; too late is too late."""
    reserved = kept(store, waiting(exposed(override="reviewer")))
    reply(store, reserved, "SEND\r\n")
    assert states(store, reserved) == {State.HELD}
    old = waiting()
    store.hold(replace(old, received_at=datetime.now(UTC) - timedelta(days=8)), content=chunks(LETTER))
    reply(store, old, "SEND\r\n")
    assert states(store, old) == {State.HELD}
    assert told(store) == ["Your answer could not be used"] * 2


def test_a_reply_that_comes_again_is_done_once_and_another_answer_is_too_late(store: SqlStore) -> None:
    """A client that did not hear our answer sends it again, and must not read that nothing was changed."""
    message = kept(store)
    for _ in range(2):
        reply(store, message, "SEND\r\nThe head agreed.\r\n")
    assert states(store, message) == {State.RELEASING}
    assert told(store) == ["Your message is being sent"]
    reply(store, message, "WITHDRAW\r\n")
    assert states(store, message) == {State.RELEASING}
    assert told(store) == ["Your message is being sent", "Your answer could not be used"]


def test_mail_for_others_too_is_judged_like_any_other(store: SqlStore) -> None:
    """Nothing that somebody else is to get is ever eaten."""
    message = kept(store)
    address = ReplyAddresses(store.key(REPLY_KEY), mailbox="gatepost@school.example").make(message)
    assert reply(store, message, "SEND\r\n", to=[address, ANNA]) is None
    assert reply(store, message, "SEND\r\n", to=["gatepost@school.example"]) is None
    assert states(store, message) == {State.HELD}


@pytest.mark.parametrize(
    ("text", "choice", "reason"),
    [
        ("SEND", Choice.SEND, ""),
        ("send!\n\nThey agreed.\n-- \nHelen", Choice.SEND, "They agreed."),
        ("SEND\nOn 20 Nov 2026, Park School wrote:\n> why", Choice.SEND, ""),
        ("SEND\n________________\nFrom: gateway", Choice.SEND, ""),
        ("WITHDRAW\n" + "x" * 9000, Choice.WITHDRAW, "x" * 500),
        ("SENDING", None, ""),
        ("Re: SEND", None, ""),
    ],
)
def test_only_the_first_line_counts(text: str, choice: Choice | None, reason: str) -> None:
    """The word alone; a reason may follow, and nothing that is quoted is one."""
    page = Text(where="part 2", text="WITHDRAW", html=True)
    seen = Inspection(size=1, texts=(page, Text(where="part 1", text=text)))
    assert spoken(seen) == (choice, reason)


def test_the_text_of_a_file_is_no_answer() -> None:
    """What somebody attaches is not what they say."""
    seen = Inspection(size=1, texts=(Text(where="a.txt", text="SEND", of_file=True),))
    assert spoken(seen) == (None, "")


def test_other_mail_never_waits_for_the_store() -> None:
    """Clean mail passes while the database is away; only what may be ours needs a key."""

    class Away:
        """A store that cannot be asked anything."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked")

    away: Any = Away()
    asking = returns(away)
    assert asking.released(transaction(ANNA)) is None
    assert asking.replied(transaction(ANNA), inspection(ANNA), KNOWN) is None


# Our own notices


def test_a_notice_that_comes_back_is_known_by_its_mark(store: SqlStore) -> None:
    """A robot may take out or rewrite whatever else says that it is automatic; a forged mark is nothing."""
    mark = NoticeMarks(store.key(NOTICE_KEY)).make("<notice-1@mx1.school.example>").encode()
    other = NoticeMarks(b"another school's key").make("<notice-1@mx1.school.example>").encode()

    def known(*values: bytes) -> bool:
        fields = [(NOTICE_HEADER.upper().encode(), value) for value in values]
        return returns(store).noticed(transaction(ANNA, headers=(*HEADERS, *fields)))

    assert known(b" " + mark)
    assert known(b"\n " + mark[:20] + b"\n\t" + mark[20:]), "folded on its way"
    assert known(b" forged", b" " + mark)
    assert not any(known(b" " + each) for each in (other, mark[:-1], mark.swapcase(), b"", b"\xff\xfe"))
    assert not known()


# In the gate


def gate(own: OwnMail, keeper: Keeper) -> Gate:
    """A gate whose policy holds everything."""
    held = verdict({ANNA: (Direction.OUTBOUND, Action.QUARANTINE)})

    def inspect(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
        return inspection(ANNA)

    return Gate(inspect=inspect, policy=Judge(held), store=keeper, gateway="mx1.school.example", own=own)


def test_the_gate_asks_before_it_judges_and_before_it_holds() -> None:
    """A release is never judged again; a reply is never held."""
    passed = Answer(disposition=Disposition.ACCEPT, event=Event.RELEASED)
    eaten = Answer(disposition=Disposition.DISCARD, event=Event.ANSWERED)
    for own, expected in ((OwnMail(releases=passed), passed), (OwnMail(answers=eaten), eaten)):
        keeper = Keeper()
        assert gate(own, keeper).process(transaction(ANNA)) is expected
        assert keeper.held == []
    keeper = Keeper()
    own = OwnMail()
    assert gate(own, keeper).process(transaction(ANNA)).disposition is Disposition.DISCARD
    assert (len(keeper.held), own.asked) == (1, ["released", "replied"])


def test_a_store_that_cannot_tell_is_a_temp_fail() -> None:
    """A release waits in the courier's outbox rather than be judged as somebody's mail."""
    answer = gate(OwnMail(broken=True), Keeper()).process(transaction(ANNA))
    assert answer.disposition is Disposition.TEMPFAIL


def test_the_body_is_what_follows_the_header() -> None:
    """In whatever pieces the spool gives it."""
    assert b"".join(transaction(ANNA, body=b"a\r\n" * 50_000).body()) == b"a\r\n" * 50_000
