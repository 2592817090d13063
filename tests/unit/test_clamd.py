"""The question to a ClamAV daemon: its answer is a fact, its silence a defect, and it can hurt nobody."""

from __future__ import annotations

import getpass
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.messages import file_part, message, multipart, text_part

from gatepost_config import settings
from gatepost_milter.inspection.clamd import Scan
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Examined
from gatepost_milter.inspection.model import Inspection, Leaf
from gatepost_milter.spool import Spool

MARK = b"a sentence that only this test calls malware"
LETTER = message(multipart(text_part(b"see attached"), file_part(b"notes.txt", content=b"nothing")))
INFECTED = message(
    multipart(text_part(b"see attached"), file_part(b"a.bin", content=bytes(20) + MARK + bytes(20)))
)


class NoInspectors:
    """Finds nothing: these tests are about the daemon."""

    def examine(
        self,
        content: Spool,
        leaves: Sequence[Leaf],
        *,
        limits: settings.Inspection,
        deadline: float,
        hashes: bool,
        texts: bool = False,
    ) -> Examined:
        return Examined()


def inspected(address: str, mail: bytes = LETTER, *, seconds: float = 20) -> Inspection:
    """The inspection of ``mail`` with a daemon at ``address``."""
    limits = settings.Inspection(clamd=address, clamd_deadline=seconds)
    return inspect(Spool.of(mail), inspectors=NoInspectors(), limits=limits, deadline=60)


def complaint(found: Inspection) -> str:
    """Why the daemon has not looked at the message."""
    assert found.malware == ()
    (defect,) = found.defects
    assert defect.code == "clamd-unavailable"
    return defect.detail


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real daemon with one signature of our own."""
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("clamd is not installed (Debian package clamav-daemon)")
    folder = tmp_path_factory.mktemp("clamd")
    signatures = folder / "signatures"
    signatures.mkdir()
    (signatures / "local.ndb").write_text(f"Gatepost.Test.Sentence:0:*:{MARK.hex()}\n")
    path = folder / "clamd.sock"
    (folder / "clamd.conf").write_text(
        f"LocalSocket {path}\nDatabaseDirectory {signatures}\nForeground yes\nLogFile {folder}/clamd.log\n"
        f"StreamMaxLength 1M\nMaxThreads 2\nUser {getpass.getuser()}\n"
    )
    with subprocess.Popen(
        [program, "--config-file", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as process:
        try:
            _wait_for(path, process, folder / "clamd.log")
            yield f"unix:{path}"
        finally:
            process.kill()


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while not _answers(path):
        assert process.poll() is None, log.read_text() if log.exists() else "clamd ended at once"
        assert time.monotonic() < end, "clamd did not come up"
        threading.Event().wait(0.05)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        probe.sendall(b"zPING\0")
        return probe.recv(16) == b"PONG\0"


@pytest.mark.slow
def test_what_the_daemon_knows_is_named(clamd: str) -> None:
    """It decodes the attachment itself: the whole message is what it gets."""
    found = inspected(clamd, INFECTED)
    assert found.malware == ("Gatepost.Test.Sentence.UNOFFICIAL",)
    assert found.defects == ()


@pytest.mark.slow
def test_what_the_daemon_does_not_know_has_no_name(clamd: str) -> None:
    """And no defect."""
    found = inspected(clamd)
    assert (found.malware, found.defects) == ((), ())


@pytest.mark.slow
def test_a_message_in_a_file_is_sent_too(clamd: str, tmp_path: Path) -> None:
    """Large messages are not in memory."""
    with Spool(directory=tmp_path, memory=10, limit=1 << 20) as spool:
        spool.write(INFECTED)
        with closing(Scan(clamd, seconds=20)) as scan:
            scan.send(spool)
            assert list(scan.finish()) == []
            assert scan.malware == ("Gatepost.Test.Sentence.UNOFFICIAL",)


@pytest.mark.slow
def test_a_message_over_the_daemons_limit_counts_as_not_looked_at(clamd: str) -> None:
    """It hangs up in the middle; what it says then is the reason to tell."""
    big = message(multipart(text_part(), file_part(content=bytes(3_000_000))))
    assert complaint(inspected(clamd, big)) in (
        "the message is larger than its StreamMaxLength",
        "it hung up",  # when the connection is reset before its last words are read
    )


@contextmanager
def daemon(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something at a port that a connection is handed to, for one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(30)
            assert not thread.is_alive()


def taken(connection: socket.socket) -> bytes:
    """What a client sends by INSTREAM, to the end."""
    stream = connection.makefile("rb")
    assert stream.read(10) == b"zINSTREAM\0"
    content = b""
    while size := struct.unpack("!I", stream.read(4))[0]:
        content += stream.read(size)
    return content


def test_the_daemon_gets_the_message_byte_for_byte() -> None:
    """Whatever our own reading of it is."""
    got: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        got.append(taken(connection))
        connection.sendall(b"stream: OK\0")

    with daemon(talk) as address:
        found = inspected(address)
    assert (found.malware, found.defects) == ((), ())
    assert got == [LETTER]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "it gave no answer"),
        (b"stream: OK", "it gave no answer"),
        (b"stream: OKAY\0", "it answered with something else than a result"),
        (b"\xff\xfe\0", "it answered with something else than a result"),
        (b"stream: lstat() failed ERROR\0", "it answered with something else than a result"),
        (b"INSTREAM size limit exceeded. ERROR\0", "the message is larger than its StreamMaxLength"),
        (b"x" * 10_000, "it gave no answer"),
    ],
    ids=["nothing", "cut", "else", "garbage", "error", "limit", "endless"],
)
def test_only_a_result_counts_as_a_result(answer: bytes, said: str) -> None:
    """“OK” in a broken answer proves nothing."""

    def talk(connection: socket.socket) -> None:
        taken(connection)
        connection.sendall(answer)

    with daemon(talk) as address:
        assert complaint(inspected(address)) == said


def test_a_name_cannot_write_to_a_log_or_terminal() -> None:
    """The daemon is ours, its signatures are not."""

    def talk(connection: socket.socket) -> None:
        taken(connection)
        connection.sendall(b"stream: Bad\x1b[31m\nName FOUND\0")

    with daemon(talk) as address:
        assert inspected(address).malware == ("Bad[31mName",)


def test_a_daemon_that_hangs_costs_its_deadline_and_no_more() -> None:
    """One that reads nothing, with a message that does not fit into the socket's buffers."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        over.wait(30)

    mail = message(multipart(text_part(), file_part(content=bytes(20_000_000))))
    with daemon(talk) as address:
        started = time.monotonic()
        try:
            assert complaint(inspected(address, mail, seconds=0.3)) == "it took too long"
        finally:
            over.set()
        assert time.monotonic() - started < 5


def test_no_daemon_is_told(tmp_path: Path) -> None:
    """Mail that was to be scanned must not pass as if it had been."""
    assert complaint(inspected(f"unix:{tmp_path}/none.sock")) == "No such file or directory"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert complaint(inspected(f"127.0.0.1:{port}")) == "Connection refused"


def test_without_the_setting_nobody_is_asked() -> None:
    """The default."""
    found = inspected("")
    assert (found.malware, found.defects) == ((), ())


@pytest.mark.parametrize("address", ["/run/clamd.sock", "unix:relative", "clamd", "host:port"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    """At the start, not at the first message."""
    with pytest.raises(ValidationError):
        settings.Inspection(clamd=address)
