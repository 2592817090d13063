"""Inspectors: what one message does to its inspector must not matter to any other message."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import files

from gatepost_config.settings import Inspection
from gatepost_milter.inspection import wire
from gatepost_milter.inspection.inspectors import (
    BUSY,
    KILLS,
    Examined,
    Inspectors,
    InspectorsBusyError,
    _handed,
)
from gatepost_milter.inspection.model import FileClass, Leaf
from gatepost_milter.spool import Spool

LIMITS = Inspection(inspectors=2)


@pytest.fixture(scope="module")
def inspectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspectors]:
    pool = Inspectors(LIMITS, tmp_path_factory.mktemp("spool"))
    yield pool
    pool.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Inspectors]:
    """A pool of one, so that the test knows which process works."""
    pool = Inspectors(Inspection(inspectors=1), tmp_path)
    yield pool
    pool.close()


def leaf(number: int, content: bytes, *names: str, start: int = 0, encoding: str = "identity") -> Leaf:
    return Leaf(
        number=str(number),
        path=f"part {number}",
        names=names,
        claimed="application/octet-stream",
        encoding=encoding,
        start=start,
        end=start + len(content),
    )


def message(*contents: tuple[bytes, str]) -> tuple[bytes, list[Leaf]]:
    whole = b""
    leaves = []
    for number, (content, name) in enumerate(contents, 1):
        leaves.append(leaf(number, content, name, start=len(whole)))
        whole += content
    return whole, leaves


def examine(pool: Inspectors, whole: bytes, leaves: list[Leaf], *, deadline: float = 20) -> Examined:
    return pool.examine(Spool.of(whole), leaves, limits=LIMITS, deadline=deadline, hashes=False)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        threading.Event().wait(0.005)


def process_is_gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def kills(reason: str) -> float:
    return float(KILLS.labels(reason=reason)._value.get())


def test_says_what_an_attachment_is_and_where(inspectors: Inspectors) -> None:
    """The path is what a person follows to find the file."""
    content = files.zipped({"photos/setup.exe": files.windows_program(), "readme.txt": b"hello"})
    found = examine(inspectors, *message((content, "invoice.zip")))
    assert [each.path for each in found.attachments] == [
        "part 1 › invoice.zip",
        "part 1 › invoice.zip › photos/setup.exe",
        "part 1 › invoice.zip › readme.txt",
    ]
    archive, program, text = found.attachments
    assert archive.classes == {FileClass.ARCHIVE}
    assert program.classes == {FileClass.EXECUTABLE}
    assert (program.tier, program.depth, program.part) == ("T1", 1, "1")
    assert len(program.sha256) == 64
    assert text.classes == {FileClass.PLAIN}
    assert text.sha256 == ""


def test_decodes_the_transfer_encoding_itself(inspectors: Inspectors) -> None:
    """The worker never decodes: a hostile encoding is the inspector's trouble."""
    encoded = base64.encodebytes(files.windows_program())
    found = examine(inspectors, encoded, [leaf(2, encoded, "photo.jpg", encoding="base64")])
    assert found.attachments[0].classes == {FileClass.EXECUTABLE}
    assert found.attachments[0].size == 2048


def test_leaves_too_long_for_the_request_go_in_a_file_that_nobody_can_change(inspectors: Inspectors) -> None:
    """What lies in memory is copied once, and what an inspector sees stays as it was handed over."""
    content, leaves = message((files.noise(200_000), "a.bin"), (files.windows_program(90_000), "b.bin"))
    with _handed(Spool.of(content), leaves) as handed:
        (descriptor,) = handed.descriptors
        assert [os.pread(descriptor, each.end - each.start, each.start) for each in handed.leaves] == [
            content[each.start : each.end] for each in leaves
        ]
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 1)
    found = examine(inspectors, content, leaves)
    assert [FileClass.EXECUTABLE in each.classes for each in found.attachments] == [False, True]


def test_an_idle_inspector_gives_its_memory_back(alone: Inspectors, tmp_path: Path) -> None:
    """One large message in the morning must not cost its size in memory all day."""
    (pid,) = alone.pids
    before = resident(pid)
    content = base64.encodebytes(files.noise(256 * 1024) * 64)
    with Spool(directory=tmp_path, memory=0, limit=len(content)) as spool:
        spool.write(content)
        for _ in range(2):  # the C library keeps memory from the second time on
            alone.examine(
                spool, [leaf(1, content, "a.bin", encoding="base64")], limits=LIMITS, deadline=60, hashes=False
            )
    wait_until(lambda: resident(pid) < before + 4 * 1024 * 1024)


def resident(pid: int) -> int:
    """Bytes of its own that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def test_a_large_message_goes_by_descriptor(inspectors: Inspectors, tmp_path: Path) -> None:
    """A spool on disk is mapped read-only by the inspector, not copied through a socket."""
    program = files.windows_program()
    with Spool(directory=tmp_path, memory=10, limit=1 << 20) as spool:
        spool.write(b"x" * 5000 + program)
        assert spool.descriptor is not None
        found = inspectors.examine(
            spool, [leaf(1, program, "a.bin", start=5000)], limits=LIMITS, deadline=20, hashes=True
        )
    assert FileClass.EXECUTABLE in found.attachments[0].classes
    assert len(found.attachments[0].sha256) == 64


def test_an_inspector_that_hangs_costs_its_part_and_no_other(alone: Inspectors) -> None:
    """A stopped process is what an endless loop looks like from outside; its share of the time is half."""
    (pid,) = alone.pids
    before = kills("deadline")
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    found = examine(alone, *message((b"first", "a.txt"), (files.windows_program(), "b.bin")), deadline=2)
    assert time.monotonic() - started < 2
    assert [FileClass.OPAQUE in each.classes for each in found.attachments] == [True, False]
    assert FileClass.EXECUTABLE in found.attachments[1].classes
    assert found.attachments[0].path == "part 1 › a.txt"
    assert [defect.code for defect in found.defects] == ["inspector-deadline"]
    assert kills("deadline") == before + 1
    wait_until(lambda: process_is_gone(pid))
    assert pid not in alone.pids


def test_an_inspector_that_is_killed_costs_its_part_and_no_other(alone: Inspectors) -> None:
    """kill -9 in the middle of a part: the kernel's out-of-memory killer does just that."""
    (pid,) = alone.pids
    (inspector,) = alone._free.queue
    assert inspector is not None
    before = kills("crash")
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(examine, alone, *message((b"first", "a.txt"), (b"second", "b.txt")))
        wait_until(lambda: inspector._requests == 1)  # past the look whether it still runs
        os.kill(pid, signal.SIGKILL)
        found = working.result(timeout=20)
    assert [each.classes for each in found.attachments] == [{FileClass.OPAQUE}, {FileClass.PLAIN}]
    assert [defect.code for defect in found.defects] == ["inspector-crash"]
    assert kills("crash") == before + 1


def test_an_inspector_killed_while_idle_is_replaced_unnoticed(alone: Inspectors) -> None:
    (pid,) = alone.pids
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: process_is_gone(pid))
    found = examine(alone, *message((b"text", "a.txt")))
    assert [each.classes for each in found.attachments] == [{FileClass.PLAIN}]
    assert found.defects == ()


def test_a_dead_nursery_is_started_again(alone: Inspectors) -> None:
    """The nursery is the one process the others need; losing it must not need a restart of the gateway."""
    (pid,) = alone.pids
    process = alone._nursery._process
    assert process is not None
    process.kill()
    wait_until(lambda: process_is_gone(pid))
    found = examine(alone, *message((b"text", "a.txt")))
    assert [each.classes for each in found.attachments] == [{FileClass.PLAIN}]


def test_a_part_that_killed_twice_is_known(alone: Inspectors) -> None:
    """The third copy of a deadly mail must not cost a third inspector."""
    content = b"the deadly part"
    for _ in range(2):
        (pid,) = alone.pids
        os.kill(pid, signal.SIGSTOP)
        examine(alone, *message((content, "a.txt")), deadline=0.2)
        examine(alone, *message((b"harmless", "a.txt")))
    pids = alone.pids
    found = examine(alone, *message((b"harmless too!!!", "b.txt"), (content, "other-name.txt")))
    assert [each.classes for each in found.attachments] == [{FileClass.PLAIN}, {FileClass.OPAQUE}]
    assert [defect.code for defect in found.defects] == ["inspector-known-killer"]
    assert alone.pids == pids


def test_no_free_inspector_is_a_matter_for_later_not_for_quarantine(alone: Inspectors) -> None:
    """Overload temp-fails: a harmless mail must not be held because others were many."""
    (pid,) = alone.pids
    before = BUSY._value.get()
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(examine, alone, *message((b"slow", "a.txt")))
        wait_until(alone._free.empty)
        with pytest.raises(InspectorsBusyError):
            examine(alone, *message((b"text", "b.txt")), deadline=0.1)
        os.kill(pid, signal.SIGCONT)
        assert working.result(timeout=20).attachments[0].classes == {FileClass.PLAIN}
    assert BUSY._value.get() == before + 1


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A part that needs more than an inspector may have is opaque; the next one is served as ever."""
    limits = Inspection(inspectors=1, memory=192 * 1024 * 1024)
    encoded = base64.b64encode(bytes(96 * 1024 * 1024))
    pool = Inspectors(limits, tmp_path)
    try:
        with Spool(directory=tmp_path, memory=0, limit=1 << 30) as spool:
            spool.write(encoded)
            found = pool.examine(
                spool, [leaf(1, encoded, "a.bin", encoding="base64")], limits=limits, deadline=30, hashes=False
            )
        assert [each.classes for each in found.attachments] == [{FileClass.OPAQUE}]
        assert "memory" in found.attachments[0].reason
        after = examine(pool, *message((b"text", "b.txt")))
        assert [each.classes for each in after.attachments] == [{FileClass.PLAIN}]
    finally:
        pool.close()


def test_many_threads_share_few_inspectors(inspectors: Inspectors) -> None:
    """libmilter calls from many threads, and each must get its own answer."""

    def one(number: int) -> str:
        whole, leaves = message((f"text {number}".encode(), f"note-{number}.txt"))
        return examine(inspectors, whole, leaves).attachments[0].name

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(one, range(200)))
    assert names == [f"note-{number}.txt" for number in range(200)]


def test_inspectors_end_with_their_owner(tmp_path: Path) -> None:
    """No orphan keeps memory or a socket after the worker is gone."""
    pool = Inspectors(LIMITS, tmp_path)
    pids = pool.pids
    pool.close()
    wait_until(lambda: all(process_is_gone(pid) for pid in pids))


def test_the_sandbox_holds(inspectors: Inspectors) -> None:
    """What an inspector may not do is reported; this kernel knows all of it."""
    assert {"rlimits", "no-new-privileges", "seccomp"} <= set(inspectors.hardening)
    for pid in inspectors.pids:
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert {each.name for each in Path(f"/proc/{pid}/fd").iterdir()} <= {"0", "1", "2", "3", "4", "5", "6"}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"attachments": []},
        {"attachments": [["only", "two"]], "defects": []},
        {"attachments": [["p", "n", [], "", "", "", 0, "", ["harmless"], 0, "", ""]], "defects": []},
        {"attachments": [["p", "n", [], "", "", "", 0, "", [], 0, "", ""]], "defects": []},
        {"attachments": [["p", "n", [], "", "", "", True, "", ["plain"], 0, "", ""]], "defects": []},
        {"attachments": [["p" * 20000, "n", [], "", "", "", 0, "", ["plain"], 0, "", ""]], "defects": []},
        {"attachments": [["p", "n", [], "", "", "", 0, "zz", ["plain"], 0, "", ""]], "defects": []},
        {"attachments": [["p", "n", [], "", "", "", 0, "", ["plain"], 99, "", ""]], "defects": []},
    ],
)
def test_an_answer_is_not_believed_unless_it_is_well_formed(answer: object) -> None:
    """An inspector has read hostile bytes; a worker that trusted it would be the next to fall."""
    with pytest.raises(wire.BadAnswerError):
        wire.read_answer(answer, leaf=leaf(1, b"", "a"), bounds=wire.Bounds(depth=3, members=10, expanded=10))
