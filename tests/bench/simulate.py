"""Measures ``gatepost simulate``: a maildir of small mails replayed against two policies.

Run by hand: ``python tests/bench/simulate.py [MAILS]``. Prints one JSON object. The aim is 10,000 mails in under a
minute, start of the program included. One mail in twenty has a file with it, which goes to an inspector.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gatepost_milter.demo.samples import letter, zipped

TEXT = "The coach leaves at a quarter past eight from the car park behind the sports hall. Please bring a coat.\n"


def fill(folder: Path, *, mails: int) -> None:
    """A maildir of letters from outside, going out, and between colleagues."""
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    for number in range(mails):
        sides = ("outside", "school") if number % 3 == 0 else ("school", "parent" if number % 3 == 1 else "school")
        content = letter(
            sender=f"a{number % 300}@{sides[0]}.example",
            to=(f"b{number % 500}@{sides[1]}.example",),
            subject=f"Trip {number}",
            text=f"Dear {number},\n\n{TEXT * 8}",
            attachments={"list.zip": zipped({"list.txt": TEXT.encode()})} if number % 20 == 0 else None,
        )
        (folder / "cur" / f"{number}.bench:2,S").write_bytes(content)


def main() -> None:
    """Fill, replay, print."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="gatepost-simulate-") as place:
        folder = Path(place)
        fill(folder / "maildir", mails=mails)
        settings = folder / "gatepost.yaml"
        settings.write_text("school: {name: Park School, domains: [school.example]}\n", encoding="utf-8")
        started = time.perf_counter()
        gatepost = str(Path(sys.executable).parent / "gatepost")
        command = [
            gatepost,
            "simulate",
            "--config",
            settings,
            "--policy",
            "kings-college",
            "--json",
            folder / "maildir",
        ]
        done = subprocess.run([*map(str, command)], capture_output=True, check=False)
        took = time.perf_counter() - started
    if done.returncode not in (0, 1):
        sys.exit(done.stderr.decode())
    answer = json.loads(done.stdout)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "mails": answer["mails"],
        "failed": len(answer["failed"]),
        "seconds": round(took, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "ms_a_mail": round(took * 1000 / mails, 3),
        "largest_process_mb": usage.ru_maxrss // 1024,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
