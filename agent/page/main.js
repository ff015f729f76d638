// Where everything begins: which view the address asks for, how the agent is reached, and the theme.

import { AgentView } from "./agent.js";
import { age, clock } from "./format.js";
import { h, name, replace, setText } from "./dom.js";
import { ListView, lastList } from "./list.js";
import { Live, ask } from "./live.js";
import { TerminationView } from "./termination.js";
import { theme } from "./theme.js";
import { WorkloadView, WorkloadsView } from "./workloads.js";

const live = new Live();
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const status = document.getElementById("status");
let view = null;

/** The view of an address, by its fragment: nothing of it reaches the agent's log. */
function route() {
  const hash = location.hash.replace(/^#\/?/, "");
  const at = hash.indexOf("?");
  const [path, query] = at < 0 ? [hash, ""] : [hash.slice(0, at), hash.slice(at)];
  let parts;
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    parts = [];
  }
  const [where, ...rest] = parts;
  if (where === "terminations" && rest.length > 0) return ["terminations", new TerminationView(live, { id: rest.join("/") })];
  if (where === "workloads") return ["workloads", rest.length === 3 ? new WorkloadView(live, { namespace: rest[0], kind: rest[1], name: rest[2] }) : new WorkloadsView(live)];
  if (where === "agent") return ["agent", new AgentView(live)];
  return ["terminations", new ListView(live, { query })];
}

async function show({ first = false } = {}) {
  view?.destroy();
  const [where, next] = route();
  view = next;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === where) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const titled = () => {
    if (view !== next) return;
    document.title = `${next.title} · gracetrace`;
    // Who uses no mouse goes on where the new view begins.
    if (!first && !main.contains(document.activeElement)) main.querySelector("h1")?.focus({ preventScroll: true });
  };
  next.onTitle = titled;
  replace(main, next.element);
  if (!(next instanceof ListView)) window.scrollTo(0, 0);
  document.title = `${next.title} · gracetrace`;
  await next.start();
  titled();
}

function showState() {
  const offline = live.state === "offline";
  setText(status, { loading: "connecting", live: live.streams ? "live" : "every 5 s", offline: "not connected" }[live.state]);
  status.dataset.state = live.state;
  document.body.dataset.state = live.state;
  if (!offline) {
    if (banner.firstChild) replace(banner);
    return;
  }
  if (!banner.firstChild) {
    const again = h("button", { type: "button", onclick: () => live.connect() }, "Try now");
    replace(banner, h("p", { class: "banner" }, h("b", {}, "The agent does not answer. "), h("span", { class: "since" }), h("span", { class: "retry", "aria-live": "off" }), " ", again));
  }
  const since = live.heard === null ? "" : `What is shown is from ${clock(live.heard)}. `;
  setText(banner.querySelector(".since"), since);
  showRetry();
}

function showRetry() {
  const text = banner.querySelector(".retry");
  if (!text) return;
  const wait = live.retryAt === null ? 0 : Math.ceil((live.retryAt - Date.now()) / 1000);
  setText(text, wait > 0 ? `Next try in ${wait} s.` : "Trying …");
}

async function showAgent() {
  try {
    const health = await ask("/api/v1/health");
    // An agent that was not told knows it from its pods.
    const node = health.node ?? live.rows.values().next().value?.node;
    replace(document.getElementById("node"), node ? name(node, { most: 40 }) : null);
    const warn = health.problems.length === 0 ? null : h("a", { href: "#/agent", class: "lossy" }, "something is missing or was lost");
    replace(document.getElementById("version"), `gracetrace ${health.version} · up ${age(health.uptime_seconds)} `, warn);
  } catch {
    // The banner says it already.
  }
}

theme(document.getElementById("theme"));
live.addEventListener("state", showState);
live.addEventListener("state", () => live.state === "live" && showAgent());
setInterval(showRetry, 500);
setInterval(() => live.state === "live" && !document.hidden && showAgent(), 30_000);
window.addEventListener("hashchange", () => show());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || event.target.closest("input, select, textarea")) return;
  if (view instanceof TerminationView || view instanceof WorkloadView) {
    event.preventDefault();
    location.hash = view instanceof WorkloadView ? "#/workloads" : lastList();
  }
});
history.scrollRestoration = "manual";
document.querySelector(".skip").addEventListener("click", (event) => {
  // The fragment is the address of a view.
  event.preventDefault();
  main.focus();
});
showState();
live.start();
show({ first: true });
