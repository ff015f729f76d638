// A termination as seconds since its start: what the timeline draws, what the list of events says.

import { between } from "./format.js";

/** What the kubelet always grants after a hook (`minimumGracePeriodInSeconds`, pkg/kubelet/kuberuntime/kuberuntime_container.go). */
const LEAST_AFTER_HOOK = 2;

const ROLES = ["app", "sidecar", "init", "ephemeral"];

/** A termination's times. `elapsed` is how long it has gone on, for one that goes on. */
export function moments(termination, elapsed) {
  const at = (stamp) => (stamp ? between(termination.start, stamp) : null);
  const end = at(termination.end);
  const grace = termination.grace_period_seconds;
  const now = end === null ? elapsed ?? termination.grace_used_seconds ?? 0 : null;
  const lanes = termination.containers.map((container) => lane(container, at, { grace, now }));
  lanes.sort((one, other) => rank(one.role) - rank(other.role));
  const graceStarted = termination.grace_used_seconds !== null;
  return {
    lanes,
    end,
    now,
    grace: graceStarted ? grace : null,
    unseen: (termination.unseen ?? []).map(([from, to]) => [at(from), at(to)]),
    charts: lanes.filter((one) => one.curve.length > 0 && (one.peak > 0 || one.late || one.refused)),
  };
}

function rank(role) {
  const at = ROLES.indexOf(role);
  return at < 0 ? ROLES.length : at;
}

function lane(container, at, { grace, now }) {
  const { hook, stop_signal: stop, exit, connections } = container;
  const stopAt = at(stop?.at);
  const exitAt = at(exit?.at);
  const killAt = at(container.killed_at);
  const hookFrom = at(hook?.start);
  // Without an end it goes on, or nobody saw it end; then it was over when its container was.
  const hookTo = hook ? at(hook.end) ?? exitAt ?? now ?? hookFrom : null;
  const begins = [hookFrom, stopAt].filter((time) => time !== null);
  const until = exitAt ?? now;
  const overran = hook && stopAt !== null && grace !== null && stopAt + LEAST_AFTER_HOOK > grace;
  const curve = connections.curve ?? [];
  return {
    container,
    name: container.name,
    role: container.role,
    hook: hook ? { ...hook, from: hookFrom, to: hookTo } : null,
    waiting: begins.length > 0 && Math.min(...begins) > 0 ? [0, Math.min(...begins)] : begins.length === 0 && until > 0 ? [0, until] : null,
    drain: stopAt !== null && until !== null && until > stopAt ? [stopAt, until] : null,
    stop: stopAt === null ? null : { ...stop, at: stopAt },
    killed: killAt,
    exit: exitAt === null ? null : { ...exit, at: exitAt },
    empty: at(container.empty_at),
    extension: overran ? [Math.max(grace, stopAt), stopAt + LEAST_AFTER_HOOK] : null,
    lead: container.sidecar_lead_seconds,
    curve,
    peak: curve.reduce((most, [, open]) => Math.max(most, open), 0),
    late: connections.late,
    refused: connections.refused,
    cut: connections.zombie?.inbound ?? null,
    cutAt: killAt ?? exitAt,
    tail: connections.traffic_tail_seconds,
    refusedTail: connections.refused_tail_seconds ?? null,
  };
}

/** From and to of the time axis. The end of the grace period is on it unless it would press everything else into a corner. */
export function domain({ lanes, end, now, grace, unseen }) {
  const times = [0, end ?? 0, now ?? 0];
  for (const one of lanes) {
    const { hook, stop, killed, exit, empty, extension, tail, refusedTail } = one;
    times.push(hook?.from, hook?.to, stop?.at, killed, exit?.at, empty, tail, refusedTail);
    if (extension) times.push(extension[1]);
    times.push(...one.curve.map(([second]) => second));
  }
  times.push(...unseen.flat());
  const known = times.filter((time) => time !== null && time !== undefined);
  const [first, last] = [Math.min(...known), Math.max(...known, 0.05)];
  const showsGrace = grace !== null && grace <= Math.max(last * 2, now === null ? 0 : Math.min(last * 4, last + 10));
  return { from: first, to: (showsGrace ? Math.max(last, grace) : last) * 1.04, showsGrace };
}

/** Round steps for an axis, so that about `wanted` of them are seen. */
export function ticks(from, to, wanted) {
  const rough = (to - from) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const all = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + 1e-9; index += 1) {
    all.push({ at: index * step, text: `${(index * step).toFixed(digits).replace("-", "−")} s` });
  }
  return all;
}

/** What happened, in order, as lines of text: the timeline for those who read it. */
export function events({ lanes }) {
  const all = [];
  for (const { name, hook, stop, killed, exit, empty, cut, cutAt } of lanes) {
    const add = (at, text) => at !== null && at !== undefined && all.push({ at, name, text });
    if (hook) {
      add(hook.from, `preStop hook (${hook.handler}) starts${hook.inferred ? ", inferred" : ""}`);
      if (hook.end) add(hook.to, `preStop hook ends: ${hookEnd(hook)}`);
    }
    if (stop) add(stop.at, `${stop.name}${stop.disposition ? `, ${stop.disposition}` : ""}`);
    add(killed, "SIGKILL from outside");
    if (exit) add(exit.at, exitWords(exit) + (cut && killed === null && cutAt === exit.at ? `, ${cut} connections cut` : ""));
    add(empty, "no process left");
  }
  return all.sort((one, other) => one.at - other.at);
}

/** How a hook ended, with its status. */
export function hookEnd(hook) {
  const parts = [hook.result ?? "unknown"];
  if (hook.exit_code !== null && hook.result !== "success") parts.push(`exit code ${hook.exit_code}`);
  if (hook.http_status !== null) parts.push(`HTTP ${hook.http_status}`);
  return parts.join(", ");
}

/** How an init ended. */
export function exitWords(exit) {
  const how = exit.signal ? `killed by ${exit.signal}` : exit.code === null ? "exit" : `exit code ${exit.code}`;
  return exit.oom ? `${how}, out of memory` : how;
}
