import { describe, expect, it } from "vitest";

import { clockOffset } from "./client";
import { backoffMs, isLive } from "./stream";

describe("backoffMs", () => {
  it("doubles up to fifteen seconds, at least half of it", () => {
    expect(backoffMs(1, 0)).toBe(250);
    expect(backoffMs(1, 1)).toBe(500);
    expect(backoffMs(3, 0.5)).toBe(1500);
    expect(backoffMs(40, 1)).toBe(15_000);
  });
});

describe("isLive", () => {
  it("keeps pictures of the past out of what an event makes stale", () => {
    expect(isLive(["topology", null, null])).toBe(true);
    expect(isLive(["topology", "2026-11-21T04:00:00.000Z", null])).toBe(false);
    expect(isLive(["sites"])).toBe(true);
    expect([isLive(["diff", null, "2026-11-21T03:00:00.000Z"]), isLive(["diff", "2026-11-21T04:00:00.000Z", "2026-11-21T03:00:00.000Z"])]).toEqual([true, false]);
    expect([isLive(["whatif", "hop:a", null]), isLive(["whatif", "hop:a", "2026-11-21T04:00:00.000Z"])]).toEqual([true, false]);
  });
});

describe("clockOffset", () => {
  const served = "Sat, 21 Nov 2026 04:00:00 GMT";
  it("believes no offset that the header's whole seconds cannot show", () => {
    expect(clockOffset(served, Date.parse(served) + 1500)).toBe(0);
    expect(clockOffset(null, 0)).toBe(0);
    expect(clockOffset("yesterday", 0)).toBe(0);
  });
  it("counts ages on the node's clock when the reader's is an hour off", () => {
    expect(clockOffset(served, Date.parse(served) - 3_600_000)).toBe(3_600_500);
  });
});
