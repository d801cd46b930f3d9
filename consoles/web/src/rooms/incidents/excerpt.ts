// The topology around an incident as a picture; no React here.
import type { Topology } from "../../api/types";
import { plural } from "../../parts/format";
import { picture, type Picture } from "../../parts/graph/model";

export interface Excerpt {
  picture: Picture;
  /** Targets that are not in it. */
  apart: string[];
}

/** What the incident is about is drawn as what fails, by whichever of its names; the rest by how well it is known. */
export function excerpt(topology: Topology, middle: string, targets: readonly string[]): Excerpt {
  const drawnAs = new Map(topology.nodes.flatMap((node) => [...node.aliases, node.id].map((name) => [name, node.id] as const)));
  const about = new Set(targets.map((target) => drawnAs.get(target)));
  const plain = picture(topology, topology, []);
  return {
    picture: { ...plain, nodes: plain.nodes.map((node) => (about.has(node.id) ? { ...node, look: "bad" } : node)), framing: middle },
    apart: targets.filter((target) => !drawnAs.has(target)),
  };
}

/** How much of it is shown. */
export function excerptNote({ shown, total }: Pick<Topology, "shown" | "total">): string {
  const nodes = shown.nodes < total.nodes ? `showing ${shown.nodes} of ${plural(total.nodes, "node")}` : plural(total.nodes, "node");
  const edges = shown.edges < total.edges ? `showing ${shown.edges} of ${plural(total.edges, "edge")}` : plural(total.edges, "edge");
  return `${nodes} · ${edges}`;
}
