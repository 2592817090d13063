"""Owns ``gatepost console``: running the review console, and its local accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click

from gatepost_milter.cli.configured import CannotError, config_option, settings_at
from gatepost_milter.cli.services import serve
from gatepost_milter.cli.stored import login
from gatepost_quarantine.review import Account
from gatepost_quarantine.sql import SqlReview, open_review
from gatepost_quarantine.store import StoreError

_ROLES = ("viewer", "reviewer", "safeguarding", "policy-editor", "auditor", "admin")

_password = click.option(
    "--password-file",
    type=click.File(encoding="utf-8"),
    help="File whose first line is the password; - for standard input.  [default: ask]",
)


@click.group(invoke_without_command=True, epilog="Example: gatepost console add-user ann --role reviewer")
@config_option
@click.pass_context
def console(ctx: click.Context, config: Path) -> None:
    """Run the review console, or look after its local accounts."""
    if ctx.invoked_subcommand is None:
        _run(config)


@console.command(epilog="Example: gatepost console run --config /etc/gatepost/gatepost.yaml")
@config_option
def run(config: Path) -> None:
    """Run the review console until SIGTERM."""
    _run(config)


@console.command("add-user", epilog="Example: gatepost console add-user ann --role reviewer --title 'Ann Smith'")
@config_option
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(_ROLES),
    help="What they are; may be repeated.",
)
@click.option("--title", default="", help="Their name as others read it.  [default: NAME]")
@click.option(
    "--queue", "queues", multiple=True, help="Only messages that this role of the policy reviews; may be repeated."
)
@_password
def add_user(
    config: Path,
    name: str,
    roles: tuple[str, ...],
    title: str,
    queues: tuple[str, ...],
    password_file: TextIO | None,
) -> None:
    """Make a local account. One with the role admin is the way in when the school's own sign-in is down."""
    from gatepost_quarantine.console.signin import RefusedError, new_account

    if not name.isprintable() or not name.strip() or len(name) > 100:
        raise click.UsageError("NAME must have 1 to 100 letters")
    with _review(config) as review:
        if review.account(name) is not None:
            click.echo(f"gatepost: there is an account {name} already; see gatepost console passwd", err=True)
            sys.exit(1)
        try:
            account = new_account(name, _asked(password_file), title=title, roles=roles, queues=queues)
        except RefusedError as error:
            raise CannotError(str(error)) from None
        review.keep_account(account, actor=login(), what=f"made, with {', '.join(sorted(set(roles)))}")
    click.echo(f"{name} can sign in now.")


@console.command(epilog="Example: gatepost console passwd ann")
@config_option
@click.argument("name")
@_password
def passwd(config: Path, name: str, password_file: TextIO | None) -> None:
    """Give a local account a new password. It is signed out everywhere."""
    from gatepost_quarantine.console.signin import RefusedError, hashed

    with _review(config) as review:
        account = _known(review, name)
        try:
            changed = replace(account, password=hashed(_asked(password_file)), failures=0, locked_until=None)
        except RefusedError as error:
            raise CannotError(str(error)) from None
        review.keep_account(changed, actor=login(), what="new password")
    click.echo(f"{name} has a new password and is signed out everywhere.")


@console.command(epilog="Example: gatepost console unlock ann")
@config_option
@click.argument("name")
def unlock(config: Path, name: str) -> None:
    """Let a local account try again that was locked after too many wrong passwords."""
    with _review(config) as review:
        unlocked = replace(_known(review, name), failures=0, locked_until=None)
        review.keep_account(unlocked, actor=login(), what="unlocked")
    click.echo(f"{name} can try again.")


def _run(config: Path) -> None:
    # Here, because every other command must work on a machine without the console's parts.
    try:
        from gatepost_quarantine.console.service import main as run_console
    except ImportError as error:
        raise CannotError(
            f"the console needs a part that is not installed: {error}; use gatepost[console]"
        ) from None
    serve(config, run_console, service="console")


@contextmanager
def _review(config: Path) -> Iterator[SqlReview]:
    settings = settings_at(config)
    try:
        store, review = open_review(settings.store, gateway=settings.gateway)
        try:
            yield review
        finally:
            store.close()
    except StoreError as error:
        raise CannotError(str(error)) from error


def _known(review: SqlReview, name: str) -> Account:
    account = review.account(name)
    if account is None:
        click.echo(f"gatepost: there is no account {name}", err=True)
        sys.exit(1)
    return account


def _asked(password_file: TextIO | None) -> str:
    if password_file is not None:
        return str(password_file.readline()).rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
