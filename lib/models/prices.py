"""What an answer costs: `prices.toml`, and the arithmetic on it. Knows no network; unknown models have no cost."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.domain.completion import Usage

FILE = Path(__file__).with_name("prices.toml")
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")


class PriceError(Exception):
    """The price table cannot be read; the text says where it is wrong."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    prompt: float
    cached: float
    completion: float


class Prices:
    """A table of prices by model. `as_of` is the date at which they were right."""

    def __init__(self, models: Mapping[str, Price], as_of: str = "") -> None:
        self._models = models
        self.as_of = as_of

    @classmethod
    def load(cls, path: Path = FILE) -> "Prices":
        """The table in a file. Raises PriceError."""
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PriceError(f"{path.name}: {error}") from error
        as_of = tables.pop("as_of", "")
        return cls({model: _price(path.name, model, row) for model, row in tables.items()}, str(as_of))

    def of(self, model: str) -> Price | None:
        """The price of a model: its own, or for a dated snapshot that of its name without the date.

        >>> prices = Prices({"gpt-4": Price(30, 30, 60)})
        >>> [prices.of(name) is not None for name in ("gpt-4", "gpt-4-0613", "gpt-4-2024-05-13", "gpt-4-mini")]
        [True, True, True, False]
        """
        return self._models.get(model) or self._models.get(_SNAPSHOT.sub("", model))

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """What these tokens cost, cached ones at their own price; None where the price or the tokens are unknown.

        The demo model answers under the names of real models: its cost is what the real ones would have cost.

        >>> Prices({"m": Price(2, 0.5, 8)}).cost_usd("m", Usage(1_000_000, 500_000, cached_tokens=400_000))
        5.4
        """
        price = self.of(model)
        if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        prompt = (usage.prompt_tokens - cached) * price.prompt + cached * price.cached
        return (prompt + usage.completion_tokens * price.completion) / 1_000_000


def _price(file: str, model: str, row: Any) -> Price:
    fields: dict[str, Any] = row if isinstance(row, dict) else {}
    named = {"prompt", "completion"} <= set(fields) <= {"prompt", "cached", "completion"}
    if not named or not all(type(value) in (int, float) and 0 <= value < float("inf") for value in fields.values()):
        raise PriceError(f"{file}: [{model}] needs prompt and completion, may have cached: numbers, at least 0")
    return Price(fields["prompt"], fields.get("cached", fields["prompt"]), fields["completion"])
