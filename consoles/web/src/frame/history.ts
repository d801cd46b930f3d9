// Intervals as parts of a bar, 0 to 100; and moments to compare with.
import type { ElementDetail, Topology } from "../api/types";

export interface Range {
  from: number;
  to: number;
}

export interface Segment {
  x: number;
  width: number;
  open: boolean;
}

/** From the element's first interval, and at least ten minutes, to now. */
export function historyWindow(element: Pick<ElementDetail, "sites">, nowMs: number): Range {
  const starts = element.sites.flatMap((site) => site.intervals.map((each) => Date.parse(each.from)));
  const first = Math.min(nowMs - 600_000, ...starts);
  // Whole minutes, so that the bars do not creep each second.
  return { from: first, to: Math.ceil(nowMs / 60_000) * 60_000 };
}

/** Where the intervals lie in `range`; a short one stays visible. */
export function segments(intervals: readonly { from: string; to: string | null }[], range: Range): Segment[] {
  const scale = 100 / Math.max(1, range.to - range.from);
  return intervals.map((each) => {
    const x = Math.max(0, (Date.parse(each.from) - range.from) * scale);
    const end = each.to === null ? 100 : Math.min(100, (Date.parse(each.to) - range.from) * scale);
    return { x: Math.min(x, 99.4), width: Math.max(0.6, end - x), open: each.to === null };
  });
}

/** `ms` (a quarter of an hour) before what is shown, or the first moment that is known; undefined where nothing lies before. */
export function aWhileBefore(topology: Pick<Topology, "earliest" | "at">, at: string | undefined, ms = 15 * 60_000): string | undefined {
  if (topology.earliest === null) return undefined;
  const shown = Date.parse(at ?? topology.at);
  const first = Date.parse(topology.earliest);
  return first < shown ? new Date(Math.max(first, shown - ms)).toISOString() : undefined;
}
