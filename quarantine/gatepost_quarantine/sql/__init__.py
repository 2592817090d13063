"""Owns the store on SQL: the only place that knows SQLAlchemy and Alembic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gatepost_config import settings as configured
from gatepost_quarantine.sql.base import utc_now
from gatepost_quarantine.sql.console_store import SqlReview
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.migrate import migrate
from gatepost_quarantine.sql.store import SqlStore

__all__ = ["SqlReview", "SqlStore", "open_review", "open_store"]


def open_store(
    settings: configured.Store, *, gateway: str, clock: Callable[[], datetime] | None = None
) -> SqlStore:
    """The store at ``settings.url``, with its tables made or upgraded. Raises StoreError.

    No connection is open when this returns, so a process may open the store and then fork. ``gateway`` names
    the audit chain; ``clock`` is for tests.
    """
    database = Database(settings.url, floor=settings.free_floor)
    migrate(database)
    return SqlStore(database, gateway=gateway, clock=clock or utc_now, seal_keys=settings.seal_keys)


def open_review(
    settings: configured.Store, *, gateway: str, clock: Callable[[], datetime] | None = None
) -> tuple[SqlStore, SqlReview]:
    """The store, and what the console asks besides, on one set of connections. Raises StoreError."""
    database = Database(settings.url, floor=settings.free_floor)
    migrate(database)
    clock = clock or utc_now
    store = SqlStore(database, gateway=gateway, clock=clock, seal_keys=settings.seal_keys)
    return store, SqlReview(database, gateway=gateway, clock=clock)
