// How the sites that were asked did, in words. No I/O.
import type { AskedSite } from "../api/types";
import { listOf } from "./format";
import type { StateLook } from "./states";

export const SITE_OUTCOMES: Record<string, StateLook> = {
  answered: { tone: "ok", mark: "disk", word: "answered", means: "its rows are in the answer, whole" },
  asked: { tone: "ok", mark: "ring", word: "not needed", means: "nothing was wanted of it" },
  late: { tone: "warn", mark: "clock", word: "late", means: "it did not answer in time: none of its rows are in the answer" },
  failed: { tone: "bad", mark: "square", word: "failed", means: "none of its rows are in the answer" },
};
const OTHER: StateLook = { tone: "unknown", mark: "dash", word: "unknown", means: "this console does not know what the node says of it" };

export function outcome(site: AskedSite): StateLook {
  return SITE_OUTCOMES[site.state] ?? { ...OTHER, word: site.state };
}

/** Those whose rows are missing first, then the slowest. */
export function worstFirst(sites: readonly AskedSite[]): AskedSite[] {
  const rank = (site: AskedSite) => ["failed", "late", "answered", "asked"].indexOf(site.state);
  return [...sites].sort((a, b) => rank(a) - rank(b) || b.took_ms - a.took_ms || a.site.localeCompare(b.site));
}

export function missing(sites: readonly AskedSite[]): AskedSite[] {
  return sites.filter((site) => site.state === "late" || site.state === "failed");
}

/** `tokyo did not answer in time; lab failed: no such site is known here`. */
export function missingText(sites: readonly AskedSite[]): string {
  const gone = missing(sites);
  const late = gone.filter((site) => site.state === "late").map((site) => site.site);
  const failed = gone.filter((site) => site.state === "failed").map((site) => `${site.site} failed${site.error ? `: ${site.error}` : ""}`);
  return [...(late.length > 0 ? [`${listOf(firstOf(late))} did not answer in time`] : []), ...firstOf(failed)].join("; ");
}

function firstOf(names: readonly string[]): string[] {
  return names.length > 5 ? [...names.slice(0, 4), `${names.length - 4} more`] : [...names];
}
