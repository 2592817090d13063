"""Owns how Alembic runs here: always inside the connection, and the lock, that ``migrate`` already has."""

from __future__ import annotations

from alembic import context

from gatepost_quarantine.sql.console_schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
)
context.run_migrations()
