"use strict";
// The page: what the reader chose (kept in the URL fragment), the filters, the table and the details of a record.

const DATA = JSON.parse(document.getElementById("content").textContent);
const COLUMN = Object.fromEntries(DATA.columns.map((column) => [column.key, column]));
const PLACE = ["machine", "data", "profile"];
const FILTERS = ["runtime", "device", "precision"];
const TEXTS = ["model", "regime", "runtime", "precision", "variant", "device", "batch", "tile", "threads", "format", "seed", "settings"];
const FACTS = DATA.facts;
const PAGE = 200;
const byId = (id) => document.getElementById(id);
let state = {};
let shown = PAGE;

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The state in the fragment, with what is missing or impossible replaced by the usual. */
function readState() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const figures = DATA.columns.map((column) => column.key);
  const first = (key, known, usual) => (known.includes(asked.get(key)) ? asked.get(key) : usual);
  const next = { search: asked.get("search") || "", selected: asked.get("record") || "" };
  let rows = DATA.rows;
  for (const key of PLACE) {
    const known = valuesOf(rows, key);
    next[key] = first(key, known, known[0] || "");
    rows = rows.filter((row) => row[key] === next[key]);
  }
  for (const key of FILTERS) next[key] = first(key, valuesOf(rows, key), "");
  next.x = first("x", figures, DATA.axes[1]);
  next.y = first("y", figures, DATA.axes[0]);
  next.logx = asked.has("logx") ? asked.get("logx") === "1" : isLogByNature(next.x);
  next.logy = asked.has("logy") ? asked.get("logy") === "1" : isLogByNature(next.y);
  const sort = asked.get("sort") || DATA.sort;
  next.sort = [...PLACE, ...TEXTS, ...figures].includes(sort.replace(/^-/, "")) ? sort : "model";
  next.columns = asked.has("columns") ? asked.get("columns").split(",").filter((key) => figures.includes(key)) : DATA.usual;
  return next;
}

function isLogByNature(key) {
  return !["score", "share", "change", "text"].includes(COLUMN[key]?.dimension ?? "text");
}

function writeState() {
  const kept = new URLSearchParams();
  for (const key of [...PLACE, ...FILTERS, "search", "x", "y", "sort"]) if (state[key]) kept.set(key, state[key]);
  for (const key of ["x", "y"]) if (state[`log${key}`] !== isLogByNature(state[key])) kept.set(`log${key}`, state[`log${key}`] ? "1" : "0");
  if (state.columns.join() !== DATA.usual.join()) kept.set("columns", state.columns.join());
  if (state.selected) kept.set("record", state.selected);
  history.replaceState(null, "", `#${kept}`);
}

function valuesOf(rows, key) {
  return [...new Set(rows.map((row) => row[key]))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function placeRows() {
  return DATA.rows.filter((row) => PLACE.every((key) => row[key] === state[key]));
}

function visibleRows() {
  const wanted = state.search.toLowerCase();
  return placeRows().filter((row) => FILTERS.every((key) => !state[key] || row[key] === state[key]) && (!wanted || `${row.model} ${row.regime}`.toLowerCase().includes(wanted)));
}

function set(changes) {
  state = { ...state, ...changes };
  writeState();
  state = readState();
  draw();
}

function draw() {
  drawControls();
  const rows = visibleRows();
  const all = placeRows().length;
  byId("count").textContent = `${rows.length} of ${all} rows on ${state.machine}, ${state.data}, profile ${state.profile}`;
  drawScatter(rows);
  drawTable(rows);
  drawDetails(DATA.rows.find((row) => row.id === state.selected));
}

function drawControls() {
  let rows = DATA.rows;
  for (const key of PLACE) {
    fill(byId(key), valuesOf(rows, key), state[key]);
    rows = rows.filter((row) => row[key] === state[key]);
  }
  for (const key of FILTERS) fill(byId(key), valuesOf(rows, key), state[key], "all");
  for (const key of ["x", "y"]) {
    fill(byId(key), DATA.columns.map((column) => column.key), state[key], null, (name) => COLUMN[name].label);
    byId(`log${key}`).checked = state[`log${key}`];
  }
  if (byId("search") !== document.activeElement) byId("search").value = state.search;
  for (const box of byId("columns").querySelectorAll("input")) box.checked = state.columns.includes(box.value);
}

function fill(select, values, chosen, all = null, label = (value) => value) {
  const options = values.map((value) => element("option", { value }, label(value)));
  select.replaceChildren(...(all === null ? [] : [element("option", { value: "" }, all)]), ...options);
  select.value = chosen;
}

function drawScatter(rows) {
  const [x, y] = [COLUMN[state.x], COLUMN[state.y]];
  const known = rows.filter((row) => Array.isArray(row.figures[state.x]) && Array.isArray(row.figures[state.y]));
  const fit = known.filter((row) => (!state.logx || row.figures[state.x][0] > 0) && (!state.logy || row.figures[state.y][0] > 0));
  const best = front(fit.map((row) => [row.figures[state.x], row.figures[state.y]]), [x.better, y.better]);
  const dots = fit.map((row, index) => ({ row, x: row.figures[state.x], y: row.figures[state.y], best: best[index] }));
  const runtimes = valuesOf(DATA.rows, "runtime");
  drawChart(byId("chart"), { dots, axes: [x, y], runtimes, isLog: [state.logx, state.logy], selected: state.selected, onPick: pick });
  const left = rows.length - fit.length;
  byId("left-out").textContent = left ? `${left} rows lack one of the two figures${state.logx || state.logy ? ", or have none above zero," : ""} and are in the table only.` : "";
  const used = runtimes.filter((name) => rows.some((row) => row.runtime === name));
  byId("legend").replaceChildren(...used.map((name) => legendItem(name, runtimes.indexOf(name))));
}

function legendItem(name, number) {
  const picture = svg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", "aria-hidden": "true" });
  picture.append(svg("path", { class: `mark color${number % COLORS}`, d: SHAPES[number % SHAPES.length] }));
  return element("li", {}, picture, name);
}

function drawTable(rows) {
  const keys = [...FACTS, ...state.columns];
  byId("head").replaceChildren(element("tr", {}, ...keys.map(headCell)));
  const ordered = sorted(rows);
  byId("body").replaceChildren(...ordered.slice(0, shown).map((row) => tableRow(row, keys)));
  byId("more").hidden = ordered.length <= shown;
  byId("more").textContent = `Show ${Math.min(PAGE, ordered.length - shown)} more of ${ordered.length}`;
}

function headCell(key) {
  const isSorted = state.sort.replace(/^-/, "") === key;
  const button = element("button", { type: "button" }, COLUMN[key]?.label ?? key);
  button.addEventListener("click", () => {
    set({ sort: isSorted && !state.sort.startsWith("-") ? `-${key}` : key });
    byId("head").querySelectorAll("button")[[...FACTS, ...state.columns].indexOf(key)].focus();
  });
  const cell = element("th", { scope: "col", class: COLUMN[key] ? "number" : "text" }, button);
  if (isSorted) {
    const isUp = COLUMN[key] ? (COLUMN[key].better === "lower") !== state.sort.startsWith("-") : !state.sort.startsWith("-");
    cell.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    button.append(element("span", { "aria-hidden": "true" }, isUp ? " ▲" : " ▼"));
  }
  return cell;
}

/** Best first, or in the order of the text; rows without the figure last either way. */
function sorted(rows) {
  const key = state.sort.replace(/^-/, "");
  const turn = state.sort.startsWith("-") ? -1 : 1;
  if (!COLUMN[key]) return [...rows].sort((a, b) => turn * a[key].localeCompare(b[key], "en", { numeric: true }));
  const sign = turn * (COLUMN[key].better === "higher" ? -1 : 1);
  const has = (row) => Array.isArray(row.figures[key]);
  return [...rows].sort((a, b) => Number(has(b)) - Number(has(a)) || (has(a) ? sign * (a.figures[key][0] - b.figures[key][0]) : 0));
}

function tableRow(row, keys) {
  const made = element("tr", row.id === state.selected ? { class: "selected" } : {}, ...keys.map((key) => (COLUMN[key] ? figureCell(row, key) : factCell(row, key))));
  made.addEventListener("click", () => pick(row, true));
  return made;
}

function factCell(row, key) {
  if (key !== "model") return element("td", { class: "text" }, row[key]);
  const button = element("button", { type: "button", class: "pick", "aria-pressed": String(row.id === state.selected) }, row.model);
  return element("th", { scope: "row", class: "text" }, button, ...(row.flags.length ? [element("span", { class: "flag", title: row.flags.join("; ") }, " !")] : []));
}

function figureCell(row, key) {
  const entry = row.figures[key];
  if (!Array.isArray(entry)) return element("td", { class: "number none", title: entry }, "-");
  const cell = element("td", { class: "number" }, human(entry[0], COLUMN[key]));
  if (entry.length > 1 && entry[1] !== null) cell.append(element("small", {}, between(entry, COLUMN[key])));
  return cell;
}

function between(entry, column) {
  return `[${human(entry[1], column)}, ${human(entry[2], column)}]`;
}

/** `stays`: the reader chose it, so it goes into the fragment; a mouse that passes only shows the details. */
function pick(row, stays) {
  if (!stays) {
    drawDetails(row);
    return;
  }
  const isInTable = byId("body").contains(document.activeElement);
  set({ selected: row.id });
  if (isInTable) byId("body").querySelector("[aria-pressed=true]")?.focus();
}

function drawDetails(row) {
  if (!row) {
    byId("details").replaceChildren(element("p", {}, "Point at a mark, or choose a row, to see its record."));
    return;
  }
  const facts = [["record", row.id], ["created", row.created], ...[...PLACE, ...TEXTS].map((key) => [key, row[key]])];
  const figures = DATA.columns.map((column) => [column.label, said(row.figures[column.key], column)]);
  const list = [...facts, ...figures].flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]);
  const flags = row.flags.map((flag) => element("p", { class: "flagged" }, flag));
  byId("details").replaceChildren(element("p", {}, element("code", {}, `harness records show ${row.id.slice(0, 8)}`)), ...flags, element("dl", {}, ...list));
}

function said(entry, column) {
  if (!Array.isArray(entry)) return entry;
  return human(entry[0], column) + (entry.length > 1 && entry[1] !== null ? ` ${between(entry, column)}` : "");
}

function columnBox(column) {
  const box = element("input", { type: "checkbox", value: column.key });
  box.addEventListener("change", () => {
    const chosen = [...byId("columns").querySelectorAll("input:checked")].map((item) => item.value);
    set({ columns: chosen });
  });
  return element("label", {}, box, column.label);
}

function start() {
  byId("columns").append(...DATA.columns.map(columnBox));
  for (const key of [...PLACE, ...FILTERS, "x", "y"]) byId(key).addEventListener("change", (event) => set({ [key]: event.target.value, ...(["x", "y"].includes(key) ? { [`log${key}`]: isLogByNature(event.target.value) } : {}) }));
  for (const key of ["logx", "logy"]) byId(key).addEventListener("change", (event) => set({ [key]: event.target.checked }));
  byId("search").addEventListener("input", (event) => set({ search: event.target.value }));
  byId("more").addEventListener("click", () => {
    shown += PAGE;
    draw();
  });
  byId("skip").addEventListener("click", (event) => {
    // The fragment holds the view, so the link must not change it.
    event.preventDefault();
    byId("scroll").focus();
  });
  window.addEventListener("hashchange", () => {
    state = readState();
    draw();
  });
  state = readState();
  draw();
  let width = byId("chart").clientWidth;
  new ResizeObserver(() => {
    if (byId("chart").clientWidth === width) return;
    width = byId("chart").clientWidth;
    drawScatter(visibleRows());
  }).observe(byId("chart"));
}

if (DATA.rows.length) start();
else byId("count").textContent = "No records.";
