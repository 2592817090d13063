"""milter/INSPECTION.md: every defect and back, and the numbers that it states.

``pytest tests/docs --rewrite-golden`` writes the table of defects anew from the program.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
from support.corpus.hostile import CASES

from gatepost_milter.inspection import inspectors
from gatepost_milter.inspection.containers import markup, pages, texts, walk
from gatepost_milter.inspection.defects import DEFECTS, Severity
from gatepost_milter.inspection.model import FileClass

TABLE = "## Defects"


@pytest.fixture(scope="module")
def page(root: Path, request: pytest.FixtureRequest) -> str:
    path = root / "milter" / "INSPECTION.md"
    text = path.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite-golden"):
        before, heading, after = text.partition(TABLE)
        head = re.match(r".*?\| --- \| --- \| --- \|\n", after, re.DOTALL)
        assert head is not None
        text = (
            before
            + heading
            + head[0]
            + "".join(f"| `{code}` | {grade} | {said} |\n" for code, grade, said in wanted())
        )
        path.write_text(text, encoding="utf-8")
    return text


def wanted() -> list[tuple[str, str, str]]:
    """The rows of the table, the gravest first."""
    order = list(Severity)[::-1]
    kinds = sorted(DEFECTS.items(), key=lambda each: (order.index(each[1].severity), each[0]))
    return [(code, kind.severity.value, kind.meaning) for code, kind in kinds]


def test_every_defect_is_on_the_page_and_back(page: str) -> None:
    """A code in a notice or a rule must be one that can be looked up."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.*) \|$", page.partition(TABLE)[2], re.MULTILINE)
    assert rows == wanted()


def test_every_defect_that_the_page_speaks_of_is_one(page: str) -> None:
    """Also in the prose, and in the example of the tree."""
    said = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", page)) | set(re.findall(r"\(([a-z]+-[a-z]+)\):", page))
    assert said <= set(DEFECTS) | set(FileClass)
    assert {"text-long", "text-unread", "inspection-limit", "clamd-unavailable"} <= said


def test_the_numbers_on_the_page_are_the_programs(page: str) -> None:
    """A limit that is told wrong is looked for in the wrong place."""
    for number in (inspectors.MAX_TEXTS, markup.MAX_CELLS, pages.MAX_PAGES):
        assert f"{number:,}" in page
    assert f"{texts.MAX_SECONDS:.0f}\nseconds long" in page
    assert f"{walk.FREELY // 1024 // 1024} MB and {walk.RATIO} times" in page


def test_every_published_trick_has_its_cases() -> None:
    """The table of publications in tests/README.md names cases that exist."""
    table = (Path(__file__).parent.parent / "README.md").read_text("utf-8").partition("## Published")[2]
    rows = "\n".join(row for row in table.splitlines() if row.startswith("|"))
    named = re.findall(r"`([a-z0-9*-]+)`", rows)
    assert len(named) > 15
    for words in named:
        assert fnmatch.filter([case.id for case in CASES], words), words
