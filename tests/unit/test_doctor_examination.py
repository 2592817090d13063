"""The doctor where Postfix cannot be asked: one fault, said once, and every other check still made."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gatepost_milter.cli import main
from gatepost_milter.doctor import postconf
from gatepost_milter.doctor.diagnosis import Result, Status
from gatepost_milter.doctor.examination import CHECKS, Examination, chosen
from gatepost_milter.doctor.postconf import PostconfError


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "gatepost.yaml"
    path.write_text(
        "school: {name: A School, domains: [school.example]}\n"
        f"socket: {tmp_path}/milter.sock\n"
        f"store: {{url: 'sqlite:///{tmp_path}/quarantine.db'}}\n"
        f"spool: {{directory: {tmp_path}}}\n"
    )
    return path


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Postfix, whose postconf fails whatever it is asked."""

    def read(directory: Path) -> postconf.Postfix:
        raise PostconfError(f"postconf: fatal: open {directory}/main.cf: Permission denied")

    monkeypatch.setattr(postconf, "read", read)
    monkeypatch.setattr(postconf, "installed", lambda: True)


def examined(settings_file: Path, *names: str) -> list[Result]:
    examination = Examination(settings_path=settings_file, postfix_directory=settings_file.parent)
    return list(examination.examine(chosen(names)))


def test_that_there_is_no_main_cf_is_said_once(settings_file: Path) -> None:
    """With its remedy; each check that needs it says that it was not made, and nothing passes for sound."""
    first, *others = examined(settings_file, "postfix", "release")
    assert (first.check, first.status) == ("postfix", Status.FAIL)
    assert first.says == f"there is no main.cf in {settings_file.parent}: Postfix is not configured there"
    assert first.mend.startswith("dpkg-reconfigure postfix; or ")
    assert [each.check for each in others] == list(chosen(["postfix", "release"]))
    assert {(each.status, each.says, each.mend) for each in others} == {
        (Status.SKIPPED, "not looked at, because Postfix's configuration cannot be read", "")
    }


def test_one_check_alone_still_fails(settings_file: Path) -> None:
    """Whoever asks for one thing must not read that all is well because it was skipped."""
    (settings_file.parent / "main.cf").touch()
    results = examined(settings_file, "postfix.bcc")
    assert [(each.check, each.status) for each in results] == [
        ("postfix", Status.FAIL),
        ("postfix.bcc", Status.SKIPPED),
    ]
    assert "Permission denied" in results[0].says
    assert f"postconf -c {settings_file.parent} -n" in results[0].mend


def test_what_does_not_need_postfix_is_looked_at(settings_file: Path) -> None:
    """The socket that is not there and a full disk are found nevertheless."""
    results = examined(settings_file, "socket", "disks")
    assert [each.check for each in results] == ["socket", "disks"]
    assert (results[0].status, "does not exist" in results[0].says) == (Status.FAIL, True)
    assert Status.SKIPPED not in {each.status for each in results}


@pytest.mark.parametrize(
    ("socket", "status"), [("inet:8891@127.0.0.1", Status.SKIPPED), ("/run/gatepost/milter.sock", Status.FAIL)]
)
def test_a_machine_without_postfix(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, socket: str, status: Status
) -> None:
    """Behind a socket of the network it is elsewhere; behind one of this machine it is missing."""
    monkeypatch.setattr(postconf, "installed", lambda: False)
    settings_file.write_text(f"school: {{name: A School, domains: [school.example]}}\nsocket: {socket}\n")
    first, *_ = examined(settings_file, "postfix")
    assert (first.check, first.status) == ("postfix", status)
    assert first.says.startswith("Postfix is not on this machine")


def test_people_read_the_reason_once(settings_file: Path) -> None:
    """One line names every check that was skipped for it; a program still gets each of them."""
    only = [word for name in ("postfix", "release") for word in ("--only", name)]
    arguments = ["doctor", "--config", str(settings_file), *only]
    shown = CliRunner().invoke(main, arguments)
    said = " ".join(shown.stdout.split())
    assert shown.exit_code == 1
    assert said.count("cannot be read") + said.count("is not configured") == 2
    assert [name for name in CHECKS if name.startswith(("postfix.", "release.")) and name not in said] == []
    assert "1 fault, 0 warnings" in said
    told = CliRunner().invoke(main, [*arguments, "--json"]).stdout
    assert told.count('"check": "postfix.') + told.count('"check": "release.') == len(
        chosen(["postfix", "release"])
    )
