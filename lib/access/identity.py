"""Identity: signed cookies and links, the origin of a request, operators, accepted prompts.

Takes and returns plain values. Knows no web framework, no database and no setting's name.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from itsdangerous import BadData, Signer, TimestampSigner

from lib.access.crowd import UNNAMED
from lib.access.throttle import network_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

VISITOR, GUEST, OPERATOR = "parley_visitor", "parley_guest", "parley_operator"
SECURE_PREFIX = "__Host-"
"""Browsers accept a cookie with this prefix only from the host itself, over https, so no neighbouring host can plant
one."""
VISITOR_DAYS = 400
"""The longest lifetime that browsers grant."""
OPERATOR_DAYS = 30
MAX_COOKIE = 256
"""Longest cookie value that is examined; ours are shorter."""
LOCAL_HEADER, PLACE_HEADER = "x-parley-local", "x-parley-place"
"""Headers in which the server marks a request from this machine and the place that its limits count under. The same
headers of a client are dropped."""
FORWARDING = re.compile(
    "x-forwarded(-.*)?|forwarded|via|x-real-ip|(x-|true-|x-cluster-|fastly-)client-ip|cf-connecting-ip"
    "|x-(original|rewrite)-.*"
)
"""Headers that only a proxy sends."""
PRIVATE = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Networks that the internet does not reach."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a request. `address`: the client's, None where unknown. `host`: the requested host. `https`:
    between browser and proxy or server. `local`: on this machine; no proxy, trusted or not, can make it true.
    `proxied`: an untrusted proxy stands in front, so the address is the proxy's.

    `https`: between browser and us. `local`: on this machine, which no proxy, trusted or not, can make true.
    `proxied`: some proxy stands before the address, and no trusted one says who stands before that.
    """

    address: str | None
    host: str
    https: bool
    local: bool
    proxied: bool = False

    @property
    def place(self) -> str:
        """The network that limits count under; empty for a browser on this machine or in a private network.

        >>> [Origin(one, "", False, False).place for one in ("203.0.113.7", "2001:db8::1:2:3:4", "192.168.1.7", None)]
        ['203.0.113.7', '2001:db8::', '', '']
        >>> Origin("10.0.0.1", "", False, False, proxied=True).place
        '?'
        """
        address = _address(self.address or "")
        if address and not any(address in network for network in PRIVATE):
            return network_of(str(address))
        return UNNAMED if self.proxied else ""


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
        """Return the origin of a request. `peer`: the connection's address. `headers`: every line, because a proxy may
        add a second.

        Forwarding headers are read from the right, as far as the addresses in them are trusted proxies'.
        """
        lines = [(name.lower(), value) for name, value in headers]
        address, hops = self._client(_address(peer or ""), _values(lines, "x-forwarded-for"))
        proto, host = (_at(_values(lines, f"x-forwarded-{what}"), hops) for what in ("proto", "host"))
        hosts = [value for name, value in lines if name == "host"]
        spoken_for = any(FORWARDING.fullmatch(name) for name, _ in lines)
        return Origin(
            address=str(address) if address else None,
            host=host or (hosts[0] if hosts else ""),
            proxied=spoken_for and (address is None or hops == 0 or self._trusts(address)),
            https=(proto or scheme).lower() in ("https", "wss"),
            local=_loopback(_address(peer or ""))
            and bool(hosts)
            and all(map(_loopback_host, hosts))
            and not spoken_for,
        )

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted_proxies)

    def _client(self, address: Address | None, forwarded: list[str]) -> tuple[Address | None, int]:
        """The first address from the right that is not a trusted proxy's, and the number of proxies before it."""
        hops = 0
        while address and self._trusts(address):
            hops += 1
            before = _address(forwarded.pop()) if forwarded else None
            if before is None:
                break
            address = before
        return address, hops

    def visitor(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """The id in the visitor's cookie; None where we did not sign it.

        `https` names the cookie to look at; where it is not known (None), the one that cannot be planted goes first.
        """
        return self._signed_value(VISITOR, "visitor", "[0-9a-f]{32}", cookies, https)

    def visitor_cookie(self, visitor_id: str, https: bool) -> str:
        """The `Set-Cookie` header of this visitor."""
        value = self._signer("visitor").sign(visitor_id).decode()
        return _set_cookie(_name(VISITOR, https), value, VISITOR_DAYS, https)

    def invitation_token(self, invitation_id: str, expires_s: int) -> str:
        """The token of a link: the invitation's id, its end (seconds since 1970, UTC), and our signature."""
        return self._signer("invitation").sign(f"{invitation_id}.{expires_s}").decode()

    def invitation(self, token: str) -> tuple[str, int] | None:
        """The id and the end in a link's token; None where we did not sign it."""
        found = self._unsigned(token, "invitation", r"[0-9a-f]{12}\.[0-9]{1,12}")
        return (found[:12], int(found[13:])) if found else None

    def guest_cookie(self, invitation_id: str, visitor_id: str, days: int, https: bool) -> str:
        """Return the `Set-Cookie` header of a browser that accepted an invitation. It is valid for this visitor
        only."""
        value = self._signer("guest").sign(f"{invitation_id}.{visitor_id}").decode()
        return _set_cookie(_name(GUEST, https), value, min(days, VISITOR_DAYS), https)

    def guest(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """Return the id of the invitation that this browser accepted. The record decides whether it is still valid."""
        found = self._signed_value(GUEST, "guest", r"[0-9a-f]{12}\.[0-9a-f]{32}", cookies, https)
        invitation_id, _, visitor_id = (found or "").partition(".")
        return invitation_id if found and visitor_id == self.visitor(cookies, https) else None

    def _signed_value(
        self, cookie: str, purpose: str, shape: str, cookies: Mapping[str, str], https: bool | None
    ) -> str | None:
        names = [_name(cookie, secure) for secure in (True, False) if https in (None, secure)]
        return next((found for name in names if (found := self._unsigned(cookies.get(name), purpose, shape))), None)

    def _unsigned(self, value: str | None, purpose: str, shape: str) -> str | None:
        if not value or len(value) > MAX_COOKIE or not value.isascii():
            return None
        try:
            text = self._signer(purpose).unsign(value).decode()
        except BadData:
            return None
        return text if re.fullmatch(shape, text) else None

    def account(self, issuer_and_subject: str) -> str:
        """The unit of a signed-in account: the same on every machine with this key, and not reversible to a name."""
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
        claim, named = self.operator_claim, account.get(self.operator_claim)
        given = [one for one in (named if isinstance(named, list) else [named]) if isinstance(one, str) and one]
        if not self.operators:
            return "no operators are named"
        if not given:
            return f"the account has no {claim}"
        if claim == "email" and account.get("email_verified") not in (True, "true"):
            return "the provider has not verified the email"
        if not all(one.isascii() for one in given):
            return f"the account's {claim} has characters outside of ASCII"
        issuer = str(account.get("iss") or "")
        known = {_operator(name, claim) for name in self.operators}
        if any((_same(one, claim), where) in known for one in given for where in ("", issuer)):
            return None
        return f"PARLEY_OPERATORS does not name the account's {claim}"

    def may_read_metrics(self, *, local: bool, cookies: Mapping[str, str], authorization: str | None = None) -> bool:
        """Return True for requests that may read `/metrics`: from this machine, or with the operator token."""
        return local or (self.operator_token is not None and self._gave_token(cookies, authorization))

    def token_matches(self, text: str) -> bool:
        """Compare with the operator token in constant time."""
        given, token = (value.encode("utf-8", "surrogatepass") for value in (text, self.operator_token or ""))
        return self.operator_token is not None and hmac.compare_digest(given, token)

    def operator_cookie(self, https: bool) -> str:
        """Return the `Set-Cookie` header of a browser that gave the operator token.

        The cookie ends when the token changes, by age, or when its session is signed out.
        """
        value = self._token_signer().sign(f"{OPERATOR}.{secrets.token_hex(16)}").decode()
        return _set_cookie(_name(OPERATOR, https), value, OPERATOR_DAYS, https)

    def operator_session(self, cookies: Mapping[str, str]) -> str | None:
        """Return the operator session of a browser that gave the token."""
        names = (_name(OPERATOR, secure) for secure in (True, False))
        return next((found for name in names if (found := self._token_cookie(cookies.get(name)))), None)

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
        """The signer's salt includes the token, so a changed token invalidates everything signed before."""
        digest = hashlib.sha256((self.operator_token or "").encode()).hexdigest()
        return TimestampSigner(self.key, _salt(f"operator.{digest}"), **_SIGNING)

    def _signer(self, purpose: str) -> Signer:
        return Signer(self.key, _salt(purpose), **_SIGNING)


def new_visitor_id() -> str:
    """Return a random id of 128 bits."""
    return secrets.token_hex(16)


def clean_text(text: str) -> str:
    """Return typed text without characters that break servers, databases and pages: control characters and lone
    surrogates.

    Newlines, tabs and visible characters stay.

    >>> clean_text("a\\r\\nb\\x00\\tc\\ud83d")
    'a\\nb\\tc'
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _CONTROL.sub("", whole.replace("\r\n", "\n").replace("\r", "\n"))


def check_prompt(text: str, max_chars: int) -> str | None:
    """Return the sentence that refuses a prompt, for the tester; None for a valid prompt.

    >>> check_prompt(" \\n", 10), check_prompt("Why?", 10)
    ('Please write a question first.', None)
    """
    if all(unicodedata.category(char) in _BLANK for char in text):
        return "Please write a question first."
    if len(text) > max_chars:
        return f"This is too long: {len(text):,} characters, and at most {max_chars:,} can be asked. Please shorten it."
    return None


_SIGNING: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BLANK = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})


def _salt(purpose: str) -> str:
    """The salt of a purpose: no cookie can stand in for another."""
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
    """Emails are compared without case, other claims exactly."""
    return value.lower() if claim == "email" else value


def _values(lines: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    """The comma-separated values of a header, in order."""
    return [item.strip() for name, value in lines if name == wanted for item in value.split(",")]


def _at(values: list[str], hops: int) -> str | None:
    """The value that the outermost trusted proxy added: proxies append on the right, or there is only one value."""
    return values[-min(hops, len(values))] or None if values and hops else None


def _address(text: str) -> Address | None:
    """
    >>> [str(_address(text)) for text in ("::ffff:10.0.0.1", "[::1]:80", "10.0.0.1:80", "unknown")]
    ['10.0.0.1', '::1', '10.0.0.1', 'None']
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _loopback(address: Address | None) -> bool:
    return address is not None and address.is_loopback


def _loopback_host(host: str) -> bool:
    """
    >>> [_loopback_host(host) for host in ("localhost:8501", "127.0.0.1", "[::1]:8501", "localhost.evil.org")]
    [True, True, True, False]
    """
    return bool(re.fullmatch(r"localhost(:\d+)?", host.strip(), re.IGNORECASE)) or _loopback(_address(host))
