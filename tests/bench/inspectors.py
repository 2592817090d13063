"""Measures what it costs to read and inspect one message: CPU in the worker and in its inspector, apart.

Each shape is shown next to the base64-decoding of the same attachment in the same run, because only ratios taken
in one run mean anything. ``python tests/bench/inspectors.py --help`` tells the switches.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pybase64

from gatepost_config.settings import Inspection
from gatepost_config.settings import Spool as SpoolSettings
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.spool import Spool

MILTER_CHUNK = 65_535  # bytes of body in one packet of the milter protocol
WORDS = ["the", "trip", "leaves", "at", "nine", "from", "main", "gate", "please", "bring", "packed", "lunch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of message: its attachment (None for text alone), and the CPU it may take in milliseconds."""

    name: str
    attachment: bytes | None
    file_name: str = "scan.dat"
    times: int
    target: float | None = None

    def message(self) -> bytes:
        """A letter of about 1.1 kB with the attachment, always the same bytes."""
        words = random.Random(1).choices(WORDS, k=130)
        text = "\r\n".join(" ".join(words[at : at + 12]) for at in range(0, len(words), 12)) + "\r\n"
        head = (
            "From: Alice Teacher <alice.teacher@school.example>\r\nTo: Parent One <parent.one@mail.example>\r\n"
            "Subject: Trip on Friday\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
            "Message-ID: <bench-1@school.example>\r\nMIME-Version: 1.0\r\n"
        )
        if self.attachment is None:
            return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode()
        opening = (
            f'{head}Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
            f"--=_b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
            f'--=_b\r\nContent-Type: application/octet-stream; name="{self.file_name}"\r\n'
            f'Content-Disposition: attachment; filename="{self.file_name}"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n"
        )
        data = base64.encodebytes(self.attachment).replace(b"\n", b"\r\n")
        return opening.encode() + data + b"\r\n--=_b--\r\n"


def _zip(members: Iterable[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def shapes() -> tuple[Shape, ...]:
    """What is measured: the three of DESIGN section 12 that have a target, and common files beside them."""
    noise = random.Random(2).randbytes
    letter = " ".join(random.Random(3).choices(WORDS, k=4000)).encode()
    photo = b"\xff\xd8\xff\xe0\0\x10JFIF" + noise(300_000) + b"\xff\xd9"
    pages = [(f"homework/page-{number}.txt", letter[number:]) for number in range(10)]
    return (
        Shape(name="text, 1.1 kB", attachment=None, times=700, target=0.12),
        Shape(name="small leaf, 900 B", attachment=noise(900), times=700),
        Shape(name="text file, 20 kB", attachment=letter, file_name="notes.txt", times=500),
        Shape(name="opaque, 100 kB", attachment=noise(100_000), times=500, target=0.5),
        Shape(name="photo, 300 kB", attachment=photo, file_name="photo.jpg", times=300),
        Shape(name="zip of 10 texts", attachment=_zip(pages), file_name="homework.zip", times=200),
        Shape(name="opaque, 1 MB", attachment=noise(1_000_000), times=200),
        Shape(name="opaque, 12 MB", attachment=noise(12_000_000), times=20, target=30.0),
    )


def cpu_seconds(pid: int) -> float:
    """Seconds that all threads of a process have run, to the nanosecond (stat counts in ticks)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def spooled(message: bytes, settings: SpoolSettings, folder: Path) -> Spool:
    """The message in a spool, as a session writes it there."""
    spool = Spool(directory=folder, memory=settings.memory, limit=settings.limit)
    for start in range(0, len(message), MILTER_CHUNK):
        spool.write(message[start : start + MILTER_CHUNK])
    return spool


def measure(shape: Shape, pool: Inspectors, limits: Inspection, folder: Path, rounds: int) -> dict[str, float]:
    """CPU and wall time of one message in milliseconds: the best of ``rounds``, as other processes only add."""
    message = shape.message()
    encoded = base64.encodebytes(shape.attachment or b"")
    settings = SpoolSettings()
    taken: dict[str, list[float]] = {"spool": [], "worker": [], "inspector": [], "wall": [], "decode": []}
    times = max(1, shape.times // rounds)
    for _ in range(rounds + 1):
        before = time.process_time()
        for _ in range(times):
            spooled(message, settings, folder).close()
        filled = time.process_time()
        for _ in range(times):
            pybase64.b64decode(encoded)
        decoded = time.process_time()
        with spooled(message, settings, folder) as spool:
            pids = pool.pids
            theirs, ours, clock = sum(map(cpu_seconds, pids)), time.process_time(), time.perf_counter()
            for _ in range(times):
                inspect(spool, inspectors=pool, limits=limits, deadline=60)
            taken["wall"].append((time.perf_counter() - clock) / times)
            taken["worker"].append((time.process_time() - ours) / times)
            taken["inspector"].append((sum(map(cpu_seconds, pids)) - theirs) / times)
        taken["spool"].append((filled - before) / times)
        taken["decode"].append((decoded - filled) / times)
    return {what: min(values[1:]) * 1e3 for what, values in taken.items()}


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each shape; the best counts")
    parser.add_argument("--only", default="", help="measure only shapes whose name holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    limits = Inspection(inspectors=1)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in shapes():
            if arguments.only not in shape.name:
                continue
            pool = Inspectors(limits, Path(folder))
            try:
                figures[shape.name] = measure(shape, pool, limits, Path(folder), arguments.rounds)
            finally:
                pool.close()
            figures[shape.name]["target"] = shape.target or 0.0
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{'CPU ms of a message':20}{'worker':>10}{'inspector':>11}{'both':>10}{'target':>8}", end="")
    print(f"{'wall':>10}{'spooling':>10}{'base64 alone':>14}")
    for name, figure in figures.items():
        both = figure["worker"] + figure["inspector"]
        target = f"{figure['target']:8.2f}" if figure["target"] else " " * 8
        print(f"{name:20}{figure['worker']:10.3f}{figure['inspector']:11.3f}{both:10.3f}{target}", end="")
        print(f"{figure['wall']:10.3f}{figure['spool']:10.3f}{figure['decode']:14.3f}")


if __name__ == "__main__":
    main()
