"""The keys of `experiments.toml`, the messages about its mistakes, and the way through a config spec and back."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lib.experiments.definitions import Definition, DefinitionError, Effect, Group, read_definitions
from lib.experiments.served import derive
from lib.experiments.specs import compile_specs

FULL = """
[tone]
unit = "stableID"
allocation = 40
default = { model = "large-model" }
control = "Plain"
primary = "rating_rate"
guardrails = ["error_rate"]
mde.satisfaction = 0.05
mde.response_time = "12.5 %"
since = 2026-11-23
[tone.groups]
Friendly = { weight = 3, parameters = { system_prompt = "Be kind.", temperature = 0.2 } }
Plain = { weight = 1 }
"""
GROUPS = "[e.groups]\nA = { weight = 1 }\nB = { weight = 1 }\n"


def problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        read_definitions(text)
    return raised.value.problems


def test_a_table_is_read_whole() -> None:
    assert read_definitions(FULL) == {
        "tone": Definition(
            name="tone",
            groups=(
                Group("Friendly", 3, {"system_prompt": "Be kind.", "temperature": 0.2}),
                Group("Plain", 1, {}),
            ),
            control="Plain",
            unit="stableID",
            allocation=40.0,
            default={"model": "large-model"},
            primary="rating_rate",
            guardrails=("error_rate",),
            mde={"satisfaction": Effect(0.05), "response_time": Effect(0.125, relative=True)},
            since=date(2026, 11, 23),
        )
    }


def test_a_missing_key_has_the_documented_default() -> None:
    definition = read_definitions(GROUPS)["e"]
    assert (definition.control, definition.unit, definition.allocation) == ("A", "userID", 100.0)
    assert (definition.primary, definition.guardrails) == ("satisfaction", ("error_rate", "response_time"))
    assert (definition.mde, definition.since, definition.shares) == ({}, None, {"A": 0.5, "B": 0.5})


def test_the_file_that_comes_with_parley_is_sound() -> None:
    text = (Path(__file__).parent.parent / ".streamlit/experiments.toml").read_text(encoding="utf-8")
    assert read_definitions(text)["statsig_openai_integration"].control == "Control"


def test_an_empty_file_defines_nothing() -> None:
    assert read_definitions("# nothing yet\n") == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model = 3\n" + GROUPS, "line 1: [model]: expected a table"),
        (
            "[e]\ncompare = 5\n[e.groups]\nA = { weight = 1 }\ntie = { weight = 1 }",
            "line 5: [e] groups.tie: with compare",
        ),
        ("[e]\nalocation = 3\n" + GROUPS, "line 2: [e] alocation: unknown key; known are unit, allocation"),
        ("[e]\nunit = 'user'\n" + GROUPS, "line 2: [e] unit: no such unit: 'user'; known are userID, stableID"),
        ("[e]\nallocation = 101\n" + GROUPS, "line 2: [e] allocation: expected a percentage from 0 to 100, not 101"),
        ("[e]\nallocation = -1\n" + GROUPS, "line 2: [e] allocation: expected a percentage"),
        ("[e]\nallocation = true\n" + GROUPS, "line 2: [e] allocation: expected a percentage"),
        ("[e]\nallocation = nan\n" + GROUPS, "line 2: [e] allocation: expected a percentage"),
        ("[e]\ndefault = 'large-model'\n" + GROUPS, "line 2: [e] default: expected a table of parameters"),
        ("[e]\ncontrol = 'C'\n" + GROUPS, "line 2: [e] control: no such group: 'C'; known are A, B"),
        ("[e]\nprimary = 'clicks'\n" + GROUPS, "line 2: [e] primary: no such metric: 'clicks'; known are satisfaction"),
        ("[e]\nguardrails = ['clicks']\n" + GROUPS, "line 2: [e] guardrails: no such metric: 'clicks'"),
        ("[e]\nguardrails = 'error_rate'\n" + GROUPS, "line 2: [e] guardrails: expected a list of metrics"),
        ("[e]\nmde = 3\n" + GROUPS, "line 2: [e] mde: expected a table"),
        ("[e]\nmde.clicks = 3\n" + GROUPS, "line 2: [e] mde.clicks: no such metric: 'clicks'"),
        ("[e]\nmde.satisfaction = 0\n" + GROUPS, "line 2: [e] mde.satisfaction: expected a number above 0 or a share"),
        ("[e]\nmde.satisfaction = 'ten'\n" + GROUPS, "line 2: [e] mde.satisfaction: expected a number above 0"),
        ("[e]\nsince = 'soon'\n" + GROUPS, "line 2: [e] since: expected a date such as 2026-11-23, not 'soon'"),
        ("[e]\nsince = 2026-11-23T10:00:00\n" + GROUPS, "line 2: [e] since: expected a date such as 2026-11-23"),
        ("[e]\nunit = 'userID'\n", "line 1: [e] groups: there are no groups"),
        ("[e]\n[e.groups]\n", "line 2: [e] groups: there are no groups"),
        ("[e.groups]\nA = 50\n", "line 2: [e] groups.A: expected a table with a weight and parameters"),
        ("[e.groups]\nA = { parameters = {} }\n", "line 2: [e] groups.A.weight: is missing"),
        ("[e.groups]\nA = { weight = 0 }\n", "line 2: [e] groups.A.weight: expected a number above 0, not 0"),
        ("[e.groups]\nA = { weight = '1' }\n", "line 2: [e] groups.A.weight: expected a number above 0, not '1'"),
        ("[e.groups]\nA = { weight = inf }\n", "line 2: [e] groups.A.weight: expected a number above 0, not inf"),
        ("[e.groups.A]\nweight = 1\nparams = 2\n", "line 3: [e] groups.A.params: unknown key; known are weight"),
        ("[e.groups.A]\nweight = 1\nparameters = 2\n", "line 3: [e] groups.A.parameters: expected a table"),
        ("[e.groups]\nA = { weight = 1 }\nB = { weight = 1e-9 }\n", "line 3: [e] groups.B.weight: too small beside"),
        ("[e.groups]\noverride = { weight = 1 }\n", "line 2: [e] groups.override: a name is at most 64 letters"),
        ('["e;drop".groups]\nA = { weight = 1 }\n', "line 1: [e;drop]: a name is at most 64 letters"),
        ("[e]\nunit = \n", "not valid TOML: Invalid value (at line 2, column 8)"),
        ("[e]\nunit = 'x", 'not valid TOML: Expected "\'" (at line 2, where the file ends)'),
        (GROUPS + "[e]\nA = 1\n[e]\n", "not valid TOML: Cannot declare ('e',) twice (at line 6"),
    ],
)
def test_a_mistake_is_reported_in_one_line_with_its_table_and_key(text: str, expected: str) -> None:
    (line,) = problems(text)
    assert line.startswith(expected)
    assert "\n" not in line


def test_all_mistakes_are_reported_at_once() -> None:
    assert len(problems("[e]\nunit = 1\nallocation = 'all'\nprimary = []\n" + GROUPS)) == 3


def test_wrong_values_of_parameters_are_left_to_the_answer() -> None:
    definition = read_definitions(
        '[e.groups]\nA = { weight = 1, parameters = { model = 2026-01-01, temprature = "hot" } }'
    )["e"]
    assert definition.groups[0].parameters == {"model": "2026-01-01", "temprature": "hot"}


def test_a_spec_is_read_back_as_its_definition() -> None:
    ours = read_definitions(FULL)["tone"]
    (spec,) = compile_specs([ours])["dynamic_configs"]
    served = derive(spec)
    assert served is not None
    assert served.shares == ours.shares
    assert [group.parameters for group in served.groups] == [group.parameters for group in ours.groups]
    assert (served.unit, served.allocation, served.default) == (ours.unit, ours.allocation, ours.default)


def test_no_older_spec_of_a_server_is_blocked_by_ours() -> None:
    assert compile_specs([])["time"] == 1


def test_the_allocation_is_read_from_a_spec_with_lists_of_buckets() -> None:
    (spec,) = compile_specs([replace(read_definitions(GROUPS)["e"], allocation=50)])["dynamic_configs"]
    spec["rules"][0]["conditions"][0] |= {"operator": "none", "targetValue": list(range(300))}
    served = derive(spec)
    assert served is not None
    assert served.allocation == 30


def test_a_config_without_groups_defines_no_experiment() -> None:
    assert derive({"name": "banner", "rules": [{"id": "everyone", "returnValue": {}}]}) is None


def test_an_unknown_provider_is_reported_with_its_line() -> None:
    text = "[e]\ndefault = { model = 'm', provider = 'Local' }\n[e.groups]\n"
    text += "A = { weight = 1, parameters = { provider = 'x' } }\n"
    assert read_definitions(text)["e"].groups[0].parameters == {"provider": "x"}
    with pytest.raises(DefinitionError) as raised:
        read_definitions(text, ["openai", "local"])
    assert raised.value.problems == [
        "line 4: [e] groups.A.parameters.provider: no such provider: 'x'; known are openai, local"
    ]
