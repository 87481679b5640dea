// The component. Each page mounts it twice: `keep` runs by itself from the first run on, `tell` receives the server's requests.

const done = new WeakMap();
const state = (window.parley ??= { texts: {}, report: () => {}, say: () => {} });

function keepOnce(data) {
  state.kept = true;
  keepEnterOfCompositions();
  takeEscForStop();
  sendAtOnce();
  copyInTheClick(state);
  keepDrafts(state);
  editAsInTheBox();
  themeOverlays(state);
  state.added = watchCode(state);
  setDirections(state);
  state.reconnected = (focused) => {
    if (focused) setTimeout(() => focusBox());
    state.lookForSent();
  };
  keepTextWhole();
  closeSidebarOnPhones();
  actInTheList();
  nameOverlays();
  keepFocus(state);
  for (const [from, event] of [[window, "resize"], [document.fonts, "loadingdone"]])
    from.addEventListener(event, () => { if (state.main) markWide(state.main); });
  addStyleOnce("parley-every-page", EVERY_PAGE_STYLE);
  addStyleOnce("parley-chat", STYLE);
  setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => {
    for (const path of data.later) import(new URL(path, location.href)).catch(() => {});
  }), 400); // after the page is drawn
}

export default function ({ data, parentElement, setTriggerValue }) {
  const before = done.get(parentElement);
  done.set(parentElement, data.nonce);
  if (data.texts) state.texts = JSON.parse(data.texts);
  if (data.keep) {
    state.report = (id) => setTriggerValue("copied", id);
    state.ask = (nonce) => setTriggerValue("asking", nonce);
    const main = document.querySelector('[data-testid="stMain"]');
    if (main !== state.main) {
      state.main = main;
      followAnswers(main);
    }
    if (!state.kept) keepOnce(data);
    settleDrafts(state, data);
    carryOut(state, JSON.parse(data.orders));
    requestAnimationFrame(() => loadOnScroll(state));
    return;
  }
  finishMessages(JSON.parse(data.times));
  state.say = (words) => { parentElement.querySelector("span").textContent = words; };
  if (before === undefined || before === data.nonce) return;
  state.say(data.say);
  const box = document.querySelector(BOX), active = document.activeElement;
  const nowhere = !active || active === document.body || active.closest(".st-key-stop"); // Stop is about to be removed
  const restored = state.byKey && state.lost.length; // keepFocus restores the focus
  if (box && nowhere && !restored) box.focus({ preventScroll: true });
}
