"""``gatepost policy diff``: what changes between two policies, and nothing that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.policy_diff import Change, Kind, compare
from gatepost_milter.cli.policy import policy

BASE = """
name: ours
title: A policy
version: "1"
roles:
  it: {title: IT Support, mailboxes: ["it@{domain}"]}
limits: {attachment_bytes: 100}
lists: {friends: [a.example, b.example]}
rules:
  - {id: first, title: First, find: attachments, action: tag, mode: monitor, say: One.}
  - {id: second, title: Second, find: defects, action: {inbound: quarantine}, queue: it, say: Two.}
  - {id: third, title: Third, find: defects, action: tag, say: Three.}
"""


def changed(tmp_path: Path, *swaps: tuple[str, str]) -> tuple[Change, ...]:
    """What the diff tells when these texts of the base are replaced."""
    text = BASE
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "old.yaml").write_text(BASE, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(text, encoding="utf-8")
    return compare(load_policy(tmp_path / "old.yaml"), load_policy(tmp_path / "new.yaml"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy, ["diff", *arguments])


def test_layout_and_comments_do_not_count(tmp_path: Path) -> None:
    """A document that was only tidied is the same policy."""
    block = "limits:\n  attachment_bytes: 100  # small\n"
    assert not changed(tmp_path, ("limits: {attachment_bytes: 100}\n", block), ("title: First", 'title: "First"'))


def test_one_field_of_one_rule_is_all_that_is_told(tmp_path: Path) -> None:
    """A mode that climbs the ladder, and which way."""
    (change,) = changed(tmp_path, ("mode: monitor", "mode: enforce"))
    assert (change.section, change.name, change.kind) == ("rules", "first", Kind.CHANGED)
    (field,) = change.fields
    assert (field.field, field.old, field.new, field.tendency) == ("mode", "monitor", "enforce", "stricter")


def test_an_action_is_compared_for_each_direction(tmp_path: Path) -> None:
    """A direction that the rule no longer speaks for is milder; one word for all is three fields."""
    (change,) = changed(tmp_path, ("{inbound: quarantine}", "{internal: tag}"))
    assert [(each.field, each.old, each.new, each.tendency) for each in change.fields] == [
        ("action.internal", None, "tag", "stricter"),
        ("action.inbound", "quarantine", None, "milder"),
    ]


def test_rules_that_come_and_go_are_told_whole(tmp_path: Path) -> None:
    """A renamed rule is one less and one more: its counts in logs and metrics start anew."""
    added, removed = changed(tmp_path, ("id: third", "id: fourth"))
    assert [(each.name, each.kind) for each in (added, removed)] == [
        ("fourth", Kind.ADDED),
        ("third", Kind.REMOVED),
    ]
    assert ("say", None, "Three.") in [(each.field, each.old, each.new) for each in added.fields]


def test_a_rule_that_only_stands_elsewhere_is_moved(tmp_path: Path) -> None:
    """Order decides which refusal speaks, so it is told, and for as few rules as explain it."""
    first = "  - {id: first, title: First, find: attachments, action: tag, mode: monitor, say: One.}\n"
    moved = changed(tmp_path, (first, ""), ("say: Three.}\n", f"say: Three.}}\n{first}"))
    assert [(each.name, each.kind) for each in moved] == [("first", Kind.MOVED)]


def test_lists_tell_what_came_and_what_is_gone(tmp_path: Path) -> None:
    """Nobody compares two hundred domains by eye."""
    (change,) = changed(tmp_path, ("[a.example, b.example]", "[b.example, c.example]"))
    (field,) = change.fields
    assert (field.gone, field.come) == (("a.example",), ("c.example",))


def test_limits_roles_and_the_version_are_compared_too(tmp_path: Path) -> None:
    """All that a document says, in its own order."""
    changes = changed(tmp_path, ('version: "1"', 'version: "2"'), ("bytes: 100", "bytes: 200"), ('"it@', '"help@'))
    assert [(each.section, each.name) for each in changes] == [
        ("document", "ours"),
        ("roles", "it"),
        ("limits", "attachment_bytes"),
    ]


@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_policy_is_the_same_as_itself(name: str) -> None:
    """Exit code 0, and a sentence."""
    result = run(name, name)
    assert result.exit_code == 0
    assert "They say the same." in result.stdout


def test_the_command_shows_both_values_and_counts(tmp_path: Path) -> None:
    """Exit code 1: they differ. Marks in a text are no markup."""
    changed(tmp_path, ("mode: monitor", "mode: enforce"), ("say: Two.", "say: '[red]Two'"))
    old, new = str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")
    result = run(old, new)
    assert result.exit_code == 1
    assert "mode: monitor → enforce  (stricter)" in result.stdout
    assert "say: Two. → [red]Two" in result.stdout
    assert result.stdout.rstrip().endswith("rules: 2 changed")
    data = json.loads(run("--json", old, new).stdout)
    assert data["same"] is False
    assert [each["name"] for each in data["changes"]] == ["first", "second"]


def test_live_is_the_policy_that_the_settings_name(tmp_path: Path) -> None:
    """What an administrator compares a draft with."""
    settings = tmp_path / "gatepost.yaml"
    settings.write_text("school: {name: P, domains: [school.example]}\npolicy: kings-college\n", encoding="utf-8")
    assert run("--config", str(settings), "live", "kings-college").exit_code == 0


def test_a_policy_that_cannot_be_read_is_another_matter(tmp_path: Path) -> None:
    """Exit code 2, with file, line and column."""
    changed(tmp_path)
    (tmp_path / "new.yaml").write_text(BASE.replace("mode: monitor", "mode: monitr"), encoding="utf-8")
    result = run(str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"))
    assert result.exit_code == 2
    assert "new.yaml:10:" in result.stderr
    assert "monitor" in result.stderr
