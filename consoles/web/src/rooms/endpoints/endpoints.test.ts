import { describe, expect, it } from "vitest";

import type { Endpoint } from "../../api/types";
import { attributionLook, ATTRIBUTION_LOOKS, ATTRIBUTIONS, factsOf, isBlamed, LAYER_LOOKS, liveLook, orderOf, shown, summary, sureText } from "./endpoints";

const endpoint = (attribution: Endpoint["attribution"]): Pick<Endpoint, "attribution"> => ({ attribution });

describe("an endpoint", () => {
  it("is blamed on one part of its way, and on none where nothing is impaired", () => {
    const parts = ["wifi", "gateway", "isp", "target"] as const;
    const blamed = (of: Endpoint["attribution"]) => parts.filter((part) => isBlamed(endpoint(of), { part }));
    expect([blamed("local"), blamed("isp"), blamed("network"), blamed("none"), blamed("unknown"), blamed(null)]).toEqual([["gateway"], ["isp"], ["target"], [], [], []]);
  });
  it("that is not known or not heard looks different from a fine one", () => {
    const tones = [attributionLook(endpoint("none")).tone, attributionLook(endpoint("unknown")).tone, attributionLook(endpoint(null)).word];
    expect(tones).toEqual(["ok", "unknown", "not heard"]);
    expect([LAYER_LOOKS.not_measured.tone, LAYER_LOOKS.absent.tone]).toEqual(["unknown", "unknown"]);
    expect([liveLook({ live: true, observed_at: "x" }).word, liveLook({ live: false, observed_at: "x" }).word, liveLook({ live: false, observed_at: null }).word]).toEqual(["live", "stale", "not heard"]);
    expect([sureText(0.714), sureText(null)]).toEqual(["71 %", "–"]);
  });
  it("comes first when something close to it is impaired", () => {
    const order = [endpoint(null), endpoint("none"), endpoint("target"), endpoint("wifi")].sort((a, b) => orderOf(a) - orderOf(b));
    expect(order.map((each) => each.attribution)).toEqual(["wifi", "target", "none", null]);
    expect(summary(order)).toBe("1 wi-fi, 1 target, 1 fine, 1 not heard");
    expect(Object.keys(ATTRIBUTION_LOOKS).sort()).toEqual([...ATTRIBUTIONS].sort());
  });
});

describe("what is withheld", () => {
  it("is said, and is neither empty nor a value", () => {
    expect([shown("withheld"), shown({ told: "withheld" }), shown({ told: "Home" }), shown(null)]).toEqual(["withheld", "withheld", "Home", "–"]);
    const facts = factsOf({ hostname: "withheld", wifi: { link: { ssid: { told: "Home" }, bssid: "withheld", channel: 36, signal_dbm: null } }, gateways: { measured: [{ address: "withheld", interface: "wlan0" }] }, resolvers: { not_measured: "why" }, last_mile: { measured: { method: "raw sockets", hops: [{ ttl: 1, address: null }] } } });
    expect(facts).toEqual([["hostname", "withheld"], ["SSID", "Home"], ["BSSID", "withheld"], ["channel", "36"], ["signal", "–"], ["gateway, wlan0", "withheld"], ["hop 1", "*"], ["traced by", "raw sockets"]]);
  });
  it("is not looked for where there is no sample", () => {
    expect([factsOf(null), factsOf("x")]).toEqual([[], []]);
    expect(factsOf({ hostname: { told: "a" }, wifi: "no_wifi" })).toEqual([["hostname", "a"], ["wi-fi", "no wi-fi"]]);
  });
});
