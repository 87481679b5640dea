"""Database URLs: every character of a password is used or refused, and none is shown."""

from urllib.parse import quote

import pytest

from lib.domain.database_url import parse_database_url

SAFE = "hunter-22"


@pytest.mark.parametrize("character", list("@:/?#%[] &=+;,!$'()*<>|\\^`{}\"~ü€"))
@pytest.mark.parametrize("place", ["", "pass", "p.12"])
def test_an_escaped_password_arrives(character: str, place: str) -> None:
    password = place + character + "rest"
    address = parse_database_url(f"postgres://u:{quote(password, '')}@db.example:5432/parley")
    assert (address.password, address.host, address.port, address.name) == (password, "db.example", 5432, "parley")


@pytest.mark.parametrize(
    "password",
    ["p@ss", "pa/ss", "12/ss", "pa?ss", "12?a=b", "12?sslmode=x", "pa#ss", "100%ss", "pa%", "pa ss", "ss@b@c", "@",
     "/", "?", "#", "%", "pa%00ss", "a?host=ss", "\tss"],
)  # fmt: skip
def test_a_password_that_could_be_read_in_two_ways_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(ValueError, match="write @ as %40") as refused:
        parse_database_url(f"postgresql+psycopg://user:{password}@db.example:5432/parley")
    assert password not in str(refused.value).replace("@ as %40", "").replace("/ as", "").replace(
        "USER:PASSWORD@", ""
    ) or (len(password) == 1)


@pytest.mark.parametrize(
    "password", ["pa:ss", "[pass]", "pa[ss", "p!$&'()*+,;=s", "pässwörd", '"p"', "a^b|c{d}", "a\\b"]
)
def test_a_character_that_means_nothing_in_an_address_needs_no_escape(password: str) -> None:
    address = parse_database_url(f"postgres://u:{password}@db.example/parley")
    assert (address.password, address.host) == (password, "db.example")


@pytest.mark.parametrize(
    "query",
    ["?password=hunter-22", "?sslpassword=hunter-22&sslmode=require", "?sslmode=require&password=hunter-22",
     "?host=/var/run&password=a=hunter-22"],
)  # fmt: skip
def test_the_printed_address_has_neither_user_nor_password_nor_parameters(query: str) -> None:
    address = parse_database_url(f"postgres://walter:{SAFE}@db.example:5432/parley{query}")
    assert str(address) == "postgresql+psycopg://db.example/parley"
    assert SAFE not in repr(address) and "walter" not in repr(address)
    assert any(SAFE in secret for secret in address.secrets)


@pytest.mark.parametrize("query", ["?hunter-22", "?a=hunter-22", "?password=pa&hunter-22", "?sslmode=x&hunter-22=1"])
def test_an_unknown_parameter_is_refused_and_not_named(query: str) -> None:
    with pytest.raises(ValueError, match="parameters that PostgreSQL's client library knows") as refused:
        parse_database_url(f"postgres://u@db.example/parley{query}")
    assert "hunter" not in str(refused.value)


def test_parameters_of_other_clients_for_poolers_are_left_out() -> None:
    address = parse_database_url("postgres://u:p@db.example/parley?pgbouncer=true&sslmode=require")
    assert address.parameters == (("sslmode", "require"),)


def test_hosts_of_every_kind_are_read() -> None:
    assert parse_database_url("postgres://u:p@[2001:db8::1]:5432/parley").host == "2001:db8::1"
    assert parse_database_url("postgres://u@/parley?host=/var/run/postgresql").host == ""
    assert str(parse_database_url("postgres:///parley")) == "postgresql+psycopg:///parley"
