"""Owns a private Postfix: a whole instance in a folder of its own, on free loopback ports, gone afterwards.

The demo shows it with ``--mta postfix`` and the end-to-end tests are told on it, so both know Postfix from
here. It shares nothing with the machine's own Postfix but the programs, needs root as every Postfix does, and
never looks anything up in the DNS.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_START_DEADLINE = 20.0
"""Seconds that Postfix may take until it answers."""

_RELEASE_OPTIONS = {
    "receive_override_options": "no_header_body_checks,no_unknown_recipient_checks",
    "local_header_rewrite_clients": "",
    "content_filter": "",
    "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks,reject",
    "smtpd_recipient_restrictions": "permit_mynetworks,reject",
    "smtpd_client_restrictions": "",
    "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_milters": "",
}


class PostfixError(Exception):
    """Postfix cannot be run here, or did not start; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the private Postfix listens on 127.0.0.1: as port 25, as port 587, and the two release listeners."""

    smtp: int
    submission: int
    inbound: int
    outbound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the private Postfix is told about its school.

    ``domains`` are the school's own; ``next_hop`` is the loopback port that takes all mail in the end.
    ``milters`` are in Postfix's own words, in order. ``aliases`` maps an address to those it expands to.
    ``login_socket`` is where a login server answers (``demo.logins``). ``settings`` override any parameter,
    ``release_options`` any option of both release listeners.
    """

    domains: Sequence[str]
    next_hop: int
    milters: Sequence[str] = ()
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    login_socket: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    release_options: Mapping[str, str] = field(default_factory=dict)


def why_not() -> str:
    """Why no private Postfix can run here, or an empty string."""
    if shutil.which("postfix", path=_PATH) is None:
        return "Postfix is not installed (Debian: apt-get install postfix, kind of configuration: none)"
    if os.geteuid() != 0:
        return "Postfix only runs as root"
    return ""


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def folder() -> Path:
    """A new folder that Postfix's own user can enter, with a name short enough for Unix sockets."""
    made = Path(tempfile.mkdtemp(prefix="gatepost-"))
    made.chmod(0o755)
    return made


class PrivatePostfix:
    """A Postfix instance under ``home``. Use it as a context manager: it answers inside, and is stopped after."""

    def __init__(self, home: Path, *, site: Site, ports: Ports | None = None) -> None:
        self.home = home
        self.site = site
        self.ports = ports or Ports(
            smtp=free_port(), submission=free_port(), inbound=free_port(), outbound=free_port()
        )
        self._etc = home / "etc"

    def start(self) -> None:
        """Write the configuration, start, and wait until the first listener answers. Raises PostfixError."""
        if reason := why_not():
            raise PostfixError(reason)
        data = self.home / "data"
        for path in (self._etc, self.home / "spool", data):
            path.mkdir(mode=0o755, exist_ok=True)
        owner = pwd.getpwnam("postfix")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        shutil.copy("/etc/postfix/dynamicmaps.cf", self._etc)
        (self._etc / "aliases").write_text(
            "".join(f"{alias} {', '.join(to)}\n" for alias, to in self.site.aliases.items()), encoding="utf-8"
        )
        (self._etc / "main.cf").write_text(_lines(self._parameters()), encoding="utf-8")
        (self._etc / "master.cf").write_text(self._services(), encoding="utf-8")
        started = self._run("postfix", "start", check=False)
        if started.returncode != 0:
            raise PostfixError(f"Postfix did not start:\n{started.stderr}{self.log()}")
        self._await_answer()

    def stop(self) -> None:
        """Stop every process of this instance. Mail that is still queued stays in its folder."""
        self._run("postfix", "stop", check=False)

    def log(self) -> str:
        """The mail log so far."""
        path = self.home / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def queue(self) -> list[dict[str, object]]:
        """The messages in the queue, as ``postqueue -j`` tells them."""
        listed = self._run("postqueue", "-j").stdout
        return [json.loads(line) for line in listed.splitlines()]

    def flush(self) -> None:
        """Try at once to deliver what is deferred."""
        self._run("postqueue", "-f")

    def sendmail(self, content: bytes, *arguments: str) -> None:
        """Submit a message locally, as a program on the mail server would."""
        subprocess.run(
            [_program("sendmail"), "-C", str(self._etc), *arguments],
            input=content,
            check=True,
            timeout=60,
            env=self._environment(),
        )

    def __enter__(self) -> PrivatePostfix:
        try:
            self.start()
        except BaseException:  # __exit__ is not called then, and Ctrl-C must not leave a Postfix running
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _environment(self) -> dict[str, str]:
        return {"PATH": _PATH, "MAIL_CONFIG": str(self._etc), "LC_ALL": "C"}

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_program(program), "-c", str(self._etc), *arguments],
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
        )

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.ports.smtp), timeout=_START_DEADLINE) as probe:
                    probe.recv(512)
                    probe.sendall(b"QUIT\r\n")
                    probe.recv(512)
                return
            except ConnectionRefusedError as error:
                if time.monotonic() > deadline:
                    raise PostfixError(f"Postfix does not answer:\n{self.log()}") from error
                time.sleep(0.02)  # nothing tells us; the deadline above bounds the asking

    def _parameters(self) -> dict[str, str]:
        sink = f"smtp:[127.0.0.1]:{self.site.next_hop}"
        parameters = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.home / "spool"),
            "data_directory": str(self.home / "data"),
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "shlib_directory": "/usr/lib/postfix",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": str(self.home / "mail.log"),
            "maillog_file_prefixes": str(self.home),
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "disable_dns_lookups": "yes",
            "smtp_dns_support_level": "disabled",
            "smtpd_peername_lookup": "no",
            "myhostname": f"gateway.{self.site.domains[0]}",
            "mydestination": "",
            "local_transport": "error:this gateway has no mailboxes",
            "alias_maps": "",
            "mynetworks": "",
            "virtual_mailbox_domains": ", ".join(self.site.domains),
            "virtual_mailbox_maps": "static:here",
            "virtual_transport": sink,
            "virtual_alias_maps": f"texthash:{self._etc / 'aliases'}",
            "default_transport": sink,
            "relayhost": "",
            "smtpd_relay_restrictions": "permit_sasl_authenticated,reject_unauth_destination",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_client_connection_count_limit": "0",
            "in_flow_delay": "0",
            "default_process_limit": "250",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "5s",
            "queue_run_delay": "1s",
            "message_size_limit": "60000000",
            "enable_long_queue_ids": "yes",
            "enable_original_recipient": "yes",
            "milter_default_action": "tempfail",
            "smtpd_milters": ", ".join(self.site.milters),
            "non_smtpd_milters": "$smtpd_milters",
        }
        if self.site.login_socket is not None:
            parameters |= {
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": str(self.site.login_socket),
                "smtpd_sasl_auth_enable": "yes",
                "broken_sasl_auth_clients": "no",
            }
        return parameters | dict(self.site.settings)

    def _services(self) -> str:
        inner = "cleanup rewrite bounce defer trace verify flush smtp showq error retry discard anvil scache"
        limits = {"cleanup": "0", "bounce": "0", "defer": "0", "trace": "0", "flush": "0", "verify": "1"}
        limits |= {"anvil": "1", "scache": "1"}
        programs = {"rewrite": "trivial-rewrite", "defer": "bounce", "trace": "bounce", "retry": "error"}
        wakeups = {"flush": "1000?"}
        public = {"cleanup", "flush", "showq"}
        lines = [
            f"{name} unix {'n' if name in public else '-'} - n {wakeups.get(name, '-')} {limits.get(name, '-')} "
            f"{programs.get(name, name)}"
            for name in inner.split()
        ]
        lines += [
            "pickup unix n - n 1 1 pickup",
            "qmgr unix n - n 300 1 qmgr",
            "proxymap unix - - n - - proxymap",
            "proxywrite unix - - n - 1 proxymap",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "postlog unix-dgram n - n - 1 postlogd",
        ]
        # Loopback counts as local, but the clients here stand for remote ones, whose header fields are left alone.
        remote = {"local_header_rewrite_clients": ""}
        submission = remote | {
            "syslog_name": "postfix/submission",
            "smtpd_client_restrictions": "permit_sasl_authenticated,reject",
            "milter_macro_daemon_name": "ORIGINATING",
        }
        release = _RELEASE_OPTIONS | dict(self.site.release_options)
        lines += _listener(self.ports.smtp, remote)
        lines += _listener(self.ports.submission, submission)
        lines += _listener(self.ports.inbound, release | {"syslog_name": "postfix/release-inbound"})
        lines += _listener(self.ports.outbound, release | {"syslog_name": "postfix/release-outbound"})
        return "\n".join(lines) + "\n"


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise PostfixError(f"{name} is not installed; it comes with Postfix")
    return found


def _listener(port: int, options: Mapping[str, str]) -> list[str]:
    """An smtpd service for master.cf; braces keep empty values and values with spaces whole."""
    return [
        f"127.0.0.1:{port} inet n - n - - smtpd",
        *(f"  -o {{ {name} = {value} }}" for name, value in options.items()),
    ]


def _lines(parameters: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in parameters.items())
