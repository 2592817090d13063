"""Owns ``gatepost simulate``: mails replayed against two policies, to see what a new one would change."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gatepost_config.directory import Directory
from gatepost_config.directory_load import load_directory
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_milter.cli import mail_sources
from gatepost_milter.cli.check import NoRecipientError
from gatepost_milter.cli.check_envelope import Given, header_fields, transaction_for
from gatepost_milter.cli.configured import (
    CannotError,
    config_if_any_option,
    settings_for,
    with_directory,
    with_policy,
)
from gatepost_milter.cli.mail_sources import Mail
from gatepost_milter.cli.policy_diff import LIVE
from gatepost_milter.cli.printed import print_json
from gatepost_milter.cli.simulated import Judged, Tally
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors, InspectorsBusyError, InspectorsError
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.policy import Policy, load
from gatepost_milter.policy.rules import PolicyError
from gatepost_milter.spool import Spool
from gatepost_milter.transaction import Client, Transaction
from gatepost_milter.transaction import Path as EnvelopePath
from gatepost_quarantine.sql import open_store
from gatepost_quarantine.store import StoreError

_AHEAD = 4  # mails that are read ahead for each job
_HELD = 10_000
"""Held messages that are replayed unless --limit says otherwise."""


@click.command(epilog="Example: gatepost simulate --policy ./our-policy.yaml /var/mail/archive")
@click.argument(
    "mailboxes", nargs=-1, type=click.Path(path_type=Path, exists=True, allow_dash=True), metavar="[MAILBOX]..."
)
@click.option("--policy", "new", required=True, metavar="NEW", help="The policy to try: a shipped name or a file.")
@click.option(
    "--against", "old", default=LIVE, show_default=True, metavar="OLD", help="The policy to compare it with."
)
@click.option("--quarantine", is_flag=True, help="Replay what the quarantine holds, too.")
@click.option("--limit", type=click.IntRange(min=1), help="Replay so many mails at most.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Mails at a time.  [default: one for each processor, at most 8]"
)
@config_if_any_option
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder with the people directory, instead of the one in the settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(
    *,
    mailboxes: tuple[Path, ...],
    new: str,
    old: str,
    quarantine: bool,
    limit: int | None,
    jobs: int | None,
    config: Path | None,
    directory: Path | None,
    as_json: bool,
) -> None:
    """Replay mails against a new policy, and show what it would change. Nothing is kept and nobody is told.

    MAILBOX is a maildir, an mbox, a message file, a folder of any of these, or - for standard input. Each mail is
    inspected once and judged twice, by OLD (the word live stands for the policy in the settings) and by NEW, as
    if it came today. The envelope is taken from the header as by gatepost check; mail in the quarantine has its
    own.

    Exit code: 0 nothing would change, 1 some mail would fare otherwise, 2 it could not be found out.
    """
    if not mailboxes and not quarantine:
        raise click.UsageError("Give a MAILBOX, or --quarantine.")
    settings = with_directory(settings_for(config), directory)
    before, after = _policies(settings, old=old, new=new)
    jobs = jobs or min(os.cpu_count() or 1, 8)
    limits = settings.inspection.model_copy(update={"inspectors": jobs})
    tally = Tally()
    try:
        with ExitStack() as stack:
            # Before there are threads, for it forks.
            inspectors = stack.enter_context(closing(Inspectors(limits, Path(tempfile.gettempdir()))))
            replay = _Replay(settings=settings, inspectors=inspectors, old=before, new=after)
            mails, weight = _sources(stack, settings, mailboxes, quarantine=quarantine, limit=limit)
            advance = _progress(stack, weight)
            for mail, answer in replay.run(islice(mails, limit), jobs=jobs):
                advance(mail.weight)
                if isinstance(answer, Judged):
                    tally.add(answer)
                else:
                    tally.fail(mail.name, answer)
    except (InspectorsError, StoreError) as error:
        raise CannotError(str(error)) from None
    if not tally.all.mails and not tally.failures:
        raise CannotError("no mail was found there; in folders, message files end in .eml or .mbox")
    if as_json:
        print_json({"old": _reference(before), "new": _reference(after), **tally.to_json()})
    else:
        # Imported here: programs that read JSON need not wait for it.
        from gatepost_milter.cli.simulate_shown import show

        show(tally, old=before, new=after)
    raise click.exceptions.Exit(int(tally.all.changed > 0) if tally.all.mails else CannotError.exit_code)


def _policies(settings: Settings, *, old: str, new: str) -> tuple[Policy, Policy]:
    """Both policies, tested, among the same people. Raises CannotError."""
    try:
        people: Directory | None = None
        if settings.directory is not None:
            people = load_directory(settings.directory)
        named = [settings if name == LIVE else with_policy(settings, name) for name in (old, new)]
        before, after = (load(each, directory=people) for each in named)
    except ConfigError as error:
        raise CannotError(str(error)) from None
    return before, after


def _reference(policy: Policy) -> dict[str, str]:
    return {"name": policy.ref.name, "version": policy.ref.version, "sha256": policy.ref.digest}


def _sources(
    stack: ExitStack, settings: Settings, mailboxes: Iterable[Path], *, quarantine: bool, limit: int | None
) -> tuple[Iterator[Mail], int]:
    """The mails of all sources, and how many bytes they are. Raises StoreError."""
    largest = settings.spool.limit
    files, weight = mail_sources.find(list(mailboxes))
    mails: Iterator[Mail] = mail_sources.read(files, limit=largest)
    if quarantine:
        store = stack.enter_context(closing(open_store(settings.store, gateway=settings.gateway)))
        messages, more = mail_sources.held(store, limit=limit or _HELD)
        mails, weight = chain(mails, mail_sources.read_held(store, messages, limit=largest)), weight + more
    return mails, weight


class _Advance:
    """Tells a person at a terminal how far the replay has come."""

    def __init__(self, progress: Progress, weight: int) -> None:
        self._progress = progress
        self._task = progress.add_task("Replaying", total=weight or None, mails=0)
        self._mails = 0

    def __call__(self, weight: int) -> None:
        self._mails += 1
        self._progress.update(self._task, advance=weight, mails=self._mails)


def _progress(stack: ExitStack, weight: int) -> _Advance:
    """A progress bar on standard error, if that is a terminal."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[mails]:,} mails"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    return _Advance(stack.enter_context(progress), weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replay:
    """Inspects each mail once and has both policies judge it."""

    settings: Settings
    inspectors: Inspectors
    old: Policy
    new: Policy

    def run(self, mails: Iterator[Mail], *, jobs: int) -> Iterator[tuple[Mail, Judged | str]]:
        """Each mail with what both policies make of it, or why nobody can say; in order, ``jobs`` at a time."""
        with ThreadPoolExecutor(jobs) as pool:
            running: deque[tuple[Mail, Future[Judged | str]]] = deque()
            for mail in mails:
                running.append((mail, pool.submit(self._answer, mail)))
                if len(running) >= _AHEAD * jobs:
                    done, answer = running.popleft()
                    yield done, answer.result()
            for done, answer in running:
                yield done, answer.result()

    def _answer(self, mail: Mail) -> Judged | str:
        if mail.failure:
            return mail.failure
        try:
            return self._judged(mail)
        except (OSError, PolicyError, InspectorsBusyError, NoRecipientError) as error:
            return str(error)

    def _judged(self, mail: Mail) -> Judged:
        with Spool.of(mail.content) as spool:
            inspection = inspect(
                spool,
                inspectors=self.inspectors,
                limits=self.settings.inspection,
                deadline=self.settings.inspection.deadline,
                hashes=bool(self.old.known_files or self.new.known_files),
                texts=self.old.reads_files or self.new.reads_files,
            )
            transaction = self._transaction(mail, spool, inspection)
            if not transaction.recipients:
                raise NoRecipientError("no recipient in the header")
            old, new = (policy.judge(transaction, inspection) for policy in (self.old, self.new))
        return Judged.of(mail.name, transaction.sender.address, old, new)

    def _transaction(self, mail: Mail, spool: Spool, inspection: Inspection) -> Transaction:
        if mail.envelope is None:
            return transaction_for(mail.content, spool, inspection, self.settings, Given())
        envelope = mail.envelope
        return Transaction(
            key="simulate",
            client=Client(
                name=envelope.client_name,
                address=envelope.client_address,
                port=envelope.client_port,
                helo=envelope.helo,
                protocol=envelope.protocol,
                tls_version=envelope.tls_version,
                login=envelope.login,
            ),
            sender=EnvelopePath(address=envelope.sender, wire=f"<{envelope.sender}>"),
            recipients=tuple(EnvelopePath(address=each, wire=f"<{each}>") for each in mail.recipients),
            content=spool,
            headers=header_fields(mail.content),
        )
