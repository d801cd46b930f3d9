// How an element is drawn: size by weight, colour by state, fill by how well it is known. What is asked of the picture comes on top.
import { compact } from "../format";
import type { Point } from "./layout";
import { SHAPES, type Change, type DrawnEdge, type DrawnNode, type Look } from "./model";
import type { Palette } from "./palette";
import { FILL, LINE } from "./programs";

export interface NodeAttributes {
  type: "shape" | "point";
  x: number;
  y: number;
  size: number;
  label: string;
  /** A second line below the label. */
  note?: string;
  color: string;
  shape: number;
  fill: number;
  zIndex?: number;
  highlighted?: boolean;
  forceLabel?: boolean;
  /** Named only when it is pointed at. */
  quiet?: boolean;
}

export interface EdgeAttributes {
  type: "line" | "thin";
  size: number;
  color: string;
  dashed: number;
  label?: string | null;
  forceLabel?: boolean;
  zIndex?: number;
}

/** What fails, what it touches, and what is to be said of a disc that stands for some of both; by id. */
export interface Blast {
  failed: ReadonlySet<string>;
  touched: ReadonlySet<string>;
  notes?: ReadonlyMap<string, string>;
}

/** What is near the selected element. */
export interface Near {
  id: string | null;
  nodes: ReadonlySet<string>;
  edges: ReadonlySet<string>;
}

/** From so many on, elements are drawn plainly. */
export const LARGE = 3000;
const FILL_OF: Record<Look, number> = { live: FILL.solid, warn: FILL.solid, bad: FILL.solid, stale: FILL.hatched, unreachable: FILL.outline, unknown: FILL.outline };
const FILL_OF_CHANGE: Record<Change, number> = { appeared: FILL.solid, vanished: FILL.ghost, returned: FILL.hatched, changed: FILL.solid };
/** So many lines between groups are told with their number. */
const MOST_NUMBERS = 80;
/** So few discs have room to say more than their name. */
export const FEW = 12;

export interface Crowd {
  nodes: number;
  edges: number;
  clusters: number;
  /** The largest disc's count. */
  most: number;
  compared: boolean;
}

export function nodeAttributes(node: DrawnNode, place: Point, palette: Palette, crowd: Crowd): NodeAttributes {
  const base = { ...place, type: node.cluster || crowd.nodes <= LARGE ? ("shape" as const) : ("point" as const), label: node.label, shape: SHAPES[node.kind] };
  if (node.cluster) {
    return { ...base, size: discSize(node.cluster.count, crowd), label: `${node.label}  ${compact(node.cluster.count)}`, note: crowd.clusters <= FEW || node.change !== undefined ? noteOf(node) : "", color: palette.look[node.look], fill: FILL_OF[node.look], forceLabel: crowd.clusters <= MOST_NUMBERS };
  }
  const unit = crowd.nodes > 20_000 ? 1.2 : crowd.nodes > LARGE ? 2.2 : crowd.nodes > 400 ? 4.5 : 7;
  const weight = unit + Math.min(unit * 0.9, Math.log2(1 + node.degree) * unit * 0.13) + (node.kind === "agent" ? unit * 0.3 : 0);
  const size = node.kind === "hop" ? weight * 0.8 : weight;
  if (!crowd.compared) return { ...base, size, color: palette.look[node.look], fill: FILL_OF[node.look] };
  if (node.change) return { ...base, size: Math.max(size, 3), color: palette.change[node.change], fill: FILL_OF_CHANGE[node.change], zIndex: 1 };
  return { ...base, size, quiet: true, color: palette.faded, fill: FILL.solid };
}

/** Its area is as its count, within bounds that leave room for the others. */
function discSize(count: number, { clusters, most }: Crowd): number {
  const [least, largest] = clusters <= FEW ? [12, 34] : clusters <= 80 ? [7, 20] : [4, 12];
  return least + (largest - least) * Math.sqrt(count / Math.max(1, most));
}

const WORDS: Record<Look, string> = { live: "", unknown: "never heard", stale: "stale", unreachable: "unreachable", warn: "partly failing", bad: "failing" };
const SIGNS: readonly [Change, string][] = [["appeared", "+"], ["vanished", "−"], ["returned", "↺"], ["changed", "Δ"]];

/** The kinds of a disc, or what changed in it, and how many are in its worst state. */
function noteOf({ look, cluster }: DrawnNode): string {
  if (!cluster) return "";
  const changes = SIGNS.flatMap(([change, sign]) => (cluster.changes[change] ? [`${sign}${compact(cluster.changes[change])}`] : []));
  if (changes.length > 0) return changes.join("  ");
  const kinds = cluster.kinds.slice(0, 3).map(([kind, n]) => `${compact(n)} ${kind}`).join(" · ");
  return look === "live" ? kinds : `${compact(cluster.worst)} ${WORDS[look]} · ${kinds}`;
}

export function edgeAttributes(edge: DrawnEdge, palette: Palette, crowd: Crowd): EdgeAttributes {
  const state = edge.look === "live" ? palette.edge : edge.look === "bad" || edge.look === "warn" ? palette.look[edge.look] : palette.look.unknown;
  if (edge.merged !== undefined) {
    const told = crowd.clusters <= FEW && crowd.edges <= MOST_NUMBERS;
    const thickness = (told ? 1 : 0.6) + Math.min(4, Math.log10(edge.merged) * 1.1);
    // Many lines together are a ground that the discs stand out from.
    const calm = edge.look === "live" && crowd.edges > MOST_NUMBERS ? palette.shore : state;
    return { type: "line", size: thickness, color: crowd.compared ? palette.faded : calm, dashed: edge.inferred ? LINE.dashed : LINE.bare, label: told ? compact(edge.merged) : null, forceLabel: told };
  }
  if (crowd.compared) {
    if (edge.change) return { type: "line", size: 1.8, color: palette.change[edge.change], dashed: edge.change === "vanished" ? LINE.dashed : LINE.solid, zIndex: 1 };
    return { type: crowd.edges > LARGE ? "thin" : "line", size: 1, color: palette.faded, dashed: edge.inferred ? LINE.dashed : LINE.solid };
  }
  if (crowd.edges > LARGE) return { type: "thin", size: 1, color: edge.look === "live" ? palette.shore : state, dashed: LINE.solid };
  return { type: "line", size: edge.look === "bad" ? 2 : 1.3, color: state, dashed: edge.inferred ? LINE.dashed : LINE.solid };
}

/** A node under what is asked: the failure first, then the selection. */
export function reduceNode(id: string, data: NodeAttributes, palette: Palette, near: Near | null, blast: Blast | null, compared: boolean): NodeAttributes {
  const selected = near?.id === id;
  if (blast) {
    const note = blast.notes?.get(id);
    const told = note ? { note } : {};
    if (blast.failed.has(id)) return { ...data, ...told, color: palette.bad, highlighted: selected, zIndex: 2 };
    if (blast.touched.has(id)) return { ...data, ...told, color: palette.warn, highlighted: selected, zIndex: 1 };
    return { ...data, color: palette.faded, label: "", highlighted: selected, zIndex: 0 };
  }
  if (!near) return data;
  if (selected) return { ...data, highlighted: true, zIndex: 2, size: data.size * 1.15 };
  if (compared) return data;
  if (near.nodes.has(id)) return { ...data, zIndex: 1 };
  return { ...data, color: palette.faded, label: "", zIndex: 0 };
}

/** An edge under what is asked; `from` and `to` are its ends. */
export function reduceEdge(id: string, from: string, to: string, data: EdgeAttributes, palette: Palette, near: Near | null, blast: Blast | null, compared: boolean): EdgeAttributes {
  if (blast) {
    const { failed, touched } = blast;
    // A line that stands for several does not fail because one end of it holds something that does.
    const single = data.dashed !== LINE.bare;
    if (failed.has(id) || (single && (failed.has(from) || failed.has(to)))) return { ...data, color: palette.bad, dashed: LINE.dashed, zIndex: 2 };
    if (single && touched.has(from) && touched.has(to)) return { ...data, color: palette.warn, zIndex: 1 };
    return { ...data, color: palette.faded, size: single ? 0.8 : data.size, zIndex: 0 };
  }
  if (!near) return data;
  if (id === near.id) return { ...data, color: palette.focus, size: 2.6, zIndex: 2 };
  if (compared) return data;
  if (near.edges.has(id)) return { ...data, color: data.type === "thin" ? palette.edge : data.color, size: data.size + 0.4, zIndex: 1 };
  return { ...data, color: palette.faded, size: Math.min(data.size, 0.8), label: null, zIndex: 0 };
}
