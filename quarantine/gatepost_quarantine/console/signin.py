"""Owns signing in: passwords, the brake on guessing them, and sessions that end on the server.

A wrong name and a wrong password look alike and take the same time. An account locks after some wrong passwords in
a row; a client address that fails often has to wait whatever names it tries.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gatepost_config.settings import Console
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.review import Account, Review, Session
from gatepost_quarantine.store import Store

MIN_PASSWORD = 12
MAX_PASSWORD = 1024
"""Characters."""

_HASHER = PasswordHasher()  # Argon2id with the library's defaults, those of RFC 9106's low-memory profile
_ADDRESS_FAILURES = 20
_ADDRESS_WINDOW = timedelta(minutes=10)
_ADDRESSES = 10_000
_SEEN_EVERY = timedelta(minutes=1)
_HASHING = threading.BoundedSemaphore(2)  # each takes 64 MiB


class RefusedError(Exception):
    """The sign-in is refused; the text is what the person reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A new session, and the token that only its browser is told."""

    token: str
    session: Session


class Doorman:
    """Lets people in and knows who is in. One for each process."""

    def __init__(self, settings: Console, store: Store, review: Review, *, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._review = review
        self._clock = clock
        self._brake = _Brake(clock)

    def with_password(self, name: str, password: str, *, address: str) -> Ticket:
        """Sign in with a local account. Raises RefusedError."""
        if not self._brake.free(address):
            raise RefusedError("Too many wrong passwords from here. Wait ten minutes, then try again.")
        account = self._review.account(name)
        now = self._clock()
        if account is not None and account.locked_until is not None and account.locked_until > now:
            self._refused(name, address, "locked")
            raise RefusedError(
                "Too many wrong passwords: the account is locked for a while. An administrator can unlock it."
            )
        if not _matches(account.password if account is not None else _nobody(), password) or account is None:
            self._brake.failed(address)
            until = now + timedelta(minutes=self._settings.lock_minutes)
            self._review.failed_sign_in(name, lock_after=self._settings.lock_after, until=until)
            self._refused(name, address, "wrong name or password")
            raise RefusedError("The name or the password is wrong.")
        self._review.good_sign_in(account.name)
        return self.let_in(
            name=account.name, title=account.title, source="local", roles=account.roles, queues=account.queues
        )

    def let_in(
        self, *, name: str, title: str, source: str, roles: Iterable[str], queues: Iterable[str] = ()
    ) -> Ticket:
        """Begin a session for somebody who has proved who they are."""
        now = self._clock()
        token = secrets.token_urlsafe(32)
        session = Session(
            digest=_digest(token),
            name=name,
            title=title or name,
            source=source,
            roles=frozenset(roles),
            queues=frozenset(queues),
            csrf=secrets.token_urlsafe(24),
            created_at=now,
            seen_at=now,
            expires_at=now + timedelta(hours=self._settings.session_hours),
        )
        self._review.start_session(session)
        self._store.record(Event(verb=Verb.SIGN_IN, actor=name, details={"source": source}, at=now))
        return Ticket(token=token, session=session)

    def who(self, token: str, *, in_use: bool) -> Session | None:
        """The session of this token, if it has not ended. ``in_use`` is false for what a page asks by itself."""
        if not token or len(token) > 100:
            return None
        session = self._review.session(_digest(token))
        now = self._clock()
        if session is None or session.expires_at <= now:
            return None
        if session.seen_at + timedelta(minutes=self._settings.idle_minutes) <= now:
            self._review.end_session(session.digest)
            return None
        if in_use and now - session.seen_at >= _SEEN_EVERY:
            self._review.touch_session(session.digest, at=now)
            return replace(session, seen_at=now)
        return session

    def left(self, session: Session) -> tuple[timedelta, bool]:
        """The time until the session ends if nobody does anything, and whether using it makes that longer."""
        idle = session.seen_at + timedelta(minutes=self._settings.idle_minutes)
        return min(idle, session.expires_at) - self._clock(), idle < session.expires_at

    def let_out(self, session: Session) -> None:
        """End a session."""
        self._review.end_session(session.digest)
        self._store.record(Event(verb=Verb.SIGN_OUT, actor=session.name, at=self._clock()))

    def _refused(self, name: str, address: str, why: str) -> None:
        details = {"address": address}
        event = Event(
            verb=Verb.SIGN_IN_REFUSED, actor=name.strip()[:100], reason=why, details=details, at=self._clock()
        )
        self._store.record(event)


class _Brake:
    """Counts failures by client address, in memory: it slows guessing down and may forget at a restart."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[datetime]] = OrderedDict()

    def free(self, address: str) -> bool:
        with self._lock:
            since = self._clock() - _ADDRESS_WINDOW
            recent = [at for at in self._failures.get(address, ()) if at > since]
            return len(recent) < _ADDRESS_FAILURES

    def failed(self, address: str) -> None:
        with self._lock:
            times = self._failures.setdefault(address, [])
            times.append(self._clock())
            del times[:-_ADDRESS_FAILURES]
            self._failures.move_to_end(address)
            while len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)


def new_account(
    name: str, password: str, *, title: str = "", roles: Iterable[str] = (), queues: Iterable[str] = ()
) -> Account:
    """An account with a hashed password. Raises RefusedError for a password that is too short or long."""
    return Account(
        name=name,
        title=title or name,
        password=hashed(password),
        roles=frozenset(roles),
        queues=frozenset(queues),
    )


def hashed(password: str) -> str:
    """The Argon2id hash of a new password. Raises RefusedError if it is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise RefusedError(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; length is what matters.")
    return _HASHER.hash(password)


@cache
def _nobody() -> str:
    """A hash that no password matches, so that trying an unknown name takes as long as a known one."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def _matches(known: str, password: str) -> bool:
    if len(password) > MAX_PASSWORD:
        return False
    try:
        with _HASHING:
            return _HASHER.verify(known, password)
    except (Argon2Error, InvalidHashError):
        return False


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
