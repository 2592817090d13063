"""Owns the words of PDF documents, read by pypdf; without it they are not read, and that is said.

Chosen for being plain Python: memory-safe where hostile fonts and streams are read. A page is read only when its
drawing is of ordinary size, because nothing can stop the library in the middle of one.
"""

from __future__ import annotations

import io
import logging
import struct
import time
import zlib
from contextlib import suppress
from types import ModuleType
from typing import Any

from gatepost_milter.inspection.containers.extent import Extent
from gatepost_milter.inspection.containers.walk import UnreadableError

pypdf: ModuleType | None
try:
    import pypdf
except ImportError:
    pypdf = None

MAX_PAGES = 2000
MAX_DRAWING = 1024 * 1024  # bytes of one page's unpacked drawing

# pypdf promises no closed list of what it raises on damaged files; these are the kinds that content can cause.
_FAULTS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    ImportError,  # of a part that it loads at first use: there are no files here
    OSError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


class _Stop(Exception):  # noqa: N818 - not an error: the way out of a page
    """A bound was reached in the middle of a page."""


def read(data: bytes, extent: Extent) -> str:
    """What stands on the pages, a line for each line, and in the fields of a form. Raises UnreadableError."""
    if pypdf is None:
        raise UnreadableError("no reader for PDF is installed")
    faults: tuple[type[BaseException], ...] = (*_FAULTS, pypdf.errors.PyPdfError)
    words: list[str] = []
    failed = False
    try:
        document = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if document.is_encrypted and not document.decrypt(""):
            raise UnreadableError("it is protected by a password")
        for number, page in enumerate(document.pages):
            if number >= MAX_PAGES or extent.over():
                extent.cut = True
                break
            try:
                words.append(_page(page, extent) + "\n")
            except faults:
                failed = True
        fields = document.get_form_text_fields() or {}
        words += [extent.keep(f"{name}\t{value}\n") for name, value in fields.items() if value]
    except _Stop:
        extent.cut = True
    except faults as error:
        if not words:
            raise UnreadableError("it is damaged") from error
    if failed and not any(each.strip() for each in words):
        raise UnreadableError("its pages cannot be read")
    return "".join(words)


def _page(page: Any, extent: Extent) -> str:
    drawing = page.get_contents()
    if drawing is None:
        return ""
    if len(drawing.get_data()) > MAX_DRAWING:
        extent.cut = True
        return ""
    count = 0

    def stop_in_time(*_: object) -> None:
        nonlocal count
        count += 1
        if not count % 512 and extent.over():
            raise _Stop

    return extent.keep(page.extract_text(visitor_operand_before=stop_in_time))


def warm_up() -> None:
    """Load what the library loads when it is first used, while files can still be opened."""
    if pypdf is not None:
        logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)
        with suppress(UnreadableError):
            read(_SMALLEST, Extent(characters=100, octets=100, until=time.monotonic() + 10))


_SMALLEST = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>/MediaBox[0 0 9 9]>>endobj\n"
    b"4 0 obj<</Length 19>>stream\nBT/F 9 Tf(word)Tj ET\nendstream endobj\n"
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
    b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
)
