// What the states mean: one tone each (colour), one mark each (shape), one word each.
import type { Peer, Plane, SiteState } from "../api/types";

export type Tone = "ok" | "warn" | "bad" | "unknown";
/** Shapes beside the colour, so that neither is needed alone. */
export type Mark = "disk" | "ring" | "dash" | "clock" | "triangle" | "square" | "home" | "slash";

export interface StateLook {
  tone: Tone;
  mark: Mark;
  word: string;
  means: string;
}

export const SITE_LOOKS: Record<SiteState, StateLook> = {
  here: { tone: "ok", mark: "home", word: "here", means: "this node's own site" },
  live: { tone: "ok", mark: "disk", word: "live", means: "heard now; its picture is current" },
  stale: { tone: "warn", mark: "clock", word: "stale", means: "its picture is older than it should be" },
  unreachable: { tone: "bad", mark: "ring", word: "unreachable", means: "not heard; its last known picture is shown" },
  never_heard: { tone: "unknown", mark: "dash", word: "never heard", means: "nothing was ever received from it" },
};

export const PEER_LOOKS: Record<Peer["state"], StateLook> = {
  self: { tone: "ok", mark: "home", word: "this node", means: "the node that serves this page" },
  alive: { tone: "ok", mark: "disk", word: "alive", means: "answers membership probes" },
  suspect: { tone: "warn", mark: "triangle", word: "suspect", means: "missed a membership probe" },
  down: { tone: "bad", mark: "ring", word: "down", means: "does not answer; it is probed until it does, or somebody says that it is gone for good" },
};

export const PLANE_LOOKS: Record<Plane["state"], StateLook> = {
  running: { tone: "ok", mark: "disk", word: "running", means: "observes all that it is made for" },
  degraded: { tone: "warn", mark: "triangle", word: "degraded", means: "observes less or coarser than it could" },
  off: { tone: "unknown", mark: "slash", word: "off", means: "does not observe" },
};

export const RESULT_LOOKS = {
  ok: { tone: "ok", mark: "disk", word: "ok", means: "the probe succeeded" },
  failed: { tone: "bad", mark: "square", word: "failed", means: "the probe failed" },
} satisfies Record<string, StateLook>;

const WORST_LAST: readonly SiteState[] = ["here", "live", "stale", "unreachable", "never_heard"];

/** The best state among the sites that observe an element: one site that sees it now is enough to know it now. */
export function bestState(sites: readonly string[], stateOf: ReadonlyMap<string, SiteState>): SiteState {
  let best: SiteState | undefined;
  for (const site of sites) {
    const state = stateOf.get(site) ?? "never_heard";
    if (best === undefined || WORST_LAST.indexOf(state) < WORST_LAST.indexOf(best)) best = state;
  }
  return best ?? "never_heard";
}

/** The looks of a certificate by the time it has left (of a week's life, half is when it is renewed). */
export function svidTone(notAfter: string | null, nowMs: number): Tone {
  if (notAfter === null) return "unknown";
  const left = Date.parse(notAfter) - nowMs;
  return left <= 0 ? "bad" : left < 24 * 3600_000 ? "warn" : "ok";
}

/** A clock that is off by more than a second makes times of two sites hard to compare; by a minute, wrong. */
export function skewTone(skewMs: number | null): Tone {
  if (skewMs === null) return "unknown";
  const size = Math.abs(skewMs);
  return size > 60_000 ? "bad" : size > 1000 ? "warn" : "ok";
}
