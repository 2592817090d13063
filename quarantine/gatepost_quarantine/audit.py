"""Owns events: the append-only record of who did what to which message, and why."""

from __future__ import annotations

from collections.abc import Mapping
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
