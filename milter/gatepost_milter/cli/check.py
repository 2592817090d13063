"""Owns ``gatepost check``: message files judged without a mail server, for people and for programs."""

from __future__ import annotations

import errno
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path as FilePath
from typing import Any

import click

from gatepost_config.errors import ConfigError
from gatepost_config.ip_addresses import EXAMPLES, is_ip_address
from gatepost_config.settings import Settings
from gatepost_config.words import Action, Finding
from gatepost_milter.cli.check_envelope import Given, transaction_for, wire_form
from gatepost_milter.cli.configured import (
    CannotError,
    config_if_any_option,
    settings_for,
    with_directory,
    with_policy,
)
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors, InspectorsBusyError, InspectorsError
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.policy import Policy, load
from gatepost_milter.policy.rules import PolicyError
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.spool import Spool

_STOPPED = frozenset({Action.CONFIRM, Action.REJECT, Action.QUARANTINE, Action.SEAL})


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """An IP address, or nothing."""
    if value and not is_ip_address(value):
        raise click.BadParameter(f"{value!r} is not an IP address, such as {EXAMPLES}.")
    return value


@click.command(
    epilog="Example: gatepost check --login teacher --recipient friend@outside.example letter.eml",
)
@click.argument("messages", nargs=-1, required=True, metavar="MESSAGE...")
@config_if_any_option
@click.option("--policy", help="A shipped policy's name, or a policy file, instead of the one in the settings.")
@click.option(
    "--directory",
    type=click.Path(path_type=FilePath, file_okay=False, exists=True),
    help="A folder with the people directory, instead of the one in the settings.",
)
@click.option("--sender", help="Envelope sender.  [default: Return-Path, Sender or From]")
@click.option(
    "--recipient", "recipients", multiple=True, help="Envelope recipient; repeat.  [default: To, Cc, Bcc]"
)
@click.option("--login", help="SASL login; '' for none.  [default: see below]")
@click.option(
    "--client",
    callback=_address,
    help="IP address of the SMTP client; '' for none.  [default: the newest Received field]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check(
    *,
    messages: tuple[str, ...],
    config: FilePath | None,
    policy: str | None,
    directory: FilePath | None,
    sender: str | None,
    recipients: tuple[str, ...],
    login: str | None,
    client: str | None,
    as_json: bool,
) -> None:
    """Judge message files without a mail server.

    MESSAGE is a file, or - for standard input. Nothing is kept and nobody is told.

    What is not given is taken from the message's header. If neither --login nor --client is given, a message
    that has passed a mail server is taken as its newest Received field says; one that has not is taken as sent
    by its author, logged in, if the author is at the school. The gateway itself never believes a header.

    Exit code: 0 all may pass, 1 something is held or refused, 2 could not be judged.
    """
    settings = with_directory(with_policy(settings_for(config), policy), directory)
    given = Given(sender=sender, recipients=recipients, login=login, client=client)
    judge, inspectors = _ready(settings)
    stopped = failed = False
    try:
        with closing(inspectors):
            for message in messages:
                try:
                    verdict, inspection, took = _judge(message, judge, inspectors, settings, given)
                except (OSError, PolicyError, InspectorsBusyError, NoRecipientError) as error:
                    reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else error
                    click.echo(f"gatepost: {message}: {reason}", err=True)
                    failed = True
                    continue
                stopped = stopped or verdict.action in _STOPPED
                _show(message, verdict, inspection, took, as_json=as_json)
    except InspectorsError as error:
        raise CannotError(str(error)) from None
    raise click.exceptions.Exit(2 if failed else int(stopped))


def _ready(settings: Settings) -> tuple[Policy, Inspectors]:
    """The policy, and inspectors: their process comes up while the policy is read. Raises CannotError."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        starting = beside.submit(Inspectors, settings.inspection, FilePath(tempfile.gettempdir()))
        try:
            judge = load(settings)
        except ConfigError as error:
            with suppress(InspectorsError):
                starting.result().close()
            raise CannotError(str(error)) from None
        try:
            return judge, starting.result()
        except InspectorsError as error:
            raise CannotError(str(error)) from None


class NoRecipientError(Exception):
    """Nothing says for whom the message is."""


def to_json(message: str, verdict: Verdict, inspection: Inspection, took: float) -> dict[str, Any]:
    """What ``--json`` prints for one message; ``took`` is in seconds."""
    return {
        "file": message,
        "verdict": verdict.action.value,
        "direction": verdict.direction.value,
        "recipients": {outcome.recipient: outcome.action.value for outcome in verdict.outcomes},
        "findings": [_finding(finding) for finding in verdict.findings],
        "attachments": [
            {
                "path": each.path,
                "name": each.name,
                "claimed": each.claimed,
                "detected": each.detected,
                "size": each.size,
                "sha256": each.sha256,
                "classes": sorted(one.value for one in each.classes),
            }
            for each in inspection.attachments
        ],
        "defects": list(verdict.explanation.defects),
        "took_ms": round(took * 1000, 3),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    evidence: dict[str, list[dict[str, str | int | bool]]] = {}
    for piece in finding.evidence:
        evidence.setdefault(piece.kind, []).append({"name": piece.name, "where": piece.where, **piece.details})
    return {
        "rule": finding.rule,
        "clause": finding.clause,
        "action": finding.action.value,
        "mode": finding.mode.value,
        "where": finding.where,
        "evidence": evidence,
        "say": finding.say,
    }


def _judge(
    message: str, judge: Policy, inspectors: Inspectors, settings: Settings, given: Given
) -> tuple[Verdict, Inspection, float]:
    """The verdict on one file, what was seen in it, and the seconds that inspecting and judging took."""
    content = wire_form(_read(message, limit=settings.spool.limit))
    start = time.perf_counter()
    with Spool.of(content) as spool:
        inspection = inspect(
            spool,
            inspectors=inspectors,
            limits=settings.inspection,
            deadline=settings.inspection.deadline,
            hashes=True,
            texts=judge.reads_files,
        )
        transaction = transaction_for(content, spool, inspection, settings, given)
        if not transaction.recipients:
            raise NoRecipientError("no recipient in the header; name one with --recipient")
        verdict = judge.judge(transaction, inspection)
    return verdict, inspection, time.perf_counter() - start


def _read(message: str, *, limit: int) -> bytes:
    """The bytes of a file or of standard input. Raises OSError, also for more than ``limit`` bytes."""
    if message == "-":
        content = sys.stdin.buffer.read(limit + 1)
    else:
        with FilePath(message).open("rb") as stream:
            content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes; the gateway would refuse it (spool.limit)")
    return content


def _show(message: str, verdict: Verdict, inspection: Inspection, took: float, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(to_json(message, verdict, inspection, took), ensure_ascii=True))
        return
    # Imported here: programs that read JSON need not wait for it.
    from gatepost_milter.cli.check_shown import show

    show(message, verdict, inspection, took)
