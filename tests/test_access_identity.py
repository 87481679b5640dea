import time
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.access.identity import Access, new_visitor_id
from lib.domain.prompts import check_prompt, clean_text

ACCESS = Access("a-signing-key", trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("127.0.0.1")))
OTHER = Access("another-signing-key")


def cookie(header: str) -> dict[str, str]:
    """Return the cookie that a browser sends back."""
    name, _, value = header.partition(";")[0].partition("=")
    return {name: value}


# The visitor's cookie


@pytest.mark.parametrize("https", [True, False])
def test_a_visitor_is_recognised(https: bool) -> None:
    visitor = new_visitor_id()
    sent = cookie(ACCESS.visitor_cookie(visitor, https))
    assert ACCESS.visitor(sent, https) == ACCESS.visitor(sent) == visitor


def test_every_visitor_gets_a_new_id() -> None:
    assert new_visitor_id() != new_visitor_id()


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    plain, secure = (ACCESS.visitor_cookie("ab" * 16, https).split("; ") for https in (False, True))
    assert plain[0].startswith("parley_visitor=") and secure[0].startswith("__Host-parley_visitor=")
    assert set(plain[1:]) == {"Path=/", "Max-Age=34560000", "HttpOnly", "SameSite=Lax"}
    assert set(secure[1:]) == {*plain[1:], "Secure"}


def test_a_cookie_that_we_did_not_sign_is_ignored() -> None:
    foreign = cookie(OTHER.visitor_cookie("ab" * 16, False))
    mine = ACCESS.visitor_cookie("ab" * 16, False).partition(";")[0].partition("=")[2]
    other_id = "cd" * 16 + mine[32:]
    for value in ("", "x", "ab" * 16, "ab" * 16 + ".", other_id, mine[:-1], mine + "A", mine + "." + mine, "é", "\x00"):
        assert ACCESS.visitor({"parley_visitor": value}) is None
    assert ACCESS.visitor(foreign) is None
    assert ACCESS.visitor({"parley_visitor": mine + "A" * 100_000}) is None


def test_a_malformed_id_is_ignored_even_when_signed() -> None:
    assert ACCESS.visitor(cookie(ACCESS.visitor_cookie("../../etc", False))) is None


@given(st.text())
def test_garbage_is_ignored(value: str) -> None:
    assert ACCESS.visitor({"parley_visitor": value, "__Host-parley_visitor": value}) is None
    guarded = Access("key", operator_token="t")
    assert not guarded.operator(local=True, cookies={"parley_operator": value}, authorization=value)


def test_a_cookie_planted_beside_the_secure_one_is_not_looked_at() -> None:
    own, planted = new_visitor_id(), new_visitor_id()
    both = cookie(ACCESS.visitor_cookie(own, True)) | cookie(ACCESS.visitor_cookie(planted, False))
    assert ACCESS.visitor(both) == ACCESS.visitor(both, https=True) == own
    assert ACCESS.visitor(cookie(ACCESS.visitor_cookie(planted, False)), https=True) is None


# The origin of a request


def origin(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> tuple[str | None, bool, bool]:
    request_origin = ACCESS.origin(peer, scheme, headers)
    return request_origin.address, request_origin.https, request_origin.local


HOST = ("Host", "localhost:8501")


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("127.0.0.1", [HOST], True),
        ("::ffff:127.0.0.1", [HOST], True),
        ("::1", [("host", "[::1]:8501")], True),
        ("127.0.0.9", [("Host", "LOCALHOST")], True),
        ("127.0.0.1", [("Host", "127.0.0.1:8501")], True),
        ("127.0.0.1", [], False),
        ("127.0.0.1", [("Host", "parley.example.org")], False),
        ("127.0.0.1", [("Host", "localhost.example.org")], False),
        ("127.0.0.1", [("Host", "127.0.0.1.example.org")], False),
        ("127.0.0.1", [HOST, ("Host", "parley.example.org")], False),
        ("127.0.0.1", [HOST, ("X-Forwarded-For", "127.0.0.1")], False),
        ("127.0.0.1", [HOST, ("x-forwarded-proto", "http")], False),
        ("127.0.0.1", [HOST, ("Forwarded", "for=127.0.0.1")], False),
        ("127.0.0.1", [HOST, ("X-Real-IP", "127.0.0.1")], False),
        ("127.0.0.1", [HOST, ("Via", "1.1 x")], False),
        ("10.1.1.1", [HOST], False),
        ("::ffff:10.1.1.1", [HOST], False),
        ("testclient", [HOST], False),
        (None, [HOST], False),
    ],
)
def test_a_request_is_local_only_over_loopback_and_without_a_proxy(
    peer: str | None, headers: list[tuple[str, str]], expected: bool
) -> None:
    assert origin(peer, *headers)[2] is expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("8.8.8.8", ["1.2.3.4"], "8.8.8.8"),  # only the headers of a trusted proxy are believed
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the client's forged addresses stand to the left
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),  # a proxy that adds a line of its own
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["6.6.6.6, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        (None, ["1.2.3.4"], None),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_a_trusted_proxy(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert origin(peer, HOST, *(("X-Forwarded-For", line) for line in forwarded))[0] == client


def test_https_is_known_from_the_connection_or_a_trusted_proxy() -> None:
    secure, plain = ("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")
    client, spoofed = ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https, http")
    assert origin("8.8.8.8", HOST, scheme="https")[1] and origin("8.8.8.8", HOST, scheme="wss")[1]
    assert not origin("8.8.8.8", HOST, secure)[1]
    assert origin("10.0.0.1", HOST, secure)[1] and origin("10.0.0.1", HOST, secure, client)[1]
    assert not origin("10.0.0.1", HOST, plain, scheme="https")[1]
    assert not origin("10.0.0.1", HOST, spoofed, client)[1]
    through_two = ("X-Forwarded-For", "1.2.3.4, 10.0.0.2")
    assert origin("10.0.0.1", HOST, through_two, ("X-Forwarded-Proto", "https, http"))[1]
    assert origin("10.0.0.1", HOST, through_two, secure)[1]


def test_the_host_is_the_one_that_the_browser_requested() -> None:
    forwarded = (("Host", "inside"), ("X-Forwarded-Host", "chat.example.org"))
    assert ACCESS.origin("10.0.0.1", "http", forwarded).host == "chat.example.org"
    assert ACCESS.origin("8.8.8.8", "http", forwarded).host == "inside"
    assert ACCESS.origin("8.8.8.8", "http", ()).host == ""


# Operators


ANN = {"email": "Ann@Example.org", "email_verified": True, "sub": "ann", "iss": "https://login.example"}


def test_with_nothing_set_up_this_machine_is_the_operator() -> None:
    assert ACCESS.operator(local=True, cookies={})
    assert not ACCESS.operator(local=False, cookies={})
    assert not ACCESS.operator(local=False, cookies={}, account=ANN, authorization="Bearer ")


def test_with_operators_named_an_email_opens_the_pages_and_this_machine_does_not() -> None:
    access = Access("key", operators=("ann@example.org",))
    assert access.operator(local=False, cookies={}, account=ANN)
    assert not access.operator(local=True, cookies={}, account=ANN | {"email": "bo@example.org"})
    assert not access.operator(local=True, cookies={})


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"email_verified": False}, "not verified"), ({"email_verified": None}, "not verified"),
        ({"email_verified": "false"}, "not verified"), ({"email_verified": 1.5}, "not verified"),
        ({"email": ""}, "has no email"), ({"email": None}, "has no email"), ({"email": 7}, "has no email"),
        ({"email": "bo@example.org"}, "does not name"), ({"email": "ann@example.org "}, "does not name"),
        ({"email": "\u212aann@example.org"}, "outside of ASCII"), ({"email": "ann@x.org\u200b"}, "outside of ASCII"),
        ({"email": "\uff41nn@example.org"}, "outside of ASCII"),
    ],
)  # fmt: skip
def test_the_log_says_why_an_account_is_not_an_operators(claims: dict[str, object], cause: str) -> None:
    access = Access("key", operators=("ann@example.org", "kann@example.org"))
    assert cause in (access.refusal(ANN | claims) or "")
    assert access.refusal(ANN) is None


def test_a_kelvin_sign_does_not_match_a_k() -> None:
    """Unicode case folding turns the Kelvin sign into `k`, so that it would match another account's email."""
    access = Access("key", operators=("kim@example.org",))
    assert access.refusal(ANN | {"email": "\u212aim@example.org"}) is not None
    assert access.refusal(ANN | {"email": "KIM@example.org"}) is None


def test_an_operator_can_be_named_by_another_claim_of_one_issuer() -> None:
    access = Access("key", operators=("a1B2@https://one.example/t", "c3"), operator_claim="sub")
    one, other = {"sub": "a1B2", "iss": "https://one.example/t"}, {"sub": "a1B2", "iss": "https://other.example"}
    assert access.refusal(one) is None and access.refusal(other) is not None
    assert access.refusal(one | {"sub": "a1b2"}) is not None, "a subject has upper and lower case"
    assert access.refusal({"sub": "c3", "iss": "https://other.example"}) is None
    assert access.refusal({"email": "c3", "email_verified": True}) is not None
    groups = Access("key", operators=("operators",), operator_claim="groups")
    assert groups.refusal({"groups": ["testers", "operators"]}) is None and groups.refusal({"groups": ["x"]})


def test_with_a_token_set_the_token_opens_the_pages_and_this_machine_does_not() -> None:
    access = Access("key", operator_token="tok-en")
    assert not access.operator(local=True, cookies={})
    for https in (True, False):
        assert access.operator(local=False, cookies=cookie(access.operator_cookie(https)))
    for header in ("Bearer tok-en", "bearer  tok-en"):
        assert access.operator(local=False, cookies={}, authorization=header)
    for header in ("Bearer tok-e", "Bearer", "Bearer ", "tok-en", "Basic tok-en", "Bearer \ud800", ""):
        assert not access.operator(local=False, cookies={}, authorization=header)


def test_changing_the_token_or_the_key_ends_its_cookie() -> None:
    sent = cookie(Access("key", operator_token="old").operator_cookie(False))
    assert not Access("key", operator_token="new").operator(local=False, cookies=sent)
    assert not Access("other key", operator_token="old").operator(local=False, cookies=sent)
    assert not Access("key").operator(local=False, cookies=sent)


def test_the_operators_cookie_ends_after_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access("key", operator_token="token")
    sent, now = cookie(access.operator_cookie(False)), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29 * 86_400)
    assert access.operator(local=False, cookies=sent)
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86_400)
    assert not access.operator(local=False, cookies=sent)


def test_the_cookie_holds_nothing_of_the_token() -> None:
    assert "hunter22" not in Access("key", operator_token="hunter22").operator_cookie(True)


def test_one_cookie_cannot_stand_in_for_another() -> None:
    access = Access("key", operator_token="token")
    visitor = cookie(access.visitor_cookie("ab" * 16, False))["parley_visitor"]
    operator = cookie(access.operator_cookie(False))["parley_operator"]
    assert access.visitor({"parley_visitor": operator}) is None
    assert not access.operator(local=False, cookies={"parley_operator": visitor})


def test_metrics_are_for_this_machine_and_for_the_token() -> None:
    access = Access("key", operators=("ann@example.org",), operator_token="token")
    assert access.may_read_metrics(local=True, cookies={})
    assert access.may_read_metrics(local=False, cookies={}, authorization="Bearer token")
    assert access.may_read_metrics(local=False, cookies=cookie(access.operator_cookie(True)))
    assert not access.may_read_metrics(local=False, cookies={}, authorization="Bearer other")
    assert not ACCESS.may_read_metrics(local=False, cookies=cookie(ACCESS.operator_cookie(True)))


def test_without_a_token_none_matches() -> None:
    assert not ACCESS.token_matches("")
    assert Access("key", operator_token="t").token_matches("t")


def test_nothing_shows_the_key_or_the_token() -> None:
    assert "hunter22" not in repr(Access("hunter22", operator_token="hunter22"))


# Prompts


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("a\x00b\x07\x1b[31mc\x7f\x85", "ab[31mc"),
        ("a\r\nb\rc\n\td", "a\nb\nc\n\td"),
        ("lone \ud83d half \udc4b", "lone  half "),
        ("two halves \ud83d\udc4b", "two halves 👋"),
        ("עברית \u200f $x$ :a: <b>&amp; 👩\u200d🚀 \ufeff", "עברית \u200f $x$ :a: <b>&amp; 👩\u200d🚀 \ufeff"),
        ("  as typed  ", "  as typed  "),
    ],
)
def test_only_harmful_characters_are_removed_from_text(typed: str, cleaned: str) -> None:
    assert clean_text(typed) == cleaned


@given(st.text(alphabet=st.characters(), max_size=50))
def test_clean_text_can_be_sent_and_stored_and_stays_as_it_is(typed: str) -> None:
    cleaned = clean_text(typed)
    assert cleaned.encode("utf-8") is not None and "\x00" not in cleaned
    assert clean_text(cleaned) == cleaned
    assert [char for char in typed if char.isalnum()] == [char for char in cleaned if char.isalnum()]


def test_a_million_characters_are_cleaned_at_once() -> None:
    began = time.process_time()
    assert len(clean_text("x\x00" * 500_000)) == 500_000
    assert time.process_time() - began < 20  # quadratic work would take hours


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0\u2003", "\u200b\ufeff"])
def test_a_blank_prompt_is_refused(text: str) -> None:
    assert check_prompt(text, 10) == "Please write a question first."


def test_a_long_prompt_is_refused_with_the_reason() -> None:
    assert check_prompt("x" * 8000, 8000) is None
    refused = check_prompt("x" * 8001, 8000)
    assert refused is not None and "8,001" in refused and "8,000" in refused
