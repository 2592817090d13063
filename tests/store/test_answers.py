"""What senders answer about their held mail, on both engines: the first answer stands, whoever else asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from support.quarantine import Clock, chunks, finding, hold_event, notice
from support.senders import ANNA, BEN, LETTER, TEACHER, exposed, waiting

from gatepost_config.words import Action
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.choices import choices
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer, State
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, OwedNotice, OwedRelease


def keep(store: SqlStore, message: HeldMessage) -> HeldMessage:
    """Hold the letter."""
    store.hold(message, content=chunks(LETTER), events=[hold_event(message)])
    return message


def says(
    message: HeldMessage, choice: Choice, *, sender: str = TEACHER, reason: str = "They agreed."
) -> SenderAnswer:
    """What the sender answers."""
    return SenderAnswer(held_id=message.id, choice=choice, sender=sender, reason=reason, via="page")


def states(store: SqlStore, message: HeldMessage) -> list[State]:
    return [each.state for each in store.get(message.id).recipients]


def test_sending_owes_the_release_and_says_who_and_why(store: SqlStore) -> None:
    """The sender decides for every recipient, and the record has their words."""
    message = keep(store, waiting())
    store.answer(says(message, Choice.SEND, sender=TEACHER.upper()), notices=[notice(TEACHER)])
    assert states(store, message) == [State.RELEASING, State.RELEASING]
    owed = store.claim(worker="test", lease=60)
    assert sorted(each.to for each in owed if isinstance(each, OwedRelease)) == [ANNA, BEN]
    assert [each.notice.to for each in owed if isinstance(each, OwedNotice)] == [TEACHER]
    told = [each for each in store.events(message.id) if each.verb is Verb.CONFIRM]
    assert [(each.recipient, each.reason, each.details["via"]) for each in told] == [
        (ANNA, "They agreed.", "page"),
        (BEN, "They agreed.", "page"),
    ]


def test_withdrawing_ends_it_and_asking_leaves_it_held(store: SqlStore) -> None:
    """Who asks is found by the reviewers until somebody decides."""
    gone, asked = keep(store, waiting()), keep(store, waiting())
    store.answer(says(gone, Choice.WITHDRAW))
    store.answer(says(asked, Choice.ASK, reason="Is the list of consents not enough?"))
    assert states(store, gone) == [State.WITHDRAWN, State.WITHDRAWN]
    assert states(store, asked) == [State.HELD, State.HELD]
    assert [each.held_id for each in store.requests()] == [asked.id]
    assert store.answers([gone.id, asked.id])[asked.id].reason == "Is the list of consents not enough?"
    store.deny(asked.id, actor="rita")
    assert store.requests() == []


def test_the_first_answer_stands(store: SqlStore) -> None:
    """Two windows, a double click, a page and a reply: one of them counts, and all read the same."""
    message = keep(store, waiting())
    wanted = [says(message, choice) for choice in (Choice.SEND, Choice.WITHDRAW, Choice.SEND) * 3]
    with ThreadPoolExecutor(6) as threads:
        got = list(threads.map(store.answer, wanted))
    assert len({(each.choice, each.at) for each in got}) == 1
    sent = got[0].choice is Choice.SEND
    assert states(store, message) == [State.RELEASING if sent else State.WITHDRAWN] * 2
    assert len(store.claim(worker="test", lease=60)) == (2 if sent else 0)


def test_nobody_else_answers_and_nothing_is_answered_twice(store: SqlStore) -> None:
    """Another sender, a reviewer's decision, bytes that are gone: each is a refusal that changes nothing."""
    message = keep(store, waiting())
    with pytest.raises(ConflictError, match="not sent by"):
        store.answer(says(message, Choice.SEND, sender="other@school.example"))
    store.deny(message.id, actor="rita")
    with pytest.raises(ConflictError, match="cannot send"):
        store.answer(says(message, Choice.SEND))
    deleted = keep(store, waiting())
    store.delete(deleted.id, actor="rita")
    with pytest.raises(ConflictError):
        store.answer(says(deleted, Choice.WITHDRAW))
    assert store.answers([message.id, deleted.id]) == {}


def test_the_strictest_finding_decides_what_may_be_answered(store: SqlStore) -> None:
    """A quarantine beside the confirm, or a rule that asks for a reviewer, leaves withdraw and ask."""
    program = finding([ANNA], actions={ANNA: Action.QUARANTINE})
    quarantined = waiting(exposed(), program, action=Action.QUARANTINE)
    reserved = waiting(exposed(override="reviewer"))
    for message in (quarantined, reserved):
        keep(store, message)
        assert choices(store.get(message.id)) == {Choice.WITHDRAW, Choice.ASK}
        with pytest.raises(ConflictError, match="cannot send"):
            store.answer(says(message, Choice.SEND))
    assert choices(waiting(program, action=Action.QUARANTINE)) == frozenset()
    assert choices(waiting(sender="")) == frozenset()
    assert choices(waiting(exposed(actions={ANNA: Action.SEAL}), action=Action.SEAL)) == frozenset()


def test_a_forgotten_message_keeps_no_words_of_its_sender(store: SqlStore, clock: Clock) -> None:
    """Reason and address go with everything else that is personal."""
    message = keep(store, waiting())
    store.answer(says(message, Choice.WITHDRAW))
    store.drop_bytes(message.id, actor="test", reason="old")
    assert store.forget(message.id, actor="test", reason="old")
    assert store.answers([message.id]) == {}


def test_a_token_is_spent_once(store: SqlStore, clock: Clock) -> None:
    """By whoever comes first."""
    until = clock() + timedelta(minutes=15)
    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(lambda _: store.spend("abc", until=until), range(8))) == [False] * 7 + [True]
    assert store.spend("abd", until=until)


def test_every_process_of_a_store_has_the_same_key(store: SqlStore) -> None:
    """Two gateways that make it at once agree on one."""
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(store.key, ["sender-link"] * 8))) == 1
    assert store.key("sender-link") != store.key("sender-reply")
    assert len(store.key("sender-link")) == 32
