"""The benchmark's table, and the time stamps of its model server."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from openai import AsyncOpenAI

from tests.bench import apps, table
from tests.bench.model import Model, tokens
from tests.bench.table import Limit, Place, Row
from tests.support import app_process
from tests.support.waiting import ENOUGH_S

OVERHEAD = Row("overhead", Place("first", "overhead"), "ms", (Limit(0.4, "V"), Limit(1, "C")), (Limit(60),), "VBC")
LATER = Row("later", Place("later", "overhead"), "ms", (Limit(1.5, own=Place("first", "overhead"), words="fresh"),))


def values(parley: list[float], tutorial: list[float]) -> dict[str, dict[str, dict[str, list[float]]]]:
    return {"first": {"Parley": {"overhead": parley}, "V": {"overhead": tutorial}}}


def test_a_row_has_the_median_its_quartiles_and_the_count() -> None:
    what, own, beside, _, _ = table.line(OVERHEAD, values([50, 30, 40, 20, 60], [100, 120, 110]))
    assert (what, own, beside) == ("overhead", "40 ms (30–50, n 5)", "V 110 ms")


@pytest.mark.parametrize("parley, verdict_text", [(40, "≤ 0.40 V: 0.40, met"), (41, "≤ 0.40 V: 0.41, **missed**")])
def test_a_limit_is_a_ratio_of_medians(parley: float, verdict_text: str) -> None:
    assert table.verdict(OVERHEAD, OVERHEAD.must[0], values([parley], [100])) == verdict_text


def test_an_unmeasured_limit_is_neither_met_nor_missed() -> None:
    assert table.verdict(OVERHEAD, OVERHEAD.must[1], values([40], [100])) == "≤ C: not measured"


@pytest.mark.parametrize("parley, verdict_text", [(60, "≤ 60 ms: met"), (61, "≤ 60 ms: **missed**")])
def test_a_limit_without_another_app_is_in_the_rows_unit(parley: float, verdict_text: str) -> None:
    assert table.verdict(OVERHEAD, OVERHEAD.aim[0], values([parley], [])) == verdict_text


def test_a_long_conversation_is_compared_with_a_fresh_one_in_parley() -> None:
    result = values([40], [100]) | {"later": {"Parley": {"overhead": [50]}}}
    assert table.verdict(LATER, LATER.must[0], result) == "≤ 1.50 fresh: 1.25, met"


def test_the_table_has_a_line_for_each_row_that_was_measured() -> None:
    printed = table.markdown(values([40], [100]), {"page": ["statsig"], "answer": ["statsig", "pandas"]})
    head, rule, first, imports = printed.splitlines()
    assert len({text.count("|") for text in (head, rule, first, imports)}) == 1
    assert imports.split("|")[4].strip() == "none that it does not use: **missed**"


def test_the_figures_of_the_documents_can_be_renewed() -> None:
    text = (app_process.ROOT / "docs" / "understand" / "speed.md").read_text(encoding="utf-8")
    new = table.renewed(text, "Measured on a Monday.", "| what |\n|---|\n")
    assert "Measured on a Monday.\n\n| what |\n|---|\n\n" in new
    assert len(new) < len(text)


def test_a_document_without_figures_is_reported() -> None:
    with pytest.raises(ValueError, match="Measured on"):
        table.renewed("Nothing here.\n", "Measured on a Monday.", "| what |\n")


@asynccontextmanager
async def model() -> AsyncIterator[str]:
    async with await asyncio.start_server(Model().serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def ask(url: str, question: str) -> tuple[list[str], int | None]:
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        stream = await client.chat.completions.create(
            model="large-model", stream=True, stream_options={"include_usage": True},
            messages=[{"role": "user", "content": question}],
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
    usage = chunks[-1].usage
    return [c.choices[0].delta.content or "" for c in chunks if c.choices], usage.completion_tokens if usage else None


def stamps(url: str, ident: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/stamps?id={ident}") as answer:
        report: dict[str, int] = json.load(answer)
    return report


def test_the_model_follows_the_question_and_stamps_its_answer() -> None:
    async def story() -> tuple[list[str], int | None, dict[str, int]]:
        async with model() as url:
            pieces, usage = await ask(url, "please answer id=17 n=20 r=100 d=100")
            return pieces, usage, await asyncio.to_thread(stamps, url, "17")

    began = time.time_ns()
    pieces, usage, sent = asyncio.run(story())
    assert "".join(pieces) == "".join(tokens(20, "17"))
    assert "".join(pieces).startswith("ALPHA17") and "".join(pieces).endswith("OMEGA17")
    assert usage == 20
    assert began <= sent["recv"] <= sent["first"] - 100e6
    assert sent["first"] + 190e6 <= sent["last"] <= time.time_ns()


def test_an_answer_of_500_tokens_has_code_a_table_and_lists_and_leaves_none_open() -> None:
    text = "".join(tokens(500, "17"))
    assert len(tokens(500, "17")) == 500
    assert text.count("```") == 2
    assert "\n| what | how many |\n|---|---|\n| " in text
    assert text.count("\n- ") == 10
    assert all(line.count("|") == 3 for line in text.splitlines() if line.startswith("| "))


def test_an_app_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'http.server', sys.argv[1]])"
    app = apps.App("some", apps.Page("#q"), [sys.executable, "-c", child, "{port}"], tmp_path)
    others = set(psutil.Process(os.getpid()).children(recursive=True))
    with app:
        app.start()
        processes = set(psutil.Process(os.getpid()).children(recursive=True)) - others
        assert len(processes) >= 2
        assert app.rss_mb() > 1
    assert psutil.wait_procs(list(processes), timeout=ENOUGH_S)[1] == []
    assert app_process.status(app.url) is None


def test_an_app_that_does_not_start_says_why(tmp_path: Path) -> None:
    app = apps.App("some", apps.Page("#q"), [sys.executable, "-c", "raise SystemExit('no licence')"], tmp_path)
    with pytest.raises(RuntimeError, match="no licence"):
        app.start()


def test_an_unknown_section_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--only", "frist"], cwd=app_process.ROOT, capture_output=True, text=True
    )
    assert (run.returncode, "unknown: frist" in run.stderr) == (2, True)
