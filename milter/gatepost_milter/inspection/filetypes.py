"""Owns what a file name promises: the table of extensions, its classes and tiers.

The facts are in ``filetypes.tsv`` of the config room. A name alone never makes a common document dangerous
(classes ``plain``); what such a file really is, its content decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gatepost_milter.inspection.model import FileClass

_SPLIT_VOLUME = re.compile(r"(?:\d{3}|[rz]\d\d)\Z", re.ASCII)
_CLASS_ID = re.compile(r"\.\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}\Z", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """What an extension promises.

    ``tier`` is ``T1`` (a program or as good as one) to ``T5`` (listed so that nobody blocks it by mistake).
    ``yields`` says that the classes give way when the content is plain text: "www.example.com" names no program.
    """

    extension: str
    classes: frozenset[FileClass]
    tier: str
    description: str
    yields: bool = False


# Windows hides a class identifier at the end of a name, and opens the file as that class says.
_CLASS_ID_TYPE = FileType(
    extension="{class-id}",
    classes=frozenset({FileClass.SHORTCUT}),
    tier="T1",
    description="File whose kind is hidden in a Windows class identifier",
)


@cache
def table() -> Mapping[str, FileType]:
    """All listed file types by extension, in the order of the file."""
    source = files("gatepost_config").joinpath("filetypes.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in source.splitlines() if line and not line.startswith("#")]
    return {
        extension: FileType(
            extension=extension,
            classes=frozenset(FileClass(word) for word in classes.split(",")),
            tier=tier,
            description=description,
            yields=yields == "y",
        )
        for extension, classes, tier, yields, description in rows[1:]
    }


def lookup(name: str) -> FileType | None:
    """The type that the last extension of a normalised ``name`` promises, None when it is not listed."""
    _, dot, extension = name.rpartition(".")
    if not dot:
        return None
    extension = extension.lower()
    found = table().get(extension)
    if found is not None:
        return found
    if extension.endswith("}") and _CLASS_ID.search(name):
        return _CLASS_ID_TYPE
    if _SPLIT_VOLUME.match(extension):
        return table()["r00" if extension[0] == "r" else "001"]
    return None


def strictest(names: Iterable[str]) -> FileType | None:
    """The type of lowest tier number among the names; of equal tiers the first, None when no name is listed."""
    found = [each for each in map(lookup, names) if each is not None]
    return min(found, key=lambda each: each.tier, default=None)
