"""Archives, packages and disk images as real packers write them: tests/samples/README.md says how."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.corpus.packers import rar4, rar5
from support.walks import opened

from gatepost_milter.inspection import detect, unopened
from gatepost_milter.inspection.model import Attachment, FileClass

SAMPLES = Path(__file__).parent.parent / "samples"
SEEN = ("bzdio.rpm", "gzdio.rpm", "hybrid.iso", "program.lzh", "udf.iso", "xzdio.rpm", "zstdio.rpm")
DISKS = (
    "disk.hdd", "disk.qcow", "disk.qcow2", "disk.qed", "disk.vdi", "disk.vhd", "disk.vhdx", "disk.vmdk",
    "ext2.img", "fat.img", "fixed.vhd", "flat.vmdk", "gpt.img", "hfs.img", "mbr.img", "program.esd",
    "program.squashfs",
)  # fmt: skip
PACKED = ("program.arj", "program.lrz", "program.lzo", "program.zpaq")


def sample(name: str) -> bytes:
    return lzma.decompress((SAMPLES / f"{name}.xz").read_bytes())


def unnamed(content: bytes) -> dict[str, Attachment]:
    """What is found when the name tells nothing, so that the bytes have to."""
    return opened(content, "marks.dat")


@pytest.mark.parametrize("name", SEEN)
def test_what_is_opened_shows_its_program(name: str) -> None:
    programs = [each for path, each in unnamed(sample(name)).items() if FileClass.EXECUTABLE in each.classes]
    assert [each.size for each in programs] == [512]


@pytest.mark.parametrize("name", DISKS)
def test_a_disk_is_a_disk_image_by_its_bytes_alone_and_opaque(name: str) -> None:
    """Windows opens several of these on a double click; a rule on disk images must see all of them."""
    found = unnamed(sample(name))["marks.dat"]
    assert {FileClass.DISK_IMAGE, FileClass.OPAQUE} <= found.classes, found.reason


@pytest.mark.parametrize("name", PACKED)
def test_what_nothing_here_unpacks_is_an_opaque_archive(name: str) -> None:
    found = unnamed(sample(name))["marks.dat"]
    assert {FileClass.ARCHIVE, FileClass.OPAQUE} <= found.classes, found.reason


def test_a_help_file_is_a_script_that_cannot_be_opened() -> None:
    """Compiled help runs script as its reader; it is held as one, and as unseen."""
    assert {FileClass.SCRIPT, FileClass.OPAQUE} <= unnamed(sample("help.chm"))["marks.dat"].classes


@pytest.mark.parametrize("name", ["udf.iso", "hybrid.iso"])
def test_an_image_with_a_second_file_system_is_opaque_too(name: str) -> None:
    """Windows shows the UDF side, macOS the HFS side; either may hold other files than the side that is read."""
    assert FileClass.OPAQUE in unnamed(sample(name))["marks.dat"].classes


def test_every_sample_is_looked_at() -> None:
    held = {path.name.removesuffix(".xz") for path in SAMPLES.glob("*.xz")}
    assert held == {*SEEN, *DISKS, *PACKED, "help.chm"}


@pytest.mark.parametrize(
    ("content", "locked"),
    [
        (b"encrcdsa\0\0\0\x02" + bytes(500), True),
        (files.noise(600) + b"cdsaencr", True),
        (b"\xeb\x58\x90-FVE-FS-" + bytes(600), True),
        (b"LUKS\xba\xbe\0\x02" + bytes(600), True),
        (b"\0" + b"\xff" * 10 + b"\0\0\x02\0\x01" + files.noise(2400), False),
        (bytes(32) + b"NXSB" + bytes(5000), False),
        (bytes(1024) + b"H+\0\x04" + bytes(600), False),
        (files.noise(600) + b"NER5" + bytes(8), False),
        (files.noise(600) + b"bbis" + bytes(60), False),
    ],
)
def test_rarer_disks_are_known_and_encrypted_ones_say_so(content: bytes, locked: bool) -> None:
    found = unnamed(content)["marks.dat"]
    assert FileClass.DISK_IMAGE in found.classes
    assert (FileClass.ENCRYPTED in found.classes) == locked


@pytest.mark.parametrize(
    "words",
    [
        "SIT! Good dog, said the guide dog's owner.", "StuffIt was a program.", "EGGAR and Sons, butchers",
        "COWD, a village in Kent", "ITSF, the table soccer federation", "AA01\r\nBB02\r\n", "070701,Alice,7B\r\n",
        "LZIP is for losers", "BZh is a label", "ls -lha shows all files", "WARC/PARC", "SZDD, KWAJ and LRZI",
        "RZIP2 and CISO, UHARC", "BWT is a transform", "DAA stands for", "XFSB", "QED, as Euclid would say",
        "070707 was his birthday", "Rar! said the lion", "MSCF and xar! and 7z", "IsZ! 7kSt zPQ", "a-lh5 motor",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["notes.txt", "marks.dat", "letter"])
def test_letters_that_begin_like_an_archive_are_letters(words: str, name: str) -> None:
    """A mark of letters alone would hold a class list because its first date is 7 July 2001."""
    found = opened((words + "\r\nAnd so on, for a page or two.\r\n" * 30).encode(), name)[name]
    assert found.classes == {FileClass.PLAIN}, found.reason


@pytest.mark.parametrize(("build", "flags"), [(rar4, 10), (rar5, 15)])
def test_one_volume_of_a_rar_is_opaque(build: Callable[[bytes, bytes], bytes], flags: int) -> None:
    """What crosses the end of a volume looks like a whole file to the unpacker, and is not."""
    whole = build(b"setup.exe", files.windows_program())
    volume = whole[:flags] + bytes([whole[flags] | 1]) + whole[flags + 1 :]
    assert FileClass.OPAQUE in unnamed(volume)["marks.dat"].classes
    assert FileClass.OPAQUE not in unnamed(whole)["marks.dat"].classes


@pytest.mark.parametrize("mark", [b"P*M\x18", b"_*M\x18"])
def test_frames_that_unpackers_skip_do_not_hide_a_file(mark: bytes) -> None:
    """RFC 8878 section 3.1.2: zstd and lz4 skip them, so they may stand before what is unpacked."""
    packed = mark + b"\x04\0\0\0skip" + zstandard.compress(files.windows_program())
    assert any(FileClass.EXECUTABLE in each.classes for each in unnamed(packed).values())


def test_an_lzma_file_of_unusual_settings_is_opened_by_its_name() -> None:
    """The format bears no mark: its first byte holds settings, and is only usually a closing bracket."""
    settings_of = {"id": lzma.FILTER_LZMA1, "lc": 2, "lp": 1, "pb": 1}
    packed = lzma.compress(files.windows_program(), format=lzma.FORMAT_ALONE, filters=[settings_of])
    assert FileClass.EXECUTABLE in opened(packed, "setup.lzma")["setup.lzma › setup"].classes


def test_an_archive_that_no_family_opens_is_opaque() -> None:
    """A kind that libmagic knows and nothing here reads must not pass as looked at."""
    arc = b"\x1a\x08SETUP.EXE\0\0\0\0" + files.noise(3000)
    assert detect.is_archive(unnamed(arc)["marks.dat"].detected)
    assert FileClass.OPAQUE in unnamed(arc)["marks.dat"].classes


@given(st.binary(max_size=700))
@settings(max_examples=200)
def test_recognising_never_raises(data: bytes) -> None:
    found = unopened.recognise(data)
    assert found is None or found.words
