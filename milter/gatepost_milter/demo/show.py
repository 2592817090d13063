"""Owns how the demo looks: the table of what was sent and what became of it, and the same as JSON."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost_milter.demo.gateway import Line
from gatepost_milter.demo.logins import PASSWORD
from gatepost_milter.demo.samples import DOMAIN, TEACHER, Fate
from gatepost_milter.demo.stage import Reason, Result, Stage

REVIEWER = "reviewer"
"""The demo's account of the console."""

_COLOURS = {Fate.DELIVERED: "green", Fate.HELD: "yellow", Fate.REFUSED: "red", Fate.LOST: "bold white on red"}


def show_table(console: Console, results: Sequence[Result]) -> None:
    """One row for each sample, and a last line that says whether all is as it should be."""
    table = Table(title="What was sent, and what became of it", show_lines=True, title_justify="left")
    for heading, share in (("Mail", 3), ("Verdict", 1), ("Why", 3), ("Who got what", 3)):
        table.add_column(heading, overflow="fold", ratio=share, min_width=10)
    for result in results:
        table.add_row(
            _mailed(result),
            _verdict(result),
            _why(result.reasons, result.sent.code, result.sent.reply),
            _received(result),
        )
    console.print(table)
    console.print(f"Names without a domain are at {DOMAIN}.", style="dim")
    wrong = [(result.sent.sample.title, sentence) for result in results for sentence in result.wrong]
    if not wrong:
        console.print(f"All {len(results)} mails went as the policy says.", style="green")
    for title, sentence in wrong:
        console.print(Text(f"Not as it should be: {title}: {sentence}", style="bold red"))


def as_json(results: Sequence[Result], *, mta: str) -> str:
    """The table as one JSON object; ``as_expected`` is the demo's own judgement."""
    return json.dumps(
        {
            "mta": mta,
            "as_expected": not any(result.wrong for result in results),
            "mails": [_mail(result) for result in results],
        },
        ensure_ascii=False,
        indent=2,
    )


def show_invitation(console: Console, stage: Stage) -> None:
    """Where the console is, and how to send mail of one's own while the demo stays up.

    The console's account is made here: only a demo that stays needs one.
    """
    password = secrets.token_urlsafe(9)
    if stage.gateway.start_console(name=REVIEWER, password=password):
        console.print(
            Text(f"\nReview what is held: {stage.gateway.console_url} (name {REVIEWER}, password {password})"),
            soft_wrap=True,
        )
    else:
        console.print(Text("\nThe console's parts are not installed here: pip install 'gatepost[console]'"))
    outside = f"swaks --server 127.0.0.1:{stage.port} --from you@outside.example --to {TEACHER}"
    inside = (
        f"swaks --server 127.0.0.1:{stage.submission} --auth PLAIN --auth-user {TEACHER} "
        f"--auth-password {PASSWORD} --from {TEACHER} --to parent@family.example"
    )
    lines = (
        "\nThe gateway is up. Send mail of your own from another terminal (Debian: apt-get install swaks):",
        f"  {outside} --attach @FILE",
        f"  {inside} --attach @FILE",
        "Look at what is held:",
        f"  {_program()} quarantine list --config {stage.gateway.config}",
        "Every mail is told here. Ctrl-C ends the demo and removes all it made.\n",
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _program() -> str:
    """What to type for the gatepost that runs now; in a clone it is on nobody's PATH."""
    typed = Path(sys.argv[0])
    return shlex.quote(str(typed)) if typed.name == "gatepost" else "gatepost"


def show_line(console: Console, stage: Stage, line: Line) -> None:
    """A mail that somebody sent while the demo stays up."""
    reasons = "; ".join(_reason(each) for each in stage.why(line)) or "nothing to say against it"
    direction, event = line.get("direction", "?"), line.get("event", "?")
    console.print(Text(f"{event} ({direction}): {reasons}"), soft_wrap=True)


def _mailed(result: Result) -> Text:
    sample = result.sent.sample
    direction = str(result.sent.line.get("direction", ""))
    route = "".join(f"\n→ {_short(each)}" for each in sample.recipients)
    return Text.assemble((sample.title, "bold"), f"\n{_short(sample.sender)}{route}", (f"\n{direction}", "dim"))


def _short(address: str) -> str:
    return address.removesuffix(f"@{DOMAIN}")


def _verdict(result: Result) -> Text:
    verdict = Text(str(result.sent.line.get("action", "?")), style="bold")
    for fate in dict.fromkeys(result.fates.values()):
        verdict.append(f"\n{fate}", style=_COLOURS[fate])
    return verdict


def _why(reasons: Sequence[Reason], code: int, reply: str) -> Text:
    why = Text("\n".join(_reason(each) for each in reasons) or "–")
    if code != 250:
        why.append(f"\n{code} {reply}", style="dim")
    return why


def _reason(reason: Reason) -> str:
    clause = f" ({reason.clause})" if reason.clause else ""
    return f"{reason.title}{clause} [{reason.rule}]"


def _received(result: Result) -> Text:
    lines = Text()
    for to, fate in result.fates.items():
        if fate is Fate.DELIVERED:
            lines.append(f"{_short(to)}: the mail\n", style="green")
    for to, subjects in result.notices.items():
        for subject in subjects:
            lines.append(f"{_short(to)}: told “{subject.removesuffix(result.sent.sample.subject).rstrip(': ')}”\n")
    lines.rstrip()
    return lines or Text("nobody")


def _mail(result: Result) -> dict[str, Any]:
    sample, line = result.sent.sample, result.sent.line
    return {
        "name": sample.name,
        "title": sample.title,
        "sender": sample.sender,
        "login": sample.login,
        "direction": line.get("direction", ""),
        "verdict": line.get("action", ""),
        "reply": f"{result.sent.code} {result.sent.reply}",
        "why": [{"rule": each.rule, "title": each.title, "clause": each.clause} for each in result.reasons],
        "recipients": {to: fate.value for to, fate in result.fates.items()},
        "notices": {to: list(subjects) for to, subjects in result.notices.items()},
        "wrong": list(result.wrong),
    }
