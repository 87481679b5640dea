// Add our own style sheets, each once per page.

function addStyleOnce(id, text) {
  if (document.getElementById(id)) return;
  const style = document.createElement("style");
  style.id = id;
  style.textContent = text;
  document.head.append(style);
}

function themeOverlays(state) { // popovers and menus are outside the page: there `light-dark()` would be light
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || state.themes) return;
  const set = () => { document.documentElement.style.colorScheme = getComputedStyle(app).colorScheme; };
  state.themes = new MutationObserver(set); // Streamlit changes class names with the theme
  state.themes.observe(app, { attributeFilter: ["class"] });
  set();
}
