"""The address of a database, parsed once and strictly, so that no two parsers can disagree about where a password ends.

Knows neither SQLAlchemy nor a driver. The printed form consists of driver, host and database name alone: anything else
in the address may be a password, or a part of an unescaped one.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

SQLITE = "sqlite:///"
POSTGRESQL = "postgresql+psycopg://"
SHAPE = f"{SQLITE}PATH or {POSTGRESQL}USER:PASSWORD@HOST:PORT/NAME"
ESCAPES = (
    "with special characters of a password escaped: write @ as %40, / as %2F, ? as %3F, # as %23, % as %25, "
    "[ as %5B, ] as %5D, a space as %20"
)
PARAMETERS = frozenset(
    re.findall(
        r"\w+",
        """
    application_name channel_binding connect_timeout dbname fallback_application_name gssdelegation gssencmode gsslib
    host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname load_balance_hosts
    max_protocol_version min_protocol_version options passfile password port require_auth requirepeer service sslcert
    sslcertmode sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslpassword sslrootcert sslsni
    ssl_max_protocol_version ssl_min_protocol_version target_session_attrs tcp_user_timeout user
""",
    )
)
"""The parameters of PostgreSQL's client library that may follow the `?`."""
POOLER = "pgbouncer"
"""A parameter that other clients need with PgBouncer. Parley does not, and ignores it."""
SECRET = frozenset({"password", "sslpassword"})
_ADDRESS = re.compile(
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._-]+)?\])(?::(?P<port>\d{1,5}))?"
    r"(?:/(?P<name>[^/?#@]*))?(?:\?(?P<query>[^?#@]*))?"
)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """One database. With SQLite `name` is the path of its file and everything else is empty.

    >>> str(parse_database_url("postgres://u:p@db.example:5432/parley?sslpassword=p"))
    'postgresql+psycopg://db.example/parley'
    """

    driver: str
    name: str
    host: str = ""
    port: int | None = None
    user: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        if self.file is not None:
            return SQLITE + self.name
        host = self.host or dict(self.parameters).get("host", "")
        return f"{POSTGRESQL}{host}/{self.name}"

    @property
    def file(self) -> Path | None:
        """The SQLite file; None with PostgreSQL."""
        return Path(self.name) if self.driver == "sqlite" else None

    @property
    def secrets(self) -> list[str]:
        """Every password in the address."""
        return [text for text in (self.password, *(v for k, v in self.parameters if k in SECRET)) if text]


def parse_database_url(text: str) -> DatabaseUrl:
    """Parse an address. Raises ValueError with the accepted form, never with a part of the text."""
    text = re.sub("^postgres(ql)?://", POSTGRESQL, text)
    if text.startswith(SQLITE):
        return _sqlite(text.removeprefix(SQLITE))
    if not text.startswith(POSTGRESQL):
        raise ValueError(SHAPE)
    return _postgresql(text.removeprefix(POSTGRESQL))


def _sqlite(path: str) -> DatabaseUrl:
    if not path.isprintable() or path in ("", ".", ":memory:") or path.startswith("file:") or "?" in path:
        raise ValueError(f"{SQLITE}PATH, the path of a file, without parameters")
    return DatabaseUrl("sqlite", path)


def _postgresql(text: str) -> DatabaseUrl:
    match = _ADDRESS.fullmatch(text)
    escaped = not re.search("%(?![0-9A-Fa-f]{2})", text)
    if (
        not match
        or not escaped
        or re.search(r"[\x00-\x20\x7f]|%00", text)
        or int(match["port"] or 1) not in range(1, 65536)
    ):
        raise ValueError(f"{POSTGRESQL}USER:PASSWORD@HOST:PORT/NAME, {ESCAPES}")
    return DatabaseUrl(
        "postgresql+psycopg",
        unquote(match["name"] or ""),
        unquote(match["host"].strip("[]")),
        int(match["port"]) if match["port"] else None,
        unquote(match["user"] or ""),
        None if match["password"] is None else unquote(match["password"]),
        tuple(_parameters(match["query"] or "")),
    )


def _parameters(query: str) -> list[tuple[str, str]]:
    """Return the parameters for the client library. An unknown one is not quoted in the error: it may be a part of a
    password."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    if any(equals == "" or (name not in PARAMETERS and name != POOLER) for name, equals, _ in pairs):
        raise ValueError(
            f"{POSTGRESQL}USER:PASSWORD@HOST:PORT/NAME, followed by parameters that PostgreSQL's client library knows, "
            f"such as ?sslmode=require, and {ESCAPES}, & as %26"
        )
    return [(name, unquote(value)) for name, _, value in pairs if name != POOLER]
