"""The five schools' policies side by side: who is told, what is held, and where their documents disagree."""

from __future__ import annotations

import pytest
from support.mail import settings

from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.policy_document import PolicyDocument, Rule
from gatepost_config.words import Action, Mode
from gatepost_milter.policy import document_tests
from gatepost_milter.policy.policy import Policy, prepare

OTHERS = ("warden-hill", "kclms", "kensington", "code-of-conduct")


@pytest.fixture(scope="module", params=OTHERS)
def document(request: pytest.FixtureRequest) -> PolicyDocument:
    return load_policy(request.param)


@pytest.fixture(scope="module")
def policy(document: PolicyDocument) -> Policy:
    return prepare(document, settings(), tested=False)


def rules(document: PolicyDocument) -> dict[str, Rule]:
    return {each.id: each for each in document.rules}


def awake(name: str, rule: str) -> Mode:
    return rules(load_policy(name))[rule].mode


def actions(name: str, rule: str) -> set[Action]:
    return set(rules(load_policy(name))[rule].action.values())


def test_reports_of_misuse_go_where_the_document_says() -> None:
    """Section 6 of the comparison: who hears of a colleague's misuse, and of a worry about a child."""
    opens, leads = {}, {}
    for name in OTHERS:
        document = load_policy(name)
        target = document.roles["report-mail"].opens_case_for
        assert target is not None
        opens[name] = document.roles[target].title
        leads[name] = document.roles["safeguarding-lead"].title
    assert opens == {
        "warden-hill": "the Designated Safeguarding Leads",
        "kclms": "the Assistant Head PDBW",
        "kensington": "the named person for reports",
        "code-of-conduct": "the named contact for reports",
    }
    assert leads == {
        "warden-hill": "the Designated Safeguarding Leads",
        "kclms": "the Assistant Head PDBW",
        "kensington": "the Designated Safeguarding Lead",
        "code-of-conduct": "the child protection officer",
    }


def test_lost_data_is_the_headteachers_to_know_at_once_at_warden_hill() -> None:
    """WHP M: “immediately”; elsewhere IT Support is enough."""
    told = {name: set(rules(load_policy(name))["lost-device"].tell) for name in OTHERS}
    assert {"headteacher", "data-protection-officer"} <= told.pop("warden-hill")
    assert all(each == {"sender", "it-support"} for each in told.values())


def test_only_two_documents_limit_the_size() -> None:
    """At one a reviewer gives the permission that the document asks for; at the other there is none to give."""
    assert [name for name in OTHERS if awake(name, "attachment-too-large") is not Mode.OFF] == [
        "warden-hill",
        "kclms",
    ]
    assert Action.CONFIRM in actions("warden-hill", "attachment-too-large")
    assert Action.REJECT in actions("kclms", "attachment-too-large")
    assert rules(load_policy("warden-hill"))["attachment-too-large"].override == "reviewer"


def test_private_use_is_tolerated_forbidden_or_needs_leave() -> None:
    """Counted where it is tolerated or “reasonable”; a reminder where it is forbidden or needs leave."""
    assert {name: awake(name, "private-use-of-a-day") for name in OTHERS} == {
        "warden-hill": Mode.ADVISE,
        "kclms": Mode.MONITOR,
        "kensington": Mode.MONITOR,
        "code-of-conduct": Mode.ADVISE,
    }


def test_encryption_is_mandatory_at_two_schools() -> None:
    """There the sender cannot say “send it anyway” to a list of pupils in clear: a reviewer decides."""
    override = {name: rules(load_policy(name))["pupil-data-in-clear"].override for name in OTHERS}
    assert [name for name, who in override.items() if who == "reviewer"] == ["kensington", "code-of-conduct"]


def test_monitoring_is_said_in_the_documents_own_words() -> None:
    """“may”, “will”, “can be logged”, “may be monitored and recorded”: a promise that the document does not make
    would be untrue."""
    said = {name: rules(load_policy(name))["private-use-of-a-day"].say for name in OTHERS}
    assert "may monitor" in said["warden-hill"]
    assert "will monitor" in said["kclms"]
    assert "can be logged" in said["kensington"]
    assert "may be monitored and recorded" in said["code-of-conduct"]


def test_nobody_hears_of_their_own_case(document: PolicyDocument) -> None:
    """The lead's goes to the Head, the Head's to the chair, who is the last."""
    way = ["safeguarding-lead"]
    while (above := document.roles[way[-1]].instead) is not None:
        way.append(above)
    assert way[:2] == ["safeguarding-lead", "headteacher"]
    assert len(way) == 3
    assert way[2].startswith("chair")


def test_at_kings_every_role_but_the_desk_has_somebody_above() -> None:
    """KCS 1.2 and 1.10: the leads' and the Bursar's cases are the Head's, the Head's the Chair's."""
    roles = load_policy("kings-college").roles
    assert {name: role.instead for name, role in roles.items()} == {
        "it-support": None,
        "director-of-it": "head",
        "head-of-computer-services": "director-of-it",
        "dsl": "head",
        "bursar": "head",
        "deputy-head-pastoral": "head",
        "head": "chair-of-governors",
        "chair-of-governors": None,
    }


@pytest.mark.parametrize("name", sorted(shipped_policies()))
def test_what_the_lead_reviews_is_not_for_every_reviewer(name: str) -> None:
    """Nor what goes one step up because it is about the lead: the console shows both to few, by default."""
    roles, few = load_policy(name).roles, settings().console.safeguarding
    for lead in (each for each, role in roles.items() if role.safeguarding):
        above: str | None = lead
        while above is not None:
            assert above in few
            above = roles[above].instead


def test_a_worry_is_told_to_the_lead_and_to_nobody_else(document: PolicyDocument) -> None:
    """And no such rule holds anything back."""
    worries = [each for each in document.rules if each.id.startswith("concern-")]
    assert len(worries) == 4
    for each in worries:
        assert each.tell == ["safeguarding-lead"]
        assert set(each.action.values()) == {Action.TAG}
        assert each.mode is Mode.ENFORCE


def test_the_lead_is_left_alone_by_words_and_not_by_files(document: PolicyDocument) -> None:
    """The role carries the mark by which rules that read what a message says leave it alone."""
    assert [name for name, role in document.roles.items() if role.safeguarding] == ["safeguarding-lead"]


def test_every_rule_in_use_says_why_and_what_to_do(document: PolicyDocument) -> None:
    """Plain sentences with a way out; and no clause of the neutral policy is left standing."""
    neutral = {each.clause for each in load_policy("default").rules} - {""}
    for each in document.rules:
        assert each.clause not in neutral, each.id
        if each.mode is not Mode.OFF and set(each.action.values()) != {Action.TAG}:
            assert each.mend, each.id


def test_every_rule_that_acts_has_a_test_in_its_document(document: PolicyDocument) -> None:
    """A change of its action or mode would be noticed: the test says exactly which rules fire. A sample message
    cannot say how well a file is encrypted, and some schools' domains are too short to be nearly right."""
    tested = {rule for test in document.tests for rule in test.rules or ()}
    acting = {each.id for each in document.rules if each.mode in (Mode.ENFORCE, Mode.ADVISE)}
    assert acting - tested <= {"weak-encryption", "look-alike-of-the-school"}


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["kcl.ac.uk", "kcs.org.uk", "warden-hill.gloucs.sch.uk", "kensington.london"])
@pytest.mark.parametrize("name", sorted(shipped_policies()))
def test_a_document_loads_whatever_the_schools_domain(name: str, domain: str) -> None:
    """Its own tests are told in the school's domain: one that passes only for some would keep gatepost from
    starting at the others."""
    assert prepare(load_policy(name), settings(domain)).rules


ONLY_KINGS = {"mass-mail-split", "virus-warning", "chain-letter"}
"""Rules of the neutral policy that none of the four documents asks for."""

DIFFERENT = {
    "warden-hill": {"private-use-of-a-day", "leaver-in-grace", "leaver-gone", "attachment-too-large"},
    "kclms": {
        *("parents-exposed", "use-the-portal", "private-account-recipient", "private-account-colleague"),
        *("private-account-reply-to", "risky-file-from-stranger", "first-contact-with-file"),
    },
    "kensington": {"first-contact-with-file", "leaver-in-grace", "leaver-gone", "attachment-too-large"},
    "code-of-conduct": {
        *("first-contact-with-file", "private-use-of-a-day", "leaver-in-grace", "leaver-gone"),
        "attachment-too-large",
    },
}
"""Rules of the neutral policy of which the document has its own opinion."""


def test_the_neutral_policys_own_tests_differ_only_where_the_document_does(
    document: PolicyDocument, policy: Policy
) -> None:
    """A change in the base that reaches a school by accident shows here."""
    base = load_policy("default")
    asked = [each.model_copy(update={"rules": None}) for each in base.tests]
    borrowed = document.model_copy(update={"tests": asked, "test_directory": base.test_directory})
    results = document_tests.run(borrowed, settings(), policy.among, policy.roles)
    different = {rule for each in results if not each.passed for rule in base.tests[each.index].rules or ("?",)}
    assert different == DIFFERENT[document.name] | ONLY_KINGS
