// A termination as the list needs it: kept for all of them, so without what is big.

/** Makes one from the contract's object. `seen` is when it came, by the page's own clock: what goes on ticks from there. */
export function row(termination, seen) {
  const containers = termination.containers ?? [];
  const sum = (pick) => {
    const known = containers.map(pick).filter((value) => value !== null && value !== undefined);
    return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  };
  const hooks = containers.filter((container) => container.hook).map(({ name, hook }) => ({ name, ...hook }));
  return {
    id: termination.id,
    namespace: termination.namespace,
    pod: termination.pod,
    uid: termination.uid,
    node: termination.node,
    workload: termination.workload,
    outcome: termination.end ? termination.outcome ?? "incomplete" : "in_progress",
    reason: termination.reason,
    complete: termination.complete,
    phase: termination.phase,
    start: termination.start,
    startAt: Date.parse(termination.start),
    endAt: termination.end ? Date.parse(termination.end) : null,
    grace: termination.grace_period_seconds,
    used: termination.grace_used_seconds,
    hook: worst(hooks),
    cut: sum(({ connections }) => connections.zombie && connections.zombie.inbound + connections.zombie.outbound),
    late: sum(({ connections }) => connections.late),
    refused: sum(({ connections }) => connections.refused),
    findings: termination.findings.map(({ id }) => id),
    searched: [termination.pod, termination.uid].filter(Boolean).join("\n").toLowerCase(),
    seen,
  };
}

const WORST = ["timeout", "failed", "interrupted", null, "success"];

/** Of several hooks the one to look at. */
function worst(hooks) {
  return hooks.sort((one, other) => WORST.indexOf(one.result) - WORST.indexOf(other.result) || (other.duration_seconds ?? 0) - (one.duration_seconds ?? 0))[0] ?? null;
}

/** Grace used up to now: of what goes on it grows, as long as somebody tells of it. */
export function used(one, now) {
  if (one.used === null) return null;
  return one.outcome === "in_progress" ? one.used + Math.max(0, now - one.seen) / 1000 : one.used;
}

/** What goes on first, the longest one first; then the newest. */
export function order(one, other) {
  const [here, there] = [one.outcome === "in_progress", other.outcome === "in_progress"];
  if (here !== there) return here ? -1 : 1;
  if (here) return one.startAt - other.startAt || compare(one.id, other.id);
  return other.startAt - one.startAt || compare(other.id, one.id);
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
