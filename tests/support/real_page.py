"""The chat page in any browser that speaks WebDriver. Its elements are found by the names that screen readers have."""

import json
from typing import Any

from tests.support.chat_page import STATE
from tests.support.waiting import until
from tests.support.webdriver import Driver

ENTER, CONTROL, BACKSPACE = "\ue007", "\ue009", "\ue003"
BOX = """document.querySelector('[data-testid="stChatInputTextArea"]')"""
MAIN = """document.querySelector('[data-testid="stMain"]')"""
FROM_END = f"({MAIN}.scrollHeight - {MAIN}.scrollTop - {MAIN}.clientHeight)"
"""Pixels between what the reader sees and the end of the conversation."""
ANSWER = """[...document.querySelectorAll('[data-testid="stChatMessage"]')].at(-1)"""
NAMED = """[...document.querySelectorAll('button, [role="button"], [role="radio"], a')].filter((one) => {
  const copy = one.cloneNode(true);
  for (const icon of copy.querySelectorAll('[data-testid="stIconMaterial"], [translate="no"]')) icon.remove();
  const name = one.getAttribute("aria-label") ?? one.querySelector("img[alt]")?.alt ?? copy.textContent.trim();
  return name === NAME && one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
}).at(-1)"""

AT_REST = """const rest = window.rest = { frames: 0 };
const look = () => {
  const now = EXPRESSION;
  rest.frames = now === rest.value ? rest.frames + 1 : 0;
  rest.value = now;
  if (rest.frames < 30) requestAnimationFrame(look);
};
look();"""


class RealPage:
    """One window, at one app."""

    def __init__(self, driver: Driver, url: str) -> None:
        self.driver, self._url = driver, url

    def open(self, path: str = "/") -> None:
        """Load an address of the app and wait until a question can be typed."""
        self.driver.open(self._url + path)
        self.until(f"{BOX} !== null && !{BOX}.disabled")

    def reload(self) -> None:
        """Load the page anew and wait until a question can be typed."""
        self.driver.reload()
        self.until(f"{BOX} !== null && !{BOX}.disabled")

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.driver.run(f"return {expression}")

    def at_rest(self, expression: str) -> Any:
        """Return the value of an expression once it has been the same for thirty frames, as after a scroll."""
        self.driver.run(AT_REST.replace("EXPRESSION", expression))
        self.until("window.rest.frames >= 30")
        return self.value("window.rest.value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds in the page."""
        until(lambda: self.value(f"Boolean({expression})"), show=lambda: self._describe_page(expression))

    def until_answer_says(self, words: str) -> None:
        """Wait until the newest message has these words."""
        self.until(f"{ANSWER}?.innerText.includes({json.dumps(words)})")

    def until_answer_has(self, selector: str) -> None:
        """Wait until the newest message has such an element."""
        self.until(f"{ANSWER}?.querySelector({json.dumps(selector)})")

    def _describe_page(self, wanted: str) -> str:
        return f"{wanted}\n{self.value('document.body.innerText')}"

    def idle(self) -> None:
        """Wait until no answer runs."""
        self.until(f"({STATE}) === 'notRunning' && {_named('Stop')} === undefined")

    def type(self, text: str) -> None:
        """Press and release every key of a text, in the element that has the focus."""
        self.driver.act("key", *({"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")))

    def paste(self) -> None:
        """Press Control and V in the element that has the focus."""
        self._with_control("v")

    def clear(self) -> None:
        """Delete all text in the box."""
        self.driver.run(f"{BOX}.focus()")
        self._with_control("a")
        self.type(BACKSPACE)
        self.until(f"{BOX}.value === ''")

    def _with_control(self, key: str) -> None:
        keys = (("keyDown", CONTROL), ("keyDown", key), ("keyUp", key), ("keyUp", CONTROL))
        self.driver.act("key", *({"type": kind, "value": value} for kind, value in keys))

    def ask(self, text: str) -> None:
        """Type a question into the box and press Enter."""
        self.until(f"{BOX} !== null && !{BOX}.disabled")
        self.driver.run(f"{BOX}.focus()")
        self.type(text)
        self.until(f"{BOX}.value === {json.dumps(text)}")
        self.type(ENTER)

    def click(self, name: str) -> None:
        """Click the newest element of this name once it stands still and nothing covers it. Repeat the click if the
        page moved the element before it arrived."""
        until(lambda: self._try_click(name), show=lambda: self._describe_page(name))

    def _try_click(self, name: str) -> bool:
        """Click the newest element of this name; return True if the click reached it."""
        if (place := self._place(name)) is None:
            return False
        here = {"type": "pointerMove", "x": place[0], "y": place[1], "origin": "viewport", "duration": 0}
        self.driver.act("pointer", here, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})
        return bool(self.value("window.reached"))

    def _place(self, name: str) -> list[int] | None:
        """Return the middle of an element, in whole pixels; None while it is missing, moves or is covered."""
        look = f"""const one = {_named(name)};
            if (!one) return null;
            one.scrollIntoView({{ block: "center", behavior: "instant" }});
            const at = one.getBoundingClientRect();
            const [x, y] = [Math.round(at.x + at.width / 2), Math.round(at.y + at.height / 2)];
            const top = document.elementFromPoint(x, y);
            window.reached = false;
            const note = (click) => {{ window.reached ||= one.contains(click.target); }};
            addEventListener("click", note, {{ capture: true, once: true }}); // before the page's own
            return one === top || one.contains(top) ? [x, y] : null;"""
        first = self.driver.run(look)
        return first if first and first == self.driver.run(look) else None

    def named(self, name: str) -> str:
        """Return the JavaScript expression of the newest visible button, link or choice of this name."""
        return _named(name)

    def wheel(self, pixels: int) -> None:
        """Turn the wheel over the conversation; up is negative."""
        x, y = self.value("[Math.round(innerWidth / 2), Math.round(innerHeight / 3)]")
        turn = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": pixels, "duration": 0, "origin": "viewport"}
        self.driver.act("wheel", turn)


def _named(name: str) -> str:
    return NAMED.replace("NAME", json.dumps(name))
