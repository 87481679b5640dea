"""The three plain pages beside Streamlit: an invitation, the operator token's form, and sign-out.

Each sets or removes a cookie, which no Streamlit page can, and only when its form is submitted: opening an address
changes nothing. The rules are in `access`.
"""

import html
import logging
import math
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.access.identity import Access
from lib.access.throttle import Patience
from lib.domain.invitations import PATH, REFUSAL_WORDS, Refusal
from lib.settings import Settings
from lib.web import accounts, plain
from lib.web.outside import origin_of
from lib.web.paths import SIGN_OUT

log = logging.getLogger("parley.access")

NOT_SAVED = "That could not be saved. Try again in a minute."
SIGNING_OUT = "Every tab of this browser will be signed out."
INVITED = (
    "This link opens the chat in this browser. If you do not want to take part, close this page: nothing is recorded."
)
MAX_FORM = 4_096
"""Bytes of a form that are read; a token is far shorter."""


class Doors:
    """The pages. `rules` is called late, because it may create the signing key."""

    def __init__(self, settings: Settings, rules: Callable[[], Access]) -> None:
        self._settings, self._rules, self._patience = settings, rules, Patience()
        self._home, self._name = plain.home(settings), plain.name_for_strangers(settings)

    def routes(self) -> list[Route]:
        """Return the routes."""
        both = ["GET", "POST"]
        return [
            Route(PATH + "/{token}", self.invite, methods=both),
            Route("/operator", self.operator, methods=both),
            Route(SIGN_OUT, self.sign_out, methods=both),
        ]

    async def invite(self, request: Request) -> Response:
        """Show an invitation, and admit the guest who accepts it: set a cookie and redirect to the chat.

        Link previews open the address too, so opening does nothing. A guest is counted on submission and needs the
        visitor's cookie that the page set: without cookies every page would be another guest.
        """
        from lib.web import running

        rules, origin = self._rules(), origin_of(self._rules(), request.scope)
        if self._settings.access != "invite":
            return plain.to(self._home)
        invitation = rules.invitation(request.path_params["token"])
        if invitation is None:
            return _refused("unknown")
        invitation_id, expires_s = invitation
        visitor_id = rules.visitor(request.cookies, origin.https)
        try:
            refusal = await anyio.to_thread.run_sync(running.may_enter, invitation_id, visitor_id)
        except running.Unready:
            title = "Please try again in a minute"
            return plain.page(HTTPStatus.SERVICE_UNAVAILABLE, title, "The chat is not ready yet.")
        if refusal:
            return _refused(refusal)
        if request.method != "POST":
            return plain.form(HTTPStatus.OK, "You are invited", INVITED, "Open the chat", app=self._settings.title)
        if not _sent_by_our_page(request):
            return _foreign()
        if visitor_id is None:
            log.warning("an invitation was refused", extra={"cause": "no cookies"})
            advice = "Allow this page to keep cookies, open the link again, and press the button once more."
            return plain.page(HTTPStatus.FORBIDDEN, "This chat needs cookies", advice)
        days = math.ceil(max(1, expires_s - time.time()) / 86_400)
        return plain.to(self._home, rules.guest_cookie(invitation_id, visitor_id, days, origin.https))

    async def operator(self, request: Request) -> Response:
        """Show the form, or check the token that was sent with it. Without a token in the settings the page does not
        exist.

        The right token is accepted at once, whatever failed before. The response to a wrong one names the wait.
        """
        rules = self._rules()
        if rules.operator_token is None:
            return plain.nowhere(self._settings, request.headers.get("accept", ""))
        if request.method != "POST":
            return self._form()
        if not _sent_by_our_page(request):
            return _foreign()
        origin = origin_of(rules, request.scope)
        if rules.token_matches(await _token(request)):
            self._patience.succeeded(origin.address)
            log.info("the operator token was given in the form")
            return plain.to(self._home + "results", rules.operator_cookie(origin.https))
        if wait := math.ceil(self._patience.wait(origin.address)):
            return self._form(HTTPStatus.TOO_MANY_REQUESTS, f"Too many wrong tokens. Try again in {wait} s.", wait)
        self._patience.failed(origin.address)
        log.warning("a wrong operator token was given in the form")
        return self._form(HTTPStatus.FORBIDDEN, "That is not the token.")

    async def sign_out(self, request: Request) -> Response:
        """Ask whether to sign out, and when the form is submitted, end the session for every tab and every copy of
        the cookies, and at the provider where that has a page for it."""
        from lib.web import running

        if request.method != "POST":
            return plain.form(HTTPStatus.OK, "Sign out", SIGNING_OUT, "Sign out", app=self._name)
        if not _sent_by_our_page(request):
            return _foreign()
        rules = self._rules()
        sessions = [rules.operator_session(request.cookies), accounts.session_of(request.cookies)]
        try:
            await anyio.to_thread.run_sync(running.sign_out, [session for session in sessions if session])
        except running.Unready:
            title = "You are still signed in"
            return plain.page(HTTPStatus.SERVICE_UNAVAILABLE, title, NOT_SAVED, app=self._name)
        log.info("a session was signed out")
        further, cookies = await accounts.sign_out(request)
        cookies += rules.no_operator_cookies()
        if further is None:
            return plain.to(self._home, *cookies)
        # A policy's form-action would stop a redirect to the provider; a page's own refresh is allowed.
        address = html.escape(further)
        inside = f'<p>You are signed out here. <a href="{address}">Sign out of the account too</a></p>'
        refresh = f'<meta http-equiv="refresh" content="0; url={address}">'
        response = plain.whole(HTTPStatus.OK, "Signed out", inside, app=self._name, head=refresh)
        for cookie in cookies:
            response.headers.append("set-cookie", cookie)
        return response

    def _form(self, status: HTTPStatus = HTTPStatus.OK, problem: str = "", wait_s: int = 0) -> Response:
        form = (
            '<form method="post"><label for="token">Operator token</label>'
            '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
            "<button>Open the operator pages</button></form>"
        )
        alert = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
        headers = {"retry-after": str(wait_s)} if wait_s else {}
        return plain.whole(status, "Operator", alert + form, app=self._name, headers=headers)


def _sent_by_our_page(request: Request) -> bool:
    """Return True for a form that our own page sent, according to the browser; `Origin` was checked before."""
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _foreign() -> Response:
    return Response("This form belongs to another page", HTTPStatus.FORBIDDEN)


async def _token(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            return ""
    return parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()


def _refused(refusal: Refusal) -> Response:
    log.warning("an invitation was refused", extra={"cause": refusal})
    return plain.page(HTTPStatus.FORBIDDEN if refusal == "unknown" else HTTPStatus.GONE, *REFUSAL_WORDS[refusal])
