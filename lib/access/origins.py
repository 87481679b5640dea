"""The origin of a request: the client's address, the requested host, and whether it comes from this machine.

Knows no web framework: a connection's address and the lines of its headers become a value.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from lib.access.crowd import UNNAMED
from lib.access.throttle import network_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
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
    """The origin of a request. `address`: the client's, None where unknown. `host`: the requested host.

    `https`: between browser and proxy or server. `local`: on this machine; no proxy, trusted or not, can make it true.
    `proxied`: an untrusted proxy stands in front, so the address is the proxy's.
    """

    address: str | None
    host: str
    https: bool
    local: bool
    proxied: bool = False

    @property
    def place(self) -> str:
        """The network that limits count under; empty for a browser on this machine or in a private network.

        >>> places = ("203.0.113.7", "2001:db8::1:2:3:4", "192.168.1.7", None)
        >>> [Origin(address, "", False, False).place for address in places]
        ['203.0.113.7', '2001:db8::', '', '']
        >>> Origin("10.0.0.1", "", False, False, proxied=True).place
        '?'
        """
        address = _address(self.address or "")
        if address and not _is_in(address, PRIVATE):
            return network_of(str(address))
        return UNNAMED if self.proxied else ""


def read_origin(
    peer: str | None, scheme: str, headers: Iterable[tuple[str, str]], trusted_proxies: Collection[Network]
) -> Origin:
    """Return the origin of a request. `peer`: the connection's address. `headers`: every line, because a proxy may add
    a second.

    Forwarding headers are read from the right, for as long as the addresses in them belong to trusted proxies.
    """
    lines = [(name.lower(), value) for name, value in headers]
    connected = _address(peer or "")
    address, hops = _client(connected, _values(lines, "x-forwarded-for"), trusted_proxies)
    proto, host = (_at(_values(lines, f"x-forwarded-{part}"), hops) for part in ("proto", "host"))
    hosts = [value for name, value in lines if name == "host"]
    forwarded = any(FORWARDING.fullmatch(name) for name, _ in lines)
    return Origin(
        address=str(address) if address else None,
        host=host or (hosts[0] if hosts else ""),
        proxied=forwarded and (address is None or hops == 0 or _is_in(address, trusted_proxies)),
        https=(proto or scheme).lower() in ("https", "wss"),
        local=_loopback(connected) and bool(hosts) and all(map(_loopback_host, hosts)) and not forwarded,
    )


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _client(
    address: Address | None, forwarded: list[str], trusted_proxies: Collection[Network]
) -> tuple[Address | None, int]:
    """Return the first address from the right that is not a trusted proxy's, and the number of proxies before it."""
    hops = 0
    while address and _is_in(address, trusted_proxies):
        hops += 1
        before = _address(forwarded.pop()) if forwarded else None
        if before is None:
            break
        address = before
    return address, hops


def _values(lines: Iterable[tuple[str, str]], header: str) -> list[str]:
    """Return the comma-separated values of a header, in order."""
    return [item.strip() for name, value in lines if name == header for item in value.split(",")]


def _at(values: list[str], hops: int) -> str | None:
    """Return the value that the outermost trusted proxy added. Each proxy appends its value on the right, or the
    outermost one sets the only value."""
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
