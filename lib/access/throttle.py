"""The wait between wrong secrets.

It grows with the failures of one address, and a little with those of all addresses: a secret cannot be guessed from one
address or from many, and an attacker cannot lock the operator out for long. Used from the event loop only.
"""

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from lib.domain.recent import Recent

FREE, LONGEST_S = 3, 300.0
"""Failures of one address without a wait, and the longest wait after that. The wait doubles with each failure."""
FREE_FOR_ALL, LONGEST_FOR_ALL_S = 30, 2.0
"""The same for all addresses together."""
FORGET_S = 3_600.0
"""Seconds without a failure after which earlier ones are forgotten."""
ADDRESSES = 10_000
"""Addresses remembered; beyond that those with the oldest last failure are dropped."""


class Patience:
    """The failures at one form."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: Recent[str, tuple[int, float]] = Recent(ADDRESSES)  # their number and the time of the last
        self._all = (0, 0.0)

    def wait(self, address: str | None) -> float:
        """Return the seconds until an attempt from this address is checked; 0 for now."""
        of_address = _remaining_s(self._failures.get(network_of(address), (0, 0.0)), FREE, LONGEST_S, self._clock())
        return max(of_address, _remaining_s(self._all, FREE_FOR_ALL, LONGEST_FOR_ALL_S, self._clock()))

    def failed(self, address: str | None) -> None:
        """Count a wrong secret from this address."""
        place, now = network_of(address), self._clock()
        self._failures[place] = _counted(self._failures.pop(place, (0, 0.0)), now)
        self._all = _counted(self._all, now)

    def succeeded(self, address: str | None) -> None:
        """Forget the failures of an address that gave the right secret."""
        self._failures.pop(network_of(address), None)


def _counted(before: tuple[int, float], now: float) -> tuple[int, float]:
    count, last = before
    return (count + 1 if now - last < FORGET_S else 1), now


def _remaining_s(failures: tuple[int, float], free: int, longest: float, now: float) -> float:
    """
    >>> [_remaining_s((count, 100.0), 3, 300.0, 100.0) for count in (2, 3, 4, 5, 99)]
    [0.0, 1.0, 2.0, 4.0, 300.0]
    """
    count, last = failures
    if count < free or now - last >= FORGET_S:
        return 0.0
    return max(0.0, last + min(longest, 2.0 ** min(count - free, 30)) - now)


def network_of(address: str | None) -> str:
    """Return the network that an address stands for. A customer of a provider usually has a whole IPv6 /64.

    >>> network_of("10.0.0.1"), network_of("2001:db8::1:2:3:4"), network_of(None)
    ('10.0.0.1', '2001:db8::', '')
    """
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""
    return str(IPv6Address(int(parsed) >> 64 << 64)) if isinstance(parsed, IPv6Address) else str(parsed)
