"""Tries inspection on what a coverage-guided fuzzer (atheris) makes of the seeds.

``python tests/fuzz/run.py TARGET MINUTES`` runs one target; ``all`` shares the minutes between them. What is
learnt is kept in ``.fuzz/TARGET``, so that the next run goes on from there; an input that breaks a promise is
written to ``.fuzz/TARGET-crash-*`` and ends the run with another status than 0.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEPT = ROOT / ".fuzz"
NAMES = ("reader", "headers", "names", "encodings", "containers")
_MEMORY_MB = 1500
_LONGEST = 64 * 1024


def main() -> int:
    """Run one target in this process, or several in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("minutes", type=float)
    arguments = parser.parse_args()
    if arguments.target != "all":
        _fuzz(arguments.target, round(arguments.minutes * 60))
    share = str(arguments.minutes / len(NAMES))
    runs = [subprocess.run([sys.executable, __file__, name, share], check=False) for name in NAMES]
    return int(any(run.returncode for run in runs))


def _fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    sys.path[:0] = [str(ROOT / "tests")]
    os.nice(10)
    with atheris.instrument_imports(include=["gatepost_milter", "olefile", "urllib.parse"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (folder / hashlib.sha256(seed).hexdigest()[:24]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-rss_limit_mb={_MEMORY_MB}",
        "-timeout=30",
        "-print_final_stats=1",
        f"-artifact_prefix={KEPT / name}-",
        str(folder),
    ]
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
