"""config/README.md: every setting, every fact, every key of a rule, and back.

``pytest tests/docs --rewrite-golden`` writes the page's tables anew from the program.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.ldap_source import LdapSource
from gatepost_config.policy_document import PLACEHOLDERS, PolicyDocument
from gatepost_config.settings import School, Settings
from gatepost_config.words import Mode
from gatepost_milter.cli.policy import fact_rows
from gatepost_milter.policy.policy import prepare


@pytest.fixture(scope="module")
def page(root: Path, request: pytest.FixtureRequest) -> str:
    path = root / "config" / "README.md"
    text = path.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite-golden"):
        for heading, heads, wanted in tables():
            text = with_table(text, heading, heads, wanted)
        path.write_text(text, encoding="utf-8")
    return text


def tables() -> Iterator[tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]]:
    """The tables of the page as the program would write them: section, heads, rows."""
    settings = [(f"`{name}`", f"`{default}`" if default else "", said) for name, default, said in keys(Settings)]
    yield "Settings", ("key", "default", "meaning"), settings
    sync = [(f"`{name}`", f"`{default}`" if default else "", said) for name, default, said in keys(LdapSource)]
    yield "Directory sync", ("key", "default", "meaning"), sync
    yield "Shipped policies", ("policy", "speaks for", "builds on", "rules by mode"), list(shipped())
    document = [(f"`{name}`", said) for name, said in policy_keys(PolicyDocument)]
    yield "Keys of a policy document", ("key", "meaning"), document
    placeholders = [(f"`{{{name}}}`", said) for name, said in PLACEHOLDERS.items()]
    yield "Placeholders", ("placeholder", "becomes"), placeholders
    facts = [(f"`{name}`", f"`{kind}`", said) for name, kind, said in fact_rows()]
    yield "Facts", ("fact", "type", "meaning"), facts


def shipped() -> Iterator[tuple[str, ...]]:
    """The shipped policies with their titles, bases and how many rules stand on each rung."""
    for name in shipped_policies():
        document = load_policy(name)
        rungs = Counter(each.mode for each in document.rules)
        modes = ", ".join(f"{rungs[mode]} {mode}" for mode in reversed(Mode) if rungs[mode])
        yield f"`{name}`", document.title, f"`{document.base}`" if document.base else "", modes


def with_table(page: str, heading: str, heads: tuple[str, ...], wanted: Sequence[tuple[str, ...]]) -> str:
    """The page with the table of one section replaced."""
    lines = [heads, ("---",) * len(heads), *wanted]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    old = section(page, heading)
    return page.replace(old, re.sub(r"(^\|.*\n)+", lambda _: table, old, count=1, flags=re.MULTILINE))


def section(page: str, heading: str) -> str:
    """The text below a heading of level two, up to the next one."""
    match = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {heading!r}"
    return match[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a declared type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a model, as (dotted name, default, description); keys that hold keys are named too."""
    for name, field in model.model_fields.items():
        inner = next(models(field.annotation), None)
        listed = (
            "[]" if inner is not None and inner is not field.annotation and "list" in str(field.annotation) else ""
        )
        default = "" if inner is not None else shown(field.get_default(call_default_factory=True))
        if field.default_factory is not None:
            default = "the host's own name"
        yield f"{prefix}{name}{listed}", default, field.description or ""
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}{listed}.")


def shown(default: Any) -> str:
    """A default as the page writes it."""
    if default is PydanticUndefined:
        return "must be given"
    if isinstance(default, list):
        return "[" + ", ".join(str(each) for each in default) + "]"
    if default in ("", None):
        return "empty"
    return str(default) if not isinstance(default, dict) else "{}"


def test_every_setting_is_on_the_page_and_back(page: str) -> None:
    """With its default and its meaning: the page is what administrators trust."""
    told = [(cells[0].strip("`"), cells[1].strip("`"), cells[2]) for cells in rows(section(page, "Settings"))]
    assert list(keys(Settings)) == told


def test_every_key_of_the_directory_sync_is_on_the_page_and_back(page: str) -> None:
    """A document of its own, with a table of its own."""
    text = section(page, "Directory sync")
    told = [(cells[0].strip("`"), cells[1].strip("`"), cells[2]) for cells in rows(text)]
    assert list(keys(LdapSource)) == told


def test_every_fact_is_on_the_page_and_back(page: str) -> None:
    """The page is made of the same catalogue as the condition language."""
    told = [(cells[0].strip("`"), cells[1].strip("`"), cells[2]) for cells in rows(section(page, "Facts"))]
    assert fact_rows() == told


def test_every_shipped_policy_is_on_the_page_and_back(page: str) -> None:
    """With the school that it speaks for."""
    told = [(cells[0], cells[1]) for cells in rows(section(page, "Shipped policies"))]
    assert [(each[0], each[1]) for each in shipped()] == told


def test_every_key_of_a_policy_document_is_on_the_page_and_back(page: str) -> None:
    """Roles, limits, lists, exemptions, rules and tests."""
    text = section(page, "Keys of a policy document")
    told = [(cells[0].strip("`"), cells[1]) for cells in rows(text)]
    assert list(policy_keys(PolicyDocument)) == told


def policy_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for plain, field in model.model_fields.items():
        name = field.alias or plain
        inner = next(models(field.annotation), None)
        kind = str(field.annotation)
        suffix = (
            ""
            if inner is None
            else ".NAME"
            if kind.startswith("dict")
            else "[]"
            if kind.startswith("list")
            else ""
        )
        yield f"{prefix}{name}{suffix}", field.description or ""
        if inner is not None:
            yield from policy_keys(inner, f"{prefix}{name}{suffix}.")


def test_every_placeholder_is_on_the_page_and_back(page: str) -> None:
    """The closed list."""
    told = {cells[0].strip("`{}"): cells[1] for cells in rows(section(page, "Placeholders"))}
    assert dict(PLACEHOLDERS) == told


def test_the_example_of_a_base_loads(page: str, tmp_path: Path) -> None:
    """With its own test, and the rules of both documents."""
    [text] = re.findall(r"```yaml\n(.*?)```", section(page, "Building on a shipped policy"), re.DOTALL)
    path = tmp_path / "our-policy.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = prepare(load_policy(path), Settings(school=School(name="Park School", domains=["school.example"])))
    assert len(load_policy("default").rules) + 1 == len(loaded.document.rules)


def test_the_example_rule_loads(page: str, tmp_path: Path) -> None:
    """An example that does not load teaches the wrong thing."""
    blocks = re.findall(r"```yaml\n(.*?)```", section(page, "How to write a rule"), re.DOTALL)
    whole, people = blocks
    rules = whole.partition("\ntests:")[0]
    path = tmp_path / "policy.yaml"
    school = School(name="Park School", domains=["school.example"])
    for text in (whole, f"{rules}\n{people}"):
        path.write_text(text, encoding="utf-8")
        loaded = prepare(load_policy(path), Settings(school=school))
        assert loaded.rules
        assert loaded.document.tests
