// Set the direction of text by its first letter: in questions, answers, titles, comments, and while typing.

const TEXTS = '[data-testid="stMarkdownContainer"]:not([dir]), [data-testid="stText"]:not([dir])'
  + ', textarea:not([dir]), input[type="text"]:not([dir])';

function setDirections(state) { // `state.added` is called for every new element; the chat page sets it
  if (state.directs) return;
  state.directs = true;
  const set = (place) => {
    if (place.matches(TEXTS)) place.dir = "auto";
    for (const one of place.querySelectorAll(TEXTS)) one.dir = "auto";
    state.added?.(place);
  };
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeType === 1) set(node);
  }).observe(document.body, { childList: true, subtree: true });
  set(document.body);
}
