"""Owns the list of all families, in the order in which they are asked."""

from __future__ import annotations

from gatepost_milter.inspection.containers import (
    archived,
    cards,
    hypertext,
    mail,
    ole,
    pdf,
    richtext,
    squeezed,
    tnef,
    zipped,
)
from gatepost_milter.inspection.containers.walk import Family

ALL: tuple[Family, ...] = (
    zipped.FAMILY,
    squeezed.FAMILY,
    archived.FAMILY,
    archived.UNREAD,
    ole.FAMILY,
    mail.MAIL,
    mail.ENCODED,
    mail.SMIME,
    tnef.FAMILY,
    pdf.FAMILY,
    richtext.RTF,
    richtext.ONENOTE,
    hypertext.FAMILY,
    cards.CARDS,
    cards.APPLE,
)
