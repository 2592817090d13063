"""Owns the secrets that every process of one store shares, made when they are first asked for."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_quarantine.sql.console_schema import console_key
from gatepost_quarantine.sql.database import Database


def shared_key(database: Database, name: str) -> bytes:
    """32 random bytes of that name, the same for everybody from the first call on. Raises StoreError."""
    query = select(console_key.c.value).where(console_key.c.name == name)
    with database.read() as connection:
        found = connection.execute(query).scalar_one_or_none()
    if found is not None:
        return bytes(found)
    row = {"name": name, "value": secrets.token_bytes(32)}
    insert = sqlite.insert if database.on_sqlite else postgresql.insert
    with database.write() as connection:
        connection.execute(insert(console_key).values(row).on_conflict_do_nothing())
        return bytes(connection.execute(query).scalar_one())
