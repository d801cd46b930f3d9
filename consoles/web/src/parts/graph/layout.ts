// Where the elements lie. Each site is an island at a place of its own; what is placed stays where it is, only what is new moves.

export interface Point {
  x: number;
  y: number;
}

/** What a layout needs to know of the picture. */
export interface LayoutInput {
  nodes: readonly { id: string; sites: readonly string[] }[];
  edges: readonly { from: string; to: string }[];
}

export interface LayoutJob {
  job: number;
  xy: Float32Array;
  fixed: Uint8Array;
  mass: Float32Array;
  ends: Uint32Array;
  weights: Float32Array;
  steps: number;
  budgetMs: number;
  everyMs: number;
}

export interface LayoutAnswer {
  job: number;
  xy: Float32Array;
  done: boolean;
}

const PULL_OF_ISLAND = 0.02;
const PULL_WITHIN = 0.011;
const PULL_ACROSS = 0.0006;
const MEAN_MASS = 2;

/** FNV-1a: the same place for the same name in every browser. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let n = 0; n < text.length; n++) h = Math.imul(h ^ text.charCodeAt(n), 0x01000193);
  return h >>> 0;
}

/** The radius at which the pull of an island and the push among `n` nodes balance. */
export function islandRadius(n: number): number {
  return (Math.sqrt(Math.max(1, n)) * MEAN_MASS) / Math.sqrt(PULL_OF_ISLAND);
}

/** The islands' places, in the order of their names: a row, or an oval if there are many. */
export function islands(input: LayoutInput): Map<string, Point> {
  const size = new Map<string, number>();
  for (const node of input.nodes) for (const site of node.sites) size.set(site, (size.get(site) ?? 0) + 1);
  const names = [...size.keys()].sort();
  if (names.length === 1) return new Map([[names[0] ?? "", { x: 0, y: 0 }]]);
  const largest = islandRadius(Math.max(1, ...size.values()));
  // A few islands lie in a row, as a screen does, every other one a little lower so that lines between the outer ones pass by.
  if (names.length <= 4) {
    return new Map(names.map((name, n) => [name, { x: (n - (names.length - 1) / 2) * largest * 2.3, y: (n % 2 === 0 ? 0.22 : -0.22) * largest }]));
  }
  const ring = (largest * 1.25) / Math.sin(Math.PI / names.length);
  return new Map(
    names.map((name, n) => {
      const angle = Math.PI - (2 * Math.PI * n) / names.length;
      return [name, { x: Math.cos(angle) * ring * 1.25, y: Math.sin(angle) * ring * 0.8 }];
    }),
  );
}

/** A first place: beside a neighbour that has one, else on its island where its name puts it. */
export function firstPlace(id: string, sites: readonly string[], centres: ReadonlyMap<string, Point>, radius: number, neighbour: Point | undefined): Point {
  const h = hash(id);
  const angle = ((h & 0xffff) / 0xffff) * 2 * Math.PI;
  const far = Math.sqrt((h >>> 16) / 0xffff);
  if (neighbour) return { x: neighbour.x + Math.cos(angle) * 14, y: neighbour.y + Math.sin(angle) * 14 };
  const known = sites.flatMap((site) => centres.get(site) ?? []);
  const middle = { x: 0, y: 0 };
  for (const centre of known) {
    middle.x += centre.x / known.length;
    middle.y += centre.y / known.length;
  }
  return { x: middle.x + Math.cos(angle) * far * radius, y: middle.y + Math.sin(angle) * far * radius };
}

let jobs = 0;

/** A number that no other job has. */
export function nextJob(): number {
  jobs += 1;
  return jobs;
}

/** Keeps places across pictures and makes the jobs that find the missing ones. */
export class Places {
  private readonly known = new Map<string, Point>();
  private centres = new Map<string, Point>();

  at(id: string): Point | undefined {
    return this.known.get(id);
  }

  /** Forgets every place, for "arrange again". */
  clear(): void {
    this.known.clear();
    this.centres.clear();
  }

  /** Gives every node of `input` a place at once, and the job that improves those of the new ones; null when none is new. */
  plan(input: LayoutInput): LayoutJob | null {
    const fresh = input.nodes.filter((node) => !this.known.has(node.id));
    if (fresh.length === 0) return null;
    const missing = new Set(fresh.map((node) => node.id));
    const everything = fresh.length > input.nodes.length * 0.4;
    if (everything || this.centres.size === 0) this.centres = islands(input);
    else for (const [site, place] of islands(input)) if (!this.centres.has(site)) this.centres.set(site, place);
    const neighbours = everything ? new Map<string, Point>() : this.placedNeighbours(input, missing);
    const radius = islandRadius(input.nodes.length / Math.max(1, this.centres.size));
    for (const node of fresh) this.known.set(node.id, firstPlace(node.id, node.sites, this.centres, radius, neighbours.get(node.id)));
    return this.job(input, everything ? null : missing);
  }

  /** Takes the places that a job found. */
  take(input: LayoutInput, xy: Float32Array): void {
    input.nodes.forEach((node, n) => this.known.set(node.id, { x: xy[2 * n] ?? 0, y: xy[2 * n + 1] ?? 0 }));
  }

  private placedNeighbours(input: LayoutInput, missing: ReadonlySet<string>): Map<string, Point> {
    const found = new Map<string, Point>();
    for (const { from, to } of input.edges) {
      for (const [end, other] of [[from, to], [to, from]] as const) {
        const place = missing.has(end) && !missing.has(other) ? this.known.get(other) : undefined;
        if (place) found.set(end, place);
      }
    }
    return found;
  }

  private job(input: LayoutInput, free: ReadonlySet<string> | null): LayoutJob {
    const order = new Map(input.nodes.map((node, n) => [node.id, n]));
    const anchors = [...this.centres.keys()];
    const total = input.nodes.length + anchors.length;
    const xy = new Float32Array(total * 2);
    const fixed = new Uint8Array(total);
    const mass = new Float32Array(total).fill(1);
    const ends: number[] = [];
    const weights: number[] = [];
    const degree = new Uint32Array(total);
    const set = (n: number, place: Point) => xy.set([place.x, place.y], 2 * n);

    for (const { from, to } of input.edges) {
      const [a, b] = [order.get(from), order.get(to)];
      if (a === undefined || b === undefined || a === b) continue;
      degree[a] = (degree[a] ?? 0) + 1;
      degree[b] = (degree[b] ?? 0) + 1;
      ends.push(a, b);
      weights.push(sharesSite(input.nodes[a]?.sites, input.nodes[b]?.sites) ? PULL_WITHIN : PULL_ACROSS);
    }
    const anchorOf = new Map(anchors.map((site, n) => [site, input.nodes.length + n]));
    input.nodes.forEach((node, n) => {
      set(n, this.known.get(node.id) ?? { x: 0, y: 0 });
      fixed[n] = free && !free.has(node.id) ? 1 : 0;
      mass[n] = 1 + Math.log2(1 + (degree[n] ?? 0)) * 0.5;
      for (const site of node.sites) {
        const anchor = anchorOf.get(site);
        if (anchor === undefined) continue;
        ends.push(n, anchor);
        weights.push(PULL_OF_ISLAND / node.sites.length);
      }
    });
    for (const [site, n] of anchorOf) {
      set(n, this.centres.get(site) ?? { x: 0, y: 0 });
      fixed[n] = 1;
    }
    const large = total > 5000;
    return {
      job: nextJob(), xy, fixed, mass, ends: Uint32Array.from(ends), weights: Float32Array.from(weights),
      steps: free ? 80 : large ? 250 : 900, budgetMs: free ? 2500 : large ? 15_000 : 4000, everyMs: large ? 1500 : 700,
    };
  }
}

function sharesSite(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a?.some((site) => b?.includes(site)) ?? false;
}
