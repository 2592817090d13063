"""Coverage: what the data says of a clause is true, and a state follows from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatepost_config.coverage import Coverage, State, load_coverage
from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_milter.cli.policy import policy

POLICY = """
name: ours
title: A policy
version: "1"
roles:
  it: {title: IT Support, mailboxes: ["it@{domain}"]}
limits: {attachment_bytes: 100}
rules:
  - {id: programs, clause: "OP 2, 3", title: P, find: attachments, action: tag, say: P.}
  - {id: size, clause: OP 4, title: S, find: attachments, action: tag, mode: monitor, say: S.}
  - {id: asleep, clause: OP 5, title: A, find: attachments, action: tag, mode: off, say: A.}
  - {id: extra, title: E, find: attachments, action: tag, say: E.}
"""
CLAUSES = """
policy: ours
title: Our policy
short: OP
clauses:
  - {id: "2", asks: No programs., rule_wanted: Programs}
  - {id: "3", asks: Care., features: [Notices], not_yet: More care}
  - {id: 4 large, asks: Small., rules: [size], limits: [attachment_bytes], roles: [it], beyond: Not by post}
  - {id: "5", asks: Sleep., rule_wanted: A rule that is awake}
  - {id: "6", asks: Dress., not_servable: That is not mail}
  - {id: "7", asks: Logs., settings: [retention.audit], commands: [gatepost audit list]}
"""


def cover(tmp_path: Path, *swaps: tuple[str, str], ruled: bool = True) -> Coverage:
    """The coverage of the clauses above with some texts replaced, also in the policy."""
    for name, base in (("policy", POLICY), ("clauses", CLAUSES)):
        text = base
        for old, new in swaps:
            text = text.replace(old, new)
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    document = load_policy(tmp_path / "policy.yaml") if ruled else None
    return load_coverage(str(tmp_path / "clauses.yaml"), document)


def states(coverage: Coverage) -> dict[str, State]:
    return {each.clause.id: each.state for each in coverage.covered}


def test_the_state_follows_from_what_serves_and_what_is_missing(tmp_path: Path) -> None:
    """A rule that names the clause settles what a rule was wanted for; where it is off, that is told."""
    found = cover(tmp_path)
    assert states(found) == {
        "2": State.SERVED,
        "3": State.PARTLY,
        "4 large": State.SERVED,
        "5": State.PARTLY,
        "6": State.NOT_SERVABLE,
        "7": State.SERVED,
    }
    assert [rule for rule, _ in found.beyond] == ["extra"]
    assert [each.remark for each in found.covered[:4]] == ["", "More care", "Not by post", "Switched off"]


def test_without_a_policy_no_rule_serves_anything(tmp_path: Path) -> None:
    """A document whose policy has still to be written."""
    bare = (("rules: [size], limits: [attachment_bytes], roles: [it]", "rule_wanted: A limit"),)
    found = cover(tmp_path, *bare, ruled=False)
    assert states(found)["2"] is State.NOT_YET


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rules: [size]", "rules: [sizes, size]", "clauses.yaml:8:41: there is no rule 'sizes'"),
        ("roles: [it]", "roles: [its]", "there is no role 'its'"),
        ("limits: [attachment_bytes]", "limits: [atachment_bytes]", "did you mean 'attachment_bytes'?"),
        ("retention.audit", "retention.audits", "did you mean 'retention.audit'?"),
        ('id: "3"', 'id: "2"', "clause '2' is there twice"),
        ("OP 2, 3", "OP 2, 9", "rule 'programs' names the clause 'OP 2, 9', and none here is '9'"),
        ("rules: [size], ", "", "list it in rules of '4 large'"),
        ("not_servable: That", "not_yet: X, not_servable: That", "is not servable, and yet"),
        (", rule_wanted: Programs", "", "must say what serves it, what is missing, or why nothing can"),
        ("asks: Care.", "ask: Care.", "did you mean 'asks'?"),
    ],
)
def test_what_is_not_true_is_refused_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A page for the governors must not say that something is served by what does not exist."""
    assert old in POLICY + CLAUSES
    with pytest.raises(ConfigError) as raised:
        cover(tmp_path, (old, new))
    assert said in str(raised.value)


def run(tmp_path: Path, *arguments: str) -> Result:
    cover(tmp_path)
    names = [str(tmp_path / "policy.yaml"), "--clauses", str(tmp_path / "clauses.yaml")]
    return CliRunner().invoke(policy, ["coverage", *names, *arguments])


def test_the_command_shows_each_clause(tmp_path: Path) -> None:
    """Exit code 1: something is missing."""
    result = run(tmp_path)
    assert result.exit_code == 1, result.output
    for expected in ("Our policy", "rule programs (enforce)", "That is not mail", "no clause asks for: extra"):
        assert expected in result.stdout
    data = json.loads(run(tmp_path, "--json", "--missing").stdout)
    assert [each["clause"] for each in data["clauses"]] == ["3", "5"]
    assert data["counts"] == {"served": 3, "partly": 2, "not yet": 0, "not servable": 1}


def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """Exit code 2, as for every other fault in the data."""
    cover(tmp_path, ("gatepost audit list", "gatepost audit lits"))
    names = [str(tmp_path / "policy.yaml"), "--clauses", str(tmp_path / "clauses.yaml")]
    result = CliRunner().invoke(policy, ["coverage", *names])
    assert result.exit_code == 2
    assert "there is no command gatepost audit lits" in result.stderr
    missing = CliRunner().invoke(policy, ["coverage", "default"])
    assert (missing.exit_code, "no clauses named 'default'" in missing.stderr) == (2, True)
