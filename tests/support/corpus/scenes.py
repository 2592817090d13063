"""Owns how a scenario is put before a policy: inspected once, judged by as many policies as one likes."""

from __future__ import annotations

from dataclasses import replace

from support.corpus.judging import inspected
from support.corpus.scenarios import SCHOOL, Scenario
from support.mail import transaction

from gatepost_config.directory import Directory, Group
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.document_tests import SamplePast
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.policy.verdict import Verdict


def seen(scenario: Scenario, inspectors: Inspectors) -> Inspection:
    """What inspection and the virus scanner say of the mail."""
    return replace(inspected(scenario.build(), inspectors, texts=True), malware=tuple(scenario.malware))


def judged(scenario: Scenario, policy: Policy, found: Inspection) -> Verdict:
    """The verdict of a policy that stands among the people of the scenarios."""
    among = policy
    if scenario.agreed:
        agreed = Group(name="Committee", agreed=True, members=frozenset(scenario.agreed))
        among = policy.among(Directory.of(people=SCHOOL.people, groups=[agreed], approvals=SCHOOL.approvals))
    judge = among.remembering(Memory(standing=Standing(), past=SamplePast(known=not scenario.new)))
    recipients = (*scenario.to, *scenario.cc, *scenario.bcc)
    sender = f"{scenario.login}@school.example" if scenario.login else scenario.sender
    return judge.judge(transaction(*recipients, login=scenario.login, sender=sender), found)
