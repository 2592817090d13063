"""Owns the commands of ``gatepost quarantine`` about keeping: seal, hold, expire, export, backup, check."""

from __future__ import annotations

import sys
import syslog
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_milter.cli.configured import CannotError, config_option
from gatepost_milter.cli.printed import folding_table, one_line, print_json_line, wide_console
from gatepost_milter.cli.quarantine import decide_all, ids_argument, quarantine
from gatepost_milter.cli.seal import private_key, write_private
from gatepost_milter.cli.stored import actor_option, json_option, login, store_at
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.held import HeldMessage
from gatepost_quarantine.retention import Mailboxes, Retention, tell_heads
from gatepost_quarantine.sealing import SealError
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, NotFoundError

__all__ = ["quarantine"]

_must_say_why = click.option("--reason", required=True, help="Why, for the record.")
_output = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file, for you alone."
)
_held_id = click.argument("held_id", metavar="ID")


def mailboxes_of(settings: Settings) -> Mailboxes:
    """The mailboxes of a role: those in the settings, else the policy's own. Raises ConfigError."""
    policy = load_policy(settings.policy)
    domain = settings.school.domains[0]

    def mailboxes(role: str) -> Sequence[str]:
        if role in settings.roles:
            return settings.roles[role]
        known = policy.roles.get(role)
        return [each.replace("{domain}", domain) for each in known.mailboxes] if known is not None else []

    return mailboxes


@quarantine.command(epilog="Example: gatepost quarantine seal k7m2 --reason 'a child protection matter'")
@config_option
@json_option
@ids_argument
@_must_say_why
@actor_option
def seal(config: Path, as_json: bool, ids: tuple[str, ...], reason: str, actor: str) -> None:
    """Encrypt held messages, and all that tells what they say, to the seal key. This cannot be undone here."""
    by = actor or login()

    def decide(store: SqlStore, held_id: str) -> HeldMessage:
        return store.seal(held_id, actor=by, reason=reason)

    decide_all(config, ids, decide, said="sealed", as_json=as_json)


@quarantine.command(
    "unseal-export",
    epilog="Example: gatepost quarantine unseal-export k7m2 --share a --share b --output m --reason court",
)
@config_option
@_held_id
@click.option(
    "--share",
    "shares",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A half of the seal key; to be given twice.",
)
@_output
@_must_say_why
@actor_option
def unseal_export(
    config: Path, held_id: str, shares: tuple[Path, ...], output: Path, reason: str, actor: str
) -> None:
    """Write a sealed message, as it was sent, to a file. Both roles type their passphrase; it is on record.

    What was known about the message (addresses, subject, findings) is written beside it, as OUTPUT.json.
    """
    if len(shares) != 2:
        raise click.UsageError("give --share twice, once for each role")
    beside = output.with_name(f"{output.name}.json")
    for path in (output, beside):
        if path.exists():
            raise CannotError(f"{path} exists")
    with store_at(config) as (store, _settings):
        try:
            opened = store.unseal(held_id, private_key(*shares), actor=actor or login(), reason=reason)
            content = b"".join(opened.pieces)
        except SealError as error:
            raise CannotError(str(error)) from None
        except (NotFoundError, ConflictError) as error:
            _refuse(error)
    write_private(output, content)
    write_private(beside, opened.record)
    click.echo(f"{output}: {len(content):,} bytes of {opened.held_id}, in clear. Keep them as the case demands.")


@quarantine.command(epilog="Example: gatepost quarantine hold k7m2 --reason 'police enquiry 17'")
@config_option
@json_option
@ids_argument
@click.option("--off", is_flag=True, help="End the legal hold.")
@_must_say_why
@actor_option
def hold(config: Path, as_json: bool, ids: tuple[str, ...], off: bool, reason: str, actor: str) -> None:
    """Put messages under legal hold: nothing deletes or forgets them until it is ended."""
    by = actor or login()

    def decide(store: SqlStore, held_id: str) -> HeldMessage:
        change = store.end_legal_hold if off else store.legal_hold
        return change(held_id, actor=by, reason=reason)

    said = "no longer under legal hold" if off else "under legal hold"
    decide_all(config, ids, decide, said=said, as_json=as_json)


@quarantine.command(epilog="Example: gatepost quarantine expire --dry-run")
@config_option
@json_option
@click.option("--dry-run", is_flag=True, help="Say what is due, and change nothing.")
def expire(config: Path, as_json: bool, dry_run: bool) -> None:
    """Do the daily round: reminders, expiry, forgetting, and the heads of the audit to syslog and the auditor.

    Run it once a day, as gatepost-expire.timer does. What happened already is not done twice.
    """
    with store_at(config) as (store, settings):
        try:
            mailboxes = mailboxes_of(settings)
        except ConfigError as error:
            raise CannotError(str(error)) from None
        done = list(Retention(store, settings, mailboxes=mailboxes, now=datetime.now(UTC), dry_run=dry_run).run())
        if not dry_run:
            tell_heads(store, settings, mailboxes=mailboxes, say=_to_syslog)
            store.tidy()
            store.give_space_back()
    if as_json:
        for each in done:
            print_json_line(
                {"what": each.what, "id": each.held_id, "many": each.many, "why": each.why, "dry_run": dry_run}
            )
        return
    if not done:
        click.echo("Nothing is due.")
        return
    table = folding_table("What", "ID", "Many", "Why")
    for each in done:
        table.add_row(each.what, each.held_id[:8], str(each.many), Text(one_line(each.why)))
    wide_console().print(table)
    if dry_run:
        click.echo("Nothing was changed: this was a dry run.")


@quarantine.command(
    epilog="Example: gatepost quarantine export k7m2 --output message.eml --reason 'for the vendor'"
)
@config_option
@_held_id
@_output
@_must_say_why
@actor_option
def export(config: Path, held_id: str, output: Path, reason: str, actor: str) -> None:
    """Write a held message, byte for byte as it was sent, to a file. That it was read is on record."""
    with store_at(config) as (store, _settings):
        try:
            held = store.get(held_id)
            pieces = store.content(held.id)
            by = actor or login()
            store.record(Event(verb=Verb.EXPORT, actor=by, held_id=held.id, reason=reason))
            content = b"".join(pieces)
        except (NotFoundError, ConflictError) as error:
            _refuse(error)
    write_private(output, content)
    click.echo(f"{output}: {len(content):,} bytes")


@quarantine.command(epilog="Example: gatepost quarantine backup /backup/quarantine-$(date +%F).db")
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@actor_option
def backup(config: Path, file: Path, actor: str) -> None:
    """Copy an SQLite store to a new file while it is in use, and check the copy."""
    with store_at(config) as (store, _settings):
        try:
            size = store.backup(file, actor=actor or login())
        except ConflictError as error:
            _refuse(error)
    click.echo(f"{file}: {size:,} bytes, checked")


@quarantine.command(epilog="Example: gatepost quarantine check")
@config_option
def check(config: Path) -> None:
    """Read everything that is kept and say what is damaged; exit code 1 if anything is."""
    with store_at(config) as (store, _settings):
        found = list(store.damage())
    for each in found:
        click.echo(each)
    if found:
        sys.exit(1)
    click.echo("All that is kept is whole.")


def _to_syslog(line: str) -> None:
    syslog.openlog("gatepost", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_NOTICE, line)


def _refuse(error: Exception) -> None:
    click.echo(f"gatepost: {error}", err=True)
    sys.exit(1)
