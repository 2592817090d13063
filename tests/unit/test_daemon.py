"""The daemon loses no session when it stops or reloads, and a killed worker loses only its own."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.daemons import Daemon, answered_by, begin, end, until, whole

from gatepost_milter.demo.milter_client import MilterGoneError

pytestmark = pytest.mark.slow


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is ready."""
    with Daemon(tmp_path) as daemon:
        daemon.wait_for("ready")
        yield daemon


def test_it_answers_over_the_public_socket_alone(running: Daemon) -> None:
    """The socket appears under its name only when it has its permissions; no private name is left."""
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o660
    assert [each.name for each in running.home.iterdir() if each.is_socket()] == ["milter.sock"]
    with running.client() as client:
        assert answered_by(whole(client)) == "first"


def test_libmilter_gives_our_reply_with_single_per_cent_signs_doubled(running: Daemon) -> None:
    """The text crosses the wire doubled, as Sendmail and Postfix expect it."""
    with running.client() as client:
        assert whole(client, "reject").reply == "550 5.7.1 100%% no"
        assert answered_by(whole(client)) == "first"


def test_a_defect_in_the_judge_is_a_tempfail_on_the_wire(running: Daemon) -> None:
    """The client keeps its message, and the connection goes on."""
    with running.client() as client:
        outcome = whole(client, "raise")
        assert outcome.disposition == "tempfail"
        assert outcome.reply.startswith("451 4.3.0 ")
        assert answered_by(whole(client)) == "first"
    line = running.wait_for("failed")
    assert (line["stage"], line["level"]) == ("judge", "error")
    assert "a bug in the judge" in line["exception"]


def test_nothing_is_answered_early_on_the_wire(running: Daemon) -> None:
    """The filter has declined to reply to every step, and so it does."""
    with running.client() as client:
        whole(client)
        assert client.early == []


def test_one_message_makes_one_log_line(running: Daemon) -> None:
    """The canonical line names connection, queue id and support id, and what happened."""
    with running.client() as client:
        client.message(
            b"Subject: x\r\n\r\n", sender="a@example.org", recipients=["b@school.example"], queue_id="4ABC"
        )
    line = running.wait_for("tagged")
    assert (line["queue_id"], line["sender"], line["recipients"]) == ("4ABC", "a@example.org", 1)
    assert len(running.lines("tagged")) == 1


def test_two_hundred_sessions_at_once(running: Daemon) -> None:
    """A wave of clients is taken by two workers; everybody is answered."""
    clients = [running.client() for _ in range(200)]
    for client in clients:
        begin(client)
    outcomes = [end(client) for client in clients]
    for client in clients:
        client.quit()

    assert {answered_by(outcome) for outcome in outcomes} == {"first"}


def test_a_killed_worker_loses_its_own_sessions_and_comes_back(running: Daemon) -> None:
    """Both workers have sessions in mid-message; those of the one that lives must all finish."""
    clients = [running.client() for _ in range(40)]
    for client in clients:
        begin(client)
    until(lambda: all(_connections(pid) for pid in running.workers()), "sessions in both workers")
    victim, survivor = running.workers()
    finishing = _connections(survivor)
    os.kill(victim, signal.SIGKILL)
    assert running.wait_for("worker died")["pid"] == victim

    finished, lost = 0, 0
    for client in clients:
        try:
            answered_by(end(client))
            finished += 1
        except (MilterGoneError, BrokenPipeError, ConnectionResetError):
            lost += 1
        client.quit()
    assert (finished, lost) == (finishing, 40 - finishing)
    until(lambda: len(running.workers()) == 2, "a new worker")
    with running.client() as client:
        assert answered_by(whole(client)) == "first"


def test_workers_do_not_heed_signals_that_libmilter_would_die_of(running: Daemon) -> None:
    """A terminal's Ctrl-C, or a service manager that signals the whole group, must not reset sessions."""
    with running.client() as client:
        begin(client)
        for pid in running.workers():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
        with running.client() as other:
            assert answered_by(whole(other)) == "first"
        assert answered_by(end(client)) == "first"


def test_a_stop_waits_for_sessions_and_takes_no_new_ones(running: Daemon) -> None:
    """SIGTERM: those in mid-message finish, Postfix is refused at once, and the socket is gone."""
    clients = [running.client() for _ in range(6)]
    for client in clients:
        begin(client)
    running.signal(signal.SIGTERM)
    running.wait_for("stopping")
    until(lambda: not running.socket.exists(), "the socket to go")
    with pytest.raises(FileNotFoundError):
        running.client()
    for client in clients:
        assert answered_by(end(client)) == "first"
        client.quit()

    assert running.wait() == 0


def test_a_second_sigterm_ends_it_at_once(running: Daemon) -> None:
    """An administrator in a hurry is not made to wait for a client that does nothing."""
    with running.client() as client:
        begin(client)
        running.signal(signal.SIGTERM)
        running.wait_for("stopping")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        with pytest.raises((MilterGoneError, OSError)):
            end(client)


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A client that holds its session open is cut off when the drain time is over."""
    with Daemon(tmp_path, drain=0.2) as daemon:
        daemon.wait_for("ready")
        with daemon.client() as client:
            begin(client)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 0


STOPS = int(os.environ.get("GATEPOST_STOPS", "24"))
"""How often a daemon is stopped under load; a hundred take a minute."""


def test_many_stops_under_load_lose_no_session(tmp_path: Path) -> None:
    """However the stop falls among connect, accept, collect and answer: whoever got through is served."""
    with ThreadPoolExecutor(4) as turns:
        lost = [
            each
            for turn in turns.map(lambda number: _stop_under_load(tmp_path / str(number)), range(STOPS))
            for each in turn
        ]
    assert lost == []


def test_twenty_reloads_under_load_lose_no_message(running: Daemon) -> None:
    """A reload is a new generation: the old one finishes what it began, the new one takes what comes."""
    stop = threading.Event()
    lost: list[str] = []
    answers: list[str] = []
    with running.client() as held_open:
        begin(held_open)
        busy = [threading.Thread(target=_deliver, args=(running, stop, answers, lost)) for _ in range(4)]
        for thread in busy:
            thread.start()
        for number in range(2, 22):
            running.write(name=f"generation-{number}")
            running.signal(signal.SIGHUP)
            running.wait_for("ready", count=number)
        until(lambda: "generation-21" in answers, "an answer of the last generation")
        stop.set()
        for thread in busy:
            thread.join()
        assert answered_by(end(held_open)) == "first"

    assert lost == []
    assert len(answers) > 100
    until(lambda: len(running.workers()) == 2, "the old generations to end")


def test_a_broken_configuration_keeps_the_old_generation_and_says_why(running: Daemon) -> None:
    """An administrator's slip at night must not stop the mail; the log has file, line and remedy."""
    running.write(broken="rule 'exe': no such action")
    running.signal(signal.SIGHUP)
    line = running.wait_for("reload refused")

    assert "plan.json:3:7: rule 'exe': no such action" in line["reason"]
    assert "mend it" in line["reason"]
    with running.client() as client:
        assert answered_by(whole(client)) == "first"
    running.write(broken="", name="mended")
    running.signal(signal.SIGHUP)
    running.wait_for("ready", count=2)
    with running.client() as client:
        assert answered_by(whole(client)) == "mended"


def test_a_generation_that_cannot_start_never_takes_over(running: Daemon) -> None:
    """The configuration loads, but its workers die: the old ones have not been sent home yet."""
    before = running.workers()
    running.write(cannot_start="no inspectors today", name="second")
    running.signal(signal.SIGHUP)
    running.wait_for("reload refused")
    until(lambda: running.workers() == before, "the failed workers to go")

    assert "no inspectors today" in running.wait_for("worker cannot start")["reason"]
    with running.client() as client:
        assert answered_by(whole(client)) == "first"


def test_workers_that_cannot_start_at_all_end_the_daemon(tmp_path: Path) -> None:
    """The service manager must see a failure, not a service that is up and answers nobody."""
    with Daemon(tmp_path, cannot_start="no inspectors today") as daemon:
        assert daemon.wait() == 1
    assert not daemon.socket.exists()


def test_workers_end_when_their_master_is_killed(running: Daemon) -> None:
    """Nobody would replace or reload them; they finish their sessions and go, and a new master can start."""
    workers = running.workers()
    with running.client() as client:
        begin(client)
        os.kill(running.pid, signal.SIGKILL)
        assert answered_by(end(client)) == "first"
    until(lambda: not any(_alive(pid) for pid in workers), "the workers to end")


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    """Type=notify: ready only when the workers are, reloading with the time, stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with Daemon(tmp_path, notify=str(tmp_path / "notify")) as daemon:
            assert manager.recv(4096).startswith(b"READY=1\n")
            daemon.signal(signal.SIGHUP)
            assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(4096).startswith(b"READY=1\n")
            daemon.signal(signal.SIGTERM)
            assert manager.recv(4096) == b"STOPPING=1"


def _connections(pid: int) -> int:
    """How many sockets a process has open beyond its own two."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sum(link.startswith("socket:") for link in links) - 2


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _stop_under_load(home: Path) -> list[str]:
    """Start a daemon, load it, stop it in the middle; what was lost."""
    home.mkdir()
    lost: list[str] = []
    with Daemon(home) as daemon:
        daemon.wait_for("ready")
        with daemon.client() as half_way:
            begin(half_way)
            busy = [threading.Thread(target=_keep_busy, args=(daemon, lost)) for _ in range(3)]
            for thread in busy:
                thread.start()
            daemon.wait_for("tagged")
            daemon.signal(signal.SIGTERM)
            until(lambda: not daemon.socket.exists(), "the socket to go")
            if answered_by(end(half_way)) != "first":
                lost.append("half way")
        for thread in busy:
            thread.join()
        code = daemon.wait()
        if code != 0:
            lost.append(f"exit code {code}")
    return lost


def _keep_busy(daemon: Daemon, lost: list[str]) -> None:
    """Session after session until the daemon takes no more; one that was begun must be finished."""
    while True:
        try:
            client = daemon.client()
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as error:
            lost.append(repr(error))
            return
        with client:
            try:
                answered_by(whole(client))
            except OSError as error:
                lost.append(repr(error))
                return


def _deliver(daemon: Daemon, stop: threading.Event, answers: list[str], lost: list[str]) -> None:
    while not stop.is_set():
        try:
            with daemon.client() as client:
                answers.append(answered_by(whole(client)))
        except OSError as error:
            lost.append(repr(error))
