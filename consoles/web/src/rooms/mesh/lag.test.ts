import { describe, expect, it } from "vitest";

import type { SiteLag, Verdict } from "../../api/types";
import { clustersOf, lagText, seenOf, stepOf } from "./lag";
import { nodeRows } from "./nodes";
import { about, inOrder, raisedText } from "./verdicts";

const at = "2026-11-21T04:00:00.000Z";
const lag = (site: string, lagMs: number | null, state: SiteLag["state"] = "live"): SiteLag => ({ site, state, as_of: lagMs === null ? null : at, lag_ms: lagMs });

describe("steps of the lag", () => {
  it("begin where their words say", () => {
    expect([0, 1999, 2000, 9999, 10_000, 59_999, 60_000, null].map(stepOf)).toEqual(["now", "now", "seconds", "seconds", "tens", "tens", "minutes", "never"]);
  });
  it("never call a site quick that was never heard", () => {
    expect(seenOf(["a", "b"], [lag("a", 0, "never_heard")], 0).map((each) => [each.step, each.state])).toEqual([["never", "never_heard"], ["never", "never_heard"]]);
  });
  it("count from what the size of the mesh makes due", () => {
    expect(seenOf(["a", "b"], [lag("a", 60_000), lag("b", 75_000)], 62_000).map((each) => [each.step, each.lagMs])).toEqual([["now", 60_000], ["tens", 75_000]]);
  });
  it("are told in numbers", () => {
    expect([420, 9_960, 12_000, null].map(lagText)).toEqual(["0.4 s", "10.0 s", "12 s", "never heard"]);
  });
});

describe("clustersOf", () => {
  it("has every site once, the worst first", () => {
    const seen = seenOf(["a", "b", "c", "d", "e"], [lag("a", 10), lag("b", 70_000), lag("c", 900_000), lag("d", 20)], 0);
    const clusters = clustersOf(seen);
    expect(clusters.map((each) => [each.step, each.sites.map((site) => site.site).join("")])).toEqual([["never", "e"], ["minutes", "cb"], ["now", "da"]]);
    expect(clusters.map((each) => [each.medianMs, each.worstMs])).toEqual([[null, null], [900_000, 900_000], [20, 20]]);
  });
});

describe("verdicts", () => {
  const verdict = (kind: Verdict["kind"], subject: string, raised = true): Verdict => ({ kind, subject, severity: "info", text: "", witnesses: [], reached_by: [], since: at, raised });
  it("have the gravest first", () => {
    expect(inOrder([verdict("undecided", "c"), verdict("link_down", "a - b"), verdict("site_down", "d"), verdict("cut_off", "this site")]).map((each) => each.kind)).toEqual(["cut_off", "site_down", "link_down", "undecided"]);
  });
  it("are about a site, both ends of a way, or no other site", () => {
    expect([verdict("site_down", "d"), verdict("link_down", "a-1 - b"), verdict("cut_off", "this site")].map(about)).toEqual([["d"], ["a-1", "b"], []]);
  });
  it("say why they are not raised", () => {
    expect(raisedText(verdict("undecided", "c", false))).toContain("nobody can tell");
    expect(raisedText(verdict("site_down", "c", false))).toContain("not raised yet");
  });
});

describe("nodeRows", () => {
  it("has this node first, then those with trouble, each once", () => {
    const member = (site: string, state: "alive" | "down") => ({ site, node: "n1", state, connected: state === "alive", connected_since: null, last_heard: at, rtt_ms: 3, clock_skew_ms: 0, clock: null, addresses: [], via: null, last_refusal: null, lease_signed: true, last_sync: null });
    const rows = nodeRows({
      site: "m", node: "n1", replicating: true, replicating_reason: null, verdicts: [], views: [], lags: [lag("z", 400)], lag_due_ms: 0, channels: [], drops: [], counts: [], seeds: [], nat: null, refusals: [], warnings: [], not_granted: null, gone: [], stuck: null,
      documents: { digest: "", total: 0, bytes: 0, over_budget: 0, items: [], quarantined: [], at_start: [] }, members: [member("a", "alive"), member("z", "down")],
    }, undefined);
    expect(rows.map((row) => [row.site, row.state, row.lagMs])).toEqual([["m", "self", null], ["z", "down", 400], ["a", "alive", null]]);
  });
});
