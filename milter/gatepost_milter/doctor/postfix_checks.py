"""Owns the judgement of Postfix's configuration around gatepost: DESIGN sections 7 and 8, as pure functions.

Each check takes what ``postconf`` said and what the settings say, and yields at least one diagnosis. The
release listeners have a module of their own (``listeners``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gatepost_config.settings import Settings
from gatepost_milter.bypass import Bypass
from gatepost_milter.doctor.diagnosis import Diagnosis, fail, ok, otherwise, size, skipped, warn
from gatepost_milter.doctor.listeners import is_release
from gatepost_milter.doctor.milters import Likeness, MilterEntry, compact, entries, likeness
from gatepost_milter.doctor.postconf import Postfix, Service

LEAST_MESSAGE_SIZE = 14_500_000
"""Bytes. An attachment of 10,485,760 bytes is allowed; in base64 with its line ends it is 14,348,938."""

GOOD_MESSAGE_SIZE = 25_000_000
"""Bytes. Room above the school's limit, so that gatepost and not Postfix tells the sender what is too large."""

_HEADER_SIZE = 102_400
_STRIP = r"\0"
_LINE_LENGTH = 2_048
"""Bytes; Postfix's own defaults of ``header_size_limit`` and ``line_length_limit``."""

_MARGIN = 30
"""Seconds that Postfix should wait longer than gatepost may look into one message."""

_BCC = ("always_bcc", "sender_bcc_maps", "recipient_bcc_maps")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def ours(postfix: Postfix, settings: Settings, service: Service) -> tuple[tuple[MilterEntry, Likeness], ...]:
    """The entries of a service's milter list that name our socket, rightly placed or not."""
    judged = ((entry, _likeness(postfix, settings, entry, service.chroot)) for entry in postfix.milters(service))
    return tuple((entry, like) for entry, like in judged if like is not Likeness.OTHER)


def fronts(postfix: Postfix, settings: Settings) -> tuple[Service, ...]:
    """The smtpd services by which mail comes in: not the release listeners, not another filter's way back."""
    back = ways_back(postfix, settings)
    return tuple(service for service in _smtpd(postfix, settings) if service not in back)


def ways_back(postfix: Postfix, settings: Settings) -> tuple[Service, ...]:
    """The smtpd services to which another filter (``content_filter``, ``smtpd_proxy_filter``) returns mail.

    They are on loopback and switch off the filter that the others use, else the mail would go round for ever.
    """
    services = _smtpd(postfix, settings)
    filters = [
        name
        for name in ("content_filter", "smtpd_proxy_filter")
        if any(postfix.value(name, service) for service in services)
    ]
    return tuple(
        service
        for service in services
        if postfix.loopback(service) and any(service.overrides.get(name) == "" for name in filters)
    )


def _smtpd(postfix: Postfix, settings: Settings) -> tuple[Service, ...]:
    return tuple(
        service
        for service in postfix.services
        if service.command == "smtpd" and service.kind in ("inet", "pass") and not is_release(settings, service)
    )


def spelling(postfix: Postfix) -> Iterator[Diagnosis]:
    """Postfix ignores a parameter that it does not know, so a misspelt one is silently not in force."""
    for complaint in postfix.complaints:
        yield warn(f"Postfix says: {complaint}", mend=f"correct or remove that line, then {postfix.reload()}")
    if not postfix.complaints:
        yield ok("Postfix knows every parameter that is set")


def attached(postfix: Postfix, settings: Settings, bypass: Bypass | None) -> Iterator[Diagnosis]:
    """Every way in for mail must ask gatepost, once, and look for its socket in the right place."""
    services = fronts(postfix, settings)
    if not services:
        yield warn("master.cf has no smtpd service for incoming mail", mend="postconf -M")
        return
    found = {service.key: ours(postfix, settings, service) for service in services}
    behind = [service for service in ways_back(postfix, settings) if ours(postfix, settings, service)]
    if not any(found.values()) and behind:
        yield warn(
            f"only {behind[0].key} asks gatepost, behind another filter: it never sees a login or the real client",
            mend=_put_in(postfix, settings, services[0]),
        )
        return
    if not any(found.values()):
        if bypass is not None:
            yield fail(
                f"gatepost is bypassed since {bypass.since:%Y-%m-%d %H:%M} UTC: mail passes unexamined",
                mend="gatepost postfix resume",
            )
            return
        yield fail(
            "no smtpd service asks gatepost: mail passes unexamined", mend=_put_in(postfix, settings, services[0])
        )
        return
    faults = 0
    for service in services:
        for diagnosis in _attached_service(postfix, settings, service, found[service.key]):
            faults += 1
            yield diagnosis
    if bypass is not None:
        faults += 1
        yield warn(
            "a bypass is on record, but Postfix asks gatepost: the alert is wrong", mend="gatepost postfix resume"
        )
    if not faults:
        names = ", ".join(service.key for service in services)
        yield ok(f"Postfix asks gatepost for {names}")


def _attached_service(
    postfix: Postfix, settings: Settings, service: Service, found: tuple[tuple[MilterEntry, Likeness], ...]
) -> Iterator[Diagnosis]:
    if not found:
        mend = _put_in(postfix, settings, service)
        yield warn(f"mail that comes by {service.key} is not shown to gatepost", mend=mend)
        return
    for entry, like in found:
        if like is Likeness.MISPLACED:
            where = f"inside its chroot {postfix.queue_directory}" if service.chroot else "outside any chroot"
            yield fail(
                f"{service.key} looks for {entry.endpoint} {where}, which is not {settings.socket}",
                mend=_replace(postfix, settings, service, entry),
            )
    options = _words(postfix.value("receive_override_options", service))
    if "no_milters" in options:
        yield fail(
            f"{service.key} has receive_override_options=no_milters: gatepost is never asked",
            mend=_change(postfix, service, "receive_override_options", ",".join(options - {"no_milters"})),
        )
    if postfix.value("smtpd_milter_maps", service):
        yield warn(
            f"{service.key} has smtpd_milter_maps: clients in that table may be let past gatepost",
            mend=_change(postfix, service, "smtpd_milter_maps", ""),
        )
    if postfix.value("smtpd_proxy_filter", service):
        yield fail(
            f"{service.key} has smtpd_proxy_filter: milters are then not shown the content",
            mend=_change(postfix, service, "smtpd_proxy_filter", ""),
        )


@otherwise("no message is shown to gatepost twice")
def double(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """A message that gatepost is shown twice is held twice, and a released one is held again."""
    before = [service for service in fronts(postfix, settings) if ours(postfix, settings, service)]
    back = ways_back(postfix, settings)
    filtered = {postfix.value("content_filter", service) for service in fronts(postfix, settings)} - {""}
    for service in postfix.services:
        if service.command != "smtpd" or is_release(settings, service):
            continue
        found = [entry for entry, _ in ours(postfix, settings, service)]
        if len(found) > 1:
            value = ",".join(dict.fromkeys(compact(entry.text) for entry in postfix.milters(service)))
            yield fail(
                f"{service.key} names gatepost {len(found)} times",
                mend=_change(postfix, service, "smtpd_milters", value),
            )
        if found and service in back and before:
            yield fail(
                f"{before[0].key} asks gatepost, and {service.key}, the way back of another filter, asks it again",
                mend=postfix.override(service, "smtpd_milters="),
            )
    if _pipes(postfix, filtered) and _named(postfix, settings, "non_smtpd_milters"):
        yield warn(
            f"content_filter={min(filtered)} is a pipe; if it hands mail back by sendmail, gatepost sees it twice",
            mend=postfix.set("non_smtpd_milters="),
        )


@otherwise("nothing but a signer follows gatepost")
def order(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """Only a signer may follow: a filter behind gatepost could refuse what gatepost has already put on hold."""
    for service in fronts(postfix, settings):
        found = {entry.text for entry, _ in ours(postfix, settings, service)}
        texts = [entry.text for entry in postfix.milters(service)]
        last = max((place for place, text in enumerate(texts) if text in found), default=len(texts))
        behind = [text for text in texts[last + 1 :] if not re.search(r"dkim|sign|arc", text, re.IGNORECASE)]
        if behind:
            moved = [*(compact(text) for text in behind), *(compact(t) for t in texts if t not in behind)]
            yield warn(
                f"behind gatepost {service.key} asks {', '.join(behind)}; only a signer may follow",
                mend=_change(postfix, service, "smtpd_milters", ",".join(moved)),
            )


def default_action(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """If gatepost is away, mail must wait with its sender: not pass unexamined, not be refused for good."""
    seen: set[str] = set()
    for service in fronts(postfix, settings):
        for entry, _ in ours(postfix, settings, service):
            own = entry.options.get("default_action")
            action = own or postfix.value("milter_default_action", service)
            if action in seen:
                continue
            seen.add(action)
            if own is None:
                mend = _change(postfix, service, "milter_default_action", "tempfail")
            else:
                tempfail = compact(entry.text).replace(f"default_action={own}", "default_action=tempfail")
                mend = _replace(postfix, settings, service, entry, by=tempfail)
            yield from _judge_default(service, action, mend)
    if not seen:
        yield skipped("no smtpd service asks gatepost")


def _judge_default(service: Service, action: str, mend: str) -> Iterator[Diagnosis]:
    if action == "tempfail":
        yield ok("while gatepost is away, mail waits with its senders (tempfail)")
    elif action == "shutdown":
        yield warn(
            f"{service.key}: while gatepost is away Postfix hangs up (shutdown, its default from 3.11); "
            "tempfail says clearly that the sender should try again",
            mend=mend,
        )
    else:
        harm = {
            "accept": "mail passes unexamined",
            "reject": "mail is refused for good",
            "quarantine": "mail fills Postfix's hold queue, where no reviewer looks",
        }.get(action, "what happens is not known to us")
        yield fail(f"{service.key}: while gatepost is away {harm} (default_action={action})", mend=mend)


@otherwise("Postfix tells gatepost what it needs and waits long enough")
def protocol(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """What Postfix tells gatepost, and how long it waits for the answer."""
    if postfix.value("milter_protocol") not in ("6", "7"):
        yield fail(
            f"milter_protocol={postfix.value('milter_protocol')}: header fields lose their white space",
            mend=postfix.set("milter_protocol=6"),
        )
    yield from _macros(postfix, settings)
    wanted = max(settings.inspection.deadline, settings.inspection.deadline_login) + _MARGIN
    for service in fronts(postfix, settings):
        for entry, _ in ours(postfix, settings, service):
            own = entry.options.get("content_timeout")
            patience = seconds(own or postfix.value("milter_content_timeout", service))
            if patience is not None and patience < wanted:
                longer = compact(entry.text).replace(f"content_timeout={own}", "content_timeout=300s")
                yield warn(
                    f"{service.key} waits {patience} s for gatepost, which may look for {wanted - _MARGIN:g} s",
                    mend=_replace(postfix, settings, service, entry, by=longer)
                    if own
                    else _change(postfix, service, "milter_content_timeout", "300s"),
                )


def _macros(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    needed = [
        ("milter_mail_macros", "{auth_authen}", fail, "no sender is known by login"),
        ("milter_end_of_data_macros", "i", warn, "log lines lack the queue id"),
    ]
    if any(relay.tls_name for relay in settings.trusted_relays):
        needed.append(("milter_helo_macros", "{cert_subject}", fail, "a relay with tls_name is never trusted"))
    for name, macro, judge, harm in needed:
        value = postfix.value(name)
        if macro not in re.split(r"[,\s]+", value):
            yield judge(
                f"{name} lacks {macro}: {harm}", mend=postfix.set(f"{name}={value} {macro}".replace("= ", "="))
            )


def non_smtpd(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """Mail from programs on this machine goes by non_smtpd_milters only."""
    if not _named(postfix, settings, "non_smtpd_milters"):
        value = _with_ours(postfix, settings, entries(postfix.value("non_smtpd_milters")))
        yield warn(
            "mail from programs on this machine (sendmail) is not shown to gatepost",
            mend=postfix.set(f"non_smtpd_milters={value}"),
        )
        return
    if postfix.value("internal_mail_filter_classes"):
        yield warn(
            f"internal_mail_filter_classes={postfix.value('internal_mail_filter_classes')}: gatepost is shown "
            "Postfix's own bounces, and holding one hides a failed delivery from its sender",
            mend=postfix.set("internal_mail_filter_classes="),
        )
        return
    yield ok("mail from programs on this machine is shown to gatepost")


def message_size(postfix: Postfix, settings: Settings) -> Iterator[Diagnosis]:
    """Postfix must let through what the policy allows, and a little more, so that the policy can speak."""
    limit = postfix.number("message_size_limit")
    mend = postfix.set(f"message_size_limit={min(41_943_040, settings.spool.limit)}")
    if limit and limit < LEAST_MESSAGE_SIZE:
        yield fail(
            f"message_size_limit is {size(limit)}: Postfix refuses attachments of 10 MiB, which are allowed",
            mend=mend,
        )
    elif limit and limit < GOOD_MESSAGE_SIZE:
        yield warn(
            f"message_size_limit is {size(limit)}: larger mail gets Postfix's answer, not the policy's; "
            f"{size(GOOD_MESSAGE_SIZE)} or more is better",
            mend=mend,
        )
    elif not limit or limit > settings.spool.limit:
        told = size(limit) if limit else "unlimited"
        yield warn(
            f"message_size_limit is {told}, spool.limit {size(settings.spool.limit)}: "
            "gatepost refuses what is between",
            mend=mend,
        )
    else:
        yield ok(f"message_size_limit is {size(limit)}")


@otherwise("mailboxes take the largest message")
def mailbox_size(postfix: Postfix) -> Iterator[Diagnosis]:
    """With a mailbox limit below the message limit Postfix's delivery agents refuse to start at all."""
    message = postfix.number("message_size_limit")
    for name, agent in (("mailbox_size_limit", "local"), ("virtual_mailbox_limit", "virtual")):
        limit = postfix.number(name)
        if limit and (not message or limit < message):
            told = size(message) if message else "unlimited"
            yield fail(
                f"{name} is {size(limit)}, message_size_limit {told}: {agent}(8) refuses to deliver",
                mend=postfix.set(f"{name}=0"),
            )


@otherwise("aliases of one mailbox stay apart")
def original_recipient(postfix: Postfix) -> Iterator[Diagnosis]:
    """With ``no`` two aliases of one mailbox collapse, and taking the held one out loses the clean one (tried)."""
    services = [service for service in postfix.services if "enable_original_recipient" in service.overrides]
    if postfix.value("enable_original_recipient") == "no":
        yield fail(
            "enable_original_recipient=no: holding mail for one alias can lose it for another of the same mailbox",
            mend=postfix.set("enable_original_recipient=yes"),
        )
    for service in services:
        if postfix.value("enable_original_recipient", service) == "no":
            yield fail(
                f"{service.key} has enable_original_recipient=no: holding mail for one alias can lose another's",
                mend=postfix.override(service, "enable_original_recipient=yes"),
            )


@otherwise("no blind copies leave behind gatepost's back")
def bcc(postfix: Postfix) -> Iterator[Diagnosis]:
    """Postfix adds these recipients after the milters: they get a message that is held for some only (tried)."""
    places: list[Service | None] = [None, *(each for each in postfix.services if each.command == "cleanup")]
    for place in places:
        for name in _BCC:
            if place is not None and name not in place.overrides:
                continue
            if value := postfix.value(name, place):
                yield warn(
                    f"{name}={value}: these copies leave even when gatepost holds the message for some recipients",
                    mend=_change(postfix, place, name, ""),
                )


def queue_ids(postfix: Postfix) -> Iterator[Diagnosis]:
    """Short queue ids are used again within seconds, so a log line may mean two messages."""
    if postfix.value("enable_long_queue_ids") == "yes":
        yield ok("queue ids are never used twice")
    else:
        yield warn(
            "enable_long_queue_ids=no: queue ids are used again, so log lines of two messages may be confused",
            mend=postfix.set("enable_long_queue_ids=yes"),
        )


@otherwise("Postfix hands messages on as they came")
def oddities(postfix: Postfix) -> Iterator[Diagnosis]:
    """Settings by which Postfix changes a message before gatepost sees it, or cuts off what it should see."""
    for name, least in (("header_size_limit", _HEADER_SIZE), ("line_length_limit", _LINE_LENGTH)):
        limit = postfix.number(name)
        if limit < least:
            yield warn(
                f"{name} is {size(limit)}: Postfix cuts what ordinary mail may hold",
                mend=postfix.set(f"{name}={least}"),
            )
    stripped = postfix.value("message_strip_characters")
    if stripped != _STRIP:
        says = (
            "message_strip_characters takes out more than NUL: gatepost sees changed mail, and signatures break"
            if stripped
            else "message_strip_characters is empty: a NUL ends a header field for gatepost, not for its reader"
        )
        yield warn(says, mend=postfix.set(f"message_strip_characters={_STRIP}"))


def seconds(value: str) -> int | None:
    """A Postfix time value (``300s``, ``5m``, ``1h``; seconds without a unit); None when it is not one."""
    match = re.fullmatch(r"(\d+)([smhdw]?)", value.strip())
    return int(match[1]) * _UNITS[match[2] or "s"] if match else None


def _words(value: str) -> set[str]:
    return {word for word in re.split(r"[,\s]+", value) if word}


def _likeness(postfix: Postfix, settings: Settings, entry: MilterEntry, chroot: bool) -> Likeness:
    return likeness(entry, socket=settings.socket, queue_directory=postfix.queue_directory, chroot=chroot)


def _named(postfix: Postfix, settings: Settings, name: str) -> bool:
    """Whether a parameter of main.cf names our socket."""
    return any(_either(postfix, settings, entry) for entry in entries(postfix.value(name)))


def _either(postfix: Postfix, settings: Settings, entry: MilterEntry) -> bool:
    """Whether the entry names our socket, read with a chroot or without."""
    return any(_likeness(postfix, settings, entry, chroot) is not Likeness.OTHER for chroot in (True, False))


def _pipes(postfix: Postfix, filters: set[str]) -> bool:
    names = {each.partition(":")[0] for each in filters}
    return any(service.name in names and service.command == "pipe" for service in postfix.services)


def endpoint(postfix: Postfix, settings: Settings) -> str:
    """Our socket as Postfix should write it: relative to the queue directory, so that a chroot does not matter."""
    if settings.socket.startswith("inet:"):
        port, _, host = settings.socket.removeprefix("inet:").partition("@")
        return f"inet:{host or '127.0.0.1'}:{port}"
    prefix = f"{postfix.queue_directory}/"
    return f"unix:{settings.socket.removeprefix(prefix)}"


def _put_in(postfix: Postfix, settings: Settings, service: Service) -> str:
    """The command that puts gatepost into the list that a service obeys, behind the filters that are there."""
    return _change(postfix, service, "smtpd_milters", _with_ours(postfix, settings, postfix.milters(service)))


def _with_ours(postfix: Postfix, settings: Settings, listed: Iterable[MilterEntry]) -> str:
    others = (entry for entry in listed if not _either(postfix, settings, entry))
    return ",".join([*(compact(entry.text) for entry in others), _entry(postfix, settings)])


def _entry(postfix: Postfix, settings: Settings) -> str:
    return f"{{{endpoint(postfix, settings)},default_action=tempfail,content_timeout=300s}}"


def _replace(postfix: Postfix, settings: Settings, service: Service, entry: MilterEntry, *, by: str = "") -> str:
    """The command that writes one entry of a service's list anew."""
    new = by or entry.text.replace(entry.endpoint, endpoint(postfix, settings), 1)
    listed = (new if each.text == entry.text else each.text for each in postfix.milters(service))
    return _change(postfix, service, "smtpd_milters", ",".join(compact(text) for text in listed))


def _change(postfix: Postfix, service: Service | None, name: str, value: str) -> str:
    """The command that sets a parameter where it is set now: for the service, or in main.cf."""
    if service is not None and name in service.overrides:
        return postfix.override(service, f"{name}={value}")
    return postfix.set(f"{name}={value}")
