"""The files of `deploy/` fit the app: every file, name and address in them exists; no secret does."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from fnmatch import fnmatch
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from streamlit import config

from lib.app import GRACE_S
from lib.settings import FIELDS, SettingsError, load
from lib.web import running
from tests.support import echo_server, replicas
from tests.support.app_process import APP, ROOT, AppProcess, status
from tests.support.ports import free_port
from tests.support.raw_websocket import http
from tests.support.waiting import until

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("app", "replica-one", "replica-two")
SECRETS = ("POSTGRES_PASSWORD", "PARLEY_SIGNING_KEY", "PARLEY_OPERATOR_TOKEN", "OPENAI_API_KEY", "STATSIG_SECRET_KEY")
OTHERS = {"PGPASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
"""Names that PostgreSQL's client library and its image read."""
LEFT_S = 10.0
"""Seconds that the end of a process may take after the grace period, as the documents say."""


def instructions(word: str) -> list[str]:
    """Return the arguments of every instruction with this name, in order."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")))
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(word + " ")]


def copied() -> list[str]:
    """Return the sources that the image contains."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    return [
        source
        for line in instructions("COPY")
        if f"COPY {line}" in last and "--from" not in line
        for source in line.split()[:-1]
    ]


def ignored(path: str) -> bool:
    """Return True if `docker build` ignores a file: the last matching line decides."""
    out = False
    for line in (line for line in IGNORE.splitlines() if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        parents = [path, *(str(parent) for parent in Path(path).parents)]
        anywhere = "**/" in line and pattern in Path(path).parts
        if anywhere or any(fnmatch(parent, pattern) and parent != "." for parent in parents):
            out = not line.startswith("!")
    return out


def resolved(value: Any, environ: dict[str, str]) -> Any:
    """Return a value as compose resolves it."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: environ.get(m[1]) or m[2] or "", str(value))


def environment(service: str, environ: dict[str, str]) -> dict[str, str]:
    """Return the environment that compose gives to a service when it runs in `environ`."""
    variables = SERVICES[service]["environment"]
    given = {
        name: environ.get(name) if value is None else resolved(value, environ) for name, value in variables.items()
    }
    return {name: value for name, value in given.items() if value is not None}


def variable(option: str) -> str:
    """Return the environment variable for one of Streamlit's options.

    >>> variable("server.cookieSecret")
    'STREAMLIT_SERVER_COOKIE_SECRET'
    """
    return "STREAMLIT_" + re.sub("([a-z])([A-Z])", r"\1_\2", option).replace(".", "_").upper()


# The image


def test_the_image_holds_the_tested_files_and_nothing_else() -> None:
    assert sorted(copied()) == sorted(APP)
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert (ROOT / "requirements.txt").is_file() and "COPY requirements.txt /" in DOCKERFILE


@pytest.mark.parametrize("path", [*APP, "requirements.txt", "lib/store/writer.py", "pages/chat/page.py"])
def test_the_files_of_the_image_reach_its_build(path: str) -> None:
    assert not ignored(path)


@pytest.mark.parametrize(
    "path",
    [".streamlit/secrets.toml", ".git/config", "data/parley.db", "data/parley.db.signing-key", "deploy/.env", ".env",
     "tests/support/chat_page.py", ".venv/bin/python", "lib/__pycache__/app.cpython-313.pyc"],
)  # fmt: skip
def test_secret_and_large_files_do_not_reach_the_build(path: str) -> None:
    assert ignored(path)


def test_the_image_names_no_secret() -> None:
    assert instructions("ARG") == []
    named = {assignment.partition("=")[0] for line in instructions("ENV") for assignment in shlex.split(line)}
    assert named & {*FIELDS, *SECRETS} == set()
    assert not re.search(r"secrets\.toml|--mount=type=secret", DOCKERFILE)


def test_the_image_does_not_run_as_root() -> None:
    assert instructions("USER")[-1] not in ("", "root", "0")
    last = DOCKERFILE.rpartition("\nUSER ")[2]
    assert "\nRUN " not in last and "\nCOPY " not in last


def test_its_base_is_named_and_slim() -> None:
    bases = {line.split()[0] for line in instructions("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+-slim", bases.pop())


@pytest.mark.parametrize("there", [True, False])
def test_its_health_check_notices_that_no_app_runs(app: AppProcess, there: bool) -> None:
    command = json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2])
    assert command[0] == "python" and "/healthz" in command[-1]
    port = app.url.rpartition(":")[2] if there else "1"
    done = subprocess.run([sys.executable, *command[1:]], env=os.environ | {"PORT": port}, capture_output=True)
    assert (done.returncode == 0) is there


def test_its_process_ends_on_sigterm() -> None:
    shell, option, line = json.loads(instructions("CMD")[-1])
    assert (shell, option) == ("sh", "-c")
    assert line.startswith("exec streamlit run streamlit_app.py ")


# Compose


def test_by_default_one_app_starts_and_the_profile_starts_everything_else() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["app"]
    scaled = {name for name, service in SERVICES.items() if service.get("profiles") == ["scale"]}
    assert scaled == {"replica-one", "replica-two", "postgres", "balancer"}


def test_the_services_depend_on_services_that_start_with_them() -> None:
    for service in SERVICES.values():
        for name in service.get("depends_on", ()):
            assert SERVICES[name].get("profiles") == service.get("profiles")


def test_the_files_that_compose_names_exist() -> None:
    for name, service in SERVICES.items():
        if build := service.get("build"):
            assert (DEPLOY / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()
        for volume in service.get("volumes", ()):
            source = resolved(volume, {}).split(":")[0]
            if source == "/dev/null":  # stands for an empty secrets.toml, unless one is named
                continue
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], name


@pytest.mark.parametrize("service", OURS)
def test_every_setting_can_be_given_and_no_other_name_is(service: str) -> None:
    known = {variable(option) for option in config.get_config_options()}
    given = set(SERVICES[service]["environment"])
    assert set(FIELDS) - given == set()
    assert given - set(FIELDS) - OTHERS - known == set()


@pytest.mark.parametrize("service", OURS)
def test_its_variables_are_accepted(service: str, tmp_path: Path) -> None:
    given = environment(service, {"PARLEY_SIGNING_KEY": "k" * 43, "POSTGRES_PASSWORD": "p"})
    ours = {name: value for name, value in given.items() if name in FIELDS}
    settings = load(ours, tmp_path / "none.toml")
    assert settings.database_url.startswith("sqlite" if service == "app" else "postgresql+psycopg")
    assert settings.log == "json"


def test_replicas_without_a_signing_key_do_not_start(tmp_path: Path) -> None:
    ours = {name: value for name, value in environment("replica-one", {}).items() if name in FIELDS}
    with pytest.raises(SettingsError, match="PARLEY_SIGNING_KEY"):
        load(ours, tmp_path / "none.toml")


def test_both_replicas_have_the_same_settings() -> None:
    assert SERVICES["replica-one"] == SERVICES["replica-two"]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_has_a_default(secret: str) -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert secret in text
    assert set(re.findall(rf"\$\{{{secret}(?::-([^}}]*))?\}}", text)) <= {""}
    assert set(re.findall(rf"^\s*{secret}:[ ]*(\S*)", text, re.MULTILINE)) <= {"", f"${{{secret}:-}}"}


def test_without_profile_nothing_must_be_set() -> None:
    """Compose resolves the whole file, services of other profiles too: a name that must be set would stop them all."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"\$\{[^}]+\}", text) if ":-" not in name] == []


def test_by_default_only_this_machine_reaches_the_published_ports() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 2
    assert all(resolved(port, {}).startswith("127.0.0.1:") for port in published)


def test_replicas_trust_the_balancer_alone() -> None:
    [network] = COMPOSE["networks"]["inside"]["ipam"]["config"]
    balancer = SERVICES["balancer"]["networks"]["inside"]["ipv4_address"]
    assert SERVICES["replica-one"]["environment"]["PARLEY_TRUSTED_PROXIES"] == balancer
    assert ip_address(balancer) in ip_network(network["subnet"])
    assert ip_address(balancer) not in ip_network(network["ip_range"]), "nobody else is given its address"


@pytest.mark.parametrize("service", OURS)
def test_a_container_may_do_little_and_has_time_to_end(service: str) -> None:
    options = SERVICES[service]
    assert options["read_only"] and options["cap_drop"] == ["ALL"] and "privileged" not in options
    assert float(options["stop_grace_period"].removesuffix("s")) >= GRACE_S + LEFT_S


def test_every_service_has_limits_of_memory_and_those_of_ours_of_descriptors() -> None:
    assert [name for name, service in SERVICES.items() if "mem_limit" not in service] == []
    for service in OURS:
        assert SERVICES[service]["ulimits"]["nofile"]["hard"] >= 16_384


@pytest.mark.parametrize("service", OURS)
def test_sign_in_can_be_given_its_file(service: str) -> None:
    mounted = [resolved(volume, {"PARLEY_SECRETS_FILE": "./secrets.toml"}) for volume in SERVICES[service]["volumes"]]
    assert "./secrets.toml:/app/.streamlit/secrets.toml:ro" in mounted


def test_every_image_from_elsewhere_has_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert all(re.search(r":\d", image) for image in images)


# haproxy


def test_the_balancer_asks_the_replicas_that_there_are() -> None:
    text = replicas.CONFIGURATION.read_text(encoding="utf-8")
    hosts = {tuple(match) for match in re.findall(r"^\s+server (\w+) ([\w-]+):8501", text, re.MULTILINE)}
    assert hosts == {(name, f"replica-{name}") for name in replicas.NAMES}
    assert {host for _, host in hosts} == {name for name in SERVICES if name.startswith("replica-")}
    ports = {resolved(port, {}).split(":")[-1] for port in SERVICES["balancer"]["ports"]}
    assert set(re.findall(r"^\s+bind :(\d+)$", text, re.MULTILINE)) == ports


def test_the_balancer_waits_for_a_start_and_not_for_the_database() -> None:
    text = replicas.CONFIGURATION.read_text(encoding="utf-8")
    [pattern] = re.findall(r'^\s+http-check expect ! rstring "(.*)"$', text, re.MULTILINE)
    pattern = pattern.replace('\\"', '"')
    assert re.search(pattern, _unready("start"))
    assert not re.search(pattern, _unready("database"))


def _unready(part: Literal["start", "database"]) -> str:
    """Return the body of `/readyz` that the balancer reads while this part is not ready."""
    return json.dumps({"status": "not ready", "part": running.Trouble(part, "").part})


def test_haproxy_takes_the_configuration_without_a_warning(tmp_path: Path) -> None:
    if not (binary := replicas.haproxy()):
        pytest.skip("there is no haproxy (on Debian: apt-get install haproxy)")
    file = tmp_path / "haproxy.cfg"
    file.write_text(replicas.configuration(8501, {"one": 8601, "two": 8602}), encoding="utf-8")
    done = subprocess.run([binary, "-c", "-f", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("in_front", "sent", "seen"),
    [
        (True, {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, ("203.0.113.9", "https")),
        (False, {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, ("127.0.0.1", "http")),
        (True, {"X-Real-Ip": "203.0.113.9", "Forwarded": "for=203.0.113.9;proto=https"}, ("127.0.0.1", "http")),
    ],
    ids=["a proxy that is named", "anybody else", "other headers"],
)
def test_only_a_proxy_that_is_named_says_where_a_request_comes_from(
    tmp_path: Path, in_front: bool, sent: dict[str, str], seen: tuple[str, str]
) -> None:
    if not (binary := replicas.haproxy()):
        pytest.skip("there is no haproxy (on Debian: apt-get install haproxy)")
    port = free_port()
    with echo_server.serve() as echo:
        text = replicas.configuration(port, {"one": echo, "two": echo})
        if in_front:
            text = text.replace("acl in_front src 255.255.255.255", "acl in_front src 127.0.0.1")
        file = tmp_path / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        balancer = subprocess.Popen([binary, "-f", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: status(f"http://127.0.0.1:{port}/") == 200)
            report = dict(json.loads(http(f"http://127.0.0.1:{port}/", **sent).body))
        finally:
            balancer.terminate()
            balancer.wait()
    assert (report.get("x-forwarded-for", ""), report.get("x-forwarded-proto", "")) == seen
    assert "x-real-ip" not in report and "forwarded" not in report


def test_no_log_of_haproxy_has_the_link_of_an_invitation(tmp_path: Path) -> None:
    if not (binary := replicas.haproxy()):
        pytest.skip("there is no haproxy (on Debian: apt-get install haproxy)")
    port, dead = free_port(), free_port()
    log = tmp_path / "haproxy.log"
    with echo_server.serve() as echo, log.open("wb") as sink:
        file = tmp_path / "haproxy.cfg"
        file.write_text(replicas.configuration(port, {"one": echo, "two": dead}), encoding="utf-8")
        balancer = subprocess.Popen([binary, "-db", "-f", file], stdout=sink, stderr=sink)
        try:
            until(lambda: "Server parley/two is DOWN" in log.read_text())
            there = f"http://127.0.0.1:{port}/invite/a-token?a-query"
            assert http(there, Referer=there).status == 200
            with socket.create_connection(("127.0.0.1", port)) as wire:
                wire.sendall(b"GET /invite/a-token HTTP/1.1\r\na broken header\r\n\r\n")
                assert wire.recv(100).startswith(b"HTTP/1.1 400")
        finally:
            balancer.terminate()
            balancer.wait()
    assert "a-token" not in log.read_text() and "a-query" not in log.read_text()
