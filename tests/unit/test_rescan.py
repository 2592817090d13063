"""The second look before a release: a stricter policy stops it once, and a reviewer may insist."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.quarantine import chunks
from support.senders import ANNA, BEN, LETTER, TEACHER, exposed, waiting
from support.smtp import Sink

from gatepost_config.documents import load_settings, policy_digest
from gatepost_config.settings import Settings
from gatepost_config.words import Action, PolicyRef
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.courier import Courier, StopSignal
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer, State
from gatepost_quarantine.rescan import Rescan, RescanError
from gatepost_quarantine.sql import SqlStore, open_store

POLICY = """
name: test
title: A test
version: "2"
roles: {it-support: {title: IT Support, mailboxes: ["it@{domain}"]}}
rules:
  - id: no-trips
    clause: "T 1"
    title: Nobody writes about trips
    find: "message.subject.contains('York')"
    action: {outbound: quarantine}
    queue: it-support
    say: This message is about a trip.
"""


@pytest.fixture
def settings(tmp_path: Path, sink: Sink) -> Settings:
    """Settings in a file, with a policy that is stricter than the one of the hold."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    path = tmp_path / "gatepost.yaml"
    document = {
        "school": {"name": "Park School", "domains": ["school.example"]},
        "gateway": "mx1.school.example",
        "policy": "./policy.yaml",
        "store": {"url": f"sqlite:///{tmp_path / 'quarantine.db'}", "free_floor": 0},
        "courier": {"inbound": sink.address, "outbound": sink.address, "timeout": 10},
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return load_settings(path)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    """An open store."""
    opened = open_store(settings.store, gateway="mx1.school.example")
    yield opened
    opened.close()


def says(*findings: Mapping[str, str], recipients: Mapping[str, str] | None = None) -> Sequence[str]:
    """A child that answers so, whatever it is asked."""
    answer = {
        "recipients": recipients if recipients is not None else {ANNA: "quarantine", BEN: "quarantine"},
        "findings": [{"clause": "", "say": "So it is.", **each} for each in findings],
    }
    return (sys.executable, "-c", f"print({json.dumps(json.dumps(answer))})")


def objection(settings: Settings, command: Sequence[str], message: HeldMessage | None = None) -> str:
    """What the second look says."""
    return Rescan(settings, command=command).objection(message or waiting(), iter([LETTER]), to=[ANNA])


def test_only_another_policy_is_asked(settings: Settings) -> None:
    """The same document gives the same verdict; and settings may turn the look off."""
    message = waiting()
    assert Rescan(settings).wanted(message)
    from_file = settings.path
    assert from_file is not None
    digest = hashlib.sha256((from_file.parent / "policy.yaml").read_bytes()).hexdigest()
    same = replace(message.explanation, policy=PolicyRef(name="test", version="2", digest=digest))
    assert not Rescan(settings).wanted(replace(message, explanation=same))
    off = settings.model_copy(update={"courier": settings.courier.model_copy(update={"rescan": False})})
    assert not Rescan(off).wanted(message)


@pytest.mark.parametrize(
    ("findings", "recipients", "stopped"),
    [
        ([{"rule": "new", "action": "quarantine"}], None, True),
        ([{"rule": "new", "action": "reject"}], None, True),
        ([{"rule": "parents-exposed", "action": "quarantine"}], None, True),
        ([{"rule": "parents-exposed", "action": "confirm"}], None, False),
        ([{"rule": "new", "action": "warn"}], None, False),
        ([{"rule": "new", "action": "quarantine"}], {ANNA: "pass", BEN: "quarantine"}, False),
        ([], None, False),
    ],
)
def test_only_what_is_new_and_stops_this_recipient_objects(
    settings: Settings, findings: Sequence[Mapping[str, str]], recipients: Mapping[str, str] | None, stopped: bool
) -> None:
    """What the first decision knew of is decided."""
    said = objection(settings, says(*findings, recipients=recipients))
    assert bool(said) is stopped
    if stopped:
        assert findings[0]["rule"] in said
        assert "So it is. Release it again if you insist." in said


@pytest.mark.parametrize(
    "code",
    ["print('{')", "raise SystemExit(2)", "print('[1]')", "import time; time.sleep(60)"],
)
def test_a_child_that_fails_is_no_consent(settings: Settings, code: str) -> None:
    """Neither a pass nor a crash of the courier."""
    quick = settings.courier.model_copy(update={"rescan_deadline": 0.5})
    configured = settings.model_copy(update={"courier": quick})
    with pytest.raises(RescanError):
        objection(configured, (sys.executable, "-c", code))
    with pytest.raises(RescanError):
        objection(configured, ("/no/such/program",))


def test_a_recipient_of_whom_nothing_is_said_was_not_judged(settings: Settings) -> None:
    """The child may spell an address otherwise; then it has said nothing about this one."""
    with pytest.raises(RescanError):
        objection(settings, says({"rule": "new", "action": "quarantine"}, recipients={BEN: "pass"}))
    impossible = waiting()
    unsaid = replace(impossible, envelope=replace(impossible.envelope, login="a\0b"))
    with pytest.raises(RescanError):
        objection(settings, says(recipients={ANNA: "pass"}), unsaid)


def test_what_would_now_be_sealed_is_not_described(settings: Settings) -> None:
    """The reply stands where everybody looks who sees the message in a list."""
    said = objection(settings, says({"rule": "new", "action": "seal"}))
    assert "rule new now says seal. Release" in said


def work(settings: Settings, store: SqlStore) -> None:
    """One batch."""
    stop = StopSignal()
    Courier(settings, store, worker="test").work(stop)
    stop.close()


def states(store: SqlStore, message: HeldMessage) -> list[State]:
    return [each.state for each in store.get(message.id).recipients]


@pytest.mark.slow
def test_a_release_is_held_again_and_goes_when_a_reviewer_insists(
    settings: Settings, store: SqlStore, sink: Sink
) -> None:
    """With the real child. The sender's own yes is not enough, and the reviewer reads why."""
    message = waiting()
    store.hold(message, content=chunks(LETTER))
    store.answer(SenderAnswer(held_id=message.id, choice=Choice.SEND, sender=TEACHER, reason="ok", via="page"))
    work(settings, store)
    assert states(store, message) == [State.HELD, State.HELD]
    reply = store.get(message.id).recipients[0].reply
    assert "its rule no-trips (T 1) now says quarantine. This message is about a trip." in reply
    assert [each.verb for each in store.events(message.id)].count(Verb.HOLD_AGAIN) == 2
    assert store.held_again(message.id) == {ANNA, BEN}
    assert sink.mails == []
    store.release(message.id, recipients=[ANNA], actor="rita", reason="the head agreed")
    work(settings, store)
    assert states(store, message) == [State.RELEASED, State.HELD]
    assert len(sink.mails) == 1


@pytest.mark.parametrize("way", ["listeners", "front-door"])
def test_a_message_that_cannot_be_read_back_keeps_no_other_waiting(
    settings: Settings, store: SqlStore, sink: Sink, way: str
) -> None:
    """It is first in every batch, so an error that ended the batch would end all releases for good."""
    damaged, fine = waiting(), waiting()
    same = PolicyRef(name="test", version="2", digest=policy_digest(settings.policy))
    fine = replace(fine, explanation=replace(fine.explanation, policy=same))
    for message in (damaged, fine):
        store.hold(message, content=chunks(LETTER))
        store.release(message.id, recipients=[ANNA], actor="rita")
    with sqlite3.connect(str(settings.store.url).removeprefix("sqlite:///")) as database:
        database.execute("update chunk set data = x'00' where message_id = ?", (damaged.id,))
    changed = {"rescan": way == "listeners", "way": way}
    work(settings.model_copy(update={"courier": settings.courier.model_copy(update=changed)}), store)
    assert states(store, fine)[0] is State.RELEASED
    assert states(store, damaged)[0] is State.RELEASING
    assert "damaged" in store.get(damaged.id).recipients[0].reply


def test_a_second_look_that_cannot_be_had_is_tried_again_and_then_asks_a_reviewer(
    settings: Settings, store: SqlStore, sink: Sink
) -> None:
    """A broken policy must not keep mail for ever without a word."""
    path = settings.path
    assert path is not None
    (path.parent / "policy.yaml").unlink()
    message = waiting(exposed(actions={ANNA: Action.CONFIRM}), addresses=(ANNA,))
    store.hold(message, content=chunks(LETTER))
    store.release(message.id, actor="rita")
    quick = settings.courier.model_copy(update={"retry": [0.0]})
    configured: Any = settings.model_copy(update={"courier": quick})
    for _ in range(3):
        work(configured, store)
    assert states(store, message) == [State.HELD]
    assert "the policy cannot be read" in store.get(message.id).recipients[0].reply
    store.release(message.id, actor="rita")
    for _ in range(3):
        work(configured, store)
    assert states(store, message) == [State.RELEASED]
    assert len(sink.mails) == 1
