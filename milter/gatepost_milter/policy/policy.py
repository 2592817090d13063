"""Owns the judge: a policy loaded for one school, and the Verdict it gives on a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date
from typing import Any

from cel_expr_python import cel

from gatepost_config.directory import Directory
from gatepost_config.directory_load import load_directory
from gatepost_config.documents import load_policy, nearest
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.policy_document import REPLY_OCTETS, Exemption, PolicyDocument
from gatepost_config.settings import Settings
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
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy import document_tests
from gatepost_milter.policy.evidence import evidence_of, merged
from gatepost_milter.policy.facts import Catalogue, Recipient, Scope, Subject
from gatepost_milter.policy.identity import direction_of, identify, normal_address
from gatepost_milter.policy.rules import CompiledRule, Condition, active, compile_rules, environment
from gatepost_milter.policy.texts import Words
from gatepost_milter.policy.verdict import Verdict
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
        results = document_tests.run(document, settings, policy.judge, policy.roles)
        failed = [each for each in results if not each.passed]
        if failed:
            raise ConfigError(*(document_tests.problem(document, each) for each in failed))
    return policy


@dataclass(frozen=True, slots=True)
class _Case:
    """One recipient of the message at hand."""

    address: str
    direction: Direction


_NOBODY = _Case("", Direction.INBOUND)


class Policy:
    """A policy document, compiled, for one school. Safe for many threads: judging changes nothing in it.

    ``ref`` is what explanations call it, ``roles`` the mailboxes of every role, ``rules`` all rules in order,
    ``directory`` the people it knows (None without any).
    """

    def __init__(
        self, document: PolicyDocument, settings: Settings, *, directory: Directory | None = None
    ) -> None:
        self.document = document
        self.settings = settings
        self.ref = PolicyRef(name=document.name, version=document.version, digest=document.source.digest)
        self.directory = directory
        self.roles = _mailboxes(document, settings)
        self._roles = _roles_by_mailbox(self.roles)
        self._words = Words.of(document, settings.school, self.roles)
        self._catalogue = Catalogue(limits=document.limits, lists=document.lists)
        self._environment = environment(self._catalogue)
        self.rules = compile_rules(document, self._catalogue, self._environment)
        self._active = active(self.rules)
        self._needs = frozenset(name for each in self._active for one in each.conditions for name in one.needs)
        self._replies = self._fill_replies()
        self._exemptions = _by_rule(document.exemptions)

    def mailboxes(self, role: str) -> tuple[str, ...]:
        """The mailboxes of a role, the settings' own if they name any. Raises KeyError for an unknown role."""
        return self.roles[role]

    def judge(self, transaction: Transaction, inspection: Inspection) -> Verdict:
        """What is to happen to the message. Raises PolicyError if a condition cannot be evaluated on it."""
        sender = identify(transaction, self.settings, self.directory)
        cases = [
            _Case(path.address, direction_of(path.address, sender, self.settings))
            for path in transaction.recipients
        ]
        subject = Subject(transaction=transaction, inspection=inspection, sender=sender)
        run = _Run(
            subject,
            values=self._catalogue.values(self._needs, subject),
            environment=self._environment,
            recipient=self._recipient,
        )
        findings = [finding for each in self._active if (finding := self._try(each, run, cases)) is not None]
        actions = _settle({case.address: _strictest(findings, case.address) for case in cases})
        explanation = Explanation(
            support_id=transaction.support_id,
            policy=self.ref,
            outcomes=tuple(
                Outcome(recipient=case.address, direction=case.direction, action=actions[case.address])
                for case in cases
            ),
            findings=tuple(_as_settled(finding, actions) for finding in findings),
            defects=tuple(str(defect) for defect in inspection.defects),
        )
        return Verdict(sender=sender, explanation=explanation)

    def _recipient(self, address: str) -> Any:
        plain = normal_address(address)
        roles = self._roles.get(plain.lower(), ())
        return self._catalogue.recipient(Recipient(address=plain, roles=roles))

    def _try(self, compiled: CompiledRule, run: _Run, cases: Sequence[_Case]) -> Finding | None:
        """The finding of one rule over all recipients, None if it fires for nobody."""
        rule = compiled.rule
        if not run.may_fire(compiled):
            return None
        actions: dict[str, Action] = {}
        exemptions: dict[str, None] = {}
        evidence: dict[int, tuple[Evidence, ...]] = {}
        wanted = Action.PASS
        for case in cases:
            if case.direction not in rule.action:
                continue
            found = run.fires(compiled, case)
            if found is None:
                continue
            evidence[id(found)] = found
            asked = rule.action[case.direction]
            wanted = Action.strictest(wanted, asked)
            exemption = self._exemption(rule.id, run.subject, case)
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
        )

    def _exemption(self, rule: str, subject: Subject, case: _Case) -> str:
        """The exemption that spares this recipient or the proved sender the rule's action on that day, in words.

        The document's come first. The directory's are for senders only: a recipient's would let in what strangers
        send them, and its register does not say which of the two it means.
        """
        today = subject.transaction.received_at.astimezone(UTC).date()
        sender = subject.sender.mailbox if subject.sender.known else ""
        for each in self._exemptions.get(rule, ()):
            address = case.address if each.party == "recipient" else sender
            if today <= each.until and _is(address, each.who):
                return _exempt_text(each.who, each.until, each.approved_by)
        if self.directory is not None and sender:
            found = self.directory.exempt(rule, sender, today)
            if found is not None:
                return _exempt_text(found.who, found.span.ends, found.approved_by)
        return ""

    def _fill_replies(self) -> Mapping[str, Reply]:
        """The SMTP reply of every rule; filled in once, for nothing from a message may stand in it."""
        replies, problems = {}, []
        source = self.document.source
        for index, rule in enumerate(self.document.rules):
            text = " ".join(self._words.fill(rule.reply, rule).split())
            place = source.place(("rules", index, "reply"))
            if not text.isascii():
                message = "the SMTP reply is not plain ASCII once its placeholders are filled in"
                problems.append(Problem(source.path, place.line, place.column, message, text))
            elif len(text) > REPLY_OCTETS:
                message = f"the SMTP reply has {len(text)} octets once filled in; at most {REPLY_OCTETS} go"
                problems.append(Problem(source.path, place.line, place.column, message, text))
            code, status = rule.code.split(" ")
            replies[rule.id] = Reply(code=int(code), status=status, text=text)
        if problems:
            raise ConfigError(*problems)
        return replies


class _Run:
    """One message under judgement: its facts, and what each condition gave, remembered as long as it holds."""

    def __init__(
        self,
        subject: Subject,
        *,
        values: Mapping[str, Any],
        environment: cel.Env,
        recipient: Callable[[str], Any],
    ) -> None:
        self.subject = subject
        self._values = values
        self._environment = environment
        self._recipient = recipient
        self._known: dict[tuple[int, str], list[Any] | bool] = {}
        self._fired: dict[tuple[int, str], tuple[Evidence, ...] | None] = {}
        self._activation: cel.Activation | None = None

    def fires(self, compiled: CompiledRule, case: _Case) -> tuple[Evidence, ...] | None:
        """The evidence if the rule fires for this recipient, None if it does not.

        The guard ``when`` is asked first only if what is found changes with the recipient too: else the answer
        to ``find``, mostly nothing, serves all recipients.
        """
        guard = compiled.when
        if guard is not None and compiled.scope is not Scope.MESSAGE and self._run(guard, case) is not True:
            return None
        found = self._found(compiled, case)
        if found is None or guard is None:
            return found
        return found if self._run(guard, case) is True else None

    def may_fire(self, compiled: CompiledRule) -> bool:
        """False if what is found is the same for all recipients, and is nothing."""
        return compiled.scope is not Scope.MESSAGE or self._found(compiled, _NOBODY) is not None

    def _found(self, compiled: CompiledRule, case: _Case) -> tuple[Evidence, ...] | None:
        key = (id(compiled), _scope_key(compiled.scope, case))
        if key not in self._fired:
            results = [self._run(one, case) for one in compiled.find]
            items = [item for result in results if isinstance(result, list) for item in result]
            fired = bool(items) or any(result is True for result in results)
            self._fired[key] = evidence_of(items) if fired else None
        return self._fired[key]

    def _run(self, condition: Condition, case: _Case) -> list[Any] | bool:
        key = (id(condition), _scope_key(condition.scope, case))
        if key not in self._known:
            self._known[key] = self._evaluate(condition, case)
        return self._known[key]

    def _evaluate(self, condition: Condition, case: _Case) -> list[Any] | bool:
        if condition.chunked and not self._values[condition.chunked]:
            return []  # most mail: nothing attached, nothing wrong
        if condition.scope is Scope.MESSAGE and not condition.long(self._values):
            if self._activation is None:
                self._activation = self._environment.Activation(self._values)
            return condition.evaluate(self._activation)
        values = {name: self._values[name] for name in condition.needs if name in self._values}
        if "direction" in condition.needs:
            values["direction"] = case.direction.value
        if "recipient" in condition.needs:
            values["recipient"] = self._recipient(case.address)
        return condition.run(self._environment, values)


def _scope_key(scope: Scope, case: _Case) -> str:
    if scope is Scope.MESSAGE:
        return ""
    return case.direction.value if scope is Scope.DIRECTION else case.address


def _strictest(findings: Sequence[Finding], address: str) -> Action:
    return Action.strictest(*(finding.actions.get(address, Action.PASS) for finding in findings))


def _settle(actions: Mapping[str, Action]) -> dict[str, Action]:
    """The actions once they agree with each other: there is one SMTP reply, and one copy to seal."""
    if Action.SEAL in actions.values():
        return dict.fromkeys(actions, Action.SEAL)
    if set(actions.values()) == {Action.REJECT}:
        return dict(actions)
    return {
        address: Action.QUARANTINE if action is Action.REJECT else action for address, action in actions.items()
    }


def _as_settled(finding: Finding, actions: Mapping[str, Action]) -> Finding:
    """The finding with the action that it really has: a refusal that could not be is a hold."""
    settled = {
        address: Action.QUARANTINE if action is Action.REJECT and actions[address] is not action else action
        for address, action in finding.actions.items()
    }
    return finding if settled == finding.actions else replace(finding, actions=settled)


def _exempt_text(who: str, until: date | None, approved_by: str) -> str:
    return f"{who} until {until.isoformat() if until else 'further notice'}, approved by {approved_by}"


def _is(address: str, who: str) -> bool:
    """Whether the address is the one that ``who`` names, or in the domain that ``@domain`` names; case-blind."""
    plain, wanted = normal_address(address).lower(), normal_address(who).lower()
    return plain.endswith(wanted) if wanted.startswith("@") else plain == wanted


def _mailboxes(document: PolicyDocument, settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """The mailboxes of every role. Raises ConfigError if the settings name a role that the policy has not."""
    problems = []
    for name in settings.roles:
        if name not in document.roles:
            near = nearest(name, document.roles)
            remedy = f"did you mean {near!r}?" if near else f"roles: {', '.join(document.roles)}"
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


def _by_rule(exemptions: Sequence[Exemption]) -> Mapping[str, list[Exemption]]:
    found: dict[str, list[Exemption]] = {}
    for exemption in exemptions:
        found.setdefault(exemption.rule, []).append(exemption)
    return found
