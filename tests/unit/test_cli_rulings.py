"""``gatepost exemption`` and ``gatepost block``: what a person types becomes a ruling with an end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from gatepost_milter.cli import main
from gatepost_milter.cli.rulings import ends

Run = Callable[..., Result]
RULE = ("--rule", "attachment-too-large")
WHY = ("--until", "2h", "--reason", "Catalogue")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with settings of a school that has a store and two people."""
    people = tmp_path / "people"
    people.mkdir()
    (people / "staff.csv").write_text("address,aliases\nt.teacher@school.example,tt@school.example\n")
    settings = {
        "school": {"name": "School", "domains": ["school.example"]},
        "store": {"url": f"sqlite:///{tmp_path / 'quarantine.db'}", "free_floor": 0},
        "directory": str(people),
    }
    config = tmp_path / "gatepost.yaml"
    config.write_text(json.dumps(settings))
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--config", str(config)])


def listed(run: Run, kind: str, *arguments: str) -> list[dict[str, object]]:
    result = run(kind, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_exemption_is_added_listed_and_ended(run: Run) -> None:
    """The three things that a person does with one, in JSON and for eyes."""
    added = run("exemption", "add", *RULE, "--sender", "art@school.example", *WHY, "--actor", "ann", "--json")
    assert added.exit_code == 0, added.output
    made = json.loads(added.stdout)
    assert (made["rule"], made["sender"], made["actor"], made["in_force"]) == (
        "attachment-too-large",
        "art@school.example",
        "ann",
        True,
    )
    shown = run("exemption", "list").stdout
    assert "art@school.example" in shown
    assert "Catalogue" in shown
    assert listed(run, "block") == []
    ended = run("exemption", "end", str(made["id"]), "--reason", "sent", "--actor", "bob")
    assert ended.exit_code == 0, ended.output
    assert "(ended by bob)" in ended.stdout
    assert listed(run, "exemption") == []
    assert [each["ended_by"] for each in listed(run, "exemption", "--all")] == ["bob"]


def test_a_block_names_a_file_by_a_copy_of_it(run: Run, tmp_path: Path) -> None:
    """Nobody types 64 digits; the digest is what is kept."""
    (tmp_path / "bad.bin").write_bytes(b"bad")
    assert run("block", "add", "--file", str(tmp_path / "bad.bin"), *WHY).exit_code == 0
    (made,) = listed(run, "block")
    assert made["sha256"] == hashlib.sha256(b"bad").hexdigest()


def test_an_alias_becomes_the_mailbox_that_mail_is_judged_by(run: Run) -> None:
    """A block of one of somebody's addresses would else be passed by with the other."""
    assert run("block", "add", "--sender", "tt@school.example", *WHY).exit_code == 0
    assert [each["sender"] for each in listed(run, "block")] == ["t.teacher@school.example"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("exemption", "add", "--rule", "attachment-to-large", "--sender", "a@b.example", *WHY), "did you mean"),
        (("exemption", "add", *RULE, *WHY), "name at least one"),
        (("exemption", "add", *RULE, "--sender", "nobody", *WHY), "nobody"),
        (("exemption", "add", *RULE, "--file", "/nowhere", *WHY), "neither a SHA-256 nor a file"),
        (("block", "add", "--sender", "a@b.example", "--until", "soon", "--reason", "r"), "2026-12-24"),
        (("block", "add", "--sender", "a@b.example", "--until", "2001-01-01", "--reason", "r"), "later time"),
        (("block", "add", "--sender", "a@b.example", "--until", "2h", "--reason", " "), "needs a reason"),
        (("block", "add", "--sender", "a@b.example", "--reason", "r"), "--until"),
        (("block", "add", "--sender", "a@b.example", "--until", "2h"), "--reason"),
    ],
)
def test_what_cannot_be_ruled_is_said_at_once(run: Run, arguments: tuple[str, ...], says: str) -> None:
    """A ruling that nobody can mean is refused with what to write instead, and nothing is kept."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert listed(run, arguments[0], "--all") == []


def test_ending_what_is_not_there_is_a_no(run: Run) -> None:
    """Exit code 1: the answer is no."""
    assert run("block", "end", "00000000", "--reason", "r").exit_code == 1


def test_an_exempt_sender_outside_is_pointed_out(run: Run) -> None:
    """From is a claim, so such an exemption would spare nothing; the recipient's would."""
    result = run("exemption", "add", *RULE, "--sender", "printer@print.example", *WHY)
    assert result.exit_code == 0
    assert "nothing proves who sent mail from outside" in result.stderr


@pytest.mark.parametrize(
    ("until", "moment"),
    [
        ("2h", datetime(2026, 7, 1, 14, 0, tzinfo=UTC)),
        ("1w", datetime(2026, 7, 8, 12, 0, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 7, 1, 23, 0, tzinfo=UTC)),
        ("2026-07-01 15:30", datetime(2026, 7, 1, 14, 30, tzinfo=UTC)),
        ("2026-07-01T15:30+00:00", datetime(2026, 7, 1, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_the_schools_and_a_day_lasts_until_its_end(until: str, moment: datetime) -> None:
    """In summer the school's day ends an hour before the clock of the log."""
    now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert ends(until, now=now, zone=ZoneInfo("Europe/London")) - moment == timedelta(0)
