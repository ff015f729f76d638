// The timeline: one lane per container, and below it, on the same axis, its open connections.

import { clip, s, textWidth, visible } from "./dom.js";
import { chartHeight, drawChart } from "./chart.js";
import { seconds } from "./format.js";
import { domain, exitWords, hookEnd, moments, ticks } from "./moments.js";
import { findingPlaces } from "./places.js";

const AXIS = 26;
const GRACE = 20;
const ROW = 16;
const BAR = 20;
const GAP = 20;
/** Between a text and a number after it, and from one number to the next. */
const BADGE = 20;

/** A place on the axis. */
export class Scale {
  constructor(from, to, left, right) {
    Object.assign(this, { from, to, left, right });
  }

  x(second) {
    return this.left + ((second - this.from) / (this.to - this.from)) * (this.right - this.left);
  }

  second(x) {
    return this.from + ((x - this.left) / (this.right - this.left)) * (this.to - this.from);
  }
}

/** Draws a termination at a width. `onFinding` is called with the number of a finding whose mark was chosen. */
export function timeline(termination, { width, elapsed, onFinding }) {
  const all = moments(termination, elapsed);
  const range = domain(all);
  const narrow = width < 620;
  const left = narrow ? 10 : 148;
  const scale = new Scale(range.from, range.to, left, width - (narrow ? 14 : 26));
  const places = findingPlaces(termination, all);
  const svg = s("svg", {
    class: "timeline", width, role: "group", "aria-label": "Timeline: what each container did, in seconds from the start; the events below say the same in words",
    "data-from": range.from, "data-to": range.to,
  });
  const context = { svg, all, scale, narrow, width, onFinding, places };
  const stripes = s("g", { class: "stripes" });
  const below = s("g", { class: "below" });
  const lanes = s("g", { class: "lanes" });
  let y = GRACE + AXIS;
  for (const [index, one] of all.lanes.entries()) {
    const top = y;
    y = drawLane(lanes, context, one, top);
    stripes.append(s("rect", { x: 0, y: top, width, height: y - top, class: index % 2 ? "stripe" : "stripe odd" }));
  }
  const charts = s("g", { class: "charts" });
  for (const one of all.charts) {
    drawChart(charts, context, one, y);
    y += chartHeight(narrow);
  }
  const height = y + 6;
  drawBehind(below, context, range, termination, height);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.append(patterns(), stripes, below, lanes, charts, pointer(context, height));
  return svg;
}

function patterns() {
  const hatch = (id, kind) => s("pattern", { id, class: kind, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("rect", { width: 6, height: 6, class: "ground" }), s("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "stroke" }));
  return s("defs", {}, hatch("hatch-bad", "hatch-bad"), hatch("hatch-more", "hatch-more"), hatch("hatch-unseen", "hatch-unseen"));
}

/** Axis, grid, end of the grace period, and when nobody watched. */
function drawBehind(group, { scale, width, narrow, all, places, onFinding }, range, termination, height) {
  const top = GRACE + AXIS - 6;
  for (const [from, to] of all.unseen) {
    const [x, end] = [scale.x(Math.max(from, scale.from)), scale.x(Math.min(to, scale.to))];
    group.append(s("rect", { x, y: top, width: Math.max(end - x, 2), height: height - top, class: "unseen" }, s("title", {}, "no agent watched")));
    group.append(s("text", { x: x + 3, y: height - 8, class: "note" }, "nobody watched"));
  }
  const axis = s("g", { class: "axis" });
  for (const { at, text } of ticks(scale.from, scale.to, (scale.right - scale.left) / (narrow ? 64 : 84))) {
    const x = scale.x(at);
    axis.append(s("line", { x1: x, y1: top, x2: x, y2: height, class: "grid", "data-tick": at }));
    axis.append(s("text", { x, y: GRACE + AXIS - 11, class: "tick", "text-anchor": x < scale.left + 12 ? "start" : x > width - 40 ? "end" : "middle" }, text));
  }
  group.append(axis);
  if (all.grace === null) return;
  const label = `grace period ends at ${all.grace} s`;
  const badges = places.filter((place) => place.where === "grace");
  if (!range.showsGrace) {
    group.append(s("text", { x: scale.right, y: 12, class: "grace-label", "text-anchor": "end" }, `${label} →`));
    badges.forEach((place, index) => group.append(badge(place, scale.right - textWidth(label, { bold: true }) - 34 - index * BADGE, 8, onFinding)));
    return;
  }
  const x = scale.x(all.grace);
  const atEnd = x - scale.left > 150;
  group.append(s("g", { class: "mark grace", "data-mark": "grace_end", "data-seconds": all.grace }, s("line", { x1: x, y1: 4, x2: x, y2: height })));
  group.append(s("text", { x: atEnd ? x - 6 : x + 6, y: 12, class: "grace-label", "text-anchor": atEnd ? "end" : "start" }, label));
  badges.forEach((place, index) => group.append(badge(place, x + (atEnd ? 14 : textWidth(label, { bold: true }) + 20) + index * BADGE, 8, onFinding)));
  if (termination.end === null) {
    const now = scale.x(all.now);
    group.append(s("line", { x1: now, y1: top, x2: now, y2: height, class: "now" }), s("text", { x: now - 4, y: height - 8, class: "note", "text-anchor": "end" }, "now"));
  }
}

function drawLane(group, context, one, top) {
  const { scale, narrow, width, places, onFinding } = context;
  const own = places.filter((place) => place.lane === one);
  const label = visible((one.name ?? one.container.id.slice(0, 12)).slice(0, 100));
  const title = narrow ? ROW + 4 : 0;
  const labels = placed(labelsOf(one, own), scale, width);
  const rows = Math.max(1, ...labels.map((each) => each.row + 1));
  const y = top + title + rows * ROW + 6;
  const bottom = y + BAR + GAP;
  const lane = s("g", { class: `lane role-${one.role}`, "data-container": one.name ?? one.container.id });
  lane.append(s("text", { x: narrow ? scale.left : 18, y: narrow ? top + 15 : y + 7, class: "lane-name" }, s("title", {}, clip(label, 100)), clip(label, narrow ? 40 : 19)));
  lane.append(s("text", { x: narrow ? scale.right : 18, y: narrow ? top + 15 : y + 22, class: "lane-role", "text-anchor": narrow ? "end" : "start" }, one.role));
  drawBars(lane, scale, one, y);
  drawMarks(lane, scale, one, y);
  for (const each of labels) {
    const baseline = y - 5 - each.row * ROW;
    const at = scale.x(each.at);
    if (each.row > 0 || each.x > at + 8 || each.end < at - 8) lane.append(s("line", { x1: at, y1: baseline - 3, x2: at, y2: y - 1, class: "leader" }));
    lane.append(s("text", { x: each.x, y: baseline, class: `label ${each.kind}`, "text-anchor": "start" }, each.text));
    each.badges.forEach((place, number) => lane.append(badge(place, each.x + each.wide + 13 + number * BADGE, baseline - 4, onFinding)));
  }
  group.append(lane);
  return bottom;
}

function drawBars(lane, scale, one, y) {
  const bar = (kind, [from, to], title, inset = 0) => {
    const x = scale.x(from);
    lane.append(s("rect", { x, y: y + inset, width: Math.max(scale.x(to) - x, 1), height: BAR - inset * 2, class: `bar ${kind}`, "data-bar": kind.split(" ")[0], "data-begin": from, "data-end": to }, s("title", {}, title)));
  };
  if (one.extension) bar("extension", [one.extension[0], Math.min(one.extension[1], scale.to)], "the kubelet grants 2 s after a hook, whatever is left of the grace period", -4);
  if (one.waiting) bar("waiting", one.waiting, "not told to stop yet", 7);
  // A hook that outlives the stop signal stands above the drain.
  const overlap = one.hook && one.drain && one.hook.to > one.drain[0];
  if (one.drain) {
    const x = scale.x(one.drain[0]);
    const kind = one.exit ? "drain" : "drain open";
    lane.append(s("rect", { x, y: overlap ? y + 9 : y, width: Math.max(scale.x(one.drain[1]) - x, 1), height: overlap ? BAR - 9 : BAR, class: `bar ${kind}`, "data-bar": "drain", "data-begin": one.drain[0], "data-end": one.drain[1] }, s("title", {}, `from the stop signal on: ${seconds(one.drain[1] - one.drain[0])}`)));
  }
  if (one.hook) {
    const { from, to, result, inferred } = one.hook;
    const x = scale.x(from);
    const kind = `hook ${result ?? "open"}${inferred ? " inferred" : ""}`;
    lane.append(s("rect", { x, y, width: Math.max(scale.x(to) - x, 1), height: overlap ? 9 : BAR, class: `bar ${kind}`, "data-bar": "hook", "data-begin": from, "data-end": to }, s("title", {}, `preStop hook: ${seconds(to - from)}`)));
  }
  if (one.exit && one.empty > one.exit.at) bar("after", [one.exit.at, one.empty], "other processes are still there", 7);
  if (one.lead > 0 && one.exit) bar("lead", [one.exit.at, one.exit.at + one.lead], `the application had to do without it for ${seconds(one.lead)}`, 5);
}

function drawMarks(lane, scale, one, y) {
  const mark = (kind, at, ...shape) => lane.append(s("g", { class: `mark ${kind}`, "data-mark": kind, "data-seconds": at }, s("line", { x1: scale.x(at), y1: y - 3, x2: scale.x(at), y2: y + BAR + 3 }), ...shape));
  if (one.stop) {
    const x = scale.x(one.stop.at);
    mark("stop_signal", one.stop.at, s("path", { d: `M${x - 5} ${y - 5}h10l-5 7z` }));
  }
  if (one.killed !== null) {
    const x = scale.x(one.killed);
    mark("killed", one.killed, s("path", { d: `M${x - 5} ${y + BAR - 4}l10 10m0-10l-10 10`, class: "cross" }));
  }
  if (one.exit) {
    const x = scale.x(one.exit.at);
    const bad = one.exit.signal || one.exit.oom;
    mark(bad ? "exit bad" : "exit", one.exit.at, s("circle", { cx: x, cy: y + BAR / 2, r: 4.5 }));
  }
  if (one.empty !== null && one.empty > (one.exit?.at ?? 0)) mark("empty", one.empty);
}

/** What is written above a lane: where it belongs, and which findings stand beside it. */
function labelsOf(one, places) {
  const at = (where) => places.filter((place) => place.where === where);
  const labels = [];
  if (one.hook) {
    const took = one.hook.end ? ` ${seconds(one.hook.to - one.hook.from)}` : "";
    const result = one.hook.result && one.hook.result !== "success" ? `, ${hookEnd(one.hook)}` : "";
    labels.push({ at: one.hook.from, text: `preStop ${one.hook.handler}${took}${result}`, kind: ["failed", "timeout"].includes(one.hook.result) ? "bad" : "", badges: at("hook") });
  }
  if (one.stop) {
    labels.push({ at: one.stop.at, text: `${one.stop.name}${one.stop.disposition ? ` ${one.stop.disposition}` : ""}`, kind: one.stop.disposition === "ignored" ? "bad" : "", badges: at("stop") });
  }
  if (one.killed !== null) labels.push({ at: one.killed, text: "SIGKILL", kind: "bad", badges: at("kill") });
  if (one.exit) {
    const after = one.lead > 0 ? `, ${seconds(one.lead)} before the application` : "";
    labels.push({ at: one.exit.at, text: exitWords(one.exit).replace("exit code", "exit") + after, kind: one.exit.signal || one.exit.oom || one.lead > 0 ? "bad" : "", badges: [...at("exit"), ...(one.killed === null ? at("kill") : [])] });
  }
  return labels;
}

/** Gives each label a row above the bar in which it is not in the way of another. */
function placed(labels, scale, width) {
  const rows = [];
  // From right to left, so that a leader that goes up meets no label of a lower row.
  return labels.sort((one, other) => other.at - one.at).map((each) => {
    const own = textWidth(each.text, { bold: each.kind !== "" });
    const wide = own + each.badges.length * BADGE + 10;
    let x = Math.min(scale.x(each.at) - 4, width - wide - 2);
    x = Math.max(x, scale.left - 4);
    let row = rows.findIndex((free) => x + wide <= free);
    if (row < 0) row = rows.push(0) - 1;
    rows[row] = x - 6;
    return { ...each, x, wide: own, end: x + wide, row };
  });
}

/** The number of a finding, where it happened. */
export function badge(place, x, y, onFinding) {
  const open = (event) => {
    event.preventDefault();
    onFinding(place.number);
  };
  return s("g", {
    class: "badge", role: "button", tabindex: 0, "data-finding": place.number, "aria-label": `Finding ${place.number}: ${place.id}`, onclick: open,
    onkeydown: (event) => (event.key === "Enter" || event.key === " ") && open(event),
  }, s("title", {}, place.id), s("circle", { cx: x, cy: y, r: 8 }), s("text", { x, y: y + 3.8, "text-anchor": "middle" }, String(place.number)));
}

/** A line under the pointer that says which second it is at. */
function pointer({ svg, scale }, height) {
  const line = s("line", { y1: GRACE + AXIS - 8, y2: height });
  const text = s("text", { y: GRACE + AXIS - 11, "text-anchor": "middle" });
  const back = s("rect", { y: GRACE + AXIS - 23, width: 62, height: 16, rx: 3 });
  const group = s("g", { class: "pointer", visibility: "hidden", "aria-hidden": "true" }, line, back, text);
  svg.addEventListener("pointermove", (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    const inside = x >= scale.left && x <= scale.right;
    group.setAttribute("visibility", inside ? "visible" : "hidden");
    if (!inside) return;
    for (const [name, value] of [["x1", x], ["x2", x]]) line.setAttribute(name, value);
    back.setAttribute("x", x - 31);
    text.setAttribute("x", x);
    text.textContent = `${scale.second(x).toFixed(3)} s`;
  });
  svg.addEventListener("pointerleave", () => group.setAttribute("visibility", "hidden"));
  return group;
}
