// How servers do TLS, in words; no React here.
import type { DnsStep, DnsTrace, TlsEndpoint, TlsSight } from "../../api/types";
import { NOT_MEASURED } from "../../parts/format";
import type { StateLook } from "../../parts/states";

export const POSTURE_LOOKS: Record<"critical" | "warning" | "info" | "none", StateLook> = {
  critical: { tone: "bad", mark: "triangle", word: "critical", means: "clients refuse it, or somebody could pretend to be it" },
  warning: { tone: "warn", mark: "slash", word: "to look at", means: "it works, and should be changed soon" },
  info: { tone: "unknown", mark: "ring", word: "to know", means: "it works, and could be better" },
  none: { tone: "ok", mark: "disk", word: "well", means: "nothing is wrong with what was seen" },
};

export const look = (item: Pick<TlsEndpoint, "severity">): StateLook => POSTURE_LOOKS[item.severity ?? "none"];

/** Days until the certificate ends that ends first, of all that sites see. */
export function daysLeft(item: Pick<TlsEndpoint, "sights">): number | null {
  const days = item.sights.map((sight) => sight.days_left).filter((each) => typeof each === "number");
  return days.length > 0 ? Math.min(...days) : null;
}

export function daysText(days: number | null): string {
  if (days === null) return NOT_MEASURED;
  const whole = Math.floor(Math.abs(days));
  return days < 0 ? `ended ${whole} d ago` : `${whole} d`;
}

/** What a server takes, of the first site that looked. */
export const versionsText = (item: Pick<TlsEndpoint, "sights">): string =>
  item.sights.find((sight) => sight.versions && sight.versions.length > 0)?.versions?.join(", ") ?? NOT_MEASURED;

/** The sites that saw it, each once. */
export const sitesOf = (item: Pick<TlsEndpoint, "sights">): string[] => [...new Set(item.sights.map((sight) => sight.site))];

/** What a site saw, as pairs of a name and what it is; what was not looked at is left out. */
export function factsOf(sight: TlsSight): (readonly [string, string])[] {
  const flag = (value: boolean | null | undefined) => (value === null || value === undefined ? null : value ? "yes" : "no");
  const key = sight.key_type ? `${sight.key_type}${sight.key_bits ? `, ${sight.key_bits} bits` : ""}` : null;
  const agreed = [sight.version, sight.cipher, sight.key_exchange].filter(Boolean).join(", ");
  const all: readonly (readonly [string, string | null | undefined])[] = [
    ["address", sight.server_address], ["error", sight.error], ["subject", sight.subject], ["issuer", sight.issuer], ["for names", sight.names],
    ["serial", sight.serial], ["ends", sight.not_after], ["key", key], ["signed with", sight.signature], ["trusted", flag(sight.verified)],
    ["why not", sight.reason], ["agreed on", agreed], ["takes TLS", sight.versions?.join(", ")], ["status sent (OCSP)", flag(sight.stapled)], ["status", sight.status],
    ["status holds until", sight.status_until], ["status not believed", sight.status_problem],
  ];
  return all.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
}

/** What one step of a trace came to. */
export function stepText(step: Pick<DnsStep, "error" | "referred_to" | "servers" | "answers" | "rcode">): string {
  if (step.error) return step.error;
  if (step.referred_to) return `refers to ${step.referred_to}: ${step.servers.join(", ")}`;
  return step.answers.length > 0 ? step.answers.join(", ") : (step.rcode ?? NOT_MEASURED);
}

const ENDS: Record<DnsTrace["end"], string> = { answered: "answered", no_data: "the name has no records of this type", no_such_name: "there is no such name", failed: "it failed" };

/** How a trace ended, in a line. */
export const endText = (trace: Pick<DnsTrace, "end" | "answers" | "error">): string =>
  trace.end === "answered" ? trace.answers.join(", ") : `${ENDS[trace.end]}${trace.error ? `: ${trace.error}` : ""}`;
