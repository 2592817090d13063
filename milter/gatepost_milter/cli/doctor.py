"""Owns ``gatepost doctor``: what is wrong around gatepost, and the command that mends it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost_milter.cli.configured import CannotError, config_option
from gatepost_milter.doctor import postconf
from gatepost_milter.doctor.diagnosis import Result, Status
from gatepost_milter.doctor.examination import CHECKS, Examination, chosen

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIPPED: "dim"}


@click.command(epilog="Example: gatepost doctor --only postfix --only socket")
@config_option
@click.option(
    "--postfix-config",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=postconf.DEFAULT_DIRECTORY,
    show_default=True,
    help="Folder of Postfix's main.cf and master.cf.",
)
@click.option("--only", multiple=True, metavar="CHECK", help="One check, or a group such as postfix; repeat.")
@click.option("--quiet", is_flag=True, help="Show only warnings and faults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, config: Path, directory: Path, only: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Look for what is wrong around gatepost, and name the command that mends it. Changes nothing.

    Run it as root: other users do not see all that there is to see.

    Exit code: 0 no fault (there may be warnings), 1 a fault, 2 could not be run.
    """
    if directory != postconf.DEFAULT_DIRECTORY and not (directory / "main.cf").is_file():
        raise CannotError(f"{directory} has no main.cf")
    try:
        names = chosen(only)
    except KeyError as error:
        raise CannotError(f"there is no check {error}; there are: {', '.join(CHECKS)}") from None
    if os.geteuid() != 0:
        click.echo("gatepost: not run as root; some of what follows may only say that you may not look", err=True)
    examination = Examination(settings_path=config, postfix_directory=directory.absolute())
    results: list[Result] = []
    console = Console()
    with console.status("looking …", spinner="line") if not as_json and console.is_terminal else _Silent():
        results.extend(examination.examine(names))
    if as_json:
        click.echo(json.dumps([result.to_json() for result in results], indent=2, ensure_ascii=False))
    else:
        _show(console, results, quiet=quiet)
    raise click.exceptions.Exit(int(any(result.status is Status.FAIL for result in results)))


class _Silent:
    """A context in which nothing is shown."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _gathered(results: Sequence[Result]) -> Iterator[tuple[Result, Sequence[str]]]:
    """Each result, with the names of the checks after it that were skipped for the very same reason."""
    for (status, _says), group in groupby(results, key=lambda each: (each.status, each.says)):
        first, *others = group
        if status is Status.SKIPPED:
            yield first, [each.check for each in others]
        else:
            yield from ((each, ()) for each in (first, *others))


def _show(console: Console, results: list[Result], *, quiet: bool) -> None:
    shown = [each for each in results if not quiet or each.status in (Status.WARN, Status.FAIL)]
    width = max((len(each.check) for each in shown), default=0)
    previous = ""
    for result, more in _gathered(shown):
        row = Table.grid(padding=(0, 2))
        row.add_column(width=width, no_wrap=True)
        row.add_column(width=max(len(status) for status in Status), no_wrap=True)
        row.add_column()
        row.add_row(
            Text("" if result.check == previous else result.check),
            Text(result.status.value, style=_STYLES[result.status]),
            Text(
                f"{result.says}; the same for {', '.join(more)}" if more else result.says,
                style="dim" if result.status is Status.SKIPPED else "",
            ),
        )
        console.print(row)
        if result.mend:
            # A line of its own that nothing breaks, so that it can be copied whole.
            console.print(Text(f"    {result.mend}", style="cyan"), soft_wrap=True)
        previous = result.check
    faults, warnings = (sum(each.status is status for each in results) for status in (Status.FAIL, Status.WARN))
    if quiet and not shown:
        return
    told = f"{faults} fault{'s' * (faults != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    console.print()
    console.print(Text(told, style="bold red" if faults else "yellow" if warnings else "green"))
