import { describe, expect, it } from "vitest";

import type { MeshView } from "../../api/types";
import { MATRIX_MOST, matrixOf, reachOf, standingOf, waysOf } from "./reach";

type Given = Parameters<typeof reachOf>[0];
const at = "2026-11-21T04:00:00.000Z";
const everywhere = () => true;

/** `a: +b -c ~d` says that a reaches b, not c, and did not try d. */
function mesh(own: string, ...views: string[]): Given {
  return {
    site: own, lags: [], members: [],
    views: views.map((text, n): MeshView["views"][number] => {
      const [by = "", rest = ""] = text.split(":");
      const words = { "+": "yes", "-": "no", "~": "not_tried" } as const;
      return { site: by, node: `n${n}`, as_of: at, reached: rest.trim().split(" ").filter(Boolean).map((word) => ({ site: word.slice(1), reached: words[word[0] as "+"] })) };
    }),
  };
}

describe("reachOf", () => {
  it("knows sites that are only spoken of, lag or are members", () => {
    const given = mesh("a", "a: +b -c");
    const reach = reachOf({ ...given, lags: [{ site: "d", state: "never_heard", as_of: null, lag_ms: null }] });
    expect(reach.sites).toEqual(["a", "b", "c", "d"]);
    expect([...reach.viewed]).toEqual(["a"]);
  });
  it("takes what one node of a site reaches as reached, in any order", () => {
    for (const views of [["a: +b", "a: -b"], ["a: -b", "a: +b"]]) expect(reachOf(mesh("a", ...views)).says("a", "b")).toBe("yes");
    expect(reachOf(mesh("a", "a: ~b", "a: -b")).says("a", "b")).toBe("no");
  });
  it("tells no view from not tried", () => {
    const reach = reachOf(mesh("a", "a: ~b"));
    expect([reach.says("a", "b"), reach.says("b", "a")]).toEqual(["not_tried", "none"]);
  });
});

describe("waysOf", () => {
  const state = (...views: string[]) => Object.fromEntries(waysOf(reachOf(mesh("a", ...views)), everywhere).map((way) => [`${way.a}${way.b}`, way.state]));
  it("calls a way open, down, half or untried by what both ends say", () => {
    expect(state("a: +b -c +d ~e", "b: +a", "c: -a", "d: -a", "e: ~a")).toEqual({ ab: "open", ac: "broken", ad: "half", ae: "untried" });
  });
  it("needs one end to say something", () => {
    expect(state("a: +b +c")).toEqual({ ab: "open", ac: "open" });
  });
  it("leaves out what is not in scope", () => {
    expect(waysOf(reachOf(mesh("a", "a: +b +c")), (site) => site !== "c")).toHaveLength(1);
  });
});

describe("matrixOf", () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => `s${String(n).padStart(4, "0")}`);
  it("has all sites up to forty", () => {
    const sites = many(MATRIX_MOST);
    const matrix = matrixOf(reachOf(mesh("s0000", `s0000: ${sites.slice(1).map((site) => `+${site}`).join(" ")}`)), everywhere);
    expect([matrix.rows, matrix.columns, matrix.troubleOnly]).toEqual([sites, sites, false]);
  });
  it("has only who tries in vain, and whom, above", () => {
    const sites = many(2000);
    const others = sites.slice(1).map((site) => (site === "s0007" || site === "s1999" ? `-${site}` : `+${site}`)).join(" ");
    const matrix = matrixOf(reachOf(mesh("s0000", `s0000: ${others}`, "s0001: +s0000 -s1999")), everywhere);
    expect(matrix).toEqual({ rows: ["s0000", "s0001"], columns: ["s0007", "s1999"], troubleOnly: true, leftOut: { rows: 0, columns: 0 } });
  });
  it("shows the forty with most trouble, and says how many it leaves out", () => {
    const sites = many(100);
    const views = sites.slice(0, 50).map((by, n) => `${by}: -s0099${n < 45 ? " -s0098" : ""}`);
    const matrix = matrixOf(reachOf(mesh("s0000", ...views, `s0097: ${sites.slice(0, 60).map((site) => `-${site}`).join(" ")}`)), everywhere);
    expect(matrix.rows).toHaveLength(MATRIX_MOST);
    expect(matrix.rows).toContain("s0097");
    expect(matrix.columns).toContain("s0099");
    expect(matrix.leftOut).toEqual({ rows: 11, columns: 22 });
  });
  it("is empty when a large mesh has no trouble", () => {
    const sites = many(50);
    expect(matrixOf(reachOf(mesh("s0000", `s0000: ${sites.slice(1).map((site) => `+${site}`).join(" ")}`)), everywhere)).toMatchObject({ rows: [], columns: [], troubleOnly: true });
  });
});

describe("standingOf", () => {
  it("tells who reaches a site, who does not, and nothing of what it did not say", () => {
    const reach = reachOf(mesh("a", "a: +b -c", "b: +a -c ~d"));
    expect(standingOf(reach, "c")).toEqual({ reachedBy: [], notReachedBy: ["a", "b"], says: null });
    expect(standingOf(reach, "b")).toEqual({ reachedBy: ["a"], notReachedBy: [], says: { reaches: ["a"], not: ["c"], notTried: ["d"] } });
  });
});
