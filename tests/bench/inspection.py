"""Measures what reading and inspecting a message costs in CPU, all processes counted, and what inspection finds.

Beside each figure stands base64-decoding the attachment's bytes in the same run, because only ratios of one run
mean anything. Messages lie in the spool as the daemon keeps them: small ones in memory, large ones in a file.
``python tests/bench/inspection.py`` prints one JSON object; ``--corpora`` adds how much of the hostile corpus is
found and how many harmless messages are stopped.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pybase64

sys.path.insert(0, str(Path(__file__).parents[1]))

from gatepost_config import settings
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.spool import Spool

_VIDEO = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1"  # of the common kinds that an inspector has to look at

# Name, first bytes and decoded size of the attachment, messages that are measured, and the CPU of one that we want
# to stay below. Attachments without a beginning are noise, which the worker looks through itself.
SHAPES = (
    ("small text", b"", 0, 800, 0.12),
    ("100 kB attachment", b"", 100_000, 400, 0.5),
    ("12 MB attachment", b"", 12_000_000, 20, 30.0),
    ("12 MB video", _VIDEO, 12_000_000, 20, 30.0),
)
_HEAD = (
    "From: Alice Teacher <alice.teacher@school.example>\r\nTo: Parent One <parent.one@mail.example>\r\n"
    "Subject: Trip on Friday\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
    "Message-ID: <bench-1@school.example>\r\nMIME-Version: 1.0\r\n"
)
_WORDS = "The trip leaves at nine from the main gate. Please bring a packed lunch and a coat.\r\n"
_LIMITS = settings.Inspection()
_IN_MEMORY = settings.Spool().memory


def message(attachment: int, start: bytes = b"") -> bytes:
    """A letter of about a kilobyte, with an attachment of so many bytes if any: ``start`` and noise behind it."""
    if not attachment:
        return f"{_HEAD}Content-Type: text/plain; charset=utf-8\r\n\r\n{_WORDS * 10}".encode()
    content = start + random.Random(1).randbytes(attachment - len(start))
    letters = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return (
        f'{_HEAD}Content-Type: multipart/mixed; boundary="b1"\r\n\r\n--b1\r\n'
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{_WORDS * 10}\r\n--b1\r\n"
        'Content-Type: application/octet-stream; name="data.xyz"\r\nContent-Transfer-Encoding: base64\r\n'
        'Content-Disposition: attachment; filename="data.xyz"\r\n\r\n'
    ).encode() + letters + b"--b1--\r\n"  # fmt: skip


def processes(parent: int) -> Iterator[int]:
    """All descendants of a process."""
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from processes(child)


def cpu() -> float:
    """Seconds of CPU that this process and its living descendants have used."""
    spent = time.process_time()
    for process in processes(int(Path("/proc/self").readlink().name)):
        for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
            spent += int(task.read_text().split()[0]) / 1e9
    return spent


def cost(work: Callable[[], object], times: int) -> float:
    """Milliseconds of CPU that ``work`` takes, on average."""
    for _ in range(3):
        work()
    start = cpu()
    for _ in range(times):
        work()
    return round((cpu() - start) / times * 1000, 4)


def speed(inspectors: Inspectors) -> list[dict[str, Any]]:
    """One row for each shape of message."""
    rows = []
    for name, start, attachment, times, target in SHAPES:
        content = message(attachment, start)
        letters = base64.encodebytes(random.Random(1).randbytes(attachment))
        with Spool(directory=Path(tempfile.gettempdir()), memory=_IN_MEMORY, limit=len(content)) as spool:
            spool.write(content)

            def examine(spool: Spool = spool) -> None:
                inspect(spool, inspectors=inspectors, limits=_LIMITS, deadline=20.0)

            def decode(letters: bytes = letters) -> bytes:
                return pybase64.b64decode(letters)

            row = {"shape": name, "bytes": len(content), "inspect_ms": cost(examine, times), "target_ms": target}
            row["base64_ms"] = cost(decode, times) if attachment else 0.0
        rows.append(row)
    return rows


def corpora(inspectors: Inspectors) -> dict[str, Any]:
    """How much of the hostile corpus is found, and how many harmless messages would be stopped."""
    from support.corpus.case import ACTIVE
    from support.corpus.harmless import MESSAGES
    from support.corpus.hostile import CASES
    from support.corpus.judging import found_as, inspected, is_found
    from support.mail import settings as school
    from support.mail import transaction

    from gatepost_config.words import Action
    from gatepost_milter.policy.policy import load

    seen = [(case, inspected(case.build(), inspectors)) for case in CASES]
    policies = [load(school(policy=name)) for name in ("default", "kings-college")]
    stopped = [
        each.id
        for each in MESSAGES
        for inspection in (inspected(each.build(), inspectors),)
        if any(
            finding.action not in (Action.PASS, Action.TAG)
            for policy in policies
            for finding in policy.judge(transaction(), inspection).findings
        )
    ]
    return {
        "hostile": len(CASES),
        "found": sum(is_found(case, inspection) for case, inspection in seen),
        "named": sum(not found_as(inspection).isdisjoint(ACTIVE) for _, inspection in seen),
        "missed": [case.id for case, inspection in seen if not is_found(case, inspection)],
        "harmless": len(MESSAGES),
        "stopped": stopped,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", action="store_true", help="inspect the hostile and harmless corpora as well")
    chosen = parser.parse_args()
    with closing(Inspectors(_LIMITS, Path(tempfile.gettempdir()))) as inspectors:
        result: dict[str, Any] = {"speed": speed(inspectors)}
        if chosen.corpora:
            result["corpora"] = corpora(inspectors)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
