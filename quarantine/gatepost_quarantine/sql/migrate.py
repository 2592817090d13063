"""Owns bringing a database to the present tables, when it is opened. Several processes may do so at once."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from gatepost_quarantine.sql.database import PATIENCE, Database
from gatepost_quarantine.store import StoreError

HEAD = "0008"
"""The newest revision. Kept here so that opening a store that is up to date does not load Alembic."""

_ADVISORY_LOCK = 0x6761_7465_706F_7374
"""“gatepost” in ASCII: the lock that gateways of one PostgreSQL database queue up for."""


def migrate(database: Database) -> None:
    """Make or upgrade the tables if they are not the present ones, and close every connection afterwards.

    Raises StoreError when the database cannot be reached, or was made by a newer gatepost.
    """
    try:
        if _is_present(database):
            return
        with _locked(database), database.write() as connection:
            if not database.on_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            if _revision(connection) != HEAD:
                _upgrade(connection)
    finally:
        database.close()


def _is_present(database: Database) -> bool:
    """Whether the tables are the present ones: the usual case, found out without waiting for any lock."""
    if database.on_sqlite and not database.path.exists():
        return False
    with database.read() as connection:
        return _revision(connection) == HEAD


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    """On SQLite, have the folder to ourselves while the file is made: its modes are set outside transactions."""
    if not database.on_sqlite:
        yield
        return
    folder = database.path.parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; the store's folder must exist and be writable") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _make_file(database.path)
        yield
    finally:
        os.close(descriptor)


def _make_file(path: Path) -> None:
    """The file, readable by nobody else, in WAL mode; auto_vacuum must be said before the first table."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
                connection.execute("PRAGMA page_size = 8192")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        finally:
            connection.close()
    except OSError as error:
        said = f"{path}: {error.strerror}; the store's folder must let gatepost make files in it"
        raise StoreError(said) from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    if mode != "wal":
        raise StoreError(f"{path}: this file system does not carry SQLite's write-ahead log; use a local disk")


def _revision(connection: Connection) -> str:
    """The revision that the tables are at; empty for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    # Loaded only when needed: most starts find the tables as they should be.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database was made by another version of gatepost: {error}") from error
