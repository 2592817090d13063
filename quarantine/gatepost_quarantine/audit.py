"""Owns events: the append-only record of who did what to which message, and why.

Each gateway writes one chain: every link holds the digest of the one before it, so that a link that was
changed, removed or put in later shows. The chain proves order and completeness up to a digest that is known
from elsewhere; it does not prove who wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Verb(StrEnum):
    """What can happen to a held message; view, command and event carry the same word (``held:release``)."""

    HOLD = "held:hold"
    JOIN = "held:join"
    RELEASE = "held:release"
    DELIVER = "held:deliver"
    REFUSE = "held:refuse"
    DENY = "held:deny"
    DELETE = "held:delete"
    READ = "held:read"
    NOTICE = "notice:send"
    NOTICE_GIVEN_UP = "notice:give-up"
    RAW = "held:raw"
    DOWNLOAD = "held:download"
    DOOM = "held:doom"
    SPARE = "held:spare"
    MARK = "held:mark"
    PASS_ON = "held:pass-on"  # noqa: S105 - an event, not a secret
    NOTE = "held:note"
    SIGN_IN = "console:sign-in"
    SIGN_IN_REFUSED = "console:sign-in-refused"
    SIGN_OUT = "console:sign-out"
    ACCOUNT = "console:account"


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
    """An event in its place in the chain. ``seq`` counts from 1 for each gateway; digests are hexadecimal."""

    gateway: str
    seq: int
    event: Event
    previous: str
    digest: str


def link(event: Event, *, gateway: str, seq: int, previous: str) -> Link:
    """The event as the link after ``previous``."""
    digest = hashlib.sha256(_canonical(event, gateway=gateway, seq=seq, previous=previous)).hexdigest()
    return Link(gateway=gateway, seq=seq, event=event, previous=previous, digest=digest)


def verify(links: Iterable[Link], *, head: str = "") -> str:
    """What is wrong with a whole chain, in one sentence; empty when nothing is.

    With ``head``, the chain must also reach that digest: a chain that was cut off at its end does not.
    """
    previous, expected, reached = GENESIS, 1, not head
    for each in links:
        if each.seq != expected:
            return f"event {expected} of {each.gateway} is missing"
        if each.previous != previous:
            return f"event {each.seq} of {each.gateway} does not follow the one before it"
        made = link(each.event, gateway=each.gateway, seq=each.seq, previous=each.previous)
        if made.digest != each.digest:
            return f"event {each.seq} of {each.gateway} was changed"
        previous, expected = each.digest, expected + 1
        reached = reached or each.digest == head
    return "" if reached else "the chain ends before the given head"


def _canonical(event: Event, *, gateway: str, seq: int, previous: str) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, no spaces, ASCII only, time in UTC with microseconds."""
    value = {
        "gateway": gateway,
        "seq": seq,
        "previous": previous,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "verb": event.verb.value,
        "actor": event.actor,
        "held_id": event.held_id,
        "recipient": event.recipient,
        "reason": event.reason,
        "details": dict(event.details),
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
