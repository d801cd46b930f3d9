// What the views come to, in the order in which it matters, and in words.
import type { Verdict } from "../../api/types";
import type { StateLook } from "../../parts/states";

export const VERDICT_LOOKS: Record<Verdict["kind"], StateLook> = {
  cut_off: { tone: "bad", mark: "square", word: "this node is the one cut off", means: "it reaches none of the sites that it tried" },
  site_down: { tone: "bad", mark: "square", word: "site down", means: "at least two sites tried it in vain, and nobody reaches it" },
  link_down: { tone: "warn", mark: "triangle", word: "way down", means: "both sites run; at least one of them does not reach the other" },
  undecided: { tone: "unknown", mark: "slash", word: "undecided", means: "one site tried in vain, and no other has tried: the site, the way or the one that tried may have failed" },
};

const ORDER: readonly Verdict["kind"][] = ["cut_off", "site_down", "link_down", "undecided"];

/** The gravest first; among equals the oldest. */
export function inOrder(verdicts: readonly Verdict[]): Verdict[] {
  return [...verdicts].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || a.since.localeCompare(b.since) || (a.subject < b.subject ? -1 : 1));
}

/** The sites that a verdict is about; none for this node itself, which names no site. */
export function about(verdict: Verdict): string[] {
  if (verdict.kind === "cut_off") return [];
  return verdict.kind === "link_down" ? verdict.subject.split(" - ") : [verdict.subject];
}

/** Whether it was raised as a signal, or why not. */
export function raisedText(verdict: Verdict): string {
  if (verdict.raised) return "raised as a signal";
  return verdict.kind === "undecided" ? "not raised: nobody can tell" : "not raised yet: it must hold for two rounds";
}
