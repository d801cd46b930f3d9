import { describe, expect, it } from "vitest";

import { ahead, compact, count, listOf, millis, moment, NOT_MEASURED, plural, span } from "./format";
import { bestState, skewTone, svidTone } from "./states";

const now = Date.parse("2026-11-21T12:00:00.000Z");

describe("compact", () => {
  it("takes four characters at most", () => {
    expect([0, 999, 1200, 16_400, 999_999, 1_300_000].map(compact)).toEqual(["0", "999", "1.2k", "16k", "999k", "1.3M"]);
  });
});

describe("spans and ages", () => {
  it("read in their largest unit", () => {
    expect([0, 4_400, 89_000, 90_000, 5_400_000, 36 * 3_600_000].map(span)).toEqual(["0 s", "4 s", "89 s", "1 min", "1.5 h", "1.5 d"]);
    expect(span(-5)).toBe("0 s");
  });
  it("look ahead and back", () => {
    expect(ahead("2026-11-21T12:10:00.000Z", now)).toBe("in 10 min");
    expect(ahead("2026-11-21T11:00:00.000Z", now)).toBe("60 min ago");
  });
  it("show a dash for what was not measured, and never a zero", () => {
    expect(millis(null)).toBe(NOT_MEASURED);
    expect(moment(null, now)).toBe(NOT_MEASURED);
    expect(moment("not a time", now)).toBe(NOT_MEASURED);
    expect(millis(0)).toBe("0.00 ms");
  });
  it("name the day of a moment that is not today", () => {
    expect(moment("2026-11-19T12:00:00.000Z", now)).toMatch(/^19 Nov, \d\d:\d\d:\d\d$/);
    expect(moment("2026-11-21T12:00:01.000Z", now)).toMatch(/^\d\d:\d\d:\d\d$/);
  });
});

describe("numbers and lists", () => {
  it("read well", () => {
    expect(count(1234567)).toBe("1\u202f234\u202f567");
    expect(plural(1, "site")).toBe("1 site");
    expect(plural(0, "site")).toBe("0 sites");
    expect(listOf(["tokyo", "berlin", "saopaulo"])).toBe("tokyo, berlin and saopaulo");
    expect([0.42, 12.34, 123.4, 1840].map(millis)).toEqual(["0.42 ms", "12.3 ms", "123 ms", "1.84 s"]);
  });
});

describe("states", () => {
  it("know an element by the best of its sites, and never by a site that is not listed", () => {
    const states = new Map([["berlin", "here"], ["tokyo", "stale"], ["oslo", "unreachable"]] as const);
    expect(bestState(["oslo", "tokyo"], states)).toBe("stale");
    expect(bestState(["oslo", "berlin"], states)).toBe("here");
    expect(bestState(["lima"], states)).toBe("never_heard");
    expect(bestState([], states)).toBe("never_heard");
  });
  it("warn of certificates and clocks in time", () => {
    expect(svidTone("2026-11-21T11:59:59.000Z", now)).toBe("bad");
    expect(svidTone("2026-11-22T11:00:00.000Z", now)).toBe("warn");
    expect(svidTone("2026-11-25T12:00:00.000Z", now)).toBe("ok");
    expect(svidTone(null, now)).toBe("unknown");
    expect([0, -1001, 60_001, null].map(skewTone)).toEqual(["ok", "warn", "bad", "unknown"]);
  });
});
