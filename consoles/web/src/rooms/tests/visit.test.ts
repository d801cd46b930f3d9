import { describe, expect, it } from "vitest";

import type { BrowserRequest, BrowserRun } from "../../api/types";
import { barOf, lengthOf, resultOf, vitalsOf } from "./visit";

const request = (more: Partial<BrowserRequest>): BrowserRequest => ({ url: "https://shop.example/", method: "GET", kind: "Document", start_ms: 0, from_cache: false, ...more });

describe("what a browser saw", () => {
  it("tells what was measured by its bounds, and what was not as that", () => {
    const run = { vitals: { lcp_ms: 2500, fcp_ms: 3001, cls: 0.2 } } as unknown as BrowserRun;
    const told = Object.fromEntries(vitalsOf(run).map(({ id, tone }) => [id, tone]));
    expect(told).toEqual({ ttfb_ms: null, fcp_ms: "bad", lcp_ms: "ok", cls: "warn", tbt_ms: null, inp_ms: null });
    expect(vitalsOf(run).find(({ id }) => id === "cls")?.text).toBe("0.200");
  });

  it("draws requests as shares of the whole", () => {
    const all = [request({ wait_ms: 100, receive_ms: 100 }), request({ start_ms: 300, wait_ms: 50, receive_ms: 50 })];
    const length = lengthOf(all);
    expect(length).toBe(400);
    expect(all.map((one) => barOf(one, length))).toEqual([{ start: 0, wait: 0.25, receive: 0.25 }, { start: 0.75, wait: 0.125, receive: 0.125 }]);
    expect(lengthOf([])).toBe(1);
    expect(barOf(request({ start_ms: 400 }), 400)).toEqual({ start: 1, wait: 0, receive: 0 });
  });

  it("names what stopped a request before its status", () => {
    expect(resultOf(request({ status_code: 403, blocked: "127.0.0.1 is this machine" }))).toEqual({ text: "blocked: 127.0.0.1 is this machine", tone: "bad" });
    expect(resultOf(request({ failed: "ERR_FAILED" })).tone).toBe("bad");
    expect(resultOf(request({ status_code: 304, from_cache: true })).text).toBe("304 from its cache");
    expect(resultOf(request({}))).toEqual({ text: "no answer", tone: "warn" });
    expect([200, 404].map((status_code) => resultOf(request({ status_code })).tone)).toEqual(["ok", "bad"]);
  });
});
