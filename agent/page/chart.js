// Open connections of a container over time, on the axis of the timeline.

import { clip, s, textWidth, visible } from "./dom.js";
import { plural, seconds } from "./format.js";
import { badge } from "./timeline.js";

const TITLE = 34;
/** The same where the name stands above the notes. */
const NARROW_TITLE = 56;
const HEIGHT = 72;
/** Of one chart, with its title. */
export function chartHeight(narrow) {
  return titleHeight(narrow) + HEIGHT + 22;
}

function titleHeight(narrow) {
  return narrow ? NARROW_TITLE : TITLE;
}

/** Draws one. */
export function drawChart(group, { scale, narrow, width, all, places, onFinding }, lane, top) {
  const base = top + titleHeight(narrow) + HEIGHT;
  const most = Math.max(lane.peak, 1);
  const y = (open) => base - (open / most) * HEIGHT;
  const chart = s("g", { class: "chart", "data-container": lane.name ?? lane.container.id });
  const label = clip(visible((lane.name ?? "").slice(0, 100)), 18);
  chart.append(s("line", { x1: 0, y1: top, x2: width, y2: top, class: "divider" }));
  chart.append(s("text", { x: narrow ? scale.left : 18, y: narrow ? top + 18 : base - 14, class: "lane-name" }, narrow ? `${label}: open connections` : label));
  if (!narrow) chart.append(s("text", { x: 18, y: base + 2, class: "lane-role" }, "open connections"));
  for (const open of most > 1 ? [0, most] : [0, 1]) {
    chart.append(s("line", { x1: scale.left, y1: y(open), x2: scale.right, y2: y(open), class: open ? "grid" : "ground" }));
    chart.append(s("text", { x: narrow ? scale.left + 2 : scale.left - 6, y: y(open) + (narrow ? -3 : 4), class: "tick", "text-anchor": narrow ? "start" : "end" }, String(open)));
  }
  const end = lane.cutAt ?? all.end ?? all.now ?? scale.to;
  chart.append(...curve(lane.curve, end, scale, y, base));
  const own = (where) => places.filter((place) => place.lane === lane && place.where === where);
  const notes = [];
  if (lane.late > 0 && lane.stop && lane.tail !== null) {
    const [from, to] = [lane.stop.at, Math.max(lane.tail, lane.stop.at)];
    chart.append(s("rect", { x: scale.x(from), y: base + 3, width: Math.max(scale.x(to) - scale.x(from), 2), height: 4, class: "late-span" }));
    chart.append(mark("late", to, scale, base - HEIGHT, base + 9));
    notes.push({ at: to, text: `${lane.late} late, last at ${seconds(to)}`, kind: "late", badges: own("late") });
  }
  if (lane.refused > 0) {
    const at = lane.refusedTail ?? end;
    chart.append(mark("refused", at, scale, base - HEIGHT, base + 9));
    notes.push({ at, text: `${lane.refused} refused, last at ${seconds(at)}`, kind: "refused", badges: own("refused") });
  }
  if (lane.cut > 0 && lane.cutAt !== null) {
    chart.append(mark("cut", lane.cutAt, scale, y(lane.cut), base), cross(scale.x(lane.cutAt), y(lane.cut)));
    notes.push({ at: lane.cutAt, text: `${plural(lane.cut, "connection")} cut`, kind: "cut", badges: own("cut") });
  }
  write(chart, notes, scale, width, base - HEIGHT - TITLE, onFinding);
  group.append(chart);
}

/** The line of steps, and the area below it. */
function curve(points, end, scale, y, base) {
  let line = "";
  for (const [index, [second, open]] of points.entries()) {
    line += index === 0 ? `M${scale.x(second)} ${y(open)}` : `H${scale.x(second)}V${y(open)}`;
  }
  const [last, first] = [points.at(-1)[0], points[0][0]];
  if (end > last) line += `H${scale.x(end)}`;
  return [
    s("path", { class: "area", d: `${line}V${base}H${scale.x(first)}Z` }),
    s("path", { class: "curve", d: line }),
  ];
}

function mark(kind, at, scale, from, to) {
  const x = scale.x(at);
  return s("g", { class: `mark ${kind}`, "data-mark": kind, "data-seconds": at }, s("line", { x1: x, y1: from, x2: x, y2: to }));
}

function cross(x, y) {
  return s("path", { class: "cut-cross", d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` });
}

/** Notes stand in the title's height, each at its mark as far as there is room. */
function write(chart, notes, scale, width, top, onFinding) {
  let free = width;
  for (const note of notes.sort((one, other) => other.at - one.at)) {
    const own = textWidth(note.text, { bold: true });
    const wide = own + note.badges.length * 20 + 12;
    const x = Math.max(Math.min(scale.x(note.at) - wide / 2, free - wide), scale.left);
    const y = top + (free < width && x + wide > free ? 11 : 26);
    free = x - 4;
    chart.append(s("text", { x, y, class: `note ${note.kind}` }, note.text));
    note.badges.forEach((place, index) => chart.append(badge(place, x + own + 13 + index * 20, y - 4, onFinding)));
  }
}
