// What the agent knows, kept up to date: the list once, then every change by server-sent events.

import { row } from "./row.js";

const LIST = "/api/v1/terminations";
const PAGE = 500;
/** Waits between tries to reach the agent, in seconds. The last one is for all that follow. */
const WAITS = [1, 2, 4, 8, 15];
/** Between two looks at the list where there is no stream, in milliseconds. */
const POLL = 5000;
/** More terminations than the agent keeps by default, so that this page does not grow without bound. */
const MOST = 20_000;

/** A failed request, with what the agent said. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function request(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Problem(response.status, problem.detail ?? response.statusText);
  }
  return response;
}

/** Asks the agent for JSON. */
export async function ask(path) {
  return (await request(path)).json();
}

/** Asks for a list, in as many parts as it comes. */
export async function askAll(path, onPart = () => {}) {
  const all = [];
  for (let next = path; next && all.length < MOST; ) {
    const response = await request(next);
    const part = await response.json();
    for (const item of part) all.push(item);
    next = nextPage(response.headers.get("Link"));
    onPart(part, next === null);
  }
  return all;
}

/** Tells `change` when rows or the state have changed, and `termination` with an object that has. */
export class Live extends EventTarget {
  rows = new Map();
  /** `loading`, `live` or `offline`. */
  state = "loading";
  /** When the agent was last heard of, and when it will be tried again; by Date.now(). */
  heard = null;
  retryAt = null;
  tries = 0;
  /** Whether changes are told. */
  streams = false;

  start() {
    this.connect();
    // A tab that was asleep has missed everything; so has one whose network was away.
    window.addEventListener("online", () => this.state === "offline" && this.connect());
    window.addEventListener("pagehide", () => this.source?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.connect());
  }

  /** Begins anew: the stream first, so that nothing falls between it and the list. */
  async connect() {
    clearTimeout(this.timer);
    this.source?.close();
    const turn = (this.turn = Symbol("turn"));
    const mine = () => this.turn === turn;
    this.retryAt = null;
    try {
      const changes = [];
      this.take = (change) => changes.push(change);
      // The agent has only so many places for readers of its stream. Without one the list is read again and again.
      this.streams = await this.listen(mine).then(() => true, () => false);
      if (!mine()) return;
      const rows = await this.load(mine);
      if (!mine()) return;
      if (this.streams && this.source.readyState === EventSource.CLOSED) throw new Error("the stream ended meanwhile");
      this.rows = rows;
      this.take = (change) => this.apply(change);
      changes.forEach(this.take);
      this.tries = 0;
      if (!this.streams) this.timer = setTimeout(() => this.connect(), POLL);
      this.set("live");
    } catch {
      if (mine()) this.lost();
    }
  }

  /** Resolves when the stream is open. */
  listen(mine) {
    return new Promise((resolve, reject) => {
      const source = (this.source = new EventSource("/api/v1/stream"));
      const on = (event, take) => source.addEventListener(event, (message) => {
        if (!mine()) return;
        this.heard = Date.now();
        if (take) take(message);
      });
      on("open", resolve);
      for (const event of ["changed", "finished"]) on(event, ({ data }) => this.take({ termination: JSON.parse(data) }));
      on("gone", ({ data }) => this.take({ gone: JSON.parse(data).id }));
      // What was missed is not known any more, or this page was too slow: everything is read again.
      for (const event of ["reset", "dropped"]) on(event, () => this.state === "live" && this.connect());
      source.onerror = () => {
        if (!mine()) return;
        // The browser would go on by itself, but not after every error, and without saying when.
        source.close();
        reject(new Error("the stream ended"));
        if (this.state === "live" && this.streams) this.lost();
      };
    });
  }

  async load(mine) {
    const rows = new Map();
    await askAll(`${LIST}?limit=${PAGE}`, (part, isLast) => {
      if (!mine()) return;
      this.heard = Date.now();
      for (const termination of part) rows.set(termination.id, row(termination, performance.now()));
      if (this.rows.size === 0 && !isLast) {
        // The first part is shown before the last one is here.
        this.rows = new Map(rows);
        this.changed();
      }
    });
    return rows;
  }

  apply({ termination, gone }) {
    if (termination) {
      this.rows.set(termination.id, row(termination, performance.now()));
      this.dispatchEvent(new CustomEvent("termination", { detail: termination }));
    } else {
      this.rows.delete(gone);
    }
    this.changed();
  }

  lost() {
    const wait = WAITS[Math.min(this.tries, WAITS.length - 1)];
    this.tries += 1;
    this.turn = null;
    this.source?.close();
    this.retryAt = Date.now() + wait * 1000;
    this.timer = setTimeout(() => this.connect(), wait * 1000);
    this.set("offline");
  }

  set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
    this.changed();
  }

  /** Changes come in bursts; they are told of once per frame, and in a tab that is not seen once in a while. */
  changed() {
    if (this.pending) return;
    this.pending = true;
    const tell = () => {
      this.pending = false;
      this.dispatchEvent(new Event("change"));
    };
    if (document.hidden) setTimeout(tell, 500);
    else requestAnimationFrame(tell);
  }
}

/** The address of the next page (RFC 8288), without its host: only this agent is asked. */
function nextPage(link) {
  const found = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? "");
  if (!found) return null;
  const url = new URL(found[1], location.href);
  return url.pathname + url.search;
}
