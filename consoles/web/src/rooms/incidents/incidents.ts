// What incidents look like and in which words; no React here.
import type { Incident, IncidentDetail, IncidentEntry, RankedChange, RecordedChange } from "../../api/types";
import { listOf, plural } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export const SEVERITY_LOOKS: Record<Incident["severity"], StateLook> = {
  critical: { tone: "bad", mark: "square", word: "critical", means: "to act upon now" },
  warning: { tone: "warn", mark: "triangle", word: "warning", means: "to look at soon" },
  info: { tone: "unknown", mark: "dash", word: "info", means: "to know" },
};

export const STATE_LOOKS: Record<Incident["state"], StateLook> = {
  open: { tone: "bad", mark: "square", word: "open", means: "nobody has looked at it" },
  reopened: { tone: "bad", mark: "square", word: "re-opened", means: "it was over, and is there again" },
  acknowledged: { tone: "warn", mark: "triangle", word: "acknowledged", means: "someone looks at it" },
  mitigated: { tone: "warn", mark: "ring", word: "mitigated", means: "its effect is over, its cause is not" },
  resolved: { tone: "ok", mark: "disk", word: "resolved", means: "it is over" },
};

/** The tabs of the list, in order; the first is what a reader on call wants. */
export const STATES = ["unresolved", "open", "acknowledged", "mitigated", "resolved", "all"] as const;
export type StateFilter = (typeof STATES)[number];

/** What the node is asked for: those that are there again are open ones to a reader. */
export function statesAsked(filter: StateFilter): string[] {
  return filter === "open" ? ["open", "reopened"] : [filter];
}

/** How many a tab holds. */
export function stateCount(filter: StateFilter, states: Readonly<Record<string, number>>): number {
  const sum = (names: readonly string[]) => names.reduce((total, name) => total + (states[name] ?? 0), 0);
  const all = Object.keys(states);
  if (filter === "all") return sum(all);
  if (filter === "unresolved") return sum(all.filter((name) => name !== "resolved"));
  return sum(statesAsked(filter));
}

/** From where it looks bad, in a few words. */
export function verdictText(incident: Pick<Incident, "verdict" | "vantages">): string {
  const { cut_off } = incident.vantages;
  const cut = `${listOf(cut_off)} ${cut_off.length === 1 ? "is" : "are"} cut off`;
  if (incident.verdict === "us") return `${cut}: the trouble is there`;
  return `${counted(incident)}${cut_off.length > 0 ? `; ${cut} and ${cut_off.length === 1 ? "does" : "do"} not count` : ""}`;
}

function counted({ verdict, vantages }: Pick<Incident, "verdict" | "vantages">): string {
  const failed = vantages.failed.length;
  const of = failed + vantages.fine.length;
  switch (verdict) {
    case "one_vantage": return `only from ${listOf(vantages.failed)}, of ${of}`;
    case "path": return `from ${failed} of ${of}: a way that they share`;
    case "target_down": return `from all ${of} that look: the target`;
    case "unconfirmed": return `from ${listOf(vantages.failed)}; no other looks`;
    case "nothing":
    case "us": return "nobody says it is bad";
  }
}

/** What must be said beside the state. */
export function caveats(incident: Pick<Incident, "state" | "firing" | "flapping" | "conflicts">): string[] {
  const said: string[] = [];
  if (incident.flapping) said.push("comes and goes");
  if (incident.state === "resolved" && incident.firing) said.push("resolved by hand, still firing");
  for (const { field, actions } of incident.conflicts) said.push(`${field} disputed by ${actions.length}`);
  return said;
}

/** One line of the timeline. */
export function entryText({ kind, what, value, text }: IncidentEntry): string {
  const head = kind === "raised" ? `${what} raised` : kind === "cleared" ? `${what} cleared` : kind === "state" ? `now ${what}` : what;
  return [head, value, text && `— ${text}`].filter(Boolean).join(" ");
}

/** One thing of the timeline: what the node tells of the incident, or a change that it may come from. */
export type Happening = { entry: IncidentEntry; change?: never } | { change: RecordedChange; entry?: never };

/** Entries and ranked changes in order of time; of one moment the change first, as it may be the cause. Entries of one moment stay as they came. */
export function happenings(entries: readonly IncidentEntry[], ranked: readonly Pick<RankedChange, "change">[]): Happening[] {
  const all: Happening[] = [...ranked.map(({ change }) => ({ change })), ...entries.map((entry) => ({ entry }))];
  const when = (each: Happening) => Date.parse(each.change ? each.change.at : each.entry.at);
  return all.sort((a, b) => when(a) - when(b));
}

/** Faults that can be split off: all but the one that the incident goes by, each with what it is about. */
export function splittable({ incident, reports }: Pick<IncidentDetail, "incident" | "reports">): { fault: string; about: string }[] {
  return incident.also.map((fault) => {
    const targets = [...new Set(reports.filter((report) => report.fault === fault).map((report) => report.target))];
    return { fault, about: targets.length > 0 ? listOf(targets) : fault };
  });
}

export function summary(total: number, filter: StateFilter): string {
  return `${plural(total, "incident")}${filter === "all" ? "" : ` ${filter === "open" ? "open or re-opened" : filter}`}`;
}
