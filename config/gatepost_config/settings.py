"""Owns the settings of one gateway: ``/etc/gatepost/gatepost.yaml`` as a checked, frozen object.

Every field has its unit in its description; the docs test compares this model with the settings page.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    field_validator,
    model_validator,
)

from gatepost_config.errors import Problem
from gatepost_config.source import Source
from gatepost_config.words import Direction

DEFAULT_PATH = Path("/etc/gatepost/gatepost.yaml")

Domain = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^\s@]+\.[^\s@]+$")]
Mailbox = Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")]
Telephone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9 ()-]{3,24}$")]
SealKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")]

ClamdAddress = Annotated[str, StringConstraints(pattern=r"^(|unix:/.+|(\[[0-9a-fA-F:]+\]|[^\s:\[\]/]+):\d{1,5})$")]


class Model(BaseModel):
    """The strictness that all documents share: unknown keys are errors, objects never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(Model):
    """A whole document, which knows the file that it was read from, if it was."""

    _source: Source | None = PrivateAttr(default=None)

    def attach(self, source: Source) -> None:
        """Remember where it was read from; the loader calls this once."""
        self._source = source

    @property
    def source(self) -> Source:
        """Where it was read from. Raises ValueError for a document that was not read from a file."""
        if self._source is None:
            raise ValueError("this document was not read from a file")
        return self._source


class School(Model):
    """Who the school is."""

    name: str = Field(description="The school's name, as notices show it.")
    domains: list[Domain] = Field(
        min_length=1,
        description="The school's own mail domains, each as it is: a name below one of them counts only if it is "
        "listed too. The first is the main one.",
    )
    timezone: str = Field(
        default="Europe/London", description="The school's time zone: in it a day begins and an exemption ends."
    )

    telephones: list[Telephone] = Field(
        default=[],
        description="The school's own numbers and those of trips: nobody's private number, so rules about private "
        "numbers pass them over.",
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {value!r}; write one like Europe/London") from None
        return value


class TenantHeader(Model):
    """A header field that a cloud tenant adds to its own mail, and that outsiders cannot know."""

    name: Annotated[str, StringConstraints(pattern=r"^[!-9;-~]+$")] = Field(description="Field name.")
    value: Annotated[str, StringConstraints(pattern=r"^[!-~]+( [!-~]+)*$")] = Field(
        description="Field value: must match exactly, in one field of that name and no second one."
    )


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
    seal_keys: list[SealKey] = Field(
        default=[],
        description="Public keys that sealed messages are encrypted to, as `gatepost seal new-key` prints "
        "them; each "
        "pair of roles can open by itself. Without one, sealed messages are kept in clear, though never shown.",
    )
    seal_hashes: list[Path] = Field(
        default=[],
        description="Files of SHA-256 sums, one on a line: a message with such a file is sealed, whatever the "
        "policy says. Read at start and reload; while any is named, every attachment is hashed.",
    )
    seal_tell: list[str] = Field(
        default=[],
        description="Roles that hear of such a message, without its content, the first of which reviews it; left "
        "out, those that the policy marks as safeguarding.",
    )


class Keep(Model):
    """How long something is kept, and why: a data protection officer reads the reason."""

    days: int = Field(ge=1, description="Days.")
    reason: str = Field(min_length=10, description="Why so long and no longer.")


class Retention(Model):
    """How long what is kept. What is under a legal hold, or sealed and undecided, is kept until decided."""

    released: Keep = Field(
        default=Keep(days=14, reason="A recipient may ask again for a message that did not arrive."),
        description="Bytes of a message that was released to all its recipients, from the last decision.",
    )
    decided: Keep = Field(
        default=Keep(days=30, reason="A sender may object to a refusal, or a pattern of abuse may show."),
        description="Bytes of any other message that was decided about, executables included, from the "
        "last decision.",
    )
    unreviewed: Keep = Field(
        default=Keep(days=30, reason="Longer than any holiday in term; reviewers and a deputy were reminded."),
        description="A message that nobody decided about, from its arrival. Then it expires: a known "
        "sender is told, "
        "and its reviewers get it in a report. It never expires before the last reminder.",
    )
    records: Keep = Field(
        default=Keep(days=365, reason="A school year: complaints, access requests and reviews of the policy."),
        description="What is known of a message whose bytes are gone: addresses, subject, file names, findings.",
    )
    notices: Keep = Field(
        default=Keep(days=90, reason="To answer what exactly a sender was told."),
        description="Text of the notices that were sent.",
    )
    cases: Keep = Field(
        default=Keep(days=730, reason="Two school years: what is found out later may belong to an earlier case."),
        description="Words and names of a case, from the day on which it was closed.",
    )
    correspondents: Keep = Field(
        default=Keep(days=400, reason="Who wrote last summer should not seem a stranger this one."),
        description="That a mailbox and an outside address have had mail, as a keyed digest without names, from "
        "the last mail.",
    )
    counts: Keep = Field(
        default=Keep(days=2, reason="Rules ask about today; a day more, for clocks and time zones."),
        description="How much somebody sent on a day and to how many, as keyed digests without names.",
    )
    audit: Keep = Field(
        default=Keep(
            days=365, reason="A school year: who did what is needed as long as the record of the message."
        ),
        description="Names, addresses and reasons in the audit. The chain itself, without them, is never cut.",
    )


class Term(Model):
    """A school term."""

    first: date = Field(description="First day.")
    last: date = Field(description="Last day.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError("a term's last day comes after its first")
        return self


class Review(Model):
    """How reviewers are reminded of what waits for them."""

    reminders: list[int] = Field(
        default=[1, 3, 7],
        description="Working days after which a message that waits is mentioned in a reminder to its reviewers.",
    )
    deputy: str = Field(
        default="", description="Role that gets the last reminder too; left out, only the reviewers get it."
    )
    auditor: str = Field(
        default="",
        description="Role that is mailed the heads of the audit chains daily; left out, only syslog is.",
    )
    terms: list[Term] = Field(
        default=[], description="School terms; days outside are no working days. Left out, every week counts."
    )
    closed: list[date] = Field(default=[], description="Days in term that are no working days.")


class History(Model):
    """What is remembered of mail that has gone through; only what the policy's rules ask about."""

    learn: int = Field(
        default=14,
        ge=0,
        description="Days from the first mail remembered in which nobody is called a new correspondent, for "
        "everybody would be.",
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
    way: Literal["listeners", "front-door"] = Field(
        default="listeners",
        description="How releases go back: through the release listeners, or through the front door, where "
        "gatepost itself knows them by a one-time token; inbound and outbound then name that door.",
    )
    rescan: bool = Field(
        default=True,
        description="Whether a message that another policy held is judged again before its release goes out.",
    )
    rescan_deadline: float = Field(default=120, gt=0, description="Seconds that judging it again may take.")
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
        description="Seconds that a notice is tried again for; then it is given up, with an event. A "
        "release never is.",
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
    logo: Path | None = Field(
        default=None, description="The school's picture on notices: a PNG, JPEG or GIF of at most 100,000 bytes."
    )
    templates: Path | None = Field(
        default=None,
        description="Folder of templates to use instead of ours of the same name; see `gatepost notice preview`.",
    )
    released: bool = Field(
        default=False,
        description="Whether a known sender is told when what a reviewer released has been delivered.",
    )
    person_limit: int = Field(
        default=10, ge=1, description="Notices to one person in an hour; what is above comes later, in one mail."
    )
    role_limit: int = Field(
        default=30, ge=1, description="Notices to one mailbox of a role in an hour; what is above waits alike."
    )
    digests: dict[str, Literal["hourly", "daily"]] = Field(
        default={},
        description="Roles that get one mail an hour or a day; a role left out gets each notice at once.",
    )
    digest_hour: int = Field(default=7, ge=0, le=23, description="Hour of the day for daily digests.")


class Metrics(Model):
    """Numbers for Prometheus."""

    listen: HostPort | Literal[""] = Field(
        default="127.0.0.1:9464",
        description="Where Prometheus asks for them (path /metrics), as HOST:PORT; empty for nowhere.",
    )


ConsoleRole = Literal["viewer", "reviewer", "safeguarding", "policy-editor", "auditor", "admin"]


class Oidc(Model):
    """Signing in to the console with the school's own accounts (OpenID Connect)."""

    issuer: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")] = Field(
        description="Issuer URL, as in https://login.microsoftonline.com/TENANT/v2.0 or "
        "https://accounts.google.com."
    )
    client_id: str = Field(min_length=1, description="Client id that the provider gave to the console.")
    client_secret_file: Path = Field(description="File that holds the client secret and nothing else.")
    name: str = Field(default="your school account", description="What the sign-in button calls the provider.")
    domain: str = Field(
        default="", description="Only people whose hd or email claim is of this domain; needed with Google."
    )
    groups_claim: str = Field(default="groups", description="Claim that lists groups; email is possible too.")
    roles: dict[str, list[ConsoleRole]] = Field(
        min_length=1,
        description="Console roles by value of that claim: a group's id or name, or an email address.",
    )


class Console(Model):
    """The review console."""

    listen: HostPort = Field(
        default="127.0.0.1:8025",
        description="Where it listens, as HOST:PORT; a web server with TLS stands in front.",
    )
    base_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#]+)?$")] = Field(
        default="", description="Address that people type, without a path; left out, http:// and listen."
    )
    session_hours: float = Field(default=10, gt=0, le=168, description="Hours after which a sign-in ends.")
    idle_minutes: float = Field(default=60, gt=0, description="Minutes without use after which a sign-in ends.")
    lock_after: int = Field(default=5, ge=1, description="Wrong passwords in a row that lock a local account.")
    lock_minutes: float = Field(default=15, gt=0, description="Minutes for which it is locked.")
    undo_minutes: float = Field(
        default=30, ge=0, description="Minutes in which a deletion can be undone; the bytes go after that."
    )
    safeguarding: list[str] = Field(
        default=[
            *("dsl", "safeguarding", "safeguarding-lead", "deputy-head-pastoral"),
            *("head", "headteacher", "chair-of-governors"),
        ],
        description="Roles of the policy whose items only people with the console role safeguarding see.",
    )
    oidc: Oidc | None = Field(default=None, description="Sign-in with the school's own accounts, if wanted.")


class SenderPages(Model):
    """Where senders answer about mail of theirs that is held for confirmation."""

    listen: HostPort = Field(
        default="127.0.0.1:8026",
        description="Where the pages listen, as HOST:PORT; a web server with TLS stands in front.",
    )
    public_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?)?$")] = Field(
        default="",
        description="Address under which senders reach the pages, as https://mail.school.example/held; left out, "
        "notices have no link.",
    )
    link_days: int = Field(default=7, ge=1, le=90, description="Days for which a link or reply address is good.")
    reply_address: Mailbox | Literal[""] = Field(
        default="",
        description="Address whose plus-addresses take the words SEND and WITHDRAW as a reply; mail for it has to "
        "come through this gateway. Left out, answers to notices go to notices.help.",
    )

    @field_validator("reply_address")
    @classmethod
    def _leaves_room(cls, value: str) -> str:
        local = value.partition("@")[0]
        if len(local) > 20 or "+" in local:
            raise ValueError("the part before @ has at most 20 letters, and no plus: a long mark is added to it")
        return value


class Log(Model):
    """What is written to standard output, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written."
    )
    format: Literal["json", "text"] = Field(default="json", description="json for machines, text for eyes.")


class Settings(Document):
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
    console: Console = Field(default=Console(), description="The review console.")
    sender_pages: SenderPages = Field(
        default=SenderPages(), description="Where senders answer about mail that is held for confirmation."
    )
    history: History = Field(default=History(), description="What is remembered of mail that has gone through.")
    retention: Retention = Field(default=Retention(), description="How long what is kept, and why.")
    review: Review = Field(default=Review(), description="How reviewers are reminded of what waits for them.")
    log: Log = Field(default=Log(), description="What is written to standard output, and how.")

    @property
    def path(self) -> Path | None:
        """The file that the settings were read from, if they were."""
        return None if self._source is None else self._source.path

    def problem(self, path: Sequence[str | int], message: str, remedy: str = "") -> Problem:
        """A problem with the setting at ``path``, at its place in the file if the settings came from one."""
        if self._source is None:
            return Problem(DEFAULT_PATH, 0, 0, message, remedy)
        place = self._source.key_place(path)
        return Problem(self._source.path, place.line, place.column, message, remedy)
