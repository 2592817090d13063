"""Owns ``gatepost quarantine``: listing, showing and deciding about held messages from the command line.

Nothing here reads a message's bytes, shows private evidence, or shows anything of a sealed message but its frame.
All that came with a message is stripped of what a terminal would act upon.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import track
from rich.table import Table
from rich.text import Text

from gatepost_milter.cli.configured import CannotError, config_option, settings_at
from gatepost_milter.cli.printed import folding_table, minute, one_line, print_json_line, wide_console
from gatepost_milter.cli.stored import actor_option, json_option, login, store_at
from gatepost_quarantine import notices
from gatepost_quarantine.audit import Event
from gatepost_quarantine.cases import EVERYTHING, CaseState
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer, State
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, Filter, NotFoundError

_SHORT = 8
_MANY = 10
"""From so many messages on, a person at a terminal sees progress."""

_SEALED = "(sealed)"
_STYLES = {
    State.HELD: "bold yellow",
    State.RELEASING: "cyan",
    State.RELEASED: "green",
    State.DENIED: "red",
    State.DELETED: "dim",
    State.WITHDRAWN: "dim",
    State.EXPIRED: "dim",
}

_CHOICES = {
    Choice.SEND: "Sent it anyway",
    Choice.WITHDRAW: "Withdrew it",
    Choice.ASK: "Asks a reviewer",
}

_Decide = Callable[[SqlStore, str], HeldMessage]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one id: the message as it is now, or why not."""

    given: str
    held: HeldMessage | None
    refusal: str = ""


def _ids(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Each id once. ``-`` is those that standard input names: an id a line, or what ``list --json`` says."""
    found: list[str] = []
    for each in given:
        found.extend(_read_ids() if each == "-" else [each])
    return tuple(dict.fromkeys(found))


def _read_ids() -> list[str]:
    try:
        lines = [line.strip() for line in sys.stdin]
        return [str(json.loads(line)["id"]) if line.startswith("{") else line for line in lines if line]
    except (ValueError, KeyError, RecursionError):
        raise click.BadParameter("standard input is neither an id a line nor what list --json prints.") from None


ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=_ids)
_reason = click.option("--reason", default="", help="Why, for the record.")
_recipient = click.option(
    "--recipient", "recipients", multiple=True, metavar="ADDRESS", help="Only this recipient; may be repeated."
)


@click.group()
def quarantine() -> None:
    """Review what is held. An ID may be shortened, and a support id serves as well.

    What decides takes many IDs, or - for those on standard input: an ID a line, or what list --json prints. Each
    gets its own answer; exit code 1 if any could not be done.
    """


@quarantine.command("list", epilog="Example: gatepost quarantine list --state held --queue it-support")
@config_option
@json_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only messages with a recipient in this state; may be repeated.",
)
@click.option("--search", default="", help="Words in subject, addresses, file names or ids; case does not matter.")
@click.option("--rule", default="", help="Only what this rule had a part in.")
@click.option("--queue", default="", help="Only what this role reviews.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
def list_(
    config: Path, as_json: bool, states: tuple[str, ...], search: str, rule: str, queue: str, limit: int
) -> None:
    """List held messages, oldest first.

    Marked are those that a sender asks for, and those that were released and came back: show tells why.
    """
    wanted = Filter(
        states=frozenset(State(each) for each in states), search=search, rule=rule, queue=queue, limit=limit
    )
    with store_at(config) as (store, _settings):
        found = store.list(wanted)
        answers = store.answers([each.id for each in found])
    if as_json:
        for held in found:
            print_json_line(_listed(held, answers.get(held.id)))
        return
    console = wide_console()
    if not found:
        console.print(
            "Nothing is held that matches." if any((states, search, rule, queue)) else "Nothing is held."
        )
        return
    console.print(_list_table(found, answers))
    if len(found) == limit:
        console.print(Text(f"These are the {limit} oldest; there may be more. See --limit.", style="dim"))


@quarantine.command(epilog="Example: gatepost quarantine show k7m2xw9h")
@config_option
@json_option
@click.argument("held_id", metavar="ID")
def show(config: Path, as_json: bool, held_id: str) -> None:
    """Show one held message: first why it is held, then whom for, what is in it, and what was done."""
    with store_at(config) as (store, _settings):
        try:
            held = store.get(held_id)
            events = store.events(held.id)
            answer = store.answers([held.id]).get(held.id)
            legal_hold = store.legal_hold_of(held.id)
            cases = [each.id for each in store.cases(sight=EVERYTHING, state=CaseState.OPEN, held_id=held.id)]
        except NotFoundError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)
    if as_json:
        kept = {"legal_hold": legal_hold, "open_cases": cases}
        history = {"history": [event_json(each) for each in events]}
        print_json_line(_listed(held, answer) | _shown(held) | kept | history)
        return
    kept_for = [f"legal hold ({legal_hold})"] if legal_hold else []
    kept_for += [f"open case {each}" for each in cases]
    wide_console().print(_sheet(held, events, answer, kept_for=kept_for))


@quarantine.command(epilog="Example: gatepost quarantine release k7m2 --reason 'expected from our supplier'")
@config_option
@json_option
@ids_argument
@_recipient
@click.option("--to", default="", metavar="ADDRESS", help="Send the one recipient's copy to another address.")
@_reason
@actor_option
def release(
    config: Path,
    as_json: bool,
    ids: tuple[str, ...],
    recipients: tuple[str, ...],
    to: str,
    reason: str,
    actor: str,
) -> None:
    """Deliver held messages as they were sent. The courier does it; asked twice, the first answer stands.

    If the policy has become stricter since, a message is held again once, with the reason where its SMTP reply
    stands (quarantine show). Released again, it goes.
    """
    by = actor or login()

    def decide(store: SqlStore, held_id: str) -> HeldMessage:
        return store.release(held_id, recipients=recipients, to=to, actor=by, reason=reason)

    decide_all(config, ids, decide, said="released, or on the way", as_json=as_json)


@quarantine.command(epilog="Example: gatepost quarantine deny k7m2 --reason malware --tell 'Use the portal.'")
@config_option
@json_option
@ids_argument
@_recipient
@_reason
@actor_option
@click.option("--tell", default="", metavar="TEXT", help="What the sender is to read, besides why it was held.")
@click.option("--no-notice", is_flag=True, help="Do not tell the sender.")
def deny(
    config: Path,
    as_json: bool,
    ids: tuple[str, ...],
    recipients: tuple[str, ...],
    reason: str,
    actor: str,
    tell: str,
    no_notice: bool,
) -> None:
    """Decide that held messages are not delivered. A known sender is told, never anybody else.

    With --recipient a release is taken back, too, as long as the courier has not begun to send it.
    """
    by = actor or login()
    settings = settings_at(config)

    def decide(store: SqlStore, held_id: str) -> HeldMessage:
        owed = notices.denied(store.get(held_id), gateway=settings.gateway, recipients=recipients, told=tell)
        return store.deny(
            held_id, recipients=recipients, actor=by, reason=reason, notices=() if no_notice else owed
        )

    decide_all(config, ids, decide, said="denied", as_json=as_json)


@quarantine.command(epilog="Example: gatepost quarantine delete k7m2 --reason 'asked for by its sender'")
@config_option
@json_option
@ids_argument
@_reason
@actor_option
@click.option("--yes", is_flag=True, help="Do not ask first; needed where there is no terminal to ask at.")
def delete(config: Path, as_json: bool, ids: tuple[str, ...], reason: str, actor: str, yes: bool) -> None:
    """Remove the bytes of held messages for good. What they were, and who removed them, stays on record."""
    if not yes:
        if not sys.stdin.isatty():
            raise CannotError("this cannot be undone, and there is no terminal to ask at: say --yes")
        what = "this message" if len(ids) == 1 else f"these {len(ids)} messages"
        click.confirm(f"Delete {what} for good?", abort=True)
    by = actor or login()

    def decide(store: SqlStore, held_id: str) -> HeldMessage:
        store.delete(held_id, actor=by, reason=reason)
        return store.get(held_id)

    decide_all(config, ids, decide, said="deleted", as_json=as_json)


def decide_all(config: Path, ids: Sequence[str], decide: _Decide, *, said: str, as_json: bool) -> None:
    """Decide about each id, whatever becomes of the others; exit code 1 if any was refused.

    ``said`` is what has become of those that were done. If the store goes away in between, or somebody presses
    Ctrl-C, what was done until then is still told.
    """
    answers: list[_Answer] = []
    shown = track(
        ids,
        description="Working",
        console=Console(stderr=True),
        transient=True,
        disable=as_json or len(ids) < _MANY or not sys.stderr.isatty(),
    )
    try:
        with store_at(config) as (store, _settings):
            for held_id in shown:
                try:
                    answers.append(_Answer(held_id, decide(store, held_id)))
                except (NotFoundError, ConflictError) as error:
                    answers.append(_Answer(held_id, None, str(error)))
                if as_json:
                    print_json_line(_answer_json(answers[-1]))
    finally:
        if not as_json:
            _tell(answers, of=len(ids), said=said)
    if any(answer.held is None for answer in answers):
        sys.exit(1)


# What people see


def _sealed(held: HeldMessage) -> bool:
    return held.sealed


def _age(at: datetime) -> str:
    seconds = max(0.0, (datetime.now(UTC) - at).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"


def _size(size: int) -> str:
    if size < 0:
        return "?"
    for unit, length in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} B"


def _state(state: State) -> Text:
    return Text(state.value, style=_STYLES[state])


def _rules(held: HeldMessage) -> list[str]:
    return list(dict.fromkeys(finding.rule for finding in held.explanation.acting()))


def _list_table(found: Sequence[HeldMessage], answers: Mapping[str, SenderAnswer]) -> Table:
    table = folding_table("ID", "Age", "State", "From", "To", "Subject", "Rule")
    for column in table.columns[:3]:
        column.no_wrap = True
    width = _unambiguous([held.id for held in found])
    for held in found:
        states = list(dict.fromkeys(each.state for each in held.recipients))
        shown = [_state(state) for state in states]
        if held.id in answers and answers[held.id].choice is Choice.ASK and State.HELD in states:
            shown.append(Text("asked", style="bold cyan"))
        if any(each.state is State.HELD and each.reply for each in held.recipients):
            shown.append(Text("came back", style="bold red"))
        first = one_line(held.recipients[0].address) if held.recipients else ""
        more = f" +{len(held.recipients) - 1}" if len(held.recipients) > 1 else ""
        rules = _rules(held)
        table.add_row(
            held.id[:width],
            _age(held.received_at),
            Text(", ").join(shown),
            Text(one_line(held.from_header or held.envelope.sender or "<>") if not _sealed(held) else _SEALED),
            Text(first + more),
            Text(_SEALED if _sealed(held) else one_line(held.subject)),
            Text(rules[0] + (f" +{len(rules) - 1}" if len(rules) > 1 else "") if rules else ""),
        )
    return table


def _unambiguous(ids: Sequence[str]) -> int:
    """How many letters tell these ids apart, and some more, so that they mostly still do tomorrow."""
    longest = max(len(each) for each in ids)
    return next(
        (length for length in range(_SHORT, longest) if len({each[:length] for each in ids}) == len(set(ids))),
        longest,
    )


def _sheet(
    held: HeldMessage, events: Sequence[Event], answer: SenderAnswer | None, *, kept_for: Sequence[str]
) -> Group:
    """One message, for a person who has to decide: why first."""
    sealed = _sealed(held)
    title = "A sealed message" if sealed else one_line(held.subject) or "(no subject)"
    parts: list[Any] = [Text(title, style="bold"), Text(held.id, style="dim"), Text("")]
    parts += _section("Why it is held", _why(held))
    if answer is not None and not sealed:
        said = f"{_CHOICES[answer.choice]} {minute(answer.at)}, by {answer.via}: {answer.reason or '(no reason)'}"
        parts += _section("What the sender answered", Text(one_line(said)))
    recipients = folding_table(
        "Recipient", "Direction", "Action", "State", "By", "When", "Reason", "Sent to", "SMTP reply"
    )
    for each in held.recipients:
        elsewhere = each.released_to if each.released_to != each.address else ""
        values = (each.decided_by, minute(each.decided_at), each.reason, elsewhere, each.reply)
        recipients.add_row(
            Text(one_line(each.address)),
            each.direction.value,
            each.action.value,
            _state(each.state),
            *(Text(one_line(value)) for value in values),
        )
    parts += _section("Recipients", recipients)
    parts += _section("Message", _frame(held, sealed=sealed, kept_for=kept_for))
    if held.attachments and not sealed:
        attachments = folding_table("Attachment", "Claimed", "Detected", "Size", "Kind")
        for item in held.attachments:
            attachments.add_row(
                Text(one_line(item.get("path") or item.get("name", ""))),
                Text(one_line(item.get("claimed", ""))),
                Text(one_line(item.get("detected", ""))),
                _size(int(item.get("size", -1))),
                Text(one_line(", ".join(item.get("classes", ())))),
            )
        parts += _section("Attachments", attachments)
    history = folding_table("When", "What", "Who", "Recipient", "Reason")
    for event in events:
        said = event.reason or str(event.details.get("reply", ""))
        history.add_row(
            minute(event.at),
            event.verb.value,
            *(Text(one_line(each)) for each in (event.actor, event.recipient, said)),
        )
    parts += _section("History", history)
    return Group(*parts)


def _section(title: str, body: Any) -> list[Any]:
    return [Text(title, style="bold underline"), Padding(body, (0, 0, 1, 2))]


def _why(held: HeldMessage) -> Group:
    if _sealed(held):
        return Group(Text("It is sealed. Only the roles that the policy names may open it."))
    lines: list[Any] = []
    for finding in held.explanation.public().acting():
        lines.append(Text(one_line(finding.say)))
        for item in finding.evidence:
            where = "" if item.where.endswith(item.name) and item.name else one_line(item.name)
            lines.append(Text(f"  • {' – '.join(each for each in (where, one_line(item.where)) if each)}"))
        if finding.mend:
            lines.append(Text(f"  What helps: {one_line(finding.mend)}"))
        clause = f"{finding.clause}, " if finding.clause else ""
        source = f", {finding.source}" if finding.source else ""
        lines.append(Text(one_line(f"({clause}rule {finding.rule}, {finding.action.value}{source})"), style="dim"))
    return Group(*(lines or [Text("No rule says so; it was held by hand.")]))


def _frame(held: HeldMessage, *, sealed: bool, kept_for: Sequence[str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    envelope = held.envelope
    client = " ".join(each for each in (envelope.client_name, f"[{envelope.client_address}]") if each != "[]")
    policy = held.explanation.policy
    facts = {
        "From": "" if sealed else held.from_header,
        "Envelope sender": "" if sealed else envelope.sender or "<>",
        "Known sender": "" if sealed else held.sender or "nobody: it is not proved who sent this",
        "Client": "" if sealed else client,
        "Received": f"{minute(held.received_at)} by {held.gateway}, queue id {held.queue_id}",
        "Size": _size(held.size),
        "Message-ID": "" if sealed else held.message_id,
        "Support id": held.explanation.support_id,
        "Reviewed by": held.queue,
        "Does not expire": "; ".join(kept_for),
        "Policy": f"{policy.name} {policy.version}",
        "Defects": "" if sealed else "; ".join(held.explanation.defects),
    }
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, style="dim"), Text(one_line(value)))
    return table


def _tell(answers: Sequence[_Answer], *, of: int, said: str) -> None:
    """What was done as a table, then what was not and why, then how many of how many."""
    console = wide_console()
    done = [answer.held for answer in answers if answer.held is not None]
    if done:
        console.print(_answer_table(done))
    for answer in answers:
        if answer.held is None:
            named = "" if answer.given in answer.refusal else f"{answer.given}: "
            refusal = Text(f"not done: {one_line(named + answer.refusal)}", style="bold red")
            console.print(refusal, soft_wrap=True)
    console.print(Text(f"{len(done)} of {of} {said}." if of else "No message was named.", style="dim"))


def _answer_table(done: Sequence[HeldMessage]) -> Table:
    table = folding_table("ID", "Recipient", "State", "By", "When", "SMTP reply")
    for held in done:
        for each in held.recipients:
            table.add_row(
                held.id[:_SHORT],
                Text(one_line(each.address)),
                _state(each.state),
                Text(one_line(each.decided_by)),
                minute(each.decided_at),
                Text(one_line(each.reply)),
            )
    return table


# What programs see


def _listed(held: HeldMessage, answer: SenderAnswer | None = None) -> dict[str, Any]:
    sealed = _sealed(held)
    return {
        "id": held.id,
        "received_at": held.received_at.isoformat(),
        "from": "" if sealed else held.from_header,
        "sender": "" if sealed else held.sender,
        "envelope_sender": "" if sealed else held.envelope.sender,
        "subject": "" if sealed else held.subject,
        "sealed": sealed,
        "size": held.size,
        "queue": held.queue,
        "support_id": held.explanation.support_id,
        "rules": _rules(held),
        "sender_answer": None
        if answer is None or sealed
        else {
            "choice": answer.choice.value,
            "reason": answer.reason,
            "via": answer.via,
            "at": answer.at.isoformat(),
        },
        "recipients": [
            {
                "address": each.address,
                "direction": each.direction.value,
                "action": each.action.value,
                "state": each.state.value,
                "decided_by": each.decided_by,
                "decided_at": each.decided_at.isoformat() if each.decided_at else None,
                "reason": each.reason,
                "released_to": each.released_to,
                "reply": each.reply,
            }
            for each in held.recipients
        ],
    }


def _shown(held: HeldMessage) -> dict[str, Any]:
    if _sealed(held):
        return {"gateway": held.gateway, "queue_id": held.queue_id}
    return {
        "gateway": held.gateway,
        "queue_id": held.queue_id,
        "message_id": held.message_id,
        "client": {"name": held.envelope.client_name, "address": held.envelope.client_address},
        "explanation": held.explanation.public().to_json(),
        "attachments": [dict(each) for each in held.attachments],
    }


def _answer_json(answer: _Answer) -> dict[str, Any]:
    if answer.held is None:
        return {"id": answer.given, "done": False, "error": answer.refusal}
    return {"done": True, **_listed(answer.held)}


def event_json(event: Event) -> dict[str, Any]:
    """An event of the audit, as programs get it."""
    return {
        "at": event.at.isoformat(),
        "verb": event.verb.value,
        "actor": event.actor,
        "recipient": event.recipient,
        "reason": event.reason,
        "details": dict(event.details),
    }
