"""Every family works inside the sandbox too: there nothing can be imported, opened or loaded any more."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path

import libarchive
import pytest
import zstandard
from support import files
from support.walks import walk

from gatepost_config.settings import Inspection
from gatepost_milter.inspection.inspectors import FAULTS, Inspectors
from gatepost_milter.inspection.model import Leaf
from gatepost_milter.spool import Spool

LIMITS = Inspection(inspectors=1)
PROGRAM = files.windows_program()


@pytest.fixture(scope="module")
def inspectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspectors]:
    pool = Inspectors(LIMITS, tmp_path_factory.mktemp("spool"))
    yield pool
    pool.close()


def archived(kind: str, folder: Path, packer: str | None = None) -> bytes:
    with libarchive.file_writer(str(folder / kind), kind, packer) as made:
        made.add_file_from_memory("café/setup.bin", len(PROGRAM), PROGRAM)
    return (folder / kind).read_bytes()


def samples(folder: Path) -> Iterator[tuple[str, bytes]]:
    for kind in ("7zip", "cpio_newc", "ustar", "pax", "xar", "iso9660"):
        yield f"{kind}.bin", archived(kind, folder)
    for packer in ("lz4", "lzip", "compress"):
        yield f"{packer}.tar", archived("ustar", folder, packer)
    yield "a.gz", gzip.compress(PROGRAM)
    yield "a.bz2", bz2.compress(PROGRAM)
    yield "a.xz", lzma.compress(PROGRAM)
    yield "a.zst", zstandard.compress(PROGRAM)
    yield "large.zip", files.zipped({"große.tar": archived("ustar", folder) + bytes(6_000_000)})
    yield (
        "a.doc",
        files.compound({"WordDocument": bytes(600), "\x01Ole10Native": files.packaged("a.exe", PROGRAM)}),
    )
    yield "a.docx", files.zipped({"[Content_Types].xml": b"<Types/>", "word/vbaProject.bin": b"x"})
    yield (
        "a.eml",
        (
            b"Subject: =?koi8-r?B?8NLJ18XU?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-jp"
            b"; name*=shift_jis''%83%65.exe\r\n\r\nhello\r\n"
        ),
    )
    yield "a.rtf", b"{\\rtf1 {\\object {\\*\\objdata 4d5a9000}}}"
    yield "a.pdf", b"%PDF-1.4\n1 0 obj << /S /Launch >> endobj\n"
    yield "a.html", f"<html><script>a='{PROGRAM.hex()}'</script></html>".encode()
    yield "winmail.dat", b"\x78\x9f\x3e\x22\x01\x00" + bytes(40)
    yield "noise", files.noise(5000)


def test_the_sandbox_changes_no_answer(inspectors: Inspectors, tmp_path: Path) -> None:
    """A lazy import or a library opened on first use works in every other test, and fails here."""
    before = FAULTS._value.get()
    for name, content in samples(tmp_path):
        leaf = Leaf(
            number="2",
            path="part 2",
            names=(name,),
            claimed="application/octet-stream",
            encoding="identity",
            start=0,
            end=len(content),
        )
        found = inspectors.examine(Spool.of(content), [leaf], limits=LIMITS, deadline=30, hashes=False)
        assert list(found.attachments) == walk(content, name).attachments, name
    assert FAULTS._value.get() == before
