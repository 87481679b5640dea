"""A real PgBouncer on loopback in front of a PostgreSQL: two server connections, by default shared by transaction."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.postgres_server import Postgres, _unprivileged, accepts
from tests.support.waiting import ENOUGH_S, until

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 2
max_client_conn = 200
logfile = {folder}/log
"""


def binary() -> str | None:
    """Return the path of the installed PgBouncer, also where only root has its folder on the search path."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/local/sbin:/usr/sbin")


@contextmanager
def serve(postgres: Postgres, mode: str = "transaction") -> Iterator[int]:
    """Run PgBouncer until the block ends; yield its port."""
    program = binary()
    assert program is not None, "PgBouncer is not installed"
    folder, port, user = Path(tempfile.mkdtemp(prefix="parley-pgbouncer-")), free_port(), _unprivileged()
    (folder / "users").write_text('"parley" ""\n')
    (folder / "settings").write_text(SETTINGS.format(server=postgres.port, port=port, folder=folder, mode=mode))
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user["user"], user["group"])
    process = subprocess.Popen(
        [program, "-q", folder / "settings"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, **user,
    )  # fmt: skip
    try:
        _wait(port, process, folder)
        yield port
    finally:
        os.kill(process.pid, signal.SIGINT)
        try:
            process.wait(ENOUGH_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until(lambda: process.poll() is not None or accepts(f"postgresql://parley@127.0.0.1:{port}/postgres"))
    assert process.poll() is None, (folder / "log").read_text()
