// Keyboard focus: move it into a popover that opens, keep it inside, and restore it after an action that removes the
// focused element.

const POPOVER = '[data-testid="stPopoverBody"]', OPENER = '[data-testid="stPopoverButton"]', LOOKS_MS = [30, 150, 600, 2_000, 5_000], LAST_MS = 600; // a slow browser draws late
const SIDEBAR = '[data-testid="stSidebar"]', VERSION = '[class*="st-key-version_"]', QUESTION = '[data-testid="stChatInputTextArea"]';
const WHOLE = 'main, body, html, [data-testid="stApp"]';
const STOPS = 'a[href], button, input, textarea, select, summary, [tabindex="0"]';

function stopsIn(place) {
  return [...place.querySelectorAll(STOPS)].filter((one) => one.tabIndex >= 0 && !one.disabled
    && one.checkVisibility({ visibilityProperty: true })
    && !(one.type === "radio" && !one.checked && place.querySelector(`input[name="${CSS.escape(one.name)}"]:checked`)));
}

function firstIn(place) {
  const stops = stopsIn(place);
  return stops.find((one) => !one.ariaLabel?.startsWith("Help for ")) ?? stops[0];
}

function whenThere(selector, act, frames = 600) {
  const found = document.querySelector(selector);
  if (found) act(found);
  else if (frames) requestAnimationFrame(() => whenThere(selector, act, frames - 1));
}

function nearTo(lost, last) { // return a focusable element in the innermost of these elements that is still on the page
  const place = lost.find((one) => one.isConnected && (stopsIn(one).length || one.matches(`${POPOVER}, main`)));
  if (place && !place.matches(WHOLE)) return place.querySelector('[class*="_cancel"] button') ?? firstIn(place);
  return last ? document.querySelector('[data-testid="stMain"]') : null; // otherwise more elements may appear in a moment
}

function comeBackTo(button) { // a download button is disabled while its file is made, and so loses the focus
  new MutationObserver((_, observer) => {
    if (button.disabled) return;
    observer.disconnect();
    if (document.activeElement === document.body) button.focus({ preventScroll: true });
  }).observe(button, { attributeFilter: ["disabled"] });
}

function sameVersion(place) { // the same button of a redrawn answer, otherwise the answer's other button
  const key = [...place.classList].find((one) => one.startsWith("st-key-version_"));
  const buttons = [...document.querySelectorAll(`${VERSION}[class*="_${key.split("_").at(-1)}"] button:enabled`)];
  return buttons.find((one) => one.closest(`.${key}`)) ?? buttons[0];
}

function keepFocus(state) {
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || state.lost) return;
  let opened = [], menu = null, looks = [];
  state.byKey = false;
  state.lost = []; // the focused element and the elements around it
  const around = (one) => { const found = []; for (; one; one = one.parentElement) found.push(one); return found; };
  const within = (places, selector) => places.some((one) => one.matches(selector));

  const instead = (places, last) => {
    const version = places.find((one) => one.matches(VERSION)), button = version && sameVersion(version);
    if (button || (version && !last)) return button;
    if (within(places, SIDEBAR)) return (menu && document.querySelector(`.${menu} button`)) || nearTo(places, last);
    return (!within(places, POPOVER) && document.querySelector(QUESTION)) || nearTo(places, last);
  };
  const restore = (last) => {
    const [lost] = state.lost, active = document.activeElement;
    const there = lost?.isConnected && !(lost.disabled && within(state.lost, VERSION));
    if (!state.byKey || !lost || there || (active && active !== document.body && active !== lost)) return;
    const closed = within(state.lost, POPOVER) && !state.lost.some((one) => one.matches(POPOVER) && one.isConnected);
    const target = instead(closed ? opened : state.lost, last);
    if (target) state.restored = target;
    target?.focus({ preventScroll: last });
  };
  new MutationObserver(() => { // while a script runs, the focused element may be gone for a moment only
    looks.forEach(clearTimeout);
    const ended = state.byKey && app.dataset.testScriptState === "notRunning";
    looks = ended ? LOOKS_MS.map((ms) => setTimeout(restore, ms, ms >= LAST_MS)) : [];
  }).observe(app, { attributeFilter: ["data-test-script-state"] });

  document.addEventListener("focusin", ({ target }) => { state.lost = around(target); }, true);
  window.addEventListener("pointerdown", () => { state.byKey = false; }, true);
  window.addEventListener("keydown", (event) => {
    state.byKey = true;
    const popover = event.key === "Tab" && event.target.closest?.(POPOVER);
    if (!popover) return;
    const stops = stopsIn(popover), [from, to] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
    if (event.target !== from) return;
    event.preventDefault();
    to.focus();
  }, true);
  document.addEventListener("click", ({ target, detail }) => {
    menu = [...target.closest?.('[class*="st-key-menu_"]')?.classList ?? []].find((one) => one.startsWith("st-key-")) ?? menu;
    const download = target.closest?.('[data-testid="stDownloadButton"] button'), button = target.closest?.(OPENER);
    if (download && !detail) comeBackTo(download);
    if (!button || detail || button.getAttribute("aria-expanded") === "true") return; // a click by keyboard has no detail
    opened = around(button);
    whenThere(`${POPOVER}:not(:has([data-testid="stSkeleton"])) :is(${STOPS})`, () => firstIn(document.querySelector(POPOVER))?.focus());
  }, true);
}
