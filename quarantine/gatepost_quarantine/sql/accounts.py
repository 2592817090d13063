"""Owns the console's accounts and sessions on SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.review import CHOICES, Account, Session
from gatepost_quarantine.sql import chain, records
from gatepost_quarantine.sql.console_schema import account as accounts
from gatepost_quarantine.sql.console_schema import choice
from gatepost_quarantine.sql.console_schema import session as sessions
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.store import ConflictError

LOCAL = "local"
"""The source of sessions that began with a password kept here."""


class Accounts:
    """The part of Review that is about people. See there for what the methods promise."""

    def __init__(self, database: Database, *, gateway: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._gateway = records.clean(gateway)
        self._clock = clock

    def account(self, name: str) -> Account | None:
        """See Review.account."""
        query = select(accounts).where(accounts.c.name == _name(name))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _account(row)

    def accounts(self) -> Sequence[Account]:
        """See Review.accounts."""
        with self._database.read() as connection:
            return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))]

    def keep_account(self, account: Account, *, actor: str, what: str) -> None:
        """See Review.keep_account."""
        name = _name(account.name)
        values = {
            "title": records.clean(account.title),
            "password": account.password,
            "roles": _words(account.roles),
            "queues": _words(account.queues),
            "failures": account.failures,
            "locked_until": records.micros(account.locked_until) if account.locked_until else 0,
        }
        event = Event(verb=Verb.ACCOUNT, actor=actor, reason=what, details={"account": name}, at=self._clock())
        with self._database.write() as connection:
            changed = connection.execute(update(accounts).where(accounts.c.name == name).values(**values))
            if not changed.rowcount:
                connection.execute(insert(accounts).values(name=name, created_at=self._now(), **values))
            connection.execute(delete(sessions).where(sessions.c.name == name, sessions.c.source == LOCAL))
            chain.append(connection, self._gateway, [event])

    def failed_sign_in(self, name: str, *, lock_after: int, until: datetime) -> int:
        """See Review.failed_sign_in."""
        here = accounts.c.name == _name(name)
        with self._database.write() as connection:
            counting = update(accounts).where(here).values(failures=accounts.c.failures + 1)
            failures = connection.execute(counting.returning(accounts.c.failures)).scalar_one_or_none()
            if failures is None:
                return 0
            if failures % lock_after == 0:
                connection.execute(update(accounts).where(here).values(locked_until=records.micros(until)))
            return int(failures)

    def good_sign_in(self, name: str) -> None:
        """See Review.good_sign_in."""
        with self._database.write() as connection:
            connection.execute(
                update(accounts).where(accounts.c.name == _name(name)).values(failures=0, locked_until=0)
            )

    def start_session(self, session: Session) -> None:
        """See Review.start_session."""
        row = {
            "digest": session.digest,
            "name": records.clean(session.name),
            "title": records.clean(session.title),
            "source": session.source,
            "roles": _words(session.roles),
            "queues": _words(session.queues),
            "csrf": session.csrf,
            "created_at": records.micros(session.created_at),
            "seen_at": records.micros(session.seen_at),
            "expires_at": records.micros(session.expires_at),
        }
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= self._now()))
            connection.execute(insert(sessions).values(row))

    def session(self, digest: str) -> Session | None:
        """See Review.session."""
        with self._database.read() as connection:
            row = connection.execute(select(sessions).where(sessions.c.digest == digest)).one_or_none()
            if row is None:
                return None
            # A local account that lost a role, or is gone, loses it in the next request.
            owner: Any = row
            if row.source == LOCAL:
                owner = connection.execute(select(accounts).where(accounts.c.name == row.name)).one_or_none()
                if owner is None:
                    return None
        return Session(
            digest=row.digest,
            name=row.name,
            title=row.title,
            source=row.source,
            roles=_set(owner.roles),
            queues=_set(owner.queues),
            csrf=row.csrf,
            created_at=records.moment(row.created_at),
            seen_at=records.moment(row.seen_at),
            expires_at=records.moment(row.expires_at),
        )

    def touch_session(self, digest: str, *, at: datetime) -> None:
        """See Review.touch_session."""
        with self._database.write() as connection:
            seen = update(sessions).where(sessions.c.digest == digest)
            connection.execute(seen.values(seen_at=records.micros(at)))

    def end_session(self, digest: str) -> None:
        """See Review.end_session."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == digest))

    def choices(self, person: str, kind: str) -> Mapping[str, str]:
        """See Review.choices."""
        mine = and_(choice.c.person == records.clean(person), choice.c.kind == kind)
        with self._database.read() as connection:
            rows = connection.execute(select(choice).where(mine).order_by(choice.c.name))
            return {row.name: row.value for row in rows}

    def choose(self, person: str, kind: str, name: str, value: str) -> None:
        """See Review.choose."""
        person, name = records.clean(person), records.clean(name)
        mine = and_(choice.c.person == person, choice.c.kind == kind)
        with self._database.write() as connection:
            connection.execute(delete(choice).where(mine, choice.c.name == name))
            if not value:
                return
            if connection.execute(select(func.count()).select_from(choice).where(mine)).scalar_one() >= CHOICES:
                raise ConflictError(f"{CHOICES} are kept at most; remove one first")
            row = {"person": person, "kind": kind, "name": name, "value": records.clean(value)}
            connection.execute(insert(choice).values(row))

    def _now(self) -> int:
        return records.micros(self._clock())


def _name(name: str) -> str:
    return records.clean(name).strip().casefold()


def _words(words: frozenset[str]) -> str:
    return " ".join(sorted(records.clean(each) for each in words))


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _account(row: Any) -> Account:
    return Account(
        name=row.name,
        title=row.title,
        password=row.password,
        roles=_set(row.roles),
        queues=_set(row.queues),
        failures=row.failures,
        locked_until=records.moment(row.locked_until) if row.locked_until else None,
    )
