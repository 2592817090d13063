"""Owns ``gatepost policy``: list, show and test policies, their facts and their schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost_config.directory_load import load_directory
from gatepost_config.documents import shipped_policies
from gatepost_config.errors import ConfigError
from gatepost_config.layers import authors
from gatepost_config.policy_document import PolicyDocument, Rule, json_schema
from gatepost_config.settings import Settings
from gatepost_milter.cli.configured import (
    CannotError,
    config_if_any_option,
    document_named,
    settings_for,
    with_policy,
)
from gatepost_milter.cli.policy_coverage import coverage
from gatepost_milter.cli.policy_diff import diff
from gatepost_milter.cli.printed import plain_table, print_json
from gatepost_milter.policy import document_tests
from gatepost_milter.policy.facts import FACTS, KINDS
from gatepost_milter.policy.policy import Policy, prepare
from gatepost_milter.policy.rules import PolicyError


@click.group()
def policy() -> None:
    """List, show and test policies.

    A policy is named as in the settings: a shipped policy's name, or the path of a file.
    """


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every one of these commands has."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    return config_if_any_option(command)


@policy.command("list", epilog="Example: gatepost policy list --json")
@_options
def list_(*, config: Path | None, as_json: bool) -> None:
    """List the shipped policies, and the one that the settings name."""
    settings = settings_for(config)
    named = [*shipped_policies()]
    if settings.policy not in named:
        named.append(settings.policy)
    rows = []
    for name in named:
        document = document_named(name)
        rows.append(
            {
                "name": name,
                "title": document.title,
                "version": document.version,
                "base": document.base or "",
                "rules": len(document.rules),
                "in_use": name == settings.policy,
                "path": str(document.source.path),
                "sha256": document.source.digest,
            }
        )
    if as_json:
        print_json(rows)
        return
    table = plain_table("Policy", "Title", "Version", "Builds on", "Rules", "In use")
    for row in rows:
        cells = [Text(str(row[key])) for key in ("name", "title", "version", "base", "rules")]
        table.add_row(*cells, "yes" if row["in_use"] else "")
    Console().print(table)


@policy.command(epilog="Example: gatepost policy show kings-college")
@click.argument("name", required=False)
@_options
def show(*, name: str | None, config: Path | None, as_json: bool) -> None:
    """Show a policy's rules, roles, limits and exemptions; without a name, the policy in use.

    Of a policy that builds on another, the rules of both are shown, each with the documents that it is written in.
    """
    settings = with_policy(settings_for(config), name)
    loaded = _prepare(document_named(settings.policy), settings, people=True)
    document = loaded.document
    for problem in loaded.problems:
        click.echo(f"gatepost: {problem}", err=True)
    if as_json:
        data = document.model_dump(mode="json")
        data["roles"] = {
            role: {"title": document.roles[role].title, "mailboxes": list(mailboxes)}
            for role, mailboxes in loaded.roles.items()
        }
        for index, rule in enumerate(data["rules"]):
            rule["from"] = list(_authors(document, index))
        data["sha256"] = document.source.digest
        print_json(data)
        return
    console = Console()
    console.print(Text(f"{document.title}, version {document.version}", style="bold"))
    console.print(Text(f"{document.source.path}  {document.source.digest[:12]}"))
    for table in (_rules(loaded), _roles(loaded), _limits(document), _exemptions(document, _today(settings))):
        if table.row_count:
            console.print()
            console.print(table)


@policy.command(epilog="Example: gatepost policy test ./our-policy.yaml")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_options
def test(*, names: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Run the tests that policies carry; without a name, those of the policy in use.

    Exit code: 0 all pass, 1 a test fails, 2 a policy cannot be loaded.
    """
    settings = settings_for(config)
    rows = [row for name in (names or (settings.policy,)) for row in _tested(name, settings)]
    if as_json:
        print_json(rows)
    else:
        table = plain_table("Policy", "Test", "Result")
        for row in rows:
            result = Text("passes", style="green") if row["passed"] else Text(row["message"], style="red")
            table.add_row(Text(row["policy"]), Text(row["test"]), result)
        console = Console()
        console.print(table)
        failed = sum(not row["passed"] for row in rows)
        console.print(f"{len(rows) - failed} of {len(rows)} tests pass.")
    raise click.exceptions.Exit(int(not all(row["passed"] for row in rows)))


@policy.command(epilog="Example: gatepost policy facts --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def facts(*, as_json: bool) -> None:
    """List the facts that a rule's condition may use."""
    rows = fact_rows()
    if as_json:
        print_json([{"fact": name, "type": kind, "meaning": meaning} for name, kind, meaning in rows])
        return
    table = plain_table("Fact", "Type", "Meaning")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@policy.command(epilog="Example: gatepost policy schema > gatepost-policy.schema.json")
def schema() -> None:
    """Print the JSON Schema of policy documents, for editors."""
    print_json(json_schema())


def fact_rows() -> list[tuple[str, str, str]]:
    """Every fact and field as (name, type, meaning): ``attachments`` and then ``Attachment.size`` and so on."""
    rows = [(fact.name, fact.type, fact.meaning) for fact in FACTS.values()]
    for kind in KINDS.values():
        for field in kind.fields:
            choices = f" One of: {', '.join(str(each) for each in field.choices)}." if field.choices else ""
            rows.append((f"{kind.name}.{field.name}", field.type.value, field.meaning + choices))
    return rows


def _prepare(document: PolicyDocument, settings: Settings, *, people: bool = False) -> Policy:
    """The policy, untested; with ``people`` among those of the settings' directory."""
    try:
        directory = load_directory(settings.directory) if people and settings.directory is not None else None
        return prepare(document, settings, directory=directory, tested=False)
    except ConfigError as error:
        raise CannotError(str(error)) from None


def _tested(name: str, settings: Settings) -> list[dict[str, Any]]:
    document = document_named(name)
    loaded = _prepare(document, with_policy(settings, name))
    try:
        results = document_tests.run(document, settings, loaded.among, loaded.roles)
    except PolicyError as error:
        raise CannotError(f"{name}: {error}") from None
    return [
        {"policy": document.name, "test": each.name, "passed": each.passed, "message": each.message}
        for each in results
    ]


def _rules(loaded: Policy) -> Table:
    layered = ("From",) if loaded.document.base else ()
    table = plain_table("Rule", "Clause", "What it is for", "Action", "Mode", "Queue", *layered)
    for index, compiled in enumerate(loaded.rules):
        rule = compiled.rule
        cells = (rule.id, rule.clause, rule.title, _actions(rule), rule.mode.value, rule.queue)
        written = (" + ".join(_authors(loaded.document, index)),) if layered else ()
        table.add_row(*(Text(cell) for cell in (*cells, *written)))
    return table


def _authors(document: PolicyDocument, index: int) -> tuple[str, ...]:
    """The documents that a rule is written in, that of its id first."""
    return authors(document.source, ("rules", index), [*Rule.model_fields])


def _actions(rule: Rule) -> str:
    """The rule's actions: one word if they are all the same for all directions."""
    words = {action.value for action in rule.action.values()}
    if len(words) == 1 and len(rule.action) == 3:
        return words.pop()
    return "\n".join(f"{direction}: {action}" for direction, action in rule.action.items())


def _roles(loaded: Policy) -> Table:
    table = plain_table("Role", "Title", "Mailboxes")
    for name, mailboxes in loaded.roles.items():
        table.add_row(Text(name), Text(loaded.document.roles[name].title), Text("\n".join(mailboxes)))
    return table


def _limits(document: PolicyDocument) -> Table:
    table = plain_table("Limit or list", "Value")
    for name, value in document.limits.items():
        table.add_row(Text(f"limit.{name}"), Text(f"{value:,}" if isinstance(value, int) else value))
    for name, values in document.lists.items():
        table.add_row(Text(f"lists.{name}"), Text("\n".join(values)))
    return table


def _exemptions(document: PolicyDocument, today: date) -> Table:
    table = plain_table("Exempt", "From rule", "As", "Until", "Approved by")
    for each in document.exemptions:
        until = f"{each.until.isoformat()}{' (over)' if each.until < today else ''}"
        table.add_row(*(Text(cell) for cell in (each.who, each.rule, each.party, until, each.approved_by)))
    return table


def _today(settings: Settings) -> date:
    return datetime.now(ZoneInfo(settings.school.timezone)).date()


policy.add_command(coverage)
policy.add_command(diff)
