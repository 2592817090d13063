"""Owns what a decision may do to a recipient of a held message: which states it applies to, and what it leaves.

Every decision is idempotent: asked for again, it gives the first answer and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import outbox, records
from gatepost_quarantine.sql.schema import message, recipient
from gatepost_quarantine.store import ConflictError, NotFoundError

_RELEASED = frozenset({State.RELEASING, State.RELEASED})


def lock(connection: Connection, held_id: str) -> bool:
    """Make decisions on one message wait for each other. Whether its bytes are still there."""
    stored = connection.execute(select(message.c.stored).where(message.c.id == held_id).with_for_update())
    return bool(stored.scalar_one())


def to_release(held: HeldMessage, recipients: Sequence[str], *, to: str) -> list[int]:
    """Positions of the recipients that a release is still to be owed to."""
    if to:
        return _to_release_elsewhere(held, recipients)
    return _undecided(held, recipients, done=_RELEASED, cannot="be released")


def to_deny(held: HeldMessage, recipients: Sequence[str]) -> list[int]:
    """Positions of the recipients that are still to be denied; a release that waits may yet be taken back."""
    return _undecided(held, recipients, done=frozenset({State.DENIED}), cannot="be denied", also=State.RELEASING)


def to_delete(held: HeldMessage) -> list[int]:
    """Positions of the recipients that nobody has decided about."""
    open_states = (State.HELD, State.RELEASING)
    return [position for position, each in enumerate(held.recipients) if each.state in open_states]


def take_back(connection: Connection, held: HeldMessage, position: int, *, now: int) -> None:
    """If its release waits in the outbox, cancel it. Raises ConflictError when it may be on its way."""
    each = held.recipients[position]
    if each.state is not State.RELEASING:
        return
    if not outbox.cancel_release(connection, held_id=held.id, position=position, now=now):
        raise ConflictError(f"the release to {each.address} is under way; look again in a minute")


def decide(
    connection: Connection,
    held: HeldMessage,
    position: int,
    *,
    state: State,
    actor: str,
    now: int,
    reason: str,
    released_to: str = "",
) -> None:
    """Set the recipient's state with who, when and why."""
    values: dict[str, Any] = {
        "state": state,
        "decided_by": records.clean(actor),
        "decided_at": now,
        "reason": records.clean(reason),
        "released_to": records.clean(released_to),
    }
    if state is State.RELEASING:
        values["reply"] = ""
    one = (recipient.c.message_id == held.id) & (recipient.c.position == position)
    connection.execute(update(recipient).where(one).values(**values))


def _to_release_elsewhere(held: HeldMessage, recipients: Sequence[str]) -> list[int]:
    named = _named(held, recipients) if recipients else list(range(len(held.recipients)))
    if len(named) > 1:
        undecided = [position for position in named if held.recipients[position].state is State.HELD]
        named = undecided or named
    if len(named) != 1:
        raise ConflictError("to release to another address, name the one recipient whose copy it is")
    return _undecided(held, [held.recipients[named[0]].address], done=_RELEASED, cannot="be released")


def _undecided(
    held: HeldMessage,
    recipients: Sequence[str],
    *,
    done: frozenset[State],
    cannot: str,
    also: State | None = None,
) -> list[int]:
    """Positions to act on. Those that are ``done`` are left out; any other named one is a conflict.

    ``also`` is a state that is acted on only where the recipient is named.
    """
    if recipients:
        chosen = []
        for position in _named(held, recipients):
            state = held.recipients[position].state
            if state is State.HELD or state is also:
                chosen.append(position)
            elif state not in done:
                raise ConflictError(f"{held.recipients[position].address} is {state} and cannot {cannot}")
        return chosen
    chosen = [position for position, each in enumerate(held.recipients) if each.state is State.HELD]
    if not chosen and not any(each.state in done for each in held.recipients):
        states = ", ".join(dict.fromkeys(each.state.value for each in held.recipients))
        raise ConflictError(f"nothing of {held.id} is held ({states}), so it cannot {cannot}")
    return chosen


def _named(held: HeldMessage, recipients: Sequence[str]) -> list[int]:
    """Positions of the named recipients, compared without case, each once."""
    places = {each.address.casefold(): position for position, each in enumerate(held.recipients)}
    positions = []
    for address in recipients:
        position = places.get(address.strip().casefold())
        if position is None:
            raise NotFoundError(f"{held.id} is not held for {address}")
        positions.append(position)
    return list(dict.fromkeys(positions))
