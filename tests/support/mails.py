"""Owns the mails of the end-to-end stories, and what a story knows of a delivered message."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost_milter.demo.samples import letter, program, zipped


def clean(
    subject: str, *, text: str = "Nothing to see here.\n", attachments: Mapping[str, bytes] | None = None
) -> bytes:
    """A harmless letter from outside."""
    return letter(
        sender="someone@outside.example",
        to=("t.teacher@school.example",),
        subject=subject,
        text=text,
        attachments=attachments,
    )


def infected(subject: str, ballast: bytes = b"") -> bytes:
    """A letter with a program inside a zip, and beside it a file of ``ballast`` if there is any."""
    attachments = {"invoice.zip": zipped({"invoice.exe": program()})}
    if ballast:
        attachments["scan.dat"] = ballast
    return clean(subject, attachments=attachments)


def as_sent(delivered: bytes) -> bytes:
    """A delivered message without the Received fields that mail servers put above it."""
    while delivered.lower().startswith(b"received:"):
        _, _, delivered = delivered.partition(b"\r\n")
        while delivered[:1] in (b" ", b"\t"):
            _, _, delivered = delivered.partition(b"\r\n")
    return delivered
