// What SLOs look like and in which words; no React here.
import type { Slo, SloObjective, SloPoint } from "../../api/types";
import { plural } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export const STATE_LOOKS: Record<Slo["state"], StateLook> = {
  exhausted: { tone: "bad", mark: "square", word: "used up", means: "more was bad than may be" },
  burning: { tone: "bad", mark: "triangle", word: "burning", means: "its budget goes too fast, or did and that is not over" },
  broken: { tone: "warn", mark: "slash", word: "not judged", means: "it is not understood here, or its rows cannot be counted at this node" },
  no_data: { tone: "unknown", mark: "dash", word: "no rows", means: "nothing was counted in its window" },
  cold_start: { tone: "unknown", mark: "clock", word: "too few yet", means: "fewer than 50 events: nothing burns yet" },
  met: { tone: "ok", mark: "disk", word: "met", means: "it is kept" },
};

/** A share with as many decimals as tell it from 1: 0.9995 is "99.95 %". */
export function percent(share: number): string {
  return `${Number((share * 100).toFixed(4))} %`;
}

/** The objective that has the least left, of those of which something was counted. */
export function tightest(slo: Pick<Slo, "objectives">): SloObjective | undefined {
  const counted = slo.objectives.filter((objective) => objective.attained !== null);
  return counted.reduce<SloObjective | undefined>((least, each) => (least === undefined || each.budget_left < least.budget_left ? each : least), undefined) ?? slo.objectives[0];
}

/** What is left of a budget, for people. */
export function leftText(objective: Pick<SloObjective, "attained" | "budget_left">): string {
  if (objective.attained === null) return "–";
  if (objective.budget_left < -1) return `used ${Math.round(1 - objective.budget_left)} times`;
  if (objective.budget_left < 0) return `${percentRough(-objective.budget_left)} too much`;
  return `${percentRough(objective.budget_left)} left`;
}

function percentRough(share: number): string {
  const percents = share * 100;
  return `${percents >= 10 ? Math.round(percents) : Number(percents.toFixed(1))} %`;
}

/** How full the bar of a budget is, from 0 to 1. */
export function filled(budgetLeft: number): number {
  return Math.max(0, Math.min(1, budgetLeft));
}

/** Length of a window in minutes, short. */
export function length(minutes: number): string {
  if (minutes % 1440 === 0) return `${minutes / 1440} d`;
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`;
}

/** The long window's burn rates, the quickest first. */
export function burnText(objective: Pick<SloObjective, "burns">): string {
  return objective.burns.map((burn) => (burn.long === null ? "–" : burn.long.toFixed(1))).join(" / ");
}

export interface Way {
  /** The line of the budget, and the even way on which it would just last. */
  line: string;
  even: string;
  /** Where 0 lies. */
  zeroY: number;
  xOf: (ms: number) => number;
  yOf: (left: number) => number;
  low: number;
}

/** The lowest budget that a picture shows: twice as much was bad as may be. */
export const LOWEST = -1;

/** The way of a budget as lines in a picture. */
export function way(points: readonly SloPoint[], fromMs: number, toMs: number, rolling: boolean, wide: number, high: number): Way {
  // Far below nothing the rest of the way could not be seen any more.
  const low = Math.max(LOWEST, Math.min(0, ...points.map((point) => point.budget_left)));
  const xOf = (ms: number) => ((ms - fromMs) / Math.max(1, toMs - fromMs)) * wide;
  const yOf = (left: number) => ((1 - Math.max(low, left)) / (1 - low)) * high;
  const at = (ms: number, left: number) => `${xOf(ms).toFixed(1)},${yOf(left).toFixed(1)}`;
  const line = [at(fromMs, 1), ...points.map((point) => at(Date.parse(point.at), point.budget_left))].join(" ");
  // A rolling window always ends now: there is no even way to compare with.
  const even = rolling ? "" : `${at(fromMs, 1)} ${at(toMs, 0)}`;
  return { line, even, zeroY: yOf(0), xOf, yOf, low };
}

/** What the list says of itself. */
export function summary(slos: readonly Pick<Slo, "state">[], total: number): string {
  const bad = slos.filter((slo) => slo.state === "burning" || slo.state === "exhausted").length;
  const shown = slos.length < total ? `, showing ${slos.length}` : "";
  return `${plural(total, "SLO")}${shown}${bad > 0 ? `, ${bad} in trouble` : ""}`;
}
