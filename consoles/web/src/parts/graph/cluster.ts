// A large picture as a small one: a disc a group in place of its nodes, a line a pair of groups in place of its edges.
import { compact } from "../format";
import type { Blast } from "./attributes";
import type { DrawnEdge, DrawnNode, Look, NodeTally, Picture } from "./model";

/** Nodes and edges together: above that, groups stand for them. */
export const MOST_VISIBLE = 5000;

/** From the least to the most worth a look. */
const WORSE: readonly Look[] = ["live", "unknown", "stale", "unreachable", "warn", "bad"];
const CLUSTER = "cluster:";

export function clusterId(group: string): string {
  return CLUSTER + group;
}

/** The group that a disc stands for; null for an element of the topology. */
export function groupOf(id: string): string | null {
  return id.startsWith(CLUSTER) ? id.slice(CLUSTER.length) : null;
}

/** The picture with each group but `open` as one disc. Every node is in it once: as itself or in the count of its disc. */
export function clustered(whole: Picture, groups: ReadonlyMap<string, string>, open: string | undefined, framing: string): Picture {
  const group = (id: string) => groups.get(id) ?? "";
  const discs = new Map<string, { nodes: DrawnNode[]; inner: number }>();
  const nodes: DrawnNode[] = [];
  for (const node of whole.nodes) {
    const key = group(node.id);
    if (key === open) nodes.push(node);
    else {
      const disc = discs.get(key);
      if (disc) disc.nodes.push(node);
      else discs.set(key, { nodes: [node], inner: 0 });
    }
  }

  const stand = (id: string) => (group(id) === open ? id : clusterId(group(id)));
  const edges: DrawnEdge[] = [];
  const lines = new Map<string, DrawnEdge[]>();
  for (const edge of whole.edges) {
    const [a, b] = [stand(edge.from), stand(edge.to)];
    if (a === edge.from && b === edge.to) edges.push(edge);
    else if (a === b) {
      const disc = discs.get(group(edge.from));
      if (disc) disc.inner += 1;
    } else {
      const key = a < b ? `${a}|${b}` : `${b}|${a}`;
      const line = lines.get(key);
      if (line) line.push(edge);
      else lines.set(key, [edge]);
    }
  }

  const merged = [...lines].sort(byKey).map(([key, all]) => line(key, all, stand));
  const degree = new Map<string, number>();
  for (const edge of merged) for (const end of [edge.from, edge.to]) degree.set(end, (degree.get(end) ?? 0) + 1);
  const stands = [...discs].sort(byKey).map(([key, disc]) => discOf(key, disc, degree.get(clusterId(key)) ?? 0));
  return { ...whole, nodes: [...stands, ...nodes], edges: [...merged, ...edges], framing };
}

/** What stands for an element in a picture of groups: itself where its group is open, else the disc; undefined where nothing does. */
export function standsFor(picture: Picture, groups: ReadonlyMap<string, string>, id: string): string | undefined {
  const node = id.split("|")[0] ?? id;
  const group = groups.get(node);
  if (group === undefined) return undefined;
  const disc = clusterId(group);
  return picture.nodes.some((each) => each.id === disc) ? disc : id;
}

/** What fails and what it touches, said by the discs that hold it. */
export function lifted(blast: Blast, groups: ReadonlyMap<string, string>, open: string | undefined): Blast {
  const failed = new Set<string>();
  const touched = new Set<string>();
  const counts = new Map<string, { failed: number; touched: number }>();
  for (const [what, ids, into] of [["failed", blast.failed, failed], ["touched", blast.touched, touched]] as const) {
    for (const id of ids) {
      const group = groups.get(id);
      if (group === undefined || group === open) {
        into.add(id);
        continue;
      }
      into.add(clusterId(group));
      const tally = counts.get(clusterId(group)) ?? { failed: 0, touched: 0 };
      tally[what] += 1;
      counts.set(clusterId(group), tally);
    }
  }
  const say = (tally: { failed: number; touched: number }) => [tally.failed > 0 && `${compact(tally.failed)} fail`, tally.touched > 0 && `${compact(tally.touched)} touched`].filter(Boolean).join(" · ");
  return { failed, touched, notes: new Map([...counts].map(([id, tally]) => [id, say(tally)])) };
}

function discOf(group: string, { nodes, inner }: { nodes: readonly DrawnNode[]; inner: number }, degree: number): DrawnNode {
  const kinds = new Map<DrawnNode["kind"], number>();
  const looks = new Map<Look, number>();
  const changes = new Map<string, number>();
  const sites = new Set<string>();
  let worst: Look = "live";
  for (const node of nodes) {
    kinds.set(node.kind, (kinds.get(node.kind) ?? 0) + 1);
    looks.set(node.look, (looks.get(node.look) ?? 0) + 1);
    if (node.change) changes.set(node.change, (changes.get(node.change) ?? 0) + 1);
    for (const site of node.sites) sites.add(site);
    worst = worse(worst, node.look);
  }
  const tally: NodeTally = {
    group, count: nodes.length, inner, worst: looks.get(worst) ?? 0,
    kinds: [...kinds].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)),
    changes: Object.fromEntries(changes),
  };
  return { id: clusterId(group), label: group, kind: "cluster", look: worst, sites: [...sites].sort(), degree, cluster: tally };
}

function line(key: string, edges: readonly DrawnEdge[], stand: (id: string) => string): DrawnEdge {
  const [first] = edges;
  const ends = first ? [stand(first.from), stand(first.to)].sort() : [];
  const look = edges.reduce<Look>((worst, edge) => worse(worst, edge.look), "live");
  const sites = [...new Set(edges.flatMap((edge) => edge.sites))].sort();
  return { id: key, from: ends[0] ?? "", to: ends[1] ?? "", look, inferred: edges.every((edge) => edge.inferred), sites, merged: edges.length };
}

export function worse(a: Look, b: Look): Look {
  return WORSE.indexOf(b) > WORSE.indexOf(a) ? b : a;
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
