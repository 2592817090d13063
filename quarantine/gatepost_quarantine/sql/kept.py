"""Owns the store's part in keeping and forgetting: legal hold, reminders, expiry, and what is erased when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, select, text, update

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import HeldMessage, Notice, State
from gatepost_quarantine.sql import chain, decisions, outbox, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.case_schema import case_link, case_record
from gatepost_quarantine.sql.schema import chain_head, chunk, message, recipient
from gatepost_quarantine.sql.schema import event as event_table
from gatepost_quarantine.sql.schema import outbox as outbox_table
from gatepost_quarantine.sql.sender_schema import sender_answer
from gatepost_quarantine.store import ConflictError, Due

_PAGE = 200
_BITE = 2000
"""Pages that one transaction gives back, so that no hold waits long for it."""

_OPEN = (State.HELD, State.RELEASING)

_OPEN_CASE = (
    select(case_record.c.id)
    .join(case_link, case_link.c.case_id == case_record.c.id)
    .where(case_link.c.message_id == message.c.id, case_record.c.closed_at.is_(None))
    .order_by(case_record.c.opened_at, case_record.c.id)
    .limit(1)
    .correlate(message)
    .scalar_subquery()
)
"""The oldest open case that a message belongs to."""

_KEPT = (message.c.legal_hold != "") | _OPEN_CASE.is_not(None)


class Keeping(Base):
    """Keeping and forgetting, as a part of the store. Legal holds and open cases come before any time."""

    def legal_hold(self, held_id: str, *, actor: str, reason: str) -> HeldMessage:
        """Keep the message, whatever the retention says, until ``end_legal_hold``.

        Raises NotFoundError, and ConflictError without a reason.
        """
        if not reason.strip():
            raise ConflictError("a legal hold needs a reason")
        return self._set_legal_hold(held_id, reason, Verb.LEGAL_HOLD, actor=actor, reason=reason)

    def end_legal_hold(self, held_id: str, *, actor: str, reason: str) -> HeldMessage:
        """Let the retention apply again. Raises NotFoundError."""
        return self._set_legal_hold(held_id, "", Verb.LEGAL_HOLD_ENDED, actor=actor, reason=reason)

    def legal_hold_of(self, held_id: str) -> str:
        """Why somebody put the message under legal hold; empty if nobody did. Raises NotFoundError."""
        with self._database.read() as connection:
            return self._on_legal_hold(connection, self._resolve(connection, held_id))

    def waiting(self) -> Iterator[Due]:
        """Every message that nobody has decided about for some recipient, oldest first."""
        undecided = exists().where(recipient.c.message_id == message.c.id, recipient.c.state == State.HELD)
        yield from self._pages(select(message).where(undecided))

    def reminded(self, counts: Sequence[tuple[str, int]], notices: Sequence[Notice], *, actor: str) -> None:
        """Owe reminders, and note for each message (id, reminders so far), in one commit with the events."""
        now = self._now()
        with self._database.write() as connection:
            events = []
            for held_id, count in counts:
                connection.execute(update(message).where(message.c.id == held_id).values(reminded=count))
                details = {"reminder": count}
                events.append(
                    Event(verb=Verb.REMIND, actor=actor, held_id=held_id, details=details, at=self._clock())
                )
            outbox.owe_notices(connection, notices, held_id="", now=now)
            chain.append(connection, self._gateway, events)

    def expire(self, held_id: str, *, actor: str, reason: str, notices: Sequence[Notice]) -> bool:
        """End what nobody decided about: its recipients are expired, its bytes go, and the notices are owed.

        False, and nothing is changed, if it has been decided meanwhile, or must be kept.
        """
        now = self._now()
        with self._database.write() as connection:
            held, _stored = self._locked(connection, held_id)
            undecided = [place for place, each in enumerate(held.recipients) if each.state is State.HELD]
            if not undecided or held.sealed or self._must_be_kept(connection, held.id):
                return False
            for place in undecided:
                decisions.decide(connection, held, place, state=State.EXPIRED, actor=actor, now=now, reason=reason)
            events = [
                self._event(Verb.EXPIRE, held, actor, reason, recipient=held.recipients[place].address)
                for place in undecided
            ]
            if all(each.state not in _OPEN for each in self._load(connection, held.id).recipients):
                self._drop(connection, held.id)
            outbox.owe_notices(connection, notices, held_id=held.id, now=now)
            chain.append(connection, self._gateway, events)
        return True

    def decided(self, *, released: bool, before: datetime) -> Iterator[Due]:
        """Messages whose bytes are there, that were decided about for everybody, the last time before ``before``.

        With ``released``, those that everybody got; else those that somebody did not.
        """
        mine = recipient.c.message_id == message.c.id
        late = recipient.c.decided_at.is_(None) | (recipient.c.decided_at >= records.micros(before))
        other = exists().where(mine, recipient.c.state != State.RELEASED)
        query = select(message).where(
            message.c.stored,
            ~exists().where(mine, recipient.c.state.in_(_OPEN)),
            ~exists().where(mine, late),
            ~other if released else other,
        )
        yield from self._pages(query)

    def drop_bytes(self, held_id: str, *, actor: str, reason: str) -> bool:
        """Remove the bytes of a message that was decided about; False if that may not be now."""
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            undecided = any(each.state in _OPEN for each in held.recipients)
            if not stored or undecided or self._must_be_kept(connection, held.id):
                return False
            self._drop(connection, held.id)
            chain.append(connection, self._gateway, [self._event(Verb.EXPIRE, held, actor, reason)])
        return True

    def forgettable(self, before: datetime) -> Iterator[Due]:
        """Messages without bytes whose last decision was before ``before``, and of which something is known."""
        mine = recipient.c.message_id == message.c.id
        at = func.coalesce(recipient.c.decided_at, recipient.c.received_at)
        query = select(message).where(
            ~message.c.stored,
            message.c.search_text != "",
            message.c.received_at < records.micros(before),
            ~exists().where(mine, recipient.c.state.in_(_OPEN)),
            ~exists().where(mine, at >= records.micros(before)),
        )
        yield from self._pages(query)

    def forget(self, held_id: str, *, actor: str, reason: str) -> bool:
        """Erase whom and what a message was about; that it was there, when, and by which rules, is left."""
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            if stored or self._must_be_kept(connection, held.id):
                return False
            nobody = records.forgotten(held)
            row = records.message_row(nobody)
            kept = {name: row[name] for name in ("record", "sender", "message_id", "support_id", "queue_id")}
            mine = message.c.id == held.id
            connection.execute(update(message).where(mine).values(**kept, search_text="", seal=""))
            for place, each in enumerate(nobody.recipients):
                row = records.recipient_row(nobody, place, each)
                about = ("address", "record", "decided_by", "reason", "released_to", "reply")
                kept = {name: row[name] for name in about}
                here = and_(recipient.c.message_id == held.id, recipient.c.position == place)
                connection.execute(update(recipient).where(here).values(**kept))
            outbox.forget_in_digests(connection, held.id)
            finished = and_(outbox_table.c.message_id == held.id, outbox_table.c.state != outbox.RowState.OWED)
            connection.execute(delete(outbox_table).where(finished))
            connection.execute(delete(sender_answer).where(sender_answer.c.message_id == held.id))
            chain.append(connection, self._gateway, [self._event(Verb.FORGET, held, actor, reason)])
        return True

    def purge_notices(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove outbox rows that were done before ``before``; how many there are."""
        kept = exists().where(message.c.id == outbox_table.c.message_id, _KEPT)
        old = and_(
            outbox_table.c.state != outbox.RowState.OWED,
            outbox_table.c.done_at < records.micros(before),
            ~kept,
        )
        if dry_run:
            with self._database.read() as connection:
                return int(connection.execute(select(func.count()).where(old)).scalar_one())
        with self._database.write() as connection:
            return int(connection.execute(delete(outbox_table).where(old)).rowcount)

    def erase_names(
        self, *, before: datetime | None = None, held_id: str = "", actor: str, reason: str, dry_run: bool = False
    ) -> int:
        """Erase the personal fields of events: those before a time, or those of one message; how many.

        The chain stays whole (``audit.verify``). Events about a message under legal hold keep theirs, and while
        time alone asks, those about one in an open case too.
        """
        keeps = message.c.legal_hold != "" if held_id else _KEPT
        kept = exists().where(message.c.id == event_table.c.held_id, keeps)
        mine = [event_table.c.commitment != "", event_table.c.salt != "", ~kept]
        if before is not None:
            mine.append(event_table.c.at < records.micros(before))
        with self._database.read() as connection:
            if held_id:
                mine.append(event_table.c.held_id == self._resolve(connection, held_id))
            many = int(connection.execute(select(func.count()).where(*mine)).scalar_one())
        if dry_run or not many:
            return many
        nothing = {"salt": "", "actor": "", "recipient": "", "reason": "", "details": "{}"}
        with self._database.write() as connection:
            erased = connection.execute(update(event_table).where(*mine).values(**nothing)).rowcount
            details = {"erased": erased} | ({"message": held_id} if held_id else {})
            done = Event(verb=Verb.ERASE, actor=actor, reason=reason, details=details, at=self._clock())
            chain.append(connection, self._gateway, [done])
        return int(erased)

    def heads(self) -> Sequence[tuple[str, int, str, str]]:
        """(gateway, number of events, digest of the last, its segment) of every chain."""
        with self._database.read() as connection:
            rows = connection.execute(select(chain_head).order_by(chain_head.c.gateway)).all()
        return [(row.gateway, row.seq, row.digest, row.segment) for row in rows]

    def give_space_back(self) -> int:
        """Give all free pages of SQLite's file back to the disk, a bite at a time; the bytes it got smaller by."""
        if not self._database.on_sqlite:
            return 0
        self._checkpoint()
        before = self._database.path.stat().st_size
        with self._database.write() as connection:
            connection.execute(text("INSERT INTO message_search (message_search) VALUES ('optimize')"))
        while True:
            with self._database.write() as connection:
                vacuum(connection)
                left = connection.execute(text("PRAGMA freelist_count")).scalar_one()
            if not left:
                break
        self._checkpoint()
        return before - self._database.path.stat().st_size

    def _checkpoint(self) -> None:
        with self._database.unbound() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _set_legal_hold(self, held_id: str, value: str, verb: Verb, *, actor: str, reason: str) -> HeldMessage:
        with self._database.write() as connection:
            held, _stored = self._locked(connection, held_id)
            mine = message.c.id == held.id
            if bool(self._on_legal_hold(connection, held.id)) != bool(value):
                connection.execute(update(message).where(mine).values(legal_hold=records.clean(value)))
                chain.append(connection, self._gateway, [self._event(verb, held, actor, reason)])
        return held

    @staticmethod
    def _on_legal_hold(connection: Connection, held_id: str) -> str:
        return str(connection.execute(select(message.c.legal_hold).where(message.c.id == held_id)).scalar_one())

    @staticmethod
    def _must_be_kept(connection: Connection, held_id: str) -> bool:
        return bool(connection.execute(select(_KEPT).where(message.c.id == held_id)).scalar_one())

    @staticmethod
    def _drop(connection: Connection, held_id: str) -> None:
        connection.execute(delete(chunk).where(chunk.c.message_id == held_id))
        connection.execute(update(message).where(message.c.id == held_id).values(stored=False))

    def _pages(self, query: Select[Any]) -> Iterator[Due]:
        """Read in pages, so that many messages need little memory and no transaction lasts long."""
        at, held_id = message.c.received_at, message.c.id
        last: tuple[int, str] | None = None
        while True:
            page = query.add_columns(_OPEN_CASE.label("open_case")).order_by(at, held_id).limit(_PAGE)
            if last is not None:
                page = page.where((at > last[0]) | and_(at == last[0], held_id > last[1]))
            with self._database.read() as connection:
                rows = connection.execute(page).all()
                found = self._with_recipients(connection, rows)
            if not rows:
                return
            for row, held in zip(rows, found, strict=True):
                case = f"open case {row.open_case}" if row.open_case else ""
                kept = "legal hold" if row.legal_hold else case
                yield Due(held=held, reminded=row.reminded, kept=kept)
            last = rows[-1].received_at, rows[-1].id


def vacuum(connection: Connection) -> None:
    """Give a bite of SQLite's free pages back. The driver frees a page for each row that is asked for."""
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({_BITE})")
    cursor.fetchall()
    cursor.close()
