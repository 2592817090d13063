"""The rooms stay where they are, and pymilter stays importable beside a folder called ``milter``."""

from __future__ import annotations

import configparser
import importlib.machinery
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ("milter", "config", "quarantine")


def _setup(root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    return parser


def _listed_packages(root: Path) -> dict[str, Path]:
    """Every package that setup.cfg lists, with its folder."""
    options = _setup(root)["options"]
    folders = {}
    for line in options["package_dir"].strip().splitlines():
        name, _, folder = line.partition("=")
        folders[name.strip()] = folder.strip()
    packages = {}
    for package in options["packages"].split():
        base = package
        while base not in folders:
            base = base.rpartition(".")[0]
        packages[package] = root / folders[base] / Path(*package.removeprefix(base).strip(".").split("."))
    return packages


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_a_folder_and_not_a_package(root: Path, room: str) -> None:
    """With an ``__init__.py`` the folder ``milter`` would hide the C extension of the same name."""
    assert not (root / room / "__init__.py").exists()


def test_the_module_milter_is_the_c_extension(root: Path) -> None:
    """Asked from the top folder, where the room of that name is in the way."""
    asked = subprocess.run(
        [sys.executable, "-c", "import milter; print(milter.__file__)"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip().endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def test_setup_cfg_lists_exactly_the_packages_of_the_tree(root: Path) -> None:
    """A package that is not listed works from the source tree, and is missing from the wheel."""
    listed = _listed_packages(root)
    in_tree = {path.parent for room in ROOMS for path in (root / room).rglob("__init__.py")}
    assert set(listed.values()) == in_tree


def test_every_listed_package_is_typed(root: Path) -> None:
    """Each room carries the marker that tells type checkers to read it."""
    for package, folder in _listed_packages(root).items():
        if "." not in package:
            assert (folder / "py.typed").exists(), package


def test_the_rooms_keep_their_contracts(root: Path, tmp_path: Path) -> None:
    """Doors open downward only: import-linter reads the contracts in setup.cfg."""
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None
    linted = subprocess.run(
        [program, "--config", str(root / "setup.cfg"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("contract", "room", "free"),
    [
        ("sqlalchemy", "gatepost_quarantine", {"sql"}),
        ("pymilter", "gatepost_milter", {"session", "daemon"}),
    ],
)
def test_a_new_module_is_bound_by_the_contracts(root: Path, contract: str, room: str, free: set[str]) -> None:
    """A module that the list of a contract leaves out may import what it likes."""
    bound = _setup(root)[f"importlinter:contract:{contract}"]["source_modules"].split()
    folder = _listed_packages(root)[room]
    modules = {each.stem for each in folder.glob("*.py")} | {
        each.parent.name for each in folder.glob("*/__init__.py")
    }
    assert {each.removeprefix(f"{room}.") for each in bound if each.startswith(room)} == (
        modules - free - {"__init__"}
    )


def test_python_dash_m_pytest_works_too(root: Path) -> None:
    """``python -m pytest`` puts the top folder on the path, where the rooms could hide installed modules."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::{_CHOSEN}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


_CHOSEN = test_the_module_milter_is_the_c_extension.__name__
