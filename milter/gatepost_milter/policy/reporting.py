"""Owns who hears of a finding: never somebody about whose own mail it is, if the policy names another.

KCS 1.2 and 1.10, WHP R: misuse by the one to whom misuse is reported goes one step up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from gatepost_config.policy_document import Role
from gatepost_config.words import Finding


def without_the_subject(finding: Finding, held: Collection[str], roles: Mapping[str, Role]) -> Finding:
    """The finding, told to and queued for those ``instead`` of roles that the sender holds (``held``)."""
    tell = tuple(dict.fromkeys(_instead(each, held, roles) for each in finding.tell))
    return replace(finding, tell=tell, queue=_instead(finding.queue, held, roles))


def _instead(name: str, held: Collection[str], roles: Mapping[str, Role]) -> str:
    """The first role on the way up that the sender does not hold; the last one if they hold them all."""
    seen = {name}
    while name in held and (above := roles[name].instead) is not None and above not in seen:
        seen.add(above)
        name = above
    return name
