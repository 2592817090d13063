"""Owns the store's part in what senders answer, and in tokens that count once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.choices import choices
from gatepost_quarantine.held import Choice, HeldMessage, Notice, SenderAnswer, State
from gatepost_quarantine.sql import chain, decisions, many, outbox, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.keys import shared_key
from gatepost_quarantine.sql.schema import key_window, recipient
from gatepost_quarantine.sql.sender_schema import sender_answer
from gatepost_quarantine.store import ConflictError

_VERBS = {Choice.SEND: Verb.CONFIRM, Choice.WITHDRAW: Verb.WITHDRAW, Choice.ASK: Verb.ASK}


class Answering(Base):
    """Answers of senders, as a part of the store. The first answer to a message stands."""

    def key(self, name: str) -> bytes:
        """See Store.key."""
        return shared_key(self._database, name)

    def spend(self, token: str, *, until: datetime) -> bool:
        """See Store.spend."""
        insertion = sqlite.insert if self._database.on_sqlite else postgresql.insert
        row = {"key": f"token:{records.clean(token)}", "held_id": "", "expires_at": records.micros(until)}
        with self._database.write() as connection:
            taking = insertion(key_window).values(row).on_conflict_do_nothing().returning(key_window.c.key)
            return connection.execute(taking).first() is not None

    def answer(self, answer: SenderAnswer, *, notices: Sequence[Notice] = ()) -> SenderAnswer:
        """See Store.answer."""
        now = self._now()
        with self._database.write() as connection:
            held, stored = self._locked(connection, answer.held_id)
            earlier = _answers(connection, [held.id]).get(held.id)
            if earlier is not None:
                return earlier
            if not held.sender or held.sender.casefold() != answer.sender.casefold():
                raise ConflictError(f"{held.id} was not sent by {answer.sender}")
            if answer.choice not in choices(held):
                raise ConflictError(f"the sender cannot {answer.choice.value} {held.id} now")
            if not stored:
                raise ConflictError(f"the bytes of {held.id} have been deleted")
            connection.execute(insert(sender_answer).values(_row(held, answer, now)))
            events = []
            for position, each in enumerate(held.recipients):
                if each.state is not State.HELD:
                    continue
                self._do(connection, held, position, answer, now)
                details = {"via": answer.via}
                events.append(
                    self._event(
                        _VERBS[answer.choice],
                        held,
                        answer.sender,
                        answer.reason,
                        recipient=each.address,
                        details=details,
                    )
                )
            outbox.owe_notices(connection, notices, held_id=held.id, now=now)
            chain.append(connection, self._gateway, events)
            return _answers(connection, [held.id])[held.id]

    def answers(self, ids: Sequence[str]) -> Mapping[str, SenderAnswer]:
        """See Store.answers."""
        with self._database.read() as connection:
            return _answers(connection, ids)

    def requests(self, *, limit: int = 100) -> Sequence[SenderAnswer]:
        """See Store.requests."""
        waits = exists().where(
            and_(recipient.c.message_id == sender_answer.c.message_id, recipient.c.state == State.HELD.value)
        )
        query = select(sender_answer).where(sender_answer.c.choice == Choice.ASK.value, waits)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(sender_answer.c.at).limit(limit)).all()
        return [_answer(row) for row in rows]

    @staticmethod
    def _do(connection: Connection, held: HeldMessage, position: int, answer: SenderAnswer, now: int) -> None:
        """What the choice means for one recipient that is held."""
        address = held.recipients[position].address
        if answer.choice is Choice.ASK:
            return
        if answer.choice is Choice.SEND:
            outbox.owe_release(connection, held_id=held.id, position=position, to=address, now=now)
        decisions.decide(
            connection,
            held,
            position,
            state=State.RELEASING if answer.choice is Choice.SEND else State.WITHDRAWN,
            actor=answer.sender,
            now=now,
            reason=answer.reason,
            released_to=address if answer.choice is Choice.SEND else "",
        )


def _answers(connection: Connection, ids: Sequence[str]) -> dict[str, SenderAnswer]:
    rows = many.rows(connection, select(sender_answer), sender_answer.c.message_id, ids)
    return {row.message_id: _answer(row) for row in rows}


def _row(held: HeldMessage, answer: SenderAnswer, now: int) -> dict[str, Any]:
    return {
        "message_id": held.id,
        "choice": answer.choice.value,
        "sender": records.clean(answer.sender),
        "reason": records.clean(answer.reason),
        "via": answer.via,
        "at": now,
    }


def _answer(row: Any) -> SenderAnswer:
    return SenderAnswer(
        held_id=row.message_id,
        choice=Choice(row.choice),
        sender=row.sender,
        reason=row.reason,
        via=row.via,
        at=records.moment(row.at),
    )
