"""A real PostgreSQL for tests: Debian's binaries, a folder of its own, a free port on loopback, ended by its pid."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from lib.store.database import Database
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

OLDEST = 15
"""The oldest major version that Parley is tested with."""


def binaries() -> Path | None:
    """Return the folder that holds `initdb` and `postgres`, that of the newest version; None where there is none."""
    found = {path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
    newest = sorted((int(folder.parent.name.split(".")[0]), folder) for folder in found)
    if newest and newest[-1][0] >= OLDEST:
        return newest[-1][1]
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """One server. `stop` and `start` play an outage: the data and the port stay the same."""

    def __init__(self, folder: Path, bin_folder: Path, durable: bool) -> None:
        self.folder, self._bin, self._durable = folder, bin_folder, durable
        self.port = free_port()
        self._as = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if self._as:
            shutil.chown(folder, self._as["user"], self._as["group"])
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "parley", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        options += [] if self._durable else ["-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as,
            )  # fmt: skip
        process = self._process
        until(lambda: process.poll() is not None or accepts(self._dsn("postgres")))
        assert process.poll() is None, (self.folder / "log").read_text()

    def stop(self) -> None:
        """End the server at once, which cuts every connection."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGINT)
            self._process.wait(ENOUGH_S)

    def freeze(self) -> None:
        """Suspend every process of the server until `thaw`, beginning with the one that starts the others."""
        self._server().suspend()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a connection has ended meanwhile
                process.suspend()

    def thaw(self) -> None:
        """Resume every process that `freeze` suspended."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def database(self) -> str:
        """Create a database with the store's empty tables; return its URL for `Store.open`.

        It is copied from a template, which takes half the time of creating the tables.
        """
        if not self._databases:
            self.bare_database("template")
            Database.open(self._url("template")).close()
        self._databases += 1
        self.execute(f"CREATE DATABASE parley_{self._databases} TEMPLATE parley_template")
        return self._url(str(self._databases))

    def bare_database(self, name: str = "bare") -> str:
        """Create a database without any table; return its URL for `Store.open`."""
        self.execute(f"CREATE DATABASE parley_{name}")
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://parley@127.0.0.1:{self.port}/parley_{name}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement over a connection that is not Parley's."""
        with closing(psycopg.connect(self._dsn(database), autocommit=True)) as connection:
            connection.execute(statement)

    def processor_s(self) -> float:
        """Return the server's seconds of processor time so far, those of ended connections included."""
        times = []
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a connection has ended meanwhile
                times.append(process.cpu_times())
        ended: float = times[0].children_user + times[0].children_system
        return float(ended + sum(one.user + one.system for one in times))

    def _processes(self) -> list[psutil.Process]:
        server = self._server()
        return [server, *server.children(recursive=True)]

    def _server(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def _dsn(self, name: str) -> str:
        return f"postgresql://parley@127.0.0.1:{self.port}/{name}"

    def _run(self, command: str, *arguments: str) -> None:
        done = subprocess.run([self._bin / command, *arguments], capture_output=True, text=True, **self._as)
        assert done.returncode == 0, done.stderr


def accepts(dsn: str) -> bool:
    """Return True if a server accepts connections at this address."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def serve(durable: bool = False) -> Iterator[Postgres]:
    """Run a server until the block ends. If `durable`, its commits reach the disk, as in production.

    Raise FileNotFoundError where PostgreSQL is not installed.
    """
    bin_folder = binaries()
    if bin_folder is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="parley-postgres-"))
    server = None
    try:
        server = Postgres(folder, bin_folder, durable)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, Any]:
    """Return the user to run as: as root, which `initdb` and `postgres` refuse, the one that Debian's package made."""
    if os.geteuid() != 0:
        return {}
    owner = pwd.getpwnam("postgres")
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
