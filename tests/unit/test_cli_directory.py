"""`gatepost directory`: what an administrator sees of the directory before the milter uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gatepost_milter.cli import main

PEOPLE = """\
address,name,kinds,login,pupil,personal_addresses,until
a.patel@school.example,Anita Patel,staff,apatel,,anita@gmail.com,
j.leaver@school.example,Jan Leaver,staff,jleaver,,,2026-08-31
mum@btinternet.com,Rosa Brook,parent,,1,,
dad@home.example,Dan Brook,parent,,1,,
p1@school.example,Ada Brook,pupil,,1,,
"""
EXEMPTIONS = """\
who,rule,until,approved_by,reason
a.patel@school.example,big-file,2026-12-31,Head,Prospectus
@coaches.example,big-file,2026-01-31,Head,Trip
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small school."""
    folder = tmp_path / "directory"
    folder.mkdir()
    (folder / "people.csv").write_text(PEOPLE)
    (folder / "exemptions.csv").write_text(EXEMPTIONS)
    (folder / "groups.csv").write_text("address,name,size\nall@school.example,Everybody,400\n")
    (folder / "approved.csv").write_text("who,purpose\n*.bulk.example,bulk-mail\n")
    (tmp_path / "gatepost.yaml").write_text(
        f"school: {{name: Example, domains: [school.example]}}\ndirectory: {folder}\n"
    )
    return folder


def run(folder: Path, *arguments: str) -> Result:
    """The command with the settings beside ``folder``, on a fixed day."""
    config = folder.parent / "gatepost.yaml"
    return CliRunner().invoke(
        main, ["directory", *arguments, "--config", str(config), "--at", "2026-11-22"], env={"COLUMNS": "200"}
    )


def run_json(folder: Path, *arguments: str) -> Any:
    """As ``run``, giving the JSON that was printed."""
    return json.loads(run(folder, *arguments, "--json").stdout)


def test_a_clean_directory_is_counted(folder: Path) -> None:
    """The counts are what tells an administrator that half the parents are missing."""
    result = run(folder, "check")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    data = run_json(folder, "check")
    assert data["kinds"]["staff"] == 1
    assert data["kinds"]["parent"] == 2
    assert data["kinds"]["pupil"] == 1
    assert data["not_now"] == 1
    assert data["households"] == 1
    assert data["exemptions"] == {"in_force": 1, "all": 2}
    assert {Path(each["path"]).name: each["loaded"] for each in data["files"]} == {
        "approved.csv": 1,
        "exemptions.csv": 2,
        "groups.csv": 1,
        "people.csv": 5,
    }
    assert data["problems"] == []


def test_the_day_decides_who_is_there(folder: Path) -> None:
    """A directory for September is checked in July."""
    config = str(folder.parent / "gatepost.yaml")
    result = CliRunner().invoke(
        main, ["directory", "check", "--config", config, "--at", "2026-08-31", "--json"], env={}
    )
    assert json.loads(result.stdout)["kinds"]["staff"] == 2


def test_bad_rows_are_shown_with_their_place(folder: Path) -> None:
    """Exit code 1: the rest is in force, and somebody has to mend this."""
    with (folder / "people.csv").open("a") as file:
        file.write("not an address,Zed,staff,,,,\n")
    result = run(folder, "check")
    assert result.exit_code == 1
    assert f"{folder}/people.csv:7:1: “not an address” is not a mail address" in result.stderr
    assert "1 problem\n" in result.stderr
    (problem,) = run_json(folder, "check")["problems"]
    assert (problem["line"], problem["column"]) == (7, 1)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_directory_that_cannot_be_used_is_exit_code_2(folder: Path, as_json: bool) -> None:
    """A script that installs a new directory must not install this one."""
    (folder / "people.csv").write_text("name\n")
    result = run(folder, "check", *(["--json"] if as_json else []))
    assert result.exit_code == 2
    if as_json:
        data = json.loads(result.stdout)
        assert not data["usable"]
        assert data["problems"][0]["message"]
    else:
        assert "people.csv:1:1" in result.stderr


def test_without_a_folder_in_the_settings_one_must_be_given(folder: Path) -> None:
    """Checking nothing must not look like checking."""
    (folder.parent / "gatepost.yaml").write_text("school: {name: Example, domains: [school.example]}\n")
    result = run(folder, "check")
    assert result.exit_code == 2
    assert "the settings name no directory" in result.stderr
    assert run(folder, "check", str(folder)).exit_code == 0
    assert run(folder, "lookup", "apatel", "--folder", str(folder)).exit_code == 0


def test_columns_that_nobody_needs_are_named(folder: Path) -> None:
    """Personal data that gatepost has no use for should not lie on the mail server."""
    (folder / "pupils-sims.csv").write_text("Adno,Primary Email,SEN Status\n7,p7@school.example,K\n")
    result = run(folder, "check")
    assert result.exit_code == 0
    assert "pupils-sims.csv: gatepost has no use for SEN Status" in result.stdout


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("A.Patel+x@School.example", "Anita Patel <a.patel@school.example> (people.csv:2)"),
        ("APATEL", "login of"),
        ("anita@gmail.com", "private address of"),
        ("mum@btinternet.com", "pupil 1"),
        ("mum@btinternet.com", "where the public has its mail (BT)"),
        ("all@school.example", "Everybody, 400 people"),
        ("news@eu.bulk.example", "*.bulk.example bulk-mail"),
        ("a.patel@school.example", "big-file"),
        ("j.leaver@school.example", "was or will be"),
    ],
)
def test_look_up_says_what_the_rules_would_know(folder: Path, who: str, expected: str) -> None:
    """“Why was my mail held?” is answered from the same data that the rules read."""
    result = run(folder, "lookup", who)
    assert result.exit_code == 0, result.output
    assert expected in result.stdout


def test_nobody_is_exit_code_1(folder: Path) -> None:
    """And the domain is explained all the same."""
    result = run(folder, "lookup", "x@nhs.net")
    assert result.exit_code == 1
    assert "nobody in the directory" in result.stdout
    assert "an institution (health)" in result.stdout
    assert run(folder, "lookup", "x@coaches.example").exit_code == 1


def test_look_up_as_json_has_everything(folder: Path) -> None:
    """Help-desk tools read it."""
    data = run_json(folder, "lookup", "apatel")
    assert data["known"]
    assert data["person"] is None
    assert data["login_of"]["address"] == "a.patel@school.example"
    assert data["login_of"]["kinds"] == ["staff"]
    assert data["login_of"]["personal"] == ["anita@gmail.com"]
    assert data["exempt_from"] == ["big-file"]
    assert data["domain"] is None
    data = run_json(folder, "lookup", "anita@gmail.com")
    assert [owner["name"] for owner in data["private_address_of"]] == ["Anita Patel"]
    assert data["domain"]["consumer"]
