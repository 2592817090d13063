"""Zip files: both directories are read, nothing is passed unseen, and bombs end at their bounds."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.walks import opened, walk

from gatepost_milter.inspection.model import FileClass

PROGRAM = files.windows_program()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_common_method_is_unpacked(method: int) -> None:
    found = opened(files.zipped({"a/setup.bin": PROGRAM}, method=method), "a.zip")
    assert FileClass.EXECUTABLE in found["a.zip › a/setup.bin"].classes
    assert found["a.zip › a/setup.bin"].size == len(PROGRAM)


def test_zips_in_zips_are_opened_to_the_bottom() -> None:
    content = files.zipped({"inner.zip": files.zipped({"deep.zip": files.zipped({"setup.exe": PROGRAM})})})
    found = opened(content, "outer.zip")
    assert FileClass.EXECUTABLE in found["outer.zip › inner.zip › deep.zip › setup.exe"].classes
    assert found["outer.zip › inner.zip › deep.zip › setup.exe"].depth == 3


def test_a_member_missing_from_the_directory_is_found() -> None:
    """Repair tools and streaming unpackers show it to the user; the directory does not list it."""
    hidden = files.zipped({"setup.exe": PROGRAM})
    local = hidden[: hidden.index(b"PK\x01\x02")]
    listed = files.zipped({"readme.txt": b"nothing here"})
    result = walk(local + listed, "a.zip")
    paths = {each.path: each for each in result.attachments}
    assert FileClass.EXECUTABLE in paths["part 2 › a.zip › setup.exe"].classes
    assert "part 2 › a.zip › readme.txt" in paths
    assert [defect.code for defect in result.defects] == ["zip-hidden-members"]


def test_a_zip_without_its_directory_is_read_by_its_local_headers() -> None:
    whole = files.zipped({"setup.exe": PROGRAM, "b.txt": b"b"})
    found = opened(whole[: whole.index(b"PK\x01\x02")], "cut.zip")
    assert FileClass.EXECUTABLE in found["cut.zip › setup.exe"].classes
    assert "cut.zip › b.txt" in found


def test_a_streamed_member_has_its_size_after_it() -> None:
    """Zips that were written to a pipe state no sizes in their local headers (APPNOTE 4.3.9)."""
    pipe = io.BytesIO()
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("setup.exe", PROGRAM)
    whole = pipe.getvalue()
    assert (
        FileClass.EXECUTABLE in opened(whole[: whole.index(b"PK\x01\x02")], "a.zip")["a.zip › setup.exe"].classes
    )


def test_names_that_disagree_are_both_judged() -> None:
    """Local header and directory may give two names; Windows and others choose differently."""
    whole = bytearray(files.zipped({"readme.txt": b"echo"}, method=zipfile.ZIP_STORED))
    whole[30:40] = b"readme.exe"
    member = opened(bytes(whole), "a.zip")["a.zip › readme.txt"]
    assert set(member.names) == {"readme.txt", "readme.exe"}
    assert FileClass.EXECUTABLE in member.classes


def test_encrypted_members_are_named_and_not_passed() -> None:
    whole = bytearray(files.zipped({"secret.txt": b"x" * 50, "game.exe": b"y" * 50}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = whole.find(mark)
        while position >= 0:
            whole[position + at] |= 1
            position = whole.find(mark, position + 4)
    found = opened(bytes(whole), "a.zip")
    assert found["a.zip"].classes == {FileClass.ARCHIVE, FileClass.ENCRYPTED}
    assert found["a.zip › secret.txt"].classes == {FileClass.ENCRYPTED}
    assert found["a.zip › game.exe"].classes == {FileClass.ENCRYPTED, FileClass.EXECUTABLE}
    assert found["a.zip › game.exe"].size == 50


def test_an_unknown_method_is_opaque() -> None:
    whole = bytearray(files.zipped({"a.txt": b"x" * 50}))
    whole[8:10] = b"\x61\x00"
    directory = whole.index(b"PK\x01\x02")
    whole[directory + 10 : directory + 12] = b"\x61\x00"
    member = opened(bytes(whole), "a.zip")["a.zip › a.txt"]
    assert FileClass.OPAQUE in member.classes


def test_damage_is_opaque_and_what_came_before_it_is_judged() -> None:
    whole = files.zipped({"setup.dat": PROGRAM + files.noise(300_000)})
    found = opened(whole[:150_000], "a.zip")
    assert {FileClass.OPAQUE, FileClass.EXECUTABLE} <= found["a.zip › setup.dat"].classes


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + files.noise(500), "photo.jpg"),
        (b"GIF89a" + files.noise(500), "picture.gif"),
        (b"%PDF-1.4\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n", "paper.pdf"),
        (PROGRAM, "selfextract.exe"),
    ],
)
def test_a_zip_after_other_data_is_opened(before: bytes, name: str) -> None:
    """GIFAR and its kin: one file, two readers."""
    content = before + files.zipped({"inner.exe": PROGRAM})
    found = opened(content, name)
    assert FileClass.EXECUTABLE in found[f"{name} › inner.exe"].classes
    assert FileClass.ARCHIVE in found[name].classes


def test_an_apk_a_jar_and_a_windows_package_are_told_by_their_members() -> None:
    jar = files.zipped({"META-INF/MANIFEST.MF": b"Main-Class: A\n", "A.class": b"\xca\xfe\xba\xbe" + bytes(60)})
    assert FileClass.EXECUTABLE in opened(jar, "essay.zip")["essay.zip"].classes
    app = files.zipped({"AppxManifest.xml": b"<Package/>", "a.txt": b"a"})
    assert FileClass.INSTALLER in opened(app, "essay.zip")["essay.zip"].classes


def test_a_plain_document_is_plain_and_its_innards_are_no_attachments() -> None:
    document = files.zipped({
        "[Content_Types].xml": b"<?xml version='1.0'?><Types/>",
        "word/document.xml": b"<?xml version='1.0'?><w:document/>",
        "_xmlsignatures/sig1.xml": b"<?xml version='1.0'?><Signature/>",
        "word/media/image1.png": b"\x89PNG\r\n\x1a\n" + bytes(50),
    })  # fmt: skip
    found = opened(document, "letter.docx")
    assert list(found) == ["letter.docx"]
    assert found["letter.docx"].classes == {FileClass.PLAIN}


def test_a_program_in_a_document_is_found() -> None:
    document = files.zipped({"[Content_Types].xml": b"<Types/>", "word/media/image1.png": PROGRAM})
    assert FileClass.EXECUTABLE in opened(document, "letter.docx")["letter.docx › word/media/image1.png"].classes


def bomb(layers: int, width: int) -> bytes:
    """A bomb in the manner of 42.zip: ``width`` copies in each of ``layers`` layers, much nothing below."""
    content = files.zipped({"0.dll": bytes(32 * 1024 * 1024)})
    for layer in range(layers):
        content = files.zipped({f"{layer}-{number}.zip": content for number in range(width)})
    return content


def test_a_zip_bomb_ends_at_its_bound() -> None:
    """A mail of 42 kB has no reason to hold gigabytes; what is not unpacked is opaque, all the way up."""
    content = bomb(3, 16)
    assert len(content) < 64 * 1024
    result = walk(content, "42.zip")
    leaf = result.attachments[0]
    assert leaf.classes == {FileClass.ARCHIVE, FileClass.OPAQUE}
    assert "unpacks to more" in leaf.reason
    assert [defect.code for defect in result.defects] == ["inspection-limit"]
    assert result.budget.expanded_used <= 64 * 1024 * 1024 + 256 * len(content)


def test_overlapping_members_are_bounded_too() -> None:
    """A better bomb shares one packed block between many members, so its directory alone is large."""
    packed = zlib.compress(bytes(1 << 20), 9)[2:-4]
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), 1 << 20, 1, 0) + b"a"
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(packed), 1 << 20, 4, 0, 0, 0, 0, 0, 0
        )
        + f"{number:04}".encode()
        for number in range(2000)
    )
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2000, 2000, len(directory), len(local) + len(packed), 0)
    leaf = walk(local + packed + directory + end, "a.zip").attachments[0]
    assert FileClass.OPAQUE in leaf.classes


def test_a_zip_that_holds_itself_ends_at_the_depth() -> None:
    """A quine is endless by design; here ever deeper copies stand in for it."""
    content = files.zipped({"end.txt": b"end"})
    for _ in range(40):
        content = files.zipped({"r.zip": content}, method=zipfile.ZIP_STORED)
    result = walk(content, "r.zip", depth=12)
    assert max(each.depth for each in result.attachments) == 12
    assert FileClass.OPAQUE in result.attachments[-1].classes
    assert result.attachments[-1].reason.endswith("nested deeper than is opened")


@pytest.mark.slow
def test_ten_thousand_members_are_more_than_are_opened() -> None:
    content = files.zipped({f"{number}.txt": b"" for number in range(10_000)})
    result = walk(content, "many.zip", members=5000)
    assert len(result.attachments) == 5001
    assert FileClass.OPAQUE in result.attachments[0].classes
    assert "more files than are opened" in result.attachments[0].reason


def test_large_members_go_to_the_scratch_file() -> None:
    """What is large is unpacked to disk, and the disk is given back."""
    big = PROGRAM + bytes(9 * 1024 * 1024)
    content = files.zipped({"big.bin": big, "second.bin": big})
    found = opened(content, "a.zip")
    assert found["a.zip › big.bin"].size == len(big)
    assert FileClass.EXECUTABLE in found["a.zip › second.bin"].classes


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutilated_zips_never_raise(data: st.DataObject) -> None:
    """Flip, cut and repeat: the walk ends, and says something about the leaf."""
    whole = bytearray(files.zipped({"a.txt": b"hello" * 20, "b.zip": files.zipped({"c.exe": PROGRAM[:300]})}))
    for _ in range(data.draw(st.integers(1, 12))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    start = data.draw(st.integers(0, 40))
    assert walk(bytes(whole[start:]), "a.zip").attachments


def test_the_script_of_a_worksheet_is_its_own_affair_only_in_a_worksheet() -> None:
    """GeoGebra runs it inside itself; in a file of any other name somebody may open it in Windows."""
    packed = files.zipped({"geogebra.xml": b"<geogebra/>", "geogebra_javascript.js": b"function ggbOnInit() {}"})
    assert all(FileClass.SCRIPT not in each.classes for each in opened(packed, "triangle.ggb").values())
    assert any(FileClass.SCRIPT in each.classes for each in opened(packed, "triangle.zip").values())
