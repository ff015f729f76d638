// The words of the contract as people read them, each with a mark of its own: no meaning hangs on a colour.

import { s } from "./dom.js";

/** How a termination ended: what to call it, and what it means. */
export const OUTCOMES = {
  in_progress: ["in progress", "it goes on"],
  graceful: ["graceful", "left after the stop signal, within its grace"],
  completed: ["completed", "left before any stop signal"],
  forced: ["forced", "ended by SIGKILL from outside"],
  crashed: ["crashed", "died of a signal of its own"],
  oom: ["OOM", "ended by the OOM killer"],
  incomplete: ["incomplete", "records were lost or nobody watched: what is shown may be wrong"],
};

/** Why. */
export const REASONS = {
  deletion: "deleted",
  eviction: "evicted",
  preemption: "preempted",
  node_shutdown: "ended by the node's shutdown",
  probe_failure: "restarted after a failed probe",
  oom: "hit by the OOM killer",
  unknown: "ended",
};

/** Where it stands. */
export const PHASES = {
  running: "running",
  in_hook: "in preStop",
  stopping: "stopping",
  killed: "killed",
  exited: "exited",
  empty: "ended",
};

/** How a hook ended. */
export const HOOK_RESULTS = {
  success: "success",
  failed: "failed",
  timeout: "timeout",
  interrupted: "interrupted",
};

/** Every finding, as a filter offers them. */
export const FINDINGS = [
  "PRESTOP_FAILED", "PRESTOP_TIMEOUT", "PRESTOP_COSTLY", "STOP_SIGNAL_IGNORED", "STOP_SIGNAL_NOT_FORWARDED", "GRACE_EXHAUSTED",
  "GRACE_NEARLY_EXHAUSTED", "CONNECTIONS_CUT", "LATE_CONNECTIONS", "CONNECTIONS_REFUSED", "EXITED_DURING_TRAFFIC",
  "SIDECAR_EXITED_FIRST", "OUTBOUND_FAILED_AFTER_SIDECAR", "OOM_DURING_TERMINATION", "NO_GRACE", "TERMINATING_WITHOUT_SIGNAL",
  "MASS_TERMINATION",
];

/** A finding's id as words. */
export function findingWords(id) {
  const words = id.toLowerCase().replaceAll("_", " ");
  return words.replace("prestop", "preStop").replace("oom", "OOM").replace(/^[a-z](?!reStop)/, (first) => first.toUpperCase());
}

// On a square of 16.
const SHAPES = {
  graceful: [["circle", { cx: 8, cy: 8, r: 6.2, class: "line" }], ["path", { d: "M5 8.2 7.2 10.4 11.2 5.8", class: "line" }]],
  completed: [["circle", { cx: 8, cy: 8, r: 6.2, class: "line" }], ["path", { d: "M5 8h6", class: "line" }]],
  forced: [["rect", { x: 1.8, y: 1.8, width: 12.4, height: 12.4, rx: 2, class: "full" }], ["path", { d: "M5.2 5.2l5.6 5.6m0-5.6-5.6 5.6", class: "cut" }]],
  crashed: [["path", { d: "M8 1.6 15 14H1z", class: "full" }], ["path", { d: "M8 6v4M8 11.6v.8", class: "cut" }]],
  oom: [["path", { d: "M8 .9 15.1 8 8 15.1.9 8z", class: "full" }], ["path", { d: "M5.4 8h5.2", class: "cut" }]],
  incomplete: [["circle", { cx: 8, cy: 8, r: 6.2, class: "line dashed" }], ["path", { d: "M6.2 6.4a1.9 1.9 0 1 1 2.5 1.9c-.5.2-.7.5-.7 1.1M8 11.4v.6", class: "line thin" }]],
  in_progress: [["circle", { cx: 8, cy: 8, r: 6.2, class: "line" }], ["path", { d: "M8 8V3a5 5 0 0 1 5 5z", class: "full" }]],
  warning: [["path", { d: "M8 1.6 15 14H1z", class: "line" }], ["path", { d: "M8 6v4M8 11.6v.8", class: "line" }]],
  success: [["path", { d: "M3 8.4 6.4 11.8 13 4.6", class: "line" }]],
  failed: [["path", { d: "M4 4l8 8m0-8-8 8", class: "line" }]],
  timeout: [["path", { d: "M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12", class: "line thin" }]],
  interrupted: [["path", { d: "M2 8h4m4 0h4M7 4 9 12", class: "line" }]],
};

/** The mark of an outcome or of how a hook ended. Says nothing to a screen reader: the word stands beside it. */
export function icon(kind) {
  const parts = SHAPES[kind] ?? SHAPES.incomplete;
  return s("svg", { class: `icon is-${SHAPES[kind] ? kind : "incomplete"}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, ...parts.map(([tag, attributes]) => s(tag, attributes)));
}
