// The keys of the page on which a decision is reviewed. While somebody types, only Ctrl+Enter works.

"use strict";

const isTyping = (element) =>
  element.matches("textarea, select, input:not([type=radio]):not([type=checkbox])") || element.isContentEditable;

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.altKey || event.metaKey) return;
  const key = event.ctrlKey ? `Ctrl+${event.key}` : event.key;
  if (isTyping(event.target) && key !== "Ctrl+Enter") return;
  // Arrows choose between radio buttons, once one of these has the focus.
  if (event.target.matches("input[type=radio]") && key.startsWith("Arrow")) return;
  const choice = /^[1-9]$/.test(key) ? document.querySelector(`#answer [data-key="${key}"]`) : null;
  const pressed = choice ?? document.querySelector(`[data-press="${CSS.escape(key)}"]`);
  if (!pressed) return;
  event.preventDefault();
  pressed.click();
});
