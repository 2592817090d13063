"""Owns counting what rules held, by day: kept in the transaction of the hold, and read instead of the messages.

A count is kept for each set of roles that review a message, because these decide who may see it: a reader adds
up the sets that are theirs to see, and so never learns that there is anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Executable, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_config.words import Direction
from gatepost_quarantine.sql.schema import message_rule, rule_day
from gatepost_quarantine.sql.statements import Statement

DAY = 86_400_000_000
"""Microseconds."""

NO_RULE = ""
"""What stands for the rule of a message that none of them held."""

_KEY = (rule_day.c.day, rule_day.c.rule, rule_day.c.direction, rule_day.c.queues)


def _add(dialect: str) -> Executable:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    adding = insert(rule_day).values({each.name: bindparam(each.name) for each in rule_day.columns})
    more = {"held": rule_day.c.held + adding.excluded.held}
    return adding.on_conflict_do_update(index_elements=_KEY, set_=more)


_ADD = Statement(_add)


def add(
    connection: Connection, rules: Iterable[str], *, at: int, direction: Direction, queues: Iterable[str]
) -> None:
    """Count a message that these rules held at ``at`` (microseconds). Late in the hold, to lock briefly."""
    whose = " ".join(sorted(set(queues)))
    # In one order, so that two gateways that count the same rules wait for each other, and never both.
    rows = [_row(each, at, direction, whose, held=1) for each in sorted(set(rules)) or [NO_RULE]]
    _ADD.run_all(connection, rows)


def move(
    connection: Connection, held_id: str, *, at: int, direction: Direction, before: Iterable[str], after: str
) -> None:
    """Count a message under the one role that it has been passed on to, and no longer under those before."""
    mine = select(message_rule.c.rule).where(message_rule.c.message_id == held_id)
    rules = connection.execute(mine).scalars().all()
    counts = sorted([(" ".join(sorted(before)), -1), (after, 1)])
    named = sorted(rules) or [NO_RULE]
    rows = [_row(rule, at, direction, whose, held=held) for rule in named for whose, held in counts]
    _ADD.run_all(connection, rows)
    connection.execute(delete(rule_day).where(rule_day.c.held <= 0, rule_day.c.day == at // DAY))


def read(connection: Connection, *, since: int) -> Sequence[tuple[int, str, Direction, frozenset[str], int]]:
    """(day, rule, direction, roles that review, messages) since the day of ``since``, in no order."""
    rows = connection.execute(select(*_KEY, rule_day.c.held).where(rule_day.c.day >= since // DAY))
    return [
        (day, rule, Direction(direction), frozenset(queues.split()), held)
        for day, rule, direction, queues, held in rows
    ]


def seen(connection: Connection, *, since: int) -> Sequence[tuple[str, frozenset[str]]]:
    """Each rule with each set of roles that reviewed what it held since the day of ``since``."""
    query = select(rule_day.c.rule, rule_day.c.queues).where(rule_day.c.day >= since // DAY).distinct()
    return [(rule, frozenset(queues.split())) for rule, queues in connection.execute(query)]


def _row(rule: str, at: int, direction: Direction, queues: str, *, held: int) -> dict[str, str | int]:
    return {"day": at // DAY, "rule": rule, "direction": direction.value, "queues": queues, "held": held}
