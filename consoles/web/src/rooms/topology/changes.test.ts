import { describe, expect, it } from "vitest";

import type { Diff, Topology } from "../../api/types";
import { compared, comparisonOf, withVanished } from "./changes";

const at = "2026-11-21T04:00:00.000Z";
const none = { items: [], total: 0 };
const answer = (lists: Record<string, unknown>) => ({ from: at, to: at, freshness: { sites: [], unreachable: [] }, appeared: none, vanished: none, returned: none, changed: none, unknown: none, ...lists }) as unknown as Diff;
const node = (id: string): Topology["nodes"][number] => ({ id, kind: "host", label: id, sites: ["berlin"], since: at, aliases: [], attributes: {} });
const edge = (from: string, to: string): Topology["edges"][number] => ({ id: `${from}|flow|${to}`, from, to, kind: "flow", sites: ["berlin"], since: at, provenance: "observed", attributes: {} });
const topology = (nodes: Topology["nodes"], edges: Topology["edges"]) => ({ nodes, edges }) as unknown as Topology;

describe("what changed", () => {
  it("is read by class, with the values of what changed in place", () => {
    const attributes = [{ key: "server.port", before: "80", after: null }];
    const now = comparisonOf(answer({ appeared: { items: ["host:a"], total: 7 }, changed: { items: [{ id: "host:b", attributes }], total: 1 } }));
    expect(now.items).toEqual([{ id: "host:a", change: "appeared", attributes: [] }, { id: "host:b", change: "changed", attributes }]);
    expect(now.totals).toEqual({ appeared: 7, vanished: 0, returned: 0, changed: 1 });
  });
  it("of an element in two lists is that it was gone", () => {
    const both = comparisonOf(answer({ returned: { items: ["host:a"], total: 1 }, changed: { items: [{ id: "host:a", attributes: [] }], total: 1 } }));
    expect(both.by.get("host:a")).toBe("returned");
  });
});

describe("what vanished", () => {
  const comparison = comparisonOf(answer({ vanished: { items: ["host:b", "host:a|flow|host:b", "host:x|flow|host:y"], total: 3 } }));
  it("is drawn where it was, an edge only between what is drawn", () => {
    const now = topology([node("host:a")], []);
    const earlier = topology([node("host:a"), node("host:b"), node("host:c")], [edge("host:a", "host:b"), edge("host:x", "host:y")]);
    const world = withVanished(now, earlier, comparison);
    expect(world.nodes.map((each) => each.id)).toEqual(["host:a", "host:b"]);
    expect(world.edges.map((each) => each.id)).toEqual(["host:a|flow|host:b"]);
    expect(withVanished(now, undefined, comparison)).toBe(now);
  });
  it("is drawn at what its ends are called later", () => {
    const renamed = comparisonOf(answer({ vanished: { items: ["host:a|flow|host:old"], total: 1 } }));
    const now = topology([node("host:a"), { ...node("host:new"), aliases: ["host:old"] }], []);
    const then = topology([node("host:a"), node("host:old")], [edge("host:a", "host:old")]);
    const world = withVanished(now, then, renamed);
    expect(world.nodes.map((each) => each.id)).toEqual(["host:a", "host:new"]);
    expect(world.edges.map(({ id, from, to }) => [id, from, to])).toEqual([["host:a|flow|host:old", "host:a", "host:new"]]);
  });
  it("is drawn by its own name where that ended with it", () => {
    const gone = comparisonOf(answer({ vanished: { items: ["host:a|flow|host:web", "host:web"], total: 2 } }));
    const then = topology([node("host:a"), { ...node("host:web"), aliases: ["host:192.0.2.1"] }], [edge("host:a", "host:web")]);
    const world = withVanished(topology([node("host:a")], []), then, gone);
    expect(world.nodes.map((each) => each.id)).toEqual(["host:a", "host:web"]);
    expect(world.edges.map((each) => each.id)).toEqual(["host:a|flow|host:web"]);
    // An end that lost its name is still there by its address.
    const left = withVanished(topology([node("host:a"), node("host:192.0.2.1")], []), then, comparisonOf(answer({ vanished: { items: ["host:a|flow|host:web"], total: 1 } })));
    expect(left.edges.map(({ from, to }) => [from, to])).toEqual([["host:a", "host:192.0.2.1"]]);
  });
  it("is marked, and nothing else is", () => {
    const picture = { nodes: ["host:a", "host:b"].map((id) => ({ id, label: id, kind: "host" as const, look: "live" as const, sites: [], degree: 0 })), edges: [], sites: [] };
    expect(compared(picture, comparison).nodes.map((each) => each.change)).toEqual([undefined, "vanished"]);
  });
});
