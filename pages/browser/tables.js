// Let a table that is wider than its place scroll by keyboard, and name it for screen readers. Where rows are cards on a
// phone, label the cells with their headings.

const TABLE = '[data-testid="stTable"]';

function letScroll(area) {
  if (area.scrollWidth > area.clientWidth) {
    area.tabIndex = 0;
    area.setAttribute("role", "region");
    area.setAttribute("aria-label", "Table, scrolls sideways");
  } else if (area.hasAttribute("tabindex")) {
    for (const name of ["tabindex", "role", "aria-label"]) area.removeAttribute(name);
  }
}

function nameCells(table) { // on a phone its rows are cards (pages/frame.css)
  const heads = [...table.querySelectorAll("thead th")].map((one) => one.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr"))
    [...row.cells].forEach((cell, place) => { if (cell.dataset.heading !== heads[place]) cell.dataset.heading = heads[place]; });
}

function letTablesScroll(state) {
  if (state.scrolls) return;
  state.scrolls = true;
  const look = () => {
    for (const table of document.querySelectorAll(`${TABLE} table`)) letScroll(table.parentElement);
    for (const table of document.querySelectorAll(`[class*="st-key-cards_"] ${TABLE} table`)) nameCells(table);
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", look);
  document.addEventListener("toggle", look, true); // a folded section has no width
  look();
}
