import { describe, expect, it } from "vitest";

import type { FlowCapacity, FlowGroup, FlowInterface, FlowKeyPart, FlowSeries } from "../../api/types";
import { parseSearch } from "../../frame/search";
import { change, changeText, conditions, filterTrouble, interfaceName, interfaceSeries, keyText, narrowed, previousQuery, rateText, recordsAsAnswer, seriesQuery, sparkline, steps, topQuery, windowMs } from "./flows";
import { layOut } from "./sankey";
import { moments, roundUp, stack, stepLine, totals } from "./stack";

const part = (field: string, value: string | number | null, name: string | null = null): FlowKeyPart => ({ field, value: value as unknown as FlowKeyPart["value"], name });
const group = (bytes: number, before: number | null): FlowGroup => ({ key: [part("src", "10.1.0.1")], bytes, packets: 1, flows: 1, share: null, previous: before === null ? null : { bytes: before, packets: 1, flows: 1 } });

describe("questions about flows", () => {
  it("take what the URL says, and leave out what does not go together", () => {
    expect(topQuery({})).toMatchObject({ window: "1h", by: "src", previous: undefined, dedup: undefined });
    expect(topQuery({ prev: "1", dims: "src_as,dst_port", metric: "flows", window: "6h", at: "2026-11-21T04:00:00.000Z", site: "tokyo" })).toMatchObject({ window: "6h", to: "2026-11-21T04:00:00.000Z", previous: "true", by: "src_as,dst_port", site: "tokyo" });
    expect(topQuery({ prev: "1", once: "1" })).toMatchObject({ previous: undefined, dedup: "true" });
    expect([windowMs("15m"), windowMs("6h"), windowMs("7d")]).toEqual([900_000, 21_600_000, 604_800_000]);
  });
  it("ask for the window before by its own beginning and end", () => {
    const series = { bucket_ms: 60_000, stands_on: { from: "2026-11-21T03:00:00.000Z", to: "2026-11-21T03:59:31.000Z" } } as FlowSeries;
    expect(previousQuery({ filter: "proto = udp" }, series)).toMatchObject({ from: "2026-11-21T02:00:00.000Z", to: "2026-11-21T03:00:00.000Z", filter: "proto = udp", bucket: "60s" });
  });
  it("ask for series from the first whole bucket on", () => {
    expect(seriesQuery({ dims: "dst" }, { from: "2026-11-21T03:00:31.500Z", to: "2026-11-21T04:00:31.500Z" })).toMatchObject({ from: "2026-11-21T03:01:00.000Z", to: "2026-11-21T04:00:31.500Z", bucket: "1m", by: "dst", limit: 8 });
    expect(seriesQuery({}, { from: "2026-11-14T04:00:00.000Z", to: "2026-11-21T04:00:00.000Z" })).toMatchObject({ bucket: "2h" });
  });
  it("give a diagram two steps at least", () => {
    expect([steps({}), steps({ dims: "src" }), steps({ dims: "src,dst" }), steps({ dims: "pair" })]).toEqual(["src_as,dst_port,dst_as", "src_as,dst_port,dst_as", "src,dst", "pair"]);
  });
});

describe("a key", () => {
  it("is read by its name, and what was not told is said so", () => {
    expect(keyText([part("src_as", 64500, "EXAMPLE"), part("dst_as", 64497), part("app", null), part("dst_port", 443)])).toBe("EXAMPLE (AS64500) · AS64497 · not told · 443");
  });
  it("narrows the filter to itself, quoted where it must be", () => {
    expect(conditions([part("src", "10.1.0.1"), part("dst_port", 443)])).toBe("src = 10.1.0.1 and dst_port = 443");
    expect(conditions([part("app", "a b")])).toBe('app = "a b"');
    expect(conditions([part("app", 'a"b')])).toBe("app = 'a\"b'");
    expect([conditions([part("app", null)]), conditions([part("app", `"'`)])]).toEqual([null, null]);
    const key = [part("src", "10.1.0.1")];
    expect(narrowed(undefined, key)).toBe("src = 10.1.0.1");
    expect(narrowed("proto = udp", key)).toBe("proto = udp and src = 10.1.0.1");
    expect(narrowed("proto = udp or proto = tcp", key)).toBe("(proto = udp or proto = tcp) and src = 10.1.0.1");
    expect(narrowed("proto = udp and src = 10.1.0.1", key)).toBe("proto = udp and src = 10.1.0.1");
    expect(narrowed("proto = udp", [part("app", null)])).toBe("proto = udp");
  });
});

describe("numbers", () => {
  it("of rates go in decimal steps", () => {
    expect([rateText(0, "bit/s"), rateText(950, "bit/s"), rateText(34_362_708, "bit/s"), rateText(345e9, "bit/s"), rateText(0.5, "packet/s")]).toEqual(["0 bit/s", "950 bit/s", "34.4 Mbit/s", "345 Gbit/s", "0.5 packet/s"]);
  });
  it("of change are not made up where there was nothing before", () => {
    expect([group(112, 100), group(97, 100), group(5, 0), group(0, 0), group(5, null), group(50_000, 100)].map((each) => changeText(each, "bytes"))).toEqual(["+12 %", "−3.0 %", "new", "0 %", "–", "× 500"]);
    expect([change(group(150, 100), "bytes"), change(group(5, 0), "bytes"), change(group(5, null), "bytes")]).toEqual([0.5, null, null]);
  });
});

describe("what is wrong with a filter", () => {
  it("is shown where it is", () => {
    expect(filterTrouble('filter, character 7: "foo" is no value of src; write an address', "src = foo bar")).toEqual({ text: '"foo" is no value of src; write an address', from: 6, to: 9 });
    expect(filterTrouble("filter, character 99: more is expected; write a value", "src =")).toMatchObject({ from: 5, to: 5 });
    expect(filterTrouble("window=x: no", "src = 1")).toBeNull();
  });
});

describe("a stack of series", () => {
  const frame = { left: 0, right: 100, top: 0, bottom: 100, fromMs: 0, toMs: 200 };
  it("lays each upon the one before", () => {
    const picture = stack([[10, 20], [30, 0]], [0, 100], 100, frame);
    expect(totals([[10, 20], [30, 0]], 2)).toEqual([40, 20]);
    expect(picture.most).toBe(50);
    expect(picture.bands[0]?.path).toBe("M0 80H50L50 60H100L100 100H50L50 100H0Z");
    expect(picture.bands[1]?.path).toBe("M0 20H50L50 60H100L100 60H50L50 80H0Z");
    expect(picture.bands[1]?.label).toEqual({ x: 25, y: 50, high: 60 });
  });
  it("ends at the window, though its first bucket begins before", () => {
    const picture = stack([[10, 10]], [-50, 150], 200, frame);
    expect([picture.xOf(-50), picture.xOf(500)]).toEqual([0, 100]);
    expect(stepLine([10], [-1000], 100, 1000, picture)).toMatch(/^M0 \S+H50$/);
  });
  it("has a round scale, also for nothing", () => {
    expect([roundUp(0), roundUp(7), roundUp(2.2e6), roundUp(1e9)]).toEqual([1, 10, 2.5e6, 1e9]);
    expect(stack([], [], 1, frame).ticks.map((tick) => tick.value)).toEqual([0.25, 0.5, 0.75, 1]);
  });
  it("has moments on round times of the reader's zone", () => {
    const hour = 3_600_000;
    expect(moments(0, hour, 6, 0)).toEqual([0, 600_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000, 3_600_000]);
    expect(moments(0, 3 * 86_400_000, 4, -60).map((ms) => (ms + hour) % 86_400_000)).toEqual([0, 0, 0]);
  });
});

describe("a Sankey diagram", () => {
  it("gives boxes and bands their shares, within the picture", () => {
    const picture = layOut({ nodes: [{ layer: 0, value: 30 }, { layer: 0, value: 10 }, { layer: 1, value: 40 }], links: [{ source: 0, target: 2, value: 30 }, { source: 1, target: 2, value: 10 }] }, 210, 107);
    expect(picture.boxes.map((box) => Math.round(box.high))).toEqual([75, 25, 100]);
    expect(picture.boxes[2]?.x).toBe(200);
    expect(picture.bands.map((band) => Math.round(band.wide))).toEqual([75, 25]);
    for (const box of picture.boxes) expect(box.y + box.high).toBeLessThanOrEqual(107.001);
  });
  it("orders boxes by where their bands come from, so that bands cross little", () => {
    const picture = layOut({ nodes: [{ layer: 0, value: 20 }, { layer: 0, value: 10 }, { layer: 1, value: 10 }, { layer: 1, value: 20 }], links: [{ source: 0, target: 3, value: 20 }, { source: 1, target: 2, value: 10 }] }, 100, 100);
    expect((picture.boxes[3]?.y ?? 0) < (picture.boxes[2]?.y ?? 0)).toBe(true);
  });
  it("is nothing for nothing", () => {
    expect(layOut({ nodes: [], links: [] }, 100, 100)).toEqual({ boxes: [], bands: [], layers: 0 });
  });
});

describe("flow records", () => {
  it("become rows with the columns that any of them has, the known ones first", () => {
    const answer = recordsAsAnswer([{ site: "berlin", "flow.time_received": "2026-11-21T04:00:00Z", "vlan": 3 }, { site: "tokyo", "source.address": "10.1.0.1" }], false);
    expect(answer.columns).toEqual([{ name: "flow.time_received", type: "Timestamp(ns)" }, { name: "site", type: "Utf8" }, { name: "source.address", type: "Utf8" }, { name: "vlan", type: "UInt64" }]);
    expect(answer.rows[1]).toEqual([null, "tokyo", "10.1.0.1", null]);
  });
});

describe("interfaces", () => {
  it("have a page of their own, one way or the other", () => {
    expect(parseSearch({ tab: "interfaces", way: "out" })).toEqual({ tab: "interfaces", way: "out" });
    expect(parseSearch({ tab: "interfaces", way: "in" })).toEqual({ tab: "interfaces" });
  });
  const row = { interface: 3, name: null, bps: [0, 50, 100] } as unknown as FlowInterface;
  it("are called as their exporter calls them, else by index", () => {
    expect([interfaceName(row), interfaceName({ ...row, name: "uplink" })]).toEqual(["interface 3", "uplink"]);
  });
  it("are a line from zero to the largest, and a flat one without traffic", () => {
    expect(sparkline([0, 50, 100], 120, 20)).toBe("M0.0 19.0L60.0 10.0L120.0 1.0");
    expect([sparkline([0, 0], 10, 20), sparkline([7], 10, 20), sparkline([], 10, 20)]).toEqual(["M0.0 19.0L10.0 19.0", "M0.0 1.0", ""]);
  });
  it("are one band of a picture", () => {
    const answer = { bucket_ms: 60_000, buckets: ["a", "b", "c"], stands_on: {} } as unknown as FlowCapacity;
    expect(interfaceSeries(answer, row)).toMatchObject({ unit: "bit/s", bucket_ms: 60_000, other: [0, 0, 0], series: [{ values: [0, 50, 100] }] });
  });
});
