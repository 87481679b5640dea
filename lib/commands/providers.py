"""The part of `check` about providers: their answers, the experiment's models, shutdown dates, prices.

Requests only each provider's list of models, so it pays for no answer.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from urllib.parse import urlsplit

from lib import demo
from lib.access.crowd import QUESTIONS
from lib.app import providers_of
from lib.chat.standings import GroupModel, group_models
from lib.commands.finding import Finding, Verdict
from lib.domain.providers import Provider, setting_of
from lib.experiments.evaluator import Definition
from lib.models.catalogue import Catalogue, State
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from lib.models.prices import AS_OF, OWN_FILE, PriceError, Prices
from lib.models.providers import Asking, Providers
from lib.settings import Settings

_VERDICTS: Mapping[State, Verdict] = {"missing": "NO", "gone": "NO", "ending": "warn"}


def provider_findings(settings: Settings, definition: Definition | None) -> Iterator[Finding]:
    """Yield the findings about every provider, then about every model of this experiment."""
    try:
        prices = Prices.load()
    except PriceError as error:
        yield from (Finding("prices", "NO", problem) for problem in error.problems)
        return
    with demo.serve() if settings.demo else nullcontext(None) as demo_url:
        asked = providers_of(settings, demo_url)
        models = Providers(asked, Asking(settings.model, settings.history_tokens), prices)
        catalogues = asyncio.run(_catalogues(models))
        served = _served(models, definition)
        for provider in asked:
            yield _provider(settings, provider, catalogues[provider.name])
        yield from _lines(group_models(models, served), catalogues)
    yield from _prices(settings, models, served.values())
    if settings.access == "open" and not settings.demo:
        yield _hostile(settings, models, served.values())


async def _catalogues(models: Providers) -> Mapping[str, Catalogue]:
    try:
        return await models.look()
    finally:
        await models.aclose()


def _served(models: Providers, definition: Definition | None) -> dict[str | None, Parameters]:
    """Return the parameters of each group, and under None those of units outside the experiment."""
    default = definition.default if definition else {}
    groups = definition.groups if definition else ()
    return {None: models.check({}, default)} | {group.name: models.check(group.parameters, default) for group in groups}


def _hostile(settings: Settings, models: Providers, served: Iterable[Parameters]) -> Finding:
    """Return the cost that abuse of an open link can reach."""
    if settings.budget_usd_per_day is not None:
        return Finding("visitors", "ok", f"everyone may chat; the budget is ${settings.budget_usd_per_day:g} a day")
    longest = [("x" * 4 * settings.max_prompt_chars, None)]
    costs = [cost for each in served if (cost := models.most_usd(models.call(longest, each, {}))) is not None]
    if not costs:
        what = "the cost of a day is unknown, because no model has a price"
    else:
        one, everybody = (24 * hourly * max(costs) for hourly in (QUESTIONS.an_hour, QUESTIONS.an_hour_of_all))
        what = f"one abusive network can cost up to ${one:,.0f} a day, all networks together up to ${everybody:,.0f}"
    advice = "set PARLEY_BUDGET_USD_PER_DAY, or restrict who may chat with PARLEY_ACCESS"
    return Finding("visitors", "warn", f"everyone may chat and there is no budget in US dollars: {what}; {advice}")


def _provider(settings: Settings, provider: Provider, catalogue: Catalogue) -> Finding:
    name = f"{provider.name} ({without_password(provider.base_url)})"
    if settings.demo:
        name = "the built-in demo model"
    if catalogue.unlisted:
        status = catalogue.fault.status if catalogue.fault else None
        return Finding(
            "model",
            "warn",
            f"{name}: its models cannot be listed (HTTP {status}), which need not matter; if "
            "questions fail, too: is the address whole? It usually ends in /v1",
        )
    if catalogue.fault:
        return Finding("model", "NO", f"{name}: {catalogue.fault}; {_advice(provider, catalogue.fault)}")
    if catalogue.caution:
        return Finding("model", "warn", f"{name} {catalogue.caution}")
    if not catalogue.complete:
        return Finding("model", "ok", f"{name} answers; it does not list the deployments that a group may name")
    more = " (set OPENAI_API_KEY, OPENAI_BASE_URL or a provider for another)" if settings.demo else ""
    return Finding("model", "ok", f"{name} answers{more}")


def _lines(groups: Iterable[GroupModel], catalogues: Mapping[str, Catalogue]) -> Iterator[Finding]:
    """Yield a line for each available model, and one for each group whose model needs a change."""
    there: dict[str, None] = {}
    for one in groups:
        standing = one.standing
        if verdict := _VERDICTS.get(standing.state):
            yield Finding("model", verdict, one.sentence())
        elif standing.state == "there":
            there[f"{standing.model} is there" + (f", at {standing.provider}" if len(catalogues) > 1 else "")] = None
    yield from (Finding("model", "ok", line) for line in there)


def _advice(provider: Provider, fault: Fault) -> str:
    key, address = setting_of(provider.name, "KEY"), setting_of(provider.name, "URL")
    if fault.status in (401, 403):
        return f"set {key} to a key that this server takes"
    if fault.kind == "Redirect":
        return f"set {address} to the address that it redirects to"
    if fault.kind == "NoAnswer":
        return f"is {address} the whole address? It usually ends in /v1"
    if fault.status is None:
        return f"does the server run, and is {address} its address?"
    return "try again later, or ask who runs the server"


def _prices(settings: Settings, models: Providers, served: Iterable[Parameters]) -> Iterator[Finding]:
    unpriced = list(dict.fromkeys(each.model for each in served if models.price(each) is None))
    if settings.budget_usd_per_day is not None and unpriced:
        yield Finding(
            "budget",
            "NO",
            f"PARLEY_BUDGET_USD_PER_DAY cannot be kept: {', '.join(unpriced)} has no price; add it to {OWN_FILE}",
        )
        return
    if settings.budget_usd_per_day is not None:
        yield Finding("budget", "ok", f"${settings.budget_usd_per_day:g} a day, and every model has a price")
    if unpriced:
        yield Finding("prices", "ok", f"{', '.join(unpriced)} has no price, so its cost is not known: see {OWN_FILE}")
    else:
        own = f"{OWN_FILE} adds {len(models.prices.own)}" if models.prices.own else f"your own go into {OWN_FILE}"
        yield Finding("prices", "ok", f"every model has one ({AS_OF}); {own}")


def without_password(url: str) -> str:
    """Return an address without its password.

    >>> without_password("postgresql+psycopg://u:p@db:5432/parley?password=p"), without_password("sqlite:///a.db")
    ('postgresql+psycopg://db:5432/parley', 'sqlite:///a.db')
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
