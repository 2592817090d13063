"""``gatepost check``: the envelope that it supposes, what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.mail import attachment, inspection, settings, transaction

from gatepost_config.words import Direction
from gatepost_milter.cli import configured
from gatepost_milter.cli.check import check, to_json
from gatepost_milter.cli.check_envelope import Given, header_fields, transaction_for, wire_form
from gatepost_milter.cli.check_shown import show
from gatepost_milter.inspection.model import Defect, FileClass, Inspection, Part, VisibleRecipient
from gatepost_milter.policy.identity import direction_of, identify
from gatepost_milter.policy.policy import load
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Transaction

LETTER = b"From: a@outside.example\r\nTo: t@school.example\r\nSubject: Trip\r\n\r\nOn Friday.\r\n"


def supposed(header: bytes, given: Given | None = None, *, author: str = "", to: str = "") -> Transaction:
    """The transaction for a message with this header; From and To as inspection would have read them."""
    inspected = Inspection(
        size=1,
        from_=(VisibleRecipient(field="From", address=author),) if author else (),
        recipients=(VisibleRecipient(field="To", address=to),) if to else (),
    )
    content = header + b"\r\n\r\nText\r\n"
    return transaction_for(content, Spool.of(content), inspected, settings(), given or Given())


def way(message: Transaction) -> Direction:
    return direction_of(message.recipients[0].address, identify(message, settings()), settings())


def test_mail_from_outside_is_taken_as_inbound() -> None:
    """The ordinary case: a file that somebody sent in."""
    message = supposed(b"X: y", author="a@outside.example", to="t@school.example")
    assert message.sender.address == "a@outside.example"
    assert way(message) is Direction.INBOUND


def test_a_draft_by_a_colleague_is_taken_as_sent_by_them() -> None:
    """“What would happen if I sent this?” must not be answered as if a stranger had sent it."""
    message = supposed(b"X: y", author="t@school.example", to="a@outside.example")
    assert message.client.login == "t@school.example"
    assert way(message) is Direction.OUTBOUND


def test_a_message_that_came_by_smtp_is_what_its_newest_received_field_says() -> None:
    """A forged From of a message that came from outside must stay forged."""
    received = b"Received: from mx.evil.example (mx.evil.example [203.0.113.9])\r\n\tby mail.school.example"
    message = supposed(received, author="head@school.example", to="t@school.example")
    assert (message.client.address, message.client.login) == ("203.0.113.9", "")
    assert way(message) is Direction.INBOUND


def test_postfix_says_in_received_who_was_logged_in() -> None:
    """smtpd_sasl_authenticated_header writes it."""
    received = b"Received: from pc ([192.0.2.7])\r\n\t(Authenticated sender: t@school.example)\r\n\tby mail"
    message = supposed(received, author="x@outside.example", to="a@outside.example")
    assert (message.client.address, message.client.login) == ("192.0.2.7", "t@school.example")


@pytest.mark.parametrize("given", [Given(login=""), Given(client="203.0.113.9")])
def test_who_says_how_it_came_is_believed(given: Given) -> None:
    """--login '' and --client ask: what if a stranger sent this in a colleague's name?"""
    message = supposed(b"X: y", given, author="head@school.example", to="t@school.example")
    assert message.client.login == ""
    assert way(message) is Direction.INBOUND


def test_what_is_given_wins_over_the_header() -> None:
    """The options are the envelope."""
    given = Given(sender="<b@x.example>", recipients=("c@y.example",), login="teacher", client="192.0.2.1")
    message = supposed(b"Return-Path: <r@z.example>", given, to="t@school.example")
    assert message.sender.address == "b@x.example"
    assert [each.address for each in message.recipients] == ["c@y.example"]
    assert (message.client.login, message.client.address) == ("teacher", "192.0.2.1")


def test_return_path_and_sender_come_before_from() -> None:
    """They are nearer to the envelope."""
    assert supposed(b"Return-Path: <r@z.example>", author="f@z.example").sender.address == "r@z.example"
    assert supposed(b"Return-Path: <>", author="f@school.example").sender.address == ""
    assert supposed(b"Sender: S <s@z.example>", author="f@z.example").sender.address == "s@z.example"


def test_blind_copies_are_recipients_and_nobody_is_twice() -> None:
    """A draft still has its Bcc field."""
    message = supposed(b"Bcc: B <b@school.example>, t@school.example", to="t@school.example")
    assert [each.address for each in message.recipients] == ["t@school.example", "b@school.example"]


def test_unix_line_ends_become_the_wires_and_others_stay() -> None:
    """A file from a Unix editor is no broken message; a file with mixed ends may be one, and is left so."""
    assert wire_form(b"A: b\n\nc\n") == b"A: b\r\n\r\nc\r\n"
    assert wire_form(b"A: b\r\n\r\nc\n") == b"A: b\r\n\r\nc\n"


def test_header_fields_are_as_a_milter_sees_them() -> None:
    """Folded values carry LF, and the first line that is no field ends the header."""
    fields = header_fields(b"A: b\r\n\tc\r\nD:e\r\nno field\r\nF: g\r\n\r\nbody")
    assert fields == ((b"A", b" b\n\tc"), (b"D", b"e"))


def test_the_json_has_exactly_the_promised_keys() -> None:
    """Programs are built on them (DESIGN section 10)."""
    seen = inspection(attachment("setup.exe", FileClass.EXECUTABLE), defects=["bare-newline"])
    verdict = load(settings()).judge(transaction("t@school.example"), seen)
    data = json.loads(json.dumps(to_json("a.eml", verdict, seen, 0.0015)))
    assert list(data) == [
        "file", "verdict", "direction", "recipients", "findings", "attachments", "defects", "took_ms",
    ]  # fmt: skip
    assert list(data["findings"][0]) == ["rule", "clause", "action", "mode", "where", "evidence", "say"]
    assert list(data["attachments"][0]) == ["path", "name", "claimed", "detected", "size", "sha256", "classes"]
    assert data["recipients"] == {"t@school.example": "quarantine"}
    assert data["defects"] == ["bare-newline"]
    assert data["took_ms"] == 1.5


def test_people_are_told_why_where_and_what_would_help() -> None:
    """And nothing in a message can write to the terminal."""
    program = attachment("\x1b[31m[red]setup\u202eexe", FileClass.EXECUTABLE, reason="executable: Windows program")
    part = Part(
        number="2", content_type="x/y", disposition="", encoding="base64", names=("\x1b]0;a",), start=0, end=1
    )
    found = Inspection(
        size=1, attachments=(program,), parts=(part,), defects=(Defect(code="bare-newline", where="part 1"),) * 3
    )
    verdict = load(settings()).judge(transaction("t@school.example"), found)
    out = io.StringIO()
    show("a.eml", verdict, found, 0.001, Console(file=out, width=200, force_terminal=False))
    said = out.getvalue()
    for expected in ("QUARANTINE", "executable-attachment", "Windows program", "To let it pass", "default.yaml:"):
        assert expected in said
    for expected in ("[red]setup", "bare-newline (part 1) × 3", "base64", "not known: from outside"):
        assert expected in said
    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gatepost.yaml"
    path.write_text("school: {name: Park School, domains: [school.example]}\n", encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_one_unreadable_file_does_not_stop_the_others(tmp_path: Path, config: str) -> None:
    """A folder of samples is judged to the end, and the exit code says that something was amiss."""
    (tmp_path / "good.eml").write_bytes(LETTER)
    (tmp_path / "nobody.eml").write_bytes(b"Subject: to nobody\r\n\r\nText\r\n")
    names = [str(tmp_path / name) for name in ("missing.eml", "nobody.eml", "good.eml")]
    result = CliRunner().invoke(check, ["--json", "--config", config, *names])
    assert result.exit_code == 2
    assert [json.loads(line)["verdict"] for line in result.stdout.splitlines()] == ["pass"]
    assert "missing.eml: cannot be read: No such file" in result.stderr
    assert "nobody.eml: no recipient in the header; name one with --recipient" in result.stderr


@pytest.mark.slow
def test_a_message_above_the_limit_is_told_so(tmp_path: Path, config: str) -> None:
    """As the gateway would refuse it; not “cannot be read: None”."""
    large = tmp_path / "large.eml"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    result = CliRunner().invoke(check, ["--config", config, str(large)])
    assert result.exit_code == 2
    assert "large.eml: cannot be read: larger than 67,108,864 bytes; the gateway would refuse it" in result.stderr


@pytest.mark.slow
def test_standard_input_is_a_message_too(config: str) -> None:
    """cat letter.eml | gatepost check -"""
    result = CliRunner().invoke(check, ["--json", "--config", config, "-"], input=LETTER)
    assert (result.exit_code, json.loads(result.stdout)["file"]) == (0, "-")


@pytest.mark.parametrize("value", ["foo", "192.0.2", "192.0.2.7:25", "[2001:db8::7]", "mail.example"])
def test_a_client_that_is_no_address_is_refused(config: str, value: str) -> None:
    """A name would match no relay, so that the answer would be about a stranger instead of the server meant."""
    result = CliRunner().invoke(check, ["--config", config, "--client", value, "-"], input=LETTER)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{value!r} is not an IP address, such as 192.0.2.7 or 2001:db8::7." in result.stderr


@pytest.mark.parametrize("value", ["192.0.2.7", "2001:db8::7", ""])
def test_a_client_that_is_one_is_taken(config: str, value: str) -> None:
    """'' asks what if nothing connected, such as a program on the gateway itself."""
    assert CliRunner().invoke(check, ["--config", config, "--client", value, "-"], input=LETTER).exit_code == 0


def test_another_directory_can_be_tried(config: str, tmp_path: Path) -> None:
    """Before it comes into force: the same two addresses are two families, and then one."""
    letter = b"From: t@school.example\nTo: a@gmail.com, b@gmail.com\nSubject: s\n\nHello\n"
    (tmp_path / "parents.csv").write_text("address,pupil\na@gmail.com,1\nb@gmail.com,1\n", encoding="utf-8")
    arguments = ["--json", "--config", config, "--login", "t", "-"]
    guessed = CliRunner().invoke(check, arguments, input=letter)
    known = CliRunner().invoke(check, ["--directory", str(tmp_path), *arguments], input=letter)
    assert json.loads(guessed.stdout)["verdict"] == "warn"
    assert json.loads(known.stdout)["verdict"] == "pass"


def test_a_bad_policy_is_told_and_nothing_is_judged(tmp_path: Path, config: str) -> None:
    """Exit code 2, and the words of the loader."""
    (tmp_path / "bad.yaml").write_text("name: bad\n", encoding="utf-8")
    result = CliRunner().invoke(check, ["--config", config, "--policy", str(tmp_path / "bad.yaml"), "-"])
    assert result.exit_code == 2
    assert "'rules' is missing" in result.stderr


def test_without_settings_an_example_school_is_supposed_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is useful before anything is set up, and does not pretend to know the school."""
    monkeypatch.setattr(configured, "DEFAULT_PATH", tmp_path / "none.yaml")
    assert configured.settings_for(None).school.domains == ["school.example"]
    assert "judging as for school.example" in capsys.readouterr().err


def test_help_shows_an_example() -> None:
    """Every command does."""
    assert "Example: gatepost check" in CliRunner().invoke(check, ["--help"]).stdout


def drawn(found: Inspection) -> str:
    """What a terminal of 80 columns shows of an inspection."""
    verdict = load(settings()).judge(transaction("t@school.example"), found)
    out = io.StringIO()
    show("a.eml", verdict, found, 0.001, Console(file=out, width=80, force_terminal=False))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) == 80
    return "\n".join(line[2:-2].rstrip() for line in lines)


def part(path: str, content_type: str, *, reading: str = "", names: tuple[str, ...] = ()) -> Part:
    """A part of 100 bytes at this place."""
    last = path.rpartition(" › ")[2]
    return Part(
        number=last.removeprefix("part ").removeprefix("message"),
        content_type=content_type,
        disposition="",
        encoding="base64",
        names=names,
        start=0,
        end=100,
        reading=reading,
        path=path,
    )


def test_the_tree_hangs_every_reading_and_file_where_it_belongs() -> None:
    """Parts below their multipart, messages in messages, members below their archive, readings at their part."""
    program = attachment("setup.exe", FileClass.EXECUTABLE, tier="T1", reason="executable: Windows program")
    note = replace(attachment("note.txt", FileClass.PLAIN, tier="T4"), names=())
    found = Inspection(
        size=2000,
        parts=(
            part("message", "multipart/mixed"),
            part("part 1", "multipart/alternative"),
            part("part 1.2", "text/html"),
            part("part 2", "application/zip", names=("a.zip",)),
            part("part 2", "text/html", reading="type-conflict"),
            part("part 3", "message/rfc822"),
            part("part 3 › message", "text/plain"),
            part("part 9", "text/plain", reading="parts-outside"),
        ),
        attachments=(
            replace(program, path="part 2 › a › b.zip", name="a › b.zip", names=()),
            replace(program, path="part 2 › a › b.zip › setup.exe", names=("setup.exe", "setup.txt")),
            replace(note, path="part 3 › part 1 › note.txt", claimed="text/csv", detected="text/plain"),
        ),
    )  # fmt: skip
    said = drawn(found)
    tree = said[said.index("Parts and files") :].splitlines()
    expected = """Parts and files  2 kB in all
└── message  multipart/mixed · base64 · 100 bytes
    ├── part 1  multipart/alternative · base64 · 100 bytes
    │   └── part 1.2  text/html · base64 · 100 bytes
    ├── part 2  application/zip · base64 · 100 bytes · “a.zip”
    │   or (type-conflict): text/html · base64 · 100 bytes
    │   └── a › b.zip  10 bytes · executable · tier T1
    │       executable: Windows program
    │       └── setup.exe  10 bytes · executable · tier T1
    │           executable: Windows program
    │           also called “setup.txt”
    ├── part 3  message/rfc822 · base64 · 100 bytes
    │   └── message  text/plain · base64 · 100 bytes
    │       └── note.txt  10 bytes · plain · tier T4
    │           is text/plain, says text/csv
    └── part 9  text/plain · base64 · 100 bytes
        seen only by some (parts-outside)"""
    assert "\n".join(tree[: len(expected.splitlines())]) == expected


def test_defects_are_told_gravest_first_in_plain_words() -> None:
    """An administrator need not know the codes."""
    codes = (("multipart-unclosed", "part 1"), ("opaque", "part 2"), ("type-conflict", "part 3"))
    found = Inspection(size=1, defects=tuple(Defect(code=code, where=where) for code, where in codes))
    said = " ".join(drawn(found).split())
    places = [
        said.index(words)
        for words in (
            "uninspectable: nobody here has seen all of it opaque (part 2) A file could not be read.",
            "ambiguous: mail programs show it differently type-conflict (part 3)",
            "sloppy: untidy, and harmless by itself multipart-unclosed (part 1)",
        )
    ]
    assert places == sorted(places)


def test_what_the_virus_scanner_knows_is_told() -> None:
    """Also before a policy has a rule for it."""
    found = Inspection(size=1, malware=("Eicar-Test",))
    assert "The virus scanner knows it as Eicar-Test." in drawn(found)


def test_a_message_of_thousands_of_parts_stays_readable() -> None:
    """What is left out is counted."""
    parts = tuple(part(f"part {number}", "text/plain") for number in range(1, 3001))
    files = tuple(attachment(f"{number}.txt") for number in range(1000))
    said = drawn(Inspection(size=1, parts=parts, attachments=files))
    assert "and 2900 more readings of parts" in said
    assert "and 800 more files" in said
