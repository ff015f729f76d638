// One termination: what happened in words, as a timeline, and what to change.

import { clip, expandable, h, name, replace, visible } from "./dom.js";
import { bytes, clock, count, day, seconds } from "./format.js";
import { Problem, ask } from "./live.js";
import { graceBar } from "./list.js";
import { events, hookEnd, moments } from "./moments.js";
import { findingPlaces } from "./places.js";
import { row, used } from "./row.js";
import { story } from "./story.js";
import { timeline } from "./timeline.js";
import { OUTCOMES, PHASES, REASONS, findingWords, icon } from "./words.js";
import { workloadAddress } from "./workloads.js";

/** How often one that goes on is drawn anew, in milliseconds. */
const TICK = 250;

/** The view. */
export class TerminationView {
  title = "Termination";

  constructor(live, { id }) {
    Object.assign(this, { live, id, termination: null });
    this.element = h("article", { class: "termination" }, h("p", { class: "empty" }, "Loading…"));
    this.figure = h("div", { class: "timeline-place" });
  }

  start() {
    this.onTermination = ({ detail }) => detail.id === this.id && this.show(detail);
    this.onState = () => this.live.state === "live" && this.load();
    this.live.addEventListener("termination", this.onTermination);
    this.live.addEventListener("state", this.onState);
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.element);
    this.timer = setInterval(() => this.tick(), TICK);
    return this.load();
  }

  destroy() {
    this.live.removeEventListener("termination", this.onTermination);
    this.live.removeEventListener("state", this.onState);
    this.resize.disconnect();
    clearInterval(this.timer);
    this.gone = true;
  }

  async load() {
    try {
      const termination = await ask(`/api/v1/terminations/${encodeURIComponent(this.id)}`);
      if (!this.gone) this.show(termination);
    } catch (error) {
      if (this.gone || this.termination) return;
      const missing = error instanceof Problem && error.status === 404;
      replace(this.element, h("div", { class: "empty" }, h("h1", { tabindex: -1 }, missing ? "This termination is not known here" : "The agent does not answer"),
        h("p", {}, missing ? "It had to make room for newer ones, the agent was restarted, or it happened on another node. Each node's agent keeps its own." : "This page goes on trying."),
        h("p", { class: "id" }, expandable(this.id)), h("p", {}, h("a", { href: "#/" }, "All terminations"))));
      this.onTitle?.();
    }
  }

  show(termination) {
    this.termination = termination;
    this.row = row(termination, performance.now());
    this.title = `${clip(visible(termination.pod ?? termination.uid), 60)} · ${OUTCOMES[this.row.outcome]?.[0] ?? ""}`;
    const first = !this.article;
    const open = this.element.querySelector("details.raw")?.open ?? false;
    const focused = focusPath(this.element);
    this.article = true;
    this.sentence = h("p", { class: "story" });
    this.bar = graceBar();
    replace(this.element, this.header(), h("section", { class: "card timeline-card", "aria-labelledby": "t-timeline" }, h("h2", { id: "t-timeline" }, "Timeline"), this.figure),
      this.findings(), h("div", { class: "columns" }, this.events(), this.containers()), this.peers(), this.raw(open));
    this.draw(true);
    this.tick(true);
    restoreFocus(this.element, focused);
    if (first) this.onTitle?.();
    else document.title = `${this.title} · gracetrace`;
  }

  elapsed() {
    return this.row.outcome === "in_progress" ? used(this.row, this.live.state === "live" ? performance.now() : this.row.seen) ?? undefined : undefined;
  }

  tick(always = false) {
    if (!this.row || (!always && (this.row.outcome !== "in_progress" || this.live.state !== "live"))) return;
    const elapsed = this.elapsed();
    this.bar.set(elapsed ?? this.termination.grace_used_seconds, this.termination.grace_period_seconds);
    replace(this.sentence, story(this.termination, moments(this.termination, elapsed)));
    if (!always) this.draw(true);
  }

  draw(anew = false) {
    const width = Math.floor(this.figure.getBoundingClientRect().width);
    if (!this.termination || width < 100 || (!anew && width === this.drawn) || (this.drawn === width && this.figure.contains(document.activeElement))) return;
    this.drawn = width;
    replace(this.figure, timeline(this.termination, { width, elapsed: this.elapsed(), onFinding: (number) => this.choose(number) }), legend(this.termination));
  }

  header() {
    const one = this.termination;
    const outcome = this.row.outcome;
    const copy = h("button", { type: "button", onclick: () => copyText(copy, location.href) }, "Copy link");
    const facts = [
      ["Started", [h("time", { datetime: one.start }, `${day(one.start)} ${clock(one.start)}`), h("span", { class: "exact" }, one.start)]],
      one.requested ? ["Deletion asked for", [h("time", { datetime: one.requested, title: one.requested }, clock(one.requested)), h("span", { class: "exact" }, "whole seconds")]] : null,
      ["Grace used", this.bar.element],
      one.workload ? ["Workload", h("a", { href: workloadAddress(one) }, name(one.workload.kind, { most: 30 }), " ", name(one.workload.name, { most: 60 }))] : null,
      one.node ? ["Node", name(one.node)] : null,
      ["Why", REASONS[one.reason] ?? name(one.reason)],
    ].filter(Boolean);
    return h("header", {},
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/" }, "Terminations"), " / ", name(one.namespace, { unknown: "unknown namespace" })),
      h("div", { class: "headline" }, h("h1", { tabindex: -1 }, expandable(one.pod ?? one.uid, { most: 100 })),
        h("span", { class: `badge-outcome is-${outcome}`, title: OUTCOMES[outcome]?.[1] }, icon(outcome), OUTCOMES[outcome]?.[0] ?? outcome, outcome === "in_progress" ? `: ${PHASES[one.phase] ?? one.phase}` : ""),
        h("span", { class: "actions" }, copy)),
      this.sentence,
      one.complete ? null : h("p", { class: "incomplete" }, icon("incomplete"), incompleteWords(one)),
      one.missed ? h("p", { class: "incomplete" }, icon("incomplete"), missedWords(one.missed)) : null,
      h("dl", { class: "facts" }, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
  }

  findings() {
    const { findings } = this.termination;
    const title = h("h2", { id: "t-findings" }, "Findings");
    if (findings.length === 0) {
      const text = this.termination.end ? "Nothing went wrong that the agent looks for." : "Nothing so far.";
      return h("section", { class: "card", "aria-labelledby": "t-findings" }, title, h("p", { class: "none" }, text));
    }
    const placed = new Set(findingPlaces(this.termination, moments(this.termination)).filter(({ where }) => where).map(({ number }) => number));
    return h("section", { class: "card findings", "aria-labelledby": "t-findings" }, title, h("ol", {}, findings.map((finding, index) =>
      h("li", { id: `finding-${index + 1}`, tabindex: -1 },
        h("h3", {}, h("span", { class: "finding-number", "aria-hidden": "true" }, String(index + 1)), h("code", {}, finding.id), finding.container ? h("span", { class: "of" }, " in ", name(finding.container, { most: 60 })) : null,
          placed.has(index + 1) ? h("button", { type: "button", class: "link show-mark", "data-finding": index + 1, onclick: () => this.point(index + 1) }, "Show in timeline") : null),
        h("p", {}, expandable(finding.message, { most: 500 })),
        h("p", { class: "advice" }, h("b", {}, "What to change: "), expandable(finding.advice, { most: 500 }))))));
  }

  /** A mark was chosen: its finding. */
  choose(number) {
    const finding = this.element.querySelector(`#finding-${number}`);
    finding?.scrollIntoView({ block: "nearest", behavior: calm() });
    finding?.focus({ preventScroll: true });
  }

  /** A finding was chosen: its mark. */
  point(number) {
    const mark = this.figure.querySelector(`.badge[data-finding="${number}"]`);
    mark?.scrollIntoView({ block: "center", behavior: calm() });
    mark?.focus({ preventScroll: true });
  }

  events() {
    const many = this.termination.containers.length > 1;
    return h("section", { class: "card", "aria-labelledby": "t-events" }, h("h2", { id: "t-events" }, "Events"), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "t-events" },
      h("table", { class: "events" }, h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, "After"), many ? h("th", { scope: "col" }, "Container") : null, h("th", { scope: "col" }, "What"))),
        h("tbody", {}, events(moments(this.termination)).map(({ at, name: whose, text }) =>
          h("tr", {}, h("td", { class: "number" }, `${at.toFixed(3).replace("-", "−")} s`), many ? h("td", {}, name(whose, { most: 40 })) : null, h("td", {}, text)))))));
  }

  containers() {
    const all = moments(this.termination).lanes.map(({ container }) => container);
    const lines = [
      ["Role", ({ role }) => role],
      ["Image", ({ image }) => name(image, { most: 70 })],
      ["Outcome", ({ outcome, phase }) => (outcome ? [icon(outcome), " ", OUTCOMES[outcome]?.[0] ?? outcome] : PHASES[phase] ?? phase)],
      ["preStop hook", ({ hook }) => (hook ? `${hook.handler}, ${hook.end ? seconds(hook.duration_seconds) : "runs"}, ${hookEnd(hook)}${hook.inferred ? ", inferred" : ""}` : "none")],
      ["Its cost", ({ hook }) => (hook && hook.processes !== null ? `${count(hook.processes)} processes, ${seconds(hook.cpu_seconds)} of CPU` : null)],
      ["Stop signal to exit", ({ stop_to_exit_seconds: took }) => seconds(took)],
      ["Open at start", ({ connections }) => pair(connections.at_start)],
      ["Opened since", ({ connections }) => pair(connections.opened)],
      ["Cut", ({ connections }) => pair(connections.zombie)],
      ["Late", ({ connections }) => count(connections.late)],
      ["Refused", ({ connections }) => (connections.refused === null ? "–" : `${count(connections.refused)}${connections.refused_after_exit ? `, ${count(connections.refused_after_exit)} after its exit` : ""}`)],
      ["Traffic tail", ({ connections }) => seconds(connections.traffic_tail_seconds)],
      ["Outbound failed", ({ connections }) => (connections.outbound_failed ? count(connections.outbound_failed) : null)],
      ["Refused at its start", ({ connections }) => (connections.startup_refused ? count(connections.startup_refused) : null)],
    ].map(([title, value]) => [title, all.map(value)]).filter(([, values]) => values.some((value) => value !== null));
    const partial = all.some(({ connections }) => connections.partial);
    return h("section", { class: "card", "aria-labelledby": "t-containers" }, h("h2", { id: "t-containers" }, all.length > 1 ? "Containers" : "Container"), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "t-containers" },
      h("table", { class: "facts-table" }, h("thead", {}, h("tr", {}, h("td", {}), all.map((one) => h("th", { scope: "col" }, name(one.name ?? one.id.slice(0, 12), { most: 40 }))))),
        h("tbody", {}, lines.map(([title, values]) => h("tr", {}, h("th", { scope: "row" }, title), values.map((value) => h("td", {}, value ?? "–"))))))),
      partial ? h("p", { class: "hint" }, "Connections are partial: a container is older than the agent, or the agent was away.") : null);
  }

  peers() {
    const lists = this.termination.containers.flatMap((container) => (container.connections.peers ?? []).map((peer) => ({ ...peer, container: container.name })));
    const others = this.termination.containers.flatMap((container) => (container.connections.other_peers ?? []).map((peer) => ({ ...peer, container: container.name })));
    if (lists.length === 0) return null;
    const many = this.termination.containers.length > 1;
    const numbers = (peer) => [count(peer.connections), count(peer.cut), count(peer.late_connections), count(peer.aborted), count(peer.failed)].map((value, index) => h("td", { class: `number${index === 1 && peer.cut > 0 ? " is-cut" : ""}` }, value)).concat(h("td", { class: "number" }, bytes(peer.received_bytes)), h("td", { class: "number" }, bytes(peer.sent_bytes)));
    const head = ["Peer", "Direction", "Port", ...(many ? ["Container"] : []), "Connections", "Cut", "Late", "Aborted", "Failed", "Received", "Sent"];
    return h("section", { class: "card", "aria-labelledby": "t-peers" }, h("h2", { id: "t-peers" }, "Peers"), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "t-peers" }, h("table", { class: "peers" },
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", class: ["Peer", "Direction", "Container"].includes(text) ? null : "number" }, text)))),
      h("tbody", {}, lists.map((peer) => h("tr", {}, h("td", {}, name(peer.address)), h("td", {}, peer.direction), h("td", { class: "number" }, peer.local_port ?? "–"), many ? h("td", {}, name(peer.container, { most: 40 })) : null, numbers(peer))),
        others.map((peer) => h("tr", {}, h("td", {}, `${count(peer.peers)} others`), h("td", {}, peer.direction), h("td", {}), many ? h("td", {}, name(peer.container, { most: 40 })) : null, numbers(peer)))))));
  }

  raw(open) {
    const code = h("pre", { tabindex: 0, role: "group", "aria-label": "JSON" });
    const copy = h("button", { type: "button", onclick: () => copyText(copy, JSON.stringify(this.termination, null, 2)) }, "Copy JSON");
    const details = h("details", { class: "card raw", open }, h("summary", {}, "Raw JSON"), h("p", {}, copy, " ", h("a", { href: `/api/v1/terminations/${encodeURIComponent(this.id)}` }, "from the API")), code);
    const fill = () => details.open && (code.textContent = visibleJson(this.termination));
    details.addEventListener("toggle", fill);
    fill();
    return details;
  }
}

function incompleteWords(one) {
  if ((one.unseen ?? []).length === 0) return "Records were lost while this went on: what is shown may be wrong, and what is missing may have happened.";
  const away = one.unseen.map(([from, to]) => `${clock(from)} to ${clock(to)}`).join(", ");
  return `No agent watched from ${away}: what is shown may be wrong, and what is missing may have happened.`;
}

function missedWords({ connections, processes }) {
  return `Since the agent knows this pod the kernel left out up to ${count(connections)} events of connections and ${count(processes)} of processes, of all pods of the node together: counts may be off by so many.`;
}

function pair(counts) {
  return counts ? `${count(counts.inbound)} in, ${count(counts.outbound)} out` : "–";
}

function visibleJson(value) {
  return JSON.stringify(value, null, 2).split("\n").map(visible).join("\n");
}

function legend(termination) {
  const { lanes } = moments(termination);
  const item = (kind, text) => h("span", { class: "legend-item" }, h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
  return h("div", { class: "legend" }, lanes.some(({ hook }) => hook && !isBad(hook)) ? item("hook", "preStop hook") : null, lanes.some(({ hook }) => hook && isBad(hook)) ? item("lead", "preStop hook that went wrong") : null, lanes.some(({ waiting }) => waiting) ? item("waiting", "not told to stop yet") : null, item("drain", "from the stop signal to the exit"),
    lanes.some(({ extension }) => extension) ? item("extension", "2 s that a hook cannot take") : null, lanes.some(({ lead }) => lead > 0) ? item("lead", "application without its sidecar") : null);
}

function isBad({ result }) {
  return result === "failed" || result === "timeout";
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Copies, and says on the button whether that worked. */
async function copyText(button, text) {
  const before = button.dataset.text ?? button.textContent;
  button.dataset.text = before;
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    // Without TLS, and not on localhost, browsers have no clipboard: the old way.
    const area = h("textarea", { readonly: true, class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = copied ? "Copied" : "Cannot copy";
  setTimeout(() => (button.textContent = before), 2000);
}

/** What has the focus, in words that hold after everything was drawn anew. */
function focusPath(root) {
  const active = document.activeElement;
  if (!root.contains(active)) return null;
  if (active.id) return `#${CSS.escape(active.id)}`;
  const all = [...root.querySelectorAll(active.localName)];
  return { tag: active.localName, index: all.indexOf(active) };
}

function restoreFocus(root, path) {
  if (path === null) return;
  const element = typeof path === "string" ? root.querySelector(path) : root.querySelectorAll(path.tag)[path.index];
  element?.focus({ preventScroll: true });
}
