"""Owns what a person sees of ``gatepost check``: the verdict, why, where, and what would let the message pass."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gatepost_config.words import Action, Finding
from gatepost_milter.cli.check_tree import defects, tree
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.texts import harmless
from gatepost_milter.policy.verdict import Verdict

COLOURS = {
    Action.PASS: "green",
    Action.TAG: "cyan",
    Action.WARN: "yellow",
    Action.CONFIRM: "yellow",
    Action.REJECT: "red",
    Action.QUARANTINE: "red",
    Action.SEAL: "magenta",
}


def counted(actions: Mapping[Action, int]) -> Text:
    """Counts by action in one line, mildest first: “tag 2, quarantine 1”. What passed is not told."""
    text = Text()
    for action in Action:
        if actions.get(action) and action is not Action.PASS:
            text.append(", " if text else "").append(f"{action.value} {actions[action]:,}", COLOURS[action])
    return text


def show(
    message: str, verdict: Verdict, inspection: Inspection, took: float, console: Console | None = None
) -> None:
    """Print one message's verdict; ``took`` is in seconds. Nothing from the message is taken as markup."""
    blocks: list[RenderableType] = [_recipients(verdict)]
    blocks += [_finding(finding) for finding in verdict.findings]
    if not verdict.findings:
        blocks.append(Text("No rule of the policy has anything to say about it."))
    if inspection.malware:
        names = ", ".join(harmless(name) for name in inspection.malware)
        blocks.append(Text(f"The virus scanner knows it as {names}.", style="bold red"))
    if inspection.parts or inspection.attachments:
        blocks.append(tree(inspection))
    if inspection.defects:
        blocks.append(defects(inspection))
    policy = verdict.explanation.policy
    title = Text.assemble((harmless(message), "bold"), "  ", _action(verdict.action), f"  {verdict.direction}")
    foot = Text(f"policy {policy.name} {policy.version} ({policy.digest[:12]}) · {took * 1000:.1f} ms")
    spaced = [block for pair in ((Text(""), block) for block in blocks) for block in pair][1:]
    (console or Console()).print(
        Panel(Group(*spaced), title=title, title_align="left", subtitle=foot, subtitle_align="right")
    )


def _action(action: Action) -> Text:
    return Text(action.value.upper(), style=f"bold {COLOURS[action]}")


def _recipients(verdict: Verdict) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("Sender", style="bold"), _sender(verdict), "", "")
    for outcome in verdict.outcomes:
        name = Text(harmless(outcome.recipient))
        table.add_row(Text("Recipient", style="bold"), name, outcome.direction.value, _action(outcome.action))
    return table


def _sender(verdict: Verdict) -> Text:
    sender = verdict.sender
    if sender.known:
        return Text(f"{harmless(sender.mailbox)} (known by {sender.via})")
    return Text("logged in, but no mailbox is known" if sender.via else "not known: from outside")


def _finding(finding: Finding) -> RenderableType:
    head = Text.assemble((finding.rule, "bold"), f"  {finding.clause}  " if finding.clause else "  ")
    head.append_text(_action(finding.action))
    if finding.wanted is not finding.action:
        head.append(f"  (asks for {finding.wanted}; mode {finding.mode})")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    rows.add_row("Why", Text(finding.say))
    if finding.where:
        rows.add_row("Where", Text(finding.where))
    if finding.mend:
        rows.add_row("To let it pass", Text(finding.mend))
    if finding.queue:
        told = f"; told: {', '.join(finding.tell)}" if finding.tell else ""
        rows.add_row("Who decides", Text(f"{finding.queue}{told}"))
    for exemption in finding.exemptions:
        rows.add_row("Exempt", Text(exemption))
    rows.add_row("Rule", Text(finding.source))
    return Group(head, rows)
