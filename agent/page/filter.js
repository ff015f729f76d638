// What the list is narrowed to. It lives in the address, so that a link shows what its sender saw.

import { query } from "./format.js";

/** The names of filters in the address: those of the API. */
export const NAMES = ["namespace", "workload", "pod", "outcome", "finding", "since"];

const UNITS = { s: 1, m: 60, h: 3600, d: 86400 };

/** The filters of an address. */
export function parse(text) {
  const parameters = new URLSearchParams(text);
  return Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
}

/** The address of filters. */
export function format(filter) {
  const text = query(Object.fromEntries(NAMES.map((name) => [name, filter[name]])));
  return text ? `?${text}` : "";
}

/** Milliseconds of `15m` or of a date; `null` where nobody asked, or nobody can tell what was meant. */
export function sinceMillis(since, now) {
  const found = /^(\d+)([smhd])$/.exec(since);
  if (found) return now - Number(found[1]) * UNITS[found[2]] * 1000;
  const at = Date.parse(since);
  return Number.isNaN(at) ? null : at;
}

/** A function that says whether a row passes. */
export function matcher(filter, now) {
  const since = sinceMillis(filter.since, now);
  const pod = filter.pod.toLowerCase();
  const workload = filter.workload.toLowerCase();
  return (row) =>
    (!filter.namespace || row.namespace === filter.namespace) &&
    (!workload || workloadMatches(row.workload, workload)) &&
    (!pod || row.searched.includes(pod)) &&
    (!filter.outcome || row.outcome === filter.outcome) &&
    (!filter.finding || row.findings.includes(filter.finding)) &&
    (since === null || row.endAt === null || row.endAt >= since);
}

function workloadMatches(workload, wanted) {
  if (!workload) return false;
  const name = workload.name.toLowerCase();
  return name.includes(wanted) || `${workload.kind.toLowerCase()}/${name}` === wanted;
}
