"""A walk through bytes in the test's own process, for tests of what containers hold."""

from __future__ import annotations

import tempfile
import time

from gatepost_milter.inspection.containers import families
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
) -> Walk:
    """The walk through ``content`` as an attachment called ``name``."""
    budget = Budget(
        bounds=Bounds(depth=depth, members=members, expanded=expanded),
        size=len(content),
        until=time.monotonic() + seconds,
    )
    with tempfile.TemporaryFile() as scratch:
        done = Walk(part="2", budget=budget, scratch=Scratch(scratch.fileno()), families=families.ALL)
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
