"""The words of attachments: what a person reads in a file is what rules about words get to see."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from odf.opendocument import OpenDocumentSpreadsheet, OpenDocumentText
from odf.table import Table, TableCell, TableRow
from odf.text import P
from reportlab.pdfgen import canvas
from support import files
from support.messages import file_part, message, multipart, text_part
from support.walks import read, walk

from gatepost_config import settings
from gatepost_milter.inspection.containers import markup, pages
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import MAX_TEXTS, Inspectors
from gatepost_milter.inspection.model import FileClass, Leaf
from gatepost_milter.inspection.wire import BadAnswerError, Bounds, read_answer
from gatepost_milter.spool import Spool

LIMITS = settings.Inspection(inspectors=1)
NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def words(content: bytes, name: str, *, claimed: str = "application/octet-stream") -> str:
    """The words of one file that is no container."""
    found, defects = read(content, name, claimed=claimed)
    assert defects == set()
    assert list(found) == [name]
    return found[name]


def workbook() -> bytes:
    """Pupils on one sheet, and what nobody should see on a hidden one."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Year 7"
    sheet.append(["UPN", "Name", None, "Mark"])
    sheet.append(["A123456789012", "Zoë Example", None, 12.5])
    hidden = book.create_sheet("Payroll")
    hidden.sheet_state = "hidden"
    hidden.append(["Salary", 45000])
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def letter() -> bytes:
    """A Word document with a table, a header and a comment-like note."""
    document = docx.Document()
    document.add_paragraph("Dear parents,")
    runs = document.add_paragraph("Free school ")
    runs.add_run("meals").bold = True
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate((("Name", "Mark"), ("Zoë & Co", "9"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.sections[0].header.paragraphs[0].text = "Confidential"
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()


def printed(*lines: str) -> bytes:
    """A PDF page with these lines."""
    packed = io.BytesIO()
    sheet = canvas.Canvas(packed)
    for number, line in enumerate(lines):
        sheet.drawString(72, 700 - 20 * number, line)
    sheet.showPage()
    sheet.save()
    return packed.getvalue()


def zipped_page(page: str, name: str = "word/document.xml") -> bytes:
    """A document of one page, written out by hand."""
    return files.zipped({"[Content_Types].xml": b"<Types/>", name: page.encode("utf-8")})


def test_a_workbook_gives_strings_numbers_and_hidden_sheets_in_columns() -> None:
    """A heading stands above what it names, also across an empty cell."""
    assert words(workbook(), "marks.xlsx").splitlines() == [
        "Year 7\tPayroll",
        "UPN\tName\t\tMark",
        "A123456789012\tZoë Example\t\t12.5",
        "Salary\t45000",
    ]


def test_shared_strings_and_formulas_give_what_the_cell_shows() -> None:
    """Excel keeps strings in a page of their own, with formatting in the middle of words."""
    page = (
        '<x:worksheet xmlns:x="m"><x:sheetData><x:row r="1"><x:c r="A1" t="s"><x:v>1</x:v></x:c>'
        '<x:c r="B1" t="str"><x:f>CONCAT("not","me")</x:f><x:v>shown</x:v></x:c>'
        '<x:c r="C1" t="s"><x:v>99</x:v></x:c>'
        '<x:c r="D1"/><x:c r="E1"><x:v>7</x:v></x:c></x:row></x:sheetData></x:worksheet>'
    )
    strings = "<sst><si><t>first</t></si><si><r><t>Free </t></r><r><t>school&#32;meals</t></r></si></sst>"
    book = files.zipped(
        {
            "[Content_Types].xml": b"<Types/>",
            "xl/odd name.xml": page.encode("utf-8"),
            "xl/sharedStrings.xml": strings.encode("utf-16"),
        }
    )
    assert words(book, "a.xlsx").split("\n")[0] == "Free school meals\tshown\t\t\t7"


def test_a_letter_gives_paragraphs_tables_and_its_header() -> None:
    """Words that formatting splits are whole again, and rows of a table stay rows."""
    said = words(letter(), "letter.docx")
    assert "Dear parents,\nFree school meals\nName\tMark\nZoë & Co\t9" in said
    assert "Confidential" in said


def test_slides_give_their_words() -> None:
    """Titles, bodies and notes."""
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Safeguarding"
    slide.placeholders[1].text = "first\nsecond"
    slide.notes_slide.notes_text_frame.text = "do not tell"
    packed = io.BytesIO()
    show.save(packed)
    said = words(packed.getvalue(), "talk.pptx")
    for expected in ("Safeguarding\n", "first\nsecond", "do not tell"):
        assert expected in said


def test_open_documents_give_text_and_cells() -> None:
    """A number counts as it is stored, whatever the cell shows."""
    text = OpenDocumentText()
    text.text.addElement(P(text="Free school meals"))
    text.text.addElement(P(text="second <line>"))
    packed = io.BytesIO()
    text.save(packed)
    assert words(packed.getvalue(), "letter.odt") == "Free school meals\nsecond <line>"

    book = OpenDocumentSpreadsheet()
    table = Table(name="Year 7")
    for cells in (("UPN", None), ("A123456789012", 12.5)):
        row = TableRow()
        for cell in cells:
            place = TableCell(valuetype="float", value=cell) if isinstance(cell, float) else TableCell()
            if cell is not None:
                place.addElement(P(text=str(cell) if isinstance(cell, str) else "13"))
            row.addElement(place)
        table.addElement(row)
    book.spreadsheet.addElement(table)
    packed = io.BytesIO()
    book.save(packed)
    assert words(packed.getvalue(), "marks.ods") == "Year 7\nUPN\nA123456789012\t12.5"


def test_a_pdf_gives_its_lines() -> None:
    """Whatever is written on the page."""
    assert words(printed("UPN A123456789012", "Free school meals"), "a.pdf").strip().splitlines() == [
        "UPN A123456789012",
        "Free school meals",
    ]


def test_a_protected_pdf_that_opens_without_a_password_is_read(tmp_path: Path) -> None:
    """Forms are often protected against changes; a locked one is told by its class."""
    (tmp_path / "a.pdf").write_bytes(printed("Free school meals"))
    for user, name in (("", "open.pdf"), ("secret", "locked.pdf")):
        subprocess.run(
            ["qpdf", "--encrypt", user, "owner", "128", "--use-aes=y", "--", "a.pdf", name],
            cwd=tmp_path,
            check=True,
        )
    assert words((tmp_path / "open.pdf").read_bytes(), "open.pdf").strip() == "Free school meals"
    locked, defects = read((tmp_path / "locked.pdf").read_bytes(), "locked.pdf")
    assert (locked, defects) == ({}, set())


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b'UPN;Name\r\n1;"Zo\xeb; Example"\r\n', "a.csv", "UPN\tName\n1\tZoë; Example"),
        (b"sep=|\r\nUPN|Name\r\n1|Ada\r\n", "a.csv", "UPN\tName\n1\tAda"),
        ("UPN\tName\n".encode("utf-16"), "a.csv", "UPN\tName"),
        (b'a,"b\nc"\n', "a.csv", "a\tb c"),
        (b"<pupils><upn a='1'>A1 &amp; B2</upn></pupils>", "a.xml", "<pupils><upn a='1'>A1 & B2</upn></pupils>"),
        (
            b"BEGIN:VCALENDAR\r\nSUMMARY:Free school\r\n  meals\\, and\r\n more\r\n",
            "a.ics",
            "BEGIN:VCALENDAR\nSUMMARY:Free school meals, andmore\n",
        ),
        (
            b"BEGIN:VCARD\r\nNOTE;ENCODING=QUOTED-PRINTABLE:Zo=C3=AB=\r\n Example\r\nTEL:1\r\n",
            "a.vcf",
            None,
        ),
        (
            b"<html><body><p>Free <b>school</b> meals<script>x()</script></body></html>",
            "a.html",
            "Free school meals",
        ),
        (b"plain \xe2\x82\xac text", "notes.txt", "plain € text"),
        (
            rb"{\rtf1\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Free sch\'f6ol \u8364?5\par{\*\x y}{\b meals}\cell}",
            "a.rtf",
            "Free schöol €5\nmeals\t",
        ),
    ],
    ids=["csv-semicolon", "csv-sep", "csv-utf16", "csv-newline", "xml", "ics", "vcf", "html", "txt", "rtf"],
)
def test_texts_are_read_as_a_person_reads_them(content: bytes, name: str, expected: str | None) -> None:
    """Each format has its own way of hiding words in plain sight: separators, folding, escapes."""
    said = words(content, name)
    if expected is None:
        assert "Zoë" in said
        assert "TEL:1" in said
    else:
        assert said == expected


def test_files_in_files_are_read_where_they_lie() -> None:
    """A zip of exports, and a message in it."""
    inner = message(multipart(text_part(b"from the inner message"), file_part(b"c.csv", content=b"a,b\n1,2\n")))
    found, defects = read(files.zipped({"marks.xlsx": workbook(), "n.txt": b"note", "m.eml": inner}), "all.zip")
    assert defects == set()
    assert "Zoë Example" in found["all.zip › marks.xlsx"]
    assert found["all.zip › n.txt"] == "note"
    assert found["all.zip › m.eml › part 1"].strip() == "from the inner message"
    assert found["all.zip › m.eml › c.csv"] == "a\tb\n1\t2"


def test_no_entity_is_ever_expanded() -> None:
    """A document of a few bytes must not become gigabytes of words, nor read a file of ours."""
    bomb = '<!DOCTYPE z [<!ENTITY a "lol"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    page = f'{bomb}<w:document xmlns:w="{NAMESPACE}"><w:p><w:t>&b;&f;</w:t></w:p></w:document>'
    assert words(zipped_page(page), "a.docx") == "&b;&f;"


def test_words_in_cdata_and_deleted_words_are_read() -> None:
    """Word shows the first; the second are still in the file that the school would send out."""
    page = "<d:p><d:t><![CDATA[a<b]]></d:t><d:delText>gone</d:delText></d:p>"
    page = f'<d:document xmlns:d="{NAMESPACE}">{page}</d:document>'
    assert words(zipped_page(page, "elsewhere/page.xml"), "a.docx") == "a<bgone"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "<a" * 1_000_000,
        "<worksheet>" + "<c>" * 1_000_000,
        "<worksheet>" + "<c r='A1'><is>" * 200_000,
        "<sst>" + "<si><t>" * 300_000,
        "<document>" + "<![CDATA[" * 300_000,
        "<document-content opendocument><body>" + "<table-cell value-type='float'>" * 200_000,
        "<w:document>" + "<w:t>" + "&" * 2_000_000,
        "<workbook>" + "<sheet " + "name=" * 500_000,
    ],
    ids=["tags", "cells", "inline", "strings", "cdata", "open-document", "ampersands", "attributes"],
)
def test_markup_made_to_be_slow_is_not(page: str) -> None:
    """Each character is taken a bounded number of times."""
    started = time.process_time()
    read(zipped_page(page), "a.docx")
    assert time.process_time() - started < 4


def test_what_is_too_long_is_cut_and_said() -> None:
    """The beginning is judged, and the message says that there was more."""
    found, defects = read(b"word " * 1000, "a.txt", texts=100)
    assert (len(found["a.txt"]), defects) == (100, {"text-long"})
    found, defects = read(files.zipped({"a.txt": b"x" * 80, "b.txt": b"y" * 80}), "a.zip", texts=100)
    assert ([len(each) for each in found.values()], defects) == ([80, 20], {"text-long"})


def test_cells_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sheet of millions of cells is read in part."""
    monkeypatch.setattr(markup, "MAX_CELLS", 3)
    _, defects = read(workbook(), "a.xlsx")
    assert defects == {"text-long"}


def test_when_the_time_is_up_the_file_is_still_what_it_is() -> None:
    """Reading words may end early; that never makes a harmless file look uninspected."""
    done = walk(printed("word"), "a.pdf", texts=1000, seconds=0.0005)
    assert all(FileClass.OPAQUE not in each.classes or "too long" in each.reason for each in done.attachments)


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"%PDF-1.4\n" + b"damaged" * 50, "a.pdf"), (b"\xd0\xcf\x11\xe0" + bytes(2000), "a.doc")],
    ids=["damaged-pdf", "old-word"],
)
def test_words_that_nobody_can_read_are_said(content: bytes, name: str) -> None:
    """The policy may want to know that text rules have not seen a document."""
    _, defects = read(content, name)
    assert "text-unread" in defects


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.pdf", "a.xlsx", "a.docx", "a.rtf"])
def test_damage_anywhere_is_no_fault_of_ours(name: str) -> None:
    """Cut off or changed at any place, a file is read as far as it goes, and nothing is raised."""
    content = {
        "a.pdf": printed("UPN A123456789012"),
        "a.xlsx": workbook(),
        "a.docx": zipped_page(f'<w:document xmlns:w="{NAMESPACE}"><w:p><w:t>words</w:t></w:p></w:document>'),
        "a.rtf": rb"{\rtf1\ansicpg1252{\fonttbl{\f0 Arial;}}\uc2\u8364??\u-10178?\'f6\par{\b meals}\cell}",
    }[name]
    for place in range(0, len(content), max(1, len(content) // 60)):
        read(content[:place], name)
        for change in (b"\0", b"<", b"99999999999999999999", b"\\"):
            read(content[:place] + change + content[place + 1 :], name)


def test_without_the_library_a_pdf_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional part that is missing is told, never passed over."""
    monkeypatch.setattr(pages, "pypdf", None)
    assert read(printed("word"), "a.pdf") == ({}, {"text-unread"})


def test_a_page_that_is_a_drawing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map of a hundred thousand lines would take the library minutes."""
    monkeypatch.setattr(pages, "MAX_DRAWING", 10)
    assert read(printed("word"), "a.pdf") == ({}, {"text-long"})


@pytest.mark.slow
def test_inside_the_sandbox_everything_is_read_and_only_when_asked(tmp_path: Path) -> None:
    """No file can be opened there: whatever a library loads late must be loaded before."""
    sent = {
        b"a.xlsx": workbook(),
        b"b.docx": letter(),
        b"c.pdf": printed("on paper"),
        b"d.csv": b"x;y\n1;2\n",
    }
    mail = message(
        multipart(text_part(b"own words"), *(file_part(name, content=each) for name, each in sent.items()))
    )
    pool = Inspectors(LIMITS, tmp_path)
    try:
        asked = inspect(Spool.of(mail), inspectors=pool, limits=LIMITS, deadline=30, texts=True)
        plain = inspect(Spool.of(mail), inspectors=pool, limits=LIMITS, deadline=30)
    finally:
        pool.close()
    assert [each.where for each in asked.texts] == [
        "part 1", "part 2 › a.xlsx", "part 3 › b.docx", "part 4 › c.pdf", "part 5 › d.csv",
    ]  # fmt: skip
    assert "Salary\t45000" in asked.texts[1].text
    assert asked.texts[3].text.strip() == "on paper"
    assert asked.defects == plain.defects == ()
    assert [each.where for each in plain.texts] == ["part 1"]
    assert [each.reason for each in asked.attachments] == [each.reason for each in plain.attachments]


@pytest.mark.slow
def test_a_named_text_of_the_message_is_not_told_twice(tmp_path: Path) -> None:
    """The worker reads it as the message's own text, the inspector looks at it as a file."""
    named = b'Content-Type: text/plain; name="notes.txt"\r\n\r\nshown inline\r\n'
    attached = b'Content-Type: text/plain; name="b.txt"\r\nContent-Disposition: attachment\r\n\r\nattached\r\n'
    pool = Inspectors(LIMITS, tmp_path)
    try:
        mail = message(multipart(named, attached))
        found = inspect(Spool.of(mail), inspectors=pool, limits=LIMITS, deadline=30, texts=True)
    finally:
        pool.close()
    assert [(each.where, each.text.strip()) for each in found.texts] == [
        ("part 1", "shown inline"), ("part 2 › b.txt", "attached"),
    ]  # fmt: skip


def test_an_inspector_cannot_tell_more_text_than_was_asked_for() -> None:
    """It has read hostile bytes: the worker's memory must not be in its hands."""
    leaf = Leaf(number="1", path="part 1", names=(), claimed="", encoding="identity", start=0, end=0)
    row = ["part 1", "", [], "", "", "", 0, "", ["plain"], 0, "", ""]
    answer = {"attachments": [row], "defects": [], "members": 0, "expanded": 0, "tired": False, "failure": ""}
    bounds = Bounds(depth=3, members=10, expanded=10, texts=5)
    good = read_answer({**answer, "texts": [["a", "123", False], ["b", "45", True]]}, leaf=leaf, bounds=bounds)
    assert [(each.where, each.text, each.html) for each in good.texts] == [("a", "123", False), ("b", "45", True)]
    assert bounds.rest(good).texts == 0
    with pytest.raises(BadAnswerError):
        read_answer({**answer, "texts": [["a", "123", False], ["b", "456", True]]}, leaf=leaf, bounds=bounds)
    assert MAX_TEXTS == 1024 * 1024
