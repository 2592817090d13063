"""Owns appending to a gateway's audit chain, and reading it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost_quarantine.audit import GENESIS, Event, Link, link, segment_of
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.records import clean_event, event_link, event_row
from gatepost_quarantine.sql.schema import chain_head, event
from gatepost_quarantine.sql.statements import Statement, insertion

_PAGE = 1000

_EVENT = insertion(event)
_OF_GATEWAY = chain_head.c.gateway == bindparam("gateway_")
_HEAD = Statement(
    lambda _dialect: (
        select(chain_head.c.seq, chain_head.c.digest, chain_head.c.segment).where(_OF_GATEWAY).with_for_update()
    )
)
_MOVE_HEAD = Statement(
    lambda _dialect: update(chain_head).where(_OF_GATEWAY), columns=("seq", "digest", "segment")
)


def append(connection: Connection, gateway: str, events: Sequence[Event]) -> None:
    """Append the events in order. To be the last thing in a transaction: it locks the chain until the commit."""
    if not events:
        return
    head = _lock_head(connection, gateway)
    seq, previous, segment = head.seq, head.digest, head.segment
    rows = []
    for each in events:
        seq += 1
        # A clock that was set back must not reopen a month.
        segment = max(segment, segment_of(each.at))
        made = link(clean_event(each), gateway=gateway, seq=seq, previous=previous, segment=segment)
        previous = made.digest
        rows.append(event_row(made))
    _EVENT.run_all(connection, rows)
    _MOVE_HEAD.run(connection, {"gateway_": gateway, "seq": seq, "digest": previous, "segment": segment})


def of_message(connection: Connection, held_id: str) -> list[Event]:
    """The events of one held message over all gateways, oldest first."""
    rows = connection.execute(
        select(event).where(event.c.held_id == held_id).order_by(event.c.at, event.c.gateway, event.c.seq)
    )
    return [event_link(row).event for row in rows]


def read(database: Database, gateway: str) -> Iterator[Link]:
    """Every link of one gateway, in order, read in pages so that a long chain needs little memory."""
    after = 0
    while True:
        wanted = select(event).where(event.c.gateway == gateway, event.c.seq > after)
        with database.read() as connection:
            rows = connection.execute(wanted.order_by(event.c.seq).limit(_PAGE)).all()
        if not rows:
            return
        for row in rows:
            yield event_link(row)
        after = rows[-1].seq


def _lock_head(connection: Connection, gateway: str) -> Row[Any]:
    row = _HEAD.run(connection, {"gateway_": gateway}).one_or_none()
    if row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        first = dialect.insert(chain_head).values(gateway=gateway, seq=0, digest=GENESIS, segment="")
        connection.execute(first.on_conflict_do_nothing())
        row = _HEAD.run(connection, {"gateway_": gateway}).one()
    return row
