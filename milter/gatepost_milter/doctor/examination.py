"""Owns the examination: which checks there are, in what order, and the facts that each of them needs.

Facts are gathered once, when the first check asks for them; ``--only`` therefore gathers no more than it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from gatepost_config.directory import Directory
from gatepost_config.documents import is_path, load_policy, load_settings
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.settings import Settings
from gatepost_config.words import Action, Mode
from gatepost_milter.bypass import Bypass, BypassError, bypass_active, state_directory
from gatepost_milter.doctor import gateway_checks, gateway_facts, listeners, postconf, postfix_checks
from gatepost_milter.doctor.diagnosis import Diagnosis, Result, fail, skipped
from gatepost_milter.doctor.gateway_facts import DirectoryFacts, Disk, Located
from gatepost_milter.doctor.postconf import PostconfError, Postfix
from gatepost_milter.policy import policy as policies
from gatepost_quarantine import samples


class Examination:
    """One look at one gateway: its settings, and the Postfix that is configured in ``postfix_directory``."""

    def __init__(self, *, settings_path: Path, postfix_directory: Path) -> None:
        self.settings_path = settings_path
        self.postfix_directory = postfix_directory

    @cached_property
    def loaded(self) -> tuple[Settings | None, tuple[Problem, ...]]:
        """The settings, or every problem with them."""
        try:
            return load_settings(self.settings_path), ()
        except ConfigError as error:
            return None, error.problems

    @cached_property
    def settings(self) -> Settings:
        """The settings; only for checks that are run when they load."""
        settings, problems = self.loaded
        if settings is None:
            raise ConfigError(*problems)
        return settings

    @property
    def postfix(self) -> Postfix:
        """What Postfix's configuration says. Raises PostconfError."""
        if isinstance(self._postfix, PostconfError):
            raise self._postfix
        return self._postfix

    @cached_property
    def _postfix(self) -> Postfix | PostconfError:
        """Asked once, also when Postfix cannot answer: it takes its time over files that it cannot read."""
        try:
            return postconf.read(self.postfix_directory)
        except PostconfError as error:
            return error

    @cached_property
    def bypass(self) -> Bypass | None:
        """The bypass on record. Raises BypassError."""
        return bypass_active(state_directory(self.settings.store.url))

    @cached_property
    def directory(self) -> tuple[DirectoryFacts | None, Directory | None]:
        """The people directory, if there is one."""
        folder = self.settings.directory
        return (None, None) if folder is None else gateway_facts.directory(folder)

    @cached_property
    def store(self) -> gateway_facts.StoreFacts:
        """The store, as it can be seen without changing it."""
        return gateway_facts.store(self.settings)

    def examine(self, names: Sequence[str] = ()) -> Iterator[Result]:
        """Run the checks of these names (all, when there is none), and tell what each found.

        That Postfix cannot be asked is told once, as ``postfix``, before the first check that must know.
        """
        told = False
        for name in names or CHECKS:
            try:
                found = self._run(name)
            except PostconfError as error:
                if not told:
                    yield _result("postfix", self._unanswered(error))
                told = True
                found = [skipped("not looked at, because Postfix's configuration cannot be read")]
            for diagnosis in found:
                yield _result(name, diagnosis)

    def _run(self, name: str) -> Sequence[Diagnosis]:
        """What one check finds. Raises PostconfError."""
        if name != "settings" and self.loaded[0] is None:
            return [skipped("the settings do not load")]
        try:
            return list(CHECKS[name](self))
        except BypassError as error:
            return [fail(str(error), mend="gatepost postfix status")]

    def _unanswered(self, error: PostconfError) -> Diagnosis:
        """Why nothing can be said about Postfix, which is a fault unless it is plainly on another machine."""
        if not postconf.installed():
            if self.settings.socket.startswith("inet:"):
                return skipped("Postfix is not on this machine; run the doctor where it is, too")
            return fail("Postfix is not on this machine", mend="apt-get install postfix")
        if not (self.postfix_directory / "main.cf").exists():
            return fail(
                f"there is no main.cf in {self.postfix_directory}: Postfix is not configured there",
                mend="dpkg-reconfigure postfix; or name the right folder: --postfix-config DIRECTORY",
            )
        mend = f"postconf -c {self.postfix_directory} -n; or name another folder: --postfix-config DIRECTORY"
        return fail(f"Postfix's configuration cannot be read: {error}", mend=mend)

    def _said_by_postfix(self) -> Postfix | None:
        """What Postfix says, for checks that can do without it."""
        return None if isinstance(self._postfix, PostconfError) else self._postfix

    def socket(self) -> Iterator[Diagnosis]:
        """The milter socket."""
        address = self.settings.socket
        if address.startswith("inet:"):
            yield from gateway_checks.milter_socket(address, None, gateway_facts.answer(address), None)
            return
        found = gateway_facts.located(Path(address))
        postfix = self._said_by_postfix()
        owner = (postfix.value("mail_owner") if postfix else "") or "postfix"
        answer = gateway_facts.answer(address) if found.entry.exists else None
        yield from gateway_checks.milter_socket(address, found, answer, gateway_facts.user(owner))

    def permissions(self) -> Iterator[Diagnosis]:
        """Who may read and change gatepost's files."""
        yield from gateway_checks.permissions(
            authority=self._authority(),
            private=[
                gateway_facts.located(path) for path in (self._database(), self.settings.spool.directory) if path
            ],
            service=gateway_facts.service_user(),
            secret=gateway_checks.needs_password(self.settings),
        )

    def policy(self) -> Iterator[Diagnosis]:
        """The policy document, with its own tests."""
        try:
            loaded = policies.load(self.settings, directory=self.directory[1])
        except ConfigError as error:
            yield from gateway_checks.policy(None, error.problems)
        else:
            yield from gateway_checks.policy(loaded.ref, (), loaded.problems)

    def sender_pages(self) -> Iterator[Diagnosis]:
        """The pages where senders answer, if any rule asks them."""
        try:
            loaded = policies.load(self.settings, directory=self.directory[1], tested=False)
        except ConfigError:
            yield skipped("the policy does not load")
            return
        asking = [
            each.rule.id
            for each in loaded.rules
            if each.rule.mode is Mode.ENFORCE and Action.CONFIRM in each.rule.action.values()
        ]
        pages = self.settings.sender_pages
        answers = bool(asking and pages.public_url) and gateway_facts.listens(pages.listen)
        yield from gateway_checks.sender_pages(pages, asking, answers=answers)

    def notices(self) -> Iterator[Diagnosis]:
        """The school's own templates and logo."""
        try:
            samples.load(self.settings)
        except ConfigError as error:
            yield from gateway_checks.notices(self.settings, error.problems)
        else:
            yield from gateway_checks.notices(self.settings, ())

    def seal(self) -> Iterator[Diagnosis]:
        """The key that sealed mail is encrypted to, if anything is sealed."""
        try:
            document = load_policy(self.settings.policy)
        except ConfigError:
            yield skipped("the policy does not load")
            return
        sealing = [
            each.id for each in document.rules if each.mode is Mode.ENFORCE and Action.SEAL in each.action.values()
        ]
        if self.settings.store.seal_hashes:
            sealing.append("store.seal_hashes")
        yield from gateway_checks.seal(self.settings, sealing)

    def disks(self) -> Iterator[Diagnosis]:
        """Room for the store, the spool and Postfix's queue."""
        places: list[tuple[str, Path]] = [("spool", self.settings.spool.directory)]
        if database := self._database():
            places.insert(0, ("store", database.parent))
        message_size = 0
        if postfix := self._said_by_postfix():
            places.append(("queue", Path(postfix.queue_directory)))
            message_size = postfix.number("message_size_limit")
        found: list[Disk] = [disk for purpose, path in places if (disk := gateway_facts.disk(purpose, path))]
        yield from gateway_checks.disks(found, floor=self.settings.store.free_floor, message_size=message_size)

    def clock(self) -> Iterator[Diagnosis]:
        """The clock, against the times of files that gatepost and people have written."""
        places = [each.entry for each in self._authority()]
        if database := self._database():
            places.append(gateway_facts.located(database).entry)
        newest = {str(entry.path): entry.modified for entry in places if entry.exists}
        yield from gateway_checks.clock(gateway_facts.clock(newest))

    def _authority(self) -> list[Located]:
        paths = [self.settings_path]
        if is_path(self.settings.policy):
            paths.append(Path(self.settings.policy))
        if self.settings.directory is not None:
            paths.append(self.settings.directory)
        return [gateway_facts.located(path) for path in paths]

    def _database(self) -> Path | None:
        url = self.settings.store.url
        return Path(url.removeprefix("sqlite:///").partition("?")[0]) if url.startswith("sqlite:///") else None


CHECKS: Mapping[str, Callable[[Examination], Iterable[Diagnosis]]] = {
    "settings": lambda it: gateway_checks.settings(it.settings_path, it.loaded[1], found=it.loaded[0] is not None),
    "policy": Examination.policy,
    "sender-pages": Examination.sender_pages,
    "notices": Examination.notices,
    "seal": Examination.seal,
    "directory": lambda it: gateway_checks.directory(it.directory[0]),
    "permissions": Examination.permissions,
    "socket": Examination.socket,
    "store": lambda it: gateway_checks.store(it.store),
    "outbox": lambda it: gateway_checks.outbox(it.store),
    "disks": Examination.disks,
    "clock": Examination.clock,
    "units": lambda _: gateway_checks.units(gateway_facts.units()),
    "postfix.spelling": lambda it: postfix_checks.spelling(it.postfix),
    "postfix.attached": lambda it: postfix_checks.attached(it.postfix, it.settings, it.bypass),
    "postfix.double": lambda it: postfix_checks.double(it.postfix, it.settings),
    "postfix.order": lambda it: postfix_checks.order(it.postfix, it.settings),
    "postfix.default-action": lambda it: postfix_checks.default_action(it.postfix, it.settings),
    "postfix.protocol": lambda it: postfix_checks.protocol(it.postfix, it.settings),
    "postfix.non-smtpd": lambda it: postfix_checks.non_smtpd(it.postfix, it.settings),
    "postfix.message-size": lambda it: postfix_checks.message_size(it.postfix, it.settings),
    "postfix.mailbox-size": lambda it: postfix_checks.mailbox_size(it.postfix),
    "postfix.original-recipient": lambda it: postfix_checks.original_recipient(it.postfix),
    "postfix.bcc": lambda it: postfix_checks.bcc(it.postfix),
    "postfix.queue-ids": lambda it: postfix_checks.queue_ids(it.postfix),
    "postfix.oddities": lambda it: postfix_checks.oddities(it.postfix),
    "release.inbound": lambda it: listeners.release_inbound(it.postfix, it.settings),
    "release.outbound": lambda it: listeners.release_outbound(it.postfix, it.settings),
    "release.reach": lambda it: listeners.release_reach(it.postfix, it.settings, gateway_facts.firewall()),
}


def _result(check: str, diagnosis: Diagnosis) -> Result:
    return Result(check=check, status=diagnosis.status, says=diagnosis.says, mend=diagnosis.mend)


def chosen(wanted: Sequence[str]) -> tuple[str, ...]:
    """The checks that ``--only`` names: a check or a group (``postfix``). Raises KeyError with an unknown word."""
    names: dict[str, None] = {}
    for word in wanted:
        found = [name for name in CHECKS if name == word or name.startswith(f"{word}.")]
        if not found:
            raise KeyError(word)
        names.update(dict.fromkeys(found))
    return tuple(names)
