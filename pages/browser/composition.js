// Input methods. The Enter that ends a composition sends nothing, and the Esc that leaves it stops nothing.

// Safari ends a composition with a key of code 229 that says it is not composing.
const composes = (event) => event.isComposing || event.keyCode === 229;

function keepEnterOfCompositions() {
  window.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && composes(event)) event.stopImmediatePropagation();
  }, true);
}
