import { describe, expect, test } from "vitest";

import type { SloObjective, SloPoint } from "../../api/types";
import { burnText, filled, leftText, length, percent, summary, tightest, way } from "./slos";

function objective(part: Partial<SloObjective>): SloObjective {
  return { title: null, target: 0.99, attained: 0.995, budget_left: 0.5, events: 1000, bad: 5, cold_start: false, burns: [], exhausts_at: null, sites: [], ...part };
}

describe("slos", () => {
  test("shares keep the decimals that matter", () => {
    expect(percent(0.9995)).toBe("99.95 %");
    expect(percent(0.999)).toBe("99.9 %");
    expect(percent(1)).toBe("100 %");
  });

  test("nothing counted is neither full nor empty", () => {
    expect(leftText(objective({ attained: null, budget_left: 1 }))).toBe("–");
    expect(leftText(objective({ budget_left: 0.254 }))).toBe("25 % left");
    expect(leftText(objective({ budget_left: 0.0251 }))).toBe("2.5 % left");
    expect(leftText(objective({ budget_left: -0.5 }))).toBe("50 % too much");
    expect(leftText(objective({ budget_left: -289.2 }))).toBe("used 290 times");
    expect([filled(-1), filled(0.3), filled(2)]).toEqual([0, 0.3, 1]);
  });

  test("the list shows the objective with the least left of those that were counted", () => {
    const none = objective({ attained: null, budget_left: 1 });
    const tight = objective({ budget_left: 0.1 });
    expect(tightest({ objectives: [none, objective({}), tight] })).toBe(tight);
    expect(tightest({ objectives: [none] })).toBe(none);
    expect(tightest({ objectives: [] })).toBeUndefined();
  });

  test("windows and burn rates are short", () => {
    expect([60, 5, 360, 4320].map(length)).toEqual(["1 h", "5 min", "6 h", "3 d"]);
    const burn = { tier: "fast", long_window_min: 60, short_window_min: 5, limit: 14.4, short: null, burns: false, held: false, pages: true };
    expect(burnText({ burns: [{ ...burn, long: 15.04 }, { ...burn, long: null }] })).toBe("15.0 / –");
  });

  test("the way begins full, and leaves room for what is too much", () => {
    const points: SloPoint[] = [
      { at: "2026-11-01T12:00:00Z", budget_left: 0.5, events: 10, bad: 1 },
      { at: "2026-11-02T00:00:00Z", budget_left: -1, events: 10, bad: 3 },
    ];
    const from = Date.parse("2026-11-01T00:00:00Z");
    const picture = way(points, from, from + 86_400_000, false, 100, 50);
    expect(picture.line).toBe("0.0,0.0 50.0,12.5 100.0,50.0");
    expect(picture.even).toBe("0.0,0.0 100.0,25.0");
    expect([picture.zeroY, picture.low]).toEqual([25, -1]);
    expect(way(points, from, from + 86_400_000, true, 100, 50).even).toBe("");
    const deep = points.map((point) => ({ ...point, budget_left: point.budget_left - 50 }));
    expect(way(deep, from, from + 86_400_000, true, 100, 50).line).toBe("0.0,0.0 50.0,50.0 100.0,50.0");
  });

  test("the list says how many are in trouble and how many are shown", () => {
    expect(summary([{ state: "burning" }, { state: "met" }], 2)).toBe("2 SLOs, 1 in trouble");
    expect(summary([{ state: "met" }], 3)).toBe("3 SLOs, showing 1");
  });
});
