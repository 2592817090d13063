"""Owns ``gatepost case``: what a role looks into, from the command line. Whoever may run it sees every case."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_config.spelling import nearest
from gatepost_milter.cli.configured import CannotError, config_option, settings_at
from gatepost_milter.cli.printed import folding_table, minute, one_line, print_json_line, wide_console
from gatepost_milter.cli.stored import actor_option, json_option, login, store_at
from gatepost_quarantine.cases import EVERYTHING, Case, CaseFile, CaseKind, CaseState
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, NotFoundError

_id = click.argument("case_id", metavar="CASE")
_kinds = click.Choice([each.value for each in CaseKind])


@click.group()
def case() -> None:
    """Keep a record of what a role looks into: reports, breaches, mail to the wrong person. IDs may be shortened.

    A case belongs to a role of the policy. In the console only those see it who see that role's messages.
    """


@case.command("open", epilog="Example: gatepost case open 'A strange invoice' --queue it-support --held k7m2")
@config_option
@json_option
@click.argument("title")
@click.option("--queue", required=True, help="The role that looks into it.")
@click.option("--kind", default=CaseKind.OTHER.value, show_default=True, type=_kinds, help="Why there is a case.")
@click.option("--held", "held", multiple=True, metavar="ID", help="A held message that belongs to it; repeatable.")
@click.option("--reference", default="", metavar="MESSAGE-ID", help="A mail that is in a mailbox.")
@actor_option
def open_(
    config: Path,
    as_json: bool,
    title: str,
    queue: str,
    kind: str,
    held: tuple[str, ...],
    reference: str,
    actor: str,
) -> None:
    """Open a case."""
    with _store(config) as (store, settings):
        _must_be_a_role(queue, settings)
        try:
            new = Case(
                kind=CaseKind(kind),
                title=title,
                queue=queue,
                opened_by=actor or login(),
                held=held,
                reference=reference,
            )
        except ValueError as error:
            raise CannotError(str(error)) from None
        _tell(store.open_case(new), "opened", as_json=as_json)


@case.command("list", epilog="Example: gatepost case list --state open --queue dsl")
@config_option
@json_option
@click.option(
    "--state", default=None, type=click.Choice([each.value for each in CaseState]), help="Only open, or closed."
)
@click.option("--kind", default=None, type=_kinds, help="Only of this kind.")
@click.option("--queue", default="", help="Only this role's.")
@click.option("--held", default="", metavar="ID", help="Only those that this held message belongs to.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
def list_(
    config: Path, as_json: bool, state: str | None, kind: str | None, queue: str, held: str, limit: int
) -> None:
    """List cases, newest first."""
    with _store(config) as (store, _settings):
        found = store.cases(
            sight=EVERYTHING,
            state=None if state is None else CaseState(state),
            kind=None if kind is None else CaseKind(kind),
            queue=queue,
            held_id=store.get(held).id if held else "",
            limit=limit,
        )
    if as_json:
        for each in found:
            print_json_line(_json(each))
        return
    if not found:
        click.echo("There are no such cases.")
        return
    table = folding_table("ID", "Opened", "State", "Kind", "Role", "Held", "Title")
    for each in found:
        opened = minute(each.opened_at)
        held_many = str(len(each.held))
        title = Text(one_line(each.title))
        table.add_row(each.id, opened, each.state.value, each.kind.value, each.queue, held_many, title)
    wide_console().print(table)


@case.command(epilog="Example: gatepost case show h4k2")
@config_option
@json_option
@_id
def show(config: Path, as_json: bool, case_id: str) -> None:
    """Show one case: whose it is, its messages, what was written down, and what came of it."""
    with _store(config) as (store, _settings):
        file = store.case(case_id, sight=EVERYTHING)
    if as_json:
        notes = [{"at": each.at.isoformat(), "actor": each.actor, "text": each.text} for each in file.notes]
        print_json_line({**_json(file.case), "notes": notes})
        return
    for line in _sheet(file):
        click.echo(line)


@case.command(epilog="Example: gatepost case note h4k2 'The supplier says it is not theirs.'")
@config_option
@json_option
@_id
@click.argument("text")
@actor_option
def note(config: Path, as_json: bool, case_id: str, text: str, actor: str) -> None:
    """Write something down. Notes are never changed."""

    def change(store: SqlStore, by: str) -> Case:
        store.note_case(case_id, text, actor=by, sight=EVERYTHING)
        return store.case(case_id, sight=EVERYTHING).case

    _change(config, change, "noted", actor=actor, as_json=as_json)


@case.command(epilog="Example: gatepost case link h4k2 k7m2xw9h")
@config_option
@json_option
@_id
@click.argument("held_id", metavar="ID")
@actor_option
def link(config: Path, as_json: bool, case_id: str, held_id: str, actor: str) -> None:
    """Let a held message belong to a case. While the case is open, the message does not expire."""
    _change(
        config,
        lambda store, by: store.link_case(case_id, held_id, actor=by, sight=EVERYTHING),
        "linked",
        actor=actor,
        as_json=as_json,
    )


@case.command("pass-on", epilog="Example: gatepost case pass-on h4k2 --queue dsl --reason 'It is about a pupil.'")
@config_option
@json_option
@_id
@click.option("--queue", required=True, help="The role that goes on with it.")
@click.option("--reason", default="", help="Why, for the record.")
@actor_option
def pass_on(config: Path, as_json: bool, case_id: str, queue: str, reason: str, actor: str) -> None:
    """Give a case to another role."""

    def change(store: SqlStore, by: str) -> Case:
        return store.pass_case(case_id, queue=queue, actor=by, reason=reason, sight=EVERYTHING)

    _must_be_a_role(queue, settings_at(config))
    _change(config, change, "passed on", actor=actor, as_json=as_json)


@case.command(epilog="Example: gatepost case close h4k2 --outcome 'A false alarm; the sender was told.'")
@config_option
@json_option
@_id
@click.option("--outcome", required=True, help="What came of it.")
@actor_option
def close(config: Path, as_json: bool, case_id: str, outcome: str, actor: str) -> None:
    """Close a case with its outcome. It stays closed."""
    _change(
        config,
        lambda store, by: store.close_case(case_id, outcome=outcome, actor=by, sight=EVERYTHING),
        "closed",
        actor=actor,
        as_json=as_json,
    )


@contextmanager
def _store(config: Path) -> Iterator[tuple[SqlStore, Settings]]:
    """The store; what is not there, or may not be, ends the command with exit code 1."""
    with store_at(config) as (store, settings):
        try:
            yield store, settings
        except (NotFoundError, ConflictError) as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)


def _change(
    config: Path, change: Callable[[SqlStore, str], Case], what: str, *, actor: str, as_json: bool
) -> None:
    with _store(config) as (store, _settings):
        _tell(change(store, actor or login()), what, as_json=as_json)


def _must_be_a_role(queue: str, settings: Settings) -> None:
    """A role that is misspelt would keep the case from everybody."""
    try:
        roles = load_policy(settings.policy).roles
    except ConfigError as error:
        raise CannotError(str(error)) from None
    if queue not in roles:
        near = nearest(queue, roles)
        hint = f"did you mean {near}?" if near else f"roles: {', '.join(roles)}"
        raise CannotError(f"the policy has no role {queue!r}; {hint}")


def _tell(found: Case, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json_line(_json(found))
    else:
        click.echo(f"Case {found.id} {what}: {one_line(found.title)}")


def _sheet(file: CaseFile) -> Iterator[str]:
    found = file.case
    yield f"Case {found.id}: {one_line(found.title)}"
    yield f"  {found.state.value}, {found.kind.value}, role {found.queue}"
    yield f"  opened {minute(found.opened_at)} by {one_line(found.opened_by)}"
    if found.reference:
        yield f"  about {one_line(found.reference)}"
    for each in found.held:
        yield f"  held message {each}"
    if found.held and found.state is CaseState.OPEN:
        yield "  until the case is closed, its messages do not expire"
    for written in file.notes:
        yield f"  {minute(written.at)} {one_line(written.actor)}: {one_line(written.text)}"
    if found.closed_at is not None:
        by = one_line(found.closed_by)
        yield f"  closed {minute(found.closed_at)} by {by}: {one_line(found.outcome)}"


def _json(found: Case) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind.value,
        "title": found.title,
        "queue": found.queue,
        "state": found.state.value,
        "opened_by": found.opened_by,
        "opened_at": found.opened_at.isoformat(),
        "reference": found.reference,
        "held": list(found.held),
        "outcome": found.outcome,
        "closed_by": found.closed_by,
        "closed_at": None if found.closed_at is None else found.closed_at.isoformat(),
    }
