// Probe results as rows and as a matrix of sites.
import type { LatestResults, ProbeResult, Sites } from "../../api/types";
import { hostOf } from "../../parts/graph/model";

/** The latest failures in scope, newest first. */
export function failures(results: LatestResults | undefined, within: (site: string) => boolean): ProbeResult[] {
  const failed = results?.items.filter((result) => !result.success && within(result.site)) ?? [];
  return failed.sort((a, b) => b.observed_at.localeCompare(a.observed_at));
}

/** The site that a probe is aimed at, if it is one of the mesh: by its own word, by name, or by an address of its nodes. */
export function targetSite(result: ProbeResult, sites: Sites): string | undefined {
  const said = result.attributes["peer.site"];
  if (said) return said;
  const host = hostOf(result.target);
  const bySite = sites.items.find((site) => site.site === host || site.site === result.target);
  if (bySite) return bySite.site;
  const endpoint = result.target.replace(/^[a-z]+:\/\//i, "");
  return sites.items.find((site) => site.nodes.some((node) => node.addresses.some((address) => address === endpoint || addressHost(address) === host)))?.site;
}

/** The host of `/ip4/192.0.2.1/udp/…` or of `host:port`. */
export function addressHost(address: string): string {
  const parts = address.split("/");
  return parts[0] === "" && parts.length > 2 ? (parts[2] ?? address) : hostOf(address);
}

/** One field of the matrix: every probe from one site to another. */
export interface Cell {
  from: string;
  to: string;
  results: ProbeResult[];
  failed: number;
  /** The quickest successful probe, in milliseconds; null if none succeeded. */
  bestMs: number | null;
}

/** Site by site. A field without a result is not measured, which is not the same as failed. */
export function matrix(results: LatestResults, sites: Sites): { names: string[]; cell: (from: string, to: string) => Cell } {
  const names = sites.items.map((site) => site.site).sort();
  const cells = new Map<string, Cell>();
  for (const result of results.items) {
    const to = targetSite(result, sites);
    if (to === undefined) continue;
    const key = `${result.site} ${to}`;
    const cell = cells.get(key) ?? { from: result.site, to, results: [], failed: 0, bestMs: null };
    cell.results.push(result);
    if (result.success) cell.bestMs = Math.min(cell.bestMs ?? Infinity, result.metrics["icmp.rtt.avg_ms"] ?? result.duration_ms ?? Infinity);
    else cell.failed += 1;
    cells.set(key, cell);
  }
  return { names, cell: (from, to) => cells.get(`${from} ${to}`) ?? { from, to, results: [], failed: 0, bestMs: null } };
}

/** Metrics in a line: `dns_ms 1.2, connect_ms 18.2`. */
export function metricsText(result: ProbeResult): string {
  return Object.entries(result.metrics).map(([name, value]) => `${name} ${Math.round(value * 100) / 100}`).join(", ");
}
