"""Owns the harmless corpus: every message, and each remark that may be made on it, with the reason."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from support.corpus import harmless_files as files
from support.corpus import harmless_office as documents
from support.corpus import office, packers
from support.corpus.harmless_lessons import LESSONS
from support.corpus.harmless_letters import LETTERS
from support.corpus.harmless_mail import CLIENTS, File, forwarded, gmail, outlook
from support.files import compound

_SHAPES = 4  # clients that send each file


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """A message that must reach its reader.

    ``remarks`` holds what may be said of it all the same (rules that only tag, classes, defects) and why.
    """

    id: str
    build: Callable[[], bytes]
    remarks: Mapping[str, str] = field(default_factory=dict)


_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_OCTETS = "application/octet-stream"

FILES: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
    ("letter.docx", _DOCX, documents.word),
    ("long letter.docx", _DOCX, partial(documents.word, long=True)),
    ("letter with table.docx", _DOCX, partial(documents.word, table=True)),
    ("poster.docx", _DOCX, partial(documents.word, image=True)),
    ("comments.docx", _DOCX, partial(documents.word, further=True)),
    ("equations.docx", _DOCX, documents.word_with_equation),
    ("budget in a letter.docx", _DOCX, documents.word_with_sheet),
    ("contract signed.docx", _DOCX, documents.word_signed),
    ("links.docx", _DOCX, documents.word_with_links),
    ("letter with list.docx", _DOCX, documents.word_with_package),
    ("marks.xlsx", _XLSX, documents.workbook),
    ("marks with chart.xlsx", _XLSX, partial(documents.workbook, chart=True)),
    ("all marks.xlsx", _XLSX, partial(documents.workbook, large=True)),
    ("timetable.xlsx", _XLSX, documents.workbook_written),
    ("assembly.pptx", _PPTX, documents.slides),
    ("film talk.pptx", _PPTX, documents.slides_with_film),
    ("minutes.odt", "application/vnd.oasis.opendocument.text", documents.open_text),
    ("minutes of office.odt", "application/vnd.oasis.opendocument.text", documents.open_text_of_office),
    ("marks.ods", "application/vnd.oasis.opendocument.spreadsheet", documents.open_sheet),
    ("letter.doc", "application/msword", documents.old_document),
    ("letter with photo.doc", "application/msword", documents.old_document_with_photo),
    ("marks.xls", "application/vnd.ms-excel", office.old_excel),
    ("talk.ppt", "application/vnd.ms-powerpoint", office.old_slides),
    ("table.xls", "application/vnd.ms-excel", partial(files.table, "\t")),
    ("page.xls", "application/vnd.ms-excel", files.page),
    ("map.pdf", "application/pdf", files.pdf_plain),
    ("consent form.pdf", "application/pdf", files.pdf_form),
    ("lesson.pdf", "application/pdf", files.pdf_linked),
    ("scan.pdf", "application/pdf", files.pdf_scan),
    ("invoice.pdf", "application/pdf", files.pdf_with_invoice),
    ("handbook.pdf", "application/pdf", files.pdf_actions),
    ("photo.jpg", "image/jpeg", files.photo),
    ("MVIMG_20261102.jpg", "image/jpeg", files.motion_photo),
    ("IMG_0001.HEIC", "image/heic", files.heic),
    ("logo.png", "image/png", partial(files.picture, "PNG")),
    ("logo.gif", "image/gif", partial(files.picture, "GIF")),
    ("logo.bmp", "image/bmp", partial(files.picture, "BMP")),
    ("fax.tif", "image/tiff", partial(files.picture, "TIFF")),
    ("picture.webp", "image/webp", partial(files.picture, "WEBP")),
    ("favicon.ico", "image/x-icon", partial(files.picture, "ICO")),
    ("crest.svg", "image/svg+xml", files.drawing),
    ("film.mp4", "video/mp4", files.film),
    ("message.wav", "audio/wav", files.sound),
    ("song.mp3", "audio/mpeg", files.mp3),
    ("notes.txt", "text/plain", files.text),
    ("notes utf16.txt", "text/plain", partial(files.text, 10, encoding="utf-16")),
    ("marks.csv", "text/csv", files.table),
    ("marks.tsv", "text/tab-separated-values", partial(files.table, "\t")),
    ("CTF_8012345_001.xml", "text/xml", files.xml),
    ("settings.json", "application/json", files.settings),
    ("invite.ics", "text/calendar", files.calendar),
    ("alice.vcf", "text/vcard", files.card),
    ("newsletter.html", "text/html", files.page),
    ("letter.rtf", "application/rtf", files.rtf),
    ("chart.rtf", "application/rtf", files.rtf_with_chart),
    ("crest.cdr", _OCTETS, files.corel),
    ("plan.mpp", "application/vnd.ms-project", files.project),
    ("poster.pub", "application/x-mspublisher", files.publisher),
    ("drawing.vsd", "application/vnd.visio", files.visio),
    ("lesson.notebook", _OCTETS, files.notebook),
    ("School.ttf", "font/ttf", files.font),
    ("book.epub", "application/epub+zip", files.book),
    ("photos.zip", "application/zip", files.photos),
    ("Year 7.zip", "application/x-zip-compressed", documents.folder),
    ("notes.7z", "application/x-7z-compressed", files.seven),
    ("notes.tar.gz", "application/gzip", files.tarball),
    ("google.com!school.example!1!2.xml.gz", "application/gzip", files.report_packed),
    ("google.com!school.example!1!2.zip", "application/zip", files.report_zipped),
    ("winmail.dat", "application/ms-tnef", files.winmail),
    ("letter.msg", "application/vnd.ms-outlook", documents.outlook),
    ("lesson.one", "application/onenote", documents.notes_section),
    ("minutes.eml", "message/rfc822", files.mailbox),
    ("sims.dat", _OCTETS, files.data),
    ("key.dat", _OCTETS, files.noise),
    ("ledger.dat", _OCTETS, files.journal),
    ("school.pem", "application/x-x509-ca-cert", files.certificate),
    ("key.asc", "application/pgp-keys", files.key_ring),
    ("poster.psd", "image/vnd.adobe.photoshop", files.psd),
    ("marks.sqlite", "application/vnd.sqlite3", files.database_export),
    ("track.gpx", "application/gpx+xml", files.xml),
    ("style.css", "text/css", lambda: b"body { color: #123; }\r\np > a { margin: 0 }\r\n" * 20),
    ("formula.tex", "application/x-tex", lambda: b"\\documentclass{article}\n\\begin{document}\nx^2\n\\end{document}\n"),
    ("readme.md", "text/markdown", lambda: b"# Club\n\n```sh\n$ python3 game.py\n```\n\n* one\n"),
    ("subtitles.srt", _OCTETS, lambda: b"1\r\n00:00:01,000 --> 00:00:02,000\r\nHello\r\n\r\n" * 9),
    ("music.mid", "audio/midi", lambda: b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0"),
    ("model.stl", "model/stl", lambda: b"solid crest\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nendloop\nendfacet\nendsolid\n"),
    ("game.sb3", _OCTETS, lambda: packers.zipped({"project.json": b'{"targets":[]}', "a.svg": files.drawing(), "b.wav": files.sound()})),
    ("empty.txt", "text/plain", lambda: b""),
    ("saved page.html", "text/html", files.saved_page),
    ("securedoc.html", "text/html", files.secure_wrapper),
    ("agenda.ics", "text/calendar", files.calendar_with_file),
    ("._letter.docx", _OCTETS, files.apple_double),
    ("marks of old.csv", "text/csv", files.sylk),
    ("image001.emz", _OCTETS, lambda: gzip.compress(b"\x01\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF" + bytes(200), mtime=0)),
    ("oledata.mso", "application/x-mso", lambda: b"ActiveMime\0\0\x01\xf0\x04\0\0\0\xff\xff\xff\xff\0\0\x07\xf0" + bytes(22) + zlib.compress(compound({"Contents": bytes(600)}))),
)  # fmt: skip

NAMES = (
    "Year 7 [trip] (final) v2.1.docx", "letter to parents 02.11.2026.docx", "Re: trip & lunch; costs, 50% off.docx", "M. O'Brien's report.docx",
    "Elternbrief für Schüler.docx", "Письмо родителям.docx", "学校からのお知らせ.docx", "رسالة.docx", "a" * 180 + ".docx", "no ending",
    ".docx", "letter..docx", "letter.docx.docx", "letter.pdf.docx", "UPPER.DOCX", "tabs and   spaces.docx", "100%25 sure.docx", "C# and C++ course.docx",
    "report.com final.docx", "Copy of Copy of letter (1).docx", "{draft} letter.docx", "letter – “final”.docx", "emoji 🎉.docx", "app.js explained.docx",
    "letter.docx ", "www.example.com.docx", "2026-11-02T09.00.00.docx", "exe.docx", "setup.exe instructions.docx", "#1 plan @ school = good!.docx",
)  # fmt: skip

_REMARKS: Mapping[str, Mapping[str, str]] = {
    "minutes.eml": {
        "encoded-multipart": "RFC 2046 forbids an encoding for a message; programs that attach files use one"
    },
    "sloppy-encoding": {"encoding-unknown": "an encoding called utf-8 is not one"},
}


def _sent(client: Callable[[File], bytes], name: str, kind: str, content: bytes) -> bytes:
    return client(File(name=name, kind=kind, content=content))


def _from(client: Callable[[File], bytes], name: str, kind: str, content: Callable[[], bytes]) -> bytes:
    return _sent(client, name, kind, content())


def _files() -> list[Harmless]:
    """Each file as four clients would send it, in turn, so that every client sends many files."""
    made = []
    for number, (name, kind, content) in enumerate(FILES):
        once = cache(content)  # a document takes longer to make than to inspect
        for step in range(_SHAPES):
            client = CLIENTS[(number + 3 * step) % len(CLIENTS)]
            made.append(
                Harmless(
                    id=f"{client.__name__}-{name.replace(' ', '-')}",
                    build=partial(_from, client, name, kind, once),
                    remarks=_REMARKS.get(name, {}),
                )
            )
    return made


def _lessons() -> list[Harmless]:
    return [
        Harmless(
            id=f"lesson-{name.replace(' ', '-')}",
            build=partial(_sent, CLIENTS[number % len(CLIENTS)], name, _OCTETS, content),
        )
        for number, (name, content) in enumerate(LESSONS)
    ]


def _names() -> list[Harmless]:
    once = cache(documents.word)
    return [
        Harmless(
            id=f"name-{number}",
            build=partial(_from, CLIENTS[number % len(CLIENTS)], name, _DOCX, once),
            remarks=_REMARKS.get(name, {}),
        )
        for number, name in enumerate(NAMES)
    ]


def _letters() -> list[Harmless]:
    return [Harmless(id=name, build=build, remarks=_REMARKS.get(name, {})) for name, build in LETTERS]


def _special() -> list[Harmless]:
    encrypted = {"encrypted-attachment": "nobody can look inside; it is marked so", "encrypted": "it is"}
    homework = {"script": "Python is a script of tier T2, which neither policy holds"}
    table: tuple[tuple[str, str, Callable[[], bytes], dict[str, str]], ...] = (
        ("report for www.example.com", "text/plain", files.text, {"name-of-a-program": "a text that is named like a program is marked"}),
        ("Homework.py", "text/x-python", files.homework, homework),
        ("exam papers.7z", _OCTETS, partial(packers.seven_zip, "paper.pdf", files.pdf_plain(), encrypted=True), encrypted),
        ("exam papers sealed.7z", _OCTETS, partial(packers.seven_zip, "paper.pdf", files.pdf_plain(), headers_encrypted=True), encrypted),
        ("plan.docx", _DOCX, office.encrypted_office, encrypted),
        ("homework.zip", "application/zip", lambda: packers.zipped({"game/main.py": files.homework(), "game/read me.txt": b"hi"}), homework),
    )  # fmt: skip
    return [
        Harmless(id=f"{client.__name__}-{name.replace(' ', '-')}", build=partial(_from, client, name, kind, content), remarks=why)
        for name, kind, content, why in table
        for client in (outlook, gmail, forwarded)
    ]  # fmt: skip


MESSAGES: tuple[Harmless, ...] = (*_files(), *_lessons(), *_names(), *_letters(), *_special())
