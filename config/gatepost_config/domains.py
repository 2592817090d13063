"""Owns what kind of place a domain is: the school itself, an institution, or where the public has its mail.

The lists are hints for counting and warning. They never refuse mail and never let mail pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from gatepost_config.addresses import DOMAIN_LIMIT, ascii_domain


class Domains:
    """The kinds of domains, for one school. Look-ups take any spelling and cost about a microsecond.

    ``school`` are the school's own domains, each as it is listed: the name below one may be somebody else's (a
    mailing service's, a pupils' site). Such a name is still an institution's. ``institutions``
    and ``consumers`` are a school's additions to the shipped lists, each also counted with the names below it.
    An institution is never a consumer domain, whatever the lists say; so an entry in ``institutions`` is also
    the way to take a domain off the consumer list.
    """

    __slots__ = ("_consumer_hosts", "_consumers", "_institution_hosts", "_institutions", "_school")

    def __init__(
        self, *, school: Iterable[str], institutions: Iterable[str] = (), consumers: Iterable[str] = ()
    ) -> None:
        self._school = frozenset(map(ascii_domain, school))
        added = {ascii_domain(domain): "added" for domain in institutions}
        exact, hosts = _shipped("institution_domains.tsv")
        self._institutions = exact | added
        self._institution_hosts = hosts | frozenset(added) | self._school
        added = {ascii_domain(domain): "added" for domain in consumers}
        exact, hosts = _shipped("consumer_domains.tsv")
        self._consumers = exact | added
        self._consumer_hosts = hosts | frozenset(added)

    @property
    def school(self) -> frozenset[str]:
        """The school's own domains."""
        return self._school

    @property
    def consumers(self) -> frozenset[str]:
        """The domains where the public has its mail, as they are listed."""
        return frozenset(self._consumers)

    @property
    def institutions(self) -> frozenset[str]:
        """The domains of institutions, as they are listed."""
        return frozenset(self._institutions)

    def is_school(self, domain: str) -> bool:
        """Whether ``domain`` is one of the school's own. This decides which way mail goes and who is believed."""
        return ascii_domain(domain) in self._school

    def is_institution(self, domain: str) -> bool:
        """Whether ``domain`` is the school or a known institution: another school, health, government, police,
        an exam board. It is then never anybody's private mail."""
        return self._institution(ascii_domain(domain))

    def is_consumer(self, domain: str) -> bool:
        """Whether the public has its mail at ``domain``: webmail, an internet provider, an alias service."""
        domain = ascii_domain(domain)
        if domain not in self._consumers and not _within(domain, self._consumer_hosts):
            return False
        return not self._institution(domain)

    def group(self, domain: str) -> str:
        """What the lists call ``domain``: ``school``, an institution's or a provider's group, or nothing."""
        domain = ascii_domain(domain)
        if _within(domain, self._school):
            return "school"
        for exact, hosts in (
            (self._institutions, self._institution_hosts),
            (self._consumers, self._consumer_hosts),
        ):
            if domain in exact:
                return exact[domain]
            for parent in _parents(domain):
                if parent in hosts:
                    return exact[parent]
        return ""

    def _institution(self, domain: str) -> bool:
        return domain in self._institutions or _within(domain, self._institution_hosts)


def _within(domain: str, hosts: frozenset[str]) -> bool:
    """Whether ``domain`` or a name above it is in ``hosts``."""
    if len(domain) > DOMAIN_LIMIT:
        return False  # no such name can exist, and walking a hostile one would cost its length squared
    while domain not in hosts:
        _, dot, domain = domain.partition(".")
        if not dot:
            return False
    return True


def _parents(domain: str) -> Iterable[str]:
    if len(domain) > DOMAIN_LIMIT:
        return
    while domain:
        _, _, domain = domain.partition(".")
        yield domain


@cache
def _shipped(name: str) -> tuple[dict[str, str], frozenset[str]]:
    """A shipped list as {domain: group}, and those of its domains that stand for all names below them too."""
    groups: dict[str, str] = {}
    hosts: set[str] = set()
    columns: list[str] = []
    for line in files("gatepost_config").joinpath(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        cells = line.split("\t")
        if not columns:
            columns = cells
            continue
        row = dict(zip(columns, cells, strict=True))
        groups[row["domain"]] = row["group"]
        if row["subdomains"]:
            hosts.add(row["domain"])
    return groups, frozenset(hosts)
