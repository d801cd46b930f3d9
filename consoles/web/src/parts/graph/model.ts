// From the node's answer to what is drawn: shape by kind, colour by state, line by provenance.
import type { Impact, NodeKind, ProbeResult, SiteState, Topology, TopologyEdge, TopologyNode } from "../../api/types";
import { bestState } from "../states";

/** What fails and what it touches, for the picture. */
export function blastOf(impact: Impact): { failed: ReadonlySet<string>; touched: ReadonlySet<string> } {
  // What one site of several means by a name is `name@site` in the answer, and one of its names in the picture.
  const drawn = (id: string): readonly string[] => impact.drawn_as[id] ?? [id];
  const failed = new Set(impact.failed.flatMap(drawn));
  const touched = new Set<string>();
  const touch = (id: string) => { for (const each of drawn(id)) touched.add(each); };
  for (const path of [...impact.broken_paths, ...impact.rerouted_paths]) {
    for (const id of [path.from, path.to]) touch(id);
  }
  for (const path of impact.rerouted_paths) for (const hop of path.alt_route) if (hop !== null) touch(hop);
  for (const each of [...impact.impacted_services, ...impact.impacted_prefixes]) touch(each.id);
  for (const id of impact.disconnected) touch(id);
  for (const id of failed) touched.delete(id);
  return { failed, touched };
}

/** What an element looks like; `bad` and `warn` are states of a target that probes fail to reach. */
export type Look = "live" | "stale" | "unreachable" | "unknown" | "warn" | "bad";

/** What became of an element between two moments. */
export type Change = "appeared" | "vanished" | "returned" | "changed";

/** What a disc that stands for a group of nodes counts. */
export interface NodeTally {
  group: string;
  count: number;
  /** Edges between its nodes. */
  inner: number;
  /** Nodes that look like the disc: the worst of them. */
  worst: number;
  /** Most first. */
  kinds: readonly (readonly [DrawnNode["kind"], number])[];
  changes: Readonly<Record<string, number>>;
}

export interface DrawnNode {
  id: string;
  label: string;
  kind: NodeKind | "cluster";
  look: Look;
  sites: readonly string[];
  degree: number;
  change?: Change;
  cluster?: NodeTally;
}

export interface DrawnEdge {
  id: string;
  from: string;
  to: string;
  look: Look;
  inferred: boolean;
  sites: readonly string[];
  change?: Change;
  /** How many edges this line stands for, if it stands for several. */
  merged?: number;
}

export interface DrawnSite {
  site: string;
  state: SiteState;
  asOf: string | null;
}

export interface Picture {
  nodes: DrawnNode[];
  edges: DrawnEdge[];
  sites: DrawnSite[];
  /** Two moments are compared: what did not change steps back. */
  compared?: boolean;
  /** When it is another one, the picture is looked at anew, as a whole. */
  framing?: string;
}

export interface PictureFilter {
  sites: readonly string[];
  hide: readonly string[];
}

const LOOK_OF_STATE: Record<SiteState, Look> = { here: "live", live: "live", stale: "stale", unreachable: "unreachable", never_heard: "unknown" };

/** Shapes by kind, as the shader numbers them and the legend draws them. */
export const SHAPES: Record<DrawnNode["kind"], number> = { service: 0, host: 1, hop: 2, agent: 3, as: 4, device: 5, prefix: 6, site: 7, cluster: 8 };

/** What is in scope and not hidden. An edge is shown when both its ends are. */
export function filterTopology(topology: Topology, filter: PictureFilter): { nodes: TopologyNode[]; edges: TopologyEdge[] } {
  const seen = (sites: readonly string[]) => filter.sites.length === 0 || sites.some((site) => filter.sites.includes(site));
  const hidden = new Set(filter.hide);
  if (filter.sites.length === 0 && hidden.size === 0) return { nodes: topology.nodes, edges: topology.edges };
  const nodes = topology.nodes.filter((node) => !hidden.has(node.kind) && seen(node.sites));
  const ids = new Set(nodes.map((node) => node.id));
  return { nodes, edges: topology.edges.filter((edge) => !hidden.has(edge.kind) && seen(edge.sites) && ids.has(edge.from) && ids.has(edge.to)) };
}

/** The picture of `nodes` and `edges`; `results` colour what probes fail to reach, and are left out for the past. */
export function picture(topology: Topology, shown: { nodes: readonly TopologyNode[]; edges: readonly TopologyEdge[] }, results: readonly ProbeResult[]): Picture {
  const states = new Map<string, SiteState>(topology.freshness.sites.map((each) => [each.site, each.state]));
  const look = (sites: readonly string[]): Look => LOOK_OF_STATE[bestState(sites, states)];
  const labels = new Map(shown.nodes.map((node) => [node.id, node.label]));
  const failing = failingTargets(results);
  const degree = new Map<string, number>();
  const reached = new Map<string, { bad: number; all: number }>();

  const edges = shown.edges.map((edge): DrawnEdge => {
    degree.set(edge.from, (degree.get(edge.from) ?? 0) + 1);
    degree.set(edge.to, (degree.get(edge.to) ?? 0) + 1);
    const own = look(edge.sites);
    let bad = false;
    if (edge.kind === "path") {
      const target = labels.get(edge.to) ?? "";
      bad = edge.sites.some((site) => failing.has(`${site} ${target}`));
      const tally = reached.get(edge.to) ?? { bad: 0, all: 0 };
      reached.set(edge.to, { bad: tally.bad + (bad ? 1 : 0), all: tally.all + 1 });
    }
    return { id: edge.id, from: edge.from, to: edge.to, look: bad && own === "live" ? "bad" : own, inferred: edge.provenance === "inferred", sites: edge.sites };
  });

  const nodes = shown.nodes.map((node): DrawnNode => {
    const own = look(node.sites);
    const tally = reached.get(node.id);
    const probed: Look = tally && tally.bad > 0 ? (tally.bad === tally.all ? "bad" : "warn") : own;
    return { id: node.id, label: node.label, kind: node.kind, look: own === "live" ? probed : own, sites: node.sites, degree: degree.get(node.id) ?? 0 };
  });
  const sites = topology.freshness.sites.map((each) => ({ site: each.site, state: each.state, asOf: each.as_of }));
  return { nodes, edges, sites };
}

/** `site target` of every failed probe, the target as it was given and as the host in it. */
export function failingTargets(results: readonly ProbeResult[]): Set<string> {
  const failing = new Set<string>();
  for (const result of results) {
    if (result.success) continue;
    failing.add(`${result.site} ${result.target}`);
    failing.add(`${result.site} ${hostOf(result.target)}`);
  }
  return failing;
}

/** The host of a URL, of `host:port`, of `[v6]:port`; a bare v6 address is itself. */
export function hostOf(target: string): string {
  const rest = target.replace(/^[a-z][a-z0-9+.-]*:\/\//i, "").split("/")[0] ?? target;
  const bracket = /^\[([^\]]+)\]/.exec(rest);
  if (bracket) return bracket[1] ?? rest;
  return (rest.match(/:/g)?.length ?? 0) === 1 ? rest.slice(0, rest.indexOf(":")) : rest;
}
