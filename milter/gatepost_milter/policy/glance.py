"""Owns the glance: what can be told of a condition without freezing facts and running the condition language.

Of most mail every rule finds nothing, and to see that takes a look at a field or two. A glance is the same
condition over the facts' own objects. It answers with a value if that is sure, and with ``UNSURE`` if something in
it is not understood here, which counts as true: a glance may only ever rule out. Only what it does not rule out is
evaluated, and only that evaluation makes a finding.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from gatepost_config.directory import Directory
from gatepost_config.domains import Domains
from gatepost_milter.policy.fact_types import Fact, Field, People
from gatepost_milter.policy.facts import FACTS, KINDS, PLAIN, Catalogue
from gatepost_milter.policy.syntax import Call, Constant, Items, Name, Node, Select, Unknown, Walk


class _Unsure:
    """The answer of a glance that cannot tell."""

    def __repr__(self) -> str:
        return "UNSURE"


UNSURE = _Unsure()

_DEPTH = 8
"""Walks inside each other that a glance follows."""


class View:
    """What glances look at: the facts' own objects by name, and whom the school knows.

    Fields that are looked up among the people cost time, so each is looked up once for each thing.
    """

    __slots__ = ("frame", "looked", "people", "things")

    def __init__(self, things: Mapping[str, Any], people: People) -> None:
        self.things = things
        self.people = people
        self.frame: list[Any] = [None] * _DEPTH
        self.looked: dict[tuple[int, int], Any] = {}


Look = Callable[[View], Any]
K = TypeVar("K")

_NO_FACTS: dict[str, Any] = {}
_BLIND = View(_NO_FACTS, People(directory=Directory.of(), domains=Domains(school=()), at=date.min))


def glance(tree: Node, catalogue: Catalogue) -> Look:
    """A look that is false or empty only if the condition of that tree is sure to be."""
    return _Reader({"limit": catalogue.limits, "lists": catalogue.lists}).look(tree, {})[0]


def either(looks: Sequence[Look]) -> Look:
    """A look that is false or empty only if all of them are."""
    return looks[0] if len(looks) == 1 else _any(tuple(looks))


def relevant(nodes: Iterable[Node], fact: str, known: Mapping[K, Mapping[str, str | bool]]) -> frozenset[K]:
    """Of items that a list fact may hold, and of which no more is known than some fields, those that can make any
    difference to conditions.

    An item makes none if each walk over the list passes it by: all ``identifiers.filter(i, i.kind == 'upn')`` does
    with other kinds is to leave them out.
    """
    uses = [use for node in nodes for use in _uses(node, fact)]
    return frozenset(item for item, fields in known.items() if any(_takes(use, fields) for use in uses))


def _uses(node: Node, fact: str) -> Iterator[Node]:
    """The walks over a list, and its name where it stands for anything else."""
    match node:
        case Walk("filter" | "exists", variable, Name(name), condition) if name == fact:
            yield node
            if variable != fact:
                yield from _uses(condition, fact)
        case Name(name) if name == fact:
            yield node
        case Select(operand, _):
            yield from _uses(operand, fact)
        case Call(_, parts) | Items(parts):
            for each in parts:
                yield from _uses(each, fact)
        case Walk(_, variable, items, condition):
            yield from _uses(items, fact)
            if variable != fact:
                yield from _uses(condition, fact)


def _takes(use: Node, fields: Mapping[str, str | bool]) -> bool:
    """Whether a walk may stop at an item of which nothing but these fields is known."""
    if not isinstance(use, Walk):
        return True

    def known(node: Node) -> Node:
        match node:
            case Select(Name(name), asked) if name == use.variable:
                return Constant(fields[asked]) if asked in fields else Unknown()
            case Call(function, parts):
                return Call(function, tuple(known(each) for each in parts))
            case Items(parts):
                return Items(tuple(known(each) for each in parts))
            case Constant():
                return node
        return Unknown()

    look, _ = _Reader({}).look(known(use.condition), {})
    return bool(look(_BLIND))


class _Reader:
    """Turns syntax trees into looks. With each look goes the type of what it gives, as facts name types; empty if
    that does not matter."""

    def __init__(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        self._constants = constants

    def look(self, node: Node, scope: Mapping[str, tuple[int, str]]) -> tuple[Look, str]:
        match node:
            case Constant(value):
                return _constant(value), ""
            case Name(name):
                return self._name(name, scope)
            case Select(Name(name), field) if name in self._constants and name not in scope:
                return _constant(self._constants[name][field]), ""
            case Select(operand, field):
                return self._select(*self.look(operand, scope), field)
            case Items(elements):
                looks = [self.look(each, scope) for each in elements]
                kinds = {kind for _, kind in looks}
                made = _items(tuple(look for look, _ in looks))
                return made, f"list({kinds.pop()})" if len(kinds) == 1 else ""
            case Walk(how, variable, items, condition):
                depth = max((at for at, _ in scope.values()), default=-1) + 1
                over, kind = self.look(items, scope)
                if depth == _DEPTH:
                    return _unsure, ""
                inner = {**scope, variable: (depth, kind.removeprefix("list(").removesuffix(")"))}
                return _WALKS[how](over, self.look(condition, inner)[0], depth), kind if how == "filter" else ""
            case Call("_&&_" | "_||_" as function, _):
                parts = sorted(_flat(node, function), key=lambda part: asks_words(part, scope))
                looks_at = tuple(self.look(part, scope)[0] for part in parts)
                return (_all if function == "_&&_" else _any)(looks_at), ""
            case Call(function, arguments) if (function, len(arguments)) in _FUNCTIONS:
                return _called(
                    _FUNCTIONS[function, len(arguments)], tuple(self.look(each, scope)[0] for each in arguments)
                ), ""
        return _unsure, ""

    @staticmethod
    def _name(name: str, scope: Mapping[str, tuple[int, str]]) -> tuple[Look, str]:
        if name in scope:
            depth, kind = scope[name]
            return (lambda view: view.frame[depth]), kind
        if name not in FACTS or name in ("limit", "lists"):
            return _unsure, ""
        return (lambda view: view.things[name]), FACTS[name].type

    @staticmethod
    def _select(operand: Look, kind: str, name: str) -> tuple[Look, str]:
        field = next((each for each in KINDS[kind].fields if each.name == name), None) if kind in KINDS else None
        if field is None:
            return _unsure, ""
        return (_looked_up if field.look is not None else _read)(operand, field), ""


def asks_words(node: Node, scope: Iterable[str] = ()) -> bool:
    """Whether it reads what the message says: that costs more than all else, so it is asked last."""
    match node:
        case Name(name):
            return name not in scope and FACTS.get(name, _NO_FACT).words
        case Select(operand, _):
            return asks_words(operand, scope)
        case Call(_, parts) | Items(parts):
            return any(asks_words(each, scope) for each in parts)
        case Walk(_, variable, items, condition):
            return asks_words(items, scope) or asks_words(condition, {*scope, variable})
    return False


_NO_FACT = Fact("", "", "")


def _flat(node: Node, function: str) -> list[Node]:
    """The parts of ``a && b && c``, however it is nested."""
    if isinstance(node, Call) and node.function == function:
        return [part for each in node.arguments for part in _flat(each, function)]
    return [node]


def _unsure(view: View) -> Any:
    return UNSURE


def _constant(value: object) -> Look:
    return lambda view: value


def _items(looks: tuple[Look, ...]) -> Look:
    return lambda view: [look(view) for look in looks]


def _read(operand: Look, field: Field) -> Look:
    get = field.get
    if get is None:
        return _unsure
    plain = PLAIN[field.type]
    return lambda view: plain(get(operand(view)))


def _looked_up(operand: Look, field: Field) -> Look:
    find, plain = field.look, PLAIN[field.type]
    if find is None:
        return _unsure

    def look(view: View) -> Any:
        thing = operand(view)
        key = id(thing), id(field)
        if key not in view.looked:
            view.looked[key] = plain(find(thing, view.people))
        return view.looked[key]

    return look


def _all(looks: tuple[Look, ...]) -> Look:
    def look(view: View) -> Any:
        answer: Any = True
        for each in looks:
            value = each(view)
            if not value:
                return False
            if value is UNSURE:
                answer = UNSURE
        return answer

    return look


def _any(looks: tuple[Look, ...]) -> Look:
    def look(view: View) -> Any:
        answer: Any = False
        for each in looks:
            value = each(view)
            if value is UNSURE:
                answer = UNSURE
            elif value:
                return True
        return answer

    return look


def _filter(items: Look, condition: Look, depth: int) -> Look:
    """The list if it is sure to be empty; else it is only sure that it is a list."""

    def look(view: View) -> Any:
        things = items(view)
        if things is UNSURE:
            return UNSURE
        for thing in things:
            view.frame[depth] = thing
            if condition(view):
                return UNSURE
        return ()

    return look


def _exists(items: Look, condition: Look, depth: int) -> Look:
    def look(view: View) -> Any:
        things = items(view)
        if things is UNSURE:
            return UNSURE
        answer: Any = False
        for thing in things:
            view.frame[depth] = thing
            value = condition(view)
            if value is UNSURE:
                answer = UNSURE
            elif value:
                return True
        return answer

    return look


def _every(items: Look, condition: Look, depth: int) -> Look:
    def look(view: View) -> Any:
        things = items(view)
        if things is UNSURE:
            return UNSURE
        answer: Any = True
        for thing in things:
            view.frame[depth] = thing
            value = condition(view)
            if not value:
                return False
            if value is UNSURE:
                answer = UNSURE
        return answer

    return look


_WALKS = {"filter": _filter, "exists": _exists, "all": _every}


def _called(function: Callable[..., Any], arguments: tuple[Look, ...]) -> Look:
    if len(arguments) == 1:
        only = arguments[0]

        def look_at_one(view: View) -> Any:
            value = only(view)
            return UNSURE if value is UNSURE else function(value)

        return look_at_one
    left, right = arguments

    def look_at_two(view: View) -> Any:
        one, other = left(view), right(view)
        return UNSURE if one is UNSURE or other is UNSURE else function(one, other)

    return look_at_two


_SIMPLE = (str, int)

# ``lowerAscii`` leaves all letters but A to Z as they are.
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _plain_only(function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """For values that Python compares just as the condition language does: texts, numbers, true and false."""

    def compare(one: Any, other: Any) -> Any:
        return function(one, other) if isinstance(one, _SIMPLE) and isinstance(other, _SIMPLE) else UNSURE

    return compare


def _numbers_only(function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def compare(one: Any, other: Any) -> Any:
        return function(one, other) if isinstance(one, int) and isinstance(other, int) else UNSURE

    return compare


def _texts_only(function: Callable[[str, str], Any]) -> Callable[[Any, Any], Any]:
    def compare(one: Any, other: Any) -> Any:
        return function(one, other) if isinstance(one, str) and isinstance(other, str) else UNSURE

    return compare


def _in(one: Any, others: Any) -> Any:
    return one in others if isinstance(one, _SIMPLE) and UNSURE not in others else UNSURE


def _joined(one: Any, other: Any) -> Any:
    return one + other if isinstance(one, str) and isinstance(other, str) else UNSURE


def _size(value: Any) -> Any:
    return len(value) if isinstance(value, str | Sequence) else UNSURE


_FUNCTIONS: Mapping[tuple[str, int], Callable[..., Any]] = {
    ("!_", 1): operator.not_,
    ("_==_", 2): _plain_only(operator.eq),
    ("_!=_", 2): _plain_only(operator.ne),
    ("_<_", 2): _numbers_only(operator.lt),
    ("_<=_", 2): _numbers_only(operator.le),
    ("_>_", 2): _numbers_only(operator.gt),
    ("_>=_", 2): _numbers_only(operator.ge),
    ("_+_", 2): _joined,
    ("@in", 2): _in,
    ("size", 1): _size,
    ("lowerAscii", 1): lambda value: value.translate(_ASCII_LOWER) if isinstance(value, str) else UNSURE,
    ("startsWith", 2): _texts_only(str.startswith),
    ("endsWith", 2): _texts_only(str.endswith),
    ("contains", 2): _texts_only(operator.contains),
}
"""The functions and operators that a glance understands, by name and number of arguments."""
