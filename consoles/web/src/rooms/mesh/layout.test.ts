import { describe, expect, it } from "vitest";

import { cellAt, cells, labelAt, NAMED_MOST, ring, RING_MOST, startingWith } from "./layout";

describe("ring", () => {
  it("keeps marks apart and within its field, for every size", () => {
    for (const count of [2, 3, 14, NAMED_MOST, 100, RING_MOST]) {
      const { places, mark } = ring(count, 1000, 560);
      expect(places).toHaveLength(count);
      let least = Infinity;
      for (const [n, a] of places.entries()) {
        expect(a.x).toBeGreaterThan(0);
        expect(a.x).toBeLessThan(1000);
        expect(a.y).toBeGreaterThan(0);
        expect(a.y).toBeLessThan(560);
        const b = places[(n + 1) % count] ?? a;
        least = Math.min(least, Math.hypot(a.x - b.x, a.y - b.y));
      }
      expect(least, `${count} sites`).toBeGreaterThan(1.5 * mark);
    }
  });
  it("is as far between any two neighbours, though the field is wide", () => {
    const { places } = ring(60, 1200, 400);
    const apart = places.map((a, n) => Math.hypot(a.x - (places[(n + 1) % 60]?.x ?? 0), a.y - (places[(n + 1) % 60]?.y ?? 0)));
    expect(Math.max(...apart) / Math.min(...apart)).toBeLessThan(1.1);
  });
  it("begins at the top, and has one site in the middle", () => {
    const [first] = ring(5, 600, 400).places;
    expect(first?.x).toBeCloseTo(300);
    expect(first?.y).toBeLessThan(100);
    expect(ring(1, 600, 400).places[0]).toMatchObject({ x: 300, y: 200 });
  });
  it("has a place for every site on a narrow screen", () => {
    for (const place of ring(RING_MOST, 300, 340).places) expect(Number.isFinite(place.x + place.y)).toBe(true);
  });
});

describe("startingWith", () => {
  it("turns the names and loses none", () => {
    expect(startingWith(["a", "b", "c"], "b")).toEqual(["b", "c", "a"]);
    expect(startingWith(["a", "b"], "z")).toEqual(["a", "b"]);
  });
});

describe("labelAt", () => {
  it("never puts a name upside down", () => {
    for (let turn = 0; turn < 64; turn++) {
      const angle = (turn / 64) * 2 * Math.PI - Math.PI;
      const { rotate } = labelAt({ x: 0, y: 0, angle }, 5, false);
      expect(Math.cos((rotate * Math.PI) / 180)).toBeGreaterThan(-1e-9);
    }
  });
});

describe("cells", () => {
  it("finds the cell under the hand, and nothing after the last one", () => {
    const field = cells(2000, 1000);
    expect(field.columns * field.rows).toBeGreaterThanOrEqual(2000);
    expect(cellAt(5, 5, 2000, field)).toBe(0);
    expect(cellAt(field.pitch * 3 + 1, field.pitch * 2 + 1, 2000, field)).toBe(2 * field.columns + 3);
    expect(cellAt(field.columns * field.pitch + 1, 1, 2000, field)).toBeUndefined();
    expect(cellAt(1, field.rows * field.pitch + 1, 2000, field)).toBeUndefined();
    expect(cellAt(-1, 1, 2000, field)).toBeUndefined();
  });
});
