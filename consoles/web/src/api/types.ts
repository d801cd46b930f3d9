// The shapes of the node's answers, taken from its own OpenAPI document by path, so that a renamed schema changes nothing here.
import type { components, paths } from "./schema";

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
// By its name: the document has more operations called "list".
export type Tenants = components["schemas"]["TenantList"];
export type IncidentList = Answer<"/v1/incidents">;
export type Incident = IncidentList["items"][number];
export type IncidentDetail = Answer<"/v1/incidents/{id}">;
export type IncidentReport = IncidentDetail["reports"][number];
export type IncidentEntry = IncidentDetail["timeline"][number];
export type AlertList = Answer<"/v1/alerts">;
export type Alert = AlertList["items"][number];
export type AlertRuleList = Answer<"/v1/alerts/rules">;
export type AlertRule = AlertRuleList["items"][number];
export type AlertRuleDetail = Answer<"/v1/alerts/rules/{name}">;
export type AlertsApplied = Reply<"/v1/alerts/rules">;
export type AlertCheck = Reply<"/v1/alerts/check">;
export type AlertProblem = AlertCheck["problems"][number];
export type AlertPreview = Reply<"/v1/alerts/preview">;
export type AlertPoint = AlertPreview["groups"][number]["points"][number];
export type SilenceList = Answer<"/v1/alerts/silences">;
export type Silence = SilenceList["items"][number];
export type SloList = Answer<"/v1/slos">;
export type Slo = SloList["items"][number];
export type SloRollup = SloList["teams"][number];
export type SloDetail = Answer<"/v1/slos/{name}">;
export type SloObjective = Slo["objectives"][number];
export type SloBurn = SloObjective["burns"][number];
export type SloSite = SloObjective["sites"][number];
export type SloPoint = SloDetail["burn_down"][number][number];
// By its name, as a change of the topology is something else.
export type RecordedChangeList = Answer<"/v1/changes">;
export type RecordedChange = RecordedChangeList["items"][number];
export type RankedChangeList = Answer<"/v1/incidents/{id}/changes">;
export type RankedChange = RankedChangeList["items"][number];
export type ChangeSourceList = Answer<"/v1/changes/sources">;
export type ChangeSource = ChangeSourceList["items"][number];
export type PageConnectorList = Answer<"/v1/paging/connectors">;
export type PageConnector = PageConnectorList["items"][number];
export type PageConnectorAsked = components["schemas"]["PageConnectorRequest"];
export type PageRouteList = Answer<"/v1/paging/routes">;
export type PageRoute = PageRouteList["items"][number];
export type PageRouteAsked = components["schemas"]["PageRouteRequest"];
export type PageDeliveryList = Answer<"/v1/paging/deliveries">;
export type PageDelivery = PageDeliveryList["items"][number];
export type PageTestResult = Reply<"/v1/paging/connectors/{name}/test">;
export type Planes = Answer<"/v1/planes">;
export type LatestResults = Answer<"/v1/results/latest">;
export type MeshDigest = Answer<"/v1/mesh/digest">;
export type MeshView = Answer<"/v1/mesh">;
export type Gone = MeshView["gone"][number];

export type Changes = Answer<"/v1/topology/changes">;
export type Ranking = Answer<"/v1/topology/spof">;
// By its name: the document has two operations called "search", and by path this would be the other's.
export type Found = components["schemas"]["FoundList"];
export type Diff = Answer<"/v1/topology/diff">;
export type SideBySide = Reply<"/v1/topology/whatif/compare">;
export type Impact = Reply<"/v1/topology/whatif">;

export type EventStore = Answer<"/v1/events">;
export type QueryTables = Answer<"/v1/query/tables">;
export type QueryAnswer = Reply<"/v1/query">;
export type QueryTable = QueryTables["tables"][number];
export type NamedQuery = QueryTables["named"][number];
export type AskedSite = QueryAnswer["sites"][number];
export type Approximation = QueryAnswer["approximations"][number];

export type FlowTop = Answer<"/v1/flows/top">;
export type FlowGroup = FlowTop["items"][number];
export type FlowSums = FlowTop["total"];
export type FlowStanding = FlowTop["stands_on"];
export type FlowSeries = Answer<"/v1/flows/series">;
export type FlowSankey = Answer<"/v1/flows/sankey">;
export type FlowRecords = Answer<"/v1/flows">;
export type FlowCapacity = Answer<"/v1/flows/capacity">;
export type FlowInterface = FlowCapacity["items"][number];
export type FlowExporters = Answer<"/v1/flows/exporters">;
export type FlowExporter = FlowExporters["items"][number];
export type FlowAnomalies = Answer<"/v1/flows/anomalies">;
export type FlowAnomaly = FlowAnomalies["items"][number];
export type FlowLanguage = Answer<"/v1/flows/dimensions">;
export type FlowCompletion = Answer<"/v1/flows/complete">;
export type FlowKeyPart = FlowGroup["key"][number];

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
export type TestList = Answer<"/v1/tests">;
export type ProbeTest = TestList["items"][number];
export type ProbeTestSite = ProbeTest["sites"][number];
export type TestDetail = Answer<"/v1/tests/{name}">;
export type TestPath = Answer<"/v1/tests/{name}/path">;
export type TestHeat = Answer<"/v1/tests/{name}/heat">;
export type TestWays = TestPath["ways"][number];
export type TestHop = TestWays["hops"][number];
export type TestInterface = TestHop["interfaces"][number];
export type TestPathChange = TestPath["changes"][number];
export type BrowserRun = Answer<"/v1/tests/{name}/browser">;
export type BrowserRequest = BrowserRun["requests"][number];
export type TestsApplied = Reply<"/v1/tests">;
export type TestCheck = Reply<"/v1/tests/check">;
export type TestRun = Reply<"/v1/tests/{name}/run">;
export type ResultsPage = Answer<"/v1/results">;
export type EndpointList = Answer<"/v1/endpoints">;
export type Endpoint = EndpointList["items"][number];
export type EndpointLayer = Endpoint["layers"][number];
export type EndpointDetail = Answer<"/v1/endpoints/{name}">;
export type EndpointMoment = EndpointDetail["history"][number];
export type TlsPosture = Answer<"/v1/tls/posture">;
export type TlsEndpoint = TlsPosture["items"][number];
export type TlsSight = TlsEndpoint["sights"][number];
export type ThroughputAnswer = Reply<"/v1/mesh/throughput">;
export type Throughput = NonNullable<ThroughputAnswer["up"]>;
export type DnsTrace = Reply<"/v1/dns/trace">;
export type DnsStep = DnsTrace["steps"][number];
export type PairMatrix = Answer<"/v1/mesh/matrix">;
export type PairCell = PairMatrix["cells"][number];
