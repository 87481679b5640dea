// Repairs around the page: whole characters, the sidebar on phones, names for elements that Streamlit leaves unnamed.

function keepTextWhole() { // a lone surrogate, pasted or cut, would make the message to the server invalid
  document.addEventListener("input", ({ target }) => {
    if (target.value?.isWellFormed?.() !== false) return;
    const kind = target instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(target, target.value.toWellFormed());
  }, true);
}

function closeSidebarOnPhones() { // it would cover the conversation that was just picked
  document.addEventListener("click", ({ target }) => {
    if (innerWidth < 768 && target.closest?.('[class*="st-key-open_"], .st-key-new'))
      document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
  });
}

function loadOnScroll(state) { // older conversations, once the end of the list is visible
  state.older?.disconnect();
  const button = document.querySelector(".st-key-older button");
  if (!button) return;
  state.older = new IntersectionObserver((entries) => {
    if (entries.some((one) => one.isIntersecting)) button.click();
  }, { root: document.querySelector('[data-testid="stSidebarContent"]'), rootMargin: "300px" });
  state.older.observe(button);
}

function actInTheList() { // focuses the name, where Esc cancels, and Cancel before a deletion
  const NAME = '[class*="st-key-title_"] input';
  document.addEventListener("click", ({ target, detail }) => {
    const act = target.closest?.('[role="menuitem"]')?.innerText.trim() ?? "";
    if (act.endsWith("Rename")) whenThere(NAME, (input) => { input.focus(); input.select(); });
    else if (act.endsWith("Delete") && !detail) whenThere(".st-key-delete_now_cancel button", (button) => button.focus());
  }, true);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches?.(NAME) && !composes(event))
      document.querySelector(".st-key-rename_cancel button")?.click();
  }, true);
}

function nameOverlays() { // Streamlit draws menus outside of every landmark
  const place = document.querySelector("#stFloatingOverlayPortal");
  place?.setAttribute("role", "region");
  place?.setAttribute("aria-label", "Menus");
}
