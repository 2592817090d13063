"""A policy document that builds on a shipped one: what it changes, and where each mistake is said to be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.mail import settings

from gatepost_config.documents import load_policy, policy_digest, shipped_policies
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.layers import authors
from gatepost_config.policy_diff import compare
from gatepost_config.policy_document import PolicyDocument, Rule
from gatepost_config.words import Action, Mode
from gatepost_milter.policy.policy import prepare

HEAD = 'name: ours\nbase: default\ntitle: Ours\nversion: "1"\n'


def written(tmp_path: Path, text: str = "", *, head: str = HEAD) -> Path:
    path = tmp_path / "ours.yaml"
    path.write_text(head + text, encoding="utf-8")
    return path


def ours(tmp_path: Path, text: str = "") -> PolicyDocument:
    return load_policy(written(tmp_path, text))


def problems(tmp_path: Path, text: str) -> tuple[Problem, ...]:
    """What is wrong, found in whatever step of loading."""
    with pytest.raises(ConfigError) as caught:
        prepare(ours(tmp_path, text), settings())
    return caught.value.problems


def rule(document: PolicyDocument, name: str) -> Rule:
    return next(each for each in document.rules if each.id == name)


def place_of(name: str, field: str) -> tuple[int, int]:
    """Where the shipped default has that field of that rule."""
    document = load_policy("default")
    index = [each.id for each in document.rules].index(name)
    place = document.source.place(("rules", index, field))
    return place.line, place.column


def test_a_document_that_only_names_its_base_says_the_same(tmp_path: Path) -> None:
    """Except for what is its own: name, title, version, tests."""
    changes = compare(load_policy("default"), ours(tmp_path))
    assert {"document", "tests"} == {each.section for each in changes}
    assert {"name", "title", "version"} == {
        field.field for each in changes if each.section == "document" for field in each.fields
    }


def test_a_rule_is_changed_field_by_field_at_its_place(tmp_path: Path) -> None:
    """What is not said stays; order decides between refusals, so the place stays too."""
    base = load_policy("default")
    document = ours(tmp_path, "rules:\n  - {id: chain-letter, mode: 'off', clause: P 1}\n")
    changed, before = rule(document, "chain-letter"), rule(base, "chain-letter")
    assert changed == before.model_copy(update={"mode": Mode.OFF, "clause": "P 1"})
    assert [each.id for each in base.rules] == [each.id for each in document.rules]


def test_a_new_rule_stands_after_those_of_the_base(tmp_path: Path) -> None:
    """And needs all that a rule needs."""
    document = ours(
        tmp_path, "rules:\n  - {id: mine, title: Mine, find: attachments, action: tag, say: '{names}'}\n"
    )
    assert [*load_policy("default").rules, document.rules[-1]] == document.rules
    assert document.rules[-1].id == "mine"


def test_roles_limits_and_lists_are_changed_one_by_one(tmp_path: Path) -> None:
    """A role field by field; a limit or list whole."""
    text = "roles: {it-support: {title: the helpdesk}}\nlimits: {mass: 7, households_hold: 4}\n"
    text += "lists: {may_write_home: [office]}\nphrase_lists: [gambling, chain-letters]\n"
    text += "rules: [{id: leaver-gone, say: 'Not for {limit.mass}'}]\n"
    base, document = load_policy("default"), ours(tmp_path, text)
    assert ("the helpdesk", base.roles["it-support"].mailboxes) == (
        document.roles["it-support"].title,
        document.roles["it-support"].mailboxes,
    )
    assert {**base.limits, "mass": 7, "households_hold": 4} == document.limits
    assert {**base.lists, "may_write_home": ["office"]} == document.lists
    assert len(set(document.phrase_lists)) == len(document.phrase_lists)
    assert {*base.phrase_lists, "gambling"} == set(document.phrase_lists)


def test_action_is_replaced_whole(tmp_path: Path) -> None:
    """A direction that the document leaves out is not the rule's business any more."""
    document = ours(tmp_path, "rules: [{id: virus-warning, action: {inbound: tag}}]\n")
    assert rule(document, "virus-warning").action == {"inbound": Action.TAG}


def test_a_document_may_build_on_one_that_builds_on_another(tmp_path: Path) -> None:
    """As an administrator does who changes a little of a school's shipped policy."""
    path = written(tmp_path, "limits: {attachment_bytes: 5}\n", head=HEAD.replace("default", "warden-hill"))
    document, between = load_policy(path), load_policy("warden-hill")
    assert between.base == "default"
    assert between.rules == document.rules
    own = ours(tmp_path)
    assert document.source.digest not in (own.source.digest, between.source.digest)


def test_it_is_told_who_wrote_a_rule(tmp_path: Path) -> None:
    """``policy show`` says so: the document that names the id, and the base when something is from there."""
    document = ours(
        tmp_path,
        "rules:\n  - {id: chain-letter, mode: 'off'}\n"
        "  - {id: mine, title: Mine, find: attachments, action: tag, say: '{names}'}\n",
    )
    ids = [each.id for each in document.rules]
    told = {
        name: authors(document.source, ("rules", ids.index(name)), [*Rule.model_fields])
        for name in ("chain-letter", "credentials", "mine")
    }
    assert told == {"chain-letter": ("ours", "default"), "credentials": ("default",), "mine": ("ours",)}


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "remedy"),
    [
        ("rules:\n  - id: chain-leter\n    mode: 'off'\n", 6, 9, "no rule 'chain-leter'", "'chain-letter'?"),
        ("limits: {attachment_byte: 5}\n", 5, 10, "limit.attachment_byte", "'attachment_bytes'?"),
        ("lists: {may_wan: [a]}\n", 5, 9, "lists.may_wan", "'may_warn'?"),
        ("rules:\n  - id: credentials\n    moode: 'off'\n", 7, 5, "'moode' is not a key", "'mode'?"),
        ("rules:\n  - id: credentials\n    mode: of\n", 7, 11, "'of' is not one of", "'off'?"),
        ("rules:\n  - id: credentials\n    tell: [sendr]\n", 7, 12, "no role 'sendr'", "roles: "),
        ("rules:\n  - id: credentials\n    say: 'a {nams}'\n", 7, 10, "{nams} is not a placeholder", ""),
        ("rules:\n  - id: credentials\n    when: sender.knwn\n", 7, 17, "undefined field 'knwn'", "'known'?"),
        ("rules:\n  - {id: credentials}\n  - {id: credentials}\n", 7, 10, "two rules have the id", ""),
        ("rules: [{id: mine, find: attachments, title: T, say: x}]\n", 5, 9, "'action' is missing", ""),
        ("roles: {nurse: {mailboxes: [n@x.example]}}\n", 5, 9, "title' is missing", ""),
        ("roles: {it-support: {mailboxes: [n]}}\n", 5, 34, "does not have the right form", ""),
        ("rules: 5\n", 5, 8, "a list is wanted", ""),
        ("phrase_lists: [gamblin]\n", 5, 16, "there is no list 'gamblin'", "'gambling'?"),
        (
            "exemptions: [{who: a@b.example, rule: mine, until: 2026-01-01, approved_by: me}]\n",
            5,
            39,
            "'mine'",
            "",
        ),
    ],
    ids=lambda value: value.splitlines()[-1].strip() if isinstance(value, str) and "\n" in value else "",
)
def test_a_mistake_is_told_where_it_is_written(
    tmp_path: Path, text: str, line: int, column: int, message: str, remedy: str
) -> None:
    """Rules stand at other places in the two together than in the document, and yet the line is the document's."""
    found = problems(tmp_path, text)
    assert message in found[0].message
    assert remedy in found[0].remedy
    assert (tmp_path / "ours.yaml", line, column) == (found[0].path, found[0].line, found[0].column)


def test_a_mistake_in_what_the_base_says_is_told_there(tmp_path: Path) -> None:
    """A limit that became a text: the condition that cannot use it is in the base's file."""
    [found] = problems(tmp_path, "limits: {attachment_bytes: many}\n")
    assert shipped_policies()["default"] == found.path
    line, column = place_of("attachment-too-large", "find")
    assert line == found.line
    assert column < found.column
    assert "no matching overload" in found.message


def test_a_failing_test_of_the_document_is_told_at_its_place(tmp_path: Path) -> None:
    """Its own tests run on the two together."""
    text = "limits: {attachment_bytes: 5}\ntests:\n  - name: small\n    expect: pass\n"
    [found] = problems(tmp_path, text + "    message: {login: a, attachments: [{name: b}]}\n")
    assert "should get pass, gets reject (attachment-too-large fired)" in found.message
    assert (tmp_path / "ours.yaml", 7) == (found.path, found.line)


@pytest.mark.parametrize(
    ("name", "message"),
    [("defualt", "did you mean 'default'?"), ("./other.yaml", "shipped policies: "), ("[a]", "base: ")],
)
def test_only_a_shipped_policy_can_be_built_on(tmp_path: Path, name: str, message: str) -> None:
    """Paths would make a policy of files that change under one another."""
    with pytest.raises(ConfigError) as caught:
        load_policy(written(tmp_path, head=HEAD.replace("default", name)))
    assert message in str(caught.value)
    assert (2, 7) in [(each.line, each.column) for each in caught.value.problems]


def test_the_digest_is_that_of_both_files(tmp_path: Path) -> None:
    """A held message must be judged again when either has changed; a document without a base has its own."""
    path = written(tmp_path)
    alone = hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy_digest(path) == load_policy(path).source.digest != alone
    default = shipped_policies()["default"]
    assert policy_digest("default") == hashlib.sha256(default.read_bytes()).hexdigest()


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    """Of the same length and in the same instant: what was read is kept by its bytes, not by its date."""
    before = ours(tmp_path, "limits: {households_hold: 4}\n")
    after = ours(tmp_path, "limits: {households_hold: 5}\n")
    assert (before.limits["households_hold"], after.limits["households_hold"]) == (4, 5)
