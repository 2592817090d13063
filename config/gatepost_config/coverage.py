"""Owns coverage: clause by clause of a school's own policy, what of gatepost serves it, or why nothing can.

The clauses are data (``config/policies/coverage``), reviewed by people; what the data says is checked against the
policy document and the settings, so that a clause is never said to be served by a rule, role or setting that does
not exist. A rule serves the clauses that its ``clause`` names, without being listed in the data.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, StringConstraints, model_validator

from gatepost_config.documents import check, is_path, read
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.policy_document import PolicyDocument, Rule
from gatepost_config.settings import Model, Settings
from gatepost_config.spelling import nearest, suggestion
from gatepost_config.words import Mode

_APART = re.compile(r"[,;·]")
_AND = re.compile(r"\band\b")

Line = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class State(StrEnum):
    """How far a clause is served."""

    SERVED = "served"
    PARTLY = "partly"
    NOT_YET = "not yet"
    NOT_SERVABLE = "not servable"


class Clause(Model):
    """One clause, and what serves it besides the rules that name it."""

    id: str = Field(min_length=1, description="As a rule's clause names it, without the document's short name.")
    asks: Line = Field(description="What it asks for, in our own words.")
    rules: list[str] = Field(default=[], description="Rules that serve it though their clause names another.")
    roles: list[str] = Field(default=[], description="Roles of the policy.")
    limits: list[str] = Field(default=[], description="Limits of the policy.")
    settings: list[str] = Field(default=[], description="Keys of gatepost.yaml, dotted.")
    commands: list[str] = Field(default=[], description="Commands, as they are typed.")
    features: list[Line] = Field(default=[], description="Anything else that serves it, in a few words.")
    rule_wanted: str = Field(
        default="", description="What a rule has yet to do; settled when one names the clause."
    )
    not_yet: str = Field(default="", description="What is still missing.")
    beyond: str = Field(default="", description="What of it no mail gateway could serve; the rest is served.")
    not_servable: str = Field(default="", description="Why a mail gateway cannot serve it.")

    @model_validator(mode="after")
    def _says_something(self) -> Clause:
        if self.not_servable and (self.served_by or self.rule_wanted or self.not_yet):
            raise ValueError(f"clause {self.id!r} is not servable, and yet something serves it or is to come")
        if not (self.served_by or self.rule_wanted or self.not_yet or self.not_servable):
            raise ValueError(f"clause {self.id!r} must say what serves it, what is missing, or why nothing can")
        return self

    @property
    def served_by(self) -> tuple[str, ...]:
        """All that the data names."""
        return (*self.rules, *self.roles, *self.limits, *self.settings, *self.commands, *self.features)


class Clauses(Model):
    """The clauses of one school's document, in its order."""

    policy: str = Field(description="Name of the policy document that speaks for it.")
    title: str = Field(min_length=1, description="What the school calls its document.")
    short: str = Field(min_length=1, description="Its short name, as rules put it before a clause: KCS.")
    clauses: list[Clause] = Field(min_length=1, description="Every clause that bears on email.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A clause with the rules that serve it, by id and mode. ``missing`` says what is still to come."""

    clause: Clause
    rules: tuple[tuple[str, Mode], ...]
    missing: str

    @property
    def state(self) -> State:
        """How far the clause is served. Where all its rules are off, that is what is missing."""
        if self.clause.not_servable:
            return State.NOT_SERVABLE
        if not self.missing:
            return State.SERVED
        named = len(self.clause.served_by) > len(self.clause.rules)
        return State.PARTLY if self.rules or named else State.NOT_YET

    @property
    def remark(self) -> str:
        """What a reader should know besides: what is missing, or what is beyond any gateway."""
        return self.missing or self.clause.beyond or self.clause.not_servable


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """A document's clauses with what serves each. ``beyond`` are rules in use that serve no clause of it."""

    clauses: Clauses
    covered: tuple[Covered, ...]
    beyond: tuple[tuple[str, Mode], ...]

    def count(self, state: State) -> int:
        """How many clauses are in that state."""
        return sum(each.state is state for each in self.covered)


def shipped_clauses() -> dict[str, Path]:
    """The clauses that come with gatepost: policy name and path, in alphabetical order."""
    folder = Path(str(resources.files("gatepost_config.policies"))) / "coverage"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_coverage(name_or_path: str, document: PolicyDocument | None) -> Coverage:
    """The clauses of that name (shipped) or path, with what of this policy serves each.

    Without a document no rule serves anything yet. Raises ConfigError with everything that is not true.
    """
    path = Path(name_or_path)
    if not is_path(name_or_path):
        shipped = shipped_clauses()
        if name_or_path not in shipped:
            near = nearest(name_or_path, shipped) or ", ".join(shipped)
            raise ConfigError(
                Problem(path, 0, 0, f"there are no clauses named {name_or_path!r}", f"known: {near}")
            )
        path = shipped[name_or_path]
    data, source = read(path)
    clauses = check(Clauses, data, source)
    found = []
    for place, message, remedy in _faults(clauses, document):
        at = source.place(place)
        found.append(Problem(path, at.line, at.column, message, remedy))
    if found:
        raise ConfigError(*found)
    return _coverage(clauses, document.rules if document is not None else ())


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every key of the settings, dotted; keys that hold keys are named too."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _models(field.annotation):
            yield from setting_keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _coverage(clauses: Clauses, rules: Sequence[Rule]) -> Coverage:
    ids = {each.id.casefold() for each in clauses.clauses}
    named = {rule.id: [each for each in _named(rule, clauses.short, ids) if each in ids] for rule in rules}
    covered = []
    for clause in clauses.clauses:
        serving = tuple(
            (rule.id, rule.mode)
            for rule in rules
            if rule.id in clause.rules or clause.id.casefold() in named[rule.id]
        )
        asleep = bool(serving) and all(mode is Mode.OFF for _, mode in serving)
        wanted = "Switched off" if asleep else "" if serving else clause.rule_wanted
        missing = "; ".join(each for each in (wanted, clause.not_yet) if each)
        covered.append(Covered(clause=clause, rules=serving, missing=missing))
    serving_any = {name for each in covered for name, _ in each.rules}
    awake = (rule for rule in rules if rule.mode is not Mode.OFF)
    beyond = tuple((rule.id, rule.mode) for rule in awake if rule.id not in serving_any)
    return Coverage(clauses=clauses, covered=tuple(covered), beyond=beyond)


def _named(rule: Rule, short: str, ids: Collection[str]) -> Iterator[str]:
    """The clauses that a rule names, without the document's short name, case-folded: “KCS 2.6, 1.5 and 1.9”.

    A clause that has an “and” in its name is one clause (``ids`` are those there are).
    """
    for part in _APART.split(rule.clause):
        whole = _bare(part, short)
        for each in (part,) if whole in ids else _AND.split(part):
            if name := _bare(each, short):
                yield name


def _bare(text: str, short: str) -> str:
    return " ".join(text.split()).casefold().removeprefix(short.casefold()).strip()


def _faults(clauses: Clauses, document: PolicyDocument | None) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What the data says that is not so: the place in it, the fault, the remedy."""
    known = {
        "rules": [each.id for each in document.rules] if document else [],
        "roles": [*document.roles] if document else [],
        "limits": [*document.limits] if document else [],
        "settings": [*setting_keys()],
    }
    seen: set[str] = set()
    for index, clause in enumerate(clauses.clauses):
        if clause.id.casefold() in seen:
            yield ("clauses", index, "id"), f"clause {clause.id!r} is there twice", "give one another id"
        seen.add(clause.id.casefold())
        for key, names in known.items():
            for place, name in enumerate(getattr(clause, key)):
                if name not in names:
                    kind = f"{key.removesuffix('s')} {name!r}"
                    yield (
                        ("clauses", index, key, place),
                        f"there is no {kind}",
                        suggestion(name, names),
                    )
    listed = {rule for clause in clauses.clauses for rule in clause.rules}
    for rule in document.rules if document else ():
        for name in _named(rule, clauses.short, seen):
            if name not in seen and rule.id not in listed:
                family = [each.id for each in clauses.clauses if each.id.casefold().startswith(f"{name} ")]
                where = f" of {', '.join(map(repr, family))}" if family else ""
                message = f"rule {rule.id!r} names the clause {rule.clause!r}, and none here is {name!r}"
                yield (
                    ("clauses",),
                    message,
                    f"list it in rules{where or ' of the clause that it serves, or add that'}",
                )
