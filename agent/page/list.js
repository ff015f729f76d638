// The live list of terminations.

import { h, name, replace, setText } from "./dom.js";
import { FilterBar } from "./filterbar.js";
import { format, matcher, parse } from "./filter.js";
import { clock, count, day, percent, plural, seconds } from "./format.js";
import { order, used } from "./row.js";
import { VirtualList } from "./virtual.js";
import { OUTCOMES, PHASES, findingWords, icon } from "./words.js";

const COLUMNS = ["Start", "Pod", "Workload", "Outcome", "Grace used", "preStop hook", "Cut", "Late", "Refused", "Findings"];
/** How often what goes on is drawn anew, in milliseconds. */
const TICK = 200;
/** Where the list was when it was left. */
let left = { query: "", scroll: 0, focus: null };

/** The address of the list as it was left. */
export function lastList() {
  return `#/${left.query}`;
}

/** The view. */
export class ListView {
  title = "Terminations";

  constructor(live, { query }) {
    Object.assign(this, { live, query, filter: parse(query) });
    this.bar = new FilterBar(this.filter, (filter) => this.refilter(filter));
    this.summary = h("p", { class: "summary", "aria-live": "polite" });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Outcomes" });
    this.head = h("div", { class: "table-head", role: "row", "aria-rowindex": 1 }, COLUMNS.map((text, index) => h("span", { role: "columnheader", class: `c${index}` }, text)));
    this.body = h("div", { class: "table-body", role: "rowgroup" });
    this.table = h("div", { class: "table", role: "table", "aria-label": "Terminations" }, h("div", { role: "rowgroup", class: "table-top" }, this.head), this.body);
    this.empty = h("div", { class: "empty-place" });
    this.element = h("div", { class: "list-view" }, h("h1", { class: "hidden", tabindex: -1 }, "Terminations"), this.bar.element, h("div", { class: "list-head" }, this.chips, this.summary), this.table, this.empty);
    const narrow = matchMedia("(max-width: 860px)");
    this.list = new VirtualList(this.body, { key: (row) => row.id, height: () => (narrow.matches ? 84 : 40), draw: (row) => drawRow(row, this.live) });
    this.table.addEventListener("keydown", (event) => this.onKey(event));
  }

  start() {
    this.onChange = () => this.update();
    this.live.addEventListener("change", this.onChange);
    this.timer = setInterval(() => this.tick(), TICK);
    this.update();
    if (left.query === this.query) {
      window.scrollTo(0, left.scroll);
      this.list.update();
      if (left.focus !== null) this.list.drawn.get(left.focus)?.element.querySelector("a")?.focus({ preventScroll: true });
    }
  }

  destroy() {
    left = { query: this.query, scroll: window.scrollY, focus: document.activeElement?.closest?.("[data-key]")?.dataset.key ?? null };
    this.live.removeEventListener("change", this.onChange);
    clearInterval(this.timer);
    this.list.destroy();
  }

  refilter(filter) {
    this.filter = filter;
    this.query = format(filter);
    history.replaceState(null, "", `#/${this.query}`);
    this.update();
  }

  update() {
    const all = [...this.live.rows.values()];
    const matches = matcher(this.filter, Date.now());
    const shown = all.filter(matches).sort(order);
    this.bar.offer(all);
    this.table.setAttribute("aria-rowcount", shown.length + 1);
    this.list.set(shown);
    this.drawChips(all.filter(matcher({ ...this.filter, outcome: "" }, Date.now())));
    setText(this.summary, all.length === shown.length ? plural(all.length, "termination") : `${count(shown.length)} of ${plural(all.length, "termination")}`);
    this.table.hidden = shown.length === 0;
    replace(this.empty, shown.length === 0 ? this.nothing(all.length) : null);
  }

  drawChips(rows) {
    const counts = new Map();
    for (const { outcome } of rows) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    const kinds = Object.keys(OUTCOMES).filter((kind) => counts.has(kind) || kind === this.filter.outcome);
    const signature = kinds.map((kind) => `${kind}${counts.get(kind)}`).join() + this.filter.outcome;
    if (signature === this.chipsDrawn) return;
    this.chipsDrawn = signature;
    const focused = document.activeElement?.closest?.(".chip")?.dataset.outcome;
    replace(this.chips, kinds.map((kind) => h("button", {
      type: "button", class: `chip is-${kind}`, "data-outcome": kind, "aria-pressed": String(kind === this.filter.outcome), title: OUTCOMES[kind][1],
      onclick: () => {
        const outcome = kind === this.filter.outcome ? "" : kind;
        this.bar.set("outcome", outcome);
        this.refilter({ ...this.filter, outcome });
      },
    }, icon(kind), OUTCOMES[kind][0], h("b", {}, count(counts.get(kind) ?? 0)))));
    if (focused) this.chips.querySelector(`[data-outcome="${focused}"]`)?.focus();
  }

  /** What stands there instead of a list. */
  nothing(all) {
    if (this.live.state === "loading") return h("div", { class: "skeleton", "aria-hidden": "true" }, Array.from({ length: 8 }, () => h("div", {})));
    if (all > 0) {
      return h("div", { class: "empty" }, h("h2", {}, "Nothing passes these filters"), h("p", {}, `${plural(all, "termination")} would be shown without them.`),
        h("button", { type: "button", onclick: () => { this.bar.clear(); } }, "Clear filters"));
    }
    if (this.live.state === "offline") return h("div", { class: "empty" }, h("h2", {}, "Nothing is known yet"), h("p", {}, "The agent does not answer. This page goes on trying."));
    return h("div", { class: "empty" }, h("h2", {}, "No pod has ended yet"), h("p", {}, "The agent watches. As soon as a container on this node is told to stop, or dies, it appears here."),
      h("p", {}, "To see something now: ", h("code", {}, "kubectl rollout restart deployment NAME")));
  }

  tick() {
    if (this.live.state !== "live") return;
    const now = performance.now();
    for (const { element, item } of this.list.drawn.values()) if (item.outcome === "in_progress") element.tick?.(now);
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.list.focused();
    const page = Math.max(1, Math.floor(window.innerHeight / this.list.height()) - 3);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    this.list.focus(to);
  }
}

function drawRow(row, live) {
  const bar = graceBar();
  const going = row.outcome === "in_progress";
  const element = h("div", { class: `row is-${row.outcome}`, role: "row" },
    cell(0, h("time", { datetime: row.start, title: row.start }, h("span", { class: "day" }, day(row.start)), " ", clock(row.start))),
    cell(1, h("a", { href: `#/terminations/${encodeURIComponent(row.id)}`, class: "pod" }, name(row.pod ?? row.uid)), h("span", { class: "namespace" }, name(row.namespace, { most: 60, unknown: "unknown pod" }))),
    cell(2, row.workload ? [name(row.workload.name, { most: 60 }), h("span", { class: "kind" }, name(row.workload.kind, { most: 20 }))] : h("span", { class: "none" }, "–")),
    cell(3, icon(row.outcome), h("span", { class: "word" }, going ? PHASES[row.phase] ?? row.phase : OUTCOMES[row.outcome]?.[0] ?? row.outcome),
      !row.complete && row.outcome !== "incomplete" ? h("span", { class: "lossy", title: "incomplete: records were lost or nobody watched for a time" }, icon("incomplete"), h("span", { class: "hidden" }, "incomplete")) : null),
    cell(4, bar.element),
    cell(5, hookCell(row.hook)),
    cell(6, number(row.cut, "cut")), cell(7, number(row.late, "late")), cell(8, number(row.refused, "refused")),
    cell(9, row.findings.length > 0 ? h("span", { class: "finding-count", title: row.findings.map(findingWords).join(", ") }, icon("warning"), h("b", {}, String(row.findings.length)), h("span", { class: "first-finding" }, findingWords(row.findings[0]))) : h("span", { class: "none" }, "–")),
  );
  // The whole row is a target for a pointer; for everybody else it is its link.
  element.addEventListener("click", (event) => {
    if (!event.defaultPrevented && !event.target.closest("a, button") && getSelection().isCollapsed) element.querySelector("a").click();
  });
  element.tick = (now) => bar.set(used(row, now), row.grace);
  element.tick(live.state === "live" ? performance.now() : row.seen);
  return element;
}

function cell(index, ...children) {
  return h("span", { role: "cell", class: `c${index}`, "data-label": COLUMNS[index] }, children);
}

function number(value, kind) {
  if (value === null) return h("span", { class: "none", title: "not measured" }, "–");
  return h("span", { class: value > 0 ? `number is-${kind}` : "number none" }, count(value), h("span", { class: "unit" }, ` ${kind}`));
}

function hookCell(hook) {
  if (!hook) return h("span", { class: "none" }, "none");
  const result = hook.result ?? (hook.end ? "unknown" : "runs");
  const took = hook.duration_seconds === null ? "" : seconds(hook.duration_seconds);
  return h("span", { class: `hook-cell is-${result}`, title: `preStop ${hook.handler}: ${result}${hook.inferred ? ", inferred" : ""}` },
    hook.result ? icon(hook.result) : null, h("span", { class: "took" }, took), result === "success" ? h("span", { class: "hidden" }, " success") : h("span", { class: "word" }, result));
}

/** Grace used by the grace period: a bar whose full width is all of it, with a mark for what is over. */
export function graceBar() {
  const fill = h("span", { class: "fill" });
  const text = h("span", { class: "grace-text" });
  const share = h("b", {});
  const element = h("span", { class: "grace-bar" }, h("span", { class: "track", "aria-hidden": "true" }, fill), text, share);
  return {
    element,
    set(usedSeconds, grace) {
      if (usedSeconds === null || usedSeconds === undefined) {
        setText(text, grace === null ? "–" : `– / ${grace} s`);
        element.dataset.level = "none";
        return;
      }
      const part = grace ? usedSeconds / grace : null;
      setText(text, `${seconds(usedSeconds)}${grace === null ? "" : ` / ${grace} s`}`);
      setText(share, part === null ? "" : percent(part));
      fill.style.width = `${Math.min(part ?? 0, 1) * 100}%`;
      // What was killed at its end is as far as what is over it.
      element.dataset.level = part === null ? "none" : part >= 0.995 ? "over" : part > 0.8 ? "high" : "fine";
    },
  };
}
