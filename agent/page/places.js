// Where on the timeline a finding happened.

const WHERE = {
  PRESTOP_FAILED: "hook",
  PRESTOP_TIMEOUT: "hook",
  PRESTOP_COSTLY: "hook",
  STOP_SIGNAL_IGNORED: "stop",
  STOP_SIGNAL_NOT_FORWARDED: "stop",
  GRACE_EXHAUSTED: "kill",
  GRACE_NEARLY_EXHAUSTED: "grace",
  CONNECTIONS_CUT: "cut",
  LATE_CONNECTIONS: "late",
  CONNECTIONS_REFUSED: "refused",
  EXITED_DURING_TRAFFIC: "exit",
  SIDECAR_EXITED_FIRST: "exit",
  OUTBOUND_FAILED_AFTER_SIDECAR: "exit",
  OOM_DURING_TERMINATION: "exit",
  NO_GRACE: "grace",
};

/** Number, id and place of each finding; those about the pod as a whole have none. */
export function findingPlaces(termination, { lanes, charts, grace }) {
  return termination.findings.map(({ id, container }, index) => {
    const lane = lanes.find((one) => one.name === container) ?? (lanes.length === 1 ? lanes[0] : undefined);
    return { id, number: index + 1, lane, where: lane || WHERE[id] === "grace" ? place(WHERE[id], lane, charts, grace) : undefined };
  });
}

function place(where, lane, charts, grace) {
  const inChart = ["cut", "late", "refused"].includes(where);
  if (inChart && charts.includes(lane)) return where;
  // Without a curve it stands at the end of the container; the same where what it is about was not seen.
  if (inChart) return "exit";
  if (where === "hook" && !lane?.hook) return "exit";
  if (where === "stop" && !lane?.stop) return "exit";
  if (where === "grace") return grace === null ? undefined : "grace";
  return where;
}
