"use strict";
// Tables sort and filter, commands copy, charts are drawn in the page's colours when they come into view.
(() => {
  const number = new Intl.NumberFormat("en");

  function sort(table, place, button) {
    const heads = [...table.tHead.rows[0].cells];
    const wanted = heads[place].getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach((head, at) => head.setAttribute("aria-sort", at === place ? wanted : "none"));
    const isNumeric = heads[place].classList.contains("number");
    const body = table.tBodies[0];
    const order = (row) => {
      const cell = row.cells[place];
      const said = cell.dataset.order ?? cell.textContent;
      return isNumeric ? Number(said) || 0 : said;
    };
    const sign = wanted === "ascending" ? 1 : -1;
    const compare = (a, b) => (isNumeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    [...body.rows]
      .map((row) => [order(row), row])
      .sort(([a], [b]) => sign * compare(a, b))
      .forEach(([, row]) => body.append(row));
    button.focus();
  }

  function filter(block, input, output) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...block.querySelectorAll("tbody tr")];
    let shown = 0;
    for (const row of rows) {
      const said = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => said.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    const all = number.format(rows.length);
    output.textContent = words.length ? `${number.format(shown)} of ${all} rows` : `${all} rows`;
  }

  for (const block of document.querySelectorAll(".sortable")) {
    const table = block.querySelector("table");
    table.querySelectorAll("th button").forEach((button, place) => {
      button.addEventListener("click", () => sort(table, place, button));
    });
    const input = block.querySelector("input");
    if (input) {
      const output = block.querySelector("output");
      input.addEventListener("input", () => filter(block, input, output));
    }
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const said = button.previousElementSibling.textContent;
      try {
        await navigator.clipboard.writeText(said);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected";
      }
    });
  }

  const again = document.getElementById("again");
  if (again) {
    const kept = "aliquot-report-again";
    again.checked = sessionStorage.getItem(kept) !== "no";
    again.addEventListener("change", () => sessionStorage.setItem(kept, again.checked ? "yes" : "no"));
    setInterval(() => again.checked && location.reload(), 1000 * Number(again.dataset.seconds));
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function resolve(value) {
    if (typeof value === "string") return /^\$[a-z]+[0-9]?$/.test(value) ? colour(value.slice(1)) : value;
    if (Array.isArray(value)) return value.map(resolve);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolve(each)]));
    }
    return value;
  }

  function draw(place) {
    const figure = resolve(JSON.parse(document.getElementById(place.dataset.figure).textContent));
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line") };
    const layout = {
      ...figure.layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("soft"), size: 12 },
      hoverlabel: { bgcolor: colour("paper2"), font: { color: colour("ink") } },
      dragmode: false,
      xaxis: { ...axis, ...figure.layout.xaxis },
      yaxis: { ...axis, ...figure.layout.yaxis },
    };
    if (place.clientWidth < 520) layout.margin = { ...layout.margin, l: 44, r: 8 };
    Plotly.react(place, figure.data, layout, { displayModeBar: false, responsive: true });
    place.dataset.drawn = "yes";
  }

  // Plotly's script lies in the page packed: running it takes longer than all else, and waits for the page.
  const places = [...document.querySelectorAll(".chart")];
  const plotly = document.getElementById("plotly");
  if (!plotly) {
    places.forEach((place) => place.remove());
    return;
  }

  function giveUp(why) {
    for (const place of places) {
      const note = document.createElement("p");
      note.className = "note";
      note.textContent = `Not drawn, ${why}: what it shows is in the words below.`;
      place.replaceWith(note);
    }
  }

  async function unpack(letters) {
    const packed = atob(letters);
    const bytes = new Uint8Array(packed.length);
    for (let at = 0; at < packed.length; at += 1) bytes[at] = packed.charCodeAt(at);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  }

  async function drawAll() {
    if (typeof DecompressionStream === "undefined") {
      giveUp("since this browser is older than 2023");
      return;
    }
    const script = document.createElement("script");
    try {
      script.textContent = await unpack(plotly.textContent);
    } catch (err) {
      giveUp(`since its script is damaged (${err})`);
      return;
    }
    document.body.append(script);
    if (typeof Plotly === "undefined") {
      giveUp("since this browser does not run its script");
      return;
    }
    places.forEach((place) => seen.observe(place));
    dark.addEventListener("change", () => places.filter((place) => place.dataset.drawn).forEach(draw));
    addEventListener("beforeprint", () => places.forEach(draw));
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
    }
  }, { rootMargin: "300px" });
  const later = window.requestIdleCallback || setTimeout;
  if (places.length) addEventListener("load", () => later(drawAll));
})();
