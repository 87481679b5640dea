"""Simulated visitors: their properties, the real path that they take, and their separation from real ones."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import pytest
from sqlalchemy import func, select

from lib.app import App
from lib.demo import serve
from lib.demo.behaviour import ALIKE, SATISFIED, acts, tastes, visitor
from lib.demo.comparing import COMPARING
from lib.demo.visitors import Played, Unplayable, play
from lib.domain.assignment import Assignment
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Conversation, Question
from lib.domain.events import chat_completion, exposure, rating
from lib.experiments.evaluator import read_file
from lib.planning.power import TIES, win_share
from lib.readout.verdicts import read, scope_of
from lib.settings import Settings, load
from lib.store import Store
from lib.store.schema import answer, conversation, event, message, outbox
from lib.store.schema import exposure as exposures
from lib.store.simulated import has_simulated, remove_simulated, spread
from lib.store.tallies import only_simulated, tally
from tests.support.app_process import ROOT
from tests.support.operator_tool import run_tool
from tests.support.statsig_server import Statsig
from tests.support.waiting import ENOUGH_S

EXPERIMENTS = ROOT / ".streamlit/experiments.toml"
EXPERIMENT = "statsig_openai_integration"
TABLES = (answer, conversation, event, exposures, message)
SEED, USERS = 7, 10

Open = Callable[..., App]


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """The demo model, answering at once."""
    with serve(math.inf) as url:
        yield url


@pytest.fixture
def start(tmp_path: Path, model_url: str) -> Iterator[Open]:
    """Yield a function that opens an app in front of the demo model with these settings; close all apps at the end."""
    with ExitStack() as stack:

        def begin(**environ: str) -> App:
            return stack.enter_context(closing(App.open(settings(tmp_path, **environ), model_url)))

        yield begin


def settings(folder: Path, **environ: str) -> Settings:
    own = {"DATABASE_URL": f"sqlite:///{folder}/parley.db", "PARLEY_EXPERIMENTS_FILE": str(EXPERIMENTS)}
    own |= {"PARLEY_SIGNING_KEY": "k" * 32, "PARLEY_LOG_LEVEL": "error"}
    return load(own | environ, folder / "no-secrets.toml")


def export_events(app: App) -> list[dict[str, Any]]:
    assert app.store.write(lambda _: None).wait(ENOUGH_S)  # earlier writes are done
    return list(app.store.events.export())


def rows(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES}


def what_they_did(app: App) -> dict[str, list[tuple[str, Any, Any, Any]]]:
    """Return the name, value, group and turn of each visitor's events, in order."""
    did: dict[str, list[tuple[str, Any, Any, Any]]] = {}
    for line in export_events(app):
        metadata = line["metadata"]
        described = line["name"], line["value"], metadata["group"], metadata.get("turn")
        did.setdefault(line["user_id"], []).append(described)
    return {user: sorted(described, key=str) for user, described in did.items()}


def record_real_answer(store: Store) -> None:
    """Record one real visitor's question, answer and thumb."""
    assigned = Assignment(EXPERIMENT, "Test", "Test", "ann", {"userID": "ann"}, {"model": "large-model"})
    question = Question("a-real", "c-real", "s-real", 1, "large-model", assigned)
    completion = Completion("Because.", "stop", 1.0)
    ended = chat_completion(question, completion)
    store.conversations.ask(Conversation("c-real", "ann", assigned), question, "Why?", exposure(assigned, "s-real"))
    store.conversations.finish(question, completion, ended)
    assert store.conversations.rate(
        "a-real", "satisfaction", rating(question, ended.metadata, "satisfaction", 1.0)
    ).wait(ENOUGH_S)


# Properties


def thumbs_and_ratings(lift: float = 0.0, users: int = 4_000) -> list[tuple[int, int]]:
    """Return the numbers of thumbs up and of ratings of each visitor that rated."""
    final = [[act.votes[-1] for act in acts(1, number, lift) if act.votes] for number in range(users)]
    counts = [(votes.count("satisfaction"), len([vote for vote in votes if vote])) for votes in final]
    return [(up, rated) for up, rated in counts if rated]


@pytest.mark.parametrize("lift", [0.0, 0.1, 0.3, -0.2])
def test_satisfaction_rises_by_the_lift(lift: float) -> None:
    units = thumbs_and_ratings(lift)
    share = sum(up for up, _ in units) / sum(rated for _, rated in units)
    assert share == pytest.approx(SATISFIED + lift, abs=0.02)  # over three standard errors of the ratio


def test_a_lift_changes_votes_and_nothing_else() -> None:
    for number in range(200):
        without, lifted = acts(1, number), acts(1, number, 0.2)
        assert [(act.prompt, act.pause, len(act.votes)) for act in without] == [
            (act.prompt, act.pause, len(act.votes)) for act in lifted
        ]
        for one, other in zip(without, lifted, strict=True):
            assert one.votes[-1:] != ("satisfaction",) or other.votes[-1:] == ("satisfaction",)


def test_visitors_differ_more_than_chance_would_have_it() -> None:
    units = [(up, rated) for up, rated in thumbs_and_ratings() if rated >= 5]
    shares = [up / rated for up, rated in units]
    binomial = fmean(SATISFIED * (1 - SATISFIED) / rated for _, rated in units)
    alike = (pvariance(shares) - binomial) / (SATISFIED * (1 - SATISFIED))
    assert alike == pytest.approx(1 / (1 + ALIKE), abs=0.06)


def test_some_ask_once_and_some_a_lot_and_not_every_answer_is_rated() -> None:
    answers = [len(acts(1, number)) for number in range(2_000)]
    assert min(answers) == 1 and max(answers) >= 15 and 2.5 < fmean(answers) < 5
    rated = [bool(act.votes) for number in range(2_000) for act in acts(1, number)]
    assert 0.5 < fmean(rated) < 0.7


def test_every_seed_and_number_is_another_visitor() -> None:
    ids = {visitor(seed, number).user_id for seed in range(20) for number in range(100)}
    assert len(ids) == 2_000


# The path


def test_the_same_seed_does_the_same_again(start: Open, tmp_path: Path) -> None:
    first, again, other = (start(DATABASE_URL=f"sqlite:///{tmp_path}/{name}.db") for name in "abc")
    for app, seed in ((first, SEED), (again, SEED), (other, SEED + 1)):
        play(app, USERS, seed)
    assert what_they_did(first) == what_they_did(again)
    assert what_they_did(first).keys().isdisjoint(what_they_did(other))


def test_they_leave_the_events_of_real_testers_each_one_marked(start: Open) -> None:
    app = start()
    reported: list[int] = []
    played = play(app, USERS, SEED, progress=reported.append)
    events = export_events(app)
    assert played.saved and reported == list(range(1, USERS + 1))
    assert all(line["metadata"]["simulated"] is True for line in events)
    names = Counter(line["name"] for line in events)
    total = count_events(played)
    assert total["visitors"] == names["exposure"] == USERS
    assert total["answers"] == names["chat_completion"] == rows(app.store)["answer"]
    assert {"satisfaction", "dissatisfaction", "feedback_reason"} <= names.keys()
    assert {line["value"] for line in events if line["name"] == "chat_completion"} == {"stop"}
    assert all(line["metadata"]["completion_tokens"] > 0 for line in events if line["name"] == "chat_completion")


def test_housekeeping_does_not_end_their_answers(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that no follower has seen by the end of its grace is abandoned; simulated ones have a follower."""
    monkeypatch.setattr("lib.chat.generation.GRACE", 3_600.0)
    app = start()
    play(app, 3, SEED)
    ended = [line["metadata"]["answer_id"] for line in export_events(app) if line["name"] == "chat_completion"]
    answers = [app.generations.get(answer_id) for answer_id in ended]
    assert answers and all(answer and answer.seen for answer in answers)


def test_a_lift_reaches_the_treatment_alone(start: Open, tmp_path: Path) -> None:
    plain, lifted = (start(DATABASE_URL=f"sqlite:///{tmp_path}/{name}.db") for name in ("plain", "lifted"))
    without, with_lift = play(plain, 2 * USERS, SEED), play(lifted, 2 * USERS, SEED, lift=1 - SATISFIED)
    assert with_lift.groups["Control"] == without.groups["Control"]
    test = with_lift.groups["Test"]
    assert test["liked"] == test["rated"] == without.groups["Test"]["rated"] > without.groups["Test"]["liked"]


def test_the_readout_counts_the_played_visits(start: Open) -> None:
    app = start()
    played = play(app, 2 * USERS, SEED)
    definition = app.experiments.definitions[EXPERIMENT]
    result = read(tally(app.store.read, scope_of(definition, simulated=True)), definition, None)
    for group, counts in played.groups.items():
        satisfaction, answers = result.metrics["satisfaction"].sums[str(group)], result.metrics["error_rate"]
        assert (satisfaction.n, satisfaction.sx, satisfaction.sy) == (
            counts["visitors"], counts["liked"], counts["rated"],
        )  # fmt: skip
        assert answers.sums[str(group)].sy == counts["answers"]


def test_statsig_assigns_them_and_receives_no_event_of_them(start: Open, statsig: Statsig) -> None:
    statsig.specs = read_file(EXPERIMENTS)[0]
    app = start(STATSIG_SECRET_KEY="secret-for-tests", STATSIG_API_URL=statsig.url)
    assert set(play(app, USERS, SEED).groups) == {"Control", "Test"}
    with app.store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox)) == 0
    record_real_answer(app.store)
    statsig.wait(lambda: len(statsig.events) >= 3)
    assert {sent["user"]["userID"] for sent in statsig.events} == {"ann"}


def test_without_two_groups_no_visitor_comes(start: Open, tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text("[lonely.groups]\nA = { weight = 1 }\n")
    for name, problem in (("lonely", "one group only"), ("unheard-of", "no experiment unheard-of")):
        app = start(PARLEY_EXPERIMENTS_FILE=str(file), PARLEY_EXPERIMENT=name)
        with pytest.raises(Unplayable, match=problem):
            play(app, 1, SEED)
        assert export_events(app) == []


def test_a_visit_without_a_group_is_counted(start: Open, tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS.read_text().replace("allocation = 100", "allocation = 0"))
    played = play(start(PARLEY_EXPERIMENTS_FILE=str(file)), 3, SEED, lift=0.3)
    assert list(played.groups) == [None] and played.groups[None]["visitors"] == 3


def test_an_interrupted_visitor_leaves_soon(start: Open) -> None:
    app = start()

    def enough(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(app, 500, SEED, progress=enough)
    assert len({line["user_id"] for line in export_events(app)}) < 50


# Beside real ones


def test_real_and_simulated_visitors_never_share_a_readout(start: Open) -> None:
    app = start()
    play(app, USERS, SEED)
    with app.store.read() as connection:
        assert only_simulated(connection, EXPERIMENT)
    record_real_answer(app.store)
    with app.store.read() as connection:
        assert not only_simulated(connection, EXPERIMENT)
    counted = tally(app.store.read, scope_of(app.experiments.definitions[EXPERIMENT]))
    assert {group: sums.n for group, sums in counted.sums["answers_per_user"].items()} == {"Test": 1}


def test_removing_them_leaves_real_data(start: Open, database_url: str) -> None:
    app = start(DATABASE_URL=database_url)
    record_real_answer(app.store)
    real = rows(app.store), export_events(app)
    play(app, USERS, SEED)
    assert has_simulated(app.store) and rows(app.store) != real[0]
    gone = remove_simulated(app.store)
    assert gone > 4 * USERS
    assert (rows(app.store), export_events(app)) == real
    assert not has_simulated(app.store) and remove_simulated(app.store) == 0


def test_removing_goes_on_over_many_pieces(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = start()
    play(app, USERS, SEED)
    monkeypatch.setattr("lib.store.simulated.PIECE", 7)
    there = sum(rows(app.store).values())
    assert remove_simulated(app.store) == there
    assert set(rows(app.store).values()) == {0}


def test_sample_visitors_can_be_spread_over_days(start: Open, database_url: str) -> None:
    app = start(DATABASE_URL=database_url)
    record_real_answer(app.store)
    before, began = {line["event_id"]: line for line in export_events(app)}, now_ms()
    play(app, USERS, SEED)
    came = {line["event_id"]: line["time"] for line in export_events(app)}
    spread(app.store, 5, began)
    moved: dict[str, set[int]] = {}
    for line in export_events(app):
        by_ms = came[line["event_id"]] - line["time"]
        moved.setdefault(line["user_id"], set()).add(by_ms)
        assert by_ms == 0 or line["event_id"] not in before
    assert moved.pop("ann") == {0}
    assert all(len(shifts) == 1 for shifts in moved.values())  # a visit moves as a whole
    days = Counter(shifts.pop() // DAY_MS for shifts in moved.values())
    assert days == dict.fromkeys(range(5), USERS / 5)
    with app.store.read() as connection:
        early = select(func.count()).where(answer.c.time_ms < began - DAY_MS // 2)
        assert connection.scalar(early.where(answer.c.simulated)) == connection.scalar(
            select(func.count()).where(message.c.asked_ms < began - DAY_MS // 2)
        )


def test_a_visitor_that_was_spread_is_not_moved_again(start: Open) -> None:
    app = start()
    began = now_ms()
    play(app, USERS, SEED)
    spread(app.store, 5, began)
    once = export_events(app)
    play(app, 2, SEED + 1)
    later = now_ms()
    spread(app.store, 5, later)
    assert [line for line in export_events(app) if line in once] == once


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".streamlit").mkdir()
    shutil.copy(EXPERIMENTS, tmp_path / ".streamlit")
    return tmp_path


def test_the_command_fills_the_database_and_the_readout_says_so(folder: Path) -> None:
    run = run_tool(folder, "simulate", "--users", "6", "--seed", "3", "--lift", "0.2")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("6 simulated visitors in ") and "python -m lib readout" in run.stdout
    rows = {line.split()[0]: line.split()[1:] for line in run.stdout.splitlines()[2:4]}
    assert sum(int(counts[0]) for counts in rows.values()) == 6
    shown = json.loads(run_tool(folder, "readout", "--json").stdout)
    assert shown["sentence"].startswith("In simulated data:")
    assert shown["srm"]["counts"] == {group: int(counts[0]) for group, counts in rows.items()}


@pytest.mark.parametrize(
    "words, problem",
    [
        (["--users", "0", "--seed", "1"], "a whole number above 0"),
        (["--users", "5"], "--seed"),
        (["--users", "5", "--seed", "1", "--lift", "0.4"], "from -0.65 to 0.35"),
        (["--users", "5", "--seed", "1", "--lift", "nan"], "impossible"),
        (["--users", "5", "--seed", "1", "--check", "0"], "a whole number above 0"),
    ],
)
def test_an_impossible_simulation_is_a_usage_error(folder: Path, words: list[str], problem: str) -> None:
    run = run_tool(folder, "simulate", *words)
    assert (run.returncode, run.stdout) == (2, "")
    assert problem in run.stderr and "Traceback" not in run.stderr
    assert not (folder / "data").exists()


def test_the_help_names_the_parts_that_the_check_leaves_out(folder: Path) -> None:
    run = " ".join(run_tool(folder, "simulate", "--help").stdout.split())
    assert "no answer is generated" in run and "in memory" in run


def count_events(played: Played) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in played.groups.values():
        total.update(counts)
    return total


# Comparers


def test_visitors_compare_where_the_experiment_asks_for_it(start: Open, tmp_path: Path) -> None:
    definitions = tmp_path / "compare.toml"
    definitions.write_text(EXPERIMENTS.read_text().replace("allocation = 100", "allocation = 100\ncompare = 100", 1))
    app = start(PARLEY_EXPERIMENTS_FILE=str(definitions))
    played = play(app, 6, SEED, lift=0.3)
    assert played.saved and list(played.groups) == [COMPARING]
    counts = played.groups[COMPARING]
    events = Counter(line["name"] for line in export_events(app))
    assert events["exposure"] == 0 and events["preference"] == counts["voted"] > 0
    assert all(line["metadata"]["simulated"] for line in export_events(app))
    definition = app.experiments.definition(EXPERIMENT)
    assert definition is not None
    readout = read(tally(app.store.read, scope_of(definition, simulated=True)), definition, now_ms())
    assert readout.comparisons is not None and readout.comparisons.treatments["Test"].numbers.votes == counts["voted"]
    assert only_simulated_in(app.store)
    remove_simulated(app.store)
    assert not has_simulated(app.store) and tally(app.store.read, scope_of(definition, simulated=True)).votes == {}


def only_simulated_in(store: Store) -> bool:
    with store.read() as connection:
        return only_simulated(connection, EXPERIMENT)


def test_a_comparers_taste_follows_the_lift() -> None:
    votes = Counter(vote for number in range(300) for vote in islice(tastes(1, number, lift=0.2), 10))
    decided = votes["treatment"] + votes["control"]
    assert abs(votes["treatment"] / decided - win_share(SATISFIED, 0.2)) < 0.03
    assert abs(1 - decided / votes.total() - TIES) < 0.03
    assert list(islice(tastes(1, 5), 20)) == list(islice(tastes(1, 5), 20))
