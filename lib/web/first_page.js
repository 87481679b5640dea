// Report a lost connection on every page, from its first moment, in one line; hide Streamlit's dialog for developers.
// This script is part of the page, because a component would load over the connection that may be lost.
// The chat page sets `state.reconnected` and `state.box`.

(() => {
  const LOST_FOR_MS = 700; // shorter gaps are not reported
  const APP = '[data-testid="stApp"]';
  const state = (window.parley ??= { texts: {}, report: () => {}, say: () => {} });
  let app, lost = true, ever = false, focused = false, timer = 0;
  const style = document.createElement("style"), line = document.createElement("div");
  const words = document.createElement("span"), reload = document.createElement("button");
  style.textContent = STYLE;
  document.head.append(style);
  line.className = "parley-lost";
  line.setAttribute("role", "status");
  line.append(words);
  reload.type = "button";
  reload.textContent = "Reload";
  reload.addEventListener("click", () => location.reload());

  const show = () => {
    const ended = app.dataset.testConnectionState === "DISCONNECTED_FOREVER";
    if (ever) words.textContent = `Connection lost. ${ended ? "Please reload the page" : "Reconnecting"}; your text is kept.`;
    else words.textContent = ended ? "There is no connection. Please reload the page." : "There is no connection yet. Trying again.";
    if (ended) line.append(reload);
    if (!line.isConnected) document.body.append(line);
  };
  const closeDialog = () => {
    for (const dialog of document.querySelectorAll('[data-testid="stDialog"]')) {
      if (dialog.querySelector("h2")?.textContent !== "Connection error") continue;
      dialog.style.display = "none";
      dialog.querySelector('button[aria-label="Close"]')?.click();
      if (!ever) show(); // a first connection may take long before Streamlit gives up
    }
  };
  const dialogs = new MutationObserver(closeDialog);
  const watchDialogs = () => dialogs.observe(document.documentElement, { childList: true, subtree: true });
  const look = () => {
    const now = app.dataset.testConnectionState;
    if (now === "CONNECTED") {
      if (!lost) return;
      clearTimeout(timer);
      dialogs.disconnect();
      line.remove();
      reload.remove();
      if (ever) state.reconnected?.(focused);
      [lost, ever] = [false, true];
    } else if (!lost) {
      lost = true;
      focused = document.activeElement === state.box || document.activeElement === document.body;
      watchDialogs();
      closeDialog();
      timer = setTimeout(show, LOST_FOR_MS);
    } else if (now === "DISCONNECTED_FOREVER") show();
  };
  const find = () => {
    app = document.querySelector(APP);
    if (!app) return;
    appears.disconnect();
    new MutationObserver(look).observe(app, { attributeFilter: ["data-test-connection-state"] });
    look();
  };
  const appears = new MutationObserver(find);
  appears.observe(document.documentElement, { childList: true, subtree: true });
  watchDialogs();
})();
