"""The settings of a start, read from the environment and then from `.streamlit/secrets.toml`.

Reports every problem at once, including those of combined settings. Uses no network.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from lib.domain.injected import injected
from lib.domain.plain_text import decode, toml_problem
from lib.domain.providers import OPENAI, Provider, make_provider, read_providers
from lib.domain.proxies import is_loopback, unsupported
from lib.settings.accepted import unquoted
from lib.settings.near_names import near_names
from lib.settings.table import FIELDS, Settings

SECRETS_FILE = Path(".streamlit/secrets.toml")


class SettingsError(Exception):
    """Invalid settings. `problems` holds one line each, name first, never a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FILE) -> Settings:
    """Return the settings that `environ` (default: the process's) and then `secrets` give. Raises `SettingsError`.

    Call it before Streamlit reads its secrets, because Streamlit writes them into the environment.
    """
    file_values, problems = _read_secrets(secrets)
    variables = dict(os.environ if environ is None else environ)
    problems += [_unknown(name) for name, text in variables.items() if _foreign(name) and not injected(name, text)]
    problems += [f"{_unknown(name)} (in {secrets})" for name in file_values if _foreign(name)]
    values, odd_values = _texts(file_values | {name: text for name, text in variables.items() if unquoted(text)})
    providers, provider_problems = _providers(file_values, variables)
    problems += odd_values + provider_problems
    try:
        settings = Settings.model_validate(values).with_providers(providers)
    except ValidationError as error:
        raise SettingsError(problems + [_problem(values, detail) for detail in error.errors()]) from None
    if unfit := _unfit(settings):
        raise SettingsError([*problems, unfit])
    if settings.database_file is None and settings.signing_key is None:
        problems.append("PARLEY_SIGNING_KEY: must be set with PostgreSQL, to the same value on every replica")
    if not all(is_loopback(urlsplit(url).hostname) for url in _servers(settings)):
        problems += unsupported(variables)
    if settings.access == "sign-in":
        problems += [f"PARLEY_ACCESS: sign-in needs {missing} in {secrets}" for missing in _missing_auth(file_values)]
    problems += _operators(settings, file_values.get("auth"))
    if problems:
        raise SettingsError(problems)
    return settings


def origins(
    from_files: Mapping[Path, list[str]], environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FILE
) -> dict[str, list[str]]:
    """Return the names of the settings by the place that gives them. `from_files`: names that were read from other
    files."""
    variables = os.environ if environ is None else environ
    files = {str(file): [name for name in names if name in FIELDS] for file, names in from_files.items()}
    in_files = {name for names in files.values() for name in names}
    in_environment = [name for name in FIELDS if name not in in_files and unquoted(variables.get(name, ""))]
    in_secrets = [
        name
        for name in FIELDS
        if name in _read_secrets(secrets)[0] and name not in in_files and name not in in_environment
    ]
    return {"the environment": in_environment} | files | ({str(secrets): in_secrets} if secrets.exists() else {})


def _read_secrets(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the file's top-level values, or one line that says why it cannot be read."""
    try:
        text = decode(file.read_bytes())
        return tomllib.loads(text), []
    except FileNotFoundError:
        return {}, []
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{file}: {toml_problem(text, error)}"]
    except OSError as error:
        return {}, [f"{file}: cannot be read: {error.strerror}"]
    except ValueError as error:
        return {}, [f"{file}: {error}"]


def _servers(settings: Settings) -> list[str]:
    """Return the address of every server that Parley asks with these settings."""
    statsig = settings.statsig_api_url or "https://statsigapi.net/v1" if settings.statsig_secret_key else None
    return [provider.base_url for provider in settings.providers] + ([statsig] if statsig else [])


def _missing_auth(file_values: Mapping[str, Any]) -> list[str]:
    """Return the names that Streamlit's sign-in needs and the file lacks, as the file would spell them.

    >>> _missing_auth({}), _missing_auth({"auth": {"redirect_uri": "…", "cookie_secret": "…"}})
    (['a table [auth]'], ['client_id in [auth]', 'client_secret in [auth]', 'server_metadata_url in [auth]'])
    """
    auth = file_values.get("auth")
    if not isinstance(auth, dict):
        return ["a table [auth]"]
    provider = ("client_id", "client_secret", "server_metadata_url")
    tables = {"[auth]": auth}
    if "client_id" not in auth:  # one provider, or several in tables of their own
        providers = {
            f"[auth.{name}]": table for name, table in auth.items() if isinstance(table, dict) and "client_id" in table
        }
        tables = providers or tables
    missing = [f"{key} in [auth]" for key in ("redirect_uri", "cookie_secret") if not auth.get(key)]
    return missing + [f"{key} in {title}" for title, table in tables.items() for key in provider if not table.get(key)]


def _operators(settings: Settings, auth: object) -> list[str]:
    """Return the problems of the operators' names. A claim other than the email identifies an account only together
    with its issuer."""
    if settings.operator_claim == "email":
        good = all(re.fullmatch(r"[^@\s]+@[^@\s]+", name) for name in settings.operators)
        return [] if good else ["PARLEY_OPERATORS: must be email addresses, comma-separated"]
    several = (
        isinstance(auth, dict) and sum(isinstance(table, dict) and "client_id" in table for table in auth.values()) > 1
    )
    if several and not all("@http" in name for name in settings.operators):
        return [
            "PARLEY_OPERATORS: with several providers each must be VALUE@ISSUER, such as a1b2@https://login.example"
        ]
    return []


def _foreign(name: str) -> bool:
    return name.upper().startswith("PARLEY_") and name not in FIELDS and not _PROVIDER.fullmatch(name)


_PROVIDER = re.compile("PARLEY_PROVIDER_([A-Za-z0-9](?:[A-Za-z0-9_-]{0,63}))_(URL|KEY)")
_PROVIDER_KEYS = {"URL": "base_url", "KEY": "api_key"}


def _providers(file_values: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[dict[str, Provider], list[str]]:
    """Return the providers of the file's tables and of the `PARLEY_PROVIDER_…` variables, which win, and the
    problems."""
    values_of, problems = _provider_variables({**file_values, **variables})
    tables = file_values.get("providers", {})
    table_names = {name.lower() for name in tables} if isinstance(tables, dict) else set()
    without_address = [name for name, values in values_of.items() if "base_url" not in values]
    for provider in [name for name in without_address if name not in table_names]:
        del values_of[provider]
        missing = f"PARLEY_PROVIDER_{provider.upper()}_URL"
        if missing not in {**file_values, **variables}:
            problems.append(f"{missing}: is missing, the address of that key's server")
    if "provider" in file_values:
        problems.append("[provider]: no such table; did you mean [providers.NAME]?")
    providers, table_problems = read_providers(tables, values_of)
    return providers, problems + table_problems


def _provider_variables(variables: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the values of the `PARLEY_PROVIDER_…` variables by provider, and the problems."""
    values_of: dict[str, dict[str, str]] = {}
    problems = []
    for name, text in variables.items():
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
            values_of.setdefault(provider, {})[key] = value
    return values_of, problems


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
    near = near_names(name, FIELDS)
    return f"{name}: no such setting" + (f"; did you mean {' or '.join(near)}?" if near else "")


def _texts(raw: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the settings of a file as the environment would spell them, without empty ones, and the problems."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name in FIELDS:
        match raw.get(name, ""):
            case str() | bool() | int() | float() as value:
                values[name] = unquoted(str(value).lower() if isinstance(value, bool) else str(value))
            case list() as items if all(isinstance(item, str) for item in items):
                values[name] = ",".join(items)
            case _:
                problems.append(f"{name}: must be one value, in quotes where it is a text")
    return {name: text for name, text in values.items() if text}, problems


def _problem(values: Mapping[str, str], detail: Any) -> str:
    name = str(detail["loc"][0])
    line = f"{name}: must be {detail['ctx']['error']}"
    return f"{line}, not {values[name][:60]!r}" if FIELDS[name].repr else line
