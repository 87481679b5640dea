"""The two plain pages beside Streamlit: an invitation's link, and the form that takes the operator token.

Both set a cookie, which no Streamlit page can. Owns their HTML, which has no script and loads nothing. Knows the rules
by `access`, and nothing of what a guest or an operator finds inside.
"""

import base64
import hashlib
import html
import logging
import math
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from lib.access.identity import Access, Origin
from lib.access.throttle import Patience
from lib.domain.invitations import PATH, WORDS, Refusal
from lib.settings import Settings

log = logging.getLogger("parley.access")

MAX_FORM = 4_096
"""Bytes of a form that are read; a token is far shorter."""
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  color: light-dark(#1d2433, #e6e9f0); background: light-dark(#ffffff, #14171f); }
main { width: min(26rem, 100vw - 3rem); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
label, input, button { display: block; box-sizing: border-box; width: 100%; font: inherit; }
input, button { margin: .5rem 0 1rem; padding: .6rem .8rem; border-radius: .6rem; border: 1px solid; }
input { color: inherit; background: transparent; border-color: light-dark(#8089a0, #7b849b); }
button { color: #ffffff; background: #2f5bd8; border-color: #2f5bd8; cursor: pointer; }
input:focus-visible, button:focus-visible { outline: 3px solid light-dark(#2f5bd8, #7c9bff); outline-offset: 2px; }
"""
HEADERS = {
    "cache-control": "no-store",
    # Only with a referrer does a browser say where a form comes from; it stays within our own pages.
    "referrer-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
    ),
}


class Doors:
    """The pages, by the settings. `rules` is asked late, because it may make the signing key."""

    def __init__(self, settings: Settings, rules: Callable[[], Access]) -> None:
        self._settings, self._rules, self._patience = settings, rules, Patience()
        self._home = urlsplit(settings.public_url).path.rstrip("/") + "/"

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route(PATH + "/{token}", self.invite), Route("/operator", self.operator, methods=["GET", "POST"])]

    async def invite(self, request: Request) -> Response:
        """Open an invitation: a cookie for the guest, and on to the chat, so that the link leaves the address bar.

        Opening counts nobody: what previews links in a chat opens them too. A guest counts as they come in.
        """
        from lib.web import resources

        rules, origin = self._rules(), origin_of(self._rules(), request.scope)
        if self._settings.access != "invite":
            return _to(self._home)
        found = rules.invitation(request.path_params["token"])
        if found is None:
            return _refused("unknown")
        invitation_id, expires_s = found
        visitor_id = rules.visitor(request.cookies, origin.https)
        try:
            refusal = await anyio.to_thread.run_sync(resources.may_enter, invitation_id, visitor_id)
        except resources.Unready:
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, "Please try again in a minute", "The chat is not ready yet.")
        if refusal:
            return _refused(refusal)
        days = math.ceil(max(1, expires_s - time.time()) / 86_400)
        return _to(self._home, rules.guest_cookie(invitation_id, days, origin.https))

    async def operator(self, request: Request) -> Response:
        """The form, and what is sent with it. Without a token in the settings it does not exist."""
        rules = self._rules()
        if rules.operator_token is None:
            return Response("Not Found", HTTPStatus.NOT_FOUND)
        if request.method != "POST":
            return _form()
        if not _from_here(request):
            return Response("This form belongs to another page", HTTPStatus.FORBIDDEN)
        origin = origin_of(rules, request.scope)
        if wait := math.ceil(self._patience.wait(origin.address)):
            return _form(HTTPStatus.TOO_MANY_REQUESTS, f"Too many wrong tokens. Try again in {wait} s.", wait)
        if not rules.token_matches(await _token(request)):
            self._patience.failed(origin.address)
            log.warning("a wrong operator token was given in the form")
            return _form(HTTPStatus.FORBIDDEN, "That is not the token.")
        self._patience.succeeded(origin.address)
        log.info("the operator token was given in the form")
        return _to(self._home + "results", rules.operator_cookie(origin.https))


def origin_of(rules: Access, scope: Scope) -> Origin:
    """Where a request comes from."""
    peer = scope["client"][0] if scope.get("client") else None
    return rules.origin(peer, scope["scheme"], Headers(scope=scope).items())


def _from_here(request: Request) -> bool:
    """Whether a form was sent by our own page, as the browser says; its `Origin` was looked at before."""
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


async def _token(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            return ""
    return parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()


def _to(address: str, cookie: str | None = None) -> Response:
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER, headers={"cache-control": "no-store"})
    if cookie:
        response.headers.append("set-cookie", cookie)
    return response


def _refused(refusal: Refusal) -> Response:
    log.warning("an invitation was refused", extra={"cause": refusal})
    return _page(HTTPStatus.FORBIDDEN if refusal == "unknown" else HTTPStatus.GONE, *WORDS[refusal])


def _form(status: HTTPStatus = HTTPStatus.OK, problem: str = "", wait: int = 0) -> Response:
    form = (
        '<form method="post"><label for="token">Operator token</label>'
        '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
        "<button>Open the operator pages</button></form>"
    )
    told = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return _html(status, "Operator", told + form, {"retry-after": str(wait)} if wait else {})


def _page(status: HTTPStatus, title: str, text: str) -> Response:
    return _html(status, title, f"<p>{html.escape(text)}</p>", {})


def _html(status: HTTPStatus, title: str, inside: str, headers: dict[str, str]) -> Response:
    title = html.escape(title)
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{inside}</main></body></html>",
        status,
        headers=HEADERS | headers,
    )
