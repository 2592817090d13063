"""The courier loses nothing, sends nothing twice, and tells the reviewer what the mail server said."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import pytest
from support.couriers import GATEWAY, at, released, settings_for, states, work
from support.quarantine import MESSAGE, Clock, chunks, held, notice, recipient
from support.smtp import Sink
from support.stores import new_store

from gatepost_config.settings import Settings, Store
from gatepost_config.words import Direction
from gatepost_quarantine import smtp
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.courier import Courier, StopSignal, run
from gatepost_quarantine.held import Envelope, State
from gatepost_quarantine.sql import SqlStore, open_store
from gatepost_quarantine.store import OwedNotice, StoreError
from gatepost_quarantine.tokens import NOTICE_HEADER, NOTICE_KEY, NoticeMarks


@pytest.fixture
def configured(tmp_path: Path) -> Store:
    """A store's settings."""
    return Store(url=new_store(tmp_path / "quarantine.db"), free_floor=0)


@pytest.fixture
def clock() -> Clock:
    """A clock that goes only where a test sends it."""
    return Clock()


@pytest.fixture
def store(configured: Store, clock: Clock) -> Iterator[SqlStore]:
    """An open store."""
    opened = open_store(configured, gateway=GATEWAY, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def inbound() -> Iterator[Sink]:
    """The release listener for inbound mail."""
    with Sink() as listening:
        yield listening


@pytest.fixture
def outbound() -> Iterator[Sink]:
    """The release listener with the signer."""
    with Sink() as listening:
        yield listening


@pytest.fixture
def settings(configured: Store, inbound: Sink, outbound: Sink) -> Settings:
    """Settings that send to the two sinks."""
    return settings_for(configured, inbound.address, outbound.address)


# What goes where, and how


def test_each_direction_takes_its_listener(
    store: SqlStore, settings: Settings, inbound: Sink, outbound: Sink
) -> None:
    """Inbound mail keeps its own signature; outbound and internal mail and our notices need ours."""
    everyone = [
        recipient("in@school.example"),
        recipient("out@elsewhere.example", direction=Direction.OUTBOUND),
        recipient("internal@school.example", direction=Direction.INTERNAL),
    ]
    message = released(store, held(recipients=everyone))
    store.owe([notice("told@school.example")], key="k")
    work(settings, store)
    assert [mail.recipients for mail in inbound.mails] == [("in@school.example",)]
    assert sorted(mail.recipients for mail in outbound.mails) == [
        ("out@elsewhere.example", "internal@school.example"),
        ("told@school.example",),
    ]
    assert states(store, message) == [State.RELEASED] * 3


def test_recipients_released_together_go_in_one_transaction(
    store: SqlStore, settings: Settings, inbound: Sink
) -> None:
    """Thirty recipients of a large message are one transfer, as when it came."""
    message = released(store, held(recipients=[recipient(f"r{number}@school.example") for number in range(30)]))
    work(settings, store)
    assert [len(mail.recipients) for mail in inbound.mails] == [30]
    assert set(states(store, message)) == {State.RELEASED}


def test_the_envelope_goes_out_as_it_came(store: SqlStore, settings: Settings, inbound: Sink) -> None:
    """ESMTP parameters are kept, SIZE is counted again, and the log learns the real client (XFORWARD)."""
    message = held(
        recipients=[recipient(parameters=("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Teacher@school.example"))],
        envelope=Envelope(
            sender="sales@supplier.example",
            sender_parameters=("SIZE=9", "body=8BITMIME", "RET=HDRS", "ENVID=abc+2B", "AUTH=<>", "HOLDFOR=9"),
            client_name="mail supplier=+é",
            client_address="2001:db8::25",
            client_port=40123,
            helo="helo\r\nRCPT TO:<x@y>",
            protocol="ESMTPS",
        ),
    )
    released(store, message)
    work(settings, store)
    (mail,) = inbound.mails
    size = len(mail.content)
    assert list(mail.commands) == [
        f"EHLO {GATEWAY}",
        (
            "XFORWARD NAME=mail+20supplier+3D+2B+C3+A9 ADDR=IPV6:2001:db8::25 PORT=40123 PROTO=ESMTP "
            "HELO=helo+0D+0ARCPT+20TO:<x@y> IDENT=4cXyZ12abc SOURCE=REMOTE"
        ),
        f"MAIL FROM:<sales@supplier.example> body=8BITMIME RET=HDRS ENVID=abc+2B SIZE={size}",
        "RCPT TO:<teacher@school.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Teacher@school.example",
        "DATA",
    ]


def test_a_server_without_extensions_gets_none(store: SqlStore, configured: Store) -> None:
    """DSN is a wish; what the message itself needs is not left out in silence."""
    with Sink(extensions=[], smtputf8=False) as plain:
        settings = settings_for(configured, plain.address, plain.address)
        first = released(store, held(recipients=[recipient(parameters=("NOTIFY=NEVER",))]))
        second = released(
            store,
            held(key="2", envelope=Envelope(sender="zoë@bücher.example", sender_parameters=("SMTPUTF8",))),
        )
        work(settings, store)
        assert [mail.commands[2] for mail in plain.mails] == ["RCPT TO:<teacher@school.example>"]
    assert states(store, first) == [State.RELEASED]
    waiting = store.get(second.id).recipients[0]
    assert (waiting.state, "SMTPUTF8" in waiting.reply) == (State.RELEASING, True)


def test_international_addresses_ask_for_smtputf8(store: SqlStore, settings: Settings, inbound: Sink) -> None:
    """The client's parameter is kept, and an address that needs it asks even where none was given."""
    released(store, held(recipients=[recipient("zoë@school.example")], envelope=Envelope(sender="")))
    work(settings, store)
    (mail,) = inbound.mails
    assert (mail.sender, mail.recipients) == ("", ("zoë@school.example",))
    assert "SMTPUTF8" in mail.commands[2]


@pytest.mark.parametrize("address", ["a b@school.example", "x>\r\nDATA@school.example", "a\0@school.example"])
def test_an_address_that_cannot_be_written_returns_to_held(
    store: SqlStore, settings: Settings, inbound: Sink, address: str
) -> None:
    """It never becomes a second command, and the reviewer can send the copy elsewhere."""
    message = released(store, held(recipients=[recipient(address), recipient("good@school.example")]))
    work(settings, store)
    assert states(store, message) == [State.HELD, State.RELEASED]
    assert [mail.recipients for mail in inbound.mails] == [("good@school.example",)]
    assert not any("school.example>" in line and "\r" in line for line in inbound.sessions[0])


def test_a_release_elsewhere_goes_there(store: SqlStore, settings: Settings, inbound: Sink) -> None:
    """And the record says so."""
    message = released(store, held(), to="it.support@school.example")
    work(settings, store)
    assert [mail.recipients for mail in inbound.mails] == [("it.support@school.example",)]
    assert store.get(message.id).recipients[0].released_to == "it.support@school.example"


# Refusals


def test_a_refused_recipient_returns_to_held_and_the_others_go(
    store: SqlStore, configured: Store, clock: Clock
) -> None:
    """Each recipient has an answer of their own: accepted, refused, later."""
    answers = {"bad@": "550 5.1.1 no such user", "later@": "450 4.2.0 try later"}

    def answer(verb: str, argument: str) -> str | None:
        return next((reply for who, reply in answers.items() if verb == "RCPT" and who in argument), None)

    with Sink(answer=answer) as sink:
        settings = settings_for(configured, sink.address, sink.address)
        people = [recipient(f"{who}@school.example") for who in ("good", "bad", "later")]
        message = released(store, held(recipients=people))
        work(settings, store)
        after = store.get(message.id).recipients
        assert [(each.state, each.reply) for each in after] == [
            (State.RELEASED, "250 2.0.0 Ok: queued as SINK"),
            (State.HELD, "550 5.1.1 no such user"),
            (State.RELEASING, "450 4.2.0 try later"),
        ]
        assert store.events(message.id)[-1].verb in (Verb.DELIVER, Verb.REFUSE)
        clock.move(seconds=31)
        del answers["later@"]
        work(settings, store)
        assert [mail.recipients for mail in sink.mails] == [("good@school.example",), ("later@school.example",)]


@pytest.mark.parametrize(
    ("verb", "reply", "state"),
    [
        ("MAIL", "552 5.3.4 too big", State.HELD),
        ("MAIL", "451 4.3.0 later", State.RELEASING),
        ("DATA", "554 5.5.1 no", State.HELD),
        ("DATA", "250 2.0.0 what?", State.RELEASING),
        (".", "550 5.7.1 refused by content", State.HELD),
        (".", "451 4.3.0 queue full", State.RELEASING),
        ("RCPT", "421 4.3.2 going down", State.RELEASING),
        ("MAIL", "close", State.RELEASING),
        ("DATA", "close", State.RELEASING),
    ],
)
def test_every_answer_at_every_step_is_understood(
    store: SqlStore, configured: Store, verb: str, reply: str, state: State
) -> None:
    """5xx is for a reviewer, 4xx and broken connections are for later, and only the final 2xx is acceptance."""
    with Sink(answer=lambda said, _argument: reply if said == verb else None) as sink:
        message = released(store, held())
        work(settings_for(configured, sink.address, sink.address), store)
        assert sink.mails == []
    after = store.get(message.id).recipients[0]
    assert after.state is state
    if reply != "close":
        assert reply in after.reply


def test_without_a_server_mail_waits_longer_each_time(
    store: SqlStore, configured: Store, clock: Clock, inbound: Sink
) -> None:
    """The waits are those of the settings, the last one repeats, and nothing is ever given up."""
    nowhere = settings_for(configured, "127.0.0.1:1", "127.0.0.1:1")
    message = released(store, held())
    for wait in (30, 300, 300):
        work(nowhere, store)
        assert "refused" in store.get(message.id).recipients[0].reply
        clock.move(seconds=wait - 1)
        assert store.claim(worker="other", lease=1) == []
        clock.move(seconds=1)
    work(settings_for(configured, inbound.address, inbound.address), store)
    assert states(store, message) == [State.RELEASED]


def test_a_notice_that_is_refused_is_given_up_with_an_event(store: SqlStore, configured: Store) -> None:
    """A mailbox that does not exist must not be tried for ever."""
    with Sink(answer=lambda verb, _argument: "550 5.1.1 gone" if verb == "RCPT" else None) as sink:
        message = held()
        store.hold(message, content=chunks(MESSAGE), notices=[notice(held_id=message.id)])
        work(settings_for(configured, sink.address, sink.address), store)
    last = store.events(message.id)[-1]
    assert (last.verb, last.details["reply"]) == (Verb.NOTICE_GIVEN_UP, "550 5.1.1 gone")
    assert store.counts().owed == 0


def test_a_notice_that_is_sent_again_is_the_same_mail(store: SqlStore, configured: Store, clock: Clock) -> None:
    """Whoever gets both can tell: one Message-ID, the same bytes."""
    contents: list[bytes] = []
    replies = ["451 4.3.0 later", None]
    with Sink(answer=lambda verb, _argument: replies.pop(0) if verb == "." else None) as sink:
        settings = settings_for(configured, sink.address, sink.address)
        store.owe([notice()], key="k")
        work(settings, store)
        clock.move(seconds=31)
        (row,) = store.claim(worker="look", lease=0)
        assert isinstance(row, OwedNotice)
        contents.append(row.rendered)
        clock.move(seconds=1)
        work(settings, store)
        contents.append(sink.mails[0].content)
    assert contents[0] == contents[1] != b""
    mark = BytesHeaderParser().parsebytes(contents[1])[NOTICE_HEADER]
    assert NoticeMarks(store.key(NOTICE_KEY)).is_ours(mark.encode()), "it is known again if it comes back"


def test_a_notice_that_cannot_be_written_waits_for_the_mend(
    store: SqlStore, settings: Settings, outbound: Sink
) -> None:
    """A defect of ours must lose no mail, and must not stop the others."""
    store.owe([notice(context={"nothing": "useful"}), notice("other@school.example")], key="k")
    work(settings, store)
    assert [mail.recipients for mail in outbound.mails] == [("other@school.example",)]
    assert store.counts().owed == 1


# Interruptions


class Losing:
    """A store that fails at the named method so often, and is otherwise the real one."""

    def __init__(self, store: SqlStore, method: str, times: int) -> None:
        self._store = store
        self._method = method
        self.left = times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._method:
            return found

        def once_more(*arguments: Any, **named: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                raise StoreError("the database is away")
            return found(*arguments, **named)

        return once_more


def test_what_could_not_be_recorded_is_recorded_and_not_sent_again(
    store: SqlStore, settings: Settings, inbound: Sink, clock: Clock
) -> None:
    """The database goes away between the final dot and the record: the courier remembers."""
    message = released(store, held())
    courier = Courier(settings, Losing(store, "sent", 2), worker="test")
    for _ in range(2):
        with pytest.raises(StoreError):
            courier.work(threading.Event())
        clock.move(seconds=60)
    courier.work(threading.Event())
    assert len(inbound.mails) == 1
    assert states(store, message) == [State.RELEASED]


def test_a_courier_that_stops_still_records_what_it_sent(
    store: SqlStore, settings: Settings, inbound: Sink
) -> None:
    """SIGTERM while the database is away for a moment."""
    message = released(store, held())
    courier = Courier(settings, Losing(store, "sent", 2), worker="test")
    with pytest.raises(StoreError):
        courier.work(threading.Event())
    courier.part()
    assert states(store, message) == [State.RELEASED]
    assert len(inbound.mails) == 1


def test_a_lease_that_was_lost_sends_nothing(store: SqlStore, settings: Settings, inbound: Sink) -> None:
    """Another courier has it: this one leaves before the final dot."""
    message = released(store, held())

    class Robbed(Losing):
        def __getattr__(self, name: str) -> Any:
            if name != "renew":
                return getattr(self._store, name)
            self.left -= 1
            return lambda *arguments, **named: self.left >= 0

    courier = Courier(settings, Robbed(store, "renew", 1), worker="test")
    courier.work(threading.Event())
    inbound.wait_until(lambda sink: "DATA" in sink.sessions[0])
    assert inbound.mails == []
    assert states(store, message) == [State.RELEASING]


def test_bytes_that_cannot_be_read_end_without_a_dot(store: SqlStore, settings: Settings, inbound: Sink) -> None:
    """Half a message must not arrive as a whole one."""
    message = released(store, held())
    with store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM chunk")
    work(settings, store)
    assert inbound.mails == []
    after = store.get(message.id).recipients[0]
    assert (after.state, "not whole" in after.reply) == (State.RELEASING, True)


def test_a_stop_ends_after_the_present_mail(store: SqlStore, configured: Store) -> None:
    """The mail that is being sent is finished and recorded, the next is free for whoever comes."""
    stop = threading.Event()

    def answer(verb: str, _argument: str) -> str | None:
        if verb == ".":
            stop.set()
        return None

    with Sink(answer=answer) as sink:
        settings = settings_for(configured, sink.address, sink.address)
        store.owe([notice(f"n{number}@school.example") for number in range(3)], key="k")
        run(settings, store, stop=stop)
        assert len(sink.mails) == 1
    left = store.claim(worker="next", lease=60)
    assert [(row.attempts) for row in left] == [1, 1]


def test_run_goes_on_when_the_database_comes_back(store: SqlStore, settings: Settings, outbound: Sink) -> None:
    """A restarted PostgreSQL is no reason to die."""
    stop = threading.Event()
    store.owe([notice()], key="k")
    losing = Losing(store, "claim", 3)
    thread = threading.Thread(target=run, args=(settings, losing), kwargs={"stop": stop})
    thread.start()
    outbound.wait_until(lambda sink: len(sink.mails) == 1)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_the_stop_signal_wakes_whoever_waits() -> None:
    """A courier that is waiting for work ends at once."""
    stop = StopSignal()
    assert stop.wait(0) is False
    before = signal.signal(signal.SIGUSR1, stop.handle)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.wait(20) is True
        assert stop.is_set()
    finally:
        signal.signal(signal.SIGUSR1, before)
        stop.close()


def test_a_large_message_is_not_taken_into_memory() -> None:
    """Pieces go out as they come: never more than two are there at once."""
    alive = 0
    most = 0

    class Piece(bytes):
        def __new__(cls) -> Piece:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, b"x" * 70 + b"\r\n")

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    for _ in smtp.stuffed(Piece() for _ in range(1000)):
        pass
    assert most <= 2


def test_a_notice_that_nobody_takes_is_given_up_after_days_and_a_release_never(
    store: SqlStore, settings: Settings, clock: Clock
) -> None:
    """A mailbox that is full for ever must not be tried for ever; held mail is another matter."""
    with Sink(answer=lambda verb, _: "452 4.2.2 mailbox full" if verb == "RCPT" else None) as full:
        settings = settings_for(settings.store, full.address, full.address)
        message = released(store, held())
        store.owe([notice()], key="k")
        clock.move(days=4.9)
        at(clock, settings, store)
        assert store.counts().owed == 2
        clock.move(days=0.2)
        at(clock, settings, store)
    assert store.counts().owed == 1
    assert states(store, message) == [State.RELEASING]
    (given_up,) = [link.event for link in store.chain(GATEWAY) if link.event.verb is Verb.NOTICE_GIVEN_UP]
    assert given_up.details["reply"] == "452 4.2.2 mailbox full"


def test_a_known_sender_is_told_once_that_a_release_has_arrived(
    store: SqlStore, settings: Settings, inbound: Sink, outbound: Sink
) -> None:
    """If the school wants it so; not before the mail server has it, and not of what one sent on oneself."""
    wanted = settings.model_copy(update={"notices": settings.notices.model_copy(update={"released": True})})
    mine = held(
        sender="ann@school.example",
        envelope=Envelope(sender="ann@school.example", login="ann"),
        recipients=[recipient("a@school.example"), recipient("b@school.example")],
    )
    message = released(store, mine, recipients=["a@school.example"])
    work(settings, store)
    assert outbound.mails == []
    store.release(message.id, recipients=["b@school.example"], actor="reviewer")
    work(wanted, store)
    work(wanted, store)
    (told,) = outbound.mails
    assert told.recipients == ("ann@school.example",)
    assert b"Subject: Auto: delivered: Invoice" in told.content
    own = held(key="own", sender="ann@school.example", envelope=Envelope(sender="ann@school.example", login="ann"))
    store.hold(own, content=chunks(MESSAGE))
    store.release(own.id, actor="ann@school.example")
    work(wanted, store)
    work(wanted, store)
    assert len(inbound.mails) == 3
    assert len(outbound.mails) == 1
