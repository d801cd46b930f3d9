import { describe, expect, it } from "vitest";

import type { TlsSight } from "../../api/types";
import { newTest, PROBE_KINDS, TEST_FIELDS } from "./policies";
import { daysLeft, daysText, endText, factsOf, look, sitesOf, stepText, versionsText } from "./posture";

const sight = (site: string, more: Partial<TlsSight> = {}): TlsSight => ({ site, probe: "tls", target: "shop.example", test: "cert", observed_at: "2026-11-21T04:00:00.000Z", server_address: "192.0.2.1", success: true, error: null, subject: null, issuer: null, names: null, serial: null, not_before: null, not_after: null, days_left: null, key_type: null, key_bits: null, signature: null, chain_length: null, chain_complete: null, name_matches: null, verified: null, reason: null, version: null, cipher: null, key_exchange: null, versions: null, stapled: null, status: null, status_until: null, status_problem: null, ...more });

describe("how a server does TLS", () => {
  it("is told by the certificate that ends first, and what was not seen is not told", () => {
    const item = { sights: [sight("a", { days_left: 40 }), sight("b", { days_left: 12.7, versions: ["1.2", "1.3"] }), sight("b")] };
    expect(daysLeft(item)).toBe(12.7);
    expect([daysText(12.7), daysText(-3.2), daysText(daysLeft({ sights: [sight("a")] }))]).toEqual(["12 d", "ended 3 d ago", "–"]);
    expect(versionsText(item)).toBe("1.2, 1.3");
    expect(versionsText({ sights: [sight("a")] })).toBe("–");
    expect(sitesOf(item)).toEqual(["a", "b"]);
  });
  it("has a look for every severity, and for none", () => {
    expect([look({ severity: "critical" }).tone, look({ severity: null }).tone]).toEqual(["bad", "ok"]);
  });
  it("leaves out what was not looked at", () => {
    expect(factsOf(sight("a", { key_type: "RSA", key_bits: 2048, verified: false, reason: "why" }))).toEqual([["address", "192.0.2.1"], ["key", "RSA, 2048 bits"], ["trusted", "no"], ["why not", "why"]]);
  });
});

describe("a trace of a name", () => {
  it("tells what each step came to, and how it ended", () => {
    const step = { error: null, referred_to: null, servers: [], answers: [], rcode: "NoError" };
    expect(stepText({ ...step, referred_to: "example.", servers: ["ns.example."] })).toBe("refers to example.: ns.example.");
    expect([stepText(step), stepText({ ...step, error: "silent" }), stepText({ ...step, answers: ["a A 192.0.2.1"] })]).toEqual(["NoError", "silent", "a A 192.0.2.1"]);
    expect(endText({ end: "answered", answers: ["192.0.2.1"], error: null })).toBe("192.0.2.1");
    expect(endText({ end: "failed", answers: [], error: "why" })).toBe("it failed: why");
  });
});

describe("new tests", () => {
  it("begin with every kind of probe, in fields that are known", () => {
    expect(PROBE_KINDS).toEqual(["http", "tls", "dns", "icmp", "tcp", "udp", "script", "browser", "sip", "stamp", "rtp"]);
    const known = new Set<string>(TEST_FIELDS);
    for (const kind of PROBE_KINDS) {
      const lines = newTest(kind).trim().split("\n").filter((line) => !line.startsWith(" "));
      const keys = lines.map((line) => line.split(":")[0] ?? "");
      expect(keys.filter((key) => !known.has(key)), kind).toEqual([]);
      expect(newTest(kind)).toContain(`probe: ${kind}\n`);
    }
  });
});
