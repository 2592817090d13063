"""Owns the schema and the loader of phrase lists: words and phrases of one subject, kept by one role.

A list is a YAML document of its own, so that the safeguarding lead can keep hers privately, beside the shipped
ones. What a phrase may look like is told in ``config/lists/README.md``; the milter's detectors compile them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gatepost_config.documents import check, read
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.policy_document import FactName, RoleName, RuleId
from gatepost_config.settings import Document, Model
from gatepost_config.spelling import suggestion

MOST_TERMS = 2000
"""Terms of one list."""

Phrase = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Term(Model):
    """One phrase, or one RE2 pattern, and how much it says."""

    phrase: Phrase | None = Field(
        default=None,
        description="Words; (a|b) either, [a] or not, ... up to three words, # a number, word* endings.",
    )
    pattern: Phrase | None = Field(default=None, description="An RE2 pattern on text in lower case, instead.")
    tier: FactName = Field(description="The tier of the list that it belongs to.")
    unless: list[Phrase] = Field(default=[], description="Phrases near which the term is meant otherwise.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.phrase is None) == (self.pattern is None):
            raise ValueError("a term has either a phrase or a pattern")
        return self

    @property
    def text(self) -> str:
        """The phrase or pattern as it was written."""
        return self.phrase if self.phrase is not None else str(self.pattern)


class Allowed(Model):
    """A context that speaks for another meaning: a lesson, a bulletin, a place."""

    phrase: Phrase = Field(description="The phrase that speaks for it.")
    scope: Literal["near", "text"] = Field(
        default="near", description="near: terms near it do not count; text: anywhere, the score is less."
    )
    less: int = Field(default=2, ge=1, le=100, description="With scope text: how much less.")


class ListTest(Model):
    """A small text and what the list must make of it."""

    text: str = Field(min_length=1, description="The text.")
    score: int | None = Field(default=None, ge=0, description="The score that it must get.")
    reached: bool = Field(description="Whether the score must reach the list's threshold.")


class PhraseList(Document):
    """The phrases of one subject."""

    name: RuleId = Field(description="Short name; the same as the file's.")
    title: str = Field(min_length=1, description="What the list is about, as notices and reports say it.")
    owner: RoleName = Field(description="The role that keeps the list and may change it.")
    version: str = Field(min_length=1, description="Version or date of the list, in quotes.")
    language: str = Field(default="en-GB", min_length=2, description="Language of the terms (BCP 47).")
    category: RuleId = Field(description="The subject, as rules ask for it.")
    about: str = Field(default="", description="What the list is for, and what it leaves out.")
    private: bool = Field(
        default=False,
        description="Whether its terms are shown to those who may see content only, never in a notice.",
    )
    threshold: int = Field(ge=1, le=1000, description="The score from which the list counts as reached.")
    tiers: dict[FactName, int] = Field(min_length=1, description="Names of tiers and their weights, 1 to 100.")
    terms: list[Term] = Field(min_length=1, max_length=MOST_TERMS, description="The terms.")
    allow: list[Allowed] = Field(default=[], description="Contexts that speak for another meaning.")
    tests: list[ListTest] = Field(
        min_length=2, description="Texts that must reach the threshold, and that must not."
    )

    def problem(self, path: Sequence[str | int], message: str, remedy: str = "") -> Problem:
        """A fault of the value at ``path`` in this list."""
        return self.source.problem(path, message, remedy)


def load_list(path: Path) -> PhraseList:
    """The list in ``path``, checked except for its phrases and tests, which the detectors know how to read.

    Raises ConfigError with every problem, each with line and column.
    """
    data, source = read(path)
    loaded = check(PhraseList, data, source)
    loaded.attach(source)
    problems = list(_problems(loaded))
    if problems:
        raise ConfigError(*sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return loaded


def load_lists(names_or_paths: Sequence[str | Path]) -> tuple[PhraseList, ...]:
    """The lists of these names (shipped ones) or paths, in order. Raises ConfigError with the problems of all."""
    shipped = shipped_lists()
    loaded: list[PhraseList] = []
    problems: list[Problem] = []
    for each in names_or_paths:
        try:
            loaded.append(load_list(_path(each, shipped)))
        except ConfigError as error:
            problems += error.problems
    names = [one.name for one in loaded]
    for index, one in enumerate(loaded):
        if names.index(one.name) != index:
            message = f"{one.name!r} is also the name of {loaded[names.index(one.name)].source.path}"
            problems.append(one.problem(("name",), message, "choose another name"))
    if problems:
        raise ConfigError(*problems)
    return tuple(loaded)


def shipped_lists() -> Mapping[str, Path]:
    """The lists that come with gatepost: name and path, in alphabetical order."""
    folder = Path(str(resources.files("gatepost_config.lists")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _path(name_or_path: str | Path, shipped: Mapping[str, Path]) -> Path:
    if isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    if name_or_path in shipped:
        return shipped[name_or_path]
    remedy = suggestion(name_or_path, shipped, what="shipped lists")
    message = f"there is no shipped list named {name_or_path!r}"
    raise ConfigError(
        Problem(Path(name_or_path), 0, 0, message, f"{remedy} A file needs a / or .yaml in its path.")
    )


def _problems(loaded: PhraseList) -> Iterator[Problem]:
    if loaded.name != loaded.source.path.stem:
        message = f"the list is named {loaded.name!r}, and its file {loaded.source.path.stem!r}"
        yield loaded.problem(("name",), message, "give both the same name")
    for tier, weight in loaded.tiers.items():
        if not 1 <= weight <= 100:
            yield loaded.problem(("tiers", tier), f"tiers.{tier}: a weight is 1 to 100, not {weight}")
    seen: dict[str, int] = {}
    for index, term in enumerate(loaded.terms):
        if term.tier not in loaded.tiers:
            remedy = suggestion(term.tier, loaded.tiers, what="tiers")
            yield loaded.problem(("terms", index, "tier"), f"there is no tier {term.tier!r}", remedy)
        key = " ".join(term.text.lower().split())
        if key in seen:
            line = loaded.source.place(("terms", seen[key])).line
            yield loaded.problem(
                ("terms", index), f"the term stands twice; first in line {line}", "keep one of them"
            )
        seen.setdefault(key, index)
    if len({test.reached for test in loaded.tests}) < 2:
        message = "the tests need a text that reaches the threshold and one that does not"
        yield loaded.problem(("tests",), message, "add a test of everyday mail")
