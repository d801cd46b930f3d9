import { describe, expect, it } from "vitest";

import { topologyPath } from "../../api/client";
import type { Topology } from "../../api/types";
import { excerpt, excerptNote } from "./excerpt";

const at = "2026-11-21T04:00:00.000Z";
const node = (id: string, aliases: string[] = [], sites = ["berlin"]): Topology["nodes"][number] => ({ id, kind: "host", label: id, sites, since: at, aliases, attributes: {} });
const world: Topology = {
  at, live: false, topology_running: true, generation: 1, graph_digest: "", nodes: [node("host:a"), node("host:web", ["host:192.0.2.1"]), node("host:far", [], ["tokyo"]), node("host:near")], edges: [],
  shown: { nodes: 4, edges: 0 }, total: { nodes: 4, edges: 0 },
  coverage: { flow_paths: 0, path_edges: 0, flow_edges: 0, routing_edges: 0, device_edges: 0, notes: [] },
  freshness: { sites: [{ site: "berlin", state: "here", as_of: at }, { site: "tokyo", state: "unreachable", as_of: at }], unreachable: ["tokyo"] }, earliest: at, diff: null,
};

describe("excerpt", () => {
  it("marks what the incident is about, by any of its names and whoever is heard, and nothing else", () => {
    const { picture, apart } = excerpt(world, "host:a", ["host:a", "host:192.0.2.1", "host:far", "host:gone"]);
    expect(picture.nodes.map((each) => [each.id, each.look])).toEqual([["host:a", "bad"], ["host:web", "bad"], ["host:far", "bad"], ["host:near", "live"]]);
    expect(apart).toEqual(["host:gone"]);
  });
  it("marks nothing where none of it is there", () => {
    expect(excerpt(world, "host:a", ["host:gone"]).picture.nodes.map((each) => each.look)).toEqual(["live", "live", "unreachable", "live"]);
  });
  it("says how much of it is shown", () => {
    expect(excerptNote(world)).toBe("4 nodes · 0 edges");
    expect(excerptNote({ shown: { nodes: 60, edges: 60 }, total: { nodes: 214, edges: 213 } })).toBe("showing 60 of 214 nodes · showing 60 of 213 edges");
    expect(excerptNote({ shown: { nodes: 1, edges: 0 }, total: { nodes: 1, edges: 0 } })).toBe("1 node · 0 edges");
  });
});

describe("topologyPath", () => {
  it("asks for what is next to a node, and without one for no depth", () => {
    expect(topologyPath({ at, around: "host:a", limit: 60 })).toBe("/v1/topology?at=2026-11-21T04%3A00%3A00.000Z&from=host%3Aa&depth=1&fold=true&limit=60");
    expect(topologyPath({ site: "berlin" })).toBe("/v1/topology?site=berlin&fold=true&limit=50000");
  });
});
