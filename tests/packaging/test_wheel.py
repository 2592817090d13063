"""What is built is what is in the tree: a wheel from a clean copy, installed where no source is near, works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "tests")


def _run(command: Sequence[str | Path], *, cwd: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from a copy of the tree, without network."""
    base = tmp_path_factory.mktemp("wheel")
    shutil.copytree(root, base / "source", ignore=_LEFT_OUT)
    _run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--wheel-dir", base / "dist", base / "source"),
        ],
        cwd=base,
    )
    (built,) = (base / "dist").glob("gatepost-*.whl")
    return built


def test_the_wheel_holds_every_module_and_data_file_of_the_rooms(wheel: Path, root: Path) -> None:
    """A template or a policy that is not listed as package data is missing only in production."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for base, package in (
        (root / "milter/gatepost_milter", "gatepost_milter"),
        (root / "config/gatepost_config", "gatepost_config"),
        (root / "config/lists", "gatepost_config/lists"),
        (root / "config/policies", "gatepost_config/policies"),
        (root / "quarantine/gatepost_quarantine", "gatepost_quarantine"),
    ):
        for path in base.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{package}/{path.relative_to(base).as_posix()}")
    assert shipped == expected


def test_a_fresh_install_runs_the_command(wheel: Path, tmp_path: Path) -> None:
    """The parts come from this environment, gatepost itself only from the wheel."""
    fresh = tmp_path / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", fresh], cwd=tmp_path)
    (site,) = fresh.glob("lib/python*/site-packages")
    (ours,) = {path for path in map(Path, sys.path) if path.name == "site-packages" and path.is_dir()}
    _run(
        [
            *(sys.executable, "-m", "pip", "--python", fresh / "bin" / "python", "install"),
            *("--no-deps", "--no-index", wheel),
        ],
        cwd=tmp_path,
    )
    # A plain path line brings the parts; unlike a site directory it does not run the editable install's hook.
    (site / "parts.pth").write_text(f"{ours}\n", encoding="utf-8")
    said = _run([fresh / "bin" / "gatepost", "--help"], cwd=tmp_path)
    assert "gatepost keeps a school's mail" in said
    for module in ("gatepost_milter", "gatepost_quarantine", "gatepost_config"):
        found = _run([fresh / "bin" / "python", "-c", f"import {module}; print({module}.__file__)"], cwd=tmp_path)
        assert found.startswith(str(fresh)), module
