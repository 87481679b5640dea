"""The cost of an answer, and the table that decides it."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from genai_prices import Usage as Counted
from genai_prices import calc_price

from lib.domain.completion import Usage
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.domain.providers import OPENAI_URL, Provider
from lib.models import prices
from lib.models.prices import AS_OF, Price, PriceError, Prices

ROOT = Path(__file__).parents[1]
NONE = Path("no-such-prices.toml")
TABLE = Prices.load(NONE)
OPENAI = Provider("openai", OPENAI_URL)
GATEWAY = Provider("openai", "http://127.0.0.1:4000/v1")
AZURE = Provider("azure", "https://x.openai.azure.com/openai/deployments/ours", api_version="2024-10-21")
ANTHROPIC = Provider("claude", "https://api.anthropic.com/v1")
GEMINI = Provider("gemini", "https://generativelanguage.googleapis.com/v1beta/openai")
OPENROUTER = Provider("router", "https://openrouter.ai/api/v1")
LOCAL = Provider("local", "http://localhost:11434/v1")
MILLION = 1_000_000


def cost(provider: Provider, asked: str, usage: Usage, served: str | None = None) -> float | None:
    return TABLE.cost_usd(provider, asked, served, usage)


# The models that Parley ships with


@pytest.mark.parametrize("provider", [OPENAI, GATEWAY, AZURE, OPENROUTER], ids=lambda provider: provider.base_url)
@pytest.mark.parametrize(
    ("model", "prompt", "cached", "written", "completion"),
    [(CONTROL_MODEL, 0.10, 0.01, 0.125, 0.50), (TEST_MODEL, 2, 0.10, 2.50, 10)],
)
def test_every_kind_of_token_has_its_price(
    provider: Provider, model: str, prompt: float, cached: float, written: float, completion: float
) -> None:
    some = 200_000
    for name in (model, f"{model}-2026-09-22"):
        assert cost(provider, model, Usage(some, 0), name) == pytest.approx(prompt * some / MILLION)
        assert cost(provider, model, Usage(some, 0, cached_tokens=some), name) == pytest.approx(cached * some / MILLION)
        assert cost(provider, model, Usage(some, 0, cache_write_tokens=some), name) == pytest.approx(
            written * some / MILLION
        )
        assert cost(provider, model, Usage(0, some), name) == pytest.approx(completion * some / MILLION)


@pytest.mark.parametrize(("model", "prompt", "completion"), [(CONTROL_MODEL, 0.10, 0.50), (TEST_MODEL, 2, 10)])
def test_every_token_of_a_long_request_costs_more(model: str, prompt: float, completion: float) -> None:
    short, long = (cost(OPENAI, model, Usage(sent, 100_000)) for sent in (272_000, 272_001))
    assert short == pytest.approx((272_000 * prompt + 100_000 * completion) / MILLION)
    assert long == pytest.approx((272_001 * prompt * 2 + 100_000 * completion * 1.5) / MILLION)


def test_the_table_of_parley_and_the_packages_agree() -> None:
    ours = TABLE.cost_usd(OPENAI, CONTROL_MODEL, None, Usage(300_000, 5_000, cached_tokens=100_000))
    theirs = calc_price(Counted(input_tokens=300_000, cache_read_tokens=100_000, output_tokens=5_000), CONTROL_MODEL)
    assert ours == pytest.approx(float(theirs.total_price))


# Every other model


@pytest.mark.parametrize(
    ("provider", "model", "prompt", "cached", "completion"),
    [
        (ANTHROPIC, "claude-opus-5", 5, 0.5, 25),
        (ANTHROPIC, "claude-opus-4-5-20251101", 5, 0.5, 25),
        (ANTHROPIC, "claude-haiku-4-5", 1, 0.1, 5),
        (GATEWAY, "claude-sonnet-4-5", 3, 0.3, 15),
        (GATEWAY, "anthropic/claude-opus-4-5", 5, 0.5, 25),
        (GEMINI, "gemini-2.5-flash", 0.3, 0.03, 2.5),
        (GATEWAY, "gemini/gemini-2.5-flash", 0.3, 0.03, 2.5),
        (OPENAI, "gpt-4o-2024-08-06", 2.5, 1.25, 10),
    ],
)
def test_vendors_families_have_their_list_prices(
    provider: Provider, model: str, prompt: float, cached: float, completion: float
) -> None:
    some = 100_000
    assert cost(provider, model, Usage(some, 0)) == pytest.approx(prompt * some / MILLION)
    assert cost(provider, model, Usage(some, 0, cached_tokens=some)) == pytest.approx(cached * some / MILLION)
    assert cost(provider, model, Usage(0, some)) == pytest.approx(completion * some / MILLION)


@pytest.mark.parametrize("provider", [LOCAL, GATEWAY], ids=["local", "gateway"])
@pytest.mark.parametrize(
    "model",
    ["llama3.2", "llama-3.3-70b-versatile", "qwen2.5:7b", "mistral-large-2512", "deepseek-chat", "openai/gpt-oss-20b",
     "google/gemma-3-27b-it", "gpt-4-foo", "", "claude-3-opus-mistral-7b", "my-gpt-6-luna"],
)  # fmt: skip
def test_an_open_model_has_no_price_at_an_unknown_address(provider: Provider, model: str) -> None:
    assert cost(provider, model, Usage(1, 1)) is None


def test_the_same_model_has_a_price_where_its_vendor_is_known() -> None:
    groq = Provider("groq", "https://api.groq.com/openai/v1")
    assert cost(groq, "llama-3.3-70b-versatile", Usage(1, 1)) is not None
    assert cost(LOCAL, "llama-3.3-70b-versatile", Usage(1, 1)) is None


def test_a_local_model_is_not_priced_by_the_name_that_its_server_pretends() -> None:
    assert cost(LOCAL, "llama3", Usage(1, 1), served="gpt-4o") is None


def test_a_deployment_costs_what_its_model_costs() -> None:
    assert cost(AZURE, "ours", Usage(MILLION // 10, 0), served="gpt-4o-2024-08-06") == pytest.approx(0.25)


def test_unknown_tokens_have_no_cost() -> None:
    assert cost(OPENAI, CONTROL_MODEL, Usage()) is None
    assert cost(OPENAI, CONTROL_MODEL, Usage(completion_tokens=5)) is None


@pytest.mark.parametrize("model", [CONTROL_MODEL, TEST_MODEL])
def test_the_window_of_a_model_is_known(model: str) -> None:
    price, other = TABLE.of(OPENAI, model), TABLE.of(OPENAI, "gpt-4o")
    assert price is not None and price.context == 1_050_000
    assert other is not None and other.context == 128_000


# The operator's own table


def test_an_operators_price_wins(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        f'["my/model:7b"]\nprompt = 1\ncompletion = 2\n["{TEST_MODEL}"]\nprompt = 7\ncompletion = 7\n'
        '["local/llama3"]\nprompt = 0\ncompletion = 0\n'
        '["big"]\nprompt = 1\ncompletion = 1\ncontext = 9000\nlong = { above = 10, prompt = 2, completion = 3 }\n'
    )
    table = Prices.load(file)
    assert table.of(GATEWAY, "my/model:7b") == Price(1, 2)
    assert table.of(OPENAI, TEST_MODEL) == Price(7, 7)
    assert table.cost_usd(LOCAL, "llama3", None, Usage(5, 5)) == 0
    assert table.of(GATEWAY, "llama3") is None
    assert table.cost_usd(LOCAL, "big", None, Usage(11, 1)) == pytest.approx(25 / MILLION)


@pytest.mark.parametrize(
    "text",
    [
        "[m]\nprompt = 1\n",
        "[m]\nprompt = 1\ncompletion = '2'\n",
        "[m]\nprompt = 1\ncompletion = -2\n",
        "[m]\nprompt = 1\ncompletion = nan\n",
        "[m]\nprompt = true\ncompletion = 2\n",
        "[m]\nprompt = 1\ncompletion = 2\ncashed = 1\n",
        "[m]\nprompt = 1\ncompletion = 2\ncontext = 0\n",
        "[m]\nprompt = 1\ncompletion = 2\nlong = { above = 1 }\n",
        "m = 3\n",
        "[m\n",
        "\xff",
    ],
)
def test_a_mistake_in_the_table_is_reported_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(PriceError, match=r"prices\.toml"):
        Prices.load(file)


def test_every_mistake_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("[a]\nprompt = 1\n[b]\ncompletion = 1\ncached = -1\n")
    with pytest.raises(PriceError) as caught:
        Prices.load(file)
    assert len(caught.value.problems) == 3


# The data


def test_the_documents_say_how_old_the_prices_are() -> None:
    version, month = AS_OF.removeprefix("genai-prices ").split(", ")
    assert importlib.metadata.version("genai-prices") == version
    manual = " ".join((ROOT / "docs" / "set-up.md").read_text(encoding="utf-8").split())
    assert f"genai-prices {version} (data of {month}" in manual


def test_parleys_own_table_holds_the_models_that_it_ships_with() -> None:
    assert set(tomllib.loads(prices.FILE.read_text(encoding="utf-8"))) == {CONTROL_MODEL, TEST_MODEL}


def test_prices_start_no_thread_and_are_read_late() -> None:
    code = (
        "import sys, threading; from lib.models import prices, providers; late = 'genai_prices' not in sys.modules\n"
        "prices.prepare(); print(late, 'genai_prices' in sys.modules, threading.active_count())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True", "1"]
