// How fast counts grow: between two answers of the same node, far enough apart to say something.
import type { MeshView } from "../../api/types";

type Counted = Pick<MeshView, "channels" | "drops">;

/** An answer, and when it came, in milliseconds. */
export interface Sample {
  atMs: number;
  view: Counted;
}

/** A second: each channel's bytes in and out, each reason's drops; null where a count went back, because the node began anew. */
export interface Rates {
  overMs: number;
  bytes: ReadonlyMap<string, { in: number | null; out: number | null }>;
  drops: ReadonlyMap<string, number | null>;
}

/** Two answers that an event brought one right after the other are not compared. */
const LEAST_MS = 2_000;

export interface Meter {
  base: Sample;
  rates: Rates | null;
}

/** Takes an answer. The last rates stay until an answer is far enough from the one that they were measured to. */
export function metered(meter: Meter | null, next: Sample): Meter {
  if (!meter) return { base: next, rates: null };
  if (next.atMs - meter.base.atMs < LEAST_MS) return meter;
  return { base: next, rates: ratesOf(meter.base, next) };
}

export function ratesOf(from: Sample, to: Sample): Rates {
  const overMs = to.atMs - from.atMs;
  const perSecond = (before: number | undefined, after: number) => {
    // What was not there before began in between.
    const grew = after - (before ?? 0);
    return grew < 0 || overMs <= 0 ? null : (grew * 1000) / overMs;
  };
  const channels = new Map(from.view.channels.map((each) => [each.channel, each]));
  const drops = new Map(from.view.drops.map((each) => [each.name, each.count]));
  return {
    overMs,
    bytes: new Map(to.view.channels.map((each) => {
      const before = channels.get(each.channel);
      return [each.channel, { in: perSecond(before?.bytes_in, each.bytes_in), out: perSecond(before?.bytes_out, each.bytes_out) }];
    })),
    drops: new Map(to.view.drops.map((each) => [each.name, perSecond(drops.get(each.name), each.count)])),
  };
}

/** `812 B`, `16 KiB`, `1.3 MiB`. */
export function bytesText(bytes: number): string {
  for (const [unit, sign] of [[1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"]] as const) {
    if (bytes >= unit) return `${bytes >= 10 * unit ? Math.round(bytes / unit) : (bytes / unit).toFixed(1)} ${sign}`;
  }
  return `${Math.round(bytes)} B`;
}
