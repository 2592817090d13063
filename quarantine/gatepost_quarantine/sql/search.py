"""Owns finding held messages: each filter starts from the index that gives its messages in order.

Of 100,000 messages a list wants the first hundred. So the narrowest filter drives: a search the trigram index, a
rule or a state an index that has the time of the message beside it; the others are looked up for what comes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, and_, column, exists, literal_column, select, table, union_all
from sqlalchemy.sql.elements import ColumnElement

from gatepost_quarantine.sql import records
from gatepost_quarantine.sql.schema import message, message_rule, recipient
from gatepost_quarantine.store import Filter

_INDEX = table("message_search", column("rowid"))
_TRIGRAM = 3

_Query = TypeVar("_Query", bound=Select[*tuple[Any, ...]])


def find(connection: Connection, wanted: Filter, *, on_sqlite: bool) -> list[str]:
    """The ids of the messages that are wanted, oldest first."""
    query = _candidates(wanted, on_sqlite=on_sqlite)
    return [str(held_id) for held_id in connection.execute(query.limit(wanted.limit)).scalars()]


def by_index(needle: str) -> bool:
    """Whether SQLite's trigram index finds it: only what has three letters."""
    return len(records.clean(needle).casefold()) >= _TRIGRAM


def narrowed(query: _Query, needle: str, *, on_sqlite: bool) -> _Query:
    """A query over ``message`` for those that hold the needle. On SQLite it then has to be ordered by ``place``.

    The trigram index gives its rows in that order, so that a needle which is everywhere costs no more than others.
    """
    indexed = on_sqlite and by_index(needle)
    needle = records.clean(needle).casefold()
    if indexed:
        return query.join(_INDEX, _INDEX.c.rowid == message.c.place).where(_matching(needle))
    return query.where(message.c.search_text.contains(needle, autoescape=True))


def place(*, on_sqlite: bool) -> ColumnElement[int]:
    """What a narrowed query is ordered by, on the index's own side."""
    return _INDEX.c.rowid if on_sqlite else message.c.received_at


def _matching(needle: str) -> ColumnElement[bool]:
    phrase = '"' + needle.replace('"', '""') + '"'
    return literal_column("message_search").op("MATCH")(phrase)


def _candidates(wanted: Filter, *, on_sqlite: bool) -> Select[tuple[str]]:
    since = records.micros(wanted.since) if wanted.since is not None else None
    if wanted.search:
        query = narrowed(select(message.c.id), wanted.search, on_sqlite=on_sqlite)
        indexed = on_sqlite and by_index(wanted.search)
        order = [place(on_sqlite=True)] if indexed else [message.c.received_at, message.c.id]
        return _also(query, wanted, since, rule=True).order_by(*order)
    if wanted.rule:
        driver = message_rule
        query = select(driver.c.message_id).where(driver.c.rule == wanted.rule)
        query = query.join(message, message.c.id == driver.c.message_id) if wanted.queue else query
        query = query if since is None else query.where(driver.c.received_at >= since)
        if wanted.states:
            query = query.where(_in_state(wanted.states, driver.c.message_id))
        query = query.where(message.c.queue == wanted.queue) if wanted.queue else query
        return query.order_by(driver.c.received_at, driver.c.message_id)
    if wanted.states and not wanted.queue:
        return _by_state(wanted, since)
    query = select(message.c.id)
    return _also(query, wanted, since, rule=False).order_by(message.c.received_at, message.c.id)


def _also(query: Select[tuple[str]], wanted: Filter, since: int | None, *, rule: bool) -> Select[tuple[str]]:
    """The filters that do not drive."""
    if since is not None:
        query = query.where(message.c.received_at >= since)
    if wanted.queue:
        query = query.where(message.c.queue == wanted.queue)
    if rule and wanted.rule:
        query = query.where(
            exists().where(message_rule.c.message_id == message.c.id, message_rule.c.rule == wanted.rule)
        )
    if wanted.states:
        query = query.where(_in_state(wanted.states, message.c.id))
    return query


def _in_state(states: Sequence[str] | frozenset[str], held_id: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(and_(recipient.c.message_id == held_id, recipient.c.state.in_(states)))


def _by_state(wanted: Filter, since: int | None) -> Select[tuple[str]]:
    """Each state's first messages from its own stretch of the index, then the first of those."""
    each_first = []
    for state in sorted(wanted.states):
        one = select(recipient.c.received_at, recipient.c.message_id).distinct().where(recipient.c.state == state)
        if since is not None:
            one = one.where(recipient.c.received_at >= since)
        one = one.order_by(recipient.c.received_at, recipient.c.message_id).limit(wanted.limit)
        each_first.append(select(one.subquery()))
    first = union_all(*each_first).subquery()
    together = select(first.c.received_at, first.c.message_id).distinct().subquery()
    return select(together.c.message_id).order_by(together.c.received_at, together.c.message_id)
