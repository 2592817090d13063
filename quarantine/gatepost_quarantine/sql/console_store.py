"""Owns SqlReview: the Review protocol on SQL, beside the store and on the same database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_config.words import Direction
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Health, Item, Mark, Page, Place, RuleDay, Sight, Tally, Waiting, Wanted
from gatepost_quarantine.sql import chain, console_pages, records, rule_days
from gatepost_quarantine.sql.accounts import Accounts
from gatepost_quarantine.sql.console_schema import doom
from gatepost_quarantine.sql.console_schema import mark as mark_table
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.keys import shared_key
from gatepost_quarantine.sql.outbox import RowState
from gatepost_quarantine.sql.schema import message, message_reviewer, outbox, recipient
from gatepost_quarantine.store import ConflictError, NotFoundError

_MANY = 1000
"""More than this is not counted, only said to be more."""

_YEAR = timedelta(days=365)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqlReview(Accounts):
    """What the console asks, on SQLite or PostgreSQL. Safe to use from many threads."""

    def __init__(self, database: Database, *, gateway: str, clock: Callable[[], datetime] = _utc_now) -> None:
        super().__init__(database, gateway=gateway, clock=clock)

    # Lists

    def page(self, wanted: Wanted, *, sight: Sight, after: Place | None = None, limit: int = 50) -> Page:
        """See Review.page."""
        with self._database.read() as connection:
            ids = self._ids(connection, wanted, sight=sight, after=after, limit=limit + 1)
            return Page(items=tuple(self._items(connection, ids[:limit])), more=len(ids) > limit)

    def item(self, held_id: str, *, sight: Sight) -> Item:
        """See Review.item."""
        with self._database.read() as connection:
            query = select(message.c.id).where(
                message.c.id == records.clean(held_id), console_pages.visible(sight, message.c.id)
            )
            items = self._items(connection, connection.execute(query).scalars().all())
        if not items:
            raise NotFoundError(f"there is no held message {held_id}")
        return items[0]

    def items(self, ids: Sequence[str], *, sight: Sight) -> Sequence[Item]:
        """See Review.items."""
        query = select(message.c.id).where(
            message.c.id.in_([records.clean(each) for each in ids]), console_pages.visible(sight, message.c.id)
        )
        with self._database.read() as connection:
            return self._items(connection, connection.execute(query).scalars().all())

    def rules(self, *, sight: Sight) -> Sequence[str]:
        """See Review.rules."""
        return sorted({rule for rule, _queues in self._seen(sight) if rule})

    def queues(self, *, sight: Sight) -> Sequence[str]:
        """See Review.queues."""
        return sorted({queue for _rule, queues in self._seen(sight) for queue in queues})

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
            query = select(message.c.id).where(same, console_pages.visible(sight, message.c.id)).limit(2)
            ids = connection.execute(query).scalars().all()
        return str(ids[0]) if len(ids) == 1 else ""

    def waiting(self, *, sight: Sight) -> Waiting:
        """See Review.waiting."""
        wanted = Wanted(states=frozenset({State.HELD}))
        with self._database.read() as connection:
            ids = self._ids(connection, wanted, sight=sight, limit=_MANY + 1)
            oldest = select(message.c.received_at).where(message.c.id.in_(ids[:1]))
            at = connection.execute(oldest).scalar_one_or_none()
        return Waiting(tally=_tally(len(ids)), oldest=None if at is None else records.moment(at))

    def newer(self, than: datetime, *, sight: Sight) -> Tally:
        """See Review.newer."""
        wanted = Wanted(states=frozenset({State.HELD}), since=than + timedelta(microseconds=1))
        with self._database.read() as connection:
            return _tally(len(self._ids(connection, wanted, sight=sight, limit=_MANY + 1)))

    # Statistics

    def health(self) -> Health:
        """See Review.health."""
        owed = select(outbox.c.created_at).where(outbox.c.state == RowState.OWED.value)
        with self._database.read() as connection:
            some = owed.limit(_MANY + 1).subquery()
            count, oldest = connection.execute(select(func.count(), func.min(some.c.created_at))).one()
        return Health(
            owed=_tally(count),
            oldest_owed=0.0 if oldest is None else max(0, self._now() - oldest) / 1_000_000,
            free=self._database.free(),
            floor=self._database.floor,
        )

    def by_rule(self, since: datetime, *, sight: Sight) -> Sequence[RuleDay]:
        """See Review.by_rule."""
        counted: Counter[tuple[str, int, Direction]] = Counter()
        with self._database.read() as connection:
            for day, rule, direction, queues, held in rule_days.read(connection, since=records.micros(since)):
                if rule and sight.covers(queues):
                    counted[rule, day, direction] += held
        return [
            RuleDay(
                rule=rule,
                day=records.moment(day * rule_days.DAY).date().isoformat(),
                direction=direction,
                count=held,
            )
            for (rule, day, direction), held in sorted(counted.items())
        ]

    def marks_by_rule(self, since: datetime, *, sight: Sight) -> Mapping[str, tuple[int, int]]:
        """See Review.marks_by_rule."""
        held: Counter[str] = Counter()
        for each in self.by_rule(since, sight=sight):
            held[each.rule] += each.count
        midnight = records.micros(since) // rule_days.DAY * rule_days.DAY
        marked = and_(message.c.id == mark_table.c.message_id, message.c.received_at >= midnight)
        query = select(mark_table.c.rule, func.count().label("wrong")).join(message, marked)
        query = query.where(console_pages.visible(sight, mark_table.c.message_id)).group_by(mark_table.c.rule)
        with self._database.read() as connection:
            wrong = {row.rule: row.wrong for row in connection.execute(query)}
        most_first = sorted(held, key=lambda rule: (-held[rule], rule))
        return {rule: (held[rule], wrong.get(rule, 0)) for rule in most_first}

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
            there = select(message.c.stored, message.c.legal_hold).where(message.c.id == held_id)
            kept = connection.execute(there.with_for_update()).one_or_none()
            if kept is None:
                raise NotFoundError(f"there is no held message {held_id}")
            if not kept.stored:
                raise ConflictError("it has been deleted already")
            if kept.legal_hold:
                raise ConflictError("it is under legal hold and must be kept")
            if connection.execute(select(exists().where(_of(held_id, State.RELEASING)))).scalar_one():
                raise ConflictError("it is being released; wait for the mail server's answer")
            row = {
                "message_id": held_id,
                "actor": records.clean(actor),
                "reason": records.clean(reason),
                "at": self._now(),
                "due_at": records.micros(due_at),
            }
            made = connection.execute(self._insert(doom).values(row).on_conflict_do_nothing())
            if made.rowcount:
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
                legal_hold=rows[each].legal_hold,
            )
            for each in ids
        ]

    def _ids(
        self, connection: Connection, wanted: Wanted, *, sight: Sight, limit: int, after: Place | None = None
    ) -> list[str]:
        on_sqlite = self._database.on_sqlite
        return console_pages.ids(connection, wanted, sight=sight, after=after, limit=limit, on_sqlite=on_sqlite)

    def _seen(self, sight: Sight) -> list[tuple[str, frozenset[str]]]:
        """Each rule (empty for messages that none held) with the roles that reviewed what may be seen of it."""
        since = records.micros(self._clock() - _YEAR)
        with self._database.read() as connection:
            return [found for found in rule_days.seen(connection, since=since) if sight.covers(found[1])]

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


def _tally(found: int) -> Tally:
    return Tally(count=min(found, _MANY), more=found > _MANY)


def _of(held_id: str, state: State) -> ColumnElement[bool]:
    return and_(recipient.c.message_id == held_id, recipient.c.state == state.value)
