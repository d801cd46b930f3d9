// Islands' outlines and the picture as SVG: geometry only.
import type { Point } from "./layout";

/** The convex hull, counter-clockwise (Andrew's monotone chain). */
export function hull(points: readonly Point[]): Point[] {
  if (points.length < 3) return [...points];
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const half = (list: readonly Point[]) => {
    const chain: Point[] = [];
    for (const point of list) {
      for (let a = chain[chain.length - 2], b = chain[chain.length - 1]; a && b && turn(a, b, point) <= 0; a = chain[chain.length - 2], b = chain[chain.length - 1]) chain.pop();
      chain.push(point);
    }
    chain.pop();
    return chain;
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** The share of points nearest to their middle, so that one stray does not stretch an island. */
export function core(points: readonly Point[], share = 0.98): Point[] {
  if (points.length < 20) return [...points];
  const x = points.reduce((sum, p) => sum + p.x, 0) / points.length;
  const y = points.reduce((sum, p) => sum + p.y, 0) / points.length;
  const far = (p: Point) => (p.x - x) ** 2 + (p.y - y) ** 2;
  return [...points].sort((a, b) => far(a) - far(b)).slice(0, Math.ceil(points.length * share));
}

export interface Box {
  x: [number, number];
  y: [number, number];
}

/** The box around `points` with a margin of `share` of its size, and `least` at least. */
export function boxOf(points: Iterable<Point>, share = 0.06, least = 20): Box | null {
  const box: Box = { x: [Infinity, -Infinity], y: [Infinity, -Infinity] };
  for (const { x, y } of points) {
    box.x = [Math.min(box.x[0], x), Math.max(box.x[1], x)];
    box.y = [Math.min(box.y[0], y), Math.max(box.y[1], y)];
  }
  if (!Number.isFinite(box.x[0])) return null;
  const mx = Math.max(least, (box.x[1] - box.x[0]) * share);
  const my = Math.max(least, (box.y[1] - box.y[0]) * share);
  return { x: [box.x[0] - mx, box.x[1] + mx], y: [box.y[0] - my, box.y[1] + my] };
}

function turn(a: Point, b: Point, c: Point): number {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}
