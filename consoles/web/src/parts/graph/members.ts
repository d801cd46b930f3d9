// Which site, AS or prefix a node belongs to. Every node belongs to exactly one group, so that groups can stand for their nodes.
import type { TopologyEdge, TopologyNode } from "../../api/types";
import { bitsOf, PrefixTable } from "./prefixes";

export type Grouping = "site" | "as" | "prefix";

/** What nodes without one are put under, and nodes with more than one. */
export const NONE: Record<Grouping, string> = { site: "no site", as: "no AS", prefix: "no prefix" };
export const SEVERAL: Record<Grouping, string> = { site: "several sites", as: "several AS", prefix: "several prefixes" };

/** The group of every node of `nodes`, by id. */
export function membersBy(by: Grouping, nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Map<string, string> {
  return by === "site" ? bySite(nodes) : by === "as" ? byAs(nodes, edges) : byPrefix(nodes, edges);
}

/** What a reader most likely wants: sites; with one site only AS, then prefixes; null where nothing would tell groups apart. */
export function bestGrouping(nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Grouping | null {
  for (const by of ["site", "as", "prefix"] as const) {
    const groups = membersBy(by, nodes, edges).values();
    const first = groups.next().value;
    for (const other of groups) if (other !== first) return by;
  }
  return null;
}

function bySite(nodes: readonly TopologyNode[]): Map<string, string> {
  return new Map(nodes.map((node) => [node.id, only(node.sites, "site")]));
}

/** An AS holds itself, the prefixes that it alone originates, the hosts and hops in them, and what else only it is routed to. */
function byAs(nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Map<string, string> {
  const kinds = new Map(nodes.map((node) => [node.id, node.kind]));
  const routed = neighboursOfKind(edges, kinds, "as");
  const asOfPrefix = new Map<string, string>();
  const table = new PrefixTable();
  for (const node of nodes) {
    const origins = routed.get(node.id);
    if (node.kind !== "prefix" || !origins) continue;
    asOfPrefix.set(node.id, only([...origins], "as"));
    table.add(nameOf(node.id), node.id);
  }
  const behind = neighboursOfKind(edges, kinds, "prefix");
  return new Map(
    nodes.map((node) => {
      if (node.kind === "as") return [node.id, node.id];
      const holding = node.kind === "prefix" ? asOfPrefix.get(node.id) : asOfPrefix.get(table.find(addressOf(node)) ?? "");
      const along = [...(behind.get(node.id) ?? [])].flatMap((prefix) => asOfPrefix.get(prefix) ?? []);
      return [node.id, holding ?? only([...(routed.get(node.id) ?? along)], "as")];
    }),
  );
}

/** A prefix holds itself, the hosts and hops that it is the longest match for, and what else only it is routed to. */
function byPrefix(nodes: readonly TopologyNode[], edges: readonly TopologyEdge[]): Map<string, string> {
  const kinds = new Map(nodes.map((node) => [node.id, node.kind]));
  const table = new PrefixTable();
  for (const node of nodes) if (node.kind === "prefix") table.add(nameOf(node.id), node.id);
  const behind = neighboursOfKind(edges, kinds, "prefix");
  return new Map(
    nodes.map((node) => {
      if (node.kind === "prefix") return [node.id, node.id];
      return [node.id, table.find(addressOf(node)) ?? only([...(behind.get(node.id) ?? [])], "prefix")];
    }),
  );
}

/** By node: the other ends, of kind `wanted`, of its routing edges. */
function neighboursOfKind(edges: readonly TopologyEdge[], kinds: ReadonlyMap<string, string>, wanted: "as" | "prefix"): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const edge of edges) {
    if (edge.kind !== "routing") continue;
    for (const [end, other] of [[edge.from, edge.to], [edge.to, edge.from]] as const) {
      if (kinds.get(other) !== wanted) continue;
      const known = found.get(end);
      if (known) known.add(other);
      else found.set(end, new Set([other]));
    }
  }
  return found;
}

function only(names: readonly string[], by: Grouping): string {
  const first = names[0];
  if (first === undefined) return NONE[by];
  return names.every((name) => name === first) ? first : SEVERAL[by];
}

/** The address in the name of a host or hop, as bits. */
function addressOf(node: TopologyNode): string | null {
  return node.kind === "host" || node.kind === "hop" ? bitsOf(nameOf(node.id)) : null;
}

function nameOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}
