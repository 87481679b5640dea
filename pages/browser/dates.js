// Make Streamlit take a typed date at Enter, and before Escape closes the popover around the field. Streamlit takes it only
// when the field loses the focus, so this sends that event without moving the focus.

const PART_OF_DATE = '[data-testid^="stDate"] [role="spinbutton"]';

function takeTypedDates(state) {
  if (state.dates) return;
  state.dates = true;
  window.addEventListener("keydown", ({ key, target }) => {
    if (!["Enter", "Escape"].includes(key) || !target.matches?.(PART_OF_DATE)) return;
    target.dispatchEvent(new FocusEvent("focusout", { bubbles: true, relatedTarget: document.body }));
  }, true);
}
