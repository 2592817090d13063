"""Owns events: the append-only record of who did what to which message, and why.

Each gateway writes one chain: every link holds the digest of the one before it, so that a link that was
changed, removed or put in later shows. The chain proves order and completeness up to a digest that is known
from elsewhere; it does not prove who wrote it. What is personal in an event can be erased without breaking it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What can happen to a held message; view, command and event carry the same word (``held:release``)."""

    HOLD = "held:hold"
    JOIN = "held:join"
    RELEASE = "held:release"
    DELIVER = "held:deliver"
    REFUSE = "held:refuse"
    DENY = "held:deny"
    CONFIRM = "held:confirm"
    WITHDRAW = "held:withdraw"
    ASK = "held:ask"
    HOLD_AGAIN = "held:hold-again"
    DELETE = "held:delete"
    READ = "held:read"
    SEAL = "held:seal"
    UNSEAL = "held:unseal"
    LEGAL_HOLD = "held:legal-hold"
    LEGAL_HOLD_ENDED = "held:legal-hold-ended"
    EXPIRE = "held:expire"
    FORGET = "held:forget"
    REMIND = "held:remind"
    EXPORT = "held:export"
    ERASE = "audit:erase"
    HEAD = "audit:head"
    BACKUP = "store:backup"
    SUBJECT_EXPORT = "subject:export"
    NOTICE = "notice:send"
    NOTICE_GIVEN_UP = "notice:give-up"
    RAW = "held:raw"
    DOWNLOAD = "held:download"
    DOOM = "held:doom"
    SPARE = "held:spare"
    MARK = "held:mark"
    PASS_ON = "held:pass-on"  # noqa: S105 - an event, not a secret
    NOTE = "held:note"
    TRY = "held:try"
    CASE_OPEN = "case:open"
    CASE_NOTE = "case:note"
    CASE_LINK = "case:link"
    CASE_PASS_ON = "case:pass-on"  # noqa: S105 - an event, not a secret
    CASE_CLOSE = "case:close"
    CASE_FORGET = "case:forget"
    SIGN_IN = "console:sign-in"
    SIGN_IN_REFUSED = "console:sign-in-refused"
    SIGN_OUT = "console:sign-out"
    ACCOUNT = "console:account"
    BLOCK = "ruling:block"
    EXEMPT = "ruling:exempt"
    RULING_ENDED = "ruling:end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the audit. ``actor`` is a person or a service (``gatepost-milter``); times are aware UTC."""

    verb: Verb
    actor: str
    held_id: str = ""
    recipient: str = ""
    reason: str = ""
    details: Mapping[str, str | int | bool] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


GENESIS = "0" * 64
"""What stands before the first link of a chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An event in its place in the chain. ``seq`` counts from 1 for each gateway; digests are hexadecimal.

    ``segment`` is the month that the link was written in (YYYY-MM). The digest does not cover the personal fields
    (actor, recipient, reason, details) but a ``commitment`` to them, made with a random ``salt``: without the
    salt nobody can find out by trying whose name it was. So they can be erased, and the chain stays whole.
    A link without commitment comes from before there were any; its digest covers everything.
    """

    gateway: str
    seq: int
    event: Event
    previous: str
    digest: str
    segment: str = ""
    salt: str = ""
    commitment: str = ""

    @property
    def erased(self) -> bool:
        """Whether the personal fields have been erased."""
        return bool(self.commitment) and not self.salt


def link(event: Event, *, gateway: str, seq: int, previous: str, segment: str) -> Link:
    """The event as the link after ``previous``, with a salt of its own."""
    salt = secrets.token_hex(16)
    commitment = _commitment(event, salt)
    digest = _digest(event, gateway=gateway, seq=seq, previous=previous, segment=segment, commitment=commitment)
    return Link(
        gateway=gateway,
        seq=seq,
        event=event,
        previous=previous,
        digest=digest,
        segment=segment,
        salt=salt,
        commitment=commitment,
    )


def segment_of(at: datetime) -> str:
    """The segment that a link of that time belongs to."""
    return at.astimezone(UTC).strftime("%Y-%m")


def verify(links: Iterable[Link], *, head: str = "", whole: bool = True) -> str:
    """What is wrong with a chain, in one sentence; empty when nothing is.

    With ``head``, the chain must also reach that digest: a chain that was cut off at its end does not. A part of a
    chain (``whole`` is false) may begin anywhere; its first link is believed about what came before.
    """
    previous, expected, segment, reached = GENESIS, 1, "", not head
    first = not whole
    for each in links:
        if first:
            previous, expected, first = each.previous, each.seq, False
        if each.seq != expected:
            return f"event {expected} of {each.gateway} is missing"
        if each.previous != previous:
            return f"event {each.seq} of {each.gateway} does not follow the one before it"
        if _made_again(each) != each.digest or not _keeps_its_commitment(each) or each.segment < segment:
            return f"event {each.seq} of {each.gateway} was changed"
        previous, expected, segment = each.digest, expected + 1, each.segment
        reached = reached or each.digest == head
    return "" if reached else "the chain ends before the given head, or was made anew"


def _made_again(each: Link) -> str:
    if not each.commitment:
        value = _outside(each.event, gateway=each.gateway, seq=each.seq, previous=each.previous)
        return _hashed(value | _personal(each.event))
    return _digest(
        each.event,
        gateway=each.gateway,
        seq=each.seq,
        previous=each.previous,
        segment=each.segment,
        commitment=each.commitment,
    )


def _keeps_its_commitment(each: Link) -> bool:
    """Personal fields are what was committed to, or they are all gone."""
    if not each.commitment:
        return not each.salt
    if each.erased:
        return not any(_personal(each.event).values())
    return _commitment(each.event, each.salt) == each.commitment


def _digest(event: Event, *, gateway: str, seq: int, previous: str, segment: str, commitment: str) -> str:
    value = _outside(event, gateway=gateway, seq=seq, previous=previous)
    return _hashed(value | {"segment": segment, "commitment": commitment})


def _commitment(event: Event, salt: str) -> str:
    return _hashed({"salt": salt} | _personal(event))


def _outside(event: Event, *, gateway: str, seq: int, previous: str) -> dict[str, Any]:
    """What is no personal data: the place in the chain, when, what, and about which message."""
    return {
        "gateway": gateway,
        "seq": seq,
        "previous": previous,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "verb": event.verb.value,
        "held_id": event.held_id,
    }


def _personal(event: Event) -> dict[str, Any]:
    return {
        "actor": event.actor,
        "recipient": event.recipient,
        "reason": event.reason,
        "details": dict(event.details),
    }


def _hashed(value: Mapping[str, Any]) -> str:
    """The SHA-256 of JSON with sorted keys, no spaces, ASCII only."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
