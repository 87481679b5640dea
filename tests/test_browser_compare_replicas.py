"""A comparison behind two replicas with one PostgreSQL: continued on the other, and after the kill of a replica."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from lib.store import schema
from tests.support import openai_server as openai
from tests.support import replicas
from tests.support.chat_page import SOON_MS, Chat, tab
from tests.support.comparing_page import both, side
from tests.support.openai_server import DONE, Gate, finish, stream, usage
from tests.support.postgres_server import Postgres
from tests.support.replicas import Site
from tests.support.waiting import until
from tests.test_browser_replicas import Guest, Parley, guests, one_on_each, other

pytestmark = pytest.mark.browser
TOML = """
[statsig_openai_integration]
compare = 100
[statsig_openai_integration.groups]
Hidden-control = { weight = 1, parameters = { model = "secret-one" } }
Hidden-test = { weight = 1, parameters = { model = "secret-two" } }
"""


@pytest.fixture(scope="module")
def parley(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parley]:
    """The site where every unit compares."""
    if not replicas.haproxy():
        pytest.skip("there is no haproxy (on Debian: apt-get install haproxy)")
    folder = tmp_path_factory.mktemp("comparing")
    definitions: Path = folder / "experiments.toml"
    definitions.write_text(TOML)
    with ExitStack() as stack:
        model, database = stack.enter_context(openai.serve()), postgres.database()
        settings = {
            "DATABASE_URL": database,
            "OPENAI_BASE_URL": model.base_url,
            "PARLEY_EXPERIMENTS_FILE": str(definitions),
            "PARLEY_SIGNING_KEY": "k" * 43,
            "PARLEY_TRUSTED_PROXIES": "127.0.0.1",
            "STREAMLIT_SERVER_COOKIE_SECRET": "c" * 43,
            "PARLEY_OPERATOR_TOKEN": "t" * 43,
        }
        site = stack.enter_context(replicas.serve(folder, settings))
        yield Parley(site, model, None, postgres, database)  # type: ignore[arg-type]  # these tests need no Statsig


@pytest.fixture
def site(parley: Parley) -> Site:
    """The site with both replicas running, and with a model server that has forgotten every earlier test."""
    parley.site.heal()
    parley.model.forget()
    return parley.site


def grow(guest: Guest, model: openai.Server, gate: Gate) -> None:
    """Ask a question, and wait until both answers have begun; the gate holds their ends."""
    replies = (stream(f"{which} words", gate, " end.", finish(), usage(3, 2), DONE) for which in ("one", "two"))
    model.script(*both(*replies))
    guest.chat.send("Question")
    for letter in "AB":
        expect(side(guest.chat, letter)).to_contain_text("words", timeout=SOON_MS)


def test_a_comparison_goes_on_and_is_voted_on_at_the_other_replica(
    browser: Browser, parley: Parley, site: Site
) -> None:
    gate = Gate()
    with one_on_each(browser, parley) as by_name:
        name, guest = next(iter(by_name.items()))
        grow(guest, parley.model, gate)
        cookies = [cookie for cookie in guest.context.cookies() if cookie["name"] != replicas.COOKIE]
        with browser.new_context() as context:
            route = [one for one in by_name[other(name)].context.cookies() if one["name"] == replicas.COOKIE]
            context.add_cookies([*cookies, *route])  # type: ignore[list-item]
            with tab(context, site.front(), f"/?c={guest.chat.conversation_id}") as there:
                for letter in "AB":
                    expect(side(there, letter)).to_contain_text("words", timeout=SOON_MS)
                gate.open()
                expect(there.button("Both bad")).to_be_visible(timeout=SOON_MS)
                there.button("A is better").click()
                expect(there.text("Saved, thank you")).to_be_visible()
        guest.chat.idle()
        assert len(preferences(parley, guest.chat)) == 1 and len(parley.model.requests) == 2


def test_a_killed_replica_leaves_both_answers_as_far_as_they_came(browser: Browser, parley: Parley, site: Site) -> None:
    with guests(browser, parley, 1) as [guest]:
        grow(guest, parley.model, Gate())
        ours = guest.chat.conversation_id
        until(lambda: stored(parley, ours))
        site.replica(guest.replica).kill()
        for letter in "AB":
            expect(side(guest.chat, letter)).to_contain_text("Interrupted", timeout=SOON_MS)
            expect(side(guest.chat, letter)).to_contain_text("words")
        parley.expect_ends(ours, "interrupted", "interrupted")
        parley.model.script(*both(*(openai.answer(f"{which} again") for which in ("one", "two"))))
        guest.chat.button("Try again").click()
        for letter in "AB":
            expect(side(guest.chat, letter)).to_contain_text("again", timeout=SOON_MS)
        guest.chat.button("Both good").click()
        expect(guest.chat.text("Saved, thank you")).to_be_visible()
        assert preferences(parley, guest.chat) == ["tie"]
        assert guest.page.evaluate("window.neverReloaded") is True


def stored(parley: Parley, conversation_id: str) -> bool:
    """Return True once the text of both answers is in the record."""
    with parley.store() as store:
        life = store.conversations.get(conversation_id, owner(parley, conversation_id))
    return life is not None and all(one.answer for one in life.turns[-1].sides)


def owner(parley: Parley, conversation_id: str) -> str:
    with parley.store() as store, store.read() as connection:
        of = select(schema.conversation.c.visitor_id).where(schema.conversation.c.id == conversation_id)
        return str(connection.scalar(of))


def preferences(parley: Parley, chat: Chat) -> list[object]:
    """Return the votes on the comparisons of a conversation, oldest first."""
    return [
        line["value"]
        for line in parley.lines()
        if line["name"] == "preference" and line["metadata"]["conversation_id"] == chat.conversation_id
    ]
