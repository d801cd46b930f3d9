// One hook for each answer. Data stays until the event stream says that it changed; nothing polls.
import { keepPreviousData, QueryClient, useQuery } from "@tanstack/react-query";

import { api, ApiError, type TopologyQuery } from "./client";

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
export const useResults = () => useQuery({ queryKey: ["results"], queryFn: ({ signal }) => api.results(signal) });
export const useDigest = () => useQuery({ queryKey: ["digest"], queryFn: ({ signal }) => api.digest(signal) });

/** The picture at a moment or live. While another one is fetched the last one stays, so that nothing jumps. */
export const useTopology = (query: TopologyQuery) =>
  useQuery({
    queryKey: ["topology", query.at ?? null, query.site ?? null],
    queryFn: ({ signal }) => api.topology(query, signal),
    placeholderData: keepPreviousData,
    // Comparing two large pictures element by element costs more than it saves.
    structuralSharing: false,
    // A moment in the past is fetched on the way of the slider; it need not be kept long.
    gcTime: query.at ? 30_000 : 300_000,
  });

/** How much happened when, from `from` until now. */
export const useChanges = (from: string | null) =>
  useQuery({
    queryKey: ["changes", from],
    queryFn: ({ signal }) => api.changes(from ?? "", signal),
    enabled: from !== null,
    placeholderData: keepPreviousData,
  });

/** What breaks if `target` fails; nothing is asked without one. */
export const useWhatIf = (target: string | undefined, at: string | undefined) =>
  useQuery({
    queryKey: ["whatif", target ?? null, at ?? null],
    queryFn: ({ signal }) => api.whatIf(target ?? "", at, signal),
    enabled: target !== undefined,
    gcTime: 60_000,
  });

/** One element with its history. */
export const useElement = (id: string) =>
  useQuery({ queryKey: ["element", id], queryFn: ({ signal }) => api.element(id, signal) });
