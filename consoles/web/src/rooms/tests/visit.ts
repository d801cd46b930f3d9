// What a browser saw of a test, as bars and words.
import type { BrowserRequest, BrowserRun } from "../../api/types";
import { millis, NOT_MEASURED } from "../../parts/format";

/** Web vitals with the bounds between good, middling and poor (web.dev, "Web Vitals"); those that nobody bounds have none. */
const VITALS = [
  { id: "ttfb_ms", word: "First byte", means: "TTFB: until the first byte of the document", bounds: [800, 1800] },
  { id: "fcp_ms", word: "First paint", means: "FCP: until the first content was painted", bounds: [1800, 3000] },
  { id: "lcp_ms", word: "Largest paint", means: "LCP: until the largest content was painted", bounds: [2500, 4000] },
  { id: "cls", word: "Shift", means: "CLS: how much the layout shifted, without a unit", bounds: [0.1, 0.25] },
  { id: "tbt_ms", word: "Blocked", means: "TBT: how long tasks blocked the page, over 50 ms each, after the first paint", bounds: [200, 600] },
  { id: "inp_ms", word: "Input to paint", means: "INP: the longest time from an input to the next paint", bounds: [200, 500] },
] as const;

export interface Vital {
  id: string;
  word: string;
  means: string;
  text: string;
  tone: "ok" | "warn" | "bad" | null;
}

/** The vitals in their order; one that was not measured says so. */
export function vitalsOf(run: BrowserRun): Vital[] {
  return VITALS.map(({ id, word, means, bounds: [good, poor] }) => {
    const value = run.vitals[id];
    if (typeof value !== "number") return { id, word, means, text: NOT_MEASURED, tone: null };
    const tone = value <= good ? "ok" : value <= poor ? "warn" : "bad";
    return { id, word, means, text: id === "cls" ? value.toFixed(3) : millis(value), tone };
  });
}

export interface Bar {
  /** Shares of the whole, 0 to 1: where it begins, how long it waits, how long it receives. */
  start: number;
  wait: number;
  receive: number;
}

/** When the last request of a run ended, after the first began, in milliseconds: 1 at least. */
export function lengthOf(requests: readonly BrowserRequest[]): number {
  return requests.reduce((most, one) => Math.max(most, one.start_ms + (one.wait_ms ?? 0) + (one.receive_ms ?? 0)), 1);
}

export function barOf(one: BrowserRequest, length: number): Bar {
  return { start: one.start_ms / length, wait: (one.wait_ms ?? 0) / length, receive: (one.receive_ms ?? 0) / length };
}

/** What became of a request in a word or two, and whether that is as it should be. */
export function resultOf(one: BrowserRequest): { text: string; tone: "ok" | "warn" | "bad" } {
  if (one.blocked) return { text: `blocked: ${one.blocked}`, tone: "bad" };
  if (one.failed) return { text: `failed: ${one.failed}`, tone: "bad" };
  if (one.from_cache) return { text: `${one.status_code ?? ""} from its cache`.trim(), tone: "ok" };
  if (one.status_code === null || one.status_code === undefined) return { text: "no answer", tone: "warn" };
  return { text: String(one.status_code), tone: one.status_code >= 400 ? "bad" : "ok" };
}
