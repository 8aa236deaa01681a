"use strict";
// Without this script every section is there, one below the other.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Tabs, as the ARIA Authoring Practices describe them.
for (const article of all("article")) {
  const tabs = all(".tabs a", article);
  const panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  const open = (chosen) => {
    tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === chosen));
      tab.tabIndex = number === chosen ? 0 : -1;
      panels[number].hidden = number !== chosen;
    });
    panels[chosen].dispatchEvent(new Event("opened"));
  };
  const list = article.querySelector(".tabs ul");
  const about = list.parentElement.getAttribute("aria-label").toLowerCase();
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", list.parentElement.getAttribute("aria-label"));
  tabs.forEach((tab, number) => {
    tab.parentElement.setAttribute("role", "presentation");
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[number].id);
    panels[number].setAttribute("role", "tabpanel");
    panels[number].setAttribute("aria-label", `${tab.textContent}, ${about}`);
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      open(number);
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (number + step + tabs.length) % tabs.length;
      open(next);
      tabs[next].focus();
    });
  });
  open(0);
}

// Sorting: a button in each heading.
for (const table of all("table.sortable")) {
  const headings = all("thead th", table);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table.tBodies[0], column, down ? -1 : 1);
      table.dispatchEvent(new Event("sorted"));
    });
  });
}

function sort(body, column, direction) {
  const order = new Intl.Collator(undefined, { numeric: true });
  const keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
  keyed.sort(([a], [b]) => direction * order.compare(a, b));
  body.append(...keyed.map(([, row]) => row));
}

function keyOf(cell) {
  return (cell.querySelector("summary") || cell).textContent;
}

// Filters: what is in a row's text, and which outcomes.  A browser lays out hundreds of rows in
// no time, and thousands in seconds.
const MOST_ROWS = 250;
for (const filters of all(".filters")) {
  const table = document.getElementById(filters.dataset.table);
  const texts = new Map();
  for (const row of table.tBodies[0].rows) texts.set(row, row.textContent.toLowerCase());
  const wanted = filters.querySelector(".filter-text");
  const boxes = all(".filter-outcome", filters);
  const changed = filters.querySelector(".filter-changed");
  const shown = filters.querySelector(".filter-shown");
  const more = filters.querySelector(".filter-all");
  let most = MOST_ROWS;
  const apply = () => {
    const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let number = 0;
    for (const row of table.tBodies[0].rows) {
      const fits =
        outcomes.has(row.dataset.outcome) &&
        (!changed?.checked || row.dataset.change) &&
        words.every((word) => texts.get(row).includes(word));
      number += Boolean(fits);
      row.hidden = !fits;
      row.classList.toggle("later", fits && number > most);
    }
    more.hidden = number <= most;
    shown.textContent = `${number} of ${texts.size} sites${more.hidden ? "" : `, ${most} shown`}`;
  };
  more.addEventListener("click", () => {
    most = Infinity;
    apply();
  });
  table.addEventListener("sorted", apply);
  filters.addEventListener("input", apply);
  filters.hidden = false;
  apply();
}

// A button beside each command that reproduces a site; the browser may refuse the clipboard.
for (const replay of all("pre.replay")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the replay command");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(replay.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(replay);
      button.textContent = "Selected";
    }
  });
  replay.after(button);
}

// Icicles: drawn when they are first seen, since a hidden one has no width.
for (const place of all(".icicle")) {
  place.hidden = false;
  const panel = place.closest(".panel");
  const draw = () => {
    if (!panel.hidden && !place.dataset.drawn) drawIcicle(place);
  };
  panel.addEventListener("opened", draw);
  draw();
}

function drawIcicle(place) {
  place.dataset.drawn = "yes";
  const data = JSON.parse(place.querySelector("script").textContent);
  const chart = place.querySelector(".icicle-chart");
  const details = place.querySelector(".icicle-details");
  const found = place.querySelector(".icicle-found");
  const by = place.querySelector(".icicle-colour");
  const root = treeOf(data);
  const said = ({ data: node }) => `${node.name}: ${node.value} (${outcomesOf(node)})`;
  const mild = (colour, part) => `color-mix(in srgb, ${colour} ${part}%, var(--paper))`;
  const graph = icicle
    .flamegraph()
    .inverted(true)
    .sort(true)
    .cellHeight(20)
    .minFrameSize(1)
    .transitionDuration(matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 250)
    .width(Math.max(chart.clientWidth, 320))
    .setLabelHandler(said)
    .setSearchMatch((node, term) => node.data.name.toLowerCase().includes(term.toLowerCase()))
    .setDetailsHandler((text) => {
      if (text) details.textContent = text;
    })
    .onHover((node) => {
      details.textContent = said(node);
    })
    .setSearchHandler((results) => {
      found.textContent = `${results.length} functions found`;
    })
    .setColorMapper((node) => {
      if (node.highlight) return mild("var(--worse)", 60);
      if (by?.value !== "outcome") return mild("var(--fault)", 10 + (60 * node.value) / root.value);
      const names = Object.keys(node.data.outcomes);
      return names.length === 1 ? mild(data.colours[names[0]], 50) : "var(--rule)";
    });
  icicle.select(chart).datum(root).call(graph);
  const search = place.querySelector(".icicle-search");
  search.addEventListener("input", () => {
    if (search.value) {
      graph.search(search.value);
    } else {
      graph.clear();
      found.textContent = "";
    }
  });
  place.querySelector(".icicle-reset").addEventListener("click", () => graph.resetZoom());
  by?.addEventListener("change", () => graph.update());
}

function outcomesOf(node) {
  const outcomes = Object.entries(node.outcomes).filter(([name]) => name);
  return outcomes.map(([name, number]) => `${number} ${name}`).join(", ") || "failed calls";
}

function treeOf({ names, stacks }) {
  const make = (name) => ({ name, value: 0, outcomes: {}, children: [], below: new Map() });
  const root = make("all");
  for (const [count, outcome, , functions] of stacks) {
    let node = root;
    note(node, count, outcome);
    for (const number of functions) {
      if (!node.below.has(number)) {
        node.below.set(number, make(names[number]));
        node.children.push(node.below.get(number));
      }
      node = node.below.get(number);
      note(node, count, outcome);
    }
  }
  return root;
}

function note(node, count, outcome) {
  node.value += count;
  node.outcomes[outcome] = (node.outcomes[outcome] || 0) + 1;
}
