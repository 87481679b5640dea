"""The HTTP server beside the pages: start and end of the process, health, metrics, middleware.

Receives the settings. Knows no page's content.
"""

import contextlib
import functools
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import anyio
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from lib import __version__
from lib.access import identity
from lib.access.crowd import Crowd
from lib.access.signing_key import signing_key
from lib.settings import Settings
from lib.web import accounts, patches, paths, running
from lib.web.descriptors import Room
from lib.web.doors import Doors
from lib.web.first_page import FirstPage
from lib.web.outside import Admission, Outside, origin_of
from lib.web.sockets import send_at_once

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<path fill="#2f5bd8" d="M6 4h20a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H14l-7 6v-6H6a4 4 0 0 1-4-4V8a4 4 0 0 1 4-4z"/>
<path fill="#fff" d="M8 10h16v2.5H8zM8 15.5h10V18H8z"/></svg>"""
"""The icon of every page. As an emoji of `st.set_page_config` it would load Streamlit's catalogue of all emojis: 6 MB,
and 30 ms of the first page."""


class Server:
    """The parts of the web server, built from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._crowd = settings, Crowd()

    @functools.cached_property
    def rules(self) -> identity.Access:
        """The access rules. The first use creates the signing key where none exists."""
        settings, token = self._settings, self._settings.operator_token
        return identity.Access(
            signing_key(settings),
            settings.operators,
            settings.operator_claim,
            token.get_secret_value() if token else None,
            settings.trusted_proxies,
        )

    def routes(self) -> list[Route]:
        """Return the addresses beside the pages."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/favicon.png", self.icon),
            *Doors(self._settings, lambda: self.rules).routes(),
        ]

    def middleware(self) -> list[Middleware]:
        """Return the middleware around every request."""
        return [
            Middleware(
                Outside,
                rules=lambda: self.rules,
                settings=self._settings,
                crowd=self._crowd,
                admission=Admission(self.may_read_metrics, self.finds_operator_pages, self.may_take_files),
            ),
            Middleware(Room),
            Middleware(FirstPage),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Open Parley beside the server, close it before the process ends."""
        from lib.demo import Demo

        send_at_once()
        patches.guard.check()
        demo = Demo().start() if self._settings.demo else None
        running.begin(self._settings, self.rules, demo.base_url if demo else None, self._crowd)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(running.close)
            if demo:
                await anyio.to_thread.run_sync(demo.stop)

    async def healthz(self, _request: Request) -> Response:
        """Return 200 while the process lives."""
        return _json(HTTPStatus.OK, {"status": "ok", "version": __version__})

    async def icon(self, _request: Request) -> Response:
        """Return the icon of every page."""
        return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})

    async def readyz(self, request: Request) -> Response:
        """Return 200 when this process can serve: the start is finished and the store can be used.

        Strangers read which part is not ready. Operators and this machine also read the cause and the state of Statsig.
        """
        trouble = await anyio.to_thread.run_sync(running.trouble)
        trusted = await anyio.to_thread.run_sync(self.may_read_metrics, request.scope)
        if trouble:
            why = {"because": trouble.cause} if trusted else {}
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "part": trouble.part} | why)
        more = {"version": __version__} | running.app().state() if trusted else {}
        return _json(HTTPStatus.OK, {"status": "ready"} | more)

    async def metrics(self, _request: Request) -> Response:
        """Return the measurements as Prometheus text. `Outside` restricts who may ask."""
        from lib.metrics.counters import CONTENT_TYPE

        try:
            text = await anyio.to_thread.run_sync(lambda: running.app(0).metrics.text())
        except running.Unready:
            return Response("", HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(text, media_type=CONTENT_TYPE)

    def may_read_metrics(self, scope: Scope) -> bool:
        """Return True where a request may read measurements. May read the record."""
        request = HTTPConnection(scope)
        local = origin_of(self.rules, scope).local
        try:
            return running.may_read_metrics(local, request.cookies, request.headers.get("authorization"))
        except running.Unready:
            return False

    def may_take_files(self, scope: Scope) -> bool:
        """Return True where a request may have the files of the operators' downloads. May read the record."""
        request = HTTPConnection(scope)
        account = accounts.claims_of(request.cookies)
        if account and running.ended(accounts.session(account)):
            account = None
        try:
            cookies = running.live_cookies(request.cookies)
        except running.Unready:
            return False
        return self.rules.operator(
            local=origin_of(self.rules, scope).local,
            cookies=cookies,
            account=account,
            authorization=request.headers.get("authorization"),
        )

    def finds_operator_pages(self, scope: Scope) -> bool:
        """Return True where a request's path is an operator page and its sender an operator by cookie or header.

        Does not read the record: the page itself refuses a session that was signed out.
        """
        request = HTTPConnection(scope)
        return scope["path"].rstrip("/") in paths.OPERATOR_PAGES and self.rules.operator(
            local=origin_of(self.rules, scope).local,
            cookies=request.cookies,
            account=accounts.claims_of(request.cookies),
            authorization=request.headers.get("authorization"),
        )


def _json(status: HTTPStatus, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"})
