"""The players of `make load`, a few of them against the running app: every question is answered, every vote
recorded."""

import asyncio
from collections import Counter

from tests.load.crowd import Crowd
from tests.load.outside import reply
from tests.load.player import Player
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Record
from tests.support.waiting import until_async

PLAYERS, ENOUGH = 4, 2


def test_players_read_whole_answers_and_their_votes_are_in_the_record(
    chat_app: app_process.AppProcess, model: openai.Server, record: Record
) -> None:
    model.script(otherwise=lambda request: reply(request, delay_s=0.05, tokens=30, per_s=100))
    crowd = asyncio.run(play(chat_app.url))
    assert not crowd.errors
    assert crowd.left == len(crowd.asked) == crowd.votes >= PLAYERS * ENOUGH
    assert all(0.05 < one.first_s < one.whole_s for one in crowd.asked)
    counted = Counter((event["name"], event["value"]) for event in record.events())
    assert counted["chat_completion", "stop"] == len(crowd.asked) == len(model.requests)
    assert counted["satisfaction", 1] + counted["dissatisfaction", 1] == crowd.votes


async def play(url: str) -> Crowd:
    async with Crowd([url]) as crowd:
        await crowd.open(PLAYERS)
        await crowd.begin(over_s=0.1)
        await until_async(lambda: len(crowd.asked) >= PLAYERS * ENOUGH or crowd.errors)
        await crowd.end()
    return crowd


def test_a_page_that_waits_for_nothing_asks_for_nothing(chat_app: app_process.AppProcess, model: openai.Server) -> None:
    model.script(otherwise=lambda request: reply(request, delay_s=0.0, tokens=5, per_s=100))
    assert asyncio.run(fragments_after_a_vote(chat_app)) == 0


async def fragments_after_a_vote(app: app_process.AppProcess) -> int:
    """Return the number of page parts that rerun by themselves once a vote is written."""
    async with Player(app.url) as player:
        await player.ask("q1-")
        await player.rate(True)
        await asyncio.to_thread(app.wait_written)
        await player.look()
        return player.repeating
