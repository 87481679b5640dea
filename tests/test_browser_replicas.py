"""Two replicas behind haproxy with one PostgreSQL, as `deploy/` runs them. A tester loses nothing when a replica dies
or restarts, or when the database is away."""

import gzip
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from lib.experiments.evaluator import compile_definitions
from lib.store import Store
from tests.support import openai_server as openai
from tests.support import replicas, statsig_server
from tests.support.chat_page import Chat, window
from tests.support.openai_server import DONE, Gate, Request, finish, stream, usage
from tests.support.postgres_server import Postgres
from tests.support.raw_websocket import http
from tests.support.replicas import COOKIE, NAMES, Site
from tests.support.waiting import slowness, until

pytestmark = pytest.mark.browser

SERVED = """
[statsig_openai_integration.groups]
A = { weight = 1, parameters = { model = "model-a" } }
B = { weight = 1, parameters = { model = "model-b" } }
"""
OUTAGE_S = 10.0
"""Seconds for which the database is away."""
UNUSABLE_S = 10.0
"""Seconds for which a page may at most be unusable without a reload."""
WATCH = """() => {
  window.neverReloaded = true; window.longest = 0;
  let since = null;
  setInterval(() => {
    const box = document.querySelector('[data-testid="stChatInputTextArea"]');
    const now = performance.now(), useless = !box || box.disabled;
    since = useless ? since ?? now : null;
    if (useless) window.longest = Math.max(window.longest, now - since);
  }, 50);
}"""
"""Measures the longest time without a usable input: Streamlit disables it while the page has no connection."""


@dataclass
class Parley:
    """The site with everything around it, and the answers and votes that its pages have confirmed."""

    site: Site
    model: openai.Server
    statsig: statsig_server.Statsig
    postgres: Postgres
    database: str
    answers: set[tuple[str, str]] = field(default_factory=set)  # conversation, text
    votes: set[tuple[str, str]] = field(default_factory=set)  # conversation, rating

    @contextmanager
    def store(self) -> Iterator[Store]:
        with closing(Store.open(self.database)) as opened:
            yield opened

    def lines(self) -> list[dict[str, Any]]:
        """Return every event of the record with its text, oldest first."""
        with self.store() as store:
            return list(store.events.export(text=True))

    def expect_ends(self, conversation_id: str, *reasons: str) -> None:
        """Wait until the record has these finish reasons for a conversation; a page does not wait for the record."""

        def ends() -> list[object]:
            about = (line for line in self.lines() if is_about(line, conversation_id))
            return [line["value"] for line in about if line["name"] == "chat_completion"]

        until(lambda: ends() == list(reasons), show=ends)


def is_about(line: dict[str, Any], conversation_id: str) -> bool:
    return bool(line["metadata"].get("conversation_id") == conversation_id)


def answers(request: Request) -> openai.Reply:
    """Answer a question `slowly N …` with N words, four a second, and any other question at once."""
    asked = request.body["messages"][-1]["content"]
    if slow := re.match(r"slowly (\d+)", asked):
        return openai.answer(" ".join(f"w{number}" for number in range(int(slow[1]))), pace=0.25)
    return openai.answer(f"The answer to {asked}")


def halves(gate: Gate) -> openai.Reply:
    """Return an answer whose second half comes once the gate is open."""
    return stream("The first half", gate, " and the second.", finish(), usage(10, 6), DONE)


@pytest.fixture(scope="module")
def parley(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parley]:
    if not replicas.haproxy():
        pytest.skip("there is no haproxy (on Debian: apt-get install haproxy)")
    with ExitStack() as stack:
        model = stack.enter_context(openai.serve())
        model.script(otherwise=answers)
        specs = compile_definitions(SERVED)[0] | {"time": 5}
        statsig, database = stack.enter_context(statsig_server.serve(specs)), postgres.database()
        settings = {
            "DATABASE_URL": database, "OPENAI_BASE_URL": model.base_url, "STATSIG_SECRET_KEY": "secret-hunter22",
            "STATSIG_API_URL": statsig.url, "PARLEY_SIGNING_KEY": "k" * 43, "PARLEY_TRUSTED_PROXIES": "127.0.0.1",
            "STREAMLIT_SERVER_COOKIE_SECRET": "c" * 43, "PARLEY_OPERATOR_TOKEN": "t" * 43, "PARLEY_LOG": "json",
        }  # fmt: skip
        site = stack.enter_context(replicas.serve(tmp_path_factory.mktemp("site"), settings))
        yield Parley(site, model, statsig, postgres, database)


@pytest.fixture
def site(parley: Parley) -> Site:
    """The site with both replicas running."""
    parley.site.heal()
    return parley.site


class Guest:
    """A browser with one tab, which is never reloaded; its console may report broken connections."""

    def __init__(self, page: Page, parley: Parley) -> None:
        self.page, self.context, self._parley = page, page.context, parley
        self.chat = Chat(self.page, parley.site.front())
        self.chat.open()
        self.page.evaluate(WATCH)

    @property
    def replica(self) -> str:
        """The replica that the balancer's cookie names."""
        return next(str(cookie["value"]) for cookie in self.context.cookies() if cookie["name"] == COOKIE)

    def ask(self, text: str) -> None:
        """Ask a question, and wait until the page shows the whole answer as saved."""
        self.chat.ask(text)
        self.confirm_answers()

    def confirm_answers(self) -> None:
        """Wait until the page confirms the answers that it shows, and remember them."""
        expect(self.page.get_by_text("not saved yet")).to_have_count(0)
        self.chat.idle()
        shown = [message.locator("p").first.inner_text() for message in self.chat.messages.all()[1::2]]
        self._parley.answers |= {(self.chat.conversation_id, text) for text in shown}

    def vote(self, up: bool) -> None:
        """Vote, wait until the page thanks for it, and remember the vote."""
        self.chat.thumb(up).click()
        expect(self.chat.text("Saved, thank you")).to_be_visible()
        self._parley.votes.add((self.chat.conversation_id, "satisfaction" if up else "dissatisfaction"))

    def expect_no_reload(self) -> None:
        """Check that the page was not reloaded."""
        assert self.page.evaluate("window.neverReloaded") is True

    def unusable_s(self) -> float:
        """Return the longest time for which the page had no usable input."""
        return float(self.page.evaluate("window.longest")) / 1000


@contextmanager
def guests(browser: Browser, parley: Parley, count: int) -> Iterator[list[Guest]]:
    """Open `count` browsers, each for a visitor of its own."""
    with ExitStack() as stack:
        yield [Guest(stack.enter_context(window(browser)), parley) for _ in range(count)]


@contextmanager
def one_on_each(browser: Browser, parley: Parley) -> Iterator[dict[str, Guest]]:
    """Open two browsers, and yield the guest on each replica by the replica's name."""
    with guests(browser, parley, 2) as found:
        by_name = {guest.replica: guest for guest in found}
        assert set(by_name) == set(NAMES), "the balancer gave two visitors to two replicas"
        yield by_name


def other(name: str) -> str:
    return next(each for each in NAMES if each != name)


# Nothing fails


def test_a_browser_stays_with_its_replica(browser: Browser, parley: Parley, site: Site) -> None:
    with one_on_each(browser, parley) as guest:
        for name in NAMES:
            guest[name].ask("Where am I?")
            before = len(parley.model.requests)
            guest[name].page.reload()
            expect(guest[name].chat.answer).to_contain_text("The answer to Where am I?")
            expect(guest[name].chat.feedback).to_have_count(1)
            guest[name].ask("And now?")
            assert guest[name].replica == name
            assert len(parley.model.requests) == before + 1


def test_a_reload_finds_the_running_answer(browser: Browser, parley: Parley, site: Site) -> None:
    gate = Gate()
    parley.model.script(halves(gate))
    with guests(browser, parley, 1) as [guest]:
        guest.chat.send("Question")
        expect(guest.chat.answer).to_contain_text("The first half")
        guest.page.reload()
        expect(guest.chat.answer).to_contain_text("The first half")
        expect(guest.chat.stop).to_have_count(1)
        gate.open()
        expect(guest.chat.answer).to_contain_text("The first half and the second.")
        guest.chat.idle()
        guest.confirm_answers()


def test_an_answer_goes_on_where_another_tab_opens_it_on_the_other_replica(
    browser: Browser, parley: Parley, site: Site
) -> None:
    gate = Gate()
    parley.model.script(halves(gate))
    with guests(browser, parley, 1) as [guest]:
        guest.chat.send("Question")
        expect(guest.chat.answer).to_contain_text("The first half")
        first = guest.replica
        guest.context.add_cookies([{"name": COOKIE, "value": other(first), "url": site.url}])
        second = Chat(guest.context.new_page(), site.front())
        second.open(f"/?c={guest.chat.conversation_id}")
        expect(second.stop).to_have_count(1)
        gate.open()
        expect(second.answer).to_contain_text("The first half and the second.")
        second.idle()
        expect(guest.chat.answer).to_contain_text("The first half and the second.")
        parley.expect_ends(guest.chat.conversation_id, "stop")


# Forged headers and cookies


def test_forwarding_headers_of_a_client_are_not_trusted(parley: Parley, site: Site) -> None:
    """haproxy replaces the forwarding headers that a client sends, so that its request is neither HTTPS nor local."""
    lies = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9;proto=https"}
    assert "secure" not in str(http(site.url, **lies).set_cookies).lower()
    assert "strict-transport-security" not in http(site.url, **lies).headers
    assert http(site.url + "/metrics").status == 404, "who comes through the proxy is not on this machine"
    assert http(site.url + "/metrics", Authorization="Bearer " + "t" * 43).status == 200


def test_a_browser_is_known_to_both_replicas(parley: Parley, site: Site) -> None:
    cookies = http(site.replica("one").url).cookies
    [(name, value)] = [(name, value) for name, value in cookies.items() if "visitor" in name]
    assert not http(site.replica("two").url, Cookie=f"{name}={value}").set_cookies
    assert http(site.replica("two").url, Cookie=f"{name}={value[:-1]}").set_cookies


def test_the_balancers_cookie_is_for_this_site_alone(site: Site) -> None:
    [line] = [line for line in http(site.url).set_cookies if line.startswith(COOKIE)]
    assert "HttpOnly" in line and "SameSite=Lax" in line


def test_scripts_are_compressed_and_arrive_whole(site: Site) -> None:
    [path] = re.findall(r'src="\./(static/js/index[^"]+)"', http(site.url).body)
    direct = http(f"{site.replica('one').url}/{path}")
    assert "content-encoding" not in direct.headers
    assert http(f"{site.url}/{path}").body == direct.body
    asked = urllib.request.Request(f"{site.url}/{path}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked) as answer:
        raw = answer.read()
    assert len(raw) < len(direct.body) / 2 and gzip.decompress(raw).decode() == direct.body


# One replica ends


@pytest.mark.alone
def test_a_killed_replica_costs_its_visitors_the_rest_of_one_answer(
    browser: Browser, parley: Parley, site: Site
) -> None:
    with guests(browser, parley, 1) as [guest]:
        guest.ask("Before")
        guest.vote(up=True)
        name = guest.replica
        guest.chat.send("slowly 400 words")
        expect(guest.chat.answer).to_contain_text("w12")
        site.replica(name).kill()
        killed = time.monotonic()
        expect(guest.chat.text("Interrupted")).to_be_visible()
        took = time.monotonic() - killed
        assert took < UNUSABLE_S * slowness()
        assert guest.replica == other(name)
        expect(guest.chat.answer).to_contain_text("w8")  # the text that was stored a second before the kill
        expect(guest.chat.messages.nth(1)).to_contain_text("The answer to Before")
        expect(guest.page.get_by_role("radio", name="Thumbs up").first).to_be_checked()
        guest.chat.button("Try again").click()
        expect(guest.chat.answer).to_contain_text("w2")
        guest.chat.stop.click()
        expect(guest.chat.text("Stopped")).to_be_visible()
        parley.expect_ends(guest.chat.conversation_id, "stop", "interrupted", "stopped")
        guest.chat.button("New conversation").click()
        expect(guest.chat.messages).to_have_count(0)
        guest.ask("And here?")
        guest.expect_no_reload()
        assert guest.unusable_s() < UNUSABLE_S * slowness()
        print(f"interrupted after {took:.1f} s, of no use for {guest.unusable_s():.1f} s")


def test_a_rolling_restart_is_not_noticed_by_answers_under_way(browser: Browser, parley: Parley, site: Site) -> None:
    with one_on_each(browser, parley) as guest:
        for visitor in guest.values():
            visitor.ask("Before")
            visitor.vote(up=True)
        for name in NAMES:
            for visitor in guest.values():
                visitor.chat.send("slowly 32 words")
                expect(visitor.chat.answer).to_contain_text("w2")
            site.stop(name)
            site.start(name)
            for visitor in guest.values():
                expect(visitor.chat.answer).to_contain_text("w31")
                visitor.chat.idle()
                visitor.confirm_answers()
        for visitor in guest.values():
            visitor.vote(up=False)
            visitor.expect_no_reload()
            expect(visitor.page.get_by_text("Interrupted", exact=True)).to_have_count(0)
            parley.expect_ends(visitor.chat.conversation_id, "stop", "stop", "stop")
            print(f"of no use for {visitor.unusable_s():.1f} s")
    assert not [line for line in parley.lines() if line["name"] == "abandoned"]


# The database is away


def test_while_the_database_is_away_pages_go_on_and_what_they_confirm_is_kept(
    browser: Browser, parley: Parley, site: Site
) -> None:
    with one_on_each(browser, parley) as guest:
        for visitor in guest.values():
            visitor.ask("Before")
        gate = Gate()
        parley.model.script(*(halves(gate) for _ in guest))
        for visitor in guest.values():
            visitor.chat.send("Question")
        for visitor in guest.values():
            expect(visitor.chat.answer).to_contain_text("The first half")
        parley.postgres.stop()
        began = time.monotonic()
        try:
            gate.open()
            for visitor in guest.values():
                expect(visitor.chat.answer).to_contain_text("The first half and the second.")
                visitor.chat.idle()
                expect(visitor.chat.text("This answer is not saved yet")).to_be_visible()
                visitor.chat.thumb(up=True).click()
                expect(visitor.chat.text("Not saved yet")).to_be_visible()
                visitor.chat.send("During")
                expect(visitor.chat.answer).to_contain_text("The answer to During")
            assert [http(site.replica(name).url + "/readyz").status for name in NAMES] == [503, 503]
            time.sleep(max(0.0, OUTAGE_S - (time.monotonic() - began)))
        finally:
            parley.postgres.start()
        for visitor in guest.values():
            visitor.confirm_answers()
            visitor.ask("After")
            visitor.vote(up=False)
            visitor.expect_no_reload()
            parley.expect_ends(visitor.chat.conversation_id, "stop", "stop", "stop", "stop")
            rated = [line["name"] for line in parley.lines() if is_about(line, visitor.chat.conversation_id)]
            assert rated.count("satisfaction") == rated.count("dissatisfaction") == 1
            print(f"of no use for {visitor.unusable_s():.1f} s")


# In the end


def test_everything_that_was_confirmed_is_in_the_record_and_at_statsig(
    browser: Browser, parley: Parley, site: Site
) -> None:
    with guests(browser, parley, 1) as [guest]:
        guest.ask("At last")
        guest.vote(up=True)
    lines = parley.lines()
    written = {(line["metadata"]["conversation_id"], line["text"]["answer"]) for line in lines if "text" in line}
    assert [answer for answer in parley.answers if answer not in written] == []
    rated = {(line["metadata"].get("conversation_id"), line["name"]) for line in lines}
    assert [vote for vote in parley.votes if vote not in rated] == []
    assert len({line["event_id"] for line in lines}) == len(lines)
    recorded = {line["event_id"] for line in lines}
    parley.statsig.wait(lambda: recorded <= set(parley.statsig.counts()), 90)
    assert set(parley.statsig.counts()) == recorded, "nothing arrived that is not in the record"
    twice = {name: count for name, count in parley.statsig.counts().items() if count > 1}
    print(f"{len(recorded)} events, {len(twice)} of them more than once, {len(parley.answers)} answers confirmed")
    met = {(line["user_id"], line["metadata"]["group"]) for line in lines if line["name"] == "exposure"}
    assert len(met) == len({user for user, _ in met}), "every replica gave a visitor the same group"
