import { describe, expect, it } from "vitest";

import { caveats, entryText, happenings, splittable, stateCount, statesAsked, verdictText } from "./incidents";

const vantages = (failed: string[], fine: string[] = [], cut_off: string[] = []) => ({ failed, fine, cut_off });

describe("verdictText", () => {
  it("says from how many places it looks bad", () => {
    expect(verdictText({ verdict: "target_down", vantages: vantages(["a", "b"]) })).toBe("from all 2 that look: the target");
    expect(verdictText({ verdict: "path", vantages: vantages(["a", "b"], ["c"]) })).toBe("from 2 of 3: a way that they share");
    expect(verdictText({ verdict: "one_vantage", vantages: vantages(["a"], ["b", "c"]) })).toBe("only from a, of 3");
    expect(verdictText({ verdict: "us", vantages: vantages([], ["b"], ["a"]) })).toBe("a is cut off: the trouble is there");
    expect(verdictText({ verdict: "unconfirmed", vantages: vantages(["b"], [], ["a"]) })).toBe("from b; no other looks; a is cut off and does not count");
    expect(verdictText({ verdict: "unconfirmed", vantages: vantages(["a"]) })).toBe("from a; no other looks");
  });
});

describe("states", () => {
  const states = { open: 3, reopened: 2, acknowledged: 1, mitigated: 0, resolved: 7 };
  it("counts what a tab holds", () => {
    expect(stateCount("unresolved", states)).toBe(6);
    expect(stateCount("open", states)).toBe(5);
    expect(stateCount("all", states)).toBe(13);
    expect(stateCount("resolved", states)).toBe(7);
  });
  it("asks for those that are there again with the open ones", () => {
    expect(statesAsked("open")).toEqual(["open", "reopened"]);
    expect(statesAsked("unresolved")).toEqual(["unresolved"]);
  });
});

describe("caveats", () => {
  it("tells what the state alone does not", () => {
    expect(caveats({ state: "open", firing: true, flapping: false, conflicts: [] })).toEqual([]);
    const action = { at: "2026-11-21T03:00:00.000Z", kind: "action" as const, what: "ack", by: "ada at berlin", text: "", value: null };
    expect(caveats({ state: "resolved", firing: true, flapping: true, conflicts: [{ field: "state", actions: [action, action] }] })).toEqual(["comes and goes", "resolved by hand, still firing", "state disputed by 2"]);
  });
});

describe("entryText", () => {
  const entry = { at: "2026-11-21T03:00:00.000Z", by: "x", value: null };
  it("reads as a sentence", () => {
    expect(entryText({ ...entry, kind: "raised", what: "icmp_failed", value: "host:a", text: "no answer" })).toBe("icmp_failed raised host:a — no answer");
    expect(entryText({ ...entry, kind: "state", what: "resolved", text: "" })).toBe("now resolved");
    expect(entryText({ ...entry, kind: "action", what: "note", text: "the fan is loud" })).toBe("note — the fan is loud");
  });
});

describe("happenings", () => {
  const entry = (at: string, what: string) => ({ at, kind: "raised" as const, what, by: "x", text: "", value: null });
  const ranked = (at: string, id: string) => ({ change: { at, id } as Parameters<typeof happenings>[1][number]["change"] });
  const told = (all: ReturnType<typeof happenings>) => all.map((each) => each.change?.id ?? each.entry?.what);
  it("puts changes among entries by their time, of one moment the change first", () => {
    const entries = [entry("2026-11-21T03:00:00.000Z", "one"), entry("2026-11-21T03:00:00.000Z", "two"), entry("2026-11-21T03:05:00.000Z", "three")];
    // The likeliest comes first, which is no order of time.
    const changes = [ranked("2026-11-21T03:00:00Z", "same moment"), ranked("2026-11-21T04:00:00.000Z", "after"), ranked("2026-11-20T22:00:00.000Z", "before"), ranked("2026-11-21T05:01:00.000+02:00", "between")];
    expect(told(happenings(entries, changes))).toEqual(["before", "same moment", "one", "two", "between", "three", "after"]);
  });
  it("is the entries as they came where no change is known, and changes alone otherwise", () => {
    expect(told(happenings([entry("2026-11-21T03:00:00.000Z", "one")], []))).toEqual(["one"]);
    expect(told(happenings([], [ranked("2026-11-21T03:00:00.000Z", "alone")]))).toEqual(["alone"]);
  });
});

describe("splittable", () => {
  it("offers every fault but the first, by what it is about", () => {
    const report = (fault: string, target: string) => ({ fault, target });
    const detail = { incident: { also: ["i-2", "i-3"] }, reports: [report("i-1", "host:a"), report("i-2", "host:b"), report("i-2", "host:b")] };
    expect(splittable(detail as unknown as Parameters<typeof splittable>[0])).toEqual([{ fault: "i-2", about: "host:b" }, { fault: "i-3", about: "i-3" }]);
  });
});
