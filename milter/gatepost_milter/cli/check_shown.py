"""Owns what a person sees of ``gatepost check``: the verdict, why, where, and what would let the message pass."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gatepost_config.words import Action, Finding
from gatepost_milter.inspection.defects import DEFECTS
from gatepost_milter.inspection.model import Attachment, Inspection, Part
from gatepost_milter.policy.facts import counted
from gatepost_milter.policy.texts import harmless, size_text
from gatepost_milter.policy.verdict import Verdict

ATTACHMENTS_SHOWN = 100
PARTS_SHOWN = 100

COLOURS = {
    Action.PASS: "green",
    Action.TAG: "cyan",
    Action.WARN: "yellow",
    Action.CONFIRM: "yellow",
    Action.REJECT: "red",
    Action.QUARANTINE: "red",
    Action.SEAL: "magenta",
}


def show(
    message: str, verdict: Verdict, inspection: Inspection, took: float, console: Console | None = None
) -> None:
    """Print one message's verdict; ``took`` is in seconds. Nothing from the message is taken as markup."""
    blocks: list[RenderableType] = [_recipients(verdict)]
    blocks += [_finding(finding) for finding in verdict.findings]
    if not verdict.findings:
        blocks.append(Text("No rule of the policy has anything to say about it."))
    if inspection.attachments:
        blocks.append(_attachments(inspection.attachments))
    if inspection.parts:
        blocks.append(_parts(inspection.parts))
    if inspection.defects:
        blocks.append(_defects(inspection))
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


def _attachments(attachments: tuple[Attachment, ...]) -> Tree:
    """The files as a tree, each container above what is in it."""
    tree = Tree(Text(f"Attachments ({len(attachments)})", style="bold"))
    branches: dict[str, Tree] = {}
    for each in attachments[:ATTACHMENTS_SHOWN]:
        above = each.path.rpartition(" › ")[0]
        parent = branches.get(above, tree)
        branches.setdefault(each.path, parent.add(_attachment(each, nested=parent is not tree)))
    if len(attachments) > ATTACHMENTS_SHOWN:
        tree.add(Text(f"and {len(attachments) - ATTACHMENTS_SHOWN} more"))
    return tree


def _attachment(each: Attachment, *, nested: bool) -> Text:
    name = harmless(each.name) or "without a name"
    where = "" if nested else f"part {harmless(each.part)} · "
    line = Text.assemble(where, (name, "bold"), f" · {size_text(each.size)}")
    if each.detected:
        line.append(f" · {harmless(each.detected)}")
    if each.claimed and each.claimed != each.detected:
        line.append(f" (says {harmless(each.claimed)})")
    if each.classes:
        line.append(" · " + ", ".join(sorted(each.classes)), style="yellow")
    if each.reason:
        line.append(f" · {harmless(each.reason)}")
    return line


def _parts(parts: tuple[Part, ...]) -> Table:
    table = Table(title=f"Parts ({len(parts)})", title_justify="left", title_style="bold", box=None)
    for heading in ("Part", "Type", "Disposition", "Encoding", "Names", "Reading"):
        table.add_column(heading, justify="left")
    for each in parts[:PARTS_SHOWN]:
        names = ", ".join(harmless(name) for name in each.names)
        cells = (each.number, each.content_type, each.disposition, each.encoding, names, each.reading)
        table.add_row(*(Text(harmless(cell, length=200)) for cell in cells))
    if len(parts) > PARTS_SHOWN:
        table.add_row("…", Text(f"and {len(parts) - PARTS_SHOWN} more"))
    return table


def _defects(inspection: Inspection) -> Group:
    lines = [Text("Defects", style="bold")]
    for defect, count in counted(inspection.defects):
        kind = DEFECTS.get(defect.code)
        meaning = kind.meaning if kind is not None else harmless(defect.detail)
        times = f" × {count}" if count > 1 else ""
        where = f" ({harmless(defect.where)})" if defect.where else ""
        lines.append(Text.assemble("  ", (f"{defect.code}{where}{times}", "cyan"), f"  {meaning}"))
    return Group(*lines)
