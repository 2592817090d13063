"""Owns what a hostile case is, and the register that the families fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PROGRAM = frozenset({"executable"})
SCRIPT = frozenset({"script"})
MACRO = frozenset({"macro"})
SHORTCUT = frozenset({"shortcut"})
INSTALLER = frozenset({"installer", "executable"})
DISK_IMAGE = frozenset({"disk-image"})
ENCRYPTED = frozenset({"encrypted"})
STOPPED = frozenset({"opaque", "uninspectable"})
"""What cannot be read may be stopped as such: an opaque attachment, or a defect of severity uninspectable."""

ACTIVE = frozenset({"executable", "script", "macro", "shortcut", "installer", "disk-image"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A message that hands its reader something that can run.

    ``technique`` says how it is hidden in one sentence; ``found_as`` holds the classes of which one must be
    found (``opaque`` and ``uninspectable``, if among them, mean that stopping it unseen is right as well).
    """

    id: str
    family: str
    technique: str
    build: Callable[[], bytes]
    found_as: frozenset[str]


class Register:
    """The cases of one family, in order."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.cases: list[Case] = []

    def add(self, name: str, technique: str, build: Callable[[], bytes], found_as: frozenset[str]) -> None:
        """Add a case. Its id is the family and ``name``. Raises ValueError if it is taken."""
        made = Case(
            id=f"{self.family}-{name}", family=self.family, technique=technique, build=build, found_as=found_as
        )
        if any(each.id == made.id for each in self.cases):
            raise ValueError(f"two cases are called {made.id}")
        self.cases.append(made)

    def case(
        self, technique: str, found_as: frozenset[str]
    ) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
        """Register the decorated builder under its own name."""

        def take(build: Callable[[], bytes]) -> Callable[[], bytes]:
            self.add(build.__name__.replace("_", "-"), technique, build, found_as)
            return build

        return take
