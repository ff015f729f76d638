// Numbers and times as people read them.

const STAMP = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

/** Nanoseconds since 1970 of an RFC 3339 time: a Date has milliseconds only. `null` for what is none. */
export function nanos(stamp) {
  const found = STAMP.exec(stamp ?? "");
  if (!found) return null;
  const whole = Date.parse(found[1] + found[3]);
  return Number.isNaN(whole) ? null : BigInt(whole) * 1_000_000n + BigInt((found[2] ?? "0").padEnd(9, "0"));
}

/** Seconds between two RFC 3339 times. */
export function between(from, to) {
  const [begin, end] = [nanos(from), nanos(to)];
  return begin === null || end === null ? null : Number(end - begin) / 1e9;
}

/** A duration: `312 ms`, `4.01 s`, `2 min 05 s`. */
export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const sign = value < 0 ? "−" : "";
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.0995) return `${sign}${(size * 1000).toFixed(size < 0.00995 ? 1 : 0)} ms`;
  if (size < 9.995) return `${sign}${size.toFixed(2)} s`;
  if (size < 59.95) return `${sign}${size.toFixed(1)} s`;
  const whole = Math.round(size);
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${sign}${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** A span of time for a sentence: `a few seconds` are no help in an incident, whole ones are. */
export function age(value) {
  if (value < 1) return "now";
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  if (value < 86400) return `${Math.floor(value / 3600)} h`;
  return `${Math.floor(value / 86400)} d`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** A time of day, here. */
export function clock(stamp) {
  const at = new Date(stamp);
  return Number.isNaN(at.getTime()) ? "–" : CLOCK.format(at);
}

/** A day, unless it is today. */
export function day(stamp) {
  const at = new Date(stamp);
  if (Number.isNaN(at.getTime()) || at.toDateString() === new Date().toDateString()) return "";
  return DAY.format(at);
}

/** A count. */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

/** A count and what it is of. */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A share of 1. */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  return `${(value * 100).toFixed(value < 0.0995 && value > 0 ? 1 : 0)} %`;
}

/** Parameters of an address, as the agent reads them: a blank is `%20`, not `+`. */
export function query(parameters) {
  return Object.entries(parameters).filter(([, value]) => value).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

/** Bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${at === 0 ? value : value.toFixed(value < 9.95 ? 1 : 0)} ${units[at]}`;
}
