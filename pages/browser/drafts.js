// Keep a question that is typed but not sent in this tab, over a page switch, a reload and a lost connection. Keep a sent
// question too, until the server lists it as arrived; otherwise it comes back into the box.

const DRAFT = "parley-draft", SENT = "parley-sent";
const EDITOR = '[data-testid="stChatMessage"] [data-testid="stForm"] textarea';

function recall(key) {
  try { return sessionStorage.getItem(key) ?? ""; } catch { return ""; } // the browser may block storage
}

function keepText(key, text) {
  try {
    if (text.trim()) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch { /* without storage a draft lasts as long as the page */ }
}

function forgetTexts() {
  keepText(DRAFT, "");
  keepText(SENT, "");
}

const written = (text) => text.replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ""); // the server leaves such characters out

function typeInto(box, text) {
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, text);
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function putBack(text) { // in front of what has been typed meanwhile
  whenThere(BOX, (box) => {
    typeInto(box, box.value.trim() ? `${text}\n\n${box.value}` : text);
    box.focus({ preventScroll: true });
  });
}

const byTouch = () => matchMedia("(pointer: coarse)").matches; // on touch screens the focus would open the keyboard

function keepDrafts(state) {
  const leave = (text) => { if (text.trim()) { keepText(SENT, text); keepText(DRAFT, ""); } };
  document.addEventListener("input", ({ target }) => { if (target.matches?.(BOX)) keepText(DRAFT, target.value); }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && event.target.matches?.(BOX) && !composes(event))
      leave(event.target.value);
  }, true);
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.('[data-testid="stChatInputSubmitButton"]')) leave(document.querySelector(BOX)?.value ?? "");
    if (target.closest?.(".st-key-delete_all_now, .st-key-sign_out")) forgetTexts();
    if (target.closest?.(".st-key-new, .st-key-new_top")) setTimeout(() => focusBox(true));
  }, true);
  state.lookForSent = () => {
    if (!recall(SENT)) return;
    state.asking = crypto.randomUUID?.() ?? String(Math.random());
    state.ask(state.asking);
  };
}

function focusBox(wanted = false) {
  const box = document.querySelector(BOX), active = document.activeElement;
  if (box && !byTouch() && (wanted || !active || active === document.body)) box.focus({ preventScroll: true });
}

function settleDrafts(state, data) { // called once per run
  const sent = recall(SENT), arrived = JSON.parse(data.arrived).map(written);
  if (sent && arrived.includes(written(sent))) keepText(SENT, "");
  else if (sent && data.asking && data.asking === state.asking) {
    keepText(SENT, "");
    putBack(sent);
  }
  state.asking = data.asking === state.asking ? null : state.asking;
  whenThere(BOX, (box) => {
    if (box === state.box) return;
    state.box = box; // the page was just opened
    const draft = recall(DRAFT);
    if (draft && !box.value) typeInto(box, draft);
    else keepText(DRAFT, box.value); // typed before this component was there
    focusBox(state.restored && document.activeElement === state.restored); // unless the reader moved it since
    state.lookForSent();
  });
}

function editAsInTheBox() { // Enter sends, Esc cancels, the editor takes the focus
  const button = (editor, name) => [...editor.closest('[data-testid="stForm"]').querySelectorAll("button")]
    .find((one) => one.innerText.trim() === name);
  const take = (frames = 600) => {
    const editor = document.querySelector(EDITOR);
    if (!editor?.value) { // Streamlit fills it a frame later, unless something is typed into it before
      if (frames) requestAnimationFrame(() => take(frames - 1));
      return;
    }
    editor.focus({ preventScroll: true });
    editor.scrollIntoView({ block: "center" });
    editor.setSelectionRange(editor.value.length, editor.value.length);
  };
  document.addEventListener("click", ({ target }) => { if (target.closest?.('[class*="st-key-edit_"]')) take(); }, true);
  window.addEventListener("keydown", (event) => {
    if (!event.target.matches?.(EDITOR) || composes(event)) return;
    const name = event.key === "Escape" ? "Cancel" : event.key === "Enter" && !event.shiftKey ? "Ask again" : null;
    if (!name) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    button(event.target, name)?.click();
    setTimeout(() => focusBox(true));
  }, true);
}
