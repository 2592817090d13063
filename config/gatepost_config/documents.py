"""Owns reading YAML documents: plain data with the place of every value, checked against a model.

Every fault is reported with file, line and column, all at once, with a remedy where one can be guessed.
Documents are read as YAML 1.2 (``off`` and ``no`` are words, not booleans). A document may come from a careless
hand: size, nesting and the expansion of aliases are bounded.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.layers import layered
from gatepost_config.policy_document import PolicyDocument, faults
from gatepost_config.settings import DEFAULT_PATH, Settings
from gatepost_config.source import Place, Source
from gatepost_config.spelling import suggestion

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of one document."""

NODE_LIMIT = 200_000
"""Values of one document once aliases are written out."""

_KEPT = 8  # policy documents, as they were read

_M = TypeVar("_M", bound=BaseModel)
_STRING = "tag:yaml.org,2002:str"


def load_settings(path: Path = DEFAULT_PATH) -> Settings:
    """The settings in ``path``. Relative paths of policy, directory and notices count from the settings' folder.

    Raises ConfigError with every problem that was found.
    """
    data, source = read(path)
    settings = check(Settings, data, source)
    settings.attach(source)
    if not is_path(settings.policy) and settings.policy not in shipped_policies():
        raise ConfigError(settings.problem(("policy",), *_no_such_policy(settings.policy)))
    folder = path.resolve().parent
    found: dict[str, object] = {}
    if is_path(settings.policy) and not Path(settings.policy).is_absolute():
        found["policy"] = str(folder / settings.policy)
    if settings.directory is not None and not settings.directory.is_absolute():
        found["directory"] = folder / settings.directory
    named = {"logo": settings.notices.logo, "templates": settings.notices.templates}
    beside = {name: folder / path for name, path in named.items() if path is not None}
    if settings.store.seal_hashes:
        lists = [folder / each for each in settings.store.seal_hashes]
        found["store"] = settings.store.model_copy(update={"seal_hashes": lists})
    if beside:
        found["notices"] = settings.notices.model_copy(update=beside)
    return settings.model_copy(update=found)


def load_policy(name_or_path: str | Path, *, relative_to: Path | None = None) -> PolicyDocument:
    """The policy document of that name (a shipped one) or path, checked except for its conditions.

    Conditions are compiled by the policy room, which knows the facts. Raises ConfigError with every problem.
    """
    data, source = _whole(policy_path(name_or_path, relative_to=relative_to))
    document = check(PolicyDocument, data, source)
    found = [source.problem(fault.path, fault.message, fault.remedy) for fault in faults(document)]
    if found:
        raise ConfigError(*sorted(found, key=lambda problem: _in_order(problem, source)))
    document.attach(source)
    return document


def policy_digest(name_or_path: str | Path) -> str:
    """The digest of a policy as it lies on the disk, its base's with it; as ``load_policy(…).source.digest``.

    Raises ConfigError for a policy that cannot be read.
    """
    return _whole(policy_path(name_or_path))[1].digest


def _whole(path: Path) -> tuple[Any, Source]:
    """A policy document's data with its base's, if it names one. Raises ConfigError."""
    return _parsed_whole(_bytes(path), path)


@lru_cache(maxsize=_KEPT)
def _parsed_whole(raw: bytes, path: Path) -> tuple[Any, Source]:
    """As _whole; kept, because reading YAML takes long, several documents build on one, and shipped ones stay."""
    data, source = _parsed(raw, path)
    base = data.get("base") if isinstance(data, dict) else None
    if not isinstance(base, str):
        return data, source
    shipped = shipped_policies()
    if base not in shipped:
        raise ConfigError(source.problem(("base",), *_no_such_base(base)))
    if shipped[base].resolve() == path.resolve():
        raise ConfigError(source.problem(("base",), "the document cannot build on itself", "leave base out"))
    return layered((data, source), _whole(shipped[base]))


def shipped_policies() -> Mapping[str, Path]:
    """The policies that come with gatepost: name and path, in alphabetical order."""
    folder = Path(str(resources.files("gatepost_config.policies")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def policy_path(name_or_path: str | Path, *, relative_to: Path | None = None) -> Path:
    """Where the policy lies: a name without a slash or suffix is a shipped policy, all else is a path.

    Raises ConfigError for a name that no shipped policy has.
    """
    if isinstance(name_or_path, str) and not is_path(name_or_path):
        shipped = shipped_policies()
        if name_or_path in shipped:
            return shipped[name_or_path]
        raise ConfigError(Problem(Path(name_or_path), 0, 0, *_no_such_policy(name_or_path)))
    return (relative_to or Path()) / name_or_path


def _no_such_policy(name: str) -> tuple[str, str]:
    """What is wrong with a name that no shipped policy has, and the remedy."""
    meant = suggestion(name, shipped_policies(), what="shipped policies")
    return f"there is no shipped policy named {name!r}", f"a policy file needs a / or .yaml in its path; {meant}"


def _no_such_base(name: str) -> tuple[str, str]:
    """What is wrong with a base that is no shipped policy, and the remedy."""
    remedy = suggestion(name, shipped_policies(), what="shipped policies")
    return f"there is no shipped policy named {name!r} to build on", remedy


def is_path(policy: str) -> bool:
    """Whether a ``policy`` setting is a path rather than the name of a shipped policy."""
    return "/" in policy or policy.endswith((".yaml", ".yml"))


def read(path: Path) -> tuple[Any, Source]:
    """The plain data of a YAML document and the place of every value in it. Raises ConfigError."""
    return _parsed(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(Problem(path, 0, 0, f"cannot be read: {error.strerror}")) from None
    if len(raw) > SIZE_LIMIT:
        raise ConfigError(Problem(path, 0, 0, f"is larger than {SIZE_LIMIT:,} bytes"))
    return raw


def _parsed(raw: bytes, path: Path) -> tuple[Any, Source]:
    text = _decode(raw, path)
    _refuse_tabs(text, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 section 3.2.2.2 allows it
            node = YAML(typ="rt", pure=True).compose(text)
        reader = _Reader(path)
        data = reader.value(node, ()) if node is not None else None
    except MarkedYAMLError as error:
        raise ConfigError(_syntax_problem(error, path)) from None
    except YAMLError as error:
        raise ConfigError(Problem(path, 0, 0, f"is not YAML: {error}")) from None
    except RecursionError:
        raise ConfigError(Problem(path, 0, 0, "is nested too deeply")) from None
    if reader.problems:
        raise ConfigError(*reader.problems)
    if data is None:
        raise ConfigError(Problem(path, 0, 0, "is empty", "it must hold at least one key: value"))
    source = Source(path=path, digest=hashlib.sha256(raw).hexdigest(), text=text, places=reader.places)
    return data, source


def check(model: type[_M], data: Any, source: Source) -> _M:
    """The data as an object of the model. Raises ConfigError with every fault in document order."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found: dict[tuple[bool, int, int, str], Problem] = {}
        for detail in error.errors(include_url=False):
            problem = _translate(detail, model, source)
            found.setdefault((*_in_order(problem, source), problem.message), problem)
        raise ConfigError(*(found[key] for key in sorted(found))) from None


def _in_order(problem: Problem, source: Source) -> tuple[bool, int, int]:
    """The document's own problems before those of its base, each in the order of the file."""
    return problem.path != source.path, problem.line, problem.column


def _decode(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(path, line, column, "is not UTF-8 text here", "save the file as UTF-8")
        raise ConfigError(problem) from None


def _refuse_tabs(text: str, path: Path) -> None:
    """YAML forbids tabs in indentation; the parser's own words for it help nobody."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and line.strip():
            column = indent.index("\t") + 1
            found.append(Problem(path, number, column, "a tab in the indentation", "indent with spaces"))
    if found:
        raise ConfigError(*found)


def _syntax_problem(error: MarkedYAMLError, path: Path) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = " ".join(str(error.problem or error.context or "is not YAML").split())
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    remedy = "a text that holds any of { } [ ] : # must stand in quotes"
    return Problem(path, line, column, f"is not YAML: {message}", remedy)


class _Reader:
    """Turns YAML nodes into plain data, keeping places and refusing what a person cannot have meant."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[tuple[str | int, ...], Place] = {}
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()
        self._scalars = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node, path: tuple[str | int, ...]) -> Any:
        """The node as plain data; the places of all that is in it go to ``places``."""
        self._count += 1
        mark = node.start_mark
        if self._count > NODE_LIMIT or id(node) in self._open:
            what = "an alias contains itself" if id(node) in self._open else "aliases make it too large"
            raise ConfigError(Problem(self.path, mark.line + 1, mark.column + 1, what, "write the values out"))
        self.places.setdefault(path, Place(mark.line + 1, mark.column + 1))
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, MappingNode)  # noqa: S101 - YAML has no fourth kind of node
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, ScalarNode):
                self.problems.append(Problem(self.path, line, column, "a key must be a single word"))
                continue
            key = str(key_node.value)
            if key in data:
                message = f"{key!r} is given twice; first in line {lines[key]}"
                self.problems.append(Problem(self.path, line, column, message, "keep one of them"))
                continue
            lines[key] = line
            data[key] = self.value(value_node, (*path, key))
            start = value_node.start_mark
            self.places[(*path, key)] = Place(start.line + 1, start.column + 1, key_line=line, key_column=column)
        return data

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag == _STRING or str(node.tag) == _STRING:
            return str(node.value)
        try:
            return self._scalars.construct_object(node)
        except (YAMLError, ValueError) as error:
            mark = node.start_mark
            message = f"{str(node.value)!r} is not a value that is understood here: {error}".splitlines()[0]
            self.problems.append(Problem(self.path, mark.line + 1, mark.column + 1, message, "put it in quotes"))
            return None


def _translate(detail: ErrorDetails, model: type[BaseModel], source: Source) -> Problem:
    """One pydantic error in plain words, at the place it speaks of."""
    location = detail["loc"]
    kind = detail["type"]
    name = _name(location)
    context = detail.get("ctx", {})
    given = detail.get("input")
    if kind == "extra_forbidden":
        key = str(location[-1])
        known = _known_keys(model, location[:-1])
        remedy = suggestion(key, sorted(known), what="known keys here")
        message = f"{key!r} is not a key that is known here"
        return source.problem(location, message, remedy, at=source.key_place(location))
    if kind == "missing":
        around = location[:-1]
        return source.problem(around, f"{name!r} is missing", at=source.key_place(around))
    remedy = ""
    if kind in ("enum", "literal_error"):
        known = _choices(model, location, str(context.get("expected", "")))
        message = f"{name}: {str(given)!r} is not one of {', '.join(known)}"
        remedy = suggestion(str(given), known)
        location = _without_key_mark(location)
    elif kind == "string_type":
        message = f"{name}: a text is wanted, not {_spoken(given)}"
        remedy = "put the value in quotes" if isinstance(given, int | float) else ""
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        message = f"{name or 'the document'}: keys with values are wanted, not {_spoken(given)}"
    elif kind in ("list_type", "tuple_type"):
        message = f"{name}: a list is wanted, not {_spoken(given)}"
        remedy = f"write [{given}]" if isinstance(given, str) else ""
    elif kind.startswith(("int_", "float_")):
        whole = "whole " if kind.startswith("int_") else ""
        message = f"{name}: a {whole}number is wanted, not {_spoken(given)}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        message = f"{name}: must be at {'least' if 'ge' in context else 'most'} {bound}, not {_spoken(given)}"
    elif kind == "string_pattern_mismatch":
        message = f"{name}: {str(given)!r} does not have the right form"
        remedy = _description(model, location)
    elif kind == "value_error":
        message = f"{name}: {context.get('error', detail['msg'])}"
    else:
        message = f"{name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
    return source.problem(location, message, remedy)


def _name(location: Sequence[str | int]) -> str:
    """What the value is called, from the last list on: the line already says which rule it is in."""
    steps = [str(step) for step in location if step != "[key]"]
    last = max((index for index, step in enumerate(location) if isinstance(step, int)), default=-1)
    return ".".join(steps[last + 1 :] or steps[:last])


def _spoken(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "keys with values"
    return f"{value!r}"


def _without_key_mark(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic marks an error in a mapping's key with a last step ``[key]``; the place is the key's own."""
    return location[:-1] if location and location[-1] == "[key]" else location


def _annotation(model: type[BaseModel], location: Sequence[str | int]) -> Any:
    """The declared type at a place of the model, None when the place leads nowhere."""
    current: Any = model
    for step in location:
        if step == "[key]":
            return get_args(current)[0] if get_args(current) else None
        current = next(_inner(current, step), None)
    return current


def _inner(annotation: Any, step: str | int) -> Iterator[Any]:
    """The types that ``step`` may lead to from ``annotation``."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if step in annotation.model_fields:
            yield annotation.model_fields[str(step)].annotation
    elif origin in (list, tuple, set, frozenset):
        yield get_args(annotation)[0]
    elif origin in (dict, Mapping):
        yield get_args(annotation)[1]
    elif origin in (Union, UnionType):
        for option in get_args(annotation):
            yield from _inner(option, step)
    elif hasattr(annotation, "__metadata__"):
        yield from _inner(get_args(annotation)[0], step)


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    annotation = _annotation(model, location)
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [
        field.alias or name
        for option in options
        if isinstance(option, type) and issubclass(option, BaseModel)
        for name, field in option.model_fields.items()
    ]


def _choices(model: type[BaseModel], location: Sequence[str | int], expected: str) -> list[str]:
    annotation = _annotation(model, location)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    if get_origin(annotation) is Literal:
        return [str(option) for option in get_args(annotation)]
    return [word.strip(" '") for word in expected.replace(" or ", ", ").split(",") if word.strip(" '")]


def _description(model: type[BaseModel], location: Sequence[str | int]) -> str:
    """What the model says about the value at a place: the nearest description on the way."""
    said = ""
    for length in range(1, len(location) + 1):
        owner = _annotation(model, location[: length - 1])
        step = location[length - 1]
        if isinstance(owner, type) and issubclass(owner, BaseModel) and step in owner.model_fields:
            said = owner.model_fields[str(step)].description or said
    return said
