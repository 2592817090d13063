"""Measures the detectors: all of them on a small letter, on a megabyte of letters, and on hostile text.

Run by hand: ``python tests/bench/detectors.py``. Prints one JSON object. The aim is 150 µs for a letter of a
kilobyte and 30 ms for a megabyte, all detectors together. Times are processor time, the best of several runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial

from gatepost_config.phrase_lists import load_lists, shipped_lists
from gatepost_milter.detect import calendar, credentials, exports, structure, transit
from gatepost_milter.detect.births import births
from gatepost_milter.detect.domains_alike import Alike
from gatepost_milter.detect.identifiers import find, total
from gatepost_milter.detect.pages import Page
from gatepost_milter.detect.phrases import Lexicon
from gatepost_milter.detect.structure import Structure

KEY = b"a key of the benchmark, 32 bytes"
TODAY = date(2026, 11, 22)

LETTER = """\
Dear Mr Smith,

Thank you for your letter of 3 October about the trip to York in the summer term. The coach leaves
at 8.15 from the car park behind the sports hall, and we expect to be back at about 17:30 on the
Friday. Please send a packed lunch, a waterproof coat and sensible shoes; a little pocket money (no
more than £10) may be useful at the museum shop.

If anything is unclear, please ring the office on 020 7946 0018 or write to office@school.example.
The itinerary is on https://www.school.example/trips/york, and the consent form is due on
12/06/2027. Two of the groups will visit the Minster first, and the others the railway museum; Ms
Patel and Dr O’Brien will tell the pupils on the day which group they are in. Medication should be
handed to Mrs Bell, who keeps the list, in a bag with the pupil's name on it.

Please forget what I wrote about the password for the parents' portal: it has expired, and IT
Support will reset it.

Kind regards,
A. Jones
Head of Year 8
The School, 1 High Street, Wimbledon, London SW19 4TT
"""


def _words(size: int) -> str:
    """Letters, each a little different, up to ``size`` characters."""
    count = size // len(LETTER) + 1
    return "\n".join(LETTER.replace("8.15", f"{number % 12}.{number % 60:02d}") for number in range(count))[:size]


def _measure(call: Callable[[], object], *, rounds: int) -> float:
    """Seconds of processor time of the best of ``rounds``."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time_ns()
        call()
        best = min(best, time.process_time_ns() - started)
    return best / 1e9


def _lowered_of(page: Page) -> bytes:
    return page.lowered


def _lowered(text: str) -> bytes:
    return Page(text).lowered


def _shape(page: Page) -> object:
    """All of a text's shape; rules ask for parts of it only."""
    found = Structure(page, subject="Re: York")
    return found.forwards, found.earlier, found.shown, found.capitals, found.salutation, structure.addresses(page)


def main() -> None:
    """Measure each detector alone and all together."""
    lexicon = Lexicon(load_lists(list(shipped_lists())))
    alike = Alike(f"school{number}.sch.uk" for number in range(1000))
    detectors: dict[str, Callable[[Page], object]] = {
        "identifiers": lambda page: total(find(page, key=KEY)),
        "births": lambda page: births(page, key=KEY, today=TODAY),
        "exports": exports.find,
        "credentials": lambda page: credentials.total(credentials.find(page, key=KEY)),
        "phrases": lambda page: lexicon.search([page]),
        "structure": _shape,
        "calendar": calendar.find,
        "links": transit.links,
        "domain alike": lambda page: alike.near("schoool17.sch.uk"),
    }

    def everything(text: str) -> None:
        page = Page(text)
        _lowered_of(page)
        for detector in detectors.values():
            detector(page)

    texts = {
        "letter_1kB": LETTER[:1000],
        "letter_1MB": _words(1_000_000),
        "ascii_1MB": _words(1_000_000).replace("’", "'").replace("£", ""),
    }
    report: dict[str, dict[str, float]] = {}
    for name, text in texts.items():
        small = len(text) < 10_000
        unit, rounds = (1e6, 3000) if small else (1e3, 5)
        rows = {"all": _measure(partial(everything, text), rounds=rounds)}
        rows["plain text"] = _measure(partial(_lowered, text), rounds=rounds)
        page = Page(text)
        _lowered_of(page)
        for title, detector in detectors.items():
            rows[title] = _measure(partial(detector, page), rounds=rounds)
        suffix = "us" if small else "ms"
        report[f"{name}_{suffix}"] = {title: round(value * unit, 2) for title, value in rows.items()}
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
