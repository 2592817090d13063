"""Owns ``gatepost audit`` and ``gatepost subject``: who did what, and what is held about one person."""

from __future__ import annotations

import os
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from gatepost_milter.cli.configured import CannotError, config_option
from gatepost_milter.cli.printed import folding_table, minute, one_line, print_json_line, wide_console
from gatepost_milter.cli.quarantine import event_json
from gatepost_milter.cli.stored import actor_option, json_option, login, store_at
from gatepost_quarantine import subject as subject_access
from gatepost_quarantine.audit import Link, verify
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import NotFoundError

_gateway = click.option("--gateway", default="", help="Only this gateway's chain.  [default: every one]")
_segment = click.option("--segment", default="", metavar="YYYY-MM", help="Only what was written in this month.")


@click.group()
def audit() -> None:
    """Read and check the record of who did what, when and why."""


@audit.command("list", epilog="Example: gatepost audit list --segment 2026-11 --json")
@config_option
@json_option
@_gateway
@_segment
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="The last so many.")
def list_(config: Path, as_json: bool, gateway: str, segment: str, limit: int) -> None:
    """List events, oldest first. To see those of one message, use `gatepost quarantine show`."""
    with store_at(config) as (store, _settings):
        links: deque[Link] = deque(maxlen=limit)
        for name in _chains(store, gateway):
            links.extend(each for each in store.chain(name) if segment in ("", each.segment))
    if as_json:
        for each in links:
            print_json_line(
                event_json(each.event)
                | {"gateway": each.gateway, "seq": each.seq, "segment": each.segment, "id": each.event.held_id}
                | {"digest": each.digest, "erased": each.erased}
            )
        return
    table = folding_table("Gateway", "No.", "When", "What", "Who", "ID", "Recipient", "Reason")
    for each in links:
        event = each.event
        values = ("(erased)" if each.erased else event.actor, event.held_id[:8], event.recipient, event.reason)
        table.add_row(
            each.gateway,
            str(each.seq),
            minute(event.at),
            event.verb.value,
            *(Text(one_line(value)) for value in values),
        )
    wide_console().print(table)


@audit.command("verify", epilog="Example: gatepost audit verify --head 6f0c…")
@config_option
@_gateway
@_segment
@click.option(
    "--head", default="", metavar="DIGEST", help="A head that was told elsewhere; the chain must reach it."
)
def verify_(config: Path, gateway: str, segment: str, head: str) -> None:
    """Find an event that was changed, removed or put in, or a tail that was cut; exit code 1 if there is one."""
    wrong, reached = [], not head
    with store_at(config) as (store, _settings):
        names = _chains(store, gateway)
        for name in names:
            found = [each for each in store.chain(name) if segment in ("", each.segment)]
            fault = verify(found, whole=not segment)
            heads = {each[0]: each[2] for each in store.heads()}
            if not fault and not segment and found and found[-1].digest != heads.get(name):
                fault = f"the chain of {name} does not end where its head says"
            reached = reached or any(each.digest == head for each in found)
            erased = sum(each.erased for each in found)
            said = fault or f"{len(found):,} events, whole" + (f"; names erased in {erased:,}" if erased else "")
            click.echo(f"{name}: {said}")
            wrong += [fault] if fault else []
    if not names:
        click.echo("No event is recorded yet.")
    if not reached:
        click.echo("No chain reaches the given head: one was cut, or made anew.")
    if wrong or not reached:
        sys.exit(1)


@audit.command(epilog="Example: gatepost audit erase k7m2 --reason 'erasure request 4'")
@config_option
@click.argument("held_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@actor_option
def erase(config: Path, held_id: str, reason: str, actor: str) -> None:
    """Erase the names, addresses and reasons in one message's events; the chain stays whole."""
    with store_at(config) as (store, _settings):
        try:
            many = store.erase_names(held_id=held_id, actor=actor or login(), reason=reason)
        except NotFoundError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)
    click.echo(f"Erased in {many} events.")


@click.group()
def subject() -> None:
    """Answer a person who asks what is held about them."""


@subject.command(
    epilog="Example: gatepost subject export pat@family.example --output pat.zip --reason 'request 9'"
)
@config_option
@click.argument("address")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new zip, for you alone."
)
@click.option("--reason", required=True, help="Which request, for the record.")
@actor_option
def export(config: Path, address: str, output: Path, reason: str, actor: str) -> None:
    """Write everything held about one address to a zip: messages, decisions, hashes, and who else is in them."""
    with store_at(config) as (store, _settings):
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CannotError(f"{output}: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            found = subject_access.export(
                store, address, file, actor=actor or login(), reason=reason, now=datetime.now(UTC)
            )
    click.echo(
        f"{output}: {found.messages} messages, {found.with_bytes} of them whole; "
        f"{found.third_parties} other people to look at before it is handed out"
    )


def _chains(store: SqlStore, gateway: str) -> list[str]:
    names = [each[0] for each in store.heads()]
    if gateway and gateway not in names:
        raise CannotError(f"no chain of {gateway}; there are {', '.join(names) or 'none'}")
    return [gateway] if gateway else names
