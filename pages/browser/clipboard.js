// Copy an answer within the click: after a round trip to the server, WebKit and Safari refuse to write.

function copyByCommand(text) {
  const box = document.createElement("textarea");
  box.value = text;
  box.style.cssText = "position: fixed; opacity: 0";
  document.body.append(box);
  box.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    box.remove();
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // no permission, or a page without https
    return copyByCommand(text);
  }
}

function showNote(button, words) {
  document.querySelector(".parley-note")?.remove();
  const note = document.createElement("div"), at = button.getBoundingClientRect();
  note.className = "parley-note";
  note.textContent = words;
  document.body.append(note);
  note.style.top = `${Math.max(4, at.top - note.offsetHeight - 6)}px`;
  note.style.left = `${Math.min(innerWidth - note.offsetWidth - 8, Math.max(8, at.left))}px`;
  setTimeout(() => note.remove(), 2500);
}

function copyInTheClick(state) {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.('[class*="st-key-content_copy_"] button');
    if (!button) return;
    event.stopPropagation(); // the server is informed once the text is in the clipboard
    const place = button.closest('[class*="st-key-content_copy_"]');
    const id = /st-key-content_copy_(\S+)/.exec(place.className)[1], text = state.texts[id];
    const copied = text !== undefined && await copyText(text), focused = document.activeElement === document.body;
    if (focused) button.focus();
    const words = copied ? "Copied" : "Not copied. Your browser does not allow it; please select the text and copy it.";
    showNote(button, words);
    state.say(copied ? `${words}.` : words);
    if (copied) state.report(id);
  }, true);
}
