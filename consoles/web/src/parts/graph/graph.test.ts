import { describe, expect, it } from "vitest";

import type { ProbeResult, Topology } from "../../api/types";
import { boxOf, hull } from "./hull";
import { islands, Places } from "./layout";
import { blastOf, filterTopology, hostOf, picture } from "./model";

const at = "2026-11-21T04:00:00.000Z";
const node = (id: string, sites: string[]): Topology["nodes"][number] => ({ id, kind: id.split(":")[0] as "host", label: id.slice(id.indexOf(":") + 1), sites, since: at, aliases: [], attributes: {} });
const edge = (from: string, kind: "flow" | "path", to: string, sites: string[], provenance: "observed" | "inferred" = "observed"): Topology["edges"][number] => ({ id: `${from}|${kind}|${to}`, from, to, kind, sites, since: at, provenance, attributes: {} });
const topology = (nodes: Topology["nodes"], edges: Topology["edges"], states: [string, Topology["freshness"]["sites"][number]["state"]][]): Topology => ({
  at, live: true, topology_running: true, generation: 1, graph_digest: "", nodes, edges, shown: { nodes: nodes.length, edges: edges.length }, total: { nodes: nodes.length, edges: edges.length },
  coverage: { flow_paths: 0, path_edges: 0, flow_edges: 0, routing_edges: 0, device_edges: 0, notes: [] }, freshness: { sites: states.map(([site, state]) => ({ site, state, as_of: at })), unreachable: [] }, earliest: at, diff: null,
});
const failed = (site: string, target: string): ProbeResult => ({ site, probe: "tcp", target, success: false, error: "refused", duration_ms: 1, metrics: {}, attributes: {}, observed_at: at });

const world = topology(
  [node("agent:berlin", ["berlin"]), node("agent:tokyo", ["tokyo"]), node("host:192.0.2.80", ["berlin", "tokyo"]), node("service:web", ["tokyo"])],
  [edge("agent:berlin", "path", "host:192.0.2.80", ["berlin"]), edge("agent:tokyo", "path", "host:192.0.2.80", ["tokyo"], "inferred"), edge("host:192.0.2.80", "flow", "service:web", ["tokyo"])],
  [["berlin", "here"], ["tokyo", "live"]],
);
const whole = { nodes: world.nodes, edges: world.edges };
const looks = (drawn: ReturnType<typeof picture>) => Object.fromEntries([...drawn.nodes, ...drawn.edges].map((each) => [each.id, each.look]));

describe("picture", () => {
  it("warns of a target that some cannot reach and marks it bad when none can", () => {
    const some = looks(picture(world, whole, [failed("berlin", "192.0.2.80:5432")]));
    expect(some["host:192.0.2.80"]).toBe("warn");
    expect(some["agent:berlin|path|host:192.0.2.80"]).toBe("bad");
    expect(some["agent:tokyo|path|host:192.0.2.80"]).toBe("live");
    const none = looks(picture(world, whole, [failed("berlin", "tcp://192.0.2.80:5432"), failed("tokyo", "192.0.2.80")]));
    expect(none["host:192.0.2.80"]).toBe("bad");
  });
  it("does not let a failed probe hide that a site is not heard", () => {
    const cut = topology(world.nodes, world.edges, [["berlin", "here"], ["tokyo", "unreachable"]]);
    const drawn = looks(picture(cut, whole, [failed("tokyo", "192.0.2.80")]));
    expect(drawn["service:web"]).toBe("unreachable");
    expect(drawn["agent:tokyo|path|host:192.0.2.80"]).toBe("unreachable");
  });
  it("keeps inferred apart from observed", () => {
    expect(picture(world, whole, []).edges.map((each) => each.inferred)).toEqual([false, true, false]);
  });
});

describe("filterTopology", () => {
  it("shows an edge only with both its ends", () => {
    const shown = filterTopology(world, { sites: [], hide: ["service"] });
    expect(shown.nodes.map((each) => each.id)).not.toContain("service:web");
    expect(shown.edges).toHaveLength(2);
  });
  it("keeps what a chosen site observes, with others or alone", () => {
    const shown = filterTopology(world, { sites: ["berlin"], hide: [] });
    expect(shown.nodes.map((each) => each.id)).toEqual(["agent:berlin", "host:192.0.2.80"]);
    expect(shown.edges.map((each) => each.id)).toEqual(["agent:berlin|path|host:192.0.2.80"]);
  });
});

describe("hostOf", () => {
  it("finds the host in every form of a target", () => {
    expect(["https://shop.example/health", "192.0.2.1:80", "[2001:db8::1]:443", "2001:db8::1", "tokyo"].map(hostOf)).toEqual(["shop.example", "192.0.2.1", "2001:db8::1", "2001:db8::1", "tokyo"]);
  });
});

describe("Places", () => {
  const input = (names: string[]) => ({ nodes: names.map((id) => ({ id, sites: ["berlin"] })), edges: [{ from: "a", to: "b" }] });
  const names = ["a", "b", "c", "d", "e", "f"];

  it("puts the same names at the same places in every browser", () => {
    const [one, two] = [new Places(), new Places()];
    one.plan(input(names));
    two.plan(input(names));
    expect(names.map((id) => one.at(id))).toEqual(names.map((id) => two.at(id)));
  });
  it("moves nothing that is there when something comes or goes", () => {
    const places = new Places();
    places.plan(input(names));
    const before = names.map((id) => places.at(id));
    const job = places.plan(input([...names, "new"]));
    expect(job?.fixed.slice(0, 7)).toEqual(Uint8Array.from([1, 1, 1, 1, 1, 1, 0]));
    expect(names.map((id) => places.at(id))).toEqual(before);
    expect(places.plan(input(names))).toBeNull();
    expect(places.plan(input([...names, "new"]))).toBeNull();
  });
  it("puts a new one beside its neighbour", () => {
    const places = new Places();
    places.plan(input(names));
    places.plan({ nodes: input([...names, "new"]).nodes, edges: [{ from: "new", to: "c" }] });
    const [c, fresh] = [places.at("c"), places.at("new")];
    expect(Math.hypot((c?.x ?? 0) - (fresh?.x ?? 99), (c?.y ?? 0) - (fresh?.y ?? 99))).toBeCloseTo(14, 5);
  });
  it("holds the islands apart and in place", () => {
    const sites = ["a", "b", "c", "d", "e", "f", "g"];
    const centres = [...islands({ nodes: sites.map((site) => ({ id: site, sites: [site] })), edges: [] }).values()];
    const gaps = centres.flatMap((one, n) => centres.slice(n + 1).map((two) => Math.hypot(one.x - two.x, one.y - two.y)));
    expect(Math.min(...gaps)).toBeGreaterThan(14);
  });
});

describe("hull and box", () => {
  it("are the outline of the points", () => {
    const square = [{ x: 0, y: 0 }, { x: 4, y: 0 }, { x: 4, y: 4 }, { x: 0, y: 4 }];
    const found = hull([...square, { x: 2, y: 2 }, { x: 1, y: 3 }]);
    expect(found).toHaveLength(4);
    expect(found).toEqual(expect.arrayContaining(square));
    expect(hull([{ x: 1, y: 1 }])).toEqual([{ x: 1, y: 1 }]);
    expect(boxOf([])).toBeNull();
    expect(boxOf(square, 0)).toEqual({ x: [-20, 24], y: [-20, 24] });
  });
});

describe("what breaks", () => {
  it("marks what fails and what it touches, and nothing twice", () => {
    const none = { broken_paths: [], rerouted_paths: [], stranded_paths: [], impacted_services: [], impacted_prefixes: [], disconnected: [], drained: [], drawn_as: { "host:db@tokyo": ["host:10.0.0.5", "host:db"] } };
    const impact = {
      ...none,
      failed: ["hop:b", "service:db", "host:db@tokyo"],
      broken_paths: [{ from: "agent:x", to: "service:db", route: ["agent:x", "hop:b", "service:db"], status: "inferred" as const }],
      rerouted_paths: [{ from: "agent:x", to: "host:h", route: ["agent:x", "hop:b", "host:h"], alt_route: ["agent:x", "hop:c", null, "host:h"], status: "observed" as const, last_taken: null, flows: 2, flows_affected: 1 }],
      impacted_services: [{ id: "service:web", distance: 1 }],
    } as unknown as Parameters<typeof blastOf>[0];
    const { failed, touched } = blastOf(impact);
    expect([...failed]).toEqual(["hop:b", "service:db", "host:10.0.0.5", "host:db"]);
    expect([...touched].sort()).toEqual(["agent:x", "hop:c", "host:h", "service:web"]);
  });
});
