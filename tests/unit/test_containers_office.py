"""Office documents: code and packed files are found, and ordinary documents stay ordinary."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.walks import opened, walk

from gatepost_milter.inspection.containers import ole
from gatepost_milter.inspection.model import FileClass

PROGRAM = files.windows_program()
EMPTY = b'Attribute VB_Name = "ThisWorkbook"\r\nAttribute VB_Base = "0{0}"\r\nOption Explicit\r\n'
CODE = b'Attribute VB_Name = "Module1"\r\nSub AutoOpen()\r\n  Shell "calc"\r\nEnd Sub\r\n'
PLAIN = {FileClass.PLAIN}


def vba(source: bytes, root: str = "Macros") -> dict[str, bytes]:
    return {f"{root}/VBA/dir": b"x" * 20, f"{root}/VBA/_VBA_PROJECT": b"y" * 20,
            f"{root}/VBA/Module1": files.vba_module(source)}  # fmt: skip


def biff(*records: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in (*records, (0x0A, b"")))


def ooxml(**members: bytes) -> bytes:
    whole = {"[Content_Types].xml": b"<?xml version='1.0'?><Types/>"}
    whole |= {name.replace("__", "/"): content for name, content in members.items()}
    return files.zipped(whole)


def relation(kind: str, target: str, mode: str = "External") -> bytes:
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
    return (
        f'<?xml version="1.0"?><Relationships><Relationship Id="r1" Type="{base}{kind}" Target="{target}" '
        f'TargetMode="{mode}"/></Relationships>'
    ).encode()


def test_macros_in_an_old_document_are_found() -> None:
    found = opened(files.compound({"WordDocument": bytes(600), **vba(CODE)}), "letter.doc")
    assert found["letter.doc"].classes == {FileClass.MACRO}
    assert "VBA" in found["letter.doc"].reason


def test_empty_modules_are_no_macros() -> None:
    """Excel writes them into workbooks in which nobody ever wrote a macro."""
    found = opened(files.compound({"Workbook": biff(), **vba(EMPTY, "_VBA_PROJECT_CUR")}), "marks.xls")
    assert found["marks.xls"].classes == PLAIN


def test_blanked_source_with_compiled_code_is_a_macro() -> None:
    """VBA stomping: the source shows nothing, the compiled code runs."""
    module = bytes(5000) + files.vba_module(EMPTY)
    streams = {"Macros/VBA/dir": b"x", "Macros/VBA/Module1": module, "WordDocument": bytes(600)}
    assert opened(files.compound(streams), "letter.doc")["letter.doc"].classes == {FileClass.MACRO}


def test_source_is_unpacked_as_word_packs_it() -> None:
    """MS-OVBA 3.2.2: the specification's own example of a compressed container."""
    packed = bytes.fromhex(
        "012FB00023616161626364658266007061 6768696A013808616B6C00306D6E6F7006710270041072737475761077 78797A003C"
    )
    assert ole.decompress(packed) == b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa"


@pytest.mark.parametrize(
    ("streams", "kind"),
    [
        ({"Workbook": biff((0x809, bytes(16)), (0x85, bytes(4) + b"\0\x01\x02\0ab"))}, FileClass.MACRO),
        ({"Workbook": biff((0x809, bytes(16)), (0x2F, b"\x01\0" + bytes(50)))}, FileClass.ENCRYPTED),
        ({"EncryptedPackage": files.noise(500), "EncryptionInfo": bytes(100)}, FileClass.ENCRYPTED),
        ({"WordDocument": bytes(11) + b"\x01" + bytes(600)}, FileClass.ENCRYPTED),
    ],
)
def test_macro_sheets_and_passwords_are_told(streams: dict[str, bytes], kind: FileClass) -> None:
    assert opened(files.compound(streams), "file.xls")["file.xls"].classes == {kind}


@pytest.mark.parametrize(
    "streams",
    [
        {"WordDocument": bytes(600), "1Table": bytes(600)},
        {"Workbook": biff((0x809, bytes(16)), (0x85, bytes(4) + b"\0\0\x02\0ab"))},
        {"Equation Native": files.noise(300), "\x01CompObj": bytes(80)},
        {"Workbook": biff(), "\x01CompObj": b"Microsoft Graph Chart", "\x05SummaryInformation": bytes(100)},
    ],
)
def test_ordinary_compound_files_are_plain(streams: dict[str, bytes]) -> None:
    assert opened(files.compound(streams), "file.doc")["file.doc"].classes == PLAIN


def test_a_file_packed_into_a_document_is_an_attachment() -> None:
    """The reader double-clicks an icon in the letter, and the program runs."""
    content = files.compound({"WordDocument": bytes(600),
                              "ObjectPool/_1/\x01Ole10Native": files.packaged("invoice.exe", PROGRAM)})  # fmt: skip  # noqa: E501
    member = opened(content, "letter.doc")["letter.doc › invoice.exe"]
    assert FileClass.EXECUTABLE in member.classes
    assert member.size == len(PROGRAM)


def test_a_script_packed_into_a_docx_is_found_by_its_name() -> None:
    packed = files.compound({"\x01Ole10Native": files.packaged("run.vbs", b"MsgBox 1")})
    found = opened(ooxml(**{"word__embeddings__oleObject1.bin": packed}), "a.docx")
    member = found["a.docx › word/embeddings/oleObject1.bin › run.vbs"]
    assert FileClass.SCRIPT in member.classes


@pytest.mark.parametrize(
    "members",
    [
        {"word__vbaProject.bin": files.compound(vba(CODE, "VBAX"))},
        {"word__styles.bin": files.compound(vba(CODE, "VBAX"))},
        {"xl__macrosheets__sheet1.xml": b"<?xml version='1.0'?><xm:macrosheet/>"},
        {"word___rels__settings.xml.rels": relation("attachedTemplate", "https://192.0.2.1/t.dotm")},
        {"word___rels__document.xml.rels": relation("oleObject", "mhtml:https://192.0.2.1/x!x-usc:y")},
        {
            "word__document.xml": b"<w:p><w:instrText> DD</w:instrText><w:instrText>EAUTO c:\\\\cmd</w:instrText></w:p>"  # noqa: E501
        },
        {"xl__externalLinks__externalLink1.xml": b"<externalLink><ddeLink ddeService='cmd' ddeTopic='/c calc'/>"},
    ],
)
def test_code_in_a_new_document_is_found(members: dict[str, bytes]) -> None:
    """Whatever the file is called: .docx promises no macros, and keeps no promise."""
    assert opened(ooxml(**members), "letter.docx")["letter.docx"].classes == {FileClass.MACRO}


@pytest.mark.parametrize(
    "members",
    [
        {"word__document.xml": b'<w:instrText> HYPERLINK "http://example.org" </w:instrText>'},
        {"word___rels__document.xml.rels": relation("hyperlink", "https://example.org/")},
        {"word___rels__settings.xml.rels": relation("attachedTemplate", "file:///C:\\Users\\a\\Normal.dotm")},
        {"_xmlsignatures__sig1.xml": b"<?xml version='1.0'?><Signature/>"},
        {"xl__embeddings__sheet1.xlsx": ooxml(xl__workbook=b"<workbook/>")},
        {"xl__printerSettings__printerSettings1.bin": files.noise(400)},
        {"word__embeddings__oleObject1.bin": files.compound({"Equation Native": files.noise(90)})},
    ],
)
def test_ordinary_new_documents_are_plain(members: dict[str, bytes]) -> None:
    found = opened(ooxml(**members), "letter.docx")
    assert list(found) == ["letter.docx"]
    assert found["letter.docx"].classes == PLAIN


def test_opendocument_macros_and_passwords() -> None:
    base = {"mimetype": b"application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": b"<manifest/>",
            "content.xml": b"<?xml version='1.0'?><office:document-content/>"}  # fmt: skip
    assert opened(files.zipped(base), "a.odt")["a.odt"].classes == PLAIN
    macro = files.zipped(base | {"Basic/Standard/Module1.xml": b"<?xml version='1.0'?><script:module/>"})
    assert opened(macro, "a.odt")["a.odt"].classes == {FileClass.MACRO}
    locked = files.zipped(base | {"META-INF/manifest.xml": b"<manifest><manifest:encryption-data/></manifest>"})
    assert opened(locked, "a.odt")["a.odt"].classes == {FileClass.ENCRYPTED}


def test_an_outlook_message_is_opened() -> None:
    wide = "invoice.exe".encode("utf-16-le")
    inner = "__attach_version1.0_#00000001/__substg1.0_3701000D"
    content = files.compound({
        "__properties_version1.0": bytes(64),
        "__attach_version1.0_#00000000/__substg1.0_3707001F": wide,
        "__attach_version1.0_#00000000/__substg1.0_37010102": PROGRAM,
        f"{inner}/__attach_version1.0_#00000000/__substg1.0_37010102": b"hi",
    })  # fmt: skip
    found = opened(content, "forwarded.msg")
    assert FileClass.EXECUTABLE in found["forwarded.msg › invoice.exe"].classes
    assert found["forwarded.msg › attachment"].classes == PLAIN


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_mutilated_compound_files_never_raise(data: st.DataObject) -> None:
    whole = bytearray(files.compound({"WordDocument": bytes(600), **vba(CODE)}))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert walk(bytes(whole), "a.doc").attachments
