"""HTTP beside the pages: start and end of the process, health, metrics, the visitor's cookie, headers for the browser.

Reads and checks the settings while it is imported, because Streamlit later writes its secrets over the environment.
Knows nothing of what a page shows.
"""

import contextlib
import functools
import json
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import anyio
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from lib import __version__
from lib.access import identity
from lib.access.crowd import Crowd
from lib.access.signing_key import signing_key
from lib.experiments.definitions import DefinitionError, read_definitions_file
from lib.settings import Settings, SettingsError, load
from lib.web import patches
from lib.web.descriptors import Room
from lib.web.doors import Doors
from lib.web.outside import Outside, origin_of
from lib.web.sockets import send_at_once

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<path fill="#2f5bd8" d="M6 4h20a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H14l-7 6v-6H6a4 4 0 0 1-4-4V8a4 4 0 0 1 4-4z"/>
<path fill="#fff" d="M8 10h16v2.5H8zM8 15.5h10V18H8z"/></svg>"""
"""A page's icon, for the address that every page of Streamlit names. As an emoji of `st.set_page_config` (which
operators have) it takes Streamlit's catalogue of all emojis: 6 MB, and 30 ms of the first page."""


def _settings() -> Settings:
    """The settings and the local experiments, or the end of the process with one line for every problem."""
    try:
        settings = load()
        read_definitions_file(settings.experiments_file)
    except (SettingsError, DefinitionError) as error:
        print("Parley cannot start:", *error.problems, sep="\n  ", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    if base := str(st.get_option("server.baseUrlPath") or "").strip("/"):
        advice = "let the proxy in front take the path away, and name it in PARLEY_PUBLIC_URL"
        print(  # noqa: T201
            "Parley cannot start:", f"server.baseUrlPath: must be empty, not {base!r}; {advice}", sep="\n  ",
            file=sys.stderr,
        )  # fmt: skip
        raise SystemExit(2)
    return settings


SETTINGS = _settings()
CROWD = Crowd()
"""What an open link on the internet may be asked for; the pages count their questions under it too."""
patches.keep_the_peer()
patches.ask_nobody_for_our_address()


@functools.cache
def rules() -> identity.Access:
    """Who may do what, by the settings. Makes the signing key where there is none yet."""
    token = SETTINGS.operator_token
    return identity.Access(
        signing_key(SETTINGS), SETTINGS.operators, SETTINGS.operator_claim, token.get_secret_value() if token else None,
        SETTINGS.trusted_proxies,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Open Parley beside the server, close it before the process ends."""
    from lib.demo import Demo
    from lib.web import resources

    send_at_once()
    resources.guard.check()
    demo = Demo().start() if SETTINGS.demo else None
    resources.begin(SETTINGS, rules(), demo.base_url if demo else None)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(resources.close)
        if demo:
            await anyio.to_thread.run_sync(demo.stop)


def on_script_error(error: Exception) -> bool:
    """What a page shows when it fails."""
    from lib.web import resources

    return resources.on_script_error(error)


async def healthz(_request: Request) -> Response:
    """The process lives."""
    return _json(HTTPStatus.OK, {"status": "ok", "version": __version__})


async def icon(_request: Request) -> Response:
    """Of every page."""
    return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


async def readyz(request: Request) -> Response:
    """Return 200 when this process can serve: the start is done and the store can be used.

    Strangers read whether it is ready and which part is not. Operators and this machine also read the cause, and how
    the neighbours are.
    """
    from lib.web import resources

    trouble = await anyio.to_thread.run_sync(resources.trouble)
    trusted = await anyio.to_thread.run_sync(may_read_metrics, request.scope)
    if trouble:
        why = {"because": trouble.cause} if trusted else {}
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "part": trouble.part} | why)
    more = {"version": __version__} | resources.app().state() if trusted else {}
    return _json(HTTPStatus.OK, {"status": "ready"} | more)


async def metrics(_request: Request) -> Response:
    """Prometheus' text, for this machine and for who has the operator token."""
    from lib.metrics.counters import CONTENT_TYPE
    from lib.web import resources

    try:
        text = await anyio.to_thread.run_sync(lambda: resources.app(0).metrics.text())
    except resources.Unready:
        return Response("", HTTPStatus.SERVICE_UNAVAILABLE)
    return Response(text, media_type=CONTENT_TYPE)


def may_read_metrics(scope: Scope) -> bool:
    """Return True where a request may see measurements. May read the record."""
    from lib.web import resources

    request = HTTPConnection(scope)
    local = origin_of(rules(), scope).local
    try:
        return resources.may_read_metrics(local, request.cookies, request.headers.get("authorization"))
    except resources.Unready:
        return False


def _json(status: HTTPStatus, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"})


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
    Route("/favicon.png", icon),
    *Doors(SETTINGS, rules).routes(),
]
MIDDLEWARE = [
    Middleware(Outside, rules=rules, settings=SETTINGS, crowd=CROWD, may_read=may_read_metrics),
    Middleware(Room),
]
