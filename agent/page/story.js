// What happened, in a few sentences.

import { name } from "./dom.js";
import { plural, seconds } from "./format.js";
import { REASONS } from "./words.js";

/** Text and nodes of the sentences about a termination. */
export function story(termination, { lanes, grace, now }) {
  const going = termination.end === null;
  const many = lanes.length > 1;
  const parts = [begin(termination, grace, going)];
  for (const lane of lanes) parts.push(" ", ...ofLane(lane, many, termination));
  parts.push(" ", ...end(termination, grace, going, now));
  return parts;
}

function begin(termination, grace, going) {
  const reason = REASONS[termination.reason] ?? "ended";
  const verb = going && reason === "deleted" ? "is being deleted" : `was ${reason}`;
  const given = grace === null ? "" : ` and had ${plural(grace, "second")} of grace`;
  if (termination.reason === "unknown") return grace === null ? "Nothing says why this pod was ended." : `Nothing says why this pod was ended; it had ${plural(grace, "second")} of grace.`;
  return `The pod ${verb}${given}.`;
}

function ofLane(lane, many, termination) {
  const { hook, stop, killed, exit } = lane;
  const who = () => (many ? [lane.role === "sidecar" ? "The sidecar " : "Container ", name(lane.name ?? lane.container.id.slice(0, 12), { most: 40 })] : ["The application"]);
  const parts = [];
  if (hook) parts.push(...aboutHook(hook, stop, many ? lane : null), " ");
  if (!stop && exit && killed === null) {
    const how = exit.signal ? `died of ${exit.signal}` : `left by itself${exit.code === null ? "" : ` with exit code ${exit.code}`}`;
    parts.push(...who(), ` ${how}${exit.oom ? ", hit by the OOM killer" : ""}, without any stop signal${lane.cut ? `; ${plural(lane.cut, "connection was", "connections were")} cut` : ""}.`);
    return parts;
  }
  if (!stop) {
    if (killed !== null) parts.push(...who(), " got SIGKILL and no stop signal before.");
    else if (!hook && termination.end === null) parts.push(...who(), " has not been told to stop yet.");
    return parts;
  }
  const reaction = { handled: "handled it", default: "died of it, for it has no handler", ignored: "ignored it, for it has no handler" }[stop.disposition];
  parts.push(...who(), ` got ${stop.name} ${stop.at < 0.0005 ? "at once" : `after ${seconds(stop.at)}`}`, reaction ? ` and ${reaction}` : "");
  if (killed !== null) parts.push(`; it was killed ${seconds(killed - stop.at)} later`, lane.cut ? `, which cut ${plural(lane.cut, "connection")}` : "", ".");
  else if (exit) {
    const how = exit.signal && stop.disposition === "default" ? "it was gone" : exit.signal ? `it died of ${exit.signal}` : "it left";
    const code = exit.signal || exit.code === null ? "" : ` with exit code ${exit.code}`;
    parts.push(`; ${how} ${seconds(exit.at - stop.at)} later${code}`, lane.cut ? ` and cut ${plural(lane.cut, "connection")}` : "", ".");
  } else parts.push("; it still runs.");
  if (lane.lead > 0) parts.push(` It ended ${seconds(lane.lead)} before the application, which had to do without it.`);
  return parts;
}

function aboutHook(hook, stop, lane) {
  const whose = lane ? ["The preStop hook of ", name(lane.name ?? lane.container.id.slice(0, 12), { most: 40 })] : ["Its preStop hook"];
  const took = hook.end ? seconds(hook.to - hook.from) : null;
  const status = hook.exit_code !== null && hook.exit_code !== 0 ? ` with exit code ${hook.exit_code}` : hook.http_status !== null ? ` with HTTP ${hook.http_status}` : "";
  switch (hook.result) {
    case "success": return [...whose, ` took ${took}.`];
    case "failed": return [...whose, ` failed${status} after ${took}.`];
    case "timeout": return [...whose, ` was still running when the stop signal came${stop ? ` after ${seconds(stop.at - hook.from)}` : ""}.`];
    case "interrupted": return [...whose, ` was cut off after ${took ?? "a while"}: its container ended under it.`];
    default: return hook.end ? [...whose, ` took ${took}; how it ended was not seen.`] : [...whose, " runs."];
  }
}

function end(termination, grace, going, now) {
  const parts = [];
  const used = going ? now : termination.grace_used_seconds;
  if (grace !== null && used !== null) {
    const share = `${Math.round((used / Math.max(grace, 1e-9)) * 100)} %`;
    parts.push(going ? `${seconds(used)} have gone by so far.` : grace === 0 ? `It took ${seconds(used)}.` : `It took ${seconds(used)}, ${share} of the grace period.`);
  }
  const sum = (pick) => termination.containers.reduce((total, { connections }) => total + (pick(connections) ?? 0), 0);
  const [late, refused] = [sum(({ late }) => late), sum(({ refused }) => refused)];
  const came = [late > 0 ? `${plural(late, "connection")} came after the stop signal` : null, refused > 0 ? `${refused} ${refused === 1 ? "was" : "were"} refused` : null].filter(Boolean);
  if (came.length > 0) parts.push(" ", `${came.join(" and ")}.`);
  return parts;
}
