"""Compares gatepost with a do-nothing filter and, where installed, rspamd: messages a second over the socket.

Every figure of one run is taken on the same machine within minutes, in turn, so only its ratios mean anything.
``python tests/bench/throughput.py --help`` tells the switches; ``make bench`` runs it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORDS = ["the", "trip", "leaves", "at", "nine", "from", "main", "gate", "please", "bring", "packed", "lunch"]
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One shape of load: a message, and how it is driven."""

    name: str
    attachment: int
    connections: int
    messages: int
    per_session: int


COLUMNS = (
    Column(name="1.1 kB, 1 a session", attachment=0, connections=8, messages=500, per_session=1),
    Column(name="1.1 kB, 50 a session", attachment=0, connections=8, messages=1500, per_session=50),
    Column(name="100 kB, 1 a session", attachment=100_000, connections=4, messages=500, per_session=1),
    Column(name="12 MB, 1 a session", attachment=12_000_000, connections=2, messages=25, per_session=1),
)


def write_message(path: Path, attachment: int) -> None:
    """A letter of about 1.1 kB, with an attachment of that many decoded bytes if any. Always the same bytes."""
    words = random.Random(1).choices(WORDS, k=130)
    lines = [" ".join(words[at : at + 12]) for at in range(0, len(words), 12)]
    head = (
        "From: Alice Teacher <alice.teacher@school.example>\r\nTo: Parent One <parent.one@mail.example>\r\n"
        "Subject: Trip on Friday\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
        "Message-ID: <bench-1@school.example>\r\nMIME-Version: 1.0\r\n"
    )
    text = "\r\n".join(lines) + "\r\n"
    if not attachment:
        path.write_bytes(f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode())
        return
    data = base64.encodebytes(random.Random(2).randbytes(attachment)).replace(b"\n", b"\r\n")
    opening = (
        f'{head}Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
        f"--=_b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        '--=_b\r\nContent-Type: application/octet-stream; name="scan.dat"\r\n'
        'Content-Disposition: attachment; filename="scan.dat"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    path.write_bytes(opening.encode() + data + b"\r\n--=_b--\r\n")


def _tree(root: int) -> list[int]:
    """The process and all its living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue += parents.get(process, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system seconds of the process, its descendants, and those of them that have ended."""
    ticks = 0
    for process in _tree(root):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def memory_bytes(root: int) -> int:
    """Proportional set size of the process and its descendants, in bytes."""
    total = 0
    for process in _tree(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


@contextmanager
def _running(command: list[str], sock: Path, log: Path) -> Iterator[int]:
    """The process, from when its socket can be seen until it has been ended."""
    sock.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 30
            while not sock.is_socket():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} did not open {sock}:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.02)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def nothing(folder: Path) -> Iterator[tuple[Path, int]]:
    """The do-nothing filter."""
    sock = folder / "nothing.sock"
    with _running([sys.executable, str(HERE / "nothing.py"), str(sock)], sock, folder / "nothing.log") as pid:
        yield sock, pid


@contextmanager
def gatepost(folder: Path) -> Iterator[tuple[Path, int]]:
    """gatepost with two workers, the King's policy and every rule on."""
    sock = folder / "gatepost.sock"
    (folder / "spool").mkdir(exist_ok=True)
    settings = {
        "school": {"name": "Bench School", "domains": ["school.example"]},
        "policy": "kings-college",
        "gateway": "gateway.school.example",
        "socket": str(sock),
        "workers": 2,
        "spool": {"directory": str(folder / "spool")},
        "store": {"url": f"sqlite:///{folder}/bench.db"},
        "metrics": {"listen": "127.0.0.1:0"},
        "drain": 2,
    }
    path = folder / "gatepost.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    command = [str(Path(sys.executable).parent / "gatepost"), "milter", "--config", str(path)]
    with _running(command, sock, folder / "gatepost.log") as pid:
        yield sock, pid


@contextmanager
def rspamd(folder: Path) -> Iterator[tuple[Path, int]]:
    """rspamd with two milter workers, doing only what an attachment policy can be compared with."""
    home = folder / "rspamd"
    home.mkdir(exist_ok=True)
    shutil.chown(home, "_rspamd", "_rspamd")
    for parent in home.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    sock = home / "milter.sock"
    config = home / "rspamd.conf"
    config.write_text((HERE / "rspamd.conf").read_text().replace("@DIR@", str(home)))
    command = ["rspamd", "-f", "-i", "-c", str(config), "-u", "_rspamd", "-g", "_rspamd"]
    with _running(command, sock, folder / "rspamd.log") as pid:
        yield sock, pid


FILTERS = {"do-nothing": nothing, "rspamd": rspamd, "gatepost": gatepost}


def drive(driver: Path, sock: Path, pid: int, column: Column, eml: Path, scale: float) -> dict[str, Any]:
    """One load on one filter, with the CPU that its processes used, per message in milliseconds."""
    messages = max(column.per_session, round(column.messages * scale))
    before = cpu_seconds(pid)
    command = [driver, f"unix:{sock}", column.connections, messages, column.per_session, eml]
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    if run.returncode == 2 or not run.stdout:
        sys.exit(f"the driver failed: {run.stderr}")
    result: dict[str, Any] = json.loads(run.stdout)
    result["cpu_ms"] = round((cpu_seconds(pid) - before) * 1e3 / result["messages"], 4)
    result["memory_bytes"] = memory_bytes(pid)
    return result


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All filters, all columns, in turn, ``rounds`` times; the median round of each is kept."""
    driver = folder / "milterload"
    compiler = ["cc", "-O2", "-pthread", str(HERE / "milterload.c"), "-o", str(driver)]
    subprocess.run(compiler, check=True)
    names = [name for name in FILTERS if name != "rspamd" or shutil.which("rspamd")]
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    for index, column in enumerate(COLUMNS):
        eml = folder / f"message-{index}.eml"
        write_message(eml, column.attachment)
        for turn in range(arguments.rounds + 1):
            for name in names:
                with FILTERS[name](folder) as (sock, pid):
                    drive(driver, sock, pid, column, eml, arguments.scale / 10)
                    result = drive(driver, sock, pid, column, eml, arguments.scale)
                if turn:
                    figures[name].setdefault(column.name, []).append(result)
                print(f"{column.name:22} {name:12} {result['per_second']:9.1f} messages/s", file=sys.stderr)
    return {
        name: {
            column: sorted(runs, key=lambda run: float(run["per_second"]))[len(runs) // 2]
            for column, runs in columns.items()
        }
        for name, columns in figures.items()
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as a person reads them: rate, latency, CPU for each message, and the ratios."""
    lines = []
    for column in COLUMNS:
        lines.append(column.name)
        ceiling = figures["do-nothing"][column.name]["per_second"]
        for name, columns in figures.items():
            run = columns[column.name]
            verdicts = " ".join(f"{letter}={count}" for letter, count in run["verdicts"].items())
            lines.append(
                f"  {name:12} {run['per_second']:9.1f}/s  {run['per_second'] / ceiling:6.1%} of do-nothing"
                f"  p50 {run['p50_ms']:8.2f} ms  p99 {run['p99_ms']:8.2f} ms  CPU {run['cpu_ms']:7.3f} ms"
                f"  {run['memory_bytes'] / 1e6:6.1f} MB  {verdicts}"
            )
        if "rspamd" in figures:
            ratio = figures["gatepost"][column.name]["per_second"] / figures["rspamd"][column.name]["per_second"]
            lines.append(f"  gatepost is at {ratio:.2f} of rspamd")
    return "\n".join(lines)


def compare(now: dict[str, Any], path: Path) -> str:
    """How gatepost's share of the do-nothing rate has moved since the run kept in ``path``."""
    then = json.loads(path.read_text())["figures"]
    lines = [f"Against {path.name}, as a share of do-nothing:"]
    for column in COLUMNS:
        shares = [
            run["gatepost"][column.name]["per_second"] / run["do-nothing"][column.name]["per_second"]
            for run in (then, now)
        ]
        lines.append(f"  {column.name:22} {shares[0]:6.1%} -> {shares[1]:6.1%}")
    return "\n".join(lines)


def profile(arguments: argparse.Namespace, folder: Path) -> int:
    """Sample gatepost's processes with py-spy while one column runs, and write a flame graph."""
    if not shutil.which("py-spy", path=str(Path(sys.executable).parent)):
        sys.exit("--profile needs py-spy: .venv/bin/pip install py-spy")
    column = COLUMNS[arguments.profile]
    driver, eml, output = folder / "milterload", folder / "message.eml", Path(f"profile-{arguments.profile}.svg")
    subprocess.run(["cc", "-O2", "-pthread", str(HERE / "milterload.c"), "-o", str(driver)], check=True)
    write_message(eml, column.attachment)
    with gatepost(folder) as (sock, pid):
        command = [str(Path(sys.executable).parent / "py-spy"), "record", "--subprocesses", "--pid", str(pid)]
        # Only who holds the interpreter: most threads wait, and looking at each would take longer than the run.
        command += ["--duration", "15", "--rate", "100", "--gil", "--output", str(output), "--nonblocking"]
        with subprocess.Popen(command) as spy:
            while spy.poll() is None:
                drive(driver, sock, pid, column, eml, arguments.scale)
    print(f"wrote {output}")
    return 0


def main() -> int:
    """Run the comparison, or a profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds; one more warms up (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of messages (1.0)")
    parser.add_argument("--keep", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--against", type=Path, help="compare with the figures of an earlier run, if there is one")
    columns = range(len(COLUMNS))
    parser.add_argument("--profile", type=int, choices=columns, help="profile gatepost under this column instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if arguments.profile is not None:
            return profile(arguments, folder)
        figures = measure(arguments, folder)
    print(table(figures))
    if arguments.against and arguments.against.exists():
        print(compare(figures, arguments.against))
    if arguments.keep:
        spread = statistics.median(run["cpu_ms"] for run in figures["gatepost"].values())
        # The load says how far to trust it: one process of the driver and two of a filter is all there should be.
        kept = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "median_cpu_ms": spread, "figures": figures}
        arguments.keep.write_text(json.dumps(kept, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
