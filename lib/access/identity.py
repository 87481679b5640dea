"""Identity: signed cookies and links, operators, accounts.

Takes and returns plain values. Knows no web framework, no database and no setting's name.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from itsdangerous import BadData, Signer, TimestampSigner

from lib.access.origins import FORWARDING, LOCAL_HEADER, PLACE_HEADER, Network, Origin, read_origin

__all__ = ["FORWARDING", "LOCAL_HEADER", "PLACE_HEADER", "Access", "Origin", "new_visitor_id"]

VISITOR, GUEST, OPERATOR = "parley_visitor", "parley_guest", "parley_operator"
SECURE_PREFIX = "__Host-"
"""Browsers accept a cookie with this prefix only from the host itself, over https, so no neighbouring host can plant
one."""
VISITOR_DAYS = 400
"""The longest lifetime that browsers grant."""
OPERATOR_DAYS = 30
MAX_COOKIE = 256
"""Longest cookie value that is examined; ours are shorter."""


@dataclass(frozen=True)
class Access:
    """The rules of one Parley. `operators` are values of `operator_claim`; those of a claim other than `email` may end
    in `@ISSUER`. `trusted_proxies` are the addresses whose headers are believed."""

    key: str = field(repr=False)
    operators: Collection[str] = ()
    operator_claim: str = "email"
    operator_token: str | None = field(default=None, repr=False)
    trusted_proxies: Collection[Network] = ()

    def origin(self, peer: str | None, scheme: str, headers: Iterable[tuple[str, str]]) -> Origin:
        """Return the origin of a request; see `origins.read_origin`."""
        return read_origin(peer, scheme, headers, self.trusted_proxies)

    def visitor(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """Return the id in the visitor's cookie; None where it has no signature of ours.

        `https` names the cookie to look at; where it is not known (None), the one that cannot be planted goes first.
        """
        return self._signed_value(VISITOR, "visitor", "[0-9a-f]{32}", cookies, https)

    def visitor_cookie(self, visitor_id: str, https: bool) -> str:
        """Return the `Set-Cookie` header of this visitor."""
        value = self._signer("visitor").sign(visitor_id).decode()
        return _set_cookie(_name(VISITOR, https), value, VISITOR_DAYS, https)

    def invitation_token(self, invitation_id: str, expires_s: int) -> str:
        """Return the token of a link: the invitation's id, its end (seconds since 1970, UTC), and our signature."""
        return self._signer("invitation").sign(f"{invitation_id}.{expires_s}").decode()

    def invitation(self, token: str) -> tuple[str, int] | None:
        """Return the id and the end in a link's token; None where it has no signature of ours."""
        text = self._unsigned(token, "invitation", r"[0-9a-f]{12}\.[0-9]{1,12}")
        return (text[:12], int(text[13:])) if text else None

    def guest_cookie(self, invitation_id: str, visitor_id: str, days: int, https: bool) -> str:
        """Return the `Set-Cookie` header of a browser that accepted an invitation. It is valid for this visitor
        only."""
        value = self._signer("guest").sign(f"{invitation_id}.{visitor_id}").decode()
        return _set_cookie(_name(GUEST, https), value, min(days, VISITOR_DAYS), https)

    def guest(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """Return the id of the invitation that this browser accepted. The record decides whether it is still valid."""
        text = self._signed_value(GUEST, "guest", r"[0-9a-f]{12}\.[0-9a-f]{32}", cookies, https)
        invitation_id, _, visitor_id = (text or "").partition(".")
        return invitation_id if text and visitor_id == self.visitor(cookies, https) else None

    def _signed_value(
        self, cookie: str, purpose: str, shape: str, cookies: Mapping[str, str], https: bool | None
    ) -> str | None:
        names = [_name(cookie, secure) for secure in (True, False) if https in (None, secure)]
        return next((value for name in names if (value := self._unsigned(cookies.get(name), purpose, shape))), None)

    def _unsigned(self, value: str | None, purpose: str, shape: str) -> str | None:
        if not value or len(value) > MAX_COOKIE or not value.isascii():
            return None
        try:
            text = self._signer(purpose).unsign(value).decode()
        except BadData:
            return None
        return text if re.fullmatch(shape, text) else None

    def account(self, issuer_and_subject: str) -> str:
        """Return the unit of a signed-in account: the same on every machine with this key, not reversible to a name."""
        text = f"{_salt('account')}.{issuer_and_subject}"
        return hmac.new(self.key.encode(), text.encode(), "sha256").hexdigest()[:32]

    def operator(
        self,
        *,
        local: bool,
        cookies: Mapping[str, str],
        account: Mapping[str, Any] | None = None,
        authorization: str | None = None,
    ) -> bool:
        """Return True for an operator. `local` is that of the request's origin; `account` holds a sign-in's claims."""
        if account and self.refusal(account) is None:
            return True
        if self.operator_token is not None:
            return self._gave_token(cookies, authorization)
        return local and not self.operators

    def refusal(self, account: Mapping[str, Any]) -> str | None:
        """Return the reason why an account is not an operator's, for the log; None for an operator.

        An email counts only where the provider verified it. Non-ASCII letters are not case-folded: some would fold
        to a letter of another operator's name.
        """
        claim, claimed = self.operator_claim, account.get(self.operator_claim)
        values = [
            value for value in (claimed if isinstance(claimed, list) else [claimed]) if isinstance(value, str) and value
        ]
        if not self.operators:
            return "no operators are named"
        if not values:
            return f"the account has no {claim}"
        if claim == "email" and account.get("email_verified") not in (True, "true"):
            return "the provider has not verified the email"
        if not all(value.isascii() for value in values):
            return f"the account's {claim} has characters outside of ASCII"
        issuer = str(account.get("iss") or "")
        operators = {_operator(name, claim) for name in self.operators}
        if any((_same(value, claim), issuer_or_any) in operators for value in values for issuer_or_any in ("", issuer)):
            return None
        return f"PARLEY_OPERATORS does not name the account's {claim}"

    def may_read_metrics(self, *, local: bool, cookies: Mapping[str, str], authorization: str | None = None) -> bool:
        """Return True for requests that may read `/metrics`: from this machine, or with the operator token."""
        return local or (self.operator_token is not None and self._gave_token(cookies, authorization))

    def token_matches(self, text: str) -> bool:
        """Return True for the operator token, compared in constant time."""
        attempt, token = (value.encode("utf-8", "surrogatepass") for value in (text, self.operator_token or ""))
        return self.operator_token is not None and hmac.compare_digest(attempt, token)

    def operator_cookie(self, https: bool) -> str:
        """Return the `Set-Cookie` header of a browser that gave the operator token.

        The cookie ends when the token changes, by age, or when its session is signed out.
        """
        value = self._token_signer().sign(f"{OPERATOR}.{secrets.token_hex(16)}").decode()
        return _set_cookie(_name(OPERATOR, https), value, OPERATOR_DAYS, https)

    def operator_session(self, cookies: Mapping[str, str]) -> str | None:
        """Return the operator session of a browser that gave the token."""
        names = (_name(OPERATOR, secure) for secure in (True, False))
        return next((session for name in names if (session := self._token_cookie(cookies.get(name)))), None)

    def no_operator_cookies(self) -> list[str]:
        """Return the `Set-Cookie` headers that remove the operator's cookie."""
        return [_set_cookie(_name(OPERATOR, https), "", 0, https) for https in (True, False)]

    def _gave_token(self, cookies: Mapping[str, str], authorization: str | None) -> bool:
        return self.bears_token(authorization) or self.operator_session(cookies) is not None

    def bears_token(self, authorization: str | None) -> bool:
        """Return True where this `Authorization` header holds the operator token."""
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and self.token_matches(token.strip())

    def _token_cookie(self, value: str | None) -> str | None:
        if not value or len(value) > MAX_COOKIE or not value.isascii():
            return None
        try:
            text = self._token_signer().unsign(value, max_age=OPERATOR_DAYS * 86_400).decode()
        except BadData:
            return None
        return text if re.fullmatch(OPERATOR + r"\.[0-9a-f]{32}", text) else None

    def _token_signer(self) -> TimestampSigner:
        """Return the signer of operators' cookies. The salt includes the token: a new one invalidates all cookies."""
        digest = hashlib.sha256((self.operator_token or "").encode()).hexdigest()
        return TimestampSigner(self.key, _salt(f"operator.{digest}"), **_SIGNING)

    def _signer(self, purpose: str) -> Signer:
        return Signer(self.key, _salt(purpose), **_SIGNING)


def new_visitor_id() -> str:
    """Return a random id of 128 bits."""
    return secrets.token_hex(16)


_SIGNING: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def _salt(purpose: str) -> str:
    """Return the salt of a purpose, so that no cookie can stand in for another."""
    return f"parley.{purpose}"


def _name(cookie: str, https: bool) -> str:
    return SECURE_PREFIX + cookie if https else cookie


def _set_cookie(name: str, value: str, days: int, https: bool) -> str:
    """
    >>> _set_cookie("a", "b", 1, True)
    'a=b; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure'
    """
    cookie = f"{name}={value}; Path=/; Max-Age={days * 86_400}; HttpOnly; SameSite=Lax"
    return cookie + "; Secure" if https else cookie


def _operator(name: str, claim: str) -> tuple[str, str]:
    """Return the value of an entry of `PARLEY_OPERATORS` and the issuer that it is tied to, "" for any.

    >>> _operator("Ann@Example.org", "email"), _operator("a1B2@https://login.example/t", "sub")
    (('ann@example.org', ''), ('a1B2', 'https://login.example/t'))
    """
    value, at, issuer = name.partition("@http") if claim != "email" else (name, "", "")
    return _same(value, claim), at[1:] + issuer


def _same(value: str, claim: str) -> str:
    """Return a value for comparison: emails are compared without case, other claims exactly."""
    return value.lower() if claim == "email" else value
