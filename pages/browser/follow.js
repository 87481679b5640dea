// Follow a growing answer until the reader scrolls up, and offer a way back. Only the reader's own input counts:
// content may grow by any amount before the browser reports a scroll.

const NEAR = 60, GESTURE_MS = 400, EARLIER_MS = 30_000;
const TO_THE_END = '[class*="st-key-open_"], [class*="st-key-refresh_"], .st-key-new, [data-testid="stChatInputSubmitButton"], '
  + '[class*="st-key-FormSubmitter-editor_"]';
const SCROLL_KEYS = new Set(["PageUp", "PageDown", "ArrowUp", "ArrowDown", "Home", "End", "Tab", " "]);

function followAnswers(main) {
  let following = true, held = false, gesture = 0, last = 0, anchor = null, until = 0;
  const distance = () => main.scrollHeight - main.scrollTop - main.clientHeight;
  const onChat = () => document.querySelector(BOX) !== null;
  const byReader = () => { gesture = performance.now(); anchor = null; };
  const jump = document.createElement("button");
  jump.type = "button";
  jump.className = "parley-jump";
  jump.textContent = "Jump to latest";
  jump.hidden = true;
  document.body.append(jump);

  // Recognise the topmost visible message by its words and those of the next: Streamlit redraws it in another element.
  const messages = () => [...main.querySelectorAll('[data-testid="stChatMessage"]')];
  const words = (list, at) => list.slice(at, at + 2).map((one) => one.textContent.slice(0, 200)).join("\n");
  const place = () => {
    const list = messages(), top = main.getBoundingClientRect().top;
    const at = list.findIndex((one) => one.getBoundingClientRect().bottom > top);
    return at < 0 ? null : { words: words(list, at), from: list[at].getBoundingClientRect().top };
  };
  const backTo = (wanted) => {
    const list = messages(), at = list.findIndex((_, one) => words(list, one) === wanted.words);
    if (at >= 0) main.scrollTop += list[at].getBoundingClientRect().top - wanted.from;
  };
  const show = () => {
    if (!main.isConnected) return jump.remove();
    jump.hidden = following || distance() < NEAR || !onChat();
    if (jump.hidden) return;
    jump.style.colorScheme = getComputedStyle(main).colorScheme;
    const area = main.getBoundingClientRect(), box = document.querySelector('[data-testid="stBottom"]');
    jump.style.left = `${area.left + area.width / 2}px`;
    jump.style.bottom = `${innerHeight - area.bottom + (box?.offsetHeight ?? 0) + 8}px`;
  };
  const settle = () => {
    if (!onChat()) return show();
    if (anchor && performance.now() < until) backTo(anchor);
    else if (following) main.scrollTop = main.scrollHeight;
    last = main.scrollTop;
    show();
  };

  main.addEventListener("wheel", (event) => {
    byReader();
    if (event.deltaY < 0 && main.scrollTop > 0) following = false;
  }, { passive: true });
  main.addEventListener("touchstart", () => { held = true; byReader(); }, { passive: true });
  main.addEventListener("touchmove", byReader, { passive: true });
  main.addEventListener("pointerdown", () => { held = true; byReader(); }, { passive: true });
  for (const end of ["pointerup", "pointercancel", "touchend", "touchcancel"])
    window.addEventListener(end, () => { if (held) byReader(); held = false; }, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.(BOX) && !composes(event)) {
      following = true; // a new question scrolls to the end
      anchor = null;
    } else if (SCROLL_KEYS.has(event.key) && !event.target.matches?.("input, textarea")) byReader();
  }, true);
  main.addEventListener("scroll", () => {
    const reader = held || performance.now() - gesture < GESTURE_MS;
    const up = main.scrollTop < last - 1 && distance() > 1; // at the end the offset falls because the content shrank
    if (reader && up) following = false;
    else if (reader && distance() < NEAR) following = true;
    last = main.scrollTop;
    show();
  }, { passive: true });
  document.addEventListener("click", ({ target }) => {
    anchor = null;
    if (target === jump) {
      following = true;
      settle();
      document.querySelector(BOX)?.focus({ preventScroll: true });
    } else if (target.closest?.(".st-key-earlier")) { // earlier messages are inserted above the visible ones
      following = false;
      anchor = place();
      until = performance.now() + EARLIER_MS;
    } else if (target.closest?.('[class*="st-key-edit_"]')) following = false; // the editor stands further up
    else if (target.closest?.(TO_THE_END)) {
      following = true;
      gesture = -GESTURE_MS; // from here on only the answer moves the page
    }
  }, true);
  const sizes = new ResizeObserver(settle); // also that of the box, which may appear after the messages
  const watchSizes = () => { for (const one of [main, ...main.children]) sizes.observe(one); };
  new MutationObserver(watchSizes).observe(main, { childList: true });
  watchSizes();
  settle();
}
