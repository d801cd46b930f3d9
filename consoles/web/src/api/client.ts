// Every request of the console: same origin, session cookie, the node's error shape, the node's clock.
import type { BrowserRun, EndpointDetail, EndpointList, ThroughputAnswer, DnsTrace, PairMatrix, ResultsPage, TestCheck, TestDetail, TestList, TestHeat, TestPath, TestRun, TestsApplied, TlsPosture, AlertCheck, AlertList, AlertPreview, AlertRuleDetail, AlertRuleList, AlertsApplied, Changes, ChangeSourceList, Diff, ElementDetail, EventStore, FlowAnomalies, FlowCapacity, FlowCompletion, FlowExporters, FlowLanguage, FlowRecords, FlowSankey, FlowSeries, FlowTop, Found, Gone, Impact, Incident, IncidentDetail, IncidentList, LatestResults, Me, MeshDigest, MeshView, Planes, QueryAnswer, QueryTables, Tenants, RankedChangeList, Ranking, RecordedChange, RecordedChangeList, SideBySide, Silence, SilenceList, Sites, SloDetail, SloList, Topology, PageConnector, PageConnectorAsked, PageConnectorList, PageDelivery, PageDeliveryList, PageRoute, PageRouteAsked, PageRouteList, PageTestResult } from "./types";

/** An error as the node says it, or as the network does. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** True when there is no session: the page then says how to get one. */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

let clockOffsetMs = 0;

/** The node's clock in Unix milliseconds, as well as answers let us know it: ages are counted on it, not on the reader's laptop. */
export function nodeNow(): number {
  return Date.now() + clockOffsetMs;
}

/** The `Date` header counts whole seconds, so only an offset of more than two is believed. */
export function clockOffset(dateHeader: string | null, localMs: number): number {
  const served = dateHeader === null ? NaN : Date.parse(dateHeader);
  if (Number.isNaN(served)) return 0;
  const offset = served + 500 - localMs;
  return Math.abs(offset) > 2000 ? offset : 0;
}

function errorOf(status: number, body: unknown): ApiError {
  if (typeof body === "object" && body !== null && "error" in body) {
    const { error } = body as { error?: { code?: unknown; message?: unknown; request_id?: unknown } };
    if (typeof error?.message === "string") {
      const code = typeof error.code === "string" ? error.code : "unknown";
      return new ApiError(status, code, error.message, typeof error.request_id === "string" ? error.request_id : null);
    }
  }
  return new ApiError(status, "unknown", `the node answered with status ${status}`, null);
}

function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask(path, { headers: { accept: "application/json" } }, signal);
}

/** A question that is too long for a URL. It changes nothing. */
function post<T>(path: string, question: unknown, signal?: AbortSignal, read?: (text: string) => unknown): Promise<T> {
  const headers = { accept: "application/json", "content-type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(question) }, signal, read);
}

/** A file, as it stands. */
function send<T>(path: string, file: string, signal?: AbortSignal): Promise<T> {
  return ask(path, { method: "POST", headers: { accept: "application/json", "content-type": "application/yaml" }, body: file }, signal);
}

function remove(path: string): Promise<null> {
  return ask(path, { method: "DELETE", headers: { accept: "application/json" } });
}

/** What somebody decided, as it is to be from now on. */
function put<T>(path: string, decided: unknown): Promise<T> {
  return ask(path, { method: "PUT", headers: { accept: "application/json", "content-type": "application/json" }, body: JSON.stringify(decided) });
}

async function ask<T>(path: string, request: RequestInit, signal?: AbortSignal, read: (text: string) => unknown = JSON.parse): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...request, credentials: "same-origin", ...(signal ? { signal } : {}) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "no_connection", "this node does not answer; is `holm up` running?", null);
  }
  clockOffsetMs = clockOffset(response.headers.get("date"), Date.now());
  const body: unknown = await response.text().then(read).catch(() => null);
  if (!response.ok) throw errorOf(response.status, body);
  return body as T;
}

/** `JSON.parse`, but a whole number that a double cannot hold (a counter of 64 bits) stays text, digit by digit. */
export function parseExact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text) as unknown;
  // Strings are passed over whole; of numbers only whole ones are looked at.
  const exact = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => (/^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token));
  return JSON.parse(exact) as unknown;
}

/** What of the topology is asked for. */
export interface TopologyQuery {
  at?: string | undefined;
  site?: string | undefined;
  /** Only this node and what is next to it. */
  around?: string | undefined;
  limit?: number | undefined;
}

/** Most nodes and most edges that the page asks for; the answer says how many there are. */
const MOST_ELEMENTS = 50_000;
/** Most elements of each list of a comparison. */
const MOST_CHANGES = 10_000;
/** Most items of each list of a failure: all of them are drawn. */
const MOST_IMPACTS = 10_000;
/** The same of each of two failures. */
const MOST_COMPARED = 2_000;
export const MOST_FOUND = 20;

function path(of: string, query: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text ? `${of}?${text}` : of;
}

/** Names of one thing are one node, in a picture as in what changed in it: the two are joined by id. */
const FOLD = "true";

/** The paths and queries of questions, the same for the request and for "the same by API". */
export const topologyPath = ({ at, site, around, limit = MOST_ELEMENTS }: TopologyQuery): string => path("/v1/topology", { at, site, from: around, depth: around === undefined ? undefined : 1, fold: FOLD, limit });
export const rankingPath = (at: string | undefined, limit: number): string => path("/v1/topology/spof", { at, limit });
export const diffPath = (from: string, to: string | undefined, site: string | undefined): string => path("/v1/topology/diff", { from, to, site, fold: FOLD, limit: MOST_CHANGES });

/** Which incidents. */
export interface IncidentsQuery {
  states: readonly string[];
  site?: string | undefined;
  target?: string | undefined;
}
/** Most messages of paging that a list has. */
const MOST_DELIVERIES = 500;
/** Most incidents of a list; the answer says how many there are. */
const MOST_INCIDENTS = 500;
export function incidentsPath({ states, site, target }: IncidentsQuery): string {
  const search = new URLSearchParams(states.map((state) => ["state", state]));
  if (site) search.set("site", site);
  if (target) search.set("target", target);
  search.set("limit", String(MOST_INCIDENTS));
  return `/v1/incidents?${search.toString()}`;
}

/** Most alerts, and rules, of a list; the answer says how many there are. */
const MOST_ALERTS = 1_000;

/** Most SLOs of a list; the answer says how many there are. */
const MOST_SLOS = 1_000;

/** Which changes. */
export interface RecordedChangesQuery {
  from: string;
  to?: string | undefined;
  target?: string | undefined;
  /** None for all. */
  kinds: readonly RecordedChange["kind"][];
}
/** Most changes of a list; the answer says how many there are. */
const MOST_RECORDED_CHANGES = 1_000;
export function recordedChangesPath({ from, to, target, kinds }: RecordedChangesQuery): string {
  const search = new URLSearchParams(kinds.map((kind) => ["kind", kind]));
  search.set("from", from);
  if (to) search.set("to", to);
  if (target) search.set("target", target);
  search.set("limit", String(MOST_RECORDED_CHANGES));
  return `/v1/changes?${search.toString()}`;
}

export type IncidentVerb = "ack" | "assign" | "grade" | "join" | "mitigate" | "note" | "reopen" | "resolve" | "split";
/** What goes with an action; the node refuses what belongs to another one. */
export interface IncidentAct {
  text?: string;
  owner?: string | null;
  severity?: Incident["severity"];
  faults?: string[];
  with?: string;
}

/** The question of one failure, the same for the request and for "the same by API". */
export function whatIfBody(target: string, at: string | undefined): object {
  return { target, limit: MOST_IMPACTS, ...(at ? { at } : {}) };
}

/** The question of two failures, the same for the request and for "the same by API". */
export function sideBySideBody(left: string, right: string, at: string | undefined): object {
  const side = (target: string) => ({ target, limit: MOST_COMPARED, ...(at ? { at } : {}) });
  return { left: side(left), right: side(right) };
}

/** What every question about flows has. */
export interface FlowQuery {
  window?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  filter?: string | undefined;
  site?: string | undefined;
  by?: string | undefined;
  metric?: string | undefined;
  limit?: number | undefined;
  previous?: string | undefined;
  dedup?: string | undefined;
  bucket?: string | undefined;
  direction?: string | undefined;
  cursor?: string | undefined;
}

/** The path of a question about flows, the same for the request and for "the same by API". */
export const flowPath = (of: "" | "/top" | "/series" | "/sankey" | "/capacity" | "/exporters" | "/anomalies", query: FlowQuery): string => path(`/v1/flows${of}`, { ...query });

/** A question to the whole mesh, the same for the request and for "the same by API". */
export function queryBody(sql: string, sites: readonly string[], timeoutMs: number | undefined): object {
  return { sql, ...(sites.length > 0 ? { sites } : {}), ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }) };
}

export const api = {
  me: (signal?: AbortSignal) => get<Me>("/v1/me", signal),
  sites: (signal?: AbortSignal) => get<Sites>("/v1/sites", signal),
  topology: (query: TopologyQuery, signal?: AbortSignal) => get<Topology>(topologyPath(query), signal),
  element: (id: string, at: string | undefined, signal?: AbortSignal) => get<ElementDetail>(path("/v1/topology/element", { id, at }), signal),
  changes: (from: string, signal?: AbortSignal) => get<Changes>(`/v1/topology/changes?from=${encodeURIComponent(from)}&buckets=120`, signal),
  ranking: (at: string | undefined, limit: number, signal?: AbortSignal) => get<Ranking>(rankingPath(at, limit), signal),
  diff: (from: string, to: string | undefined, site: string | undefined, signal?: AbortSignal) => get<Diff>(diffPath(from, to, site), signal),
  search: (q: string, at: string | undefined, signal?: AbortSignal) => get<Found>(path("/v1/topology/search", { q, at, limit: MOST_FOUND }), signal),
  whatIf: (target: string, at: string | undefined, signal?: AbortSignal) => post<Impact>("/v1/topology/whatif", whatIfBody(target, at), signal),
  sideBySide: (left: string, right: string, at: string | undefined, signal?: AbortSignal) => post<SideBySide>("/v1/topology/whatif/compare", sideBySideBody(left, right, at), signal),
  forget: (site: string) => post<Gone>("/v1/mesh/gone", { site }),
  recordedChanges: (query: RecordedChangesQuery, signal?: AbortSignal) => get<RecordedChangeList>(recordedChangesPath(query), signal),
  rankedChanges: (incident: string, signal?: AbortSignal) => get<RankedChangeList>(`/v1/incidents/${encodeURIComponent(incident)}/changes`, signal),
  changeSources: (signal?: AbortSignal) => get<ChangeSourceList>("/v1/changes/sources", signal),
  incidents: (query: IncidentsQuery, signal?: AbortSignal) => get<IncidentList>(incidentsPath(query), signal),
  incident: (id: string, signal?: AbortSignal) => get<IncidentDetail>(`/v1/incidents/${encodeURIComponent(id)}`, signal),
  alerts: (signal?: AbortSignal) => get<AlertList>(`/v1/alerts?limit=${MOST_ALERTS}`, signal),
  alertRules: (signal?: AbortSignal) => get<AlertRuleList>(`/v1/alerts/rules?limit=${MOST_ALERTS}`, signal),
  alertRule: (name: string, signal?: AbortSignal) => get<AlertRuleDetail>(`/v1/alerts/rules/${encodeURIComponent(name)}`, signal),
  applyAlertRules: (file: string) => send<AlertsApplied>("/v1/alerts/rules", file),
  checkAlertRules: (file: string, signal?: AbortSignal) => send<AlertCheck>("/v1/alerts/check", file, signal),
  removeAlertRule: (name: string) => remove(`/v1/alerts/rules/${encodeURIComponent(name)}`),
  previewAlertRule: (question: { rule: string; from: string; to: string }) => post<AlertPreview>("/v1/alerts/preview", question),
  tests: (signal?: AbortSignal) => get<TestList>(`/v1/tests?limit=${MOST_ALERTS}`, signal),
  test: (name: string, window: { from: string; to: string }, signal?: AbortSignal) => get<TestDetail>(path(`/v1/tests/${encodeURIComponent(name)}`, window), signal),
  testVisit: (name: string, failed: boolean, signal?: AbortSignal) => get<BrowserRun>(`/v1/tests/${encodeURIComponent(name)}/browser${failed ? "?failed=true" : ""}`, signal),
  testHeat: (name: string, window: { from: string; to: string }, sites: readonly string[], signal?: AbortSignal) => get<TestHeat>(`${path(`/v1/tests/${encodeURIComponent(name)}/heat`, window)}${sites.map((site) => `&site=${encodeURIComponent(site)}`).join("")}`, signal),
  testPath: (name: string, window: { from: string; to: string; at: string }, signal?: AbortSignal) => get<TestPath>(path(`/v1/tests/${encodeURIComponent(name)}/path`, window), signal),
  applyTests: (file: string) => send<TestsApplied>("/v1/tests", file),
  checkTests: (file: string, signal?: AbortSignal) => send<TestCheck>("/v1/tests/check", file, signal),
  removeTest: (name: string) => remove(`/v1/tests/${encodeURIComponent(name)}`),
  runTest: (name: string, sites: readonly string[]) => post<TestRun>(`/v1/tests/${encodeURIComponent(name)}/run`, { sites }),
  testResults: (query: { test: string; from: string; to: string; limit: number }, signal?: AbortSignal) => get<ResultsPage>(path("/v1/results", query), signal),
  endpoints: (signal?: AbortSignal) => get<EndpointList>(`/v1/endpoints?limit=${MOST_ALERTS}`, signal),
  endpoint: (name: string, signal?: AbortSignal) => get<EndpointDetail>(`/v1/endpoints/${encodeURIComponent(name)}`, signal),
  tlsPosture: (signal?: AbortSignal) => get<TlsPosture>(`/v1/tls/posture?limit=${MOST_ALERTS}`, signal),
  dnsTrace: (name: string, type: string) => post<DnsTrace>("/v1/dns/trace", { name, type }),
  matrix: (signal?: AbortSignal) => get<PairMatrix>("/v1/mesh/matrix", signal),
  throughput: (site: string, bytes: number) => post<ThroughputAnswer>("/v1/mesh/throughput", { site, bytes }),
  silences: (signal?: AbortSignal) => get<SilenceList>("/v1/alerts/silences", signal),
  createSilence: (silence: { matchers: Record<string, string>; until: string; comment: string }) => post<Silence>("/v1/alerts/silences", silence),
  removeSilence: (id: string) => remove(`/v1/alerts/silences/${encodeURIComponent(id)}`),
  slos: (signal?: AbortSignal) => get<SloList>(`/v1/slos?limit=${MOST_SLOS}`, signal),
  slo: (name: string, signal?: AbortSignal) => get<SloDetail>(`/v1/slos/${encodeURIComponent(name)}`, signal),
  incidentAct: (id: string, verb: IncidentVerb, act: IncidentAct) => post<IncidentDetail>(`/v1/incidents/${encodeURIComponent(id)}/${verb}`, act),
  pageConnectors: (signal?: AbortSignal) => get<PageConnectorList>("/v1/paging/connectors", signal),
  putPageConnector: (name: string, connector: PageConnectorAsked) => put<PageConnector>(`/v1/paging/connectors/${encodeURIComponent(name)}`, connector),
  removePageConnector: (name: string) => remove(`/v1/paging/connectors/${encodeURIComponent(name)}`),
  testPageConnector: (name: string) => post<PageTestResult>(`/v1/paging/connectors/${encodeURIComponent(name)}/test`, null),
  pageRoutes: (signal?: AbortSignal) => get<PageRouteList>("/v1/paging/routes", signal),
  putPageRoute: (name: string, route: PageRouteAsked) => put<PageRoute>(`/v1/paging/routes/${encodeURIComponent(name)}`, route),
  removePageRoute: (name: string) => remove(`/v1/paging/routes/${encodeURIComponent(name)}`),
  pageDeliveries: (state: PageDelivery["state"] | undefined, signal?: AbortSignal) => get<PageDeliveryList>(path("/v1/paging/deliveries", { state, limit: MOST_DELIVERIES }), signal),
  replayPage: (id: string) => post<PageDelivery>(`/v1/paging/deliveries/${encodeURIComponent(id)}/replay`, null),
  tenants: (signal?: AbortSignal) => get<Tenants>("/v1/tenants", signal),
  planes: (signal?: AbortSignal) => get<Planes>("/v1/planes", signal),
  results: (signal?: AbortSignal) => get<LatestResults>("/v1/results/latest", signal),
  digest: (signal?: AbortSignal) => get<MeshDigest>("/v1/mesh/digest", signal),
  mesh: (signal?: AbortSignal) => get<MeshView>("/v1/mesh", signal),
  flowLanguage: (signal?: AbortSignal) => get<FlowLanguage>("/v1/flows/dimensions", signal),
  flowTop: (query: FlowQuery, signal?: AbortSignal) => get<FlowTop>(flowPath("/top", query), signal),
  flowSeries: (query: FlowQuery, signal?: AbortSignal) => get<FlowSeries>(flowPath("/series", query), signal),
  flowSankey: (query: FlowQuery, signal?: AbortSignal) => get<FlowSankey>(flowPath("/sankey", query), signal),
  flowRecords: (query: FlowQuery, signal?: AbortSignal) => get<FlowRecords>(flowPath("", query), signal),
  flowCapacity: (query: FlowQuery, signal?: AbortSignal) => get<FlowCapacity>(flowPath("/capacity", query), signal),
  flowExporters: (query: FlowQuery, signal?: AbortSignal) => get<FlowExporters>(flowPath("/exporters", query), signal),
  flowAnomalies: (query: FlowQuery, signal?: AbortSignal) => get<FlowAnomalies>(flowPath("/anomalies", query), signal),
  flowComplete: (filter: string, signal?: AbortSignal) => get<FlowCompletion>(path("/v1/flows/complete", { filter }), signal),
  eventStore: (signal?: AbortSignal) => get<EventStore>("/v1/events", signal),
  queryTables: (signal?: AbortSignal) => get<QueryTables>("/v1/query/tables", signal),
  query: (sql: string, sites: readonly string[], timeoutMs: number | undefined, signal?: AbortSignal) => post<QueryAnswer>("/v1/query", queryBody(sql, sites, timeoutMs), signal, parseExact),
};
