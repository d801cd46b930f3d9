// The shapes of the node's answers, taken from its own OpenAPI document by path, so that a renamed schema changes nothing here.
import type { paths } from "./schema";

type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;

type Reply<P extends keyof paths> = paths[P] extends {
  post: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;

export type Me = Answer<"/v1/me">;
export type Sites = Answer<"/v1/sites">;
export type Topology = Answer<"/v1/topology">;
export type ElementDetail = Answer<"/v1/topology/element">;
export type Tenants = Answer<"/v1/tenants">;
export type Planes = Answer<"/v1/planes">;
export type LatestResults = Answer<"/v1/results/latest">;
export type MeshDigest = Answer<"/v1/mesh/digest">;
export type MeshView = Answer<"/v1/mesh">;

export type Changes = Answer<"/v1/topology/changes">;
export type Ranking = Answer<"/v1/topology/spof">;
export type Found = Answer<"/v1/topology/search">;
export type Diff = Answer<"/v1/topology/diff">;
export type SideBySide = Reply<"/v1/topology/whatif/compare">;
export type Impact = Reply<"/v1/topology/whatif">;

export type Site = Sites["items"][number];
export type SiteState = Site["state"];
export type Peer = Site["nodes"][number];
export type Verdict = MeshView["verdicts"][number];
export type MeshMember = MeshView["members"][number];
export type SiteLag = MeshView["lags"][number];
export type CutOff = NonNullable<Sites["cut_off"]>;
export type TopologyNode = Topology["nodes"][number];
export type TopologyEdge = Topology["edges"][number];
export type NodeKind = TopologyNode["kind"];
export type Coverage = Topology["coverage"];
export type Freshness = Topology["freshness"];
export type EdgeKind = TopologyEdge["kind"];
export type Plane = Planes["items"][number];
export type ProbeResult = LatestResults["items"][number];
