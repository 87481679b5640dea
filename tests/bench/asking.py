"""One conversation with an app in Chromium: ask questions, and measure when the words of their answers reach the page.

A MutationObserver notes when the first and the last word of an answer are in the DOM, so no app needs a hook. Times are
in milliseconds; the page's clock is corrected to that of the model server.
"""

import itertools
import json
import time
import urllib.request
from dataclasses import dataclass
from types import TracebackType

from playwright.sync_api import Browser, Error

from tests.bench.apps import App

PATIENCE_S = 60
"""Seconds that an answer may take."""
SETTLE_MS = 150
"""A pause before and after a measured question, so that its processor time includes no other work."""
WATCH = """(() => {
  const B = window.bench = {submit: 0, marks: {}, want: [], updates: 0, gap: 0, before: 0};
  const now = () => performance.timeOrigin + performance.now();
  addEventListener("keydown", (e) => { if (e.key === "Enter") {
    B.submit = performance.timeOrigin + e.timeStamp; B.updates = B.gap = B.before = 0; } }, true);
  new MutationObserver((changes) => {
    if (!B.want.length) return;
    const at = now();
    const look = (text) => { for (const word of B.want)
      if (!(word in B.marks) && text.includes(word)) B.marks[word] = at; };
    for (const change of changes) {
      if (change.type === "characterData") look(change.target.data);
      else for (const node of change.addedNodes) look(node.textContent);
    }
    if (B.want[0] in B.marks && !(B.want[1] in B.marks)) {
      B.updates++; if (B.before) B.gap = Math.max(B.gap, at - B.before); B.before = at; }
  }).observe(document, {subtree: true, childList: true, characterData: true});
})()"""
SKEW = """async () => { let most = -1e9; const end = performance.now() + 8;   // the machine's clock less the page's
  while (performance.now() < end) most = Math.max(most, Date.now() - performance.timeOrigin - performance.now());
  return most; }"""
numbers = itertools.count(int(time.time()) % 900_000 + 100_000)


@dataclass(frozen=True)
class Question:
    """A question for an answer of `tokens` tokens, `rate` a second (0: all at once), the first after `delay_ms`."""

    tokens: int
    rate: float = 0
    delay_ms: float = 0

    def text(self, ident: str) -> str:
        """Return the question as a tester types it.

        >>> Question(30, 100, 200).text("17")
        'please answer id=17 n=30 r=100 d=200'
        """
        return f"please answer id={ident} n={self.tokens} r={self.rate} d={self.delay_ms}"


def stamps(model_url: str, ident: str) -> dict[str, float]:
    """Return the times at which the model server read this question and sent its answer, in ms since 1970."""
    with urllib.request.urlopen(f"{model_url}/stamps?id={ident}") as answer:
        return {name: ns / 1e6 for name, ns in json.load(answer).items()}


class Chat:
    """One page in a browser context of its own. `ready` is the time from which its box took text (seconds since 1970),
    `load_s` the seconds that the page took until then."""

    def __init__(self, browser: Browser, app: App, model_url: str) -> None:
        self.app, self._model = app, model_url
        self._context = browser.new_context(viewport={"width": 1280, "height": 900})
        try:
            self._open()
        except BaseException:
            self._context.close()
            raise

    def _open(self) -> None:
        self._page = self._context.new_page()
        self._page.add_init_script(WATCH)
        began = time.time()
        self._page.goto(self.app.url + "/", wait_until="commit")
        self._page.wait_for_selector(self.app.page.box, timeout=PATIENCE_S * 1000)
        self.ready = time.time()
        self.load_s = self.ready - began
        self._tools = self._context.new_cdp_session(self._page)
        self._tools.send("Performance.enable")
        self._skew = self._page.evaluate(SKEW)

    def __enter__(self) -> "Chat":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self._context.close()

    def warm(self) -> "Chat":
        """Ask a first short question; return this chat."""
        self.say(Question(40))
        return self

    def say(self, question: Question) -> None:
        """Ask a question and wait until the next one may be asked."""
        ident = str(next(numbers))
        self._type(ident, question)
        self._send(ident, 20)

    def ask(self, question: Question) -> dict[str, float]:
        """Ask as `say` does; return times in ms and the processor seconds of the app's server and page."""
        ident = str(next(numbers))
        self._type(ident, question)
        self._page.wait_for_timeout(SETTLE_MS)
        server, page = self.app.cpu_s(), self._page_cpu_s()
        self._send(ident, 50)
        self._page.wait_for_timeout(SETTLE_MS)
        cost = {"cpu": self.app.cpu_s() - server, "browser_cpu": self._page_cpu_s() - page}
        return self._times(ident) | cost

    def _type(self, ident: str, question: Question) -> None:
        self._page.bring_to_front()
        self._page.evaluate("words => { bench.want = words }", [f"ALPHA{ident}", f"OMEGA{ident}"])
        self._page.wait_for_selector(self.app.page.box)
        self._page.fill(self.app.page.box, question.text(ident))

    def _send(self, ident: str, every_ms: int) -> None:
        self._page.press(self.app.page.box, "Enter")
        self._page.wait_for_function(
            "word => word in bench.marks", arg=f"OMEGA{ident}", polling=every_ms, timeout=PATIENCE_S * 1000
        )
        self._page.wait_for_function(self.app.page.idle, polling=every_ms, timeout=PATIENCE_S * 1000)

    def _times(self, ident: str) -> dict[str, float]:
        seen, sent = self._page.evaluate("bench"), stamps(self._model, ident)
        if f"ALPHA{ident}" not in seen["marks"]:
            raise Error("the page showed the last word, but never the first one")
        submit = seen["submit"] + self._skew
        first, last = (seen["marks"][word + ident] + self._skew for word in ("ALPHA", "OMEGA"))
        return {
            "before": sent["recv"] - submit,
            "after": first - sent["first"],
            "overhead": first - submit - (sent["first"] - sent["recv"]),
            "tail": last - sent["last"],
            "total": last - submit,
            "gap": seen["gap"],
            "updates": seen["updates"],
        }

    def _page_cpu_s(self) -> float:
        metrics = self._tools.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
