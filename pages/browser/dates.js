// Takes a date that is typed: at Enter, and before Escape closes what the field is in. Streamlit takes it only when the focus
// goes elsewhere; with the event alone it does so, too.

const PART_OF_DATE = '[data-testid^="stDate"] [role="spinbutton"]';

function takeTypedDates(state) {
  if (state.dates) return;
  state.dates = true;
  window.addEventListener("keydown", ({ key, target }) => {
    if (!["Enter", "Escape"].includes(key) || !target.matches?.(PART_OF_DATE)) return;
    target.dispatchEvent(new FocusEvent("focusout", { bubbles: true, relatedTarget: document.body }));
  }, true);
}
