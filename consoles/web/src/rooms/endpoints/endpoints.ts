// Endpoints in words and in order; no React here.
import type { Endpoint, EndpointLayer } from "../../api/types";
import { NOT_MEASURED } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export type Attribution = NonNullable<Endpoint["attribution"]>;

/** What is to blame, the closest to the machine first. */
export const ATTRIBUTIONS: readonly Attribution[] = ["wifi", "local", "isp", "network", "target", "unknown", "none"];

export const ATTRIBUTION_LOOKS: Record<Attribution, StateLook> = {
  wifi: { tone: "bad", mark: "triangle", word: "wi-fi", means: "the signal of the Wi-Fi link is weak" },
  local: { tone: "bad", mark: "triangle", word: "local", means: "the gateway or a resolver of the local network is slow, loses, or is silent" },
  isp: { tone: "bad", mark: "triangle", word: "isp", means: "the provider, from the gateway to its edge, is slow or loses" },
  network: { tone: "bad", mark: "triangle", word: "network", means: "what lies behind the provider's edge is slow or fails for all targets" },
  target: { tone: "warn", mark: "slash", word: "target", means: "a target by itself is slow or fails" },
  unknown: { tone: "unknown", mark: "dash", word: "not known", means: "too little was measured to say; that is not fine" },
  none: { tone: "ok", mark: "disk", word: "fine", means: "nothing is impaired" },
};

const NOT_HEARD: StateLook = { tone: "unknown", mark: "ring", word: "not heard", means: "no sample of it came in the window" };

export const attributionLook = (item: Pick<Endpoint, "attribution">): StateLook => (item.attribution ? ATTRIBUTION_LOOKS[item.attribution] : NOT_HEARD);

export const liveLook = (item: Pick<Endpoint, "live" | "observed_at">): StateLook =>
  item.live ? { tone: "ok", mark: "disk", word: "live", means: "heard within three of its intervals and a minute" }
  : item.observed_at ? { tone: "warn", mark: "clock", word: "stale", means: "its last sample is older than three of its intervals and a minute" }
  : NOT_HEARD;

export const LAYER_LOOKS: Record<EndpointLayer["state"], StateLook> = {
  fine: { tone: "ok", mark: "disk", word: "fine", means: "measured, and nothing is wrong" },
  impaired: { tone: "bad", mark: "triangle", word: "impaired", means: "measured, and worse than it may be" },
  not_measured: { tone: "unknown", mark: "dash", word: "not measured", means: "not measured; that is not fine" },
  absent: { tone: "unknown", mark: "slash", word: "not there", means: "there is no such part, or nothing to check" },
};

export const PART_WORDS: Record<EndpointLayer["part"], string> = { wifi: "Wi-Fi", gateway: "Gateway", isp: "ISP", target: "Target" };

const BLAMED: Partial<Record<Attribution, EndpointLayer["part"]>> = { wifi: "wifi", local: "gateway", isp: "isp", network: "target", target: "target" };

/** Whether a part is the one to blame. */
export const isBlamed = (item: Pick<Endpoint, "attribution">, layer: Pick<EndpointLayer, "part">): boolean => !!item.attribution && BLAMED[item.attribution] === layer.part;

export const orderOf = (item: Pick<Endpoint, "attribution">): number => (item.attribution ? ATTRIBUTIONS.indexOf(item.attribution) : ATTRIBUTIONS.length);

export const sureText = (sure: number | null | undefined): string => (typeof sure === "number" ? `${Math.round(sure * 100)} %` : NOT_MEASURED);

/** How many are to blame on what: `2 isp, 1 wi-fi, 9 fine`. */
export function summary(items: readonly Pick<Endpoint, "attribution">[]): string {
  const counts = ATTRIBUTIONS.map((each) => [ATTRIBUTION_LOOKS[each].word, items.filter((item) => item.attribution === each).length] as const);
  const unheard = items.filter((item) => !item.attribution).length;
  return [...counts, [NOT_HEARD.word, unheard] as const].filter(([, count]) => count > 0).map(([word, count]) => `${count} ${word}`).join(", ");
}

/** A value that its owner may withhold: withheld is said, and is not empty. */
export function shown(value: unknown): string {
  if (value === "withheld") return "withheld";
  if (value !== null && typeof value === "object" && "told" in value) return String(value.told);
  return NOT_MEASURED;
}

/** What the last sample says of the machine's link, as pairs of a name and what it is. */
export function factsOf(sample: unknown): (readonly [string, string])[] {
  if (sample === null || typeof sample !== "object") return [];
  const of = sample as { hostname?: unknown; wifi?: unknown; gateways?: { measured?: { address?: unknown; interface?: unknown }[] }; resolvers?: { measured?: { address?: unknown }[] }; last_mile?: { measured?: { method?: unknown; hops?: { ttl?: unknown; address?: unknown }[] } } };
  const facts: (readonly [string, string])[] = [["hostname", shown(of.hostname)]];
  const link = of.wifi !== null && typeof of.wifi === "object" && "link" in of.wifi ? (of.wifi as { link: { ssid?: unknown; bssid?: unknown; channel?: unknown; signal_dbm?: unknown } }).link : null;
  if (link) {
    facts.push(["SSID", shown(link.ssid)], ["BSSID", shown(link.bssid)], ["channel", typeof link.channel === "number" ? String(link.channel) : NOT_MEASURED], ["signal", typeof link.signal_dbm === "number" ? `${link.signal_dbm} dBm` : NOT_MEASURED]);
  } else {
    facts.push(["wi-fi", of.wifi === "no_wifi" ? "no wi-fi" : of.wifi === "not_connected" ? "not connected" : "not measured"]);
  }
  for (const gateway of of.gateways?.measured ?? []) facts.push([`gateway, ${String(gateway.interface)}`, shown(gateway.address)]);
  for (const resolver of of.resolvers?.measured ?? []) facts.push(["resolver", shown(resolver.address)]);
  const way = of.last_mile?.measured;
  for (const hop of way?.hops ?? []) facts.push([`hop ${String(hop.ttl)}`, hop.address ? shown(hop.address) : "*"]);
  if (way) facts.push(["traced by", String(way.method)]);
  return facts;
}
