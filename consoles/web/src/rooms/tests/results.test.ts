import { describe, expect, it } from "vitest";

import type { ProbeResult, Sites } from "../../api/types";
import { addressHost, failures, matrix } from "./results";

const result = (site: string, target: string, success: boolean, more: Partial<ProbeResult> = {}): ProbeResult => ({ site, probe: "icmp", target, success, error: success ? null : "no answer", duration_ms: 9, metrics: {}, attributes: {}, observed_at: "2026-11-21T04:00:00.000Z", ...more });
const sites: Sites = {
  mesh_running: true, replicating: true, replicating_reason: null, self_site: "berlin", cut_off: null, conflicts: [], counters: {},
  items: ["berlin", "tokyo"].map((site, n) => ({
    site, is_self: n === 0, state: "live", as_of: null, last_heard: null, elements: { nodes: 0, edges: 0 },
    nodes: [{ node: site, spiffe_id: "", peer_id: "", addresses: [`/ip4/192.0.2.${n + 1}/udp/7000/quic-v1`], api_url: null, state: "alive", connected: true, rtt_ms: null, clock_skew_ms: null, svid_not_after: null, last_refusal: null }],
  })),
};

describe("matrix", () => {
  const { cell } = matrix({ collector_running: true, items: [result("berlin", "192.0.2.2", true, { metrics: { "icmp.rtt.avg_ms": 2 } }), result("berlin", "x", false, { attributes: { "peer.site": "tokyo" } }), result("tokyo", "198.51.100.9", true)] }, sites);
  it("finds the site that a probe is aimed at, and takes the quickest success", () => {
    expect(cell("berlin", "tokyo")).toMatchObject({ failed: 1, bestMs: 2 });
  });
  it("leaves what was not measured empty, which is not failed", () => {
    expect(cell("tokyo", "berlin")).toMatchObject({ failed: 0, bestMs: null, results: [] });
  });
});

describe("addressHost", () => {
  it("reads both forms of an address", () => {
    expect(addressHost("/ip6/2001:db8::1/udp/7000/quic-v1")).toBe("2001:db8::1");
    expect(addressHost("192.0.2.1:7000")).toBe("192.0.2.1");
  });
});

describe("failures", () => {
  it("are those in scope, newest first", () => {
    const items = [result("berlin", "a", false), result("berlin", "b", false, { observed_at: "2026-11-21T05:00:00.000Z" }), result("tokyo", "c", false), result("berlin", "d", true)];
    expect(failures({ collector_running: true, items }, (site) => site === "berlin").map((each) => each.target)).toEqual(["b", "a"]);
  });
});
