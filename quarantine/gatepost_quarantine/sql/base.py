"""Owns what every part of the store stands on: the database, the clock, and how a message is found and loaded."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import HeldMessage
from gatepost_quarantine.sql import decisions, many, records
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.schema import message, recipient
from gatepost_quarantine.store import NotFoundError


def utc_now() -> datetime:
    """The clock of every store that is not told another."""
    return datetime.now(UTC)


class Base:
    """One database seen by one gateway. ``seal_keys`` are the public keys that sealed mail is encrypted to."""

    def __init__(
        self,
        database: Database,
        *,
        gateway: str,
        clock: Callable[[], datetime] = utc_now,
        seal_keys: Sequence[str] = (),
    ) -> None:
        self._database = database
        self._gateway = records.clean(gateway)
        self._clock = clock
        self._seal_keys = tuple(seal_keys)

    def _now(self) -> int:
        return records.micros(self._clock())

    def _after(self, seconds: float) -> int:
        return records.micros(self._clock() + timedelta(seconds=seconds))

    def _resolve(self, connection: Connection, held_id: str) -> str:
        """The full id of a shortened one, or of a support id."""
        wanted = records.clean(held_id).strip()
        if not wanted:
            raise NotFoundError("no id was given")
        if connection.execute(select(message.c.id).where(message.c.id == wanted)).first():
            return wanted
        for condition in (
            message.c.id.startswith(wanted.lower(), autoescape=True),
            message.c.support_id == wanted.casefold(),
        ):
            ids = connection.execute(select(message.c.id).where(condition).limit(2)).scalars().all()
            if len(ids) == 1:
                return str(ids[0])
            if ids:
                raise NotFoundError(f"{wanted} is the start of several ids; give more of it")
        raise NotFoundError(f"there is no held message {wanted}")

    def _load(self, connection: Connection, held_id: str) -> HeldMessage:
        row = connection.execute(select(message).where(message.c.id == held_id)).one()
        return self._with_recipients(connection, [row])[0]

    def _locked(self, connection: Connection, held_id: str) -> tuple[HeldMessage, bool]:
        """The message, with other decisions about it kept waiting; and whether its bytes are there."""
        full = self._resolve(connection, held_id)
        stored = decisions.lock(connection, full)
        return self._load(connection, full), stored

    def _with_recipients(self, connection: Connection, rows: Sequence[Any]) -> builtins.list[HeldMessage]:
        found: dict[str, list[Any]] = {row.id: [] for row in rows}
        wanted = select(recipient).order_by(recipient.c.message_id, recipient.c.position)
        for each in many.rows(connection, wanted, recipient.c.message_id, found):
            found[each.message_id].append(each)
        return [records.held_message(row, found[row.id]) for row in rows]

    def _event(
        self,
        verb: Verb,
        held: HeldMessage,
        actor: str,
        reason: str,
        *,
        recipient: str = "",
        details: Mapping[str, str | int | bool] | None = None,
    ) -> Event:
        return Event(
            verb=verb,
            actor=actor,
            held_id=held.id,
            recipient=recipient,
            reason=reason,
            details=details or {},
            at=self._clock(),
        )
