import { describe, expect, it } from "vitest";

import type { PairCell, ProbeResult } from "../../api/types";
import { yaml } from "../alerts/alerts";
import { cellsOf, history, hoursOf, NEW_TEST, PAIRS_MOST, pairAll, pairSites, pairText, ratioText, sitesText, TEST_FIELDS, TEST_LOOKS, TEST_ORDER } from "./policies";

const cell = (from: string, to: string, more: Partial<PairCell> = {}): PairCell => ({ from, to, state: "ok", probe: "icmp", probes: 60, loss: 0, rtt_p50_ms: 12, rtt_p95_ms: 20, jitter_ms: 1, one_way_ms: 6, one_way_error_ms: 2, last_seen: null, measured_at: null, ...more });
const result = (site: string, at: string, ms: number | null, kind = "test"): ProbeResult => ({ site, probe: "http", target: "x", success: ms !== null, error: ms === null ? "no answer" : null, duration_ms: ms, metrics: {}, attributes: { kind }, observed_at: at });

describe("a test in words", () => {
  it("names the sites that see it failing first", () => {
    const site = (name: string, part: "runs" | "away" | "in_reserve") => ({ site: name, node: "n1", part, state: "unknown" as const, since: null, error: null, said_at: null, stats: null, left_out: null });
    expect(sitesText({ sites: [site("a", "runs"), site("b", "runs"), site("c", "in_reserve")], failing: ["b"] })).toBe("1 of 2 sites: b");
    expect(sitesText({ sites: [site("a", "runs")], failing: [] })).toBe("1 site");
    expect(sitesText({ sites: [site("a", "away")], failing: [] })).toBe("no site");
  });
  it("has a look for every state, and tells a share from all", () => {
    expect([...TEST_ORDER].sort()).toEqual(Object.keys(TEST_LOOKS).sort());
    expect([ratioText(1), ratioText(0.99999), ratioText(0.5), ratioText(null)]).toEqual(["100 %", "99.999 %", "50 %", "–"]);
  });
  it("is written in the order in which people write it", () => {
    expect(yaml({ sites: "all", interval: "30s", target: "x", name: "a", kind: "Test" }, TEST_FIELDS)).toBe("kind: Test\nname: a\ntarget: x\ninterval: 30s\nsites: all\n");
    expect(NEW_TEST.startsWith("kind: Test\n")).toBe(true);
  });
});

describe("pairs", () => {
  it("show what was measured, and say what was not", () => {
    const of = cellsOf({ cells: [cell("a", "b"), cell("b", "a", { state: "down", loss: 1, rtt_p50_ms: null, one_way_ms: null })] });
    expect(pairText(of("a", "b"), "rtt")).toContain("12");
    expect(pairText(of("a", "b"), "one_way")).toContain("±");
    expect(pairText(of("b", "a"), "loss")).toBe("100 %");
    expect([pairText(of("b", "a"), "rtt"), pairText(of("b", "a"), "one_way"), pairText(of("b", "c"), "rtt")]).toEqual(["–", "–", "–"]);
    expect(pairAll("b", "a", of("b", "a"))).toContain("down");
    expect(pairAll("b", "c", undefined)).toBe("b → c: not measured");
  });
  it("of very many sites only those with trouble are drawn", () => {
    const sites = Array.from({ length: PAIRS_MOST + 5 }, (_, n) => `s${n}`);
    const cells = [cell("s1", "s2", { state: "down" }), cell("s3", "s2", { state: "lossy" }), cell("s4", "s5")];
    expect(pairSites({ sites, cells }, () => true)).toEqual({ sites: ["s2", "s1", "s3"], troubleOnly: true });
    expect(pairSites({ sites, cells }, (site) => site.length === 2)).toMatchObject({ troubleOnly: false });
  });
});

describe("history", () => {
  it("is a line for each site, interrupted where a probe failed", () => {
    const at = (second: number) => new Date(second * 1000).toISOString();
    // The node gives the latest first.
    const items = [result("a", at(9), 5), result("a", at(6), null), result("a", at(3), 10), result("b", at(3), 5), result("a", at(1), 5, "once")];
    const picture = history({ items }, 0, 10_000, 100, 50);
    expect(picture.most).toBe(10);
    expect(picture.lines.map((line) => line.site)).toEqual(["a", "b"]);
    expect(picture.lines[0]?.pieces).toEqual(["30.0,0.0 30.0,0.0", "90.0,25.0 90.0,25.0"]);
    expect(picture.failures).toEqual([{ x: 60, site: "a" }]);
    expect(history({ items: [] }, 0, 1, 100, 50).lines).toEqual([]);
  });
});

it("reads how far back from the URL", () => {
  expect(["6h", "24h", "1d", "7d", "168h", "5h", undefined].map(hoursOf)).toEqual([6, 24, 24, 168, 168, 1, 1]);
});
