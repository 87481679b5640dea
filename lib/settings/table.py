"""Every setting: its name, its default, its accepted values, and what follows from several of them."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lib.domain.database_url import DatabaseUrl, parse_database_url
from lib.domain.models import CONTROL_MODEL
from lib.domain.providers import OPENAI, OPENAI_URL, Provider, make_provider
from lib.settings import accepted


def _setting(name: str, default: Any = None, *, shown: bool = True) -> Any:
    """Return a row of the table. Values that are not `shown` may hold a password: no message and no `repr` has them."""
    return Field(default, alias=name, repr=shown)


class Settings(BaseSettings):
    """The operator's settings. A field has the name of its setting, in lower case and without `PARLEY_`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)

    openai_api_key: accepted.Key | None = _setting("OPENAI_API_KEY", shown=False)
    openai_base_url: accepted.ModelUrl | None = _setting("OPENAI_BASE_URL", shown=False)
    statsig_secret_key: accepted.StatsigKey | None = _setting("STATSIG_SECRET_KEY", shown=False)
    statsig_api_url: accepted.Url | None = _setting("STATSIG_API_URL", shown=False)
    statsig_tier: accepted.Tier = _setting("STATSIG_TIER", "development")
    database_url: accepted.DatabaseUrl = _setting("DATABASE_URL", "sqlite:///data/parley.db", shown=False)
    experiment: accepted.Experiment = _setting("PARLEY_EXPERIMENT", "statsig_openai_integration")
    experiments_file: accepted.File = _setting("PARLEY_EXPERIMENTS_FILE", Path(".streamlit/experiments.toml"))
    model: accepted.Model = _setting("PARLEY_MODEL", CONTROL_MODEL)
    first_token_s: accepted.Seconds = _setting("PARLEY_FIRST_TOKEN_S", 60)
    history_tokens: accepted.Tokens | None = _setting("PARLEY_HISTORY_TOKENS")
    unit: accepted.Unit = _setting("PARLEY_UNIT", "visitor")
    blind: accepted.Flag = _setting("PARLEY_BLIND", True)
    access: accepted.Access = _setting("PARLEY_ACCESS", "open")
    operators: accepted.Operators = _setting("PARLEY_OPERATORS", ())
    operator_claim: accepted.Claim = _setting("PARLEY_OPERATOR_CLAIM", "email")
    operator_token: accepted.Token | None = _setting("PARLEY_OPERATOR_TOKEN", shown=False)
    signing_key: accepted.SigningKey | None = _setting("PARLEY_SIGNING_KEY", shown=False)
    public_url: accepted.PublicUrl = _setting("PARLEY_PUBLIC_URL", "http://localhost:8501", shown=False)
    title: accepted.Title = _setting("PARLEY_TITLE", "Parley")
    greeting: accepted.Greeting = _setting("PARLEY_GREETING", "What would you like to talk about?")
    suggestions: accepted.Suggestions = _setting("PARLEY_SUGGESTIONS", ())
    budget_usd_per_day: accepted.Amount | None = _setting("PARLEY_BUDGET_USD_PER_DAY")
    budget_answers_per_visitor: accepted.Count | None = _setting("PARLEY_BUDGET_ANSWERS_PER_VISITOR")
    abandoned: accepted.Abandoned | None = _setting("PARLEY_ABANDONED")
    max_prompt_chars: accepted.Length = _setting("PARLEY_MAX_PROMPT_CHARS", 8000)
    keep_text: accepted.Flag = _setting("PARLEY_KEEP_TEXT", True)
    retention_days: accepted.Days = _setting("PARLEY_RETENTION_DAYS", 90)
    consent: accepted.Notice | None = _setting("PARLEY_CONSENT")
    alerts: accepted.Receivers = _setting("PARLEY_ALERTS", (), shown=False)
    trusted_proxies: accepted.Proxies = _setting("PARLEY_TRUSTED_PROXIES", ())
    log: accepted.Log = _setting("PARLEY_LOG", "text")
    log_level: accepted.Level = _setting("PARLEY_LOG_LEVEL", "info")
    _further_providers: Mapping[str, Provider] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `reading` alone knows where a value comes from

    def with_providers(self, providers: Mapping[str, Provider]) -> "Settings":
        """Return these settings with the providers of variables and tables."""
        settings = self.model_copy()
        settings._further_providers = providers
        return settings

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
        table = self._further_providers.get(OPENAI)
        others = [provider for name, provider in self._further_providers.items() if name != OPENAI]
        if not (key or self.openai_base_url or table):
            return tuple(others)
        base = table or Provider(OPENAI, OPENAI_URL)
        if self.openai_base_url:
            moved = make_provider(OPENAI, self.openai_base_url, None, base.headers, base.api_version)
            base = replace(moved, api_key=base.api_key)
        return (replace(base, api_key=key or base.api_key), *others)

    @property
    def provider_names(self) -> list[str]:
        """The accepted values of a group's `provider`, the default first."""
        return [provider.name for provider in self.providers] or [OPENAI]

    @property
    def database(self) -> DatabaseUrl:
        """The database's address. Its text form omits user and password."""
        return parse_database_url(self.database_url)

    @property
    def database_file(self) -> Path | None:
        """The SQLite file; None with PostgreSQL."""
        return self.database.file

    def secrets(self) -> list[str]:
        """Return the texts of these settings that no log may show.

        Texts under four characters are left out, because removing them would garble every line.
        """
        keys = [self.openai_api_key, self.statsig_secret_key, self.operator_token, self.signing_key]
        texts = [key.get_secret_value() for key in keys if key]
        texts += [text for provider in self.providers for text in provider.secrets()]
        receivers = [receiver.get_secret_value().partition("://")[2] for receiver in self.alerts]
        texts += receivers + [part for address in receivers for part in re.split("[/:@?&=]", address) if len(part) > 7]
        passwords = [*self.database.secrets, unquote(urlsplit(self.statsig_api_url or "").password or "")]
        texts += passwords + [quote(password, "") for password in passwords]
        return sorted({text for text in texts if len(text) >= 4}, key=len, reverse=True)


FIELDS = {str(field.alias): field for field in Settings.model_fields.values()}
"""Every setting, by name."""
