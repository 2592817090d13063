"""The examples and the README that an administrator copies are what the code reads."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from gatepost_config.directory import Kind
from gatepost_config.directory_columns import (
    APPROVED,
    EXEMPTIONS,
    GROUPS,
    HEADS,
    KNOWN_HEADS,
    PEOPLE,
    SHAPES,
    Shape,
    plain,
)
from gatepost_config.directory_load import load_directory

AT = date(2026, 11, 22)


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    """The folder that an administrator copies from."""
    return root / "config" / "directory"


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


@pytest.mark.parametrize("shape", [PEOPLE, GROUPS, APPROVED, EXEMPTIONS], ids=lambda shape: shape.name)
def test_the_readme_names_every_column(examples: Path, shape: Shape) -> None:
    """A column that is not documented does not exist for those who fill the files."""
    text = (examples / "README.md").read_text(encoding="utf-8")
    expected = [
        [
            f"`{column.name}`",
            ", ".join(word for word, true in (("needed", column.needed), ("several", column.many)) if true),
            column.about,
        ]
        for column in shape.columns
    ]
    assert expected == rows(text, f"Columns: {shape.name}")


def test_the_readme_names_every_head(examples: Path) -> None:
    """The table of other systems' heads is the one that the code goes by."""
    text = (examples / "README.md").read_text(encoding="utf-8")
    documented = {
        (system, head, column.strip("`"), parents.strip("`"))
        for system, heads, column, parents in rows(text, "Heads of other systems")
        for head in heads.split(", ")
    }
    expected = {
        (
            each.layout or "any",
            each.head,
            each.column or "not used",
            "" if each.parents is None else each.parents or "not used",
        )
        for each in HEADS
    }
    assert expected == documented


def test_the_readme_names_every_file(examples: Path) -> None:
    """Including a new kind of person, which would otherwise have a file that nobody knows of."""
    text = (examples / "README.md").read_text(encoding="utf-8")
    documented = {name for cell, _ in rows(text, "Files") for name in re.findall(r"`(\w+)\.csv`", cell)}
    assert documented == set(SHAPES)
    assert {kind for _, kind in SHAPES.values() if kind} == set(Kind)


def test_heads_lead_to_columns_that_exist_and_none_is_there_twice() -> None:
    """Two rows for one head would make the meaning depend on their order."""
    names = {column.name for column in PEOPLE.columns} | {""}
    assert {each.column for each in HEADS} | {each.parents or "" for each in HEADS} <= names
    assert len(HEADS) == len(KNOWN_HEADS)
    own = {plain(name) for name in names}
    assert not own & {plain(each.head) for each in HEADS}


@pytest.mark.parametrize("layout", ["own", "SIMS", "Arbor", "Bromcom", "iSAMS"])
def test_an_example_loads_without_a_problem(examples: Path, layout: str) -> None:
    """What is copied must work, and be recognised as what it is."""
    directory = load_directory(examples / layout.lower())
    assert directory.problems == ()
    assert {report.layout for report in directory.files} == {layout}
    assert {report.left_out for report in directory.files} == {0}


def test_every_example_folder_is_tested(examples: Path) -> None:
    """A new example must come into the test above."""
    assert {path.name for path in examples.iterdir() if path.is_dir()} == {
        "own",
        "sims",
        "arbor",
        "bromcom",
        "isams",
        "ldap",  # no rows, but how to ask for them: see test_directory_sync.py
    }


def test_the_own_example_shows_what_the_rules_need(examples: Path) -> None:
    """Households, private addresses, leavers, agreed groups, approvals and exemptions."""
    directory = load_directory(examples / "own")
    mother, father = directory.household("brook.family@btinternet.com"), directory.household("dan.brook@sky.com")
    assert mother == father == "household h1"
    assert directory.household("sam.lark@gmail.com") == "household h2"
    (owner,) = directory.owners_of_personal("anitapatel@googlemail.com", at=AT)
    assert owner.address == "a.patel@school.example"
    assert directory.person("j.leaver@school.example", at=AT) is None
    assert [group.name for group in directory.agreed_groups(AT)] == ["Parent-teacher association committee"]
    assert directory.group_size("all-staff@school.example") == 184
    assert directory.approved("news@eu.bulkmailer.example", AT) is not None
    assert directory.exempt("mass-mail", "h.marsh@school.example", AT) is not None
    assert directory.exempt("private-account", "governor@school.example", AT) is not None


def test_exports_connect_families_over_their_files(examples: Path) -> None:
    """Bromcom's contacts name the student number, its pupils both numbers; Arbor names parents in pupils' rows."""
    bromcom = load_directory(examples / "bromcom")
    assert bromcom.household("eve.farrow@gmail.com") == bromcom.household("rob.stone@manx.net")
    assert bromcom.person("e.farrow@architects.example") is bromcom.person("eve.farrow@gmail.com")
    arbor = load_directory(examples / "arbor")
    assert arbor.household("j.marlow@icloud.com") == arbor.household("p.marlow@outlook.com") != ""
    assert arbor.household("quist.home@plus.com") not in ("", arbor.household("j.marlow@icloud.com"))
    sims = load_directory(examples / "sims")
    (grey,) = sims.owners_of_personal("simongrey@virginmedia.com", at=AT)
    assert grey is sims.person("s.grey@school.example")
    assert sims.person("i.hale@school.example", at=AT) is None
    isams = load_directory(examples / "isams")
    assert isams.household("clare.vane@btinternet.com") == isams.household("ian.lowe@proton.me") != ""
