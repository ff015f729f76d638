// The fields of the filters.

import { clip, h, replace, visible } from "./dom.js";
import { NAMES } from "./filter.js";
import { FINDINGS, OUTCOMES, findingWords } from "./words.js";

const SINCE = [["", "any time"], ["5m", "last 5 minutes"], ["15m", "last 15 minutes"], ["1h", "last hour"], ["6h", "last 6 hours"], ["24h", "last 24 hours"]];
/** So many suggestions, and none of more characters: they are for choosing from. */
const MOST = 200;

/** A form that tells of every change. */
export class FilterBar {
  constructor(filter, onChange) {
    this.onChange = onChange;
    const select = (name, options) => h("select", { id: `f-${name}`, name }, options.map(([value, text]) => h("option", { value }, text)));
    this.fields = {
      pod: h("input", { id: "f-pod", name: "pod", type: "search", placeholder: "part of a name", autocomplete: "off", spellcheck: "false" }),
      namespace: select("namespace", [["", "all"]]),
      workload: h("input", { id: "f-workload", name: "workload", type: "search", list: "f-workloads", placeholder: "any", autocomplete: "off", spellcheck: "false" }),
      outcome: select("outcome", [["", "any"], ...Object.entries(OUTCOMES).map(([value, [text]]) => [value, text])]),
      finding: select("finding", [["", "any or none"], ...FINDINGS.map((id) => [id, findingWords(id)])]),
      since: select("since", SINCE),
    };
    this.workloads = h("datalist", { id: "f-workloads" });
    this.reset = h("button", { type: "button", class: "quiet", onclick: () => this.clear() }, "Clear");
    const labels = { pod: "Pod", namespace: "Namespace", workload: "Workload", outcome: "Outcome", finding: "Finding", since: "Ended" };
    this.element = h("form", { class: "filters", role: "search", "aria-label": "Filters" },
      Object.entries(this.fields).map(([name, field]) => h("label", { class: `f-${name}`, for: field.id }, h("span", {}, labels[name]), field)), this.workloads, this.reset);
    this.element.addEventListener("submit", (event) => event.preventDefault());
    this.element.addEventListener("input", () => this.changed());
    for (const name of NAMES) this.set(name, filter[name]);
  }

  /** Sets a field, without telling of it. */
  set(name, value) {
    const field = this.fields[name];
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) field.append(h("option", { value }, clip(visible(value), 60)));
    field.value = value;
    this.reset.hidden = this.isEmpty();
  }

  clear() {
    for (const name of NAMES) this.set(name, "");
    this.fields.pod.focus();
    this.changed();
  }

  isEmpty() {
    return NAMES.every((name) => !this.fields[name].value);
  }

  changed() {
    this.reset.hidden = this.isEmpty();
    this.onChange(Object.fromEntries(NAMES.map((name) => [name, this.fields[name].value])));
  }

  /** Offers the namespaces and workloads that there are. */
  offer(rows) {
    const namespaces = new Set(), workloads = new Set();
    for (const { namespace, workload } of rows) {
      if (namespace && namespaces.size < MOST) namespaces.add(namespace);
      if (workload && workload.name.length < MOST && workloads.size < MOST) workloads.add(workload.name);
    }
    const chosen = this.fields.namespace.value;
    if (chosen) namespaces.add(chosen);
    const names = [...namespaces].sort();
    if (names.join("\n") !== this.offered) {
      this.offered = names.join("\n");
      replace(this.fields.namespace, h("option", { value: "" }, "all"), names.map((value) => h("option", { value }, clip(visible(value), 60))));
      this.fields.namespace.value = chosen;
    }
    const offered = [...workloads].sort();
    if (offered.join("\n") !== this.offeredWorkloads) {
      this.offeredWorkloads = offered.join("\n");
      replace(this.workloads, offered.map((value) => h("option", { value })));
    }
  }
}
