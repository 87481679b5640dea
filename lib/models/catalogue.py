"""A provider's list of models, read from `GET /models`: availability and shutdown dates.

Pure: takes JSON, returns values. Knows the ways in which servers differ from OpenAI here.
"""

import difflib
import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from lib.domain.models import LONGEST_NAME
from lib.domain.providers import Provider
from lib.domain.text import one_line
from lib.models.faults import Fault
from lib.models.other_apis import lists_as, remedy

WARN_BEFORE = timedelta(days=60)
"""The time before a shutdown at which warnings begin."""
MAX_LISTED = 10_000
"""Models of a list that are read."""
_CONTEXTS = ("max_model_len", "context_length", "max_context_length", "context_window")
"""The fields in which vLLM, OpenRouter, Mistral and LM Studio, and Groq report a model's context window."""

_NAME = re.compile(r"[\w.:/@+-]+")

State = Literal["there", "ending", "gone", "missing", "unknown"]
"""`ending`: to be shut down within 60 days; `gone`: that day has come; `unknown`: the provider gave no list, or an
incomplete one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a list. `context` is its window in tokens, `shutdown` the day of its shutdown."""

    id: str
    context: int | None = None
    shutdown: date | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one model at one provider. `near` are the listed names most like a missing one; `fault` is the
    reason for a missing list, where answers are likely to fail for it, too."""

    provider: str
    model: str
    state: State
    shutdown: date | None = None
    near: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def usable(self) -> bool:
        """False where a question for it will fail."""
        return self.state not in ("gone", "missing")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models of one provider. `fault` is the reason for a missing list; `complete` is False where unlisted models
    may be served. `caution` is an operator's sentence about an address that seems to be that of another API."""

    provider: str
    entries: tuple[Entry, ...] = ()
    fault: Fault | None = None
    complete: bool = True
    caution: str | None = None

    @property
    def unlisted(self) -> bool:
        """True where the server answers but has no list of models, which is not a failure."""
        return self.fault is not None and self.fault.status in (404, 405, 501)

    def find(self, model: str) -> Entry | None:
        """Return the entry of a model: under its own name, or as Ollama lists it (`:latest`), or under a gateway's
        wildcard (`openai/*`)."""
        names = {model, f"{model}:latest", model.removesuffix(":latest")}
        exact = next((entry for entry in self.entries if entry.id in names), None)
        return exact or next((e for e in self.entries if "*" in e.id and fnmatch.fnmatchcase(model, e.id)), None)

    def standing(self, model: str, today: date) -> Standing:
        """Return the state of a model on this day."""
        entry = self.find(model)
        if entry is None:
            if self.fault or not self.complete:
                failed = self.fault if self.fault and not self.unlisted else None
                return Standing(self.provider, model, "unknown", fault=str(failed) if failed else None)
            return Standing(self.provider, model, "missing", near=self._near(model, today))
        if entry.shutdown is None or _stays(entry, today):
            return Standing(self.provider, model, "there", entry.shutdown)
        if entry.shutdown > today:
            return Standing(self.provider, model, "ending", entry.shutdown)
        return Standing(self.provider, model, "gone", entry.shutdown, self._near(model, today))

    def _near(self, model: str, today: date) -> tuple[str, ...]:
        """Return the listed names most like this one, without models that are about to be shut down.

        They are suggestions on pages and in messages, so a name must look like one.
        """
        names = [
            entry.id
            for entry in self.entries
            if entry.id != model and _stays(entry, today) and _NAME.fullmatch(entry.id)
        ]
        close = difflib.get_close_matches(model, names, n=3, cutoff=0.4)
        return tuple(dict.fromkeys([*close, *names]))[:3]


def read_catalogue(provider: Provider, body: object) -> Catalogue:
    """Return the models in the body of `GET /models`: OpenAI's object, or a list as Together sends it. Raises Fault.

    >>> local = Provider("local", "http://127.0.0.1:1/v1")
    >>> catalogue = read_catalogue(local, {"data": [{"id": "a", "shutdown_date": "2026-12-11"}, {"id": "models/b"}]})
    >>> [(entry.id, str(entry.shutdown)) for entry in catalogue.entries]
    [('a', '2026-12-11'), ('b', 'None')]
    >>> catalogue.standing("a", date(2026, 11, 27)).state, catalogue.standing("aa", date(2026, 11, 27)).near
    ('ending', ('b',))
    """
    rows = body.get("data", body.get("models")) if isinstance(body, Mapping) else body
    if not isinstance(rows, list):
        raise Fault("NoAnswer", note="JSON without a list of models came back")
    entries = [entry for row in rows[:MAX_LISTED] if (entry := _entry(row))]
    api = lists_as(body)
    caution = f"lists its models as {api} does; {remedy(api, provider)}" if api else None
    return Catalogue(provider.name, tuple(entries), complete=not _lists_no_deployments(provider), caution=caution)


def _entry(row: object) -> Entry | None:
    if not isinstance(row, Mapping):
        return None
    name = row.get("id", row.get("name"))
    if not isinstance(name, str) or not (name := one_line(name, LONGEST_NAME)):
        return None
    context = next((size for key in _CONTEXTS if type(size := row.get(key)) is int and size > 0), None)
    return Entry(name.removeprefix("models/"), context, _day(row.get("shutdown_date")))  # `models/` is Gemini's


def _day(value: Any) -> date | None:
    """
    >>> _day("2026-12-11"), _day("2026-12-11T00:00:00Z"), _day(None), _day("soon")
    (datetime.date(2026, 12, 11), datetime.date(2026, 12, 11), None, None)
    """
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _stays(entry: Entry, today: date) -> bool:
    return entry.shutdown is None or entry.shutdown - today > WARN_BEFORE


def _lists_no_deployments(provider: Provider) -> bool:
    """Return True for Azure, which lists models that could be deployed, while a request names a deployment."""
    host = urlsplit(provider.base_url).hostname or ""
    return host.endswith((".azure.com", ".azure.us", ".azure.cn")) or "/openai/deployments/" in provider.base_url
