"""Owns rules: the conditions of a policy document, compiled and type-checked, ready to run over facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.policy_document import PolicyDocument, Rule
from gatepost_config.spelling import suggestion
from gatepost_config.words import Mode
from gatepost_milter.policy.fact_types import Scope
from gatepost_milter.policy.facts import FACTS, PACKAGE, Catalogue
from gatepost_milter.policy.glance import Look, either, glance
from gatepost_milter.policy.syntax import Node, read

CHUNK = 256
"""Items of a list that one evaluation looks at.

The runtime stops after 10,000 steps, and the cost of collecting n items grows with n squared; a message may
hold thousands of files. A plain filter is therefore run over pieces, which gives the same answer.
"""

LONGEST = 2000
"""Characters of one condition."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDEFINED = re.compile(r"undefined field '(\w+)' not found in struct '" + PACKAGE + r"\.(\w+)'")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
# A field compared with a text or with a list of texts: l.category == 'chain', i.kind in ['upn', 'uln'].
_TEXT = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_COMPARED = re.compile(rf"\.(\w+)\s*(?:[=!]=\s*|in\s*\[)((?:{_TEXT.pattern})(?:\s*,\s*(?:{_TEXT.pattern}))*)")
_FUNCTIONS = (
    "all", "contains", "endsWith", "exists", "exists_one", "filter", "has", "lowerAscii", "map", "matches",
    "size", "split", "startsWith", "string", "substring", "trim", "upperAscii",
)  # fmt: skip


class PolicyError(Exception):
    """A condition could not be evaluated on this message: the gate answers with a temp-fail, never a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A compiled expression. ``needs`` are the facts that it may read (never fewer than it does), ``words`` all
    its words.

    ``chunked`` is the one list fact that the expression is, or is a plain filter of; empty for any other shape.
    ``tree`` is its syntax, ``look`` a glance: false or empty only if the expression is sure to be.
    """

    source: str
    where: str
    expression: cel.Expression
    needs: frozenset[str]
    words: frozenset[str]
    scope: Scope
    chunked: str
    tree: Node
    look: Look

    @property
    def asks_words(self) -> bool:
        """Whether it asks what the message says, which costs more to find out than all else."""
        return any(FACTS[name].words for name in self.needs)

    def run(self, environment: cel.Env, values: Mapping[str, Any]) -> list[Any] | bool:
        """What the expression gives for these facts. Raises PolicyError."""
        if not self.chunked or len(values[self.chunked]) <= CHUNK:
            return self.evaluate(environment.Activation(values))
        items = values[self.chunked]
        found: list[Any] = []
        for start in range(0, len(items), CHUNK):
            piece = {**values, self.chunked: items[start : start + CHUNK]}
            found += self._list(self.evaluate(environment.Activation(piece)))
        return found

    def evaluate(self, activation: cel.Activation) -> list[Any] | bool:
        """What the expression gives on a ready activation. Raises PolicyError."""
        try:
            value = self.expression.eval(activation)
        except RuntimeError as error:
            raise PolicyError(f"{self.where}: {error}") from None
        if value.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise PolicyError(f"{self.where}: {value.plain_value()}")
        plain = value.plain_value()
        if not isinstance(plain, list | bool):
            raise PolicyError(f"{self.where}: gave neither a list nor true or false")
        return plain

    def _list(self, plain: list[Any] | bool) -> list[Any]:
        if isinstance(plain, bool):
            raise PolicyError(f"{self.where}: gave true or false where a list was promised")
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """A rule with its conditions. ``source`` is ``file:line`` of the rule.

    ``scope`` is how often what the rule finds changes within one message; its guard may change more often.
    ``lists`` are those of which one must hold something, else the rule finds nothing; None where more must be
    looked at. ``looks`` are glances at what it finds and at its guard, in the order in which to look, each with
    how often its answer changes: if one is false or empty, the rule does not fire. ``dear`` says that what it
    finds stands in the words, ``words`` that it asks for them anywhere: a text rule.
    """

    rule: Rule
    find: tuple[Condition, ...]
    when: Condition | None
    source: str
    scope: Scope
    lists: frozenset[str] | None
    dear: bool
    looks: tuple[tuple[Scope, Look], ...]
    words: bool

    @staticmethod
    def of(rule: Rule, *, find: tuple[Condition, ...], when: Condition | None, source: str) -> CompiledRule:
        """The rule of these conditions."""
        scope = max((each.scope for each in find), key=lambda scope: scope.value, default=Scope.MESSAGE)
        dear = any(each.asks_words for each in find)
        looks = [(dear, (scope, either([each.look for each in find])))]
        if when is not None:
            looks.append((when.asks_words, (when.scope, when.look)))
        plain = all(each.chunked for each in find)
        return CompiledRule(
            rule=rule,
            find=find,
            when=when,
            source=source,
            scope=scope,
            lists=frozenset(each.chunked for each in find) if plain else None,
            dear=dear,
            looks=tuple(look for _, look in sorted(looks, key=lambda each: each[0])),
            words=any(costs for costs, _ in looks),
        )

    @property
    def conditions(self) -> Iterator[Condition]:
        """All conditions of the rule."""
        yield from self.find
        if self.when is not None:
            yield self.when


def environment(catalogue: Catalogue) -> cel.Env:
    """The condition language with our facts and the strings extension."""
    return cel.NewEnv(
        descriptor_pool=catalogue.pool,
        container=PACKAGE,
        variables=catalogue.variables(),
        extensions=[ext_strings.ExtStrings()],
    )


def compile_rules(document: PolicyDocument, catalogue: Catalogue, env: cel.Env) -> tuple[CompiledRule, ...]:
    """Every rule compiled, in policy order, those that are off too. Raises ConfigError with all problems."""
    problems: list[Problem] = []
    compiled = []
    compiler = _Compiler(document, catalogue, env, problems.append)
    for index, rule in enumerate(document.rules):
        path: tuple[str | int, ...] = ("rules", index)
        find = []
        for number, source in enumerate(rule.find):
            listed = (*path, "find", number)
            place = listed if document.source.has(listed) else (*path, "find")
            condition = compiler.compile(source, place, rule=rule, listing=True)
            if condition is not None:
                find.append(condition)
        when = compiler.compile(rule.when, (*path, "when"), rule=rule, listing=False) if rule.when else None
        compiled.append(CompiledRule.of(rule, find=tuple(find), when=when, source=document.source.where(path)))
    if problems:
        raise ConfigError(*problems)
    return tuple(compiled)


def active(rules: Sequence[CompiledRule]) -> tuple[CompiledRule, ...]:
    """The rules that are not off."""
    return tuple(each for each in rules if each.rule.mode is not Mode.OFF)


class _Compiler:
    """Compiles conditions of one document; what is wrong goes to ``report``."""

    def __init__(
        self, document: PolicyDocument, catalogue: Catalogue, env: cel.Env, report: Callable[[Problem], None]
    ) -> None:
        self._document = document
        self._catalogue = catalogue
        self._env = env
        self._report = report

    def compile(self, source: str, path: Sequence[str | int], *, rule: Rule, listing: bool) -> Condition | None:
        key = str(path[2])
        if len(source) > LONGEST:
            self._tell(path, 1, 1, f"{key} is longer than {LONGEST} characters", "split the rule")
            return None
        try:
            expression = self._env.compile(source)
        except RuntimeError as error:
            self._explain(str(error), path, key)
            return None
        given = expression.return_type().name()
        if given != "BOOL" and not (listing and given.startswith("LIST<") and given != "LIST<DYN>"):
            wanted = "a list of one kind of thing, or true or false" if listing else "true or false"
            self._tell(path, 1, 1, f"{key} must give {wanted}; it gives {_spoken_type(given)}")
            return None
        words = frozenset(_WORD.findall(source))
        needs = words & FACTS.keys()
        for position, message, remedy in unknown_values(source, needs, self._catalogue):
            before = source[:position]
            column = position - before.rfind("\n")
            self._tell(path, before.count("\n") + 1, column, f"{key}: {message}", remedy)
        tree = read(expression)
        return Condition(
            source=source,
            where=f"rule {rule.id}, {key}",
            expression=expression,
            needs=needs,
            words=words,
            scope=max((FACTS[name].scope for name in needs), key=lambda each: each.value, default=Scope.MESSAGE),
            chunked=_filtered_list(source),
            tree=tree,
            look=glance(tree, self._catalogue),
        )

    def _explain(self, error: str, path: Sequence[str | int], key: str) -> None:
        found = _ERROR.findall(error)
        for line, column, message in found:
            remedy = self._remedy(message)
            plain = message.removesuffix(" [INVALID_ARGUMENT]")
            plain = plain.replace(f"'{PACKAGE}.", "'").replace(f" (in container '{PACKAGE}')", "")
            self._tell(path, int(line), int(column), f"{key}: {plain}", remedy)
        if not found:
            self._tell(path, 1, 1, f"{key}: {error}")

    def _tell(self, path: Sequence[str | int], line: int, column: int, message: str, remedy: str = "") -> None:
        source = self._document.source
        self._report(source.problem(path, message, remedy, at=source.place_inside(path, line, column)))

    def _remedy(self, message: str) -> str:
        if match := _UNDEFINED.search(message):
            known: Sequence[str] = self._catalogue.fields.get(match[2], ())
            word = match[1]
        elif match := _UNDECLARED.search(message):
            known, word = (*FACTS, *_FUNCTIONS), match[1].partition(".")[0]
        else:
            return ""
        return suggestion(word, sorted(known), what="known here")


def unknown_values(source: str, needs: Iterable[str], catalogue: Catalogue) -> Iterator[tuple[int, str, str]]:
    """Texts that a condition compares a field with, and that the field can never be: where, what and a remedy.

    A misspelt ``l.category == 'chian'`` would otherwise load, and never fire.
    """
    kinds = [FACTS[name].type.removeprefix("list(").removesuffix(")") for name in needs]
    for match in _COMPARED.finditer(source):
        known = [catalogue.choices[kind, match[1]] for kind in kinds if match[1] in catalogue.fields.get(kind, ())]
        if not known or not all(known):
            continue  # the name is a field of no fact here, or of one that may hold any text
        choices = {str(value) for values in known for value in values}
        for text in _TEXT.finditer(source, match.start(2), match.end(2)):
            value = text[0][1:-1]
            if value not in choices:
                remedy = suggestion(value, sorted(choices), what="known here")
                yield text.start(), f"{match[1]} is never {value!r}", remedy


def _spoken_type(name: str) -> str:
    """The runtime's name of a type as people say it: ``LIST<gatepost.Attachment>``."""
    plain = name.replace(f"{PACKAGE}.", "")
    words = {"BOOL": "true or false", "INT": "a number", "STRING": "a text", "DYN": "different kinds of thing"}
    if plain.startswith("LIST<"):
        inner = plain[5:-1]
        return f"a list of {words.get(inner, inner)}"
    return words.get(plain, plain)


def _filtered_list(source: str) -> str:
    """The list fact F if the whole expression is ``F`` or ``F.filter(name, condition)``, naming F once."""
    if source.strip() in FACTS and FACTS[source.strip()].type.startswith("list("):
        return source.strip()
    match = re.match(r"\s*(\w+)\s*\.\s*filter\s*\(", source)
    if match is None or match[1] not in FACTS or not FACTS[match[1]].type.startswith("list("):
        return ""
    name = match[1]
    if _WORD.findall(source).count(name) != 1 or not _closes_at_end(source, match.end()):
        return ""
    return name


def _closes_at_end(source: str, start: int) -> bool:
    """Whether the parenthesis opened just before ``start`` closes as the last thing in the expression.

    Texts are skipped; an expression with escapes or raw and triple quotes is left unjudged (False).
    """
    if "\\" in source or "'''" in source or '"""' in source or "//" in source:
        return False
    depth, quote = 1, ""
    for index in range(start, len(source)):
        letter = source[index]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                return not source[index + 1 :].strip()
    return False
