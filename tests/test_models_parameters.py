"""The accepted parameters of an experiment, and the treatment of bad values."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.models.parameters import Parameters, check_parameters

GOOD: dict[str, Any] = {
    "model": "other-model",
    "system_prompt": "Be brief.",
    "temperature": 0.7,
    "top_p": 1,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "max_tokens": 500,
    "max_completion_tokens": 700,
    "seed": -7,
    "stop": ["END", "STOP"],
    "reasoning_effort": "low",
    "verbosity": "high",
}
BAD: list[tuple[str, Any]] = [
    *[("temperature", value) for value in (-0.1, 2.1, True, "0.5", math.nan, math.inf, None, [1], dict[str, Any]())],
    *[("top_p", value) for value in (-0.1, 1.01, False, "1", math.nan, None)],
    *[("presence_penalty", value) for value in (-2.1, 2.1, True, "0", None)],
    *[("frequency_penalty", value) for value in (-2.1, 2.1, True, "0", None)],
    *[("max_tokens", value) for value in (0, -1, 1.5, True, "100", math.nan, math.inf, 1e300, None)],
    *[("max_completion_tokens", value) for value in (0, -1, 1.5, True, "100", math.nan, None)],
    *[("verbosity", value) for value in ("", "LOW", "minimal", 1, None, ["low"])],
    *[("seed", value) for value in (0.5, True, "1", 2**63, 1e300, -math.inf, None)],
    *[("stop", value) for value in ("", [], ["a"] * 5, ["a", ""], ["a", 1], 3, None, {"a": 1}, "\x00")],
    *[("reasoning_effort", value) for value in ("", "LOW", "extreme", 1, None, ["low"])],
    *[("model", value) for value in ("", "  ", None, 4, ["large-model"], "a\x00b", "a\nb", "\ud800", "x" * 129)],
    *[("system_prompt", value) for value in (None, 1, ["Be brief."], True)],
]


def test_all_that_the_contract_names_is_sent_as_it_is() -> None:
    checked = check_parameters(GOOD, {}, "large-model")
    options = {name: value for name, value in GOOD.items() if name not in ("model", "system_prompt")}
    assert checked == Parameters("other-model", "Be brief.", options, None)


def test_whole_numbers_may_come_as_floats() -> None:
    options = check_parameters({"max_tokens": 3.0, "seed": 7.0}, {}, "m").options
    assert json.dumps(options) == '{"max_tokens": 3, "seed": 7}'


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_replaced_by_the_experiments_default(name: str, value: Any) -> None:
    checked = check_parameters({name: value}, GOOD, "large-model")
    sent = {"model": checked.model, "system_prompt": checked.system_prompt, **checked.options}
    assert sent[name] == GOOD[name]
    assert checked.error == name


@pytest.mark.parametrize(("name", "value"), BAD)
def test_it_is_not_sent_where_the_default_is_bad_too(name: str, value: Any) -> None:
    for defaults in ({}, {name: value}):
        assert check_parameters({name: value}, defaults, "large-model") == Parameters("large-model", error=name)


def test_an_unknown_name_is_reported_and_not_sent() -> None:
    assert check_parameters({"top_k": 5, "Temperature": 1}, {}, "m") == Parameters("m", error="Temperature,top_k")


def test_the_model_comes_from_the_group_else_the_default_else_the_setting() -> None:
    assert check_parameters({"model": "a"}, {"model": "b"}, "c").model == "a"
    assert check_parameters({}, {"model": "b"}, "c").model == "b"
    assert check_parameters({}, {}, "c").model == "c"
    assert check_parameters({"model": ""}, {"model": "b"}, "c") == Parameters("b", error="model")
    assert check_parameters({}, {"model": ""}, "c").model == "c"


def test_other_defaults_stand_in_for_nothing_that_was_left_out() -> None:
    assert check_parameters({}, {"temperature": 1, "system_prompt": "x"}, "m") == Parameters("m")


def test_an_empty_system_prompt_is_left_out_without_an_error() -> None:
    for empty in ("", " \n", "\x00"):
        assert check_parameters({"system_prompt": empty}, {"system_prompt": "x"}, "m") == Parameters("m")


def test_unsafe_text_is_cleaned() -> None:
    checked = check_parameters({"system_prompt": "a\x00\ud800b", "stop": "E\x00ND"}, {}, "m")
    assert (checked.system_prompt, checked.options) == ("a\ufffdb", {"stop": "END"})


def test_the_error_fits_into_an_event() -> None:
    error = check_parameters({f"unknown_{n}\ud800": n for n in range(50)}, {}, "m").error
    assert error is not None and len(error) == 64 and error.encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
some = st.dictionaries(st.sampled_from(list(GOOD)) | st.text(), anything)


@given(raw=some, defaults=some)
def test_any_served_parameters_become_json_that_a_server_can_read(raw: Any, defaults: Any) -> None:
    checked = check_parameters(raw, defaults, "large-model")
    assert checked.model.strip()
    assert json.dumps(
        [checked.model, checked.system_prompt, checked.options], allow_nan=False, ensure_ascii=False
    ).encode()
    assert check_parameters(checked.options, {}, checked.model).options == checked.options
