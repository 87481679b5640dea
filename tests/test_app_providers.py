"""Two model servers side by side in one app: each group is asked, rated and counted at its provider."""

from contextlib import ExitStack, closing
from pathlib import Path

from lib.app import App
from lib.domain.models import CONTROL_MODEL
from lib.domain.visitor import Visitor
from lib.settings import load
from tests.support.openai_server import answer, serve
from tests.support.waiting import ENOUGH_S

NAME = "statsig_openai_integration"
EXPERIMENTS = f"""
[{NAME}]
default = {{ model = "{CONTROL_MODEL}" }}
[{NAME}.groups]
Control = {{ weight = 50, parameters = {{ model = "{CONTROL_MODEL}" }} }}
Test = {{ weight = 50, parameters = {{ model = "llama3.2", provider = "local" }} }}
"""


def test_each_group_is_answered_rated_and_counted_at_its_provider(tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS, encoding="utf-8")
    with ExitStack() as stack:
        hosted, local = stack.enter_context(serve()), stack.enter_context(serve())
        hosted.script(otherwise=answer("Hosted."))
        local.script(otherwise=answer("Local."))
        own = {"DATABASE_URL": f"sqlite:///{tmp_path}/parley.db", "PARLEY_EXPERIMENTS_FILE": str(file)}
        own |= {"OPENAI_BASE_URL": hosted.base_url, "OPENAI_API_KEY": "sk-key", "PARLEY_SIGNING_KEY": "k" * 32}
        settings = load(own | {"PARLEY_PROVIDER_LOCAL_URL": local.base_url}, tmp_path / "none.toml")
        app = stack.enter_context(closing(App.open(settings)))
        for group, text in (("Control", "Hosted."), ("Test", "Local.")):
            who = Visitor(group, group, group, group)
            assignment = app.experiments.force(who, NAME, group)
            conversation, running = app.conversations.ask(who, None, "Why?", set(), assignment=assignment)
            news = running.follow()
            while news(10, 0.0) is not None:
                pass
            running.seen = True
            conversation = app.conversations.settle(conversation, running)
            assert conversation.turns[-1].answer == text
            app.conversations.rate(conversation, conversation.turns[-1], "satisfaction")
        assert app.store.write(lambda _: None).wait(ENOUGH_S)
        recorded = [
            event for event in app.store.events.export() if event["name"] in ("chat_completion", "satisfaction")
        ]
        assert [(event["metadata"]["group"], event["metadata"]["provider"]) for event in recorded] == [
            ("Control", "openai"), ("Control", "openai"), ("Test", "local"), ("Test", "local"),
        ]  # fmt: skip
        assert ["cost_usd" in event["metadata"] for event in recorded] == [True, True, False, False]
        numbers = app.metrics.text().decode()
        for provider in ("openai", "local"):
            assert f'parley_provider_answers_total{{finish_reason="stop",provider="{provider}"}} 1.0' in numbers
        assert (len(hosted.requests), len(local.requests)) == (1, 1)
