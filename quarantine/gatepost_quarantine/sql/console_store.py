"""Owns SqlReview: the Review protocol on SQL, beside the store and on the same database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_config.words import Direction
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Item, Mark, Page, Place, RuleDay, Sight, Waiting, Wanted
from gatepost_quarantine.sql import chain, records, rule_days, search
from gatepost_quarantine.sql.accounts import Accounts
from gatepost_quarantine.sql.console_schema import doom
from gatepost_quarantine.sql.console_schema import mark as mark_table
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.keys import shared_key
from gatepost_quarantine.sql.schema import message, message_reviewer, message_rule, recipient
from gatepost_quarantine.store import ConflictError, NotFoundError

_DAY = 86_400_000_000
"""Microseconds."""

_MANY_NAMES = 500
"""Rules or roles that a page offers to choose from."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqlReview(Accounts):
    """What the console asks, on SQLite or PostgreSQL. Safe to use from many threads."""

    def __init__(self, database: Database, *, gateway: str, clock: Callable[[], datetime] = _utc_now) -> None:
        super().__init__(database, gateway=gateway, clock=clock)

    # Lists

    def page(self, wanted: Wanted, *, sight: Sight, after: Place | None = None, limit: int = 50) -> Page:
        """See Review.page."""
        # Without a search, the states have an index in order of time; with one, the search drives.
        by_state = bool(wanted.states) and not wanted.search
        at, held_id = (
            (recipient.c.received_at, recipient.c.message_id)
            if by_state
            else (message.c.received_at, message.c.id)
        )
        query = select(at, held_id).where(_visible(sight, held_id), *self._conditions(wanted, at, held_id))
        if by_state:
            query = query.where(recipient.c.state.in_(_words(wanted.states))).distinct()
        elif wanted.states:
            query = query.where(_in_state(wanted.states))
        if after is not None:
            place, here = tuple_(at, held_id), tuple_(records.micros(after.received_at), after.held_id)
            query = query.where(place < here if wanted.newest_first else place > here)
        query = query.order_by(*((at.desc(), held_id.desc()) if wanted.newest_first else (at, held_id)))
        with self._database.read() as connection:
            ids = [row[1] for row in connection.execute(query.limit(limit + 1))]
            return Page(items=tuple(self._items(connection, ids[:limit])), more=len(ids) > limit)

    def item(self, held_id: str, *, sight: Sight) -> Item:
        """See Review.item."""
        with self._database.read() as connection:
            query = select(message.c.id).where(message.c.id == records.clean(held_id), _visible(sight))
            items = self._items(connection, connection.execute(query).scalars().all())
        if not items:
            raise NotFoundError(f"there is no held message {held_id}")
        return items[0]

    def items(self, ids: Sequence[str], *, sight: Sight) -> Sequence[Item]:
        """See Review.items."""
        query = select(message.c.id).where(
            message.c.id.in_([records.clean(each) for each in ids]), _visible(sight)
        )
        with self._database.read() as connection:
            return self._items(connection, connection.execute(query).scalars().all())

    def rules(self, *, sight: Sight) -> Sequence[str]:
        """See Review.rules."""
        return self._names(message_rule.c.rule, message_rule.c.message_id, sight)

    def queues(self, *, sight: Sight) -> Sequence[str]:
        """See Review.queues."""
        return self._names(message_reviewer.c.queue, message_reviewer.c.message_id, sight)

    def find(self, name: str, *, sight: Sight) -> str:
        """See Review.find."""
        wanted = records.clean(name).strip()
        if not wanted:
            return ""
        bracketed = wanted if wanted.startswith("<") else f"<{wanted}>"
        same = or_(
            message.c.id == wanted.lower(),
            message.c.support_id == wanted.casefold(),
            message.c.queue_id == wanted,
            message.c.message_id.in_([wanted, bracketed]),
        )
        with self._database.read() as connection:
            query = select(message.c.id).where(same, _visible(sight)).limit(2)
            ids = connection.execute(query).scalars().all()
        return str(ids[0]) if len(ids) == 1 else ""

    def waiting(self, *, sight: Sight) -> Waiting:
        """See Review.waiting."""
        first = self.page(Wanted(states=frozenset({State.HELD})), sight=sight, limit=1).items
        held_id, held = recipient.c.message_id, recipient.c.state == State.HELD.value
        everything = select(func.count(held_id.distinct())).where(held)
        with self._database.read() as connection:
            if sight.queues or not sight.ordinary:
                count = connection.execute(everything.where(_visible(sight, held_id))).scalar_one()
            else:
                # Counting all from the index and taking the few confidential ones off is the faster way.
                count = connection.execute(everything).scalar_one()
                if not sight.confidential:
                    theirs = Sight(ordinary=False, confidential=True, safeguarding=sight.safeguarding)
                    count -= connection.execute(everything.where(_visible(theirs, held_id))).scalar_one()
        return Waiting(count=count, oldest=first[0].held.received_at if first else None)

    def newer(self, than: datetime, *, sight: Sight) -> int:
        """See Review.newer."""
        held_id = recipient.c.message_id
        late = and_(recipient.c.state == State.HELD.value, recipient.c.received_at > records.micros(than))
        query = select(func.count(held_id.distinct())).where(late, _visible(sight, held_id))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    # Statistics

    def by_rule(self, since: datetime, *, sight: Sight) -> Sequence[RuleDay]:
        """See Review.by_rule."""
        day = message.c.received_at // _DAY
        direction = self._direction()
        query = (
            select(message_rule.c.rule, day.label("day"), direction.label("direction"), func.count().label("held"))
            .select_from(message)
            .join(message_rule, message_rule.c.message_id == message.c.id)
            .join(recipient, and_(recipient.c.message_id == message.c.id, recipient.c.position == 0))
            .where(message.c.received_at >= records.micros(since), _visible(sight))
            .group_by(message_rule.c.rule, day, direction)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            RuleDay(
                rule=row.rule,
                day=records.moment(int(row.day) * _DAY).date().isoformat(),
                direction=Direction(row.direction),
                count=row.held,
            )
            for row in rows
        ]

    def marks_by_rule(self, since: datetime, *, sight: Sight) -> Mapping[str, tuple[int, int]]:
        """See Review.marks_by_rule."""
        wrong = and_(
            mark_table.c.message_id == message_rule.c.message_id, mark_table.c.rule == message_rule.c.rule
        )
        query = (
            select(message_rule.c.rule, func.count().label("held"), func.count(mark_table.c.rule).label("wrong"))
            .select_from(message)
            .join(message_rule, message_rule.c.message_id == message.c.id)
            .outerjoin(mark_table, wrong)
            .where(message.c.received_at >= records.micros(since), _visible(sight))
            .group_by(message_rule.c.rule)
            .order_by(func.count().desc(), message_rule.c.rule)
        )
        with self._database.read() as connection:
            return {row.rule: (row.held, row.wrong) for row in connection.execute(query)}

    # Deciding what the store does not know about

    def marks(self, held_id: str) -> Sequence[Mark]:
        """See Review.marks."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(mark_table).where(mark_table.c.message_id == held_id).order_by(mark_table.c.at)
            ).all()
        return [
            Mark(held_id=row.message_id, rule=row.rule, actor=row.actor, note=row.note, at=records.moment(row.at))
            for row in rows
        ]

    def mark(self, mark: Mark) -> bool:
        """See Review.mark."""
        row = {
            "message_id": mark.held_id,
            "rule": records.clean(mark.rule),
            "actor": records.clean(mark.actor),
            "note": records.clean(mark.note),
            "at": records.micros(mark.at),
        }
        with self._database.write() as connection:
            kept = connection.execute(self._insert(mark_table).values(row).on_conflict_do_nothing())
            if not kept.rowcount:
                return False
            self._record(connection, Verb.MARK, mark.actor, mark.held_id, mark.note, {"rule": mark.rule})
        return True

    def pass_on(self, held_id: str, *, queue: str, actor: str, reason: str) -> None:
        """See Review.pass_on."""
        with self._database.write() as connection:
            there = select(message.c.queue, message.c.received_at).where(message.c.id == held_id)
            row = connection.execute(there.with_for_update()).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no held message {held_id}")
            before, at = row.queue, row.received_at
            mine = message_reviewer.c.message_id == held_id
            reviewed_by = connection.execute(select(message_reviewer.c.queue).where(mine)).scalars().all()
            first = and_(recipient.c.message_id == held_id, recipient.c.position == 0)
            direction = Direction(connection.execute(select(self._direction()).where(first)).scalar_one())
            connection.execute(update(message).where(message.c.id == held_id).values(queue=queue))
            connection.execute(delete(message_reviewer).where(mine))
            connection.execute(insert(message_reviewer).values(message_id=held_id, queue=queue, received_at=at))
            rule_days.move(connection, held_id, at=at, direction=direction, before=reviewed_by, after=queue)
            self._record(connection, Verb.PASS_ON, actor, held_id, reason, {"from": before, "to": queue})

    def doom(self, held_id: str, *, actor: str, reason: str, due_at: datetime) -> None:
        """See Review.doom."""
        with self._database.write() as connection:
            there = select(message.c.stored).where(message.c.id == held_id).with_for_update()
            stored = connection.execute(there).scalar_one_or_none()
            if stored is None:
                raise NotFoundError(f"there is no held message {held_id}")
            if not stored:
                raise ConflictError("it has been deleted already")
            if connection.execute(select(exists().where(_of(held_id, State.RELEASING)))).scalar_one():
                raise ConflictError("it is being released; wait for the mail server's answer")
            row = {
                "message_id": held_id,
                "actor": records.clean(actor),
                "reason": records.clean(reason),
                "at": self._now(),
                "due_at": records.micros(due_at),
            }
            kept = connection.execute(self._insert(doom).values(row).on_conflict_do_nothing())
            if kept.rowcount:
                due = due_at.astimezone(UTC).isoformat(timespec="seconds")
                self._record(connection, Verb.DOOM, actor, held_id, reason, {"due": due})

    def spare(self, held_id: str, *, actor: str) -> bool:
        """See Review.spare."""
        with self._database.write() as connection:
            gone = connection.execute(delete(doom).where(doom.c.message_id == held_id))
            if gone.rowcount:
                self._record(connection, Verb.SPARE, actor, held_id, "", {})
        return bool(gone.rowcount)

    def doomed(self, now: datetime) -> Sequence[tuple[str, str, str]]:
        """See Review.doomed."""
        query = select(doom).where(doom.c.due_at <= records.micros(now)).order_by(doom.c.due_at).limit(100)
        with self._database.read() as connection:
            return [(row.message_id, row.actor, row.reason) for row in connection.execute(query)]

    def forget_doom(self, held_id: str) -> None:
        """The deletion has been carried out, or cannot be: nothing is due any more."""
        with self._database.write() as connection:
            connection.execute(delete(doom).where(doom.c.message_id == held_id))

    def key(self, name: str) -> bytes:
        """See Review.key."""
        return shared_key(self._database, name)

    # What these share

    def _items(self, connection: Connection, ids: Sequence[str]) -> list[Item]:
        """The messages of these ids, in their order."""
        if not ids:
            return []
        rows = {row.id: row for row in connection.execute(select(message).where(message.c.id.in_(ids)))}
        recipients: dict[str, list[Any]] = {each: [] for each in ids}
        by_place = select(recipient).where(recipient.c.message_id.in_(ids))
        for row in connection.execute(by_place.order_by(recipient.c.message_id, recipient.c.position)):
            recipients[row.message_id].append(row)
        queues: dict[str, list[str]] = {each: [] for each in ids}
        by_name = (
            select(message_reviewer)
            .where(message_reviewer.c.message_id.in_(ids))
            .order_by(message_reviewer.c.queue)
        )
        for row in connection.execute(by_name):
            queues[row.message_id].append(row.queue)
        dooms = {row.message_id: row for row in connection.execute(select(doom).where(doom.c.message_id.in_(ids)))}
        return [
            Item(
                held=records.held_message(rows[each], recipients[each]),
                queues=tuple(queues[each]),
                stored=bool(rows[each].stored),
                due_at=records.moment(dooms[each].due_at) if each in dooms else None,
                doomed_by=dooms[each].actor if each in dooms else "",
            )
            for each in ids
        ]

    def _names(self, name: Column[str], of: Column[str], sight: Sight) -> list[str]:
        """The different values of a column, each looked up by itself: there are few, in very many rows."""
        found: list[str] = []
        with self._database.read() as connection:
            at: str | None = ""
            while at is not None and len(found) < _MANY_NAMES:
                following = select(func.min(name)).where(name > at)
                at = connection.execute(following).scalar_one()
                if at is None:
                    break
                seen = exists().where(name == at, of == message.c.id, _visible(sight))
                if connection.execute(select(seen)).scalar_one():
                    found.append(at)
        return found

    def _conditions(
        self, wanted: Wanted, at: ColumnElement[int], held_id: ColumnElement[str]
    ) -> list[ColumnElement[bool]]:
        """What is wanted but the states, as conditions on a message's time and id."""
        conditions: list[ColumnElement[bool]] = []
        if wanted.rule:
            conditions.append(
                exists().where(message_rule.c.message_id == held_id, message_rule.c.rule == wanted.rule)
            )
        if wanted.queue:
            reviewing = message_reviewer.alias()
            conditions.append(exists().where(reviewing.c.message_id == held_id, reviewing.c.queue == wanted.queue))
        if wanted.since is not None:
            conditions.append(at >= records.micros(wanted.since))
        if wanted.search:
            conditions.append(search.matches(wanted.search, on_sqlite=self._database.on_sqlite))
        return conditions

    def _direction(self) -> ColumnElement[str]:
        direction: ColumnElement[str] = (
            func.json_extract(recipient.c.record, "$.direction")
            if self._database.on_sqlite
            else cast(recipient.c.record, postgresql.JSON)["direction"].astext
        )
        return direction

    def _insert(self, table: Any) -> Any:
        return (sqlite if self._database.on_sqlite else postgresql).insert(table)

    def _record(
        self, connection: Connection, verb: Verb, actor: str, held_id: str, reason: str, details: Mapping[str, str]
    ) -> None:
        event = Event(
            verb=verb, actor=actor, held_id=held_id, reason=reason, details=dict(details), at=self._clock()
        )
        chain.append(connection, self._gateway, [event])


def _visible(sight: Sight, held_id: ColumnElement[str] = message.c.id) -> ColumnElement[bool]:
    """The messages that may be seen, as a condition on their id."""
    if not (sight.ordinary or sight.confidential):
        return false()
    seen: list[ColumnElement[bool]] = [true()]
    # Few messages are confidential: their ids are found once, instead of asking for each message.
    reviewing = message_reviewer.alias()
    theirs = select(reviewing.c.message_id).where(reviewing.c.queue.in_(sorted(sight.safeguarding)))
    if not sight.confidential:
        seen.append(held_id.not_in(theirs))
    elif not sight.ordinary:
        seen.append(held_id.in_(theirs))
    if sight.queues:
        ours = message_reviewer.alias()
        seen.append(held_id.in_(select(ours.c.message_id).where(ours.c.queue.in_(sorted(sight.queues)))))
    return and_(*seen)


def _words(states: frozenset[State]) -> list[str]:
    return sorted(each.value for each in states)


def _in_state(states: frozenset[State] | set[State]) -> ColumnElement[bool]:
    return exists().where(
        recipient.c.message_id == message.c.id, recipient.c.state.in_(sorted(each.value for each in states))
    )


def _of(held_id: str, state: State) -> ColumnElement[bool]:
    return and_(recipient.c.message_id == held_id, recipient.c.state == state.value)
