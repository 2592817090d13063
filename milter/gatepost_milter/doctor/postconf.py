"""Owns the conversation with Postfix's own ``postconf``: what its configuration says, read without changing it.

Postfix answers for itself: defaults differ by version, values refer to each other, and services override them.
No file of Postfix's is parsed here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gatepost_milter.doctor.milters import MilterEntry, entries

DEFAULT_DIRECTORY = Path("/etc/postfix")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PATIENCE = 30.0
"""Seconds that a Postfix command may take."""

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})


class PostconfError(Exception):
    """Postfix's configuration cannot be read or changed; the text is Postfix's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One line of master.cf. ``overrides`` are its ``-o`` options, with ``$names`` expanded."""

    name: str
    kind: str
    chroot: bool
    command: str
    overrides: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    arguments: str = ""

    @property
    def key(self) -> str:
        """What ``postconf -P`` calls it: ``smtp/inet``."""
        return f"{self.name}/{self.kind}"

    @property
    def host(self) -> str:
        """The address it listens on; empty for all of ``inet_interfaces``."""
        return self.name.rpartition(":")[0].strip("[]").lower() if self.kind == "inet" else ""

    @property
    def port(self) -> int:
        """The TCP port it listens on; 0 when it listens on none, or on a name nobody knows."""
        if self.kind != "inet":
            return 0
        name = self.name.rpartition(":")[2]
        if name.isascii() and name.isdigit():
            return int(name)
        try:
            return socket.getservbyname(name, "tcp")
        except OSError:
            return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """The configuration of one Postfix instance, as Postfix itself understands it.

    ``parameters`` holds every parameter with ``$names`` expanded and defaults filled in; ``complaints`` is what
    ``postconf`` wrote about the files (unused parameters, that is misspelt ones).
    """

    directory: Path
    parameters: Mapping[str, str]
    services: tuple[Service, ...]
    complaints: tuple[str, ...] = ()

    def value(self, name: str, service: Service | None = None) -> str:
        """The value in force, for a service or in main.cf; empty when Postfix does not know the parameter."""
        if service is not None and name in service.overrides:
            return service.overrides[name]
        return self.parameters.get(name, "")

    def number(self, name: str) -> int:
        """A value that is a number (bytes or a count); 0, Postfix's word for unlimited, when it is not."""
        value = self.value(name)
        return int(value) if value.isascii() and value.isdigit() else 0

    def milters(self, service: Service | None = None) -> tuple[MilterEntry, ...]:
        """The filters that a service asks."""
        return entries(self.value("smtpd_milters", service))

    def loopback(self, service: Service) -> bool:
        """Whether only this machine can reach the service."""
        if service.host:
            return service.host in _LOOPBACK_NAMES or service.host.startswith("127.")
        interfaces = set(re.split(r"[,\s]+", self.value("inet_interfaces", service).strip()))
        return interfaces <= ({"loopback-only"} | _LOOPBACK_NAMES)

    @property
    def queue_directory(self) -> str:
        """Where Postfix lives while it works; the root of its chroot."""
        return self.value("queue_directory")

    def set(self, *assignments: str) -> str:
        """The command that sets parameters in main.cf and lets Postfix read them again."""
        return f"{self._postconf('-e', *assignments)} && {self.reload()}"

    def override(self, service: Service, *assignments: str) -> str:
        """The command that sets options of one service in master.cf and lets Postfix read them again."""
        told = (f"{service.key}/{assignment}" for assignment in assignments)
        return f"{self._postconf('-P', *told)} && {self.reload()}"

    def reload(self) -> str:
        """The command that lets Postfix read its configuration again."""
        return shlex.join(["postfix", *self._chosen(), "reload"])

    def _postconf(self, *arguments: str) -> str:
        return shlex.join(["postconf", *self._chosen(), *arguments])

    def _chosen(self) -> list[str]:
        return [] if self.directory == DEFAULT_DIRECTORY else ["-c", str(self.directory)]


def installed() -> bool:
    """Whether Postfix's commands are on this machine."""
    return shutil.which("postconf", path=_PATH) is not None


def read(directory: Path) -> Postfix:
    """The configuration in ``directory``. Raises PostconfError with Postfix's own words."""
    text, complaints = run("postconf", directory, "-x")
    parameters = dict(_assignments(text))
    options, _ = run("postconf", directory, "-Px")
    overrides: dict[str, dict[str, str]] = {}
    for name, value in _assignments(options):
        key, _, parameter = name.rpartition("/")
        overrides.setdefault(key, {})[parameter] = value
    lines, _ = run("postconf", directory, "-M")
    chroot = _chroot_default(parameters.get("compatibility_level", "0"))
    services = tuple(_service(line, overrides, chroot) for line in lines.splitlines() if line.strip())
    return Postfix(
        directory=directory,
        parameters=MappingProxyType(parameters),
        services=services,
        complaints=tuple(
            line.partition("warning: ")[2] for line in complaints.splitlines() if "warning: " in line
        ),
    )


def raw(directory: Path, name: str, *, service: str = "") -> str:
    """A value as it is written in the files, ``$names`` and all; ``service`` is a key such as ``smtp/inet``."""
    if service:
        text, _ = run("postconf", directory, "-P", f"{service}/{name}")
        found = dict(_assignments(text))
        return found.get(f"{service}/{name}", "")
    text, _ = run("postconf", directory, name)
    return dict(_assignments(text)).get(name, "")


def run(program: str, directory: Path, *arguments: str) -> tuple[str, str]:
    """Standard output and standard error of a Postfix command. Raises PostconfError when it fails."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise PostconfError(f"{program} is not on this machine")
    try:
        done = subprocess.run(
            [path, "-c", str(directory), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": _PATH, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostconfError(f"{program} could not be run: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"{program} ended with status {done.returncode}"]
        raise PostconfError(said[-1])
    return done.stdout, done.stderr


def _assignments(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition("=") for line in text.splitlines())
    return [(name.strip(), value.strip()) for name, equals, value in pairs if equals]


def _service(line: str, overrides: Mapping[str, Mapping[str, str]], chroot_default: bool) -> Service:
    """A line of ``postconf -M``: service, type, private, unprivileged, chroot, wake-up, limit, command."""
    name, kind, _private, _unprivileged, chroot, _wakeup, _limit, *command = line.split()
    return Service(
        name=name,
        kind=kind,
        chroot=chroot_default if chroot == "-" else chroot == "y",
        command=command[0] if command else "",
        arguments=" ".join(command[1:]),
        overrides=MappingProxyType(dict(overrides.get(f"{name}/{kind}", {}))),
    )


def _chroot_default(compatibility_level: str) -> bool:
    """Services ran in a chroot by default before compatibility level 1 (Postfix 3.0)."""
    major = compatibility_level.split(".", maxsplit=1)[0]
    return not (major.isascii() and major.isdigit() and int(major) >= 1)
