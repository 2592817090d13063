"""Owns the connection to the database: SQLite or PostgreSQL, one transaction at a time, errors as StoreError.

Nothing connects before the first transaction, so that a master may open the store and fork its workers.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from gatepost_quarantine.store import StoreError

PATIENCE = 20
"""Seconds to wait for a lock or a connection before the caller has to temp-fail."""

_POOL = 8
_WRITES = "gatepost_writes"

_SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout = {PATIENCE * 1000}",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)

_POSTGRES_OPTIONS = (
    f"-c lock_timeout={PATIENCE}s -c statement_timeout=120s -c idle_in_transaction_session_timeout=300s"
)


class Database:
    """One database, safe to use from many threads and after a fork. ``floor`` is in bytes."""

    def __init__(self, url: str, *, floor: int) -> None:
        try:
            self.url: URL = make_url(url)
        except ArgumentError:
            # The URL may hold a password, and errors end up in logs.
            raise StoreError("store.url is not a URL like sqlite:////path or postgresql+psycopg://…") from None
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise StoreError(f"store.url: {self.url.get_backend_name()!r} is not sqlite or postgresql+psycopg")
        self.on_sqlite = self.url.get_backend_name() == "sqlite"
        if self.on_sqlite and not self.url.database:
            raise StoreError("store.url names no file; write sqlite:////path/to/quarantine.db")
        self.floor = floor
        self._opened: Engine | None = None
        self._inherited: Engine | None = None
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        _OPEN.add(self)

    @property
    def path(self) -> Path:
        """The file of an SQLite database."""
        return Path(str(self.url.database))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreError."""
        with _translated(), self._engine().begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: on SQLite it has the write lock from the start. Raises StoreError."""
        with _translated(), self._turn(), self._writer().begin() as connection:
            yield connection

    @contextmanager
    def unbound(self) -> Iterator[Connection]:
        """A connection outside any transaction, for what SQLite does only there. Raises StoreError."""
        with _translated(), self._engine().connect() as connection:
            bare = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield bare

    def free(self) -> int:
        """Bytes that are free on the store's disk, -1 where that cannot be known (a database server).

        Raises StoreError if the folder is not there.
        """
        if not self.on_sqlite:
            return -1
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise StoreError(f"{self.path.parent}: {error.strerror}") from error
        return disk.f_bavail * disk.f_frsize

    def require_room(self, size: int) -> None:
        """Raise StoreError if ``size`` more bytes would leave less than the floor free."""
        free = self.free()
        if free >= 0 and free - size < self.floor:
            raise StoreError(
                f"only {free:,} bytes are free in {self.path.parent}, and {self.floor:,} must stay free"
            )

    def close(self) -> None:
        """Close every connection. The next transaction opens new ones."""
        engine, self._opened = self._opened, None
        if engine is not None:
            engine.dispose()

    def _engine(self) -> Engine:
        with self._opening:
            if self._opened is None:
                self._opened = self._new_engine()
            return self._opened

    def _writer(self) -> Engine:
        return self._engine().execution_options(**{_WRITES: True})

    def _new_engine(self) -> Engine:
        options: dict[str, Any] = {"pool_size": _POOL, "max_overflow": _POOL, "pool_timeout": PATIENCE}
        try:
            if self.on_sqlite:
                engine = create_engine(self.url, connect_args={"check_same_thread": False}, **options)
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
                return engine
            arguments = {"connect_timeout": PATIENCE, "options": _POSTGRES_OPTIONS, "tcp_user_timeout": 30_000}
            return create_engine(self.url, connect_args=arguments, pool_pre_ping=True, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreError(f"store.url needs a driver that is not installed: {error}") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite has one writer. Threads of one process queue here, where waiting is fair and costs nothing."""
        if not self.on_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=PATIENCE):
            raise StoreError(f"waited {PATIENCE} s for other writers of this process")
        try:
            yield
        finally:
            self._writing.release()

    def _forget_connections(self) -> None:
        """Start without connections. Those from before a fork stay the parent's: not used, and not closed."""
        self._inherited = self._opened or self._inherited
        self._opened = None
        self._opening = threading.Lock()
        self._writing = threading.Lock()


_OPEN: weakref.WeakSet[Database] = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_OPEN):
        database._forget_connections()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _translated() -> Iterator[None]:
    """Whatever the database cannot do becomes StoreError, without the statement and its private values."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        said = str(reason).strip().splitlines() or [type(reason).__name__]
        raise StoreError(f"the database cannot do it now: {said[0]}") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction starts is switched off; _begin_sqlite says it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
