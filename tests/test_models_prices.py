"""What an answer costs."""

import datetime
from pathlib import Path

import pytest

from lib.domain.completion import Usage
from lib.models.prices import Price, PriceError, Prices

TABLE = Prices.load()


def test_the_table_that_comes_along_says_its_date() -> None:
    assert datetime.date.fromisoformat(TABLE.as_of) <= datetime.datetime.now(tz=datetime.UTC).date()


@pytest.mark.parametrize(
    "model", ["gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "o3", "gpt-5-mini"]
)
def test_well_known_models_have_a_price(model: str) -> None:
    price = TABLE.of(model)
    assert price is not None and 0 < price.cached <= price.prompt < price.completion


def test_a_dated_snapshot_costs_what_its_name_costs() -> None:
    assert TABLE.of("gpt-4o-2024-08-06") == TABLE.of("gpt-4o")
    assert TABLE.of("gpt-4-0613") == TABLE.of("gpt-4") == Price(30, 30, 60)
    assert TABLE.of("gpt-4.1-mini-2025-04-14") == TABLE.of("gpt-4.1-mini")


def test_unless_it_has_a_price_of_its_own() -> None:
    assert TABLE.of("gpt-4o-2024-05-13") == Price(5, 5, 15)
    assert TABLE.of("gpt-3.5-turbo-1106") != TABLE.of("gpt-3.5-turbo")


@pytest.mark.parametrize(
    "model", ["", "llama3", "gpt-4-vision", "gpt-4o-audio-preview", "ft:gpt-4o-mini:us::x", "gpt-4-06131"]
)
def test_unknown_models_have_none(model: str) -> None:
    assert TABLE.of(model) is None
    assert TABLE.cost_usd(model, Usage(1, 1, 2, source="server")) is None


def test_cached_tokens_have_their_own_price() -> None:
    assert TABLE.cost_usd("gpt-4o", Usage(1_000_000, 0)) == 2.5
    assert TABLE.cost_usd("gpt-4o", Usage(1_000_000, 0, cached_tokens=1_000_000)) == 1.25
    assert TABLE.cost_usd("gpt-4o", Usage(1_000_000, 0, cached_tokens=9_000_000)) == 1.25
    assert TABLE.cost_usd("gpt-4o", Usage(0, 1_000_000)) == 10


def test_unknown_tokens_have_no_cost() -> None:
    assert TABLE.cost_usd("gpt-4o", Usage()) is None
    assert TABLE.cost_usd("gpt-4o", Usage(completion_tokens=5)) is None


def test_an_operators_own_model_is_a_few_lines(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('as_of = 2030-01-01\n["my/model:7b"]\nprompt = 1\ncompletion = 2\n')
    assert Prices.load(file).of("my/model:7b") == Price(1, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "[m]\nprompt = 1\n",
        "[m]\nprompt = 1\ncompletion = '2'\n",
        "[m]\nprompt = 1\ncompletion = -2\n",
        "[m]\nprompt = 1\ncompletion = nan\n",
        "[m]\nprompt = true\ncompletion = 2\n",
        "[m]\nprompt = 1\ncompletion = 2\ncashed = 1\n",
        "m = 3\n",
        "[m\n",
        "\xff",
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(PriceError, match=r"prices\.toml"):
        Prices.load(file)


def test_a_table_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(PriceError):
        Prices.load(tmp_path / "none.toml")
