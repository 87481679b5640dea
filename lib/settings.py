"""Every setting: its name, its default, its accepted values. No other module knows the name of a setting.

`load` reads the environment, then `.streamlit/secrets.toml`, and hands out one frozen `Settings`, or raises
`SettingsError` with every problem at once. Knows neither Streamlit nor any service, and uses no network.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, WrapValidator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lib.domain.database_url import DatabaseUrl as ParsedUrl
from lib.domain.database_url import parse_database_url
from lib.domain.injected import injected
from lib.domain.models import CONTROL_MODEL
from lib.domain.plain_text import decode
from lib.domain.providers import OPENAI, OPENAI_URL, Provider, make_provider, read_address, read_providers
from lib.domain.proxies import is_loopback, unsupported

SECRETS_FILE = Path(".streamlit/secrets.toml")

Network = IPv4Network | IPv6Network


class SettingsError(Exception):
    """Invalid settings. `problems` holds one line each, name first, never a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _accepts(what: str) -> WrapValidator:
    """Replace any validation error by a message that says what is accepted."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValueError:
            raise ValueError(what) from None

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


def _between_bars(value: Any) -> list[str]:
    """
    >>> _between_bars("Where is my order? | How do I return it?|")
    ['Where is my order?', 'How do I return it?']
    """
    return [item for part in str(value).split("|") if (item := part.strip())]


def _addresses(value: Any) -> list[str]:
    """
    >>> _addresses("slack://a/b/c, mailto://u:p@example.org?to=x@y.z,v@w.z")
    ['slack://a/b/c', 'mailto://u:p@example.org?to=x@y.z,v@w.z']
    """
    parts = re.split(r"[\s,]+(?=[A-Za-z][\w+.-]*://)", str(value))
    return [address for part in parts if (address := part.strip("\"', \t\r\n"))]


def _listed(value: Any) -> list[str]:
    """
    >>> _listed(" a, b,,"), _listed('"a", "b"')
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
    """The URL in SQLAlchemy's spelling. Hosting platforms hand out `postgres://`."""
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
    tuple[Suggestion, ...], BeforeValidator(_between_bars), _accepts("lines of at most 200 characters, separated by |")
]
Notice = Annotated[str, Field(max_length=20_000), _accepts("a text of at most 20000 characters")]
Unit = Annotated[Literal["visitor", "session", "account"], _accepts("visitor, session or account")]
Access = Annotated[Literal["open", "invite", "sign-in"], _accepts("open, invite or sign-in")]
Log = Annotated[Literal["text", "json"], _accepts("text or json")]
Levels = Literal["debug", "info", "warning", "error", "critical"]
Level = Annotated[Levels, BeforeValidator(str.lower), _accepts("debug, info, warning, error or critical")]
Operator = Annotated[str, _matching(r"[!-~]{1,300}")]
Operators = Annotated[tuple[Operator, ...], BeforeValidator(_listed), _accepts("email addresses, comma-separated")]
Claim = Annotated[str, _matching(r"[!-~]{1,100}"), _accepts("the name of a claim, such as email or sub")]
Receiver = Annotated[SecretStr, _matching(r"[A-Za-z][\w+.-]*://[!-~]+")]
Receivers = Annotated[
    tuple[Receiver, ...], BeforeValidator(_addresses), _accepts("addresses of Apprise, such as slack://…")
]
Proxy = Annotated[Network, BeforeValidator(_network)]
Proxies = Annotated[tuple[Proxy, ...], BeforeValidator(_listed), _accepts("IP addresses or networks, comma-separated")]
Abandoned = Annotated[Literal["finish", "stop"], _accepts("finish or stop")]
Amount = Annotated[float, Field(gt=0), AfterValidator(_finite), _accepts("US dollars above 0, such as 5 or 0.50")]
Seconds = Annotated[float, Field(ge=1, le=3_600), AfterValidator(_finite), _accepts("seconds from 1 to 3600")]
Count = Annotated[int, Field(ge=1), _accepts("a whole number from 1")]
Length = Annotated[int, Field(ge=1, le=1_000_000), _accepts("a whole number from 1 to 1000000")]
Tokens = Annotated[int, Field(ge=100, le=10_000_000), _accepts("a whole number of tokens from 100 to 10000000")]
Days = Annotated[int, Field(ge=1, le=36_500), _accepts("a whole number from 1 to 36500")]
# fmt: on


def _setting(name: str, default: Any = None, *, shown: bool = True) -> Any:
    """One row of the table. Values that are not `shown` may hold a password and appear in no message and no `repr`."""
    return Field(default, alias=name, repr=shown)


class Settings(BaseSettings):
    """The operator's settings. A field has the name of its setting, in lower case and without `PARLEY_`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)

    openai_api_key: Key | None = _setting("OPENAI_API_KEY", shown=False)
    openai_base_url: ModelUrl | None = _setting("OPENAI_BASE_URL", shown=False)
    statsig_secret_key: StatsigKey | None = _setting("STATSIG_SECRET_KEY", shown=False)
    statsig_api_url: Url | None = _setting("STATSIG_API_URL", shown=False)
    statsig_tier: Tier = _setting("STATSIG_TIER", "development")
    database_url: DatabaseUrl = _setting("DATABASE_URL", "sqlite:///data/parley.db", shown=False)
    experiment: Experiment = _setting("PARLEY_EXPERIMENT", "statsig_openai_integration")
    experiments_file: File = _setting("PARLEY_EXPERIMENTS_FILE", Path(".streamlit/experiments.toml"))
    model: Model = _setting("PARLEY_MODEL", CONTROL_MODEL)
    first_token_s: Seconds = _setting("PARLEY_FIRST_TOKEN_S", 60)
    history_tokens: Tokens | None = _setting("PARLEY_HISTORY_TOKENS")
    unit: Unit = _setting("PARLEY_UNIT", "visitor")
    blind: Flag = _setting("PARLEY_BLIND", True)
    access: Access = _setting("PARLEY_ACCESS", "open")
    operators: Operators = _setting("PARLEY_OPERATORS", ())
    operator_claim: Claim = _setting("PARLEY_OPERATOR_CLAIM", "email")
    operator_token: Token | None = _setting("PARLEY_OPERATOR_TOKEN", shown=False)
    signing_key: SigningKey | None = _setting("PARLEY_SIGNING_KEY", shown=False)
    public_url: PublicUrl = _setting("PARLEY_PUBLIC_URL", "http://localhost:8501", shown=False)
    title: Title = _setting("PARLEY_TITLE", "Parley")
    greeting: Greeting = _setting("PARLEY_GREETING", "What would you like to talk about?")
    suggestions: Suggestions = _setting("PARLEY_SUGGESTIONS", ())
    budget_usd_per_day: Amount | None = _setting("PARLEY_BUDGET_USD_PER_DAY")
    budget_answers_per_visitor: Count | None = _setting("PARLEY_BUDGET_ANSWERS_PER_VISITOR")
    abandoned: Abandoned | None = _setting("PARLEY_ABANDONED")
    max_prompt_chars: Length = _setting("PARLEY_MAX_PROMPT_CHARS", 8000)
    keep_text: Flag = _setting("PARLEY_KEEP_TEXT", True)
    retention_days: Days = _setting("PARLEY_RETENTION_DAYS", 90)
    consent: Notice | None = _setting("PARLEY_CONSENT")
    alerts: Receivers = _setting("PARLEY_ALERTS", (), shown=False)
    trusted_proxies: Proxies = _setting("PARLEY_TRUSTED_PROXIES", ())
    log: Log = _setting("PARLEY_LOG", "text")
    log_level: Level = _setting("PARLEY_LOG_LEVEL", "info")
    _named: Mapping[str, Provider] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load` alone knows where a value comes from

    @property
    def public_url_is_set(self) -> bool:
        """True where the operator gave the address that testers use."""
        return "public_url" in self.model_fields_set

    @property
    def stops_abandoned(self) -> bool:
        """Return True where an answer whose page was left is stopped: by choice, or because a budget is set."""
        budget = self.budget_usd_per_day or self.budget_answers_per_visitor
        return self.abandoned == "stop" or (self.abandoned is None and budget is not None)

    @property
    def demo(self) -> bool:
        """True where no provider is set and the demo model answers."""
        return not self.providers

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Every provider that is set. The first one is the default: `openai`, if set."""
        key = self.openai_api_key and self.openai_api_key.get_secret_value()
        table = self._named.get(OPENAI)
        rest = [provider for name, provider in self._named.items() if name != OPENAI]
        if not (key or self.openai_base_url or table):
            return tuple(rest)
        base = table or Provider(OPENAI, OPENAI_URL)
        if self.openai_base_url:
            found = make_provider(OPENAI, self.openai_base_url, None, base.headers, base.api_version)
            base = replace(found, api_key=base.api_key)
        return (replace(base, api_key=key or base.api_key), *rest)

    @property
    def provider_names(self) -> list[str]:
        """The accepted values of a group's `provider`, the default first."""
        return [provider.name for provider in self.providers] or [OPENAI]

    @property
    def database(self) -> ParsedUrl:
        """The database's address. Its text form omits user and password."""
        return parse_database_url(self.database_url)

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; None with PostgreSQL."""
        return self.database.file

    def secrets(self) -> list[str]:
        """Every text in these settings that no log may show. Very short ones are left out: removing them would garble
        every line."""
        asked = [text for provider in self.providers for text in provider.secrets()]
        keys = [self.openai_api_key, self.statsig_secret_key, self.operator_token, self.signing_key]
        passwords = [*self.database.secrets, unquote(urlsplit(self.statsig_api_url or "").password or "")]
        found = [key.get_secret_value() for key in keys if key] + asked
        receivers = [receiver.get_secret_value().partition("://")[2] for receiver in self.alerts]
        found += receivers + [part for address in receivers for part in re.split("[/:@?&=]", address) if len(part) > 7]
        found += passwords + [quote(text, "") for text in passwords]
        return sorted({text for text in found if len(text) >= 4}, key=len, reverse=True)


FIELDS = {str(field.alias): field for field in Settings.model_fields.values()}
"""Every setting, by name."""


def load(environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FILE) -> Settings:
    """Return the settings that `environ` (default: the process's) and then `secrets` give. Raises `SettingsError`.

    Call it before Streamlit reads its secrets, because Streamlit writes them into the environment.
    """
    filed, problems = _read(secrets)
    given = dict(os.environ if environ is None else environ)
    problems += [_unknown(name) for name, text in given.items() if _foreign(name) and not injected(name, text)]
    problems += [f"{_unknown(name)} (in {secrets})" for name in filed if _foreign(name)]
    values, odd = _texts(filed | {name: text for name, text in given.items() if unquoted(text)})
    providers, wrong = _providers(filed, given)
    problems += odd + wrong
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(problems + [_problem(values, found) for found in error.errors()]) from None
    settings._named = providers
    if unfit := _unfit(settings):
        raise SettingsError([*problems, unfit])
    if settings.database_file is None and settings.signing_key is None:
        problems.append("PARLEY_SIGNING_KEY: must be set with PostgreSQL, to the same value on every replica")
    if not all(is_loopback(urlsplit(url).hostname) for url in _servers(settings)):
        problems += unsupported(given)
    if settings.access == "sign-in":
        problems += [f"PARLEY_ACCESS: sign-in needs {missing} in {secrets}" for missing in _missing_auth(filed)]
    problems += _operators(settings, filed.get("auth"))
    if problems:
        raise SettingsError(problems)
    return settings


def origins(
    from_files: Mapping[Path, list[str]], environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FILE
) -> dict[str, list[str]]:
    """Return the names of the settings by the place that gives them. `from_files`: names that were read from other
    files."""
    given = os.environ if environ is None else environ
    files = {str(file): [name for name in names if name in FIELDS] for file, names in from_files.items()}
    taken = {name for names in files.values() for name in names}
    here = [name for name in FIELDS if name not in taken and unquoted(given.get(name, ""))]
    filed = [name for name in FIELDS if name in _read(secrets)[0] and name not in taken and name not in here]
    return {"the environment": here} | files | ({str(secrets): filed} if secrets.exists() else {})


def _read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the file's top-level values, or one line that says why it cannot be read."""
    try:
        text = decode(file.read_bytes())
        return tomllib.loads(text), []
    except FileNotFoundError:
        return {}, []
    except tomllib.TOMLDecodeError as error:
        end = f"at line {text.count(chr(10)) + 1}, where the file ends"
        return {}, [f"{file}: not valid TOML: {error}".replace("at end of document", end)]
    except OSError as error:
        return {}, [f"{file}: cannot be read: {error.strerror}"]
    except ValueError as error:
        return {}, [f"{file}: {error}"]


def _servers(settings: Settings) -> list[str]:
    """The address of every server that Parley will ask with these settings."""
    statsig = settings.statsig_api_url or "https://statsigapi.net/v1" if settings.statsig_secret_key else None
    return [provider.base_url for provider in settings.providers] + ([statsig] if statsig else [])


def _missing_auth(filed: Mapping[str, Any]) -> list[str]:
    """Return the names that Streamlit's sign-in needs and the file lacks, as the file would spell them.

    >>> _missing_auth({}), _missing_auth({"auth": {"redirect_uri": "…", "cookie_secret": "…"}})
    (['a table [auth]'], ['client_id in [auth]', 'client_secret in [auth]', 'server_metadata_url in [auth]'])
    """
    auth = filed.get("auth")
    if not isinstance(auth, dict):
        return ["a table [auth]"]
    provider = ("client_id", "client_secret", "server_metadata_url")
    tables = {"[auth]": auth}
    if "client_id" not in auth:  # one provider, or several in tables of their own
        named = {f"[auth.{name}]": one for name, one in auth.items() if isinstance(one, dict) and "client_id" in one}
        tables = named or tables
    missing = [f"{key} in [auth]" for key in ("redirect_uri", "cookie_secret") if not auth.get(key)]
    return missing + [f"{key} in {title}" for title, table in tables.items() for key in provider if not table.get(key)]


def _operators(settings: Settings, auth: object) -> list[str]:
    """Return the problems of the operators' names. A claim other than the email identifies an account only together
    with its issuer."""
    if settings.operator_claim == "email":
        good = all(re.fullmatch(r"[^@\s]+@[^@\s]+", name) for name in settings.operators)
        return [] if good else ["PARLEY_OPERATORS: must be email addresses, comma-separated"]
    several = isinstance(auth, dict) and sum(isinstance(one, dict) and "client_id" in one for one in auth.values()) > 1
    if several and not all("@http" in name for name in settings.operators):
        return [
            "PARLEY_OPERATORS: with several providers each must be VALUE@ISSUER, such as a1b2@https://login.example"
        ]
    return []


def _foreign(name: str) -> bool:
    return name.upper().startswith("PARLEY_") and name not in FIELDS and not _PROVIDER.fullmatch(name)


_PROVIDER = re.compile("PARLEY_PROVIDER_([A-Za-z0-9](?:[A-Za-z0-9_-]{0,63}))_(URL|KEY)")
_PROVIDER_KEYS = {"URL": "base_url", "KEY": "api_key"}


def _providers(filed: Mapping[str, Any], given: Mapping[str, str]) -> tuple[dict[str, Provider], list[str]]:
    """Return the providers of the file's tables and of the `PARLEY_PROVIDER_…` variables, which win, and the
    problems."""
    named: dict[str, dict[str, str]] = {}
    problems = []
    for name, text in {**filed, **given}.items():
        match = _PROVIDER.fullmatch(name)
        value = unquoted(text) if match and isinstance(text, str) else ""
        if not match or not value:
            continue
        provider, key = match[1].lower(), _PROVIDER_KEYS[match[2]]
        if provider == OPENAI:
            problems.append(f"{name}: of this provider set OPENAI_BASE_URL and OPENAI_API_KEY")
        elif key == "api_key" and not re.fullmatch("[!-~]+", value):
            problems.append(f"{name}: must be visible ASCII characters without spaces")
        elif key == "base_url" and (refusal := _refusal(provider, value)):
            problems.append(f"{name}: must be {refusal}")
        else:
            named.setdefault(provider, {})[key] = value
    tables = filed.get("providers", {})
    tabled = {name.lower() for name in tables} if isinstance(tables, dict) else set()
    for provider in [name for name, values in named.items() if "base_url" not in values and name not in tabled]:
        del named[provider]
        missing = f"PARLEY_PROVIDER_{provider.upper()}_URL"
        if missing not in {**filed, **given}:
            problems.append(f"{missing}: is missing, the address of that key's server")
    if "provider" in filed:
        problems.append("[provider]: no such table; did you mean [providers.NAME]?")
    providers, wrong = read_providers(tables, named)
    return providers, problems + wrong


def _unfit(settings: Settings) -> str | None:
    """Return the problem of the provider `openai` once its address and its table are combined, or None."""
    try:
        settings.providers  # noqa: B018
    except ValueError as error:
        return f"OPENAI_BASE_URL: must be {error}"
    return None


def _refusal(name: str, address: str) -> str | None:
    try:
        make_provider(name, address)
    except ValueError as error:
        return str(error)
    return None


def _unknown(name: str) -> str:
    if name.upper().startswith("PARLEY_PROVIDER"):
        return f"{name}: no such setting; a provider is PARLEY_PROVIDER_<NAME>_URL and PARLEY_PROVIDER_<NAME>_KEY"
    near = difflib.get_close_matches(name.upper(), FIELDS, n=1)
    return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _texts(raw: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Our settings from TOML, spelt as the environment would spell them; empty ones left out."""
    values: dict[str, str] = {}
    odd: list[str] = []
    for name in FIELDS:
        match raw.get(name, ""):
            case str() | bool() | int() | float() as value:
                values[name] = unquoted(str(value).lower() if isinstance(value, bool) else str(value))
            case list() as items if all(isinstance(item, str) for item in items):
                values[name] = ",".join(items)
            case _:
                odd.append(f"{name}: must be one value, in quotes where it is a text")
    return {name: text for name, text in values.items() if text}, odd


def _problem(values: Mapping[str, str], found: Any) -> str:
    name = str(found["loc"][0])
    line = f"{name}: must be {found['ctx']['error']}"
    return f"{line}, not {values[name][:60]!r}" if FIELDS[name].repr else line
