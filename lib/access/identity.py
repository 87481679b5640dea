"""Who may do what: signed cookies and links, where a request comes from, who is an operator, what may be asked.

Plain values in, plain values out. Knows no web framework, no database and no setting's name.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from itsdangerous import BadData, Signer, TimestampSigner

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

VISITOR, GUEST, OPERATOR = "parley_visitor", "parley_guest", "parley_operator"
SECURE_PREFIX = "__Host-"
"""Browsers accept a cookie of such a name only from the very host, over https: no neighbour can plant one."""
VISITOR_DAYS = 400
"""Browsers keep no cookie longer."""
OPERATOR_DAYS = 30
MAX_COOKIE = 256
"""Characters of the longest cookie value that is looked at; ours are shorter."""
LOCAL_HEADER = "x-parley-local"
"""How the server tells the pages that a request comes from this machine; a client's own header is thrown away."""
FORWARDING = re.compile(
    "x-forwarded(-.*)?|forwarded|via|x-real-ip|(x-|true-|x-cluster-|fastly-)client-ip|cf-connecting-ip"
)
"""Headers that only a proxy sends."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from. `address`: the client's, None where unknown. `host`: what the browser asked for.

    `https`: between browser and us. `local`: on this machine, which no proxy, trusted or not, can make true.
    """

    address: str | None
    host: str
    https: bool
    local: bool


@dataclass(frozen=True)
class Access:
    """The rules of one Parley. `operators` are email addresses; `trusted_proxies` those whose headers are believed."""

    key: str = field(repr=False)
    operators: Collection[str] = ()
    operator_token: str | None = field(default=None, repr=False)
    trusted_proxies: Collection[Network] = ()

    def origin(self, peer: str | None, scheme: str, headers: Iterable[tuple[str, str]]) -> Origin:
        """Who is at the other end. `peer`: of the connection. `headers`: every line, because a proxy may add a second.

        Forwarding headers are read from the right, as far as the addresses in them are trusted proxies'.
        """
        lines = [(name.lower(), value) for name, value in headers]
        address, hops = self._client(_address(peer or ""), _values(lines, "x-forwarded-for"))
        proto, host = (_at(_values(lines, f"x-forwarded-{what}"), hops) for what in ("proto", "host"))
        hosts = [value for name, value in lines if name == "host"]
        return Origin(
            address=str(address) if address else None,
            host=host or (hosts[0] if hosts else ""),
            https=(proto or scheme).lower() in ("https", "wss"),
            local=_loopback(_address(peer or ""))
            and bool(hosts)
            and all(map(_loopback_host, hosts))
            and not any(FORWARDING.fullmatch(name) for name, _ in lines),
        )

    def _client(self, address: Address | None, forwarded: list[str]) -> tuple[Address | None, int]:
        """The first address from the right that is not a trusted proxy's, and how many proxies stand before it."""
        hops = 0
        while address and any(address in network for network in self.trusted_proxies):
            hops += 1
            before = _address(forwarded.pop()) if forwarded else None
            if before is None:
                break
            address = before
        return address, hops

    def visitor(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """The id in the visitor's cookie; None where there is none that we signed.

        `https` names the cookie to look at; where it is not known (None), the one that cannot be planted goes first.
        """
        return self._kept(VISITOR, "visitor", "[0-9a-f]{32}", cookies, https)

    def visitor_cookie(self, visitor_id: str, https: bool) -> str:
        """The `Set-Cookie` header that makes a browser this visitor."""
        value = self._signer("visitor").sign(visitor_id).decode()
        return _set_cookie(_name(VISITOR, https), value, VISITOR_DAYS, https)

    def invitation_token(self, invitation_id: str, expires_s: int) -> str:
        """What a link carries: the invitation's id, when it ends (seconds since 1970, UTC), and our signature."""
        return self._signer("invitation").sign(f"{invitation_id}.{expires_s}").decode()

    def invitation(self, token: str) -> tuple[str, int] | None:
        """The id and the end in a link's token; None for one that we did not sign."""
        found = self._unsigned(token, "invitation", r"[0-9a-f]{12}\.[0-9]{1,12}")
        return (found[:12], int(found[13:])) if found else None

    def guest_cookie(self, invitation_id: str, days: int, https: bool) -> str:
        """The `Set-Cookie` header for a browser that opened an invitation's link."""
        value = self._signer("guest").sign(invitation_id).decode()
        return _set_cookie(_name(GUEST, https), value, min(days, VISITOR_DAYS), https)

    def guest(self, cookies: Mapping[str, str], https: bool | None = None) -> str | None:
        """The id of the invitation that this browser opened; whether it still counts is the record's to say."""
        return self._kept(GUEST, "guest", "[0-9a-f]{12}", cookies, https)

    def _kept(
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
        """A signed-in account as a unit: the same on every machine with this key, and nobody's name."""
        text = f"{_salt('account')}.{issuer_and_subject}"
        return hmac.new(self.key.encode(), text.encode(), "sha256").hexdigest()[:32]

    def operator(
        self, *, local: bool, cookies: Mapping[str, str], email: str | None = None, authorization: str | None = None
    ) -> bool:
        """Whether the operator pages open. `local` of the request's origin; `email` as the sign-in verified it."""
        if email and email.lower() in {known.lower() for known in self.operators}:
            return True
        if self.operator_token is not None:
            return self._gave_token(cookies, authorization)
        return local and not self.operators

    def may_read_metrics(self, *, local: bool, cookies: Mapping[str, str], authorization: str | None = None) -> bool:
        """Whether `/metrics` answers: to this machine, whatever is configured, and to who has the operator token."""
        return local or (self.operator_token is not None and self._gave_token(cookies, authorization))

    def token_matches(self, text: str) -> bool:
        """Whether this is the operator token, in a time that tells nothing about it."""
        given, token = (value.encode("utf-8", "surrogatepass") for value in (text, self.operator_token or ""))
        return self.operator_token is not None and hmac.compare_digest(given, token)

    def operator_cookie(self, https: bool) -> str:
        """The `Set-Cookie` header for a browser that gave the operator token. It ends with the token, or by age."""
        value = self._token_signer().sign(OPERATOR).decode()
        return _set_cookie(_name(OPERATOR, https), value, OPERATOR_DAYS, https)

    def _gave_token(self, cookies: Mapping[str, str], authorization: str | None) -> bool:
        names = (_name(OPERATOR, secure) for secure in (True, False))
        return self.bears_token(authorization) or any(self._token_cookie(cookies.get(name)) for name in names)

    def bears_token(self, authorization: str | None) -> bool:
        """Whether this `Authorization` header holds the operator token."""
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and self.token_matches(token.strip())

    def _token_cookie(self, value: str | None) -> bool:
        if not value or len(value) > MAX_COOKIE or not value.isascii():
            return False
        try:
            return self._token_signer().unsign(value, max_age=OPERATOR_DAYS * 86_400).decode() == OPERATOR
        except BadData:
            return False

    def _token_signer(self) -> TimestampSigner:
        """Another token is another purpose: what was signed under the earlier one is worth nothing."""
        digest = hashlib.sha256((self.operator_token or "").encode()).hexdigest()
        return TimestampSigner(self.key, _salt(f"operator.{digest}"), **_SIGNING)

    def _signer(self, purpose: str) -> Signer:
        return Signer(self.key, _salt(purpose), **_SIGNING)


def new_visitor_id() -> str:
    """A random id, 128 bits: nobody guesses another's."""
    return secrets.token_hex(16)


def clean_text(text: str) -> str:
    """What was typed, without what breaks servers, databases and pages: control characters and lone surrogates.

    Newlines, tabs and everything that can be seen stay.

    >>> clean_text("a\\r\\nb\\x00\\tc\\ud83d")
    'a\\nb\\tc'
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _CONTROL.sub("", whole.replace("\r\n", "\n").replace("\r", "\n"))


def check_prompt(text: str, max_chars: int) -> str | None:
    """The sentence that refuses a prompt, for its tester; None for one that may be asked.

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
    """Each purpose signs with a key of its own, so that no cookie can stand in for another."""
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


def _values(lines: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    """The comma-separated values of a header, its lines in their order."""
    return [item.strip() for name, value in lines if name == wanted for item in value.split(",")]


def _at(values: list[str], hops: int) -> str | None:
    """What the outermost trusted proxy said: each adds one value to the right, or there is but one."""
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
