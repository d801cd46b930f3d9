// A stack of series as steps, one a bucket: geometry alone. No I/O.

export interface Stack {
  /** For each series from the ground up: a closed path, and where its widest step is. */
  bands: { path: string; label: { x: number; y: number; high: number } }[];
  ticks: { value: number; y: number }[];
  /** Top of the scale. */
  most: number;
  xOf: (ms: number) => number;
  yOf: (value: number) => number;
}

export interface Frame {
  left: number;
  right: number;
  top: number;
  bottom: number;
  fromMs: number;
  toMs: number;
}

/** A round number that is not below `value`: 1, 2, 2.5 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((each) => each >= value * 0.9999) ?? 10 * power;
}

/** Sums of all series for each bucket. */
export function totals(series: readonly (readonly number[])[], buckets: number): number[] {
  return Array.from({ length: buckets }, (_, n) => series.reduce((sum, values) => sum + (values[n] ?? 0), 0));
}

/** Lays `series` upon each other; the first is at the ground. `starts` are the buckets' beginnings, each `bucketMs` long. */
export function stack(series: readonly (readonly number[])[], starts: readonly number[], bucketMs: number, frame: Frame, least = 0): Stack {
  const sums = totals(series, starts.length);
  const most = roundUp(Math.max(least, ...sums) * 1.04);
  const span = Math.max(1, frame.toMs - frame.fromMs);
  const xOf = (ms: number) => frame.left + ((Math.min(frame.toMs, Math.max(frame.fromMs, ms)) - frame.fromMs) / span) * (frame.right - frame.left);
  const yOf = (value: number) => frame.bottom - (value / most) * (frame.bottom - frame.top);
  const ground = starts.map(() => 0);
  const bands = series.map((values) => {
    let up = "";
    let down = "";
    let label = { x: 0, y: 0, high: 0 };
    starts.forEach((start, n) => {
      const base = ground[n] ?? 0;
      const top = base + Math.max(0, values[n] ?? 0);
      const [x0, x1, y0, y1] = [xOf(start), xOf(start + bucketMs), yOf(base), yOf(top)];
      up += `${n === 0 ? "M" : "L"}${px(x0)} ${px(y1)}H${px(x1)}`;
      down = `L${px(x1)} ${px(y0)}H${px(x0)}${down}`;
      if (y0 - y1 > label.high) label = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, high: y0 - y1 };
      ground[n] = top;
    });
    return { path: starts.length === 0 ? "" : `${up}${down}Z`, label };
  });
  const ticks = [0.25, 0.5, 0.75, 1].map((part) => ({ value: most * part, y: yOf(most * part) }));
  return { bands, ticks, most, xOf, yOf };
}

/** Values as a line of steps, moved by `shiftMs` to lie upon another window. */
export function stepLine(values: readonly number[], starts: readonly number[], bucketMs: number, shiftMs: number, { xOf, yOf }: Stack): string {
  return starts.map((start, n) => `${n === 0 ? "M" : "L"}${px(xOf(start + shiftMs))} ${px(yOf(values[n] ?? 0))}H${px(xOf(start + shiftMs + bucketMs))}`).join("");
}

const STEPS_MS = [60_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000];

/** Moments for the axis of time, at most about `most`, on round times of the reader's zone. */
export function moments(fromMs: number, toMs: number, most: number, zoneMinutes: number): number[] {
  const step = STEPS_MS.find((each) => (toMs - fromMs) / each <= most) ?? Math.ceil((toMs - fromMs) / most);
  const offset = zoneMinutes * 60_000;
  const found: number[] = [];
  for (let at = Math.ceil((fromMs - offset) / step) * step + offset; at <= toMs; at += step) found.push(at);
  return found;
}

function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
