// The freshness of the whole mesh in one line.
import type { Sites } from "../api/types";
import { span } from "../parts/format";
import type { Tone } from "../parts/states";

/** What the chip says: how many sites are heard, and how old the oldest picture is. */
export function freshnessText(sites: Sites, nowMs: number): { text: string; tone: Tone } {
  const heard = sites.items.filter((site) => site.state === "here" || site.state === "live");
  const oldest = Math.max(0, ...heard.map((site) => (site.as_of ? nowMs - Date.parse(site.as_of) : 0)));
  const all = heard.length === sites.items.length;
  const age = heard.length > 0 ? `, oldest ${span(oldest)}` : "";
  const bad = sites.items.some((site) => site.state === "unreachable");
  return { text: `${heard.length} of ${sites.items.length} sites heard${age}`, tone: all ? "ok" : bad ? "bad" : "warn" };
}
