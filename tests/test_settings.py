"""Settings: their values and sources, and the report of every mistaken one."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from lib import settings
from lib.domain.models import CONTROL_MODEL
from lib.settings import SettingsError, load

NOWHERE = Path("no/secrets.toml")
POSTGRESQL = {"DATABASE_URL": "postgresql+psycopg://u:hunter22@db:5432/parley", "PARLEY_SIGNING_KEY": "k" * 32}


def problems(environ: dict[str, str], secrets: Path = NOWHERE) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, secrets)
    return caught.value.problems


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return tmp_path / "secrets.toml"


def test_nothing_needs_to_be_set() -> None:
    loaded = load({}, NOWHERE)
    assert loaded.demo
    assert loaded.database_url == "sqlite:///data/parley.db"
    assert (loaded.model, loaded.unit, loaded.access, loaded.blind) == (CONTROL_MODEL, "visitor", "open", True)
    assert (loaded.statsig_tier, loaded.max_prompt_chars, loaded.retention_days) == ("development", 8000, 90)
    assert (loaded.operators, loaded.operator_token, loaded.consent) == ((), None, None)


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("PARLEY_BLIND", "false", "blind", False),
        ("PARLEY_UNIT", "account", "unit", "account"),
        ("PARLEY_ACCESS", "invite", "access", "invite"),
        ("PARLEY_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("PARLEY_OPERATORS", " Ann@Example.org, bo@x.y ,", "operators", ("Ann@Example.org", "bo@x.y")),
        ("PARLEY_BUDGET_USD_PER_DAY", "0.50", "budget_usd_per_day", 0.5),
        ("PARLEY_BUDGET_ANSWERS_PER_VISITOR", "20", "budget_answers_per_visitor", 20),
        ("PARLEY_PUBLIC_URL", "https://chat.example.org/", "public_url", "https://chat.example.org"),
        ("PARLEY_CONSENT", "# Notice\n\nYou are read.", "consent", "# Notice\n\nYou are read."),
        ("PARLEY_GREETING", "Grüß Gott 👋", "greeting", "Grüß Gott 👋"),
        ("PARLEY_SUGGESTIONS", "Is it | open? ||", "suggestions", ("Is it", "open?")),
        ("OPENAI_BASE_URL", "http://[::1]:11434/v1", "openai_base_url", "http://[::1]:11434/v1"),
        ("PARLEY_MODEL", "meta-llama/Llama-3.1 8B", "model", "meta-llama/Llama-3.1 8B"),
    ],
)
def test_a_value_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(load({name: text}, NOWHERE), field) == value


def test_an_empty_value_is_the_same_as_none(secrets: Path) -> None:
    secrets.write_text('PARLEY_TITLE = ""\nOPENAI_API_KEY = "from-the-file"')
    loaded = load({"PARLEY_MODEL": "", "PARLEY_OPERATORS": "", "OPENAI_API_KEY": " "}, secrets)
    assert (loaded.model, loaded.operators, loaded.title) == (CONTROL_MODEL, (), "Parley")
    assert loaded.openai_api_key is not None


def test_space_around_a_value_is_ignored_because_files_end_in_newlines() -> None:
    key = load({"OPENAI_API_KEY": "sk-abc\n"}, NOWHERE).openai_api_key
    assert key is not None and key.get_secret_value() == "sk-abc"


def test_the_environment_wins_over_the_file(secrets: Path) -> None:
    secrets.write_text('PARLEY_MODEL = "of-the-file"\nPARLEY_TITLE = "Of the file"')
    loaded = load({"PARLEY_MODEL": "of-the-environment"}, secrets)
    assert (loaded.model, loaded.title) == ("of-the-environment", "Of the file")


def test_the_file_may_use_every_form_of_toml(secrets: Path) -> None:
    secrets.write_text(
        'PARLEY_BLIND = false\nPARLEY_BUDGET_USD_PER_DAY = 5\nPARLEY_OPERATORS = ["a@b.c", "d@e.f"]\n'
        'other = "Streamlit\'s"\n[auth]\ncookie_secret = "x"\n'
    )
    loaded = load({}, secrets)
    assert (loaded.blind, loaded.budget_usd_per_day, loaded.operators) == (False, 5.0, ("a@b.c", "d@e.f"))


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("OPENAI_API_KEY", "sk-with space", "visible ASCII"),
        ("OPENAI_API_KEY", "sk-…", "visible ASCII"),
        ("OPENAI_BASE_URL", "localhost:11434", "http://"),
        ("OPENAI_BASE_URL", "http://", "http://"),
        ("OPENAI_BASE_URL", "http://h:99999/v1", "http://"),
        ("OPENAI_BASE_URL", "http://h/v1?key=1", "http://"),
        ("STATSIG_SECRET_KEY", "client-abcdef", "secret-"),
        ("STATSIG_SECRET_KEY", "secret-", "secret-"),
        ("STATSIG_API_URL", "ftp://h", "http://"),
        ("STATSIG_TIER", "of mine", "tier"),
        ("DATABASE_URL", "mysql://u:hunter22@h/db", "sqlite:///PATH or postgresql+psycopg://"),
        ("DATABASE_URL", "postgresql+psycopg2://u:hunter22@h/db", "postgresql+psycopg://"),
        ("DATABASE_URL", "postgresql+psycopg://u:hunter22@h:port/db", "HOST:PORT"),
        ("DATABASE_URL", "sqlite://data/parley.db", "sqlite:///PATH"),
        ("DATABASE_URL", "sqlite:///", "path of a file"),
        ("DATABASE_URL", "sqlite:///:memory:", "path of a file"),
        ("DATABASE_URL", "sqlite:///parley.db?mode=ro", "without parameters"),
        ("DATABASE_URL", "sqlite:////etc/passwd/parley.db", "can be written"),
        ("DATABASE_URL", "sqlite:////etc", "can be written"),
        ("DATABASE_URL", "parley.db", "sqlite:///PATH"),
        ("PARLEY_EXPERIMENT", "a[b]", "64 letters"),
        ("PARLEY_EXPERIMENTS_FILE", "no/such.toml", "file"),
        ("PARLEY_MODEL", "a\nb", "one line"),
        ("PARLEY_UNIT", "tab", "visitor, session or account"),
        ("PARLEY_BLIND", "perhaps", "true or false"),
        ("PARLEY_ACCESS", "closed", "open, invite or sign-in"),
        ("PARLEY_OPERATORS", "ann, bo@x.y", "email"),
        ("PARLEY_OPERATOR_TOKEN", "clé", "visible ASCII"),
        ("PARLEY_OPERATOR_TOKEN", "hunter22", "at least 16"),
        ("PARLEY_SIGNING_KEY", "fifteen letters", "at least 16"),
        ("PARLEY_PUBLIC_URL", "chat.example.org", "http://"),
        ("PARLEY_PUBLIC_URL", "https://u:hunter22@chat.example.org", "no password"),
        ("PARLEY_TITLE", "x" * 61, "60"),
        ("PARLEY_GREETING", "x" * 301, "300"),
        ("PARLEY_BUDGET_USD_PER_DAY", "0", "above 0"),
        ("PARLEY_BUDGET_USD_PER_DAY", "-1", "above 0"),
        ("PARLEY_BUDGET_USD_PER_DAY", "nan", "above 0"),
        ("PARLEY_BUDGET_USD_PER_DAY", "inf", "above 0"),
        ("PARLEY_BUDGET_USD_PER_DAY", "5 USD", "above 0"),
        ("PARLEY_BUDGET_ANSWERS_PER_VISITOR", "0", "from 1"),
        ("PARLEY_MAX_PROMPT_CHARS", "1.5", "whole number"),
        ("PARLEY_KEEP_TEXT", "2", "true or false"),
        ("PARLEY_RETENTION_DAYS", "0", "from 1"),
        ("PARLEY_RETENTION_DAYS", "99999999999999999999", "from 1"),
        ("PARLEY_CONSENT", "x" * 20_001, "20000"),
        ("PARLEY_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "IP addresses"),
        ("PARLEY_TRUSTED_PROXIES", "10.0.0.0/33", "IP addresses"),
        ("PARLEY_LOG", "xml", "text or json"),
        ("PARLEY_LOG_LEVEL", "loud", "debug"),
    ],
)
def test_an_impossible_value_is_reported_with_the_accepted_ones(name: str, text: str, accepted: str) -> None:
    (line,) = problems({name: text})
    assert line.startswith(f"{name}: must be ")
    assert accepted in line
    assert "\n" not in line
    assert "hunter" not in line


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "STATSIG_SECRET_KEY", "PARLEY_OPERATOR_TOKEN"])
def test_no_message_shows_a_secret(name: str) -> None:
    (line,) = problems({name: "hunter 22"})
    assert "hunter" not in line


def test_every_problem_is_reported_at_once(secrets: Path) -> None:
    secrets.write_text("PARLEY_BLIND = 7\nPARLEY_TYPO = 1\n")
    names = {line.partition(":")[0] for line in problems({"PARLEY_UNIT": "x", "PARLEY_MODLE": "y"}, secrets)}
    assert names == {"PARLEY_BLIND", "PARLEY_TYPO", "PARLEY_UNIT", "PARLEY_MODLE"}


def test_an_unknown_name_is_reported_with_the_one_that_was_meant(secrets: Path) -> None:
    assert problems({"PARLEY_MODLE": "x"}) == ["PARLEY_MODLE: no such setting; did you mean PARLEY_MODEL?"]
    assert problems({"parley_model": "x"}) == ["parley_model: no such setting; did you mean PARLEY_MODEL?"]
    secrets.write_text("[PARLEY_AUTH]\nx = 1\n")
    assert problems({}, secrets)[0].startswith("PARLEY_AUTH: no such setting")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("PARLEY_BUGDET", "PARLEY_BUDGET_USD_PER_DAY or PARLEY_BUDGET_ANSWERS_PER_VISITOR"),  # two letters exchanged
        ("PARLEY_BUGDET_USD_PER_DAY", "PARLEY_BUDGET_USD_PER_DAY"),
        ("PARLEY_UNTI", "PARLEY_UNIT"),
        ("PARLEY_TITEL", "PARLEY_TITLE"),
        ("PARLEY_ACESS", "PARLEY_ACCESS"),  # a letter too few
        ("PARLEY_MAX_PROMT_CHARS", "PARLEY_MAX_PROMPT_CHARS"),
        ("PARLEY_GREETINGS", "PARLEY_GREETING"),  # a letter too many
        ("PARLEY_BLIMD", "PARLEY_BLIND"),  # a wrong letter
        ("PARLEY_BUDGET_USD", "PARLEY_BUDGET_USD_PER_DAY"),  # the beginning of a name
        ("PARLEY_RETENTION", "PARLEY_RETENTION_DAYS"),
        ("PARLEY_PROXIES", "PARLEY_TRUSTED_PROXIES"),  # its end
        ("PARLEY_MAX_CHARS", "PARLEY_MAX_PROMPT_CHARS"),  # a word left out
        ("PARLEY_LOGLEVEL", "PARLEY_LOG_LEVEL"),  # words joined
        ("PARLEY_DATABASE_URL", "DATABASE_URL"),  # a prefix too many
        ("PARLEY_LIMIT", None),  # nothing like it
        ("PARLEY_", None),
        ("PARLEY_" + "LONG_" * 5_000, None),
    ],
)
def test_the_nearest_name_is_suggested(typed: str, meant: str | None) -> None:
    assert problems({typed: "x"}) == [f"{typed}: no such setting" + (f"; did you mean {meant}?" if meant else "")]


@pytest.mark.parametrize("text", ['PARLEY_TITLE = ["a", 1]', "[PARLEY_TITLE]\na = 1", "PARLEY_TITLE = 2026-01-01"])
def test_a_toml_value_that_is_not_text_is_reported(secrets: Path, text: str) -> None:
    secrets.write_text(text)
    assert problems({}, secrets) == ["PARLEY_TITLE: must be one value, in quotes where it is a text"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'a = 1\nOPENAI_API_KEY = "sk-hunter22\nb = 2\n', "at line 2"),
        (b'a = 1\nOPENAI_API_KEY = """sk-hunter22\n\n', "at line 4"),
        (b"a = 1\na = 2\n", "at line 2"),
        (b'OPENAI_API_KEY = "hunter\xff"', "UTF-8"),
    ],
)
def test_a_broken_secrets_file_is_one_line_beside_the_other_problems(
    secrets: Path, content: bytes, expected: str
) -> None:
    secrets.write_bytes(content)
    first, second = problems({"PARLEY_UNIT": "x"}, secrets)
    assert str(secrets) in first and expected in first and "\n" not in first and "hunter" not in first
    assert second.startswith("PARLEY_UNIT")


def test_a_secrets_file_that_is_a_folder_is_reported(tmp_path: Path) -> None:
    assert problems({}, tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_postgresql_needs_the_signing_key() -> None:
    (line,) = problems({"DATABASE_URL": POSTGRESQL["DATABASE_URL"]})
    assert line.startswith("PARLEY_SIGNING_KEY: must be set with PostgreSQL")
    assert load(POSTGRESQL, NOWHERE).database_file is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_address_that_hosting_platforms_hand_out_is_understood(scheme: str) -> None:
    url = f"{scheme}://u:p@db/parley?sslmode=require"
    loaded = load(POSTGRESQL | {"DATABASE_URL": url}, NOWHERE)
    assert loaded.database_url == "postgresql+psycopg://u:p@db/parley?sslmode=require"


def test_proxies_are_networks_in_every_notation() -> None:
    loaded = load({"PARLEY_TRUSTED_PROXIES": "10.0.0.7/8,fd00::/8,::ffff:127.0.0.1"}, NOWHERE).trusted_proxies
    assert loaded == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1/32"))


def test_the_demo_model_answers_only_when_nothing_else_can() -> None:
    assert not load({"OPENAI_API_KEY": "sk-1"}, NOWHERE).demo
    assert not load({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, NOWHERE).demo


def test_settings_cannot_be_changed_and_do_not_show_their_secrets() -> None:
    loaded = load(POSTGRESQL | {"OPENAI_API_KEY": "sk-hunter22"}, NOWHERE)
    assert "hunter22" not in repr(loaded) + str(loaded) and "kkkk" not in repr(loaded)
    assert loaded.secrets() == ["k" * 32, "sk-hunter22", "hunter22"]
    with pytest.raises(ValueError, match="frozen"):
        loaded.model = "other"


def test_every_setting_of_the_table_exists() -> None:
    example = (Path(__file__).parents[1] / ".streamlit/secrets.toml.example").read_text()
    assert [name for name in settings.FIELDS if name not in example] == []


def test_the_example_loads_when_everything_in_it_is_switched_on(secrets: Path) -> None:
    example = (Path(__file__).parents[1] / ".streamlit/secrets.toml.example").read_text()
    load({}, _write(secrets, example))
    switched_on = "\n".join(line.removeprefix("#") for line in example.splitlines() if not line.startswith("# "))
    loaded = load({}, _write(secrets, switched_on))
    assert loaded.statsig_secret_key is not None and loaded.operators != ()


def _write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


AUTH = """
PARLEY_ACCESS = "sign-in"
[auth]
redirect_uri = "http://localhost:8501/oauth2callback"
cookie_secret = "a-secret"
"""
NAMED = """
[auth.{name}]
client_id = "parley"
client_secret = "a-secret"
server_metadata_url = "https://id.example.org/.well-known/openid-configuration"
"""


@pytest.mark.parametrize(
    ("written", "missing"),
    [
        ('PARLEY_ACCESS = "sign-in"', ["a table [auth]"]),
        (AUTH, ["client_id in [auth]", "client_secret in [auth]", "server_metadata_url in [auth]"]),
        (AUTH + 'client_id = "x"\nclient_secret = "y"', ["server_metadata_url in [auth]"]),
        (AUTH + '[auth.google]\nclient_id = "x"\nclient_secret = "y"', ["server_metadata_url in [auth.google]"]),
        (NAMED.format(name="google") + 'PARLEY_ACCESS = "x"', []),
        (AUTH + NAMED.format(name="google") + NAMED.format(name="okta"), []),
    ],
)
def test_sign_in_without_its_table_is_reported(tmp_path: Path, written: str, missing: list[str]) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text(written)
    try:
        load({}, file)
        problems = []
    except SettingsError as error:
        problems = error.problems
    assert problems == [f"PARLEY_ACCESS: sign-in needs {what} in {file}" for what in missing]


# Providers


def providers_of(environ: dict[str, str], secrets: Path) -> list[tuple[str, str, str | None]]:
    return [(each.name, each.base_url, each.api_key) for each in load(environ, secrets).providers]


def test_a_provider_comes_from_the_environment_or_the_file_and_the_environment_wins(secrets: Path) -> None:
    secrets.write_text(
        '[providers.Local]\nbase_url = "http://a/v1"\napi_key = "from-file"\napi_version = 2024-10-21\n'
        'headers = { X-Team = "header-secret" }\n[providers.other]\nbase_url = "http://b/v1"\n'
    )
    environ = {
        "OPENAI_API_KEY": "sk-one",
        "PARLEY_PROVIDER_LOCAL_URL": "'http://c/v1'",
        "PARLEY_PROVIDER_GATE_URL": "http://d",
    }
    assert providers_of(environ, secrets) == [
        ("openai", "https://api.openai.com/v1", "sk-one"), ("local", "http://c/v1", "from-file"),
        ("other", "http://b/v1", None), ("gate", "http://d", None),
    ]  # fmt: skip
    loaded = load(environ, secrets)
    assert {"header-secret", "from-file", "sk-one"} <= set(loaded.secrets())
    assert "from-file" not in repr(loaded.providers) and "header-secret" not in repr(loaded.providers)
    assert loaded.providers[1].api_version == "2024-10-21" and not loaded.demo


def test_a_provider_alone_is_the_default_one_and_no_demo(secrets: Path) -> None:
    loaded = load({"PARLEY_PROVIDER_MY_LLM_URL": "http://localhost:8000/v1"}, secrets)
    assert (loaded.provider_names, loaded.demo) == (["my_llm"], False)
    assert load({}, secrets).provider_names == ["openai"]


@pytest.mark.parametrize(
    ("environ", "toml", "expected"),
    [
        ({"PARLEY_PROVIDER_LOCAL_KEY": "hunter22"}, "", "PARLEY_PROVIDER_LOCAL_URL: is missing"),
        ({"PARLEY_PROVIDER_LOCAL_URL": "ftp://hunter22"}, "", "PARLEY_PROVIDER_LOCAL_URL: must be an address"),
        ({"PARLEY_PROVIDER_LOCAL_URL": "http://x?key=hunter22"}, "", "PARLEY_PROVIDER_LOCAL_URL: must be an address"),
        ({"PARLEY_PROVIDER_A_URL": "http://x", "PARLEY_PROVIDER_A_KEY": "hunter22 a"}, "", "A_KEY: must be"),
        ({"PARLEY_PROVIDER_URL": "http://x"}, "", "PARLEY_PROVIDER_URL: no such setting"),
        ({"PARLEY_PROVIDER_A_HEADERS": "hunter22"}, "", "PARLEY_PROVIDER_A_HEADERS: no such setting"),
        ({"PARLEY_PROVIDER_OPENAI_URL": "http://x"}, "", "set OPENAI_BASE_URL and OPENAI_API_KEY"),
        ({}, "providers = 3", "[providers]: expected a table"),
        ({}, "[providers]\nlocal = 'http://x'", "[providers]: expected a table"),
        ({}, "[providers.local]\napi_key = 'hunter22'", "[providers.local] base_url: is missing"),
        ({}, "[providers.local]\nbase_url = 'hunter22'", "[providers.local] base_url: must be an address"),
        ({}, "[providers.local]\nbase_url = 'http://x'\nurl = 'hunter22'", "[providers.local] url: no such key"),
        ({}, "[providers.local]\nbase_url = 'http://x'\napi_key = 'hunter22 x'", "[providers.local] api_key: must be"),
        ({}, "[providers.local]\nbase_url = 'http://x'\nheaders = 'hunter22'", "[providers.local] headers: must be"),
        ({}, "[providers.a]\nbase_url = 'http://x'\n[providers.a.headers]\nA = 'hunter22é'", "headers.A: must"),
        ({}, "[providers.'a b']\nbase_url = 'http://x'", "a name is at most"),
        ({}, "[provider.local]\nbase_url = 'http://x'", "did you mean [providers.NAME]"),
        ({"OPENAI_BASE_URL": "https://x.openai.azure.com/openai/deployments/d"}, "", "?api-version=…"),
    ],
)  # fmt: skip
def test_a_provider_that_cannot_be_is_one_line_without_its_secret(
    environ: dict[str, str], toml: str, expected: str, secrets: Path
) -> None:
    secrets.write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(environ, secrets)
    [line] = caught.value.problems
    assert expected in line and "hunter22" not in line and "\n" not in line


@pytest.mark.parametrize(
    "address",
    ["https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
     "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"],
)  # fmt: skip
def test_azures_older_address_is_read(address: str, secrets: Path) -> None:
    [provider] = load({"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "k"}, secrets).providers
    assert provider.base_url == "https://x.openai.azure.com/openai/deployments/d"
    assert (provider.api_version, provider.name) == ("2024-10-21", "openai")


def test_azures_version_may_stand_in_the_table(secrets: Path) -> None:
    secrets.write_text('[providers.openai]\napi_version = "2024-10-21"\n')
    [provider] = load({"OPENAI_BASE_URL": "https://x.openai.azure.com/openai/deployments/d"}, secrets).providers
    assert provider.api_version == "2024-10-21"
