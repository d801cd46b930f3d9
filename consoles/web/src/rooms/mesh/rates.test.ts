import { describe, expect, it } from "vitest";

import { bytesText, metered, ratesOf, type Sample } from "./rates";

const sample = (atMs: number, bytesIn: number, drops = 0): Sample => ({
  atMs, view: { channels: [{ channel: "sync", bytes_in: bytesIn, bytes_out: 2 * bytesIn }], drops: [{ name: "hints_dropped", count: drops }] },
});

describe("ratesOf", () => {
  it("is what came by, a second", () => {
    const { bytes, drops } = ratesOf(sample(1000, 1000, 3), sample(6000, 6000, 8));
    expect(bytes.get("sync")).toEqual({ in: 1000, out: 2000 });
    expect(drops.get("hints_dropped")).toBe(1);
  });
  it("is not known when the node began anew", () => {
    expect(ratesOf(sample(0, 9000), sample(5000, 10)).bytes.get("sync")).toEqual({ in: null, out: null });
  });
  it("takes a channel that was not there as new", () => {
    const none: Sample = { atMs: 0, view: { channels: [], drops: [] } };
    expect(ratesOf(none, sample(2000, 500)).bytes.get("sync")?.in).toBe(250);
  });
});

describe("metered", () => {
  it("waits for an answer that is far enough, and keeps the last rates until then", () => {
    const first = metered(null, sample(0, 0));
    expect(first.rates).toBeNull();
    expect(metered(first, sample(200, 900))).toBe(first);
    const second = metered(first, sample(5000, 5000));
    expect(second.rates?.bytes.get("sync")?.in).toBe(1000);
    expect(metered(second, sample(5300, 9000)).rates).toBe(second.rates);
  });
});

describe("bytesText", () => {
  it("has a unit", () => {
    expect([0, 812, 1536, 20 * 1024, 3 * 1024 ** 2].map(bytesText)).toEqual(["0 B", "812 B", "1.5 KiB", "20 KiB", "3.0 MiB"]);
  });
});
