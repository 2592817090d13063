"""Owns how held messages, notices and events become rows, and rows become them again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gatepost_config.words import Action, Direction, Explanation
from gatepost_quarantine.audit import Event, Link, Verb
from gatepost_quarantine.held import Envelope, HeldMessage, HeldRecipient, Notice, NoticeKind, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACES = 1024
"""Places in the search index for the messages of one microsecond."""

SEALED_SAY = "This message is sealed. Only the roles that the policy names may open it."

_SEARCH_LIMIT = 20_000
"""Characters of one message that can be found by searching: enough for 500 recipients."""


def micros(at: datetime) -> int:
    """Microseconds since 1970, without the rounding of a float."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The time that ``micros`` made a number of."""
    return _EPOCH + timedelta(microseconds=value)


def clean(value: str) -> str:
    """The text without what a database refuses: NUL, and the lone surrogates that stand for undecodable bytes."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def message_row(held: HeldMessage) -> dict[str, Any]:
    """The columns of ``message``."""
    record = {
        "key": held.key,
        "key_has_message_id": held.key_has_message_id,
        "gateway": held.gateway,
        "queue_id": held.queue_id,
        "envelope": asdict(held.envelope),
        "sender": held.sender,
        "explanation": held.explanation.to_json(),
        "subject": held.subject,
        "from_header": held.from_header,
        "message_id": held.message_id,
        "queue": held.queue,
        "attachments": [dict(each) for each in held.attachments],
    }
    return {
        "id": held.id,
        "gateway": clean(held.gateway),
        "support_id": clean(held.explanation.support_id).casefold(),
        "queue_id": clean(held.queue_id),
        "message_id": clean(held.message_id)[:1000],
        "sender": clean(held.sender).casefold()[:1000],
        "queue": clean(held.queue),
        "received_at": micros(held.received_at),
        "size": held.size,
        "stored": True,
        "search_text": _search_text(held),
        "record": json.dumps(record),
        "seal": "",
        "legal_hold": "",
        "reminded": 0,
        "place": micros(held.received_at) * PLACES,
    }


def redacted(held: HeldMessage) -> HeldMessage:
    """What may be known in clear of a sealed message: for whom it is, which rules, who reviews it, its size."""
    explanation = held.explanation
    findings = tuple(
        replace(each, evidence=(), say=SEALED_SAY, mend="", exemptions=()) for each in explanation.findings
    )
    return replace(
        held,
        envelope=Envelope(sender=""),
        sender="",
        explanation=replace(explanation, findings=findings, defects=()),
        subject="",
        from_header="",
        message_id="",
        attachments=(),
    )


def forgotten(held: HeldMessage) -> HeldMessage:
    """What is left of a message when nobody is to be known by it any more: when, where, how large, which rules."""
    bare = redacted(held)
    explanation = replace(
        bare.explanation,
        support_id="",
        outcomes=tuple(replace(each, recipient="") for each in bare.explanation.outcomes),
        findings=tuple(replace(each, actions={"": each.action}, say="") for each in bare.explanation.findings),
    )
    whom = tuple(
        replace(each, address="", parameters=(), decided_by="", reason="", released_to="", reply="")
        for each in held.recipients
    )
    return replace(bare, explanation=explanation, recipients=whom, queue_id="")


def queues(held: HeldMessage) -> list[str]:
    """The roles that review the message: its own queue, and those of all findings that act."""
    named = {held.queue, *(finding.queue for finding in held.explanation.acting())}
    return sorted(clean(each) for each in named if each)


def recipient_row(held: HeldMessage, position: int, recipient: HeldRecipient) -> dict[str, Any]:
    """The columns of ``recipient``."""
    record = {
        "address": recipient.address,
        "direction": recipient.direction.value,
        "action": recipient.action.value,
        "parameters": list(recipient.parameters),
    }
    return {
        "message_id": held.id,
        "received_at": micros(held.received_at),
        "position": position,
        "address": clean(recipient.address).casefold(),
        "state": recipient.state.value,
        "decided_by": clean(recipient.decided_by),
        "decided_at": micros(recipient.decided_at) if recipient.decided_at else None,
        "reason": clean(recipient.reason),
        "released_to": clean(recipient.released_to),
        "reply": clean(recipient.reply),
        "record": json.dumps(record),
    }


def held_message(row: Row[Any], recipients: Sequence[Row[Any]]) -> HeldMessage:
    """The message of a ``message`` row and its ``recipient`` rows in order."""
    record = json.loads(row.record)
    envelope = record["envelope"]
    envelope["sender_parameters"] = tuple(envelope["sender_parameters"])
    return HeldMessage(
        id=row.id,
        key=record["key"],
        key_has_message_id=record["key_has_message_id"],
        gateway=record["gateway"],
        queue_id=record["queue_id"],
        envelope=Envelope(**envelope),
        sender=record["sender"],
        recipients=tuple(held_recipient(each) for each in recipients),
        explanation=Explanation.from_json(record["explanation"]),
        size=row.size,
        subject=record["subject"],
        from_header=record["from_header"],
        message_id=record["message_id"],
        queue=row.queue,  # it may have been passed on since
        attachments=tuple(record["attachments"]),
        received_at=moment(row.received_at),
    )


def held_recipient(row: Row[Any]) -> HeldRecipient:
    """The recipient of a ``recipient`` row."""
    record = json.loads(row.record)
    return HeldRecipient(
        address=record["address"],
        direction=Direction(record["direction"]),
        action=Action(record["action"]),
        parameters=tuple(record["parameters"]),
        state=State(row.state),
        decided_by=row.decided_by,
        decided_at=moment(row.decided_at) if row.decided_at is not None else None,
        reason=row.reason,
        released_to=row.released_to,
        reply=row.reply,
    )


def notice_text(notice: Notice) -> str:
    """A notice as JSON in ASCII."""
    return json.dumps(
        {
            "kind": notice.kind.value,
            "to": notice.to,
            "message_id": notice.message_id,
            "context": dict(notice.context),
            "held_id": notice.held_id,
        }
    )


def notice(text: str) -> Notice:
    """The notice that ``notice_text`` wrote."""
    data = json.loads(text)
    return Notice(
        kind=NoticeKind(data["kind"]),
        to=data["to"],
        message_id=data["message_id"],
        context=data["context"],
        held_id=data["held_id"],
    )


def clean_event(event: Event) -> Event:
    """The event as a row can hold it, so that its digest is that of the row."""
    return Event(
        verb=event.verb,
        actor=clean(event.actor),
        held_id=clean(event.held_id),
        recipient=clean(event.recipient),
        reason=clean(event.reason),
        details=_clean_details(event.details),
        at=event.at.astimezone(UTC),
    )


def event_row(link: Link) -> dict[str, Any]:
    """The columns of ``event``."""
    event = link.event
    return {
        "gateway": link.gateway,
        "seq": link.seq,
        "at": micros(event.at),
        "verb": event.verb.value,
        "actor": event.actor,
        "held_id": event.held_id,
        "recipient": event.recipient,
        "reason": event.reason,
        "details": json.dumps(dict(event.details), sort_keys=True),
        "previous": link.previous,
        "digest": link.digest,
        "segment": link.segment,
        "salt": link.salt,
        "commitment": link.commitment,
    }


def event_link(row: Row[Any]) -> Link:
    """The link of an ``event`` row."""
    event = Event(
        verb=Verb(row.verb),
        actor=row.actor,
        held_id=row.held_id,
        recipient=row.recipient,
        reason=row.reason,
        details=json.loads(row.details),
        at=moment(row.at),
    )
    return Link(
        gateway=row.gateway,
        seq=row.seq,
        event=event,
        previous=row.previous,
        digest=row.digest,
        segment=row.segment,
        salt=row.salt,
        commitment=row.commitment,
    )


def _clean_details(details: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    return {clean(key): clean(value) if isinstance(value, str) else value for key, value in details.items()}


def _search_text(held: HeldMessage) -> str:
    if held.sealed:
        # A sealed message is found by what names it, not by what it says (KCS 1.10).
        return clean(f"{held.queue_id}\n{held.explanation.support_id}").casefold()
    words = [
        held.subject,
        held.from_header,
        held.sender,
        held.envelope.sender,
        held.message_id,
        held.queue_id,
        held.explanation.support_id,
        *(finding.rule for finding in held.explanation.acting()),
        *(finding.clause for finding in held.explanation.acting()),
        *(str(each.get("name", "")) for each in held.attachments),
        *(each.address for each in held.recipients),
        *(str(each.get("sha256", "")) for each in held.attachments),
    ]
    return clean("\n".join(word for word in words if word)).casefold()[:_SEARCH_LIMIT]
