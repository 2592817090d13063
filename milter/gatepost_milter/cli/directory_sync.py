"""Owns ``gatepost directory sync``: the people directory's folder filled from LDAP or Active Directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepost_config.errors import ConfigError
from gatepost_config.ldap_source import DEFAULT_PATH, LdapSource, load_source
from gatepost_milter.cli.configured import CannotError, config_if_any_option, settings_for
from gatepost_milter.cli.printed import print_json
from gatepost_milter.policy.texts import harmless

if TYPE_CHECKING:  # the library is an extra, and only this command needs it
    from gatepost_config import directory_sync

_SHOWN = 20
"""Rows that come or go and are shown of one file."""


@click.command(epilog="Example: gatepost directory sync --dry-run")
@click.option(
    "--from",
    "source_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The document that says which server, and what to ask it.",
)
@click.option("--folder", type=click.Path(path_type=Path), help="Another folder than the settings name.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--force", is_flag=True, help="Write even if more addresses go than `shrink` allows.")
@config_if_any_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync(
    *, source_path: Path, folder: Path | None, dry_run: bool, force: bool, config: Path | None, as_json: bool
) -> None:
    """Fill the people directory from LDAP or Active Directory.

    Files that were written by hand are never touched. Reload gatepost-milter afterwards; gatepost-directory.timer
    does both every night.

    Exit code: 0 done, 1 refused because too many addresses would go, 2 it could not be done.
    """
    folder = folder or settings_for(config).directory
    if folder is None:
        raise CannotError("the settings name no directory; give its folder")
    try:
        source = load_source(source_path)
    except ConfigError as error:
        raise CannotError(str(error)) from None
    refusal = _run(source, folder, dry_run=dry_run, force=force, as_json=as_json)
    if refusal:
        click.echo(f"gatepost: refused: {refusal}. Look at it with --dry-run; --force writes it.", err=True)
        raise click.exceptions.Exit(1)


def _run(source: LdapSource, folder: Path, *, dry_run: bool, force: bool, as_json: bool) -> str:
    """Ask, compare, show and write; why it was refused, if it was. Raises CannotError."""
    try:
        from gatepost_config import directory_sync, ldap_reading
    except ModuleNotFoundError as error:
        raise CannotError(f"{error.name} is not installed: pip install 'gatepost[ldap]'") from None
    try:
        with ldap_reading.Reader.open(source) as reader:
            made = directory_sync.make(source, reader)
        planned = directory_sync.plan(folder, made)
        refusal = planned.too_small(shrink=source.shrink)
        refused = bool(refusal) and not force and not dry_run
        _show(planned, refusal=refusal, written=not dry_run and not refused, as_json=as_json)
        if not dry_run and not refused and planned.differs:
            directory_sync.write(planned)
    except (ldap_reading.LdapError, directory_sync.SyncError, ConfigError, OSError) as error:
        raise CannotError(str(error)) from None
    return refusal if refused else ""


def _show(planned: directory_sync.Plan, *, refusal: str, written: bool, as_json: bool) -> None:
    for problem in planned.problems:
        click.echo(str(problem), err=True)
    if as_json:
        print_json(
            {
                "folder": str(planned.folder),
                "written": written and planned.differs,
                "refusal": refusal,
                "addresses_lost": sorted(planned.lost),
                "files": [
                    {
                        "file": each.made.file,
                        "rows": len(each.made.rows),
                        "left_out": each.made.left_out,
                        "come": list(each.come),
                        "gone": list(each.gone),
                    }
                    for each in planned.changes
                ],
                "problems": [str(each) for each in planned.problems],
            }
        )
        return
    for each in planned.changes:
        left_out = f", {each.made.left_out:,} entries without an address or twice" if each.made.left_out else ""
        counts = f"{len(each.come):,} rows come, {len(each.gone):,} go"
        click.echo(f"{each.made.file}: {len(each.made.rows):,} rows{left_out}; {counts}")
        for sign, rows in (("-", each.gone), ("+", each.come)):
            for row in rows[:_SHOWN]:
                click.echo(f"  {sign} {harmless(row, length=300)}")
            if len(rows) > _SHOWN:
                click.echo(f"  {sign} and {len(rows) - _SHOWN:,} more")
    if not planned.differs:
        click.echo("Nothing changes.")
