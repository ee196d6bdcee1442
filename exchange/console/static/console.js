// What pages do more comfortably with script; each works without.

// Live progress: an element with data-follow="ADDRESS" shows what the server tells; at the end the page is read anew.
for (const place of document.querySelectorAll("[data-follow]")) {
  const source = new EventSource(place.dataset.follow);
  const bar = place.querySelector("progress");
  const line = place.querySelector("[data-line]");
  source.addEventListener("step", (event) => {
    const told = JSON.parse(event.data);
    if (line) line.textContent = told.words;
    if (bar && told.share !== null) bar.value = told.share;
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
}

// A button that does what cannot be undone asks once more, by the words it carries.
for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.ask)) event.preventDefault();
  });
}

// Nobody sends a form twice by pressing twice.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    setTimeout(() => form.querySelectorAll("button").forEach((each) => { each.disabled = true; }), 0);
  });
}

// Filters take effect when one is chosen.
for (const form of document.querySelectorAll("form.filters")) {
  for (const each of form.querySelectorAll("select")) each.addEventListener("change", () => form.requestSubmit());
}

// Rows of a long table that hold what is written.
for (const box of document.querySelectorAll("input[data-narrow]")) {
  const rows = document.querySelectorAll(`#${box.dataset.narrow} tbody tr`);
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
