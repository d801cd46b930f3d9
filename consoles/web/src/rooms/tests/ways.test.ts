import { describe, expect, it } from "vitest";

import type { TestHop, TestInterface } from "../../api/types";
import { changeText, factsOf, percentText, picture, underText } from "./ways";

const one = (address: string, ms: number, more: Partial<TestInterface> = {}): TestInterface => ({ address, rtt_min_ms: ms, rtt_avg_ms: ms, rtt_max_ms: ms, reached: false, unreachable: null, labels: [], rewritten: false, system: null, system_name: null, country: null, place: null, latitude: null, longitude: null, name: null, ...more });
const hop = (ttl: number, interfaces: TestInterface[], lost = 0): TestHop => ({ ttl, sent: 10, lost, silent: 0, per_packet: false, rate_limited: false, meshed: false, interfaces, aliases: [] });

describe("the picture of the ways", () => {
  const hops = [hop(1, [one("10.0.0.1", 1)]), hop(2, [one("10.2.0.2", 2), one("10.2.0.1", 2)], 1), hop(3, []), hop(4, [one("192.0.2.9", 90, { reached: true })])];
  const links = [{ ttl: 1, from: "10.0.0.1", to: "10.2.0.1" }, { ttl: 1, from: "10.0.0.1", to: "10.2.0.2" }];
  const drawn = picture({ hops, links });

  it("has a box for each interface and each silent hop, from left to right, and none over another", () => {
    expect(drawn.nodes.map((node) => node.id)).toEqual(["1 10.0.0.1", "2 10.2.0.1", "2 10.2.0.2", "3 *", "4 192.0.2.9"]);
    const places = new Set(drawn.nodes.map((node) => `${node.x} ${node.y}`));
    expect(places.size).toBe(drawn.nodes.length);
    for (const node of drawn.nodes) {
      expect(node.x + drawn.box.width).toBeLessThanOrEqual(drawn.width);
      expect(node.y).toBeGreaterThanOrEqual(0);
      expect(node.y + drawn.box.height).toBeLessThanOrEqual(drawn.height);
    }
  });

  it("draws what was seen as links, and what nobody knows as guesses", () => {
    expect(drawn.edges.filter((edge) => !edge.guessed)).toHaveLength(2);
    expect(drawn.edges.filter((edge) => edge.guessed).map((edge) => edge.id)).toEqual(["2 10.2.0.1 3 *", "2 10.2.0.2 3 *", "3 * 4 192.0.2.9"]);
  });

  it("shows thresholds as states", () => {
    expect(drawn.nodes.map((node) => node.look.word)).toEqual(["answers", "loses many", "loses many", "silent", "slow"]);
    const few = picture({ hops: [{ ...hop(1, [one("10.0.0.1", 1)], 1), sent: 100 }], links: [] });
    expect(few.nodes[0]?.look.word).toBe("loses some");
    const ends = picture({ hops: [hop(1, [one("10.0.0.1", 1, { unreachable: 13 })])], links: [] });
    expect(ends.nodes[0]?.look.word).toBe("goes no further");
  });

  it("keeps the order of those that lead there, so that links do not cross", () => {
    const two = [hop(1, [one("a", 1), one("b", 1)]), hop(2, [one("c", 1), one("d", 1)])];
    const crossed = picture({ hops: two, links: [{ ttl: 1, from: "a", to: "d" }, { ttl: 1, from: "b", to: "c" }] });
    expect(crossed.nodes.map((node) => node.interface?.address)).toEqual(["a", "b", "d", "c"]);
  });

  it("marks a tunnel where both ends saw labels", () => {
    const labelled = [hop(1, [one("a", 1, { labels: [16] })]), hop(2, [one("b", 1, { labels: [17] })]), hop(3, [one("c", 1)])];
    const tunnel = picture({ hops: labelled, links: [{ ttl: 1, from: "a", to: "b" }, { ttl: 2, from: "b", to: "c" }] });
    expect(tunnel.edges.map((edge) => edge.tunnel)).toEqual([true, false]);
  });

  it("is small and whole without hops, and leaves out links to nothing", () => {
    expect(picture({ hops: [], links: [] }).nodes).toEqual([]);
    expect(picture({ hops: [hop(1, [one("a", 1)])], links: [{ ttl: 1, from: "a", to: "x" }, { ttl: 9, from: "y", to: "a" }] }).edges).toEqual([]);
  });
});

it("says in words what boxes are short for", () => {
  const aliases = [{ addresses: ["10.0.0.1", "10.0.0.2"], chance: 0.00012 }];
  const [node] = picture({ hops: [{ ...hop(3, [one("10.0.0.1", 1.5, { system: 64496, system_name: "Example", country: "DE", place: "Frankfurt, DE", latitude: 50.11, longitude: 8.684, labels: [16, 17], rewritten: true, name: "ge-0/0/1" })], 2), aliases }], links: [] }).nodes;
  if (!node) throw new Error("a box");
  expect(underText(node)).toBe("1.50 ms −20 % AS64496 MPLS NAT");
  expect(Object.fromEntries(factsOf(node))).toMatchObject({ AS: "64496 Example, DE", "MPLS labels": "16, 17", interface: "ge-0/0/1", place: "Frankfurt, DE (50.11, 8.68)", "one router?": "with 10.0.0.2: their replies are numbered by one counter (by chance: at most 0.0002)", probes: "10: 2 lost on the way (20 %), 0 not answered by the hop itself" });
  expect([null, 0, 0.001, 0.999].map(percentText)).toEqual(["–", "0 %", "<1 %", "99 %"]);
  const change = { site: "berlin", target: "shop", protocol: "udp", at: "2026-11-22T20:00:00Z", changed: ["hops", "as_path", "mtu"], added: ["10.0.0.1"], removed: [], as_path: "1 3", as_path_before: "1 2", mtu: 1400, mtu_before: 1500 };
  expect(changeText(change)).toBe("new: 10.0.0.1; AS path 1 3 instead of 1 2; path MTU 1400 instead of 1500");
  expect(changeText({ ...change, added: [], as_path: null, as_path_before: null, mtu: null, changed: ["reached"] })).toBe("reached");
});
