"""config/policies/COVERAGE.md: every clause of five schools' documents, and what serves it.

``pytest tests/docs --rewrite-golden`` writes the page anew from the data and the policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost_config.coverage import Coverage, Covered, State, load_coverage, shipped_clauses
from gatepost_config.documents import load_policy, shipped_policies
from gatepost_milter.cli.policy_coverage import command_exists, commands, served_by

HEAD = """\
# What serves which clause

Five schools' own policies, clause by clause. `gatepost policy coverage [POLICY]` shows the same for the policy in
use. This page is written by `pytest tests/docs --rewrite-golden` from `coverage/*.yaml` and the policies; do not
edit it. A clause is *partly* served where something of it is missing, and *not servable* where no gateway could
serve it. Rules whose mode is monitor only count.

To extend it: a rule that names a clause (`clause: KCS 2.6`) is listed by itself. One that serves a part of a
clause, or another than it names, is put into the `rules` of that clause in `coverage/NAME.yaml`.
"""

CLAUSES = {"code-of-conduct": 14, "kclms": 21, "kensington": 16, "kings-college": 81, "warden-hill": 29}
"""How many clauses bear on email, by document: a clause that is lost while editing is missed here."""


def coverages() -> Iterator[Coverage]:
    """The shipped clauses, each with the policy of its name, if that is shipped too."""
    policies = shipped_policies()
    for name in shipped_clauses():
        yield load_coverage(name, load_policy(name) if name in policies else None)


def page() -> str:
    """The page as it should be."""
    return HEAD + "".join(chapter(each) for each in coverages())


def chapter(coverage: Coverage) -> str:
    """One school's part of the page."""
    clauses = coverage.clauses
    lines = [
        "",
        f"## {clauses.title}",
        "",
        f"Policy `{clauses.policy}`: {', '.join(f'{coverage.count(state)} {state}' for state in State)}.",
        "",
        "| clause | what it asks for | state | served by | missing, or why not |",
        "| --- | --- | --- | --- | --- |",
        *(row(clauses.short, each) for each in coverage.covered),
    ]
    if coverage.count(State.NOT_YET):
        missing = [each.clause.id for each in coverage.covered if each.state is State.NOT_YET]
        lines += ["", f"Not served yet: {', '.join(missing)}."]
    if coverage.beyond:
        rules = ", ".join(f"`{rule}` ({mode})" for rule, mode in coverage.beyond)
        lines += ["", f"Rules that no clause asks for: {rules}."]
    return "\n".join(lines) + "\n"


def row(short: str, covered: Covered) -> str:
    clause = covered.clause
    cells = (
        f"{short} {clause.id}",
        clause.asks,
        covered.state.value,
        "; ".join(served_by(covered)),
        covered.remark,
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_is_what_the_data_and_the_policies_say(root: Path, request: pytest.FixtureRequest) -> None:
    """A rule that came, went or changed its mode shows here, or this fails."""
    path = root / "config/policies/COVERAGE.md"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(page(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == page()


def test_every_clause_is_there() -> None:
    """As many as were counted in the schools' documents."""
    assert {each.clauses.policy: len(each.covered) for each in coverages()} == CLAUSES


def test_every_shipped_policy_of_a_school_has_its_clauses() -> None:
    """Found by the policy's name. The neutral default speaks for no document."""
    assert shipped_policies().keys() - shipped_clauses().keys() <= {"default"}
    assert [*shipped_clauses()] == [each.clauses.policy for each in coverages()]


def test_every_command_that_serves_a_clause_exists() -> None:
    """A page that sends people to commands that do not exist is worse than none."""
    assert [name for each in coverages() for name in commands(each) if not command_exists(name)] == []
    assert not command_exists("gatepost quarantine shwo")
    assert not command_exists("rm quarantine")
