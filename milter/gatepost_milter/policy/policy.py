"""Owns the judge: a policy loaded for one school, and the Verdict it gives on a message."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from zoneinfo import ZoneInfo

from gatepost_config.directory import Directory
from gatepost_config.directory_load import load_directory
from gatepost_config.documents import load_policy
from gatepost_config.domains import Domains
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.policy_document import REPLY_OCTETS, PolicyDocument
from gatepost_config.settings import Settings
from gatepost_config.spelling import suggestion
from gatepost_config.words import (
    Action,
    Direction,
    Evidence,
    Explanation,
    Finding,
    Outcome,
    PolicyRef,
    Reply,
)
from gatepost_milter.detect.domains_alike import Alike
from gatepost_milter.detect.identifiers import Kind as Identity
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy import document_tests, known_files
from gatepost_milter.policy.content import Detectors, alike
from gatepost_milter.policy.content_facts import IN_FILES
from gatepost_milter.policy.evidence import merged
from gatepost_milter.policy.fact_types import People, Subject
from gatepost_milter.policy.facts import Catalogue
from gatepost_milter.policy.glance import relevant
from gatepost_milter.policy.identity import direction_of, identify, normal_address
from gatepost_milter.policy.lexicons import lists_of
from gatepost_milter.policy.reporting import without_the_subject
from gatepost_milter.policy.rules import (
    CompiledRule,
    active,
    compile_rules,
    environment,
)
from gatepost_milter.policy.standing import Exemptions, Memory, Party, exempt_text, with_blocks
from gatepost_milter.policy.syntax import Node
from gatepost_milter.policy.texts import Words
from gatepost_milter.policy.trial import Case, Plan, Trial
from gatepost_milter.policy.verdict import Sender, Verdict
from gatepost_milter.transaction import Transaction


def load(settings: Settings, *, directory: Directory | None = None, tested: bool = True) -> Policy:
    """The policy that the settings name, ready to judge; with the directory that they name, unless one is given.

    Raises ConfigError with every problem: in the document, in a condition, in the settings' roles, in the
    directory, and (unless ``tested`` is false) in the document's own tests, for a policy whose tests fail must
    not judge mail.
    """
    if directory is None and settings.directory is not None:
        directory = load_directory(settings.directory)
    return prepare(load_policy(settings.policy), settings, directory=directory, tested=tested)


def prepare(
    document: PolicyDocument, settings: Settings, *, directory: Directory | None = None, tested: bool = True
) -> Policy:
    """A document that was read, ready to judge; as ``load``."""
    policy = Policy(document, settings, directory=directory)
    if tested:
        results = document_tests.run(document, settings, policy.among, policy.roles)
        failed = [each for each in results if not each.passed]
        if failed:
            raise ConfigError(*(document_tests.problem(document, each) for each in failed))
    return policy


class Policy:
    """A policy document, compiled, for one school. Safe for many threads: judging changes nothing that matters.

    ``ref`` is what explanations call it, ``roles`` the mailboxes of every role, ``rules`` all rules in order,
    ``directory`` the people it knows (None without any), ``reads_files`` whether inspection must read the words of
    files for it. ``problems`` are what is wrong without making the policy
    unfit: rows of the directory that speak of rules that it does not have.
    """

    def __init__(
        self, document: PolicyDocument, settings: Settings, *, directory: Directory | None = None
    ) -> None:
        document = with_blocks(document)
        self.document = document
        self.settings = settings
        self.ref = PolicyRef(name=document.name, version=document.version, digest=document.source.digest)
        self.directory = directory
        self.roles = _mailboxes(document, settings)
        self.report_addresses = {
            normal_address(address).lower(): role.opens_case_for
            for name, role in document.roles.items()
            if role.opens_case_for is not None
            for address in self.roles[name]
        }
        self.known_files = known_files.load(settings, document)
        self.problems = tuple(_strangers(document, settings, directory))
        self._people = directory or Directory.of()
        self._domains = Domains(school=settings.school.domains)
        self._zone = ZoneInfo(settings.school.timezone)
        self._roles = _roles_by_mailbox(self.roles)
        self._words = Words.of(document, settings.school, self.roles)
        phrases = lists_of(document)
        self._alike = cache(partial(_known_domains, self._domains, self._people))
        self._catalogue = Catalogue(limits=document.limits, lists=document.lists, phrase_lists=phrases.lists)
        self._environment = environment(self._catalogue)
        self.rules = compile_rules(document, self._catalogue, self._environment)
        trees = [one.tree for each in active(self.rules) for one in each.conditions]
        self._detectors = Detectors(
            lexicon=phrases.lexicon,
            identifiers=_identifiers(trees),
            in_letters=phrases.least(trees, "listed", "own_listed"),
            in_files=phrases.least(trees, "listed_in_files"),
            private=phrases.private,
            telephones=tuple(settings.school.telephones),
            zone=self._zone,
        )
        self._plans: dict[frozenset[Direction], Plan] = {}
        self._replies = self._fill_replies()
        self._exemptions = Exemptions.of_document(document.exemptions, self._zone)
        self._memory = Memory()
        awake = [each for each in active(self.rules) if each.words]
        self.reads_files = any(not IN_FILES.isdisjoint(one.needs) for each in awake for one in each.conditions)
        self._safeguarding = frozenset(
            normal_address(address).lower()
            for name, role in document.roles.items()
            if role.safeguarding
            for address in self.roles[name]
        )

    def among(self, directory: Directory | None) -> Policy:
        """The same policy among other people. Compiled conditions are shared, so this is cheap."""
        other = copy.copy(self)
        other.directory = directory
        other.problems = tuple(_strangers(self.document, self.settings, directory))
        other._people = directory or Directory.of()
        other._alike = cache(partial(_known_domains, self._domains, other._people))
        return other

    def remembering(self, memory: Memory) -> Policy:
        """The same policy with what stands between messages: rulings and the past. As cheap as ``among``."""
        other = copy.copy(self)
        other._memory = memory
        return other

    def mailboxes(self, role: str) -> tuple[str, ...]:
        """The mailboxes of a role, the settings' own if they name any. Raises KeyError for an unknown role."""
        return self.roles[role]

    def judge(self, transaction: Transaction, inspection: Inspection) -> Verdict:
        """What is to happen to the message. Raises PolicyError if a condition cannot be evaluated on it."""
        sender = identify(transaction, self.settings, self.directory)
        cases = []
        for path in transaction.recipients:
            way = direction_of(path.address, sender, self.settings)
            cases.append(Case(path.address, normal_address(path.address), way))
        ways = [(case.plain, case.direction) for case in cases]
        subject = self.subject(transaction, inspection, sender=sender, ways=ways)
        findings = self._findings(subject, cases)
        addresses = [case.address for case in cases]
        known = self.known_files.finding(inspection.attachments, addresses=addresses)
        if known is not None:
            findings = [known, *findings]
        if held := self._held_by(sender):
            findings = [without_the_subject(each, held, self.document.roles) for each in findings]
        answers = _answers(subject)
        actions = _settle({case.address: _strictest(findings, case.address) for case in cases}, answers=answers)
        explanation = Explanation(
            support_id=transaction.support_id,
            policy=self.ref,
            outcomes=tuple(
                Outcome(recipient=case.address, direction=case.direction, action=actions[case.address])
                for case in cases
            ),
            findings=tuple(_as_settled(finding, actions, answers=answers) for finding in findings),
            defects=tuple(str(defect) for defect in inspection.defects),
        )
        return Verdict(sender=sender, explanation=explanation)

    def people(self, at: datetime) -> People:
        """Whom the school knows on the day that ``at`` is in its own time zone."""
        return People(
            directory=self._people,
            domains=self._domains,
            at=at.astimezone(self._zone).date(),
            past=self._memory.past,
        )

    def subject(
        self,
        transaction: Transaction,
        inspection: Inspection,
        *,
        sender: Sender,
        ways: Iterable[tuple[str, Direction]],
    ) -> Subject:
        """What facts are read from: the message, by ``sender``, to recipients in their normal form."""
        people = self.people(transaction.received_at)
        return Subject(
            transaction=transaction,
            inspection=inspection,
            sender=sender,
            ways=tuple(ways),
            people=people,
            standing=self._memory.standing,
            zone=self._zone,
            detectors=self._detectors,
            alike=self._alike,
        )

    def _findings(self, subject: Subject, cases: Sequence[Case]) -> list[Finding]:
        """The findings of all rules that speak for the ways that the message goes, in policy order."""
        ways = frozenset(case.direction for case in cases)
        trial = Trial(
            subject,
            self._plan(ways),
            catalogue=self._catalogue,
            environment=self._environment,
            roles=self._roles,
        )
        others = self._others(subject, cases)
        findings = []
        for each in trial.awake():
            addressed = others if each.words else cases
            if len(ways) > 1:  # else each rule of the plan speaks for the only way
                addressed = [case for case in addressed if case.direction in each.rule.action]
            eligible = trial.eligible(each, addressed) if addressed else ()
            found = self._finding(each, trial, subject, eligible) if eligible else None
            if found is not None:
                findings.append(found)
        return findings

    def _others(self, subject: Subject, cases: Sequence[Case]) -> Sequence[Case]:
        """The recipients for whom text rules speak: nobody to whom children's worries go, and nobody to whom she
        writes."""
        if not self._safeguarding:
            return cases
        if subject.sender.known and self._is_safeguarding(subject.sender.mailbox):
            return ()
        return [case for case in cases if not self._is_safeguarding(case.plain)]

    def _plan(self, ways: frozenset[Direction]) -> Plan:
        plan = self._plans.get(ways)
        if plan is None:
            rules = [each for each in active(self.rules) if not ways.isdisjoint(each.rule.action)]
            plan = self._plans[ways] = Plan(rules, self._catalogue)
        return plan

    def _finding(
        self, compiled: CompiledRule, trial: Trial, subject: Subject, cases: Sequence[Case]
    ) -> Finding | None:
        """The finding of one rule over all recipients, None if it fires for nobody."""
        rule = compiled.rule
        actions: dict[str, Action] = {}
        exemptions: dict[str, None] = {}
        evidence: dict[int, tuple[Evidence, ...]] = {}
        wanted = Action.PASS
        for case in cases:
            found = trial.fires(compiled, case)
            if found is None:
                continue
            evidence[id(found)] = found
            asked = rule.action[case.direction]
            wanted = Action.strictest(wanted, asked)
            named = found if trial.names_all(compiled, case) else ()
            exemption = self._exemption(rule.id, subject, case, named)
            if exemption:
                exemptions[exemption] = None
            actions[case.address] = Action.PASS if exemption else rule.mode.limit(asked)
        if not actions:
            return None
        shown = merged(evidence.values())
        return Finding(
            rule=rule.id,
            clause=rule.clause,
            mode=rule.mode,
            wanted=wanted,
            actions=actions,
            evidence=shown,
            say=self._words.fill(rule.say, rule, shown),
            mend=self._words.fill(rule.mend, rule, shown),
            queue=rule.queue,
            tell=tuple(rule.tell),
            reply=self._replies[rule.id],
            source=compiled.source,
            exemptions=tuple(exemptions),
            override=rule.override,
        )

    def _exemption(self, rule: str, subject: Subject, case: Case, found: tuple[Evidence, ...]) -> str:
        """What spares this recipient or the proved sender the rule's action at that moment, in words.

        The document's exemptions come first, then those that somebody made while mail flows, then the directory's.
        """
        proved = subject.sender.mailbox if subject.sender.known else ""
        for exemptions in (self._exemptions, subject.standing.exemptions):
            if rule in exemptions.leaves:
                words = exemptions.spare(
                    rule,
                    sender=Party.of(proved, self._main_address(proved)),
                    recipient=Party.of(case.plain, self._main_address(case.plain)),
                    at=subject.transaction.received_at,
                    found=found,
                    attachments=subject.inspection.attachments,
                )
                if words:
                    return words
        today = subject.people.at
        for party, address in (("sender", proved), ("recipient", case.plain)):
            leave = self._people.exempt(rule, address, today, party=party) if address else None
            if leave is not None:
                return exempt_text(leave.who, leave.span.ends, leave.approved_by, leave.reason)
        return ""

    def _is_safeguarding(self, address: str) -> bool:
        """Whether it is the mailbox of somebody to whom children's worries go: text rules never act on that mail,
        for a filter between a child and her would do harm (KCS 3.7, KPS and KCLMS safeguarding)."""
        return address.lower() in self._safeguarding

    def _held_by(self, sender: Sender) -> frozenset[str]:
        """The roles among whose mailboxes the proved sender's own is; none for anybody else."""
        if not sender.known:
            return frozenset()
        own = (sender.mailbox, self._main_address(sender.mailbox))
        return frozenset(role for each in own for role in self._roles.get(normal_address(each).lower(), ()))

    def _main_address(self, address: str) -> str:
        person = self._people.person(address)
        return person.address if person is not None else address

    def _fill_replies(self) -> Mapping[str, Reply]:
        """The SMTP reply of every rule; filled in once, for nothing from a message may stand in it."""
        replies, problems = {}, []
        source = self.document.source
        for index, rule in enumerate(self.document.rules):
            text = " ".join(self._words.fill(rule.reply, rule).split())
            place = ("rules", index, "reply")
            if not text.isascii():
                message = "the SMTP reply is not plain ASCII once its placeholders are filled in"
                problems.append(source.problem(place, message, text))
            elif len(text) > REPLY_OCTETS:
                message = f"the SMTP reply has {len(text)} octets once filled in; at most {REPLY_OCTETS} go"
                problems.append(source.problem(place, message, text))
            code, status = rule.code.split(" ")
            replies[rule.id] = Reply(code=int(code), status=status, text=text)
        if problems:
            raise ConfigError(*problems)
        return replies


def _identifiers(trees: Sequence[Node]) -> frozenset[Identity]:
    """The kinds of identifiers that make any difference to conditions: no other is looked for."""
    kinds = {kind: {"kind": kind} for kind in Identity}
    return relevant(trees, "identifiers", kinds) | relevant(trees, "own_identifiers", kinds)


def _strictest(findings: Sequence[Finding], address: str) -> Action:
    return Action.strictest(*(finding.actions.get(address, Action.PASS) for finding in findings))


def _answers(subject: Subject) -> bool:
    """Whether there is anybody who can be asked: a known sender, and no machine (RFC 3834 section 2)."""
    given = subject.transaction.sender.address
    return subject.sender.known and bool(given) and not subject.inspection.automatic


def _settle(actions: Mapping[str, Action], *, answers: bool) -> dict[str, Action]:
    """The actions once they agree with each other and with the sender: there is one SMTP reply and one copy to
    seal, and only somebody who answers can be asked to confirm."""
    if Action.SEAL in actions.values():
        return dict.fromkeys(actions, Action.SEAL)
    if set(actions.values()) == {Action.REJECT}:
        return dict(actions)
    instead = {Action.REJECT: Action.QUARANTINE}
    if not answers:
        instead[Action.CONFIRM] = Action.QUARANTINE
    return {address: instead.get(action, action) for address, action in actions.items()}


def _as_settled(finding: Finding, actions: Mapping[str, Action], *, answers: bool) -> Finding:
    """The finding with the action that it really has: a refusal or a question that could not be is a hold."""
    settled = {}
    for address, action in finding.actions.items():
        refused = action is Action.REJECT and actions[address] is not action
        unasked = action is Action.CONFIRM and not answers
        settled[address] = Action.QUARANTINE if refused or unasked else action
    return finding if settled == finding.actions else replace(finding, actions=settled)


def _strangers(document: PolicyDocument, settings: Settings, directory: Directory | None) -> Iterable[Problem]:
    """The directory's exemptions from rules that the policy does not have: they spare nobody anything."""
    ids = [rule.id for rule in document.rules]
    for each in directory.exemptions if directory is not None else ():
        if each.rule in ids:
            continue
        name, _, line = each.source.rpartition(":")
        path = (settings.directory or Path()) / name
        message = f"the policy {document.name!r} has no rule {each.rule!r}, so this exemption does nothing"
        remedy = suggestion(each.rule, ids, what="rules")
        yield Problem(path, int(line or 0), 1, message, remedy)


def _known_domains(domains: Domains, directory: Directory) -> Alike:
    """The domains that the school knows; made when it is first asked for, since it takes milliseconds."""
    return alike(domains, known={each.who.rpartition("@")[2].removeprefix("*.") for each in directory.approvals})


def _mailboxes(document: PolicyDocument, settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """The mailboxes of every role. Raises ConfigError if the settings name a role that the policy has not."""
    problems = []
    for name in settings.roles:
        if name not in document.roles:
            remedy = suggestion(name, document.roles, what="roles")
            message = f"roles: the policy {document.name!r} has no role {name!r}"
            problems.append(settings.problem(("roles", name), message, remedy))
    if problems:
        raise ConfigError(*problems)
    domain = settings.school.domains[0]
    return {
        name: tuple(settings.roles.get(name) or [each.replace("{domain}", domain) for each in role.mailboxes])
        for name, role in document.roles.items()
    }


def _roles_by_mailbox(mailboxes: Mapping[str, Sequence[str]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for role, addresses in mailboxes.items():
        for address in addresses:
            found.setdefault(normal_address(address).lower(), []).append(role)
    return {address: tuple(roles) for address, roles in found.items()}
