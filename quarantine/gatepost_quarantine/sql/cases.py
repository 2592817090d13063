"""Owns cases on SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, false, func, insert, or_, select, true, update

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.cases import EVERYTHING, Case, CaseFile, CaseKind, CaseNote, CaseState
from gatepost_quarantine.review import Sight
from gatepost_quarantine.sql import chain, many, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.case_schema import case_link, case_note, case_record
from gatepost_quarantine.store import ConflictError, NotFoundError

_FORGOTTEN = "(forgotten)"


class Cased(Base):
    """The part of the store that is about cases. See Cases for what the methods promise."""

    def open_case(self, case: Case) -> Case:
        """See Cases.open_case."""
        with self._database.write() as connection:
            case_id = self._open(connection, case)
            opened = self._case(connection, case_id, EVERYTHING)
            chain.append(connection, self._gateway, self._opened([opened]))
        return opened

    def case(self, case_id: str, *, sight: Sight) -> CaseFile:
        """See Cases.case."""
        with self._database.read() as connection:
            found = self._case(connection, case_id, sight)
            notes = select(case_note).where(case_note.c.case_id == found.id).order_by(case_note.c.position)
            rows = connection.execute(notes).all()
        return CaseFile(case=found, notes=tuple(_note(row) for row in rows))

    def cases(
        self,
        *,
        sight: Sight,
        state: CaseState | None = None,
        kind: CaseKind | None = None,
        queue: str = "",
        held_id: str = "",
        limit: int = 100,
    ) -> Sequence[Case]:
        """See Cases.cases."""
        wanted = [_visible(sight)]
        if state is not None:
            is_open = case_record.c.closed_at.is_(None)
            wanted.append(is_open if state is CaseState.OPEN else ~is_open)
        if kind is not None:
            wanted.append(case_record.c.kind == kind.value)
        if queue:
            wanted.append(case_record.c.queue == records.clean(queue))
        if held_id:
            linked = select(case_link.c.case_id).where(case_link.c.message_id == records.clean(held_id))
            wanted.append(case_record.c.id.in_(linked))
        newest = (case_record.c.opened_at.desc(), case_record.c.id)
        with self._database.read() as connection:
            rows = connection.execute(select(case_record).where(*wanted).order_by(*newest).limit(limit)).all()
            return _with_links(connection, rows)

    def note_case(self, case_id: str, text: str, *, actor: str, sight: Sight) -> CaseNote:
        """See Cases.note_case."""
        if not text.strip():
            raise ConflictError("a note says something")
        with self._database.write() as connection:
            found = self._changing(connection, case_id, sight)
            note = self._write_down(connection, found.id, text, actor=actor)
            chain.append(connection, self._gateway, [self._cased(Verb.CASE_NOTE, found, actor)])
        return note

    def link_case(self, case_id: str, held_id: str, *, actor: str, sight: Sight) -> Case:
        """See Cases.link_case."""
        with self._database.write() as connection:
            found = self._changing(connection, case_id, sight)
            full = self._resolve(connection, held_id)
            if full in found.held:
                return found
            self._link(connection, found.id, [full], first=len(found.held))
            chain.append(connection, self._gateway, [self._cased(Verb.CASE_LINK, found, actor, held_id=full)])
            return self._case(connection, found.id, EVERYTHING)

    def pass_case(self, case_id: str, *, queue: str, actor: str, reason: str, sight: Sight) -> Case:
        """See Cases.pass_case."""
        if not queue.strip():
            raise ConflictError("a case belongs to a role: name one")
        with self._database.write() as connection:
            found = self._changing(connection, case_id, sight)
            new = records.clean(queue.strip())
            if new == found.queue:
                return found
            connection.execute(update(case_record).where(case_record.c.id == found.id).values(queue=new))
            why = f": {reason}" if reason else ""
            self._write_down(connection, found.id, f"Passed on from {found.queue} to {new}{why}", actor=actor)
            details = {"from": found.queue, "to": new}
            event = self._cased(Verb.CASE_PASS_ON, found, actor, reason=reason, details=details)
            chain.append(connection, self._gateway, [event])
            return self._case(connection, found.id, EVERYTHING)

    def close_case(self, case_id: str, *, outcome: str, actor: str, sight: Sight) -> Case:
        """See Cases.close_case."""
        if not outcome.strip():
            raise ConflictError("a case is closed with its outcome: say what came of it")
        with self._database.write() as connection:
            found = self._changing(connection, case_id, sight)
            ending = {
                "outcome": records.clean(outcome.strip()),
                "closed_by": records.clean(actor),
                "closed_at": self._now(),
            }
            connection.execute(update(case_record).where(case_record.c.id == found.id).values(**ending))
            chain.append(connection, self._gateway, [self._cased(Verb.CASE_CLOSE, found, actor)])
            return self._case(connection, found.id, EVERYTHING)

    def forget_cases(self, before: datetime, *, actor: str, reason: str, dry_run: bool = False) -> int:
        """See Cases.forget_cases."""
        old = and_(case_record.c.closed_at < records.micros(before), case_record.c.title != _FORGOTTEN)
        if dry_run:
            with self._database.read() as connection:
                return int(connection.execute(select(func.count()).where(old)).scalar_one())
        nothing = {
            "title": _FORGOTTEN,
            "opened_by": _FORGOTTEN,
            "reference": "",
            "outcome": "",
            "closed_by": "",
        }
        with self._database.write() as connection:
            ids = connection.execute(select(case_record.c.id).where(old).with_for_update()).scalars().all()
            connection.execute(delete(case_note).where(case_note.c.case_id.in_(ids)))
            connection.execute(delete(case_link).where(case_link.c.case_id.in_(ids)))
            connection.execute(update(case_record).where(case_record.c.id.in_(ids)).values(**nothing))
            events = [
                Event(verb=Verb.CASE_FORGET, actor=actor, reason=reason, details={"case": each}, at=self._clock())
                for each in ids
            ]
            chain.append(connection, self._gateway, events)
        return len(ids)

    def _open_with(self, connection: Connection, cases: Sequence[Case]) -> list[Event]:
        """Keep new cases inside the commit of something else. The events to append."""
        for each in cases:
            self._open(connection, each)
        return self._opened(cases)

    def _open(self, connection: Connection, case: Case) -> str:
        row = {
            "id": case.id,
            "kind": case.kind.value,
            "title": records.clean(case.title.strip()),
            "queue": records.clean(case.queue.strip()),
            "reference": records.clean(case.reference),
            "opened_by": records.clean(case.opened_by),
            "opened_at": records.micros(case.opened_at),
            "outcome": "",
            "closed_by": "",
            "closed_at": None,
        }
        held = list(dict.fromkeys(self._resolve(connection, each) for each in case.held))
        connection.execute(insert(case_record).values(row))
        self._link(connection, case.id, held)
        return case.id

    @staticmethod
    def _link(connection: Connection, case_id: str, held: Iterable[str], *, first: int = 0) -> None:
        rows = [
            {"case_id": case_id, "position": place, "message_id": each} for place, each in enumerate(held, first)
        ]
        if rows:
            connection.execute(insert(case_link), rows)

    def _write_down(self, connection: Connection, case_id: str, text: str, *, actor: str) -> CaseNote:
        mine = case_note.c.case_id == case_id
        position = connection.execute(select(func.count()).where(mine)).scalar_one()
        note = CaseNote(actor=records.clean(actor), text=records.clean(text.strip()), at=self._clock())
        row = {"case_id": case_id, "position": position, "actor": note.actor, "text": note.text}
        connection.execute(insert(case_note).values(**row, at=records.micros(note.at)))
        return note

    def _case(self, connection: Connection, case_id: str, sight: Sight) -> Case:
        wanted = records.clean(case_id).strip().lower()
        mine = case_record.c.id.startswith(wanted, autoescape=True)
        rows = connection.execute(select(case_record).where(mine, _visible(sight)).limit(2)).all()
        if not wanted or not rows:
            raise NotFoundError(f"there is no case {wanted}" if wanted else "no case was named")
        if len(rows) > 1:
            raise NotFoundError(f"{wanted} is the start of several ids; give more of it")
        return _with_links(connection, rows)[0]

    def _changing(self, connection: Connection, case_id: str, sight: Sight) -> Case:
        """The case, with other changes to it kept waiting. Raises ConflictError if it is closed."""
        full = self._case(connection, case_id, sight).id
        connection.execute(select(case_record.c.id).where(case_record.c.id == full).with_for_update())
        found = self._case(connection, full, sight)
        if found.state is CaseState.CLOSED:
            raise ConflictError(f"case {found.id} is closed")
        return found

    def _opened(self, cases: Iterable[Case]) -> list[Event]:
        """One event for a case, and one for each message that it begins with, for the message's own history."""
        return [
            self._cased(Verb.CASE_OPEN, case, case.opened_by, held_id=held_id, details={"role": case.queue})
            for case in cases
            for held_id in case.held or ("",)
        ]

    def _cased(
        self,
        verb: Verb,
        case: Case,
        actor: str,
        *,
        held_id: str = "",
        reason: str = "",
        details: dict[str, str] | None = None,
    ) -> Event:
        named: dict[str, str | int | bool] = {"case": case.id, **(details or {})}
        return Event(verb=verb, actor=actor, held_id=held_id, reason=reason, details=named, at=self._clock())


def _visible(sight: Sight) -> ColumnElement[bool]:
    """The condition that ``Sight.covers`` is, on the one role of a case."""
    confidential = case_record.c.queue.in_(sorted(sight.safeguarding))
    seen = or_(
        and_(confidential, true() if sight.confidential else false()),
        and_(~confidential, true() if sight.ordinary else false()),
    )
    return and_(seen, case_record.c.queue.in_(sorted(sight.queues))) if sight.queues else seen


def _with_links(connection: Connection, rows: Sequence[Any]) -> list[Case]:
    found: dict[str, list[str]] = {row.id: [] for row in rows}
    links = select(case_link).order_by(case_link.c.position)
    for each in many.rows(connection, links, case_link.c.case_id, found):
        found[each.case_id].append(each.message_id)
    return [_case(row, found[row.id]) for row in rows]


def _case(row: Any, held: Sequence[str]) -> Case:
    return Case(
        id=row.id,
        kind=CaseKind(row.kind),
        title=row.title,
        queue=row.queue,
        reference=row.reference,
        opened_by=row.opened_by,
        opened_at=records.moment(row.opened_at),
        held=tuple(held),
        outcome=row.outcome,
        closed_by=row.closed_by,
        closed_at=None if row.closed_at is None else records.moment(row.closed_at),
    )


def _note(row: Any) -> CaseNote:
    return CaseNote(actor=row.actor, text=row.text, at=records.moment(row.at))
