import { describe, expect, it } from "vitest";

import { changed, refused, showing, telling, toldBy, windowMs } from "./changes";

describe("changed", () => {
  it("names elements, and words only where there are none", () => {
    expect(changed({ targets: ["service:web"], words: ["acme/web"], prefix: null })).toEqual({ elements: ["service:web"], words: [] });
    expect(changed({ targets: [], words: ["acme/web"], prefix: null })).toEqual({ elements: [], words: ["acme/web"] });
    expect(changed({ targets: [], words: ["x"], prefix: "prefix:192.0.2.0/24" })).toEqual({ elements: ["prefix:192.0.2.0/24"], words: [] });
  });
});

describe("toldBy", () => {
  it("says who told of it", () => {
    expect(toldBy({ source: "plane:path", source_name: null })).toBe("seen by the path plane");
    expect(toldBy({ source: "0123456789abcdef", source_name: "ci" })).toBe("ci");
    expect(toldBy({ source: "0123456789abcdef", source_name: null })).toBe("0123456789abcdef");
  });
});

describe("numbers", () => {
  const here = { accepted: 9, known: 1, ignored: 1, ahead: 0, unanchored: 2, refused_signature: 1, refused_stale: 2, refused_size: 3, refused_body: 4, refused_write: 5, last_at: null };
  it("count what was refused, and not what came again", () => {
    expect(refused({ here })).toBe(15);
  });
  it("say how many of how many are shown", () => {
    expect(showing(100, 230)).toBe("showing 100 of 230");
    expect(showing(1, 1)).toBe("1 change");
  });
  it("of windows are in ms", () => {
    expect(windowMs("6h")).toBe(21_600_000);
    expect(windowMs("7d")).toBe(604_800_000);
    expect(windowMs(undefined)).toBe(86_400_000);
    expect(windowMs("-1h")).toBe(86_400_000);
  });
});

describe("telling", () => {
  it("leaves out what adds nothing, except why it is not near", () => {
    const part = (name: string, points: number) => ({ name, value: 0, weight: 0, points, why: name });
    expect(telling({ parts: [part("distance", 0), part("time", 12), part("author", 0), part("blast", 30)] }).map((each) => each.name)).toEqual(["blast", "time", "distance"]);
  });
});
