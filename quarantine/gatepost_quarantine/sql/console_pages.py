"""Owns which messages a page of the console lists, for somebody who may see only some of them.

Of 100,000 messages a page shows fifty. So every list starts from the index that gives its messages in the order
of time and leaves out most of what is not wanted (a rule, a role that reviews, a state), and looks the rest up
for what comes by, until the page is full.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    false,
    select,
    true,
    tuple_,
    union_all,
)

from gatepost_quarantine.review import Place, Sight, Wanted
from gatepost_quarantine.sql import records, search
from gatepost_quarantine.sql.schema import message, message_reviewer, message_rule, recipient

_Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A piece of an index, in order of ``at`` and ``held_id``, whose rows are ``within`` it.

    ``wanted`` and ``sight`` are what is still to be asked of them: to ask again what the piece says already would
    mislead the planner. ``repeats`` tells whether a message may be in it more than once.
    """

    at: ColumnElement[int]
    held_id: ColumnElement[str]
    within: ColumnElement[bool]
    wanted: Wanted
    sight: Sight
    repeats: bool = False


def ids(
    connection: Connection, wanted: Wanted, *, sight: Sight, after: Place | None, limit: int, on_sqlite: bool
) -> list[str]:
    """The ids of the first ``limit`` messages past ``after`` that are wanted and may be seen, in order."""
    if wanted.search:
        return _searched(connection, wanted, sight=sight, after=after, limit=limit, on_sqlite=on_sqlite)
    pieces = []
    for each in _stretches(wanted, sight):
        query: _Query = select(each.at.label("at"), each.held_id.label("held_id"))
        query = query.distinct() if each.repeats else query
        query = query.where(each.within, *_conditions(each.wanted, each.sight, each.at, each.held_id))
        pieces.append(_ordered(query, each.at, each.held_id, wanted=wanted, after=after).limit(limit))
    if len(pieces) == 1:
        return [str(row.held_id) for row in connection.execute(pieces[0])]
    first = union_all(*(select(each.subquery()) for each in pieces)).subquery()
    merged = select(first.c.at, first.c.held_id).distinct()
    merged = _ordered(merged, first.c.at, first.c.held_id, wanted=wanted, after=None)
    return [str(row.held_id) for row in connection.execute(merged.limit(limit))]


def visible(sight: Sight, held_id: ColumnElement[str]) -> ColumnElement[bool]:
    """The messages that may be seen, as a condition on their id. ``Sight.covers`` says the same."""
    if not (sight.ordinary or sight.confidential):
        return false()
    seen: list[ColumnElement[bool]] = [true()]
    if not sight.confidential:
        seen.append(~_reviewed(held_id, sight.safeguarding))
    elif not sight.ordinary:
        seen.append(_reviewed(held_id, sight.safeguarding))
    if sight.queues:
        seen.append(_reviewed(held_id, sight.queues))
    return and_(*seen)


def _stretches(wanted: Wanted, sight: Sight) -> list[_Stretch]:
    """Where to start: what leaves out most."""
    narrow = frozenset({wanted.queue}) if wanted.queue else sight.queues
    if not narrow and not sight.ordinary:
        narrow = sight.safeguarding
    if wanted.rule:
        rules = message_rule.alias()
        at, held_id, rest = rules.c.received_at, rules.c.message_id, replace(wanted, rule="")
        within = rules.c.rule == wanted.rule
        return [_Stretch(at=at, held_id=held_id, within=within, wanted=rest, sight=sight)]
    if narrow:
        return [_reviewed_by(each, wanted, sight) for each in sorted(narrow)]
    if wanted.states:
        standing = recipient.alias()
        at, held_id, rest = standing.c.received_at, standing.c.message_id, replace(wanted, states=frozenset())
        return [
            _Stretch(at=at, held_id=held_id, within=within, wanted=rest, sight=sight, repeats=True)
            for within in (standing.c.state == each.value for each in sorted(wanted.states))
        ]
    at, held_id = message.c.received_at, message.c.id
    return [_Stretch(at=at, held_id=held_id, within=true(), wanted=wanted, sight=sight)]


def _reviewed_by(queue: str, wanted: Wanted, sight: Sight) -> _Stretch:
    """What one role reviews. If that is all that somebody sees, or a safeguarding role, nothing is left to ask."""
    reviewers = message_reviewer.alias()
    if queue in sight.queues:
        sight = replace(sight, queues=frozenset())
    if queue in sight.safeguarding and sight.confidential:
        sight = replace(sight, ordinary=True)
    return _Stretch(
        at=reviewers.c.received_at,
        held_id=reviewers.c.message_id,
        within=reviewers.c.queue == queue,
        wanted=replace(wanted, queue="") if queue == wanted.queue else wanted,
        sight=sight,
    )


def _conditions(
    wanted: Wanted, sight: Sight, at: ColumnElement[int], held_id: ColumnElement[str]
) -> list[ColumnElement[bool]]:
    """Everything that is wanted, as conditions on a message's time and id."""
    conditions = [visible(sight, held_id)]
    if wanted.states:
        states = sorted(each.value for each in wanted.states)
        standing = recipient.alias()
        conditions.append(exists().where(standing.c.message_id == held_id, standing.c.state.in_(states)))
    if wanted.rule:
        rules = message_rule.alias()
        conditions.append(exists().where(rules.c.message_id == held_id, rules.c.rule == wanted.rule))
    if wanted.queue:
        conditions.append(_reviewed(held_id, frozenset({wanted.queue})))
    if wanted.since is not None:
        conditions.append(at >= records.micros(wanted.since))
    return conditions


def _reviewed(held_id: ColumnElement[str], queues: frozenset[str]) -> ColumnElement[bool]:
    reviewers = message_reviewer.alias()
    return exists().where(reviewers.c.message_id == held_id, reviewers.c.queue.in_(sorted(queues)))


def _ordered(
    query: Select[*tuple[Any, ...]],
    at: ColumnElement[int],
    held_id: ColumnElement[str],
    *,
    wanted: Wanted,
    after: Place | None,
) -> _Query:
    if after is not None:
        place, here = tuple_(at, held_id), tuple_(records.micros(after.received_at), after.held_id)
        query = query.where(place < here if wanted.newest_first else place > here)
    return query.order_by(*((at.desc(), held_id.desc()) if wanted.newest_first else (at, held_id)))


def _searched(
    connection: Connection, wanted: Wanted, *, sight: Sight, after: Place | None, limit: int, on_sqlite: bool
) -> list[str]:
    """A search drives by itself: on SQLite its index has an order of its own, which is that of the times."""
    at, held_id = message.c.received_at, message.c.id
    query = select(at, held_id.label("held_id")).where(*_conditions(wanted, sight, at, held_id))
    query = search.narrowed(query, wanted.search, on_sqlite=on_sqlite)
    if on_sqlite and search.by_index(wanted.search):
        place = search.place(on_sqlite=True)
        if after is not None:
            here = select(message.c.place).where(message.c.id == after.held_id).scalar_subquery()
            query = query.where(place < here if wanted.newest_first else place > here)
        query = query.order_by(place.desc() if wanted.newest_first else place)
    else:
        query = _ordered(query, at, held_id, wanted=wanted, after=after)
    return [str(row.held_id) for row in connection.execute(query.limit(limit))]
