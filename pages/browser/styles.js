// Style sheets of our own, each once a page.

function addStyleOnce(id, text) {
  if (document.getElementById(id)) return;
  const style = document.createElement("style");
  style.id = id;
  style.textContent = text;
  document.head.append(style);
}

function themeOverlays(state) { // forms and menus over the page are outside of it: `light-dark()` would be light there
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || state.themes) return;
  const set = () => { document.documentElement.style.colorScheme = getComputedStyle(app).colorScheme; };
  state.themes = new MutationObserver(set); // Streamlit's theme is in its classes
  state.themes.observe(app, { attributeFilter: ["class"] });
  set();
}
