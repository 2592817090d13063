"""Owns SqlStore: the Store protocol in terms of one transaction for each method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    and_,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_quarantine.audit import Event, Link, Verb
from gatepost_quarantine.cases import Case
from gatepost_quarantine.held import Chunks, HeldMessage, HoldOutcome, Notice, State
from gatepost_quarantine.sql import chain, chunks, decisions, many, outbox, records, rule_days, search
from gatepost_quarantine.sql.answers import Answering
from gatepost_quarantine.sql.cases import Cased
from gatepost_quarantine.sql.copies import Copying
from gatepost_quarantine.sql.history import Remembering
from gatepost_quarantine.sql.kept import Keeping, vacuum
from gatepost_quarantine.sql.rulings import Ruled
from gatepost_quarantine.sql.schema import chunk, key_window, message, message_reviewer, message_rule, recipient
from gatepost_quarantine.sql.schema import outbox as outbox_table
from gatepost_quarantine.sql.sealed import Sealing
from gatepost_quarantine.sql.second_look import SecondLook
from gatepost_quarantine.sql.statements import Statement, insertion
from gatepost_quarantine.store import (
    ConflictError,
    Counts,
    Filter,
    OwedNotice,
    OwedRelease,
    SealedError,
    StoreError,
)

WINDOW_WITH_MESSAGE_ID = timedelta(days=5)
"""How long a retry joins when the client gave a Message-ID: as long as mail servers usually retry."""

WINDOW_WITHOUT = timedelta(minutes=15)
"""How long it joins without one: two such mails a day apart may well be two mails."""

_GATEPOST_MILTER = "gatepost-milter"

_MESSAGE = insertion(message)
_RECIPIENT = insertion(recipient)
_RULE = insertion(message_rule)
_REVIEWER = insertion(message_reviewer)


def _take_key(dialect: str) -> Executable:
    """Become the owner of a key unless its window is open; a row comes back for the owner only."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    names = ("key", "held_id", "expires_at")
    taking = insert(key_window).values({name: bindparam(name) for name in names})
    return taking.on_conflict_do_update(
        index_elements=[key_window.c.key],
        set_={"held_id": taking.excluded.held_id, "expires_at": taking.excluded.expires_at},
        where=key_window.c.expires_at <= bindparam("now"),
    ).returning(key_window.c.key)


_TAKE_KEY = Statement(_take_key)


def _free_place(_dialect: str) -> Executable:
    """The first place from ``first`` on, in the order of times, that no message has."""
    first = bindparam("first", type_=BigInteger)
    taken = (message.c.place >= first, message.c.place < first + 1000 * records.PLACES)
    return select(func.coalesce(func.max(message.c.place) + 1, first)).where(*taken)


_FREE_PLACE = Statement(_free_place)


class SqlStore(SecondLook, Answering, Cased, Ruled, Remembering, Sealing, Keeping, Copying):
    """The store on SQLite or PostgreSQL. Safe to use from many threads and, once opened, after a fork.

    ``gateway`` names the audit chain that this process writes. ``clock`` gives aware times.
    """

    def hold(
        self,
        held: HeldMessage,
        *,
        content: Chunks,
        notices: Sequence[Notice] = (),
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> HoldOutcome:
        """See Store.hold."""
        self._database.require_room(held.size)
        sealer = self._sealer(held)
        pieces = chunks.Pieces(content(), sealer=sealer)
        now = self._now()
        with self._database.write() as connection:
            first = self._own_key(connection, "hold", held.key, held.id, now, lasting=held.key_has_message_id)
            if first:
                actor = events[0].actor if events else _GATEPOST_MILTER
                details = {"queue_id": held.queue_id}
                joined = Event(verb=Verb.JOIN, actor=actor, held_id=first, details=details, at=self._clock())
                chain.append(connection, self._gateway, [joined])
                return HoldOutcome(held_id=first, joined=True)
            row = self._message_row(held, sealer)
            if self._database.on_sqlite:
                row["place"] = _FREE_PLACE.run(connection, {"first": row["place"]}).scalar_one()
            _MESSAGE.run(connection, row)
            rows = [records.recipient_row(held, place, each) for place, each in enumerate(held.recipients)]
            _RECIPIENT.run_all(connection, rows)
            rules = sorted({finding.rule for finding in held.explanation.acting()})
            at = records.micros(held.received_at)
            _RULE.run_all(connection, [{"message_id": held.id, "rule": each, "received_at": at} for each in rules])
            queues = records.queues(held)
            reviewers = [{"message_id": held.id, "queue": each, "received_at": at} for each in queues]
            _REVIEWER.run_all(connection, reviewers)
            size = pieces.keep(connection, held.id)
            if size != held.size:
                raise StoreError(f"the message has {size:,} bytes, not {held.size:,}: nothing was kept")
            outbox.owe_notices(connection, notices, held_id=held.id, now=now)
            direction = held.recipients[0].direction
            rule_days.add(connection, rules, at=at, direction=direction, queues=queues)
            if held.sealed:
                events = [*events, self._sealed_event(held, actor=events[0].actor if events else _GATEPOST_MILTER)]
            events = [*events, *self._open_with(connection, cases)]
            chain.append(connection, self._gateway, events)
        return HoldOutcome(held_id=held.id, joined=False)

    def owe(
        self,
        notices: Sequence[Notice],
        *,
        key: str,
        key_has_message_id: bool = True,
        events: Sequence[Event] = (),
        cases: Sequence[Case] = (),
    ) -> bool:
        """See Store.owe."""
        now = self._now()
        with self._database.write() as connection:
            if self._own_key(connection, "owe", key, "owed", now, lasting=key_has_message_id):
                return False
            outbox.owe_notices(connection, notices, held_id="", now=now)
            events = [*events, *self._open_with(connection, cases)]
            chain.append(connection, self._gateway, events)
        return True

    def get(self, held_id: str) -> HeldMessage:
        """See Store.get."""
        with self._database.read() as connection:
            return self._load(connection, self._resolve(connection, held_id))

    def content(self, held_id: str) -> Iterator[bytes]:
        """See Store.content."""
        with self._database.read() as connection:
            full = self._resolve(connection, held_id)
            if self._load(connection, full).sealed:
                raise SealedError(f"{full} is sealed")
        return chunks.read(self._database, full)

    def list(self, wanted: Filter) -> Sequence[HeldMessage]:
        """See Store.list."""
        with self._database.read() as connection:
            ids = search.find(connection, wanted, on_sqlite=self._database.on_sqlite)
            rows = list(many.rows(connection, select(message), message.c.id, ids))
            by_id = {each.id: each for each in self._with_recipients(connection, rows)}
        return [by_id[each] for each in ids]

    def release(
        self, held_id: str, *, recipients: Sequence[str] = (), to: str = "", actor: str, reason: str = ""
    ) -> HeldMessage:
        """See Store.release."""
        now = self._now()
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            if held.sealed:
                raise SealedError(f"{held.id} is sealed, and what is sealed is not released")
            events = []
            for position in decisions.to_release(held, recipients, to=to):
                if not stored:
                    raise ConflictError(f"the bytes of {held.id} have been deleted")
                address = held.recipients[position].address
                outbox.owe_release(connection, held_id=held.id, position=position, to=to or address, now=now)
                decisions.decide(
                    connection,
                    held,
                    position,
                    state=State.RELEASING,
                    actor=actor,
                    now=now,
                    reason=reason,
                    released_to=to or address,
                )
                details = {"to": to} if to else {}
                events.append(self._event(Verb.RELEASE, held, actor, reason, recipient=address, details=details))
            chain.append(connection, self._gateway, events)
            return self._load(connection, held.id)

    def deny(
        self,
        held_id: str,
        *,
        recipients: Sequence[str] = (),
        actor: str,
        reason: str = "",
        notices: Sequence[Notice] = (),
    ) -> HeldMessage:
        """See Store.deny."""
        now = self._now()
        with self._database.write() as connection:
            held, _stored = self._locked(connection, held_id)
            events = []
            for position in decisions.to_deny(held, recipients):
                decisions.take_back(connection, held, position, now=now)
                decisions.decide(
                    connection, held, position, state=State.DENIED, actor=actor, now=now, reason=reason
                )
                address = held.recipients[position].address
                events.append(self._event(Verb.DENY, held, actor, reason, recipient=address))
            if events:
                outbox.owe_notices(connection, notices, held_id=held.id, now=now)
            chain.append(connection, self._gateway, events)
            return self._load(connection, held.id)

    def delete(self, held_id: str, *, actor: str, reason: str = "") -> None:
        """See Store.delete."""
        now = self._now()
        with self._database.write() as connection:
            held, stored = self._locked(connection, held_id)
            if stored and self._on_legal_hold(connection, held.id):
                raise ConflictError(f"{held.id} is under legal hold and must be kept")
            for position in decisions.to_delete(held):
                decisions.take_back(connection, held, position, now=now)
                decisions.decide(
                    connection, held, position, state=State.DELETED, actor=actor, now=now, reason=reason
                )
            if not stored:
                return
            connection.execute(delete(chunk).where(chunk.c.message_id == held.id))
            connection.execute(update(message).where(message.c.id == held.id).values(stored=False))
            chain.append(connection, self._gateway, [self._event(Verb.DELETE, held, actor, reason)])

    def record(self, event: Event) -> None:
        """See Store.record."""
        with self._database.write() as connection:
            chain.append(connection, self._gateway, [event])

    def events(self, held_id: str) -> Sequence[Event]:
        """See Store.events."""
        with self._database.read() as connection:
            return chain.of_message(connection, self._resolve(connection, held_id))

    def chain(self, gateway: str) -> Iterator[Link]:
        """See Store.chain."""
        return chain.read(self._database, gateway)

    def claim(self, *, worker: str, lease: float, limit: int = 10) -> Sequence[OwedRelease | OwedNotice]:
        """See Store.claim."""
        now = self._now()
        with self._database.read() as connection:
            if connection.execute(select(outbox_table.c.id).where(outbox.due(now)).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            rows = outbox.claim(connection, worker=worker, now=now, until=self._after(lease), limit=limit)
            ids = {row.message_id for row in rows if row.kind == outbox.RELEASE}
            found = connection.execute(select(message).where(message.c.id.in_(ids))).all()
            held = {each.id: each for each in self._with_recipients(connection, found)}
        return [
            outbox.owed_release(row, held[row.message_id])
            if row.kind == outbox.RELEASE
            else outbox.owed_notice(row)
            for row in rows
        ]

    def renew(self, rows: Sequence[int], *, worker: str, lease: float) -> bool:
        """See Store.renew."""
        with self._database.write() as connection:
            return outbox.renew(connection, rows, worker=worker, until=self._after(lease))

    def let_go(self, rows: Sequence[int], *, worker: str) -> None:
        """See Store.let_go."""
        with self._database.write() as connection:
            outbox.let_go(connection, rows, worker=worker)

    def told(self, address: str, *, since: datetime) -> int:
        """See Store.told."""
        with self._database.read() as connection:
            return outbox.told(connection, address, since=records.micros(since))

    def gather(self, rows: Sequence[int], *, worker: str, due_at: datetime) -> None:
        """See Store.gather."""
        with self._database.write() as connection:
            outbox.gather(connection, rows, worker=worker, due_at=records.micros(due_at))

    def merge(self, rows: Sequence[int], notice: Notice, *, worker: str) -> bool:
        """See Store.merge."""
        try:
            with self._database.write() as connection:
                if not outbox.merge(connection, rows, notice, worker=worker, now=self._now()):
                    raise ConflictError("another courier has some of these")
        except ConflictError:
            return False
        return True

    def keep_rendered(self, row: int, rendered: bytes) -> None:
        """See Store.keep_rendered."""
        with self._database.write() as connection:
            outbox.keep_rendered(connection, row, rendered)

    def sent(self, row: int, *, reply: str, actor: str, notices: Sequence[Notice] = ()) -> None:
        """See Store.sent."""
        with self._database.write() as connection:
            events = outbox.sent(connection, row, reply=records.clean(reply), actor=actor, now=self._now())
            if events:
                outbox.owe_notices(connection, notices, held_id="", now=self._now())
            chain.append(connection, self._gateway, events)

    def failed(self, row: int, *, reply: str, retry_in: float | None, actor: str) -> None:
        """See Store.failed."""
        reply = records.clean(reply)
        with self._database.write() as connection:
            if retry_in is not None:
                outbox.put_off(connection, row, reply=reply, due_at=self._after(retry_in))
                return
            events = outbox.give_up(connection, row, reply=reply, actor=actor, now=self._now())
            chain.append(connection, self._gateway, events)

    def counts(self) -> Counts:
        """See Store.counts."""
        now = self._now()
        owed = outbox_table.c.state == outbox.RowState.OWED
        waiting = and_(recipient.c.message_id == message.c.id, recipient.c.state == State.HELD)
        with self._database.read() as connection:
            queues = connection.execute(
                select(message.c.queue, func.count(), func.min(message.c.received_at))
                .join(recipient, waiting)
                .group_by(message.c.queue)
            ).all()
            kinds = connection.execute(
                select(outbox_table.c.kind, func.count(), func.min(outbox_table.c.created_at))
                .where(owed)
                .group_by(outbox_table.c.kind)
            ).all()
        by_kind = dict.fromkeys((outbox.RELEASE, outbox.NOTICE), 0) | {kind: count for kind, count, _ in kinds}
        by_queue = {queue: count for queue, count, _ in queues}
        return Counts(
            unreviewed=sum(by_queue.values()),
            oldest_unreviewed=_age(min((oldest for _, _, oldest in queues), default=None), now),
            owed=sum(by_kind.values()),
            oldest_owed=_age(min((oldest for _, _, oldest in kinds), default=None), now),
            free=self._database.free(),
            floor=self._database.floor,
            unreviewed_by_queue=by_queue,
            owed_by_kind=by_kind,
        )

    def tidy(self) -> None:
        """See Store.tidy."""
        with self._database.write() as connection:
            connection.execute(delete(key_window).where(key_window.c.expires_at <= self._now()))
            if self._database.on_sqlite:
                vacuum(connection)

    def close(self) -> None:
        """See Store.close."""
        self._database.close()

    def _own_key(
        self, connection: Connection, purpose: str, key: str, owner: str, now: int, *, lasting: bool
    ) -> str:
        """Become the owner of a key unless its window is open. The earlier owner, empty if we own it now.

        One statement decides: on PostgreSQL a second gateway waits in it for the first one's commit, and then
        sees its row; on SQLite the write lock has already put one after the other.
        """
        window = WINDOW_WITH_MESSAGE_ID if lasting else WINDOW_WITHOUT
        row = {
            "key": f"{purpose}:{key}",
            "held_id": owner,
            "expires_at": now + window // timedelta(microseconds=1),
        }
        if _TAKE_KEY.run(connection, row | {"now": now}).first() is not None:
            return ""
        earlier = select(key_window.c.held_id).where(key_window.c.key == row["key"])
        return str(connection.execute(earlier).scalar_one())


def _age(since: int | None, now: int) -> float:
    return 0.0 if since is None else max(0, now - since) / 1_000_000
