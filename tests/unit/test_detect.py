"""Detection: content beats name, and text that talks about programs is text."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import files

from gatepost_milter.inspection import detect
from gatepost_milter.inspection.model import FileClass

PLAIN = {FileClass.PLAIN}


def stub(signature: bytes) -> bytes:
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + signature + bytes(200)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.jpg", files.windows_program()),
        ("", files.windows_program()),
        ("notes.txt", files.windows_program()),
        ("a.dat", stub(b"NE")),
        ("a.dat", stub(b"LE")),
        ("a.dat", b"MZ" + bytes(100)),
        ("a.dat", files.linux_program()),
        ("a.dat", b"\xcf\xfa\xed\xfe\x07\0\0\x01" + bytes(64)),
        ("a.dat", b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(64)),
        ("a.dat", b"dex\n035\0" + bytes(64)),
        ("a.txt", rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"),
    ],
)
def test_a_program_is_a_program_whatever_its_name(name: str, content: bytes) -> None:
    """KCS 2.6, scenario 7: bytes decide what runs by its bytes."""
    assert FileClass.EXECUTABLE in detect.identify(content, (name,)).classes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report for www.example.com", b"The site was down on Monday, and here is why.\n"),
        ("MZ.txt", b"MZ are my initials; I write about exe files and PE headers all day.\n" * 3),
        ("lesson.txt", b"#!/bin/sh\necho this is how a script begins\n"),
        ("lesson.txt", b"@echo off\r\nrem homework: what does this do?\r\n"),
        ("essay", b'A virus may call CreateObject("WScript.Shell") and then run cmd.exe /c del.\n'),
        ("essay.md", b"[InternetShortcut]\nis how a .url file begins\n"),
        ("drawing.cdr", b"RIFF\x10\0\0\0CDR9vrsn" + bytes(400)),
        ("marks.dat", files.noise(4000)),
        ("model.obj", b"v 0.0 0.0 0.0\nv 1.0 0.0 0.0\nf 1 2 3\n" * 20),
        ("page.html", b"<html><body><script>document.title='x'</script>hello</body></html>"),
        ("Year 9 [final] (copy 2) " + "long " * 40 + ".txt", b"hello\n"),
        ("empty.txt", b""),
    ],
)
def test_harmless_files_stay_plain(name: str, content: bytes) -> None:
    """A false alarm costs a teacher's lesson and IT Support's patience."""
    nature = detect.identify(content, (name,))
    assert nature.classes == PLAIN, nature.reason


def test_a_name_that_yields_to_text_says_so() -> None:
    """Scenario 8: delivered with a tag, so the reason and a milder tier remain."""
    nature = detect.identify(b"The site was down on Monday.\n", ("report for www.example.com",))
    assert nature.classes == PLAIN
    assert nature.tier == "T3"
    assert ".com" in nature.reason


@pytest.mark.parametrize(
    ("name", "kind", "tier"),
    [
        ("homework.py", FileClass.SCRIPT, "T2"),
        ("setup.exe", FileClass.EXECUTABLE, "T1"),
        ("love-letter.txt.vbs", FileClass.SCRIPT, "T1"),
        ("run.ps1", FileClass.SCRIPT, "T1"),
        ("page.hta", FileClass.SCRIPT, "T1"),
        ("setup.msi", FileClass.INSTALLER, "T1"),
    ],
)
def test_what_runs_by_name_is_judged_by_name(name: str, kind: FileClass, tier: str) -> None:
    nature = detect.identify(b"x = 1\n", (name,))
    assert kind in nature.classes
    assert nature.tier == tier


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + bytes(60), FileClass.SHORTCUT),
        (b"[InternetShortcut]\r\nURL=file://192.0.2.1/share/x\r\n", FileClass.SHORTCUT),
        (b"<?xml version='1.0'?>\n<libraryDescription xmlns='http://schemas.microsoft.com/windows/2009/library'>",
         FileClass.SHORTCUT),
        (b"<?xml version='1.0'?><PCSettings><SearchableContent xmlns='x'><ApplicationInformation>",
         FileClass.SHORTCUT),
        (b"<html><head><HTA:APPLICATION ID='a'></head></html>", FileClass.SCRIPT),
        (b"<?xml version='1.0'?>\n<job id='a'><script language='VBScript'>x</script></job>", FileClass.SCRIPT),
        (b"#@~^DgAAAA==\\ko$K6,JCV^GJqAQAAA==^#~@", FileClass.SCRIPT),
        (b"#!/usr/bin/env python3\nprint(1)\n", FileClass.SCRIPT),
        (b"Set shell = 1\nCreateObject(\"WScript.Shell\").Run \"calc\"\n", FileClass.SCRIPT),
        (b"@echo off\r\nformat c:\r\n", FileClass.SCRIPT),
        (b"Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n", FileClass.SCRIPT),
        (bytes(32768) + b"\x01CD001\x01" + bytes(4000), FileClass.DISK_IMAGE),
        (bytes(32768) + b"\0BEA01\x01" + bytes(4000), FileClass.DISK_IMAGE),
        (b"conectix" + bytes(600), FileClass.DISK_IMAGE),
        (bytes(4096) + b"koly\0\0\0\x04" + bytes(504), FileClass.DISK_IMAGE),
    ],
)  # fmt: skip
def test_content_that_gives_itself_away(content: bytes, kind: FileClass) -> None:
    """A file without a telling name is what its form says: libmagic knows few of these."""
    assert kind in detect.identify(content, ("file",)).classes


def test_utf16_scripts_are_read() -> None:
    """Windows writes .reg and script files in UTF-16."""
    content = "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n".encode("utf-16")
    assert FileClass.SCRIPT in detect.identify(content, ("settings",)).classes


@given(st.binary(max_size=3000), st.text(max_size=40))
def test_never_raises_on_content(content: bytes, name: str) -> None:
    assert detect.identify(content, (name,)).classes
