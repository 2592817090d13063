"""Owns ``gatepost exemption`` and ``gatepost block``: rulings, which reach every worker within two seconds."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.text import Text

from gatepost_config.addresses import InvalidAddressError, check
from gatepost_config.directory_load import load_directory
from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_config.spelling import suggestion
from gatepost_milter.cli.configured import CannotError, config_option, settings_at
from gatepost_milter.cli.printed import one_line, plain_table, wide_console
from gatepost_milter.cli.stored import actor_option, json_option, login, store_at
from gatepost_milter.policy.identity import in_school
from gatepost_milter.policy.standing import BLOCKED
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.store import ConflictError, NotFoundError

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FOR = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def exemption() -> None:
    """Let mail pass a rule for a time. What the rule finds is still made known, with who allowed it and why.

    Exemptions of the policy document and of the directory are not listed here; they end with their own day.
    """


@click.group()
def block() -> None:
    """Hold all mail of a sender, to a recipient or with a file for a time, for a reviewer to decide about."""


def _about(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a ruling is about."""
    for option in (
        click.option("--reason", required=True, help="Why. The sender of held mail reads it."),
        click.option(
            "--until",
            required=True,
            help="When it ends: a day (2026-12-24, its end), a time (2026-12-24 15:30), or from now (30m, 2h, 3d, "
            "1w). Days and times are the school's.",
        ),
        click.option("--file", "file", default="", help="A file's SHA-256, or the path of a copy of it."),
        click.option("--recipient", default="", help="A recipient's mailbox, or @domain."),
        click.option("--sender", default="", help="A sender's mailbox, or @domain."),
        actor_option,
        json_option,
        config_option,
    ):
        command = option(command)
    return command


@exemption.command(
    "add",
    epilog="Example: gatepost exemption add --rule attachment-too-large --sender art@school.example "
    "--until 2026-12-24 --reason 'Catalogue for the printer'",
)
@click.option("--rule", required=True, help="The rule that is not to act.")
@_about
def add_exemption(rule: str, **given: Any) -> None:
    """Exempt a sender, a recipient or a file from one rule. All that is given must match.

    A sender is exempt only where a login or a trusted relay proves it; for mail from outside, name the recipient
    or the file.
    """
    _add(RulingKind.EXEMPT, rule=rule, **given)


@block.command(
    "add",
    epilog="Example: gatepost block add --sender t.teacher@school.example --until 2h --reason 'Taken over?'",
)
@_about
def add_block(**given: Any) -> None:
    """Hold mail of a sender, to a recipient or with a file. All that is given must match.

    For mail from outside the sender is the one that the envelope or From claims.
    """
    _add(RulingKind.BLOCK, **given)


@exemption.command("list", epilog="Example: gatepost exemption list --all --json")
@config_option
@json_option
@click.option("--all", "over", is_flag=True, help="Also those that are over.")
def list_exemptions(config: Path, as_json: bool, over: bool) -> None:
    """List the exemptions in force, oldest first."""
    _list(RulingKind.EXEMPT, config, as_json=as_json, over=over)


@block.command("list", epilog="Example: gatepost block list")
@config_option
@json_option
@click.option("--all", "over", is_flag=True, help="Also those that are over.")
def list_blocks(config: Path, as_json: bool, over: bool) -> None:
    """List the blocks in force, oldest first."""
    _list(RulingKind.BLOCK, config, as_json=as_json, over=over)


_ruling_id = click.argument("ruling_id", metavar="ID")
_why_ended = click.option("--reason", required=True, help="Why, for the record.")


@exemption.command("end", epilog="Example: gatepost exemption end 3f9a01bc --reason 'The catalogue has gone out'")
@_ruling_id
@config_option
@json_option
@_why_ended
@actor_option
def end_exemption(ruling_id: str, config: Path, as_json: bool, reason: str, actor: str) -> None:
    """End an exemption before its time. Exit code 1 if there is none of that id."""
    _end(RulingKind.EXEMPT, ruling_id, config, as_json=as_json, reason=reason, actor=actor)


@block.command("end", epilog="Example: gatepost block end 3f9a01bc --reason 'New password set'")
@_ruling_id
@config_option
@json_option
@_why_ended
@actor_option
def end_block(ruling_id: str, config: Path, as_json: bool, reason: str, actor: str) -> None:
    """End a block before its time; what it has held stays held. Exit code 1 if there is none of that id."""
    _end(RulingKind.BLOCK, ruling_id, config, as_json=as_json, reason=reason, actor=actor)


def _add(
    kind: RulingKind,
    *,
    config: Path,
    as_json: bool,
    actor: str,
    sender: str,
    recipient: str,
    file: str,
    until: str,
    reason: str,
    rule: str = "",
) -> None:
    settings = settings_at(config)
    if rule:
        _require_rule(settings, rule)
    now = datetime.now(UTC)
    try:
        ruling = Ruling(
            kind=kind,
            rule=rule,
            sender=_who(sender, settings),
            recipient=_who(recipient, settings),
            sha256=_digest(file),
            reason=reason,
            actor=actor or login(),
            made_at=now,
            expires_at=ends(until, now=now, zone=ZoneInfo(settings.school.timezone)),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if kind is RulingKind.EXEMPT and sender and not in_school(sender, settings):
        click.echo("gatepost: nothing proves who sent mail from outside; no sender there is exempt", err=True)
    with store_at(config) as (store, _settings):
        try:
            store.add_ruling(ruling)
        except ConflictError as error:
            raise click.UsageError(str(error)) from None
    _show([ruling], settings, as_json=as_json)


def _list(kind: RulingKind, config: Path, *, as_json: bool, over: bool) -> None:
    with store_at(config) as (store, settings):
        _show(store.rulings(kind=kind, over=over), settings, as_json=as_json)


def _end(kind: RulingKind, ruling_id: str, config: Path, *, as_json: bool, reason: str, actor: str) -> None:
    with store_at(config) as (store, settings):
        try:
            ended = store.end_ruling(ruling_id, kind=kind, actor=actor or login(), reason=reason)
        except NotFoundError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)
    _show([ended], settings, as_json=as_json)


def ends(until: str, *, now: datetime, zone: ZoneInfo) -> datetime:
    """The moment that people mean: the end of a day, a time of day, or so long from now. Raises ValueError."""
    if span := _FOR.fullmatch(until.strip()):
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        given = datetime.fromisoformat(until.strip())
    except ValueError:
        raise ValueError(f"--until {until!r}: write 2026-12-24, 2026-12-24 15:30, 30m, 2h, 3d or 1w") from None
    if len(until.strip()) <= len("2026-12-24"):
        given = datetime.combine(given.date() + timedelta(days=1), time(0))
    return given if given.tzinfo is not None else given.replace(tzinfo=zone)


def _who(given: str, settings: Settings) -> str:
    """A mailbox or @domain as it was given; an alias becomes the mailbox's main address. Raises ValueError."""
    if not given:
        return ""
    try:
        check(f"anybody{given}" if given.startswith("@") else given)
    except InvalidAddressError as error:
        raise ValueError(f"{given}: {error}") from None
    if given.startswith("@") or settings.directory is None:
        return given
    try:
        person = load_directory(settings.directory).person(given)
    except ConfigError as error:
        raise CannotError(str(error)) from None
    return person.address if person is not None and person.address else given


def _digest(file: str) -> str:
    """The SHA-256 that was given, or that of the file at that path. Raises ValueError."""
    if not file or _SHA256.fullmatch(file):
        return file.lower()
    try:
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"--file {file}: neither a SHA-256 nor a file to read: {error.strerror}") from None


def _require_rule(settings: Settings, rule: str) -> None:
    try:
        ids = [*(each.id for each in load_policy(settings.policy).rules), BLOCKED]
    except ConfigError as error:
        raise CannotError(str(error)) from None
    if rule not in ids:
        hint = suggestion(rule, ids, what="rules")
        raise CannotError(f"the policy {settings.policy!r} has no rule {rule!r}; {hint}")


def _show(rulings: Sequence[Ruling], settings: Settings, *, as_json: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        for each in rulings:
            click.echo(json.dumps(_as_json(each, now)))
        return
    zone = ZoneInfo(settings.school.timezone)
    table = plain_table("Id", "About", "Rule", "Until", "By", "Why")
    for each in rulings:
        until = f"{(each.ended_at or each.expires_at).astimezone(zone):%Y-%m-%d %H:%M}"
        if not each.in_force(now):
            until += f" (ended by {each.ended_by})" if each.ended_at else " (over)"
        cells = (each.id, each.about, each.rule, until, each.actor, each.reason)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    if rulings:
        wide_console().print(table)
    else:
        click.echo("There are none.")


def _as_json(ruling: Ruling, now: datetime) -> dict[str, Any]:
    return {
        "id": ruling.id,
        "kind": ruling.kind.value,
        "rule": ruling.rule,
        "sender": ruling.sender,
        "recipient": ruling.recipient,
        "sha256": ruling.sha256,
        "reason": ruling.reason,
        "actor": ruling.actor,
        "made_at": ruling.made_at.isoformat(timespec="seconds"),
        "expires_at": ruling.expires_at.isoformat(timespec="seconds"),
        "ended_at": ruling.ended_at.isoformat(timespec="seconds") if ruling.ended_at else None,
        "ended_by": ruling.ended_by,
        "in_force": ruling.in_force(now),
    }
