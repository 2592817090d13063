"""Owns the store's part in the second look before a release: what is held again, and who insists."""

from __future__ import annotations

from sqlalchemy import select

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.sql import chain, outbox, records
from gatepost_quarantine.sql.base import Base
from gatepost_quarantine.sql.schema import outbox as outbox_table


class SecondLook(Base):
    """Releases that are held again, as a part of the store."""

    def hold_again(self, row: int, *, reason: str, actor: str) -> None:
        """See Store.hold_again."""
        with self._database.write() as connection:
            events = outbox.give_up(
                connection,
                row,
                reply=records.clean(reason),
                actor=actor,
                now=self._now(),
                state=outbox.RowState.HELD_AGAIN,
                verb=Verb.HOLD_AGAIN,
            )
            chain.append(connection, self._gateway, events)

    def held_again(self, held_id: str) -> frozenset[str]:
        """See Store.held_again."""
        mine = (
            outbox_table.c.message_id == held_id,
            outbox_table.c.kind == outbox.RELEASE,
            outbox_table.c.state == outbox.RowState.HELD_AGAIN,
        )
        with self._database.read() as connection:
            places = set(connection.execute(select(outbox_table.c.position).where(*mine)).scalars())
            held = self._load(connection, held_id)
        return frozenset(each.address for place, each in enumerate(held.recipients) if place in places)
