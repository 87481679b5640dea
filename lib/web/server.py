"""HTTP beside the pages: start and end of the process, health, metrics, the visitor's cookie, headers for the browser.

Reads and checks the settings while it is imported, because Streamlit later writes its secrets over the environment.
Knows nothing of what a page shows.
"""

import base64
import contextlib
import functools
import hashlib
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib import __version__
from lib.access import identity
from lib.access.signing_key import signing_key
from lib.access.throttle import Patience
from lib.experiments.definitions import DefinitionError, read_definitions_file
from lib.settings import Settings, SettingsError, load
from lib.web.doors import Doors, origin_of
from lib.web.sockets import send_at_once
from lib.web.static import STATIC, send_file

log = logging.getLogger("parley.access")


def _inline_scripts() -> str:
    """Streamlit's page has one inline script: its hash, as the policy names it, for whatever version is installed."""
    scripts = re.findall(rb"<script>(.*?)</script>", (STATIC / "index.html").read_bytes(), re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)


HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cross-origin-opener-policy": "same-origin",
    # Streamlit needs inline styles and, for charts and components, eval and blobs. No image, font or request leaves.
    "content-security-policy": (
        f"default-src 'self'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob: {_inline_scripts()}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; media-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
}
NOT_PAGES = ("/_stcore/", "/static/", "/media/", "/component/", "/healthz", "/readyz", "/metrics", "/favicon.png")
ANY_HOST = ("/healthz", "/readyz", "/metrics", "/_stcore/health", "/_stcore/metrics")
"""What machines ask for, by whatever name or address they have."""
TAKES_TOKEN = ("/readyz", "/metrics", "/_stcore/metrics", "/_stcore/stream")
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<path fill="#2f5bd8" d="M6 4h20a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H14l-7 6v-6H6a4 4 0 0 1-4-4V8a4 4 0 0 1 4-4z"/>
<path fill="#fff" d="M8 10h16v2.5H8zM8 15.5h10V18H8z"/></svg>"""
"""A page's icon, for the address that every page of Streamlit names. As an emoji of `st.set_page_config` (which
operators have) it takes Streamlit's catalogue of all emojis: 6 MB, and 30 ms of the first page."""
WRONG_HOST = "Parley does not answer under this name. Its operator can add the name to server.allowedHosts."


def _settings() -> Settings:
    """The settings and the local experiments, or the end of the process with one line for every problem."""
    try:
        settings = load()
        read_definitions_file(settings.experiments_file)
    except (SettingsError, DefinitionError) as error:
        print("Parley cannot start:", *error.problems, sep="\n  ", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    return settings


SETTINGS = _settings()


@functools.cache
def rules() -> identity.Access:
    """Who may do what, by the settings. Makes the signing key where there is none yet."""
    token = SETTINGS.operator_token
    return identity.Access(
        signing_key(SETTINGS), SETTINGS.operators, token.get_secret_value() if token else None, SETTINGS.trusted_proxies
    )


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

    trouble, trusted = await anyio.to_thread.run_sync(resources.trouble), _may_read_metrics(request.scope)
    if trouble:
        why = {"because": trouble.cause} if trusted else {}
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "part": trouble.part} | why)
    more = {"version": __version__} | resources.app().state() if trusted else {}
    return _json(HTTPStatus.OK, {"status": "ready"} | more)


async def metrics(request: Request) -> Response:
    """Prometheus' text, for this machine and for who has the operator token."""
    from lib.metrics.counters import CONTENT_TYPE
    from lib.web import resources

    if not _may_read_metrics(request.scope):
        return Response("Not Found", HTTPStatus.NOT_FOUND)
    try:
        text = await anyio.to_thread.run_sync(lambda: resources.app(0).metrics.text())
    except resources.Unready:
        return Response("", HTTPStatus.SERVICE_UNAVAILABLE)
    return Response(text, media_type=CONTENT_TYPE)


def _may_read_metrics(scope: Scope) -> bool:
    request = HTTPConnection(scope)
    return rules().may_read_metrics(
        local=_origin(scope).local, cookies=request.cookies, authorization=request.headers.get("authorization")
    )


def _origin(scope: Scope) -> identity.Origin:
    return origin_of(rules(), scope)


def _json(status: HTTPStatus, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"})


class Outside:
    """Around every request: only names and pages that are ours, the headers that keep a browser in line, a cookie for
    a visitor who has none, and for the pages (which see headers, but not the connection) a header of our own that says
    where the request comes from. Wrong secrets in a header cost time, as in the form."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._patience = app, Patience()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        scope, foreign = self._without_wrong_token(scope), _foreign(scope)
        if scope["type"] == "websocket":
            from lib.web.resources import guard

            if foreign:
                return await send({"type": "websocket.close", "code": 1008})
            admitted = guard.admit(scope, rules().visitor(HTTPConnection(scope).cookies))
            if admitted is None:
                log.warning("a connection that names another browser's session was refused")
                return await send({"type": "websocket.close", "code": 1008})
            return await self._app(_marked(admitted), receive, send)
        app, cookie, https = self._app, None, _origin(scope).https
        if foreign:
            app = Response(foreign, HTTPStatus.FORBIDDEN)
        elif scope["path"].startswith("/_stcore/metrics") and not _may_read_metrics(scope):
            app = Response("Not Found", HTTPStatus.NOT_FOUND)
        else:
            cookie = _new_cookie(scope, https)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if cookie:
                    headers.append("set-cookie", cookie)
                    headers["cache-control"] = "no-store"
                if https:
                    headers.setdefault("strict-transport-security", "max-age=31536000")
                    message["headers"] = [_secure(name, value) for name, value in message["headers"]]
            await send(message)

        if app is self._app and await send_file(scope, answer):
            return None
        return await app(scope, receive, answer)

    def _without_wrong_token(self, scope: Scope) -> Scope:
        """The request without a token in its header that is wrong, or that came too soon after wrong ones."""
        given = Headers(scope=scope).get("authorization", "")
        if rules().operator_token is None or not given or not scope["path"].startswith(TAKES_TOKEN):
            return scope
        address = _origin(scope).address
        if self._patience.wait(address) == 0:
            if rules().bears_token(given):
                self._patience.succeeded(address)
                return scope
            self._patience.failed(address)
            log.warning("a wrong operator token was given in a header")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"authorization"]
        return {**scope, "headers": headers}


def _foreign(scope: Scope) -> str | None:
    """Why a request is not for us: by a name that is not ours, or from a page that is not ours.

    Streamlit looks at both for websockets alone, and for a foreign page it asks the internet for its own address.
    """
    from lib.web import resources
    from lib.web.patches import host_allowed

    headers = Headers(scope=scope)
    host, page = headers.get("host"), headers.get("origin")
    if not scope["path"].startswith(ANY_HOST) and not host_allowed(host):
        return WRONG_HOST
    if page is None or resources.page_allowed(page, [host or "", _origin(scope).host]):
        return None
    log.warning("a request from a foreign page was refused")
    return "This request comes from another page."


def _secure(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Streamlit's own cookies do not say that they are for https only.

    >>> _secure(b"set-cookie", b"a=b; Path=/"), _secure(b"set-cookie", b"a=b; Secure; Path=/")
    ((b'set-cookie', b'a=b; Path=/; Secure'), (b'set-cookie', b'a=b; Secure; Path=/'))
    """
    open_ = name.lower() == b"set-cookie" and b"secure" not in [part.strip().lower() for part in value.split(b";")]
    return name, value + b"; Secure" if open_ else value


def _new_cookie(scope: Scope, https: bool) -> str | None:
    """For a page that is opened by a browser without a good cookie: a new visitor's."""
    if scope["method"] != "GET" or scope["path"].startswith(NOT_PAGES):
        return None
    if rules().visitor(HTTPConnection(scope).cookies, https):
        return None
    return rules().visitor_cookie(identity.new_visitor_id(), https)


def _marked(scope: Scope) -> Scope:
    name = identity.LOCAL_HEADER.encode()
    headers = [(key, value) for key, value in scope["headers"] if key.lower() != name]
    if _origin(scope).local:
        headers.append((name, b"1"))
    return {**scope, "headers": headers}


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
    Route("/favicon.png", icon),
    *Doors(SETTINGS, rules).routes(),
]
MIDDLEWARE = [Middleware(Outside)]
