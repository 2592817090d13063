"""Owns the processes of the milter: a single-threaded master that listens, and workers that share its socket.

What libmilter does shapes all of it. It must never be asked to stop (SIGTERM, SIGHUP or ``milter.stop`` leave
sessions hanging in mid-message), so workers ignore those signals and are drained: a listening socket that
nobody knows takes the place of the real one, and the worker ends when its last session has. Everything that
forks or opens (inspectors, the store) does so in the worker, before libmilter starts its threads.
"""

from __future__ import annotations

import gc
import os
import select
import selectors
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from types import FrameType

import milter
import structlog

from gatepost_config import settings
from gatepost_config.errors import ConfigError
from gatepost_milter import metrics, session
from gatepost_milter.clerks import Clerks
from gatepost_milter.inspection.inspectors import InspectorsError
from gatepost_milter.metrics import Counter, Gauge
from gatepost_milter.scrape import Scraper, Sources
from gatepost_quarantine.store import StoreError

NAME = "gatepost"
BACKLOG = 512
CLERKS = 128  # messages of one worker that are at the gate at a time; most of them wait for an inspector
SWITCH_INTERVAL = 0.0005  # seconds; keeps a small mail quick beside a thread that is busy with a large one
GARBAGE = 10_000  # objects between two looks for cycles; a message makes a few hundred, and hardly ever a cycle
RESTART_DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, by the number of quick deaths in a row
QUICK_DEATH = 60.0  # seconds of life after which a worker's death is the first again
KILL_AFTER = 5.0  # seconds that a worker gets beyond its drain time before it is killed
EMPTY = 5.0  # seconds for taking in those who waited in the socket's queue when the daemon was stopped
POLL = 0.02  # seconds between two looks at the open connections of a draining worker

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DESCRIPTORS = Path("/proc/self/fd")
_READY, _DRAIN, _FINISH = b"r", b"d", b"f"

WORKERS = Gauge(
    "gatepost_workers", "Workers of the generation in force that take mail.", multiprocess_mode=metrics.EACH
)
RELOAD_OK = Gauge(
    "gatepost_reload_ok", "Whether what was last loaded is in force: 1 or 0.", multiprocess_mode=metrics.EACH
)
RELOADS = Counter("gatepost_reloads", "Times that settings and policy were loaded again, by result.", ["result"])
for _result in ("ok", "refused"):
    RELOADS.labels(result=_result)

_log = structlog.get_logger("gatepost.daemon")


class ListenError(Exception):
    """The milter socket cannot be opened; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one generation of workers runs: the outcome of one load of settings and policy.

    ``address`` is an absolute path or ``inet:PORT@ADDRESS``; ``mode`` the permissions of a Unix socket.
    ``drain`` is in seconds. ``open_gate`` is called in each worker while it is still single-threaded; leaving
    its context closes what it opened. ``sources`` are what Prometheus is told beside what the workers count.
    """

    address: str
    mode: int
    workers: int
    drain: float
    spool: settings.Spool
    open_gate: Callable[[], AbstractContextManager[session.Gate]]
    sources: Sources | None = None


def run(load: Callable[[], Plan]) -> int:
    """Run the daemon until it is told to stop; the exit code. SIGHUP calls ``load`` again.

    Raises what the first ``load`` raises (ConfigError, StoreError), and ListenError.
    """
    plan = load()
    with _listen(plan) as listener, _numbers(plan) as numbers:
        return _Master(load, plan, listener, numbers).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """The listening socket that libmilter opened: its descriptor and the name it was bound to."""

    descriptor: int
    name: object
    path: Path | None = None
    inode: int = 0

    def withdraw(self) -> None:
        """Take the public name away, unless a gatepost that was started after us has it now."""
        with suppress(FileNotFoundError):
            if self.path is not None and self.path.stat().st_ino == self.inode:
                self.path.unlink()


@dataclass(slots=True, kw_only=True)
class _Worker:
    """A worker process as the master knows it.

    ``place`` is its number among the workers of its generation, ``slot`` its number among all that live: the
    lowest that was free, so that its metrics go on in the files of one that has ended.
    """

    place: int
    slot: int
    pid: int
    control: socket.socket
    started: float
    ready: bool = False


@dataclass(slots=True, kw_only=True)
class _Crew:
    """The workers of one generation, by place. ``due`` holds when an empty place is to be filled."""

    number: int
    plan: Plan
    workers: dict[int, _Worker] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)
    kill_at: float | None = None

    @property
    def ready(self) -> bool:
        return len(self.workers) == self.plan.workers and all(each.ready for each in self.workers.values())

    @property
    def draining(self) -> bool:
        return self.kill_at is not None


class _Master:
    """Starts workers, replaces those that die, and takes one generation after the other."""

    def __init__(self, load: Callable[[], Plan], plan: Plan, listener: _Listener, numbers: Path | None) -> None:
        self._load = load
        self._listener = listener
        self._numbers = numbers
        self._scraper = Scraper(numbers, fork=self._fork)
        self._selector = selectors.PollSelector()  # not epoll: that would be shared with the children
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._generations = 1
        self._crews = [_Crew(number=1, plan=plan)]
        self._in_force: _Crew | None = None
        self._stopping = False
        self._reload_again = False
        self._code = 0

    def run(self) -> int:
        with self._signals():
            self._selector.register(self._wake_reader, selectors.EVENT_READ)
            self._fill(self._crews[0])
            while self._crews:
                for key, _ in self._selector.select(self._patience()):
                    if key.fileobj is self._wake_reader:
                        self._take_signals()
                    else:
                        self._hear(key.data)
                self._keep_time()
        self._scraper.end()
        self._selector.close()
        _log.info("stopped", code=self._code)
        return self._code

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals become bytes on a socket, so that the loop has one place to wait."""
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        watched = (*_SIGNALS, signal.SIGCHLD)
        before = {number: signal.signal(number, _noted) for number in watched}
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._wake_reader.close()
            self._wake_writer.close()

    def _take_signals(self) -> None:
        with suppress(BlockingIOError):
            received = set(self._wake_reader.recv(4096))
            if received & {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            elif signal.SIGHUP in received:
                self._reload()
        # Children are looked for whatever was received: signals of one number are merged.
        self._reap()

    def _patience(self) -> float | None:
        """Seconds until something is due without anybody saying so."""
        times = [time for crew in self._crews for time in crew.due.values()]
        times += [crew.kill_at for crew in self._crews if crew.kill_at is not None]
        times += [self._scraper.due] if self._scraper.due is not None else []
        return max(0.0, min(times) - monotonic()) if times else None

    def _keep_time(self) -> None:
        now = monotonic()
        if self._scraper.due is not None and now >= self._scraper.due:
            self._scraper.start()
        for crew in self._crews:
            if crew.kill_at is not None and now >= crew.kill_at:
                self._kill(crew)
            elif not crew.draining and any(time <= now for time in crew.due.values()):
                self._fill(crew)

    def _fill(self, crew: _Crew) -> None:
        """Start a worker in every empty place that is due."""
        now = monotonic()
        for place in range(crew.plan.workers):
            if place not in crew.workers and crew.due.get(place, now) <= now:
                crew.due.pop(place, None)
                self._start(crew, place)

    def _start(self, crew: _Crew, place: int) -> None:
        taken = {worker.slot for each in self._crews for worker in each.workers.values()}
        slot = next(number for number in count() if number not in taken)
        ours, theirs = socket.socketpair()

        def work() -> int:
            ours.close()
            self._scraper.leave()
            if self._numbers is not None:
                _attach(self._numbers, str(slot))
            return _work(crew.plan, self._listener, theirs, slot=slot, generation=crew.number)

        pid = self._fork(work)
        theirs.close()
        worker = _Worker(place=place, slot=slot, pid=pid, control=ours, started=monotonic())
        crew.workers[place] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _fork(self, work: Callable[[], int]) -> int:
        """Do ``work`` in a child process, which ends with the code that it returns; the child's pid."""
        gc.collect()
        gc.freeze()  # what is loaded stays shared between the processes (copy on write)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self._forget_master()
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = work()
            finally:
                # A child must never run on in its parent's code, whatever happened to it.
                if sys.exc_info()[0] is not None:
                    _log.exception("process failed")
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _forget_master(self) -> None:
        """In the child: drop what belongs to the master, or its death would never be noticed."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            # The main thread never blocks them, so the kernel drops them before libmilter's threads see them.
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._wake_reader.close()
        self._wake_writer.close()
        for crew in self._crews:
            for worker in crew.workers.values():
                worker.control.close()

    def _hear(self, worker: _Worker) -> None:
        """A worker says that it is ready, or its end of the line is closed."""
        if worker.control.fileno() < 0:
            return  # it was buried a moment ago, when the signal of the same round was taken
        try:
            said = worker.control.recv(16)
        except ConnectionResetError:
            said = b""
        if not said:
            self._selector.unregister(worker.control)
            return
        worker.ready = True
        self._count_workers()
        for crew in self._crews:
            if crew.ready and not crew.draining and crew is not self._in_force:
                self._enforce(crew)

    def _enforce(self, crew: _Crew) -> None:
        """A generation is complete: it takes over, and the one before it ends when its sessions have."""
        before, self._in_force = self._in_force, crew
        if before is not None:
            self._drain(before)
            RELOADS.labels(result="ok").inc()
        RELOAD_OK.set(1)
        self._count_workers()
        self._scraper.follow(crew.plan.sources)
        _log.info("ready", generation=crew.number, workers=crew.plan.workers, socket=crew.plan.address)
        _notify("READY=1", f"STATUS=generation {crew.number}, {crew.plan.workers} workers")
        if self._reload_again:
            self._reload_again = False
            self._reload()

    def _count_workers(self) -> None:
        force = self._in_force
        WORKERS.set(0 if force is None else sum(worker.ready for worker in force.workers.values()))

    def _reload(self) -> None:
        """Load again. What is in force stays in force until the new generation is complete."""
        if self._stopping:
            return
        if self._in_force is None or any(not crew.draining and crew is not self._in_force for crew in self._crews):
            self._reload_again = True
            return
        _notify("RELOADING=1", f"MONOTONIC_USEC={int(monotonic() * 1_000_000)}")
        try:
            plan = self._load()
        except (ConfigError, StoreError, OSError) as error:
            self._refuse(str(error), self._in_force)
            return
        if (plan.address, plan.mode) != (self._in_force.plan.address, self._in_force.plan.mode):
            _log.warning("the socket changes only at a restart", socket=self._in_force.plan.address)
        self._generations += 1
        crew = _Crew(number=self._generations, plan=plan)
        self._crews.append(crew)
        self._fill(crew)

    @staticmethod
    def _refuse(reason: str, in_force: _Crew) -> None:
        """What was to be loaded is no good: say so wherever somebody may look."""
        RELOADS.labels(result="refused").inc()
        RELOAD_OK.set(0)
        _log.error("reload refused", reason=reason, in_force=in_force.number)
        _notify("READY=1", f"STATUS=reload refused, generation {in_force.number} stays in force")

    def _stop(self) -> None:
        """End when all sessions have; asked again, end at once."""
        if self._stopping:
            for crew in self._crews:
                self._kill(crew)
            return
        self._stopping = True
        _notify("STOPPING=1")
        _log.info("stopping")
        # From here on Postfix is refused at once, instead of waiting for an accept that never comes.
        self._listener.withdraw()
        os.close(self._listener.descriptor)
        # Who was in the queue before the socket went is still served; at a reload the next generation does it.
        for crew in self._crews:
            self._drain(crew, _DRAIN if self._listener.path is None else _FINISH)

    def _drain(self, crew: _Crew, order: bytes = _DRAIN) -> None:
        if crew.draining:
            return
        crew.kill_at = monotonic() + crew.plan.drain + KILL_AFTER
        crew.due.clear()
        for worker in crew.workers.values():
            with suppress(OSError):  # it is dead already, and about to be reaped
                worker.control.send(order)
        self._crews = [each for each in self._crews if each.workers or not each.draining]

    def _kill(self, crew: _Crew) -> None:
        for worker in crew.workers.values():
            _log.warning("worker killed", slot=worker.slot, pid=worker.pid, generation=crew.number)
            os.kill(worker.pid, signal.SIGKILL)
        crew.kill_at = monotonic() + KILL_AFTER

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._scraper.pid:
                self._scraper.bury(os.waitstatus_to_exitcode(status))
            for crew in tuple(self._crews):
                for worker in tuple(crew.workers.values()):
                    if worker.pid == pid:
                        self._bury(crew, worker, os.waitstatus_to_exitcode(status))

    def _bury(self, crew: _Crew, worker: _Worker, code: int) -> None:
        del crew.workers[worker.place]
        with suppress(KeyError):  # unless its closed line was heard before
            self._selector.unregister(worker.control)
        worker.control.close()
        self._count_workers()
        if self._numbers is not None:
            metrics.forget(self._numbers, str(worker.slot))
        if crew.draining:
            _log.info("worker ended", slot=worker.slot, pid=worker.pid, generation=crew.number, code=code)
            if not crew.workers:
                self._crews.remove(crew)
            return
        _log.error("worker died", slot=worker.slot, pid=worker.pid, generation=crew.number, code=code)
        if crew is not self._in_force and not worker.ready:
            self._abandon(crew)
            return
        lived = monotonic() - worker.started
        deaths = 0 if lived > QUICK_DEATH else crew.deaths.get(worker.place, -1) + 1
        crew.deaths[worker.place] = deaths
        crew.due[worker.place] = monotonic() + RESTART_DELAYS[min(deaths, len(RESTART_DELAYS) - 1)]

    def _abandon(self, crew: _Crew) -> None:
        """A generation cannot start: the one before it stays; at the very start there is none, and we end."""
        if self._in_force is None:
            self._code = 1
            self._stop()
            return
        self._refuse("a new worker could not start", self._in_force)
        self._drain(crew)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Python needs a handler for the wake-up descriptor to be written."""


@contextmanager
def _numbers(plan: Plan) -> Iterator[Path | None]:
    """Where this daemon's processes keep count; None where the disk does not let them, for mail goes first."""
    with ExitStack() as stack:
        directory = None
        try:
            directory = stack.enter_context(metrics.folder(plan.spool.directory))
        except OSError as error:
            _log.error("metrics are not kept", reason=str(error))
        if directory is not None:
            _attach(directory, metrics.MASTER)
        yield directory


def _attach(directory: Path, slot: str) -> None:
    try:
        metrics.attach(directory, slot)
    except OSError as error:
        _log.error("metrics are not kept", slot=slot, reason=str(error))


@contextmanager
def _listen(plan: Plan) -> Iterator[_Listener]:
    """The listening socket, opened under a private name and then put under its public one.

    libmilter unlinks the path that it knows when it stops, and a socket must have its permissions before
    anybody can reach it.
    """
    inet = plan.address.startswith(("inet:", "inet6:"))
    public = Path(plan.address.removeprefix("unix:"))
    if not inet and not public.is_absolute():
        raise ListenError(f"{plan.address}: not an absolute path nor inet:PORT@ADDRESS")
    private = public.with_name(f".{os.getpid()}")
    before = set(_listening())
    mask = os.umask(0o177)
    try:
        milter.setconn(plan.address if inet else f"unix:{private}")
        milter.register(NAME)
        milter.setbacklog(BACKLOG)
        milter.opensocket(True)
    except milter.error as error:
        raise ListenError(f"{plan.address}: the socket cannot be opened; {_reason(public, inet=inet)}") from error
    finally:
        os.umask(mask)
    descriptor = next(iter(set(_listening()) - before))
    os.set_blocking(descriptor, False)  # two workers may both be told of one connection
    bound_to = _bound_to(descriptor)
    if inet:
        yield _Listener(descriptor=descriptor, name=bound_to)
        return
    private.chmod(plan.mode)
    private.rename(public)
    listener = _Listener(descriptor=descriptor, name=bound_to, path=public, inode=public.stat().st_ino)
    try:
        yield listener
    finally:
        listener.withdraw()


def _reason(public: Path, *, inet: bool) -> str:
    if inet:
        return "is another program listening there?"
    if not public.parent.is_dir():
        return f"the folder {public.parent} does not exist"
    if not os.access(public.parent, os.W_OK | os.X_OK):
        return f"the folder {public.parent} is not writable for this user"
    return f"the path may be too long (it has {len(str(public))} characters, about 100 are allowed)"


def _listening() -> Iterator[int]:
    """The descriptors of this process that are listening sockets."""
    for descriptor in _sockets():
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as each:
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield descriptor


def _sockets() -> Iterator[int]:
    for entry in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # closed since it was listed
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                yield int(entry.name)


def _bound_to(descriptor: int) -> object:
    """The local name of a socket; an accepted connection has the name of the socket that accepted it."""
    with socket.socket(fileno=os.dup(descriptor)) as each:
        return each.getsockname()


def _work(plan: Plan, listener: _Listener, control: socket.socket, *, slot: int, generation: int) -> int:
    """A worker's life: open, serve, drain. libmilter runs beside the main thread, which heeds the master."""
    structlog.contextvars.clear_contextvars()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        opened = plan.open_gate()
        with opened as gate:
            gc.collect()
            gc.freeze()  # rules and people are for ever: looking through them again and again finds nothing
            gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
            session.register(NAME, gate=gate, spool=plan.spool, clerks=Clerks(CLERKS))
            Thread(target=_serve, daemon=True).start()
            control.send(_READY)
            # An order, or nothing because the master is gone: in both cases it is time to end.
            if control.recv(1) == _FINISH:
                _empty(listener)
            _drain(listener, plan.drain)
    except (InspectorsError, StoreError, OSError) as error:
        _log.error("worker cannot start", slot=slot, generation=generation, reason=str(error))
        return 1
    return 0


def _serve() -> None:
    """libmilter's own loop. It ends only if something is wrong, and then the worker is of no use."""
    try:
        milter.main()
    finally:
        _log.error("libmilter ended", reason=str(sys.exc_info()[1] or ""))
        os._exit(1)


def _empty(listener: _Listener) -> None:
    """Wait until libmilter has accepted everybody who waits; the socket has no name now, so no more can come."""
    queue = select.poll()
    queue.register(listener.descriptor, select.POLLIN)
    deadline = monotonic() + EMPTY
    while queue.poll(0) and monotonic() < deadline:
        sleep(POLL)


def _drain(listener: _Listener, patience: float) -> None:
    """Accept nothing more, and wait until every session has ended or ``patience`` seconds have passed."""
    unknown = socket.socket(socket.AF_UNIX)
    unknown.bind("")  # a name that the kernel makes up
    unknown.listen(1)
    unknown.setblocking(False)
    os.dup2(unknown.fileno(), listener.descriptor)
    deadline = monotonic() + patience
    quiet = 0
    # Two looks without a connection: one may be on its way between accept and the table of descriptors.
    while quiet < 2 and monotonic() < deadline:
        sleep(POLL)
        quiet = 0 if _connections(listener) else quiet + 1


def _connections(listener: _Listener) -> int:
    """How many connections this process has accepted from ``listener`` and not closed."""
    count = 0
    for descriptor in _sockets():
        with suppress(OSError):
            count += _bound_to(descriptor) == listener.name
    return count


def _notify(*lines: str) -> None:
    """Tell the service manager (sd_notify(3)), if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, suppress(OSError):
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.send("\n".join(lines).encode())
