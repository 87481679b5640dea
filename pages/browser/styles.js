// Style sheets of our own, each once a page.

function addStyleOnce(id, text) {
  if (document.getElementById(id)) return;
  const style = document.createElement("style");
  style.id = id;
  style.textContent = text;
  document.head.append(style);
}

function themeOverlays() { // forms and menus over the page are outside of it: `light-dark()` would always be light there
  const app = document.querySelector('[data-testid="stApp"]');
  if (app) document.documentElement.style.colorScheme = getComputedStyle(app).colorScheme;
}
