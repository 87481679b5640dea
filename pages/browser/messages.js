// Complete a drawn message: the language of its code, areas that scroll by keyboard, its time.

function markWide(main) { // content wider than its column scrolls by keyboard and has a marked edge
  const AREAS = ':is(pre, .katex, table, .stHorizontalBlock)';
  for (const area of main.querySelectorAll(`[data-testid="stChatMessage"] ${AREAS}`)) {
    const wide = area.scrollWidth > area.clientWidth + 1 && getComputedStyle(area).overflowX !== "visible";
    if (wide === area.classList.contains("parley-wide")) continue;
    area.classList.toggle("parley-wide", wide);
    if (wide) area.tabIndex = 0;
    else if (!area.matches("pre")) area.removeAttribute("tabindex");
  }
}

function nameCode(main) {
  for (const block of main.querySelectorAll('[data-testid="stCode"]')) {
    const language = /language-(\S+)/.exec(block.querySelector("code")?.className ?? "")?.[1] ?? "";
    if (block.dataset.language !== language) block.dataset.language = language;
    block.tabIndex = -1; // its text scrolls, not the block
    const text = block.querySelector("pre");
    if (text) text.tabIndex = 0;
  }
  for (const box of main.querySelectorAll('input[type="checkbox"]:not([aria-label])'))
    if (box.closest("li")) box.ariaLabel = box.checked ? "Done" : "To do";
}

function markTimes(times) {
  const format = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
  const words = (ms) => ms ? format.format(ms) : "";
  const messages = [...document.querySelectorAll('[data-testid="stChatMessage"]')];
  const marks = new Map();
  for (const [id, [asked, ended]] of Object.entries(times)) {
    const at = messages.indexOf(document.querySelector(`.st-key-acts_${id}`)?.closest('[data-testid="stChatMessage"]'));
    if (at < 1) continue;
    marks.set(messages[at - 1], words(asked));
    marks.set(messages[at], words(ended));
  }
  for (const message of messages) {
    const mark = marks.get(message);
    if (message.dataset.time === mark) continue; // writing it again would make the browser recompute its style
    if (mark === undefined) delete message.dataset.time;
    else message.dataset.time = mark;
  }
}

function finishMessages(times) {
  const main = document.querySelector('[data-testid="stMain"]');
  if (!main) return;
  requestAnimationFrame(() => {
    nameCode(main);
    markWide(main);
    markTimes(times);
  });
}

function watchCode(state) { // Streamlit redraws code and formulas once their libraries are loaded
  let due = false;
  return (node) => {
    if (due || !(node.matches("pre, code, .katex") || node.querySelector("pre, .katex"))) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      if (!state.main) return; // the page is still being built
      nameCode(state.main);
      markWide(state.main);
    });
  };
}
