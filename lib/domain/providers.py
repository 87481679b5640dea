"""Providers as values: a model server's address and credentials, and their spelling in the settings.

Takes tables and texts, returns providers or a list of problems. No problem contains a key or the value of a header.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

OPENAI = "openai"
"""The provider of `OPENAI_API_KEY` and `OPENAI_BASE_URL`."""
OPENAI_URL = "https://api.openai.com/v1"
KEYS = ("base_url", "api_key", "headers", "api_version")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VISIBLE = re.compile("[!-~]+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile("[!-~]([ -~]*[!-~])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_DEPLOYMENT = "/openai/deployments/"


@dataclass(frozen=True, slots=True)
class Provider:
    """A model server that Parley can ask.

    `headers` are sent with every request. With an `api_version` requests have Azure's form: the version in the query,
    the key in the header `api-key`. `priced_as` is the address whose prices apply, where that is another.
    """

    name: str
    base_url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_version: str | None = None
    priced_as: str | None = None

    def secrets(self) -> Iterator[str]:
        """Yield every text that no log, event or page may show."""
        password = urlsplit(self.base_url).password
        yield from filter(None, (self.api_key, password, password and unquote(password), *self.headers.values()))


def setting_of(name: str, what: Literal["URL", "KEY"]) -> str:
    """Return the name of the setting that holds a provider's address or key.

    >>> setting_of("openai", "URL"), setting_of("local", "KEY")
    ('OPENAI_BASE_URL', 'PARLEY_PROVIDER_LOCAL_KEY')
    """
    if name == OPENAI:
        return "OPENAI_BASE_URL" if what == "URL" else "OPENAI_API_KEY"
    return f"PARLEY_PROVIDER_{name.upper()}_{what}"


def read_address(text: str) -> tuple[str, str | None]:
    """Return a server's address and the API version in its query. Raises ValueError with the accepted form.

    A trailing `/chat/completions`, as in vendors' examples, is removed.

    >>> read_address("https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21")
    ('https://x.openai.azure.com/openai/deployments/d', '2024-10-21')
    >>> read_address("http://localhost:8000/v1/")
    ('http://localhost:8000/v1', None)
    """
    accepted = "an address that begins with http:// or https:// and has no ? but ?api-version=…"
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise ValueError(accepted) from None
    versions = query.pop("api-version", [None])
    version = versions[0]
    if not sound or query or parts.fragment or not _VISIBLE.fullmatch(text) or "@" in parts.path:
        raise ValueError(accepted)
    if len(versions) > 1 or (version is not None and not _VERSION.fullmatch(version)):
        raise ValueError(accepted)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), version


def make_provider(
    name: str,
    address: str,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    api_version: str | None = None,
) -> Provider:
    """Return the provider at an address. Raises ValueError with the accepted form, or with what is missing."""
    base_url, version = read_address(address)
    if _DEPLOYMENT in base_url + "/" and not (api_version or version):
        raise ValueError("the address of a deployment at Azure, with ?api-version=… at its end")
    return Provider(name, base_url, api_key, headers or {}, api_version or version)


def read_providers(tables: object, environ: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, Provider], list[str]]:
    """Return the providers by name, and a line for each problem.

    `tables` is `[providers]` of the settings file; of each, the values in `environ` win.

    >>> read_providers({"Local": {"base_url": "http://a/v1"}}, {"local": {"base_url": "http://b/v1"}})[0]["local"].base_url
    'http://b/v1'
    >>> read_providers({"local": {}}, {})
    ({}, ['[providers.local] base_url: is missing'])
    """
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        return {}, [f"[providers]: expected a table for each provider, [providers.NAME] with {', '.join(KEYS)}"]
    problems: list[str] = []
    merged: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        if not NAME.fullmatch(name.lower()):
            problems.append(f"[providers.{name}]: a name is at most 64 letters, digits, _ or -")
        problems += _problems(f"[providers.{name}]", table)
        merged[name.lower()] = {key: value for key, value in table.items() if value != ""}
    for name in sorted(environ):
        merged.setdefault(name, {}).update(environ[name])
    if problems:
        return {}, problems
    providers: dict[str, Provider] = {}
    for name, values in merged.items():
        try:
            providers[name] = _provider(name, values)
        except ValueError as error:
            problems.append(f"[providers.{name}] base_url: {error}")
    return providers, problems


def _provider(name: str, values: Mapping[str, Any]) -> Provider:
    address = values.get("base_url") or (OPENAI_URL if name == OPENAI else None)
    if address is None:
        raise ValueError("is missing")
    version = values.get("api_version")
    try:
        return make_provider(
            name, address, values.get("api_key"), values.get("headers"), None if version is None else str(version)
        )
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


def _problems(where: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of a table. The address is checked where it is used."""
    for key in table:
        if key not in KEYS:
            yield f"{where} {key}: no such key; known are {', '.join(KEYS)}"
    if not isinstance(table.get("base_url", ""), str):
        yield f"{where} base_url: must be a text"
    key = table.get("api_key", "")
    if not isinstance(key, str) or (key and not _VISIBLE.fullmatch(key)):
        yield f"{where} api_key: must be visible ASCII characters without spaces"
    version = table.get("api_version", "v1")  # unquoted, TOML reads a version as a date
    if not isinstance(version, str | date) or not _VERSION.fullmatch(str(version)):
        yield f"{where} api_version: must be a version such as 2024-10-21 or preview"
    headers = table.get("headers", {})
    if not isinstance(headers, Mapping):
        yield f"{where} headers: must be a table of names and values"
        return
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            yield f"{where} headers: {name[:60]!r} cannot be a header's name"
        elif not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            yield f"{where} headers.{name}: must be a text of visible ASCII characters"
