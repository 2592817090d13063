"""Owns history on SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_quarantine.history import Batch, Recalled
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.keys import shared_key
from gatepost_quarantine.sql.memory_schema import correspondence, day_content, day_tally, revision

_NUMBER = revision.c.name == "history"


class Remembering(Base):
    """The part of the store that is about history. See Histories for what the methods promise."""

    def remember(self, batch: Batch) -> None:
        """See Histories.remember."""
        if not batch:
            return
        with self._database.write() as connection:
            seq = self._next_seq(connection)
            self._keep_pairs(connection, batch, seq)
            if batch.tallies:
                tally = self._insert(day_tally)
                tally = tally.on_conflict_do_update(
                    index_elements=[day_tally.c.day, day_tally.c.what, day_tally.c.who],
                    set_={"count": day_tally.c.count + tally.excluded.count, "seq": tally.excluded.seq},
                )
                rows = [
                    {"day": day, "what": what, "who": who, "count": count, "seq": seq}
                    for (day, what, who), count in batch.tallies.items()
                ]
                connection.execute(tally, rows)
            if batch.contents:
                rows = [
                    {"day": day, "content": content, "recipient": recipient, "seq": seq}
                    for day, content, recipient in batch.contents
                ]
                connection.execute(self._insert(day_content).on_conflict_do_nothing(), rows)

    def recall(self, after: int, *, day: int) -> Recalled:
        """See Histories.recall."""
        pairs = select(
            correspondence.c.pair, correspondence.c.wrote, correspondence.c.heard, correspondence.c.seen
        ).where(correspondence.c.seq > after)
        tallies = select(day_tally.c.day, day_tally.c.what, day_tally.c.who, day_tally.c.count).where(
            day_tally.c.seq > after, day_tally.c.day >= day
        )
        contents = select(day_content.c.day, day_content.c.content, day_content.c.recipient).where(
            day_content.c.seq > after, day_content.c.day >= day
        )
        with self._database.read() as connection:
            # The number first: what is committed while the rest is read comes again with the next number.
            head = connection.execute(select(revision).where(_NUMBER)).one()
            return Recalled(
                seq=head.number,
                started=head.started,
                pairs=[(bytes(row[0]), *row[1:]) for row in connection.execute(pairs)],
                tallies=[(row[0], row[1], bytes(row[2]), row[3]) for row in connection.execute(tallies)],
                contents=[(row[0], bytes(row[1]), bytes(row[2])) for row in connection.execute(contents)],
            )

    def history_key(self) -> bytes:
        """See Histories.history_key."""
        return shared_key(self._database, "history")

    def forget_history(self, *, pairs_before: int, counts_before: int, dry_run: bool = False) -> int:
        """See Histories.forget_history."""
        old: list[tuple[Table, ColumnElement[bool]]] = [
            (correspondence, correspondence.c.seen < pairs_before),
            (day_tally, day_tally.c.day < counts_before),
            (day_content, day_content.c.day < counts_before),
        ]
        if dry_run:
            with self._database.read() as connection:
                counted = (select(func.count()).select_from(table).where(which) for table, which in old)
                return sum(int(connection.execute(each).scalar_one()) for each in counted)
        with self._database.write() as connection:
            return sum(connection.execute(delete(table).where(which)).rowcount for table, which in old)

    def _next_seq(self, connection: Connection) -> int:
        """The number of this change; no other is given until it is committed."""
        today = self._clock().date().toordinal()
        started = case((revision.c.started == 0, today), else_=revision.c.started)
        moving = update(revision).where(_NUMBER).values(number=revision.c.number + 1, started=started)
        return int(connection.execute(moving.returning(revision.c.number)).scalar_one())

    def _keep_pairs(self, connection: Connection, batch: Batch, seq: int) -> None:
        keys = batch.wrote.keys() | batch.heard.keys()
        if not keys:
            return
        rows = []
        for pair in keys:
            wrote, heard = batch.wrote.get(pair, 0), batch.heard.get(pair, 0)
            rows.append({"pair": pair, "wrote": wrote, "heard": heard, "seen": max(wrote, heard), "seq": seq})
        kept, adding = correspondence.c, self._insert(correspondence)
        new = adding.excluded
        first_heard = case(
            (kept.heard == 0, new.heard), (new.heard == 0, kept.heard), else_=_least(kept.heard, new.heard)
        )
        adding = adding.on_conflict_do_update(
            index_elements=[kept.pair],
            set_={
                "wrote": _most(kept.wrote, new.wrote),
                "heard": first_heard,
                "seen": _most(kept.seen, new.seen),
                "seq": new.seq,
            },
        )
        connection.execute(adding, rows)

    def _insert(self, table: Table) -> Any:
        return (sqlite if self._database.on_sqlite else postgresql).insert(table)


def _most(one: Any, other: Any) -> ColumnElement[int]:
    """The greater of two; the engines have different names for it."""
    return case((one >= other, one), else_=other)


def _least(one: Any, other: Any) -> ColumnElement[int]:
    return case((one <= other, one), else_=other)
