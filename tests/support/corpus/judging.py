"""Owns how a corpus is put before inspection and the policies, in this process, with one pool of inspectors."""

from __future__ import annotations

from support.corpus.case import Case

from gatepost_config import settings
from gatepost_milter.inspection.defects import DEFECTS, Severity
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.spool import Spool

LIMITS = settings.Inspection()


def inspected(
    message: bytes, inspectors: Inspectors, *, deadline: float = 20.0, texts: bool = False
) -> Inspection:
    """What inspection says of a message, with ``texts`` also what its files say."""
    with Spool.of(message) as spool:
        return inspect(spool, inspectors=inspectors, limits=LIMITS, deadline=deadline, texts=texts)


def found_as(inspection: Inspection) -> frozenset[str]:
    """All classes of all attachments, and ``uninspectable`` if a defect of that severity was seen."""
    classes = {str(kind) for each in inspection.attachments for kind in each.classes}
    if any(DEFECTS[each.code].severity is Severity.UNINSPECTABLE for each in inspection.defects):
        classes.add("uninspectable")
    return frozenset(classes)


def is_found(case: Case, inspection: Inspection) -> bool:
    """Whether a case was found as one of the things it may be found as."""
    return not found_as(inspection).isdisjoint(case.found_as)
