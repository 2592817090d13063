"""Owns the closed list of defects: each way in which a message may bend the standards, and how much that matters.

A policy acts on severities, not on taste: what every mail program does wrong on an ordinary day is ``sloppy``;
what different mail clients show differently is ``ambiguous``; what hides content from us is ``uninspectable``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a defect means for judging: nothing, several readings, or content that nobody here has seen."""

    SLOPPY = "sloppy"
    AMBIGUOUS = "ambiguous"
    UNINSPECTABLE = "uninspectable"


@dataclass(frozen=True, slots=True)
class DefectKind:
    """One line of the table: how much a defect matters, and what it means in one sentence."""

    severity: Severity
    meaning: str


def _kinds(severity: Severity, **meanings: str) -> dict[str, DefectKind]:
    return {code.replace("_", "-"): DefectKind(severity, meaning) for code, meaning in meanings.items()}


DEFECTS: Mapping[str, DefectKind] = {
    **_kinds(
        Severity.SLOPPY,
        base64_undeclared="A file looks like base64 although no such encoding is declared.",
        boundary_long="A boundary is longer than the 70 characters of RFC 2046.",
        encoded_text_file="A file is written into the text as uuencode or yEnc.",
        field_repeated="A field that may appear once is repeated with the same meaning.",
        header_spacing="A field name is followed by spaces, or a header line has none of the usual form.",
        text_long="A text is longer than text rules read; only its beginning is judged by its words.",
        text_unread="The words of a document cannot be read, so text rules have not seen them.",
        multipart_unclosed="A multipart has no closing boundary.",
        parameter_odd="A parameter is quoted or written in a way that RFC 2045 does not allow.",
    ),
    **_kinds(
        Severity.AMBIGUOUS,
        base64_ambiguous="Base64 holds foreign characters or early padding that clients repair differently.",
        boundary_ambiguous="A multipart can be split by more than one boundary, with different parts.",
        boundary_crossed="An inner multipart goes on after the boundary of the outer one.",
        boundary_guessed="A multipart declares no usable boundary; its parts were found by guessing.",
        boundary_missing="A multipart declares no usable boundary, and no parts were found in it.",
        boundary_prefix="Lines that only begin with the boundary separate further parts for some clients.",
        encoded_multipart="A multipart or a message declares an encoding that some clients decode first.",
        encoding_conflict="A part can be read with more than one transfer encoding.",
        encoding_unknown="The transfer encoding is not one that the standards know.",
        header_blank="A line of spaces ends the header for some clients only.",
        header_control="A header holds NUL or bare CR, which clients read differently.",
        header_late="A part's header fields follow an empty line; some clients read them nevertheless.",
        header_junk="A line that is no header field ends the header for some clients only.",
        parts_outside="What looks like parts or files stands before the first or after the last boundary.",
        quoted_printable_broken="Quoted-printable holds escapes that clients repair differently.",
        type_conflict="A part declares more than one media type.",
        zip_hidden_members="A zip file holds members that its directory does not list; some unpackers show them.",
        names_conflict="A part has names that promise different kinds of file.",
    ),
    **_kinds(
        Severity.UNINSPECTABLE,
        clamd_unavailable="The virus scanner that the settings name has not looked at the message.",
        deadline="The time for looking into the message ran out.",
        inspection_limit="A container holds more than is opened: too deep, too many, too large, or too slow.",
        inspector_answer="A file broke the process that opened it.",
        inspector_crash="A file ended the process that opened it.",
        inspector_deadline="A file took too long to open.",
        inspector_known_killer="A file that has ended inspectors before was not opened again.",
        opaque="A file could not be read.",
        external_body="A part lies outside the message (message/external-body).",
        header_long="A header is too long to be read whole.",
        message_partial="The message is one piece of a longer one (message/partial).",
        too_deep="Parts lie too deep inside each other to be read.",
        too_many_parts="The message has more parts than are read.",
    ),
}


def severity(code: str) -> Severity:
    """How much a defect matters. A code that is not in the table counts as uninspectable: unclear is not clean."""
    kind = DEFECTS.get(code)
    return kind.severity if kind is not None else Severity.UNINSPECTABLE
