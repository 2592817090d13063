"""Owns ``gatepost policy diff``: what changes from one policy to another, rule by rule and field by field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gatepost_config.policy_diff import DOCUMENT, Change, FieldChange, Kind, compare
from gatepost_config.policy_document import PolicyDocument
from gatepost_milter.cli.configured import document_named, settings_for
from gatepost_milter.cli.printed import print_json

LIVE = "live"
"""The word for the policy that the settings name."""

_SIGNS = {
    Kind.ADDED: ("+", "green"),
    Kind.REMOVED: ("-", "red"),
    Kind.CHANGED: ("~", "yellow"),
    Kind.MOVED: ("↕", "cyan"),
}
_ONE_LINE = 60  # characters of both values together


@click.command(epilog="Example: gatepost policy diff live ./our-policy.yaml")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file, for the word live.  [default: /etc/gatepost/gatepost.yaml]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(*, old: str, new: str, config: Path | None, as_json: bool) -> None:
    """Show what changes from policy OLD to policy NEW.

    Each is a shipped policy's name, the path of a file, or the word live for the policy that the settings name.
    Rules, roles, limits, lists, exemptions and tests are compared by what they say: comments and layout do not
    count, and a rule that was renamed is one rule less and another more.

    Exit code: 0 they say the same, 1 they differ, 2 one of them cannot be read.
    """
    before, after = (document_named(_name(each, config)) for each in (old, new))
    changes = compare(before, after)
    if as_json:
        print_json(
            {
                "old": _reference(before),
                "new": _reference(after),
                "same": not changes,
                "changes": [each.to_json() for each in changes],
            }
        )
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in _lines(before, after, changes):
            console.print(line)
    raise click.exceptions.Exit(int(bool(changes)))


def _name(given: str, config: Path | None) -> str:
    return settings_for(config).policy if given == LIVE else given


def _reference(document: PolicyDocument) -> dict[str, str]:
    return {
        "name": document.name,
        "version": document.version,
        "path": str(document.source.path),
        "sha256": document.source.digest,
    }


def _lines(old: PolicyDocument, new: PolicyDocument, changes: Sequence[Change]) -> Iterator[Text]:
    for sign, style, document in (("-", "red", old), ("+", "green", new)):
        reference = _reference(document)
        yield Text(f"{sign} {document.title}, version {document.version}  {reference['path']}", style=style)
    if not changes:
        yield Text("They say the same.")
        return
    section = ""
    for change in changes:
        if change.section != section:
            section = change.section
            yield Text()
            yield Text(section.replace("_", " ").capitalize(), style="bold")
        yield from _change(change)
    yield Text()
    yield Text(summary(changes))


def _change(change: Change) -> Iterator[Text]:
    sign, style = _SIGNS[change.kind]
    if change.section != DOCUMENT:
        moved = "  (stands elsewhere: of rules that refuse, the first gives the answer)"
        yield Text(f"  {sign} {change.name}{moved if change.kind is Kind.MOVED else ''}", style=style)
    for field in change.fields:
        yield from _field(field, change.kind)


def _field(field: FieldChange, kind: Kind) -> Iterator[Text]:
    head = Text(f"      {field.field}: " if field.field else "      ")
    old, new = (_spoken(value) for value in (field.old, field.new))
    if kind is not Kind.CHANGED:
        yield head.append(old or new)
    elif isinstance(field.old, list | None) and isinstance(field.new, list | None):
        yield head.append(f"{len(field.gone)} gone, {len(field.come)} new")
        yield from _pieces(field.gone, "-", "red")
        yield from _pieces(field.come, "+", "green")
        if not field.gone and not field.come:
            yield Text("        the same in another order")
    elif "\n" not in old + new and len(old) + len(new) <= _ONE_LINE:
        head.append(old or "(nothing)", "red").append(" → ").append(new or "(nothing)", "green")
        yield head.append(f"  ({field.tendency})" if field.tendency else "")
    else:
        yield head
        yield from _pieces(old.splitlines(), "-", "red")
        yield from _pieces(new.splitlines(), "+", "green")


def _pieces(values: Sequence[str], sign: str, style: str) -> Iterator[Text]:
    for value in values:
        yield Text(f"        {sign} {value}", style=style)


def _spoken(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def summary(changes: Sequence[Change]) -> str:
    """How many of each section were added, removed, changed and moved, in one line."""
    counts: dict[str, dict[Kind, int]] = {}
    for change in changes:
        kinds = counts.setdefault(change.section, {})
        kinds[change.kind] = kinds.get(change.kind, 0) + 1
    said = []
    for section, kinds in counts.items():
        numbers = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        said.append(f"{section.replace('_', ' ')}: {numbers}")
    return "; ".join(said)
