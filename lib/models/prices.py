"""Prices of answers and context windows of models: three tables, and the arithmetic on them.

The operator's own `.streamlit/prices.toml` wins over `prices.toml` beside this file (the models that Parley ships
with), and that over the package genai-prices, whose data are as old as the pinned version: nothing asks the network.
A model without a price has no cost, never a wrong one.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.domain.completion import Usage
from lib.domain.plain_text import decode
from lib.domain.providers import Provider

if TYPE_CHECKING:  # a fifth of a second of imports and 9 MB, loaded at the first price
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo
    from genai_prices.types import Provider as Vendor

FILE = Path(__file__).with_name("prices.toml")
OWN_FILE = Path(".streamlit/prices.toml")
AS_OF = "genai-prices 0.2.3, November 2026"
"""The age of the package's data."""

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_CLOSED = {"openai": r"gpt-(?!oss)|chatgpt-|o\d", "anthropic": r"claude-", "google": r"gemini-"}
"""Vendors whose models no other server offers: the beginnings of their names."""
_OPEN_WEIGHTS = re.compile(r"oss|\d+b\b|gguf|distill", re.IGNORECASE)


class PriceError(Exception):
    """An invalid table of prices. `problems`: one line each, with the file and the model."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one answer by price: `prompt` without those read from or written to the cache."""

    prompt: int
    cached: int
    written: int
    completion: int

    @classmethod
    def of(cls, usage: Usage) -> "Tokens | None":
        """Return the tokens of a usage; None where a count is unknown.

        >>> Tokens.of(Usage(100, 5, cached_tokens=70, cache_write_tokens=50))
        Tokens(prompt=0, cached=70, written=30, completion=5)
        """
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        written = min(usage.cache_write_tokens or 0, usage.prompt_tokens - cached)
        return cls(usage.prompt_tokens - cached - written, cached, written, usage.completion_tokens)

    @property
    def sent(self) -> int:
        """The tokens that were sent."""
        return self.prompt + self.cached + self.written


@dataclass(frozen=True, slots=True)
class Long:
    """The factors on the whole price of a request with more than `above` tokens."""

    above: int
    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class Price:
    """One row of our own table: US dollars per million tokens. `context` is the model's window in tokens."""

    prompt: float
    completion: float
    cached: float | None = None
    cache_write: float | None = None
    long: Long | None = None
    context: int | None = None

    def usd(self, tokens: Tokens) -> float:
        """Return the cost of these tokens.

        >>> Price(2, 8, cached=0.5, long=Long(100, 2, 1.5)).usd(Tokens(600_000, 400_000, 0, 500_000))
        8.8
        """
        cached = self.prompt if self.cached is None else self.cached
        written = self.prompt if self.cache_write is None else self.cache_write
        sent = tokens.prompt * self.prompt + tokens.cached * cached + tokens.written * written
        received = tokens.completion * self.completion
        if self.long and tokens.sent > self.long.above:
            sent, received = sent * self.long.prompt, received * self.long.completion
        return (sent + received) / 1_000_000


class Listed:
    """A model's price in the package genai-prices."""

    def __init__(self, vendor: "Vendor", model: "ModelInfo") -> None:
        self._vendor, self._model = vendor, model

    @property
    def context(self) -> int | None:
        """The model's window in tokens, where the package knows it."""
        return self._model.context_window

    def usd(self, tokens: Tokens) -> float:
        """Return the cost of these tokens."""
        from genai_prices import Usage as Counted

        counted = Counted(
            input_tokens=tokens.sent,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.written,
            output_tokens=tokens.completion,
        )
        return float(self._model.calc_price(counted, self._vendor).total_price)


class Prices:
    """All prices. `own` are the operator's, by model or by `provider/model`."""

    def __init__(self, own: Mapping[str, Price], shipped: Mapping[str, Price]) -> None:
        self.own, self._shipped = own, shipped

    @classmethod
    def load(cls, own: Path = OWN_FILE, shipped: Path = FILE) -> "Prices":
        """Return the prices of both files; the operator's need not exist. Raises PriceError."""
        return cls(_read(own) if own.exists() else {}, _read(shipped))

    def of(self, provider: Provider, asked: str, served: str | None = None) -> Price | Listed | None:
        """Return the price of the model that was `asked` for, by the name under which it was `served` if that has one.

        A local server's `llama3` has no price because a hosted one has. So at an address that the package does not
        know, only models that no other vendor can serve have a listed price.
        """
        names = [name for name in (served, asked) if name]
        for key in (*(f"{provider.name}/{name}" for name in names), *names):
            if key in self.own:
                return self.own[key]
        vendor = _vendor(provider.priced_as or provider.base_url)
        if vendor is None and _closed(asked) is None:
            return None
        return next((price for name in names if (price := self._listed(vendor, name))), None)

    def cost_usd(self, provider: Provider, asked: str, served: str | None, usage: Usage) -> float | None:
        """Return the cost of an answer; None where the price or the tokens are unknown.

        The demo model answers under the names of real models: its cost is what theirs would have been.
        """
        tokens = Tokens.of(usage)
        price = self.of(provider, asked, served) if tokens else None
        return price.usd(tokens) if price and tokens else None

    def _listed(self, vendor: "Vendor | None", name: str) -> Price | Listed | None:
        bare = name.rpartition("/")[2]
        if shipped := self._shipped.get(bare) or self._shipped.get(_SNAPSHOT.sub("", bare)):
            return shipped
        if vendor is None:
            closed = _closed(name)
            vendor, name = (_vendor_named(closed) if closed else None), bare
        model = vendor.find_model(name, all_providers=_data().providers) if vendor else None
        return Listed(vendor, model) if vendor and model else None


def prepare() -> None:
    """Read the package's data, which takes a fifth of a second the first time."""
    _data()


@functools.cache
def _data() -> "DataSnapshot":
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


@functools.lru_cache(maxsize=64)
def _vendor(address: str) -> "Vendor | None":
    """Return the vendor at this address, according to the package."""
    try:
        return _data().find_provider(None, None, address)
    except LookupError:
        return None


@functools.cache
def _vendor_named(name: str) -> "Vendor | None":
    return next((vendor for vendor in _data().providers if vendor.id == name), None)


def _closed(model: str) -> str | None:
    """Return the vendor of a model that no other server offers; gateways prefix the name."""
    bare = model.rpartition("/")[2].lower()
    if _OPEN_WEIGHTS.search(bare):
        return None
    return next((vendor for vendor, begins in _CLOSED.items() if re.match(begins, bare)), None)


_LONG = {"above", "prompt", "completion"}
_NUMBERS = ("prompt", "completion", "cached", "cache_write")


def _read(file: Path) -> dict[str, Price]:
    try:
        tables = tomllib.loads(decode(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise PriceError([f"{file}: {error}"]) from None
    tables.pop("as_of", None)  # older tables began with their date
    problems = [f"{file}: [{model!r}] {problem}" for model, row in tables.items() for problem in _problems(row)]
    if problems:
        raise PriceError(problems)
    return {model: _price(row) for model, row in tables.items()}


def _price(row: dict[str, Any]) -> Price:
    long = row.pop("long", None)
    return Price(**row, long=Long(**long) if long else None)


def _problems(row: Any) -> Iterator[str]:
    if not isinstance(row, dict):
        yield "must be a table of prices, one for each model"
        return
    known = (*_NUMBERS, "context", "long")
    for name in row:
        if name not in known:
            yield f"unknown key {name}; known are {', '.join(known)}"
    for name in ("prompt", "completion"):
        if name not in row:
            yield f"{name} is missing: US dollars per million tokens"
    for name in _NUMBERS:
        if name in row and not _amount(row[name]):
            yield f"{name} must be a number from 0"
    if "context" in row and not (type(row["context"]) is int and row["context"] > 0):
        yield "context must be a whole number of tokens"
    long = row.get("long")
    if long is not None and not (isinstance(long, dict) and set(long) == _LONG and all(map(_amount, long.values()))):
        yield "long needs three numbers: above (tokens sent), prompt and completion (times the price)"


def _amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")
