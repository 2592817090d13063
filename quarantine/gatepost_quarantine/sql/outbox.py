"""Owns the rows of the outbox: owing, claiming with a lease, and what becomes of each try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select, update

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import HeldMessage, Notice, State
from gatepost_quarantine.sql import records
from gatepost_quarantine.sql.schema import outbox, recipient
from gatepost_quarantine.sql.statements import insertion
from gatepost_quarantine.store import OwedNotice, OwedRelease

RELEASE, NOTICE = "release", "notice"

_GATHERED = 1000
"""Notices that one digest stands for at most, so that a flood is worked off in pieces that memory holds."""

_OWE = insertion(outbox, without=("id",))


class RowState(StrEnum):
    """Where an outbox row stands; all but ``owed`` are final."""

    OWED = "owed"
    SENT = "sent"
    GIVEN_UP = "given-up"
    HELD_AGAIN = "held-again"
    CANCELLED = "cancelled"
    MERGED = "merged"


def owe_notices(connection: Connection, notices: Sequence[Notice], *, held_id: str, now: int) -> None:
    """Owe the notices, of that held message if there is one."""
    rows = [
        _row(
            NOTICE,
            now=now,
            message_id=each.held_id or held_id,
            recipient=records.clean(each.to),
            notice=records.notice_text(each),
        )
        for each in notices
    ]
    _OWE.run_all(connection, rows)


def owe_release(connection: Connection, *, held_id: str, position: int, to: str, now: int) -> None:
    """Owe the release of a held message to one of its recipients, perhaps at another address."""
    _OWE.run(
        connection,
        _row(RELEASE, now=now, message_id=held_id, position=position, recipient=records.clean(to)),
    )


def cancel_release(connection: Connection, *, held_id: str, position: int, now: int) -> bool:
    """Take back an owed release; False if a courier has it now, or may have sent it before it died."""
    taken = connection.execute(
        update(outbox)
        .where(
            outbox.c.message_id == held_id,
            outbox.c.position == position,
            outbox.c.kind == RELEASE,
            outbox.c.state == RowState.OWED,
            outbox.c.lease_until.is_(None),
        )
        .values(state=RowState.CANCELLED, done_at=now)
    )
    return taken.rowcount > 0


def due(now: int) -> ColumnElement[bool]:
    """The rows that a courier may claim at ``now``."""
    free = or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now)
    return and_(outbox.c.state == RowState.OWED, outbox.c.due_at <= now, free)


def claim(connection: Connection, *, worker: str, now: int, until: int, limit: int) -> list[Row[Any]]:
    """Claim due rows, oldest first, and with each release the others of its message that are due."""
    columns = (outbox.c.id, outbox.c.kind, outbox.c.message_id, outbox.c.recipient, outbox.c.gathers)
    wanted = select(*columns).where(due(now)).order_by(outbox.c.due_at, outbox.c.id).limit(limit)
    rows = connection.execute(wanted.with_for_update(skip_locked=True)).all()
    ids = {row.id for row in rows}
    messages = {row.message_id for row in rows if row.kind == RELEASE}
    if messages:
        together = and_(due(now), outbox.c.kind == RELEASE, outbox.c.message_id.in_(messages))
        siblings = select(outbox.c.id).where(together).with_for_update(skip_locked=True)
        ids.update(connection.execute(siblings).scalars())
    ids.update(_gathered(connection, {row.recipient for row in rows if row.gathers}, now=now))
    if not ids:
        return []
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(lease_owner=worker, lease_until=until, attempts=outbox.c.attempts + 1)
    )
    return list(connection.execute(select(outbox).where(outbox.c.id.in_(ids)).order_by(outbox.c.id)).all())


def _gathered(connection: Connection, recipients: set[str], *, now: int) -> set[int]:
    """What has gathered for these addressees, due or not: when the first is due, all go."""
    found: set[int] = set()
    free = or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now)
    for each in sorted(recipients):
        mine = (outbox.c.recipient == each, outbox.c.gathers, outbox.c.state == RowState.OWED, free)
        wanted = select(outbox.c.id).where(*mine).order_by(outbox.c.id).limit(_GATHERED)
        found.update(connection.execute(wanted.with_for_update(skip_locked=True)).scalars())
    return found


def told(connection: Connection, recipient: str, *, since: int) -> int:
    """How many notices were sent to this address since then."""
    mine = (outbox.c.recipient == records.clean(recipient), outbox.c.done_at >= since)
    sent = (outbox.c.kind == NOTICE, outbox.c.state == RowState.SENT)
    return int(connection.execute(select(func.count()).where(*mine, *sent)).scalar_one())


def gather(connection: Connection, rows: Sequence[int], *, worker: str, due_at: int) -> None:
    """Let this worker's rows wait for others to their addressees; the claim was no attempt then."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(rows), outbox.c.state == RowState.OWED, outbox.c.lease_owner == worker)
        .values(gathers=True, due_at=due_at, lease_owner="", lease_until=None, attempts=outbox.c.attempts - 1)
    )


def merge(connection: Connection, rows: Sequence[int], notice: Notice, *, worker: str, now: int) -> bool:
    """Owe one notice in the place of these; False, and nothing is to be kept, if some are not this worker's."""
    row = _row(
        NOTICE, now=now, message_id="", recipient=records.clean(notice.to), notice=records.notice_text(notice)
    )
    made = connection.execute(insert(outbox).values(row).returning(outbox.c.id)).scalar_one()
    merged = connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(rows), outbox.c.state == RowState.OWED, outbox.c.lease_owner == worker)
        .values(state=RowState.MERGED, merged_into=made, done_at=now, lease_owner="", lease_until=None)
    )
    return merged.rowcount == len(set(rows))


def forget_in_digests(connection: Connection, held_id: str) -> None:
    """Take what a message says out of the digests that name it; one that waits is written again."""
    digests = select(outbox.c.merged_into).where(outbox.c.message_id == held_id, outbox.c.merged_into.is_not(None))
    for row in connection.execute(select(outbox).where(outbox.c.id.in_(digests)).with_for_update()).all():
        digest = records.notice(row.notice) if row.notice else None
        if digest is None:
            continue
        entries = [
            each | {"subject": "", "why": [], "told": ""} if each["held_id"] == held_id else each
            for each in digest.context["entries"]
        ]
        bare = replace(digest, context={**digest.context, "entries": entries})
        blank = {"notice": records.notice_text(bare), "rendered": None}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**blank))


def renew(connection: Connection, rows: Sequence[int], *, worker: str, until: int) -> bool:
    """Move the end of the lease; False, and nothing moved for them, if some rows are not this worker's."""
    moved = connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(rows), outbox.c.state == RowState.OWED, outbox.c.lease_owner == worker)
        .values(lease_until=until)
    )
    return moved.rowcount == len(set(rows))


def let_go(connection: Connection, rows: Sequence[int], *, worker: str) -> None:
    """End this worker's leases on rows that it has not begun to send; the claim was no attempt then."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(rows), outbox.c.state == RowState.OWED, outbox.c.lease_owner == worker)
        .values(lease_owner="", lease_until=None, attempts=outbox.c.attempts - 1)
    )


def owed_release(row: Row[Any], held: HeldMessage) -> OwedRelease:
    """A claimed row as the courier reads it."""
    to = held.recipients[row.position]
    # An address that came with the message may hold bytes that the column cannot; the record has them.
    address = to.address if row.recipient == records.clean(to.address) else row.recipient
    return OwedRelease(row=row.id, attempts=row.attempts, held=held, recipient=to, to=address)


def owed_notice(row: Row[Any]) -> OwedNotice:
    """A claimed row as the courier reads it."""
    return OwedNotice(
        row=row.id,
        attempts=row.attempts,
        owed_at=records.moment(row.created_at),
        notice=records.notice(row.notice),
        rendered=row.rendered or b"",
        gathers=row.gathers,
    )


def keep_rendered(connection: Connection, row: int, rendered: bytes) -> None:
    """Keep a notice's bytes, unless some are kept already."""
    connection.execute(
        update(outbox).where(outbox.c.id == row, outbox.c.rendered.is_(None)).values(rendered=rendered)
    )


def sent(connection: Connection, row: int, *, reply: str, actor: str, now: int) -> list[Event]:
    """Record that the mail was accepted. The events to append; none if this was known."""
    owed = _owed(connection, row)
    if owed is None:
        return []
    _finish(connection, row, state=RowState.SENT, reply=reply, now=now)
    if owed.kind == NOTICE:
        merged = connection.execute(select(outbox).where(outbox.c.merged_into == row).order_by(outbox.c.id)).all()
        return [_event(Verb.NOTICE, each, actor=actor, reply=reply, now=now) for each in merged or [owed]]
    _set_recipient(connection, owed, state=State.RELEASED, reply=reply)
    return [_event(Verb.DELIVER, owed, actor=actor, reply=reply, now=now)]


def put_off(connection: Connection, row: int, *, reply: str, due_at: int) -> None:
    """Record a failed try and when to try again."""
    owed = _owed(connection, row)
    if owed is None:
        return
    connection.execute(
        update(outbox)
        .where(outbox.c.id == row)
        .values(due_at=due_at, lease_owner="", lease_until=None, reply=reply)
    )
    if owed.kind == RELEASE:
        _set_recipient(connection, owed, reply=reply)


def give_up(
    connection: Connection,
    row: int,
    *,
    reply: str,
    actor: str,
    now: int,
    state: RowState = RowState.GIVEN_UP,
    verb: Verb = Verb.REFUSE,
) -> list[Event]:
    """Record a refusal for good: a release goes back to ``held``, for a reviewer to decide again.

    ``state`` and ``verb`` say who refused: the mail server, or the second look.
    """
    owed = _owed(connection, row)
    if owed is None:
        return []
    _finish(connection, row, state=state, reply=reply, now=now)
    if owed.kind == NOTICE:
        return [_event(Verb.NOTICE_GIVEN_UP, owed, actor=actor, reply=reply, now=now)]
    undecided = {"decided_by": "", "decided_at": None, "reason": "", "released_to": ""}
    _set_recipient(connection, owed, state=State.HELD, reply=reply, **undecided)
    return [_event(verb, owed, actor=actor, reply=reply, now=now)]


def _row(kind: str, *, now: int, **values: Any) -> dict[str, Any]:
    empty = {"position": None, "notice": "", "attempts": 0, "lease_owner": "", "reply": "", "gathers": False}
    never = dict.fromkeys(("rendered", "lease_until", "done_at", "merged_into"))
    return {"kind": kind, "state": RowState.OWED, "created_at": now, "due_at": now, **empty, **never, **values}


def _owed(connection: Connection, row: int) -> Row[Any] | None:
    """The row, locked, if nothing final has happened to it."""
    wanted = select(outbox).where(outbox.c.id == row, outbox.c.state == RowState.OWED).with_for_update()
    return connection.execute(wanted).one_or_none()


def _finish(connection: Connection, row: int, *, state: RowState, reply: str, now: int) -> None:
    connection.execute(
        update(outbox)
        .where(outbox.c.id == row)
        .values(state=state, reply=reply, done_at=now, lease_owner="", lease_until=None)
    )


def _set_recipient(connection: Connection, owed: Row[Any], **values: Any) -> None:
    connection.execute(
        update(recipient)
        .where(recipient.c.message_id == owed.message_id, recipient.c.position == owed.position)
        .values(**values)
    )


def _event(verb: Verb, owed: Row[Any], *, actor: str, reply: str, now: int) -> Event:
    return Event(
        verb=verb,
        actor=actor,
        held_id=owed.message_id,
        recipient=owed.recipient,
        details={"reply": reply, "attempts": owed.attempts},
        at=records.moment(now),
    )
