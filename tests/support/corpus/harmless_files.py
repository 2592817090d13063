"""Owns the harmless files of the corpora, made with the libraries that schools' own programs use, and by hand."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import random
import sqlite3
import struct
import zlib
from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding
from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas
from support.corpus import office, packers, signing
from support.files import compound

WORDS = (
    "Dear parents, the trip on Friday leaves at nine. Please bring a packed lunch and a coat. "
    "Year 7 will meet in the hall; the coach is booked from Example Travel (www.example.com). "
    "If you have questions, ask the office. The marks are in the attached table. "
)


@cache
def picture(kind: str, width: int = 320, height: int = 240) -> bytes:
    """A picture of noise and shapes in any format of Pillow."""
    image = Image.frombytes("RGB", (width, height), random.Random(width).randbytes(width * height * 3))
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((10, 10, width // 2, height // 2), fill=(20, 80, 160))
    drawing.text((20, 20), "Sports day", fill=(255, 255, 255))
    if kind == "GIF":
        image = image.convert("P")
    written = io.BytesIO()
    image.save(written, kind)
    return written.getvalue()


def photo() -> bytes:
    """A JPEG with Exif as a telephone writes it, with a preview inside."""
    image = Image.open(io.BytesIO(picture("JPEG", 800, 600)))
    exif = image.getexif()
    exif[271], exif[272], exif[305] = "Example", "Phone 9", "Camera 4.1"
    written = io.BytesIO()
    image.save(written, "JPEG", exif=exif, quality=90)
    return written.getvalue()


def motion_photo() -> bytes:
    """A JPEG with a short film behind it, as some telephones make them."""
    return photo() + film()


def heic() -> bytes:
    """The boxes of a HEIC photo around noise."""
    head = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
    meta = struct.pack(">I4sI", 60, b"meta", 0) + struct.pack(">I4sII4s", 32, b"hdlr", 0, 0, b"pict") + bytes(28)
    body = random.Random(3).randbytes(60_000)
    return head + meta[:60] + struct.pack(">I4s", len(body) + 8, b"mdat") + body


def film() -> bytes:
    """The boxes of an MP4 film around noise."""
    body = random.Random(4).randbytes(40_000)
    head = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mp42", 0, b"mp42", b"isom")
    return head + struct.pack(">I4s", len(body) + 8, b"mdat") + body + struct.pack(">I4s", 8, b"free")


def sound() -> bytes:
    """A WAV of noise."""
    body = random.Random(5).randbytes(8000)
    fields = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(body),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        8000,
        8000,
        1,
        8,
        b"data",
        len(body),
    )
    return fields + body


def mp3() -> bytes:
    """An MP3 with a tag and frames of noise."""
    frames = b"".join(b"\xff\xfb\x90\x44" + random.Random(each).randbytes(413) for each in range(20))
    return b"ID3\x03\0\0\0\0\0\x15TIT2\0\0\0\x0b\0\0\0School song" + frames


def _page(draw: Callable[[canvas.Canvas], None]) -> bytes:
    written = io.BytesIO()
    page = canvas.Canvas(written, pagesize=A4, invariant=1)
    page.drawString(72, 720, WORDS[:80])
    draw(page)
    page.save()
    return written.getvalue()


def pdf_plain() -> bytes:
    """A PDF of three pages."""

    def draw(page: canvas.Canvas) -> None:
        for _ in range(3):
            page.showPage()

    return _page(draw)


def pdf_form() -> bytes:
    """A PDF with a form: texts, boxes, choices; no script."""

    def draw(page: canvas.Canvas) -> None:
        page.acroForm.textfield(name="child", x=72, y=600, width=200)
        page.acroForm.checkbox(name="consent", x=72, y=560)
        page.acroForm.choice(name="form", options=["7A", "7B"], value="7A", x=72, y=520, width=90)
        page.acroForm.radio(name="lunch", value="yes", x=72, y=480)
        page.acroForm.radio(name="lunch", value="no", x=172, y=480)

    return _page(draw)


def pdf_linked() -> bytes:
    """A PDF with links, bookmarks and words that look like keys: JavaScript, Launch, EmbeddedFile."""

    def draw(page: canvas.Canvas) -> None:
        page.drawString(72, 640, "Lesson 4: JavaScript and HTML. How to /Launch a club. EmbeddedFile is a word.")
        page.linkURL("https://www.example.com/setup.exe", (72, 600, 200, 620))
        page.bookmarkPage("one")
        page.addOutlineEntry("JavaScript", "one")
        page.setTitle("Launch of the JavaScript club")

    return _page(draw)


def pdf_scan() -> bytes:
    """A PDF made of a scanned page."""
    return _page(lambda page: page.drawImage(ImageReader(io.BytesIO(picture("JPEG", 600, 800))), 0, 0, 500, 700))


def pdf_with_invoice() -> bytes:
    """An invoice with its data attached as XML, as suppliers send them (Factur-X)."""
    return office.pdf_with_file(b"factur-x.xml", b'<?xml version="1.0"?><rsm:CrossIndustryInvoice xmlns:rsm="a"/>')


def pdf_actions() -> bytes:
    """A PDF whose actions are those of any reader: go to a page, print dialogue, open a web page, reset a form."""
    return office.pdf(
        b"<< /S /GoTo /D [3 0 R /Fit] >>",
        b"<< /S /Named /N /Print >>",
        b"<< /S /URI /URI (https://www.example.com) >>",
        b"<< /S /ResetForm >>",
        catalogue=b"/OpenAction 4 0 R /PageMode /UseOutlines",
    )


def text(lines: int = 40, *, encoding: str = "utf-8") -> bytes:
    """A text of ordinary words."""
    return "".join(f"{number}. {WORDS}\r\n" for number in range(lines)).encode(encoding)


def table(separator: str = ",", rows: int = 60) -> bytes:
    """A table as the school's information system exports it."""
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator)
    writer.writerow(["UPN", "Surname", "Forename", "Reg", "Notes"])
    for number in range(rows):
        writer.writerow([f"A{number:012d}", "Example", f"Pupil {number}", "7B", 'said "no", twice'])
    return written.getvalue().encode()


def xml() -> bytes:
    """An export in XML."""
    rows = "".join(f'<Pupil id="{number}"><Name>Pupil {number}</Name></Pupil>' for number in range(50))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Message xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{rows}</Message>\n'.encode()


def calendar(*, method: str = "REQUEST") -> bytes:
    """An invitation."""
    return (
        f"BEGIN:VCALENDAR\r\nPRODID:-//Example//EN\r\nVERSION:2.0\r\nMETHOD:{method}\r\nBEGIN:VEVENT\r\n"
        "UID:1@school.example\r\nDTSTART:20261106T090000Z\r\nDTEND:20261106T100000Z\r\nSUMMARY:Parents' evening\r\n"
        "ORGANIZER:mailto:office@school.example\r\nATTENDEE;RSVP=TRUE:mailto:teacher@school.example\r\n"
        "DESCRIPTION:Bring the marks.\\nSee https://www.example.com/setup.exe\r\n"
        "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()


def card() -> bytes:
    """A visiting card with a picture."""
    letters = base64.b64encode(picture("JPEG", 60, 60)).decode()
    folded = "\r\n ".join(letters[at : at + 70] for at in range(0, len(letters), 70))
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Alice Example\r\nEMAIL:alice@sender.example\r\nPHOTO;ENCODING=b;TYPE=JPEG:{folded}\r\nEND:VCARD\r\n".encode()


def page() -> bytes:
    """A page as a newsletter sender would attach it: styles, pictures in the page, no script."""
    letters = base64.b64encode(picture("PNG", 40, 40))
    return (
        b'<!DOCTYPE html><html><head><meta charset="utf-8"><style>p{color:#123}</style></head><body>'
        b'<p>' + WORDS.encode() + b'</p><img alt="" src="data:image/png;base64,' + letters + b'">'
        b'<a href="https://www.example.com/download">Download the app</a></body></html>'
    )  # fmt: skip


def rtf() -> bytes:
    """An RTF letter with a picture."""
    return office.rtf(
        b"{\\pict\\jpegblip\\picw320\\pich240 " + picture("JPEG").hex().encode() + b"}\\par Regards\\par\r\n"
    )


def rtf_with_chart() -> bytes:
    """An RTF letter with a chart as an object."""
    chart = office.old_excel(further={"\x01CompObj": bytes(80), "\x03ObjInfo": bytes(6)})
    return office.rtf(office.rtf_object(b"Excel.Chart.8", chart))


def corel() -> bytes:
    """A drawing of CorelDRAW as its older versions write it."""
    return b"RIFF" + struct.pack("<I", 4000) + b"CDR9vrsn\x02\0\0\0\x84\x03" + random.Random(8).randbytes(4000)


def project() -> bytes:
    """A plan of Microsoft Project."""
    return compound({"   114/Props": bytes(5000), "\x05SummaryInformation": bytes(300), "\x01CompObj": bytes(100)})


def publisher() -> bytes:
    """A poster of Microsoft Publisher."""
    return compound(
        {"Quill/QuillSub/CONTENTS": bytes(5000), "Contents": bytes(5000), "\x05SummaryInformation": bytes(300)}
    )


def visio() -> bytes:
    """A drawing of old Visio."""
    return compound(
        {"VisioDocument": b"Visio (TM) Drawing\r\n" + bytes(5000), "\x05SummaryInformation": bytes(300)}
    )


def notebook() -> bytes:
    """A lesson of an interactive whiteboard: a zip of pages and pictures."""
    return packers.zipped(
        {"imsmanifest.xml": xml(), "page0.svg": drawing(), "images/a.png": picture("PNG"), "metadata.xml": b"<a/>"}
    )


def drawing() -> bytes:
    """A picture in SVG: shapes, styles, links, no script."""
    return (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="90" '
        b'height="90"><style>.a{fill:#123}</style><defs><linearGradient id="g"/></defs><circle class="a" cx="9" cy="9" r="9"/>'
        b'<image xlink:href="data:image/png;base64,' + base64.b64encode(picture("PNG", 20, 20)) + b'"/>'
        b'<a xlink:href="https://www.example.com"><text>Club</text></a></svg>'
    )


def font() -> bytes:
    """The tables of a TrueType font around noise."""
    return (
        struct.pack(">IHHHH", 0x10000, 1, 16, 0, 0)
        + struct.pack(">4sIII", b"glyf", 0, 28, 900)
        + random.Random(9).randbytes(900)
    )


def book() -> bytes:
    """An EPUB."""
    return packers.zipped(
        {
            "mimetype": b"application/epub+zip",
            "META-INF/container.xml": xml(),
            "OEBPS/a.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><body><p>Once</p></body></html>",
            "OEBPS/a.css": b"p{}",
        }
    )


def photos() -> bytes:
    """A zip of photos as a telephone or a Mac makes it."""
    return packers.zipped(
        {f"Photos/IMG_{number}.jpg": picture("JPEG", 300 + number, 200) for number in range(6)}
        | {
            "__MACOSX/Photos/._IMG_0.jpg": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(60),
            "Photos/.DS_Store": b"\0\0\0\x01Bud1" + bytes(60),
        }
    )


def seven() -> bytes:
    """A 7z of texts."""
    return packers.by_libarchive({"notes.txt": text(), "marks.csv": table()}, "7zip")


def tarball() -> bytes:
    """A tar in gzip of texts."""
    return packers.by_libarchive({"notes.txt": text(), "marks.csv": table()}, "ustar", "gzip")


def report_packed() -> bytes:
    """A DMARC report: XML in gzip."""
    return gzip.compress(b'<?xml version="1.0"?><feedback><report_metadata/></feedback>', mtime=0)


def report_zipped() -> bytes:
    """A DMARC report: XML in zip."""
    return packers.zipped({"google.com!school.example!1.xml": b'<?xml version="1.0"?><feedback/>'})


def winmail() -> bytes:
    """winmail.dat with a photo."""
    return packers.tnef(b"photo.jpg", picture("JPEG"))


def winmail_empty() -> bytes:
    """winmail.dat without any attachment: what Outlook adds to formatted mail."""
    body = b"\x01\x08\x80\x07\0\x18\0\0\0IPM.Microsoft Mail.Note\0\x31\x08"
    return struct.pack("<IH", 0x223E9F78, 1) + body


def mailbox() -> bytes:
    """The text of a mail as some programs export it."""
    return (
        b"From: a@sender.example\r\nTo: b@school.example\r\nSubject: Minutes\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n\r\n"
        + text(5)
    )


def data() -> bytes:
    """Bytes of some program that nobody knows."""
    return b"SIMSDATA\x01\0" + random.Random(10).randbytes(3000)


def noise() -> bytes:
    """Bytes that look like nothing: a key file, an encrypted note of some app."""
    return random.Random(11).randbytes(5000)


def journal() -> bytes:
    """A DOS-era data file that file(1) takes for a program for want of anything better."""
    return b"\xe9\x20\x01" + random.Random(12).randbytes(2000)


def settings() -> bytes:
    """JSON."""
    return json.dumps({"school": "Park School", "pupils": [{"id": each} for each in range(40)]}, indent=1).encode()


def certificate() -> bytes:
    """A public certificate."""
    from support.corpus.signing import certificate as made

    return made().public_bytes(Encoding.PEM)


def key_ring() -> bytes:
    """A public key of OpenPGP in armour."""
    return signing.armoured(b"\x98\x33\x04" + bytes(range(60)), b"PUBLIC KEY BLOCK")


def homework() -> bytes:
    """A pupil's Python homework."""
    return b"import random\n\nname = input('Your name? ')\nfor turn in range(10):\n    print(name, random.randint(1, 6))\n"


def psd() -> bytes:
    """The head of a Photoshop picture."""
    return (
        b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 10, 10, 8, 3) + bytes(12) + zlib.compress(bytes(300))
    )


def database_export() -> bytes:
    """A SQLite database."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE marks(name TEXT, mark INTEGER)")
        connection.executemany("INSERT INTO marks VALUES (?, ?)", [("Pupil", each) for each in range(50)])
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()


def saved_page() -> bytes:
    """A page that was saved from the web, with the scripts of its day."""
    return (
        b"<!DOCTYPE html><html><head><script src='https://www.example.com/jquery.js'></script><script>"
        b"var r; try { r = new ActiveXObject('Microsoft.XMLHTTP'); } catch (e) { r = new XMLHttpRequest(); }"
        b"window.onload = function () { document.getElementById('a').click(); };"
        b"if (!window.ok) { location.href = 'https://www.example.com/search?q=1'; }"
        b"</script></head><body onload='go()'><p id='a'>School dinners</p></body></html>"
    )


def secure_wrapper() -> bytes:
    """The page in which a hospital's mail system sends an encrypted message: a form that posts it back."""
    sealed = base64.b64encode(random.Random(13).randbytes(9000))
    return (
        b"<html><head><title>Secure message</title></head><body><form method='post' "
        b"action='https://secure.example.com/open'><input type='hidden' name='msg' value='" + sealed + b"'>"
        b"<input type='submit' value='Read the message'></form><script>document.forms[0].elements[1].focus()</script>"
        b"</body></html>"
    )


def calendar_with_file() -> bytes:
    """A calendar entry that brings a PDF along."""
    letters = base64.b64encode(pdf_plain())
    folded = b"\r\n ".join(letters[at : at + 70] for at in range(0, len(letters), 70))
    attach = b"ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=agenda.pdf;FMTTYPE=application/pdf:" + folded
    return calendar().replace(b"BEGIN:VALARM", attach + b"\r\nBEGIN:VALARM")


def apple_double() -> bytes:
    """The half of a Mac file that holds its icon and its tags."""
    entry = struct.pack(">III", 9, 38, 32)
    return b"\0\x05\x16\x07\0\x02\0\0Mac OS X        \0\x01" + entry + bytes(32)


def sylk() -> bytes:
    """A sheet in SYLK, as old programs export it."""
    cells = b"".join(b"C;X1;Y%d;K%d\r\n" % (row, row * 3) for row in range(1, 30))
    return (
        b"ID;PWXL;N;E\r\nP;PGeneral\r\nF;W1 1 12\r\nO;L;D;V0;K47;G100 0.001\r\n"
        + cells
        + b"C;X2;Y1;K5;E(RC[-1]+2)\r\nE\r\n"
    )
