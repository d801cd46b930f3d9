import { describe, expect, it } from "vitest";

import type { NodeKind, TopologyEdge, TopologyNode } from "../../api/types";
import { clustered, groupOf, lifted, standsFor } from "./cluster";
import { bestGrouping, membersBy, NONE, SEVERAL, type Grouping } from "./members";
import type { DrawnEdge, DrawnNode, Look, Picture } from "./model";
import { bitsOf, PrefixTable } from "./prefixes";

const since = "2026-11-21T04:00:00.000Z";
const node = (id: string, sites = ["berlin"]): TopologyNode => ({ id, kind: id.slice(0, id.indexOf(":")) as NodeKind, label: id, sites, since, aliases: [], attributes: {} });
const edge = (from: string, kind: TopologyEdge["kind"], to: string): TopologyEdge => ({ id: `${from}|${kind}|${to}`, from, to, kind, sites: ["berlin"], since, provenance: "observed", attributes: {} });

/** Numbers that are the same at every start. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** A topology nobody thought out: `size` nodes of all kinds, addresses inside and outside of prefixes, edges anywhere. */
function anyTopology(seed: number, size: number): { nodes: TopologyNode[]; edges: TopologyEdge[] } {
  const random = numbers(seed);
  const below = (n: number) => Math.floor(random() * n);
  const sites = ["berlin", "tokyo", "oslo"];
  const ids = new Set<string>();
  const some: ((n: number) => string)[] = [
    (n) => `host:10.${below(4)}.${below(4)}.${n % 256}`, (n) => `hop:2001:db8:${below(4)}::${n.toString(16)}`, (n) => `service:s${n}`,
    () => `prefix:10.${below(4)}.0.0/16`, () => `prefix:2001:db8:${below(4)}::/48`, () => `as:${64500 + below(5)}`, (n) => `host:name${n}.example`,
  ];
  while (ids.size < size) ids.add((some[below(some.length)] ?? String)(ids.size + below(1000)));
  const nodes = [...ids].map((id) => node(id, sites.filter(() => random() < 0.5)));
  const one = () => nodes[below(nodes.length)]?.id ?? "";
  const kinds = ["flow", "path", "routing", "device"] as const;
  const edges = new Map(Array.from({ length: 2 * size }, () => edge(one(), kinds[below(4)] ?? "flow", one())).map((each) => [each.id, each]));
  return { nodes, edges: [...edges.values()] };
}

function drawn({ nodes, edges }: ReturnType<typeof anyTopology>, seed: number): Picture {
  const random = numbers(seed);
  const look = (): Look => (["live", "live", "live", "stale", "bad"] as const)[Math.floor(random() * 5)] ?? "live";
  return {
    nodes: nodes.map((each): DrawnNode => ({ id: each.id, label: each.label, kind: each.kind, look: look(), sites: each.sites, degree: 0 })),
    edges: edges.map((each): DrawnEdge => ({ id: each.id, from: each.from, to: each.to, look: "live", inferred: false, sites: each.sites })),
    sites: [],
  };
}

const GROUPINGS: readonly Grouping[] = ["site", "as", "prefix"];

describe("groups of any topology", () => {
  it.each(GROUPINGS)("by %s count everything once and come out the same in any order", (by) => {
    for (let seed = 1; seed <= 20; seed++) {
      const topology = anyTopology(seed, 20 + seed * 15);
      const whole = drawn(topology, seed);
      const groups = membersBy(by, topology.nodes, topology.edges);
      expect([...groups.keys()].sort()).toEqual(topology.nodes.map((each) => each.id).sort());
      for (const open of [undefined, [...groups.values()][0]]) {
        const picture = clustered(whole, groups, open, "");
        const discs = picture.nodes.flatMap((each) => each.cluster ?? []);
        const alone = picture.nodes.filter((each) => !each.cluster);
        expect(discs.reduce((sum, each) => sum + each.count, 0) + alone.length).toBe(whole.nodes.length);
        expect(new Set(discs.map((each) => each.group)).size).toBe(discs.length);
        for (const each of alone) expect(groups.get(each.id)).toBe(open);
        for (const each of discs) expect(each.kinds.reduce((sum, [, count]) => sum + count, 0)).toBe(each.count);
        const lines = picture.edges.reduce((sum, each) => sum + (each.merged ?? 1), 0);
        expect(lines + discs.reduce((sum, each) => sum + each.inner, 0)).toBe(whole.edges.length);
        const there = new Set(picture.nodes.map((each) => each.id));
        for (const each of picture.edges) expect(there.has(each.from) && there.has(each.to)).toBe(true);
        const turned = { ...whole, nodes: [...whole.nodes].reverse(), edges: [...whole.edges].reverse() };
        const again = clustered(turned, membersBy(by, [...topology.nodes].reverse(), [...topology.edges].reverse()), open, "");
        expect(sorted(again)).toEqual(sorted(picture));
      }
    }
  });
});

function sorted(picture: Picture) {
  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
  return { nodes: [...picture.nodes].sort(byId), edges: [...picture.edges].sort(byId) };
}

describe("a disc", () => {
  it("has the worst state of its nodes and counts them", () => {
    const nodes: DrawnNode[] = (["live", "bad", "stale", "bad"] as const).map((look, n) => ({ id: `host:${n}`, label: "", kind: "host", look, sites: ["berlin"], degree: 0 }));
    const picture = clustered({ nodes, edges: [], sites: [] }, new Map(nodes.map((each) => [each.id, "berlin"])), undefined, "");
    expect(picture.nodes).toHaveLength(1);
    expect(picture.nodes[0]).toMatchObject({ id: "cluster:berlin", look: "bad", sites: ["berlin"], cluster: { count: 4, worst: 2, kinds: [["host", 4]] } });
    expect([groupOf("cluster:berlin"), groupOf("host:berlin")]).toEqual(["berlin", null]);
  });
});

describe("a question about a picture of groups", () => {
  const nodes: DrawnNode[] = ["host:a", "host:b", "host:c"].map((id) => ({ id, label: "", kind: "host", look: "live", sites: [], degree: 0 }));
  const groups = new Map([["host:a", "berlin"], ["host:b", "berlin"], ["host:c", "tokyo"]]);
  it("is answered by the discs, and by what is open", () => {
    const blast = { failed: new Set(["host:a"]), touched: new Set(["host:b", "host:c"]) };
    const closed = lifted(blast, groups, undefined);
    expect([[...closed.failed], [...closed.touched], [...(closed.notes ?? [])]]).toEqual([["cluster:berlin"], ["cluster:berlin", "cluster:tokyo"], [["cluster:berlin", "1 fail · 1 touched"], ["cluster:tokyo", "1 touched"]]]);
    expect([...lifted(blast, groups, "tokyo").touched]).toEqual(["cluster:berlin", "host:c"]);
  });
  it("finds what stands for an element and for the beginning of an edge", () => {
    const picture = clustered({ nodes, edges: [], sites: [] }, groups, "tokyo", "");
    expect(["host:a", "host:a|flow|host:c", "host:c", "host:gone"].map((id) => standsFor(picture, groups, id))).toEqual(["cluster:berlin", "cluster:berlin", "host:c", undefined]);
  });
});

describe("membership", () => {
  const nodes = ["as:64500", "as:64501", "prefix:10.0.0.0/8", "prefix:10.1.0.0/16", "prefix:192.0.2.0/24", "host:10.1.2.3", "hop:10.9.0.1", "host:192.0.2.7", "hop:198.51.100.1", "service:web", "device:gw"].map((id) => node(id));
  const edges = [
    edge("as:64500", "routing", "prefix:10.0.0.0/8"), edge("as:64500", "routing", "prefix:192.0.2.0/24"), edge("as:64501", "routing", "prefix:192.0.2.0/24"),
    edge("device:gw", "routing", "as:64501"), edge("host:10.1.2.3", "flow", "service:web"),
  ];
  it("by prefix is the longest match", () => {
    const groups = membersBy("prefix", nodes, edges);
    expect(["host:10.1.2.3", "hop:10.9.0.1", "hop:198.51.100.1", "service:web", "prefix:10.1.0.0/16"].map((id) => groups.get(id)))
      .toEqual(["prefix:10.1.0.0/16", "prefix:10.0.0.0/8", NONE.prefix, NONE.prefix, "prefix:10.1.0.0/16"]);
  });
  it("by AS is who originates the longest prefix that anybody is seen to originate", () => {
    const groups = membersBy("as", nodes, edges);
    expect(["host:10.1.2.3", "host:192.0.2.7", "device:gw", "service:web", "as:64501", "prefix:10.0.0.0/8"].map((id) => groups.get(id)))
      .toEqual(["as:64500", SEVERAL.as, "as:64501", NONE.as, "as:64501", "as:64500"]);
  });
  it("by site keeps what several sites see apart, and is chosen where it tells nodes apart", () => {
    const two = [node("host:a", ["berlin"]), node("host:b", ["berlin", "tokyo"]), node("host:c", [])];
    expect([...membersBy("site", two, []).values()]).toEqual(["berlin", SEVERAL.site, NONE.site]);
    expect(bestGrouping(two, [])).toBe("site");
    expect(bestGrouping(nodes, edges)).toBe("as");
    expect(bestGrouping([node("host:a"), node("host:b")], [])).toBeNull();
  });
});

describe("prefixes", () => {
  it("reads addresses of both kinds and nothing else", () => {
    expect(bitsOf("192.0.2.1")).toHaveLength(33);
    expect(bitsOf("2001:db8::1")).toHaveLength(129);
    expect(bitsOf("::ffff:192.0.2.1")).toBe(bitsOf("192.0.2.1"));
    expect(bitsOf("2001:DB8:0:0:0:0:0:1")).toBe(bitsOf("2001:db8::1"));
    for (const text of ["", "shop.example", "256.1.1.1", "1.2.3", "1:2:3", "::1::", "1:2:3:4:5:6:7:8:9", "12345::", "fe80::1%eth0", ":".repeat(60)]) expect(bitsOf(text), text).toBeNull();
  });
  it("finds the longest that holds the address, of the same family", () => {
    const table = new PrefixTable();
    for (const prefix of ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]) expect(table.add(prefix, prefix)).toBe(true);
    for (const prefix of ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/", "/8"]) expect(table.add(prefix, prefix), prefix).toBe(false);
    expect(["10.1.9.9", "10.2.0.1", "192.0.2.1", "2001:db8::5", "2001:db9::5"].map((text) => table.find(bitsOf(text)))).toEqual(["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", undefined]);
  });
});
