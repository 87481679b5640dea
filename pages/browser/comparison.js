// Two answers side by side: name their regions for screen readers. On a phone, where one stands below the other, add a
// switch between them and enable the choices once both have been visible.

const ANSWERS = '[class*="st-key-answer_"]', NARROW = matchMedia("(max-width: 640px)");
const TOP = 60, READ_MS = 400; // pixels that the header covers; time in sight after which an answer counts as read
const comparing = (window.parleyComparing ??= { seen: new Set(), since: new Map() });
const keyOf = (one) => /st-key-(answer_([ab])_\S+)/.exec(one.className);

function nameRegions(main) {
  for (const one of main.querySelectorAll(`${ANSWERS}:not([role])`)) {
    one.setAttribute("role", "region");
    one.setAttribute("aria-label", `Answer ${keyOf(one)[2].toUpperCase()}`);
  }
}

function makeSwitch() {
  const pair = document.createElement("nav");
  pair.className = "parley-switch";
  pair.setAttribute("aria-label", "Show an answer");
  pair.hidden = true;
  for (const letter of ["A", "B"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = letter;
    button.setAttribute("aria-label", `Show answer ${letter}`);
    pair.append(button);
  }
  document.body.append(pair);
  return pair;
}

const inSight = (one) => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom > TOP && top < innerHeight - 120;
};
const hasText = (one) => !/^Answer [AB]\s*(Thinking.*)?$/s.test(one.innerText.trim());

function noteSeen(side, again) {
  const key = keyOf(side)[1], now = performance.now();
  if (comparing.seen.has(key)) return;
  if (!inSight(side) || !hasText(side)) return void comparing.since.delete(key);
  if (!comparing.since.has(key)) {
    comparing.since.set(key, now);
    setTimeout(again, READ_MS + 20);
  } else if (now - comparing.since.get(key) >= READ_MS) comparing.seen.add(key);
}

function look(main, pair, again) {
  nameRegions(main);
  const comparison = [...main.querySelectorAll('[class*="st-key-comparison_"]')].at(-1);
  const sides = comparison ? [...comparison.querySelectorAll(ANSWERS)] : [];
  main.toggleAttribute("data-parley-compares", sides.length > 0); // cheaper than :has(), which every new word would evaluate
  pair.hidden = !NARROW.matches || sides.length !== 2 || !(inSight(sides[0]) || inSight(sides[1]));
  if (sides.length !== 2) return;
  if (NARROW.matches) {
    const { backgroundColor, color } = getComputedStyle(document.querySelector('[data-testid="stApp"]'));
    Object.assign(pair.style, { backgroundColor, color }); // the reader's theme
    for (const side of sides) noteSeen(side, again);
    const second = sides[1].getBoundingClientRect().top < innerHeight / 2;
    pair.querySelectorAll("button").forEach((button, at) => button.setAttribute("aria-pressed", String((at === 1) === second)));
  }
  const asleep = NARROW.matches && !sides.every((side) => comparing.seen.has(keyOf(side)[1]));
  const message = comparison.closest('[data-testid="stChatMessage"]');
  message?.querySelector('[class*="st-key-choices_"]')?.toggleAttribute("inert", asleep);
}

function keepComparisons(main) {
  const pair = makeSwitch();
  let waits = false;
  const soon = () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      if (main.isConnected) look(main, pair, soon);
      else pair.remove();
    });
  };
  pair.addEventListener("click", ({ target }) => {
    const at = [...pair.children].indexOf(target.closest("button"));
    const comparison = [...main.querySelectorAll('[class*="st-key-comparison_"]')].at(-1);
    const side = comparison?.querySelectorAll(ANSWERS)[at];
    if (!side) return;
    main.dispatchEvent(new WheelEvent("wheel", { deltaY: -1 })); // counts as the reader's scrolling: the page stops following the answer
    side.scrollIntoView({ block: "start" });
    comparing.seen.add(keyOf(side)[1]);
    soon();
  });
  new MutationObserver(soon).observe(main, { childList: true, subtree: true, characterData: true });
  main.addEventListener("scroll", soon, { passive: true });
  NARROW.addEventListener("change", soon);
  soon();
}

export default function () {
  if (!comparing.styled) {
    comparing.styled = true;
    const style = document.createElement("style");
    style.textContent = COMPARISON_STYLE;
    document.head.append(style);
  }
  const main = document.querySelector('[data-testid="stMain"]');
  if (main === comparing.main) return;
  comparing.main = main;
  keepComparisons(main);
}
