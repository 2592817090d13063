"""Transactions and inspections for tests of the policy, with everything that does not matter left to defaults."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parseaddr
from pathlib import Path as FilePath
from textwrap import dedent

from gatepost_config.directory import Directory
from gatepost_config.documents import load_policy
from gatepost_config.settings import School, Settings, TrustedRelay
from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Inspection, VisibleRecipient
from gatepost_milter.policy.policy import Policy, prepare
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Path, Transaction

DAY = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)

HEAD = """
name: test
title: A policy
version: "1"
roles:
  it-support: {title: IT Support, mailboxes: ["it.support@{domain}"]}
  dsl: {title: the Safeguarding Lead, mailboxes: ["dsl@{domain}"], safeguarding: true}
limits: {attachment_bytes: 100, word: secret}
lists: {friends: [friend.example]}
"""


def settings(*domains: str, relays: Sequence[TrustedRelay] = (), **others: object) -> Settings:
    """Settings of a school with these domains (one, if none is given)."""
    school = School(name="Park School", domains=list(domains or ("school.example",)))
    return Settings.model_validate(
        {"school": school, "trusted_relays": [each.model_dump() for each in relays], **others}
    )


def policy(folder: FilePath, rules: str, *, directory: Directory | None = None, **others: object) -> Policy:
    """A policy made of ``HEAD`` and these rules (and whatever else the text holds)."""
    path = folder / "policy.yaml"
    path.write_text(HEAD + dedent(rules), encoding="utf-8")
    return prepare(load_policy(path), settings(**others), directory=directory)  # type: ignore[arg-type]


def transaction(
    *recipients: str,
    login: str = "",
    sender: str = "someone@outside.example",
    client: Client | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    at: datetime = DAY,
) -> Transaction:
    """A transaction for these recipients; from outside unless there is a login."""
    return Transaction(
        key="test",
        client=client or Client(address="192.0.2.1", login=login),
        sender=Path(address=sender, wire=f"<{sender}>"),
        recipients=tuple(
            Path(address=each, wire=f"<{each}>") for each in (recipients or ("teacher@school.example",))
        ),
        content=Spool.of(b""),
        headers=headers,
        received_at=at,
    )


def attachment(name: str, *classes: FileClass, size: int = 10, tier: str = "", reason: str = "") -> Attachment:
    """A file of these classes, as a MIME part of its own."""
    return Attachment(
        path=f"part 2 › {name}",
        part="2",
        name=name,
        names=(name,),
        size=size,
        classes=frozenset(classes),
        tier=tier,
        reason=reason,
    )


def inspection(
    *attachments: Attachment,
    defects: Sequence[str] = (),
    visible: Sequence[str] = (),
    copies: Sequence[str] = (),
    subject: str = "",
    author: str = "",
    reply_to: str = "",
    automatic: bool = False,
) -> Inspection:
    """What inspection found. ``visible`` stand in To, ``copies`` in Cc; ``author`` may have a name in front."""
    return Inspection(
        size=1000,
        subject=subject,
        attachments=attachments,
        defects=tuple(Defect(code=code) for code in defects),
        from_=_named("From", author),
        reply_to=_named("Reply-To", reply_to),
        recipients=tuple(
            VisibleRecipient(field=field, address=address)
            for field, addresses in (("To", visible), ("Cc", copies))
            for address in addresses
        ),
        automatic=automatic,
    )


def _named(field: str, text: str) -> tuple[VisibleRecipient, ...]:
    display, address = parseaddr(text)
    return (VisibleRecipient(field=field, address=address, display=display),) if address else ()
