// One hook for each answer. Data stays until the event stream says that it changed; only the mesh room asks on its own.
import { keepPreviousData, QueryClient, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRef } from "react";

import { api, ApiError, flowPath, incidentsPath, nodeNow, recordedChangesPath, type FlowQuery, type IncidentsQuery, type RecordedChangesQuery, type TopologyQuery } from "./client";
import type { PageDelivery } from "./types";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      // A refusal is an answer; only a node that does not answer is asked again.
      retry: (count, error) => error instanceof ApiError && error.status === 0 && count < 3,
    },
  },
});

export const useMe = () => useQuery({ queryKey: ["me"], queryFn: ({ signal }) => api.me(signal) });
export const useSites = () => useQuery({ queryKey: ["sites"], queryFn: ({ signal }) => api.sites(signal) });
export const usePlanes = () => useQuery({ queryKey: ["planes"], queryFn: ({ signal }) => api.planes(signal) });
export const useTenants = () => useQuery({ queryKey: ["tenants"], queryFn: ({ signal }) => api.tenants(signal), retry: false });
export const useResults = () => useQuery({ queryKey: ["results"], queryFn: ({ signal }) => api.results(signal) });
/** How the event store of this site does; it fills and fails without an event. */
export const useEventStore = () => useQuery({ queryKey: ["event-store"], queryFn: ({ signal }) => api.eventStore(signal), refetchInterval: 30_000, refetchIntervalInBackground: false });
/** Changes that people and machines made; the last list stays while another one is asked for. */
export const useRecordedChanges = (query: RecordedChangesQuery) =>
  useQuery({ queryKey: ["recorded-changes", recordedChangesPath(query)], queryFn: ({ signal }) => api.recordedChanges(query, signal), placeholderData: keepPreviousData });
/** The changes that an incident may come from. */
export const useRankedChanges = (incident: string) => useQuery({ queryKey: ["ranked-changes", incident], queryFn: ({ signal }) => api.rankedChanges(incident, signal) });
export const useChangeSources = () => useQuery({ queryKey: ["change-sources"], queryFn: ({ signal }) => api.changeSources(signal) });
/** Incidents of a kind; the last list stays while another one is asked for. */
export const useIncidents = (query: IncidentsQuery) =>
  useQuery({ queryKey: ["incidents", incidentsPath(query)], queryFn: ({ signal }) => api.incidents(query, signal), placeholderData: keepPreviousData });
/** One incident, by any of its faults. */
export const useIncident = (id: string) => useQuery({ queryKey: ["incident", id], queryFn: ({ signal }) => api.incident(id, signal) });
/** What fires, as all sites say. */
export const useAlerts = () => useQuery({ queryKey: ["alerts"], queryFn: ({ signal }) => api.alerts(signal) });
export const useAlertRules = () => useQuery({ queryKey: ["alert-rules"], queryFn: ({ signal }) => api.alertRules(signal) });
/** One rule; none while a new one is written. */
export const useAlertRule = (name: string | null) =>
  useQuery({ queryKey: ["alert-rule", name], queryFn: ({ signal }) => api.alertRule(name ?? "", signal), enabled: name !== null, placeholderData: keepPreviousData });
/** The tests and how they stand, as all sites say. */
export const useTests = () => useQuery({ queryKey: ["tests"], queryFn: ({ signal }) => api.tests(signal) });
/** One test with what its results of the last hours came to: every site is asked. */
export const useTest = (name: string, hours: number) =>
  useQuery({ queryKey: ["test", name, hours], queryFn: ({ signal }) => api.test(name, lastHours(hours), signal), placeholderData: keepPreviousData });
/** Most results that a picture is made of. */
export const MOST_RESULTS = 2_000;
/** Results of a test; asked for again while they are looked at, as each site has its own. */
export const useTestResults = (name: string, hours: number) =>
  useQuery({ queryKey: ["test-results", name, hours], queryFn: ({ signal }) => api.testResults({ test: name, ...lastHours(hours), limit: MOST_RESULTS }, signal), placeholderData: keepPreviousData, refetchInterval: 15_000, refetchIntervalInBackground: false });
/** How many of its runs took how long: every site is asked, or those. */
export const useTestHeat = (name: string, hours: number, sites: readonly string[]) =>
  useQuery({ queryKey: ["test-heat", name, hours, sites.join(",")], queryFn: ({ signal }) => api.testHeat(name, lastHours(hours), sites, signal), placeholderData: keepPreviousData, refetchInterval: 30_000, refetchIntervalInBackground: false });
/** The ways to a test's target at a moment, or now: every site is asked, and asked again while it is now. */
export const useTestPath = (name: string, at: string | undefined) =>
  useQuery({ queryKey: ["test-path", name, at ?? "live"], queryFn: ({ signal }) => api.testPath(name, aroundMoment(at), signal), placeholderData: keepPreviousData, refetchInterval: at ? false : 30_000, refetchIntervalInBackground: false });
/** What a browser saw at this node when it ran a test last; a node that ran none says so, and is asked again. */
export const useTestVisit = (name: string, failed: boolean) =>
  useQuery({ queryKey: ["test-visit", name, failed], queryFn: ({ signal }) => api.testVisit(name, failed, signal), retry: false, refetchInterval: 30_000, refetchIntervalInBackground: false });
/** What laptops and branch devices say of their way; every site is asked, and agents measure by the minute. */
export const useEndpoints = () => useQuery({ queryKey: ["endpoints"], queryFn: ({ signal }) => api.endpoints(signal), refetchInterval: 30_000, refetchIntervalInBackground: false });
export const useEndpoint = (name: string) => useQuery({ queryKey: ["endpoint", name], queryFn: ({ signal }) => api.endpoint(name, signal), placeholderData: keepPreviousData, refetchInterval: 30_000, refetchIntervalInBackground: false });
/** How servers do TLS, as all sites saw it last; every site is asked, and certificates do not change by the minute. */
export const useTlsPosture = () => useQuery({ queryKey: ["tls-posture"], queryFn: ({ signal }) => api.tlsPosture(signal), refetchInterval: 60_000, refetchIntervalInBackground: false });
/** What every site measures to every other: nodes ask each other all the time, without an event. */
export const useMatrix = () => useQuery({ queryKey: ["matrix"], queryFn: ({ signal }) => api.matrix(signal), refetchInterval: 10_000, refetchIntervalInBackground: false });

const DAY_MS = 86_400_000;

/** The day until now with the moment in it; of an older moment the day around it. */
export function windowAround(at: string | undefined, now: number): { from: string; to: string; at: string } {
  const shown = at ? Math.min(Date.parse(at), now) : now;
  const to = now - shown < DAY_MS ? now : Math.min(now, shown + DAY_MS / 2);
  return { from: new Date(to - DAY_MS).toISOString(), to: new Date(to).toISOString(), at: new Date(shown).toISOString() };
}

const aroundMoment = (at: string | undefined) => windowAround(at, nodeNow());

function lastHours(hours: number): { from: string; to: string } {
  const to = nodeNow();
  return { from: new Date(to - hours * 3_600_000).toISOString(), to: new Date(to).toISOString() };
}

export const useSilences = () => useQuery({ queryKey: ["alert-silences"], queryFn: ({ signal }) => api.silences(signal) });
/** The SLOs, as they were judged last. */
export const useSlos = () => useQuery({ queryKey: ["slos"], queryFn: ({ signal }) => api.slos(signal) });
export const useSlo = (name: string) => useQuery({ queryKey: ["slo", name], queryFn: ({ signal }) => api.slo(name, signal), placeholderData: keepPreviousData });
/** How providers are reached, and how it stands with each; that changes with time alone, too. */
export const usePageConnectors = () => useQuery({ queryKey: ["page-connectors"], queryFn: ({ signal }) => api.pageConnectors(signal) });
export const usePageRoutes = () => useQuery({ queryKey: ["page-routes"], queryFn: ({ signal }) => api.pageRoutes(signal) });
/** What was told; the last list stays while another one is asked for. */
export const usePageDeliveries = (state: PageDelivery["state"] | undefined) =>
  useQuery({ queryKey: ["page-deliveries", state ?? ""], queryFn: ({ signal }) => api.pageDeliveries(state, signal), placeholderData: keepPreviousData });
export const useDigest = () => useQuery({ queryKey: ["digest"], queryFn: ({ signal }) => api.digest(signal) });

/** How often the mesh room asks while it is seen, in milliseconds. */
export const MESH_EVERY_MS = 5_000;

/**
 * The mesh as this node sees it. Lags, counts and bytes grow without an event, so it is asked for again while the tab is seen,
 * and at once when it is seen again. An answer that is large (thousands of sites) is asked for less often: four times as long as it took.
 * `atMs` is when it came, on the node's clock.
 */
export const useMesh = () => {
  const tookMs = useRef(0);
  return useQuery({
    queryKey: ["mesh"],
    queryFn: async ({ signal }) => {
      const started = performance.now();
      const view = await api.mesh(signal);
      tookMs.current = performance.now() - started;
      return { view, atMs: nodeNow() };
    },
    refetchInterval: () => Math.max(MESH_EVERY_MS, 4 * tookMs.current),
    refetchIntervalInBackground: false,
    refetchOnWindowFocus: "always",
    // Lags differ in every answer.
    structuralSharing: false,
  });
};

/** No event changes a picture of the past; but a site that was cut off brings what it saw then when it returns. */
const PAST_EVERY_MS = 60_000;
const ofPast = (at: string | undefined) => (at === undefined ? false : PAST_EVERY_MS);

/** The picture at a moment or live. While another one is fetched the last one stays, so that nothing jumps. */
export const useTopology = (query: TopologyQuery, enabled = true) =>
  useQuery({
    queryKey: ["topology", query.at ?? null, query.site ?? null],
    queryFn: ({ signal }) => api.topology(query, signal),
    enabled,
    placeholderData: keepPreviousData,
    // Comparing two large pictures element by element costs more than it saves.
    structuralSharing: false,
    // A moment in the past is fetched on the way of the slider: many large pictures must not pile up.
    gcTime: query.at ? 5_000 : 300_000,
    refetchInterval: ofPast(query.at),
  });

/** Most nodes, and most edges, of what is shown around one. */
export const MOST_AROUND = 60;
/** So many targets are tried for the middle of a picture. */
const MOST_MIDDLES = 8;

/** What lay around the first of `targets` that was there at a moment of the past; not found if none of them was. */
export const useTopologyAround = (targets: readonly string[], at: string) =>
  useQuery({
    queryKey: ["topology", at, null, "around", ...targets.slice(0, MOST_MIDDLES)],
    queryFn: async ({ signal }) => {
      let missing: ApiError | null = null;
      for (const middle of targets.slice(0, MOST_MIDDLES)) {
        try {
          return { middle, topology: await api.topology({ at, around: middle, limit: MOST_AROUND }, signal) };
        } catch (error) {
          if (!(error instanceof ApiError) || error.status !== 404) throw error;
          missing ??= error;
        }
      }
      throw missing ?? new ApiError(404, "not_found", "there is nothing to look around", null);
    },
    placeholderData: keepPreviousData,
    gcTime: 60_000,
    refetchInterval: ofPast(at),
  });

/** How much happened when, from `from` until now. */
export const useChanges = (from: string | null) =>
  useQuery({
    queryKey: ["changes", from],
    queryFn: ({ signal }) => api.changes(from ?? "", signal),
    enabled: from !== null,
    placeholderData: keepPreviousData,
  });

/** Nodes by what breaks if they fail. It costs the node a what-if of everything, so it is asked for by a reader, not by events. */
export const useRanking = (at: string | undefined, limit: number) =>
  useQuery({ queryKey: ["ranking", at ?? null, limit], queryFn: ({ signal }) => api.ranking(at, limit, signal), placeholderData: keepPreviousData });

/** What changed from `from` until `to`, or until now, by what one site says or all; nothing is asked without a beginning. */
export const useDiff = (from: string | undefined, to: string | undefined, site: string | undefined) =>
  useQuery({
    queryKey: ["diff", to ?? null, from ?? null, site ?? null],
    queryFn: ({ signal }) => api.diff(from ?? "", to, site, signal),
    enabled: from !== undefined,
    placeholderData: keepPreviousData,
    structuralSharing: false,
    gcTime: to ? 5_000 : 60_000,
    refetchInterval: ofPast(to),
  });

/** Nodes by name, attribute or address, best first, from all that the node holds; nothing is asked without a text. */
export const useSearch = (q: string, at: string | undefined) =>
  useQuery({ queryKey: ["search", at ?? null, q], queryFn: ({ signal }) => api.search(q, at, signal), enabled: q !== "", gcTime: 30_000 });

/** What breaks if `target` fails; nothing is asked without one. */
export const useWhatIf = (target: string | undefined, at: string | undefined) =>
  useQuery({
    queryKey: ["whatif", target ?? null, at ?? null],
    queryFn: ({ signal }) => api.whatIf(target ?? "", at, signal),
    enabled: target !== undefined,
    gcTime: 60_000,
    refetchInterval: ofPast(at),
  });

/** Two failures side by side; nothing is asked without both. */
export const useSideBySide = (left: string | undefined, right: string | undefined, at: string | undefined) =>
  useQuery({
    queryKey: ["compare", at ?? null, left ?? null, right ?? null],
    queryFn: ({ signal }) => api.sideBySide(left ?? "", right ?? "", at, signal),
    enabled: left !== undefined && right !== undefined,
    gcTime: 60_000,
    refetchInterval: ofPast(at),
  });

/** One element with its history; its neighbours and other names are those of the moment. */
export const useElement = (id: string, at: string | undefined) =>
  useQuery({ queryKey: ["element", id, at ?? null], queryFn: ({ signal }) => api.element(id, at, signal) });

/** What can be asked in SQL. Counts of rows grow without an event, so it is asked for anew when the room is opened. */
export const useQueryTables = () => useQuery({ queryKey: ["tables"], queryFn: ({ signal }) => api.queryTables(signal), staleTime: 30_000 });

/** One question to all sites; nothing is asked without one. It is asked once, and again by a reader only; `askedMs` is when, on the node's clock. */
export const useAsked = (sql: string | undefined, sites: readonly string[], timeoutMs: number | undefined) =>
  useQuery({
    queryKey: ["asked", sql ?? null, sites.join(","), timeoutMs ?? null],
    queryFn: async ({ signal }) => {
      const askedMs = nodeNow();
      return { answer: await api.query(sql ?? "", sites, timeoutMs, signal), askedMs };
    },
    enabled: sql !== undefined,
    // A question costs every site: one that found no node is not asked thrice.
    retry: false,
    structuralSharing: false,
    // Answers are up to 64 MiB: a few minutes of going back and forth between questions.
    gcTime: 180_000,
  });

/** A node works on four questions of a tenant at once: one that came too many waits for its turn. */
const inTurn = { retry: (count: number, error: Error) => error instanceof ApiError && (error.status === 0 || error.status === 429) && count < 4, retryDelay: (count: number) => 700 * (count + 1) };

/** What flows can be grouped and filtered by. */
export const useFlowLanguage = () => useQuery({ queryKey: ["flow-language"], queryFn: ({ signal }) => api.flowLanguage(signal) });

/** Questions about flows: asked by a reader, for an answer costs every site. The last answer stays, marked as such, while another one is asked for. */
function useFlows<T>(of: Parameters<typeof flowPath>[0], query: FlowQuery, ask: (query: FlowQuery, signal: AbortSignal) => Promise<T>, enabled: boolean) {
  return useQuery({ queryKey: ["flows", flowPath(of, query)], queryFn: ({ signal }) => ask(query, signal), enabled, placeholderData: keepPreviousData, structuralSharing: false, gcTime: 120_000, ...inTurn });
}
export const useFlowTop = (query: FlowQuery, enabled = true) => useFlows("/top", query, api.flowTop, enabled);
export const useFlowSeries = (query: FlowQuery, enabled: boolean) => useFlows("/series", query, api.flowSeries, enabled);
export const useFlowSankey = (query: FlowQuery, enabled: boolean) => useFlows("/sankey", query, api.flowSankey, enabled);
/** Records, page after page: what follows has the window of the first. */
export const useFlowRecords = (query: FlowQuery, enabled: boolean) =>
  useInfiniteQuery({
    queryKey: ["flow-records", flowPath("", query)],
    queryFn: ({ pageParam, signal }) => api.flowRecords(pageParam === undefined ? query : { filter: query.filter, site: query.site, limit: query.limit, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    enabled,
    placeholderData: keepPreviousData,
    structuralSharing: false,
    gcTime: 120_000,
    ...inTurn,
  });
export const useFlowCapacity = (query: FlowQuery) => useFlows("/capacity", query, api.flowCapacity, true);
export const useFlowExporters = (query: FlowQuery) => useFlows("/exporters", query, api.flowExporters, true);
export const useFlowAnomalies = (query: FlowQuery) => useFlows("/anomalies", query, api.flowAnomalies, true);

/** How a filter may go on. */
export const useFlowComplete = (filter: string, enabled: boolean) =>
  useQuery({ queryKey: ["flow-complete", filter], queryFn: ({ signal }) => api.flowComplete(filter, signal), enabled, retry: false, placeholderData: keepPreviousData, gcTime: 60_000 });
