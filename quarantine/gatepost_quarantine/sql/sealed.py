"""Owns the store's part in sealing: what is encrypted when, and what is left to be known.

Where no seal key is set, a message that the policy seals is held all the same, in clear: a school without a key
must not lose mail. It is shown, indexed and released no more than an encrypted one, and the audit says so;
``seal`` encrypts it once there is a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import and_, or_, select, text, update

from gatepost_config.words import Action
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sealing import Opener, Sealer, fingerprint, keys_of
from gatepost_quarantine.sql import chain, chunks, outbox, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.schema import message, recipient
from gatepost_quarantine.sql.schema import outbox as outbox_table
from gatepost_quarantine.store import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A sealed message that two roles opened: its record as JSON, and its bytes in pieces.

    Nothing may be believed before the pieces have come to their end: only there a cut shows.
    """

    held_id: str
    record: bytes
    pieces: Iterator[bytes]


class Sealing(Base):
    """Sealing and opening, as a part of the store."""

    def seal(self, held_id: str, *, actor: str, reason: str) -> HeldMessage:
        """Encrypt a held message and all that tells what it says; done already, it changes nothing.

        Raises ConflictError if no seal key is set, or if something of it is under way to somebody.
        """
        if not self._seal_keys:
            raise ConflictError("no seal key is set; make one with `gatepost seal new-key`")
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            mine = message.c.id == held.id
            if connection.execute(select(message.c.seal).where(mine)).scalar_one():
                return held
            if any(each.state is State.RELEASING for each in held.recipients):
                raise ConflictError(f"{held.id} is being released; wait for the mail server's answer")
            self._forget_notices(connection, held.id)
            sealer = Sealer(held.id, self._seal_keys)
            if stored:
                chunks.seal(connection, held.id, sealer, size=held.size)
            sealed = replace(held, recipients=tuple(replace(each, action=Action.SEAL) for each in held.recipients))
            row = self._message_row(sealed, sealer)
            changed = ("message_id", "sender", "search_text", "record", "seal")
            connection.execute(update(message).where(mine).values({name: row[name] for name in changed}))
            for position, each in enumerate(sealed.recipients):
                record = records.recipient_row(sealed, position, each)["record"]
                here = and_(recipient.c.message_id == held.id, recipient.c.position == position)
                connection.execute(update(recipient).where(here).values(record=record))
            chain.append(connection, self._gateway, [self._sealed_event(sealed, actor=actor, reason=reason)])
            after = self._load(connection, held.id)
        self._forget_traces()
        return after

    def encrypted(self, held_id: str) -> tuple[str, ...]:
        """The fingerprints of the seal keys that can open the message; none if it is kept in clear."""
        with self._database.read() as connection:
            full = self._resolve(connection, held_id)
            head = connection.execute(select(message.c.seal).where(message.c.id == full)).scalar_one()
        return keys_of(head) if head else ()

    def unseal(self, held_id: str, private: X25519PrivateKey, *, actor: str, reason: str) -> Opened:
        """Open a sealed message. That it was opened is on record before the first byte is handed out.

        Raises SealError if the key does not fit, ConflictError if the message is not encrypted, and NotFoundError
        if it or its bytes are not there.
        """
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            head = connection.execute(select(message.c.seal).where(message.c.id == held.id)).scalar_one()
            if not head:
                raise ConflictError(f"{held.id} is not encrypted")
            if not stored:
                raise NotFoundError(f"the bytes of {held.id} have been deleted")
            opener = Opener(held.id, head, private)
            record = opener.record()
            chain.append(connection, self._gateway, [self._event(Verb.UNSEAL, held, actor, reason)])
        pieces = chunks.expanded(opener.pieces(chunks.read_sealed(self._database, held.id)))
        return Opened(held_id=held.id, record=record, pieces=pieces)

    def _sealer(self, held: HeldMessage) -> Sealer | None:
        return Sealer(held.id, self._seal_keys) if held.sealed and self._seal_keys else None

    @staticmethod
    def _message_row(held: HeldMessage, sealer: Sealer | None) -> dict[str, Any]:
        """The columns of ``message``; of a message that is encrypted, only what may be known."""
        row = records.message_row(held)
        if sealer is None:
            return row
        return records.message_row(records.redacted(held)) | {"seal": sealer.head(row["record"].encode("ascii"))}

    def _sealed_event(self, held: HeldMessage, *, actor: str, reason: str = "") -> Event:
        keys = " ".join(fingerprint(each) for each in self._seal_keys)
        details = {"keys": keys} if keys else {"keys": "none is set: kept in clear"}
        return self._event(Verb.SEAL, held, actor, reason, details=details)

    def _forget_notices(self, connection: Any, held_id: str) -> None:
        """Notices name the message's subject and files; those that wait are not sent, and none is kept."""
        mine = and_(outbox_table.c.message_id == held_id, outbox_table.c.kind == outbox.NOTICE)
        owed = outbox_table.c.state == outbox.RowState.OWED
        digests = select(outbox_table.c.merged_into).where(mine, outbox_table.c.merged_into.is_not(None))
        about = or_(mine, outbox_table.c.id.in_(digests))
        leased = select(outbox_table.c.id).where(about, owed, outbox_table.c.lease_until > self._now())
        if connection.execute(leased.limit(1)).first() is not None:
            raise ConflictError(f"a notice about {held_id} is under way; try again in a minute")
        cancelled = {"state": outbox.RowState.CANCELLED, "done_at": self._now()}
        connection.execute(update(outbox_table).where(mine, owed).values(**cancelled))
        connection.execute(update(outbox_table).where(mine).values(notice="", rendered=None))
        outbox.forget_in_digests(connection, held_id)

    def _forget_traces(self) -> None:
        """Where the text still stands after it was replaced: SQLite's search index, and its write-ahead log."""
        if not self._database.on_sqlite:
            return
        with self._database.write() as connection:
            connection.execute(text("INSERT INTO message_search (message_search) VALUES ('optimize')"))
        with self._database.unbound() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
