"""Who hears of a finding: never the one whose own mail it is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.mail import attachment, inspection, settings, transaction

from gatepost_config.directory import ALWAYS, Directory, Kind, Person
from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.words import Action, Finding
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.policy.policy import Policy, prepare

ROLES = """\
name: policy
title: A policy
version: "1"
roles:
  lead: {title: the lead, mailboxes: ["lead@{domain}"], instead: head}
  head: {title: the Head, mailboxes: ["head@{domain}", "deputy@{domain}"], instead: chair}
  chair: {title: the chair, mailboxes: ["chair@{domain}"]}
  office: {title: the office, mailboxes: ["office@{domain}"]}
rules:
  - id: programs
    title: Programs
    find: attachments.filter(a, a.executable)
    action: quarantine
    queue: lead
    tell: [lead, head, sender]
    say: "{names}"
"""


def loaded(tmp_path: Path, text: str, *, directory: Directory | None = None) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return prepare(load_policy(path), settings(), directory=directory)


def found(tmp_path: Path, login: str, *, text: str = ROLES, directory: Directory | None = None) -> Finding:
    """What is found in a program that somebody sends to a colleague."""
    judge = loaded(tmp_path, text, directory=directory)
    seen = replace(inspection(), attachments=(attachment("a.exe", FileClass.EXECUTABLE),))
    (finding,) = judge.judge(transaction("colleague@school.example", login=login), seen).findings
    assert finding.action is Action.QUARANTINE
    return finding


@pytest.mark.parametrize(
    ("login", "queue", "told"),
    [
        ("teacher", "lead", ("lead", "head", "sender")),
        ("", "lead", ("lead", "head", "sender")),
        ("lead", "head", ("head", "sender")),
        ("deputy", "lead", ("lead", "chair", "sender")),
        ("chair", "lead", ("lead", "head", "sender")),
        ("office", "lead", ("lead", "head", "sender")),
    ],
)
def test_a_report_goes_one_step_up_from_the_one_it_is_about(
    tmp_path: Path, login: str, queue: str, told: tuple[str, ...]
) -> None:
    """Told once though two roles lead to the same; a stranger who writes as the lead is nobody."""
    finding = found(tmp_path, login)
    assert (queue, told) == (finding.queue, finding.tell)


def test_somebody_with_two_addresses_is_one_person(tmp_path: Path) -> None:
    """The role's mailbox is the person's, whichever of their addresses the login stands for."""
    lead = Person(
        address="lead@school.example",
        name="Lea Dunn",
        roles=((Kind.STAFF, ALWAYS),),
        logins=("l.dunn",),
        ties=frozenset(),
    )
    finding = found(tmp_path, "l.dunn", directory=Directory.of(people=[lead]))
    assert (finding.queue, finding.tell) == ("head", ("head", "sender"))


def test_whoever_holds_every_role_is_told_as_the_last(tmp_path: Path) -> None:
    """A ring of roles ends: somebody must hear of it."""
    text = ROLES.replace('"chair@{domain}"]', '"chair@{domain}", "lead@{domain}"], instead: lead')
    text = text.replace('"deputy@{domain}"]', '"lead@{domain}"]')
    finding = found(tmp_path, "lead", text=text)
    assert finding.queue == "chair"


@pytest.mark.parametrize(
    ("instead", "message"), [("haed", "there is no role 'haed'"), ("lead", "cannot stand in for itself")]
)
def test_who_stands_in_must_be_another_role(tmp_path: Path, instead: str, message: str) -> None:
    """With line and column."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, ROLES.replace("instead: head", f"instead: {instead}"))
    (problem,) = caught.value.problems
    assert message in problem.message
    assert (problem.line, problem.column) == (5, 66)
