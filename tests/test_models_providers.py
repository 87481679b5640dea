"""Several named model servers: the one that is asked, its key, and its price."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lib.domain.completion import Completion
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.domain.providers import OPENAI_URL, Provider
from lib.models.prices import Prices
from lib.models.providers import Asking, Providers
from tests.support.openai_server import Server, answer, serve, status

NO_MODEL = status(404, {"message": "The model does not exist", "code": "model_not_found"})
NO_TOP_P = status(400, {"message": "Unsupported parameter: 'top_p'", "param": "top_p", "code": "unsupported_parameter"})


@pytest.fixture
def hosted() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def local() -> Iterator[Server]:
    with serve() as server:
        server.models = ["llama3.2:latest"]
        yield server


@pytest.fixture
def both(hosted: Server, local: Server) -> list[Provider]:
    return [
        Provider("openai", hosted.base_url, "sk-hosted-key"),
        Provider("local", local.base_url, "local-key-1", {"X-Team": "header-secret"}),
    ]


def run(
    providers: Providers, *questions: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> list[Completion]:
    """Ask one question for each of these sets of parameters, in order, and return the answers."""

    async def ask() -> list[Completion]:
        ended = []
        for raw in questions:
            parameters = providers.check(raw, defaults or {})
            stream = providers.stream(providers.call([("Why?", None)], parameters, defaults or {}))
            async for _ in stream:
                pass
            ended.append(stream.completion)
        await providers.aclose()
        return ended

    return asyncio.run(ask())


def test_a_group_is_answered_by_its_provider(both: list[Provider], hosted: Server, local: Server) -> None:
    hosted.script(answer("From the hosted one."))
    local.script(answer("From the local one."))
    first, second = run(
        Providers(both, Asking(CONTROL_MODEL)), {"model": CONTROL_MODEL}, {"model": "llama3.2", "provider": "local"}
    )
    assert (first.text, first.provider) == ("From the hosted one.", "openai")
    assert (second.text, second.provider) == ("From the local one.", "local")
    assert hosted.requests[0].headers["authorization"] == "Bearer sk-hosted-key"
    assert local.requests[0].headers["authorization"] == "Bearer local-key-1"
    assert local.requests[0].headers["x-team"] == "header-secret" and "x-team" not in hosted.requests[0].headers
    assert first.cost_usd is not None and second.cost_usd is None


def test_the_fallback_is_asked_at_its_own_provider(both: list[Provider], hosted: Server, local: Server) -> None:
    local.script(NO_MODEL)
    hosted.script(answer("From the default."))
    default = {"model": CONTROL_MODEL, "provider": "openai"}
    providers = Providers(both, Asking(TEST_MODEL))
    [completion] = run(providers, {"model": "gone", "provider": "local"}, defaults=default)
    assert (completion.text, completion.provider) == ("From the default.", "openai")
    assert hosted.requests[0].body["model"] == CONTROL_MODEL
    gone = providers.standing(providers.check({"model": "gone", "provider": "local"}, default))
    assert (gone.state, gone.provider) == ("missing", "local")


def test_the_more_expensive_of_a_model_and_its_fallback_is_reserved() -> None:
    providers = Providers([Provider("openai", OPENAI_URL, "sk-hosted-key"), Provider("local", "http://127.0.0.1:9/v1")],
                          Asking(CONTROL_MODEL))  # fmt: skip

    def most_usd(asked: str, fallback: str, provider: str = "openai") -> float | None:
        default = {"model": fallback, "provider": "openai"}
        sent = providers.check({"model": asked, "provider": provider, "max_tokens": 500}, default)
        return providers.most_usd(providers.call([("Why?", None)], sent, default))

    alone = [most_usd(model, model) or 0.0 for model in (CONTROL_MODEL, TEST_MODEL)]
    assert alone[0] != alone[1] and min(alone) > 0
    assert most_usd(CONTROL_MODEL, TEST_MODEL) == most_usd(TEST_MODEL, CONTROL_MODEL) == max(alone)
    assert most_usd("gone", TEST_MODEL, "local") == alone[1]


def test_the_same_model_at_another_provider_is_a_fallback(both: list[Provider], hosted: Server, local: Server) -> None:
    local.script(NO_MODEL)
    hosted.script(answer("Here."))
    providers = Providers(both, Asking(CONTROL_MODEL))
    [completion] = run(providers, {"model": CONTROL_MODEL, "provider": "local"})
    assert (completion.text, completion.provider) == ("Here.", "openai")


def test_a_failure_names_the_provider_that_was_asked_last(both: list[Provider], hosted: Server, local: Server) -> None:
    local.script(status(401, {"message": "Bad key local-key-1 in header-secret"}))
    [completion] = run(Providers(both, Asking(CONTROL_MODEL)), {"model": "llama3.2", "provider": "local"})
    assert (completion.finish_reason, completion.provider) == ("error", "local")
    assert "local-key-1" not in str(completion) and "header-secret" not in str(completion)


def test_what_a_model_refuses_at_one_provider_is_sent_at_the_other(
    both: list[Provider], hosted: Server, local: Server
) -> None:
    local.script(NO_TOP_P)
    same = {"model": "llama3.2", "top_p": 0.5}
    run(Providers(both, Asking(CONTROL_MODEL)), {**same, "provider": "local"}, {**same, "provider": "openai"})
    assert "top_p" not in local.requests[-1].body
    assert hosted.requests[-1].body["top_p"] == 0.5


@pytest.mark.parametrize("value", ["gone", 7, "", None])
def test_an_unknown_provider_falls_back_to_the_default_one(both: list[Provider], value: object) -> None:
    sent = Providers(both, Asking(CONTROL_MODEL)).check({"model": "m", "provider": value}, {})
    assert (sent.provider, sent.error) == ("openai", "provider")


def test_a_group_without_a_model_gets_the_defaults_at_its_provider(both: list[Provider]) -> None:
    sent = Providers(both, Asking(CONTROL_MODEL)).check({}, {"model": "llama3.2", "provider": "Local"})
    assert (sent.model, sent.provider, sent.error) == ("llama3.2", "local", None)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/openai/deployments/ours", "/openai/deployments/ours/chat/completions"),
        ("/openai/v1", "/openai/v1/chat/completions"),
    ],
)
def test_azure_is_asked_with_its_version_and_its_own_header(hosted: Server, address: str, path: str) -> None:
    base_url = hosted.base_url.removesuffix("/v1") + address
    azure = Provider("azure", base_url, "azure-key", api_version="2024-10-21")
    [completion] = run(Providers([azure], Asking("ours")), {})
    assert completion.finish_reason == "stop"
    asked = hosted.requests[0]
    assert asked.path == f"{path}?api-version=2024-10-21"
    assert asked.headers["api-key"] == "azure-key" and "authorization" not in asked.headers


# Lists of models


def look(providers: Providers) -> None:
    async def both() -> None:
        await providers.look()
        await providers.look()
        await providers.aclose()

    asyncio.run(both())


def test_lists_are_read_once_in_a_while(both: list[Provider], hosted: Server, local: Server) -> None:
    hosted.shutdowns[CONTROL_MODEL] = "2027-01-14"
    providers = Providers(both, Asking(CONTROL_MODEL))
    look(providers)
    assert (len(hosted.listings), len(local.listings), hosted.requests) == (1, 1, [])
    here = providers.check({}, {})
    states = [
        providers.standing(here, day).state for day in (date(2026, 11, 14), date(2026, 11, 15), date(2027, 1, 14))
    ]
    assert states == ["there", "ending", "gone"]
    assert providers.standing(providers.check({"model": "llama3.2", "provider": "local"}, {})).state == "there"
    lacks = providers.standing(providers.check({"model": "llama3.1", "provider": "local"}, {}))
    assert (lacks.state, lacks.near) == ("missing", ("llama3.2:latest",))


def test_a_server_that_does_not_answer_makes_no_model_missing(both: list[Provider]) -> None:
    away = Provider("local", "http://127.0.0.1:9/v1")
    providers = Providers([away], Asking("m"))
    look(providers)
    assert providers.standing(providers.check({}, {})).state == "unknown"


# The sent part of a conversation

LONG = [("word " * 200, "word " * 800)] * 60  # 1,250 tokens a turn


def turns_sent(providers: Providers, raw: Mapping[str, Any]) -> int:
    call = providers.call([*LONG, ("Why?", None)], providers.check(raw, {}), {})
    return len(call.messages) // 2


@pytest.mark.parametrize(
    ("raw", "turns"),
    [
        ({"model": CONTROL_MODEL}, 25),  # 32,000 of a million
        ({"model": "small"}, 2),  # 3,072 of 4,096
        ({"model": "small", "max_tokens": 2_000}, 1),
        ({"model": "llama3"}, 4),  # 6,000: its context is not known
    ],
)
def test_the_history_follows_the_models_context(raw: dict[str, Any], turns: int, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text("[small]\nprompt = 1\ncompletion = 1\ncontext = 4096\n")
    prices = Prices.load(own)
    assert turns_sent(Providers([Provider("openai", OPENAI_URL)], Asking("m"), prices), raw) == turns


def test_the_history_can_be_set(both: list[Provider]) -> None:
    assert turns_sent(Providers(both, Asking("m", history=12_600)), {"model": CONTROL_MODEL}) == 10
    assert turns_sent(Providers(both, Asking("m", history=12_600)), {"model": "llama3"}) == 10


def test_the_context_that_a_server_lists_counts(hosted: Server) -> None:
    hosted.contexts = {"llama3": 8_192}
    hosted.models.append("llama3")
    providers = Providers([Provider("vllm", hosted.base_url)], Asking("m"))
    look(providers)
    assert turns_sent(providers, {"model": "llama3"}) == 4  # 6,144
    assert turns_sent(providers, {"model": "unlisted"}) == 4
