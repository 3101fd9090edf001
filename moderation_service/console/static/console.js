// What the console's pages do in the browser beside htmx. Text from anywhere is only ever set as textContent.

"use strict";

// A question before a form that can't be taken back: <form data-confirm="...">.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
