"""The same scenarios under the four other schools' policies: their verdict is that of King's, or stands here.

Where the documents disagree (size, private accounts, hoaxes, meetings, betting, language of data), the reason is
in the policy beside the rule.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.corpus.scenarios import SCENARIOS
from support.corpus.scenes import Scenario, judged, seen
from support.corpus.school import SCHOOL
from support.mail import settings

from gatepost_config.words import Action
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.policy.policy import Policy, load

WARDEN_HILL, KCLMS, KENSINGTON, CODE = SCHOOLS = ("warden-hill", "kclms", "kensington", "code-of-conduct")

PASS = (Action.PASS, "")
SILENT = dict.fromkeys(SCHOOLS, PASS)
"""What only King's document speaks of."""

DIFFERENT: Mapping[str, Mapping[str, tuple[Action, str]]] = {
    "a pupil hands in Python homework": SILENT,
    "a health trust sends its secure wrapper": SILENT,
    "eight photographs of 4 MB": SILENT,
    "a stranger sends a script": {KCLMS: (Action.TAG, "first-contact-with-file")},  # code is daily work there
    "a presentation of 12 MB goes out": {
        WARDEN_HILL: (Action.CONFIRM, "attachment-too-large"),  # "unless I have permission"
        KENSINGTON: PASS,  # these two name no size
        CODE: PASS,
    },
    "a parent sends 18 MB of scans": {KENSINGTON: PASS, CODE: PASS},
    "a newsletter goes to 40 parents in Bcc": {KCLMS: PASS},
    "25 parents in Cc": {KCLMS: (Action.WARN, "parents-exposed")},  # only advice where the document is silent
    "a reply to all, to a mail that showed 20 parents": {KCLMS: (Action.WARN, "parents-exposed")},
    "the committee of parents, for the first time": {KCLMS: (Action.WARN, "parents-exposed")},
    "40 parents' addresses in the text, to the coach firm": {KCLMS: PASS},
    "a cousin's plumbing firm, to all staff": {
        **SILENT,
        WARDEN_HILL: (Action.WARN, "private-trade"),  # P14; mass mail is King's alone
    },
    "a blind copy to the deputy head": SILENT,
    "a lesson plan to one's own private account": {KCLMS: PASS},
    "a teacher's name from webmail, to a pupil": dict.fromkeys(SCHOOLS, (Action.TAG, "staff-name-from-outside")),
    "a rule of the mailbox sends everything on to a private account": {
        KCLMS: (Action.WARN, "private-account-reply-to")
    },
    "a governor sends board papers to his firm": {KCLMS: (Action.WARN, "confidential-paper")},
    "the draft of a pupil's plan, in clear": {KCLMS: (Action.WARN, "pupil-record-in-clear")},
    "a virus hoax from outside": SILENT,
    "the hoax, passed on to all staff": SILENT,
    "a betting firm's promotion": {WARDEN_HILL: PASS, KENSINGTON: PASS, CODE: PASS},
    "a meeting with one pupil and nobody else": SILENT,
    "a younger pupil, and no parent is invited": SILENT,
}
"""By scenario and policy: the verdict that is not King's, and the rule that decides it."""


@pytest.fixture(scope="module")
def policies() -> Mapping[str, Policy]:
    """The four among the people of the scenarios; their own tests have run elsewhere."""
    return {name: load(settings(policy=name), directory=SCHOOL, tested=False) for name in SCHOOLS}


@pytest.mark.parametrize("scenario", [pytest.param(each, id=f"{each.number}: {each.title}") for each in SCENARIOS])
def test_the_verdict_elsewhere_is_that_of_kings_or_stands_here(
    scenario: Scenario, policies: Mapping[str, Policy], inspectors: Inspectors
) -> None:
    """One inspection, four policies."""
    found = seen(scenario, inspectors)
    given, expected = {}, {}
    for name, policy in policies.items():
        verdict = judged(scenario, policy, found)
        rules = [each.rule for each in verdict.explanation.acting()]
        given[name] = (verdict.action, rules[0] if rules else "")
        kings = (scenario.verdict, scenario.rule or "")
        expected[name] = DIFFERENT.get(scenario.title, {}).get(name, kings)
    assert given == expected


def test_every_difference_is_one() -> None:
    """A line that says what King's says would hide that two documents agree."""
    titles = {each.title: (each.verdict, each.rule or "") for each in SCENARIOS}
    assert DIFFERENT.keys() <= titles.keys()
    assert [title for title, by in DIFFERENT.items() if titles[title] in by.values()] == []
