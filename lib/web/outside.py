"""The middleware around every request and connection: refuses addresses, host names, origins and rates that Parley does
not serve.

Adds the security headers to every response, a cookie for every new visitor, and two headers of our own with the origin
of a request, because pages see headers and not the connection. Wrong tokens in a header are slowed, as in the form.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import anyio
import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.access import identity
from lib.access.crowd import Crowd
from lib.access.identity import FORWARDING, LOCAL_HEADER, PLACE_HEADER, Access, Origin
from lib.access.throttle import Patience
from lib.settings import Settings
from lib.web import patches, paths, plain, policy
from lib.web.frames import Frames, LargeMessages
from lib.web.static import send_file

log = logging.getLogger("parley.access")

WRONG_HOST = "Parley does not answer under this name. Its operator can add the name to server.allowedHosts."
FOREIGN_PAGE = "This request comes from another page."
NO_SENSE = "This request makes no sense."
TOO_MANY = "Too many requests come from your network. Please try again in {} s."
NEW_VISITORS = "Many new visitors have come from your network. Please try again in {} minutes."
ORIGIN = "parley.origin"
"""The key of a request's origin in its scope, for our own pages."""
TAKES_TOKEN = (*paths.NUMBERS, *paths.OPERATOR_PAGES, "/readyz", paths.STREAM)
"""Addresses at which a script may send the operator token in a header."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The checks of requests that only operators may make: for measurements, operator pages, files of downloads. The
    checks of measurements and files may wait for the record."""

    measurements: Callable[[Scope], bool]
    pages: Callable[[Scope], bool]
    files: Callable[[Scope], bool]


class Outside:
    """The middleware. `rules` is called late, because it may create the signing key."""

    def __init__(
        self, app: ASGIApp, rules: Callable[[], Access], settings: Settings, crowd: Crowd, admission: Admission
    ) -> None:
        self._app, self._rules, self._crowd, self._patience = app, rules, crowd, Patience()
        self._settings, self._admission = settings, admission
        self._large = LargeMessages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        origin = origin_of(self._rules(), scope)
        scope = self._without_wrong_token(scope, origin)
        refusal = self._refusal(scope, origin)
        if scope["type"] == "websocket":
            return await self._connection(scope, receive, send, origin, refused=refusal is not None)
        return await self._request(scope, receive, send, origin, refusal)

    async def _connection(self, scope: Scope, receive: Receive, send: Send, origin: Origin, *, refused: bool) -> None:
        visitor_id = self._rules().visitor(HTTPConnection(scope).cookies)
        admitted = None if refused else patches.guard.admit(scope, visitor_id)
        if admitted is None and not refused:
            log.warning("a connection that names another browser's session was refused")
        if admitted is None or (visitor_id is None and self._crowd.visitor(origin.place)):
            return await send({"type": "websocket.close", "code": 1008})
        with self._open_page(origin.place) as room:
            if not room:
                return await send({"type": "websocket.close", "code": 1013})
            frames = Frames(receive, send, self._settings.max_prompt_chars, self._large)
            try:
                return await self._app(marked(admitted, origin), frames.receive, frames.send)
            finally:
                frames.close()

    @contextmanager
    def _open_page(self, place: str) -> Iterator[bool]:
        room = self._crowd.open_page(place)
        try:
            yield room
        finally:
            if room:
                self._crowd.close_page(place)

    async def _request(
        self, scope: Scope, receive: Receive, send: Send, origin: Origin, refusal: Response | None
    ) -> None:
        cookie = None
        refusal = refusal or await self._hidden(scope)
        if refusal is None and self._begins(scope, origin):
            if wait := self._crowd.visitor(origin.place):
                minutes = math.ceil(wait / 60)
                refusal = _plain(HTTPStatus.TOO_MANY_REQUESTS, NEW_VISITORS.format(minutes), wait)
            else:
                cookie = self._rules().visitor_cookie(identity.new_visitor_id(), origin.https)
        answer = _with_headers(send, scope, origin, cookie)
        if refusal is not None:
            await refusal(scope, receive, answer)
        elif not await send_file(scope, answer):
            await self._app(marked(scope, origin), receive, answer)

    async def _hidden(self, scope: Scope) -> Response | None:
        """Return the response that hides measurements and files from strangers; None where the request may go on."""
        if scope["path"] in paths.NUMBERS and not await anyio.to_thread.run_sync(self._admission.measurements, scope):
            return _plain(HTTPStatus.NOT_FOUND, "Not Found")
        if scope["path"].startswith(paths.FILES) and not await anyio.to_thread.run_sync(self._admission.files, scope):
            return plain.nowhere(self._settings, Headers(scope=scope).get("accept", ""))
        return None

    def _refusal(self, scope: Scope, origin: Origin) -> Response | None:
        """Return the response that refuses a request; None where it may go on."""
        method, path = scope.get("method", "GET"), scope["path"]
        try:
            reason = _foreign(scope, origin)
        except ValueError:  # an invalid `Origin`
            return _plain(HTTPStatus.BAD_REQUEST, NO_SENSE)
        if reason:
            return _plain(HTTPStatus.FORBIDDEN, reason)
        if not paths.exists(path):
            return _plain(HTTPStatus.NOT_FOUND, "Not Found")
        if not paths.takes(method, path):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
        if scope["type"] == "http" and paths.leads_nowhere(path, operator=self._admission.pages(scope)):
            return plain.nowhere(self._settings, Headers(scope=scope).get("accept", ""))
        if path in paths.SIGN_IN and Headers(scope=scope).get("sec-fetch-dest", "document") != "document":
            return _plain(HTTPStatus.FORBIDDEN, FOREIGN_PAGE)
        if wait := self._crowd.request(origin.place):
            return _plain(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY.format(math.ceil(wait)), wait)
        return None

    def _begins(self, scope: Scope, origin: Origin) -> bool:
        """Return True for a page that a browser opens without a valid cookie."""
        if scope["method"] != "GET" or not paths.is_page(scope["path"]):
            return False
        return self._rules().visitor(HTTPConnection(scope).cookies, origin.https) is None

    def _without_wrong_token(self, scope: Scope, origin: Origin) -> Scope:
        """Return the request without a wrong token in its header."""
        authorization = Headers(scope=scope).get("authorization", "")
        takes = scope["path"] in TAKES_TOKEN or scope["path"].startswith(paths.FILES)
        if self._rules().operator_token is None or not authorization or not takes:
            return scope
        if self._rules().bears_token(authorization):
            self._patience.succeeded(origin.address)
            return scope
        if self._patience.wait(origin.address) == 0:
            self._patience.failed(origin.address)
            log.warning("a wrong operator token was given in a header")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"authorization"]
        return {**scope, "headers": headers}


def origin_of(rules: Access, scope: Scope) -> Origin:
    """Return the origin of a request."""
    if (stored := scope.get(ORIGIN)) is not None:
        assert isinstance(stored, Origin)
        return stored  # its headers no longer show it
    peer = scope["client"][0] if scope.get("client") else None
    return rules.origin(peer, scope["scheme"], Headers(scope=scope).items())


def marked(scope: Scope, origin: Origin) -> Scope:
    """Return the request for the pages: with our headers, and without headers that claim an origin.

    Streamlit compares a page's origin with the requested host name. It must be the name that the browser used, which a
    trusted proxy may have replaced.
    """
    own = {LOCAL_HEADER.encode(): b"1" if origin.local else b"", PLACE_HEADER.encode(): b""}
    own[PLACE_HEADER.encode()] = origin.place.encode()
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name.lower() not in own and not FORWARDING.fullmatch(name.decode("latin-1").lower())
    ]
    page = urlsplit(Headers(scope=scope).get("origin", "")).netloc
    if page and page == origin.host:
        headers = [(name, page.encode("latin-1") if name.lower() == b"host" else value) for name, value in headers]
    return {**scope, ORIGIN: origin, "headers": [*headers, *((name, value) for name, value in own.items() if value)]}


def _foreign(scope: Scope, origin: Origin) -> str | None:
    """Return the reason to refuse a request: a host name that is not ours, or a page of another origin.

    Streamlit checks both for websockets only. A proxy's host name counts where it is one of ours. Raises ValueError for
    an invalid `Origin`.
    """
    from lib.web.patches import host_allowed

    headers = Headers(scope=scope)
    host, page = headers.get("host"), headers.get("origin")
    if scope["path"] not in paths.MACHINES and not host_allowed(host):
        return WRONG_HOST
    if page is None:
        return None
    names = [name for name in (host or "", origin.host) if host_allowed(name) or name == host]
    if _page_allowed(page, names):
        return None
    log.warning("a request from a foreign page was refused")
    return FOREIGN_PAGE


def _with_headers(send: Send, scope: Scope, origin: Origin, cookie: str | None) -> Send:
    """Return a `send` that adds our headers to the response, and the cookie of a new visitor."""
    policy_headers = policy.headers(Headers(scope=scope).get("host", ""))

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in policy_headers.items():
                headers.setdefault(name, value)
            if cookie:
                headers.append("set-cookie", cookie)
            if cookie or scope["path"].startswith(paths.FILES):
                headers["cache-control"] = "no-store"
            if origin.https:
                headers.setdefault("strict-transport-security", "max-age=31536000")
                message["headers"] = [_secure(name, value) for name, value in message["headers"]]
        await send(message)

    return answer


def _plain(status: HTTPStatus, text: str, wait_s: float = 0) -> Response:
    headers = {"cache-control": "no-store"} | ({"retry-after": str(math.ceil(wait_s))} if wait_s else {})
    return Response(text, status, headers, "text/plain")


def _secure(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Add `Secure` to Streamlit's own cookies, which lack it.

    >>> _secure(b"set-cookie", b"a=b; Path=/"), _secure(b"set-cookie", b"a=b; Secure; Path=/")
    ((b'set-cookie', b'a=b; Path=/; Secure'), (b'set-cookie', b'a=b; Secure; Path=/'))
    """
    open_ = name.lower() == b"set-cookie" and b"secure" not in [part.strip().lower() for part in value.split(b";")]
    return name, value + b"; Secure" if open_ else value


def _page_allowed(origin: str, hosts: Collection[str]) -> bool:
    """Return True where a page of this origin may ask us: one that we served under one of these names, or a configured
    one."""
    configured = st.get_option("server.corsAllowedOrigins") or ()
    open_to_all = not st.get_option("server.enableCORS")
    return open_to_all or urlsplit(origin).netloc in hosts or origin in configured
