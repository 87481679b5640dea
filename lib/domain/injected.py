"""Names that Kubernetes and Docker inject for a service called `parley` or `parley-…`.

They begin like Parley's settings but are not settings. See
https://kubernetes.io/docs/concepts/services-networking/service/ (environment variables) and
https://docs.docker.com/engine/network/links/ (environment variables of linked containers).
"""

import re

_SERVICE = re.compile(r"PARLEY(_[A-Z0-9_]+)?_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)")
_PORT = re.compile(r"PARLEY(_[A-Z0-9_]+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR|START|END|PORT_START|PORT_END))?")
_ADDRESS = re.compile(r"PARLEY(_[A-Z0-9_]+)?_PORT")
_LINK = re.compile(r"PARLEY(_[A-Z0-9_]+)?_NAME")
_LINKED = re.compile(r"PARLEY_ENV_.+")


def injected(name: str, value: str) -> bool:
    """Return True for an injected variable. A mistyped setting is not one.

    >>> injected("PARLEY_PORT_8501_TCP_ADDR", "10.0.0.7"), injected("PARLEY_DB_PORT", "tcp://10.0.0.8:5432")
    (True, True)
    >>> injected("PARLEY_BUGDET", "5"), injected("PARLEY_WEB_PORT", "8080"), injected("PARLEY_NAME", "Our chat")
    (False, False, False)
    """
    if _SERVICE.fullmatch(name) or _PORT.fullmatch(name) or _LINKED.fullmatch(name) or name == "PARLEY_PORT":
        return True
    if _ADDRESS.fullmatch(name):
        return re.match("(tcp|udp|sctp)://", value) is not None
    return _LINK.fullmatch(name) is not None and re.fullmatch(r"/[^/]+/[^/]+", value) is not None
