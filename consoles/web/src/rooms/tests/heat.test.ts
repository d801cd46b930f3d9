import { describe, expect, it } from "vitest";

import type { TestHeat } from "../../api/types";
import { FAILED, fields, fieldText, labelled, middleRow, moved, rowsOf, TONES, toneOf } from "./heat";

const column = (at: number, failed: number, rows: number[]) => ({ at: new Date(at * 60_000).toISOString(), runs: failed + rows.reduce((sum, n) => sum + n, 0), failed, rows });
const heat = (columns: TestHeat["columns"], edges_ms: number[]): TestHeat => ({ test: "shop", width_ms: 60_000, edges_ms, columns, runs: 0, failed: 0, asked: { from: "", to: "", complete: true, sites: [], approximations: [] } });
const some = heat([column(0, 0, [3, 1]), column(1, 0, [0, 0]), column(2, 1, [0, 999])], [1, 2, 4]);

describe("how long a test took", () => {
  it("has a field for what there is, and none for what there is not", () => {
    expect(fields(some).map(({ column, row, runs }) => [column, row, runs])).toEqual([[0, 0, 3], [0, 1, 1], [2, FAILED, 1], [2, 1, 999]]);
    expect(fields(some).find((field) => field.row === FAILED)?.tone).toBe(1);
    expect([[0, 5], [1, 1000], [1, 2], [5, 5], [0, 0]].map(([runs, of]) => toneOf(runs ?? 0, of ?? 0))).toEqual([0, 1, 3, TONES, 0]);
  });

  it("tells what was not measured from what did not happen", () => {
    expect(fieldText(some, 1, 0)).toBe("not measured");
    expect(fieldText(some, 0, FAILED)).toBe("failed: 0 of 4 runs (0 %)");
    expect(fieldText(some, 0, 1)).toContain("1 of 4 runs (25 %)");
    expect(fieldText(some, 9, 0)).toBe("");
  });

  it("is walked by the arrow keys, failures above the longest", () => {
    expect(moved(some, { column: 0, row: 1 }, "ArrowUp")).toEqual({ column: 0, row: FAILED });
    expect(moved(some, { column: 0, row: FAILED }, "ArrowDown")).toEqual({ column: 0, row: 1 });
    expect(moved(some, { column: 0, row: FAILED }, "ArrowUp")).toEqual({ column: 0, row: FAILED });
    expect(moved(some, { column: 0, row: 0 }, "ArrowLeft")).toEqual({ column: 0, row: 0 });
    expect(moved(some, { column: 0, row: 0 }, "End")).toEqual({ column: 2, row: 0 });
    expect(moved(some, { column: 0, row: 0 }, "Enter")).toBeNull();
    // All failed: there is no row but that of failures.
    const failed = heat([column(0, 2, [])], []);
    expect(rowsOf(failed)).toBe(0);
    expect(moved(failed, { column: 0, row: FAILED }, "ArrowDown")).toEqual({ column: 0, row: FAILED });
  });

  it("finds the middle one, and writes few edges", () => {
    expect([[3, 1], [1, 1, 8], [0, 0], [], [0, 1]].map(middleRow)).toEqual([0, 2, null, null, 1]);
    expect(labelled(heat([], Array.from({ length: 25 }, (_, n) => n)), 6)).toEqual([0, 5, 10, 15, 20]);
    expect(labelled(some, 6)).toEqual([0, 1, 2]);
  });
});
