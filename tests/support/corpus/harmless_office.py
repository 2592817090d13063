"""Owns the harmless Office documents of the corpus, made with the libraries that other programs use, or by hand."""

from __future__ import annotations

import base64
import io
import zipfile

import docx
import odf.draw
import odf.opendocument
import odf.table
import odf.text
import openpyxl
import openpyxl.chart
import openpyxl.comments
import openpyxl.drawing.image
import pptx
import pptx.chart.data
import pptx.util
import xlsxwriter
from pptx.enum.chart import XL_CHART_TYPE
from support.corpus import office, packers
from support.corpus.harmless_files import WORDS, film, pdf_plain, picture, text
from support.files import compound, packaged


def word(*, further: bool = False, table: bool = False, image: bool = False, long: bool = False) -> bytes:
    """A Word document."""
    document = docx.Document()
    document.add_heading("Trip on Friday", 0)
    for _ in range(400 if long else 4):
        document.add_paragraph(WORDS)
    if table:
        grid = document.add_table(rows=30, cols=4)
        for row in grid.rows:
            for cell in row.cells:
                cell.text = "7B"
    if image:
        document.add_picture(io.BytesIO(picture("JPEG")))
        document.add_picture(io.BytesIO(picture("PNG")))
    if further:
        section = document.sections[0]
        section.header.paragraphs[0].text = "Park School"
        section.footer.paragraphs[0].text = "See www.example.com"
        document.add_comment(document.paragraphs[1].runs, text="Is this right?", author="Alice", initials="A")
        document.add_page_break()  # type: ignore[no-untyped-call]
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def _with_members(package: bytes, members: dict[str, bytes]) -> bytes:
    written = io.BytesIO(package)
    with zipfile.ZipFile(written, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def word_with_equation() -> bytes:
    """A Word document with an equation of the old editor as an OLE object, and its picture."""
    native = bytes(28) + b"\x03\x01\x01\x03\x0a\x0a\x01\x12\x83x\0\x02\x86+\x22\x02\x88\x31\0\0"
    equation = compound(
        {"\x01Ole": b"\x01\0\0\x02" + bytes(16), "\x01CompObj": bytes(100), "Equation Native": native}
    )
    relation = office.relations(office.relation(b"oleObject", b"embeddings/oleObject1.bin"))
    return _with_members(
        word(), {"word/embeddings/oleObject1.bin": equation, "word/_rels/footnotes.xml.rels": relation}
    )


def word_with_sheet() -> bytes:
    """A Word document with an Excel workbook embedded, old and new."""
    return _with_members(
        word(image=True),
        {
            "word/embeddings/Microsoft_Excel_Worksheet.xlsx": workbook(),
            "word/embeddings/oleObject2.bin": office.old_excel(
                further={"\x01CompObj": bytes(80), "\x03ObjInfo": bytes(6)}
            ),
            "word/media/image9.emf": b"\x01\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF" + bytes(400),
        },
    )


def word_signed() -> bytes:
    """A signed Word document: the parts of a signature, and the trash part that older Word leaves."""
    signature = (
        b'<?xml version="1.0" encoding="UTF-8"?><Signature xmlns="http://www.w3.org/2000/09/xmldsig#" Id="idPackageSignature"><SignedInfo/><SignatureValue>'
        + base64.b64encode(bytes(range(128)))
        + b"</SignatureValue></Signature>"
    )
    return _with_members(
        word(),
        {
            "_xmlsignatures/origin.sigs": b"",
            "_xmlsignatures/sig1.xml": signature,
            "_xmlsignatures/_rels/origin.sigs.rels": office.relations(),
            "[trash]/0000.dat": bytes(200),
            "[trash]/0001.dat": b"\xff" * 300,
        },
    )


def word_with_links() -> bytes:
    """A Word document with links to pages, a linked picture and a template of the school's own."""
    links = office.relations(
        office.relation(b"hyperlink", b"https://www.example.com/trip", outside=True),
        office.relation(b"hyperlink", b"mailto:office@school.example", outside=True, number=2),
        office.relation(b"image", b"https://www.example.com/logo.png", outside=True, number=3),
    )
    template = office.relations(office.relation(b"attachedTemplate", b"Normal.dotm", outside=True))
    return _with_members(
        word(), {"word/_rels/header9.xml.rels": links, "word/_rels/settings9.xml.rels": template,
                 "customXml/item9.xml": b"<b:Sources xmlns:b='a'/>", "docProps/thumbnail9.jpeg": picture("JPEG", 90, 60)}
    )  # fmt: skip


def workbook(*, chart: bool = False, large: bool = False) -> bytes:
    """An Excel workbook, with comments, formulas and an image, or a chart."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Name", "Form", "Mark"])
    for number in range(2000 if large else 30):
        sheet.append([f"Pupil {number}", "7B", number % 100])
    sheet["D1"] = "=AVERAGE(C2:C31)"
    sheet["A1"].comment = openpyxl.comments.Comment("Sorted by form", "Alice")
    if chart:
        bars = openpyxl.chart.BarChart()
        bars.add_data(openpyxl.chart.Reference(sheet, min_col=3, min_row=1, max_row=20), titles_from_data=True)
        sheet.add_chart(bars, "F2")
        sheet.add_image(openpyxl.drawing.image.Image(io.BytesIO(picture("PNG"))), "F20")
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def workbook_written() -> bytes:
    """A workbook of the other common library, with a chart, links, a pivot-like table and protected cells."""
    written = io.BytesIO()
    book = xlsxwriter.Workbook(written, {"in_memory": True})
    sheet = book.add_worksheet("Marks")
    sheet.write_column(0, 0, range(50))
    sheet.write_url(0, 1, "https://www.example.com/marks", string="Marks")
    sheet.write_formula(1, 1, '=HYPERLINK("https://www.example.com","x")')
    sheet.write_comment(2, 2, "Checked")
    line = book.add_chart({"type": "line"})
    line.add_series({"values": "=Marks!$A$1:$A$50"})
    sheet.insert_chart("D2", line)
    sheet.protect()
    book.close()
    return written.getvalue()


def slides() -> bytes:
    """A PowerPoint presentation with a chart (a workbook inside), a picture and notes."""
    talk = pptx.Presentation()
    slide = talk.slides.add_slide(talk.slide_layouts[5])
    data = pptx.chart.data.CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["7A", "7B", "7C"]
    data.add_series("Marks", (4, 7, 9))  # type: ignore[no-untyped-call]
    inch = pptx.util.Inches
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, inch(1), inch(1), inch(5), inch(4), data)
    slide.shapes.add_picture(io.BytesIO(picture("PNG")), inch(6), inch(1))
    slide.notes_slide.notes_text_frame.text = WORDS
    written = io.BytesIO()
    talk.save(written)
    return written.getvalue()


def slides_with_film() -> bytes:
    """A presentation with a film and a workbook as an object."""
    talk = pptx.Presentation()
    slide = talk.slides.add_slide(talk.slide_layouts[6])
    inch = pptx.util.Inches
    slide.shapes.add_movie(io.BytesIO(film()), inch(1), inch(1), inch(3), inch(3), mime_type="video/mp4")
    slide.shapes.add_ole_object(
        io.BytesIO(workbook()), "Excel.Sheet.12", inch(5), inch(1), icon_file=io.BytesIO(picture("PNG", 64, 64))
    )
    written = io.BytesIO()
    talk.save(written)
    return written.getvalue()


def open_text() -> bytes:
    """An OpenDocument text with a picture."""
    document = odf.opendocument.OpenDocumentText()
    document.text.addElement(odf.text.P(text=WORDS))
    place = document.addPictureFromString(picture("PNG"), "image/png")
    frame = odf.draw.Frame(width="5cm", height="4cm", anchortype="paragraph")
    frame.addElement(odf.draw.Image(href=place))
    paragraph = odf.text.P()
    paragraph.addElement(frame)
    document.text.addElement(paragraph)
    return _open_bytes(document)


def open_sheet() -> bytes:
    """An OpenDocument spreadsheet."""
    document = odf.opendocument.OpenDocumentSpreadsheet()
    table = odf.table.Table(name="Marks")
    for number in range(20):
        row = odf.table.TableRow()
        cell = odf.table.TableCell(valuetype="float", value=str(number))
        cell.addElement(odf.text.P(text=str(number)))
        row.addElement(cell)
        table.addElement(row)
    document.spreadsheet.addElement(table)
    return _open_bytes(document)


def open_text_of_office() -> bytes:
    """An OpenDocument text as LibreOffice writes it: with empty Basic libraries, settings and a thumbnail."""
    return _with_members(
        open_text(),
        {
            "Configurations2/accelerator/current.xml": b"",
            "Basic/script-lc.xml": b'<library:libraries xmlns:library="http://openoffice.org/2000/library"/>',
            "Thumbnails/thumbnail.png": picture("PNG", 90, 60),
            "Object 1/content.xml": b'<?xml version="1.0"?><math xmlns="http://www.w3.org/1998/Math/MathML"/>',
            "ObjectReplacements/Object 1": b"VCLMTF\x01\0" + bytes(90),
        },
    )


def _open_bytes(document: odf.opendocument.OpenDocument) -> bytes:
    written = io.BytesIO()
    document.write(written)
    return written.getvalue()


def old_document() -> bytes:
    """A Word 97 document without macros, with an embedded workbook and its picture."""
    return office.old_word(
        {"ObjectPool/_1/Workbook": bytes(5000), "ObjectPool/_1/\x03ObjInfo": bytes(6), "Data": bytes(5000)}
    )


def old_document_with_photo() -> bytes:
    """A Word 97 document with a photo as a package, which is how dragging a file into it stores it."""
    return office.old_word({"ObjectPool/_1/\x01Ole10Native": packaged("photo.jpg", picture("JPEG"))})


def word_with_package() -> bytes:
    """A Word document with a PDF as a package."""
    return _with_members(word(), {"word/embeddings/oleObject1.bin": office.package("list.pdf", pdf_plain())})


def folder() -> bytes:
    """A zip of ordinary documents."""
    return packers.zipped(
        {
            "Year 7/letter.docx": word(),
            "Year 7/marks.xlsx": workbook(),
            "Year 7/map.pdf": pdf_plain(),
            "read me.txt": text(3),
        }
    )


def outlook() -> bytes:
    """An Outlook message with a document."""
    return office.outlook_message("letter.docx", word())


def notes_section() -> bytes:
    """A OneNote section with a picture and a document."""
    return office.onenote(picture("PNG"), word())
