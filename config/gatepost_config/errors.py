"""Owns the errors of configuration: what is wrong, where it is, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a configuration file; ``line`` and ``column`` count from 1, 0 means the whole file."""

    path: Path
    line: int
    column: int
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.path}"
        if self.line:
            place += f":{self.line}:{self.column}"
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{place}: {self.message}{remedy}"


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` lists every fault that was found, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
