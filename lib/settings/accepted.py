"""The accepted values of settings, as types: each checks a text and says what it accepts. Knows no setting's name."""

import math
import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WrapValidator

from lib.domain.database_url import parse_database_url
from lib.domain.providers import read_address

Network = IPv4Network | IPv6Network


def _accepts(message: str) -> WrapValidator:
    """Replace any validation error by a message that names the accepted values."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValueError:
            raise ValueError(message) from None

    return WrapValidator(check)


def _matching(pattern: str) -> AfterValidator:
    """Require that the whole value matches. A `SecretStr` is checked but never shown."""

    def check(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not re.fullmatch(pattern, text):
            raise ValueError
        return value

    return AfterValidator(check)


def unquoted(text: str) -> str:
    """Return a value without surrounding space and quotes: `docker --env-file` passes quotes on.

    >>> unquoted(' "a b" '), unquoted("''"), unquoted('"a" and "b"')
    ('a b', '', '"a" and "b"')
    """
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _bar_list(value: Any) -> list[str]:
    """
    >>> _bar_list("Where is my order? | How do I return it?|")
    ['Where is my order?', 'How do I return it?']
    """
    return [item for part in str(value).split("|") if (item := part.strip())]


def _address_list(value: Any) -> list[str]:
    """
    >>> _address_list("slack://a/b/c, mailto://u:p@example.org?to=x@y.z,v@w.z")
    ['slack://a/b/c', 'mailto://u:p@example.org?to=x@y.z,v@w.z']
    """
    parts = re.split(r"[\s,]+(?=[A-Za-z][\w+.-]*://)", str(value))
    return [address for part in parts if (address := part.strip("\"', \t\r\n"))]


def _comma_list(value: Any) -> list[str]:
    """
    >>> _comma_list(" a, b,,"), _comma_list('"a", "b"')
    (['a', 'b'], ['a', 'b'])
    """
    return [item for part in str(value).split(",") if (item := part.strip("\"' \t\r\n"))]


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    if parts.query or parts.fragment or "@" in parts.path or parts.netloc.count("@") > 1:
        raise ValueError
    if not re.fullmatch("[!-~]+", value):
        raise ValueError
    return value.rstrip("/")


def _model_url(value: str) -> str:
    read_address(value)
    return value


def _without_password(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError
    return value


def _network(value: str) -> Network:
    """Parse an address or a network; an address is a network of one, an IPv4-mapped IPv6 address is the IPv4 address.

    >>> _network("::ffff:127.0.0.1"), _network("10.0.0.1/8")
    (IPv4Network('127.0.0.1/32'), IPv4Network('10.0.0.0/8'))
    """
    network = ip_network(value, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return ip_network(f"{mapped}/{network.prefixlen - 96}") if mapped and network.prefixlen >= 96 else network


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value


def _database_url(value: str) -> str:
    """Return the URL in SQLAlchemy's spelling. Hosting platforms hand out `postgres://`."""
    file = parse_database_url(value).file
    if file is not None:
        _check_sqlite(file)
    return re.sub("^postgres(ql)?://", "postgresql+psycopg://", value)


def _check_sqlite(file: Path) -> None:
    if file.exists():
        usable = file.is_file() and os.access(file, os.R_OK | os.W_OK)
    else:
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    if not usable:
        raise ValueError(f"sqlite:///PATH, the path of a file that can be written, which {file} is not")


def _readable(file: Path) -> Path:
    if not (file.is_file() and os.access(file, os.R_OK)):
        raise ValueError
    return file


# fmt: off
LINE = r"[^\x00-\x1f\x7f]"
Flag = Annotated[bool, _accepts("true or false")]
Key = Annotated[SecretStr, _matching("[!-~]+"), _accepts("visible ASCII characters without spaces")]
StatsigKey = Annotated[SecretStr, _matching("secret-[!-~]+"), _accepts("a server secret key: secret-…")]
Token = Annotated[SecretStr, _matching("[!-~]{16,}"), _accepts("at least 16 visible ASCII characters without spaces")]
SigningKey = Annotated[SecretStr, _matching("(?s:.{16,})"), _accepts("at least 16 characters, better 32 random ones")]
ModelUrl = Annotated[str, AfterValidator(_model_url)]
Url = Annotated[str, AfterValidator(_url), _accepts("an address that begins with http:// or https://")]
PublicUrl = Annotated[Url, AfterValidator(_without_password), _accepts("an http:// or https:// address, no password")]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
Tier = Annotated[str, _matching(r"[\w.-]{1,64}"), _accepts("an environment tier such as development or production")]
Experiment = Annotated[str, _matching(r"[A-Za-z0-9_.\- ]{1,64}"), _accepts("at most 64 letters, digits, spaces, _ . -")]
File = Annotated[Path, AfterValidator(_readable), _accepts("the path of a file that can be read")]
Model = Annotated[str, _matching(LINE + "{1,128}"), _accepts("one line of at most 128 characters")]
Title = Annotated[str, _matching(LINE + "{1,60}"), _accepts("one line of at most 60 characters")]
Greeting = Annotated[str, _matching(LINE + "{1,300}"), _accepts("one line of at most 300 characters")]
Suggestion = Annotated[str, _matching(LINE + "{1,200}")]
Suggestions = Annotated[
    tuple[Suggestion, ...], BeforeValidator(_bar_list), _accepts("lines of at most 200 characters, separated by |")
]
Notice = Annotated[str, Field(max_length=20_000), _accepts("a text of at most 20000 characters")]
Unit = Annotated[Literal["visitor", "session", "account"], _accepts("visitor, session or account")]
Access = Annotated[Literal["open", "invite", "sign-in"], _accepts("open, invite or sign-in")]
Log = Annotated[Literal["text", "json"], _accepts("text or json")]
Levels = Literal["debug", "info", "warning", "error", "critical"]
Level = Annotated[Levels, BeforeValidator(str.lower), _accepts("debug, info, warning, error or critical")]
Operator = Annotated[str, _matching(r"[!-~]{1,300}")]
Operators = Annotated[tuple[Operator, ...], BeforeValidator(_comma_list), _accepts("email addresses, comma-separated")]
Claim = Annotated[str, _matching(r"[!-~]{1,100}"), _accepts("the name of a claim, such as email or sub")]
Receiver = Annotated[SecretStr, _matching(r"[A-Za-z][\w+.-]*://[!-~]+")]
Receivers = Annotated[
    tuple[Receiver, ...], BeforeValidator(_address_list), _accepts("addresses of Apprise, such as slack://…")
]
Proxy = Annotated[Network, BeforeValidator(_network)]
Proxies = Annotated[
    tuple[Proxy, ...], BeforeValidator(_comma_list), _accepts("IP addresses or networks, comma-separated")
]
Abandoned = Annotated[Literal["finish", "stop"], _accepts("finish or stop")]
Amount = Annotated[float, Field(gt=0), AfterValidator(_finite), _accepts("US dollars above 0, such as 5 or 0.50")]
Seconds = Annotated[float, Field(ge=1, le=3_600), AfterValidator(_finite), _accepts("seconds from 1 to 3600")]
Count = Annotated[int, Field(ge=1), _accepts("a whole number from 1")]
Length = Annotated[int, Field(ge=1, le=1_000_000), _accepts("a whole number from 1 to 1000000")]
Tokens = Annotated[int, Field(ge=100, le=10_000_000), _accepts("a whole number of tokens from 100 to 10000000")]
Days = Annotated[int, Field(ge=1, le=36_500), _accepts("a whole number from 1 to 36500")]
# fmt: on
