"""Owns rulings on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.sql import chain, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.memory_schema import revision
from gatepost_quarantine.sql.memory_schema import ruling as rulings_table
from gatepost_quarantine.store import ConflictError, NotFoundError

_REVISION = "rulings"
_VERBS = {RulingKind.BLOCK: Verb.BLOCK, RulingKind.EXEMPT: Verb.EXEMPT}


class Ruled(Base):
    """The part of the store that is about rulings. See Rulings for what the methods promise."""

    def add_ruling(self, ruling: Ruling) -> None:
        """See Rulings.add_ruling."""
        if not ruling.in_force(self._clock()):
            raise ConflictError("the ruling would be over before it began: choose a later time")
        row = {
            "id": ruling.id,
            "kind": ruling.kind.value,
            "rule": records.clean(ruling.rule),
            "sender": records.clean(ruling.sender),
            "recipient": records.clean(ruling.recipient),
            "sha256": records.clean(ruling.sha256),
            "reason": records.clean(ruling.reason),
            "actor": records.clean(ruling.actor),
            "made_at": records.micros(ruling.made_at),
            "expires_at": records.micros(ruling.expires_at),
            "ended_at": None,
            "ended_by": "",
        }
        with self._database.write() as connection:
            connection.execute(insert(rulings_table).values(row))
            self._revise(connection)
            chain.append(connection, self._gateway, [self._ruled(_VERBS[ruling.kind], ruling)])

    def end_ruling(self, ruling_id: str, *, kind: RulingKind, actor: str, reason: str) -> Ruling:
        """See Rulings.end_ruling."""
        wanted = records.clean(ruling_id).strip().lower()
        mine = (rulings_table.c.id == wanted, rulings_table.c.kind == kind.value)
        with self._database.write() as connection:
            row = connection.execute(select(rulings_table).where(*mine).with_for_update()).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no {kind} {wanted}")
            found = _ruling(row)
            if not found.in_force(self._clock()):
                return found
            ending = {"ended_at": self._now(), "ended_by": records.clean(actor)}
            connection.execute(update(rulings_table).where(*mine).values(**ending))
            self._revise(connection)
            ended = _ruling(connection.execute(select(rulings_table).where(*mine)).one())
            event = self._ruled(Verb.RULING_ENDED, ended, actor=actor, reason=reason)
            chain.append(connection, self._gateway, [event])
        return ended

    def rulings(self, *, kind: RulingKind | None = None, over: bool = False) -> Sequence[Ruling]:
        """See Rulings.rulings."""
        query = select(rulings_table).order_by(rulings_table.c.made_at, rulings_table.c.id)
        if kind is not None:
            query = query.where(rulings_table.c.kind == kind.value)
        if not over:
            query = query.where(rulings_table.c.ended_at.is_(None), rulings_table.c.expires_at > self._now())
        with self._database.read() as connection:
            return [_ruling(row) for row in connection.execute(query)]

    def ruling_revision(self) -> int:
        """See Rulings.ruling_revision."""
        with self._database.read() as connection:
            return int(connection.execute(select(revision.c.number).where(_NUMBER)).scalar_one())

    def forget_rulings(self, before: datetime, *, dry_run: bool = False) -> int:
        """See Rulings.forget_rulings."""
        # Only a ruling in force can be ended, so what ended it came first.
        over = func.coalesce(rulings_table.c.ended_at, rulings_table.c.expires_at)
        mine = over < records.micros(before)
        if dry_run:
            with self._database.read() as connection:
                return int(connection.execute(select(func.count()).where(mine)).scalar_one())
        with self._database.write() as connection:
            return int(connection.execute(delete(rulings_table).where(mine)).rowcount)

    def _revise(self, connection: Connection) -> None:
        connection.execute(update(revision).where(_NUMBER).values(number=revision.c.number + 1))

    def _ruled(self, verb: Verb, ruling: Ruling, *, actor: str = "", reason: str = "") -> Event:
        named = {"rule": ruling.rule, "sender": ruling.sender, "file": ruling.sha256}
        details: dict[str, str | int | bool] = {key: value for key, value in named.items() if value}
        details |= {"ruling": ruling.id, "until": ruling.expires_at.isoformat(timespec="seconds")}
        return Event(
            verb=verb,
            actor=actor or ruling.actor,
            recipient=ruling.recipient,
            reason=reason or ruling.reason,
            details=details,
            at=self._clock(),
        )


_NUMBER = revision.c.name == _REVISION


def _ruling(row: Any) -> Ruling:
    return Ruling(
        id=row.id,
        kind=RulingKind(row.kind),
        rule=row.rule,
        sender=row.sender,
        recipient=row.recipient,
        sha256=row.sha256,
        reason=row.reason,
        actor=row.actor,
        made_at=records.moment(row.made_at),
        expires_at=records.moment(row.expires_at),
        ended_at=None if row.ended_at is None else records.moment(row.ended_at),
        ended_by=row.ended_by,
    )
