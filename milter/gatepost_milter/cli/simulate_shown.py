"""Owns what a person sees of ``gatepost simulate``: what would change, by direction, rule and sender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost_config.words import Action
from gatepost_milter.cli.check_shown import COLOURS, counted
from gatepost_milter.cli.printed import plain_table, wide_console
from gatepost_milter.cli.simulated import Shift, Tally
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.texts import harmless

_SENDERS = 20
_MAILS = 20
_REASONS = 10


def show(tally: Tally, *, old: Policy, new: Policy, console: Console | None = None) -> None:
    """Print the result of a replay. Nothing from a message is taken as markup or reaches the terminal raw."""
    console = console or wide_console()
    console.print(_head(tally, old=old, new=new))
    for title, table in _tables(tally, new):
        if table.row_count:
            console.print()
            console.print(Text(title, style="bold"))
            console.print(table)
    if tally.all.mails and not tally.all.changed:
        console.print("\nNo mail would fare otherwise.")


def _head(tally: Tally, *, old: Policy, new: Policy) -> Text:
    text = Text()
    for name, policy in (("old", old), ("new", new)):
        text.append(f"{name}  {policy.ref.name} {policy.ref.version} ({policy.ref.digest[:12]})\n")
    text.append(f"{tally.all.mails:,} mails judged", "bold")
    text.append(f", {tally.all.changed:,} would fare otherwise", "bold")
    text.append(f": {tally.all.stricter:,} more strictly, {tally.all.milder:,} more mildly")
    if tally.all.otherwise:
        text.append(f", {tally.all.otherwise:,} for other recipients")
    if tally.failures:
        text.append(f"; {len(tally.failures):,} could not be judged", "red")
    return text


def _tables(tally: Tally, new: Policy) -> Iterator[tuple[str, Table]]:
    yield "What becomes of them", _moves(tally)
    yield "By direction", _shifts("Direction", {way.value: shift for way, shift in tally.directions.items()})
    yield "By rule", _rules(tally, new)
    yield "By sender", _shifts("Sender", _changed_most(tally))
    yield _first("Mails", len(tally.changed), _MAILS), _mails(tally)
    yield "Could not be judged", _failures(tally)


def _first(title: str, count: int, shown: int) -> str:
    return f"{title}, the first {shown} of {count:,} (--json has all)" if count > shown else title


def _moves(tally: Tally) -> Table:
    table = plain_table("Old", "New", "Mails")
    for (old, new), count in sorted(tally.moves.items(), key=lambda item: -item[1]):
        table.add_row(_action(old), _action(new), f"{count:,}")
    return table


def _shifts(heading: str, shifts: Mapping[str, Shift]) -> Table:
    table = plain_table(heading, "Mails", "Stricter", "Milder", "Other recipients")
    for name, shift in shifts.items():
        numbers = (shift.mails, shift.stricter, shift.milder, shift.otherwise)
        table.add_row(Text(harmless(name)), *(f"{number:,}" if number else "" for number in numbers))
    return table


def _changed_most(tally: Tally) -> dict[str, Shift]:
    changed = sorted(tally.senders.items(), key=lambda item: (-item[1].changed, item[0]))
    shown = {name: shift for name, shift in changed[:_SENDERS] if shift.changed}
    rest = Shift()
    for _, shift in changed[_SENDERS:]:
        rest.mails += shift.mails if shift.changed else 0
        rest.stricter, rest.milder = rest.stricter + shift.stricter, rest.milder + shift.milder
        rest.otherwise += shift.otherwise
    return {**shown, "(others)": rest} if rest.changed else shown


def _rules(tally: Tally, new: Policy) -> Table:
    table = plain_table(
        "Rule", "Mode", "Fired, old", "Fired, new", "Does, old", "Does, new", "Would do", "Changes"
    )
    modes = {each.rule.id: each.rule.mode.value for each in new.rules}
    order = {rule: place for place, rule in enumerate(modes)}
    for rule in sorted(tally.rules, key=lambda name: (order.get(name, len(order)), name)):
        count = tally.rules[rule]
        table.add_row(
            Text(rule),
            modes.get(rule, "(gone)"),
            _both(Text(f"{count.old_fired:,}"), Text(f"{count.new_fired:,}")),
            _both(counted(count.old_actions), counted(count.new_actions)),
            counted(count.would),
            f"{count.changes:,}" if count.changes else "",
        )
    return table


def _both(old: Text, new: Text) -> Text:
    """What was and what would be, where they differ."""
    if old == new:
        return new
    return Text.assemble(old or "nothing", " → ", new or "nothing")


def _mails(tally: Tally) -> Table:
    table = plain_table("Mail", "Old", "New", "Because of")
    for each in tally.changed[:_MAILS]:
        old, new = each.actions
        table.add_row(Text(harmless(each.name)), _action(old), _action(new), Text(", ".join(each.because)))
    return table


def _failures(tally: Tally) -> Table:
    table = plain_table("Why", "Mails", "The first")
    reasons: dict[str, list[str]] = {}
    for name, reason in tally.failures:
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1]))[:_REASONS]:
        table.add_row(Text(harmless(reason, length=160)), f"{len(names):,}", Text(harmless(names[0])))
    return table


def _action(action: Action) -> Text:
    return Text(action.value, style=COLOURS[action])
