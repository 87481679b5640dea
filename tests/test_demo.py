import ast
import itertools
import json
import logging
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.demo import Demo, serve
from lib.demo.knowledge import Knowledge
from lib.demo.server import MODELS
from lib.demo.wire import tokens
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from tests.support.app_process import ROOT
from tests.support.syntax import parsed
from tests.support.waiting import ENOUGH_S, until

README = """# Parley
A chat with an experiment inside. ![picture](docs/page.png)

## Settings
These can be set:

| name | default | meaning |
|---|---|---|
| `PARLEY_TITLE` | `Parley` | the name of the app |
| `PARLEY_UNIT` | `visitor` | see [units](docs/units.md) |

## Privacy
Text is deleted after ninety days.

```sh
# erase a person, now
python -m lib erase --user ID
```
<!-- a note to the writers -->
"""
PREPARED = [
    "What is Parley?",
    "How does Parley decide which model is better?",
    "Show me a table of planets",
    "Write a haiku in Python",
]
ALONE = Knowledge(Path("no/readme"))
UNKNOWN = "What is the capital of France?"
CANNOT = "To ask anything else"


@pytest.fixture(scope="module")
def readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme") / "README.md"
    path.write_text(README)
    return path


@pytest.fixture(scope="module")
def knowledge(readme: Path) -> Knowledge:
    return Knowledge(readme)


@pytest.fixture(scope="module")
def client(readme: Path) -> Iterator[openai.OpenAI]:
    """A client of a server that answers without pauses."""
    with serve(math.inf, readme) as url, openai.OpenAI(base_url=url, api_key="any", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def http(client: openai.OpenAI) -> Iterator[httpx2.Client]:
    """A plain HTTP client of the same server."""
    with httpx2.Client(base_url=str(client.base_url), timeout=ENOUGH_S) as opened:
        yield opened


@pytest.fixture
def paced(readme: Path) -> Iterator[tuple[Demo, openai.OpenAI]]:
    """A server that answers at its normal pace, and its client."""
    demo = Demo(readme=readme).start()
    with openai.OpenAI(base_url=demo.base_url, api_key="any", max_retries=0) as opened:
        yield demo, opened
    demo.stop()


@pytest.fixture
def slow(readme: Path) -> Iterator[tuple[Demo, openai.OpenAI]]:
    """A server whose answers last for minutes, and its client."""
    demo = Demo(0.01, readme).start()
    with openai.OpenAI(base_url=demo.base_url, api_key="any", max_retries=0) as opened:
        yield demo, opened
    demo.stop()


def request_body(question: str, **more: Any) -> dict[str, Any]:
    return {"model": TEST_MODEL, "messages": [{"role": "user", "content": question}], **more}


def text(client: openai.OpenAI, question: str, **more: Any) -> str:
    return client.chat.completions.create(**request_body(question, **more)).choices[0].message.content or ""


# Answers


@pytest.mark.parametrize("question", PREPARED)
@pytest.mark.parametrize("thorough", [False, True])
def test_prepared_answers_need_no_readme(question: str, thorough: bool, knowledge: Knowledge) -> None:
    answer = ALONE.answer(question, thorough=thorough)
    assert len(answer) > 80
    assert CANNOT not in answer
    assert answer == knowledge.answer(question, thorough=thorough)


def test_every_suggestion_of_the_empty_page_has_an_answer() -> None:
    page = parsed(ROOT / "pages" / "chat" / "page.py")
    values = [
        node.value
        for node in page.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEMO_SUGGESTIONS"
    ]
    suggestions, parley = ast.literal_eval(values[0]), Knowledge()
    assert len(suggestions) >= 3
    for question, thorough in itertools.product(suggestions, [False, True]):
        assert CANNOT not in parley.answer(question, thorough=thorough), question


def test_the_thorough_model_structures_the_quick_ones_short_answer(knowledge: Knowledge) -> None:
    quick, thorough = (knowledge.answer("What is Parley?", thorough=kind) for kind in (False, True))
    assert quick.count("\n") < 5
    assert "## " in thorough
    assert "\n1. " in thorough
    assert "\n|---|" in thorough
    assert len(thorough) > 2 * len(quick)


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Write a haiku in Python", "```python"),
        ("please write some python code", "```python"),
        ("Explain Bayes' theorem", r"\frac{P(B \mid A)"),
        ("What's the quadratic formula?", r"\sqrt{b^2 - 4ac}"),
        ("Should I use SQLite or PostgreSQL?", "|---|---|---|"),
        ("How can I plan an experiment?", "\n- "),
        ("how does the experiment work", r"\hat\Delta"),
        ("How do I connect Ollama?", "OPENAI_BASE_URL"),
    ],
)
def test_markdown_of_every_kind_can_be_had(question: str, part: str, knowledge: Knowledge) -> None:
    assert part in knowledge.answer(question, thorough=True)


def test_code_that_is_shown_runs() -> None:
    for question, thorough in itertools.product(["Write a haiku in Python", "Write a Python function"], [False, True]):
        code = ALONE.answer(question, thorough=thorough).split("```python")[1].split("```")[0]
        run = subprocess.run([sys.executable, "-I", "-W", "error", "-c", code], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def test_a_question_about_parley_is_answered_from_the_readme(knowledge: Knowledge) -> None:
    answer = knowledge.answer("What about privacy?", thorough=True)
    assert "Text is deleted after ninety days." in answer
    assert "# erase a person, now" in answer
    assert "From the README" in answer


def test_a_table_of_the_settings_is_the_readmes(knowledge: Knowledge) -> None:
    for thorough in (False, True):
        assert "| `PARLEY_TITLE` | `Parley` |" in knowledge.answer("Show me a table of the settings", thorough=thorough)


def test_nothing_is_quoted_that_a_chat_cannot_show(knowledge: Knowledge) -> None:
    everything = "".join(topic.long + topic.short for topic in knowledge._chapters)
    assert "see units" in everything
    assert "docs/" not in everything
    assert "writers" not in everything


@pytest.mark.parametrize("question", [UNKNOWN, "Tell me a joke", "xyzzy", "", "???", "🙂", "Who won in 1998?"])
def test_it_says_that_it_does_not_know(question: str, knowledge: Knowledge) -> None:
    for thorough in (False, True):
        answer = knowledge.answer(question, thorough=thorough)
        assert "demo model" in answer
        assert CANNOT in answer
        assert "OPENAI_API_KEY" in answer


def test_it_does_not_reveal_its_model(knowledge: Knowledge) -> None:
    for thorough in (False, True):
        answer = knowledge.answer("Which model are you?", thorough=thorough)
        assert "demo model" in answer
        assert "gpt" not in answer.lower()


def test_the_same_question_and_seed_get_the_same_answer(readme: Path) -> None:
    answers = [
        {seed: Knowledge(readme).answer(UNKNOWN, thorough=False, seed=seed) for seed in range(20)} for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert len(set(answers[0].values())) > 1


# Protocol


def test_its_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == list(MODELS)
    assert client.models.retrieve(TEST_MODEL).id == TEST_MODEL


def test_a_stream_is_the_same_answer_in_pieces_with_usage_at_the_end(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**request_body("What is Parley?"))
    request = request_body("What is Parley?", stream=True, stream_options={"include_usage": True})
    chunks = list(client.chat.completions.create(**request))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert {chunk.model for chunk in chunks} == {TEST_MODEL}
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_being_asked_a_stream_carries_no_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(**request_body("Hello", stream=True)))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_the_stream_ends_as_openais_does(http: httpx2.Client) -> None:
    answer = http.post("chat/completions", json=request_body("Hello", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert all(json.loads(event.removeprefix("data: "))["object"] == "chat.completion.chunk" for event in events[:-1])


def test_usage_counts_the_words_of_both_sides(client: openai.OpenAI) -> None:
    short = client.chat.completions.create(**request_body("Hello")).usage
    long = client.chat.completions.create(**request_body("What is Parley? " + "word " * 1000)).usage
    assert short and long
    assert long.prompt_tokens > short.prompt_tokens + 900
    assert short.total_tokens == short.prompt_tokens + short.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_at_max_tokens(stream: bool, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**request_body("What is Parley?", max_tokens=5, stream=stream))
    if isinstance(answer, openai.Stream):
        assert [chunk.choices[0].finish_reason for chunk in answer][-1] == "length"
    else:
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage and answer.usage.completion_tokens == 5


def test_an_answer_ends_before_a_stop_sequence(client: openai.OpenAI) -> None:
    whole = text(client, "What is Parley?")
    assert text(client, "What is Parley?", stop=["experiment"]) == whole.split("experiment")[0]


def test_the_last_question_is_the_one_that_is_answered(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "Write a haiku in Python"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is Parley?"},
        {"role": "assistant", "content": "A chat."},
        {"role": "user", "content": parts},
    ]
    assert text(client, "", messages=messages) == text(client, "Write a haiku in Python")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_type"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "messages[0].role", None),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"model": ""}, "model", None),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"top_p": "high"}, "top_p", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"seed": True}, "seed", "invalid_type"),
        ({"stop": [1]}, "stop", "invalid_type"),
        ({"stream_options": 1}, "stream_options", "invalid_type"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
    ],
)
def test_a_refused_parameter_is_a_400_that_names_it(
    change: dict[str, Any], param: str, code: str | None, http: httpx2.Client
) -> None:
    answer = http.post("chat/completions", json=request_body("Hello") | change)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert error["message"]


def test_null_means_not_set(http: httpx2.Client) -> None:
    nothing = dict.fromkeys(["temperature", "max_tokens", "stop", "seed", "stream", "stream_options"])
    assert http.post("chat/completions", json=request_body("Hello") | nothing).status_code == 200


def test_another_model_does_not_exist(client: openai.OpenAI) -> None:
    for ask in (lambda: client.models.retrieve("no-model"), lambda: text(client, "Hello", model="no-model")):
        with pytest.raises(openai.NotFoundError, match="no-model") as caught:
            ask()
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "chat/completions", 405, "method_not_supported"),
        ("POST", "models", 405, "method_not_supported"),
        ("POST", "embeddings", 404, "unknown_url"),
        ("GET", "", 404, "unknown_url"),
    ],
)
def test_an_unknown_address_has_openais_shape_of_an_error(
    method: str, path: str, status: int, code: str, http: httpx2.Client
) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": TEST_MODEL, "messages": "\\ud800"}']
)
def test_a_body_that_is_not_a_request_gets_400(body: bytes, http: httpx2.Client) -> None:
    answer = http.post("chat/completions", content=body)
    assert answer.status_code == 400
    assert "JSON body" in answer.json()["error"]["message"]


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(written: str) -> None:
    assert "".join(tokens(written)) == written


@given(st.text())
def test_every_text_gets_an_answer(written: str) -> None:
    assert ALONE.answer(written, thorough=True)


# Behaviour


@pytest.mark.alone
@pytest.mark.parametrize(("model", "first", "rate"), [(CONTROL_MODEL, (0.15, 0.4), 90), (TEST_MODEL, (0.5, 0.9), 60)])
def test_an_answer_comes_at_its_models_pace(
    model: str, first: tuple[float, float], rate: float, paced: tuple[Demo, openai.OpenAI]
) -> None:
    began = time.monotonic()
    stream = paced[1].chat.completions.create(**request_body("Hello", model=model, stream=True))
    times = [time.monotonic() - began for chunk in stream if chunk.choices[0].delta.content]
    assert first[0] <= times[0] < first[1] + 5
    assert (len(times) - 1) / 120 <= times[-1] - times[0] + 0.05
    assert times[-1] - times[0] < len(times) / rate + 5


def test_many_answers_run_at_once(slow: tuple[Demo, openai.OpenAI]) -> None:
    demo, client = slow
    with ThreadPoolExecutor(10) as threads:
        asked = [threads.submit(text, client, "What is Parley?") for _ in range(10)]
        until(lambda: demo.running == 10)
        demo.stop()
        ends = [one.exception(ENOUGH_S) for one in asked]
    assert all(isinstance(end, openai.InternalServerError) for end in ends) and demo.running == 0


def test_an_answer_without_a_reader_ends(slow: tuple[Demo, openai.OpenAI]) -> None:
    demo, client = slow
    with client.chat.completions.create(**request_body("What is Parley?", stream=True)):
        until(lambda: demo.running == 1)
    until(lambda: demo.running == 0)


def test_stopping_breaks_off_running_answers_and_frees_the_port(readme: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # an earlier test may have switched on more of uvicorn's lines
    earlier = set(threading.enumerate())
    demo = Demo(0.2, readme).start()
    port = int(demo.base_url.removesuffix("/v1").rpartition(":")[2])
    with openai.OpenAI(base_url=demo.base_url, api_key="any", max_retries=0) as client:
        stream = iter(client.chat.completions.create(**request_body("What is Parley?", stream=True)))
        next(stream)
        demo.stop()
        with pytest.raises(openai.APIError, match="ending"):
            list(stream)
    demo.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert not [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio"))]
    assert not [thread for thread in set(threading.enumerate()) - earlier if thread.name == "demo"]


def test_a_question_is_answered_although_it_comes_before_the_server_serves(readme: Path) -> None:
    demo = Demo(math.inf, readme)
    answers: list[str] = []
    with openai.OpenAI(base_url=demo.base_url, api_key="any", max_retries=0) as client:
        early = threading.Thread(target=lambda: answers.append(text(client, "Hello")))
        early.start()
        demo.start()
        early.join()
    demo.stop()
    assert answers


def test_a_server_that_never_started_can_be_stopped(readme: Path) -> None:
    Demo(readme=readme).stop()
