// Make the toolbar of a chart or a table a single tab stop; the arrow keys move along its buttons.

const TOOLBAR = '[data-testid="stElementToolbar"]';

function joinToolbars(state) {
  if (state.toolbars) return;
  state.toolbars = true;
  document.addEventListener("focusin", ({ target }) => {
    const toolbar = target.closest?.(TOOLBAR);
    if (!toolbar) return;
    toolbar.setAttribute("role", "toolbar");
    for (const one of toolbar.querySelectorAll("button")) one.tabIndex = one === target ? 0 : -1;
  }, true);
  document.addEventListener("keydown", (event) => {
    const toolbar = event.target.closest?.(TOOLBAR), step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!toolbar || !step) return;
    const buttons = [...toolbar.querySelectorAll("button")];
    event.preventDefault();
    buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length]?.focus();
  }, true);
}
