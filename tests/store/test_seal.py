"""Sealed mail: kept so that no program of ours can read it, and two roles together still can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.quarantine import MESSAGE, Clock, chunks, explanation, held, hold_event, notice, recipient

from gatepost_config import settings
from gatepost_config.words import Action
from gatepost_quarantine import sealing
from gatepost_quarantine.audit import Verb, verify
from gatepost_quarantine.held import HeldMessage
from gatepost_quarantine.sql import SqlStore, open_store
from gatepost_quarantine.store import ConflictError, Filter, OwedNotice, SealedError

GATEWAY = "mx1.school.example"
SECRET = b"the pupil's own words"
CONTENT = MESSAGE + SECRET + b"\r\n" + os.urandom(700_000).hex().encode() + b"\r\n"


@pytest.fixture(scope="module")
def key() -> sealing.NewKey:
    return sealing.new_key(("head", "one"), ("dsl", "two"))


@pytest.fixture
def sealing_store(configured: settings.Store, clock: Clock, key: sealing.NewKey) -> Iterator[SqlStore]:
    """A store with a seal key."""
    opened = open_store(configured.model_copy(update={"seal_keys": [key.public]}), gateway=GATEWAY, clock=clock)
    yield opened
    opened.close()


def to_seal() -> HeldMessage:
    """A message that the policy seals for its recipient."""
    whom = replace(recipient(), action=Action.SEAL)
    return held(
        CONTENT,
        recipients=[whom],
        subject="About-a-pupil",
        explanation=explanation([whom.address], support_id="SEALED-1"),
        attachments=({"name": "diary-of-a-pupil.docx"},),
    )


def private(key: sealing.NewKey) -> sealing.PrivateKey:
    return sealing.private_key((key.shares[0].text, "one"), (key.shares[1].text, "two"))


def everything(store: SqlStore, url: str, tmp_path: Path) -> bytes:
    """All that a thief of the database would have; of PostgreSQL, every row."""
    if url.startswith("sqlite"):
        return b"".join(path.read_bytes() for path in sorted(tmp_path.glob("quarantine.db*")))
    from sqlalchemy import inspect, text

    found = b""
    with store._database.read() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608
                found += b"".join(bytes(x) if isinstance(x, bytes | memoryview) else str(x).encode() for x in row)
    return found


CLEAR = [SECRET, b"About-a-pupil", b"about-a-pupil", b"diary-of-a-pupil", b"sales@supplier", b"setup.exe"]


def test_what_is_sealed_at_hold_stands_nowhere_in_clear(
    sealing_store: SqlStore, key: sealing.NewKey, url: str, tmp_path: Path
) -> None:
    """Not the body, not the subject, not the file names, not what was found: and two roles read all of it."""
    message = to_seal()
    sealing_store.hold(message, content=chunks(CONTENT), events=[hold_event(message)])
    kept = everything(sealing_store, url, tmp_path)
    assert [clear for clear in CLEAR if clear in kept] == []
    shown = sealing_store.get(message.id)
    assert (shown.sealed, shown.subject, shown.attachments, shown.envelope.sender) == (True, "", (), "")
    assert shown.recipients == message.recipients
    assert sealing_store.list(Filter(search="pupil")) == []
    assert [each.id for each in sealing_store.list(Filter(search="sealed-1"))] == [message.id]
    opened = sealing_store.unseal(message.id, private(key), actor="head and dsl", reason="court order")
    assert b"".join(opened.pieces) == CONTENT
    assert b"diary-of-a-pupil" in opened.record
    assert [event.verb for event in sealing_store.events(message.id)] == [Verb.HOLD, Verb.SEAL, Verb.UNSEAL]
    assert verify(sealing_store.chain(GATEWAY)) == ""


@pytest.mark.parametrize("with_key", [True, False])
def test_no_program_reads_or_releases_it(sealing_store: SqlStore, store: SqlStore, with_key: bool) -> None:
    """Whether or not it could be encrypted; it may be denied and deleted."""
    using = sealing_store if with_key else store
    message = to_seal()
    using.hold(message, content=chunks(CONTENT))
    with pytest.raises(SealedError):
        list(using.content(message.id))
    with pytest.raises(SealedError):
        using.release(message.id, actor="ann")
    with pytest.raises(SealedError):
        using.release(message.id, to="ann@school.example", actor="ann")
    using.deny(message.id, actor="ann")
    using.delete(message.id, actor="ann")


def test_without_a_key_it_is_held_and_said_and_can_be_sealed_later(
    sealing_store: SqlStore, store: SqlStore, key: sealing.NewKey, url: str, tmp_path: Path
) -> None:
    """A school that has no key yet must not lose mail, and must not believe that it is encrypted."""
    message = to_seal()
    store.hold(message, content=chunks(CONTENT))
    assert store.encrypted(message.id) == ()
    assert "kept in clear" in str(store.events(message.id)[-1].details["keys"])
    with pytest.raises(ConflictError, match="new-key"):
        store.seal(message.id, actor="ann", reason="x")
    sealing_store.seal(message.id, actor="ann", reason="now there is a key")
    assert store.encrypted(message.id) == (sealing.fingerprint(key.public),)
    assert [clear for clear in CLEAR if clear in everything(store, url, tmp_path)] == []


def test_a_held_message_can_be_sealed_with_its_notices(
    sealing_store: SqlStore, key: sealing.NewKey, url: str, tmp_path: Path
) -> None:
    """From then on no notice, index, file or log of ours holds what it says; the two roles can still read it."""
    message = held(CONTENT, subject="About-a-pupil", attachments=({"name": "diary-of-a-pupil.docx"},))
    sent, waits = notice(held_id=message.id), notice(held_id=message.id)
    sealing_store.hold(message, content=chunks(CONTENT), notices=[sent], events=[hold_event(message)])
    (row,) = sealing_store.claim(worker="c", lease=60)
    assert isinstance(row, OwedNotice)
    sealing_store.keep_rendered(row.row, b"Subject: About-a-pupil")
    with pytest.raises(ConflictError, match="under way"):
        sealing_store.seal(message.id, actor="dsl", reason="safeguarding")
    sealing_store.sent(row.row, reply="250 ok", actor="courier")
    sealing_store.deny(message.id, actor="ann", notices=[waits])
    after = sealing_store.seal(message.id, actor="dsl", reason="safeguarding")
    assert sealing_store.seal(message.id, actor="dsl", reason="again") == after
    assert sealing_store.claim(worker="c", lease=60) == []
    assert [clear for clear in CLEAR if clear in everything(sealing_store, url, tmp_path)] == []
    assert b"".join(sealing_store.unseal(message.id, private(key), actor="d", reason="r").pieces) == CONTENT
    assert [event.verb for event in sealing_store.events(message.id)][-2:] == [Verb.SEAL, Verb.UNSEAL]


def test_what_is_on_its_way_cannot_be_sealed(sealing_store: SqlStore) -> None:
    """Sealing says that nobody has it; a release that may be in Postfix already would make that a lie."""
    message = held()
    sealing_store.hold(message, content=chunks(MESSAGE))
    sealing_store.release(message.id, actor="ann")
    with pytest.raises(ConflictError, match="released"):
        sealing_store.seal(message.id, actor="ann", reason="x")


def test_an_empty_message_can_be_sealed(sealing_store: SqlStore, key: sealing.NewKey) -> None:
    """Also one without bytes: at hold, and later."""
    whom = replace(recipient(), action=Action.SEAL)
    first, second = held(b"", recipients=[whom], key="1"), held(b"", key="2")
    sealing_store.hold(first, content=chunks(b""))
    sealing_store.hold(second, content=chunks(b""))
    sealing_store.seal(second.id, actor="a", reason="r")
    for each in (first, second):
        assert b"".join(sealing_store.unseal(each.id, private(key), actor="d", reason="r").pieces) == b""
