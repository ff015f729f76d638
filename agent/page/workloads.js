// How workloads end: all of them, and one of them.

import { advise, percentile } from "./advice.js";
import { h, name, replace, s } from "./dom.js";
import { clock, count, day, percent, plural, query, seconds } from "./format.js";
import { Problem, askAll } from "./live.js";
import { ticks } from "./moments.js";
import { OUTCOMES, findingWords, icon } from "./words.js";

/** At most so often is the agent asked for sums, in milliseconds. */
const PACE = 2000;
const ALL = "/api/v1/workloads?limit=500";
/** Of an address, in characters. */
const LONGEST = 4000;

/** The address of a termination's workload. */
export function workloadAddress({ namespace, workload }) {
  return `#/workloads/${[namespace, workload.kind, workload.name].map((part) => encodeURIComponent(part ?? "")).join("/")}`;
}

/** Asks again when something has changed, but not all the time. */
class Following {
  constructor(live, path) {
    Object.assign(this, { live, path, last: 0 });
  }

  start() {
    this.onChange = () => {
      if (this.live.state !== "live" || this.timer) return;
      const wait = Math.max(0, this.last + PACE - Date.now());
      this.timer = setTimeout(() => this.load(), wait);
    };
    this.live.addEventListener("change", this.onChange);
    return this.load();
  }

  destroy() {
    this.gone = true;
    this.live.removeEventListener("change", this.onChange);
    clearTimeout(this.timer);
  }

  async load() {
    this.timer = null;
    this.last = Date.now();
    try {
      const answer = await askAll(this.path);
      if (!this.gone) this.show(answer);
    } catch (error) {
      if (!this.gone && !this.shown) this.fail(error);
    }
  }

  fail(error) {
    replace(this.element, h("h1", { tabindex: -1 }, this.title), h("div", { class: "empty" }, h("h2", {}, error instanceof Problem ? error.message : "The agent does not answer"), h("p", {}, "This page goes on trying.")));
  }
}

/** All workloads. */
export class WorkloadsView extends Following {
  title = "Workloads";
  element = h("div", { class: "workloads" }, h("h1", { tabindex: -1 }, "Workloads"), h("p", { class: "empty" }, "Loading…"));

  constructor(live) {
    super(live, ALL);
  }

  show(all) {
    const signature = JSON.stringify(all);
    if (signature === this.shown) return;
    this.shown = signature;
    const head = ["Workload", "Ended", "Outcomes", "preStop hook", "Stop to exit", "Grace used", "Traffic tail", "Findings"];
    const focused = document.activeElement?.closest?.("tr")?.dataset.key;
    replace(this.element, h("h1", { tabindex: -1 }, "Workloads"), all.length === 0
      ? h("div", { class: "empty" }, h("h2", {}, "No workload has ended a pod yet"), h("p", {}, "As soon as one does, it is summed up here."))
      : [h("p", { class: "hint" }, "Median and 95th percentile of the terminations that this agent still has."),
        h("div", { class: "scroll card", tabindex: 0, role: "group", "aria-label": "Workloads" }, h("table", { class: "workload-table" }, h("thead", {}, h("tr", {}, head.map((text, index) => h("th", { scope: "col", class: index === 1 || (index > 2 && index < 7) ? "number" : null }, text)))),
          h("tbody", {}, all.map(workloadRow))))]);
    if (focused !== undefined) [...this.element.querySelectorAll("tr")].find((row) => row.dataset.key === focused)?.querySelector("a")?.focus({ preventScroll: true });
  }
}

function workloadRow(one) {
  const { workload, namespace, findings } = one;
  const found = Object.entries(findings).sort((left, right) => right[1] - left[1]);
  return h("tr", { "data-key": `${namespace}/${workload?.kind}/${workload?.name}`.slice(0, 400) },
    h("th", { scope: "row" }, workload ? h("a", { href: workloadAddress(one) }, name(workload.name, { most: 60 })) : h("span", { class: "unknown" }, "unknown pods"), h("span", { class: "kind" }, workload ? name(workload.kind, { most: 30 }) : null, namespace ? [" in ", name(namespace, { most: 40 })] : null)),
    h("td", { class: "number" }, count(one.terminations), one.in_progress > 0 ? h("span", { class: "kind" }, `${count(one.in_progress)} in progress`) : null),
    h("td", {}, outcomeBar(one.outcomes)),
    h("td", { class: "number" }, spread(one.hook_seconds, seconds)), h("td", { class: "number" }, spread(one.stop_to_exit_seconds, seconds)), h("td", { class: "number" }, spread(one.utilization, percent)), h("td", { class: "number" }, spread(one.traffic_tail_seconds, seconds)),
    h("td", {}, found.length === 0 ? h("span", { class: "none" }, "–") : [h("span", { class: "finding-line" }, findingWords(found[0][0]), ` ${count(found[0][1])}`), found.length > 1 ? h("span", { class: "kind", title: found.slice(1).map(([id, times]) => `${findingWords(id)} ${times}`).join(", ") }, `and ${found.length - 1} more`) : null]));
}

function spread(distribution, format) {
  if (!distribution) return h("span", { class: "none" }, "–");
  return [format(distribution.p50), h("span", { class: "kind" }, `95 %: ${format(distribution.p95)}`)];
}

function outcomeBar(outcomes) {
  const kinds = Object.keys(OUTCOMES).filter((kind) => outcomes[kind] > 0);
  const parts = kinds.map((kind) => {
    const part = h("span", { class: `part is-${kind}` });
    part.style.flexGrow = outcomes[kind];
    return part;
  });
  return h("span", { class: "outcomes" }, h("span", { class: "outcome-bar", "aria-hidden": "true" }, parts), h("span", { class: "outcome-words" }, kinds.map((kind) => h("span", { class: `is-${kind}` }, icon(kind), `${count(outcomes[kind])} ${OUTCOMES[kind][0]}`))));
}

/** One workload. */
export class WorkloadView extends Following {
  constructor(live, { namespace, kind, name: whose }) {
    const path = `/api/v1/workloads?${query({ namespace, workload: `${kind}/${whose}` })}`;
    // What the agent would not read is looked for among all of them.
    super(live, path.length < LONGEST ? path : ALL);
    Object.assign(this, { namespace, kind, whose, title: `${kind} ${whose}`.slice(0, 80) });
    this.element = h("div", { class: "workload" }, this.headline(), h("p", { class: "empty" }, "Loading…"));
  }

  /** The list of its terminations, or of those with a finding. */
  listAddress(finding) {
    return `#/?${query({ namespace: this.namespace, workload: `${this.kind}/${this.whose}`, finding })}`;
  }

  headline() {
    return h("header", {}, h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/workloads" }, "Workloads"), " / ", name(this.namespace, { unknown: "unknown namespace" })),
      h("div", { class: "headline" }, h("h1", { tabindex: -1 }, h("span", { class: "kind" }, name(this.kind, { most: 40 })), " ", name(this.whose, { most: 100 })), h("span", { class: "actions" }, h("a", { class: "button", href: this.listAddress() }, "Its terminations"))));
  }

  show(all) {
    const one = all.find(({ namespace, workload }) => workload?.name === this.whose && workload.kind === this.kind && (namespace ?? "") === this.namespace);
    const signature = JSON.stringify(one ?? null);
    if (signature === this.shown) return;
    this.shown = signature;
    if (!one) {
      replace(this.element, this.headline(), h("div", { class: "empty" }, h("h2", {}, "No termination of it is known"), h("p", {}, "They had to make room for newer ones, or happened on another node.")));
      return;
    }
    const focused = document.activeElement?.closest?.("tr")?.dataset.key;
    const hadTitle = document.activeElement?.localName === "h1";
    replace(this.element, this.headline(), this.numbers(one), this.advice(one), this.budgets(one), h("div", { class: "columns" }, tailChart(one), this.findings(one)));
    if (focused) [...this.element.querySelectorAll("tr")].find((row) => row.dataset.key === focused)?.querySelector("a")?.focus({ preventScroll: true });
    else if (hadTitle) this.element.querySelector("h1").focus({ preventScroll: true });
  }

  numbers(one) {
    const tile = (title, distribution, format) => h("div", {}, h("dt", {}, title), h("dd", {}, distribution ? [h("b", {}, format(distribution.p50)), h("span", {}, `95 %: ${format(distribution.p95)}, most: ${format(distribution.max)}`)] : h("b", { class: "none" }, "–")));
    return h("section", { class: "card", "aria-label": "Numbers" }, h("dl", { class: "tiles" },
      h("div", {}, h("dt", {}, "Ended"), h("dd", {}, h("b", {}, count(one.terminations)), h("span", {}, one.in_progress ? `${count(one.in_progress)} in progress` : ""))),
      h("div", {}, h("dt", {}, "Grace period"), h("dd", {}, h("b", {}, one.grace_period_seconds === null ? "–" : `${one.grace_period_seconds} s`), h("span", {}, "of the newest"))),
      tile("Grace used", one.utilization, percent), tile("preStop hook", one.hook_seconds, seconds), tile("Stop signal to exit", one.stop_to_exit_seconds, seconds), tile("Traffic tail", one.traffic_tail_seconds, seconds)),
      outcomeBar(one.outcomes));
  }

  advice(one) {
    return h("section", { class: "card", "aria-labelledby": "w-advice" }, h("h2", { id: "w-advice" }, "What it asks for"), h("ul", { class: "advice-list" }, advise(one).map(({ kind, title, text }) =>
      h("li", { class: `is-${kind}` }, icon({ change: "warning", fine: "success" }[kind] ?? "incomplete"), h("div", {}, h("h3", {}, title), h("p", {}, text))))));
  }

  budgets(one) {
    const most = Math.max(0.001, ...one.recent.flatMap((budget) => [budget.grace_period_seconds ?? 0, budget.grace_used_seconds ?? 0, budget.traffic_tail_seconds ?? 0]));
    // A grace period that is far above everything would leave bars of no width.
    const longest = Math.max(0.001, ...one.recent.flatMap((budget) => [budget.grace_used_seconds ?? 0, budget.traffic_tail_seconds ?? 0]));
    const to = Math.min(most, longest * 4);
    const item = (kind, text) => h("span", { class: "legend-item" }, h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
    return h("section", { class: "card", "aria-labelledby": "w-budget" }, h("h2", { id: "w-budget" }, "How the grace period is used"), h("p", { class: "hint" }, `The last ${plural(one.recent.length, "termination")}, newest first; each up to ${seconds(to)}.`),
      h("div", { class: "legend" }, item("hook", "until the stop signal"), item("drain", "stop signal to exit"), item("rest", "until nothing was left"), item("margin", "margin"), item("tail", "last new connection")),
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "w-budget" }, h("table", { class: "budgets" }, h("thead", {}, h("tr", {}, ["Start", "Pod", "Outcome", "Grace period", "Used", "Tail"].map((text, index) => h("th", { scope: "col", class: index > 3 ? "number" : null }, text)))),
        h("tbody", {}, one.recent.map((budget) => h("tr", { "data-key": budget.id }, h("td", {}, h("time", { datetime: budget.start, title: budget.start }, `${day(budget.start)} ${clock(budget.start)}`)), h("td", { class: "pod-cell" }, h("a", { href: `#/terminations/${encodeURIComponent(budget.id)}` }, name(budget.pod, { most: 50 }))),
          h("td", {}, h("span", { class: "outcome-word" }, icon(budget.complete ? budget.outcome : "incomplete"), OUTCOMES[budget.outcome]?.[0] ?? budget.outcome)), h("td", { class: "bar-cell" }, budgetBar(budget, to)), h("td", { class: "number" }, budget.grace_used_seconds === null ? "–" : `${seconds(budget.grace_used_seconds)}${budget.grace_period_seconds ? ` / ${budget.grace_period_seconds} s` : ""}`), h("td", { class: "number" }, seconds(budget.traffic_tail_seconds))))))));
  }

  findings(one) {
    const found = Object.entries(one.findings).sort((left, right) => right[1] - left[1]);
    return h("section", { class: "card", "aria-labelledby": "w-findings" }, h("h2", { id: "w-findings" }, "Findings"), found.length === 0 ? h("p", { class: "none" }, "None.") : h("ul", { class: "finding-sums" }, found.map(([id, times]) => {
      return h("li", {}, h("a", { href: this.listAddress(id) }, findingWords(id)), h("span", { class: "number" }, `${count(times)} of ${count(one.terminations)}`));
    })));
  }
}

/** What one has used of its grace, and what was left; the same in words stands beside it. */
function budgetBar(budget, to) {
  const { grace_used_seconds: took, grace_period_seconds: grace, prestop_wait_seconds: wait, drain_seconds: drain, traffic_tail_seconds: tail } = budget;
  const bar = h("span", { class: "budget", "aria-hidden": "true" });
  const part = (kind, from, until) => {
    if (until <= from || from >= to) return;
    const element = h("span", { class: `part ${kind}`, title: `${kind}: ${seconds(until - from)}` });
    element.style.left = `${(from / to) * 100}%`;
    element.style.width = `${((Math.min(until, to) - from) / to) * 100}%`;
    bar.append(element);
  };
  if (took !== null) {
    const stop = wait ?? (drain === null ? 0 : Math.max(0, took - drain));
    part("hook", 0, Math.min(stop, took));
    if (drain !== null) part("drain", stop, Math.min(stop + drain, took));
    part("rest", drain === null ? stop : stop + drain, took);
    if (grace !== null) part("margin", took, grace);
    if (grace !== null) part("over", grace, took);
  }
  if (tail !== null && tail <= to) {
    const element = h("span", { class: "tail-mark", title: `last new connection after ${seconds(tail)}` });
    element.style.left = `${(tail / to) * 100}%`;
    bar.append(element);
  }
  return bar;
}

/** Each termination as a point: how long preStop waited, and how long new connections came. */
function tailChart(one) {
  const points = one.recent.filter((budget) => budget.traffic_tail_seconds !== null && budget.prestop_wait_seconds !== null);
  const title = h("h2", { id: "w-tail" }, "Traffic tail and preStop wait");
  if (points.length === 0) return h("section", { class: "card", "aria-labelledby": "w-tail" }, title, h("p", { class: "none" }, "No new connection was seen after the start of any termination."));
  const [width, height, left, bottom] = [420, 260, 56, 38];
  const to = Math.max(0.05, ...points.flatMap((point) => [point.traffic_tail_seconds, point.prestop_wait_seconds])) * 1.1;
  const x = (value) => left + (value / to) * (width - left - 14);
  const y = (value) => height - bottom - (value / to) * (height - bottom - 12);
  const after = points.filter((point) => point.traffic_tail_seconds > point.prestop_wait_seconds).length;
  const told = `In ${count(after)} of ${count(points.length)} new connections came after the stop signal; the median wait was ${seconds(percentile(points.map((point) => point.prestop_wait_seconds), 0.5))}.`;
  const svg = s("svg", { class: "tail-chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told },
    s("path", { class: "after", d: `M${x(0)} ${y(0)}L${x(to)} ${y(to)}H${x(0)}Z` }), s("text", { class: "note", x: x(0) + 8, y: y(to) + 16 }, "clients came after the stop signal"),
    ticks(0, to, 4).map(({ at, text }) => [s("line", { class: "grid", x1: x(at), y1: y(0), x2: x(at), y2: y(to) }), s("line", { class: "grid", x1: x(0), y1: y(at), x2: x(to), y2: y(at) }), s("text", { class: "tick", x: x(at), y: height - bottom + 15, "text-anchor": "middle" }, text), s("text", { class: "tick", x: left - 6, y: y(at) + 4, "text-anchor": "end" }, text)]),
    s("text", { class: "tick", x: x(to), y: height - 6, "text-anchor": "end" }, "preStop waits →"), s("text", { class: "tick", x: 2, y: 12, "text-anchor": "start" }, "tail ↑"),
    points.map((point) => s(point.traffic_tail_seconds > point.prestop_wait_seconds ? "path" : "circle", point.traffic_tail_seconds > point.prestop_wait_seconds
      ? { class: "point late", d: `M${x(point.prestop_wait_seconds)} ${y(point.traffic_tail_seconds) - 5}l5 9h-10z` } : { class: "point", cx: x(point.prestop_wait_seconds), cy: y(point.traffic_tail_seconds), r: 4 }, s("title", {}, `tail ${seconds(point.traffic_tail_seconds)}, wait ${seconds(point.prestop_wait_seconds)}`))));
  return h("section", { class: "card", "aria-labelledby": "w-tail" }, title, h("p", { class: "hint" }, told), svg);
}
