"""``gatepost simulate``: what a new policy would change for mail that came before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.corpus.hostile import CASES
from support.quarantine import chunks, explanation, held, hold_event, recipient

from gatepost_config.documents import load_settings
from gatepost_config.words import Action, Direction, Outcome
from gatepost_milter.cli import main
from gatepost_milter.cli.simulated import Judged
from gatepost_milter.policy.known_files import KNOWN_FILE
from gatepost_quarantine.held import Envelope
from gatepost_quarantine.sql import open_store

POLICY = """
name: {name}
title: A policy
version: "1"
roles:
  it: {{title: IT Support, mailboxes: ["it@{{domain}}"]}}
rules:
  - {{id: no-trips, title: Trips, find: "message.subject.contains('Trip')", action: {action}, queue: it,
      mode: {mode}, say: A trip.}}
"""
TRIP = b"From: a@outside.example\nTo: t@school.example\nSubject: Trip\n\nOn Friday.\n"
LETTER = b"From: t@school.example\nTo: b@outside.example\nSubject: Hello\n\nHello.\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings whose policy tags trips; ``new.yaml`` beside it holds them."""
    (tmp_path / "old.yaml").write_text(POLICY.format(name="old", action="tag", mode="enforce"), encoding="utf-8")
    (tmp_path / "new.yaml").write_text(
        POLICY.format(name="new", action="quarantine", mode="enforce"), encoding="utf-8"
    )
    path = tmp_path / "gatepost.yaml"
    document = {
        "school": {"name": "Park School", "domains": ["school.example"]},
        "policy": "./old.yaml",
        "store": {"url": f"sqlite:///{tmp_path / 'quarantine.db'}", "free_floor": 0},
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    folder = tmp_path / "mails"
    folder.mkdir()
    for name, content in (("1.eml", TRIP), ("2.eml", LETTER), ("3.eml", TRIP)):
        (folder / name).write_bytes(content)
    return folder


def run(config: Path, *arguments: object) -> Result:
    new = config.parent / "new.yaml"
    options = ["simulate", "--config", str(config), "--policy", str(new), "--jobs", "1"]
    return CliRunner().invoke(main, [*options, *map(str, arguments)])


def answer(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.mark.slow
def test_the_result_tells_what_would_change_and_why(config: Path, mails: Path) -> None:
    """By direction, rule and sender, and mail by mail. Exit code 1: something would."""
    result = run(config, "--json", mails)
    data = answer(result)
    assert result.exit_code == 1
    assert (data["mails"], data["stricter"], data["milder"]) == (3, 2, 0)
    assert data["moves"] == [{"old": "tag", "new": "quarantine", "mails": 2}]
    assert data["directions"]["inbound"] == {"mails": 2, "stricter": 2, "milder": 0, "otherwise": 0}
    assert data["directions"]["outbound"] == {"mails": 1, "stricter": 0, "milder": 0, "otherwise": 0}
    assert data["senders"] == {"a@outside.example": {"mails": 2, "stricter": 2, "milder": 0, "otherwise": 0}}
    assert data["rules"]["no-trips"] == {
        "old": {"fired": 2, "actions": {"tag": 2}},
        "new": {"fired": 2, "actions": {"quarantine": 2}},
        "would": {},
        "changes": 2,
    }
    assert data["changed"][0] == {
        "mail": str(mails / "1.eml"),
        "sender": "a@outside.example",
        "direction": "inbound",
        "old": "tag",
        "new": "quarantine",
        "because": ["no-trips"],
        "recipients": {"t@school.example": {"old": "tag", "new": "quarantine"}},
    }
    shown = run(config, mails).stdout
    assert "3 mails judged, 2 would fare otherwise: 2 more strictly, 0 more mildly" in shown
    assert "tag 2 → quarantine 2" in shown


@pytest.mark.slow
def test_a_monitored_rule_tells_what_it_would_do(config: Path, mails: Path) -> None:
    """Nothing changes (exit code 0), and the number is there for the decision to enforce it."""
    for name, mode in (("old", "off"), ("new", "monitor")):
        text = POLICY.format(name=name, action="quarantine", mode=mode)
        (config.parent / f"{name}.yaml").write_text(text, encoding="utf-8")
    result = run(config, "--json", mails)
    assert result.exit_code == 0
    assert answer(result)["rules"]["no-trips"]["would"] == {"quarantine": 2}
    assert "quarantine 2" in run(config, mails).stdout


@pytest.mark.slow
def test_the_quarantine_is_replayed_with_its_own_envelopes(config: Path) -> None:
    """Not with what the header claims, and for those for whom it was judged. A sealed one is told, never read,
    even where the store has no key to encrypt it with."""
    address = "b@school.example"
    outcome = Outcome(recipient=address, direction=Direction.INBOUND, action=Action.QUARANTINE)
    store = open_store(load_settings(config).store, gateway="mx1.school.example")
    message = held(
        recipients=(recipient(address),),
        envelope=Envelope(sender="real@outside.example", client_address="192.0.2.1"),
        explanation=explanation([address], outcomes=(outcome,)),
        size=len(TRIP),
    )
    sealed = held(recipients=(replace(recipient(address), action=Action.SEAL),), size=len(TRIP), key="f" * 64)
    for each in (message, sealed):
        store.hold(each, content=chunks(TRIP), events=(hold_event(each),))
    store.close()
    data = answer(run(config, "--json", "--quarantine"))
    assert data["failed"] == [{"mail": f"held {sealed.id}", "reason": "is sealed"}]
    (change,) = data["changed"]
    assert (change["mail"], change["sender"]) == (f"held {message.id}", "real@outside.example")
    assert list(change["recipients"]) == [address]


@pytest.mark.slow
def test_a_hostile_mailbox_costs_lines_and_nothing_else(config: Path, tmp_path: Path) -> None:
    """Every structure that attackers are known to send, junk, and nothing at all: each is judged or counted."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    cases = CASES[::12]
    for case in cases:
        (folder / f"{case.id}.eml").write_bytes(case.build())
    junk = {
        "empty": b"",
        "nul": b"\0" * 1000,
        "long-line": b"x" * 100_000,
        "only-fields": b'To: \xff\xfe <@>, "\nFrom: (((((\nReceived: [\n',
        "nested": b"To: " + b"(" * 5000 + b"t@school.example\nFrom: " + b"<" * 5000 + b"\n\nx",
        "encoded": b"To: =?utf-8?b?////?= <t@school.example>\nReturn-Path: \xf0\x9f\n\nx",
    }
    for name, content in junk.items():
        (folder / f"{name}.eml").write_bytes(content)
    result = run(config, "--json", folder)
    assert result.exit_code in (0, 1), result.output
    data = answer(result)
    assert data["mails"] + len(data["failed"]) == len(cases) + len(junk)
    assert "\x1b" not in run(config, folder).stdout


@pytest.mark.slow
def test_a_policy_that_does_not_load_judges_nothing(config: Path, mails: Path) -> None:
    """Exit code 2, with the place of the mistake; also where nothing is to be found."""
    nothing = config.parent / "nothing"
    nothing.mkdir()
    found = run(config, nothing)
    assert (found.exit_code, "no mail was found there" in found.stderr) == (2, True)
    assert run(config).exit_code == 2
    (config.parent / "new.yaml").write_text("name: new\n", encoding="utf-8")
    broken = run(config, mails)
    assert broken.exit_code == 2
    assert "'rules' is missing" in broken.stderr


@pytest.mark.slow
def test_what_a_list_of_hashes_seals_is_sealed_in_a_replay(config: Path, tmp_path: Path) -> None:
    """It is no rule's doing, but whoever reads the result believes that this is what the gateway does."""
    (tmp_path / "sums").write_text(hashlib.sha256(b"a picture").hexdigest(), encoding="ascii")
    document = json.loads(config.read_text(encoding="utf-8"))
    document["store"] |= {"seal_hashes": [str(tmp_path / "sums")], "seal_tell": ["it"]}
    config.write_text(json.dumps(document), encoding="utf-8")
    letter = LETTER.replace(b"\n\n", b"\nContent-Disposition: attachment; filename=a.jpg\n\n").replace(
        b"Hello.\n", b"a picture"
    )
    (tmp_path / "one.eml").write_bytes(letter)
    found = answer(run(config, tmp_path / "one.eml", "--json"))
    assert found["rules"][KNOWN_FILE]["new"] == {"fired": 1, "actions": {"seal": 1}}


def test_a_limit_ends_the_replay(config: Path, mails: Path) -> None:
    """For a first look."""
    assert answer(run(config, "--json", "--limit", "2", mails))["mails"] == 2


def test_a_mail_that_only_changes_hands_is_told_as_such() -> None:
    """Equally strict for the message, but for another recipient."""
    judged = Judged(
        name="1",
        sender="a@b.example",
        direction=Direction.INBOUND,
        old={"a@school.example": Action.QUARANTINE, "b@school.example": Action.PASS},
        new={"a@school.example": Action.PASS, "b@school.example": Action.QUARANTINE},
        old_fired=(),
        new_fired=(),
    )
    assert judged.differs
    assert judged.actions == (Action.QUARANTINE, Action.QUARANTINE)


def test_help_shows_an_example() -> None:
    """Every command does."""
    assert "Example: gatepost simulate" in CliRunner().invoke(main, ["simulate", "--help"]).stdout
