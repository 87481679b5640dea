// Carry out the server's requests, each id once: put a text back into the box, save a file, take a theme.

function saveFile(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/markdown;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function takeTheme(name) { // Streamlit reads the stored theme on load, by the path that was loaded
  const folder = location.pathname.replace(/[^/]*$/, "");
  try {
    for (const path of new Set([location.pathname, ...["", ...PAGES].map((page) => folder + page)]))
      localStorage.setItem(`stActiveTheme-${path}-v2`, JSON.stringify(name));
  } catch {
    return; // without storage the page follows the system
  }
  location.reload();
}

const ORDERS = { return: putBack, download: saveFile, theme: takeTheme };

function carryOut(state, orders) {
  state.orders ??= {};
  for (const [name, [id, ...what]] of Object.entries(orders)) {
    if (!id || state.orders[name] === id) continue;
    state.orders[name] = id;
    ORDERS[name](...what);
  }
}
