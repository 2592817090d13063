"""Owns the settings of one gateway: ``/etc/gatepost/gatepost.yaml`` as a checked, frozen object.

Every field has its unit in its description; the docs test compares this model with the settings page.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, model_validator

from gatepost_config.errors import Problem
from gatepost_config.source import Source
from gatepost_config.words import Direction

DEFAULT_PATH = Path("/etc/gatepost/gatepost.yaml")

Domain = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^\s@]+\.[^\s@]+$")]
Mailbox = Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")]
HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")]
ClamdAddress = Annotated[str, StringConstraints(pattern=r"^(|unix:/.+|(\[[0-9a-fA-F:]+\]|[^\s:\[\]/]+):\d{1,5})$")]


class Model(BaseModel):
    """The strictness that all documents share: unknown keys are errors, objects never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class School(Model):
    """Who the school is."""

    name: str = Field(description="The school's name, as notices show it.")
    domains: list[Domain] = Field(
        min_length=1, description="The school's own mail domains; the first is the main one."
    )


class TenantHeader(Model):
    """A header field that a cloud tenant adds to its own mail, and that outsiders cannot know."""

    name: str = Field(min_length=1, description="Field name.")
    value: str = Field(min_length=1, description="Field value; must match exactly.")


class TrustedRelay(Model):
    """A host whose envelope sender is believed. All that is given must match (clouds share addresses)."""

    networks: list[IPv4Network | IPv6Network] = Field(
        default=[], description="Client addresses, as networks in CIDR form."
    )
    tls_name: str = Field(default="", description="Name in the client's verified TLS certificate.")
    tenant_header: TenantHeader | None = Field(
        default=None, description="Header field by which the tenant marks its own mail."
    )
    directions: list[Direction] = Field(
        default=[Direction.OUTBOUND, Direction.INTERNAL],
        description="Directions for which the relay's envelope sender is believed.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.networks or self.tls_name or self.tenant_header):
            raise ValueError("say at least one of networks, tls_name and tenant_header")
        return self


class Inspection(Model):
    """Bounds on looking into a message. A bound that is reached is a finding, never a silent pass."""

    inspectors: int = Field(default=2, ge=1, le=64, description="Inspector processes for each worker.")
    deadline_login: float = Field(default=20, gt=0, description="Seconds for one message of a logged-in sender.")
    deadline: float = Field(default=60, gt=0, description="Seconds for any other message.")
    memory: int = Field(
        default=768 * 1024 * 1024, ge=64 * 1024 * 1024, description="Address space of an inspector, in bytes."
    )
    depth: int = Field(default=12, ge=1, le=100, description="Containers inside containers that are opened.")
    members: int = Field(default=5000, ge=1, description="Members of all containers of one message.")
    expanded: int = Field(
        default=512 * 1024 * 1024, ge=1, description="Bytes that all containers of one message may expand to."
    )
    parts: int = Field(default=2000, ge=1, description="MIME parts of one message.")
    clamd: ClamdAddress = Field(
        default="",
        description="A ClamAV daemon that scans every message: unix:/path or HOST:PORT; empty, none does.",
    )
    clamd_deadline: float = Field(
        default=10, gt=0, description="Seconds for it; then the message counts as not inspected."
    )


class Spool(Model):
    """Where a message waits while it is in flight."""

    directory: Path = Field(
        default=Path("/var/lib/gatepost/spool"), description="Folder for unlinked spool files."
    )
    memory: int = Field(
        default=1024 * 1024, ge=0, description="Bytes of one message kept in memory before a file is used."
    )
    limit: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Bytes of one message; a larger one is refused (552 5.3.4)."
    )


class Store(Model):
    """Where held messages and owed mails are kept."""

    url: str = Field(
        default="sqlite:////var/lib/gatepost/quarantine.db",
        description="SQLAlchemy URL: sqlite:////path or postgresql+psycopg://…",
    )
    free_floor: int = Field(
        default=256 * 1024 * 1024,
        ge=0,
        description="Bytes that must stay free on the store's disk; below it holds are temp-failed.",
    )


class Courier(Model):
    """How held mail and notices go out: the release listeners of config/postfix."""

    inbound: HostPort = Field(
        default="127.0.0.1:10025", description="Release listener without milters, for inbound mail, as HOST:PORT."
    )
    outbound: HostPort = Field(
        default="127.0.0.1:10026",
        description="Release listener with the DKIM signer only, for outbound mail and notices, as HOST:PORT.",
    )
    poll: float = Field(default=1.0, gt=0, description="Seconds between looks at the outbox.")
    retry: list[float] = Field(
        default=[30, 60, 300, 900, 3600],
        min_length=1,
        description="Seconds to wait after each failed try; the last one repeats.",
    )
    timeout: float = Field(default=60, gt=0, description="Seconds for one SMTP command.")
    notice_lifetime: float = Field(
        default=5 * 86_400,
        gt=0,
        description="Seconds that a notice is tried again for; then it is given up, with an event. A release never is.",
    )


class Notices(Model):
    """Who the mails that gatepost writes itself come from. Somebody should read what is sent back to them."""

    sender: Mailbox | Literal[""] = Field(
        default="", description="Address that notices come from; left out, postmaster at the main domain."
    )
    help: Mailbox | Literal[""] = Field(
        default="",
        description="Address that answers to notices go to; left out, the first mailbox of the role it-support.",
    )


class Metrics(Model):
    """Numbers for Prometheus."""

    listen: HostPort | Literal[""] = Field(
        default="127.0.0.1:9464",
        description="Where Prometheus asks for them (path /metrics), as HOST:PORT; empty for nowhere.",
    )


class Log(Model):
    """What is written to standard output, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written."
    )
    format: Literal["json", "text"] = Field(default="json", description="json for machines, text for eyes.")


class Settings(Model):
    """One gateway. Only ``school`` has no default."""

    school: School = Field(description="Who the school is.")
    policy: str = Field(
        default="default", description="A shipped policy's name, or the path of a policy document."
    )
    roles: dict[str, list[Mailbox]] = Field(
        default={},
        description="Mailboxes of the policy's roles at this school; a role left out keeps the policy's own.",
    )
    directory: Path | None = Field(
        default=None,
        description="Folder of the people directory's CSV files; without one, nobody at the school is known.",
    )
    gateway: str = Field(
        default_factory=socket.getfqdn, description="This gateway's host name, as Received fields show it."
    )
    socket: str = Field(
        default="/var/spool/postfix/gatepost/milter.sock",
        description="Milter socket: an absolute path, or inet:PORT@ADDRESS.",
    )
    socket_mode: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3}$")] = Field(
        default="660", description="Permissions of a Unix socket, in octal."
    )
    workers: int = Field(default=2, ge=1, le=64, description="Worker processes that share the socket.")
    drain: float = Field(
        default=300, ge=0, description="Seconds that open sessions may take to finish at a stop or reload."
    )
    trusted_relays: list[TrustedRelay] = Field(default=[], description="Hosts whose envelope sender is believed.")
    inspection: Inspection = Field(default=Inspection(), description="Bounds on looking into a message.")
    spool: Spool = Field(default=Spool(), description="Where a message waits while it is in flight.")
    store: Store = Field(default=Store(), description="Where held messages and owed mails are kept.")
    courier: Courier = Field(default=Courier(), description="How held mail and notices go out.")
    notices: Notices = Field(default=Notices(), description="Who notices come from, and who answers questions.")
    metrics: Metrics = Field(default=Metrics(), description="Numbers for Prometheus.")
    log: Log = Field(default=Log(), description="What is written to standard output, and how.")

    _source: Source | None = PrivateAttr(default=None)

    def attach(self, source: Source) -> None:
        """Remember where the settings were read from; the loader calls this once."""
        self._source = source

    def problem(self, path: Sequence[str | int], message: str, remedy: str = "") -> Problem:
        """A problem with the setting at ``path``, at its place in the file if the settings came from one."""
        if self._source is None:
            return Problem(DEFAULT_PATH, 0, 0, message, remedy)
        place = self._source.key_place(path)
        return Problem(self._source.path, place.line, place.column, message, remedy)
