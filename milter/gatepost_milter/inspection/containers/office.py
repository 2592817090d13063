"""Owns documents that are zip files: macros, templates and objects from elsewhere, in OOXML and OpenDocument.

A signed letter, a chart, an equation or a hyperlink is an ordinary document and stays plain.
"""

from __future__ import annotations

import re

from gatepost_milter.inspection.containers.walk import File
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import FileClass

_READ = 4 * 1024 * 1024
_VBA_NAME = re.compile(r"(?:^|/)vba(?:project|data)[^/]*\.bin\Z", re.IGNORECASE)
_VBA_TYPE = re.compile(rb"application/vnd\.ms-office\.vbaProject|relationships/vbaProject", re.IGNORECASE)
_XLM_NAME = re.compile(r"(?:^|/)xl/(?:macrosheets|intlmacrosheets)/", re.IGNORECASE)
_XLM_TYPE = re.compile(rb"vnd\.ms-excel\.(?:intl)?macrosheet\+xml|vnd\.ms-excel\.macrosheet\b", re.IGNORECASE)
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\b[^>]{0,4000}>", re.IGNORECASE)
_EXTERNAL = re.compile(rb"TargetMode\s*=\s*[\"']External", re.IGNORECASE)
_LOADS = re.compile(
    rb"Type\s*=\s*[\"'][^\"']*/(attachedTemplate|oleObject|frame|subDocument|externalLinkPath)[\"']", re.IGNORECASE
)
_FROM_THE_WEB = re.compile(
    rb"Target\s*=\s*[\"']\s*(?:mhtml:|https?:|ftp:|\\\\[^\"'\\]+@|[^\"']*!x-usc:)", re.IGNORECASE
)
_FIELD = re.compile(rb"<w:instrText\b[^>]{0,200}>([^<]{0,2000})</w:instrText>|w:instr\s*=\s*[\"']([^\"']{0,2000})")
_DDE_FIELD = re.compile(rb"(?:\A|\W)DDE(?:AUTO)?\s", re.IGNORECASE)
_DDE_LINK = re.compile(rb"<(?:\w+:)?ddeLink\b[^>]{0,500}ddeService\s*=", re.IGNORECASE)
_ODF_CODE = re.compile(r"(?:^|/)(?:Basic/[^/]+/(?!script-l|dialog-l)[^/]+\.x(?:ml|ba)|Scripts/[^/]+/.+)\Z")


def look(document: File, name: str, data: Buffer, member: File | None) -> None:
    """Mark ``document`` for what its member ``name`` means to it."""
    name = name.replace("\\", "/")
    if _VBA_NAME.search(name) or (member and FileClass.MACRO in member.classes):
        document.mark(FileClass.MACRO, "it holds macros (VBA)")
    if _XLM_NAME.search(name):
        document.mark(FileClass.MACRO, "it holds an Excel 4 macro sheet")
    if _ODF_CODE.search(name):
        document.mark(FileClass.MACRO, "it holds macros")
    lower = name.lower()
    if lower.endswith((".xml", ".rels")):
        _look_at_xml(document, lower, bytes(data[:_READ]))


def is_markup(name: str, data: Buffer) -> bool:
    """Whether a member is a page of the document's own markup, by name and content."""
    head = bytes(data[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")
    return name.lower().endswith((".xml", ".rels", ".vml")) and head.startswith((b"<?xml", b"<"))


def _look_at_xml(document: File, name: str, text: bytes) -> None:
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", "replace").encode("utf-8")
    if name.endswith(("[content_types].xml", ".rels")):
        if _VBA_TYPE.search(text):
            document.mark(FileClass.MACRO, "it holds macros (VBA)")
        if _XLM_TYPE.search(text):
            document.mark(FileClass.MACRO, "it holds an Excel 4 macro sheet")
    if name.endswith(".rels"):
        for relation in _RELATION.finditer(text):
            loads = _LOADS.search(relation[0])
            if loads and _EXTERNAL.search(relation[0]) and _FROM_THE_WEB.search(relation[0]):
                what = "template" if loads[1].lower() == b"attachedtemplate" else "object"
                document.mark(FileClass.MACRO, f"it loads a {what} from the web when opened")
    if b"instr" in text:
        fields = b"".join(found[1] or found[2] or b"" for found in _FIELD.finditer(text))
        if _DDE_FIELD.search(fields):
            document.mark(FileClass.MACRO, "it starts a program when opened (DDE)")
    if "externallinks/" in name and _DDE_LINK.search(text):
        document.mark(FileClass.MACRO, "it is linked to a program (DDE)")
    if name == "meta-inf/manifest.xml" and b"encryption-data" in text:
        document.mark(FileClass.ENCRYPTED, "it is protected by a password")
