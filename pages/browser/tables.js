// A table that is wider than its place scrolls by keyboard, and a screen reader finds it by a name.

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

function letTablesScroll(state) {
  if (state.scrolls) return;
  state.scrolls = true;
  const look = () => {
    for (const table of document.querySelectorAll(`${TABLE} table`)) letScroll(table.parentElement);
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", look);
  document.addEventListener("toggle", look, true); // a part that was folded has no width before
  look();
}
