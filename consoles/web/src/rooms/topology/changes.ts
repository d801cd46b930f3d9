// What changed between two moments: from the node's answer to what the picture and the list show.
import type { Diff, Topology } from "../../api/types";
import type { Change, Picture } from "../../parts/graph/model";
import type { StateLook } from "../../parts/states";

export interface ChangedElement {
  id: string;
  change: Change;
  /** What its attributes were and are; empty but for what changed in place. */
  attributes: Diff["changed"]["items"][number]["attributes"];
}

export interface Comparison {
  from: string;
  to: string;
  /** By class, and in it by id. */
  items: readonly ChangedElement[];
  /** Of each class, however many were sent. */
  totals: Record<Change, number>;
  by: ReadonlyMap<string, Change>;
  /** Elements whose attributes may have changed: those of one of the moments were forgotten. */
  unknown: Diff["unknown"];
}

export const CHANGES: readonly Change[] = ["appeared", "vanished", "returned", "changed"];

/** One colour, one mark, one word each; the picture uses the same. */
export const CHANGE_LOOKS: Record<Change, Omit<StateLook, "mark"> & { sign: string }> = {
  appeared: { tone: "ok", sign: "+", word: "appeared", means: "there at the later moment only" },
  vanished: { tone: "bad", sign: "−", word: "vanished", means: "there at the earlier moment only" },
  returned: { tone: "warn", sign: "↺", word: "returned", means: "there at both moments, and gone in between" },
  changed: { tone: "unknown", sign: "Δ", word: "changed", means: "there at both moments, with other attributes" },
};

/** Reads the node's answer: only what changed in place says what it was before. */
export function comparisonOf(diff: Diff): Comparison {
  const items = CHANGES.flatMap((change) => diff[change].items.map((item): ChangedElement => (typeof item === "string" ? { id: item, change, attributes: [] } : { ...item, change })));
  const totals = { appeared: diff.appeared.total, vanished: diff.vanished.total, returned: diff.returned.total, changed: diff.changed.total };
  // What is in two classes shows the one that says more: it was gone, rather than it was rewritten.
  const by = new Map([...items].reverse().map((each) => [each.id, each.change]));
  return { from: diff.from, to: diff.to, items, totals, by, unknown: diff.unknown };
}

/** The later picture with what vanished since the earlier one; an edge only where both its ends are drawn. */
export function withVanished(topology: Topology, earlier: Topology | undefined, comparison: Comparison | undefined): Topology {
  if (!earlier || !comparison || comparison.totals.vanished === 0) return topology;
  const gone = (each: { id: string }) => comparison.by.get(each.id) === "vanished";
  const there = new Set([...topology.nodes, ...topology.edges].map((each) => each.id));
  const isGhost = (each: { id: string }) => gone(each) && !there.has(each.id);
  const nodes = [...topology.nodes, ...earlier.nodes.filter(isGhost)];
  const drawn = new Set(nodes.map((node) => node.id));
  const now = namesNow(earlier, topology);
  const ghosts = earlier.edges.filter(isGhost).map((edge) => ({ ...edge, from: now(edge.from), to: now(edge.to) }));
  const edges = ghosts.filter((edge) => drawn.has(edge.from) && drawn.has(edge.to));
  return { ...topology, nodes, edges: [...topology.edges, ...edges] };
}

/** What the later picture draws a node of the earlier one as: by a name that both have. */
function namesNow(earlier: Topology, later: Topology): (id: string) => string {
  const drawn = new Map(later.nodes.flatMap((node) => [node.id, ...node.aliases].map((name) => [name, node.id] as const)));
  const aliases = new Map(earlier.nodes.map((node) => [node.id, node.aliases] as const));
  return (id) => {
    const known = [id, ...(aliases.get(id) ?? [])].find((name) => drawn.has(name));
    return known === undefined ? id : (drawn.get(known) ?? id);
  };
}

/** The picture in which every element that changed says how. */
export function compared(picture: Picture, comparison: Comparison): Picture {
  const say = <E extends { id: string }>(element: E): E => {
    const change = comparison.by.get(element.id);
    return change ? { ...element, change } : element;
  };
  return { ...picture, nodes: picture.nodes.map(say), edges: picture.edges.map(say), compared: true };
}
