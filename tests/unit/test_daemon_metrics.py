"""What Prometheus reads is what the daemon did, over kills, reloads and refusals; and mail never waits for it."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemons import Daemon, answered_by, begin, end, until, whole

pytestmark = pytest.mark.slow

ACCEPTED = 'gatepost_replies_total{reply="accept"}'
HERE = "127.0.0.1:0"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is ready and serves metrics on some free port."""
    with Daemon(tmp_path, metrics=HERE) as daemon:
        daemon.wait_for("ready")
        daemon.scrape()
        yield daemon


def deliver(daemon: Daemon, count: int, do: str = "") -> None:
    for _ in range(count):
        with daemon.client() as client:
            whole(client, do)


def files(daemon: Daemon) -> list[str]:
    return sorted(each.name for each in daemon.home.glob("metrics-*/*"))


def test_what_was_sent_is_what_is_read(running: Daemon) -> None:
    """Whichever worker took it."""
    deliver(running, 10)
    deliver(running, 3, "reject")
    deliver(running, 2, "raise")
    until(lambda: running.scrape()["gatepost_sessions_open"] == 0, "the sessions to close")
    read = running.scrape()

    assert read[ACCEPTED] == 10
    assert read['gatepost_replies_total{reply="reject"}'] == 3
    assert read['gatepost_replies_total{reply="tempfail"}'] == 2
    assert read['gatepost_replies_total{reply="discard"}'] == 0
    assert read['gatepost_unhandled_errors_total{stage="judge"}'] == 2
    assert read["gatepost_message_bytes_count"] == read['gatepost_stage_seconds_count{stage="total"}'] == 13
    assert read["gatepost_workers"] == 2
    assert read["gatepost_reload_ok"] == 1


def test_open_sessions_are_shown(running: Daemon) -> None:
    """And closed when the client is gone, however it went."""
    first, second = running.client(), running.client()
    begin(first)
    until(lambda: running.scrape()["gatepost_sessions_open"] == 2, "two sessions")
    first.hang_up()
    second.quit()
    until(lambda: running.scrape()["gatepost_sessions_open"] == 0, "no sessions")


def test_a_killed_worker_takes_no_count_with_it(running: Daemon) -> None:
    """Counters that fall back look like a restart to Prometheus, and what was counted last is lost."""
    deliver(running, 20)
    with running.client() as client:
        begin(client)
        for pid in running.workers()[:2]:
            os.kill(pid, signal.SIGKILL)
        running.wait_for("worker died", count=2)
    until(lambda: running.scrape()["gatepost_workers"] == 2, "new workers")
    deliver(running, 5)

    read = running.scrape()
    assert read[ACCEPTED] == 25
    assert read["gatepost_sessions_open"] == 0


def test_scrapes_that_follow_each_other_at_once_are_all_answered(running: Daemon) -> None:
    """The thread that gave an answer may still count as busy when its client is back."""
    for _ in range(100):
        assert running.scrape()["gatepost_workers"] == 2


def test_fifty_new_workers_cost_a_scrape_nothing(running: Daemon) -> None:
    """Slots are used again: what a scrape reads does not grow with the age of the daemon."""
    deliver(running, 4)
    for number in range(2, 27):
        running.signal(signal.SIGHUP)
        running.wait_for("ready", count=number)
        running.wait_for("worker ended", count=2 * (number - 1))
        if number == 2:
            before, series = files(running), running.scrape().keys()
    began = time.monotonic()
    read = running.scrape()

    assert time.monotonic() - began < 1
    assert files(running) == before
    assert read.keys() == series
    assert read[ACCEPTED] == 4
    assert read['gatepost_reloads_total{result="ok"}'] == 25


def test_a_draining_generation_shares_no_slot_with_the_new_one(running: Daemon) -> None:
    """Two writers of one file would overwrite each other's counts."""
    with running.client() as old:
        begin(old)
        running.write(name="second")
        running.signal(signal.SIGHUP)
        running.wait_for("ready", count=2)
        deliver(running, 30)
        assert answered_by(end(old)) == "first"
    until(lambda: len(running.lines("worker ended")) == 2, "the old generation to end")
    deliver(running, 3)

    assert running.scrape()[ACCEPTED] == 34


def test_the_policy_in_force_is_named_alone(running: Daemon) -> None:
    """A dashboard shows one policy, not all that ever were."""

    def policies() -> list[str]:
        return [name for name in running.scrape() if name.startswith("gatepost_policy_info")]

    assert len(policies()) == 1
    assert 'name="first"' in policies()[0]
    before = running.scrape()["gatepost_policy_loaded_timestamp_seconds"]
    running.write(name="second")
    running.signal(signal.SIGHUP)
    running.wait_for("ready", count=2)
    until(lambda: 'name="second"' in policies()[0], "the new policy")

    assert len(policies()) == 1
    assert running.scrape()["gatepost_policy_loaded_timestamp_seconds"] > before


@pytest.mark.parametrize("fault", [{"broken": "no such action"}, {"cannot_start": "no inspectors"}])
def test_a_refused_reload_is_seen_until_it_is_mended(running: Daemon, fault: dict[str, str]) -> None:
    """The alarm that wakes nobody, but says in the morning that the new rules are not in force."""
    running.write(**fault)
    running.signal(signal.SIGHUP)
    running.wait_for("reload refused")
    read = running.scrape()
    assert read["gatepost_reload_ok"] == 0
    assert read['gatepost_reloads_total{result="refused"}'] == 1
    assert read["gatepost_workers"] == 2

    running.write(**dict.fromkeys(fault, ""))
    running.signal(signal.SIGHUP)
    running.wait_for("ready", count=2)
    assert running.scrape()["gatepost_reload_ok"] == 1


def test_the_store_is_asked_at_the_scrape(running: Daemon) -> None:
    """By queue and kind; a queue of the policy in which nothing waits is there as 0."""
    read = running.scrape()

    assert read['gatepost_held{queue="dsl"}'] == 1
    assert read['gatepost_held{queue="it-support"}'] == 0
    assert read["gatepost_oldest_unreviewed_seconds"] == 60
    assert read['gatepost_outbox_depth{kind="release"}'] == 2
    assert read['gatepost_outbox_depth{kind="notice"}'] == 0
    assert read["gatepost_store_free_bytes"] == 1000
    assert read["gatepost_store_ok"] == 1


@pytest.mark.parametrize("fault", ["broken", "hangs"])
def test_a_store_that_does_not_answer_costs_its_own_numbers_only(tmp_path: Path, fault: str) -> None:
    """No number is better than an old one, and the rest must still be seen."""
    with Daemon(tmp_path, metrics=HERE, store=fault) as daemon:
        daemon.wait_for("ready")
        deliver(daemon, 1)
        for _ in range(2):
            read = daemon.scrape()
            assert read["gatepost_store_ok"] == 0
            assert not [name for name in read if name.startswith(("gatepost_held", "gatepost_outbox"))]
            assert read[ACCEPTED] == 1


def test_the_scrape_process_comes_back(running: Daemon) -> None:
    """It dies, mail goes on, and a second later there is another one."""
    deliver(running, 2)
    (scraper,) = set(running.workers()) - set(running.workers()[:2])
    os.kill(scraper, signal.SIGKILL)
    running.wait_for("scrape process died")
    deliver(running, 2)
    until(lambda: len(running.workers()) == 3, "a new scrape process")

    assert running.scrape()[ACCEPTED] == 4


def test_a_taken_port_stops_no_mail(tmp_path: Path) -> None:
    """It is logged, and tried again; a reload with another address mends it at once."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Daemon(tmp_path, metrics=f"127.0.0.1:{port}") as daemon:
            line = daemon.wait_for("metrics are not served")
            assert line["listen"] == f"127.0.0.1:{port}"
            assert "already in use" in line["reason"]
            deliver(daemon, 1)
            daemon.write(metrics=HERE)
            daemon.signal(signal.SIGHUP)
            assert daemon.scrape()[ACCEPTED] == 1


def test_metrics_can_move_and_be_switched_off(running: Daemon) -> None:
    """By a reload, like every other setting."""
    old = running.wait_for("metrics are served")["address"]
    running.write(metrics="[::1]:0")
    running.signal(signal.SIGHUP)
    assert running.scrape(number=2)["gatepost_workers"] == 2
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{old}/metrics", timeout=5)
    running.write(metrics="")
    running.signal(signal.SIGHUP)
    running.wait_for("ready", count=3)
    until(lambda: len(running.workers()) == 2, "no process but the workers")


def test_only_metrics_are_served(running: Daemon) -> None:
    """A web server with one page."""
    address = running.wait_for("metrics are served")["address"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address}/", timeout=5)
    refused.value.close()
    assert refused.value.code == 404


def test_clients_that_say_nothing_keep_nobody_out_for_long(running: Daemon) -> None:
    """A few at a time are listened to, for seconds; then it is somebody else's turn."""
    host, _, port = running.wait_for("metrics are served")["address"].rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(8)]

    def served() -> bool:
        try:
            return bool(running.scrape())
        except OSError:
            return False

    until(served, "a scrape beside silent clients")
    for each in silent:
        each.close()


def test_the_scrape_process_ends_with_its_master(running: Daemon) -> None:
    """Else the port would be taken when the service manager starts another master."""
    (scraper,) = set(running.workers()) - set(running.workers()[:2])
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{scraper}/fd").exists() or not _open(scraper), "the scrape process to end")


def _open(pid: int) -> bool:
    try:
        return bool(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return False
