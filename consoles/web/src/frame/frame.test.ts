import { describe, expect, it } from "vitest";

import type { Plane, Sites } from "../api/types";
import { freshnessText } from "./freshness";
import { find, merge } from "./find";
import { aWhileBefore, historyWindow, segments } from "./history";
import { roomsFor } from "./rooms";
import { closeLast, oneSite, parseSearch, toggle, type Search } from "./search";

const plane = (name: string): Plane => ({ plane: name, state: "off", reason: "", remedy: "", method: "", since: "2026-11-21T04:00:00.000Z", counters: {} });

describe("the URL", () => {
  it("is read strictly: what is not valid is left out", () => {
    expect(parseSearch({ site: "tokyo,berlin,tokyo,<x>", at: "2026-11-21T04:00:00Z", el: "host:a", hide: "host,B", view: "other", q: "" })).toEqual({
      site: "berlin,tokyo", at: "2026-11-21T04:00:00.000Z", el: "host:a", hide: "host",
    });
    expect(parseSearch({ at: "yesterday", el: "x".repeat(701), site: 12 })).toEqual({ site: "12" });
  });
  it("holds a question in SQL and its time, within the node's bounds", () => {
    const sql = "SELECT 'x'\n" + "-".repeat(2000);
    expect(parseSearch({ sql, wait: 5000 })).toEqual({ sql, wait: "5000" });
    expect(parseSearch({ sql: "-".repeat(16 * 1024 + 1), wait: 60_000 })).toEqual({});
    expect(parseSearch({ wait: "soon" })).toEqual({});
  });
  it("holds a question about flows, and leaves out what is none", () => {
    const flows = { tab: "exporters", dims: "src,dst_port", metric: "packets", window: "6h", filter: "src = 10.0.0.0/8", chart: "sankey", prev: "1", once: "1" } as const;
    expect(parseSearch({ ...flows, dims: "src,dst_port,src,<x>", prev: 1 })).toEqual(flows);
    expect(parseSearch({ tab: "x", dims: "SRC", metric: "bytes", window: "1y", filter: "", chart: "pie", prev: "yes" })).toEqual({});
  });
  it("holds a list that names come into and go out of", () => {
    expect(toggle(undefined, "tokyo")).toBe("tokyo");
    expect(toggle("tokyo", "berlin")).toBe("berlin,tokyo");
    expect(toggle("tokyo", "tokyo")).toBeUndefined();
    expect([oneSite("tokyo"), oneSite("berlin,tokyo"), oneSite(undefined)]).toEqual(["tokyo", undefined, undefined]);
  });
});

describe("questions in the URL", () => {
  it("are kept where they can be answered", () => {
    const at = "2026-11-21T04:00:00.000Z";
    expect(parseSearch({ at, diff: "2026-11-21T03:00:00Z", fail: "hop:a", fail2: "hop:b", side: "ranking", by: "as", open: "as:64500" })).toEqual({
      at, diff: "2026-11-21T03:00:00.000Z", fail: "hop:a", fail2: "hop:b", side: "ranking", by: "as", open: "as:64500",
    });
    expect(parseSearch({ at, diff: at, fail2: "hop:b", side: "else", by: "colour" })).toEqual({ at });
  });
  it("are closed by Escape one at a time, the last opened first, until none is left", () => {
    let open: Search = { at: "2026-11-21T04:00:00.000Z", diff: "2026-11-21T03:00:00.000Z", side: "ranking", open: "berlin", fail: "hop:a", fail2: "hop:b", el: "host:b" };
    const closed: string[] = [];
    for (let n = 0; n < 10; n++) {
      const change = closeLast(open);
      if (Object.keys(change).length === 0) break;
      closed.push(Object.keys(change).join("+"));
      open = Object.fromEntries(Object.entries(open).filter(([key]) => !(key in change)));
    }
    expect(closed).toEqual(["el", "fail2", "fail", "open", "side", "diff"]);
    expect(open).toEqual({ at: "2026-11-21T04:00:00.000Z" });
    expect(Object.keys(closeLast({ el: "hop:a", fail: "hop:a" }))).toEqual(["el", "fail"]);
  });
});

describe("rooms", () => {
  it("appear when their plane exists, even while it is off", () => {
    expect(roomsFor([plane("host")]).map((room) => room.label)).toEqual(["Overview", "Topology", "Incidents", "Paging", "SLOs", "Alerts", "Changes", "Hosts", "Endpoints", "Mesh", "Ask", "Settings"]);
    expect(roomsFor(undefined)).toHaveLength(14);
  });
});

describe("freshness", () => {
  const site = (name: string, state: Sites["items"][number]["state"], as_of: string | null): Sites["items"][number] => ({ site: name, is_self: false, state, as_of, last_heard: as_of, nodes: [], elements: { nodes: 0, edges: 0 } });
  const sites = (items: Sites["items"]): Sites => ({ mesh_running: true, replicating: true, replicating_reason: null, self_site: "berlin", cut_off: null, items, conflicts: [], counters: {} });
  const now = Date.parse("2026-11-21T04:00:10.000Z");
  it("counts who is heard and how old the oldest of them is", () => {
    const some = sites([site("berlin", "here", "2026-11-21T04:00:10.000Z"), site("tokyo", "live", "2026-11-21T04:00:06.000Z"), site("oslo", "unreachable", "2026-11-21T03:00:00.000Z")]);
    expect(freshnessText(some, now)).toEqual({ text: "2 of 3 sites heard, oldest 4 s", tone: "bad" });
    expect(freshnessText(sites([site("berlin", "never_heard", null)]), now)).toEqual({ text: "0 of 1 sites heard", tone: "warn" });
  });
});

describe("find", () => {
  const nodes = ["service:web", "host:aweb", "service:webshop"].map((id) => ({ id, kind: id.split(":")[0] as "host", label: id.split(":")[1] ?? "", sites: ["berlin"], since: "", aliases: [], attributes: {} }));
  it("puts names that begin with the text first and is bounded", () => {
    expect(find("WEB", [], [], nodes, []).map((each) => each.name)).toEqual(["web", "webshop", "aweb"]);
    const many = Array.from({ length: 50_000 }, (_, n) => ({ ...nodes[0], id: `host:web${n}`, label: `web${n}` }) as (typeof nodes)[number]);
    expect(find("web", [], [], many, []).length).toBeLessThanOrEqual(30);
  });
});

describe("merge", () => {
  const nodes = ["service:web", "host:aweb"].map((id) => ({ id, kind: id.split(":")[0] as "host", label: id.split(":")[1] ?? "", sites: ["berlin"], since: "", aliases: [], attributes: {} }));
  const found = (group: "Pages" | "Elements" | "Actions", id: string) => ({ group, id, name: id, note: "", icon: "topology" as const });
  it("takes the node's order and what only the node found, and keeps edges, pages and actions", () => {
    const local = [found("Pages", "/"), found("Elements", "host:aweb"), found("Elements", "service:web"), found("Elements", "a|flow|b"), found("Actions", "live")];
    const merged = merge(local, ["service:web", "prefix:10.0.0.0/8", "host:aweb"], nodes);
    expect(merged.map((each) => each.id)).toEqual(["/", "service:web", "prefix:10.0.0.0/8", "host:aweb", "a|flow|b", "live"]);
    expect(merged[2]).toMatchObject({ name: "10.0.0.0/8", note: "prefix · not in this scope" });
    const edges = merge(local, ["a|flow|b", "service:web|flow|host:aweb"], nodes);
    expect(edges.map((each) => each.id)).toEqual(["/", "a|flow|b", "service:web|flow|host:aweb", "live"]);
    expect(edges[2]).toMatchObject({ name: "service:web → host:aweb", note: "flow", icon: "out" });
  });
});

describe("history", () => {
  it("knows a moment to compare with only where one lies before", () => {
    const topology = { at: "2026-11-21T05:00:00.000Z", earliest: "2026-11-21T04:50:00.000Z" };
    expect(aWhileBefore(topology, undefined)).toBe("2026-11-21T04:50:00.000Z");
    expect(aWhileBefore(topology, undefined, 60_000)).toBe("2026-11-21T04:59:00.000Z");
    expect(aWhileBefore(topology, topology.earliest)).toBeUndefined();
    expect(aWhileBefore({ ...topology, earliest: null }, undefined)).toBeUndefined();
  });
  const now = Date.parse("2026-11-21T05:00:00.000Z");
  const intervals = [{ from: "2026-11-21T04:00:00.000Z", to: "2026-11-21T04:30:00.000Z" }, { from: "2026-11-21T04:45:00.000Z", to: null }];
  it("keeps the gap", () => {
    const range = historyWindow({ sites: [{ site: "berlin", intervals, attributes: {}, attributes_at: null, history: [], history_from: null }] }, now);
    expect(segments(intervals, range)).toEqual([{ x: 0, width: 50, open: false }, { x: 75, width: 25, open: true }]);
  });
  it("shows ten minutes at least", () => {
    expect(historyWindow({ sites: [] }, now)).toEqual({ from: now - 600_000, to: now });
  });
});
