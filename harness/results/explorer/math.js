"use strict";
// Pure functions of the explorer: the front, numbers and ticks. They follow harness/results/pareto.py and units.py.

/** An interval on an axis where lower is better; an unknown uncertainty is infinite. `entry` is [value, low, high, repeats]. */
function lowerIsBetter(entry, better) {
  const [value] = entry;
  const known = entry.length > 1 && entry[1] !== null && entry[2] !== null;
  const slack = entry.length > 3 ? (value * entry[3]) / 2 : Infinity;
  const low = known ? Math.min(entry[1], value) : value - slack;
  const high = known ? Math.max(entry[2], value) : value + slack;
  return better === "lower" ? { value, low, high } : { value: -value, low: -high, high: -low };
}

/** For each pair of entries, whether no other is as good on both axes and better beyond the intervals on one. */
function front(pairs, better) {
  const points = pairs.map((pair) => [lowerIsBetter(pair[0], better[0]), lowerIsBetter(pair[1], better[1])]);
  const first = beaten(points, 0, 1);
  const second = beaten(points, 1, 0);
  return points.map((_, index) => !first[index] && !second[index]);
}

function beaten(points, axis, other) {
  const ordered = [...points].sort((a, b) => compare(a[axis].high, b[axis].high));
  const highs = ordered.map((point) => point[axis].high);
  const best = [Infinity];
  for (const point of ordered) best.push(Math.min(best[best.length - 1], point[other].value));
  return points.map((point) => best[countBelow(highs, point[axis].low)] <= point[other].value);
}

/** Infinities that are equal compare as equal, which their difference does not. */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many of the sorted numbers are smaller. */
function countBelow(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Three significant digits; whole numbers keep all of theirs. */
function threeDigits(value) {
  if (value === 0) return "0";
  const rounded = Math.abs(Number(value.toPrecision(3)));
  if (rounded < 1e-4) return value.toExponential(2).replace(/(\d)$/, (digit, _, place, text) => (/\d\d$/.test(text) ? digit : `0${digit}`));
  return value.toFixed(Math.max(2 - Math.floor(Math.log10(rounded)), 0));
}

/** A share in percent that is never rounded up to 100. */
function percent(value) {
  const rest = Math.abs(1 - value);
  if (rest === 0) return "100";
  const decimals = Math.min(Math.max(1, 1 - Math.floor(Math.log10(rest * 100))), 6);
  const step = 10 ** decimals;
  return (Math.floor(value * 100 * step + 1e-6) / step).toFixed(decimals);
}

/** A base-unit value in the unit of its column. */
function human(value, column) {
  if (column.dimension === "score") return value.toFixed(3);
  if (column.dimension === "change") return (Math.abs(value) < 0.00005 ? 0 : value).toFixed(4);
  if (column.dimension === "share") return percent(value);
  return threeDigits(value / column.factor);
}

/** Round numbers from low to high, at most about `most`; on a log axis at 1, 2 and 5. */
function ticks(low, high, isLog, most) {
  return isLog ? logTicks(low, high, most) : linearTicks(low, high, most);
}

function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) found.push(index * step);
  return found;
}

function logTicks(low, high, most) {
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const factor of factors) if (factor * 10 ** power >= low && factor * 10 ** power <= high) found.push(factor * 10 ** power);
    }
    if (found.length <= most && found.length > 1) return found;
  }
  return linearTicks(low, high, most).filter((value) => value > 0);
}
