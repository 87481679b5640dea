"""A real OpenID provider on loopback, with accounts that a test names, and an app whose users sign in with it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import app_process
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

AUTH = """\
[auth]
redirect_uri = "{app}/oauth2callback"
cookie_secret = "a-cookie-secret-of-the-tests-0123456789"
client_id = "parley"
client_secret = "a-client-secret"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@contextmanager
def provider(folder: Path, people: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Run a provider with these accounts, a mapping of subjects to their claims; yield its address."""
    port = free_port()
    claims = [json.dumps({"sub": subject, **told}) for subject, told in people.items()]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    for each in claims:
        command += ["--user-claims", each]
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        configuration = url + "/.well-known/openid-configuration"
        until(
            lambda: process.poll() is not None or app_process.status(configuration) == 200,
            show=lambda: (folder / "provider.log").read_text(),
        )
        assert process.poll() is None, (folder / "provider.log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(ENOUGH_S)


def start(folder: Path, provider_url: str, environ: Mapping[str, str], auth: str = AUTH) -> app_process.AppProcess:
    """Start the app in this folder, with this provider in its secrets."""
    app_process.lay_out(folder)
    port = free_port()
    secrets = auth.format(app=f"http://127.0.0.1:{port}", provider=provider_url)
    (folder / ".streamlit/secrets.toml").write_text(secrets)
    return app_process.start(folder, environ, port=port)
