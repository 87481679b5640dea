"""nginx as `docs/operate.md` sets it up: the document's configuration, in which only addresses, ports and paths are
replaced, in a folder of its own.

    with serve(folder, upstream_port, certificate) as proxy:
        ... open proxy.url ...
        assert "GET /" in proxy.logs["parley.log"]
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.app_process import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

DOCUMENT = ROOT / "docs" / "operate.md"
MAIN = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/main.log notice;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{block}
}}
"""
END_S = 30.0


def nginx() -> str | None:
    """Return the path of the installed nginx, also where only root has its folder on the search path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/local/sbin:/usr/sbin")


def configuration(folder: Path, port: int, upstream: int) -> str:
    """Return a whole configuration: the documented block with these local ports and the files of this folder."""
    [block] = re.findall(r"^```nginx\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
        "http://127.0.0.1:8501": f"http://127.0.0.1:{upstream}",
    }
    for documented, local in changes.items():
        assert documented in block, f"{DOCUMENT.name} does not have {documented}"
        block = block.replace(documented, local)
    return MAIN.format(folder=folder, block=block, user="user root;" if os.geteuid() == 0 else "")


@dataclass
class Proxy:
    """A test's handle of the proxy. `url` has no slash at its end."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes]

    @property
    def logs(self) -> dict[str, str]:
        """The text of every log, by the name of its file."""
        return {file.name: file.read_text(errors="replace") for file in self.folder.glob("*.log")}

    def stop(self) -> int:
        """Ask the proxy to end once its open requests have, as a supervisor does; return its exit code."""
        self.process.send_signal(signal.SIGQUIT)
        return self.process.wait(END_S)


@contextmanager
def serve(folder: Path, upstream: int, certificate: trustme.LeafCert) -> Iterator[Proxy]:
    """Run nginx in front of a server on that port of this machine until the block ends."""
    binary, port = nginx(), free_port()
    assert binary, "nginx is not installed"
    folder.mkdir(exist_ok=True)
    certificate.private_key_pem.write_to_path(folder / "chat.example.org.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "chat.example.org.pem")
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, port, upstream), encoding="utf-8")
    process = subprocess.Popen([binary, "-p", folder, "-e", folder / "start.log", "-c", file, "-g", "daemon off;"])
    proxy = Proxy(folder, f"https://127.0.0.1:{port}", process)
    try:
        until(lambda: process.poll() is not None or _listens(port), show=lambda: proxy.logs)
        assert process.poll() is None, proxy.logs
        yield proxy
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(END_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
