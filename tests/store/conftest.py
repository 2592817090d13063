"""Owns the two databases that the store's contract is proved on: a file, and a private PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest
from support.quarantine import Clock
from support.stores import new_store

from gatepost_config import settings
from gatepost_quarantine.sql import SqlStore, open_store


class PostgresServer:
    """A PostgreSQL server in a folder of its own, reached over a Unix socket only.

    A ``hasty`` one may lose everything when the machine stops, and lives in memory where there is room for it:
    making and removing a database for each test is otherwise a minute of waiting for the disk.
    """

    def __init__(self, programs: Path, *, hasty: bool) -> None:
        self._programs = programs
        self._options = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off" if hasty else ""
        # Root may not run PostgreSQL, and a Unix socket's path has to be short.
        self._as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.geteuid() != 0:
            self._as_postgres = []
        self.folder = Path(tempfile.mkdtemp(prefix="gatepost-pg-", dir=_memory() if hasty else None))
        if self._as_postgres:
            shutil.chown(self.folder, "postgres", "postgres")

    def start(self) -> None:
        """Make the cluster and wait until it takes connections."""
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.resume()

    def resume(self) -> None:
        """Start the server of a cluster that is there."""
        options = (
            f"{self._options} -c listen_addresses= -c unix_socket_directories={self.folder} -c max_connections=60"
        )
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "60", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.halt()
        shutil.rmtree(self.folder)

    def halt(self) -> None:
        """Stop the server as a crash would: no goodbye to anybody, and recovery at the next start."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def new_database(self, *, like: str = "template1") -> str:
        """The URL of a new database: an empty one, or a copy of another."""
        name = f"t{uuid.uuid4().hex}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", "-T", like, name)
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    @cached_property
    def store(self) -> str:
        """The name of a database that has the tables of a new store, to be copied."""
        url = self.new_database()
        open_store(settings.Store(url=url, free_floor=0), gateway="mx1.school.example").close()
        return url.partition("@/")[2].partition("?")[0]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_postgres, str(self._programs / program), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server, or a skip with the reason."""
    yield from _server(hasty=True)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to be stopped and started: as careful with the disk as a school's."""
    yield from _server(hasty=False)


def _memory() -> Path | None:
    """A folder in memory that has room for a server's files; none on machines that keep it small."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > 2**32 else None


def _server(*, hasty: bool) -> Iterator[PostgresServer]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    server = PostgresServer(found[-1].parent, hasty=hasty)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def with_tables() -> bool:
    """Whether databases have their tables already; the tests that make them say no."""
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, with_tables: bool) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "quarantine.db"
        return new_store(path) if with_tables else f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database(like=server.store) if with_tables else server.new_database()


@pytest.fixture
def configured(url: str) -> settings.Store:
    """The store's section of the settings."""
    return settings.Store(url=url, free_floor=0)


@pytest.fixture
def clock() -> Clock:
    """A clock that goes only where a test sends it."""
    return Clock()


@pytest.fixture
def store(configured: settings.Store, clock: Clock) -> Iterator[SqlStore]:
    """An open store on a new database."""
    opened = open_store(configured, gateway="mx1.school.example", clock=clock)
    yield opened
    opened.close()
