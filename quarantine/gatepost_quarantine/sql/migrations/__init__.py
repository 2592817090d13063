"""Owns the way from one set of tables to the next; Alembic runs it when a store is opened."""
