"""Owns asking for rows by their ids, however many: a statement may name only so many values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Select

AT_ONCE = 1000
"""Ids that one statement names. SQLite may have been built for 32,766 values, PostgreSQL's protocol for 65,535."""


def rows(
    connection: Connection, query: Select[*tuple[Any, ...]], column: Column[Any], ids: Collection[str]
) -> Iterator[Any]:
    """The rows of ``query`` whose ``column`` is one of ``ids``. The query's order holds among rows of one id."""
    left = iter(ids)
    while some := list(islice(left, AT_ONCE)):
        yield from connection.execute(query.where(column.in_(some)))
