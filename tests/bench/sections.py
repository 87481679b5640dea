"""The sections of the benchmark: their questions, their order, and their figures.

Several apps are asked in turn, one question each, so that a busy machine slows all of them alike. This module knows
neither the table's rows nor their limits.
"""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Error

from tests.bench.apps import FIRST_ONLY, App
from tests.bench.asking import Chat, Question, numbers, stamps

SHORT, LONG, BURST = Question(30, 100, 200), Question(500, 100, 200), Question(2000)
EARLIER = Question(60)
"""A question that only makes a conversation longer."""
TURNS_OF_CPU, TURNS_OF_OVERHEAD = 50, 200
TOO_SLOW_MS, TOO_SLOW_TIMES = 20_000, 2
"""An app that took longer than TOO_SLOW_MS this many times is not asked again in that section."""
OTHERS, OTHERS_UNDER_WAY_S = 49, 4
MORE_SESSIONS = 10
HEAVY = ("statsig", "pandas", "altair", "scipy", "numpy", "pyarrow")


class Raw:
    """R: the OpenAI client alone, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", model_url: str) -> None:
        self._process, self._model = process, model_url

    def ask(self, question: Question) -> dict[str, float]:
        """Ask a question; return measures that the browser has too: times in ms, and `cpu` in seconds."""
        assert self._process.stdin and self._process.stdout
        ident = str(next(numbers))
        self._process.stdin.write(question.text(ident) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        submit, first, last = (told[name] / 1e6 for name in ("submit", "first", "last"))
        sent = stamps(self._model, ident)
        return {
            "overhead": first - submit - (sent["first"] - sent["recv"]),
            "tail": last - sent["last"],
            "total": last - submit,
            "cpu": told["cpu"],
        }


@dataclass
class Bench:
    """The apps to measure and the figures: `values[section][app][measure]`, in the order of asking.

    Parley is the first of `apps`; `demo` is a Parley that answers with its demo server. A short question is asked
    `count` times, and all that takes long is done `few` times.
    """

    browser: Browser
    model_url: str
    apps: Mapping[str, App]
    demo: App
    raw: Raw
    count: int
    few: int
    values: dict[str, dict[str, dict[str, list[float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    )
    imported: dict[str, list[str]] = field(default_factory=dict)

    @property
    def parley(self) -> App:
        """The app that the benchmark measures."""
        return self.apps["Parley"]

    def keep(self, section: str, app: str, found: Mapping[str, float]) -> None:
        """Append the measures of one question to `values`."""
        for measure, value in found.items():
            self.values[section][app][measure].append(value)

    def chat(self, app: App) -> Chat:
        """Open a new page of an app."""
        return Chat(self.browser, app, self.model_url)

    def slow(self, section: str, app: str) -> bool:
        """Return True where more measurements would take too long."""
        return sum(ms > TOO_SLOW_MS for ms in self.values[section][app]["total"]) >= TOO_SLOW_TIMES

    @contextmanager
    def patient(self, section: str, app: App) -> Iterator[None]:
        """Report a question without an answer and count it as too slow. If Parley did not answer, raise."""
        try:
            yield
        except Error as error:
            if app is self.parley:
                raise
            print(f"! {section}: {app.name}: {str(error).splitlines()[0]}", file=sys.stderr)
            self.keep(section, app.name, {"total": TOO_SLOW_MS * 2})


def first(bench: Bench) -> None:
    """Measure short answers, one after the other in the same conversation of each app."""
    with ExitStack() as stack:
        chats: dict[str, Chat] = {}
        for app in bench.apps.values():
            with bench.patient("first", app):
                chats[app.name] = stack.enter_context(bench.chat(app)).warm()
        for _ in range(bench.count):
            for name, chat in chats.items():
                with bench.patient("first", bench.apps[name]):
                    bench.keep("first", name, chat.ask(SHORT))
            bench.keep("first", "R", bench.raw.ask(SHORT))


def _fresh(bench: Bench, section: str, question: Question) -> None:
    """Ask the question in a new conversation each time."""
    apps = [app for app in bench.apps.values() if app.name not in FIRST_ONLY]
    for _ in range(bench.few):
        for app in apps:
            if not bench.slow(section, app.name):
                with bench.patient(section, app), bench.chat(app) as chat:
                    bench.keep(section, app.name, chat.warm().ask(question))
        bench.keep(section, "R", bench.raw.ask(question))


def long(bench: Bench) -> None:
    """Measure answers of 500 tokens, 100 a second, that contain code, a table and lists."""
    _fresh(bench, "long", LONG)


def burst(bench: Bench) -> None:
    """Measure answers of 2,000 tokens, sent as fast as the app reads them."""
    _fresh(bench, "burst", BURST)


def history(bench: Bench) -> None:
    """Measure long answers after 50 turns of a conversation with Parley, and short ones after 200."""
    with bench.chat(bench.parley) as chat:
        _grow(chat, TURNS_OF_CPU)
        for _ in range(min(3, bench.few)):
            bench.keep("history", "after 50", chat.ask(LONG))
        _grow(chat, TURNS_OF_OVERHEAD - TURNS_OF_CPU)
        for _ in range(bench.count // 2 + 1):
            bench.keep("history", "after 200", chat.ask(SHORT))


def _grow(chat: Chat, turns: int) -> None:
    for _ in range(turns):
        chat.say(EARLIER)


def crowd(bench: Bench) -> None:
    """Measure short answers of one session alone, and then while 49 other sessions stream."""
    for app in (bench.parley, bench.apps["V"], bench.apps["B"]):
        for section, others in (("alone", 0), ("crowd", OTHERS)):
            with bench.patient(section, app), _others(app, others), bench.chat(app) as chat:
                chat.warm()
                for _ in range(bench.count // 2):
                    bench.keep(section, app.name, chat.ask(SHORT))


@contextmanager
def _others(app: App, count: int) -> Iterator[None]:
    """Have `count` other sessions of the app stream until the block ends."""
    if count == 0:
        yield
        return
    kind = "bare" if app.name == "B" else "streamlit"
    command = [sys.executable, "-m", "tests.bench.crowd", kind, app.url, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"no {count} sessions of {app.name}")
        time.sleep(OTHERS_UNDER_WAY_S)
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the {count} sessions of {app.name} ended too early")
        process.terminate()
        print(f"  {count} others of {app.name}: {process.communicate(timeout=30)[0].strip()}", file=sys.stderr)
    finally:
        process.kill()
        process.wait()


def cold(bench: Bench) -> None:
    """Measure the time from the start of the process to a usable page, and then of a page load. Parley has its demo."""
    apps = (bench.demo, bench.apps["V"])
    for number in range(bench.few + 1):
        for app in apps:
            began = app.start()
            with bench.chat(app) as chat:
                found = {"seconds": chat.ready - began}
            with bench.chat(app) as chat:
                load = {"seconds": chat.load_s}
            if number:  # the first start compiles
                bench.keep("cold", app.name, found)
                bench.keep("load", app.name, load)
    bench.demo.stop()


def memory(bench: Bench) -> None:
    """Measure the resident memory of a new process after the first answer, and what each further session adds."""
    for app in (bench.parley, bench.apps["V"]):
        app.start()
        with ExitStack() as stack:
            stack.enter_context(bench.chat(app)).warm()
            one = app.rss_mb()
            for _ in range(MORE_SESSIONS):
                stack.enter_context(bench.chat(app)).warm()
            bench.keep("memory", app.name, {"one": one, "further": (app.rss_mb() - one) / MORE_SESSIONS})


def imports(bench: Bench) -> None:
    """Note the packages that Parley has imported after its first page and after its first answer, by the
    interpreter's import log."""
    app = bench.parley
    app.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    try:
        app.start()
        with bench.chat(app) as chat:
            bench.imported["page"] = heavy(imported(app.log()))
            chat.warm()
            bench.imported["answer"] = heavy(imported(app.log()))
    finally:
        del app.environ["PYTHONPROFILEIMPORTTIME"]
        app.start()


def imported(log: str) -> set[str]:
    """Return the packages that a log of `python -X importtime` names.

    >>> sorted(imported("import time:   10 |   20 |     pandas.core\\nimport time:  1 |  2 | json\\nReady"))
    ['json', 'pandas']
    """
    return set(re.findall(r"^import time:.*\| +(\w+)[\w.]*$", log, re.MULTILINE))


def heavy(packages: Iterable[str]) -> list[str]:
    """Return those packages that take long to import."""
    return [name for name in HEAVY if name in set(packages)]


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "first": first, "long": long, "burst": burst, "history": history, "crowd": crowd, "cold": cold, "memory": memory,
    "imports": imports,
}  # fmt: skip
