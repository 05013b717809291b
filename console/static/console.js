"use strict";
// Pages work without this. It says times in the viewer's own zone as well, and sends each form once.

for (const time of document.querySelectorAll("time[datetime]")) {
  const format = { dateStyle: "medium", timeStyle: "short" };
  const here = new Date(time.dateTime);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const told = time.textContent;
  const local = here.toLocaleString(undefined, format);
  if (zone && zone !== "UTC") {
    time.title = told;
    time.textContent = `${local} (${zone.replaceAll("_", " ")})`;
  }
}

for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}

// Back from the next page, forms can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.getElementById("problem")?.focus();
