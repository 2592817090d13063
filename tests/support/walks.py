"""A walk through bytes in the test's own process, for tests of what containers hold."""

from __future__ import annotations

import tempfile
import time

from gatepost_milter.inspection.containers import families
from gatepost_milter.inspection.containers.texts import Texts
from gatepost_milter.inspection.containers.walk import Budget, Scratch, Walk
from gatepost_milter.inspection.model import Attachment, Leaf
from gatepost_milter.inspection.wire import Bounds


def walk(
    content: bytes,
    name: str,
    *,
    claimed: str = "application/octet-stream",
    depth: int = 12,
    members: int = 5000,
    expanded: int = 512 * 1024 * 1024,
    seconds: float = 60,
    texts: int = 0,
) -> Walk:
    """The walk through ``content`` as an attachment ``name``, reading up to ``texts`` characters of its words."""
    budget = Budget(
        bounds=Bounds(depth=depth, members=members, expanded=expanded),
        size=len(content),
        until=time.monotonic() + seconds,
    )
    with tempfile.TemporaryFile() as scratch:
        done = Walk(part="2", budget=budget, scratch=Scratch(scratch.fileno()), families=families.ALL)
        done.texts = Texts(left=texts, budget=budget) if texts else None
        leaf = Leaf(
            number="2",
            path="part 2",
            names=(name,) if name else (),
            claimed=claimed,
            encoding="identity",
            start=0,
            end=len(content),
        )
        done.leaf(content, leaf=leaf, reading="identity")
    return done


def opened(content: bytes, name: str, *, claimed: str = "application/octet-stream") -> dict[str, Attachment]:
    """What ``walk`` finds under default bounds, by the path below the part."""
    return {each.path.removeprefix("part 2 › "): each for each in walk(content, name, claimed=claimed).attachments}


def read(
    content: bytes,
    name: str,
    *,
    claimed: str = "application/octet-stream",
    texts: int = 1 << 20,
    seconds: float = 60,
) -> tuple[dict[str, str], set[str]]:
    """The words of what ``walk`` finds, by the path below the part, and the defects."""
    done = walk(content, name, claimed=claimed, texts=texts, seconds=seconds)
    assert isinstance(done.texts, Texts)
    words = {each.where.removeprefix("part 2 › "): each.text for each in done.texts.found}
    return words, {defect.code for defect in done.defects}
