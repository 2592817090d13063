"""Owns the tree that ``gatepost check`` shows: the parts of a message, their readings, and the files in them."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from gatepost_milter.inspection.defects import DEFECTS, severity
from gatepost_milter.inspection.model import Attachment, FileClass, Inspection, Part
from gatepost_milter.policy.texts import harmless, size_text

PARTS_SHOWN = 100
ATTACHMENTS_SHOWN = 200
READINGS_SHOWN = 5

_ARROW = " › "
_NAME = 60
_REASON = 160


def tree(inspection: Inspection) -> Tree:
    """The message as a tree: parts as mail programs see them, and below each the files that it holds."""
    head = Text.assemble(("Parts and files", "bold"), f"  {size_text(inspection.size)} in all")
    top = Tree(head, guide_style="dim")
    places: dict[str, Tree] = {}
    for path, readings in _by_path(inspection.parts).items():
        places[path] = _above(path, places, top).add(_part(path, readings))
    for each in inspection.attachments[:ATTACHMENTS_SHOWN]:
        places[each.path] = _above(each.path, places, top).add(_attachment(each))
    _tell_rest(top, len(inspection.parts), PARTS_SHOWN, "readings of parts")
    _tell_rest(top, len(inspection.attachments), ATTACHMENTS_SHOWN, "files")
    return top


def _tell_rest(top: Tree, count: int, most: int, what: str) -> None:
    if count > most:
        top.add(Text(f"and {count - most} more {what}", style="italic"))


def _by_path(parts: tuple[Part, ...]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for each in parts[:PARTS_SHOWN]:
        path = each.path or (f"part {each.number}" if each.number else "message")
        readings = found.setdefault(path, [])
        if all(_said(each) != _said(other) for other in readings):
            readings.append(each)
    return found


def _above(path: str, places: dict[str, Tree], top: Tree) -> Tree:
    """Where ``path`` hangs: below its container, its multipart or its message; a name may hold arrows itself."""
    before, arrow, last = path.rpartition(_ARROW)
    if last.startswith("part "):
        number = last.removeprefix("part ")
        while "." in number:
            number = number.rpartition(".")[0]
            if (multipart := f"{before}{arrow}part {number}") in places:
                return places[multipart]
        return places.get(f"{before}{arrow}message", top)
    while before:
        if before in places:
            return places[before]
        inner, arrow, last = before.rpartition(_ARROW)
        if last.startswith("part ") and (whole := f"{inner}{arrow}message") in places:
            return places[whole]
        before = inner
    return places.get("message", top) if path != "message" else top


def _part(path: str, readings: list[Part]) -> Group:
    first, others = readings[0], readings[1:]
    lines = [Text.assemble((path.rpartition(_ARROW)[2], "bold"), "  ", _said(first))]
    if first.reading:
        lines.append(_reading("seen only by some", first))
    for each in others[:READINGS_SHOWN]:
        line = _reading("or", each)
        line.append(f": {_said(each)}")
        lines.append(line)
    if len(others) > READINGS_SHOWN:
        lines.append(Text(f"or in {len(others) - READINGS_SHOWN} more ways", style="yellow"))
    return Group(*lines)


def _reading(word: str, part: Part) -> Text:
    return Text(f"{word} ({part.reading})" if part.reading else word, style="yellow")


def _said(part: Part) -> str:
    """What a part says of itself, and how many bytes it takes in the message."""
    names = ", ".join(f"“{harmless(name, length=_NAME)}”" for name in part.names[:3])
    if len(part.names) > 3:
        names += f" and {len(part.names) - 3} more names"
    facts = (part.content_type, part.disposition, part.encoding if part.encoding != "identity" else "")
    said = [harmless(fact, length=_NAME) for fact in facts if fact]
    return " · ".join([*said, size_text(part.end - part.start), *([names] if names else [])])


def _attachment(each: Attachment) -> Group:
    name = harmless(each.name, length=_NAME) or "without a name"
    line = Text.assemble((name, "bold"), f"  {size_text(each.size)}")
    for kind in sorted(each.classes):
        line.append(f" · {kind}", style="green" if kind is FileClass.PLAIN else "bold red")
    if each.tier:
        line.append(f" · tier {each.tier}")
    lines = [line]
    if each.detected and _differs(each):
        said = f"is {harmless(each.detected, length=_NAME)}, says {harmless(each.claimed, length=_NAME)}"
        lines.append(Text(said, style="dim"))
    elif each.detected and not each.reason:
        line.append(f" · {harmless(each.detected, length=_NAME)}", style="dim")
    lines += [Text(harmless(reason, length=_REASON)) for reason in each.reason.split("; ") if reason]
    also = [name for name in each.names[:4] if name != each.name]
    if also:
        lines.append(Text("also called " + ", ".join(f"“{harmless(name, length=_NAME)}”" for name in also)))
    return Group(*lines)


def _differs(each: Attachment) -> bool:
    return each.claimed not in ("", "application/octet-stream", each.detected)


_STYLES = {"uninspectable": "bold red", "ambiguous": "yellow", "sloppy": "dim"}
_SEVERITIES = {
    "uninspectable": "nobody here has seen all of it",
    "ambiguous": "mail programs show it differently",
    "sloppy": "untidy, and harmless by itself",
}


def defects(inspection: Inspection) -> Group:
    """Each defect in plain words, the gravest first, with the places it was seen in."""
    places: dict[str, list[str]] = {}
    details: dict[str, dict[str, None]] = {}
    for each in inspection.defects:
        places.setdefault(each.code, []).append(harmless(each.where))
        details.setdefault(each.code, {})[harmless(each.detail, length=_REASON)] = None
    lines: list[RenderableType] = [Text("Defects", style="bold")]
    for grade, meaning in _SEVERITIES.items():
        codes = [code for code in places if severity(code) == grade]
        if codes:
            lines.append(Text.assemble("  ", (grade, _STYLES[grade]), f": {meaning}"))
        for code in codes:
            kind = DEFECTS.get(code)
            seen = [where for where in dict.fromkeys(places[code]) if where]
            more = f" and {len(seen) - 3} more" if len(seen) > 3 else ""
            where = f" ({', '.join(seen[:3])}{more})" if seen else ""
            times = f" × {len(places[code])}" if len(places[code]) > 1 else ""
            lines.append(Padding(Text(f"{code}{where}{times}", style="cyan"), (0, 0, 0, 4)))
            said = [kind.meaning] if kind is not None else []
            said += [f"({detail})" for detail in list(details[code])[:3] if detail]
            lines.append(Padding(Text(" ".join(said)), (0, 0, 0, 6)))
    return Group(*lines)
