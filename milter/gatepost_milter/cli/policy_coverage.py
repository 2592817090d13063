"""Owns ``gatepost policy coverage``: clause by clause of a school's document, what serves it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from gatepost_config.coverage import Coverage, Covered, State, load_coverage, shipped_clauses
from gatepost_config.errors import ConfigError
from gatepost_milter.cli.configured import CannotError, config_if_any_option, document_named, settings_for
from gatepost_milter.cli.printed import plain_table, print_json, wide_console

_STYLES = {
    State.SERVED: "green",
    State.PARTLY: "yellow",
    State.NOT_YET: "red",
    State.NOT_SERVABLE: "dim",
}


@click.command(epilog="Example: gatepost policy coverage kings-college --missing")
@click.argument("name", required=False, metavar="[POLICY]")
@click.option(
    "--clauses", metavar="NAME|FILE", help="The clauses to ask about.  [default: those of the policy's name]"
)
@click.option("--missing", is_flag=True, help="Only clauses that are not wholly served yet.")
@config_if_any_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def coverage(*, name: str | None, clauses: str | None, missing: bool, config: Path | None, as_json: bool) -> None:
    """Show for each clause of the school's own document what of gatepost serves it, or why nothing can.

    POLICY is a shipped policy's name or a file; without it, the policy in use. A policy of the school's own names
    the clauses that it is about with --clauses.

    Exit code: 0 every clause that a mail gateway can serve is served, 1 something is missing, 2 it cannot be said.
    """
    document = document_named(name or settings_for(config).policy)
    wanted = clauses or document.name
    try:
        found = load_coverage(wanted, document)
    except ConfigError as error:
        raise CannotError(str(error)) from None
    unknown = [each for each in commands(found) if not command_exists(each)]
    if unknown:
        raise CannotError(f"{shipped_clauses().get(wanted, wanted)}: there is no command {', '.join(unknown)}")
    shown = [each for each in found.covered if each.missing or not missing]
    if as_json:
        print_json(
            {
                "policy": document.name,
                "title": found.clauses.title,
                "counts": {state.value: found.count(state) for state in State},
                "clauses": [_to_json(each) for each in shown],
                "beyond": [rule for rule, _ in found.beyond],
            }
        )
    else:
        _show(found, shown)
    raise click.exceptions.Exit(int(any(each.missing for each in found.covered)))


def commands(found: Coverage) -> list[str]:
    """The commands that serve any clause."""
    return list(dict.fromkeys(name for each in found.covered for name in each.clause.commands))


def command_exists(line: str) -> bool:
    """Whether there is a command that is typed so: ``gatepost quarantine show``."""
    from gatepost_milter.cli import main

    program, *words = line.split()
    command: click.Command | None = main if program == "gatepost" else None
    for word in words:
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None and bool(words)


def served_by(covered: Covered) -> list[str]:
    """What serves a clause, as people read it: rules with their modes first."""
    clause = covered.clause
    return [
        *(f"rule {rule} ({mode})" for rule, mode in covered.rules),
        *(f"role {each}" for each in clause.roles),
        *(f"limit {each}" for each in clause.limits),
        *(f"setting {each}" for each in clause.settings),
        *clause.commands,
        *clause.features,
    ]


def _to_json(covered: Covered) -> dict[str, object]:
    clause = covered.clause
    return {
        "clause": clause.id,
        "asks": clause.asks,
        "state": covered.state.value,
        "rules": {rule: mode.value for rule, mode in covered.rules},
        **{key: getattr(clause, key) for key in ("roles", "limits", "settings", "commands", "features")},
        "missing": covered.missing,
        "beyond": clause.beyond,
        "not_servable": clause.not_servable,
    }


def _show(found: Coverage, shown: list[Covered]) -> None:
    console = wide_console()
    console.print(Text(found.clauses.title, style="bold"))
    console.print(Text(", ".join(f"{found.count(state)} {state}" for state in State)))
    table = plain_table("Clause", "What it asks for", "State", "Served by", "Missing, or why not")
    for each in shown:
        table.add_row(
            Text(each.clause.id),
            Text(each.clause.asks),
            Text(each.state.value, style=_STYLES[each.state]),
            Text("\n".join(served_by(each))),
            Text(each.remark),
        )
    console.print(table)
    if found.beyond:
        rules = ", ".join(rule for rule, _ in found.beyond)
        console.print(Text(f"Rules that no clause asks for: {rules}"))
