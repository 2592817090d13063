"""Owns the judgement of the gateway's own side: socket, permissions, store, policy, disks, clock and units."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from gatepost_config.errors import Problem
from gatepost_config.settings import SenderPages, Settings
from gatepost_config.words import PolicyRef
from gatepost_milter.doctor.diagnosis import Diagnosis, fail, ok, otherwise, size, skipped, warn
from gatepost_milter.doctor.gateway_facts import (
    Answer,
    Clock,
    DirectoryFacts,
    Disk,
    Entry,
    Located,
    StoreFacts,
    Unit,
    User,
    group_name,
)

_LATE = 300.0
"""Seconds after which a mail that was due and is not sent means that no courier works."""

_OLD = 3600.0
"""Seconds after which a mail that is tried again and again deserves a look."""

_SLOW = 1.0
"""Seconds for a negotiation; more means that no worker is free."""

_STALE = 30 * 86_400.0
"""Seconds after which an export of the school's people is too old to tell who has left and who is whose parent."""

_INODES = 1_000
_AHEAD = 120.0
"""Seconds by which a file's time may lie in the future before the clock is doubted."""

_START = "systemctl start gatepost-milter"


def settings(path: Path, problems: Sequence[Problem], *, found: bool) -> Iterator[Diagnosis]:
    """The settings must load; every problem is told with its place."""
    if found:
        yield ok(f"{path} is sound")
    for problem in problems:
        yield fail(_place(problem), mend=problem.remedy or f"edit {problem.path}")


def policy(
    loaded: PolicyRef | None, problems: Sequence[Problem], doubts: Sequence[Problem] = ()
) -> Iterator[Diagnosis]:
    """The policy document must load, and its own tests must pass; else the next reload is refused. ``doubts`` are
    what it can live with."""
    if loaded is not None:
        yield ok(f"policy {loaded.name} {loaded.version} ({loaded.digest[:12]}) loads and its tests pass")
    for problem in problems:
        yield fail(_place(problem), mend=problem.remedy or f"edit {problem.path}")
    for doubt in doubts:
        yield warn(_place(doubt), mend=doubt.remedy or f"edit {doubt.path}")


def notices(settings: Settings, problems: Sequence[Problem]) -> Iterator[Diagnosis]:
    """The school's own templates and logo must be usable; else couriers do not start with them."""
    for problem in problems:
        yield fail(_place(problem), mend=problem.remedy or "gatepost notice preview --to FOLDER")
    if not problems:
        whose = "the school's" if settings.notices.templates is not None else "the shipped"
        yield ok(f"every notice can be written with {whose} templates")


def seal(settings: Settings, sealing: Sequence[str]) -> Iterator[Diagnosis]:
    """What is to be sealed needs a key to be sealed to. ``sealing`` is what seals: rules, or the lists."""
    if settings.store.seal_keys:
        yield ok(f"{len(settings.store.seal_keys)} seal keys are set; try both halves once a year")
    elif sealing:
        yield fail(
            f"{', '.join(sealing)} would seal mail, and no seal key is set: it would be kept in clear, unseen",
            mend="gatepost seal new-key --role ROLE --role ROLE --into DIRECTORY",
        )
    else:
        yield skipped("nothing is sealed under this policy")


def sender_pages(configured: SenderPages, asking: Sequence[str], *, answers: bool) -> Iterator[Diagnosis]:
    """Senders who are asked must be able to answer. ``asking`` are the rules that hold with confirm."""
    if not asking:
        yield skipped("no rule asks senders")
        return
    rules = ", ".join(asking[:3]) + (" and more" if len(asking) > 3 else "")
    if not configured.public_url:
        told = (
            "they can answer only by a reply to the notice"
            if configured.reply_address
            else "they cannot answer, and reviewers decide"
        )
        yield warn(
            f"the policy asks senders ({rules}), but sender_pages.public_url is not set: {told}",
            mend="set sender_pages.public_url, put a web server with TLS in front, and "
            "systemctl enable --now gatepost-pages",
        )
        return
    if configured.public_url.startswith("http://"):
        yield warn(
            "sender_pages.public_url is not https: whoever is on the way can read and use the links",
            mend="put a web server with TLS in front of the pages, and write https:// into the setting",
        )
    if answers:
        yield ok(f"the sender pages answer at {configured.listen}, for {configured.public_url}")
    else:
        yield fail(
            f"nobody answers at {configured.listen}: the links of notices open nothing",
            mend="systemctl enable --now gatepost-pages",
        )


def directory(facts: DirectoryFacts | None) -> Iterator[Diagnosis]:
    """The people directory must load whole, be fresh, and be nobody else's reading."""
    if facts is None:
        yield skipped("no people directory is set")
        return
    folder = facts.folder.path
    for problem in facts.faults:
        yield fail(_place(problem), mend=problem.remedy or f"gatepost directory check {folder}")
    if facts.faults:
        return
    faults = 0
    if facts.left_out:
        faults += 1
        yield warn(
            f"{folder}: {len(facts.left_out)} rows are left out, the first: {_place(facts.left_out[0])}",
            mend="gatepost directory check",
        )
    if facts.age > _STALE:
        faults += 1
        yield warn(
            f"{folder} was last written {_span(facts.age)} ago: joiners and leavers are not known",
            mend=f"export the people from the MIS again into {folder}, then systemctl reload gatepost-milter",
        )
    if facts.folder.mode & (stat.S_IROTH | stat.S_IXOTH):
        faults += 1
        yield warn(
            f"any local user can get at {folder}, which holds people's data",
            mend=f"chmod o-rwx {shlex.quote(str(folder))}",
        )
    if not faults:
        yield ok(f"{folder} has {facts.people:,} people")


def milter_socket(
    address: str, found: Located | None, answer: Answer | None, postfix_user: User | None
) -> Iterator[Diagnosis]:
    """The socket must be there, be open to Postfix's user, and answer as a milter."""
    if found is not None and not found.entry.exists:
        yield fail(
            f"{address} does not exist: gatepost does not run, and mail waits with its senders", mend=_START
        )
        return
    if found is not None and not stat.S_ISSOCK(found.entry.mode):
        yield fail(
            f"{address} is not a socket", mend=f"rm {shlex.quote(address)} && systemctl restart gatepost-milter"
        )
        return
    faults = 0
    if found is not None and postfix_user is not None:
        for diagnosis in _reachable(found, postfix_user):
            faults += 1
            yield diagnosis
    if found is not None and found.entry.mode & stat.S_IWOTH:
        faults += 1
        yield warn(
            f"any local user can connect to {address}",
            mend=f"chmod o-rwx {shlex.quote(address)}, and set socket_mode to 660 in gatepost.yaml",
        )
    if answer is None:
        return
    if answer.problem:
        yield fail(
            f"{address}: {answer.problem}; mail waits with its senders",
            mend="systemctl restart gatepost-milter; journalctl -u gatepost-milter",
        )
    elif answer.version < 6:
        yield fail(
            f"{address} speaks milter protocol {answer.version}, not 6: this is not gatepost",
            mend="compare the setting socket with what listens there: ss -lxp; ss -ltp",
        )
    elif answer.seconds > _SLOW:
        yield warn(
            f"{address} took {answer.seconds:.1f} s to answer: no worker is free",
            mend="raise workers in gatepost.yaml, then systemctl restart gatepost-milter",
        )
    elif not faults:
        yield ok(f"{address} answers in {answer.seconds * 1000:.1f} ms")


@otherwise("only the right users can read and change gatepost's files")
def permissions(
    *, authority: Sequence[Located], private: Sequence[Located], service: User, secret: bool
) -> Iterator[Diagnosis]:
    """Who may change what gatepost obeys (``authority``), and who may see what it keeps (``private``).

    ``secret`` says that the first authority, the settings, hold a password.
    """
    for place in authority:
        yield from _authority(place, service)
    for place in private:
        yield from _private(place, service)
    yield from _secret(authority[:1] if secret else ())


def store(facts: StoreFacts) -> Iterator[Diagnosis]:
    """The store must open, be whole, and be of this version."""
    if facts.problem:
        yield fail(
            f"{facts.place}: {facts.problem}; mail that must be held is temp-failed",
            mend="restore it from the last backup, or set store.url right in gatepost.yaml",
        )
    elif not facts.exists:
        yield warn(f"{facts.place} does not exist yet; the first start makes it", mend=_START)
    elif facts.revision != facts.wanted:
        yield fail(
            f"{facts.place} has revision {facts.revision or 'none'}, this gatepost wants {facts.wanted}",
            mend="systemctl restart gatepost-milter gatepost-courier (it upgrades an older store; a newer one "
            "needs the newer gatepost)",
        )
    elif facts.checked not in ("", "ok"):
        yield fail(
            f"{facts.place} is damaged: {facts.checked}",
            mend="systemctl stop gatepost-milter gatepost-courier, "
            f"then restore {facts.place} from the last backup",
        )
    elif not facts.checked:
        yield ok(f"{facts.place} opens, revision {facts.revision}; too large to be checked whole in a few seconds")
    else:
        yield ok(f"{facts.place} is whole, revision {facts.revision}")


def outbox(facts: StoreFacts) -> Iterator[Diagnosis]:
    """What is owed must leave: an overdue mail means that no courier works."""
    if facts.problem or not facts.exists:
        yield skipped("the store cannot be read")
    elif facts.overdue is not None and facts.overdue > _LATE:
        yield fail(
            f"{facts.owed} notices or releases wait, the first for {_span(facts.overdue)}: no courier is at work",
            mend="systemctl restart gatepost-courier; journalctl -u gatepost-courier",
        )
    elif facts.oldest is not None and facts.oldest > _OLD:
        yield warn(
            f"a notice or release is tried again and again for {_span(facts.oldest)}",
            mend="journalctl -u gatepost-courier, for what the release listener answers",
        )
    else:
        yield ok(f"{facts.owed} notices and releases wait, none too long")


def disks(found: Sequence[Disk], *, floor: int, message_size: int) -> Iterator[Diagnosis]:
    """Room for what is held (``floor``, the setting), and for what Postfix queues.

    Postfix answers 452 when its queue has less than one and a half times ``message_size_limit`` free.
    """
    faults = 0
    for disk in found:
        need = message_size * 3 // 2 if disk.purpose == "queue" else floor
        effect = {
            "store": "mail that must be held is temp-failed",
            "spool": "large mail is temp-failed",
            "queue": "Postfix refuses all mail for now (452)",
        }.get(disk.purpose, "mail waits")
        show = f"df -h {shlex.quote(str(disk.path))}"
        if disk.free < need:
            faults += 1
            yield fail(
                f"{disk.path}: only {size(disk.free)} free, {size(need)} are needed; {effect}",
                mend=f"{show}; give it room, or delete what is no longer needed",
            )
        elif disk.free < 2 * need:
            faults += 1
            yield warn(f"{disk.path}: {size(disk.free)} free, near the floor of {size(need)}", mend=show)
        if 0 <= disk.inodes < _INODES:
            faults += 1
            yield fail(
                f"{disk.path}: only {disk.inodes} more files can be made; {effect}",
                mend=f"df -i {shlex.quote(str(disk.path))}; remove what fills it with small files",
            )
    if not faults:
        yield ok("there is room for mail: " + ", ".join(f"{disk.path} {size(disk.free)}" for disk in found))


def clock(facts: Clock) -> Iterator[Diagnosis]:
    """A wrong clock spoils links that expire, the audit and the order of holds."""
    ahead = {name: at - facts.now for name, at in facts.newest.items() if at - facts.now > _AHEAD}
    for name, seconds in ahead.items():
        yield fail(
            f"{name} was written {_span(seconds)} in the future: the clock was set back",
            mend="timedatectl set-ntp true",
        )
    if ahead:
        return
    if facts.synchronised is None:
        yield skipped("the kernel does not tell whether NTP holds the clock")
    elif not facts.synchronised:
        yield warn("no NTP holds the clock", mend="timedatectl set-ntp true")
    else:
        yield ok("NTP holds the clock")


def units(found: Sequence[Unit] | None) -> Iterator[Diagnosis]:
    """The services must be installed, running, and started at boot."""
    if found is None:
        yield skipped("systemd does not run here")
        return
    faults = 0
    wanted = [each for each in found if not each.optional or each.enabled == "enabled" or each.active == "active"]
    for unit in wanted:
        if unit.load != "loaded":
            faults += 1
            yield fail(
                f"{unit.name} is not installed",
                mend=f"cp systemd/{unit.name} /etc/systemd/system/ && systemctl daemon-reload && "
                f"systemctl enable --now {unit.name}",
            )
            continue
        if unit.active not in ("active", "reloading"):
            faults += 1
            yield fail(f"{unit.name} is {unit.active or 'unknown'}", mend=f"systemctl start {unit.name}")
        elif unit.restarts > 0:
            faults += 1
            yield warn(
                f"{unit.name} was restarted {unit.restarts} times by systemd", mend=f"journalctl -u {unit.name}"
            )
        if unit.enabled not in ("enabled", "static"):
            faults += 1
            yield warn(f"{unit.name} does not start at boot", mend=f"systemctl enable {unit.name}")
    if not faults:
        yield ok(f"{' '.join(each.name for each in wanted)}: running, and started at boot")


def may(user: User, entry: Entry, wanted: int) -> bool:
    """Whether the user has the rights ``wanted`` (os.R_OK, W_OK, X_OK together) by the permission bits alone."""
    if user.uid == 0:
        return True
    shift = 6 if entry.uid == user.uid else 3 if entry.gid in user.gids else 0
    return (entry.mode >> shift) & wanted == wanted


def _reachable(found: Located, user: User) -> Iterator[Diagnosis]:
    """Connecting to a Unix socket needs write permission on it, and search permission on every folder."""
    for folder in found.folders:
        if not may(user, folder, os.X_OK):
            path = shlex.quote(str(folder.path))
            yield fail(
                f"Postfix ({user.name}) may not enter {folder.path}: mail waits with its senders",
                mend=f"chgrp {user.name} {path} && chmod g+x {path}",
            )
            return
    if not may(user, found.entry, os.W_OK):
        path = shlex.quote(str(found.entry.path))
        yield fail(
            f"Postfix ({user.name}) may not connect to {found.entry.path} "
            f"(mode {found.entry.permissions}, group {group_name(found.entry.gid)})",
            mend=f"chgrp {user.name} {path} && chmod 660 {path}",
        )


def _authority(place: Located, service: User) -> Iterator[Diagnosis]:
    """A file that gatepost obeys: it must be able to read it, and nobody but root and gatepost may change it."""
    entry = place.entry
    if not entry.exists:
        return
    path = shlex.quote(str(entry.path))
    for each in (entry, *place.folders[-1:]):
        sticky = each is not entry and each.mode & stat.S_ISVTX
        if each.mode & stat.S_IWOTH and not sticky:
            yield fail(f"any local user can change {each.path}", mend=f"chmod o-w {shlex.quote(str(each.path))}")
    if entry.mode & stat.S_IWGRP and entry.gid not in {0, *service.gids}:
        yield warn(f"the group {group_name(entry.gid)} can change {entry.path}", mend=f"chmod g-w {path}")
    if entry.uid not in (0, service.uid):
        yield warn(f"{entry.path} belongs to neither root nor {service.name}", mend=f"chown root {path}")
    if not (all(may(service, each, os.X_OK) for each in place.folders) and may(service, entry, os.R_OK)):
        yield fail(
            f"{service.name} cannot read {entry.path}", mend=f"chgrp {service.name} {path} && chmod g+r {path}"
        )


def _private(place: Located, service: User) -> Iterator[Diagnosis]:
    """What gatepost keeps: held mail. Nobody else reads it; gatepost reads and writes it."""
    entry = place.entry
    if not entry.exists:
        return
    path = shlex.quote(str(entry.path))
    if entry.mode & stat.S_IRWXO:
        yield fail(f"other users can get at {entry.path}, where mail is kept", mend=f"chmod o-rwx {path}")
    wanted = os.R_OK | os.W_OK | (os.X_OK if stat.S_ISDIR(entry.mode) else 0)
    if not (all(may(service, each, os.X_OK) for each in place.folders) and may(service, entry, wanted)):
        yield fail(
            f"{service.name} cannot write {entry.path}", mend=f"chown {service.name}: {path} && chmod u+rwX {path}"
        )


def _secret(places: Sequence[Located]) -> Iterator[Diagnosis]:
    for place in places:
        if place.entry.mode & stat.S_IROTH:
            path = shlex.quote(str(place.entry.path))
            yield fail(
                f"{place.entry.path} holds the database's password and any local user can read it",
                mend=f"chgrp gatepost {path} && chmod o-r {path}",
            )


def _place(problem: Problem) -> str:
    where = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else f"{problem.path}"
    return f"{where}: {problem.message}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86400:.0f} days"


def needs_password(settings_: Settings) -> bool:
    """Whether the settings hold a password (in ``store.url``)."""
    authority = settings_.store.url.partition("://")[2].partition("/")[0]
    return ":" in authority.rpartition("@")[0]
