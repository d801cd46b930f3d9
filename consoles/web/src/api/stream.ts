// The one event stream of a page: what changed is fetched again, several changes at once as one. No polling.
import type { QueryClient } from "@tanstack/react-query";

import { isLoggedOut } from "./client";

/** What the freshness chip says of the stream. */
export type StreamState =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "waiting"; attempt: number; retryAtMs: number };

/** The queries that an event makes stale. */
export const STALE_BY_EVENT: Record<string, readonly string[]> = {
  topology: ["topology", "element", "whatif", "compare", "changes", "digest", "diff", "search"],
  changes: ["recorded-changes", "ranked-changes", "change-sources"],
  alerts: ["alerts", "alert-rules", "alert-rule", "alert-silences"],
  incidents: ["incidents", "incident", "ranked-changes"],
  pages: ["page-connectors", "page-routes", "page-deliveries", "incident"],
  slos: ["slos", "slo"],
  sites: ["sites", "mesh"],
  tests: ["tests", "test"],
  planes: ["planes"],
  results: ["results"],
};

const COALESCE_MS = 200;
/** How many times as long as an answer took no other one is asked for. */
const REST_RATIO = 4;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** How long to wait before attempt `attempt` (from 1): doubling, at most 15 s, half of it random (`random` in 0..1). */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
  return Math.round(full / 2 + (full / 2) * random);
}

/** Where the keys of questions about a moment have it; `null` there is now. */
const MOMENT_IN_KEY: Record<string, number> = { topology: 1, diff: 1, search: 1, compare: 1, whatif: 2 };

/** False for a picture of the past, which no event changes. */
export function isLive(key: readonly unknown[]): boolean {
  const moment = MOMENT_IN_KEY[String(key[0])];
  return moment === undefined || key[moment] === null;
}

let state: StreamState = { kind: "connecting" };
const listeners = new Set<() => void>();

export const streamState = {
  subscribe: (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  read: () => state,
};

function become(next: StreamState): void {
  state = next;
  for (const listener of listeners) listener();
}

/** Opens the stream and keeps it open until the returned function is called. */
export function openStream(client: QueryClient, checkSession: () => Promise<unknown>): () => void {
  let source: EventSource | null = null;
  let attempt = 0;
  let missed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let flush: ReturnType<typeof setTimeout> | undefined;
  let closed = false;
  const stale = new Set<string>();
  const notBefore = new Map<string, number>();

  // A change that is told while its query is under way must not be lost (the answer may be older) and must not cancel it
  // either (a busy mesh would never get an answer through): it waits for its turn.
  const flushNow = () => {
    flush = undefined;
    for (const key of stale) {
      if (client.isFetching({ queryKey: [key] }) > 0 || performance.now() < (notBefore.get(key) ?? 0)) continue;
      stale.delete(key);
      const started = performance.now();
      // An answer that takes long to fetch and show is asked for less often, so that the page stays usable beside it.
      const rest = () => notBefore.set(key, performance.now() + REST_RATIO * (performance.now() - started));
      void client.invalidateQueries({ queryKey: [key], predicate: (query) => isLive(query.queryKey) }).then(rest, rest);
    }
    if (stale.size > 0) flush = setTimeout(flushNow, COALESCE_MS);
  };
  const mark = (keys: readonly string[]) => {
    for (const key of keys) stale.add(key);
    flush ??= setTimeout(flushNow, COALESCE_MS);
  };

  const connect = () => {
    source = new EventSource("/v1/stream");
    source.onopen = () => {
      attempt = 0;
      become({ kind: "live" });
      // What happened while nobody listened was not told: ask for everything once.
      if (missed) mark(Object.values(STALE_BY_EVENT).flat());
      missed = false;
    };
    source.onerror = () => {
      source?.close();
      missed = true;
      attempt += 1;
      const wait = backoffMs(attempt, Math.random());
      become({ kind: "waiting", attempt, retryAtMs: Date.now() + wait });
      timer = setTimeout(() => void retry(), wait);
    };
    for (const [event, keys] of Object.entries(STALE_BY_EVENT)) source.addEventListener(event, () => mark(keys));
  };

  // An EventSource does not tell a missing session from a missing node, so the session is asked for first.
  const retry = async () => {
    try {
      await checkSession();
    } catch (error) {
      if (isLoggedOut(error)) return;
    }
    if (!closed) connect();
  };

  connect();
  return () => {
    closed = true;
    source?.close();
    clearTimeout(timer);
    clearTimeout(flush);
  };
}
