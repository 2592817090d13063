"""Web pages, pictures, PDF, RTF and OneNote: what they carry is found, and harmless ones stay harmless."""

from __future__ import annotations

import base64
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.walks import opened, walk

from gatepost_milter.inspection.model import FileClass

PROGRAM = files.windows_program()
PLAIN = {FileClass.PLAIN}
NOISE = base64.b64encode(files.noise(6000)).decode()
PACKED = base64.b64encode(PROGRAM).decode()


def classes(content: bytes, name: str) -> set[FileClass]:
    """The classes of the file itself."""
    return set(opened(content, name)[name].classes)


def everything(content: bytes, name: str) -> set[FileClass]:
    """The classes of the file and all that is in it."""
    return set().union(*(each.classes for each in opened(content, name).values()))


@pytest.mark.parametrize(
    "page",
    [
        f'<html><a download="x.exe" href="data:application/octet-stream;base64,{PACKED}">open</a></html>',
        f'<html><script>var a = "{PACKED}";</script></html>',
        f'<html><script>var a = "{PACKED[:900]}" + "{PACKED[900:]}";</script></html>',
        f'<html><script>var a = "{PROGRAM.hex()}";</script></html>',
        f"<html><script>var a = [{','.join(map(str, PROGRAM))}];</script></html>",
        f"<html><script>var a = [{','.join(map(hex, PROGRAM))}];</script></html>",
        f'<html><script>var a = "{base64.b64encode(PROGRAM[::-1]).decode()}".reverse();</script></html>',
        f'<html><script>var a = "{base64.b64encode(files.zipped({"a.exe": PROGRAM})).decode()}";</script></html>',
        f'<svg xmlns="http://www.w3.org/2000/svg"><a href="data:application/zip;base64,{PACKED}"/></svg>',
    ],
)
def test_a_program_written_into_a_page_is_found(page: str) -> None:
    """HTML smuggling: the mail system sees text, the reader gets a program."""
    assert FileClass.EXECUTABLE in everything(page.encode(), "page.html")


def test_a_script_that_builds_a_file_is_told() -> None:
    page = b"""<html><script>
      var key = 7; var data = 'zzzz'.split('').map(c => c.charCodeAt(0) ^ key);
      var blob = new Blob([new Uint8Array(data)]); var a = document.createElement('a');
      a.href = URL.createObjectURL(blob); a.download = 'invoice.iso'; a.click();
    </script></html>"""
    assert classes(page, "invoice.html") == {FileClass.SCRIPT}


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("newsletter.html", '<html><img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUg"><p>news</p></html>'),
        ("secure.html", f'<html><form action="/"><input type="hidden" value="{NOISE}"></form></html>'),
        ("quiz.html", "<html><script>function next(){document.getElementById('q').hidden=true}</script></html>"),
        ("logo.svg", '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'),
        ("census.xml", '<?xml version="1.0"?><CTFile><Pupil><UPN>A123456789012</UPN></Pupil></CTFile>'),
    ],
)  # fmt: skip
def test_ordinary_pages_and_pictures_are_plain(name: str, page: str) -> None:
    """Secure-mail wrappers are pages with one long string of noise: scenario 14."""
    found = opened(page.encode(), name)
    assert list(found) == [name]
    assert found[name].classes == PLAIN


def test_a_picture_with_script_is_a_script() -> None:
    picture = b'<svg xmlns="http://www.w3.org/2000/svg"><script>location="https://192.0.2.1"</script></svg>'
    assert classes(picture, "logo.svg") == {FileClass.SCRIPT}


def rtf(kind: bytes, payload: bytes, *, between: bytes = b"\r\n") -> bytes:
    name = kind + b"\0"
    content = struct.pack("<III", 0x501, 2, len(name)) + name + struct.pack("<III", 0, 0, len(payload)) + payload
    digits = content.hex().encode()
    lines = between.join(digits[at : at + 64] for at in range(0, len(digits), 64))
    return b"{\\rtf1 letter {\\object\\objemb{\\*\\objdata " + lines + b"}}}"


@pytest.mark.parametrize("between", [b"\r\n", b" ", b"{\\*\\junk 12}", b"\\par ", b"\t\\'41"])
def test_a_file_in_an_rtf_object_is_found(between: bytes) -> None:
    """Word leaves out everything between the digits that is no digit, so evil RTF puts much there."""
    content = rtf(b"Package", files.packaged("invoice.exe", PROGRAM)[4:], between=between)
    member = opened(content, "letter.doc")["letter.doc › invoice.exe"]
    assert FileClass.EXECUTABLE in member.classes
    assert member.size == len(PROGRAM)


def test_harmless_rtf_is_plain() -> None:
    chart = files.compound({"Equation Native": files.noise(200)})
    found = opened(rtf(b"Equation.3", chart), "letter.rtf")
    assert list(found) == ["letter.rtf"]
    assert found["letter.rtf"].classes == PLAIN


def test_files_in_onenote_are_found_by_content_and_by_name() -> None:
    """The names stand apart from the files; a script is one by its name alone."""

    def stored(content: bytes) -> bytes:
        head = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
        return head + struct.pack("<QIQ", len(content), 0, 0) + content + bytes(16)

    page = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(100) + "open me.bat".encode("utf-16-le")
    found = opened(page + bytes(8) + stored(b"start calc") + stored(b"\x89PNG\r\n\x1a\n" + bytes(30)), "notes.one")
    member = found["notes.one › open me.bat"]
    assert FileClass.SCRIPT in member.classes
    assert len(found) == 2
    assert FileClass.EXECUTABLE in everything(page + stored(PROGRAM), "notes.one")


def pdf(*objects: bytes) -> bytes:
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1))
    return b"%PDF-1.7\n" + body + b"trailer << /Root 1 0 R >>\n%%EOF\n"


def stream(dictionary: bytes, content: bytes) -> bytes:
    packed = zlib.compress(content)
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (dictionary, len(packed), packed)


def test_a_file_in_a_pdf_is_found_with_its_name() -> None:
    specification = b"<< /Type /Filespec /F (report.txt) /UF (report#.exe) /EF << /F 3 0 R >> >>"
    content = pdf(b"<< /Type /Catalog >>", specification, stream(b"/Type /EmbeddedFile", PROGRAM))
    member = opened(content, "paper.pdf")["paper.pdf › report.txt"]
    assert set(member.names) == {"report.txt", "report#.exe"}
    assert FileClass.EXECUTABLE in member.classes
    assert member.size == len(PROGRAM)


def test_what_stands_in_object_streams_is_read() -> None:
    """Since PDF 1.5 most dictionaries are packed; a scanner that greps the file sees none of them."""
    packed = stream(b"/Type /ObjStm /N 1 /First 4", b"7 0 << /S /L#61unch /Win << /F (cmd.exe) >> >>")
    assert classes(pdf(b"<< /Type /Catalog >>", packed), "paper.pdf") == {FileClass.SHORTCUT}


def test_script_in_a_form_is_a_tag_and_no_more() -> None:
    content = pdf(
        b"<< /Type /Catalog /OpenAction << /S /JavaScript /JS (this.getField\\('total'\\).value = 3;) >> >>"
    )
    attachment = opened(content, "form.pdf")["form.pdf"]
    assert (set(attachment.classes), attachment.tier) == (PLAIN, "T3")
    assert "JavaScript" in attachment.reason


def test_script_that_opens_what_it_carries_is_script() -> None:
    content = pdf(
        b"<< /Type /Catalog >>", b"<< /S /JavaScript /JS (this.exportDataObject\\({cName:'a',nLaunch:2}\\)) >>"
    )
    assert classes(content, "form.pdf") == {FileClass.SCRIPT}


def test_an_ordinary_pdf_is_plain() -> None:
    page = stream(b"", b"BT /F1 12 Tf (exe files and JavaScript are discussed here) Tj ET")
    found = opened(pdf(b"<< /Type /Catalog >>", page), "paper.pdf")
    assert list(found) == ["paper.pdf"]
    assert found["paper.pdf"].classes == PLAIN


@pytest.mark.skipif(shutil.which("qpdf") is None, reason="needs qpdf")
@pytest.mark.parametrize("bits", ["40", "128", "256"])
@pytest.mark.parametrize("password", ["", "secret"])
def test_a_pdf_is_encrypted_to_us_only_if_it_asks_for_a_password(bits: str, password: str, tmp_path: Path) -> None:
    """Exam boards protect papers against changes; nobody is asked for a password, and nothing is hidden."""
    source, locked = tmp_path / "in.pdf", tmp_path / "out.pdf"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    source.write_bytes(
        pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page)
    )
    weak = [] if bits == "256" else ["--allow-weak-crypto"]
    made = subprocess.run(
        ["qpdf", *weak, "--encrypt", password, "owner", bits, "--", source, locked],
        check=False,
        capture_output=True,
    )
    assert made.returncode in (0, 3), made.stderr  # 3: warnings about our spare cross-reference table
    assert classes(locked.read_bytes(), "paper.pdf") == ({FileClass.ENCRYPTED} if password else PLAIN)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutilated_documents_never_raise(data: st.DataObject) -> None:
    launch, embedded = stream(b"/Type /ObjStm", b"1 0 << /S /Launch >>"), stream(b"/Type /EmbeddedFile", b"x")
    one = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3e716e3bd65261145a4c48d4d0b7a9eac")
    kinds = [
        pdf(b"<< /Type /Catalog >>", launch, embedded),
        rtf(b"Package", files.packaged("a.exe", b"MZ")[4:]),
        f'<html><script>a="{PACKED[:400]}"; b=[{",".join(map(str, PROGRAM[:90]))}]</script></html>'.encode(),
        one + bytes(60),
    ]  # fmt: skip
    whole = bytearray(data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert walk(bytes(whole), data.draw(st.sampled_from(["a.pdf", "a.rtf", "a.html", "a.one", ""]))).attachments
