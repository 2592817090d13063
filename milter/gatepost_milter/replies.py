"""Owns the Answer: what is to be said to the MTA about one message, before any of it is milter protocol.

An answer speaks for a whole message and is given once, at end of message. Reply texts are ASCII, one line and
at most 200 octets with their enhanced status code, because many clients show no more (RFC 5321 section
4.5.3.1.5 allows 512).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gatepost_config.words import Action, Direction, Finding, Reply
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.transaction import Transaction

TEXT_OCTETS = 200
_CLAUSE_OCTETS = 60
TAG_HEADER = "X-Gatepost-Tag"
OUR_HEADERS = b"x-gatepost-"


class Disposition(StrEnum):
    """How a message can end for the MTA. Never the protocol's own "quarantine": it holds for all recipients."""

    ACCEPT = "accept"
    DISCARD = "discard"
    REJECT = "reject"
    TEMPFAIL = "tempfail"


class Event(StrEnum):
    """The word for a message's end in the canonical log line."""

    PASSED = "passed"
    TAGGED = "tagged"
    WARNED = "warned"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    RELEASED = "released"
    ANSWERED = "answered"


_EVENTS = {
    Action.PASS: Event.PASSED,
    Action.TAG: Event.TAGGED,
    Action.WARN: Event.WARNED,
    Action.REJECT: Event.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleHeader:
    """The ``index``-th field named ``name`` (counted from 1) is not ours although it says so; it is removed."""

    name: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the MTA is told. ``reply`` is set for reject and temp-fail only.

    ``remove`` is in the order in which it must be done: the last field of a name first, so that indexes stay
    true. ``add`` are header fields; ``delete`` are recipients in wire form. ``facts`` are for the log line:
    plain values without message content.
    """

    disposition: Disposition
    event: Event
    reply: Reply | None = None
    remove: tuple[StaleHeader, ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    delete: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


def answer(transaction: Transaction, verdict: Verdict, **facts: object) -> Answer:
    """The answer that a verdict asks for, once everything that it holds has been kept.

    Raises ValueError for a verdict that one SMTP reply cannot express: that is a defect of the judge.
    """
    outcomes = tuple(zip(transaction.recipients, verdict.outcomes, strict=True))
    action = verdict.action
    told = {
        "action": action.value,
        "direction": verdict.direction.value,
        "rules": [finding.rule for finding in verdict.explanation.acting()],
        "support_id": verdict.explanation.support_id,
        **facts,
    }
    if verdict.findings:
        told["findings"] = [f"{each.rule} {each.mode} {each.wanted} {each.action}" for each in verdict.findings]
    event = _EVENTS.get(action, Event.HELD)
    rejected = [outcome.action is Action.REJECT for outcome in verdict.outcomes]
    if any(rejected):
        if not all(rejected):
            raise ValueError("a verdict rejects for some recipients only")
        return Answer(disposition=Disposition.REJECT, event=event, reply=refusal(verdict), facts=told)
    held = tuple(path.wire for path, outcome in outcomes if outcome.action.held)
    if held and len(held) == len(outcomes):
        return Answer(disposition=Disposition.DISCARD, event=event, facts=told)
    return Answer(
        disposition=Disposition.ACCEPT,
        event=event,
        remove=stale_headers(transaction),
        add=_tags(verdict),
        delete=held,
        facts=told,
    )


def refusal(verdict: Verdict) -> Reply:
    """The reply of a rejected message: the rule's own sentence, its clause, and the support id."""
    chosen = verdict.refusal or Reply()
    clause = next((each.clause for each in verdict.findings if each.action is Action.REJECT), "")
    sentence = chosen.text or "This message is against the school's email policy."
    return _reply(chosen, sentence, clause, verdict.explanation.support_id)


def tempfail(support_id: str, *, reason: str = "", detail: str = "") -> Answer:
    """The answer when it is unclear what the message is, or it cannot be kept: the client keeps it.

    ``reason`` is the sentence for the client; ``detail`` is for the log only.
    """
    sentence = reason or "The message could not be checked. Please try again later."
    return Answer(
        disposition=Disposition.TEMPFAIL,
        event=Event.FAILED,
        reply=_reply(Reply(code=451, status="4.3.0"), sentence, "", support_id),
        facts={"support_id": support_id, **({"detail": detail} if detail else {})},
    )


def too_large(support_id: str) -> Answer:
    """The answer to a message over the spool's limit (RFC 5248: X.3.4 goes with 552)."""
    return _refused(support_id, Reply(code=552, status="5.3.4"), "The message is too large.")


def bad_address(support_id: str) -> Answer:
    """The answer to an envelope address that is not UTF-8, which RFC 6531 section 3.3 does not allow."""
    return _refused(support_id, Reply(code=553, status="5.6.7"), "An envelope address is not valid UTF-8.")


def refused(support_id: str, sentence: str) -> Answer:
    """The answer to mail for an address that takes no such mail."""
    return _refused(support_id, Reply(), sentence)


def stale_headers(transaction: Transaction) -> tuple[StaleHeader, ...]:
    """The fields under our own names that came with the message: nobody but us may write them."""
    seen: dict[bytes, int] = {}
    stale = []
    for name, _ in transaction.headers:
        folded = name.lower()
        if folded.startswith(OUR_HEADERS):
            seen[folded] = seen.get(folded, 0) + 1
            stale.append(StaleHeader(name=name.decode("ascii", "replace"), index=seen[folded]))
    return tuple(reversed(stale))


def _refused(support_id: str, reply: Reply, sentence: str) -> Answer:
    return Answer(
        disposition=Disposition.REJECT,
        event=Event.REFUSED,
        reply=_reply(reply, sentence, "", support_id),
        facts={"support_id": support_id},
    )


def _tags(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Our header, if nobody outside the school gets this copy of the message."""
    if not verdict.findings:
        return ()
    staying = tuple(outcome for outcome in verdict.outcomes if not outcome.action.held)
    if any(outcome.direction is Direction.OUTBOUND for outcome in staying):
        return ()
    rules = [finding.rule for finding in verdict.findings if _tags_one_of(finding, {o.recipient for o in staying})]
    return ((TAG_HEADER, ", ".join(dict.fromkeys(rules))),) if rules else ()


def _tags_one_of(finding: Finding, recipients: set[str]) -> bool:
    return any(action is Action.TAG and address in recipients for address, action in finding.actions.items())


def _reply(reply: Reply, sentence: str, clause: str, support_id: str) -> Reply:
    """The reply with its full text; the sentence is shortened where the whole would be too long."""
    named = f"{_plain(clause)[:_CLAUSE_OCTETS]}; " if clause else ""
    tail = f" ({named}support id {_plain(support_id)})"
    room = TEXT_OCTETS - len(f"{reply.status} ") - len(tail)
    return replace(reply, text=_plain(sentence)[:room].rstrip() + tail)


def _plain(text: str) -> str:
    """ASCII in one line: accents go, and so do other letters; control characters are blanks."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in ascii_only).split())
