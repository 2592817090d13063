"""Owns the courier: a process that sends what is owed, and is the only one that speaks SMTP outward.

It claims rows of the outbox with a lease, sends, and records the reply. It may be killed at any moment: what was
not recorded is claimed again once its lease is over. A mail can go out twice only if the courier dies after the
final dot and before the record; it then has the same Message-ID and the same bytes.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from types import FrameType
from typing import Protocol

import structlog

from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_quarantine import gathering, notices, offers, release, samples, smtp
from gatepost_quarantine.held import HeldMessage, Notice
from gatepost_quarantine.rescan import Rescan, RescanError
from gatepost_quarantine.sql import open_store
from gatepost_quarantine.store import OwedNotice, OwedRelease, Store, StoreError
from gatepost_quarantine.tokens import NOTICE_KEY, RELEASE_KEY, NoticeMarks
from gatepost_quarantine.wording import Templates, shipped

ACTOR = "gatepost-courier"

_BATCH = 10
_TIDY_EVERY = 3600.0
"""Seconds between two housekeepings."""

_MARGIN = 30.0
"""Seconds that a lease lasts longer than what it covers."""

_LOOKS = 3
"""Tries to judge a release again before a reviewer is asked instead."""

_PARTING = 20.0
"""Seconds that a stopping courier goes on trying to record what it has sent."""

log = structlog.get_logger()


class Stop(Protocol):
    """Tells the courier to end; a ``threading.Event`` does, and so does ``StopSignal``."""

    def is_set(self) -> bool:
        """Whether to end after the present mail."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until told to end."""
        ...


class StopSignal:
    """Set by SIGTERM and SIGINT; SIGHUP asks for a reload.

    A pipe: a lock could be held already by the thread that the handler runs on.
    """

    def __init__(self) -> None:
        self._set = False
        self._reload = False
        self._read, self._write = os.pipe()

    def is_set(self) -> bool:
        """Whether the signal has come."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until the signal comes."""
        if select.select([self._read], [], [], timeout)[0] and not self._set:
            os.read(self._read, 1)
        return self._set

    def wants_reload(self) -> bool:
        """Whether SIGHUP has come since this was asked last."""
        wanted, self._reload = self._reload, False
        return wanted

    def close(self) -> None:
        """Give the pipe up."""
        os.close(self._read)
        os.close(self._write)

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        if not self._set:
            self._set = True
            os.write(self._write, b"x")

    def handle_reload(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of SIGHUP."""
        if not self._reload:
            self._reload = True
            os.write(self._write, b"r")


@dataclass(frozen=True, slots=True)
class _Job:
    """What goes out in one SMTP transaction: the rows, the mail, and where to."""

    rows: tuple[int, ...]
    attempts: int
    mail: smtp.Mail
    server: str
    held_id: str


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one row, until the store has it."""

    row: int
    attempts: int
    reply: smtp.Reply
    held_id: str
    overdue: bool = False
    """A notice that has been tried for long enough: if it fails now, it is given up."""
    owes: tuple[Notice, ...] = ()
    """Notices that are owed once the store has it that the mail was accepted."""


def main(load: Callable[[], Settings]) -> int:
    """Run the courier until SIGTERM or SIGINT; the exit status. SIGHUP loads the settings and templates again.

    Raises ConfigError and StoreError if it cannot start.
    """
    settings = load()
    templates = samples.load(settings)
    stop = StopSignal()
    with _signals(stop):
        store = open_store(settings.store, gateway=settings.gateway)
        try:
            reload = partial(_reload, load=load, stop=stop)
            run(settings, store, stop=stop, templates=templates, reload=reload)
        finally:
            store.close()
            stop.close()
    return 0


def run(
    settings: Settings,
    store: Store,
    *,
    stop: Stop,
    lease: float | None = None,
    templates: Templates | None = None,
    reload: Callable[[Courier], None] | None = None,
) -> None:
    """Send what is owed until ``stop`` is set. ``lease`` in seconds; tests shorten it.

    ``reload`` is called before each batch, and may give the courier other settings.
    """
    worker = f"{settings.gateway}:{os.getpid()}"
    courier = Courier(settings, store, worker=worker, lease=lease, templates=templates)
    log.info("started", worker=worker, inbound=settings.courier.inbound, outbound=settings.courier.outbound)
    while not stop.is_set():
        if reload is not None:
            reload(courier)
        try:
            busy = courier.work(stop)
        except StoreError as error:
            log.warning("store-unavailable", error=str(error))
            busy = False
        if not busy:
            stop.wait(settings.courier.poll)
    courier.part()
    log.info("stopped", worker=worker)


def _reload(courier: Courier, *, load: Callable[[], Settings], stop: StopSignal) -> None:
    """Load again if that was asked for. If anything is bad, the log says why and the old stays in force.

    The store and the gateway's name change only with a restart.
    """
    if not stop.wants_reload():
        return
    try:
        settings = load()
        courier.use(settings, samples.load(settings))
    except ConfigError as error:
        log.error("reload-failed", error=str(error))
        return
    log.info("reloaded")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Courier:
    """One courier's work. ``lease`` is what it claims rows for, in seconds; ``clock`` is for tests."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        worker: str,
        lease: float | None = None,
        clock: Callable[[], datetime] = _utc_now,
        templates: Templates | None = None,
    ) -> None:
        self._templates = templates or shipped()
        self._settings = settings
        self._store = store
        self._worker = worker
        self._lease = lease or settings.courier.timeout + _MARGIN
        self._clock = clock
        self._unrecorded: list[_Result] = []
        self._tidied = 0.0

    def work(self, stop: Stop) -> bool:
        """Claim and send one batch; whether there was anything to do. Raises StoreError."""
        self._record()
        self._tidy()
        claimed = self._store.claim(worker=self._worker, lease=self._lease, limit=_BATCH)
        kept = self._gathered(claimed)
        owed = [each for each in claimed if each.row not in kept]
        waiting = {each.row for each in owed}
        for group in _grouped(owed, self._server):
            rows = [each.row for each in group]
            if stop.is_set():
                break
            waiting.difference_update(rows)
            # The batch's first mails may have taken long.
            if self._store.renew(rows, worker=self._worker, lease=self._lease):
                self._send(group)
                self._record()
        if waiting:
            self._store.let_go(sorted(waiting), worker=self._worker)
        return bool(claimed)

    def use(self, settings: Settings, templates: Templates) -> None:
        """Go on with other settings and templates; the store stays the one that is open."""
        self._settings = settings
        self._templates = templates

    def part(self) -> None:
        """Record what was sent and could not be recorded yet; its rows stay claimed, so nobody sends them now."""
        deadline = time.monotonic() + _PARTING
        while self._unrecorded and time.monotonic() < deadline:
            try:
                self._record()
            except StoreError as error:
                log.warning("store-unavailable", error=str(error))
                time.sleep(0.5)  # nothing tells us that it is back; the deadline bounds the asking

    def _send(self, group: Sequence[OwedRelease | OwedNotice]) -> None:
        try:
            group = self._looked_at(group)
            if not group:
                return
            job = self._job(group)
        except StoreError as error:
            # Perhaps of this message alone, which is then no reason that the others wait.
            reply = smtp.Reply(0, f"gatepost: {error}")
            self._keep([self._result(each, reply, _held_id(each)) for each in group])
            return
        except notices.NoticeError as error:
            reply = smtp.Reply(451, f"4.3.0 gatepost: the notice cannot be written: {error}")
            log.error("notice-unwritable", row=group[0].row, error=str(error))
            self._keep([self._result(each, reply, "") for each in group])
            return
        try:
            replies = smtp.send(
                job.mail, hop=self._hop(job.server), keep_alive=self._keeper(job), may_finish=self._finisher(job)
            )
        except smtp.LeaseLostError:
            log.warning("lease-lost", rows=job.rows, held_id=job.held_id)
            return
        except smtp.SmtpError as error:
            replies = [smtp.Reply(0, str(error))] * len(job.mail.targets)
        except StoreError as error:
            # The bytes could not be read to their end, and no dot was sent.
            replies = [smtp.Reply(0, f"gatepost: {error}")] * len(job.mail.targets)
        by_address = dict(zip((each.address for each in job.mail.targets), replies, strict=True))
        results = [self._result(each, by_address[_address(each)], job.held_id) for each in group]
        arrived = [each for each in group if by_address[_address(each)].accepted]
        told = self._good_news([each for each in arrived if isinstance(each, OwedRelease)])
        if told:
            first = results.index(next(each for each in results if each.row == arrived[0].row))
            results[first] = replace(results[first], owes=told)
        self._keep(results)

    def _good_news(self, arrived: Sequence[OwedRelease]) -> tuple[Notice, ...]:
        """What a known sender is told when a reviewer's release has arrived, not when it was their own answer."""
        if not self._settings.notices.released or not arrived:
            return ()
        held = arrived[0].held
        others = [each.recipient.address for each in arrived if each.recipient.decided_by != held.sender]
        return notices.released(held, gateway=self._settings.gateway, recipients=others) if others else ()

    def _looked_at(self, group: Sequence[OwedRelease | OwedNotice]) -> Sequence[OwedRelease | OwedNotice]:
        """What may be sent. A release that another policy held is judged again, and held again if that objects.

        A reviewer who then releases it again insists, and it goes.
        """
        releases = [each for each in group if isinstance(each, OwedRelease)]
        if not releases:
            return group
        held = releases[0].held
        try:
            objection = self._objection(held, releases)
        except RescanError as error:
            if releases[0].attempts < _LOOKS:
                reply = smtp.Reply(451, f"4.3.0 gatepost: {error}")
                self._keep([self._result(each, reply, held.id) for each in releases])
                return []
            objection = f"Not sent: {error}. Release it again if you insist."
        if not objection:
            return group
        insisted = self._store.held_again(held.id)
        stopped = [each for each in releases if each.recipient.address not in insisted]
        for each in stopped:
            self._store.hold_again(each.row, reason=objection, actor=ACTOR)
            log.warning("held-again", row=each.row, held_id=held.id)  # why is in the audit, for who may see it
        return [each for each in releases if each not in stopped]

    def _objection(self, held: HeldMessage, releases: Sequence[OwedRelease]) -> str:
        rescan = Rescan(self._settings)
        if not rescan.wanted(held):
            return ""
        rows = [each.row for each in releases]
        lease = self._settings.courier.rescan_deadline + self._lease
        self._store.renew(rows, worker=self._worker, lease=lease)
        to = [each.recipient.address for each in releases]
        objection = rescan.objection(held, self._store.content(held.id), to=to)
        self._store.renew(rows, worker=self._worker, lease=self._lease)
        return objection

    def _result(self, owed: OwedRelease | OwedNotice, reply: smtp.Reply, held_id: str) -> _Result:
        overdue = False
        if isinstance(owed, OwedNotice):
            lifetime = timedelta(seconds=self._settings.courier.notice_lifetime)
            overdue = self._clock() - owed.owed_at >= lifetime
        return _Result(owed.row, owed.attempts, reply, held_id, overdue)

    def _job(self, group: Sequence[OwedRelease | OwedNotice]) -> _Job:
        first = group[0]
        if isinstance(first, OwedNotice):
            rendered = first.rendered
            if not rendered:
                rendered = self._rendered(first.notice)
                self._store.keep_rendered(first.row, rendered)
            mail = smtp.Mail(
                sender="",
                targets=[smtp.Target(address=first.notice.to)],
                content=lambda: [rendered],
                size=len(rendered),
            )
            held_id = first.notice.held_id
        else:
            held = first.held
            releases = [each for each in group if isinstance(each, OwedRelease)]
            targets = {
                each.to: smtp.Target(address=each.to, parameters=each.recipient.parameters) for each in releases
            }
            mail = smtp.Mail(
                sender=held.envelope.sender,
                targets=list(targets.values()),
                content=lambda: release.message(held, self._store.content(held.id)),
                size=release.size(held),
                parameters=held.envelope.sender_parameters,
                client=release.forwarded_client(held.envelope, queue_id=held.queue_id),
            )
            held_id = held.id
        rows = tuple(each.row for each in group)
        mail = self._for_the_front_door(mail)
        return _Job(rows=rows, attempts=first.attempts, mail=mail, server=self._server(first), held_id=held_id)

    def _for_the_front_door(self, mail: smtp.Mail) -> smtp.Mail:
        """With the token by which the gateway knows it, where it goes in where all mail does; else as it is."""
        if self._settings.courier.way != "front-door":
            return mail
        recipients = [each.address for each in mail.targets]
        key = self._store.key(RELEASE_KEY)
        field = release.front_door(mail.content(), recipients=recipients, key=key, now=self._clock())
        return replace(mail, content=lambda: chain([field], mail.content()), size=mail.size + len(field))

    def _rendered(self, notice: Notice) -> bytes:
        return notices.render(
            notice,
            settings=self._settings,
            now=self._clock(),
            offer=offers.offer(notice, store=self._store, settings=self._settings),
            offers=offers.of_digest(notice, store=self._store, settings=self._settings),
            templates=self._templates,
            mark=NoticeMarks(self._store.key(NOTICE_KEY)).make(notice.message_id),
        )

    def _gathered(self, claimed: Sequence[OwedRelease | OwedNotice]) -> set[int]:
        """The notices that are not sent now, because they wait for others."""
        owed = [each for each in claimed if isinstance(each, OwedNotice)]
        return gathering.gathered(
            owed, store=self._store, settings=self._settings, worker=self._worker, now=self._clock()
        )

    def _server(self, owed: OwedRelease | OwedNotice) -> str:
        """Which release listener takes it: inbound mail the one without milters, all else the signer's."""
        courier = self._settings.courier
        if isinstance(owed, OwedRelease) and release.goes_inbound(owed.recipient.direction):
            return courier.inbound
        return courier.outbound

    def _hop(self, server: str) -> smtp.Hop:
        return smtp.Hop(server=server, helo=self._settings.gateway, timeout=self._settings.courier.timeout)

    def _keeper(self, job: _Job) -> Callable[[], None]:
        """Renews the lease while a large message is sent, well before it ends."""
        renewed = time.monotonic()

        def keep_alive() -> None:
            nonlocal renewed
            if time.monotonic() - renewed > self._lease / 3:
                if not self._store.renew(job.rows, worker=self._worker, lease=self._lease):
                    raise smtp.LeaseLostError
                renewed = time.monotonic()

        return keep_alive

    def _finisher(self, job: _Job) -> Callable[[], bool]:
        """Before the final dot, be sure that the rows are ours, and stay so until the answer must have come."""
        lease = smtp.FINAL_TIMEOUT + self._lease
        return lambda: self._store.renew(job.rows, worker=self._worker, lease=lease)

    def _keep(self, results: Sequence[_Result]) -> None:
        self._unrecorded += results

    def _record(self) -> None:
        """Tell the store what became of each row; what it cannot take now is told again. Raises StoreError."""
        while self._unrecorded:
            result = self._unrecorded[0]
            reply = str(result.reply) if result.reply.code else result.reply.text
            facts = {"row": result.row, "held_id": result.held_id, "attempts": result.attempts, "reply": reply}
            if result.reply.accepted:
                self._store.sent(result.row, reply=reply, actor=ACTOR, notices=result.owes)
                log.info("sent", **facts)
            elif result.reply.permanent or result.overdue:
                self._store.failed(result.row, reply=reply, retry_in=None, actor=ACTOR)
                log.warning("refused", **facts)
            else:
                waits = self._settings.courier.retry
                wait = waits[min(max(result.attempts, 1), len(waits)) - 1]
                self._store.failed(result.row, reply=reply, retry_in=wait, actor=ACTOR)
                log.warning("put-off", retry_in=wait, **facts)
            del self._unrecorded[0]

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied > _TIDY_EVERY:
            self._store.tidy()
            self._tidied = time.monotonic()


def _grouped(
    owed: Sequence[OwedRelease | OwedNotice], server: Callable[[OwedRelease | OwedNotice], str]
) -> Iterator[list[OwedRelease | OwedNotice]]:
    """What may go out together: the releases of one message to one listener. A notice goes alone."""
    groups: dict[object, list[OwedRelease | OwedNotice]] = {}
    for each in owed:
        key: object = (each.held.id, server(each)) if isinstance(each, OwedRelease) else each.row
        groups.setdefault(key, []).append(each)
    yield from groups.values()


def _held_id(owed: OwedRelease | OwedNotice) -> str:
    return owed.held.id if isinstance(owed, OwedRelease) else owed.notice.held_id


def _address(owed: OwedRelease | OwedNotice) -> str:
    return owed.to if isinstance(owed, OwedRelease) else owed.notice.to


@contextmanager
def _signals(stop: StopSignal) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP tell ``stop`` inside; what they did before is restored after."""
    handlers = {signal.SIGTERM: stop.handle, signal.SIGINT: stop.handle, signal.SIGHUP: stop.handle_reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
