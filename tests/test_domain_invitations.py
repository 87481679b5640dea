"""Invitations: the content of a link, its guests, its limits and its end in the record."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import inspect, text

from lib.access.identity import Access
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.invitations import MAX_DAYS, Terms, address, new_invitation
from lib.store import Store, schema
from lib.store.database import Database, migrate
from tests.support.invitation_links import invitation
from tests.support.waiting import ENOUGH_S

ACCESS, OTHER = Access("a-signing-key"), Access("another-signing-key")
LATER_S = 4_000_000_000


# The link

VISITOR = "ab" * 16
OWN = {"__Host-parley_visitor": ACCESS.visitor_cookie(VISITOR, True).partition("=")[2].partition(";")[0]}


def test_a_link_says_which_invitation_and_until_when() -> None:
    token = ACCESS.invitation_token("0123456789ab", LATER_S)
    assert ACCESS.invitation(token) == ("0123456789ab", LATER_S)
    assert address("https://chat.example.org/parley/", token) == f"https://chat.example.org/parley/invite/{token}"


def test_a_link_that_we_did_not_sign_says_nothing() -> None:
    token = ACCESS.invitation_token("0123456789ab", LATER_S)
    later = token.replace(str(LATER_S), str(LATER_S + 1))
    other = token.replace("0123456789ab", "0123456789ac")
    cookie = ACCESS.guest_cookie("0123456789ab", VISITOR, 1, False).partition("=")[2].partition(";")[0]
    forged = ("", "x", later, other, token[:-1], token + "A", token.upper(), cookie, "é" + token, token * 50)
    assert [ACCESS.invitation(each) for each in forged] == [None] * len(forged)
    assert OTHER.invitation(token) is None


def test_a_guest_is_recognised_by_a_cookie_that_no_script_reads() -> None:
    sent = ACCESS.guest_cookie("0123456789ab", VISITOR, 7, True)
    name, _, value = sent.partition(";")[0].partition("=")
    assert set(sent.split("; ")[1:]) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax", "Secure"}
    assert name == "__Host-parley_guest" and ACCESS.guest(OWN | {name: value}, True) == "0123456789ab"
    assert OTHER.guest(OWN | {name: value}) is None
    assert ACCESS.guest(OWN | {name: value[:-1]}) is None
    assert ACCESS.guest({name: value}, True) is None, "another's invitation is worth nothing"
    assert ACCESS.guest(OWN | {"parley_guest": value}, True) is None, "over https only what cannot be planted"


def test_no_signature_of_one_kind_stands_in_for_another() -> None:
    visitor = ACCESS.visitor_cookie("ab" * 16, False).partition("=")[2].partition(";")[0]
    assert ACCESS.guest({"parley_guest": visitor}) is None
    guest = ACCESS.guest_cookie("0123456789ab", VISITOR, 7, False).partition("=")[2].partition(";")[0]
    assert ACCESS.visitor({"parley_visitor": guest}) is None and ACCESS.invitation(guest) is None


@pytest.mark.parametrize(
    ("name", "days", "sessions", "usd"),
    [
        ("", 1, None, None), (" \n", 1, None, None), ("x" * 81, 1, None, None), ("a\x07b", 1, None, None),
        ("a", 0, None, None), ("a", MAX_DAYS + 1, None, None), ("a", 1, 0, None), ("a", 1, None, 0.0),
        ("a", 1, None, float("nan")), ("a", 1, None, float("inf")),
    ],
)  # fmt: skip
def test_impossible_terms_are_refused_in_a_sentence(
    name: str, days: int, sessions: int | None, usd: float | None
) -> None:
    with pytest.raises(ValueError, match=r"^The .*\.$"):
        new_invitation(name, Terms(days, sessions, usd=usd), 0)


# The record


@pytest.fixture
def parley(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as store:
        yield store


def test_a_guest_counts_once_however_often_they_come(parley: Store) -> None:
    made = invitation(sessions=2)
    assert parley.guests.invite(made)
    assert [parley.guests.enter(made.id, visitor) for visitor in ("a", "a", "b", "a", "c", "b")] == [
        None, None, None, None, "used_up", None,
    ]  # fmt: skip
    known = parley.guests.invitation(made.id)
    assert known is not None and known.used == 2 and known.last_ms is not None


def test_looking_at_a_link_uses_no_place(parley: Store) -> None:
    made = invitation(sessions=1)
    assert parley.guests.invite(made)
    assert [parley.guests.may_enter(made.id, visitor) for visitor in (None, "a", "b")] == [None, None, None]
    assert parley.guests.enter(made.id, "a") is None
    assert [parley.guests.may_enter(made.id, visitor) for visitor in ("a", None, "b")] == [None, "used_up", "used_up"]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_invitation_ends_for_its_guests_too(parley: Store, by: str) -> None:
    made, other = invitation("Ann"), invitation("Bo")
    assert parley.guests.invite(made) and parley.guests.invite(other)
    parley.guests.enter(made.id, "a")
    assert parley.guests.revoke(made.name if by == "name" else made.id) == 1
    assert (
        parley.guests.enter(made.id, "a")
        == parley.guests.enter(made.id, "b")
        == parley.guests.may_enter(made.id, "a")
        == "revoked"
    )
    assert parley.guests.enter(other.id, "a") is None
    assert parley.guests.revoke(made.name) == 0


def test_an_expired_invitation_ends_for_its_guests_too(parley: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = invitation()
    assert parley.guests.invite(made)
    assert parley.guests.enter(made.id, "a") is None
    monkeypatch.setattr("lib.store.guests.now_ms", lambda: made.expires_ms - 1)
    assert parley.guests.enter(made.id, "a") is None
    monkeypatch.setattr("lib.store.guests.now_ms", lambda: made.expires_ms + 1)
    assert parley.guests.enter(made.id, "a") == parley.guests.enter(made.id, "b") == "expired"


def test_an_unknown_invitation_admits_no_guest(parley: Store) -> None:
    assert parley.guests.enter("0123456789ab", "a") == parley.guests.may_enter("0123456789ab", "a") == "unknown"


def test_a_name_is_free_again_when_its_invitation_is_over(parley: Store) -> None:
    assert parley.guests.invite(invitation("Ann"))
    assert not parley.guests.invite(invitation("Ann"))
    parley.guests.revoke("Ann")
    assert parley.guests.invite(invitation("Ann"))
    assert [(one.name, one.over(now_ms())) for one in parley.guests.invitations()] == [
        ("Ann", None),
        ("Ann", "revoked"),
    ]


def test_replicas_that_count_at_the_same_time_let_in_no_more_than_allowed(database_url: str) -> None:
    made = invitation(sessions=5)
    stores = [Store.open(database_url) for _ in range(3)]
    assert stores[0].guests.invite(made)
    with ThreadPoolExecutor(12) as guests:
        came = list(guests.map(lambda number: stores[number % 3].guests.enter(made.id, f"guest {number}"), range(24)))
    assert sorted(came, key=str) == [None] * 5 + ["used_up"] * 19
    known = stores[0].guests.invitation(made.id)
    assert known is not None and known.used == 5
    for store in stores:
        store.close()


def test_consent_is_of_one_visitor_and_one_text(parley: Store) -> None:
    assert not parley.guests.agreed("a", "first")
    assert parley.guests.agree("a", "first").wait(ENOUGH_S) and parley.guests.agree("a", "first").wait(ENOUGH_S)
    assert [parley.guests.agreed(*each) for each in (("a", "first"), ("b", "first"), ("a", "second"))] == [
        True,
        False,
        False,
    ]


def test_a_database_from_before_there_were_guests_gets_the_same_tables(database_url: str) -> None:
    """The migration and the tables of a fresh database must not drift apart."""
    new = ("invitation", "guest", "consent")
    database = Database.open(database_url)

    def shape() -> list[object]:
        inspector = inspect(database.writer)
        return [
            [(column["name"], type(column["type"]), column["nullable"]) for column in inspector.get_columns(name)]
            + [inspector.get_pk_constraint(name)["constrained_columns"]]
            + [(index["name"], index["column_names"]) for index in inspector.get_indexes(name)]
            for name in new
        ]

    fresh = shape()
    with database.writer.begin() as connection:
        for name in new:
            connection.execute(text(f"DROP TABLE {name}"))
        words = ("2 guests", "13 comparing guests")
        connection.execute(schema.migration.delete().where(schema.migration.c.name.in_(words)))
    migrate(database.writer)
    assert shape() == fresh
    database.close()


def test_an_invitation_may_last_a_year() -> None:
    assert new_invitation("a", Terms(MAX_DAYS), 0).expires_ms == MAX_DAYS * DAY_MS
