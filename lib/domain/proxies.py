"""Proxies of the environment: which of them Parley can use; servers on this machine never go through one."""

import re
from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
SCHEMES = ("http", "https", "socks5", "socks5h")
HERE = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")


def is_loopback(host: str | None) -> bool:
    """Return True for a name or an address of this machine.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("api.openai.com")
    (True, True, True, False)
    """
    name = (host or "").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def unsupported(environ: Mapping[str, str]) -> list[str]:
    """Return one line for each proxy that no client of Parley can use, without its value, which may hold a password.

    >>> unsupported({"ALL_PROXY": "socks4://10.0.0.1:1080", "https_proxy": "http://proxy:3128", "HTTP_PROXY": ""})
    ['ALL_PROXY: must be an address that begins with http://, https://, socks5:// or socks5h://']
    """
    given = [(name, text.strip()) for name, text in environ.items() if name.upper() in NAMES]
    wrong = [name for name, text in given if text and not _usable(text)]
    return [f"{name}: must be an address that begins with http://, https://, socks5:// or socks5h://" for name in wrong]


def keep_loopback_direct(environ: MutableMapping[str, str]) -> None:
    """Add this machine to the hosts that every library of this process reaches without a proxy.

    >>> environ = {"NO_PROXY": "intern.example"}
    >>> keep_loopback_direct(environ); environ["no_proxy"]
    'intern.example,localhost,127.0.0.1,127.0.0.0/8,::1'
    """
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    listed = [item.strip() for item in given.split(",") if item.strip()]
    if "*" not in listed:
        listed += [item for item in HERE if item not in listed]
    environ["no_proxy"] = environ["NO_PROXY"] = ",".join(listed)


def _usable(text: str) -> bool:
    """Return True for a proxy that the clients can use. Without a scheme it is an HTTP proxy, as curl reads it."""
    scheme, separator, rest = text.partition("://")
    address = rest if separator else text
    known = not separator or scheme.lower() in SCHEMES
    return (
        known
        and re.fullmatch(r"(?:[^@/?#\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?", address) is not None
    )
