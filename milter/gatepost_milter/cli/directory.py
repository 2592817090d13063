"""Owns ``gatepost directory``: check the people directory before it is used, and ask it who somebody is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from gatepost_config.addresses import domain_of
from gatepost_config.directory import Directory, Kind, Person, Span
from gatepost_config.directory_load import load_directory
from gatepost_config.domains import Domains
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.settings import Settings
from gatepost_milter.cli.configured import CannotError, config_if_any_option, settings_for
from gatepost_milter.cli.directory_sync import sync
from gatepost_milter.cli.printed import plain_table, print_json


@click.group()
def directory() -> None:
    """Check the people directory, and ask it who somebody is.

    The directory is a folder of CSV files: people, groups, approved outsiders, exemptions.
    """


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that both commands have."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option(
        "--at",
        type=click.DateTime(["%Y-%m-%d"]),
        help="The day to ask for, as 2026-09-01.  [default: today]",
    )(command)
    return config_if_any_option(command)


@directory.command(epilog="Example: gatepost directory check /etc/gatepost/directory")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@_options
@click.pass_context
def check(
    context: click.Context, *, folder: Path | None, config: Path | None, at: datetime | None, as_json: bool
) -> None:
    """Read the directory as the milter would, and show what is in it and what is wrong with it.

    Without FOLDER, the one that the settings name. Exit code 0: all is well. 1: some rows or columns are left
    out. 2: the directory cannot be used at all.
    """
    folder = folder or _settings_folder(settings_for(config))
    try:
        loaded = load_directory(folder)
    except ConfigError as error:
        if not as_json:
            raise CannotError(str(error)) from None
        print_json({"folder": str(folder), "usable": False, "problems": _problems(error.problems)})
        context.exit(CannotError.exit_code)
    day = _day(at)
    if as_json:
        print_json(_summary(loaded, folder, day))
    else:
        _show_summary(loaded, day)
    context.exit(1 if loaded.problems else 0)


@directory.command(epilog="Example: gatepost directory lookup a.patel@school.example --at 2026-09-01")
@click.argument("who", metavar="ADDRESS|LOGIN")
@click.option("--folder", type=click.Path(path_type=Path), help="Another folder than the settings name.")
@_options
@click.pass_context
def lookup(
    context: click.Context,
    *,
    who: str,
    folder: Path | None,
    config: Path | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Show whose address or login it is, and all that the rules would know about it on that day.

    Exit code 0: the directory knows it. 1: nobody there has it.
    """
    settings = settings_for(config)
    try:
        loaded = load_directory(folder or _settings_folder(settings))
    except ConfigError as error:
        raise CannotError(str(error)) from None
    domains = Domains(school=settings.school.domains)
    answer = _answer(loaded, domains, who, _day(at))
    if as_json:
        print_json(answer)
    else:
        _show_answer(answer)
    context.exit(0 if answer["known"] else 1)


def _settings_folder(settings: Settings) -> Path:
    if settings.directory is None:
        raise CannotError("the settings name no directory; give its folder")
    return settings.directory


def _day(at: datetime | None) -> date:
    return at.date() if at is not None else date.today()  # noqa: DTZ011 - the school's own day


def _summary(loaded: Directory, folder: Path, day: date) -> dict[str, Any]:
    people = loaded.people
    households = {loaded.household(person.address) for person in people if person.is_parent(day)}
    return {
        "folder": str(folder),
        "usable": True,
        "at": day.isoformat(),
        "people": len(people),
        "kinds": {kind.value: sum(kind in person.kinds_at(day) for person in people) for kind in Kind},
        "not_now": sum(not person.current(day) for person in people),
        "households": len(households - {""}),
        "logins": sum(bool(person.logins) for person in people),
        "personal_addresses": sum(len(person.personal) for person in people),
        "groups": len(loaded.groups),
        "approvals": _in_force([each.span for each in loaded.approvals], day),
        "exemptions": _in_force([each.span for each in loaded.exemptions], day),
        "files": [
            {
                "path": str(each.path),
                "layout": each.layout,
                "encoding": each.encoding,
                "separator": each.separator,
                "rows": each.rows,
                "loaded": each.loaded,
                "left_out": each.left_out,
                "unaddressed": each.unaddressed,
                "ignored": list(each.ignored),
            }
            for each in loaded.files
        ],
        "problems": _problems(loaded.problems),
    }


def _in_force(spans: list[Span], day: date) -> dict[str, int]:
    return {"in_force": sum(span.covers(day) for span in spans), "all": len(spans)}


def _problems(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [
        {
            "path": str(each.path),
            "line": each.line,
            "column": each.column,
            "message": each.message,
            "remedy": each.remedy,
        }
        for each in problems
    ]


def _show_summary(loaded: Directory, day: date) -> None:
    summary = _summary(loaded, Path(), day)
    files = plain_table("File", "Layout", "Encoding", "Separator", "Rows", "In force", "Left out", "No address")
    for each in loaded.files:
        counts = (each.rows, each.loaded, each.left_out, each.unaddressed)
        files.add_row(
            Text(each.path.name),
            Text(each.layout),
            Text(each.encoding),
            Text(each.separator),
            *(str(count) for count in counts),
        )
    console = Console()
    console.print(files)
    table = plain_table(f"On {day}", "")
    for kind, count in summary["kinds"].items():
        table.add_row(kind, str(count))
    for key in ("households", "not_now", "logins", "personal_addresses", "groups"):
        table.add_row(key.replace("_", " "), str(summary[key]))
    for key in ("approvals", "exemptions"):
        table.add_row(f"{key} in force", f"{summary[key]['in_force']} of {summary[key]['all']}")
    console.print(table)
    for each in loaded.files:
        if each.ignored:
            click.echo(
                f"{each.path.name}: gatepost has no use for {', '.join(each.ignored)}; "
                "leave such columns out of the export"
            )
    for problem in loaded.problems:
        click.echo(str(problem), err=True)
    if loaded.problems:
        count = len(loaded.problems)
        click.echo("1 problem" if count == 1 else f"{count} problems", err=True)


def _answer(loaded: Directory, domains: Domains, who: str, day: date) -> dict[str, Any]:
    """All that the rules would know about an address or a login."""
    person = loaded.person(who)
    by_login = loaded.by_login(who)
    owners = loaded.owners_of_personal(who)
    group = loaded.group(who)
    approval = loaded.approved(who, day) if "@" in who else None
    domain = domain_of(who)
    mailbox = by_login.address if by_login and "@" not in who else who
    exempt = {each.rule for each in loaded.exemptions if loaded.exempt(each.rule, mailbox, day)}
    return {
        "asked": who,
        "at": day.isoformat(),
        "known": any((person, by_login, owners, group, approval, exempt)),
        "person": _person(loaded, person, day) if person else None,
        "login_of": _person(loaded, by_login, day) if by_login and by_login is not person else None,
        "private_address_of": [_person(loaded, owner, day) for owner in owners],
        "group": {"name": group.name, "size": loaded.group_size(who), "agreed": group.agreed} if group else None,
        "approved": {"who": approval.who, "purpose": approval.purpose} if approval else None,
        "exempt_from": sorted(exempt),
        "domain": {
            "name": domain,
            "group": domains.group(domain),
            "school": domains.is_school(domain),
            "institution": domains.is_institution(domain),
            "consumer": domains.is_consumer(domain),
        }
        if domain
        else None,
    }


def _person(loaded: Directory, person: Person, day: date) -> dict[str, Any]:
    return {
        "address": person.address,
        "name": person.name,
        "kinds": sorted(kind.value for kind in person.kinds_at(day)),
        "was_or_will_be": sorted(kind.value for kind in person.kinds - person.kinds_at(day)),
        "aliases": list(person.aliases),
        "logins": list(person.logins),
        "personal": list(person.personal),
        "groups": sorted(person.groups),
        "department": person.department,
        "year": person.year,
        "section": person.section,
        "pupils": sorted(person.pupils),
        "household": loaded.household(person.address),
        "supervisors": list(person.supervisors),
        "delegates": list(person.delegates),
        "source": person.source,
    }


def _show_answer(answer: dict[str, Any]) -> None:
    table = plain_table(str(answer["asked"]), f"on {answer['at']}")
    for title, person in (
        ("address of", answer["person"]),
        ("login of", answer["login_of"]),
        *(("private address of", owner) for owner in answer["private_address_of"]),
    ):
        if person:
            table.add_row(title, Text(f"{person['name']} <{person['address']}> ({person['source']})"))
            for key, value in person.items():
                if value and key not in ("name", "address", "source"):
                    shown = ", ".join(value) if isinstance(value, list) else value
                    table.add_row(f"  {key.replace('_', ' ')}", Text(shown))
    if group := answer["group"]:
        agreed = "; the members agreed to see one another" if group["agreed"] else ""
        table.add_row("list", Text(f"{group['name']}, {group['size']} people{agreed}"))
    if approval := answer["approved"]:
        table.add_row("approved", Text(f"{approval['who']} {approval['purpose']}"))
    if exempt := answer["exempt_from"]:
        table.add_row("exempt from", Text(", ".join(exempt)))
    if domain := answer["domain"]:
        table.add_row("domain", Text(f"{domain['name']}: {_domain_words(domain)}"))
    if not answer["known"]:
        table.add_row("", "nobody in the directory")
    Console().print(table)


def _domain_words(domain: dict[str, Any]) -> str:
    if domain["school"]:
        return "the school"
    if domain["institution"]:
        return f"an institution ({domain['group']})"
    if domain["consumer"]:
        return f"where the public has its mail ({domain['group']})"
    return "in no list"


directory.add_command(sync)
