"""The operator's form and the token in a header: access, and the cost of failures."""

from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from lib.access.identity import Access
from lib.access.throttle import ADDRESSES, FORGET_S, FREE, FREE_FOR_ALL, LONGEST_FOR_ALL_S, LONGEST_S, Patience
from tests.support import app_process
from tests.support.clock import Clock
from tests.support.raw_websocket import Answer, RawWebsocket, http

TOKEN = "an+operator&token=%41"  # characters that a form could misread
FAR = {"X_Forwarded_For": "203.0.113.7"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(clock)


# Patience


def test_a_few_wrong_tokens_cost_nothing(patience: Patience) -> None:
    for _ in range(FREE - 1):
        patience.failed("10.0.0.1")
    assert patience.wait("10.0.0.1") == 0


def test_each_further_wrong_token_doubles_the_wait_up_to_the_longest(patience: Patience, clock: Clock) -> None:
    waits = []
    for _ in range(FREE + 12):
        patience.failed("10.0.0.1")
        waits.append(patience.wait("10.0.0.1"))
        clock.now += waits[-1]
        assert patience.wait("10.0.0.1") == 0
    assert waits[FREE - 1 : FREE + 3] == [1, 2, 4, 8] and waits[-1] == LONGEST_S


def test_the_right_token_ends_the_wait(patience: Patience) -> None:
    for _ in range(FREE + 3):
        patience.failed("10.0.0.1")
    patience.succeeded("10.0.0.1")
    assert patience.wait("10.0.0.1") == 0


def test_one_address_does_not_wait_for_another(patience: Patience) -> None:
    for _ in range(FREE + 3):
        patience.failed("10.0.0.1")
    assert patience.wait("10.0.0.2") == 0 and patience.wait(None) == 0


def test_an_ipv6_network_counts_as_one_address(patience: Patience) -> None:
    for number in range(FREE + 3):
        patience.failed(f"2001:db8::{number:x}")
    assert patience.wait("2001:db8::ffff") > 0 and patience.wait("2001:db8:0:1::1") == 0


def test_many_failures_from_anywhere_slow_every_attempt_a_little(patience: Patience) -> None:
    for number in range(FREE_FOR_ALL + 50):
        patience.failed(f"10.0.{number}.1")
    assert 0 < patience.wait("203.0.113.1") <= LONGEST_FOR_ALL_S


def test_failures_are_forgotten_after_a_while(patience: Patience, clock: Clock) -> None:
    for _ in range(FREE_FOR_ALL + 3):
        patience.failed("10.0.0.1")
    clock.now += FORGET_S
    assert patience.wait("10.0.0.1") == 0
    patience.failed("10.0.0.1")
    assert patience.wait("10.0.0.1") == 0


def test_guessing_from_everywhere_fills_no_memory(patience: Patience) -> None:
    for number in range(ADDRESSES + 100):
        patience.failed(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
    assert len(patience._failures) == ADDRESSES


# The form


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """Yield the app with an operator token, behind a trusted proxy."""
    environ = {"PARLEY_OPERATOR_TOKEN": TOKEN, "PARLEY_TRUSTED_PROXIES": "127.0.0.1"}
    app = app_process.start(tmp_path_factory.mktemp("guarded"), environ)
    yield app
    app.stop()


_addresses = iter(range(1, 250))


@pytest.fixture
def fresh_address() -> dict[str, str]:
    """Return the headers of a request from an address without failed attempts of other tests."""
    return {"X_Forwarded_For": f"198.51.100.{next(_addresses)}"}


def give(app: app_process.AppProcess, token: str, **headers: str) -> Answer:
    return http(app.url + "/operator", "POST", urlencode({"token": token}).encode(), **headers)


def test_without_a_token_in_the_settings_there_is_no_form(app: app_process.AppProcess) -> None:
    assert http(app.url + "/operator").status == 404
    given = give(app, "")
    assert given.status == 404 and given.set_cookies == []


def test_the_form_has_no_script_and_loads_nothing(guarded: app_process.AppProcess) -> None:
    form = http(guarded.url + "/operator")
    assert form.status == 200 and 'type="password"' in form.body and "<script" not in form.body
    assert form.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert "form-action 'self'" in form.headers["Content-Security-Policy"]
    assert form.headers["Cache-Control"] == "no-store" and form.headers["X-Content-Type-Options"] == "nosniff"
    assert TOKEN not in form.body


def test_the_token_opens_the_operator_pages(guarded: app_process.AppProcess, fresh_address: dict[str, str]) -> None:
    given = give(guarded, TOKEN, **fresh_address, Origin=guarded.url, Sec_Fetch_Site="same-origin")
    assert given.status == 303 and given.headers["Location"] == "/results"
    [cookie] = [line for line in given.set_cookies if line.startswith("parley_operator=")]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert http(guarded.url + "/metrics", **fresh_address).status == 404
    assert http(guarded.url + "/metrics", **fresh_address, Cookie=cookie.partition(";")[0]).status == 200


def test_under_https_no_other_site_can_plant_the_cookie(
    guarded: app_process.AppProcess, fresh_address: dict[str, str]
) -> None:
    given = give(guarded, TOKEN, **fresh_address, X_Forwarded_Proto="https")
    [cookie] = [line for line in given.set_cookies if "parley_operator=" in line]
    assert cookie.startswith("__Host-parley_operator=") and cookie.endswith("; Secure")


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "x" * 100_000])
def test_a_wrong_token_opens_nothing(
    guarded: app_process.AppProcess, fresh_address: dict[str, str], wrong: str
) -> None:
    given = give(guarded, wrong, **fresh_address)
    assert given.status == 403 and "not the token" in given.body
    assert "parley_operator" not in str(given.set_cookies)


@pytest.mark.parametrize("body", [b"", b"token", b"token=%ff%00", b"\xff\xfe", b"tok=" + quote(TOKEN).encode()])
def test_a_body_that_is_not_a_form_opens_nothing(
    guarded: app_process.AppProcess, fresh_address: dict[str, str], body: bytes
) -> None:
    assert http(guarded.url + "/operator", "POST", body, **fresh_address).status == 403


def test_a_token_in_the_address_opens_nothing(guarded: app_process.AppProcess, fresh_address: dict[str, str]) -> None:
    opened = http(f"{guarded.url}/operator?token={quote(TOKEN)}", **fresh_address)
    assert opened.status == 200 and "parley_operator" not in str(opened.set_cookies)


@pytest.mark.parametrize(
    "forged",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://127.0.0.1.evil.example"},
    ],
)  # fmt: skip
def test_a_form_on_another_page_is_refused_even_with_the_token(
    guarded: app_process.AppProcess, fresh_address: dict[str, str], forged: dict[str, str]
) -> None:
    given = give(guarded, TOKEN, **fresh_address, **forged)
    assert given.status == 403 and "parley_operator" not in str(given.set_cookies)


def test_wrong_tokens_slow_their_address_and_no_other(
    guarded: app_process.AppProcess, fresh_address: dict[str, str]
) -> None:
    assert [give(guarded, "wrong", **fresh_address).status for _ in range(FREE)] == [403] * FREE
    while (slowed := give(guarded, "wrong", **fresh_address)).status == 403:
        pass  # a busy machine takes longer than the wait, which grows with each attempt
    assert slowed.status == 429 and int(slowed.headers["Retry-After"]) >= 1 and "Try again in" in slowed.body
    assert "parley_operator" not in str(slowed.set_cookies)
    assert give(guarded, "wrong", **FAR).status == 403


def test_the_right_token_works_at_once_after_wrong_guesses(
    guarded: app_process.AppProcess, fresh_address: dict[str, str]
) -> None:
    while give(guarded, "wrong", **fresh_address).status != 429:
        pass
    assert give(guarded, TOKEN, **fresh_address).status == 303
    assert http(guarded.url + "/metrics", **fresh_address, Authorization=f"Bearer {TOKEN}").status == 200


def test_what_was_typed_is_in_no_log(guarded: app_process.AppProcess, fresh_address: dict[str, str]) -> None:
    give(guarded, "my-bank-password", **fresh_address)
    give(guarded, TOKEN, **fresh_address)
    log = guarded.log()
    assert "a wrong operator token was given in the form" in log and "the operator token was given in the form" in log
    assert "my-bank-password" not in log and TOKEN not in log and "198.51.100." not in log


# The header


def test_scripts_send_the_token_in_a_header(guarded: app_process.AppProcess, fresh_address: dict[str, str]) -> None:
    assert http(guarded.url + "/metrics", **fresh_address, Authorization=f"Bearer {TOKEN}").status == 200
    assert http(guarded.url + "/metrics", **fresh_address, Authorization="Bearer wrong").status == 404
    assert http(guarded.url + "/metrics", **fresh_address, Authorization=f"Basic {TOKEN}").status == 404


def test_guessing_in_a_header_locks_no_operator_out(
    guarded: app_process.AppProcess, fresh_address: dict[str, str]
) -> None:
    for _ in range(FREE):
        assert http(guarded.url + "/metrics", **fresh_address, Authorization="Bearer wrong").status == 404
    assert http(guarded.url + "/metrics", **fresh_address, Authorization=f"Bearer {TOKEN}").status == 200


def test_a_websocket_with_the_token_is_an_operators(guarded: app_process.AppProcess) -> None:
    """With the token an answer has an operator's details; without it, or with a wrong one, it has none."""
    seen = {}
    for who, authorization in (("operator", f"Bearer {TOKEN}"), ("guesser", "Bearer wrong"), ("tester", "")):
        with RawWebsocket(
            guarded.url, http(guarded.url).cookies, **({"Authorization": authorization} if authorization else {})
        ) as wire:
            seen[who] = "time_to_first_token" in wire.run().ask("Hello").text or "First token" in wire.text
    assert seen == {"operator": True, "guesser": False, "tester": False}


def test_the_comparison_takes_the_same_path_for_every_wrong_token() -> None:
    """`hmac.compare_digest`, also for characters that no header can contain."""
    access = Access("key", operator_token=TOKEN)
    assert [access.token_matches(text) for text in (TOKEN, "", TOKEN[:-1], "é\ud800", "\x00")] == [True] + [False] * 4
