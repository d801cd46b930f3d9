// What tests look like and in which words, and what a pair of sites shows; no React here.
import type { PairCell, PairMatrix, ProbeTest, ProbeTestSite, ResultsPage } from "../../api/types";
import { millis, NOT_MEASURED, plural } from "../../parts/format";
import type { StateLook, Tone } from "../../parts/states";

export const TEST_LOOKS: Record<ProbeTest["state"], StateLook> = {
  failing: { tone: "bad", mark: "triangle", word: "failing", means: "it failed several times in a row at some site" },
  refused: { tone: "warn", mark: "slash", word: "refused", means: "some site's operator did not open the address: nothing is sent from there" },
  broken: { tone: "warn", mark: "slash", word: "not understood", means: "this version does not understand it" },
  not_run: { tone: "warn", mark: "ring", word: "not run", means: "no site that fits is heard" },
  unknown: { tone: "unknown", mark: "clock", word: "too few yet", means: "not often enough yet to say" },
  passing: { tone: "ok", mark: "disk", word: "passing", means: "it answers at every site that runs it" },
  off: { tone: "unknown", mark: "dash", word: "off", means: "it is switched off" },
};
export const TEST_ORDER: readonly ProbeTest["state"][] = ["failing", "refused", "broken", "not_run", "unknown", "passing", "off"];

export const PART_WORDS: Record<ProbeTestSite["part"], string> = { runs: "runs it", in_reserve: "in reserve", away: "away" };

/** What is probed, by kind: what a new test of each begins with. */
const PROBES: Readonly<Record<string, string>> = {
  http: `name: shop
probe: http
target: https://shop.example/health
http_version: auto
follow_redirects: 3
expect_status: 2xx
expect_json: ['$.state = "up"']
interval: 30s
`,
  tls: `name: shop-tls
probe: tls
target: shop.example
port: 443
expect_days_left: 14
interval: 1h
timeout: 10s
`,
  dns: `name: shop-dns
probe: dns
target: shop.example
dns_type: A
dns_transport: udp
dnssec: none
interval: 1m
`,
  icmp: `name: shop-ping
probe: icmp
target: shop.example
echo_count: 10
voice: g711
interval: 30s
`,
  tcp: `name: shop-port
probe: tcp
target: shop.example
port: 443
interval: 30s
`,
  udp: `name: shop-udp
probe: udp
target: shop.example
port: 7
echo_count: 10
payload_bytes: 64
interval: 30s
`,
  script: `name: shop-order
probe: script
target: https://shop.example/
timeout: 10s
steps:
  - name: log in
    url: /login
    method: POST
    content_type: application/json
    body: '{"user": "probe"}'
    take: { token: json $.token }
  - name: cart
    url: /carts/mine
    headers: { authorization: 'Bearer {{token}}' }
    expect_status: '200'
interval: 1m
`,
  browser: `name: shop-search
probe: browser
target: https://shop.example/
timeout: 60s
steps:
  - { name: open, expect_title: Shop }
  - { name: search, into: '#q', type: tea, press: Enter, expect_text: tea }
interval: 5m
`,
  sip: `name: shop-sip
probe: sip
target: sip.example
sip_transport: udp
expect_status: 200-699
interval: 1m
`,
  stamp: `name: shop-stamp
probe: stamp
target: reflector.example
port: 862
echo_count: 20
interval: 30s
`,
  rtp: `name: shop-voice
probe: rtp
target: echo.example
port: 7
codec: g711
duration_s: 5
expect_mos: 3.6
interval: 5m
`,
};

/** The kinds of probe that a test may have. */
export const PROBE_KINDS: readonly string[] = Object.keys(PROBES);

/** What a new test of a kind begins with. */
export const newTest = (probe: string): string => `kind: Test\n${PROBES[probe] ?? PROBES["http"] ?? ""}jitter: 3s\nsites: all\n`;

/** What a new test begins with. */
export const NEW_TEST = newTest("http");

/** The fields of a test in the order in which people write them. */
export const TEST_FIELDS = ["kind", "name", "description", "probe", "target", "port", "server_name", "tls_scan", "dns_type", "dns_transport", "dns_server", "dnssec", "sip_transport", "family", "steps", "method", "body", "content_type", "headers", "http_version", "follow_redirects", "identity", "echo_count", "payload_bytes", "dscp", "voice", "codec", "duration_s", "stamp_key", "expect_status", "expect_header", "expect_body", "expect_json", "expect_days_left", "expect_mos", "expect_within", "interval", "jitter", "timeout", "sites", "failures", "successes", "severity", "allow", "trace", "labels", "enabled"] as const;

/** How a test stands at its sites, in a few words: the sites that see it failing come first. */
export function sitesText(test: Pick<ProbeTest, "sites" | "failing">): string {
  const runs = test.sites.filter((site) => site.part === "runs");
  if (runs.length === 0) return "no site";
  if (test.failing.length === 0) return plural(runs.length, "site");
  return `${test.failing.length} of ${plural(runs.length, "site")}: ${test.failing.join(", ")}`;
}

/** A share as a percentage with as many decimals as tell it from all. */
export function ratioText(ratio: number | null | undefined): string {
  return ratio === null || ratio === undefined ? NOT_MEASURED : `${Number((ratio * 100).toFixed(3))} %`;
}

/** What is shown of each pair. */
export const PAIR_SHOWS = { rtt: "round trip, middle", p95: "round trip, 95 of 100", loss: "loss", jitter: "jitter", one_way: "one way" } as const;
export type PairShow = keyof typeof PAIR_SHOWS;

export const PAIR_LOOKS: Record<PairCell["state"], { tone: Tone; sign: string; word: string }> = {
  ok: { tone: "ok", sign: "●", word: "well" },
  lossy: { tone: "warn", sign: "▲", word: "loses packets" },
  down: { tone: "bad", sign: "■", word: "down" },
  stale: { tone: "unknown", sign: "◷", word: "old" },
  not_measured: { tone: "unknown", sign: NOT_MEASURED, word: "not measured" },
};

/** The number of a cell, as it is read. */
export function pairText(cell: PairCell | undefined, show: PairShow): string {
  if (!cell) return NOT_MEASURED;
  switch (show) {
    case "rtt": return millis(cell.rtt_p50_ms);
    case "p95": return millis(cell.rtt_p95_ms);
    case "jitter": return millis(cell.jitter_ms);
    case "loss": return typeof cell.loss !== "number" ? NOT_MEASURED : `${Number((cell.loss * 100).toFixed(1))} %`;
    case "one_way": return typeof cell.one_way_ms === "number" ? `${millis(cell.one_way_ms)} ± ${millis(cell.one_way_error_ms)}` : NOT_MEASURED;
  }
}

/** All that is known of a pair, for who points at it. */
export function pairAll(from: string, to: string, cell: PairCell | undefined): string {
  if (!cell) return `${from} → ${to}: not measured`;
  const parts = (Object.keys(PAIR_SHOWS) as PairShow[]).map((show) => `${PAIR_SHOWS[show]}: ${pairText(cell, show)}`);
  const by = cell.probe ? `${plural(cell.probes, "probe")} by ${cell.probe}` : "no probes, only the clocks";
  return `${from} → ${to}: ${PAIR_LOOKS[cell.state].word}\n${parts.join("\n")}\n${by}`;
}

/** The cells by pair. */
export function cellsOf(matrix: Pick<PairMatrix, "cells">): (from: string, to: string) => PairCell | undefined {
  const all = new Map(matrix.cells.map((cell) => [`${cell.from} ${cell.to}`, cell]));
  return (from, to) => all.get(`${from} ${to}`);
}

/** Most sites of which all pairs are drawn; with more, only those with trouble. */
export const PAIRS_MOST = 40;

/** The sites to draw: all, or of very many those that have trouble. */
export function pairSites(matrix: Pick<PairMatrix, "cells" | "sites">, within: (site: string) => boolean): { sites: string[]; troubleOnly: boolean } {
  const sites = matrix.sites.filter(within);
  if (sites.length <= PAIRS_MOST) return { sites, troubleOnly: false };
  const trouble = new Map<string, number>();
  for (const cell of matrix.cells) {
    if (cell.state !== "lossy" && cell.state !== "down") continue;
    for (const site of [cell.from, cell.to]) trouble.set(site, (trouble.get(site) ?? 0) + 1);
  }
  const worst = sites.filter((site) => trouble.has(site)).sort((a, b) => (trouble.get(b) ?? 0) - (trouble.get(a) ?? 0) || a.localeCompare(b));
  return { sites: worst.slice(0, PAIRS_MOST), troubleOnly: true };
}

export interface History {
  /** A line for each site, in pieces: it is interrupted where a probe failed. */
  lines: readonly { site: string; pieces: readonly string[] }[];
  failures: readonly { x: number; site: string }[];
  most: number;
}

/** Results of a test over time as a picture of `wide` by `tall`. */
export function history(page: Pick<ResultsPage, "items">, fromMs: number, toMs: number, wide: number, tall: number): History {
  const shown = page.items.filter((each) => each.attributes["kind"] === "test").reverse();
  const most = Math.max(1, ...shown.map((each) => each.duration_ms ?? 0));
  const x = (at: string) => Math.max(0, Math.min(wide, ((Date.parse(at) - fromMs) / Math.max(1, toMs - fromMs)) * wide));
  const bySite = new Map<string, string[][]>();
  const failures: { x: number; site: string }[] = [];
  for (const each of shown) {
    const pieces = bySite.get(each.site) ?? [[]];
    bySite.set(each.site, pieces);
    if (each.success && typeof each.duration_ms === "number") {
      pieces.at(-1)?.push(`${x(each.observed_at).toFixed(1)},${((1 - each.duration_ms / most) * tall).toFixed(1)}`);
    } else {
      pieces.push([]);
      failures.push({ x: x(each.observed_at), site: each.site });
    }
  }
  const lines = [...bySite].sort(([a], [b]) => a.localeCompare(b)).map(([site, pieces]) => ({
    site,
    // A single point is drawn as a line of no length, with round ends.
    pieces: pieces.filter((piece) => piece.length > 0).map((piece) => (piece.length === 1 ? `${piece[0] ?? ""} ${piece[0] ?? ""}` : piece.join(" "))),
  }));
  return { lines, failures, most };
}

/** How far back results are looked at, in hours. */
export const HOURS = [1, 6, 24, 168] as const;

/** The same as the URL says it: `6h`, `7d`; an hour for what is not among them. */
export function hoursOf(window: string | undefined): number {
  const [, number, unit] = /^(\d+)([hd])$/.exec(window ?? "") ?? [];
  const hours = Number(number) * (unit === "d" ? 24 : 1);
  return HOURS.find((each) => each === hours) ?? HOURS[0];
}
