"""Every name that a client or Windows could make of a file's name, and what names promise."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.inspection import filetypes
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.inspection.names import normalise


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Letter to parents.docx", "Letter to parents.docx"),
        ("SETUP.EXE", "SETUP.EXE"),
        ("invoice.pdf.exe", "invoice.pdf.exe"),
        ("setup.exe.", "setup.exe"),
        ("setup.exe. . .  ", "setup.exe"),
        ("setup.exe\u00a0", "setup.exe"),
        ("  setup.exe", "setup.exe"),
        ('"setup.exe"', "setup.exe"),
        ("setup.exe;", "setup.exe"),
        ("setup.exe::$DATA", "setup.exe"),
        ("notes.txt:setup.exe", "setup.exe"),
        ("notes.txt:setup.exe:$DATA", "setup.exe"),
        ("C:\\Users\\x\\setup.exe", "setup.exe"),
        ("/home/x/setup.exe", "setup.exe"),
        ("..\\..\\setup.exe", "setup.exe"),
        ("setup.ex\\e", "setup.exe"),
        ("setup\u2044..\u2044x.exe", "x.exe"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("invoice\u202eexe.pdf", "invoicefdp.exe"),
        ("invoice\u2067fdp.exe\u2069", "invoicefdp.exe"),
        ("set\u200bup.e\u200dxe", "setup.exe"),
        ("setup.exe\ufeff", "setup.exe"),
        ("setup\u00ad.exe", "setup.exe"),
        ("setup.e\U000e0061xe", "setup.exe"),
        ("\uff53\uff45\uff54\uff55\uff50\uff0e\uff45\uff58\uff45", "setup.exe"),
        ("setup\u2024exe", "setup.exe"),
        ("setup\u3002exe", "setup.exe"),
        ("setup%2eexe", "setup.exe"),
        ("%73etup%2Eex%65", "setup.exe"),
        ("setup%252eexe", "setup.exe"),
        ("setup&#46;exe", "setup.exe"),
        ("setup&#x2e;exe", "setup.exe"),
        ("=?utf-8?B?c2V0dXAuZXhl?=", "setup.exe"),
        ("=?utf-8?q?setup=2Eexe?=", "setup.exe"),
        ("=?x-unknown?q?setup=2Eexe?=", "setup.exe"),
        ("=?utf-8?q?=3D=3Futf-8=3FB=3Fc2V0dXAuZXhl=3F=3D?=", "setup.exe"),
        ("utf-8''setup.exe", "setup.exe"),
        ("utf-8''setup%2Eexe", "setup.exe"),
        ("setup.exe\0.txt", "setup.exe"),
        ("setup\0.exe", "setup.exe"),
        ("setup\r\n .exe", "setup.exe"),
        ("setup\t.exe", "setup.exe"),
        ("report.txt.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}", "report.txt"),
        (
            "report.txt.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b} ",
            "report.txt.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}",
        ),
        ("setup.exe" + " " * 300 + ".txt", "setup.exe"),
        ("a" * 251 + ".exe.txt", "a" * 251 + ".exe"),
    ],
)
def test_a_reading_of_the_name_is_found(raw: str, wanted: str) -> None:
    """Each trick is a way to show one extension and to run another."""
    assert wanted in normalise(raw)


@pytest.mark.parametrize("raw", ["", " ", ".", "...", "\0", "\u202e", "/", '""'])
def test_a_name_of_nothing_is_no_name(raw: str) -> None:
    """A leaf with such a name is examined as one without a name."""
    assert normalise(raw) == ()


def test_the_first_name_is_the_one_to_show() -> None:
    """Reviewers read decoded words, not their encoding."""
    assert normalise("=?utf-8?Q?=C3=9Cbersicht=2Epdf?=")[0] == "Übersicht.pdf"


@given(st.text(max_size=400))
def test_any_text_gives_clean_names(raw: str) -> None:
    """Names go to notices, the console and log lines: no control character, no folder, no trailing dot."""
    for name in normalise(raw):
        assert name
        assert not name.endswith((".", " "))
        assert "/" not in name
        assert not any(ord(character) < 32 for character in name)


@pytest.mark.parametrize(
    "raw", ["a%41=?x?q?\u202e" * 40_000, "=?" * 300_000, "a. " * 200_000, "a" * 600_000 + "?", "%25" * 200_000]
)
def test_long_names_cost_little(raw: str) -> None:
    """A name is looked at from both ends; what a hostile one costs does not grow with it."""
    started = time.process_time()
    normalise.__wrapped__(raw)
    assert time.process_time() - started < 1.0


def test_the_table_is_sound() -> None:
    """Extensions are once, lower case, sorted; tier 5 never has a class; every row says what it is."""
    table = filetypes.table()
    assert list(table) == sorted(table)
    for extension, kind in table.items():
        assert extension == extension.lower().strip(". ")
        assert kind.tier in {"T1", "T2", "T3", "T4", "T5"}
        assert kind.description
        assert kind.tier != "T5" or kind.classes == {FileClass.PLAIN}
        assert not kind.classes & {FileClass.ENCRYPTED, FileClass.OPAQUE}
        assert FileClass.PLAIN not in kind.classes or len(kind.classes) == 1
    assert len(table) > 380


@pytest.mark.parametrize(
    ("name", "expected", "tier"),
    [
        ("setup.exe", {FileClass.EXECUTABLE}, "T1"),
        ("SCREEN.SCR", {FileClass.EXECUTABLE}, "T1"),
        ("run.vbs", {FileClass.SCRIPT}, "T1"),
        ("homework.py", {FileClass.SCRIPT}, "T2"),
        ("Main.java", {FileClass.PLAIN}, "T5"),
        ("marks.xlsm", {FileClass.MACRO}, "T3"),
        ("report.doc", {FileClass.PLAIN}, "T4"),
        ("page.html", {FileClass.PLAIN}, "T3"),
        ("report.zip", {FileClass.ARCHIVE}, "T4"),
        ("app.jar", {FileClass.ARCHIVE, FileClass.EXECUTABLE}, "T1"),
        ("disk.iso", {FileClass.DISK_IMAGE}, "T1"),
        ("site.url", {FileClass.SHORTCUT}, "T1"),
        ("app.msi", {FileClass.INSTALLER}, "T1"),
        ("tweak.reg", {FileClass.SCRIPT}, "T1"),
        ("addin.xll", {FileClass.EXECUTABLE}, "T1"),
        ("x.settingcontent-ms", {FileClass.SHORTCUT}, "T1"),
        ("big.zip.007", {FileClass.ARCHIVE}, "T3"),
        ("big.r17", {FileClass.ARCHIVE}, "T3"),
        ("x.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}", {FileClass.SHORTCUT}, "T1"),
    ],
)
def test_what_a_name_promises(name: str, expected: set[FileClass], tier: str) -> None:
    """Rules speak of classes; programs, scripts and macros are different things to a school."""
    found = filetypes.lookup(name)
    assert found is not None
    assert found.classes == expected
    assert found.tier == tier


@pytest.mark.parametrize("name", ["letter.docx", "letter.pdf", "photo.jpeg", "README", "", "v1.2", "exe"])
def test_unlisted_names_promise_nothing(name: str) -> None:
    """What is not listed is judged by its content alone."""
    assert filetypes.lookup(name) is None


def test_a_web_address_as_a_name_gives_way_to_its_content() -> None:
    """A text called "report for www.example.com" is no program (scenario 4 of the schools)."""
    found = filetypes.lookup("report for www.example.com")
    assert found is not None
    assert found.yields
    program = filetypes.lookup("setup.exe")
    assert program is not None
    assert not program.yields


def test_the_strictest_name_counts() -> None:
    """Of several names, the one that mail systems fear most gives the tier."""
    found = filetypes.strictest(["a.zip", "a.exe", "a.txt"])
    assert found is not None
    assert found.extension == "exe"
    assert filetypes.strictest(["a.txt", "b"]) is None
