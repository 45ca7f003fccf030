"use strict";

const normal = (text) => text.normalize("NFKC").toLowerCase();

/** A table whose bodies are items: sorted by its headings, filtered by the controls before it. */
function makeTable(table) {
  const items = [...table.tBodies];
  const controls = document.getElementById(table.dataset.controls);
  const status = controls.querySelector("[role=status]");
  const inputs = [...controls.querySelectorAll("input, select")];
  const texts = new Map();

  const textOf = (item) => {
    if (!texts.has(item)) texts.set(item, normal(item.textContent));
    return texts.get(item);
  };

  const tests = {
    search: (item, value) =>
      normal(value).split(/\s+/).filter(Boolean).every((word) => textOf(item).includes(word)),
    grader: (item, value) => {
      const [status, ...id] = value.split(":");
      return JSON.parse(item.dataset[status]).includes(id.join(":"));
    },
    tag: (item, value) => JSON.parse(item.dataset.tags).includes(value),
  };

  function filter() {
    let shown = 0;
    for (const item of items) {
      item.hidden = !inputs.every(({ name, value }) =>
        value === "" || (tests[name] ? tests[name](item, value) : item.dataset[name] === value));
      shown += item.hidden ? 0 : 1;
    }
    status.textContent = `${shown} of ${items.length} shown`;
  }

  const key = (item, column) => item.rows[0].cells[column].dataset.sort ?? item.rows[0].cells[column].textContent;

  function compare(a, b) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const numbers = [Number(a), Number(b)];
    return numbers.some(Number.isNaN) ? a.localeCompare(b, undefined, { numeric: true }) : numbers[0] - numbers[1];
  }

  function sort(heading) {
    const falling = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const column = heading.cellIndex;
    const keyed = items.map((item) => [key(item, column), item]);
    keyed.sort(([a], [b]) => {
      const missing = a === "" || b === "";
      return falling && !missing ? compare(b, a) : compare(a, b);
    });
    table.append(...keyed.map(([, item]) => item));
  }

  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
  for (const input of inputs) input.addEventListener("input", filter);
  controls.querySelector("button").addEventListener("click", () => {
    for (const input of inputs) input.value = "";
    filter();
  });
  filter();
}

function setOpen(button, open) {
  button.setAttribute("aria-expanded", String(open));
  document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
}

/** The line that follows the call's audio; a click on the drawing moves the audio. */
function makeTimeline(drawing) {
  const audio = document.getElementById(drawing.dataset.audio);
  if (!audio) return;
  const line = drawing.querySelector(".now");
  const length = Number(drawing.dataset.duration);
  const turns = [...drawing.closest("td").querySelectorAll(".turn")];

  audio.addEventListener("timeupdate", () => {
    const at = `${Math.min(100, (100 * audio.currentTime) / length)}%`;
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    line.classList.add("moving");
    for (const turn of turns) {
      const heard = !audio.paused && audio.currentTime >= Number(turn.dataset.start) && audio.currentTime < Number(turn.dataset.end);
      turn.classList.toggle("heard", heard);
    }
  });
  drawing.addEventListener("click", (event) => {
    const box = drawing.getBoundingClientRect();
    audio.currentTime = (length * (event.clientX - box.left)) / box.width;
    audio.play();
  });
}

/** One voice at a time: what starts to play stops the others. */
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  }
});

/** Opens the conversation that the address names. */
function followAddress() {
  const target = document.getElementById(location.hash.slice(1));
  const button = target?.querySelector("button.open");
  if (button) { setOpen(button, true); target.scrollIntoView(); }
}

for (const button of document.querySelectorAll("button.open")) {
  setOpen(button, false);
  button.addEventListener("click", () => setOpen(button, button.getAttribute("aria-expanded") !== "true"));
}
document.querySelectorAll("table.items").forEach(makeTable);
document.querySelectorAll("svg.call").forEach(makeTimeline);
addEventListener("hashchange", followAddress);
followAddress();
document.documentElement.dataset.ready = "true";
