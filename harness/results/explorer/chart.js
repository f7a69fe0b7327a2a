"use strict";
// The scatter: points with error bars, the front, labels that do not collide, and a walk over the points with the arrow keys.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = [
  "M0,-5A5,5 0 1 1 0,5A5,5 0 1 1 0,-5Z",
  "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "M0,-6L5.5,4.5H-5.5Z",
  "M0,-6.5L5.5,0L0,6.5L-5.5,0Z",
  "M0,6L5.5,-4.5H-5.5Z",
  "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
];
const COLORS = 8;
const LONGEST_LABEL = 26;

function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Draws into `host`; `dots` are {row, x, y, best} with entries of x and y. `onPick(row)` is told what the reader looks at. */
function drawChart(host, { dots, axes, runtimes, isLog, selected, onPick }) {
  const width = Math.max(host.clientWidth, 240);
  const height = Math.round(Math.min(Math.max(width * 0.6, 280), 460));
  const frame = { left: 58, right: width - 14, top: 12, bottom: height - 44 };
  const old = host.querySelector("svg");
  const had = old !== null && old === document.activeElement;
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "listbox", tabindex: "0", "aria-describedby": "chart-help" });
  picture.setAttribute("aria-label", `${axes[1].label} against ${axes[0].label}, ${dots.length} points`);
  const scales = [scaleOf(dots.map((dot) => dot.x), isLog[0], frame.left, frame.right), scaleOf(dots.map((dot) => dot.y), isLog[1], frame.bottom, frame.top)];
  const behind = svg("g", { "aria-hidden": "true" });
  picture.append(behind);
  drawAxes(behind, frame, axes, scales);
  const places = dots.map((dot) => ({ dot, x: scales[0].at(dot.x[0]), y: scales[1].at(dot.y[0]) }));
  drawFront(behind, frame, places, axes);
  for (const place of places) drawBars(behind, place, scales);
  drawLabels(behind, frame, places);
  const marks = places.map((place, index) => drawMark(picture, place, { index, axes, number: runtimes.indexOf(place.dot.row.runtime), isSelected: place.dot.row.id === selected }));
  if (old) old.replaceWith(picture);
  else host.append(picture);
  if (had) picture.focus();
  listen(picture, marks, places, selected, onPick);
}

function scaleOf(entries, isLog, from, to) {
  const ends = entries.flatMap((entry) => [entry[0], ...(entry.length > 1 && entry[1] !== null ? [entry[1], entry[2]] : [])]).filter((value) => !isLog || value > 0);
  let [low, high] = [Math.min(...ends), Math.max(...ends)];
  if (!ends.length) [low, high] = [isLog ? 1 : 0, 10];
  const turn = isLog ? Math.log : (value) => value;
  const back = isLog ? Math.exp : (value) => value;
  const room = (turn(high) - turn(low)) * 0.06 || Math.abs(turn(low)) * 0.1 || 0.5;
  const [start, end] = [turn(low) - room, turn(high) + room];
  const at = (value) => from + ((turn(value) - start) / (end - start)) * (to - from);
  return { at: (value) => (isLog && value <= 0 ? from : at(value)), low: back(start), high: back(end), isLog };
}

function drawAxes(picture, frame, axes, scales) {
  const across = ticks(scales[0].low / axes[0].factor, scales[0].high / axes[0].factor, scales[0].isLog, (frame.right - frame.left) / 60);
  for (const tick of across) {
    const x = scales[0].at(tick * axes[0].factor);
    picture.append(svg("line", { class: "grid", x1: x, x2: x, y1: frame.top, y2: frame.bottom }));
    picture.append(svg("text", { class: "tick", x, y: frame.bottom + 16, "text-anchor": "middle" }, String(Number(tick.toPrecision(6)))));
  }
  for (const tick of ticks(scales[1].low / axes[1].factor, scales[1].high / axes[1].factor, scales[1].isLog, (frame.bottom - frame.top) / 40)) {
    const y = scales[1].at(tick * axes[1].factor);
    picture.append(svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y, y2: y }));
    picture.append(svg("text", { class: "tick", x: frame.left - 6, y: y + 4, "text-anchor": "end" }, String(Number(tick.toPrecision(6)))));
  }
  picture.append(svg("text", { class: "axis", x: (frame.left + frame.right) / 2, y: frame.bottom + 36, "text-anchor": "middle" }, axes[0].label));
  const middle = (frame.top + frame.bottom) / 2;
  picture.append(svg("text", { class: "axis", x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, axes[1].label));
}

/** The steps that join front points which raise the best so far. */
function drawFront(picture, frame, places, axes) {
  const better = axes[1].better === "higher" ? (a, b) => a > b : (a, b) => a < b;
  const sign = axes[0].better === "higher" ? -1 : 1;
  const ordered = places.filter((place) => place.dot.best).sort((a, b) => sign * (a.dot.x[0] - b.dot.x[0]));
  let [path, best] = ["", null];
  for (const place of ordered) {
    if (best !== null && !better(place.dot.y[0], best)) continue;
    path += best === null ? `M${place.x},${place.y}` : `H${place.x}V${place.y}`;
    best = place.dot.y[0];
  }
  if (path) picture.append(svg("path", { class: "front", d: `${path}H${sign > 0 ? frame.right : frame.left}` }));
}

function drawBars(picture, place, scales) {
  const { dot, x, y } = place;
  const strength = dot.best ? "bar" : "bar pale";
  if (dot.x.length > 1 && dot.x[1] !== null) picture.append(svg("line", { class: strength, x1: scales[0].at(dot.x[1]), x2: scales[0].at(dot.x[2]), y1: y, y2: y }));
  if (dot.y.length > 1 && dot.y[1] !== null) picture.append(svg("line", { class: strength, x1: x, x2: x, y1: scales[1].at(dot.y[1]), y2: scales[1].at(dot.y[2]) }));
}

function drawMark(picture, { dot, x, y }, { index, axes, number, isSelected }) {
  const name = `mark color${number % COLORS}${dot.best ? "" : " beaten"}${isSelected ? " selected" : ""}`;
  const mark = svg("path", { class: name, d: SHAPES[number % SHAPES.length], transform: `translate(${x},${y})`, id: `point-${index}`, role: "option" });
  const figures = [dot.x, dot.y].map((entry, axis) => `${axes[axis].label} ${human(entry[0], axes[axis])}`);
  mark.setAttribute("aria-label", [dot.row.model, dot.row.runtime, dot.row.precision, ...figures, ...(dot.best ? ["on the front"] : [])].join(", "));
  mark.setAttribute("aria-selected", String(isSelected));
  picture.append(mark);
  return mark;
}

function drawLabels(picture, frame, places) {
  const taken = places.map(({ x, y }) => [x - 6, y - 6, x + 6, y + 6]);
  const said = new Map();
  for (const { dot, x, y } of places.filter((place) => place.dot.best)) {
    const near = said.get(dot.row.model) || [];
    if (near.some(([a, b]) => Math.abs(a - x) + Math.abs(b - y) < 40)) continue;
    const name = dot.row.model.length > LONGEST_LABEL ? `${dot.row.model.slice(0, LONGEST_LABEL - 1)}…` : dot.row.model;
    const wide = name.length * 6.6;
    const spots = [[x + 9, y - 7], [x - 9 - wide, y - 7], [x + 9, y + 15], [x - 9 - wide, y + 15], [x - wide / 2, y - 14], [x - wide / 2, y + 22]];
    const free = spots.map(([left, base]) => [left, base - 10, left + wide, base + 3]).find((box) => fits(box, frame, taken));
    if (!free) continue;
    taken.push(free);
    said.set(dot.row.model, [...near, [x, y]]);
    picture.append(svg("text", { class: "label", x: free[0], y: free[3] - 3 }, name));
  }
}

function fits(box, frame, taken) {
  if (box[0] < frame.left || box[2] > frame.right || box[1] < frame.top || box[3] > frame.bottom) return false;
  return !taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
}

function listen(picture, marks, places, selected, onPick) {
  const order = places.map((_, index) => index).sort((a, b) => places[a].x - places[b].x);
  let place = order.findIndex((index) => places[index].dot.row.id === selected);
  const point = () => picture.setAttribute("aria-activedescendant", marks[order[place]].id);
  if (place >= 0) point();
  marks.forEach((mark, index) => {
    mark.addEventListener("mouseenter", () => onPick(places[index].dot.row, false));
    mark.addEventListener("click", () => onPick(places[index].dot.row, true));
  });
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !order.length) return;
    event.preventDefault();
    place = Math.min(Math.max(place < 0 && step > 0 && step < 2 ? 0 : place + step, 0), order.length - 1);
    point();
    onPick(places[order[place]].dot.row, true);
  });
}
