// Which node lies under the hand, found on the processor: asking the graphics card makes the page wait until all is drawn.
import type { Point } from "./layout";

export interface Spot extends Point {
  id: string;
}

/** Nodes in square cells, a few to a cell. */
export class SpotGrid {
  private readonly cells = new Map<string, Spot[]>();
  private readonly cell: number;

  constructor(spots: readonly Spot[]) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { x, y } of spots) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    // Places that all lie on one spot need no cells; a size must still be there to divide by.
    this.cell = Math.max(1, right - left, bottom - top) / Math.max(1, Math.sqrt(spots.length));
    for (const spot of spots) {
      const key = this.key(spot.x, spot.y);
      const list = this.cells.get(key);
      if (list) list.push(spot);
      else this.cells.set(key, [spot]);
    }
  }

  /** The nearest node of those that reach `point`; `reach` says how far each does, at most `most`. */
  at(point: Point, most: number, reach: (id: string) => number): string | null {
    let best: { id: string; far: number } | null = null;
    if (this.cells.size === 0) return null;
    const steps = Math.min(64, Math.ceil(most / this.cell));
    for (let i = -steps; i <= steps; i++) {
      for (let j = -steps; j <= steps; j++) {
        for (const spot of this.cells.get(this.key(point.x + i * this.cell, point.y + j * this.cell)) ?? []) {
          const far = Math.hypot(spot.x - point.x, spot.y - point.y);
          if (far <= reach(spot.id) && (best === null || far < best.far)) best = { id: spot.id, far };
        }
      }
    }
    return best?.id ?? null;
  }

  private key(x: number, y: number): string {
    return `${Math.floor(x / this.cell)},${Math.floor(y / this.cell)}`;
  }
}
