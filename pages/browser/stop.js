// Esc stops the running answer, unless it belongs to a composition, a field or something open over the page.

const OVER = '[role="dialog"], [role="menu"], [role="listbox"], [data-testid="stPopoverBody"]';

function takeEscForStop() {
  let meant = false;
  window.addEventListener("keydown", (event) => {
    const field = event.target.matches?.('input, textarea, select, [contenteditable="true"]');
    meant = event.key === "Escape" && !composes(event) && (!field || event.target.matches(BOX))
      && ![...document.querySelectorAll(OVER)].some((one) => one.checkVisibility());
  }, true);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && meant && !event.defaultPrevented)
      document.querySelector(".st-key-stop button")?.click();
  });
}
