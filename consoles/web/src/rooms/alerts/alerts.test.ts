import { describe, expect, test } from "vitest";

import { groupText, hoursText, lines, matchersOf, NEW_RULE, offsetOf, picture, previewText, problemsIn, rounded, yaml } from "./alerts";

describe("alerts", () => {
  test("an object is written as people write it, and only what must be is quoted", () => {
    const rule = { severity: "critical", name: "lost", kind: "AlertRule", where: "probe = 'icmp'", labels: { team: "net", on: "yes" }, by: ["peer.site"], condition: { outside: [1, 2.5] }, every: "30s" };
    expect(yaml(rule)).toBe(
      "kind: AlertRule\nname: lost\nseverity: critical\nlabels: { team: net, \"on\": \"yes\" }\nwhere: \"probe = 'icmp'\"\nby: [peer.site]\nevery: 30s\ncondition: { outside: [1, 2.5] }\n",
    );
    expect(NEW_RULE.startsWith("kind: AlertRule\n")).toBe(true);
  });

  test("what is wrong is marked where it begins", () => {
    const text = "kind: AlertRule\nname: Ä b\nvalue:";
    const marked = lines(text, [{ line: 2, column: 7, path: "name", text: "is no name" }, { line: 3, column: 40, path: "value", text: "it is missing" }]);
    expect(marked.map(({ before, wrong }) => [before, wrong])).toEqual([["kind: AlertRule", ""], ["name: ", "Ä b"], ["value", ":"]]);
    expect(lines("", [{ line: 1, column: 1, path: "", text: "empty" }])[0]).toMatchObject({ before: "", wrong: " " });
    expect(offsetOf(text, 2, 7)).toBe(22);
    expect(offsetOf(text, 99, 1)).toBe(text.length);
  });

  test("problems of a refusal are found in its message", () => {
    const message = "line 3, column 8: value: it is missing; line 12, column 1: colour: it is not evaluated; really";
    expect(problemsIn(message)).toEqual([
      { line: 3, column: 8, path: "", text: "value: it is missing" },
      { line: 12, column: 1, path: "", text: "colour: it is not evaluated; really" },
    ]);
    expect(problemsIn("the disk is full")).toEqual([]);
  });

  test("a line is interrupted where nothing was measured, and limits have their place", () => {
    const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
    const point = (minute: number, value: number | null, least: number | null = null, most: number | null = null) => ({ at: at(minute), value, least, most });
    const preview = { from: at(0), to: at(10), above: 10, below: null };
    const group = { group: {}, points: [point(0, 0), point(2, 20), point(4, null), point(6, 5)], firings: [{ since: at(1), at: at(2), end: null }] };
    const found = picture(preview, group, 100, 105);
    expect(found.pieces).toEqual(["0.0,105.0 20.0,5.0", "60.0,80.0 60.0,80.0"]);
    expect([found.above, found.below, found.low, found.high]).toEqual([55, null, 0, 21]);
    expect(found.firings).toEqual([{ held: 10, from: 20, to: 100 }]);
    const banded = picture({ ...preview, above: null }, { ...group, points: [point(0, 1, 0, 2), point(10, 1, 0, 2)], firings: [] }, 100, 105);
    expect(banded.band.split(" ")).toHaveLength(4);
    expect(picture(preview, { group: {}, points: [], firings: [] }, 10, 10).pieces).toEqual([]);
  });

  test("words", () => {
    expect(groupText({})).toBe("all rows");
    expect(groupText({ target: "web", "peer.site": "" })).toBe("target web, peer.site –");
    expect([rounded(null), rounded(0.12345), rounded(0), rounded(1e-9)]).toEqual(["–", "0.123", "0", "1.00e-9"]);
    expect(previewText({ firings: 0, groups: [], groups_total: 0, rows: 0 })).toBe("there were no rows for it");
    expect(previewText({ firings: 2, groups: [{ group: {}, points: [], firings: [] }], groups_total: 30, rows: 9 })).toBe("would have fired 2 times, 1 of 30 groups shown");
    expect(matchersOf("rule=a* site=berlin")).toEqual({ rule: "a*", site: "berlin" });
    expect(matchersOf("  ")).toContain("at least one");
    expect(matchersOf("rule")).toContain("rule: write");
    expect([1, 24, 72].map(hoursText)).toEqual(["1 hour", "1 day", "3 days"]);
  });
});
