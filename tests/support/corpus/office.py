"""Owns documents of the corpora that are written by hand: Office files old and new, PDF, RTF, OneNote, Outlook."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping

from support.corpus.packers import zipped
from support.files import compound, packaged, vba_module

_TYPES = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/><Override PartName="/%s" ContentType="%s"/></Types>'
_RELS = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">%s</Relationships>'
_OFFICE = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_MAIN = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_SHEET = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
_SLIDES = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"


def relation(kind: bytes, target: bytes, *, outside: bool = False, number: int = 1) -> bytes:
    """One relationship of an Office Open XML part."""
    mode = b' TargetMode="External"' if outside else b""
    return b'<Relationship Id="rId%d" Type="%s" Target="%s"%s/>' % (number, _OFFICE + kind, target, mode)


def relations(*each: bytes) -> bytes:
    """A relationships part."""
    return _RELS % b"".join(each)


def docx(
    members: Mapping[str, bytes] | None = None, *, kind: bytes = _MAIN, main: str = "word/document.xml"
) -> bytes:
    """A Word document (or another, by ``kind`` and ``main``) with further parts."""
    body = b'<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>Dear parents</w:t></w:r></w:p></w:body></w:document>'
    return zipped(
        {
            "[Content_Types].xml": _TYPES % (main.encode(), kind),
            "_rels/.rels": relations(relation(b"officeDocument", main.encode())),
            main: body,
            **(members or {}),
        }
    )


def xlsx(members: Mapping[str, bytes] | None = None) -> bytes:
    """An Excel workbook with further parts."""
    return docx(members, kind=_SHEET, main="xl/workbook.xml")


def pptx(members: Mapping[str, bytes] | None = None) -> bytes:
    """A PowerPoint presentation with further parts."""
    return docx(members, kind=_SLIDES, main="ppt/presentation.xml")


def vba_streams(source: bytes, root: str = "") -> dict[str, bytes]:
    """The streams of a VBA project with one module, below ``root``."""
    folder = f"{root}/" if root else ""
    return {
        f"{folder}VBA/dir": b"\x01\x0a\xb0" + b"\0" * 10,
        f"{folder}VBA/_VBA_PROJECT": b"\xcc\x61\xff\xff" + bytes(3),
        f"{folder}VBA/ThisDocument": vba_module(source),
        f"{folder}PROJECT": b'ID="{0}"\r\nDocument=ThisDocument/&H00000000\r\n',
    }


def vba_project(source: bytes) -> bytes:
    """A vbaProject.bin."""
    return compound(vba_streams(source))


def old_word(further: Mapping[str, bytes] | None = None) -> bytes:
    """A Word 97 document: its main streams, and further ones."""
    head = b"\xec\xa5\xc1\0" + bytes(28) + bytes(4096)
    return compound(
        {"WordDocument": head, "1Table": bytes(4096), "\x05SummaryInformation": bytes(300), **(further or {})}
    )


def record(kind: int, body: bytes) -> bytes:
    """A record of Excel's old format (MS-XLS)."""
    return struct.pack("<HH", kind, len(body)) + body


def old_excel(
    *, macro_sheet: bool = False, further: Mapping[str, bytes] | None = None, lead: bytes = b""
) -> bytes:
    """An Excel 97 workbook; with a macro sheet (Excel 4) of its own if asked."""
    begin = record(0x809, struct.pack("<HHHHII", 0x600, 5, 0x0DBB, 0x07CC, 0, 6))
    sheet = record(
        0x85, struct.pack("<IBBBB", 2000, 2 if macro_sheet else 0, 1 if macro_sheet else 0, 6, 0) + b"Macro1"
    )
    stream = begin + lead + sheet + record(0x0A, b"")
    inner = record(0x809, struct.pack("<HHHHII", 0x600, 0x40 if macro_sheet else 0x10, 0, 0, 0, 6)) + record(
        0x0A, b""
    )
    return compound({"Workbook": (stream.ljust(2000, b"\0") + inner).ljust(4608, b"\0"), **(further or {})})


def old_slides(further: Mapping[str, bytes] | None = None, stream: bytes = b"") -> bytes:
    """A PowerPoint 97 presentation."""
    return compound(
        {
            "PowerPoint Document": (struct.pack("<HHI", 15, 1000, 4088) + stream).ljust(5000, b"\0"),
            "Current User": bytes(60),
            **(further or {}),
        }
    )


def slides_storage(content: bytes) -> bytes:
    """A record of PowerPoint that holds an embedded storage, compressed (MS-PPT ExOleObjStg)."""
    packed = zlib.compress(content)
    return struct.pack("<HHII", 0x10, 0x1011, len(packed) + 4, len(content)) + packed


def package(name: str, content: bytes) -> bytes:
    """An OLE object of the kind Package."""
    return compound({"\x01Ole10Native": packaged(name, content), "\x03ObjInfo": bytes(6)})


def encrypted_office() -> bytes:
    """An Office file with a password (MS-OFFCRYPTO)."""
    info = struct.pack("<HHI", 4, 4, 0x40) + b'<?xml version="1.0"?><encryption/>'
    return compound({"EncryptionInfo": info, "EncryptedPackage": bytes(range(256)) * 40})


def outlook_message(name: str, content: bytes, *, embedded: Mapping[str, bytes] | None = None) -> bytes:
    """An Outlook .msg with one attachment; ``embedded`` holds the streams of an embedded message instead."""
    streams = {
        "__properties_version1.0": bytes(32),
        "__nameid_version1.0/__substg1.0_00020102": bytes(16),
        "__substg1.0_001A001F": "IPM.Note".encode("utf-16-le"),
        "__substg1.0_0037001F": "Trip on Friday".encode("utf-16-le"),
        "__substg1.0_1000001F": "Please see the attached file.".encode("utf-16-le"),
        "__attach_version1.0_#00000000/__properties_version1.0": bytes(8),
        "__attach_version1.0_#00000000/__substg1.0_3707001F": name.encode("utf-16-le"),
        "__attach_version1.0_#00000000/__substg1.0_3704001F": name.encode("utf-16-le"),
    }
    if embedded is None:
        streams["__attach_version1.0_#00000000/__substg1.0_37010102"] = content
    for path, stream in (embedded or {}).items():
        streams[f"__attach_version1.0_#00000000/__substg1.0_3701000D/{path}"] = stream
    return compound(streams)


def outlook_streams(name: str, content: bytes) -> dict[str, bytes]:
    """The streams of a message with one attachment, to be embedded in another."""
    return {
        "__properties_version1.0": bytes(24),
        "__substg1.0_0037001F": "Inner".encode("utf-16-le"),
        "__attach_version1.0_#00000000/__properties_version1.0": bytes(8),
        "__attach_version1.0_#00000000/__substg1.0_3707001F": name.encode("utf-16-le"),
        "__attach_version1.0_#00000000/__substg1.0_37010102": content,
    }


def pdf(*objects: bytes, catalogue: bytes = b"", trailer: bytes = b"") -> bytes:
    """A PDF of one page and further objects, which are numbered from 4."""
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R " + catalogue + b" >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
        *objects,
    ]
    written, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(bodies) + 1
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
    return written + end % (
        count, table, count, trailer, len(written),
    )  # fmt: skip


def pdf_stream(content: bytes, fields: bytes = b"", *, deflate: bool = True) -> bytes:
    """A stream object of a PDF."""
    body = zlib.compress(content) if deflate else content
    kind = b"/Filter /FlateDecode " if deflate else b""
    return b"<< %s%s/Length %d >>\nstream\n%s\nendstream" % (kind, fields, len(body), body)


def pdf_with_file(name: bytes, content: bytes) -> bytes:
    """A PDF with an attached file."""
    return pdf(
        pdf_stream(content, b"/Type /EmbeddedFile "),
        b"<< /Type /Filespec /F (%s) /UF (%s) /EF << /F 4 0 R >> >>" % (name, name),
        catalogue=b"/Names << /EmbeddedFiles << /Names [(a) 5 0 R] >> >>",
    )


def pdf_in_object_stream(inner: bytes) -> bytes:
    """A PDF whose fourth object is compressed and holds ``inner`` as object 10."""
    body = b"10 0 " + inner
    return pdf(pdf_stream(body, b"/Type /ObjStm /N 1 /First 5 "), catalogue=b"/OpenAction 10 0 R")


_ONE_FILE = uuid.UUID("7B5C52E4-D88C-4DA7-AEB1-5378D02996D3").bytes_le
_ONE_DATA = uuid.UUID("BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC").bytes_le
_ONE_END = uuid.UUID("71FBA722-0F79-4A0B-BB13-899256426B24").bytes_le


def onenote(*files: bytes) -> bytes:
    """A OneNote section with embedded files (MS-ONESTORE FileDataStoreObject)."""
    written = _ONE_FILE + bytes(1008)
    for content in files:
        written += (
            _ONE_DATA + struct.pack("<QIQ", len(content), 0, 0) + content + bytes(-len(content) % 8) + _ONE_END
        )
    return written


def rtf(body: bytes) -> bytes:
    """An RTF document around ``body``."""
    return b"{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}\r\nDear parents,\\par\r\n" + body + b"}\r\n"


def ole1(kind: bytes, content: bytes) -> bytes:
    """An OLE 1 object as RTF holds it (MS-OLEDS)."""
    name = kind + b"\0"
    head = struct.pack("<III", 0x501, 2, len(name)) + name + bytes(8)
    return head + struct.pack("<I", len(content)) + content


def rtf_object(kind: bytes, content: bytes, *, width: int = 128, words: bytes = b"\\objemb") -> bytes:
    """An object group of RTF, its data in hexadecimal lines of ``width``."""
    letters = ole1(kind, content).hex().encode()
    lines = b"\r\n".join(letters[at : at + width] for at in range(0, len(letters), width))
    return b"{\\object%s{\\*\\objclass %s}{\\*\\objdata %s}}" % (words, kind, lines)
