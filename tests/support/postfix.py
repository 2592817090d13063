"""Owns the lab of the end-to-end stories: a private Postfix with the shipped lines, and what stands around it."""

from __future__ import annotations

import shutil
import smtplib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatepost_config.documents import load_settings
from gatepost_milter.demo import postfix
from gatepost_milter.demo.gateway import Gateway
from gatepost_milter.demo.logins import PASSWORD, LoginServer
from gatepost_milter.demo.mailboxes import Delivery, Listener, Mailboxes
from gatepost_milter.demo.postfix import Ports, PrivatePostfix, Site
from gatepost_quarantine.held import HeldMessage
from gatepost_quarantine.sql import SqlStore, open_store
from gatepost_quarantine.store import Filter

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "postfix"
PATIENCE = 30.0
"""Seconds that a story waits for a mail before it says that the mail does not come."""


def example_parameters(milter: str) -> dict[str, str]:
    """The parameters of config/postfix/main.cf, with the lab's milter in place of the shipped socket."""
    parameters = parameters_in(EXAMPLES / "main.cf")
    return {name: value.replace("unix:/gatepost/milter.sock", milter) for name, value in parameters.items()}


def parameters_in(path: Path) -> dict[str, str]:
    """The parameters in a file like main.cf (postconf(5): continued lines begin with white space)."""
    parameters: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            parameters[name] = f"{parameters[name]} {line.strip()}".strip()
        else:
            name, _, value = (part.strip() for part in line.partition("="))
            parameters[name] = value
    return parameters


def example_release_options() -> Mapping[int, dict[str, str]]:
    """The options of each release listener in config/postfix/master.cf, by port."""
    options: dict[int, dict[str, str]] = {}
    port = 0
    for line in (EXAMPLES / "master.cf").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] == "-o":
            name, _, value = words[1].partition("=")
            options[port][name] = value
        else:
            port = int(words[0].rpartition(":")[2])
            options[port] = {}
    return options


@dataclass(slots=True, kw_only=True)
class PostfixLab:
    """Postfix, the mailboxes at its end, and (where a story has one) the gateway."""

    postfix: PrivatePostfix
    mailboxes: Mailboxes
    gateway: Gateway | None = None
    home: Path = field(default_factory=Path)

    def arrives(self, address: str, *, count: int = 1) -> tuple[Delivery, ...]:
        """What the address has received, once that are ``count`` mails; fails the story if they do not come."""
        came = self.mailboxes.wait(
            lambda all_: sum(address in each.recipients for each in all_) >= count, seconds=PATIENCE
        )
        assert came, f"{address} did not get {count} mails\n{self.postfix.log()}"
        return self.mailboxes.of(address)

    @property
    def running(self) -> Gateway:
        """The gateway of a lab that has one."""
        assert self.gateway is not None
        return self.gateway

    @contextmanager
    def store(self) -> Iterator[SqlStore]:
        """The gateway's store, opened beside the milter and the courier."""
        settings = load_settings(self.running.config)
        opened = open_store(settings.store, gateway=settings.gateway)
        try:
            yield opened
        finally:
            opened.close()

    def held(self, subject: str = "") -> tuple[HeldMessage, ...]:
        """What the store holds, undecided or not; only messages of this subject if one is given."""
        with self.store() as store:
            kept = store.list(Filter(limit=1000))
        return tuple(each for each in kept if subject in ("", each.subject))

    def release(self, held: HeldMessage, *recipients: str) -> None:
        """Let the courier send a held message to these recipients, or to all that are held."""
        with self.store() as store:
            store.release(held.id, recipients=recipients, actor="story", reason="the story wants it")

    def undelivered(self, address: str) -> bool:
        """Whether the address has nothing, now that Postfix has nothing left to do."""
        self.settle()
        return not self.mailboxes.of(address)

    def settle(self) -> None:
        """Wait until Postfix's queue is empty: only then does "nothing came" mean that nothing comes."""
        deadline = time.monotonic() + PATIENCE
        while self.postfix.queue():
            assert time.monotonic() < deadline, f"the queue does not empty\n{self.postfix.log()}"
            time.sleep(0.05)  # Postfix tells nobody when it is done; the deadline bounds the asking

    def inbound(
        self,
        content: bytes,
        *,
        to: Sequence[str],
        sender: str = "someone@outside.example",
        options: Sequence[str] = (),
    ) -> str:
        """Send from outside, to what stands for port 25; the reply to the final dot. Raises smtplib's errors."""
        with smtplib.SMTP("127.0.0.1", self.postfix.ports.smtp, timeout=PATIENCE * 4) as client:
            return deliver(client, content, sender=sender, to=to, options=options)

    def submit(
        self,
        content: bytes,
        *,
        to: Sequence[str],
        login: str,
        sender: str = "",
        options: Sequence[str] = (),
    ) -> str:
        """Log in at the submission port and send as ``sender`` (the login, where it is left out)."""
        with smtplib.SMTP("127.0.0.1", self.postfix.ports.submission, timeout=PATIENCE * 4) as client:
            client.login(login, PASSWORD)
            return deliver(client, content, sender=sender or login, to=to, options=options)


def deliver(
    client: smtplib.SMTP,
    content: bytes,
    *,
    sender: str,
    to: Sequence[str],
    options: Sequence[str] = (),
) -> str:
    """One transaction; the text of the reply to the final dot. Raises SMTPResponseException if refused."""
    client.ehlo_or_helo_if_needed()
    if "SMTPUTF8" in options:
        client.command_encoding = "utf-8"
    for code, text in (client.mail(sender, list(options)), *(client.rcpt(each) for each in to)):
        if code // 100 != 2:
            raise smtplib.SMTPResponseException(code, text)
    code, text = client.data(content)
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    return text.decode()


@contextmanager
def postfix_lab(
    *,
    domains: Sequence[str] = ("school.example",),
    logins: Sequence[str] = (),
    aliases: Mapping[str, Sequence[str]] | None = None,
    milters_before: Sequence[str] = (),
    milters_after: Sequence[str] = (),
    gateway: bool = True,
    overrides: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    milter: str = "",
    front_door: bool = False,
) -> Iterator[PostfixLab]:
    """A whole mail system on loopback; with ``gateway`` the real milter and the real courier belong to it.

    ``overrides`` are gatepost's settings, ``settings`` Postfix's; both win over the lab's own. ``milter`` puts
    another milter in gatepost's place. With ``front_door`` the courier sends to what stands for port 25.
    """
    home = postfix.folder()
    ports = Ports(
        smtp=postfix.free_port(),
        submission=postfix.free_port(),
        inbound=postfix.free_port(),
        outbound=postfix.free_port(),
    )
    mailboxes = Mailboxes()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        running = None
        if gateway:
            running = stack.enter_context(
                Gateway(
                    home,
                    domains=domains,
                    inbound=ports.smtp if front_door else ports.inbound,
                    outbound=ports.smtp if front_door else ports.outbound,
                    overrides=overrides,
                )
            )
            milter = f"unix:{running.socket}"
        sink = stack.enter_context(Listener(mailboxes, via="mailboxes"))
        login_server = stack.enter_context(LoginServer(home / "logins.sock", logins=logins))
        parameters = example_parameters(milter) if milter else {}
        chain = [*milters_before, parameters.get("smtpd_milters", ""), *milters_after]
        parameters["smtpd_milters"] = ", ".join(each for each in chain if each)
        site = Site(
            domains=domains,
            next_hop=sink.port,
            aliases=aliases or {},
            login_socket=login_server.path,
            settings=parameters | dict(settings or {}),
            release_options=example_release_options()[10025],
        )
        yield PostfixLab(
            postfix=stack.enter_context(PrivatePostfix(home, site=site, ports=ports)),
            mailboxes=mailboxes,
            gateway=running,
            home=home,
        )
