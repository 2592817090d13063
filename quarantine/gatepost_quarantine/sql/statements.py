"""Owns statements that are written out once: for the few that run on every hold, building them costs most.

SQLAlchemy takes about 0.15 ms of CPU to prepare a statement that it has compiled before. These are compiled once
for each engine and then given to the driver as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Executable, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as one driver takes it; ``order`` names its parameters where they go by position.

    ``constants`` are the parameters that the statement itself says.
    """

    sql: str
    order: tuple[str, ...] | None
    constants: Values

    def parameters(self, values: Values) -> Any:
        if self.constants:
            values = {**self.constants, **values}
        return values if self.order is None else tuple(values[name] for name in self.order)


class Statement:
    """One statement with named parameters. ``build`` makes it for the dialect of that name."""

    def __init__(self, build: Callable[[str], Executable], *, columns: Sequence[str] | None = None) -> None:
        self._build = build
        self._columns = columns
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, values: Values) -> CursorResult[Any]:
        """Run it once."""
        text = self._text(connection.dialect)
        return connection.exec_driver_sql(text.sql, text.parameters(values))

    def run_all(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Run it for every row; for none, do nothing."""
        if rows:
            text = self._text(connection.dialect)
            connection.exec_driver_sql(text.sql, [text.parameters(each) for each in rows])

    def _text(self, dialect: Dialect) -> _Text:
        text = self._texts.get(dialect.name)
        if text is None:
            statement = self._build(dialect.name)
            assert isinstance(statement, ClauseElement)  # noqa: S101 - only a defect of ours could say otherwise
            compiled = statement.compile(dialect=dialect, **self._options())
            assert isinstance(compiled, SQLCompiler)  # noqa: S101
            order = tuple(compiled.positiontup or ()) if compiled.positional else None
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            text = self._texts[dialect.name] = _Text(str(compiled), order, constants)
        return text

    def _options(self) -> dict[str, Any]:
        return {} if self._columns is None else {"column_keys": list(self._columns)}


def insertion(table: Table, *, without: Sequence[str] = ()) -> Statement:
    """The insertion of whole rows, ``without`` the columns that the database fills in."""
    columns = [column.name for column in table.columns if column.name not in without]
    return Statement(lambda _dialect: insert(table).inline(), columns=columns)
