"""Owns the demo's sample mails: one of each kind that a school meets, and what the default policy makes of it.

The programs in here cannot run: they are headers that say “Windows program” with nothing behind them.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum

DOMAIN = "school.example"
TEACHER = f"t.teacher@{DOMAIN}"
OFFICE = f"office@{DOMAIN}"
HEAD = f"head@{DOMAIN}"
IT_SUPPORT = f"it.support@{DOMAIN}"
TECHNICIAN = f"technician@{DOMAIN}"
LOGINS = (TEACHER, OFFICE, HEAD, IT_SUPPORT, TECHNICIAN)
PARENT = "pat@family.example"
SUPPLIER = "sales@shop.example"
STRANGER = "who@outside.example"

LIMIT = 10 * 1024 * 1024
"""Decoded bytes of an attachment that the policies still allow: 10 MiB."""

EXEMPTION = f"""
exemptions:
  - who: {TECHNICIAN}
    party: recipient
    rule: executable-attachment
    until: 2999-12-31
    approved_by: the demo
    reason: One recipient may have what another may not.
"""
"""What the demo adds to the default policy, so that one mail can show two fates."""

_DATE = "Mon, 02 Nov 2026 08:30:00 +0000"


class Fate(StrEnum):
    """What becomes of a sample for a recipient: it arrives, it is held, or its sender is told that it is refused.

    ``lost`` is none of these, and never right.
    """

    DELIVERED = "delivered"
    HELD = "held"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One mail and what should become of it for each recipient. An empty ``login`` is mail from outside.

    ``notices`` are the mailboxes that should be told about it.
    """

    name: str
    title: str
    sender: str
    login: str
    subject: str
    content: bytes
    fates: Mapping[str, Fate]
    notices: tuple[str, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """The envelope recipients."""
        return tuple(self.fates)


def program() -> bytes:
    """What libmagic takes for a Windows program: DOS header, PE signature, a machine, no code. 1 KiB."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBB", 0x20B, 14, 0) + bytes(64) + struct.pack("<HH", 2, 0) + bytes(168)
    return (dos + coff + optional).ljust(1024, b"\0")


def photo(size: int) -> bytes:
    """A JPEG picture of exactly ``size`` bytes."""
    start = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    return start + bytes(size - len(start) - 2) + b"\xff\xd9"


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 2, 8, 30, 0)), data)
    return packed.getvalue()


def letter(
    *,
    sender: str,
    to: tuple[str, ...],
    subject: str,
    text: str,
    attachments: Mapping[str, bytes] | None = None,
) -> bytes:
    """A plain mail with files, in wire form. The boundary and the date are fixed: a sample is always the same."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = _DATE
    message["Message-ID"] = f"<{subject.lower().replace(' ', '-').encode().hex()[:24]}@{sender.partition('@')[2]}>"
    message.set_content(text)
    for name, data in (attachments or {}).items():
        kind = "jpeg" if name.endswith(".jpg") else "octet-stream"
        message.add_attachment(
            data, maintype="image" if kind == "jpeg" else "application", subtype=kind, filename=name
        )
    if message.is_multipart():
        message.set_boundary("gatepost-demo-sample")
    return message.as_bytes()


def _mail(
    name: str,
    title: str,
    *,
    sender: str,
    fates: Mapping[str, Fate],
    text: str,
    subject: str,
    attachments: Mapping[str, bytes] | None = None,
    notices: tuple[str, ...] = (),
) -> Sample:
    return Sample(
        name=name,
        title=title,
        sender=sender,
        login=sender if sender in LOGINS else "",
        subject=subject,
        content=letter(sender=sender, to=tuple(fates), subject=subject, text=text, attachments=attachments),
        fates=fates,
        notices=notices,
    )


def samples() -> tuple[Sample, ...]:
    """Every sample, in the order in which the demo sends them."""
    return (*_letters(), *_programs(), *_mixed(), *_sizes())


def _letters() -> tuple[Sample, ...]:
    return (
        _mail(
            "clean-letter",
            "a parent's letter",
            sender=PARENT,
            fates={TEACHER: Fate.DELIVERED},
            subject="Music lessons",
            text="Dear Ms Teacher,\n\nis there still a place in the wind band?\n\nKind regards\nPat Parent\n",
        ),
        _mail(
            "colleague-with-photo",
            "a photo for a colleague",
            sender=TEACHER,
            fates={HEAD: Fate.DELIVERED},
            subject="The new stage",
            text="Here it is, in daylight.\n",
            attachments={"stage.jpg": photo(40_000)},
        ),
    )


def _programs() -> tuple[Sample, ...]:
    return (
        _mail(
            "program",
            "a program from outside",
            sender=SUPPLIER,
            fates={TEACHER: Fate.HELD},
            subject="Your trial version",
            text="Please start the attached file.\n",
            attachments={"setup.exe": program()},
            notices=(TEACHER, IT_SUPPORT),
        ),
        _mail(
            "renamed",
            "a program that calls itself a photo",
            sender=STRANGER,
            fates={HEAD: Fate.HELD},
            subject="Photo of the accident",
            text="See the photo.\n",
            attachments={"photo.jpg": program()},
            notices=(HEAD, IT_SUPPORT),
        ),
        _mail(
            "zipped",
            "a program inside a zip, going out",
            sender=TEACHER,
            fates={PARENT: Fate.HELD},
            subject="Homework helper",
            text="The helper for the holidays is in the archive.\n",
            attachments={"helper.zip": zipped({"read me.txt": b"Hello.\n", "helper.exe": program()})},
            notices=(TEACHER, IT_SUPPORT),
        ),
        _mail(
            "nested",
            "a program in a zip in a zip",
            sender=STRANGER,
            fates={OFFICE: Fate.HELD, HEAD: Fate.HELD},
            subject="Invoice 4711",
            text="The invoice is attached.\n",
            attachments={"invoice.zip": zipped({"invoice.pdf.zip": zipped({"invoice.pdf.scr": program()})})},
            notices=(OFFICE, HEAD, IT_SUPPORT),
        ),
    )


def _mixed() -> tuple[Sample, ...]:
    return (
        _mail(
            "mixed",
            "a program for two, of whom one may have it",
            sender=SUPPLIER,
            fates={TEACHER: Fate.HELD, TECHNICIAN: Fate.DELIVERED},
            subject="The new driver",
            text="The driver for the projector.\n",
            attachments={"driver.exe": program()},
            notices=(TEACHER, IT_SUPPORT),
        ),
        _mail(
            "between-colleagues",
            "a renamed program, sent on to a colleague",
            sender=OFFICE,
            fates={HEAD: Fate.HELD},
            subject="Is this safe",
            text="Somebody sent me this.\n",
            attachments={"letter.pdf": program()},
            notices=(OFFICE, HEAD, IT_SUPPORT),
        ),
    )


def _sizes() -> tuple[Sample, ...]:
    return (
        _mail(
            "ten-mib",
            "an attachment of exactly 10 MiB, going out",
            sender=OFFICE,
            fates={PARENT: Fate.DELIVERED},
            subject="Prospectus",
            text="The prospectus, as you asked.\n",
            attachments={"prospectus.jpg": photo(LIMIT)},
        ),
        _mail(
            "one-byte-more",
            "an attachment of 10 MiB and one byte, going out",
            sender=OFFICE,
            fates={PARENT: Fate.REFUSED},
            subject="Prospectus in colour",
            text="The prospectus, in colour.\n",
            attachments={"prospectus.jpg": photo(LIMIT + 1)},
        ),
    )
