"""Exports of management information systems: known by name, root element and headings, and only with rows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect.exports import Export, Form, file_name, find
from gatepost_milter.detect.pages import Page

HEADS = ["UPN", "Legal Surname", "Legal Forename", "DOB", "Reg", "SEN Status", "FSM"]
PUPIL = ["K801000025001", "Smith", "Anna", "12/03/2014", "7C", "K", "N"]


def _one(text: str | Page) -> Export:
    (export,) = find(Page(text, where="part 2") if isinstance(text, str) else text)
    return export


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("8012345_CTF_8019999_001.xml", Form.TRANSFER),
        ("820LLLL_CTF_8201234_001.xml", Form.TRANSFER),
        ("8012345_CTF_XXXXXXX_004.XML", Form.TRANSFER),
        ("8012345_CTF_MMMMMMM_017.xml", Form.TRANSFER),
        ("Copy of 8012345_ctf_8019999_001 (2).xml", Form.TRANSFER),
        ("8012345_SC3_801LL26_002.xml", Form.TRANSFER),
        ("Leavers.RptDef", Form.REPORT),
        ("E6A12345.X01", Form.EXAMINATION),
    ],
)
def test_statutory_and_exported_files_are_known_by_name(name: str, form: Form) -> None:
    """A CTF goes by School to School, whatever stands in it (IDENTIFIERS 14)."""
    export = file_name(name)
    assert export is not None
    assert (export.form, export.where) == (form, name)


@pytest.mark.parametrize(
    "name",
    [
        "ctf.xml",
        "CTF guidance 2026.pdf",
        "8012345_CTF_8019999_001.xml.pdf",
        "letter.xml",
        "Exam.X01",
        "report.rtf",
        "",
    ],
)
def test_other_files_are_not(name: str) -> None:
    """Guidance about such files carries their names in its own."""
    assert file_name(name) is None


def test_a_transfer_file_is_known_by_its_root() -> None:
    """A renamed file is still what it is."""
    pupils = "<Pupil><UPN>K801000025001</UPN></Pupil>" * 30
    export = _one(f'<?xml version="1.0"?>\n<CTfile><Header/><CTFpupilData>{pupils}</CTFpupilData></CTfile>')
    assert (export.form, export.rows, export.line) == (Form.TRANSFER, 30, 2)
    assert _one("<SuperStarReport><Record/></SuperStarReport>").program == "SIMS"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_with_headings_and_rows(delimiter: str) -> None:
    """Csv, a sheet written out, or a table pasted into a letter."""
    lines = (
        ["Dear all, here they are.", "", delimiter.join(HEADS)] + [delimiter.join(PUPIL)] * 12 + ["", "Regards"]
    )
    export = _one("\n".join(lines))
    assert (export.form, export.rows, export.line, export.where) == (Form.TABLE, 12, 3, "part 2")
    assert export.sensitive == ("sen status", "fsm")
    assert export.program == "SIMS"


def test_a_table_in_html_is_shown_with_spaces() -> None:
    """That is how a mail program's table looks once its markup is gone."""
    export = _one(
        "UPN Surname Forename DOB SEN\nK801000025001 Smith Anna 12/03/2014 K\nJ942999925001 Bell Ben 1/9/2014 N"
    )
    assert (export.rows, export.sensitive) == (2, ("sen",))


def test_quoted_headings_and_sheets() -> None:
    """Quotes around headings, and numbers in cells."""
    assert _one('"UPN","Surname","DOB","Ethnicity"\n"K801000025001","Smith","12/03/2014","WBRI"').rows == 1
    assert _one(Page("UPN\tSurname\tDOB\tEAL\nK801000025001\tSmith\t41710\tY", rows=True)).rows == 1


@pytest.mark.parametrize(
    ("heads", "program"),
    [
        ("Arbor Student ID,Legal First Name,Legal Last Name,Registration Form", "Arbor"),
        ("StudentID,AdmissionNumber,LegalForename,LegalSurname,TutorGroup", "Bromcom"),
        ("School ID,iSAMS Id,Academic House,Boarding House,NC Year", "iSAMS"),
        ("Adno,Legal Surname,Reg,Yr Taught In,In LEA Care", "SIMS"),
    ],
)
def test_the_headings_of_each_system(heads: str, program: str) -> None:
    """A class list with a system's own headings came out of that system, sensitive column or not."""
    assert _one(f"{heads}\n" + "x1,".join(["", *["y"] * heads.count(","), ""])).program == program


@pytest.mark.parametrize(
    "text",
    [
        "We collect: UPN, surname, DOB, ethnicity, FSM, SEN.\nWe keep it safe, for seven years.",
        "The UPN, the ULN, the date of birth and the SEN status of a pupil are personal data.\nPlease take care.",
        "UPN, Surname, DOB, SEN",  # headings alone
        "UPN, Surname, DOB, SEN\n\nThese are the columns that you need.",
        "Name,Form,House,Year\nAnna,7C,North,7\nBen,7C,South,7",  # a team list without anything sensitive
        "Surname,Address\nSmith,1 High Street",  # two headings
        "Term,Starts,Ends,INSET\nAutumn,1/9,18/12,2/9",
        "Fixture,Opponent,Venue,Year,Form\nU12,Dulwich,Home,7,7C",
        "Use the CTF: its root element is <CTfile>, and the file is sent by S2S.",
        "SEN EAL FSM PP: what do these abbreviations mean?\nThere is a meeting about them at 4 in room 7.",
        "Lesson plan\nName Form Year SEN\nWrite these words on the board and ask what they mean to the class.",
    ],
)
def test_texts_about_exports_are_none(text: str) -> None:
    """Policies, lessons and team lists use the same words."""
    assert find(Page(text)) == ()


def test_two_tables_are_two_exports() -> None:
    """Each with its own rows and line."""
    table = "\n".join([",".join(HEADS), *[",".join(PUPIL)] * 3])
    first, second = find(Page(f"{table}\n\nand last year's\n{table}\n"))
    assert (first.rows, first.line, second.rows, second.line) == (3, 1, 3, 7)


@given(st.text(alphabet="upnseddobUPN ,;|\t\n1<>CTfile", max_size=300))
def test_whatever_stands_there_nothing_raises(text: str) -> None:
    """Rows are counted only where they are, and the line exists."""
    for export in find(Page(text)):
        assert export.rows >= 1 or export.form is not Form.TABLE
        assert 1 <= export.line <= text.count("\n") + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["upn sen ", "upn sen\n", "upn,sen,dob,name,", "upn,sen,dob,name\n", "<CTfile", "sen upn dob name\n1 2 3 4\n"],
)
def test_five_megabytes_take_linear_time(unit: str) -> None:
    """Headings upon headings, on one line and on many."""
    page = Page(unit * (5_000_000 // len(unit)))
    started = time.process_time()
    find(page)
    assert time.process_time() - started < 10
