"""Every scenario of the school's policy: a mail, and the verdict that the policy leads to.

Each mail is written out, inspected with real inspectors and judged with King's policy.
"""

from __future__ import annotations

import pytest
from support.corpus.scenarios import SCENARIOS
from support.corpus.scenes import Scenario, judged, seen
from support.corpus.school import SCHOOL
from support.mail import settings

from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.policy.policy import Policy, load

NUMBERS = (
    *(1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25, 26, 28, 29, 31, 32, 34, 35, 37, 38, 40, 41),
    *(43, 44, 46, 47, 49, 50, 52, 53, 55, 56, 58, 59, 61, 62, 64, 65, 67, 68, 70, 71),
)


@pytest.fixture(scope="module")
def kings() -> Policy:
    """King's policy among these people; its own tests have run elsewhere."""
    return load(settings(policy="kings-college"), directory=SCHOOL, tested=False)


@pytest.mark.parametrize("scenario", [pytest.param(each, id=f"{each.number}: {each.title}") for each in SCENARIOS])
def test_the_verdict_is_the_one_that_the_policy_leads_to(
    scenario: Scenario, kings: Policy, inspectors: Inspectors
) -> None:
    """The action, the rule that decides it, and those whom it tells; and whoever is told is told something."""
    verdict = judged(scenario, kings, seen(scenario, inspectors))
    acting = list(verdict.explanation.acting())
    assert verdict.action == scenario.verdict, [each.rule for each in acting]
    assert [each.rule for each in acting][:1] == ([scenario.rule] if scenario.rule else [])
    for finding in acting[:1]:
        assert set(scenario.tells) <= set(finding.tell)
        assert finding.evidence
        assert finding.say
        assert "{" not in finding.say + finding.mend


def test_every_line_is_here() -> None:
    """And where ours is another verdict, the reason is."""
    assert tuple(dict.fromkeys(each.number for each in SCENARIOS)) == NUMBERS
