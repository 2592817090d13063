"""Owns ``gatepost report``: what each rule did, and what it would have done a rung higher, by day."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text

from gatepost_config.policy_document import PolicyDocument
from gatepost_config.words import Mode
from gatepost_milter.cli.check_shown import counted
from gatepost_milter.cli.configured import CannotError, config_if_any_option, document_named, settings_for
from gatepost_milter.cli.ladder import LONGEST, Count, Ladder
from gatepost_milter.cli.printed import plain_table, print_json, wide_console
from gatepost_milter.policy.texts import harmless
from gatepost_milter.replies import Event

_UNIT = "gatepost-milter.service"
_DAYS = 30
"""Days that the report goes back, unless it is told."""


@click.command(epilog="Example: gatepost report --since 2026-11-01 --rule chain-letter")
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(path_type=Path, allow_dash=True, exists=True, dir_okay=False),
    help="A file of the milter's JSON log lines, or - for standard input; repeat.  [default: the journal]",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help=f"The first day, as 2026-11-01.  [default: {_DAYS} days ago; with --log, the first there is]",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day.  [default: today]")
@click.option("--rule", "wanted", default="", metavar="ID", help="Only this rule, day by day.")
@click.option("--policy", help="A shipped policy's name, or a policy file, instead of the one in the settings.")
@config_if_any_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    *,
    logs: tuple[Path, ...],
    since: datetime | None,
    until: datetime | None,
    wanted: str,
    policy: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Tell what each rule did, and what it would have done had its mode let it.

    This is what a school looks at before a rule climbs from monitor to advise to enforce. It counts messages and
    names nobody. Days are those of the school's time zone. gatepost simulate shows the mails themselves.

    Exit code: 0 done, 2 the log or the journal cannot be read.
    """
    settings = settings_for(config)
    document = document_named(policy or settings.policy)
    zone = ZoneInfo(settings.school.timezone)
    first = since.date() if since else None if logs else datetime.now(zone).date() - timedelta(days=_DAYS)
    ladder = Ladder(zone=zone, first=first, last=until.date() if until else None)
    if wanted and wanted not in {each.id for each in document.rules}:
        click.echo(f"gatepost: the policy {document.name!r} has no rule {wanted!r} now", err=True)
    try:
        for log in logs:
            with _opened(log) as stream:
                ladder.read(_lines(stream))
        if not logs:
            with _journal(first or date.min) as stream:
                ladder.read(_lines(stream))
    except OSError as error:
        raise CannotError(f"the log cannot be read: {error}") from None
    if wanted:
        ladder.rules = {rule: counts for rule, counts in ladder.rules.items() if rule == wanted}
    if as_json:
        silent = [each.id for each in document.rules if each.id not in ladder.rules]
        print_json({"policy": document.name, **ladder.to_json(), **({} if wanted else {"silent": silent})})
    else:
        _show(ladder, document, wanted)


@contextmanager
def _opened(log: Path) -> Iterator[IO[bytes]]:
    if str(log) == "-":
        yield sys.stdin.buffer
        return
    with log.open("rb") as stream:
        yield stream


@contextmanager
def _journal(first: date) -> Iterator[IO[bytes]]:
    """What the service manager has kept of the milter's output since that day. Raises CannotError."""
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        raise CannotError("there is no journal here; give the log with --log FILE")
    # A day earlier, for the journal counts in the machine's time zone.
    since = (first - timedelta(days=1)).isoformat() if first > date.min else "1970-01-01"
    command = [journalctl, "--unit", _UNIT, "--output", "cat", "--no-pager", "--quiet", "--since", since]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101 - asked for above
        yield process.stdout
        said = process.stderr.read(LONGEST).decode("utf-8", "replace").strip()
    if process.returncode:
        raise CannotError(f"journalctl: {harmless(said, length=300) or process.returncode}")


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines, none longer than is looked at: the rest of such a line is passed over."""
    whole = True
    while line := stream.readline(LONGEST):
        if whole and line.strip():
            yield line
        whole = line.endswith(b"\n")


def _show(ladder: Ladder, document: PolicyDocument, wanted: str) -> None:
    console = wide_console()
    console.print(_head(ladder))
    if wanted and wanted not in ladder.rules:
        console.print(Text(f"{harmless(wanted)} has not fired."))
        return
    table = _by_day(ladder.rules[wanted].days) if wanted else _by_rule(ladder, document)
    days = _messages(ladder)
    for title, each in (("By day" if wanted else "By rule", table), ("Messages", days)):
        if each.row_count and not (wanted and each is days):
            console.print()
            console.print(Text(title, style="bold"))
            console.print(each)


def _head(ladder: Ladder) -> Text:
    days = sorted(ladder.days)
    span = f" from {days[0]} to {days[-1]}" if days else ""
    text = Text(f"{ladder.messages:,} messages{span}", style="bold")
    if ladder.again:
        text.append(f"; {ladder.again:,} that were sent again and joined an earlier hold are left out")
    if ladder.unread:
        lines = "line" if ladder.unread == 1 else "lines"
        text.append(f"; {ladder.unread:,} {lines} could not be read (log.format must be json)", "red")
    return text


def _by_rule(ladder: Ladder, document: PolicyDocument) -> Table:
    """Every rule of the policy, in its order, those that never fired too; then those that are no longer in it."""
    table = plain_table("Rule", "Mode now", "Fired", "Did", "Would have done", "Spared", "Days")
    modes: dict[str, Mode | None] = {each.id: each.mode for each in document.rules}
    for rule in (*modes, *(each for each in sorted(ladder.rules) if each not in modes)):
        counts = ladder.rules.get(rule)
        count = counts.all if counts else Count()
        mode = modes.get(rule)
        table.add_row(
            Text(harmless(rule)),
            mode.value if mode else "(gone)",
            *_cells(count),
            f"{len(counts.days):,}" if counts else "",
        )
    return table


def _by_day(days: Mapping[date, Count]) -> Table:
    table = plain_table("Day", "Fired", "Did", "Would have done", "Spared")
    for day, count in sorted(days.items()):
        table.add_row(day.isoformat(), *_cells(count))
    return table


def _cells(count: Count) -> Sequence[Text | str]:
    numbers = (f"{number:,}" if number else "" for number in (count.fired, count.spared))
    fired, spared = numbers
    return fired, counted(count.did), counted(count.would), spared


def _messages(ladder: Ladder) -> Table:
    table = plain_table("Day", *(event.value for event in Event))
    for day, events in sorted(ladder.days.items()):
        table.add_row(day.isoformat(), *(f"{events[event]:,}" if events[event] else "" for event in Event))
    return table
