// Times in the reader's zone, secrets copied and gone with their page. Everything works without it.
"use strict";

function localTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = format.format(new Date(time.dateTime));
  }
}

document.addEventListener("DOMContentLoaded", () => localTimes(document));
document.addEventListener("htmx:afterSwap", (event) => localTimes(event.target));
document.addEventListener("htmx:sseMessage", (event) => localTimes(event.target));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // where the page has no clipboard of its own
  }
  document.querySelector("[data-copy-status]").textContent = button.dataset.copied;
});

// A page that the browser keeps for its back button must not keep the secret.
addEventListener("pagehide", () => {
  for (const field of document.querySelectorAll("[data-once]")) field.value = "";
});
