"""Owns what the known sender of a held message may still do about it: one answer for page, reply and store."""

from __future__ import annotations

from gatepost_config.words import Action
from gatepost_quarantine.held import Choice, HeldMessage, HeldRecipient, State

REASON_LIMIT = 500
"""Characters of a reason in the sender's own words."""


def asks_sender(held: HeldMessage) -> bool:
    """Whether the hold is one that the sender is asked about: a ``confirm`` is among its findings."""
    if not held.sender or not held.envelope.sender or held.sealed:
        return False
    addresses = {each.address for each in held.recipients}
    return any(
        action is Action.CONFIRM and address in addresses
        for finding in held.explanation.findings
        for address, action in finding.actions.items()
    )


def undecided(held: HeldMessage) -> tuple[HeldRecipient, ...]:
    """The recipients that nobody has decided about."""
    return tuple(each for each in held.recipients if each.state is State.HELD)


def choices(held: HeldMessage) -> frozenset[Choice]:
    """What the sender may do now; nothing once everything is decided.

    The strictest finding wins: if any recipient waits for a reviewer, the sender cannot send by themselves.
    """
    waiting = undecided(held)
    if not waiting or not asks_sender(held):
        return frozenset()
    if all(_sender_may_send(held, each) for each in waiting):
        return frozenset(Choice)
    return frozenset({Choice.WITHDRAW, Choice.ASK})


def _sender_may_send(held: HeldMessage, recipient: HeldRecipient) -> bool:
    """Whether all that keeps the message from this recipient is the sender's to override."""
    if recipient.action is not Action.CONFIRM:
        return False
    keeping = [
        finding
        for finding in held.explanation.findings
        if finding.actions.get(recipient.address, Action.PASS).strictness >= Action.CONFIRM.strictness
    ]
    return bool(keeping) and all(each.override == "sender" for each in keeping)
