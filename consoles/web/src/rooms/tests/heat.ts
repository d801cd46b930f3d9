// How long a test took as a picture of time by latency: what stands in each field of it, in words and as a share.
import type { TestHeat } from "../../api/types";
import { millis, plural } from "../../parts/format";

/** Tones of a field, from the least share of its column's runs to all of them. */
export const TONES = 5;

/** The row of what failed: it lies above those of latencies. */
export const FAILED = -1;

export interface Field {
  column: number;
  /** `FAILED`, or a row of latencies, the shortest at 0. */
  row: number;
  runs: number;
  /** 1 to `TONES`. */
  tone: number;
}

export const rowsOf = (heat: TestHeat): number => Math.max(heat.edges_ms.length - 1, 0);

/** The fields in which there is something. */
export function fields(heat: TestHeat): Field[] {
  return heat.columns.flatMap((column, at) =>
    [[FAILED, column.failed] as const, ...column.rows.map((runs, row) => [row, runs] as const)]
      .filter(([, runs]) => runs > 0)
      .map(([row, runs]) => ({ column: at, row, runs, tone: toneOf(runs, column.runs) })));
}

/** The least share has a tone of its own: one of a thousand is seen. */
export function toneOf(runs: number, of: number): number {
  return of > 0 && runs > 0 ? Math.min(TONES, Math.max(1, Math.ceil((runs / of) * TONES))) : 0;
}

/** From where to where a row goes. */
export function rowText(heat: TestHeat, row: number): string {
  if (row === FAILED) return "failed";
  const [from, to] = [heat.edges_ms[row], heat.edges_ms[row + 1]];
  return from === undefined || to === undefined ? "" : `${millis(from)} to ${millis(to)}`;
}

/** What stands in a field. */
export function fieldText(heat: TestHeat, at: number, row: number): string {
  const column = heat.columns[at];
  if (!column) return "";
  if (column.runs === 0) return "not measured";
  const runs = row === FAILED ? column.failed : (column.rows[row] ?? 0);
  const share = Math.round((runs / column.runs) * 1000) / 10;
  return `${rowText(heat, row)}: ${runs} of ${plural(column.runs, "run")} (${share} %)`;
}

/** The row in which the middle one of a column's successes is; none if none succeeded. */
export function middleRow(rows: readonly number[]): number | null {
  const all = rows.reduce((sum, runs) => sum + runs, 0);
  let below = 0;
  for (const [row, runs] of rows.entries()) {
    below += runs;
    if (runs > 0 && below * 2 >= all) return row;
  }
  return null;
}

/** Which edges are written beside the picture: at most so many. */
export function labelled(heat: TestHeat, most: number): number[] {
  const step = Math.max(1, Math.ceil(heat.edges_ms.length / most));
  return heat.edges_ms.flatMap((_, at) => (at % step === 0 ? [at] : []));
}

/** The field that an arrow key leads to. */
export function moved(heat: TestHeat, field: { column: number; row: number }, key: string): { column: number; row: number } | null {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-Infinity, 0], End: [Infinity, 0] }[key];
  if (!step) return null;
  // Failures lie above the longest.
  const last = rowsOf(heat);
  const height = (field.row === FAILED ? last : field.row) + (step[1] ?? 0);
  const row = Math.min(Math.max(height, 0), last);
  return { column: Math.min(Math.max(field.column + (step[0] ?? 0), 0), heat.columns.length - 1), row: row === last ? FAILED : row };
}
