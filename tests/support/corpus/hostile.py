"""Owns the hostile corpus: every case of every family, in order."""

from __future__ import annotations

from support.corpus import (
    hostile_containers,
    hostile_content,
    hostile_documents,
    hostile_names,
    hostile_structure,
    hostile_types,
)
from support.corpus.case import Case, Register

FAMILIES: tuple[Register, ...] = (
    hostile_types.types,
    hostile_types.encodings,
    hostile_types.headers,
    hostile_structure.boundaries,
    hostile_structure.texts,
    hostile_structure.messages,
    hostile_names.names,
    hostile_names.kinds,
    hostile_content.contents,
    hostile_content.polyglots,
    hostile_containers.zips,
    hostile_containers.archives,
    hostile_containers.packed_mail,
    hostile_documents.office,
    hostile_documents.pdfs,
    hostile_documents.rtfs,
    hostile_documents.pages,
    hostile_documents.notes,
)
CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.cases)
