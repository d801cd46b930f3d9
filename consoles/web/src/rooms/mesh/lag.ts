// How far sites lag: in steps that have a colour, and in clusters where there are too many sites to draw each with its name.
import type { SiteLag, SiteState } from "../../api/types";
import { span } from "../../parts/format";

/** The steps of the lag, least first; `never` has none. */
export const STEPS = ["now", "seconds", "tens", "minutes", "never"] as const;
export type Step = (typeof STEPS)[number];

/** From which lag on a step begins, in milliseconds. */
const FROM: readonly [Exclude<Step, "never">, number][] = [["minutes", 60_000], ["tens", 10_000], ["seconds", 2_000], ["now", 0]];

export const STEP_WORDS: Record<Step, string> = { now: "under 2 s", seconds: "2 to 10 s", tens: "10 to 60 s", minutes: "1 min and more", never: "never heard" };

/** A site as the picture has it. */
export interface Seen {
  site: string;
  state: SiteState;
  lagMs: number | null;
  asOf: string | null;
  step: Step;
}

export function stepOf(lagMs: number | null): Step {
  if (lagMs === null) return "never";
  return FROM.find(([, from]) => lagMs >= from)?.[0] ?? "now";
}

/** Every site in `sites`; one of which no lag is told was never heard. Steps count from `dueMs` on: up to it a lag is what the size of the mesh makes. */
export function seenOf(sites: readonly string[], lags: readonly SiteLag[], dueMs: number): Seen[] {
  const by = new Map(lags.map((lag) => [lag.site, lag]));
  return sites.map((site) => {
    const lag = by.get(site);
    const lagMs = lag && lag.state !== "never_heard" ? lag.lag_ms : null;
    return { site, state: lag?.state ?? "never_heard", lagMs, asOf: lag?.as_of ?? null, step: stepOf(lagMs === null ? null : Math.max(0, lagMs - dueMs)) };
  });
}

/** `0.4 s` up to ten seconds, then as any length of time. */
export function lagText(lagMs: number | null): string {
  if (lagMs === null) return "never heard";
  return lagMs < 10_000 ? `${(lagMs / 1000).toFixed(1)} s` : span(lagMs);
}

/** Sites that lag alike. */
export interface Cluster {
  step: Step;
  sites: readonly Seen[];
  /** In milliseconds; null where nothing was ever heard. */
  medianMs: number | null;
  worstMs: number | null;
}

/** The sites by step, worst first; in a cluster the worst first, then by name. Steps without a site are left out. */
export function clustersOf(seen: readonly Seen[]): Cluster[] {
  return [...STEPS].reverse().flatMap((step) => {
    const sites = seen.filter((each) => each.step === step).sort((a, b) => (b.lagMs ?? 0) - (a.lagMs ?? 0) || (a.site < b.site ? -1 : 1));
    if (sites.length === 0) return [];
    return [{ step, sites, medianMs: sites[Math.floor((sites.length - 1) / 2)]?.lagMs ?? null, worstMs: sites[0]?.lagMs ?? null }];
  });
}
