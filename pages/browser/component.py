"""What only the browser can do: copy to its clipboard, take Esc for Stop, stay at the end of a growing answer, give the
input its focus back, and tell a screen reader once that an answer is there. One invisible component, mounted
twice a page.

Streamlit follows a growing page by itself only for a chat input of its own placing, beside which no Stop can stand.
"""

from pathlib import Path

import streamlit as st

_SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"
_LATER = tuple(f"/static/js/{file.name}" for file in _SCRIPTS.glob("StreamlitSyntaxHighlighter.*.js"))
"""What Streamlit loads only when the first code block arrives: 1.5 MB that would stop a streaming answer for 400 to
1,000 ms. Fetched while the page is idle; where a version of Streamlit names it otherwise, nothing is fetched. A tuple,
because for a list Streamlit imports pandas to see whether it is a table: 0.4 s and 45 MB."""
_COMPONENT = st.components.v2.component(
    "parley_browser",
    html='<span role="status" aria-live="polite"></span>',
    css="""
span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
""",
    js="""
const done = new WeakMap(), BOX = '[data-testid="stChatInputTextArea"]';

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {                       // no permission, or a page without https
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
}

function stayAtTheEnd(main) {     // as long as the reader was there; asking takes the reader back to it
  let there = true;
  const toTheEnd = () => { if (there) main.scrollTop = main.scrollHeight; };
  main.addEventListener("scroll", () => {
    there = main.scrollHeight - main.scrollTop - main.clientHeight < 60;
  }, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.(BOX)) there = true;
  }, true);
  new ResizeObserver(toTheEnd).observe(main.firstElementChild);
  toTheEnd();
}

function takeEscForStop() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelector(".st-key-stop button")?.click();
  });
}

function sendAtOnce() {           // not from a timer that waits until the page with the emptied box is painted
  const later = window.setTimeout, restore = () => { window.setTimeout = later; };
  const asks = ({ type, key, target }) => type === "keydown"
    ? key === "Enter" && target.matches?.(BOX)
    : target.closest?.('[data-testid="stChatInputSubmitButton"]');
  for (const type of ["keydown", "click"]) {
    document.addEventListener(type, (event) => {
      if (!asks(event)) return;
      window.setTimeout = (act, ms, ...more) => {
        if (ms !== 0) return later(act, ms, ...more);
        restore();
        queueMicrotask(() => act(...more));
      };
      later(restore);
    }, true);
    window.addEventListener(type, restore);
  }
}

function keepTextWhole() {        // half a character, pasted or cut, would break the message that carries it
  document.addEventListener("input", ({ target }) => {
    if (target.value?.isWellFormed?.() !== false) return;
    const kind = target instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(target, target.value.toWellFormed());
  }, true);
}

function closeSidebarOnPhones() { // where it lies over the conversation that was picked in it
  document.addEventListener("click", ({ target }) => {
    if (innerWidth < 768 && target.closest?.('[class*="st-key-open_"], .st-key-new'))
      document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
  });
}

export default function ({ data, parentElement }) {
  const before = done.get(parentElement);
  done.set(parentElement, data.nonce);
  if (before === undefined) {
    if (data.keep) {
      takeEscForStop();
      sendAtOnce();
      keepTextWhole();
      closeSidebarOnPhones();
      stayAtTheEnd(document.querySelector('[data-testid="stMain"]'));
      setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => {
        for (const path of data.later) import(new URL(path, location.href)).catch(() => {});
      }), 400);                     // the page is to be there first
    }
    return;
  }
  if (data.keep || before === data.nonce) return;
  if (data.copy !== null) copy(data.copy);
  parentElement.querySelector("span").textContent = data.say;
  const box = document.querySelector(BOX), active = document.activeElement;
  const nowhere = !active || active === document.body || active.closest(".st-key-stop");  // which is about to go
  if (box && nowhere) box.focus();
}
""",
)


def keep_browser() -> None:
    """Mount what works by itself: Esc, and staying at the end. Early in a run, so that it is there while one lasts."""
    _COMPONENT(key="keep", data={"keep": True, "later": _LATER, "nonce": 0})


def tell_browser(nonce: int, *, copy: str | None = None, say: str = "") -> None:
    """Ask the browser for something, once for every new `nonce`. In a place of its own that no run empties."""
    _COMPONENT(key="tell", data={"keep": False, "nonce": nonce, "copy": copy, "say": say})
