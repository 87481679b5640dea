"""Access in a real browser: a guest with a link, an account, an operator, a consent notice, and the content that a page
may load."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from lib.domain.clock import now_ms
from lib.domain.invitations import Terms, new_invitation
from lib.store import Store
from tests.support import app_process, openai_server, openid_provider
from tests.support.chat_page import Chat, watched, window
from tests.support.chromium import picture
from tests.support.invitation_links import invite
from tests.support.openai_server import Gate, finish, stream
from tests.support.raw_websocket import header, http
from tests.support.waiting import until

pytestmark = pytest.mark.browser
PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"email": "ann@example.org", "email_verified": True, "name": "Ann Andersson"},
    "bo": {"email": "bo@example.org", "email_verified": True, "name": "Bo Berg"},
    "eve": {"email": "ann@example.org", "email_verified": False, "name": "Eve"},
}


def expect_inside(page: Page) -> None:
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_enabled()


def expect_outside(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", name=words)).to_be_visible()
    expect(page.get_by_test_id("stChatInputTextArea")).to_have_count(0)
    expect(page.get_by_test_id("stSidebar").get_by_role("button", name="New conversation")).to_have_count(0)
    until(lambda: page.get_by_test_id("stSidebar").all_inner_texts() in ([], [""]))


def expect_operator(page: Page, may: bool = True) -> None:
    """Expect the operator's details under the newest answer, or with `may=False` their absence."""
    details = page.get_by_test_id("stChatMessage").last.get_by_role("button", name="Details")
    expect(details).to_have_count(1 if may else 0)


# A guest


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    environ = {
        "PARLEY_ACCESS": "invite",
        "PARLEY_TITLE": "The secret test",
        "PARLEY_OPERATOR_TOKEN": "the-operator-token-0123",
    }
    app = app_process.start(tmp_path_factory.mktemp("closed"), environ)
    yield app
    app.stop()


@pytest.fixture
def record(closed: app_process.AppProcess) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{closed.folder}/data/parley.db")) as store:
        yield store


def test_a_guest_comes_in_by_a_link_chats_and_is_outside_when_it_is_revoked(
    page: Page, closed: app_process.AppProcess, record: Store
) -> None:
    page.goto(closed.url)
    expect_outside(page, "This page is by invitation")
    expect(page).to_have_title("By invitation")
    expect(page.get_by_text("The secret test")).to_have_count(0)
    page.screenshot(path=picture("door-uninvited"))

    made = new_invitation("Ann", Terms(days=7, sessions=1, group="Test"), now_ms())
    link = invite(closed, record, made)
    came_from: list[str] = []
    page.on("request", lambda request: came_from.append(request.all_headers().get("referer", "")))
    page.goto(link)
    expect(page.get_by_text("The secret test")).to_be_visible()
    expect(page.get_by_text("close this page: nothing is recorded")).to_be_visible()
    page.get_by_role("button", name="Open the chat").click()
    expect_inside(page)
    expect(page).to_have_url(closed.url + "/")  # the token has left the address bar
    assert set(came_from) == {"", closed.url + "/"}, "no proxy logs the link as the page that a request came from"
    Chat(page, closed).ask("What is Parley?")
    page.reload()
    expect_inside(page)
    expect(page.get_by_test_id("stFeedback")).to_have_count(1)

    record.guests.revoke("Ann")
    page.get_by_test_id("stChatInputTextArea").fill("One more?")
    page.get_by_test_id("stChatInputTextArea").press("Enter")
    expect_outside(page, "This invitation has ended")
    expect(page.get_by_text("What is Parley?")).to_have_count(0)
    page.screenshot(path=picture("door-revoked"))
    page.goto(link)
    expect(page.get_by_role("heading", name="This invitation has ended")).to_be_visible()
    page.screenshot(path=picture("door-revoked-link"))


def test_an_operator_comes_in_by_the_form(page: Page, closed: app_process.AppProcess) -> None:
    page.goto(closed.url + "/operator")
    page.get_by_label("Operator token").fill("not it")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.screenshot(path=picture("door-operator"))
    enter_token(page, closed)
    Chat(page, closed).ask("What is Parley?")
    expect_operator(page)
    [cookie] = [each for each in page.context.cookies() if each["name"] == "parley_operator"]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    assert "parley" not in page.evaluate("document.cookie")
    sign_out_everywhere(page, closed, {"parley_operator": str(cookie["value"])})


def enter_token(page: Page, app: app_process.AppProcess) -> None:
    """Enter the operator's token into the form on this page, and open the chat."""
    page.get_by_label("Operator token").fill("the-operator-token-0123")
    page.keyboard.press("Enter")
    page.wait_for_url(app.url + "/results")
    page.goto(app.url)
    expect_inside(page)


def sign_out_everywhere(page: Page, app: app_process.AppProcess, cookies: dict[str, str]) -> None:
    """Sign out in one tab. Expect that other tabs end by themselves and that a copy of the cookie is useless."""
    far = {"X_Forwarded_For": "203.0.113.7", "Cookie": header(cookies)}
    assert http(app.url + "/metrics", **far).status == 200
    with page.context.new_page() as other, page.context.new_page() as results:
        results.goto(app.url + "/results")
        expect(results.get_by_text("As of ").last).to_be_visible()
        other.goto(app.url)
        expect(other.get_by_role("link", name="Results", exact=True)).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_text("Every tab of this browser").wait_for()
        page.screenshot(path=picture("door-sign-out"))
        page.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("heading", name="This page is by invitation")).to_be_visible()
        expect(other.get_by_role("link", name="Results")).to_have_count(0)
        expect(results.get_by_role("heading", name="There is no page here")).to_be_visible()
        expect(results.get_by_role("dialog")).to_have_count(0)
    assert http(app.url + "/metrics", **far).status == 404
    assert not [each for each in page.context.cookies() if each["name"] == "parley_operator"]


def test_a_page_that_follows_an_answer_ends_with_its_session(
    page: Page, model: openai_server.Server, tmp_path: Path
) -> None:
    gate = Gate()
    model.script(stream("The first half", gate, " and the second.", finish()))
    environ = {
        "PARLEY_ACCESS": "invite",
        "PARLEY_OPERATOR_TOKEN": "the-operator-token-0123",
        "OPENAI_BASE_URL": model.base_url,
    }
    app = app_process.start(tmp_path / "app", environ)
    try:
        page.goto(app.url + "/operator")
        enter_token(page, app)
        Chat(page, app).send("Question")
        expect(page.get_by_text("The first half").last).to_be_visible()
        with page.context.new_page() as other:
            other.goto(app.url)
            other.get_by_role("button", name="Sign out").click()
            other.get_by_text("Every tab of this browser").wait_for()
            other.get_by_role("button", name="Sign out").click()
            expect_outside(page, "This page is by invitation")
            expect(page.get_by_text("The first half")).to_have_count(0)
        assert "chat_completion" not in events(app), "the answer still runs"
        gate.open()
    finally:
        app.stop()


# Consent


def test_a_notice_comes_before_the_first_message_and_again_when_it_changed(page: Page, tmp_path: Path) -> None:
    first = {
        "PARLEY_CONSENT": "Your messages are **kept** for 90 days.",
        "PARLEY_OPERATOR_TOKEN": "the-operator-token-0123",
    }
    app = app_process.start(tmp_path / "app", first)
    port = int(app.url.rpartition(":")[2])
    page.goto(app.url)
    expect_outside(page, "Before you begin")
    expect(page.locator("strong", has_text="kept")).to_be_visible()
    expect(page.get_by_text("Parley", exact=True).last).to_be_visible()
    expect(page.get_by_text("If you do not agree, close this page.").last).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(1)
    page.screenshot(path=picture("door-consent"))
    page.get_by_role("button", name="I agree").click()
    expect_inside(page)
    page.reload()
    expect_inside(page)
    app.stop()
    with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store, store.read() as connection:
        [agreed] = connection.exec_driver_sql("SELECT visitor_id, version, time_ms FROM consent").all()
        assert len(agreed.visitor_id) == 32 and len(agreed.version) == 16 and agreed.time_ms > 0

    app = app_process.start(tmp_path / "app", first | {"PARLEY_CONSENT": "We changed it."}, port=port)
    try:
        page.goto(app.url)
        expect_outside(page, "Before you begin")
        expect(page.get_by_text("We changed it.").last).to_be_visible()
    finally:
        app.stop()


# Sign-in


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """The app with a real OpenID provider, both on loopback."""
    folder = tmp_path_factory.mktemp("accounts")
    environ = {"PARLEY_ACCESS": "sign-in", "PARLEY_UNIT": "account", "PARLEY_OPERATORS": "Ann@example.org"}
    with openid_provider.provider(folder, PEOPLE) as url:
        app = openid_provider.start(folder / "app", url, environ)
        yield app
        app.stop()
        assert not app.outbound()


def sign_in(page: Page, app: app_process.AppProcess, who: str, at: str = "/") -> None:
    page.goto(app.url + at)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=who, exact=True).first.click()
    expect_inside(page)


def sign_out(page: Page, app: app_process.AppProcess) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("Every tab of this browser").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click()  # at the provider
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def events(app: app_process.AppProcess) -> str:
    with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store:
        return str(list(store.events.export()))


def test_a_stranger_sees_a_button_and_nothing_else(page: Page, accounts: app_process.AppProcess) -> None:
    page.goto(accounts.url)
    expect_outside(page, "Sign in")
    expect(page.get_by_text("Parley", exact=True).last).to_be_visible()
    expect(page.get_by_role("button")).to_have_text(["Sign in"])
    page.screenshot(path=picture("door-sign-in"))


def test_an_account_has_its_conversations_in_every_browser_and_no_other_account_has_them(
    browser: Browser, accounts: app_process.AppProcess
) -> None:
    with window(browser) as page:
        sign_in(page, accounts, "bo")
        Chat(page, accounts).ask("What is Parley?")
        expect_operator(page, False)
        address = page.url
        sign_out(page, accounts)
        page.goto(address)
        expect_outside(page, "Sign in")
        sign_in(page, accounts, "eve")
        page.goto(address)
        expect(page.get_by_text("That conversation is not here").last).to_be_visible()
        expect(page.get_by_role("button", name="What is Parley?")).to_have_count(0)
    with window(browser) as page:
        sign_in(page, accounts, "bo")
        page.goto(address)
        expect(page.get_by_test_id("stFeedback")).to_have_count(1)
    with closing(Store.open(f"sqlite:///{accounts.folder}/data/parley.db")) as store:
        units = {event["user_id"] for event in store.events.export()}
    assert len(units) == 1 and re.fullmatch("[0-9a-f]{32}", units.pop())


@pytest.mark.parametrize(("who", "may"), [("ann", True), ("eve", False)])
def test_an_operator_is_known_by_an_email_that_the_provider_verified(
    page: Page, accounts: app_process.AppProcess, who: str, may: bool
) -> None:
    sign_in(page, accounts, who)
    Chat(page, accounts).ask("What is Parley?")
    expect_operator(page, may)


def test_no_name_or_email_is_in_any_event_log_or_address(page: Page, accounts: app_process.AppProcess) -> None:
    sign_in(page, accounts, "ann")
    Chat(page, accounts).ask("What is Parley?")
    exposed_text = events(accounts) + accounts.log() + page.url
    assert not re.search(r"\bann\b|bo@|example.org|Andersson|Berg", exposed_text, re.IGNORECASE)


def test_an_operator_signs_in_where_testers_need_not(page: Page, tmp_path: Path) -> None:
    with openid_provider.provider(tmp_path, PEOPLE) as url:
        app = openid_provider.start(tmp_path / "app", url, {"PARLEY_OPERATORS": "ann@example.org"})
        try:
            page.goto(app.url)
            expect_inside(page)
            Chat(page, app).ask("What is Parley?")
            expect_operator(page, False)  # with operators named, this machine is no operator
            sign_in(page, app, "ann", "/sign-in")
            Chat(page, app).ask("What is Parley?")
            expect_operator(page)
        finally:
            app.stop()


# The content that a page may load

EVERYTHING = """
import altair, pandas
import streamlit as st
from pages.browser import BoxState, keep_browser

keep_browser(BoxState())
data = pandas.DataFrame({"group": ["Control", "Test"], "rate": [0.4, 0.6]})
st.altair_chart(altair.Chart(data).mark_bar().encode(x="group", y="rate"))
st.line_chart(data, x="group", y="rate")
st.dataframe(data)
st.code("print('colours')", language="python")
st.latex(r"e^{i\\\\pi} + 1 = 0")
st.markdown(":material/lock: **bold** $x^2$ [a link](https://elsewhere.example/page)")
st.markdown("![by address](https://elsewhere.example/inline.png)")
st.markdown("![by reference][r]\\n\\n[r]: https://elsewhere.example/reference.png")
st.markdown("<img src='https://elsewhere.example/html.png'><script>alert(1)</script>")
st.markdown("[click](javascript:alert(1)) [data](data:text/html,<script>alert(1)</script>)")
st.download_button("Download", "the file", "file.md", on_click="ignore")
st.feedback("thumbs")
st.chat_input("Ask anything")
"""
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture
def strict_page(browser: Browser) -> Iterator[Page]:
    """A page that records violations of the content policy, in a browser context of its own."""
    with browser.new_context() as context, watched(context, console=False, expected="elsewhere.example"):
        context.add_init_script(VIOLATIONS)
        yield context.new_page()


def test_everything_that_a_page_shows_works_under_the_policy_and_nothing_comes_from_elsewhere(
    strict_page: Page, tmp_path: Path
) -> None:
    app_process.lay_out(tmp_path / "app")
    (tmp_path / "app/pages/chat/page.py").write_text(EVERYTHING)
    app = app_process.start(tmp_path / "app")
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    strict_page.on("dialog", note)
    page = strict_page
    try:
        page.goto(app.url)
        expect_inside(page)
        expect(page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg)")).to_have_count(2)
        expect(page.locator("[data-testid=stDataFrame] canvas").first).to_be_visible()
        expect(
            page.locator("[data-testid=stCode] span[style*=color], [data-testid=stCode] .token").first
        ).to_be_visible()
        expect(page.locator(".katex").first).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        assert Path(download.value.path()).read_text() == "the file"
        link = page.get_by_role("link", name="a link")
        assert link.get_attribute("target") == "_blank"
        assert {"noopener", "noreferrer"} <= set((link.get_attribute("rel") or "").split())
        for name in ("click", "data"):  # the browser follows neither link
            page.get_by_text(name, exact=True).first.click()
        expect(page.locator(".katex").first).to_be_visible()
        blocked = until(lambda: page.evaluate("window.violations"))
        assert all(each.startswith("img-src https://elsewhere.example/") for each in blocked), blocked
        assert dialogs == [] and page.locator("script:text('alert')").count() == 0
        page.screenshot(path=picture("everything-under-the-policy"))
    finally:
        app.stop()
