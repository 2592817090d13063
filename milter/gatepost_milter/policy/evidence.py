"""Owns evidence: what a condition found, in the words of the explanation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from gatepost_config.words import Evidence
from gatepost_milter.inspection.defects import DEFECTS
from gatepost_milter.policy.content_evidence import CONTENT_PIECES
from gatepost_milter.policy.standing import PLACE_LENGTH
from gatepost_milter.policy.texts import harmless

EVIDENCE_LIMIT = 50
"""Pieces of evidence that a finding keeps; the rest are counted."""


def evidence_of(items: Iterable[Any]) -> tuple[Evidence, ...]:
    """The things that a condition gave, as evidence; each kind, name and place once."""
    found: dict[tuple[str, str, str], Evidence] = {}
    for item in items:
        piece = _piece(item)
        found.setdefault((piece.kind, piece.name, piece.where), piece)
    return tuple(found.values())


def merged(groups: Iterable[Sequence[Evidence]]) -> tuple[Evidence, ...]:
    """The evidence of several recipients as one, each kind, name and place once, bounded."""
    found: dict[tuple[str, str, str], Evidence] = {}
    for group in groups:
        for piece in group:
            found.setdefault((piece.kind, piece.name, piece.where), piece)
    pieces = tuple(found.values())
    rest = len(pieces) - EVIDENCE_LIMIT
    if rest <= 0:
        return pieces
    more = Evidence(kind="more", name=f"{rest} more", where="", details={"count": rest})
    return (*pieces[:EVIDENCE_LIMIT], more)


def _piece(item: Any) -> Evidence:
    """One thing as evidence. Texts and blind recipients are private: a rule may have taken them from content."""
    if isinstance(item, Message):
        kind = item.DESCRIPTOR.name
        if kind in _PIECES:
            return _PIECES[kind](item)
    return Evidence(kind="text", name=harmless(str(item)), where="", private=True)


def _attachment(item: Any) -> Evidence:
    details: dict[str, str | int | bool] = {"size": item.size, "classes": " ".join(item.classes)}
    details |= {key: getattr(item, key) for key in ("claimed", "detected", "reason") if getattr(item, key)}
    where = harmless(item.path, length=PLACE_LENGTH)
    return Evidence(kind="attachment", name=harmless(item.name), where=where, details=details)


def _defect(item: Any) -> Evidence:
    details: dict[str, str | int | bool] = {"count": item.count}
    kind = DEFECTS.get(item.code)
    reason = f"{kind.meaning[:1].lower()}{kind.meaning[1:].rstrip('.')}" if kind is not None else item.detail
    if reason:
        details["reason"] = reason
    if item.detail:
        details["detail"] = item.detail
    return Evidence(kind="defect", name=item.code, where=item.where, details=details)


def _visible(item: Any) -> Evidence:
    return Evidence(kind="address", name=harmless(item.address), where=item.field)


def _household(item: Any) -> Evidence:
    """The addresses that stand in To and Cc; never the names of pupils or of parents."""
    name = harmless(", ".join(item.addresses))
    return Evidence(kind="household", name=name, where="To and Cc", details={"known": item.known})


def _blind(item: Any) -> Evidence:
    return Evidence(
        kind="blind",
        name=f"{item.recipients:,} addresses in Bcc",
        where="envelope",
        details={"recipients": item.recipients, "households": item.households},
    )


def _account(item: Any) -> Evidence:
    """A private account. One in Bcc is private: whoever the explanation is passed on to must not learn of it."""
    details = {key: getattr(item, key) for key in ("mailbox", "declared", "own")}
    where = item.where if item.where != "recipient" else "To and Cc" if item.visible else "envelope"
    return Evidence(
        kind="account", name=harmless(item.address), where=where, details=details, private=not item.visible
    )


def _likeness(item: Any) -> Evidence:
    shown = f"{item.display} <{item.address}>" if item.display else item.address
    details = {"mailboxes": " ".join(item.mailboxes), "declared": item.declared}
    return Evidence(kind="sender", name=harmless(shown), where="From", details=details)


def _recipient(item: Any) -> Evidence:
    return Evidence(kind="recipient", name=harmless(item.address), where="envelope", private=True)


def _contact(item: Any) -> Evidence:
    return Evidence(kind="contact", name=harmless(item.address), where="From", details={"listed": item.listed})


def _content(item: Any) -> Evidence:
    details = {"recipients": item.recipients, "earlier": item.earlier}
    return Evidence(kind="mass", name=f"{item.recipients:,} outside addresses", where="envelope", details=details)


def _leaver(item: Any) -> Evidence:
    where = item.where if item.where == "From" else "envelope"
    return Evidence(kind="leaver", name=harmless(item.address), where=where, details={"days": item.days})


def _block(item: Any) -> Evidence:
    reason = f"{harmless(item.reason, length=300)} (until {item.until}, by {item.by})"
    return Evidence(kind="block", name=harmless(item.about), where="envelope", details={"reason": reason})


def _sender(item: Any) -> Evidence:
    counts = {key: getattr(item, key) for key in ("sent_today", "private_today") if getattr(item, key)}
    return Evidence(kind="sender", name=harmless(item.mailbox), where="envelope", details=counts)


_PIECES = {
    "Attachment": _attachment,
    "Defect": _defect,
    "Visible": _visible,
    "Recipient": _recipient,
    "Household": _household,
    "Blind": _blind,
    "PrivateAccount": _account,
    "StaffLikeness": _likeness,
    "Correspondent": _contact,
    "Mass": _content,
    "Leaver": _leaver,
    "Block": _block,
    "Sender": _sender,
    **CONTENT_PIECES,
}
