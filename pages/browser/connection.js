// A lost connection is ours to report, on every page: a calm line instead of Streamlit's dialog for developers.
// `state.reconnected` is the chat page's part once the connection is back.

const LOST_FOR_MS = 700; // a shorter gap is nobody's concern

function reportLostConnection(state) {
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || state.reports) return;
  state.reports = true;
  addStyleOnce("parley-connection", CONNECTION_STYLE);
  let lost = false, focused = false, timer = 0;
  const line = document.createElement("div"), words = document.createElement("span"), reload = document.createElement("button");
  line.className = "parley-lost";
  line.setAttribute("role", "status");
  reload.type = "button";
  reload.textContent = "Reload";
  reload.addEventListener("click", () => location.reload());
  line.append(words);

  const closeDialog = () => {
    for (const dialog of document.querySelectorAll('[data-testid="stDialog"]')) {
      if (dialog.querySelector("h2")?.textContent !== "Connection error") continue;
      dialog.style.display = "none";
      dialog.querySelector('button[aria-label="Close"]')?.click();
    }
  };
  const dialogs = new MutationObserver(closeDialog);
  const show = (ended) => {
    words.textContent = ended
      ? "Connection lost. Please reload the page; your text is kept."
      : "Connection lost. Reconnecting; your text is kept.";
    if (ended) line.append(reload);
    if (!line.isConnected) document.body.append(line);
  };
  const look = () => {
    const now = app.dataset.testConnectionState;
    if (now === "CONNECTED") {
      if (!lost) return;
      lost = false;
      clearTimeout(timer);
      dialogs.disconnect();
      line.remove();
      reload.remove();
      state.reconnected?.(focused);
    } else if (!lost) {
      lost = true;
      focused = document.activeElement === state.box || document.activeElement === document.body;
      dialogs.observe(document.body, { childList: true, subtree: true });
      closeDialog();
      timer = setTimeout(() => show(app.dataset.testConnectionState === "DISCONNECTED_FOREVER"), LOST_FOR_MS);
    } else if (now === "DISCONNECTED_FOREVER") show(true);
  };
  new MutationObserver(look).observe(app, { attributeFilter: ["data-test-connection-state"] });
}
