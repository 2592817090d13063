"""Measures the people directory: how fast it loads, and how fast it answers. Prints one JSON object.

Run by hand: ``python tests/bench/directory.py [--people N]``. The aim is 25,000 addresses in under two seconds
and every look-up in under two microseconds.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import resource
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from datetime import date
from pathlib import Path

from gatepost_config.directory_load import load_directory
from gatepost_config.domains import Domains

_HOMES = ["gmail.com", "hotmail.co.uk", "btinternet.com", "outlook.com", "sky.com", "familyname.example"]


def _write(folder: Path, people: int) -> None:
    """One in ten is staff, four are pupils, five are parents (two for each pupil, some with several pupils)."""
    staff, pupils = people // 10, people * 4 // 10
    parents = people - staff - pupils
    with (folder / "staff.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["address", "name", "login", "groups", "department", "personal_addresses", "from"])
        for n in range(staff):
            rows.writerow(
                [
                    f"first{n}.last{n}@school.example",
                    f"First{n} Last{n % 900}",
                    f"fl{n}",
                    "teachers;form-tutors",
                    f"Department {n % 20}",
                    f"first.last{n}@gmail.com",
                    "2020-09-01",
                ]
            )
    with (folder / "pupils.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["address", "name", "login", "pupil", "year", "section", "from", "until"])
        for n in range(pupils):
            rows.writerow(
                [
                    f"{n}@pupils.school.example",
                    f"Pupil{n} Last{n}",
                    f"p{n}",
                    n,
                    n % 13,
                    "senior",
                    "01/09/2024",
                    "31/08/2031",
                ]
            )
    with (folder / "parents.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["address", "name", "pupil"])
        for n in range(parents):
            home = _HOMES[n % len(_HOMES)]
            children = f"{n // 2 % pupils};{n // 2 % pupils + 1}" if n % 7 == 0 else n // 2 % pupils
            rows.writerow([f"Parent.{n}@{home}", f"Parent{n} Last{n}", children])


def _microseconds(call: Callable[[], object]) -> float:
    number = 50_000
    return round(min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6, 3)


def main() -> None:
    """Write a made-up school, load it, ask it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=25_000, help="addresses in the directory")
    people = parser.parse_args().people
    domains = Domains(school=["school.example"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, people)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        loads = []
        processor = []
        for _ in range(3):
            gc.collect()
            start, start_processor = time.perf_counter(), time.process_time()
            directory = load_directory(folder)
            loads.append(time.perf_counter() - start)
            processor.append(time.process_time() - start_processor)
    at = date(2026, 11, 22)
    staff = f"first{people // 20}.last{people // 20}@school.example"
    asked: dict[str, Callable[[], object]] = {
        "person": lambda: directory.person(staff),
        "person_on_a_day": lambda: directory.person(staff, at=at),
        "person_in_another_spelling": lambda: directory.person("PARENT0@googlemail.com"),
        "person_unknown": lambda: directory.person("nobody@elsewhere.example"),
        "by_login": lambda: directory.by_login(f"fl{people // 20}"),
        "household": lambda: directory.household("parent.7@hotmail.co.uk"),
        "owners_of_personal": lambda: directory.owners_of_personal("first.last5@gmail.com"),
        "exempt_without_exemptions": lambda: directory.exempt("executable-attachment", staff, at),
        "is_consumer": lambda: domains.is_consumer("jones.plus.com"),
        "is_consumer_no": lambda: domains.is_consumer("mail.supplier.co.uk"),
        "is_institution": lambda: domains.is_institution("office.other.surrey.sch.uk"),
    }
    json.dump(
        {
            "people": len(directory.people),
            "problems": len(directory.problems),
            "load_seconds": round(min(loads), 3),
            "load_seconds_worst": round(max(loads), 3),
            "load_processor_seconds": round(min(processor), 3),
            "resident_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
            "microseconds": {name: _microseconds(call) for name, call in asked.items()},
        },
        sys.stdout,
        indent=2,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
