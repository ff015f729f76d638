// What grace period and preStop wait the terminations of a workload ask for, and whether they are enough to say so.

import { count, percent, plural, seconds } from "./format.js";

/** So many are needed before anything is said, and so many before less grace is advised. */
const ENOUGH = 5;
const MANY = 20;
/** Room above what was measured. */
const MARGIN = 1.25;

/** The value that so many of all are not above (nearest rank). */
export function percentile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** Lines of advice: `{title, text, kind}`; `kind` is `change`, `fine`, or `unknown`. */
export function advise({ recent, findings, traffic_tail_seconds: tails, terminations }) {
  const usable = recent.filter((one) => one.complete && one.grace_used_seconds !== null);
  if (usable.length < ENOUGH) {
    return [{ kind: "unknown", title: "Not enough to say", text: `${plural(usable.length, "termination")} that the kubelet asked for and the agent saw whole; ${ENOUGH} are needed for advice.` }];
  }
  const lines = [];
  const deaf = ["STOP_SIGNAL_IGNORED", "STOP_SIGNAL_NOT_FORWARDED"].filter((id) => findings[id] > 0);
  if (deaf.length > 0) {
    lines.push({ kind: "change", title: "Handle the stop signal", text: `In ${count(Math.max(...deaf.map((id) => findings[id])))} of ${count(terminations)} the application did not get it or did nothing with it. No grace period helps before that is changed.` });
  }
  const wait = waitAdvice(usable, tails);
  lines.push(wait, graceAdvice(usable, wait.seconds, deaf.length > 0));
  return lines;
}

function waitAdvice(usable, tails) {
  const waits = usable.map((one) => one.prestop_wait_seconds).filter((value) => value !== null);
  const measured = usable.map((one) => one.traffic_tail_seconds).filter((value) => value !== null);
  const now = percentile(waits, 0.5) ?? 0;
  if (measured.length < ENOUGH) {
    return { kind: "unknown", title: "preStop wait", text: `New connections after the start were seen in ${count(measured.length)} of ${count(usable.length)}: too few to say how long preStop has to wait.`, seconds: now };
  }
  const tail = tails?.p95 ?? percentile(measured, 0.95);
  const told = `95 % of the last new connections came within ${seconds(tail)} of the start; the stop signal came after ${seconds(now)} (median)`;
  if (tail <= now) return { kind: "fine", title: `preStop wait: ${seconds(now)} is enough`, text: `${told}.`, seconds: now };
  const wanted = Math.ceil(tail + 0.5);
  return { kind: "change", title: `Have preStop wait ${wanted} s`, text: `${told}, so that clients still came when the application had been told to stop. Where no other endpoint is ready, Kubernetes sends them on purpose.`, seconds: wanted };
}

function graceAdvice(usable, wait, deaf) {
  const grace = usable[0].grace_period_seconds;
  if (grace === null) return { kind: "unknown", title: "Grace period", text: "It is not known: no source has told of the pod." };
  const killed = usable.filter((one) => one.killed);
  const left = usable.filter((one) => !one.killed && one.drain_seconds !== null);
  const used = percentile(usable.map((one) => one.grace_used_seconds), 0.95);
  if (killed.length > 0) {
    const text = `${count(killed.length)} of ${count(usable.length)} were killed (${percent(killed.length / usable.length)}): how long they would have needed was not seen, only that ${grace} s were not enough.`;
    return { kind: "change", title: deaf ? "Grace period: later" : `Raise the grace period above ${grace} s, or drain faster`, text };
  }
  if (left.length < ENOUGH) return { kind: "unknown", title: "Grace period", text: `A stop signal and the exit after it were seen in ${count(left.length)} of ${count(usable.length)}: too few.` };
  const drain = percentile(left.map((one) => one.drain_seconds), 0.99);
  const wanted = Math.max(2, Math.ceil((wait + drain) * MARGIN));
  const told = `The application takes ${seconds(drain)} from the stop signal to its exit (99 %), and ${seconds(used)} of ${grace} s were used in all (95 %)`;
  if (wanted > grace) return { kind: "change", title: `Raise the grace period to ${wanted} s`, text: `${told}; with ${seconds(wait)} of preStop wait that leaves too little room.` };
  if (wanted * 2 < grace && usable.length >= MANY) return { kind: "fine", title: `Grace period: ${grace} s is plenty`, text: `${told}. ${wanted} s would do, with a quarter to spare; a shorter one only matters when something hangs.` };
  return { kind: "fine", title: `Grace period: ${grace} s is right`, text: `${told}.` };
}
