"""Archives of every kind that libarchive reads, single packed files, and disk images."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import libarchive
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.walks import opened, walk

from gatepost_milter.inspection.model import FileClass

PROGRAM = files.windows_program()


def archive(kind: str, tmp_path: Path, *, packer: str | None = None) -> bytes:
    path = tmp_path / "made"
    with libarchive.file_writer(str(path), kind, packer) as made:
        made.add_file_from_memory("docs/setup.bin", len(PROGRAM), PROGRAM)
        made.add_file_from_memory("readme.txt", 5, b"hello")
    return path.read_bytes()


@pytest.mark.parametrize(
    "kind", ["7zip", "cpio", "cpio_newc", "gnutar", "pax", "ustar", "v7tar", "xar", "iso9660"]
)
def test_every_kind_is_opened(kind: str, tmp_path: Path) -> None:
    name = "old.tar" if kind == "v7tar" else "something"
    found = opened(archive(kind, tmp_path), name)
    programs = [path for path, each in found.items() if FileClass.EXECUTABLE in each.classes]
    assert len(programs) == 1
    assert programs[0].lower().startswith(f"{name} › docs/setup")
    expected = FileClass.DISK_IMAGE if kind == "iso9660" else FileClass.ARCHIVE
    assert expected in found[name].classes


@pytest.mark.parametrize(
    ("extension", "pack"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("lzma", lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE)),
        ("zst", zstandard.compress),
    ],
)
def test_a_packed_tar_is_opened_to_the_bottom(extension: str, pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    name = f"backup.tar.{extension}"
    found = opened(pack(archive("ustar", tmp_path)), name)
    assert FileClass.EXECUTABLE in found[f"{name} › backup.tar › docs/setup.bin"].classes


@pytest.mark.parametrize("packer", ["lz4", "lzip", "compress"])
def test_rarer_packers_are_opened(packer: str, tmp_path: Path) -> None:
    found = opened(archive("ustar", tmp_path, packer=packer), "backup.tar")
    assert any(FileClass.EXECUTABLE in each.classes for each in found.values())


def test_a_gzip_of_two_streams_is_read_to_its_end() -> None:
    """gunzip joins them; a scanner that stops after the first sees only the harmless half."""
    content = gzip.compress(b"") + gzip.compress(PROGRAM)
    assert FileClass.EXECUTABLE in opened(content, "a.gz")["a.gz › a"].classes


def test_the_name_inside_a_gzip_counts() -> None:
    packed = BytesIO()
    with gzip.GzipFile("setup.exe", "wb", fileobj=packed) as made:
        made.write(b"text")
    member = opened(packed.getvalue(), "notes.txt.gz")["notes.txt.gz › notes.txt"]
    assert "setup.exe" in member.names
    assert FileClass.EXECUTABLE in member.classes


@pytest.mark.parametrize("before", [b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + files.noise(5000), PROGRAM])
def test_an_archive_after_other_data_is_opened(before: bytes, tmp_path: Path) -> None:
    """7-Zip and WinRAR open it; so a picture may carry one."""
    found = opened(before + archive("7zip", tmp_path), "holiday.jpg")
    assert FileClass.EXECUTABLE in found["holiday.jpg › docs/setup.bin"].classes


@pytest.mark.skipif(shutil.which("7z") is None, reason="needs 7z (p7zip-full)")
@pytest.mark.parametrize("headers", ["off", "on"])
def test_an_encrypted_7z_says_so(headers: str, tmp_path: Path) -> None:
    """Scenarios 13 and 53: encrypted is a class of its own, so that a policy may allow it to those who need it."""
    (tmp_path / "report.txt").write_bytes(b"private" * 100)
    made = tmp_path / "report.7z"
    subprocess.run(["7z", "a", "-psecret", f"-mhe={headers}", made, tmp_path / "report.txt"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    found = opened(made.read_bytes(), "report.7z")
    assert FileClass.ENCRYPTED in found["report.7z"].classes
    if headers == "off":
        assert found["report.7z › report.txt"].classes == {FileClass.ENCRYPTED}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_debian_package_is_an_installer_and_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: game\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n"
    )
    (root / "setup.bin").write_bytes(PROGRAM)
    subprocess.run(["dpkg-deb", "-b", root, tmp_path / "game.deb"], check=True, stdout=subprocess.DEVNULL)
    found = opened((tmp_path / "game.deb").read_bytes(), "game")
    assert FileClass.INSTALLER in found["game"].classes
    assert any(FileClass.EXECUTABLE in each.classes for each in found.values())


@pytest.mark.parametrize(
    "content",
    [
        b"\x60\xea\x29\0\x22" + bytes(200),
        bytes(7) + b"**ACE**" + bytes(200),
        b"MSWIM\0\0\0" + bytes(200),
        b"7kSt\xa01\x83\xd3" + bytes(200),
    ],
)
def test_what_nobody_here_can_open_is_opaque(content: bytes) -> None:
    assert FileClass.OPAQUE in opened(content, "file")["file"].classes


def cabinet(name: str, content: bytes) -> bytes:
    """A cabinet of one stored file (MS-CAB), with checksums left out as the format allows."""
    entry = struct.pack("<IIHHHH", len(content), 0, 0, 0x5000, 0, 0x20) + name.encode() + b"\0"
    data = struct.pack("<IHH", 0, len(content), len(content)) + content
    files_at = 36 + 8
    size = files_at + len(entry) + len(data)
    head = b"MSCF" + struct.pack("<IIIIIBBHHHHH", 0, size, 0, files_at, 0, 3, 1, 1, 1, 0, 7, 0)
    return head + struct.pack("<IHH", files_at + len(entry), 1, 0) + entry + data


@pytest.mark.parametrize("before", [b"", PROGRAM, b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + files.noise(900)])
def test_a_cabinet_is_opened_also_behind_other_data(before: bytes) -> None:
    found = opened(before + cabinet("setup.bin", PROGRAM), "driver")
    assert FileClass.EXECUTABLE in found["driver › setup.bin"].classes
    assert FileClass.ARCHIVE in found["driver"].classes


def test_a_volume_of_a_split_archive_is_opaque() -> None:
    found = opened(files.noise(3000), "backup.zip.002")
    assert FileClass.OPAQUE in found["backup.zip.002"].classes


def test_a_cut_tar_is_opaque_and_what_came_first_is_judged() -> None:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, content in (("setup.bin", PROGRAM), ("big.bin", files.noise(50_000))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, BytesIO(content))
    found = opened(packed.getvalue()[:20_000], "a.tar")
    assert FileClass.EXECUTABLE in found["a.tar › setup.bin"].classes
    assert any(FileClass.OPAQUE in each.classes for each in found.values())


def test_a_large_archive_in_an_archive_is_read_from_disk(tmp_path: Path) -> None:
    """Past a few megabytes a member is unpacked to the scratch file, and libarchive reads it there."""
    path = tmp_path / "made.tar"
    with libarchive.file_writer(str(path), "ustar") as made:
        made.add_file_from_memory("noise.bin", 6_000_000, files.noise(6_000_000))
        made.add_file_from_memory("setup.bin", len(PROGRAM), PROGRAM)
    found = opened(files.zipped({"inner.tar": path.read_bytes()}), "outer.zip")
    assert FileClass.EXECUTABLE in found["outer.zip › inner.tar › setup.bin"].classes


_made: dict[str, bytes] = {}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutilated_archives_never_raise(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    kind = data.draw(st.sampled_from(["7zip", "cpio_newc", "ustar", "xar", "iso9660"]))
    if kind not in _made:  # made once: libarchive writes the time of day into some, and then their length varies
        _made[kind] = archive(kind, tmp_path_factory.mktemp("archives"))
    whole = bytearray(_made[kind])
    for _ in range(data.draw(st.integers(1, 10))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert walk(bytes(whole[: data.draw(st.integers(1, len(whole)))]), "a").attachments
