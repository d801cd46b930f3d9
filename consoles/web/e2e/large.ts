// A topology of 50,000 elements for the stories of size. Invented, deterministic, and never part of what is built.
import type { Topology, TopologyEdge, TopologyNode } from "../src/api/types";

const SITES = ["berlin", "tokyo", "saopaulo"];
const NODES = 25_000;

/** 25,000 nodes and 25,000 edges in three sites, 250 prefixes and 40 AS; in the shape of what `like` says. */
export function large(like: Topology): Topology {
  let state = 42;
  const below = (n: number) => Math.floor(((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * n);
  const since = like.earliest ?? like.at;
  const nodes: TopologyNode[] = [];
  const edges: TopologyEdge[] = [];
  const node = (kind: TopologyNode["kind"], name: string, sites: string[]) => {
    nodes.push({ id: `${kind}:${name}`, kind, label: name, aliases: [], sites, since, attributes: kind === "host" ? { "host.name": name, "os.type": "linux" } : {} });
    return `${kind}:${name}`;
  };
  const edge = (from: string, kind: TopologyEdge["kind"], to: string, sites: string[]) =>
    edges.push({ id: `${from}|${kind}|${to}`, from, to, kind, sites, since, provenance: below(10) === 0 ? "inferred" : "observed", attributes: { "server.port": "443" } });

  for (let n = 0; n < 40; n++) node("as", String(64500 + n), SITES);
  for (let n = 0; n < 250; n++) edge(`as:${64500 + (n % 40)}`, "routing", node("prefix", `10.${n}.0.0/16`, SITES), SITES);
  const hubs = SITES.map((site) => [node("agent", site, [site])]);
  for (let n = 0; nodes.length < NODES; n++) {
    const at = n % 3;
    const sites = [SITES[at] ?? ""];
    const kind = (["host", "host", "host", "service", "hop"] as const)[below(5)] ?? "host";
    const name = kind === "service" ? `shop-${n}` : `10.${below(255)}.${Math.floor(n / 250)}.${n % 250}`;
    const own = hubs[at] ?? [];
    const to = node(kind, name, sites);
    edge(own[below(own.length)] ?? "", kind === "hop" ? "path" : "flow", to, sites);
    if (n % 50 === 0) own.push(to);
  }
  // What remains crosses between sites, as traffic does.
  while (edges.length < 50_000 - NODES) {
    const [from, to] = [hubs[below(3)] ?? [], hubs[below(3)] ?? []];
    edge(from[below(from.length)] ?? "", "flow", to[below(to.length)] ?? "", [SITES[below(3)] ?? ""]);
  }
  const unique = [...new Map(edges.map((each) => [each.id, each])).values()];
  const of = (kind: string) => unique.filter((each) => each.kind === kind).length;
  return {
    ...like, nodes, edges: unique, shown: { nodes: nodes.length, edges: unique.length }, total: { nodes: nodes.length, edges: unique.length },
    coverage: { ...like.coverage, path_edges: of("path"), flow_edges: of("flow"), routing_edges: of("routing"), device_edges: 0 },
  };
}
