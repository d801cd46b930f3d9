import { describe, expect, it } from "vitest";

import { SpotGrid, type Spot } from "./nearest";

/** Places that nobody chose, the same at every start. */
function scattered(n: number): Spot[] {
  let state = 7;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Array.from({ length: n }, (_, k) => ({ id: `n${k}`, x: (random() - 0.5) * 4000, y: (random() - 0.5) * 900 }));
}

describe("the node under the hand", () => {
  it("is the nearest that reaches it, as looking at every node says", () => {
    const spots = scattered(2000);
    const grid = new SpotGrid(spots);
    const reach = (id: string) => 5 + (Number(id.slice(1)) % 7) * 10;
    for (const { x, y } of scattered(300).map((each) => ({ x: each.y * 4, y: each.x / 5 }))) {
      const near = spots.map((each) => ({ id: each.id, far: Math.hypot(each.x - x, each.y - y) })).filter((each) => each.far <= reach(each.id));
      const expected = near.sort((a, b) => a.far - b.far)[0]?.id ?? null;
      expect(grid.at({ x, y }, 65, reach)).toBe(expected);
    }
  });
  it("is none where there are none, and one alone is found", () => {
    expect(new SpotGrid([]).at({ x: 0, y: 0 }, 10, () => 10)).toBeNull();
    const one = new SpotGrid([{ id: "a", x: 3, y: 4 }]);
    expect([one.at({ x: 0, y: 0 }, 6, () => 6), one.at({ x: 0, y: 0 }, 4, () => 4)]).toEqual(["a", null]);
  });
});
