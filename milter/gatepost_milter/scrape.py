"""Owns the small process that answers Prometheus: what the workers counted, and what is so at this moment.

It is forked from the master, one for each generation, and may look into the store but owes nobody anything: when
it is slow, hangs or dies, no mail waits for it.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore
from time import monotonic, time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gatepost_config.words import PolicyRef
from gatepost_milter.inspection import sandbox
from gatepost_quarantine.store import Counts, StoreError

AT_A_TIME = 4  # scrapes; Prometheus needs one
PATIENCE = 5.0  # seconds for a client to ask and to listen
STORE_PATIENCE = 3.0  # seconds for the store; Prometheus itself gives up after ten
AGAIN = 30.0  # seconds until the next try to listen
AGAIN_AFTER_DEATH = 1.0  # seconds until a dead process is replaced
MEMORY = 1024 * 1024 * 1024  # bytes of address space beyond what the master has mapped

_log = structlog.get_logger("gatepost.scrape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the numbers come from that no worker counts; one for each generation.

    ``listen`` is HOST:PORT, empty for no metrics. ``counts`` asks the store, ``bypassed`` says whether gatepost is
    taken out of Postfix. ``queues`` are the queues that are shown also while nothing waits in them. ``loaded_at``
    is in seconds since 1970.
    """

    listen: str
    policy: PolicyRef
    counts: Callable[[], Counts]
    bypassed: Callable[[], bool]
    queues: Sequence[str] = ()
    directory_problems: int = 0
    loaded_at: float = field(default_factory=time)


# Every gauge that is asked for at a scrape, with what it says: name -> (help, label names).
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gatepost_policy_info": ("The policy in force; always 1.", ("name", "version", "digest")),
    "gatepost_policy_loaded_timestamp_seconds": ("When the policy in force was loaded.", ()),
    "gatepost_directory_problems": ("Rows of the people directory that were left out.", ()),
    "gatepost_bypass_active": ("Whether gatepost is taken out of Postfix: 1 or 0.", ()),
    "gatepost_store_ok": ("Whether the store could be read for this scrape: 1 or 0.", ()),
    "gatepost_held": ("Recipients for whom mail is held and nobody has decided.", ("queue",)),
    "gatepost_oldest_unreviewed_seconds": ("Age of the oldest mail that nobody has decided about.", ()),
    "gatepost_outbox_depth": ("Mails that are owed and not yet accepted by Postfix.", ("kind",)),
    "gatepost_outbox_oldest_seconds": ("Age of the oldest mail that is owed.", ()),
    "gatepost_store_free_bytes": ("Bytes that are free on the disk of an SQLite store.", ()),
    "gatepost_store_floor_bytes": ("Bytes that must stay free there, or holds are temp-failed.", ()),
}


class Moment(Collector):
    """The gauges of GAUGES, asked for anew at each scrape. Safe for several threads."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._asked: Future[Counts] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge that can be told now; those of a store that does not answer are left out."""
        sources = self._sources
        policy = sources.policy
        yield _gauge("gatepost_policy_info", {(policy.name, policy.version, policy.digest): 1})
        yield _gauge("gatepost_policy_loaded_timestamp_seconds", sources.loaded_at)
        yield _gauge("gatepost_directory_problems", sources.directory_problems)
        yield _gauge("gatepost_bypass_active", sources.bypassed())
        counts = self._counts()
        yield _gauge("gatepost_store_ok", counts is not None)
        if counts is None:
            return
        held = dict.fromkeys(sources.queues, 0) | dict(counts.unreviewed_by_queue)
        yield _gauge("gatepost_held", {(queue or "none",): count for queue, count in held.items()})
        yield _gauge("gatepost_oldest_unreviewed_seconds", counts.oldest_unreviewed)
        yield _gauge("gatepost_outbox_depth", {(kind,): count for kind, count in counts.owed_by_kind.items()})
        yield _gauge("gatepost_outbox_oldest_seconds", counts.oldest_owed)
        if counts.free >= 0:
            yield _gauge("gatepost_store_free_bytes", counts.free)
            yield _gauge("gatepost_store_floor_bytes", counts.floor)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names, so that registering asks nobody."""
        return (_gauge(name, {}) for name in GAUGES)

    def _counts(self) -> Counts | None:
        """The store in numbers; None if it fails, or is not through with the last question."""
        asked = self._asked
        if asked is None:
            asked = self._asked = self._asker.submit(self._sources.counts)
        try:
            counts = asked.result(STORE_PATIENCE)
        except LateError:
            _log.warning("store is slow", seconds=STORE_PATIENCE)
            return None
        except StoreError as error:
            _log.warning("store cannot be read", reason=str(error))
            counts = None
        self._asked = None
        return counts


def registry(directory: Path | None, sources: Sources) -> CollectorRegistry:
    """All that is told at a scrape. Without a ``directory`` nobody could keep count."""
    made = CollectorRegistry()
    made.register(Moment(sources))
    if directory is not None:
        MultiProcessCollector(made, str(directory))
    return made


def listen(address: str) -> socket.socket:
    """A listening socket at HOST:PORT. Raises OSError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=AT_A_TIME)


def serve(listener: socket.socket, directory: Path | None, sources: Sources, *, parent: int) -> int:
    """Answer scrapes until ``parent``, a pid, ends. Call it in a process of its own that has one thread."""
    _confine(parent)
    with _Server(listener, registry(directory, sources)) as server:
        server.serve_forever(poll_interval=3600)
    return 0


def _confine(parent: int) -> None:
    """No new privileges, no programs' core, no more memory than a scrape can need; and the end with the master.

    The store's files must stay open to it, so it is not shut in as an inspector is.
    """
    sandbox.die_with(parent)
    sandbox.renounce()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for what, bound in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, mapped + MEMORY)):
        hard = resource.getrlimit(what)[1]
        lowest = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (lowest, lowest))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


class Scraper:
    """The process that answers scrapes, as the master knows it. ``due`` is when (monotonic) to ``start`` it.

    ``fork`` does work in a child process and gives its pid. Whatever fails here is logged and tried again later.
    """

    def __init__(self, directory: Path | None, *, fork: Callable[[Callable[[], int]], int]) -> None:
        self.pid = 0
        self.due: float | None = None
        self._directory = directory
        self._fork = fork
        self._sources: Sources | None = None
        self._listener: socket.socket | None = None
        self._listens = ""

    def follow(self, sources: Sources | None) -> None:
        """Another generation is in force: begin anew with its sources, so that nothing keeps the old one's."""
        self._kill()
        self._sources = sources
        self.due = monotonic()

    def start(self) -> None:
        """Start the process, if there is anything to tell and a place to listen."""
        self.due = None
        sources = self._sources
        address = sources.listen if sources is not None else ""
        if address != self._listens:
            self._close()
        if sources is None or not address:
            return
        if self._listener is None:
            try:
                self._listener = listen(address)
            except OSError as error:
                _log.error("metrics are not served", listen=address, reason=str(error))
                self.due = monotonic() + AGAIN
                return
            self._listens = address
            host, port = self._listener.getsockname()[:2]
            _log.info("metrics are served", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        parent = os.getpid()
        self.pid = self._fork(partial(serve, self._listener, self._directory, sources, parent=parent))

    def bury(self, code: int) -> None:
        """The process has died; a new one will be started."""
        _log.error("scrape process died", pid=self.pid, code=code)
        self.pid = 0
        self.due = monotonic() + AGAIN_AFTER_DEATH

    def leave(self) -> None:
        """In another child: its copy of the listening socket must not outlive the master's."""
        if self._listener is not None:
            self._listener.close()

    def end(self) -> None:
        """End the process and give its port back."""
        self._kill()
        self._close()

    def _kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # it has nothing to finish
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener, self._listens = None, ""


class _Server(ThreadingHTTPServer):
    """HTTP on a socket that is listening already; a few scrapes at a time, each with a time limit."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, numbers: CollectorRegistry) -> None:
        super().__init__(listener.getsockname()[:2], _Scrape, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.numbers = numbers
        self._free = BoundedSemaphore(AT_A_TIME)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread, or hang up when too many are being answered.

        A client has its answer a moment before the thread that gave it is free, and may be back by then.
        """
        if self._free.acquire(timeout=1):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or a scrape that failed: the next one is a new try."""
        _log.warning("scrape failed", client=str(client_address), exc_info=True)


class _Scrape(BaseHTTPRequestHandler):
    """``GET /metrics``, and nothing else."""

    server: _Server
    timeout = PATIENCE
    protocol_version = "HTTP/1.0"
    server_version = "gatepost"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "metrics are at /metrics")
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        body = encode(self.server.numbers)
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class has it
        """A scrape every few seconds is not worth a line."""


def _gauge(name: str, value: float | Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    said, labels = GAUGES[name]
    if isinstance(value, Mapping):
        family = GaugeMetricFamily(name, said, labels=labels)
        for values, number in value.items():
            family.add_metric(values, number)
        return family
    return GaugeMetricFamily(name, said, value=float(value))
