"""All providers by name, and the choice of one for each question.

Owns the default provider and model, the provider of a fallback, and the providers' lists of models, cached for some
minutes. Knows no experiment, only parameters.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from lib.domain.providers import Provider
from lib.models import prices as listed_prices
from lib.models.catalogue import Catalogue, Standing
from lib.models.completion import Models, Timeouts
from lib.models.parameters import Parameters, check_parameters
from lib.models.prices import Listed, Price, Prices
from lib.models.prompt import Exchange, history_tokens, trim
from lib.models.refusals import Options
from lib.models.stream import Stream

LOOK_EVERY_S = 300.0
"""Seconds for which a list of models is reused."""
LOOK_AGAIN_S = 30.0
"""Seconds for which a failure to read a list is reused."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The settings of every question: the `model` where a group names none, the budget for a question with its
    `history` in tokens (None: by model), and how long a server may take."""

    model: str
    history: int | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class Call:
    """One question ready to be asked: the request, and the parameters that answer where the model is unknown."""

    messages: list[dict[str, str]]
    parameters: Parameters
    fallback: Parameters


class Providers:
    """All providers of this process. The first one is asked where a group names none."""

    def __init__(self, providers: Sequence[Provider], asking: Asking, prices: Prices | None = None) -> None:
        self.prices = prices or Prices.load()
        self._models = {each.name: Models(each, asking.timeouts, prices=self.prices) for each in providers}
        self._model, self._history = asking.model, asking.history
        self._catalogues: dict[str, Catalogue] = {}
        self._looked_at = -LOOK_EVERY_S

    @property
    def names(self) -> list[str]:
        """The providers' names, the default one first."""
        return list(self._models)

    def check(self, raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> Parameters:
        """Return the parameters that a group was served as they can be sent; see `check_parameters`."""
        return check_parameters(raw, defaults, self._model, self.names)

    def fallback(self, defaults: Mapping[str, Any]) -> Parameters:
        """Return the parameters that answer where a group's model does not exist: the experiment's default."""
        return self.check({}, defaults)

    def call(self, turns: Sequence[Exchange], parameters: Parameters, defaults: Mapping[str, Any]) -> Call:
        """Return the call for the last of these turns, with as much of the earlier ones as the model has room for."""
        return Call(self._messages(turns, parameters), parameters, self.fallback(defaults))

    def _messages(self, turns: Sequence[Exchange], parameters: Parameters) -> list[dict[str, str]]:
        if len(turns) == 1:
            return trim(turns, parameters.system_prompt)
        budget = history_tokens(self._context(parameters), parameters.answer_tokens, self._history)
        return trim(turns, parameters.system_prompt, budget)

    def stream(self, call: Call) -> Stream:
        """Return the stream of an answer; where the model does not exist, the fallback answers at its own provider."""
        at, fallback = self._models[call.parameters.provider], call.fallback
        return at.stream(call.messages, call.parameters, fallback.model, self._models[fallback.provider])

    def accepted(self, parameters: Parameters) -> Options:
        """Return the options that the model accepts, as far as it has refused some in this process."""
        return self._models[parameters.provider].accepted(parameters)

    def most_usd(self, call: Call) -> float | None:
        """Return the most that an answer can cost; None where neither its model nor the fallback has a price.

        The fallback gets the same options where the model does not exist, and may be the more expensive one.
        """
        fallback = replace(call.parameters, model=call.fallback.model, provider=call.fallback.provider)
        candidates = {(each.provider, each.model): each for each in (call.parameters, fallback)}.values()
        costs = [self._models[each.provider].most_usd(call.messages, each) for each in candidates]
        return max((cost for cost in costs if cost is not None), default=None)

    def price(self, parameters: Parameters) -> Price | Listed | None:
        """Return the price of a group's model at its provider."""
        return self.prices.of(self._models[parameters.provider].provider, parameters.model)

    def prepare(self) -> None:
        """Import and read what the first answer would otherwise wait for."""
        for each in self._models.values():
            each.prepare()
        listed_prices.prepare()

    async def look(self) -> dict[str, Catalogue]:
        """Read every provider's list of models, unless that was done a few minutes ago."""
        if self.outdated:
            self._looked_at = time.monotonic()
            read = await asyncio.gather(*(each.catalogue() for each in self._models.values()))
            self._catalogues = dict(zip(self._models, read, strict=True))
        return self._catalogues

    @property
    def looked(self) -> bool:
        """True where the lists of models were read at least once."""
        return bool(self._catalogues)

    @property
    def outdated(self) -> bool:
        """True where the lists of models are not read yet, or too long ago."""
        failed = any(each.fault and not each.unlisted for each in self._catalogues.values())
        return time.monotonic() - self._looked_at >= (LOOK_AGAIN_S if failed else LOOK_EVERY_S)

    def standing(self, parameters: Parameters, today: date | None = None) -> Standing:
        """Return the state of a group's model by the lists that were read last, else by earlier questions. Sends no
        request."""
        provider, model = parameters.provider, parameters.model
        catalogue = self._catalogues.get(provider, Catalogue(provider, complete=False))
        listed = catalogue.standing(model, today or datetime.now(UTC).date())
        if listed.state == "unknown" and model in self._models[provider].missing:
            return Standing(provider, model, "missing")
        return listed

    async def aclose(self) -> None:
        """Close every connection; on the loop that used them."""
        for each in self._models.values():
            await each.aclose()

    def _context(self, parameters: Parameters) -> int | None:
        """Return the model's window: as its provider lists it, else as the prices do."""
        catalogue = self._catalogues.get(parameters.provider)
        entry = catalogue.find(parameters.model) if catalogue else None
        price = self.price(parameters)
        return (entry and entry.context) or (price.context if price else None)
