"""Owns the trial of rules on one message: facts found out when they are first asked for, a glance at each rule,
and the evaluation of what a glance does not rule out. Whatever was found out is remembered as long as it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from gatepost_config.words import Direction, Evidence
from gatepost_milter.detect.pages import DetectionError
from gatepost_milter.policy.evidence import evidence_of
from gatepost_milter.policy.fact_types import Recipient, Scope, Subject
from gatepost_milter.policy.facts import Asked, Catalogue
from gatepost_milter.policy.glance import View
from gatepost_milter.policy.rules import CompiledRule, Condition, PolicyError


@dataclass(frozen=True, slots=True)
class Case:
    """One recipient of the message at hand; ``plain`` is the address in its normal form."""

    address: str
    plain: str
    direction: Direction


class Plan:
    """What is to be done for messages that go certain ways: the rules that speak there, and what they ask for.

    ``gates`` are lists that are cheap to find out, and without which some rules find nothing.
    """

    def __init__(self, rules: Sequence[CompiledRule], catalogue: Catalogue) -> None:
        self._rules = tuple(rules)
        conditions = [one for each in rules for one in each.conditions]
        self.asked: Asked = catalogue.asking({word for one in conditions for word in one.words})
        self.gates = sorted({name for each in rules if not each.dear for name in each.lists or ()})
        self._awake: dict[tuple[str, ...], tuple[CompiledRule, ...]] = {}

    def awake(self, filled: tuple[str, ...]) -> tuple[CompiledRule, ...]:
        """The rules that can find anything when, of the lists in ``gates``, these hold something."""
        awake = self._awake.get(filled)
        if awake is None:
            awake = self._awake[filled] = tuple(
                each
                for each in self._rules
                if each.lists is None or each.dear or not each.lists.isdisjoint(filled)
            )
        return awake


class _Things(dict[str, Any]):
    """What the facts of one message are read from, each found out when it is first asked for.

    ``empty`` are the lists that are known to hold nothing. Raises PolicyError if a text could not be searched.
    """

    def __init__(self, catalogue: Catalogue, subject: Subject) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._subject = subject
        self.empty: set[str] = set()

    def __missing__(self, name: str) -> Any:
        try:
            found = self[name] = self._catalogue.thing(name, self._subject)
        except DetectionError as error:
            raise PolicyError(f"{name}: {error}") from None
        if found == []:
            self.empty.add(name)
        return found


class _Facts:
    """The values of the facts of one message, each made when it is first asked for."""

    def __init__(
        self, catalogue: Catalogue, subject: Subject, asked: Asked, roles: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._catalogue = catalogue
        self._subject = subject
        self._asked = asked
        self._roles = roles
        self.things = _Things(catalogue, subject)
        self._values: dict[str, Any] = {}
        self._recipients: dict[str, Recipient] = {}
        self._cases: dict[str, Any] = {}
        self._case: Case | None = None

    def turn_to(self, case: Case) -> None:
        """From now on glances at the recipient and the direction see these."""
        if case is self._case:
            return
        self._case = case
        self.things["recipient"] = self._recipient(case)
        self.things["direction"] = case.direction.value

    def of(self, condition: Condition, case: Case) -> dict[str, Any]:
        """The values of all that a condition reads. Raises PolicyError."""
        return {name: self._value(name, case) for name in condition.needs}

    def _value(self, name: str, case: Case) -> Any:
        if name == "direction":
            return case.direction.value
        people = self._subject.people
        if name == "recipient":
            if case.address not in self._cases:
                recipient = self._recipient(case)
                self._cases[case.address] = self._catalogue.value(name, recipient, people, self._asked)
            return self._cases[case.address]
        if name not in self._values:
            thing = None if self._catalogue.is_constant(name) else self.things[name]
            try:
                self._values[name] = self._catalogue.value(name, thing, people, self._asked)
            except DetectionError as error:
                raise PolicyError(f"{name}: {error}") from None
        return self._values[name]

    def _recipient(self, case: Case) -> Recipient:
        recipient = self._recipients.get(case.plain)
        if recipient is None:
            roles = self._roles.get(case.plain.lower(), ())
            recipient = self._recipients[case.plain] = Recipient(address=case.plain, roles=roles)
        return recipient


class Trial:
    """One message under judgement.

    ``roles`` are the policy's roles by their mailboxes, ``environment`` is that in which the conditions were
    compiled.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        *,
        catalogue: Catalogue,
        environment: cel.Env,
        roles: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._facts = _Facts(catalogue, subject, plan.asked, roles)
        self._view = View(self._facts.things, subject.people)
        self._plan = plan
        self._environment = environment
        self._known: dict[tuple[int, str], list[Any] | bool] = {}
        self._fired: dict[tuple[int, str], tuple[Evidence, ...] | None] = {}

    def awake(self) -> tuple[CompiledRule, ...]:
        """The rules of the plan whose lists hold anything. Raises PolicyError."""
        return self._plan.awake(tuple(filter(self._facts.things.__getitem__, self._plan.gates)))

    def eligible(self, compiled: CompiledRule, cases: Sequence[Case]) -> Sequence[Case]:
        """Those of the recipients for whom the rule could fire, as far as glances tell. Raises PolicyError."""
        if compiled.lists is not None and compiled.lists <= self._facts.things.empty:
            return ()
        try:
            for scope, look in compiled.looks:
                if scope is Scope.MESSAGE:
                    if not look(self._view):
                        return ()
                    continue
                cases = [case for case in cases if self._look(look, case)]
                if not cases:
                    return ()
        except DetectionError as error:
            raise PolicyError(f"rule {compiled.rule.id}: {error}") from None
        return cases

    def _look(self, look: Any, case: Case) -> Any:
        self._facts.turn_to(case)
        return look(self._view)

    def fires(self, compiled: CompiledRule, case: Case) -> tuple[Evidence, ...] | None:
        """The evidence if the rule fires for this recipient, None if it does not. Raises PolicyError.

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

    def names_all(self, compiled: CompiledRule, case: Case) -> bool:
        """Whether the evidence is all that made the rule fire: a condition that is plainly true names nothing."""
        return not any(self._run(one, case) is True for one in compiled.find)

    def _found(self, compiled: CompiledRule, case: Case) -> tuple[Evidence, ...] | None:
        key = (id(compiled), _scope_key(compiled.scope, case))
        if key not in self._fired:
            results = [self._run(one, case) for one in compiled.find]
            items = [item for result in results if isinstance(result, list) for item in result]
            fired = bool(items) or any(result is True for result in results)
            self._fired[key] = evidence_of(items) if fired else None
        return self._fired[key]

    def _run(self, condition: Condition, case: Case) -> list[Any] | bool:
        key = (id(condition), _scope_key(condition.scope, case))
        if key not in self._known:
            self._known[key] = self._evaluate(condition, case)
        return self._known[key]

    def _evaluate(self, condition: Condition, case: Case) -> list[Any] | bool:
        if condition.chunked and not self._facts.things[condition.chunked]:
            return []
        return condition.run(self._environment, self._facts.of(condition, case))


def _scope_key(scope: Scope, case: Case) -> str:
    if scope is Scope.MESSAGE:
        return ""
    return case.direction.value if scope is Scope.DIRECTION else case.address
