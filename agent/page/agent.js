// How the agent is doing: what it cannot see, and what it has lost.

import { h, name, replace } from "./dom.js";
import { age, bytes, clock, count, day, percent, seconds } from "./format.js";
import { ask } from "./live.js";
import { icon } from "./words.js";

/** How often it is asked, in milliseconds. */
const PACE = 5000;
/** Columns of numbers. */
const NUMBERS = new Set(["Records", "Lost", "Missed", "Runs", "Each takes", "Errors", "Not understood", "How many", "Entries", "Room"]);

/** The view. */
export class AgentView {
  title = "Agent";
  element = h("div", { class: "agent" }, h("h1", { tabindex: -1 }, "Agent"), h("p", { class: "empty" }, "Loading…"));

  constructor(live) {
    this.live = live;
  }

  start() {
    this.onState = () => this.live.state === "live" && this.load();
    this.live.addEventListener("state", this.onState);
    this.timer = setInterval(() => !document.hidden && this.live.state === "live" && this.load(), PACE);
    return this.load();
  }

  destroy() {
    this.gone = true;
    clearInterval(this.timer);
    this.live.removeEventListener("state", this.onState);
  }

  async load() {
    let health;
    try {
      health = await ask("/api/v1/health");
    } catch (error) {
      if (!this.gone && !this.shown) replace(this.element, h("h1", { tabindex: -1 }, "Agent"), h("div", { class: "empty" }, h("h2", {}, "The agent does not say how it is"), h("p", {}, error.message)));
      return;
    }
    if (this.gone) return;
    this.shown = true;
    const active = document.activeElement;
    const hadTitle = active?.localName === "h1" && this.element.contains(active);
    const region = active?.getAttribute?.("aria-labelledby");
    const { scrollX, scrollY } = window;
    replace(this.element, h("h1", { tabindex: -1 }, "Agent"), verdict(health), facts(health), hooks(health), h("div", { class: "columns" }, sources(health), lost(health)), h("div", { class: "columns" }, maps(health), itself(health)));
    window.scrollTo(scrollX, scrollY);
    if (hadTitle) this.element.querySelector("h1").focus({ preventScroll: true });
    else if (region) this.element.querySelector(`[tabindex][aria-labelledby="${region}"]`)?.focus({ preventScroll: true });
  }
}

function verdict({ problems }) {
  if (problems.length === 0) return h("p", { class: "verdict is-fine" }, icon("success"), "Every hook is attached, every source answers, and nothing was lost.");
  return h("section", { class: "verdict is-change", "aria-label": "What is not as it should be" }, icon("warning"), h("ul", {}, problems.map((problem) => h("li", {}, name(problem, { most: 400 })))));
}

function facts(health) {
  const all = [
    ["Node", health.node ? name(health.node) : "not told"],
    ["Kernel", name(health.kernel)],
    ["Version", `${health.version}, ${health.arch}`],
    ["Started", `${day(health.started)} ${clock(health.started)}, ${age(health.uptime_seconds)} ago`],
    ["Pods", `${count(health.pods)}, ${count(health.containers)} containers`],
    ["httpGet hooks", health.kubelet_watched ? "seen: the kubelet was found" : "not seen: the kubelet was not found"],
  ];
  return h("section", { class: "card", "aria-label": "Facts" }, h("dl", { class: "facts" }, all.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
}

function section(id, title, ...content) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), content);
}

function table(id, head, rows) {
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": id }, h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", class: NUMBERS.has(text) ? "number" : null }, text)))), h("tbody", {}, rows)));
}

function hooks(health) {
  const counted = health.hooks.some((hook) => hook.runs !== null);
  const head = ["Hook", "State", "Without it", "Records", "Lost", "Missed", ...(counted ? ["Runs", "Each takes"] : [])];
  return section("a-hooks", "Kernel hooks", table("a-hooks", head, health.hooks.map((hook) => {
    const lost = hook.dropped + hook.malformed;
    return h("tr", { class: hook.attached ? "" : "is-missing" }, h("th", { scope: "row" }, h("code", {}, hook.hook)), h("td", {}, h("span", { class: `state ${hook.attached ? "is-fine" : "is-change"}` }, icon(hook.attached ? "success" : "failed"), hook.attached ? "attached" : "missing"), hook.missing ? h("span", { class: "kind" }, name(hook.missing, { most: 200 })) : null),
      h("td", { class: "wide" }, hook.without), h("td", { class: "number" }, count(hook.received)), h("td", { class: `number${lost > 0 ? " is-bad" : ""}` }, count(lost)), h("td", { class: "number" }, count(hook.missed)),
      counted ? [h("td", { class: "number" }, count(hook.runs)), h("td", { class: "number" }, hook.runs ? `${((hook.run_seconds / hook.runs) * 1e9).toFixed(0)} ns` : "–")] : null);
  })), h("p", { class: "hint" }, "What nobody can see is shown as “–”, never as 0."));
}

function sources(health) {
  const state = (source) => (source.unused ? ["none", "not there"] : source.failing ? ["is-change", "fails"] : ["is-fine", "answers"]);
  return section("a-sources", "Sources of pods", table("a-sources", ["Source", "State", "Last answer", "Errors", "Not understood"], health.sources.map((source) => {
    const [kind, text] = state(source);
    return h("tr", {}, h("th", { scope: "row" }, source.source), h("td", {}, h("span", { class: `state ${kind}` }, source.unused ? null : icon(source.failing ? "failed" : "success"), text)), h("td", {}, source.age_seconds === null ? "never" : `${seconds(source.age_seconds)} ago`), h("td", { class: "number" }, count(source.errors)), h("td", { class: "number" }, count(source.skipped)));
  })));
}

function lost(health) {
  const some = health.left_out.filter((one) => one.count > 0);
  const none = health.left_out.filter((one) => one.count === 0);
  const words = (text) => text.replaceAll("_", " ");
  return section("a-lost", "Left out for want of room", some.length > 0 ? table("a-lost", ["What", "How many"], some.map((one) => h("tr", {}, h("th", { scope: "row" }, words(one.what)), h("td", { class: "number is-bad" }, count(one.count))))) : h("p", {}, "Nothing."),
    none.length > 0 ? h("p", { class: "hint" }, `None of: ${none.map((one) => words(one.what)).join(", ")}.`) : null);
}

function maps(health) {
  return section("a-maps", "Maps in the kernel", health.maps.length === 0 ? h("p", { class: "none" }, "Not looked at yet.") : table("a-maps", ["Map", "Entries", "Room", "Full"], health.maps.map((map) => {
    const share = map.max_entries ? map.entries / map.max_entries : 0;
    const fill = h("span", { class: "fill" });
    fill.style.width = `${Math.min(share, 1) * 100}%`;
    return h("tr", {}, h("th", { scope: "row" }, map.map), h("td", { class: "number" }, count(map.entries)), h("td", { class: "number" }, count(map.max_entries)), h("td", {}, h("span", { class: "grace-bar small", "data-level": share > 0.8 ? "high" : "fine" }, h("span", { class: "track", "aria-hidden": "true" }, fill), h("span", {}, percent(share)))));
  })));
}

function itself({ process, store, state, http }) {
  const all = [
    ["Terminations kept", `${count(store.terminations)} of ${count(store.max_terminations)}, ${bytes(store.bytes)} of ${bytes(store.max_bytes)}`],
    ["Had to make room", count(store.evicted)],
    ["Memory", process ? bytes(process.resident_bytes) : "–"],
    ["CPU time", process ? seconds(process.cpu_seconds) : "–"],
    ["State across restarts", state ? (state.age_seconds === null ? "never saved" : `saved ${age(state.age_seconds)} ago, ${bytes(state.bytes)}, ${count(state.errors)} errors`) : "not kept (no --state-dir)"],
    ["HTTP connections", `${count(http.connections)} of ${count(http.max_connections)}`],
    ["Readers of the stream", `${count(http.streams)} of ${count(http.max_streams)}`],
  ];
  return section("a-itself", "What it takes", h("table", { class: "facts-table" }, h("tbody", {}, all.map(([term, value]) => h("tr", {}, h("th", { scope: "row" }, term), h("td", {}, value))))));
}
