"""The courier and a real Postfix: what a release listener makes of the bytes, envelope and client facts."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.quarantine import chunks, held, recipient

from gatepost_config.settings import Courier as CourierSettings
from gatepost_config.settings import School, Settings, Store
from gatepost_milter.demo.mailboxes import Listener, Mailboxes
from gatepost_milter.demo.postfix import PrivatePostfix, Site, folder
from gatepost_quarantine.courier import Courier
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import SqlStore, open_store

ODD = (
    b"From:\tSupplier\r\n\t<sales@supplier.example>\r\nTo:   teacher@school.example  \r\nX-Empty:\r\n"
    b"Subject: Gr\xfc\xdfe\r\n  oddly\r\n\tfolded\r\n\r\n.\r\n..\r\n8-bit \xe9\xff, a trailing space \r\n\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Station:
    """A store, a courier's settings, and the Postfix that it releases to."""

    store: SqlStore
    settings: Settings
    postfix: PrivatePostfix
    mailboxes: Mailboxes

    def release(self, message: HeldMessage, content: bytes) -> HeldMessage:
        """Hold, release, and let the courier work once."""
        self.store.hold(message, content=chunks(content))
        self.store.release(message.id, actor="ann")
        Courier(self.settings, self.store, worker="test").work(threading.Event())
        return self.store.get(message.id)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """All of it, running."""
    mailboxes = Mailboxes()
    home = folder()
    with Listener(mailboxes, via="next-hop") as end:
        site = Site(domains=["school.example"], next_hop=end.port, settings={"message_size_limit": "1000000"})
        with PrivatePostfix(home, site=site) as postfix:
            configured = Store(url=f"sqlite:///{tmp_path / 'quarantine.db'}", free_floor=0)
            settings = Settings(
                school=School(name="Example School", domains=["school.example"]),
                gateway="mx1.school.example",
                store=configured,
                courier=CourierSettings(
                    inbound=f"127.0.0.1:{postfix.ports.inbound}",
                    outbound=f"127.0.0.1:{postfix.ports.outbound}",
                ),
            )
            store = open_store(configured, gateway="mx1.school.example")
            yield Station(store, settings, postfix, mailboxes)
            store.close()
    shutil.rmtree(home)


def test_postfix_passes_a_release_on_byte_for_byte(station: Station) -> None:
    """Below the trace fields nothing is different, and Postfix's log names the client that sent it."""
    after = station.release(held(ODD), ODD)
    assert after.recipients[0].state is State.RELEASED, after.recipients[0]
    assert after.recipients[0].reply.startswith("250 2.0.0 Ok: queued as")
    assert station.mailboxes.wait(lambda all_: len(all_) == 1, seconds=30), station.postfix.log()
    (arrived,) = station.mailboxes.all()
    assert arrived.content.endswith(b"+0000\r\n" + ODD)
    assert b"from mail.supplier.example (mail.supplier.example [192.0.2.25])" in arrived.content
    assert "client=mail.supplier.example[192.0.2.25]" in station.postfix.log()


def test_what_postfix_refuses_is_held_again_with_its_words(station: Station) -> None:
    """The reviewer reads Postfix's own reason."""
    large = ODD + b"x" * 70 + b"\r\n" * 600_000
    after = station.release(held(large, recipients=[recipient()]), large)
    assert after.recipients[0].state is State.HELD
    assert "5.3.4" in after.recipients[0].reply
    assert station.mailboxes.all() == ()
