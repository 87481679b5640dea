// Input methods: the Enter that ends a composition does not send, and the Esc that cancels it does not stop.

// Safari ends a composition with a key of code 229 whose isComposing is false.
const composes = (event) => event.isComposing || event.keyCode === 229;

function keepEnterOfCompositions() {
  window.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && composes(event)) event.stopImmediatePropagation();
  }, true);
}
